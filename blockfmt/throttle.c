/*
 * throttle.c - the filter "throttle" and its groups (throttle.h): leaky buckets. A bucket leaks at the average rate; a
 * request pours its bytes (or itself, for iops) in at once and waits until the level is back under the bucket's size. So
 * requests that came together wait one after the other, whatever thread they are in.
 *
 * The size of a bucket is a tenth of a second of the average rate; with a maximum, what the maximum rate brings in
 * max-length seconds, and a second, small bucket leaks at the maximum.
 */
#include "blockfmt/throttle.h"
#include "blockfmt/imgutil.h"

#include <time.h>

struct bucket {
    double avg, max, level, burst; /* per second; burst: level of the bucket for max */
    uint64_t length;               /* seconds at max */
};

enum { TOTAL, READ, WRITE, N_KINDS };
struct throttle_group {
    pthread_mutex_t lock;
    struct bucket bytes[N_KINDS], ops[N_KINDS];
    uint64_t iops_size;
    double last;
};

static double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int limit(struct throttle_group *g, const char *key, uint64_t v)
{
    static const char *const kinds[] = {"-total", "-read", "-write"};
    bool bps = !strncmp(key, "bps", 3);
    struct bucket *b = bps ? g->bytes : g->ops;

    if (!strcmp(key, "iops-size")) return g->iops_size = v, 0;
    if (!bps && strncmp(key, "iops", 4)) return -1;
    key += bps ? 3 : 4;
    for (unsigned i = 0; i < N_KINDS; i++) {
        size_t n = strlen(kinds[i]);
        if (strncmp(key, kinds[i], n)) continue;
        if (!key[n]) return b[i].avg = (double)v, 0;
        if (!strcmp(key + n, "-max")) return b[i].max = (double)v, 0;
        if (!strcmp(key + n, "-max-length")) return b[i].length = v, 0;
    }
    return -1;
}

static int valid(const struct bucket *b, const char *what, struct error *e)
{
    if (b[TOTAL].avg > 0 && (b[READ].avg > 0 || b[WRITE].avg > 0))
        return error_set(e, "%s-total and %s-read/%s-write cannot be used at the same time", what, what, what);
    if (b[TOTAL].max > 0 && (b[READ].max > 0 || b[WRITE].max > 0))
        return error_set(e, "%s-total-max and %s-read-max/%s-write-max cannot be used at the same time", what, what, what);
    for (unsigned i = 0; i < N_KINDS; i++) {
        if (b[i].max > 0 && b[i].avg <= 0)
            return error_set(e, "bps-max/iops-max require corresponding bps/iops values");
        if (b[i].max > 0 && b[i].max < b[i].avg) return error_set(e, "bps-max/iops-max cannot be lower than bps/iops");
        if (b[i].length > 1 && b[i].max <= 0) return error_set(e, "burst length set without burst rate");
        if (!b[i].length) return error_set(e, "the burst length cannot be 0");
    }
    return 0;
}

struct throttle_group *throttle_group_new(const struct opts *o, const char *const *ignore, struct error *e)
{
    struct throttle_group *g = NEW(struct throttle_group);
    bool ok = true;

    for (unsigned i = 0; i < N_KINDS; i++) g->bytes[i].length = g->ops[i].length = 1;
    for (unsigned i = 0; i < o->n && ok; i++) {
        const char *key = o->v[i].name;
        uint64_t v;
        bool skip = false;
        for (const char *const *k = ignore; k && *k; k++) skip |= !strcmp(*k, key);
        if (skip) continue;
        if (!strncmp(key, "x-", 2)) key += 2;
        if (!strncmp(key, "limits.", 7)) key += 7;
        ok = !opt_parse_size(key, o->v[i].value, 1, &v, e);
        if (ok && v > UINT64_C(1000000000000000)) ok = !error_set(e, "bps/iops/max values must be within [0, 1000000000000000]");
        if (ok && limit(g, key, v)) ok = !error_set(e, "Property 'throttle-group.%s' not found", o->v[i].name);
    }
    if (!ok || valid(g->bytes, "bps", e) || valid(g->ops, "iops", e)) {
        mem_free(g);
        return NULL;
    }
    pthread_mutex_init(&g->lock, NULL);
    g->last = now_seconds();
    return g;
}

