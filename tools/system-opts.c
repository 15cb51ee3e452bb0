/*
 * system-opts.c - what each option of the system emulator does while the command line is read: it fills
 * struct sysopts, and nothing is opened or made yet. Boards, files and backends are system.c's.
 */
#include "tools/system-opts.h"
#include "blockfmt/block.h"

#include "interp/accel.h"
#include "util/log.h"

#include <stdio.h>
#include <time.h>

enum { DONE = 1 }; /* a handler that printed what was asked for */

void str_list_add(struct str_list *l, const char *s)
{
    l->v = mem_realloc(l->v, (l->n + 1) * sizeof *l->v);
    l->v[l->n++] = mem_strdup(s);
}

void str_list_free(struct str_list *l)
{
    for (unsigned i = 0; i < l->n; i++) mem_free(l->v[i]);
    mem_free(l->v);
    l->v = NULL, l->n = 0;
}

/* A copy that lives as long as the options. */
const char *sysopts_keep(struct sysopts *s, const char *str)
{
    str_list_add(&s->strings, str);
    return s->strings.v[s->strings.n - 1];
}

static void replace(char **p, const char *s)
{
    mem_free(*p);
    *p = mem_strdup(s);
}

void sysopts_init(struct sysopts *s, const char *target, const struct isa *isa, bool big_endian)
{
    memset(s, 0, sizeof *s);
    s->target = target;
    s->isa = isa;
    s->cfg.isa = isa;
    s->cfg.big_endian = big_endian;
    s->cfg.n_cpus = 1;
    s->cfg.rtc_start = (int64_t)time(NULL);
    s->cfg.icount_shift = 3;
    s->cfg.icount_sleep = true;
    s->cfg.engine.mode = ENGINE_FAST;
    s->echr = 1;
}

void sysopts_free(struct sysopts *s)
{
    struct str_list *lists[] = { &s->strings, &s->chardevs, &s->serials, &s->monitors,
                                 &s->mons, &s->gdbs, &s->firmware, &s->globals, &s->devices, &s->parallels,
                                 &s->option_roms, &s->fw_cfgs, &s->acpi_tables, &s->smbios };

    for (unsigned i = 0; i < ARRAY_LEN(lists); i++) str_list_free(lists[i]);
    sysopts_free_drives(s);
    mem_free((void *)s->cfg.globals);
    for (unsigned i = 0; i < s->cfg.n_devices; i++) mem_free((void *)s->cfg.devices[i].props);
    mem_free((void *)s->cfg.devices);
    mem_free(s->debugcon);
    mem_free((void *)s->cfg.firmware_path);
    mem_free(s->machine_name);
    mem_free(s->cpu_name);
    mem_free(s->made_model);
    mem_free(s->process_name);
    mem_free(s->pidfile);
    mem_free(s->lockstep_text);
    lockstep_config_free(&s->lockstep);
}

/* ---- help, version ---------------------------------------------------------------------------- */

int opt_help(struct sysopts *s, const char *arg, struct error *e)
{
    print_options();
    return DONE;
}

int opt_version(struct sysopts *s, const char *arg, struct error *e)
{
    print_version();
    return DONE;
}

/* ---- board, CPU, accelerator, memory ------------------------------------------------------------ */

static bool board_fits(const struct board *b, const struct isa *isa)
{
    for (const char *const *p = b->isas; *p; p++) {
        if (!strcmp(*p, isa->name)) return true;
    }
    return false;
}

static int list_boards(struct sysopts *s)
{
    const struct board *def = board_default(s->isa);

    printf("Supported machines are:\n");
    for (unsigned i = 0; i < board_count; i++) {
        const struct board *b = board_list[i];
        if (!board_fits(b, s->isa)) continue;
        if (b->versions && b->versions[0])
            printf("%-20s %s (alias of %s)\n", b->name, b->help, b->versions[0]);
        else
            printf("%-20s %s%s\n", b->name, b->help, b == def ? " (default)" : "");
        for (const char *const *v = b->versions; v && *v; v++)
            printf("%-20s %s%s\n", *v, b->help, b == def && v == b->versions ? " (default)" : "");
    }
    return DONE;
}

/* One accelerator with its properties, in o. */
static int use_accel(struct sysopts *s, const char *name, const struct opts *o, struct error *e)
{
    struct engine_config cfg = s->cfg.engine;
    static const char *const later[] = { "kvm", "xen", "hax", "hvf", "whpx", "qtest", "nvmm" };

    for (unsigned i = 0; i < ARRAY_LEN(later); i++) {
        if (!strcmp(name, later[i])) return error_set(e, "accelerator '%s' is not supported yet", name);
    }
    if (accel_begin(&cfg, name, e)) return -1;
    for (unsigned i = 0; i < o->n; i++) {
        if (strcmp(o->v[i].name, "accel") && accel_set(&cfg, o->v[i].name, o->v[i].value, e)) return -1;
    }
#if !HOST_GNU
    cfg.portable_switch = true;
#endif
    s->cfg.engine = cfg;
    s->accel_given = true;
    return 0;
}

