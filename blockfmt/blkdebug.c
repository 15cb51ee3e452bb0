/*
 * blkdebug.c - a filter that fails requests on purpose: rules of a configuration file or of options say at which events,
 * in which state, for which sector. Events are names that formats raise with blk_debug_event (driver.h).
 *
 * A rule with event "none" (or none given in options) holds from the start. An inject-error rule becomes active when its
 * event is raised in its state, in place of those active before; active ones fail the requests they fit, "once" ones
 * a single request. A set-state rule changes the state. A breakpoint stops who raises its event, until told to go on. Two things are our own: `after`, how many requests that fit pass
 * before one fails, and the iotypes "truncate" (in no other) and "change" (all but reads and status).
 *
 * Not here: the limits max-transfer, opt-*, max-* are accepted and only max-transfer and align have an effect.
 */
#include "blockfmt/imgutil.h"

#include <stdio.h>

#define MAX_RULES 256

enum { INJECT = 1, SET_STATE, BREAK };
enum { ON_READ = 1, ON_WRITE = 2, ON_ZERO = 4, ON_DISCARD = 8, ON_FLUSH = 16, ON_STATUS = 32, ON_ALL = 63, ON_TRUNCATE = 64,
       ON_CHANGE = ON_TRUNCATE | ON_WRITE | ON_ZERO | ON_DISCARD | ON_FLUSH };

struct rule {
    int kind;
    char event[40], tag[40]; /* tag: of a breakpoint */
    unsigned state, new_state, on;
    int error;
    int64_t sector; /* -1: any */
    uint64_t after; /* so many that fit pass before */
    bool once, active, spent;
};

/* One that stands at a breakpoint, on its thread's stack. */
struct stopped {
    char tag[40];
    bool go;
    struct stopped *next;
};

struct blkdebug {
    struct blk_node *child;
    pthread_mutex_t lock;
    pthread_cond_t resumed;
    struct stopped *stopped;
    struct rule v[MAX_RULES];
    unsigned n, state;
};

static const char *const events[] = {
    "l1_update", "l1_grow_alloc_table", "l1_grow_write_table", "l1_grow_activate_table", "l2_load", "l2_update",
    "l2_update_compressed", "l2_alloc_cow_read", "l2_alloc_write", "read_aio", "read_backing_aio", "read_compressed",
    "write_aio", "write_compressed", "vmstate_load", "vmstate_save", "cow_read", "cow_write", "reftable_load", "reftable_grow",
    "reftable_update", "refblock_load", "refblock_update", "refblock_update_part", "refblock_alloc", "refblock_alloc_hookup",
    "refblock_alloc_write", "refblock_alloc_write_blocks", "refblock_alloc_write_table", "refblock_alloc_switch_table",
    "cluster_alloc", "cluster_alloc_bytes", "cluster_alloc_space", "cluster_free", "flush_to_os", "flush_to_disk", "pwritev_rmw_head",
    "pwritev_rmw_after_head", "pwritev_rmw_tail", "pwritev_rmw_after_tail", "pwritev", "pwritev_zero", "pwritev_done",
    "empty_image_prepare", "l1_shrink_write_table", "l1_shrink_free_l2_clusters", "cor_write", "none",
};

/* ---- rules ---------------------------------------------------------------------------------------- */

static bool is_event(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        if (!strcmp(name, events[i])) return true;
    }
    return false;
}

static int set_key(struct rule *r, const char *key, const char *value, struct error *e)
{
    static const struct { const char *name; unsigned bit; } types[] = {
        {"read", ON_READ}, {"write", ON_WRITE}, {"write-zeroes", ON_ZERO}, {"discard", ON_DISCARD}, {"flush", ON_FLUSH},
        {"block-status", ON_STATUS}, {"truncate", ON_TRUNCATE}, {"change", ON_CHANGE}};
    uint64_t v = 0;
    bool b;

    if (!strcmp(key, "event")) {
        if (!is_event(value)) return error_set(e, "Invalid event name \"%s\"", value);
        return snprintf(r->event, sizeof r->event, "%s", value), 0;
    }
    if (!strcmp(key, "iotype")) {
        for (size_t i = 0; i < ARRAY_LEN(types); i++) {
            if (!strcmp(value, types[i].name)) return r->on = types[i].bit, 0;
        }
        return error_set(e, "Invalid value '%s' for iotype", value);
    }
    if (!strcmp(key, "once") || !strcmp(key, "immediately")) {
        if (opt_parse_bool(key, value, &b, e)) return -1;
        if (*key == 'o') r->once = b;
        return 0;
    }
    if (!strcmp(key, "sector") && !strcmp(value, "-1")) return r->sector = -1, 0;
    if (opt_parse_number(key, value, !strcmp(key, "sector") || !strcmp(key, "after") ? INT64_MAX >> 9 : 4095, &v, e)) return -1;
    if (!strcmp(key, "state")) r->state = (unsigned)v;
    else if (!strcmp(key, "new_state")) r->new_state = (unsigned)v;
    else if (!strcmp(key, "errno")) r->error = (int)v;
    else if (!strcmp(key, "sector")) r->sector = (int64_t)v;
    else if (!strcmp(key, "after")) r->after = v;
    else return error_set(e, "Invalid parameter '%s'", key);
    return 0;
}

