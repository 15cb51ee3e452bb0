/*
 * decode.c - what derives from the MIPS instruction tables: masks, the decoder, random encodings.
 *
 * The decoder is a tree of small tables built from the patterns once per process: each node looks at the
 * field that splits its lines best. A 32-bit instruction is found in two to four steps.
 */
#include "isa/mips/decode.h"

#include <assert.h>
#include <pthread.h>

#define FITS(n, p, s)                                                                                 \
    static_assert(sizeof n <= sizeof(((struct mips_insn *)0)->name) && sizeof p <= sizeof(((struct mips_insn *)0)->pattern) && \
                  sizeof s <= sizeof(((struct mips_insn *)0)->syntax), n);
#define INSN(n, p, s, l, f, fn, a) FITS(n, p, s)
#include "isa/mips/mips.def"
#define INSN16(n, p, s, f, fn, a) FITS(n, p, s)
#include "isa/mips/mips16.def"

const struct mips_insn mips_insns[] = {
#define INSN(n, p, s, l, f, fn, a) { n, p, s, l, f, a },
#include "isa/mips/mips.def"
#define INSN16(n, p, s, f, fn, a) { n, p, s, MIPS_16E, f, a },
#include "isa/mips/mips16.def"
};
void (*const mips_translators[])(struct mips_tr *) = {
#define INSN(n, p, s, l, f, fn, a) tr_##fn,
#include "isa/mips/mips.def"
#define INSN16(n, p, s, f, fn, a) tr16_##fn,
#include "isa/mips/mips16.def"
};

enum {
    N_INSNS32 = 0
#define INSN(n, p, s, l, f, fn, a) +1
#include "isa/mips/mips.def"
    ,
    N_INSNS = ARRAY_LEN(mips_insns),
};
const unsigned mips_n_insns = N_INSNS, mips_n_insns32 = N_INSNS32;

static struct mips_bits bits[N_INSNS];

/* Fields that a node may look at: most to least significant bit number. */
static const struct field { uint8_t shift, width; } fields[] = {
    { 26, 6 }, { 0, 6 }, { 21, 5 }, { 16, 5 }, { 6, 5 }, { 11, 5 }, { 16, 2 },
    /* MIPS16e */
    { 11, 5 }, { 8, 3 }, { 0, 5 }, { 5, 3 }, { 0, 2 },
};
enum { FIELDS16 = 7 };

/* A node: either a field and 1 << width children from `first`, or (width 0) lines from `first`. */
struct node { uint8_t shift, width; uint16_t first, n; };
enum { MAX_NODES = 3000, MAX_REFS = 3000, LEAF = 3 /* lines that are searched one by one */ };
static struct node nodes[MAX_NODES];
static uint16_t refs[MAX_REFS];
static unsigned n_nodes, n_refs;
static uint16_t root32, root16;
static pthread_once_t once32 = PTHREAD_ONCE_INIT, once16 = PTHREAD_ONCE_INIT;

static void parse(unsigned line)
{
    uint32_t mask = 0, match = 0;

    for (const char *p = mips_insns[line].pattern; *p; p++) {
        if (*p == ' ') continue;
        mask = mask << 1 | (*p == '0' || *p == '1');
        match = match << 1 | (*p == '1');
    }
    bits[line] = (struct mips_bits){ mask, match };
}

/* Bits as the tree sees them: of a two-halfword MIPS16e instruction the first one only. */
static struct mips_bits tree_bits(unsigned line)
{
    struct mips_bits b = bits[line];

    if (line >= N_INSNS32 && b.mask >> 16) b.mask >>= 16, b.match >>= 16;
    return b;
}

static bool in_child(unsigned line, struct field f, unsigned child)
{
    struct mips_bits b = tree_bits(line);
    uint32_t m = b.mask >> f.shift & ((1u << f.width) - 1), v = b.match >> f.shift & ((1u << f.width) - 1);
    return (child & m) == v;
}

static unsigned fixed_bits(unsigned line)
{
    unsigned n = 0;
    for (uint32_t m = tree_bits(line).mask; m; m &= m - 1) n++;
    return n;
}