static const struct opt_desc accel_opts[] = {
    { "accel", OPT_STRING, NULL },      { "mode", OPT_STRING, NULL },    { "dispatch", OPT_STRING, NULL },  { "fp", OPT_STRING, NULL },
    { "backend", OPT_STRING, NULL },    { "thread", OPT_STRING, NULL },  { "tb-size", OPT_NUMBER, NULL },   { "threshold", OPT_NUMBER, NULL },
    { "threshold2", OPT_NUMBER, NULL }, { "regions", OPT_STRING, NULL }, { "sync", OPT_STRING, NULL },      { "perfmap", OPT_STRING, NULL },
    { "chaos", OPT_NUMBER, NULL },      { "gdb", OPT_STRING, NULL },
        { NULL, OPT_STRING, NULL },
};

static void put_help(void *opaque, const char *line)
{
    (void)opaque;
    puts(line);
}

/* A list of names with colons between, the first that works. */
static int use_accels(struct sysopts *s, const char *names, const struct opts *o, struct error *e)
{
    struct error first = ERROR_INIT;

    for (const char *p = names; *p;) {
        size_t n = strcspn(p, ":");
        char *name = mem_printf("%.*s", (int)n, p);
        struct error this = ERROR_INIT;
        int rc = use_accel(s, name, o, &this);

        if (!rc && first.set) error_info("%s; using %s", first.msg, name);
        mem_free(name);
        if (!rc) return 0;
        if (!first.set) first = this;
        p += n + (p[n] == ':');
    }
    if (!first.set) return error_set(e, "no accelerator given");
    error_set(e, "%s", first.msg);
    if (first.hint[0]) error_hint(e, "%s", first.hint);
    return -1;
}

int opt_accel(struct sysopts *s, const char *arg, struct error *e)
{
    struct opts o;
    int rc;

    if (opt_is_help(arg)) {
        accel_help(put_help, NULL);
        return DONE;
    }
    if (opts_parse(&o, arg, "accel", accel_opts, e)) return -1;
    rc = opts_get(&o, "accel") ? use_accels(s, opts_get(&o, "accel"), &o, e) : error_set(e, "no accelerator given");
    opts_free(&o);
    return rc;
}

int opt_machine(struct sysopts *s, const char *arg, struct error *e)
{
    static const char *const defaults_on[] = { "dump-guest-core", "mem-merge", "graphics" };
    static const char *const defaults_off[] = { "usb", "nvdimm", "suppress-vmdesc", "kernel_irqchip", "gfx_passthru",
                                                "igd-passthru", "enforce-config-section" };
    struct opts o;
    int rc = 0;

    if (opt_is_help(arg)) return list_boards(s);
    if (!*arg) {
        error_set(e, "no machine type given");
        return error_hint(e, "Use -machine help to list supported machines");
    }
    if (opts_parse(&o, arg, "type", NULL, e)) return -1;
    for (unsigned i = 0; i < o.n && !rc; i++) {
        const char *k = o.v[i].name, *v = o.v[i].value;
        bool known = false, on;

        if (!strcmp(k, "type")) {
            if (opt_is_help(v)) rc = list_boards(s);
            else replace(&s->machine_name, v);
        } else if (!strcmp(k, "accel")) {
            struct opts none = { NULL, 0 };
            rc = use_accels(s, v, &none, e);
        } else if (!strcmp(k, "kernel")) s->cfg.kernel = sysopts_keep(s, v);
        else if (!strcmp(k, "initrd")) s->cfg.initrd = sysopts_keep(s, v);
        else if (!strcmp(k, "append")) s->cfg.append = sysopts_keep(s, v);
        else if (!strcmp(k, "smm") && strcmp(v, "auto")) {
            rc = opt_parse_bool(k, v, &on, e);
            if (!rc) s->cfg.no_smm = !on;
        } else if (!strcmp(k, "smm")) s->cfg.no_smm = false;
        else if (!strcmp(k, "firmware")) s->cfg.bios = sysopts_keep(s, v);
        else {
            /* Properties that exist elsewhere are taken when they ask for what is so anyway. */
            for (unsigned j = 0; j < ARRAY_LEN(defaults_on); j++) {
                if (strcmp(k, defaults_on[j])) continue;
                known = true;
                rc = opt_parse_bool(k, v, &on, e);
                if (!rc && !on && strcmp(k, "graphics")) rc = error_set(e, "%s=off is not supported yet", k);
            }
            for (unsigned j = 0; j < ARRAY_LEN(defaults_off); j++) {
                if (strcmp(k, defaults_off[j])) continue;
                known = true;
                rc = opt_parse_bool(k, v, &on, e);
                if (!rc && on) rc = error_set(e, "%s=on is not supported yet", k);
            }
            if (!known) rc = error_set(e, "Property '%s' not found", k);
        }
    }
    opts_free(&o);
    return rc;
}

