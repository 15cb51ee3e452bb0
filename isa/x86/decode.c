/*
 * decode.c - what derives from the x86 instruction table: parsed forms, the decoder, random encodings.
 *
 * Lines are found by map and opcode, and where ModRM matters by its reg field and whether it names a register: in the
 * few lines left the first that fits wins, so special forms stand before general ones in the table. Formats: Intel SDM
 * volume 2 chapter 2.
 */
#include "isa/x86/decode.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define INSN(name_, enc_, ops_, feature, flags, fn, arg)                                               \
    static_assert(sizeof name_ <= sizeof(((struct x86_def *)0)->name) && sizeof enc_ <= sizeof(((struct x86_def *)0)->enc) && \
                  sizeof ops_ <= sizeof(((struct x86_def *)0)->ops), name_);
#include "isa/x86/x86.def"

const struct x86_def x86_defs[] = {
#define INSN(name, enc, ops, feature, flags, fn, arg) { name, enc, ops, XF_##feature, flags, arg },
#include "isa/x86/x86.def"
};
void (*const x86_translators[])(struct x86_tr *) = {
#define INSN(name, enc, ops, feature, flags, fn, arg) x86_tr_##fn,
#include "isa/x86/x86.def"
};
enum { N_DEFS = ARRAY_LEN(x86_defs) };
const unsigned x86_n_defs = N_DEFS;

/*
 * Few programs use more than a tenth of the table, and many are over soon. So at first only the lines' opcodes are looked
 * at; the rest of a line is read when its opcode is first met. What has been read is published by form_of and built.
 */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Lists of the lines of each opcode, in their order; lines whose opcode names a register are in eight. */
enum { NO_ENTRY = 0xffff, MAX_ENTRIES = N_DEFS + 8 * 64 };
static struct { uint16_t line, next; } entries[MAX_ENTRIES];
static uint16_t heads[XMAP_COUNT][256];
static unsigned n_entries;

static struct x86_form forms[N_DEFS];
static unsigned n_forms;
static atomic_uint_least16_t form_of[N_DEFS]; /* number of the line's form + 1; 0: not read yet */

/* Lines of an opcode; with `split` there are 16 nodes instead, by ModRM: reg, plus 8 for mod = 3. */
struct node { uint16_t first; uint8_t n; bool modrm, split; };
enum { MAX_SUB = 4000, MAX_REFS = 12000 };
static struct node top[XMAP_COUNT][256], sub[MAX_SUB];
static atomic_bool built[XMAP_COUNT][256];
static uint16_t refs[MAX_REFS];
static unsigned n_sub, n_refs;

/* ---- reading the table ---- */

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that two digits are, or -1. */
static int hex_byte(const char *s)
{
    int high = hex(s[0]), low = high < 0 ? -1 : hex(s[1]);
    return low < 0 ? -1 : high << 4 | low;
}

/* Few are: most differ in the first letter. */
static inline bool word_is(const char *w, size_t n, const char *s) { return *w == *s && strlen(s) == n && !memcmp(w, s, n); }

/* The rest of the words: everything but prefixes, map and opcode. */
static bool parse_word(struct x86_form *f, const char *w, size_t n)
{
    static const struct { const char *word; uint8_t imm; } imms[] = {
        { "ib", XIMM_B }, { "iw", XIMM_W }, { "iz", XIMM_Z }, { "iv", XIMM_V }, { "cb", XIMM_CB },
        { "cz", XIMM_CZ }, { "ap", XIMM_PTR }, { "mo", XIMM_MOFFS }, { "il", XIMM_L },
    };

    for (unsigned i = 0; i < ARRAY_LEN(imms); i++) {
        if (!word_is(w, n, imms[i].word)) continue;
        if (f->imm[1]) return false;
        f->imm[f->imm[0] != 0] = imms[i].imm;
        return true;
    }
    if (word_is(w, n, "/r")) f->modrm = true;
    else if (n == 2 && w[0] == '/') f->modrm = true, f->rm_mask |= 0x38, f->rm_match |= (uint8_t)(hex(w[1]) << 3);
    else if (n == 3 && w[0] == '=') f->modrm = true, f->rm_mask = 0xff, f->rm_match = (uint8_t)(hex(w[1]) << 4 | hex(w[2]));
    else if (word_is(w, n, "MEM")) f->mem = 1;
    else if (word_is(w, n, "REG")) f->reg = 1;
    else if (word_is(w, n, "VSIB")) f->mem = 1, f->vsib = true;
    else if (word_is(w, n, "o16")) f->osizes = 2;
    else if (word_is(w, n, "o32")) f->osizes = 4;
    else if (word_is(w, n, "o64")) f->osizes = 8;
    else if (word_is(w, n, "a16")) f->asizes = 2;
    else if (word_is(w, n, "a32")) f->asizes = 4;
    else if (word_is(w, n, "a64")) f->asizes = 8;
    else if (n == 2 && w[0] == 'W') f->w = w[1] == '1';
    else if (word_is(w, n, "B0")) f->no_b = true;
    else if (n == 2 && w[0] == 'L') f->l = w[1] == '1';
    else if (word_is(w, n, "I64")) f->i64 = true;
    else if (word_is(w, n, "O64")) f->o64 = true;
    else if (word_is(w, n, "D64")) f->d64 = true;
    else if (word_is(w, n, "F64")) f->f64 = true;
    else return false;
    return true;
}

