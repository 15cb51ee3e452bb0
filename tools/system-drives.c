/*
 * system-drives.c - the options about disk images: -drive and its short forms, -blockdev, -object, -device for IDE
 * drives; and opening what they said. What the keys of nodes mean is the block layer's (blockfmt/block.h).
 */
#include "tools/system-opts.h"

#include "blockfmt/throttle.h"
#include "tools/shared.h"

#include <stdio.h>

#define DONE 1

/* ---- throttling ----------------------------------------------------------------------------------- */

/* The short names of limits; "throttling.X" is X. */
static const struct { const char *key, *limit; } short_limits[] = {
    { "bps", "bps-total" },   { "bps_rd", "bps-read" },   { "bps_wr", "bps-write" },
    { "iops", "iops-total" }, { "iops_rd", "iops-read" }, { "iops_wr", "iops-write" },
    { "iops_size", "iops-size" },
};

/* The name of a limit for a key of -drive ("bps_rd_max", "throttling.bps-read-max"), or NULL; caller frees. */
static char *limit_of(const char *key)
{
    if (!strncmp(key, "throttling.", 11)) return mem_strdup(strcmp(key, "throttling.group") ? key + 11 : "group");
    if (!strcmp(key, "group")) return mem_strdup(key);
    for (unsigned i = 0; i < ARRAY_LEN(short_limits); i++) {
        size_t n = strlen(short_limits[i].key);
        if (strncmp(key, short_limits[i].key, n)) continue;
        if (!key[n]) return mem_strdup(short_limits[i].limit);
        if (!strcmp(key + n, "_max")) return mem_printf("%s-max", short_limits[i].limit);
        if (!strcmp(key + n, "_max_length")) return mem_printf("%s-max-length", short_limits[i].limit);
    }
    return NULL;
}

/* ---- one drive ------------------------------------------------------------------------------------ */

static bool index_taken(const struct sysopts *s, enum drive_if interface, int index)
{
    for (unsigned i = 0; i < s->cfg.n_drives; i++) {
        if (s->drives[i].interface == interface && s->drives[i].index == index) return true;
    }
    return false;
}

static int parse_bool(const struct opts *o, const char *key, bool def, bool *out, struct error *e)
{
    const char *v = opts_get(o, key);
    *out = def;
    return v ? opt_parse_bool(key, v, out, e) : 0;
}

/* Keys with a meaning of their own, into f and the flags. */
static int drive_flags(struct drive_file *f, const struct opts *o, struct error *e)
{
    unsigned *flags = &f->flags;
    const char *v;
    bool on;

    if ((v = opts_get(o, "cache")) && blk_parse_cache(v, flags)) return error_set(e, "invalid cache option '%s'", v);
    if ((v = opts_get(o, "discard")) && blk_parse_discard(v, flags)) return error_set(e, "invalid discard option '%s'", v);
    if ((v = opts_get(o, "detect-zeroes")) && blk_parse_detect_zeroes(v, flags, e)) return -1;
    if ((v = opts_get(o, "aio"))) {
        if (blk_parse_aio(v, flags)) return error_set(e, "invalid aio option");
        if (!strcmp(v, "native") && !(*flags & BLK_DIRECT))
            return error_set(e, "aio=native was specified, but it requires cache.direct=on, which was not specified.");
    }
    if (parse_bool(o, "copy-on-read", false, &on, e) || parse_bool(o, "snapshot", false, &f->snapshot, e)) return -1;
    if (on) *flags |= BLK_COPY_ON_READ;
    f->on_write_error = BLK_ON_ERROR_ENOSPC;
    if ((v = opts_get(o, "werror")) && blk_parse_on_error(v, false, &f->on_write_error))
        return error_set(e, "'%s' invalid write error action", v);
    if ((v = opts_get(o, "rerror")) && blk_parse_on_error(v, true, &f->on_read_error))
        return error_set(e, "'%s' invalid read error action", v);
    return 0;
}