int opt_cpu(struct sysopts *s, const char *arg, struct error *e)
{
    if (opt_is_help(arg)) {
        isa_list_models(s->isa, put_help, NULL);
        return DONE;
    }
    replace(&s->cpu_name, arg);
    return 0;
}

/* What is not said follows from the rest: cores before sockets before threads, as of machine types since 6.2. */
int opt_smp(struct sysopts *s, const char *arg, struct error *e)
{
    enum { CPUS, SOCKETS, DIES, CLUSTERS, CORES, THREADS, MAXCPUS, COUNT };
    static const struct opt_desc desc[] = {
        { "cpus", OPT_NUMBER, NULL },  { "sockets", OPT_NUMBER, NULL }, { "dies", OPT_NUMBER, NULL },    { "clusters", OPT_NUMBER, NULL },
        { "cores", OPT_NUMBER, NULL }, { "threads", OPT_NUMBER, NULL }, { "maxcpus", OPT_NUMBER, NULL }, { NULL, OPT_STRING, NULL },
    };
    struct opts o;
    uint64_t v[COUNT];

    if (opts_parse(&o, arg, "cpus", desc, e)) return -1;
    for (unsigned i = 0; i < COUNT && !e->set; i++) {
        v[i] = opts_number(&o, desc[i].name, 0);
        if (opts_get(&o, desc[i].name) && !v[i]) {
            if (i == CPUS) error_set(e, "Invalid SMP CPUs 0");
            else error_set(e, "Invalid CPU topology: %s must be greater than zero", desc[i].name);
        } else if (v[i] > 65536) {
            error_set(e, "CPU topology out of range");
        }
    }
    opts_free(&o);
    if (e->set) return -1;
    if (v[CLUSTERS] > 1) return error_set(e, "clusters not supported by this machine's CPU topology");
    if (!v[DIES]) v[DIES] = 1;
    uint64_t max = v[MAXCPUS] ? v[MAXCPUS] : v[CPUS];
    if (max && !v[CORES]) {
        if (!v[SOCKETS]) v[SOCKETS] = 1;
        if (!v[THREADS]) v[THREADS] = 1;
        v[CORES] = max / (v[SOCKETS] * v[DIES] * v[THREADS]);
    } else if (max && !v[SOCKETS]) {
        if (!v[THREADS]) v[THREADS] = 1;
        v[SOCKETS] = max / (v[CORES] * v[DIES] * v[THREADS]);
    } else if (max && !v[THREADS]) {
        v[THREADS] = max / (v[SOCKETS] * v[DIES] * v[CORES]);
    }
    for (unsigned i = SOCKETS; i <= THREADS && !max; i++) v[i] = MAX(v[i], UINT64_C(1));
    uint64_t product = v[SOCKETS] * v[DIES] * v[CORES]; /* of numbers up to 2^16: no overflow */
    if (product <= 65536) product *= v[THREADS];
    if (!max) max = product;
    if (max > 65536) return error_set(e, "CPU topology out of range");
    if (!v[CPUS]) v[CPUS] = max;
    if (max < v[CPUS]) return error_set(e, "Invalid CPU topology: maxcpus must be equal to or greater than smp");
    if (product != max) {
        return error_set(e, "Invalid CPU topology: product of the hierarchy must match maxcpus: sockets (%llu) * dies (%llu) * cores (%llu) * threads (%llu) != maxcpus (%llu)",
                         (unsigned long long)v[SOCKETS], (unsigned long long)v[DIES], (unsigned long long)v[CORES], (unsigned long long)v[THREADS],
                         (unsigned long long)max);
    }
    s->cfg.n_cpus = (unsigned)v[CPUS], s->cfg.max_cpus = (unsigned)max;
    s->cfg.dies = (unsigned)v[DIES], s->cfg.cores = (unsigned)v[CORES], s->cfg.threads = (unsigned)v[THREADS];
    return 0;
}

int opt_m(struct sysopts *s, const char *arg, struct error *e)
{
    static const struct opt_desc desc[] = {
        { "size", OPT_STRING, NULL }, { "slots", OPT_NUMBER, NULL }, { "maxmem", OPT_STRING, NULL },
        { NULL, OPT_STRING, NULL },
    };
    struct opts o;
    uint64_t size = 0;
    int rc;

    if (opts_parse(&o, arg, "size", desc, e)) return -1;
    if (opts_get(&o, "slots") || opts_get(&o, "maxmem")) rc = error_set(e, "memory hotplug is not supported yet");
    else if (!opts_get(&o, "size")) rc = error_set(e, "missing 'size' option value");
    else rc = opt_parse_size("size", opts_get(&o, "size"), UINT64_C(1) << 20, &size, e);
    opts_free(&o);
    if (rc) return rc;
    if (size > UINT64_C(1) << 50) return error_set(e, "ram size too large");
    if (!size) return error_set(e, "a machine needs memory: 'size' is 0");
    /* Whole pages. */
    s->cfg.ram_size = ALIGN_UP(size, UINT64_C(8192));
    return 0;
}