static struct rule *new_rule(struct blkdebug *s, int kind, struct error *e)
{
    if (s->n == MAX_RULES) return error_set(e, "blkdebug: more than %d rules", MAX_RULES), NULL;
    s->v[s->n] = (struct rule){.kind = kind, .error = EIO, .sector = -1, .on = ON_ALL};
    return &s->v[s->n++];
}

/* Sections [inject-error] and [set-state], lines key = "value". */
static int read_config(struct blkdebug *s, const char *path, struct error *e)
{
    char line[512], key[64], value[256];
    FILE *f = fopen(path, "r");
    struct rule *r = NULL;
    unsigned number = 0;
    int rc = 0;

    if (!f) return error_set(e, "Could not read blkdebug config file '%s': %s", path, strerror(errno));
    while (!rc && fgets(line, sizeof line, f)) {
        char *p = line + strspn(line, " \t");
        number++;
        if (*p == '#' || *p == '\n' || *p == '\r' || !*p) continue;
        if (*p == '[') {
            bool inject = !strncmp(p, "[inject-error]", 14);
            if (!inject && strncmp(p, "[set-state]", 11)) rc = error_set(e, "%s:%u: unknown section", path, number);
            else rc = (r = new_rule(s, inject ? INJECT : SET_STATE, e)) ? 0 : -1;
        } else if (!r || sscanf(p, "%63[a-z_-] = \"%255[^\"]\"", key, value) != 2) {
            rc = error_set(e, "%s:%u: not a line key = \"value\" of a section", path, number);
        } else if (set_key(r, key, value, e)) {
            error_prefix(e, "%s:%u", path, number);
            rc = -1;
        }
    }
    fclose(f);
    return rc;
}

/* inject-error.N.key, set-state.N.key */
static int read_options(struct blkdebug *s, const struct opts *o, struct error *e)
{
    static const char *const kinds[] = {"inject-error", "set-state"};

    for (unsigned k = 0; k < 2; k++) {
        for (unsigned n = 0; n < MAX_RULES; n++) {
            char prefix[32];
            struct rule *r = NULL;
            size_t len = (size_t)snprintf(prefix, sizeof prefix, "%s.%u.", kinds[k], n);
            for (unsigned i = 0; i < o->n; i++) {
                if (strncmp(o->v[i].name, prefix, len)) continue;
                if (!r && !(r = new_rule(s, k ? SET_STATE : INJECT, e))) return -1;
                if (set_key(r, o->v[i].name + len, o->v[i].value, e)) return -1;
            }
            if (!r) break;
        }
    }
    return 0;
}

/* ---- breakpoints ---------------------------------------------------------------------------------- */

/* Called with the lock, which is given up meanwhile. */
static void stop(struct blkdebug *s, const char *tag)
{
    struct stopped me = {.go = false}, **p;

    snprintf(me.tag, sizeof me.tag, "%s", tag);
    for (p = &s->stopped; *p;) p = &(*p)->next; /* the first to come is the first to be resumed */
    *p = &me;
    while (!me.go) pthread_cond_wait(&s->resumed, &s->lock);
    for (p = &s->stopped; *p != &me;) p = &(*p)->next;
    *p = me.next;
}

static int go_on(struct blkdebug *s, const char *tag, bool all)
{
    int rc = -ENOENT;

    for (struct stopped *x = s->stopped; x && (all || rc); x = x->next) {
        if (x->go || (tag && strcmp(x->tag, tag))) continue;
        x->go = true, rc = 0;
    }
    pthread_cond_broadcast(&s->resumed);
    return rc;
}

static int remove_breaks(struct blkdebug *s, const char *tag)
{
    unsigned kept = 0, n = s->n;

    for (unsigned i = 0; i < n; i++) {
        if (s->v[i].kind != BREAK || (tag && strcmp(s->v[i].tag, tag))) s->v[kept++] = s->v[i];
    }
    s->n = kept;
    return kept < n ? 0 : -ENOENT;
}