/* All other keys: limits, or options of the node. */
static int node_options(struct drive_file *f, const struct opts *o, struct error *e)
{
    static const char *const own[] = { "file", "if", "bus", "unit", "index", "media", "format", "readonly", "read-only", "snapshot", "id",
                                       "cache", "aio", "werror", "rerror", "discard", "detect-zeroes", "copy-on-read", "driver" };
    static const char *const gone[] = { "cyls", "heads", "secs", "trans", "serial", "addr" };

    for (unsigned i = 0; i < o->n; i++) {
        const char *key = o->v[i].name;
        bool known = false;
        char *limit;
        for (unsigned k = 0; k < ARRAY_LEN(own); k++) known |= !strcmp(own[k], key);
        if (known) continue;
        for (unsigned k = 0; k < ARRAY_LEN(gone); k++) {
            if (!strcmp(gone[k], key))
                return error_set(e, "'%s' is a property of the device, not of the drive", key);
        }
        limit = limit_of(key);
        opts_set(limit ? &f->throttling : &f->options, limit ? limit : key, o->v[i].value);
        mem_free(limit);
    }
    return 0;
}

/* The next drive, with place and name. index -1: the next free one. */
static struct drive_file *place_drive(struct sysopts *s, enum drive_if interface, int index, bool cdrom, const char *id,
                                      struct error *e)
{
    static const char *const names[] = { "ide", "pflash", "mtd", "sd", "floppy", "none", "virtio" };
    struct drive_config *d = &s->drives[s->cfg.n_drives];
    int units = (int)s->ide_units, places = (int)(s->ide_buses * s->ide_units);

    if (s->cfg.n_drives == MACHINE_MAX_DRIVES) return error_set(e, "too many drives (at most %d)", MACHINE_MAX_DRIVES), NULL;
    if (index >= 0 && index_taken(s, interface, index) && interface != DRIVE_NONE) {
        error_set(e, "drive with bus=%d, unit=%d (index=%d) exists", interface == DRIVE_IDE ? index / units : 0,
                  interface == DRIVE_IDE ? index % units : index, index);
        return NULL;
    }
    if (index < 0) {
        for (index = 0; interface != DRIVE_NONE && index_taken(s, interface, index);) index++;
    }
    if ((interface == DRIVE_FLOPPY && index > 1) || (interface == DRIVE_IDE && index >= places) || (interface == DRIVE_PFLASH && index > 7))
        return error_set(e, "index %d is too large for if=%s", index, names[interface]), NULL;
    for (unsigned i = 0; id && i < s->cfg.n_drives; i++) {
        if (!strcmp(s->drives[i].id, id)) return error_set(e, "Duplicate ID '%s' for drive", id), NULL;
    }
    if (id) d->id = mem_strdup(id);
    else if (interface == DRIVE_IDE) d->id = mem_printf("ide%d-%s%d", index / units, cdrom ? "cd" : "hd", index % units);
    else d->id = mem_printf("%s%d", names[interface], interface == DRIVE_NONE ? (int)s->cfg.n_drives : index);
    d->interface = interface;
    d->index = index;
    d->cdrom = cdrom;
    d->readonly = cdrom;
    d->blk = NULL;
    return &s->drive_files[s->cfg.n_drives++];
}

/* Takes nothing over. */
static int add_drive(struct sysopts *s, enum drive_if interface, int index, bool cdrom, const char *file,
                     const struct opts *o, struct error *e)
{
    const char *format = opts_get(o, "format") ? opts_get(o, "format") : opts_get(o, "driver");
    struct drive_file *f = place_drive(s, interface, index, cdrom, opts_get(o, "id"), e);
    bool readonly;

    if (!f || drive_flags(f, o, e) || node_options(f, o, e)) return -1;
    if (opts_get(o, "format") && opts_get(o, "driver")) return error_set(e, "Cannot specify both 'driver' and 'format'");
    if (format && !blk_driver_known(format)) return error_set(e, "Unknown driver '%s'", format);
    if (parse_bool(o, opts_get(o, "readonly") ? "readonly" : "read-only", false, &readonly, e)) return -1;
    s->drives[s->cfg.n_drives - 1].readonly |= readonly;
    if (readonly && (f->flags & BLK_COPY_ON_READ))
        error_warn("disabling copy-on-read on read-only drive");
    f->path = file && *file ? mem_strdup(file) : NULL;
    f->format = format ? mem_strdup(format) : NULL;
    if (!f->path && !f->options.n && !f->format && !cdrom && interface != DRIVE_FLOPPY) return error_set(e, "Device needs media, but drive is empty");
    return 0;
}