/* Prefixes, map and opcode, as far as behind the opcode. NULL: they are not what they should be. All lines go through this once. */
static const char *parse_opcode(struct x86_form *f, const char *s)
{
    static const struct { char word[5]; uint8_t map; } maps[] = { { "0F0F", XMAP_3DNOW }, { "0F38", XMAP_0F38 }, { "0F3A", XMAP_0F3A } };
    bool vex = false;
    unsigned map = XMAP_1;

    f->prefixes = 15, f->osizes = f->asizes = 14, f->w = f->l = XD_ANY;
    for (;;) {
        const char *w = s;
        size_t n = 0;
        while (w[n] && w[n] != ' ') n++;
        s += n + (s[n] == ' ');
        int byte = n == 2 || (n == 4 && w[2] == '+' && w[3] == 'r') ? hex_byte(w) : -1;
        if (byte >= 0) {
            if (byte == 0x0f && n == 2 && map == XMAP_1) {
                map = XMAP_0F;
                continue;
            }
            unsigned prefix = byte == 0x66 ? 2 : byte == 0xf2 ? 4 : byte == 0xf3 ? 8 : 0;
            bool is_map = byte == 0x38 && map == XMAP_0F;
            if (n == 2 && (prefix || is_map) && hex_byte(s) >= 0) { /* another byte follows */
                if (prefix) f->prefixes = (uint8_t)prefix;
                else map = XMAP_0F38;
                continue;
            }
            f->opcode = (uint8_t)byte;
            f->plus_r = n == 4;
            break;
        }
        if (n == 1 && *w == 'V') vex = true;
        else if (n == 2 && w[0] == 'N' && w[1] == 'P') f->prefixes = 1;
        else {
            unsigned i = 0;
            while (i < ARRAY_LEN(maps) && !word_is(w, n, maps[i].word)) i++;
            if (i == ARRAY_LEN(maps)) return f->error = "no opcode", NULL;
            map = maps[i].map;
        }
    }
    /* the two uses of map number 4 are kept apart: VEX has no map 0 */
    f->map = (uint8_t)(vex ? XMAP_VEX + map : map);
    if (vex && (map < XMAP_0F || map > XMAP_0F3A)) return f->error = "a VEX line without map", NULL;
    return s;
}

static void parse_enc(struct x86_form *f, const char *s)
{
    for (s = parse_opcode(f, s); s && *s;) {
        size_t n = strcspn(s, " ");
        if (!parse_word(f, s, n)) f->error = "a word of the encoding";
        s += n + (s[n] == ' ');
    }
}

static bool parse_op(struct x86_operand *o, const char *s, size_t n)
{
    static const struct { const char *s; uint8_t what, size, n; } fixed[] = {
        { "AL", XO_REG, XS_B, 0 }, { "CL", XO_REG, XS_B, 1 }, { "AX", XO_REG, XS_W, 0 }, { "DX", XO_REG, XS_W, 2 },
        { "eAX", XO_REG, XS_Z, 0 }, { "rAX", XO_REG, XS_V, 0 }, { "ES", XO_SEG, XS_W, 0 }, { "CS", XO_SEG, XS_W, 1 },
        { "SS", XO_SEG, XS_W, 2 }, { "DS", XO_SEG, XS_W, 3 }, { "FS", XO_SEG, XS_W, 4 }, { "GS", XO_SEG, XS_W, 5 },
        { "ST0", XO_ST0, XS_T, 0 }, { "STi", XO_STI, XS_T, 0 }, { "XMM0", XO_XMM0, XS_O, 0 }, { "1", XO_ONE, XS_B, 0 },
        { "sIb", XO_SI, XS_B, 0 }, { "M", XO_M, XS_NONE, 0 },
    };
    static const char letters[] = "EGMRZBIJOASCDXYVWUHLPQN";
    static const uint8_t whats[] = { XO_E, XO_G, XO_M, XO_R, XO_Z, XO_B, XO_I, XO_J, XO_O, XO_A, XO_S, XO_C, XO_D, XO_X, XO_Y, XO_V,
                                     XO_W, XO_U, XO_H, XO_L, XO_P, XO_Q, XO_N };
    static const char size_letters[] = "bwdqotvzypasxhke";
    static const uint8_t sizes[] = { XS_B, XS_W, XS_D, XS_Q, XS_O, XS_T, XS_V, XS_Z, XS_Y, XS_P, XS_A, XS_S, XS_X, XS_H, XS_K, XS_E };
    const char *p;

    for (unsigned i = 0; i < ARRAY_LEN(fixed); i++) {
        if (!word_is(s, n, fixed[i].s)) continue;
        *o = (struct x86_operand){ fixed[i].what, fixed[i].size, fixed[i].n };
        return true;
    }
    if (n < 2 || !(p = strchr(letters, s[0]))) return false;
    o->what = whats[p - letters];
    s++, n--;
    if (n == 2 && s[0] == 'i' && o->what == XO_M) o->what = XO_MI, s++, n--;
    if (n == 2 && s[0] == 'd' && (s[1] == 'w' || s[1] == 'b')) {
        o->size = s[1] == 'w' ? XS_DW : XS_DB;
        return true;
    }
    if (n != 1 || !(p = strchr(size_letters, s[0]))) return false;
    o->size = sizes[p - size_letters];
    return true;
}