static int blkdebug_break(struct blk_node *n, enum blk_break op, const char *event, const char *tag)
{
    struct blkdebug *s = blk_state(n);
    struct rule *r;
    int rc = 0;

    if (tag && strlen(tag) >= sizeof r->tag) return -EINVAL;
    pthread_mutex_lock(&s->lock);
    switch (op) {
    case BLK_BREAK_SET:
        r = is_event(event) ? new_rule(s, BREAK, NULL) : NULL;
        if (!r) rc = is_event(event) ? -ENOSPC : -ENOENT;
        else snprintf(r->event, sizeof r->event, "%s", event), snprintf(r->tag, sizeof r->tag, "%s", tag);
        break;
    case BLK_BREAK_RESUME: rc = go_on(s, tag, false); break;
    case BLK_BREAK_ASK:
        for (const struct stopped *x = s->stopped; x; x = x->next) rc |= !x->go && !strcmp(x->tag, tag);
        break;
    case BLK_BREAK_REMOVE: case BLK_BREAK_NONE:
        rc = remove_breaks(s, tag);
        if (!go_on(s, tag, true)) rc = 0;
        break;
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* ---- events and errors ---------------------------------------------------------------------------- */

static void blkdebug_event(struct blk_node *n, const char *event)
{
    struct blkdebug *s = blk_state(n);
    unsigned state;
    bool first = true;
    char tag[sizeof s->v[0].tag] = "";

    pthread_mutex_lock(&s->lock);
    state = s->state;
    for (unsigned i = 0; i < s->n; i++) {
        struct rule *r = &s->v[i];
        if (strcmp(r->event, event) || r->spent || (r->state && r->state != s->state)) continue;
        if (r->kind == BREAK) {
            if (*tag) continue;
            memcpy(tag, r->tag, sizeof tag);
            r->spent = true; /* once */
            continue;
        }
        if (r->kind == SET_STATE) {
            state = r->new_state;
            continue;
        }
        for (unsigned k = 0; first && k < s->n; k++) s->v[k].active &= !strcmp(s->v[k].event, "none");
        first = false;
        r->active = true;
    }
    s->state = state;
    for (unsigned i = 0; i < s->n && *tag; i++) {
        if (s->v[i].kind != BREAK || !s->v[i].spent) continue;
        memmove(&s->v[i], &s->v[i + 1], (--s->n - i) * sizeof s->v[i]);
        break;
    }
    if (*tag) stop(s, tag);
    pthread_mutex_unlock(&s->lock);
}

static int fault(struct blkdebug *s, unsigned on, uint64_t offset, uint64_t len)
{
    int rc = 0;

    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->n && !rc; i++) {
        struct rule *r = &s->v[i];
        if (r->kind != INJECT || !r->active || r->spent || !(r->on & on)) continue;
        if (r->state && !strcmp(r->event, "none") && r->state != s->state) continue;
        if (r->sector >= 0 && ((uint64_t)r->sector * 512 + 511 < offset || (uint64_t)r->sector * 512 >= offset + len)) continue;
        if (r->after) {
            r->after--;
            continue;
        }
        rc = -r->error;
        if (r->once) r->active = false, r->spent = true;
        if (!r->error) break;
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* ---- the driver ----------------------------------------------------------------------------------- */

static int blkdebug_parse(const char *filename, struct opts *o, struct error *e)
{
    const char *p = filename + strlen("blkdebug:"), *colon = strchr(p, ':');
    struct opts sub = {NULL, 0};
    int rc;

    if (!colon) return error_set(e, "blkdebug requires both config file and image path"), -EINVAL;
    if (colon > p) {
        char *config = mem_printf("%.*s", (int)(colon - p), p);
        opts_set(o, "config", config);
        mem_free(config);
    }
    rc = blk_parse_filename(colon + 1, &sub, e);
    for (unsigned i = 0; i < sub.n && !rc; i++) {
        if (strncmp(sub.v[i].name, "file.", 5)) continue;
        char *key = mem_printf("image.%s", sub.v[i].name + 5);
        opts_set(o, key, sub.v[i].value);
        mem_free(key);
    }
    opts_free(&sub);
    return rc;
}

static int blkdebug_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct blkdebug *s = blk_state(n);
    const char *config = opts_get(o, "config");
    uint64_t align = opts_size(o, "align", 0), most = opts_size(o, "max-transfer", 0);

    s->state = 1;
    if ((config && read_config(s, config, e)) || read_options(s, o, e)) return -EINVAL;
    for (unsigned i = 0; i < s->n; i++) {
        if (!*s->v[i].event) memcpy(s->v[i].event, "none", 5);
        s->v[i].active = s->v[i].kind == INJECT && !strcmp(s->v[i].event, "none");
    }
    if (align > 1u << 30 || (align & (align - 1)))
        return error_set(e, "Cannot meet constraints with align %llu", (unsigned long long)align), -EINVAL;
    if (most > INT32_MAX || (align && most % align))
        return error_set(e, "Cannot meet constraints with max-transfer %llu", (unsigned long long)most), -EINVAL;
    s->child = blk_open_filter_child(n, o, "image", false, e);
    if (!s->child) return -EINVAL;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->resumed, NULL);
    blk_set_size(n, blk_node_size(s->child));
    blk_set_limits(n, align ? (uint32_t)align : 1, (uint32_t)most);
    return 0;
}

static void blkdebug_close(struct blk_node *n)
{
    struct blkdebug *s = blk_state(n);
    pthread_cond_destroy(&s->resumed);
    pthread_mutex_destroy(&s->lock);
}

static uint64_t blkdebug_length(struct blk_node *n)
{
    struct blkdebug *s = blk_state(n);
    return s->child ? blk_node_size(s->child) : 0;
}

static int blkdebug_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct blkdebug *s = blk_state(n);
    int rc = fault(s, ON_READ, offset, len);
    return rc ? rc : blk_node_read(s->child, offset, buf, len);
}