static int short_drive(struct sysopts *s, enum drive_if interface, int index, bool cdrom, const char *file,
                       struct error *e)
{
    struct opts none = { NULL, 0 };
    return add_drive(s, interface, index, cdrom, file, &none, e);
}

int opt_fda(struct sysopts *s, const char *arg, struct error *e) { return short_drive(s, DRIVE_FLOPPY, 0, false, arg, e); }
int opt_fdb(struct sysopts *s, const char *arg, struct error *e) { return short_drive(s, DRIVE_FLOPPY, 1, false, arg, e); }
int opt_hda(struct sysopts *s, const char *arg, struct error *e) { return short_drive(s, DRIVE_IDE, 0, false, arg, e); }
int opt_hdb(struct sysopts *s, const char *arg, struct error *e) { return short_drive(s, DRIVE_IDE, 1, false, arg, e); }
int opt_hdc(struct sysopts *s, const char *arg, struct error *e) { return short_drive(s, DRIVE_IDE, 2, false, arg, e); }
int opt_hdd(struct sysopts *s, const char *arg, struct error *e) { return short_drive(s, DRIVE_IDE, 3, false, arg, e); }
int opt_cdrom(struct sysopts *s, const char *arg, struct error *e) { return short_drive(s, DRIVE_IDE, 2, true, arg, e); }
int opt_pflash(struct sysopts *s, const char *arg, struct error *e) { return short_drive(s, DRIVE_PFLASH, -1, false, arg, e); }
int opt_snapshot(struct sysopts *s, const char *arg, struct error *e) { return s->snapshot_all = true, 0; }

static int print_formats(void)
{
    enum blk_kind kind;
    const char *name;
    bool create;

    printf("Supported formats:");
    for (unsigned i = 0; blk_driver_name(i, &name, &kind, &create); i++) printf(" %s", name);
    printf("\n");
    return DONE;
}

static int drive_number(const struct opts *o, const char *key, uint64_t *out, struct error *e)
{
    const char *v = opts_get(o, key);
    *out = 0;
    return v ? opt_parse_number(key, v, 1000000, out, e) : 0;
}

static int drive_place(const struct sysopts *s, const struct opts *o, int *interface, int *index, bool *cdrom, struct error *e)
{
    static const struct { const char *name; int interface; } ifs[] = {
        { "ide", DRIVE_IDE }, { "pflash", DRIVE_PFLASH }, { "none", DRIVE_NONE },
        { "virtio", DRIVE_VIRTIO }, { "floppy", DRIVE_FLOPPY },
        { "scsi", -1 }, { "sd", -1 }, { "mtd", -1 }, { "xen", -1 },
    };
    const char *v = opts_get(o, "if"), *media = opts_get(o, "media");
    uint64_t bus, unit, at;
    unsigned i = 0;

    *interface = DRIVE_IDE, *index = -1;
    while (v && i < ARRAY_LEN(ifs) && strcmp(ifs[i].name, v)) i++;
    if (i == ARRAY_LEN(ifs)) return error_set(e, "unsupported bus type '%s'", v);
    if (v && ifs[i].interface < 0) return error_set(e, "machine type does not support if=%s", v);
    if (v) *interface = ifs[i].interface;
    if (media && strcmp(media, "disk") && strcmp(media, "cdrom")) return error_set(e, "'%s' invalid media", media);
    *cdrom = media && !strcmp(media, "cdrom");
    if (drive_number(o, "bus", &bus, e) || drive_number(o, "unit", &unit, e) || drive_number(o, "index", &at, e)) return -1;
    if (opts_get(o, "index")) {
        if (opts_get(o, "bus") || opts_get(o, "unit")) return error_set(e, "index cannot be used with bus and unit");
        *index = (int)MIN(at, 1000);
    } else if (opts_get(o, "bus") || opts_get(o, "unit")) {
        if (*interface == DRIVE_IDE && unit >= s->ide_units)
            return error_set(e, "unit %llu too big (max is %u)", (unsigned long long)unit, s->ide_units - 1);
        *index = (int)MIN(*interface == DRIVE_IDE ? MIN(bus, 500) * s->ide_units + unit : unit, 1000);
    }
    return 0;
}

