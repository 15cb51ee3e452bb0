/*
 * test-block-faults.c - each change of an image's file fails in turn: once, or that one and all after it, as when the
 * disk is full or gone. Then: what was flushed is there, check finds no corruption, and what the failed request covered
 * is old or new. With arguments, those formats alone; with "-v", how many places there were; with "-a", every change and
 * not each fifth.
 */
#include "blockfmt/block.h"
#include "blockfmt/compress.h"
#include "tests/count.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTORS = 8192, QUIET = 12, MAX_PLACES = 4000, SAMPLE = 5 };

static const struct kind {
    const char *name, *format, *options, *open;
    bool snapshots, compressed, resize;
} kinds[] = {
    {"raw", "raw", NULL, NULL, false, false, true},
    {"qcow2", "qcow2", "cluster_size=4k", "l2-cache-size=4k,refcount-cache-size=4k", true, true, true},
    {"qcow2-lazy", "qcow2", "cluster_size=4k,lazy_refcounts=on", NULL, true, true, true},
    {"qcow2-v2", "qcow2", "cluster_size=512,compat=0.10", NULL, true, true, false},
    {"qcow2-sub", "qcow2", "cluster_size=16k,extended_l2=on", NULL, true, false, true},
    {"qcow2-narrow", "qcow2", "cluster_size=512,refcount_bits=64", "l2-cache-size=512,refcount-cache-size=2k", false, true, true},
    {"vhdx", "vhdx", "block_size=1M", NULL, false, false, false},
    {"qed", "qed", "cluster_size=4k,table_size=2", NULL, false, false, true},
    {"vmdk", "vmdk", NULL, NULL, false, false, false},
    {"vmdk-zeroed", "vmdk", "zeroed_grain=on", NULL, false, false, false},
    {"vdi", "vdi", NULL, NULL, false, false, false},
    {"vpc", "vpc", NULL, NULL, false, false, false},
    {"parallels", "parallels", "cluster_size=64k", NULL, false, false, false},
    {"qcow", "qcow", NULL, NULL, false, true, false},
};

enum op { WRITE, ZERO, UNMAP, DISCARD, PACK, FLUSH, SNAP, UNSNAP, GROW };
static const struct step {
    enum op op;
    uint32_t sector, n;
} steps[] = {
    {WRITE, 0, 9}, {WRITE, 2048, 16}, {FLUSH, 0, 0}, {WRITE, 3, 4}, {WRITE, 2060, 300}, {PACK, 4096, 128}, {FLUSH, 0, 0},
    {SNAP, 0, 0}, {WRITE, 1, 30}, {WRITE, 4100, 10}, {ZERO, 2048, 64}, {UNMAP, 2176, 128}, {FLUSH, 0, 0}, {WRITE, 6000, 700},
    {DISCARD, 4096, 128}, {WRITE, 4120, 8}, {GROW, 0, 0}, {WRITE, 2050, 3}, {UNSNAP, 0, 0}, {WRITE, 5, 2}, {FLUSH, 0, 0}, {PACK, 6144, 128},
    {WRITE, 7000, 1192},
};

/* What a sector may hold: bit k for what step k writes, bit 0 for what was there at first (steps count from 1). */
struct model {
    uint64_t allowed[SECTORS], now[SECTORS];
    bool failed; /* something was refused */
    bool safe;   /* the last flush went well and nothing came after it */
};

static const char *dir;
static bool verbose, every;
static char image[128], good[128];
static uint8_t buf[SECTORS * 512];

static void pattern(uint8_t *p, unsigned k, uint32_t sector)
{
    bool zero = k ? steps[k - 1].op >= ZERO && steps[k - 1].op <= DISCARD : (sector >= 4000 && sector < 5000) || sector >= 7000;
    memset(p, zero ? 0 : k ? 0x10 + (int)k : 0xee, 512);
}

static void copy(const char *from, const char *to)
{
    int a = open(from, O_RDONLY), b = open(to, O_RDWR | O_CREAT | O_TRUNC, 0600);
    struct stat st;

    CHECK(a >= 0 && b >= 0 && !fstat(a, &st) && !ftruncate(b, st.st_size));
    for (off_t at = 0; (at = lseek(a, at, SEEK_DATA)) >= 0;) {
        off_t end = lseek(a, at, SEEK_HOLE);
        for (; at < end;) {
            ssize_t n = pread(a, buf, MIN(sizeof buf, (size_t)(end - at)), at);
            if (n <= 0) return;
            CHECK(pwrite(b, buf, (size_t)n, at) == n);
            at += n;
        }
    }
    close(a);
    close(b);
}