void throttle_group_delete(void *p)
{
    struct throttle_group *g = p;

    if (!g) return;
    pthread_mutex_destroy(&g->lock);
    mem_free(g);
}

static void leak(struct bucket *b, double seconds)
{
    b->level = MAX(b->level - b->avg * seconds, 0);
    b->burst = MAX(b->burst - b->max * seconds, 0);
}

/* Seconds until a bucket is no fuller than it may be, with `units` more in it. */
static double pour(struct bucket *b, double units)
{
    double wait = 0, size = b->max > 0 ? b->max * (double)b->length : b->avg / 10;

    if (b->avg <= 0) return 0;
    b->level += units;
    if (b->level > size) wait = (b->level - size) / b->avg;
    if (b->max > 0 && b->length > 1) {
        b->burst += units;
        if (b->burst > b->max / 10) wait = MAX(wait, (b->burst - b->max / 10) / b->max);
    }
    return wait;
}

void throttle_wait(struct throttle_group *g, bool write, uint64_t n)
{
    double now, wait = 0, ops = 1;
    unsigned kinds[2] = {TOTAL, write ? WRITE : READ};

    pthread_mutex_lock(&g->lock);
    now = now_seconds();
    for (unsigned i = 0; i < N_KINDS; i++) leak(&g->bytes[i], now - g->last), leak(&g->ops[i], now - g->last);
    g->last = now;
    if (g->iops_size && n > g->iops_size) ops = (double)n / (double)g->iops_size;
    for (unsigned i = 0; i < 2; i++) {
        double a = pour(&g->bytes[kinds[i]], (double)n), b = pour(&g->ops[kinds[i]], ops);
        wait = MAX(wait, MAX(a, b));
    }
    pthread_mutex_unlock(&g->lock);
    if (wait > 0) {
        struct timespec t = {(time_t)wait, (long)((wait - (double)(time_t)wait) * 1e9)};
        while (nanosleep(&t, &t) && errno == EINTR) {
        }
    }
}

/* ---- the filter ----------------------------------------------------------------------------------- */

struct throttle {
    struct throttle_group *group;
};

static int throttle_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct throttle *s = blk_state(n);
    const char *id = opts_get(o, "throttle-group");

    if (!id) return error_set(e, "Parameter 'throttle-group' is missing"), -EINVAL;
    s->group = blk_object_find(blk_node_graph(n), "throttle-group", id);
    if (!s->group) return error_set(e, "Throttle group '%s' does not exist", id), -EINVAL;
    blk_set_size(n, blk_node_size(blk_file(n)));
    return 0;
}

static uint64_t throttle_length(struct blk_node *n) { return blk_node_size(blk_file(n)); }

static int throttle_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct throttle *s = blk_state(n);
    throttle_wait(s->group, false, len);
    return blk_node_read(blk_file(n), offset, buf, len);
}

static int throttle_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    struct throttle *s = blk_state(n);
    throttle_wait(s->group, true, len);
    return blk_node_write(blk_file(n), offset, buf, len, flags);
}

static int throttle_zero(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    struct throttle *s = blk_state(n);
    throttle_wait(s->group, true, len);
    return blk_node_zero(blk_file(n), offset, len, flags);
}

static int throttle_discard(struct blk_node *n, uint64_t offset, uint64_t len)
{
    struct throttle *s = blk_state(n);
    throttle_wait(s->group, true, len);
    return blk_node_discard(blk_file(n), offset, len);
}

static int throttle_truncate(struct blk_node *n, uint64_t size, enum blk_prealloc prealloc, struct error *e)
{
    return blk_node_truncate(blk_file(n), size, prealloc, e);
}

static const struct opt_desc throttle_opts[] = {
    {"throttle-group", OPT_STRING, "the group whose limits hold"},
    {NULL, OPT_STRING, NULL},
};

const struct blk_driver blk_drv_throttle = {
    .name = "throttle",
    .kind = BLK_FILTER,
    .locking = BLK_LOCK_OWN,
    .grows = true,
    .state_size = sizeof(struct throttle),
    .open_opts = throttle_opts,
    .open = throttle_open,
    .length = throttle_length,
    .read = throttle_read,
    .write = throttle_write,
    .zero = throttle_zero,
    .discard = throttle_discard,
    .truncate = throttle_truncate,
};
