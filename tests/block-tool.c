/*
 * block-tool.c - operations of the block layer on an image, from the command line: for the scripts that compare images
 * with those of qemu-img. Not installed.
 *
 * usage: block-tool [-r] [-s ID=PASSWORD] [-o OPTIONS] IMAGE COMMAND [ARGUMENT...] [+ COMMAND ...]
 */
#include "blockfmt/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct error err = ERROR_INIT;

static int fail(const char *what, int rc)
{
    fprintf(stderr, "%s: %s\n", what, err.set ? err.msg : strerror(-rc));
    return 1;
}

static void message(void *opaque, const char *line) { printf("%s\n", line); }

static int snapshot(struct blk_backend *b, const char *op, const char *name)
{
    struct blk_snapshot sn = {.icount = UINT64_MAX, .date_sec = 1700000000}, *list = NULL;
    int rc;

    if (!strcmp(op, "create") || !strcmp(op, "create-vm")) {
        snprintf(sn.name, sizeof sn.name, "%s", name);
        if (!strcmp(op, "create-vm")) {
            char state[5000];
            memset(state, 'v', sizeof state);
            rc = blk_vmstate_write(b, 100, state, sizeof state);
            if (rc) return fail("vmstate", rc);
            sn.vm_state_size = 100 + sizeof state;
        }
        rc = blk_snapshot_create(b, &sn, &err);
    } else if (!strcmp(op, "apply")) {
        rc = blk_snapshot_apply(b, name, &err);
    } else if (!strcmp(op, "delete")) {
        rc = blk_snapshot_delete(b, name, &err);
    } else if (!strcmp(op, "load")) {
        rc = blk_snapshot_load(b, name, &err);
    } else if (!strcmp(op, "vmread")) {
        char state[5100];
        rc = blk_vmstate_read(b, 0, state, sizeof state);
        for (int i = 0; i < 5100 && !rc; i++) rc = state[i] != (i < 100 ? 0 : 'v') ? -EIO : 0;
    } else {
        rc = blk_snapshot_list(blk_root(b), &list, &err);
        for (int i = 0; i < rc; i++)
            printf("%s %s %llu %llu\n", list[i].id, list[i].name, (unsigned long long)list[i].vm_state_size,
                   (unsigned long long)list[i].disk_size);
        free(list);
        rc = MIN(rc, 0);
    }
    return rc ? fail(op, rc) : 0;
}

static int bitmap(struct blk_backend *b, const char *op, const char *name, const char *arg)
{
    struct blk_node *n = blk_root(b);
    struct blk_bitmap *bm = blk_bitmap_find(n, name);

    if (!strcmp(op, "add")) {
        return blk_bitmap_new(n, name, arg ? (uint32_t)atoi(arg) : 65536, true, &err) ? 0 : fail(op, 0);
    }
    if (!bm) return fprintf(stderr, "no bitmap '%s'\n", name), 1;
    if (!strcmp(op, "remove")) blk_bitmap_delete(bm);
    else if (!strcmp(op, "clear")) blk_bitmap_clear(bm, 0, blk_size(b));
    else if (!strcmp(op, "enable")) blk_bitmap_set_flags(bm, blk_bitmap_flags(bm) | BLK_BITMAP_ENABLED);
    else if (!strcmp(op, "disable")) blk_bitmap_set_flags(bm, blk_bitmap_flags(bm) & ~(unsigned)BLK_BITMAP_ENABLED);
    else if (!strcmp(op, "merge")) {
        struct blk_bitmap *src = blk_bitmap_find(n, arg);
        if (!src || blk_bitmap_merge(bm, src, &err)) return fail(op, 0);
    } else {
        uint64_t at = 0, len;
        printf("%s flags %u:", name, blk_bitmap_flags(bm));
        for (; at < blk_size(b) && blk_bitmap_run(bm, &at, &len); at += len)
            printf(" %llu+%llu", (unsigned long long)at, (unsigned long long)len);
        printf("\n");
    }
    return 0;
}

static int check(struct blk_backend *b, unsigned fix)
{
    struct blk_check c = {.message = message};
    int rc = blk_check(b, fix, &c, &err);

    printf("corruptions %llu leaks %llu errors %llu fixed %llu %llu\n", (unsigned long long)c.corruptions,
           (unsigned long long)c.leaks, (unsigned long long)c.check_errors, (unsigned long long)c.corruptions_fixed,
           (unsigned long long)c.leaks_fixed);
    return rc ? fail("check", rc) : c.corruptions || c.check_errors ? 2 : c.leaks ? 3 : 0;
}

static int job(struct blk_backend *b, const char *op, const char *arg)
{
    struct blk_job *j = NULL;
    struct blk_node *base = NULL;
    struct blk_backend *to = NULL;
    int rc;

    if (!strcmp(op, "mirror") || !strcmp(op, "backup")) {
        to = blk_open(arg, NULL, 0, &err);
        if (!to) return fail("target", 0);
    } else if (arg) {
        base = blk_root(b);
        for (int i = atoi(arg); i > 0 && base; i--) base = blk_node_backing(base);
        if (!base) return fail("base", -ENOENT);
    }
    struct blk_job_opts o = {.sync = BLK_SYNC_FULL};
    if (!strcmp(op, "commit")) j = blk_job_commit(b, blk_root(b), base, NULL, &o, &err);
    else if (!strcmp(op, "stream")) j = blk_job_stream(b, base, NULL, &o, &err);
    else if (!strcmp(op, "mirror")) j = blk_job_mirror(b, to, false, &o, &err);
    else j = blk_job_backup(b, to, &o, &err);
    if (!j) {
        blk_close(to);
        return fail(op, 0);
    }
    rc = blk_job_run(j, &err);
    blk_job_free(j);
    blk_close(to);
    return rc ? fail(op, rc) : 0;
}