static int blkdebug_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    struct blkdebug *s = blk_state(n);
    int rc = fault(s, ON_WRITE, offset, len);
    return rc ? rc : blk_node_write(s->child, offset, buf, len, flags);
}

static int blkdebug_zero(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    struct blkdebug *s = blk_state(n);
    int rc = fault(s, ON_ZERO, offset, len);
    return rc ? rc : blk_node_zero(s->child, offset, len, flags);
}

static int blkdebug_discard(struct blk_node *n, uint64_t offset, uint64_t len)
{
    struct blkdebug *s = blk_state(n);
    int rc = fault(s, ON_DISCARD, offset, len);
    return rc ? rc : blk_node_discard(s->child, offset, len);
}

static int blkdebug_flush(struct blk_node *n)
{
    struct blkdebug *s = blk_state(n);
    return fault(s, ON_FLUSH, 0, UINT64_MAX);
}

static int blkdebug_status(struct blk_node *n, uint64_t offset, uint64_t len, struct blk_status *st)
{
    struct blkdebug *s = blk_state(n);
    int rc = fault(s, ON_STATUS, offset, len);
    return rc ? rc : blk_node_status(s->child, offset, len, st);
}

static int blkdebug_truncate(struct blk_node *n, uint64_t size, enum blk_prealloc prealloc, struct error *e)
{
    struct blkdebug *s = blk_state(n);
    int rc = fault(s, ON_TRUNCATE, 0, UINT64_MAX);
    return rc ? error_set(e, "Failed to resize the file: %s", strerror(-rc)), rc : blk_node_truncate(s->child, size, prealloc, e);
}

static const struct opt_desc blkdebug_opts[] = {
    {"config", OPT_STRING, "file with rules"},
    {"image", OPT_STRING, "the node below"},
    {"image.*", OPT_STRING, "the node below"},
    {"align", OPT_SIZE, "requests are widened to this"},
    {"max-transfer", OPT_SIZE, "requests are cut to this"},
    {"opt-write-zero", OPT_SIZE, "accepted"},
    {"max-write-zero", OPT_SIZE, "accepted"},
    {"opt-discard", OPT_SIZE, "accepted"},
    {"max-discard", OPT_SIZE, "accepted"},
    {"inject-error.*", OPT_STRING, "rules: event, state, errno, sector, once, immediately, iotype, after"},
    {"set-state.*", OPT_STRING, "rules: event, state, new_state"},
    {NULL, OPT_STRING, NULL},
};

static const char *const prefixes[] = {"blkdebug", NULL};
const struct blk_driver blk_drv_blkdebug = {
    .name = "blkdebug",
    .kind = BLK_FILTER,
    .locking = BLK_LOCK_OWN,
    .grows = true,
    .no_file = true,
    .state_size = sizeof(struct blkdebug),
    .open_opts = blkdebug_opts,
    .prefixes = prefixes,
    .parse_filename = blkdebug_parse,
    .open = blkdebug_open,
    .close = blkdebug_close,
    .read = blkdebug_read,
    .write = blkdebug_write,
    .zero = blkdebug_zero,
    .discard = blkdebug_discard,
    .flush = blkdebug_flush,
    .status = blkdebug_status,
    .length = blkdebug_length,
    .truncate = blkdebug_truncate,
    .debug_event = blkdebug_event,
    .debug_break = blkdebug_break,
};