static bool make(const struct kind *k)
{
    struct error e = ERROR_INIT;
    struct opts o = {NULL, 0};
    struct blk_backend *b;

    if (k->options) CHECK(!opts_parse(&o, k->options, NULL, NULL, &e));
    opts_set(&o, "size", "4M");
    unlink(good);
    CHECK(!blk_create(NULL, k->format, good, &o, false, &e));
    opts_free(&o);
    b = blk_open(good, k->format, 0, &e);
    CHECK(b);
    if (!b) return printf("%s: %s\n", k->name, e.msg), false;
    memset(buf, 0xee, sizeof buf);
    CHECK(!blk_write(b, 0, buf, 4000 * 512) && !blk_write(b, 5000 * 512, buf, 2000 * 512));
    blk_close(b);
    return true;
}

static int run(struct blk_backend *b, unsigned k, const struct kind *kind)
{
    const struct step *x = &steps[k - 1];
    struct blk_snapshot sn = {.name = "one", .icount = UINT64_MAX};
    struct error e = ERROR_INIT;
    uint64_t at = (uint64_t)x->sector * 512, n = (uint64_t)x->n * 512;

    pattern(buf, k, x->sector);
    for (uint64_t i = 512; i < n; i += 512) memcpy(buf + i, buf, 512);
    switch (x->op) {
    case WRITE: return blk_write(b, at, buf, (size_t)n);
    case PACK: return blk_write_flags(b, at, buf, (size_t)n, kind->compressed && compress_built(COMPRESS_DEFLATE_RAW) ? BLK_COMPRESSED : 0);
    case ZERO: return blk_zero(b, at, n, 0);
    case UNMAP: return blk_zero(b, at, n, BLK_MAY_UNMAP);
    case DISCARD: return blk_discard(b, at, n);
    case FLUSH: return blk_flush(b);
    case SNAP: return kind->snapshots ? blk_snapshot_create(b, &sn, &e) : 0;
    case UNSNAP: return kind->snapshots ? blk_snapshot_delete(b, "one", &e) : 0;
    default: return kind->resize ? blk_truncate(b, 4 << 20 | 1 << 19, BLK_PREALLOC_OFF, &e) : 0;
    }
}

static void note(struct model *m, unsigned k, int rc)
{
    const struct step *x = &steps[k - 1];
    uint64_t bit = UINT64_C(1) << k;

    m->failed |= rc != 0;
    m->safe = false;
    if (x->op == FLUSH && !rc) {
        memcpy(m->allowed, m->now, sizeof m->now);
        m->safe = true;
    }
    if (x->op == SNAP || x->op == UNSNAP || x->op == GROW || x->op == FLUSH) return;
    for (uint32_t i = x->sector; i < x->sector + x->n; i++) {
        m->allowed[i] |= bit;
        m->now[i] = rc || x->op == DISCARD ? m->now[i] | bit : bit;
    }
}

/* DISCARD leaves what was there, or zeros; a write in many requests may be half done, so each sector by itself. */
static bool fits(const uint8_t *p, uint64_t mask, uint32_t sector)
{
    uint8_t expect[512];

    for (unsigned k = 0; k <= ARRAY_LEN(steps); k++) {
        if (!(mask >> k & 1)) continue;
        pattern(expect, k, sector);
        if (!memcmp(p, expect, 512)) return true;
    }
    return false;
}

/* The number of sectors that hold what they may not; the first is said. */
static unsigned compare(struct blk_backend *b, const uint64_t *masks)
{
    unsigned bad = 0;

    if (blk_read(b, 0, buf, sizeof buf)) return printf("  cannot be read\n"), SECTORS;
    for (uint32_t i = 0; i < SECTORS; i++) {
        if (fits(buf + (size_t)i * 512, masks[i], i)) continue;
        if (!bad++) printf("  sector %u holds %02x, allowed %llx\n", i, buf[(size_t)i * 512], (unsigned long long)masks[i]);
    }
    return bad;
}

static void message(void *opaque, const char *line)
{
    if (strncmp(line, "Leaked", 6)) printf("  %s\n", line);
}