/* Fills nodes[at] for the lines; n <= N_INSNS. Depth is bounded as every step removes a field. */
static void build(unsigned at, const uint16_t *lines, unsigned n, unsigned used, bool is16)
{
    unsigned best = 0, best_size = n, best_sum = ~0u;
    uint16_t sub[N_INSNS];

    /* The field that repeats the fewest lines (free bits put a line into several children), then the one
     * with the smallest largest child. */
    for (unsigned f = is16 ? FIELDS16 : 0; n > LEAF && f < (is16 ? ARRAY_LEN(fields) : FIELDS16); f++) {
        unsigned largest = 0, sum = 0, all = (1u << fields[f].width) - 1;
        uint16_t child[64] = { 0 };
        if (used & 1u << f) continue;
        for (unsigned i = 0; i < n && sum <= best_sum; i++) { /* what is counted below, for less */
            unsigned times = 1;
            for (uint32_t m = all & ~(tree_bits(lines[i]).mask >> fields[f].shift); m; m &= m - 1) times *= 2;
            sum += times;
        }
        if (sum > best_sum) continue;
        for (unsigned i = 0; i < n; i++) {
            struct mips_bits b = tree_bits(lines[i]);
            uint32_t m = b.mask >> fields[f].shift & all, free_bits = all & ~m, v = b.match >> fields[f].shift & m, more = 0;
            do { /* every value of the free bits */
                child[v | more]++;
                more = (more - free_bits) & free_bits;
            } while (more);
        }
        for (unsigned c = 0; c <= all; c++) {
            if (child[c] > largest) largest = child[c];
        }
        if (largest < n && (sum < best_sum || (sum == best_sum && largest < best_size))) {
            best = f, best_size = largest, best_sum = sum;
        }
    }
    unsigned children = 1u << fields[best].width;
    if (best_size < n && n_nodes + children <= MAX_NODES) {
        nodes[at] = (struct node){ fields[best].shift, fields[best].width, (uint16_t)n_nodes, 0 };
        n_nodes += children;
        for (unsigned c = 0; c < children; c++) {
            unsigned k = 0;
            for (unsigned i = 0; i < n; i++) {
                if (in_child(lines[i], fields[best], c)) sub[k++] = lines[i];
            }
            build(nodes[at].first + c, sub, k, used | 1u << best, is16);
        }
        return;
    }
    /* a leaf: the narrowest pattern first */
    nodes[at] = (struct node){ 0, 0, (uint16_t)n_refs, 0 };
    for (unsigned i = 0; i < n && n_refs < MAX_REFS; i++) {
        unsigned k = n_refs++;
        while (k > nodes[at].first && fixed_bits(refs[k - 1]) < fixed_bits(lines[i])) refs[k] = refs[k - 1], k--;
        refs[k] = lines[i];
        nodes[at].n++;
    }
}

static uint16_t build_tree(unsigned from, unsigned to, bool is16)
{
    uint16_t lines[N_INSNS], root = (uint16_t)n_nodes++;

    for (unsigned i = from; i < to; i++) lines[i - from] = (uint16_t)i;
    build(root, lines, to - from, 0, is16);
    return root;
}

static void init32(void)
{
    for (unsigned i = 0; i < N_INSNS; i++) parse(i);
    root32 = build_tree(0, N_INSNS32, false);
}

/* Few programs have any. */
static void init16(void)
{
    pthread_once(&once32, init32);
    root16 = build_tree(N_INSNS32, N_INSNS, true);
}

const struct mips_bits *mips_insn_bits(unsigned line)
{
    pthread_once(&once32, init32);
    return &bits[line];
}

static int find(const struct node *n, uint32_t insn, uint32_t levels)
{
    while (n->width) n = &nodes[n->first + (insn >> n->shift & ((1u << n->width) - 1))];
    for (unsigned i = 0; i < n->n; i++) {
        unsigned line = refs[n->first + i];
        struct mips_bits b = bits[line];
        if (line >= N_INSNS32 && b.mask >> 16) b.mask >>= 16, b.match >>= 16;
        if ((insn & b.mask) == b.match && mips_insns[line].levels & levels) return (int)line;
    }
    return -1;
}

int mips_decode(uint32_t insn, uint32_t levels)
{
    pthread_once(&once32, init32);
    return find(&nodes[root32], insn, levels);
}

int mips16_decode(uint32_t insn)
{
    pthread_once(&once16, init16);
    return find(&nodes[root16], insn >> 16 ? insn >> 16 : insn, MIPS_16E);
}

uint32_t mips_encode_random(unsigned line, uint64_t *rng)
{
    struct mips_bits b = *mips_insn_bits(line);
    uint32_t wide = line >= N_INSNS32 && !(b.mask >> 16) ? 0xffff : 0xffffffff;

    *rng ^= *rng << 13, *rng ^= *rng >> 7, *rng ^= *rng << 17;
    return (((uint32_t)(*rng >> 16) & ~b.mask) | b.match) & wide;
}