int opt_device(struct sysopts *s, const char *arg, struct error *e)
{
    static const char *const kinds[] = { "number", "number", "number", "number", "size", "bool",
                                         "str", "chardev", "drive", "netdev", "mac" };
    const char *comma = strchr(arg, ',');
    const struct dev_desc *d;

    if (opt_is_help(arg)) {
        static const char *const cats[] = { "Misc", "Controller/Bridge", "Storage", "Network", "Input", "Display",
                                            "Sound", "Character", "Interrupt controller", "Timer", "USB" };
        for (unsigned c = 0; c < ARRAY_LEN(cats); c++) {
            bool any = false;
            for (unsigned i = 0; (d = dev_iterate(i)); i++) {
                if (d->category != c) continue;
                if (!any) printf("%s devices:\n", cats[c]);
                any = true;
                printf("name \"%s\"%s%s%s%s\n", d->name, d->help ? ", desc \"" : "", d->help ? d->help : "",
                       d->help ? "\"" : "", d->user_creatable ? "" : ", no-user");
            }
        }
        return DONE;
    }
    if (!strcmp(arg, "floppy") || !strncmp(arg, "floppy,", 7)) return opt_floppy_device(s, arg, e);
    if (comma && opt_is_help(comma + 1)) {
        char *name = mem_printf("%.*s", (int)(comma - arg), arg);
        d = dev_find(name);
        mem_free(name);
        if (!d) return error_set(e, "'%.*s' is not a valid device model name", (int)(comma - arg), arg);
        for (const struct prop_desc *p = d->props; p && p->name; p++) {
            printf("%s.%s=%s%s%s%s\n", d->name, p->name, p->kind < ARRAY_LEN(kinds) ? kinds[p->kind] : "?",
                   p->help ? " (" : "", p->help ? p->help : "", p->help ? ")" : "");
        }
        return DONE;
    }
    if (!strncmp(arg, "ide-hd", 6) || !strncmp(arg, "ide-cd", 6)) return opt_ide_device(s, arg, e);
    str_list_add(&s->devices, arg);
    return 0;
}

/* What -device said, for the board. */
static int parse_devices(struct sysopts *s, struct error *e)
{
    struct machine_device *all = NEW_ARRAY(struct machine_device, s->devices.n + 1);

    s->cfg.devices = all;
    for (unsigned i = 0; i < s->devices.n; i++) {
        struct machine_device *d = &all[i];
        struct machine_prop *props;
        struct opts o;

        if (opts_parse(&o, s->devices.v[i], "driver", NULL, e)) return -1;
        props = NEW_ARRAY(struct machine_prop, o.n + 1);
        d->props = props;
        s->cfg.n_devices = i + 1;
        for (unsigned k = 0; k < o.n; k++) {
            const char *name = sysopts_keep(s, o.v[k].name), *value = sysopts_keep(s, o.v[k].value);
            if (!strcmp(name, "driver")) d->driver = value;
            else if (!strcmp(name, "id")) d->id = value;
            else props[d->n_props++] = (struct machine_prop){ name, value };
        }
        opts_free(&o);
        if (!d->driver) return error_set(e, "Parameter 'driver' is missing");
    }
    return 0;
}

int opt_global(struct sysopts *s, const char *arg, struct error *e)
{
    static const struct opt_desc desc[] = {
        { "driver", OPT_STRING, NULL }, { "property", OPT_STRING, NULL }, { "value", OPT_STRING, NULL },
        { NULL, OPT_STRING, NULL },
    };
    const char *dot = strchr(arg, '.'), *eq = strchr(arg, '='), *driver = NULL, *prop = NULL, *value = NULL;
    struct opts o = { NULL, 0 };

    /* driver.prop=value, unless it is the long form */
    if (dot && eq && dot < eq && strncmp(arg, "driver=", 7)) {
        char *head = mem_printf("%.*s", (int)(dot - arg), arg);
        char *mid = mem_printf("%.*s", (int)(eq - dot - 1), dot + 1);
        driver = sysopts_keep(s, head), prop = sysopts_keep(s, mid), value = sysopts_keep(s, eq + 1);
        mem_free(head);
        mem_free(mid);
    } else {
        if (opts_parse(&o, arg, NULL, desc, e)) return -1;
        if (opts_get(&o, "driver")) driver = sysopts_keep(s, opts_get(&o, "driver"));
        if (opts_get(&o, "property")) prop = sysopts_keep(s, opts_get(&o, "property"));
        if (opts_get(&o, "value")) value = sysopts_keep(s, opts_get(&o, "value"));
        opts_free(&o);
    }
    if (!driver || !prop || !value || !*driver || !*prop) {
        error_set(e, "invalid global property");
        return error_hint(e, "Forms: DRIVER.PROP=VALUE, driver=DRIVER,property=PROP,value=VALUE");
    }
    {
        const struct dev_desc *d = dev_find(driver);
        const struct prop_desc *p = d ? d->props : NULL;
        struct machine_global *g;

        if (!d) return error_set(e, "there is no device '%s'", driver);
        while (p && p->name && strcmp(p->name, prop)) p++;
        if (!p || !p->name) return error_set(e, "device '%s' has no property '%s'", driver, prop);
        g = mem_realloc((void *)s->cfg.globals, (s->cfg.n_globals + 1) * sizeof *g);
        g[s->cfg.n_globals++] = (struct machine_global){ driver, prop, value };
        s->cfg.globals = g;
    }
    return 0;
}