/* False when nothing failed. */
static bool place(const struct kind *k, unsigned after, bool once, int error)
{
    static struct model m;
    struct blk_check c = {.message = message};
    struct error e = ERROR_INIT;
    struct opts o = {NULL, 0};
    struct blk_backend *b;
    unsigned bad = 0, first = 0;
    char text[16];
    int rc;

    memset(&m, 0, sizeof m);
    for (uint32_t i = 0; i < SECTORS; i++) m.allowed[i] = 1;
    copy(good, image);
    if (k->open) CHECK(!opts_parse(&o, k->open, NULL, NULL, &e));
    opts_set(&o, "driver", k->format);
    opts_set(&o, "file.driver", "blkdebug");
    opts_set(&o, "file.image.driver", "file");
    opts_set(&o, "file.image.filename", image);
    opts_set(&o, "file.inject-error.0.event", "none");
    opts_set(&o, "file.inject-error.0.iotype", "change");
    snprintf(text, sizeof text, "%d", error);
    opts_set(&o, "file.inject-error.0.errno", text);
    snprintf(text, sizeof text, "%u", after);
    opts_set(&o, "file.inject-error.0.after", text);
    opts_set(&o, "file.inject-error.0.once", once ? "on" : "off");
    b = blk_open_opts(NULL, &o, BLK_NO_FLUSH | BLK_UNMAP, &e);
    opts_free(&o);
    if (b) {
        memcpy(m.now, m.allowed, sizeof m.now);
        for (unsigned i = 1; i <= ARRAY_LEN(steps); i++) {
            rc = run(b, i, k);
            note(&m, i, rc);
            if (rc && !first) first = i;
            if (rc && after == UINT32_MAX) printf("  step %u: %s\n", i, strerror(-rc));
        }
        if (once && compare(b, m.now)) printf("  before it was closed\n"), bad++;
        rc = blk_flush(b);
        if (!rc) memcpy(m.allowed, m.now, sizeof m.now);
        m.failed |= rc != 0;
        blk_close(b);
    } else {
        m.failed = true;
    }
    if (!strcmp(k->format, "parallels")) { /* must be repaired before it is written again */
        b = blk_open(image, k->format, BLK_CHECK | BLK_NO_FLUSH, &e);
        if (!b || blk_check(b, BLK_FIX_ERRORS | BLK_FIX_LEAKS, &c, &e)) bad++, printf("  %s\n", e.msg);
        blk_close(b);
    }
    error_clear(&e);
    b = blk_open(image, k->format, BLK_NO_FLUSH, &e);
    if (!b) {
        printf("  cannot be opened: %s\n", e.msg);
        bad++;
    } else {
        rc = blk_check(b, 0, &c, &e);
        if ((rc && rc != -ENOTSUP) || c.corruptions || c.check_errors) {
            printf("  check: %llu corruptions, %llu errors %s\n", (unsigned long long)c.corruptions,
                   (unsigned long long)c.check_errors, e.msg);
            bad++;
        }
        bad += compare(b, m.allowed) != 0;
        blk_close(b);
    }
    if (bad && first) printf("  step %u was refused\n", first);
    if (bad) printf("%s: change %u failed %s with %s\n", k->name, after, once ? "once" : "and all after it", strerror(error));
    CHECK(!bad);
    return m.failed;
}

static void test(const struct kind *k)
{
    static const struct { bool once; int error; } ways[] = {{false, EIO}, {true, EIO}, {true, ENOSPC}};

    if (!make(k)) return;
    if (place(k, UINT32_MAX, true, EIO)) {
        printf("%s: fails when nothing is failed\n", k->name);
        CHECK(false);
        return;
    }
    unsigned all = 0; /* changes that are there to fail: some may fail unnoticed, such as discards */
    for (unsigned w = 0; w < ARRAY_LEN(ways); w++) {
        unsigned quiet = 0, step = every ? 1 : SAMPLE, n = every ? 0 : w;
        for (; (quiet < QUIET || n < all) && n < MAX_PLACES; n += step) quiet = place(k, n, ways[w].once, ways[w].error) ? 0 : quiet + 1;
        if (!w) all = n - quiet * step;
        if (verbose)
            printf("%s: %u places, %s, %s\n", k->name, n - quiet * step, ways[w].once ? "once" : "from there on",
                   strerror(ways[w].error));
    }
}

int main(int argc, char **argv)
{
    const char *tmp = getenv("TMPDIR");
    char name[80];
    bool any = false;

    snprintf(name, sizeof name, "%.50s/test-block-faults.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    dir = mkdtemp(name);
    CHECK(dir);
    if (!dir) return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    snprintf(image, sizeof image, "%s/f.img", dir), snprintf(good, sizeof good, "%s/good.img", dir);
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-v")) verbose = true;
        else if (!strcmp(argv[i], "-a")) every = true;
        else any = true;
    }
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        bool wanted = !any;
        for (int k = 1; k < argc; k++) wanted |= !strcmp(argv[k], kinds[i].name);
        if (wanted) test(&kinds[i]);
    }
    unlink(image);
    unlink(good);
    rmdir(dir);
    return count_report();
}