static void parse(struct x86_form *f, unsigned line)
{
    parse_enc(f, x86_defs[line].enc);
    for (const char *s = x86_defs[line].ops; *s;) {
        size_t n = strcspn(s, ",");
        if (f->n_ops == X86_MAX_OPS || !parse_op(&f->op[f->n_ops], s, n)) {
            f->error = "an operand";
            break;
        }
        struct x86_operand *o = &f->op[f->n_ops++];
        unsigned w = o->what;
        f->mmx |= w == XO_P || w == XO_Q || w == XO_N;
        f->vec |= w == XO_V || w == XO_W || w == XO_U || w == XO_H || w == XO_L || w == XO_MI;
        f->special |= w == XO_S || w == XO_C || w == XO_D || w == XO_MI;
        if (w == XO_H || w == XO_B) f->uses_vvvv = true;
        if ((w == XO_E || w == XO_G) && f->map > XMAP_VEX) f->gpr_w = true;
        s += n + (s[n] == ',');
    }
    if (x86_defs[line].flags & XI_ANYRM) f->rm_mask &= 0xf8;
}

static bool fits_modrm(const struct x86_form *f, unsigned line, unsigned i)
{
    uint8_t modrm = (uint8_t)((i & 7) << 3 | (i & 8 ? 0xc0 : 0));

    if ((modrm ^ f->rm_match) & f->rm_mask & 0x38) return false;
    if (f->rm_mask & 0xc0 && !(i & 8)) return false; /* =XX lines all name registers */
    if (x86_defs[line].flags & XI_ANYMOD) return true;
    return !(f->mem && i & 8) && !(f->reg && !(i & 8));
}

static void list_lines(void)
{
    memset(heads, 0xff, sizeof heads); /* NO_ENTRY */
    for (unsigned i = N_DEFS; i-- > 0;) {
        struct x86_form f = { .map = 0 };
        if (!parse_opcode(&f, x86_defs[i].enc)) continue; /* tests/test-x86-table.c says so */
        for (unsigned r = 0; r < (f.plus_r ? 8u : 1u) && n_entries < MAX_ENTRIES; r++) {
            uint16_t *head = &heads[f.map][(f.opcode + r) & 0xff];
            entries[n_entries].line = (uint16_t)i, entries[n_entries].next = *head;
            *head = (uint16_t)n_entries++;
        }
    }
}

/* The form of a line that has been read. */
static const struct x86_form *form_at(unsigned line)
{
    return &forms[atomic_load_explicit(&form_of[line], memory_order_acquire) - 1u];
}

/* Lock held. */
static const struct x86_form *read_form(unsigned line)
{
    if (!atomic_load_explicit(&form_of[line], memory_order_relaxed)) {
        parse(&forms[n_forms++], line);
        atomic_store_explicit(&form_of[line], (uint16_t)n_forms, memory_order_release);
    }
    return form_at(line);
}

/* Lock held. */
static void build_node(struct node *t, unsigned entry)
{
    uint16_t lines[256];
    unsigned n = 0;

    for (; entry != NO_ENTRY && n < ARRAY_LEN(lines); entry = entries[entry].next) {
        const struct x86_form *f = read_form(entries[entry].line);
        lines[n++] = entries[entry].line;
        t->modrm |= f->modrm;
        t->split |= f->rm_mask || f->mem || f->reg;
    }
    for (unsigned k = 0; k < (t->split ? 16u : 1u); k++) {
        struct node *d = t;
        if (t->split) {
            if (k == 0) t->first = (uint16_t)n_sub, n_sub += 16;
            if (n_sub > MAX_SUB) return;
            d = &sub[t->first + k];
        }
        d->first = (uint16_t)n_refs;
        for (unsigned i = 0; i < n && n_refs < MAX_REFS; i++) {
            if (t->split && !fits_modrm(form_at(lines[i]), lines[i], k)) continue;
            refs[n_refs++] = lines[i];
            d->n++;
        }
    }
}