int opt_name(struct sysopts *s, const char *arg, struct error *e)
{
    static const struct opt_desc desc[] = {
        { "guest", OPT_STRING, NULL }, { "process", OPT_STRING, NULL }, { "debug-threads", OPT_BOOL, NULL },
        { NULL, OPT_STRING, NULL },
    };
    struct opts o;

    if (opts_parse(&o, arg, "guest", desc, e)) return -1;
    if (opts_get(&o, "guest")) s->cfg.name = sysopts_keep(s, opts_get(&o, "guest"));
    if (opts_get(&o, "process")) replace(&s->process_name, opts_get(&o, "process"));
    opts_free(&o);
    return 0;
}

int opt_uuid(struct sysopts *s, const char *arg, struct error *e)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    bool good = strlen(arg) == sizeof form - 1;

    for (unsigned i = 0; good && form[i]; i++) {
        good = form[i] == '-' ? arg[i] == '-' : strchr("0123456789abcdefABCDEF", arg[i]) != NULL;
    }
    if (!good) return error_set(e, "failed to parse UUID string: wrong format");
    s->cfg.uuid = sysopts_keep(s, arg);
    return 0;
}

/* ---- display, network: what there is to say no to -------------------------------------------------- */

static int only_none(const char *arg, struct error *e)
{
    return strcmp(arg, "none") ? error_set(e, "not supported yet (only 'none' is)") : 0;
}

int opt_display(struct sysopts *s, const char *arg, struct error *e)
{
    if (opt_is_help(arg)) {
        printf("Available display backend types:\nnone\n");
        return DONE;
    }
    s->display_given = true;
    return only_none(arg, e);
}

int opt_nographic(struct sysopts *s, const char *arg, struct error *e) { return s->nographic = true, 0; }
int opt_vga(struct sysopts *s, const char *arg, struct error *e)
{
    if (strcmp(arg, "none") && strcmp(arg, "std")) return error_set(e, "'%s' is not supported yet (std and none are)", arg);
    s->cfg.no_vga = !strcmp(arg, "none");
    s->vga_wanted = !s->cfg.no_vga;
    return 0;
}
int opt_vnc(struct sysopts *s, const char *arg, struct error *e) { return s->display_given = true, only_none(arg, e); }
int opt_nic(struct sysopts *s, const char *arg, struct error *e) { return only_none(arg, e); }

/* ---- character devices -------------------------------------------------------------------------- */

static void put_backend(void *opaque, const char *name, const char *help) { printf("  %-10s %s\n", name, help); }

int opt_chardev(struct sysopts *s, const char *arg, struct error *e)
{
    if (opt_is_help(arg)) {
        printf("Available chardev backend types:\n");
        chr_list_backends(put_backend, NULL);
        return DONE;
    }
    str_list_add(&s->chardevs, arg);
    return 0;
}

int opt_serial(struct sysopts *s, const char *arg, struct error *e)
{
    if (s->serials.n == MACHINE_MAX_SERIAL) return error_set(e, "too many serial ports (at most %d)", MACHINE_MAX_SERIAL);
    str_list_add(&s->serials, arg);
    return 0;
}

int opt_parallel(struct sysopts *s, const char *arg, struct error *e)
{
    if (s->parallels.n == MACHINE_MAX_PARALLEL) return error_set(e, "too many parallel ports (at most %d)", MACHINE_MAX_PARALLEL);
    str_list_add(&s->parallels, arg);
    return 0;
}

int opt_debugcon(struct sysopts *s, const char *arg, struct error *e) { return replace(&s->debugcon, arg), 0; }

int opt_monitor(struct sysopts *s, const char *arg, struct error *e)
{
    str_list_add(&s->monitors, arg);
    return 0;
}

