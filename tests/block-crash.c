/*
 * block-crash.c - a writer that is killed at random moments, and what must hold afterwards: the image opens, check
 * finds no corruption, everything that was flushed is there, and what was in flight is old or new, never anything
 * else. Not a test by itself: tests/block-crash.sh runs it.
 *
 * usage: block-crash MODE IMAGE LOG KILLS SEED [peer]
 *        MODE: plain, compressed, snapshots, lazy (qcow2), or another format
 * peer: qemu-img checks the image too after each kill, as the kill left it where nothing is to be replayed or counted
 * again at the next opening, else after that.
 *
 * The writer logs, in a file that survives it: a record before each write, one after it, one before and one after each
 * flush. Sectors hold the number of the write that made them.
 */
#include "blockfmt/block.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCK  4096u
#define BLOCKS 4096u /* 16 MiB */
#define SECTORS (BLOCKS * 8) /* what is whole at every moment: formats may put a block across pages of the file */
#define DEPTH  8u

enum kind { BASE = 1, START, DONE, FLUSH, FLUSHED, SNAP, UNSNAP };
struct record {
    uint32_t kind, seq, block, n, zero;
};

static const struct mode {
    const char *name, *format, *options;
} modes[] = {
    {"plain", "qcow2", "cluster_size=4k"},
    {"compressed", "qcow2", "cluster_size=16k"},
    {"snapshots", "qcow2", "cluster_size=4k"},
    {"lazy", "qcow2", "cluster_size=4k,lazy_refcounts=on"},
    {"subclusters", "qcow2", "cluster_size=64k,extended_l2=on"},
    {"vhdx", "vhdx", "block_size=1M"},
    {"qed", "qed", "cluster_size=4k,table_size=2"},
    {"vmdk", "vmdk", NULL},
    {"vdi", "vdi", NULL},
    {"vpc", "vpc", NULL},
    {"parallels", "parallels", "cluster_size=64k"},
    {"qcow", "qcow", NULL},
};

struct run {
    const struct mode *kind;
    const char *mode, *image, *log;
    uint64_t random;
    int fd;
    uint32_t seq;
    bool compressed, snapshots, lazy, peer;
    uint8_t busy[BLOCKS];
    uint32_t state[SECTORS], unit;
    unsigned snaps;
};

static uint64_t rnd(struct run *r)
{
    r->random ^= r->random << 13, r->random ^= r->random >> 7, r->random ^= r->random << 17;
    return r->random >> 11;
}

static void put(struct run *r, uint32_t kind, uint32_t seq, uint32_t block, uint32_t n, uint32_t zero)
{
    struct record x = {kind, seq, block, n, zero};
    if (write(r->fd, &x, sizeof x) != sizeof x) _Exit(3);
}

static void fill(uint8_t *p, uint32_t seq, uint32_t block)
{
    for (unsigned i = 0; i < BLOCK; i += 8) st32_le(p + i, seq), st32_le(p + i + 4, block ^ 0xa5a5a5a5u);
}

static struct blk_backend *open_image(struct run *r, unsigned flags)
{
    struct error e = ERROR_INIT;
    struct opts o = {NULL, 0};
    if (!strcmp(r->kind->format, "qcow2")) opts_set(&o, "l2-cache-size", "16k"); /* tables are evicted all the time */
    struct blk_backend *b = blk_open_in(NULL, r->image, r->kind->format, &o, flags | BLK_UNMAP, &e);
    opts_free(&o);
    if (!b) printf("open: %s\n", e.msg);
    return b;
}

/* ---- the writer ---- */

struct slot {
    struct blk_req req;
    struct run *run;
    uint32_t seq, block, n;
    bool idle;
    uint8_t buf[16 * BLOCK];
};

static void finished(struct blk_req *q)
{
    struct slot *s = q->opaque;
    if (q->rc) printf("request: %s\n", strerror(-q->rc)), _Exit(4);
    put(s->run, DONE, s->seq, 0, 0, 0);
    memset(s->run->busy + s->block, 0, s->n);
    s->idle = true;
}

static bool submit(struct run *r, struct blk_ctx *ctx, struct blk_backend *b, struct slot *s)
{
    uint32_t kind = rnd(r) % 10, n = r->compressed && kind < 7 ? r->unit : 1 + rnd(r) % 16, block = rnd(r) % (BLOCKS - n + 1);

    if (r->compressed && kind < 7) block = ALIGN_DOWN(block, r->unit);
    if (rnd(r) & 1) block = block % 512 / 16 * 16; /* some places more often */
    if (memchr(r->busy + block, 1, n)) return false;
    memset(r->busy + block, 1, n);
    s->seq = ++r->seq, s->block = block, s->n = n, s->run = r, s->idle = false;
    s->req = (struct blk_req){.blk = b, .op = kind < 8 ? BLK_OP_WRITE : BLK_OP_ZERO, .offset = (uint64_t)block * BLOCK,
                              .bytes = (uint64_t)n * BLOCK, .buf = s->buf, .done = finished, .opaque = s};
    if (kind < 8 && r->compressed && n == r->unit && !(block % r->unit)) s->req.flags = BLK_COMPRESSED;
    if (kind == 9) s->req.flags = BLK_MAY_UNMAP;
    for (uint32_t i = 0; i < n; i++) fill(s->buf + i * BLOCK, s->seq, block + i);
    put(r, START, s->seq, block, n, kind >= 8);
    blk_submit(ctx, &s->req);
    return true;
}