static const struct node *node_of(unsigned map, unsigned opcode)
{
    struct node *t = &top[map][opcode];

    if (!atomic_load_explicit(&built[map][opcode], memory_order_acquire)) {
        pthread_once(&once, list_lines);
        pthread_mutex_lock(&lock);
        if (!atomic_load_explicit(&built[map][opcode], memory_order_relaxed)) {
            build_node(t, heads[map][opcode]);
            atomic_store_explicit(&built[map][opcode], true, memory_order_release);
        }
        pthread_mutex_unlock(&lock);
    }
    return t;
}

const struct x86_form *x86_form(unsigned line)
{
    if (!atomic_load_explicit(&form_of[line], memory_order_acquire)) {
        pthread_mutex_lock(&lock);
        (void)read_form(line);
        pthread_mutex_unlock(&lock);
    }
    return form_at(line);
}

/* ---- decoding ---- */

unsigned x86_size_bytes_any(const struct x86_insn *d, unsigned size)
{
    static const uint8_t fixed[] = { 0, 1, 2, 4, 8, 16, 10 };
    unsigned x = d->l ? 32 : 16;

    switch (size) {
    case XS_V: return d->osize;
    case XS_Z: return d->osize == 2 ? 2 : 4;
    case XS_Y: return d->osize == 8 ? 8 : 4;
    case XS_P: return d->osize + 2u;
    case XS_A: return 2u * d->osize;
    case XS_S: return d->mode == X86_64 ? 10 : 6;
    case XS_X: return x;
    case XS_H: return x / 2;
    case XS_K: return x / 4;
    case XS_E: return x / 8;
    case XS_DW: return 2;
    case XS_DB: return 1;
    default: return fixed[size];
    }
}

bool x86_op_is_mem(const struct x86_insn *d, const struct x86_operand *o)
{
    switch (o->what) {
    case XO_E: case XO_W: case XO_Q: return d->modrm < 0xc0;
    case XO_M: case XO_MI: case XO_O: case XO_X: case XO_Y: return true;
    default: return false;
    }
}

/* A reader of the bytes, with the two limits. */
struct reader { const uint8_t *p; size_t n; unsigned at; enum x86_decoded bad; };

static uint64_t get(struct reader *r, unsigned n)
{
    uint64_t v = 0;

    if (r->at + n > r->n || r->at + n > X86_MAX_LEN) {
        if (!r->bad) r->bad = r->at + n > X86_MAX_LEN ? X86_TOO_LONG : X86_SHORT;
        r->at += n;
        return 0;
    }
    for (unsigned i = 0; i < n; i++) v |= (uint64_t)r->p[r->at + i] << 8 * i;
    r->at += n;
    return v;
}

static inline uint8_t get_byte(struct reader *r)
{
    return likely(r->at < r->n && r->at < X86_MAX_LEN) ? r->p[r->at++] : (uint8_t)get(r, 1);
}

static int64_t get_signed(struct reader *r, unsigned n)
{
    unsigned shift = 64 - 8 * n;
    return n ? (int64_t)(get(r, n) << shift) >> shift : 0;
}

/* Prefixes: enum of what a byte is. */
enum { P_NONE, P_66, P_67, P_LOCK, P_REP, P_SEG, P_REX };
static unsigned prefix_class(uint8_t b, bool is64)
{
    switch (b) {
    case 0x66: return P_66;
    case 0x67: return P_67;
    case 0xf0: return P_LOCK;
    case 0xf2: case 0xf3: return P_REP;
    case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: return P_SEG;
    default: return is64 && (b & 0xf0) == 0x40 ? P_REX : P_NONE;
    }
}

static uint8_t prefixes(struct reader *r, struct x86_insn *d)
{
    for (;;) {
        uint8_t b = get_byte(r);
        if (r->bad) return 0;
        unsigned c = prefix_class(b, d->mode == X86_64);
        if (c != P_REX && d->rex) { /* a REX that is not the last prefix counts for nothing */
            if (c == P_NONE) return b;
            d->rex = 0;
        }
        switch (c) {
        case P_66: d->p66 = true; break;
        case P_67: d->p67 = true; break;
        case P_LOCK: d->lock = true; break;
        case P_REP: d->rep = b; break;
        case P_SEG: { /* in 64-bit mode only FS and GS count */
            uint8_t seg = b < 0x64 ? b >> 3 & 3 : (uint8_t)(b - 0x60);
            if (d->mode != X86_64 || seg >= 4) d->seg = seg;
            else d->idle_seg = seg;
            break;
        }
        case P_REX: d->rex = b; continue;
        default: return b;
        }
        d->n_prefix = (uint8_t)r->at;
    }
}

