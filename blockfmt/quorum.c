/*
 * quorum.c - several copies of one disk: writes go to all, reads are put to the vote. With read-pattern=fifo the first
 * child that can be read answers.
 *
 * A write succeeds when at least vote-threshold children took it. A read returns what at least that many children agree
 * on; rewrite-corrupted writes it over the others. blkverify (two children, threshold 2): a difference is said and fails.
 */
#include "blockfmt/imgutil.h"

#include <stdio.h>

#define MAX_CHILDREN 32

struct quorum {
    struct blk_node *child[MAX_CHILDREN];
    unsigned n, threshold;
    bool verify, rewrite, fifo;
};

static int quorum_open(struct blk_node *n, const struct opts *o, unsigned flags, struct error *e)
{
    struct quorum *s = blk_state(n);
    const char *pattern = opts_get(o, "read-pattern");
    char role[24];

    for (s->n = 0; s->n < MAX_CHILDREN; s->n++) {
        size_t len = (size_t)snprintf(role, sizeof role, "children.%u", s->n);
        bool there = false;
        for (unsigned i = 0; i < o->n; i++)
            there |= !strncmp(o->v[i].name, role, len) && (!o->v[i].name[len] || o->v[i].name[len] == '.');
        if (!there) break;
        s->child[s->n] = blk_open_child(n, o, role, NULL, true, e);
        if (!s->child[s->n]) return -EINVAL;
        if (blk_node_size(s->child[s->n]) != blk_node_size(s->child[0]))
            return error_set(e, "quorum: children.%u has another size (%llu) than children.0 (%llu)", s->n,
                             (unsigned long long)blk_node_size(s->child[s->n]), (unsigned long long)blk_node_size(s->child[0])),
                   -EINVAL;
    }
    if (!s->n) return error_set(e, "Number of provided children must be 1 or more"), -EINVAL;
    if (pattern && strcmp(pattern, "quorum") && strcmp(pattern, "fifo"))
        return error_set(e, "Invalid parameter '%s' for read-pattern", pattern), -EINVAL;
    s->fifo = pattern && !strcmp(pattern, "fifo");
    s->threshold = (unsigned)MIN(opts_number(o, "vote-threshold", s->fifo ? 1 : 0), (uint64_t)UINT32_MAX);
    if (!s->fifo && (s->threshold < 1 || s->threshold > s->n))
        return error_set(e, "threshold may not exceed children count, or be less than 1"), -ERANGE;
    if (s->fifo) s->threshold = 1;
    s->verify = opts_bool(o, "blkverify", false), s->rewrite = opts_bool(o, "rewrite-corrupted", false);
    if (s->verify && (s->n != 2 || s->threshold != 2))
        return error_set(e, "blkverify=on can only be set if there are exactly two files and vote-threshold is 2"), -EINVAL;
    if (s->rewrite && s->verify)
        return error_set(e, "rewrite-corrupted=on cannot be used with blkverify=on"), -EINVAL;
    blk_set_size(n, blk_node_size(s->child[0]));
    return 0;
}

static int vote(struct quorum *s, uint8_t *const *copies, const int *rc, size_t len, unsigned *winner)
{
    unsigned best = 0;

    for (unsigned i = 0; i < s->n; i++) {
        unsigned votes = 0;
        for (unsigned k = 0; k < s->n && !rc[i]; k++) votes += !rc[k] && !memcmp(copies[i], copies[k], len);
        if (votes > best) best = votes, *winner = i;
    }
    return best >= s->threshold ? 0 : -EIO;
}

static int quorum_read(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct quorum *s = blk_state(n);
    uint8_t *copies[MAX_CHILDREN];
    int rc[MAX_CHILDREN], result = -EIO;
    unsigned winner = 0;

    if (s->fifo) {
        for (unsigned i = 0; i < s->n && result; i++) result = blk_node_read(s->child[i], offset, buf, len);
        return result;
    }
    for (unsigned i = 0; i < s->n; i++) {
        copies[i] = blk_alloc_aligned(len);
        rc[i] = blk_node_read(s->child[i], offset, copies[i], len);
    }
    result = vote(s, copies, rc, len, &winner);
    if (!result) memcpy(buf, copies[winner], len);
    if (result && s->verify)
        error_report("quorum: offset=%llu bytes=%zu contents mismatch", (unsigned long long)offset, len);
    for (unsigned i = 0; i < s->n; i++) {
        if (!result && s->rewrite && !(blk_node_flags(n) & BLK_RDONLY) && (rc[i] || memcmp(copies[i], copies[winner], len)))
            (void)blk_node_write(s->child[i], offset, copies[winner], len, 0);
    }
    for (unsigned i = 0; i < s->n; i++) blk_free_aligned(copies[i]);
    return result;
}

/* Enough have done it, or the error of the last that has not. */
static int outcome(const struct quorum *s, unsigned done, int last) { return done >= s->threshold ? 0 : last; }

static int quorum_write(struct blk_node *n, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    struct quorum *s = blk_state(n);
    unsigned done = 0;
    int last = 0;

    for (unsigned i = 0; i < s->n; i++) {
        int rc = blk_node_write(s->child[i], offset, buf, len, flags);
        if (rc) last = rc;
        else done++;
    }
    return outcome(s, done, last);
}

static int quorum_zero(struct blk_node *n, uint64_t offset, uint64_t len, unsigned flags)
{
    struct quorum *s = blk_state(n);
    unsigned done = 0;
    int last = 0;

    for (unsigned i = 0; i < s->n; i++) {
        int rc = blk_node_zero(s->child[i], offset, len, flags & ~(unsigned)BLK_NO_FALLBACK);
        if (rc) last = rc;
        else done++;
    }
    return outcome(s, done, last);
}

static const struct opt_desc quorum_opts[] = {
    {"children.*", OPT_STRING, "the copies, by number"},
    {"vote-threshold", OPT_NUMBER, "how many must agree"},
    {"blkverify", OPT_BOOL, "two children that must be equal"},
    {"rewrite-corrupted", OPT_BOOL, "write over what lost a vote"},
    {"read-pattern", OPT_STRING, "quorum or fifo"},
    {NULL, OPT_STRING, NULL},
};

const struct blk_driver blk_drv_quorum = {
    .name = "quorum",
    .kind = BLK_FILTER,
    .no_file = true,
    .state_size = sizeof(struct quorum),
    .open_opts = quorum_opts,
    .open = quorum_open,
    .read = quorum_read,
    .write = quorum_write,
    .zero = quorum_zero,
};