static void structural(struct run *r, struct blk_backend *b)
{
    struct error e = ERROR_INIT;
    struct blk_snapshot sn = {.icount = UINT64_MAX};

    put(r, FLUSH, 0, 0, 0, 0);
    if (blk_flush(b)) _Exit(5);
    put(r, FLUSHED, 0, 0, 0, 0);
    snprintf(sn.name, sizeof sn.name, "s%u", (unsigned)(rnd(r) % 3));
    struct blk_snapshot *list = NULL;
    bool have = false;
    int n = blk_snapshot_list(blk_root(b), &list, &e);
    for (int i = 0; i < n; i++) have |= !strcmp(list[i].name, sn.name);
    free(list);
    if (have ? blk_snapshot_delete(b, sn.name, &e) : blk_snapshot_create(b, &sn, &e)) printf("snapshot: %s\n", e.msg), _Exit(6);
}

static void writer(struct run *r)
{
    struct error e = ERROR_INIT;
    struct blk_backend *b = open_image(r, 0);
    struct blk_ctx *ctx = blk_ctx_new(NULL, DEPTH, &e);
    struct slot *slots = calloc(DEPTH, sizeof *slots);

    if (!b || !ctx) _Exit(7);
    for (unsigned i = 0; i < DEPTH; i++) slots[i].idle = true;
    for (;;) {
        unsigned pick = (unsigned)(rnd(r) % 64);
        if (pick == 0) {
            put(r, FLUSH, 0, 0, 0, 0); /* while others are in flight */
            if (blk_flush(b)) _Exit(5);
            put(r, FLUSHED, 0, 0, 0, 0);
        } else if (pick == 1 && r->snapshots) {
            blk_ctx_drain(ctx);
            structural(r, b);
        }
        bool any = false;
        for (unsigned i = 0; i < DEPTH; i++) any |= slots[i].idle && submit(r, ctx, b, &slots[i]);
        if (blk_ctx_pending(ctx)) blk_ctx_wait(ctx);
        else if (!any) continue;
    }
}

/* ---- what must hold ---- */

static int verify(struct run *r, struct blk_backend *b)
{
    uint32_t *floor = calloc(SECTORS, sizeof *floor), cap = 1 << 20, top = 0; /* what is there for certain */
    struct record *started = NULL, x;
    uint8_t *done = NULL, *zero_floor = calloc(SECTORS, 1), *buf = malloc(BLOCK), expect[BLOCK];
    uint32_t *pending = NULL, n_pending = 0, n_done = 0, cut = 0;
    int fd = open(r->log, O_RDONLY), bad = 0;

    started = calloc(cap, sizeof *started), done = calloc(cap, 1), pending = calloc(cap, sizeof *pending);
    memset(zero_floor, 1, SECTORS);
    while (read(fd, &x, sizeof x) == sizeof x) {
        if (x.seq >= cap) break;
        switch (x.kind) {
        case BASE: floor[x.block] = x.seq, zero_floor[x.block] = !x.seq; break;
        case START: started[x.seq] = x; top = MAX(top, x.seq); break;
        case DONE: pending[n_done++] = x.seq; break;
        case FLUSH: cut = n_done; break;
        case FLUSHED:
            for (; n_pending < cut; n_pending++) {
                const struct record *w = &started[pending[n_pending]];
                for (uint32_t i = w->block * 8; i < (w->block + w->n) * 8; i++) {
                    if (w->seq > floor[i]) floor[i] = w->seq, zero_floor[i] = (uint8_t)w->zero;
                }
            }
            break;
        default: break;
        }
    }
    close(fd);
    for (uint32_t i = 0; i < SECTORS; i++) {
        uint32_t v, block = i / 8;
        bool ok;
        if (!(i % 8) && blk_read(b, (uint64_t)block * BLOCK, buf, BLOCK)) {
            printf("block %u cannot be read\n", block);
            bad++, i += 7;
            continue;
        }
        v = ld32_le(buf + i % 8 * 512);
        memset(expect, 0, BLOCK);
        if (v) fill(expect, v, block);
        if (memcmp(buf + i % 8 * 512, expect + i % 8 * 512, 512)) {
            printf("sector %u holds what nobody wrote\n", i);
            bad++;
            continue;
        }
        ok = v ? v == floor[i] && !zero_floor[i] : zero_floor[i];
        for (uint32_t s = floor[i] + 1; s <= top && !ok; s++) {
            const struct record *w = &started[s];
            if (w->seq != s || block < w->block || block >= w->block + w->n) continue;
            ok = w->zero ? !v : v == s;
        }
        if (!ok) {
            printf("sector %u holds write %u; write %u%s was flushed\n", i, v, floor[i], zero_floor[i] ? " (zeros)" : "");
            bad++;
        }
        r->state[i] = v;
    }
    r->seq = MAX(r->seq, top);
    free(floor), free(started), free(done), free(zero_floor), free(buf), free(pending);
    return bad;
}