/* C4 and C5, as far as they are VEX here. False: they are not. */
static bool vex(struct reader *r, struct x86_insn *d, uint8_t b, bool novex)
{
    if (r->at < r->n && d->mode != X86_64 && (r->p[r->at] & 0xc0) != 0xc0) return false;
    uint8_t p1 = get_byte(r), p2 = b == 0xc4 ? get_byte(r) : 0;
    uint8_t last = b == 0xc4 ? p2 : p1;

    if (r->bad) return true;
    d->vex = true;
    if (d->p66 || d->rep || d->lock || d->rex || novex) r->bad = X86_UD;
    d->rex = (uint8_t)(0x40 | (p1 & 0x80 ? 0 : 4) | (b == 0xc4 ? (p1 & 0x40 ? 0 : 2) | (p1 & 0x20 ? 0 : 1) | (p2 & 0x80 ? 8 : 0) : 0));
    d->vvvv = ~last >> 3 & 15;
    d->l = last >> 2 & 1;
    d->p66 = (last & 3) == 1;
    d->rep = (last & 3) == 2 ? 0xf3 : (last & 3) == 3 ? 0xf2 : 0;
    unsigned map = b == 0xc4 ? p1 & 31 : 1;
    if (map < 1 || map > 3) r->bad = X86_UD, map = 1;
    d->map = (uint8_t)(XMAP_VEX + map);
    if (d->mode != X86_64) d->rex &= 0x48, d->vvvv &= 7;
    return true;
}

static void address16(struct reader *r, struct x86_insn *d)
{
    static const uint8_t bases[8] = { 3, 3, 5, 5, 6, 7, 5, 3 }, indices[8] = { 6, 7, 6, 7, X86_NO_REG, X86_NO_REG, X86_NO_REG, X86_NO_REG };
    unsigned mod = d->modrm >> 6, rm = d->modrm & 7;

    d->base = bases[rm], d->index = indices[rm];
    d->disp_size = mod == 1 ? 1 : mod == 2 ? 2 : 0;
    if (mod == 0 && rm == 6) d->base = X86_NO_REG, d->disp_size = 2;
    d->disp = get_signed(r, d->disp_size);
}

static void address(struct reader *r, struct x86_insn *d)
{
    unsigned mod = d->modrm >> 6, rm = d->modrm & 7;

    if (d->asize == 2) {
        address16(r, d);
        return;
    }
    d->disp_size = mod == 1 ? 1 : mod == 2 ? 4 : 0;
    if (rm == 4) {
        uint8_t sib = get_byte(r);
        d->scale = sib >> 6;
        d->index = (uint8_t)((sib >> 3 & 7) | (d->rex & 2) << 2);
        d->base = (uint8_t)((sib & 7) | (d->rex & 1) << 3);
        if ((sib & 7) == 5 && mod == 0) d->base = X86_NO_REG, d->disp_size = 4;
    } else if (rm == 5 && mod == 0) {
        d->base = d->mode == X86_64 ? X86_RIP : X86_NO_REG;
        d->disp_size = 4;
    } else {
        d->base = (uint8_t)(rm | (d->rex & 1) << 3);
    }
    d->disp = get_signed(r, d->disp_size);
}

static unsigned operand_size(const struct x86_insn *d, const struct x86_form *f)
{
    if (d->mode == X86_64) {
        if (d->rex & 8 || f->f64) return 8;
        if (d->p66 && !d->vex) return 2;
        return f->d64 ? 8 : 4;
    }
    if (d->vex) return 4;
    return (d->mode == X86_16) != d->p66 ? 2 : 4;
}

static bool has(uint64_t features, unsigned f) { return features >> f & 1; }