int opt_mon(struct sysopts *s, const char *arg, struct error *e)
{
    static const struct opt_desc desc[] = {
        { "chardev", OPT_STRING, NULL }, { "mode", OPT_STRING, NULL }, { "pretty", OPT_BOOL, NULL },
        { "id", OPT_STRING, NULL },      { NULL, OPT_STRING, NULL },
    };
    struct opts o;
    const char *mode, *chr;
    int rc = 0;

    if (opts_parse(&o, arg, "chardev", desc, e)) return -1;
    mode = opts_get(&o, "mode");
    chr = opts_get(&o, "chardev");
    if (mode && !strcmp(mode, "control")) rc = error_set(e, "mode=control is not supported yet");
    else if (mode && strcmp(mode, "readline")) rc = error_set(e, "unknown monitor mode \"%s\"", mode);
    else if (!chr) rc = error_set(e, "Parameter 'chardev' is missing");
    else str_list_add(&s->mons, chr);
    opts_free(&o);
    return rc;
}

int opt_echr(struct sysopts *s, const char *arg, struct error *e)
{
    uint64_t n;

    if (opt_parse_number("echr", arg, 255, &n, e)) return -1;
    s->echr = (uint8_t)n;
    return 0;
}

/* ---- firmware ------------------------------------------------------------------------------------ */

static const char *const default_firmware[] = { "/usr/local/share/quern", "/usr/share/quern", "/usr/share/qemu", NULL };

int opt_L(struct sysopts *s, const char *arg, struct error *e)
{
    if (opt_is_help(arg)) {
        for (unsigned i = 0; i < s->firmware.n; i++) printf("%s\n", s->firmware.v[i]);
        for (unsigned i = 0; default_firmware[i]; i++) printf("%s\n", default_firmware[i]);
        return DONE;
    }
    str_list_add(&s->firmware, arg);
    return 0;
}

/* ---- run control -------------------------------------------------------------------------------- */

int opt_S(struct sysopts *s, const char *arg, struct error *e) { return s->stopped = true, 0; }
int opt_no_reboot(struct sysopts *s, const char *arg, struct error *e) { return s->no_reboot = true, 0; }
int opt_no_shutdown(struct sysopts *s, const char *arg, struct error *e) { return s->no_shutdown = true, 0; }
int opt_singlestep(struct sysopts *s, const char *arg, struct error *e) { return s->cfg.engine.max_block = 1, 0; }

int opt_tb_size(struct sysopts *s, const char *arg, struct error *e)
{
    uint64_t n;
    if (opt_parse_number("tb-size", arg, SIZE_MAX >> 20, &n, e)) return -1;
    s->cfg.engine.cache_size = (size_t)n << 20;
    return 0;
}

int opt_icount(struct sysopts *s, const char *arg, struct error *e)
{
    static const struct opt_desc desc[] = {
        { "shift", OPT_STRING, NULL },   { "align", OPT_BOOL, NULL },  { "sleep", OPT_BOOL, NULL },
        { "rr", OPT_STRING, NULL },      { "rrfile", OPT_STRING, NULL }, { "rrsnapshot", OPT_STRING, NULL },
        { NULL, OPT_STRING, NULL },
    };
    struct opts o;
    const char *shift;
    uint64_t n = s->cfg.icount_shift;
    int rc = 0;

    if (opts_parse(&o, arg, "shift", desc, e)) return -1;
    shift = opts_get(&o, "shift");
    if (shift && !strcmp(shift, "auto")) rc = error_set(e, "shift=auto is not supported yet");
    else if (shift && opt_parse_number("shift", shift, 10, &n, e)) rc = -1;
    else if (opts_bool(&o, "align", false)) rc = error_set(e, "align=on is not supported yet");
    else if (opts_get(&o, "rr") || opts_get(&o, "rrfile") || opts_get(&o, "rrsnapshot")) {
        rc = error_set(e, "record and replay are not supported yet");
    } else {
        s->cfg.icount_shift = (unsigned)n;
        s->icount_given = true;
        s->cfg.icount_sleep = opts_bool(&o, "sleep", true);
    }
    opts_free(&o);
    return rc;
}