static void message(void *opaque, const char *line)
{
    if (strncmp(line, "Leaked", 6) && strncmp(line, "Repairing", 9)) printf("  %s\n", line);
}

static void repair(struct run *r)
{
    struct blk_check c = {.message = message};
    struct error e = ERROR_INIT;
    struct blk_backend *b = blk_open(r->image, r->kind->format, BLK_CHECK, &e);

    if (!b || blk_check(b, BLK_FIX_LEAKS | BLK_FIX_ERRORS, &c, &e)) printf("repair: %s\n", e.msg);
    blk_close(b);
}

/* Leaks and formats without a check are fine. */
static int peer_check(const struct run *r)
{
    char *command = mem_printf("qemu-img check -f %s '%s' >'%s.peer' 2>&1", r->kind->format, r->image, r->log);
    int status = system(command);

    mem_free(command);
    if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 3 && WEXITSTATUS(status) != 63))
        return printf("qemu-img check: status %d, see %s.peer\n", status, r->log), 1;
    return 0;
}

static int round_of(struct run *r, unsigned ms)
{
    struct blk_check c = {.message = message};
    struct error e = ERROR_INIT;
    struct timespec t = {0, (long)ms * 1000000};
    struct blk_backend *b;
    int status, bad;
    pid_t pid;

    r->fd = open(r->log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
    struct record *base = calloc(SECTORS, sizeof *base);
    size_t n_base = 0;
    for (uint32_t i = 0; i < SECTORS; i++) {
        if (r->state[i]) base[n_base++] = (struct record){BASE, r->state[i], i, 1, 0};
    }
    if (write(r->fd, base, n_base * sizeof *base) != (ssize_t)(n_base * sizeof *base)) return printf("cannot write the log\n"), 1;
    free(base);
    fflush(stdout);
    pid = fork();
    if (!pid) writer(r);
    close(r->fd);
    nanosleep(&t, NULL);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    if (!WIFSIGNALED(status)) return printf("the writer ended by itself: status %d\n", WEXITSTATUS(status)), 1;
    bool at_once = !strcmp(r->kind->format, "qcow2") && !r->lazy;
    if (r->peer && at_once && peer_check(r)) return 1;
    if (!strcmp(r->kind->format, "parallels")) repair(r); /* asks for it */
    b = open_image(r, 0);
    if (!b) return 1;
    bad = verify(r, b);
    if (bad) {
        blk_close(b);
        return bad;
    }
    int rc = blk_check(b, 0, &c, &e);
    if ((rc && rc != -ENOTSUP) || c.corruptions || c.check_errors) {
        printf("check: %llu corruptions, %llu errors %s\n", (unsigned long long)c.corruptions, (unsigned long long)c.check_errors, e.msg);
        bad++;
    } else {
        (void)blk_check(b, BLK_FIX_LEAKS, &c, &e);
    }
    blk_close(b);
    if (r->peer && !at_once) bad += peer_check(r);
    r->random += rnd(r);
    return bad;
}

static int create(const struct run *r)
{
    struct opts o = {NULL, 0};
    struct error e = ERROR_INIT;
    int rc = r->kind->options ? opts_parse(&o, r->kind->options, NULL, NULL, &e) : 0;

    opts_set(&o, "size", "16M");
    unlink(r->image);
    if (!rc) rc = blk_create(NULL, r->kind->format, r->image, &o, false, &e);
    if (rc) printf("%s\n", e.msg);
    opts_free(&o);
    return rc;
}

int main(int argc, char **argv)
{
    struct run *r = calloc(1, sizeof *r);
    int bad = 0, kills;

    if (argc < 6) return printf("usage: block-crash MODE IMAGE LOG KILLS SEED [peer]\n"), 2;
    r->mode = argv[1], r->image = argv[2], r->log = argv[3], kills = atoi(argv[4]);
    r->random = strtoull(argv[5], NULL, 10) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    r->compressed = !strcmp(r->mode, "compressed"), r->snapshots = !strcmp(r->mode, "snapshots"), r->lazy = !strcmp(r->mode, "lazy");
    r->peer = argc > 6 && !strcmp(argv[6], "peer");
    r->unit = r->compressed ? 4 : 1;
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        if (!strcmp(modes[i].name, r->mode)) r->kind = &modes[i];
    }
    if (!r->kind) return printf("unknown mode '%s'\n", r->mode), 2;
    if (create(r)) return 2;
    for (int i = 0; i < kills && !bad; i++) {
        bad = round_of(r, 1 + (unsigned)(rnd(r) % 150));
        if (bad) printf("%s: kill %d of %d, seed %s\n", r->mode, i + 1, kills, argv[5]);
        /* numbers of writes start again before they get too many */
        if (r->seq > 500000) {
            if (create(r)) return 2;
            memset(r->state, 0, sizeof r->state);
            r->seq = 0;
        }
    }
    free(r);
    return bad != 0;
}