static bool fits(const struct x86_insn *d, unsigned line, uint64_t features)
{
    const struct x86_form *f = form_at(line);
    const struct x86_def *def = &x86_defs[line];
    unsigned prefix = d->rep == 0xf3 ? 8 : d->rep ? 4 : d->p66 ? 2 : 1, osize = operand_size(d, f);
    unsigned w = d->rex >> 3 & 1;

    if (!(f->prefixes & prefix) || (d->mode == X86_64 ? f->i64 : f->o64)) return false;
    if (f->modrm) {
        if ((d->modrm ^ f->rm_match) & f->rm_mask) return false;
        if (!(def->flags & XI_ANYMOD) && ((f->mem && d->modrm >= 0xc0) || (f->reg && d->modrm < 0xc0))) return false;
    }
    if (f->no_b && d->rex & 1) return false;
    if (!(f->osizes & osize) || !(f->asizes & d->asize)) return false;
    if (f->gpr_w && d->mode != X86_64) w = 0;
    if ((f->w != XD_ANY && f->w != w) || (f->l != XD_ANY && f->l != d->l)) return false;
    if (!has(features, def->feature)) return false;
    if (def->flags & (XI_AVX2 | XI_AES | XI_PCLMUL | XI_LAHF)) {
        if (def->flags & XI_AVX2 && d->l && !has(features, XF_AVX2)) return false;
        if (def->flags & XI_AES && !has(features, XF_AES)) return false;
        if (def->flags & XI_PCLMUL && !has(features, XF_PCLMUL)) return false;
        if (def->flags & XI_LAHF && d->mode == X86_64 && !has(features, XF_LAHF64)) return false;
    }
    return true;
}

static unsigned imm_bytes(const struct x86_insn *d, unsigned imm)
{
    switch (imm) {
    case XIMM_B: case XIMM_CB: case XIMM_L: return 1;
    case XIMM_W: return 2;
    case XIMM_Z: case XIMM_CZ: return d->osize == 2 ? 2 : 4;
    case XIMM_V: return d->osize;
    case XIMM_MOFFS: return d->asize;
    case XIMM_PTR: return d->osize == 2 ? 2 : 4;
    default: return 0;
    }
}

/* Restrictions that the forms do not express. */
static bool valid(const struct x86_insn *d)
{
    const struct x86_form *f = d->form;

    if (d->lock && !(d->def->flags & XI_LOCK && x86_op_is_mem(d, &f->op[0]))) return false;
    if (d->vex && !f->uses_vvvv && d->vvvv) return false;
    for (unsigned i = 0; i < (f->special ? f->n_ops : 0u); i++) {
        switch (f->op[i].what) {
        case XO_S: /* CS can't be loaded so */
            if ((d->reg & 7) > 5 || (i == 0 && (d->reg & 7) == 1)) return false;
            break;
        case XO_C:
            if (d->reg != 0 && d->reg != 2 && d->reg != 3 && d->reg != 4 && d->reg != 8) return false;
            break;
        case XO_D:
            if (d->reg > 7) return false;
            break;
        case XO_MI: /* the three vectors must differ */
            if (d->index == d->reg || d->index == d->vvvv || d->reg == d->vvvv) return false;
            break;
        }
    }
    return true;
}

enum x86_decoded x86_decode(const uint8_t *bytes, size_t n, enum x86_mode mode, bool novex, uint64_t features, struct x86_insn *d)
{
    struct reader r = { bytes, n, 0, X86_OK };
    const struct node *t;

    memset(d, 0, sizeof *d);
    d->mode = (uint8_t)mode;
    d->seg = d->idle_seg = d->base = d->index = X86_NO_REG;
    d->opcode = prefixes(&r, d);
    d->asize = mode == X86_64 ? (d->p67 ? 4 : 8) : (mode == X86_16) != d->p67 ? 2 : 4;
    if (!r.bad && d->opcode == 0x0f) {
        d->map = XMAP_0F;
        d->opcode = get_byte(&r);
        if (d->opcode == 0x38 || d->opcode == 0x3a) {
            d->map = d->opcode == 0x38 ? XMAP_0F38 : XMAP_0F3A;
            d->opcode = get_byte(&r);
        } else if (d->opcode == 0x0f) {
            d->map = XMAP_3DNOW;
        }
    } else if (!r.bad && (d->opcode & 0xfe) == 0xc4 && vex(&r, d, d->opcode, novex) && r.bad != X86_SHORT) {
        uint8_t b = get_byte(&r);
        d->opcode = b;
    }
    if (r.bad) goto bad;
    /* 3DNow! has its opcode behind all else, so the operands are read first */
    t = d->map == XMAP_3DNOW ? NULL : node_of(d->map, d->opcode);
    if (!t || t->modrm) {
        d->has_modrm = true;
        d->modrm = get_byte(&r);
        if (r.bad) goto bad;
        d->reg = (uint8_t)((d->modrm >> 3 & 7) | (d->rex & 4) << 1);
        d->rm = (uint8_t)((d->modrm & 7) | (d->rex & 1) << 3);
    } else {
        d->rm = (uint8_t)((d->opcode & 7) | (d->rex & 1) << 3);
    }
    if (!t) {
        if (d->modrm < 0xc0) address(&r, d);
        d->opcode = get_byte(&r);
        if (r.bad) goto bad;
        t = node_of(XMAP_3DNOW, d->opcode);
    } else if (t->split) {
        t = &sub[t->first + (d->modrm >> 3 & 7) + (d->modrm >= 0xc0 ? 8 : 0)];
    }
    for (unsigned i = 0; i < t->n; i++) {
        unsigned line = refs[t->first + i];
        if (!fits(d, line, features)) continue;
        d->line = (uint16_t)line, d->def = &x86_defs[line], d->form = form_at(line), d->tr = x86_translators[line];
        break;
    }
    if (!d->def) {
        r.bad = X86_UD;
        goto bad;
    }
    d->osize = (uint8_t)operand_size(d, d->form);
    d->w = d->rex >> 3 & 1;
    if (d->form->modrm && d->modrm < 0xc0 && !(d->def->flags & XI_ANYMOD) && d->map != XMAP_3DNOW) {
        if (d->form->vsib && (d->asize == 2 || (d->modrm & 7) != 4)) {
            r.bad = X86_UD;
            goto bad;
        }
        address(&r, d);
        if (d->index == 4 && !d->form->vsib) d->index = X86_NO_REG;
    } else if (d->map == XMAP_3DNOW && d->index == 4) {
        d->index = X86_NO_REG;
    }
    for (unsigned i = 0; i < 2 && d->form->imm[i]; i++) {
        unsigned k = d->form->imm[i], size = imm_bytes(d, k);
        if (k == XIMM_MOFFS) d->disp = (int64_t)get(&r, size);
        else if (i) d->imm2 = (uint32_t)get(&r, size);
        else d->imm = get_signed(&r, size), d->imm_size = (uint8_t)size;
        if (k == XIMM_PTR) d->sel = (uint16_t)get(&r, 2);
    }
    if (!r.bad && !valid(d)) r.bad = X86_UD;
bad:
    d->len = (uint8_t)(r.at > X86_MAX_LEN ? X86_MAX_LEN : r.at);
    return r.bad;
}