static int command(struct blk_backend *b, int n, char **v)
{
    const char *op = v[0], *a = n > 1 ? v[1] : NULL, *c = n > 2 ? v[2] : NULL, *d = n > 3 ? v[3] : NULL;
    struct opts o = {NULL, 0};
    int rc = 0;

    if (!strcmp(op, "snapshot") && a) return snapshot(b, a, c ? c : "");
    if (!strcmp(op, "bitmap") && c) return bitmap(b, a, c, d);
    if (!strcmp(op, "job") && a) return job(b, a, c);
    if (!strcmp(op, "check")) return check(b, a ? (unsigned)atoi(a) : 0);
    if (!strcmp(op, "empty")) return (rc = blk_make_empty(b, &err)) ? fail(op, rc) : 0;
    if (!strcmp(op, "rebase")) return (rc = blk_change_backing(blk_root(b), a, c, &err)) ? fail(op, rc) : 0;
    if (!strcmp(op, "resize") && a) {
        enum blk_prealloc p = BLK_PREALLOC_OFF;
        if (c) (void)blk_parse_prealloc(c, &p);
        return (rc = blk_truncate(b, strtoull(a, NULL, 10), p, &err)) ? fail(op, rc) : 0;
    }
    if (!strcmp(op, "amend") && a) {
        rc = opts_parse(&o, a, NULL, NULL, &err);
        if (!rc) rc = blk_amend(b, &o, false, NULL, NULL, &err);
        opts_free(&o);
        return rc ? fail(op, rc) : 0;
    }
    if ((!strcmp(op, "write") || !strcmp(op, "read")) && d) {
        uint64_t at = strtoull(a, NULL, 10), len = strtoull(c, NULL, 10);
        uint8_t *p = malloc(len);
        memset(p, atoi(d), len);
        if (!strcmp(op, "write")) {
            rc = blk_write(b, at, p, len);
        } else {
            rc = blk_read(b, at, p, len);
            for (uint64_t i = 0; i < len && !rc; i++) {
                if (p[i] == (uint8_t)atoi(d)) continue;
                rc = -EIO;
                printf("offset %llu: %u\n", (unsigned long long)(at + i), p[i]);
            }
        }
        free(p);
        return rc ? fail(op, rc) : 0;
    }
    if (!strcmp(op, "crash")) _Exit(9);
    fprintf(stderr, "unknown command '%s'\n", op);
    return 1;
}

int main(int argc, char **argv)
{
    struct blk_graph *g = blk_graph_new();
    struct opts o = {NULL, 0};
    unsigned flags = BLK_UNMAP;
    int i = 1, rc = 0;

    for (; i < argc && argv[i][0] == '-'; i++) {
        if (!strcmp(argv[i], "-r")) flags |= BLK_RDONLY;
        else if (!strcmp(argv[i], "-c")) flags |= BLK_CHECK;
        else if (!strcmp(argv[i], "-o") && ++i < argc) {
            if (opts_parse(&o, argv[i], NULL, NULL, &err)) return fail("options", 0);
        } else if (!strcmp(argv[i], "-s") && ++i < argc) {
            char *eq = strchr(argv[i], '=');
            struct blk_secret *s = malloc(sizeof *s + strlen(eq));
            s->len = strlen(eq + 1);
            memcpy(s->data, eq + 1, s->len);
            *eq = 0;
            if (blk_object_add(g, "secret", argv[i], s, free, &err)) return fail("secret", 0);
        }
    }
    if (i + 1 >= argc) return fprintf(stderr, "usage: block-tool [-r] [-c] [-s ID=PASSWORD] [-o OPTIONS] IMAGE COMMAND...\n"), 1;
    if (!strcmp(argv[i + 1], "create")) { /* FORMAT OPTIONS */
        struct opts c = {NULL, 0};
        if (i + 3 >= argc || opts_parse(&c, argv[i + 3], NULL, NULL, &err)) return fail("create", 0);
        rc = blk_create(g, argv[i + 2], argv[i], &c, true, &err);
        opts_free(&c);
        blk_graph_delete(g);
        return rc ? fail("create", rc) : 0;
    }
    struct blk_backend *b = blk_open_in(g, argv[i], NULL, &o, flags, &err);
    opts_free(&o);
    if (!b) {
        fail("open", 0);
        blk_graph_delete(g);
        return 1;
    }
    for (i++; i < argc && !rc;) {
        int n = 0;
        while (i + n < argc && strcmp(argv[i + n], "+")) n++;
        if (n) rc = command(b, n, argv + i);
        i += n + 1;
    }
    blk_close(b);
    blk_graph_delete(g);
    return rc;
}
