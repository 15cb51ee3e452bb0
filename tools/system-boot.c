/*
 * system-boot.c - options of the system emulator about what is booted and what firmware is told: they fill struct sysopts.
 * What the texts of -option-rom, -fw_cfg, -acpitable and -smbios mean is the board's business.
 */
#include "tools/system-opts.h"

/* ---- boot --------------------------------------------------------------------------------------- */

int opt_kernel(struct sysopts *s, const char *arg, struct error *e) { return s->cfg.kernel = sysopts_keep(s, arg), 0; }
int opt_append(struct sysopts *s, const char *arg, struct error *e) { return s->cfg.append = sysopts_keep(s, arg), 0; }
int opt_initrd(struct sysopts *s, const char *arg, struct error *e) { return s->cfg.initrd = sysopts_keep(s, arg), 0; }
int opt_bios(struct sysopts *s, const char *arg, struct error *e) { return s->cfg.bios = sysopts_keep(s, arg), 0; }

int opt_no_acpi(struct sysopts *s, const char *arg, struct error *e) { return s->cfg.no_acpi = true, 0; }
int opt_no_hpet(struct sysopts *s, const char *arg, struct error *e) { return s->cfg.no_hpet = true, 0; }
int opt_no_fd_bootchk(struct sysopts *s, const char *arg, struct error *e) { return s->cfg.no_fd_bootchk = true, 0; }

/* As firmware's order of drives: letters a to p, each once. */
static int check_drives(const char *letters, struct error *e)
{
    for (const char *p = letters; p && *p; p++) {
        if (*p < 'a' || *p > 'p') return error_set(e, "Invalid boot device '%c'", *p);
        if (memchr(letters, *p, (size_t)(p - letters))) return error_set(e, "Boot device '%c' was given twice", *p);
    }
    return 0;
}

static int set_times(struct sysopts *s, const struct opts *o, struct error *e)
{
    const char *splash = opts_get(o, "splash-time"), *reboot = opts_get(o, "reboot-timeout");
    struct error ignored = ERROR_INIT;
    uint64_t n = 0;

    if (splash) {
        if (opt_parse_number("splash-time", splash, 65535, &n, &ignored))
            return error_set(e, "splash-time is invalid, it should be a value between 0 and 65535");
        s->cfg.splash_time = (uint16_t)n;
        s->cfg.splash_time_set = true;
    }
    if (!reboot) return 0;
    if (!strcmp(reboot, "-1")) s->cfg.reboot_timeout = -1;
    else if (opt_parse_number("reboot-timeout", reboot, 65535, &n, &ignored))
        return error_set(e, "reboot timeout is invalid, it should be a value between -1 and 65535");
    else s->cfg.reboot_timeout = (int32_t)n;
    s->cfg.reboot_timeout_set = true;
    return 0;
}

int opt_boot(struct sysopts *s, const char *arg, struct error *e)
{
    static const struct opt_desc desc[] = {
        { "order", OPT_STRING, NULL }, { "once", OPT_STRING, NULL },   { "menu", OPT_BOOL, NULL },
        { "splash", OPT_STRING, NULL }, { "splash-time", OPT_STRING, NULL }, { "reboot-timeout", OPT_STRING, NULL },
        { "strict", OPT_BOOL, NULL },  { NULL, OPT_STRING, NULL },
    };
    struct machine_config *c = &s->cfg;
    struct opts o;
    int rc;

    if (opts_parse(&o, arg, "order", desc, e)) return -1;
    rc = check_drives(opts_get(&o, "order"), e) || check_drives(opts_get(&o, "once"), e) || set_times(s, &o, e) ? -1 : 0;
    if (opts_get(&o, "order")) c->boot_order = sysopts_keep(s, opts_get(&o, "order"));
    if (opts_get(&o, "once")) c->boot_once = sysopts_keep(s, opts_get(&o, "once"));
    if (opts_get(&o, "splash")) c->boot_splash = sysopts_keep(s, opts_get(&o, "splash"));
    c->boot_menu = opts_bool(&o, "menu", c->boot_menu);
    c->boot_strict = opts_bool(&o, "strict", c->boot_strict);
    s->boot_given = true;
    opts_free(&o);
    return rc;
}

int opt_option_rom(struct sysopts *s, const char *arg, struct error *e) { return str_list_add(&s->option_roms, arg), 0; }
int opt_fw_cfg(struct sysopts *s, const char *arg, struct error *e) { return str_list_add(&s->fw_cfgs, arg), 0; }
int opt_acpitable(struct sysopts *s, const char *arg, struct error *e) { return str_list_add(&s->acpi_tables, arg), 0; }
int opt_smbios(struct sysopts *s, const char *arg, struct error *e) { return str_list_add(&s->smbios, arg), 0; }

/* With a NULL behind the last. */
static const char *const *texts(struct str_list *l)
{
    if (!l->n) return NULL;
    l->v = mem_realloc(l->v, (l->n + 1) * sizeof *l->v);
    l->v[l->n] = NULL;
    return (const char *const *)l->v;
}

int sysopts_resolve_boot(struct sysopts *s, struct error *e)
{
    struct machine_config *c = &s->cfg;

    if (s->boot_given && !c->board->has_boot_order)
        error_warn("machine '%s' has no boot order: -boot has no effect", c->board->name);
    if (!c->board->has_fw_cfg && (s->option_roms.n || s->fw_cfgs.n)) {
        return error_set(e, "machine '%s' has no firmware configuration interface for %s", c->board->name,
                         s->option_roms.n ? "-option-rom" : "-fw_cfg");
    }
    c->option_roms = texts(&s->option_roms);
    c->fw_cfg = texts(&s->fw_cfgs);
    c->acpi_tables = texts(&s->acpi_tables);
    c->smbios = texts(&s->smbios);
    return 0;
}