int opt_drive(struct sysopts *s, const char *arg, struct error *e)
{
    struct opts o;
    int interface, index, rc;
    const char *v;
    bool cdrom = false;

    if (opts_parse(&o, arg, NULL, NULL, e)) return -1;
    if ((v = opts_get(&o, "format")) && opt_is_help(v)) {
        rc = print_formats();
    } else {
        rc = drive_place(s, &o, &interface, &index, &cdrom, e);
        if (!rc) rc = add_drive(s, (enum drive_if)interface, index, cdrom, opts_get(&o, "file"), &o, e);
    }
    opts_free(&o);
    return rc;
}

int opt_blockdev(struct sysopts *s, const char *arg, struct error *e) { return str_list_add(&s->blockdevs, arg), 0; }

int opt_object(struct sysopts *s, const char *arg, struct error *e)
{
    if (opt_is_help(arg)) return printf("List of user creatable objects:\n  secret\n  throttle-group\n  tls-creds-anon\n  tls-creds-psk\n  tls-creds-x509\n"), DONE;
    if (!s->blocks) s->blocks = blk_graph_new();
    return img_object_add(s->blocks, arg, e);
}

/* What -device said of a drive that has its place. */
static void given_by_device(struct sysopts *s, struct drive_file *f, const struct opts *o)
{
    struct drive_config *d = &s->drives[f - s->drive_files];

    f->on_write_error = BLK_ON_ERROR_ENOSPC;
    if (opts_get(o, "bootindex")) d->bootindex = sysopts_keep(s, opts_get(o, "bootindex"));
    if (!opts_get(o, "drive")) return;
    f->node = mem_strdup(opts_get(o, "drive"));
    d->source = f->node;
}

/* -device ide-hd,drive=NAME[,bus=ide.N][,unit=N][,id=ID]: a place for a node or an if=none drive. A bus that is not the
 * board's is that of a controller made by -device. */
int opt_ide_device(struct sysopts *s, const char *arg, struct error *e)
{
    static const struct opt_desc keys[] = {
        { "driver", OPT_STRING, NULL }, { "drive", OPT_STRING, NULL }, { "bus", OPT_STRING, NULL },
        { "unit", OPT_NUMBER, NULL },   { "id", OPT_STRING, NULL },    { "bootindex", OPT_STRING, NULL },
        { NULL, OPT_STRING, NULL },
    };
    struct drive_file *f = NULL;
    struct opts o;
    const char *bus, *name;
    int index = -1, rc = -1;

    if (opts_parse(&o, arg, "driver", keys, e)) return -1;
    name = opts_get(&o, "driver"), bus = opts_get(&o, "bus");
    bool cdrom = !strcmp(name, "ide-cd");
    uint64_t unit = opts_number(&o, "unit", 0);
    if (!cdrom && strcmp(name, "ide-hd")) {
        error_set(e, "'%s' is not a valid device model name", name);
    } else if (!cdrom && !opts_get(&o, "drive")) {
        error_set(e, "drive property not set");
    } else if (bus && strncmp(bus, "ide.", 4)) {
        str_list_add(&s->devices, arg);
        opts_free(&o);
        return 0;
    } else if (bus && (bus[4] < '0' || (unsigned)(bus[4] - '0') >= s->ide_buses || bus[5])) {
        error_set(e, "Bus '%s' not found", bus);
    } else if (unit >= s->ide_units) {
        error_set(e, "Can't create IDE unit %llu, bus supports only %u units", (unsigned long long)unit, s->ide_units);
    } else {
        if (bus || opts_get(&o, "unit")) index = (bus ? (bus[4] - '0') * (int)s->ide_units : 0) + (int)unit;
        if (bus && s->ide_units > 1 && !opts_get(&o, "unit") && index_taken(s, DRIVE_IDE, index)) index++;
        f = place_drive(s, DRIVE_IDE, index, cdrom, opts_get(&o, "id"), e);
        if (f) rc = 0;
    }
    if (!rc) given_by_device(s, f, &o);
    opts_free(&o);
    return rc;
}

