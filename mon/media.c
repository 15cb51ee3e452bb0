/*
 * media.c - the monitor's commands about drives: what is in them, other media, `commit`.
 */
#include "mon/internal.h"

#include "blockfmt/block.h"
#include "blockfmt/job.h"

static void info_drive(struct monitor *m, const struct machine_drive *d, bool verbose)
{
    struct blk_backend *blk = d->media.blk;

    if (blk) {
        struct blk_node *n = blk_root(blk);
        while (blk_node_is_filter(n) && blk_node_child(n, "file")) n = blk_node_child(n, "file");
        mon_printf(m, "%s: %s (%s%s)\n", d->id, blk_path(blk), blk_node_driver(n), blk_readonly(blk) ? ", read-only" : "");
    } else {
        mon_printf(m, "%s: [not inserted]\n", d->id);
    }
    if (d->removable) {
        mon_printf(m, "    Removable device: %slocked, tray %s\n", d->media.locked ? "" : "not ",
                   d->media.tray_open ? "open" : "closed");
    }
    if (!blk) return;
    unsigned flags = blk_flags(blk) | blk_node_flags(blk_root(blk));
    mon_printf(m, "    Cache mode:       %s%s%s\n", flags & BLK_WRITETHROUGH ? "writethrough" : "writeback",
               flags & BLK_DIRECT ? ", direct" : "", flags & BLK_NO_FLUSH ? ", ignore flushes" : "");
    if (verbose) mon_printf(m, "    Size:             %llu bytes\n", (unsigned long long)blk_size(blk));
}

void mon_info_block(struct monitor *m, const struct mon_args *a)
{
    const char *want = mon_str(a, "device");
    struct machine_drive d;

    if (mon_num(a, "nodes")) {
        mon_printf(m, "Error: 'info block -n' is not supported yet\n");
        return;
    }
    if (want) {
        if (machine_drive_find(m->env->machine, want, &d)) info_drive(m, &d, mon_num(a, "verbose"));
        else mon_printf(m, "Error: Device '%s' not found\n", want);
        return;
    }
    for (unsigned i = 0; machine_drive_at(m->env->machine, i, &d); i++) {
        if (i) mon_printf(m, "\n");
        info_drive(m, &d, mon_num(a, "verbose"));
    }
}

/* The drive whose medium is to be changed. False: said why not. */
static bool removable(struct monitor *m, const char *id, struct machine_drive *d)
{
    if (!machine_drive_find(m->env->machine, id, d)) mon_printf(m, "Error: Device '%s' not found\n", id);
    else if (!d->removable) mon_printf(m, "Error: Device '%s' is not removable\n", id);
    else if (!m->env->open_medium) mon_printf(m, "Error: media cannot be changed here\n");
    else return true;
    return false;
}

/* Puts blk (NULL: nothing) in. False: an error was printed, blk is still the caller's. */
static bool put_in(struct monitor *m, const struct machine_drive *d, struct blk_backend *blk, bool force)
{
    struct blk_backend *old;
    struct error e = ERROR_INIT;

    if (machine_drive_change(m->env->machine, d, blk, &old, force, &e)) {
        mon_error(m, &e);
        error_clear(&e);
        return false;
    }
    if (old) m->env->close_medium(m->env->media_opaque, old);
    return true;
}

void mon_eject(struct monitor *m, const struct mon_args *a)
{
    struct machine_drive d;

    if (removable(m, mon_str(a, "device"), &d)) (void)put_in(m, &d, NULL, mon_num(a, "force"));
}

void mon_change(struct monitor *m, const struct mon_args *a)
{
    const char *id = mon_str(a, "device"), *mode = mon_str(a, "read-only-mode");
    struct machine_drive d;
    struct error e = ERROR_INIT;

    if (!strcmp(id, "vnc")) {
        mon_printf(m, "Error: 'change vnc' is not supported yet\n");
        return;
    }
    if (mode && strcmp(mode, "retain") && strcmp(mode, "read-only") && strcmp(mode, "read-write")) {
        mon_printf(m, "Error: invalid parameter value: %s\n", mode);
        return;
    }
    if (!removable(m, id, &d)) return;
    bool retain = !mode || !strcmp(mode, "retain");
    bool was = d.config ? d.config->readonly : d.media.blk && blk_readonly(d.media.blk);
    bool read_only = d.read_only || (retain ? was : !strcmp(mode, "read-only"));
    struct blk_backend *blk =
        m->env->open_medium(m->env->media_opaque, &d, mon_str(a, "target"), mon_str(a, "format"), read_only, &e);
    if (!blk) {
        mon_error(m, &e);
        error_clear(&e);
        return;
    }
    if (!put_in(m, &d, blk, false)) m->env->close_medium(m->env->media_opaque, blk);
    else if (d.config) d.config->readonly = read_only;
}

void mon_commit(struct monitor *m, const struct mon_args *a)
{
    const struct machine_config *c = &m->env->machine->cfg;
    const char *want = mon_str(a, "device");
    bool all = !strcmp(want, "all"), any = all;

    for (unsigned i = 0; i < c->n_drives; i++) {
        const struct drive_config *d = &c->drives[i];
        struct error e = ERROR_INIT;

        if (!all && strcmp(d->id, want)) continue;
        any = true;
        if (!d->blk) {
            if (!all) mon_printf(m, "Device '%s' has no medium\n", d->id);
            continue;
        }
        if (all && !blk_node_backing(blk_root(d->blk))) continue;
        if (blk_commit(d->blk, &e)) mon_printf(m, "'commit' error for '%s': %s\n", d->id, e.msg);
        error_clear(&e);
    }
    if (!any) mon_printf(m, "Device '%s' not found\n", want);
}