/* ---- encodings ---- */

static uint64_t next(uint64_t *rng)
{
    *rng ^= *rng << 13, *rng ^= *rng >> 7, *rng ^= *rng << 17;
    return *rng >> 11;
}
static bool chance(uint64_t *rng, unsigned one_in) { return next(rng) % one_in == 0; }

struct writer { uint8_t *out; unsigned n; };
static void put(struct writer *w, uint8_t b) { if (w->n < X86_MAX_LEN) w->out[w->n] = b; w->n++; }
static void put_random(struct writer *w, uint64_t *rng, unsigned n)
{
    bool small = chance(rng, 2);
    uint8_t sign = chance(rng, 2) ? 0xff : 0;
    for (unsigned i = 0; i < n; i++) put(w, small && i ? sign : (uint8_t)next(rng));
}

static void random_address(struct writer *w, uint64_t *rng, const struct x86_form *f, unsigned asize, uint8_t modrm)
{
    unsigned mod = modrm >> 6, rm = modrm & 7;

    if (asize == 2) {
        put_random(w, rng, mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0);
        return;
    }
    unsigned disp = mod == 1 ? 1 : mod == 2 || rm == 5 ? 4 : 0;
    if (rm == 4) {
        uint8_t sib = (uint8_t)next(rng);
        put(w, sib);
        if (mod == 0 && (sib & 7) == 5) disp = 4;
    }
    (void)f;
    put_random(w, rng, disp);
}