/* -device floppy,drive=NAME[,unit=N][,id=ID]: the same of the board's floppy controller. */
int opt_floppy_device(struct sysopts *s, const char *arg, struct error *e)
{
    static const struct opt_desc keys[] = {
        { "driver", OPT_STRING, NULL }, { "drive", OPT_STRING, NULL }, { "unit", OPT_NUMBER, NULL }, { "id", OPT_STRING, NULL },
        { "bootindex", OPT_STRING, NULL }, { NULL, OPT_STRING, NULL },
    };
    struct drive_file *f = NULL;
    struct opts o;

    if (!strncmp(arg, "floppy,", 7) && opt_is_help(arg + 7)) {
        printf("floppy.drive=drive (the disk's image)\nfloppy.unit=uint32 (0 or 1; default: the first free)\n"
               "floppy.bootindex=uint32 (place in the boot order)\n");
        return DONE;
    }
    if (opts_parse(&o, arg, "driver", keys, e)) return -1;
    uint64_t unit = opts_number(&o, "unit", UINT64_MAX);
    f = place_drive(s, DRIVE_FLOPPY, unit == UINT64_MAX ? -1 : (int)MIN(unit, 1000u), false, opts_get(&o, "id"), e);
    if (f) given_by_device(s, f, &o);
    opts_free(&o);
    return f ? 0 : -1;
}

/* ---- opening -------------------------------------------------------------------------------------- */

static int open_blockdev(struct sysopts *s, const char *arg, struct error *e)
{
    struct opts o = { NULL, 0 };
    int rc;

    if (*arg == '{') {
        char *name = mem_printf("json:%s", arg);
        rc = blk_parse_filename(name, &o, e);
        mem_free(name);
    } else {
        rc = opts_parse(&o, arg, "driver", NULL, e);
    }
    if (!rc && !opts_get(&o, "driver")) rc = error_set(e, "Parameter 'driver' is missing");
    if (!rc) rc = blk_node_add(s->blocks, &o, 0, e) ? 0 : -1;
    opts_free(&o);
    return rc;
}

/* The limits of a drive as a group; *name: how it is called. */
static int throttle_drive(struct blk_graph *g, const struct drive_config *d, const struct drive_file *f, const char **name,
                          struct error *e)
{
    static const char *const ignore[] = { "group", NULL };
    const char *group = opts_get(&f->throttling, "group");
    struct throttle_group *t;

    *name = group ? group : d->id;
    if (blk_object_find(g, "throttle-group", *name)) {
        if (f->throttling.n == (group ? 1u : 0u)) return 0;
        return error_set(e, "throttle group '%s' has limits already", *name);
    }
    t = throttle_group_new(&f->throttling, ignore, e);
    if (!t) return -1;
    if (!blk_object_add(g, "throttle-group", *name, t, throttle_group_delete, e)) return 0;
    throttle_group_delete(t);
    return -1;
}

/* Options of the drive's own node, below a throttle filter. */
static struct blk_backend *open_throttled(struct blk_graph *g, const struct drive_file *f, const char *group, unsigned flags,
                                          struct error *e)
{
    struct opts in = { NULL, 0 }, o = { NULL, 0 };
    struct blk_backend *b = NULL;
    int rc = f->path ? blk_parse_filename(f->path, &in, e) : 0;

    for (unsigned i = 0; i < f->options.n; i++) opts_set(&in, f->options.v[i].name, f->options.v[i].value);
    if (f->format) opts_set(&in, "driver", f->format);
    opts_set(&o, "driver", "throttle");
    opts_set(&o, "throttle-group", group);
    for (unsigned i = 0; i < in.n; i++) {
        char *key = mem_printf("file.%s", in.v[i].name);
        opts_set(&o, key, in.v[i].value);
        mem_free(key);
    }
    if (!rc) b = blk_open_opts(g, &o, flags, e);
    opts_free(&in);
    opts_free(&o);
    return b;
}