/* Days since 1970-01-01 of a proleptic Gregorian date: counts 400-year eras from March 1st. */
static int64_t days_of(int64_t y, int m, int d)
{
    int64_t era, yoe, doy;

    y -= m <= 2;
    era = (y >= 0 ? y : y - 399) / 400;
    yoe = y - era * 400;
    doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* The clock shows local time: the number of seconds whose UTC form is this local time. */
static int64_t local_as_utc(void)
{
    time_t now = time(NULL);
    struct tm tm;

    if (!localtime_r(&now, &tm)) return (int64_t)now;
    return days_of(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday) * 86400 + tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec;
}

static int set_date(struct sysopts *s, const char *date, struct error *e)
{
    static const int month_days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int y, mo, d, h = 0, mi = 0, sec = 0, n = 0;
    size_t len = strlen(date);
    bool full;

    if (!strcmp(date, "utc") || !strcmp(date, "now")) {
        s->cfg.rtc_start = (int64_t)time(NULL);
        return 0;
    }
    if (!strcmp(date, "localtime")) {
        s->cfg.rtc_start = local_as_utc();
        return 0;
    }
    full = sscanf(date, "%4d-%2d-%2dT%2d:%2d:%2d%n", &y, &mo, &d, &h, &mi, &sec, &n) == 6 && (size_t)n == len;
    if (!full) {
        h = mi = sec = n = 0;
        if (sscanf(date, "%4d-%2d-%2d%n", &y, &mo, &d, &n) != 3 || (size_t)n != len) n = 0;
    }
    if (!n || y < 1 || mo < 1 || mo > 12 || d < 1 || d > month_days[mo - 1] || h < 0 || h > 23 || mi < 0 || mi > 59 ||
        sec < 0 || sec > 60) {
        error_set(e, "invalid date format");
        return error_hint(e, "valid formats: '2006-06-17T16:01:21' or '2006-06-17'");
    }
    s->cfg.rtc_start = days_of(y, mo, d) * 86400 + h * 3600 + mi * 60 + sec;
    return 0;
}

int opt_rtc(struct sysopts *s, const char *arg, struct error *e)
{
    static const struct opt_desc desc[] = {
        { "base", OPT_STRING, NULL }, { "clock", OPT_STRING, NULL }, { "driftfix", OPT_STRING, NULL },
        { NULL, OPT_STRING, NULL },
    };
    struct opts o;
    const char *base, *clock, *drift;
    int rc = 0;

    if (opts_parse(&o, arg, "base", desc, e)) return -1;
    base = opts_get(&o, "base"), clock = opts_get(&o, "clock"), drift = opts_get(&o, "driftfix");
    if (clock && (!strcmp(clock, "host") || !strcmp(clock, "rt"))) {
        rc = error_set(e, "clock=%s is not supported yet: the clock runs on guest time (clock=vm)", clock);
    } else if (clock && strcmp(clock, "vm")) {
        rc = error_set(e, "invalid option value '%s'", clock);
    } else if (drift && !strcmp(drift, "slew")) {
        rc = error_set(e, "driftfix=slew is not supported yet");
    } else if (drift && strcmp(drift, "none")) {
        rc = error_set(e, "invalid option value '%s'", drift);
    } else if (base) {
        rc = set_date(s, base, e);
    }
    opts_free(&o);
    return rc;
}

int opt_localtime(struct sysopts *s, const char *arg, struct error *e)
{
    error_warn("-localtime is deprecated, use -rtc base=localtime");
    return set_date(s, "localtime", e);
}

int opt_startdate(struct sysopts *s, const char *arg, struct error *e)
{
    error_warn("-startdate is deprecated, use -rtc base=DATE");
    return set_date(s, arg, e);
}

int opt_seed(struct sysopts *s, const char *arg, struct error *e)
{
    uint64_t n;
    if (opt_parse_number("seed", arg, UINT64_MAX, &n, e)) return -1;
    memset(s->cfg.seed, 0, sizeof s->cfg.seed);
    st64_le(s->cfg.seed, n);
    s->seeded = true;
    return 0;
}

/* ---- process, debugging --------------------------------------------------------------------------- */

int opt_pidfile(struct sysopts *s, const char *arg, struct error *e) { return replace(&s->pidfile, arg), 0; }
int opt_daemonize(struct sysopts *s, const char *arg, struct error *e) { return s->daemonize = true, 0; }
int opt_nodefaults(struct sysopts *s, const char *arg, struct error *e) { return s->cfg.no_defaults = true, 0; }

int opt_gdb(struct sysopts *s, const char *arg, struct error *e)
{
    if (s->gdbs.n) return error_set(e, "only one debugger connection can be given");
    str_list_add(&s->gdbs, arg);
    return 0;
}

int opt_s(struct sysopts *s, const char *arg, struct error *e) { return opt_gdb(s, "tcp::1234", e); }

int opt_d(struct sysopts *s, const char *arg, struct error *e)
{
    if (opt_is_help(arg)) {
        printf("Log items (comma separated):\n");
        for (unsigned i = 0; i < LOG_BIT_COUNT; i++) printf("%-15s %s\n", log_items[i].name, log_items[i].help);
        return DONE;
    }
    return log_parse_items(arg, &s->log_items, e);
}

int opt_D(struct sysopts *s, const char *arg, struct error *e) { return log_set_file(arg, e); }
int opt_dfilter(struct sysopts *s, const char *arg, struct error *e) { return log_set_filter(arg, e); }

int opt_lockstep(struct sysopts *s, const char *arg, struct error *e) { return replace(&s->lockstep_text, arg), 0; }

/* ---- what the options mean together --------------------------------------------------------------- */

int sysopts_resolve(struct sysopts *s, struct error *e)
{
    struct machine_config *c = &s->cfg;
    unsigned n = 0;

    if (s->machine_name && !strcmp(s->machine_name, "none")) return error_set(e, "machine 'none' is not supported yet");
    c->board = s->machine_name ? board_find(s->machine_name, s->isa) : board_default(s->isa);
    if (!c->board) {
        if (s->machine_name) error_set(e, "unsupported machine type '%s'", s->machine_name);
        else error_set(e, "no machine specified, and there is no default");
        return error_hint(e, "Use -machine help to list supported machines");
    }
    if (s->cpu_name) {
        c->cpu = isa_choose_model(s->isa, s->cpu_name, &s->made_model, e);
        if (!c->cpu) return -1;
    }
    if (MAX(c->n_cpus, c->max_cpus) > c->board->max_cpus) {
        return error_set(e, "Invalid SMP CPUs %u. The max CPUs supported by machine '%s' is %u", MAX(c->n_cpus, c->max_cpus),
                         c->board->name, c->board->max_cpus);
    }
    if (c->board->max_ram && c->ram_size > c->board->max_ram) {
        return error_set(e, "Too much memory for machine '%s': %llu MB, maximum %llu MB", c->board->name,
                         (unsigned long long)(c->ram_size >> 20), (unsigned long long)(c->board->max_ram >> 20));
    }
    if (!s->accel_given) accel_default(&c->engine);
    if (!s->accel_given && getenv("QUERN_ACCEL") && opt_accel(s, getenv("QUERN_ACCEL"), e) < 0) {
        error_hint(e, "it came from the environment's QUERN_ACCEL");
        return -1;
    }
    if (c->engine.threads && s->icount_given)
        return error_set(e, "-icount and thread=multi exclude each other: CPUs that run at the same time have no common count of instructions");
    if (c->engine.threads && s->lockstep_text) return error_set(e, "-lockstep and thread=multi exclude each other: no two such runs are equal");
    if (s->lockstep_text) {
        if (s->monitors.n || s->mons.n || s->gdbs.n) return error_set(e, "-lockstep: neither a monitor nor a debugger can steer two machines");
        for (unsigned i = 0; i < s->serials.n; i++) {
            if (!strncmp(s->serials.v[i], "mon:", 4)) return error_set(e, "-lockstep: there is no monitor for -serial %s", s->serials.v[i]);
        }
        if (s->stopped) return error_set(e, "-lockstep: -S needs somebody to start the machine");
        if (lockstep_parse(&s->lockstep, s->lockstep_text, &c->engine, e)) return -1;
    }
    for (unsigned i = c->board->n_serial; i < s->serials.n; i++) {
        if (strcmp(s->serials.v[i], "none")) {
            return error_set(e, "machine '%s' has %u serial ports, -serial was given %u times", c->board->name,
                             c->board->n_serial, s->serials.n);
        }
    }
    for (unsigned i = c->board->n_parallel; i < s->parallels.n; i++) {
        if (strcmp(s->parallels.v[i], "none") && strcmp(s->parallels.v[i], "null"))
            return error_set(e, "machine '%s' has %u parallel ports for -parallel", c->board->name, c->board->n_parallel);
    }
    if (s->vga_wanted && !c->board->has_pc_parts) return error_set(e, "machine '%s': a display adapter is not supported yet", c->board->name);
    if (s->debugcon && !c->board->has_pc_parts) return error_set(e, "machine '%s' has no place for -debugcon", c->board->name);
    if (s->devices.n && !c->board->takes_devices) return error_set(e, "machine '%s' takes no further devices yet", c->board->name);
    for (unsigned i = 0; i < c->n_drives; i++) {
        if (s->drives[i].interface == DRIVE_VIRTIO && !c->board->takes_devices)
            return error_set(e, "machine type does not support if=virtio");
        if (s->drives[i].interface == DRIVE_FLOPPY && s->drives[i].index >= (int)c->board->n_floppies)
            return error_set(e, "machine type does not support if=floppy,bus=0,unit=%d", s->drives[i].index);
    }
    if (sysopts_resolve_boot(s, e) || parse_devices(s, e)) return -1;
    if (!c->kernel && (c->append || c->initrd)) {
        return error_set(e, "%s only allowed with -kernel option", c->append ? "-append" : "-initrd");
    }
    {
        const char **path = NEW_ARRAY(const char *, s->firmware.n + ARRAY_LEN(default_firmware));
        for (unsigned i = 0; i < s->firmware.n; i++) path[n++] = s->firmware.v[i];
        for (unsigned i = 0; default_firmware[i]; i++) path[n++] = default_firmware[i];
        c->firmware_path = path;
    }
    c->drives = s->drives;
    return 0;
}