unsigned x86_encode_random(unsigned line, enum x86_mode mode, uint64_t *rng, uint8_t *out)
{
    const struct x86_form *f = x86_form(line);
    const struct x86_def *def = &x86_defs[line];
    struct writer w = { out, 0 };
    bool is64 = mode == X86_64, is_vex = f->map > XMAP_VEX, p66 = false, p67;
    unsigned rex = 0, l = f->l == XD_ANY ? 0 : f->l;

    if (is64 ? f->i64 : f->o64) return 0;
    for (unsigned i = 0; i < f->n_ops && f->l == XD_ANY && !l; i++) l = f->op[i].size >= XS_X && f->op[i].size <= XS_E && chance(rng, 2);
    /* sizes */
    unsigned def_asize = is64 ? 8 : mode == X86_16 ? 2 : 4, asize = def_asize;
    p67 = chance(rng, 12);
    if (!(f->asizes & asize)) p67 = true;
    if (p67) asize = def_asize == 4 ? 2 : 4;
    if (!(f->asizes & asize) || (f->vsib && asize == 2)) {
        p67 = !p67, asize = p67 ? (def_asize == 4 ? 2 : 4) : def_asize;
        if (!(f->asizes & asize) || (f->vsib && asize == 2)) return 0;
    }
    if (is64) rex = (unsigned)next(rng) & 7;
    bool want_w = f->w == 1 || (f->osizes == 8 && !f->d64 && !f->f64) || (f->w == XD_ANY && chance(rng, 4));
    if (f->osizes != 14 && !(f->osizes & 8)) want_w = false;
    if (f->w == 0) want_w = false;
    if (f->w == 1 && !is64 && (!is_vex || f->gpr_w)) return 0;
    if (want_w && (is64 || is_vex)) rex |= 8;
    if (f->prefixes == 15) {
        if (f->osizes == 14) p66 = !(is64 && f->f64) && f->map != XMAP_3DNOW && chance(rng, 6);
        else if (f->osizes == 2) p66 = mode != X86_16;
        else if (f->osizes == 4) p66 = mode == X86_16;
        else if (!is64) return 0;
    } else if (f->prefixes & 12 && !is_vex) {
        p66 = f->osizes == 14 && chance(rng, 6);
    }
    uint8_t modrm = (uint8_t)next(rng);
    if (f->modrm) {
        if (f->mem && modrm >= 0xc0) modrm &= 0x7f;
        if (f->reg) modrm |= 0xc0;
        if (def->flags & XI_ANYMOD) modrm |= 0xc0;
        modrm = (uint8_t)((modrm & ~f->rm_mask) | f->rm_match);
        if (f->vsib) modrm = (uint8_t)((modrm & 0xf8) | 4);
    }
    bool mem = f->modrm && modrm < 0xc0;
    if (f->rm_mask == 0xff || !f->modrm) rex &= f->plus_r ? 9u : 8u;
    if (f->no_b) rex &= ~1u;
    /* prefixes */
    static const uint8_t segs[6] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };
    if (mem && chance(rng, 8)) put(&w, segs[is64 ? 4 + next(rng) % 2 : next(rng) % 6]);
    if (p67 && (mem || f->asizes != 14 || def->flags & (XI_REP | XI_REPZ) || f->imm[0] == XIMM_MOFFS)) put(&w, 0x67);
    else asize = def_asize;
    if (def->flags & XI_LOCK && mem && chance(rng, 8)) put(&w, 0xf0);
    if (def->flags & (XI_REP | XI_REPZ) && f->prefixes == 15 && chance(rng, 3)) put(&w, def->flags & XI_REPZ && chance(rng, 2) ? 0xf2 : 0xf3);
    if (!is_vex) {
        if (p66 || f->prefixes == 2) put(&w, 0x66);
        if (f->prefixes == 4) put(&w, 0xf2);
        if (f->prefixes == 8) put(&w, 0xf3);
        if (is64 && (rex & 8 || chance(rng, 3))) put(&w, (uint8_t)(0x40 | rex));
        else rex = 0;
        if (f->map != XMAP_1) put(&w, 0x0f);
        if (f->map == XMAP_0F38 || f->map == XMAP_0F3A) put(&w, f->map == XMAP_0F38 ? 0x38 : 0x3a);
        if (f->map == XMAP_3DNOW) put(&w, 0x0f);
    } else {
        unsigned pp = f->prefixes == 2 ? 1 : f->prefixes == 8 ? 2 : f->prefixes == 4 ? 3 : 0, vvvv = f->uses_vvvv ? (unsigned)next(rng) & (is64 ? 15 : 7) : 0;
        uint8_t last = (uint8_t)((~vvvv & 15) << 3 | l << 2 | pp);
        if (f->map == XMAP_VEX + 1 && !(rex & 11) && chance(rng, 2)) {
            put(&w, 0xc5), put(&w, (uint8_t)((rex & 4 ? 0 : 0x80) | last));
        } else {
            put(&w, 0xc4);
            put(&w, (uint8_t)((rex & 4 ? 0 : 0x80) | (rex & 2 ? 0 : 0x40) | (rex & 1 ? 0 : 0x20) | (f->map - XMAP_VEX)));
            put(&w, (uint8_t)((rex & 8 ? 0x80 : 0) | last));
        }
    }
    if (f->map != XMAP_3DNOW) put(&w, (uint8_t)(f->opcode | (f->plus_r ? next(rng) & 7 : 0)));
    if (f->modrm) put(&w, modrm);
    if (mem) random_address(&w, rng, f, asize, modrm);
    if (f->map == XMAP_3DNOW) put(&w, f->opcode);
    struct x86_insn d = { .mode = (uint8_t)mode, .p66 = p66 && !is_vex, .rex = (uint8_t)rex, .asize = (uint8_t)asize, .vex = is_vex };
    d.osize = (uint8_t)operand_size(&d, f);
    for (unsigned i = 0; i < 2 && f->imm[i]; i++) {
        put_random(&w, rng, imm_bytes(&d, f->imm[i]) + (f->imm[i] == XIMM_PTR ? 2 : 0));
    }
    return w.n <= X86_MAX_LEN ? w.n : 0;
}