static struct blk_backend *open_one(struct sysopts *s, struct blk_graph *g, const struct drive_config *d,
                                    const struct drive_file *f, struct error *e)
{
    unsigned flags = f->flags;

    if (d->readonly) flags = (flags | BLK_RDONLY) & ~(unsigned)BLK_COPY_ON_READ;
    else if (f->snapshot || s->snapshot_all || s->lockstep_text) flags |= BLK_SNAPSHOT;
    if (f->throttling.n) {
        const char *group;
        if (throttle_drive(g, d, f, &group, e)) return NULL;
        return open_throttled(g, f, group, flags, e);
    }
    if (f->path) return blk_open_in(g, f->path, f->format, &f->options, flags, e);
    struct opts o = { NULL, 0 };
    for (unsigned i = 0; i < f->options.n; i++) opts_set(&o, f->options.v[i].name, f->options.v[i].value);
    if (f->format) opts_set(&o, "driver", f->format);
    struct blk_backend *b = blk_open_opts(g, &o, flags, e);
    opts_free(&o);
    return b;
}

/* What -device drive=NAME means. */
static int attach_named(struct sysopts *s, struct drive_config *d, struct drive_file *f, struct error *e)
{
    struct blk_node *n;

    for (unsigned i = 0; i < s->cfg.n_drives; i++) {
        if (s->drives[i].interface != DRIVE_NONE || strcmp(s->drives[i].id, f->node)) continue;
        d->blk = s->drives[i].blk, f->borrowed = true;
        for (unsigned k = 0; k < s->cfg.n_drives; k++) {
            if (&s->drives[k] != d && s->drive_files[k].borrowed && s->drives[k].blk == d->blk)
                return d->blk = NULL, error_set(e, "Drive '%s' is already in use by another block device", f->node);
        }
        return 0;
    }
    n = blk_node_find(s->blocks, f->node);
    if (!n) {
        const char *kind = d->interface == DRIVE_FLOPPY ? "floppy" : d->cdrom ? "ide-cd" : "ide-hd";
        return error_set(e, "Property '%s.drive' can't find value '%s'", kind, f->node);
    }
    d->blk = blk_attach(s->blocks, n, BLK_PERM_READ | (d->readonly ? 0 : BLK_PERM_WRITE),
                        BLK_PERM_ALL & ~(unsigned)(BLK_PERM_WRITE | BLK_PERM_RESIZE), 0, e);
    return d->blk ? 0 : -1;
}

struct blk_backend *sysopts_attach_node(struct sysopts *s, const char *node, struct error *e)
{
    struct blk_node *n = s->blocks ? blk_node_find(s->blocks, node) : NULL;

    if (!n || s->n_attached == ARRAY_LEN(s->attached)) return error_set(e, "there is no drive or node '%s'", node), NULL;
    bool readonly = blk_node_flags(n) & BLK_RDONLY;
    struct blk_backend *b = blk_attach(s->blocks, n, BLK_PERM_READ | (readonly ? 0 : BLK_PERM_WRITE),
                                       BLK_PERM_ALL & ~(unsigned)(BLK_PERM_WRITE | BLK_PERM_RESIZE), 0, e);
    if (b) s->attached[s->n_attached++] = b;
    return b;
}

int sysopts_open_drives(struct sysopts *s, void (*told)(void *, const struct blk_io_error *), void *opaque, struct error *e)
{
    s->io_told = told, s->io_told_opaque = opaque;
    if (!s->blocks) s->blocks = blk_graph_new();
    if (s->lockstep_text && s->blockdevs.n) return error_set(e, "-blockdev: a node cannot be in both machines of -lockstep");
    for (unsigned i = 0; i < s->blockdevs.n; i++) {
        if (open_blockdev(s, s->blockdevs.v[i], e)) return error_prefix(e, "-blockdev %s", s->blockdevs.v[i]), -1;
    }
    for (unsigned pass = 0; pass < 2; pass++) { /* -device names drives that come later, too */
        for (unsigned i = 0; i < s->cfg.n_drives; i++) {
            struct drive_config *d = &s->drives[i];
            struct drive_file *f = &s->drive_files[i];
            bool second = s->lockstep_text && !f->node;
            if (!!f->node != !!pass || (!f->node && !f->path && !f->options.n && !f->format)) continue;
            if (pass) {
                if (attach_named(s, d, f, e)) return -1;
            } else {
                d->blk = open_one(s, s->blocks, d, f, e);
                if (!d->blk) return error_prefix(e, "-drive file=%s", f->path ? f->path : ""), -1;
            }
            if (d->blk && !f->borrowed) blk_set_on_error(d->blk, f->on_read_error, f->on_write_error, told, opaque);
            s->second_drives[i] = *d;
            s->second_drives[i].blk = NULL;
            for (unsigned k = 0; s->lockstep_text && d->source && k < s->cfg.n_drives; k++) {
                if (s->drives[k].interface == DRIVE_NONE && !strcmp(s->drives[k].id, d->source))
                    s->second_drives[i].blk = s->second_drives[k].blk;
            }
            if (!second) continue;
            s->second_drives[i].blk = f->path ? blk_open_in(NULL, f->path, f->format, &f->options, d->readonly ? BLK_RDONLY : BLK_SNAPSHOT, e) : NULL;
            if (!s->second_drives[i].blk) return error_prefix(e, "-drive file=%s", f->path ? f->path : ""), -1;
        }
    }
    return 0;
}

/* Several drives may share it: one that -device names, and the one it is for. */
void sysopts_close_medium(struct sysopts *s, struct blk_backend *blk)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->cfg.n_drives; i++) {
        if (s->drives[i].blk == blk) s->drives[i].blk = NULL;
    }
    for (unsigned i = 0; i < s->n_attached; i++) {
        if (s->attached[i] != blk) s->attached[n++] = s->attached[i];
    }
    s->n_attached = n;
    blk_close(blk);
}

struct blk_backend *sysopts_open_medium(struct sysopts *s, const struct machine_drive *d, const char *file,
                                        const char *format, bool read_only, struct error *e)
{
    const struct drive_file *old = d->config ? &s->drive_files[d->config - s->drives] : NULL;
    struct drive_file f = { .path = (char *)file, .format = (char *)format, .on_write_error = BLK_ON_ERROR_ENOSPC };
    struct drive_config c = { .readonly = read_only };

    if (s->n_attached == ARRAY_LEN(s->attached)) return error_set(e, "there are too many images"), NULL;
    if (format && !blk_driver_known(format)) return error_set(e, "Unknown driver '%s'", format), NULL;
    if (old) {
        f.flags = old->flags, f.snapshot = old->snapshot;
        f.on_read_error = old->on_read_error, f.on_write_error = old->on_write_error;
    }
    struct blk_backend *b = open_one(s, s->blocks, &c, &f, e);
    if (!b) return NULL;
    blk_set_on_error(b, f.on_read_error, f.on_write_error, s->io_told, s->io_told_opaque);
    return s->attached[s->n_attached++] = b;
}

void sysopts_close_drives(struct sysopts *s)
{
    for (unsigned i = 0; i < s->cfg.n_drives; i++) {
        struct blk_backend *second = s->second_drives[i].blk;
        if (s->drives[i].blk) sysopts_close_medium(s, s->drives[i].blk);
        for (unsigned k = i; second && k < s->cfg.n_drives; k++) {
            if (s->second_drives[k].blk == second) s->second_drives[k].blk = NULL;
        }
        if (second) blk_close(second);
    }
    while (s->n_attached) blk_close(s->attached[--s->n_attached]);
    blk_graph_delete(s->blocks);
    s->blocks = NULL;
}

void sysopts_free_drives(struct sysopts *s)
{
    sysopts_close_drives(s);
    for (unsigned i = 0; i < MACHINE_MAX_DRIVES; i++) {
        mem_free(s->drives[i].id);
        mem_free(s->drive_files[i].path);
        mem_free(s->drive_files[i].format);
        mem_free(s->drive_files[i].node);
        opts_free(&s->drive_files[i].options);
        opts_free(&s->drive_files[i].throttling);
    }
    str_list_free(&s->blockdevs);
}
