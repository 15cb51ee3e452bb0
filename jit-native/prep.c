/*
 * prep.c - a region's IR made ready for the host: small patterns that its instructions do at once, and lazy slots, whose values are
 * only worked out when somebody looks. Host-neutral, but used by hosts that say so (struct host_traits). Not here: what is the same
 * for every engine (interp/opt.c).
 *
 * Lazy slots (struct guest: lazy_first, n_lazy) hold what conditions are made of: x86's flags. They are written by most
 * instructions and read by few, but must be right wherever state is exact: at every access that can fault, at every way out. So a
 * write to one is taken out of the code, and the compiler remembers what was to be written, as an operation on other slots and
 * constants: the *state* at each op (gen_block.state). Where the cells must be right, cold code or the fault's handler does the
 * operation then. A slot that is an operand and about to change makes the write happen, unless another one comes first.
 *
 * States are known at compile time, so a block that is entered with several is there several times: `versions`. A loop whose end
 * sets the flags has its first block once for the entry, with everything in cells, and once for its further rounds.
 */
#include "interp/eval.h"
#include "jit-native/native.h"

enum { MAX_VERSIONS = 3, MAX_FAR_VERSIONS = 2, FAR_LAZY = 3, MAX_MOVES = 2, MAX_FAR = (int)(CPU_GUARD - (1 << 17)), SPARE_CONSTS = 96, SPARE_TEMPS = 48 };

struct version {
    struct jit_block jb;
    uint16_t *state;
    uint16_t orig, in;
    bool done;
    int16_t order;               /* where it is laid out; -1: not yet */
};

struct prep {
    struct gen *g;
    const struct jit_region *r;  /* as it was formed */
    struct jit_block *block;     /* of that, tidied */
    struct version *v;
    unsigned n, cap, n_far;
    uint8_t n_of[2][JIT_MAX_BLOCKS]; /* versions of each block but that with everything in cells; [1]: where a far slot waits */
    struct gen_state *states;
    unsigned n_states, cap_states;
    bool failed;
    /* of the version at work */
    struct version *now;
    struct ir_op *out;
    unsigned n_out, cap_out;
    uint64_t *consts;
    uint8_t *const_type, *temp_type;
    ir_id *temp_const;           /* of each temporary: the constant that it is known to be, or IR_NONE */
};

static void *zeroed(struct gen *g, size_t n) { return memset(arena_get(&g->arena, n + 1), 0, n); }

/* ---- one block: patterns ------------------------------------------------------------------------------ */

struct uses { uint16_t def, defs, n; };

static bool writes_slots(const struct ir_op *o) { return o->op == OP_CALL && !(o->attr & GEN_INLINE); }

/* Does the op write cell x? */
static bool writes(const struct ir_op *o, ir_id x)
{
    if (o->op == OP_INSN) return false;
    if (writes_slots(o) && ir_is_slot(x)) return true;
    if (o->d == IR_NONE) return false;
    if (o->op == OP_LD2 && o->c == x) return true;
    unsigned n = ir_op_info[o->op].cls == CLASS_VEC ? ir_vec_cells(o, 0) : 1;
    return x >= o->d && x < o->d + n;
}

static bool stays(const struct jit_block *jb, ir_id x, unsigned from, unsigned to)
{
    if (ir_is_const(x)) return true;
    for (unsigned i = from; i < to; i++) {
        if (writes(&jb->ops[i], x)) return false;
    }
    return true;
}

static void count(const struct jit_block *jb, struct uses *u)
{
    memset(u, 0, jb->n_temps * sizeof *u);
    for (unsigned i = 0; i < jb->n_ops; i++) {
        const struct ir_op *o = &jb->ops[i];
        if (o->op == OP_INSN) continue;
        const ir_id x[4] = { o->d, o->a, o->b, o->c };
        for (unsigned n = 0; n < 4; n++) {
            if (x[n] == IR_NONE || !ir_is_temp(x[n])) continue;
            bool run = ir_op_info[o->op].cls == CLASS_VEC;
            for (unsigned k = run ? ir_vec_cells(o, n) : 1; k-- > 0;) {
                struct uses *p = &u[x[n] - IR_TEMP + k];
                if (n == 0 || (n == 3 && o->op == OP_LD2)) p->def = (uint16_t)i, p->defs += run ? 2 : 1;
                else p->n++;
            }
        }
    }
}

/* The only op that makes temp x. */
static const struct ir_op *maker(const struct jit_block *jb, const struct uses *u, ir_id x, unsigned before)
{
    if (x == IR_NONE || !ir_is_temp(x) || u[x - IR_TEMP].defs != 1 || u[x - IR_TEMP].def >= before) return NULL;
    return &jb->ops[u[x - IR_TEMP].def];
}

static bool constant(const struct jit_block *jb, ir_id x, uint64_t *k)
{
    if (x == IR_NONE || !ir_is_const(x)) return false;
    *k = jb->consts[x - IR_CONST];
    return true;
}

static void use(struct uses *u, ir_id *p, ir_id x)
{
    if (*p != IR_NONE && ir_is_temp(*p)) u[*p - IR_TEMP].n--;
    *p = x;
    if (x != IR_NONE && ir_is_temp(x)) u[x - IR_TEMP].n++;
}

/* The value of x before op `at` is below 1 << the result; as far as a few ops before it tell. */
static unsigned bits_of(const struct jit_block *jb, ir_id x, unsigned at, unsigned depth)
{
    uint64_t k;
    unsigned i = at;

    if (constant(jb, x, &k)) return 64u - (k ? (unsigned)host_clz64(k) : 64u);
    while (i-- > 0 && !writes(&jb->ops[i], x)) {
        if (jb->ops[i].op == OP_LABEL) return 64;
    }
    if (i > at || !depth) return 64; /* from before the block */
    const struct ir_op *o = &jb->ops[i];
    unsigned width = o->type == T_I64 ? 64 : 32;
    switch (o->op) {
    case OP_SETC: return 1;
    case OP_ZX8: return 8;
    case OP_ZX16: return 16;
    case OP_EXTRACT: return o->aux >> 8 & 0xff;
    case OP_MOV: case OP_ZXW: case OP_ZX32: return bits_of(jb, o->a, i, depth - 1);
    case OP_LD: return o->attr & IR_MS ? 64 : 8u << (o->attr & IR_MSIZE);
    case OP_AND: return o->attr ? 32 : MIN(bits_of(jb, o->a, i, depth - 1), bits_of(jb, o->b, i, depth - 1));
    case OP_SHL:
        if (o->attr || !constant(jb, o->b, &k) || k >= width) return width;
        return MIN(bits_of(jb, o->a, i, depth - 1) + (unsigned)k, width);
    default: return 64;
    }
}

/* An access at x + constant: the constant goes along (operand c). */
static void fold_address(const struct gen *g, struct jit_block *jb, struct ir_op *o, struct uses *u)
{
    unsigned at = (unsigned)(o - jb->ops);
    bool w = (o->aux & IR_A64) != 0;
    const struct ir_op *m = maker(jb, u, o->a, at);
    uint64_t k;

    if (!m || m->op != OP_ADD || m->attr || !constant(jb, m->b, &k) || ir_is_const(m->a) || m->type != (w ? T_I64 : T_I32)) return;
    int64_t by = w ? (int64_t)k : (int32_t)(uint32_t)k, sum = by + IR_DISP(o);
    if (!w && g->r->user && (sum > MAX_FAR || sum < -MAX_FAR) && (sum < 0 || sum > INT32_MAX || bits_of(jb, m->a, (unsigned)(m - jb->ops), 4) > 30)) return; /* it would not wrap */
    if (by != (int32_t)by || sum != (int32_t)sum || !stays(jb, m->a, (unsigned)(m - jb->ops), at)) return;
    ir_id c = m->b;
    use(u, &o->a, m->a);
    o->c = c;
}

/* A comparison of low halves can look at the whole cells' low halves. */
static void fold_low(struct jit_block *jb, struct ir_op *o, struct uses *u)
{
    unsigned at = (unsigned)(o - jb->ops);
    ir_id *p[2] = { &o->a, &o->b };
    for (unsigned n = 0; n < 2; n++) {
        const struct ir_op *m = maker(jb, u, *p[n], at);
        if (m && m->op == OP_LO && !ir_is_const(m->a) && stays(jb, m->a, (unsigned)(m - jb->ops), at)) use(u, p[n], m->a);
    }
}

/* A word that is made a cell of 64 bits to be compared with 0. */
static void fold_condition(struct jit_block *jb, struct ir_op *o, struct uses *u)
{
    unsigned at = (unsigned)(o - jb->ops);
    const struct ir_op *m = maker(jb, u, o->a, at);
    if (m && m->op == OP_ZXW && ir_is_temp(m->a) && stays(jb, m->a, (unsigned)(m - jb->ops), at)) use(u, &o->a, m->a);
}

static struct ir_op *next_op(struct jit_block *jb, unsigned at)
{
    for (unsigned i = at + 1; i < jb->n_ops; i++) {
        if (jb->ops[i].op != OP_INSN) return (struct ir_op *)&jb->ops[i];
    }
    return NULL;
}

/* The op looks at the lower halves of its operands only: if they were extended, at what they were made from. */
static void fold_operands(struct jit_block *jb, struct ir_op *o, struct uses *u)
{
    unsigned at = (unsigned)(o - jb->ops), n_in = ir_op_info[o->op].n_in;
    ir_id *p[2] = { &o->a, &o->b };
    for (unsigned n = 0; n < n_in && n < 2; n++) {
        const struct ir_op *m = maker(jb, u, *p[n], at);
        if (!m || (m->op != OP_SX32 && m->op != OP_ZX32) || ir_is_const(m->a) || !stays(jb, m->a, (unsigned)(m - jb->ops), at)) continue;
        use(u, p[n], m->a);
    }
}

/* o makes a temporary for z only, which moves it. */
static void result_to(struct jit_block *jb, struct ir_op *o, struct ir_op *z, struct uses *u)
{
    u[o->d - IR_TEMP].n = 0, u[o->d - IR_TEMP].defs = 0;
    o->d = z->d;
    if (ir_is_temp(o->d)) u[o->d - IR_TEMP].def = (uint16_t)(o - jb->ops);
    *z = (struct ir_op){ .op = OP_MOV, .type = T_I64, .d = z->d, .a = z->d, .b = IR_NONE, .c = IR_NONE }; /* goes */
}

/* Does the op make a cell of 64 bits below 2^32 in any case? */
static bool is_word(const struct ir_op *o)
{
    switch (o->op) {
    case OP_ZX8: case OP_ZX16: case OP_ZX32: case OP_ZXW: return true;
    case OP_EXTRACT: return (o->aux >> 8 & 0xff) <= 32;
    case OP_LD: return !(o->attr & IR_MS) && (o->attr & IR_MSIZE) <= IR_M32;
    default: return false;
    }
}

/* t = op ...; zx32 d, t: done in 32 bits. */
static void fold_extension(struct jit_block *jb, struct ir_op *o, struct uses *u)
{
    unsigned at = (unsigned)(o - jb->ops);
    struct ir_op *z = next_op(jb, at);
    const struct ir_op *m;
    uint64_t k = 0;
    bool extended = z && z->op == OP_ZX32 && ir_is_temp(o->d) && z->a == o->d && u[o->d - IR_TEMP].n == 1 && u[o->d - IR_TEMP].defs == 1;

    if (extended && is_word(o)) {
        result_to(jb, o, z, u);
        return;
    }
    if (o->type != T_I64 || o->attr) return;
    switch (o->op) {
    case OP_ADD: case OP_SUB: case OP_AND: case OP_OR: case OP_XOR: case OP_NEG: case OP_NOT: case OP_MUL: break;
    case OP_SELECT:
        if (bits_of(jb, o->a, at, 4) > 32) return;
        break;
    case OP_SHL:
        if (!constant(jb, o->b, &k) || k < 1 || k > 31) return;
        break;
    case OP_SHR: case OP_SAR:
        m = maker(jb, u, o->a, at);
        if (!m || m->op != (o->op == OP_SHR ? OP_ZX32 : OP_SX32) || !constant(jb, o->b, &k) || k < 1 || k > 31) return;
        if (!stays(jb, m->a, (unsigned)(m - jb->ops), at) || ir_is_const(m->a)) return;
        if (o->op == OP_SAR && !extended) return;
        use(u, &o->a, m->a);
        o->attr = GEN_ZX;
        break;
    default: return;
    }
    if (!extended) return;
    o->attr = GEN_ZX;
    if (o->op != OP_SHR && o->op != OP_SAR && o->op != OP_SELECT) fold_operands(jb, o, u);
    result_to(jb, o, z, u);
}

/* ld2 t, t'; mov x, t; mov x', t': loaded where it goes. */
static void fold_pair(struct jit_block *jb, struct ir_op *o, struct uses *u)
{
    struct ir_op *m[2] = { o + 1, o + 2 };
    const ir_id t[2] = { o->d, o->c };

    if ((unsigned)(o - jb->ops) + 2 >= jb->n_ops) return;
    for (unsigned n = 0; n < 2; n++) {
        if (!ir_is_temp(t[n]) || u[t[n] - IR_TEMP].n != 1 || u[t[n] - IR_TEMP].defs != 1) return;
        if (m[n]->op != OP_MOV || m[n]->a != t[n] || !ir_is_slot(m[n]->d)) return;
    }
    if (m[0]->d + 1 != m[1]->d) return;
    o->d = m[0]->d, o->c = m[1]->d;
    for (unsigned n = 0; n < 2; n++) {
        u[t[n] - IR_TEMP].n = u[t[n] - IR_TEMP].defs = 0;
        m[n]->a = m[n]->d; /* goes */
    }
}

static bool is_lazy(const struct gen *g, ir_id x) { return ir_is_slot(x) && (unsigned)x - g->guest->lazy_first < g->guest->n_lazy; }

static bool can_wait(const struct ir_op *o)
{
    switch (o->op) {
    case OP_MOV: case OP_ADD: case OP_SUB: case OP_AND: case OP_OR: case OP_XOR: case OP_NEG:
    case OP_ZX8: case OP_ZX16: case OP_ZX32: case OP_SX8: case OP_SX16: case OP_SX32: return !o->attr;
    case OP_SHL: case OP_SHR: case OP_SAR: return !o->attr && ir_is_const(o->b);
    default: return false;
    }
}

/* mov s, t with s lazy: what t is made of. */
static void fold_lazy(struct gen *g, struct jit_block *jb, struct ir_op *o, struct uses *u)
{
    unsigned at = (unsigned)(o - jb->ops);
    const struct ir_op *m = maker(jb, u, o->a, at);
    if (!is_lazy(g, o->d) || !m || !can_wait(m)) return;
    unsigned from = (unsigned)(m - jb->ops);
    if ((!ir_is_const(m->a) && (!ir_is_slot(m->a) || !stays(jb, m->a, from, at))) || is_lazy(g, m->a)) return;
    if (m->b != IR_NONE && ((!ir_is_const(m->b) && (!ir_is_slot(m->b) || !stays(jb, m->b, from, at))) || is_lazy(g, m->b))) return;
    ir_id b = m->b;
    unsigned op = m->op;
    uint32_t aux = m->aux;
    use(u, &o->a, m->a);
    o->b = b, o->op = (uint16_t)op, o->aux = aux;
}

static bool removable(const struct ir_op *o)
{
    unsigned cls = ir_op_info[o->op].cls;
    return cls == CLASS_PURE || cls == CLASS_CONV || o->op == OP_SETC;
}

static void tidy(struct gen *g, struct jit_block *jb)
{
    struct uses *u = arena_get(&g->arena, jb->n_temps * sizeof *u + 1);
    struct ir_op *ops = arena_get(&g->arena, jb->n_ops * sizeof *ops + 1);
    unsigned w = jb->n_ops;

    memcpy(ops, jb->ops, jb->n_ops * sizeof *ops);
    jb->ops = ops;
    count(jb, u);
    for (unsigned i = 0; i < jb->n_ops; i++) {
        struct ir_op *o = &ops[i];
        switch (o->op) {
        case OP_LD: case OP_ST:
            fold_address(g, jb, o, u);
            if (o->op == OP_LD) fold_extension(jb, o, u);
            break;
        case OP_SELECT:
            fold_condition(jb, o, u);
            fold_extension(jb, o, u);
            break;
        case OP_BRC: case OP_BRL: case OP_SETC:
            if (o->type == T_I32) fold_low(jb, o, u);
            break;
        case OP_LD2: fold_pair(jb, o, u); break;
        case OP_MOV: fold_lazy(g, jb, o, u); break;
        default: fold_extension(jb, o, u);
        }
    }
    for (unsigned i = jb->n_ops; i-- > 0;) {
        struct ir_op *o = &ops[i];
        if (o->op == OP_MOV && o->a == o->d) continue;
        if (o->op != OP_INSN && removable(o) && ir_is_temp(o->d) && !u[o->d - IR_TEMP].n) {
            use(u, &o->a, IR_NONE), use(u, &o->b, IR_NONE), use(u, &o->c, IR_NONE);
            continue;
        }
        ops[--w] = *o;
    }
    jb->ops = ops + w;
    jb->n_ops = (uint16_t)(jb->n_ops - w);
}

/* ---- states ------------------------------------------------------------------------------------------- */

static unsigned intern(struct prep *p, const struct gen_state *s)
{
    for (unsigned i = p->n_states; i-- > 0;) {
        if (!memcmp(&p->states[i], s, sizeof *s)) return i;
    }
    if (p->n_states == p->cap_states) {
        p->failed = true;
        return 0;
    }
    p->states[p->n_states] = *s;
    return p->n_states++;
}

static void set(struct gen_lazy *z, unsigned op)
{
    memset(z, 0, sizeof *z);
    z->op = (uint16_t)op;
    z->a = z->b = IR_NONE;
}

static struct gen_state all_in_cells(const struct gen *g)
{
    struct gen_state s;
    memset(&s, 0, sizeof s);
    for (unsigned i = 0; i < g->guest->n_lazy; i++) set(&s.v[i], GEN_IN_CELL);
    return s;
}

static bool operand(const struct prep *p, const struct jit_block *jb, ir_id x, ir_id *to, uint64_t *k)
{
    *to = IR_NONE;
    if (x == IR_NONE || constant(jb, x, k)) return true;
    *to = x;
    return ir_is_slot(x) && !is_lazy(p->g, x) && p->g->guest->slots[x].cls != SLOT_VEC; /* which may be half of a pair */
}

/* What op o, which writes a lazy slot, does: something that can wait? */
static bool describe(const struct prep *p, const struct jit_block *jb, const struct ir_op *o, struct gen_lazy *z)
{
    set(z, o->op);
    z->type = o->type, z->aux = o->aux;
    return can_wait(o) && operand(p, jb, o->a, &z->a, &z->ka) && operand(p, jb, o->b, &z->b, &z->kb);
}

static bool waits(const struct gen_lazy *z) { return z->op < OP_COUNT; }

/* ---- a version's ops ---------------------------------------------------------------------------------- */

static void emit(struct prep *p, const struct ir_op *o, const struct gen_state *s)
{
    if (p->n_out == p->cap_out) {
        p->failed = true;
        return;
    }
    p->now->state[p->n_out] = (uint16_t)intern(p, s);
    p->out[p->n_out++] = *o;
}

static ir_id const_id(struct prep *p, unsigned type, uint64_t k)
{
    struct jit_block *jb = &p->now->jb;
    if (type == T_I32) k = (uint32_t)k;
    for (unsigned i = 0; i < jb->n_consts; i++) {
        if (p->consts[i] == k && p->const_type[i] == type) return (ir_id)(IR_CONST + i);
    }
    if (jb->n_consts == p->block[p->now->orig].n_consts + SPARE_CONSTS) {
        p->failed = true;
        return IR_CONST;
    }
    p->consts[jb->n_consts] = k, p->const_type[jb->n_consts] = (uint8_t)type;
    return (ir_id)(IR_CONST + jb->n_consts++);
}

/* d = what z says, now. */
static void compute(struct prep *p, ir_id d, const struct gen_lazy *z, const struct gen_state *s)
{
    bool two = ir_op_info[z->op].n_in > 1;
    struct ir_op o = { .op = z->op, .type = z->type, .d = d, .b = IR_NONE, .c = IR_NONE, .aux = z->aux };
    o.a = z->a != IR_NONE ? z->a : const_id(p, z->type, z->ka);
    if (two) o.b = z->b != IR_NONE ? z->b : const_id(p, z->type, z->kb);
    emit(p, &o, s);
}

static void flush(struct prep *p, struct gen_state *s, unsigned n)
{
    if (waits(&s->v[n])) compute(p, (ir_id)(p->g->guest->lazy_first + n), &s->v[n], s);
    set(&s->v[n], GEN_IN_CELL);
}

static void flush_all(struct prep *p, struct gen_state *s)
{
    for (unsigned n = 0; n < p->g->guest->n_lazy; n++) flush(p, s, n);
}

static ir_id new_temp(struct prep *p, unsigned type)
{
    struct jit_block *jb = &p->now->jb;
    if (jb->n_temps == p->block[p->now->orig].n_temps + SPARE_TEMPS || jb->n_temps == IR_MAX_TEMPS) {
        p->failed = true;
        return IR_TEMP;
    }
    p->temp_type[jb->n_temps] = (uint8_t)type;
    return (ir_id)(IR_TEMP + jb->n_temps++);
}

/* Known temporaries are nowhere in the code: from here on they are to be. */
static void make_known_temps(struct prep *p, const struct gen_state *s)
{
    const struct jit_block *jb = &p->now->jb;
    for (unsigned t = 0; t < jb->n_temps; t++) {
        ir_id k = p->temp_const[t];
        if (k == IR_NONE) continue;
        emit(p, &(struct ir_op){ .op = OP_MOV, .type = p->temp_type[t], .d = (ir_id)(IR_TEMP + t), .a = k, .b = IR_NONE, .c = IR_NONE }, s);
        p->temp_const[t] = IR_NONE;
    }
}

/* Operands that are known to be constants: temporaries, and lazy slots that wait for one. */
static void use_constants(struct prep *p, struct ir_op *o, const struct gen_state *s)
{
    const struct gen *g = p->g;
    ir_id *x[3] = { &o->a, &o->b, &o->c };

    for (unsigned n = 0; n < 3; n++) {
        if (*x[n] == IR_NONE) continue;
        if (ir_is_temp(*x[n]) && p->temp_const[*x[n] - IR_TEMP] != IR_NONE) {
            *x[n] = p->temp_const[*x[n] - IR_TEMP];
        } else if (is_lazy(g, *x[n])) {
            const struct gen_lazy *z = &s->v[*x[n] - g->guest->lazy_first];
            if (z->op == OP_MOV && z->a == IR_NONE) *x[n] = const_id(p, z->type, z->ka);
        }
    }
}

/* What follows from the kind of the last instruction, in a lazy slot, once that is known. True: nothing is left of the op. */
static bool fold_constants(struct prep *p, struct ir_op *o)
{
    const struct jit_block *jb = &p->now->jb;
    const struct ir_op_info *info = &ir_op_info[o->op];
    ir_id *x[3] = { &o->a, &o->b, &o->c };
    uint64_t k[3] = { 0, 0, 0 }, v;
    unsigned n_const = 0;

    if ((info->cls != CLASS_PURE && info->cls != CLASS_CONV && o->op != OP_SETC) || (info->cls == CLASS_PURE && o->attr)) return false;
    for (unsigned n = 0; n < 3; n++) {
        n_const += *x[n] == IR_NONE || constant(jb, *x[n], &k[n]);
    }
    if (o->op == OP_SELECT && ir_is_const(o->a)) {
        ir_id from = k[0] ? o->b : o->c;
        *o = (struct ir_op){ .op = OP_MOV, .type = o->type, .d = o->d, .a = from, .b = IR_NONE, .c = IR_NONE };
        return from == o->d;
    }
    if (n_const < 3 || !ir_is_temp(o->d) || o->op == OP_MOV) return false;
    unsigned type = p->temp_type[o->d - IR_TEMP];
    v = o->op == OP_SETC ? eval_cond(o->attr, o->type, k[0], k[1]) : eval_pure(o->op, o->type, o->aux, k[0], k[1], k[2]);
    p->temp_const[o->d - IR_TEMP] = const_id(p, type, v);
    return true;
}

/* A lazy slot becomes what waits in another one. */
static bool copies_lazy(const struct prep *p, const struct ir_op *o, struct gen_state *s)
{
    unsigned first = p->g->guest->lazy_first;
    if (o->op != OP_MOV || !is_lazy(p->g, o->d) || !is_lazy(p->g, o->a) || !waits(&s->v[o->a - first])) return false;
    s->v[o->d - first] = s->v[o->a - first];
    return true;
}

/* The op tests bits of what waits, which is a conjunction: one test does both. */
static bool fold_test(struct prep *p, struct ir_op *o, const struct gen_lazy *z)
{
    uint64_t k, all = z->type == T_I64 ? UINT64_MAX : UINT32_MAX;
    bool test = (o->op == OP_BRC || o->op == OP_BRL || o->op == OP_SETC) && (o->attr == CC_TZ || o->attr == CC_TNZ);

    if (!test || z->op != OP_AND || z->a == IR_NONE || !constant(&p->now->jb, o->b, &k)) return false;
    if (z->b == IR_NONE) {
        o->a = z->a, o->b = const_id(p, z->type, k & z->kb);
    } else if (k == all || k == UINT32_MAX) {
        o->a = z->a, o->b = z->b;
        if (k != all) o->type = T_I32;
    } else {
        return false;
    }
    return true;
}

/* Operands of o that wait. */
static void read_lazy(struct prep *p, struct ir_op *o, struct gen_state *s)
{
    const struct gen *g = p->g;
    ir_id *x[3] = { &o->a, &o->b, &o->c };

    if (o->op == OP_INSN || ir_op_info[o->op].cls == CLASS_VEC) return;
    for (unsigned n = 0; n < 3; n++) {
        if (*x[n] == IR_NONE || !is_lazy(g, *x[n]) || (n == 2 && o->op == OP_LD2)) continue;
        const struct gen_lazy z = s->v[*x[n] - g->guest->lazy_first];
        if (!waits(&z)) continue;
        if (n == 0 && fold_test(p, o, &z)) continue;
        if (z.op == OP_MOV) {
            *x[n] = z.a != IR_NONE ? z.a : const_id(p, z.type, z.ka);
            continue;
        }
        ir_id t = new_temp(p, z.type);
        compute(p, t, &z, s);
        *x[n] = t;
    }
}

/* What comes first for each lazy slot behind each op: somebody who looks (bit set), or another write? */
static uint8_t *watched(struct prep *p, const struct jit_block *jb)
{
    const struct gen *g = p->g;
    uint8_t *after = arena_get(&p->g->arena, jb->n_ops + 1u), cur = 0xff;

    for (unsigned i = jb->n_ops; i-- > 0;) {
        const struct ir_op *o = &jb->ops[i];
        after[i] = cur;
        if (o->op == OP_INSN) continue;
        if (o->d != IR_NONE && is_lazy(g, o->d)) cur &= (uint8_t)~(1u << (o->d - g->guest->lazy_first));
        const ir_id x[3] = { o->a, o->b, o->c };
        for (unsigned n = 0; n < 3; n++) {
            if (x[n] != IR_NONE && is_lazy(g, x[n])) cur |= (uint8_t)(1u << (x[n] - g->guest->lazy_first));
        }
        if (ir_op_info[o->op].flags & (F_FAULT | F_EFFECT | F_END)) cur = 0xff;
    }
    return after;
}

/* The op adds a constant to an operand of what waits: that can go on waiting, for the same value. */
static bool moves_along(struct prep *p, const struct ir_op *o, struct gen_lazy *z)
{
    uint64_t k, mask = z->type == T_I64 ? UINT64_MAX : UINT32_MAX;

    if ((o->op != OP_ADD && o->op != OP_SUB) || o->d != o->a || o->attr || o->type != z->type || !constant(&p->now->jb, o->b, &k)) return false;
    if (z->moves == MAX_MOVES || (z->a == o->d && z->b != IR_NONE)) return false;
    if (o->op == OP_SUB) k = 0 - k;
    if (z->a == o->d) {
        if (z->op == OP_MOV) z->op = OP_SUB, z->kb = 0;
        if (z->op != OP_ADD && z->op != OP_SUB) return false;
        z->kb = (z->op == OP_SUB ? z->kb + k : z->kb - k) & mask;
    } else {
        if (z->a != IR_NONE || (z->op != OP_ADD && z->op != OP_SUB)) return false;
        z->ka = (z->op == OP_SUB ? z->ka + k : z->ka - k) & mask;
    }
    z->moves++;
    return true;
}

static bool pure_call(const struct gen *g, const struct ir_op *o)
{
    const struct helper_desc *h = &g->guest->helpers[o->aux];
    return o->op == OP_CALL && !h->reads && !h->writes && !(h->flags & (HELPER_RAISE | HELPER_MEM | HELPER_TIME));
}

static bool needs_cells(const struct gen *g, const struct ir_op *o)
{
    switch (o->op) {
    case OP_CALL: return !(o->attr & GEN_INLINE) && !pure_call(g, o);
    case OP_CAS: case OP_RMW: case OP_FETCHF: case OP_BR: case OP_BRL: case OP_LABEL: return true;
    default: return false;
    }
}

/* Lazy slots from that on hold what others held before: few look at them, and they change little. */
static bool far_waits(const struct prep *p, const struct gen_state *s)
{
    for (unsigned n = FAR_LAZY; n < p->g->guest->n_lazy; n++) {
        if (waits(&s->v[n])) return true;
    }
    return false;
}

/* The version of block `to` for state s, or -1: none to be had. */
static int version(struct prep *p, unsigned to, unsigned s)
{
    for (unsigned i = 0; i < p->n; i++) {
        if (p->v[i].orig == to && p->v[i].in == s) return (int)i;
    }
    bool far = far_waits(p, &p->states[s]);
    if (far && (p->n_of[1][to] >= MAX_FAR_VERSIONS || p->n_far > p->r->n)) return -1;
    if (s && !far && (p->n_of[0][to] >= MAX_VERSIONS || p->n - p->n_far >= p->r->n + 2)) return -1;
    if (p->n == p->cap) {
        p->failed = true;
        return -1;
    }
    p->n_of[far][to] += s != 0;
    p->n_far += far;
    p->v[p->n] = (struct version){ .orig = (uint16_t)to, .in = (uint16_t)s, .order = -1 };
    return (int)p->n++;
}

static bool all_to_be_had(struct prep *p, const struct jit_block *jb, const struct ir_op *o, unsigned s)
{
    if (o->op != OP_IND) return jb->to[o->aux] < 0 || version(p, (unsigned)jb->to[o->aux], s) >= 0;
    for (unsigned i = 0; i < jb->n_ind; i++) {
        if (version(p, (unsigned)jb->ind[i], s) < 0) return false;
    }
    return true;
}

static void leave(struct prep *p, const struct jit_block *jb, const struct ir_op *o, struct gen_state *s)
{
    struct jit_block *to = &p->now->jb;

    for (unsigned n = 0; n < p->g->guest->n_lazy; n++) { /* else it would be another state after each round of a loop */
        if (waits(&s->v[n]) && s->v[n].moves == MAX_MOVES) flush(p, s, n);
    }
    if (!all_to_be_had(p, jb, o, intern(p, s))) {
        for (unsigned n = FAR_LAZY; n < p->g->guest->n_lazy; n++) flush(p, s, n);
        if (!all_to_be_had(p, jb, o, intern(p, s))) flush_all(p, s);
    }
    unsigned id = intern(p, s);
    if (o->op == OP_IND) {
        for (unsigned i = 0; i < jb->n_ind; i++) to->ind[i] = (int16_t)version(p, (unsigned)jb->ind[i], id);
    } else if (jb->to[o->aux] >= 0) {
        to->to[o->aux] = (int16_t)version(p, (unsigned)jb->to[o->aux], id);
    }
}

static void make(struct prep *p, unsigned index)
{
    struct gen *g = p->g;
    struct version *v = &p->v[index];
    const struct jit_block *jb = &p->block[v->orig];
    struct gen_state s = p->states[v->in];
    const uint8_t *after = watched(p, jb);

    v->done = true;
    p->now = v;
    v->jb = *jb;
    p->cap_out = jb->n_ops * 4u + 32, p->n_out = 0;
    p->out = arena_get(&g->arena, p->cap_out * sizeof *p->out);
    v->state = zeroed(g, p->cap_out * sizeof *v->state);
    p->consts = arena_get(&g->arena, (jb->n_consts + SPARE_CONSTS) * sizeof *p->consts);
    p->const_type = arena_get(&g->arena, jb->n_consts + SPARE_CONSTS);
    p->temp_type = arena_get(&g->arena, jb->n_temps + SPARE_TEMPS);
    memcpy(p->consts, jb->consts, jb->n_consts * sizeof *p->consts);
    memcpy(p->const_type, jb->const_type, jb->n_consts);
    memcpy(p->temp_type, jb->temp_type, jb->n_temps);
    p->temp_const = arena_get(&g->arena, (jb->n_temps + SPARE_TEMPS) * sizeof *p->temp_const);
    for (unsigned t = 0; t < jb->n_temps + SPARE_TEMPS; t++) p->temp_const[t] = IR_NONE;
    v->jb.consts = p->consts, v->jb.const_type = p->const_type, v->jb.temp_type = p->temp_type;
    for (unsigned i = 0; i < jb->n_ops && !p->failed; i++) {
        struct ir_op o = jb->ops[i];
        struct gen_lazy z;
        if (o.op == OP_INSN) {
            emit(p, &o, &s);
            continue;
        }
        if (needs_cells(g, &o)) flush_all(p, &s);
        if (op_is_vec(&o) || o.op == OP_ST2 || o.op == OP_BR || o.op == OP_BRL || o.op == OP_LABEL) make_known_temps(p, &s);
        else use_constants(p, &o, &s);
        if (fold_constants(p, &o)) continue;
        if (o.d != IR_NONE && ir_is_temp(o.d)) p->temp_const[o.d - IR_TEMP] = IR_NONE;
        if (copies_lazy(p, &o, &s)) continue;
        read_lazy(p, &o, &s);
        for (unsigned n = 0; n < g->guest->n_lazy; n++) {
            const struct gen_lazy *y = &s.v[n];
            bool changes = waits(y) && ((y->a != IR_NONE && writes(&o, y->a)) || (y->b != IR_NONE && writes(&o, y->b)));
            if (!changes || pure_call(g, &o)) continue;
            if (moves_along(p, &o, &s.v[n])) continue;
            if (after[i] >> n & 1 || ir_op_info[o.op].flags & F_FAULT) flush(p, &s, n);
            else set(&s.v[n], GEN_DEAD);
        }
        if (o.op == OP_BRC || o.op == OP_GOTO || o.op == OP_IND) leave(p, jb, &o, &s);
        if (o.d != IR_NONE && is_lazy(g, o.d)) {
            struct gen_lazy *y = &s.v[o.d - g->guest->lazy_first];
            if (describe(p, &v->jb, &o, &z)) {
                *y = z;
                continue;
            }
            emit(p, &o, &s);
            set(y, GEN_IN_CELL);
            continue;
        }
        emit(p, &o, &s);
    }
    v = p->now;
    v->jb.ops = p->out, v->jb.n_ops = (uint16_t)p->n_out;
}

/* ---- the region --------------------------------------------------------------------------------------- */

/* Along the likely ways: in the order of the region as it was formed. */
static void lay_out(struct prep *p, uint16_t *order)
{
    unsigned n = 0, next = 0;

    while (n < p->n) {
        struct version *v = &p->v[next];
        v->order = (int16_t)n;
        order[n++] = (uint16_t)next;
        int best = -1;
        const struct jit_block *jb = &v->jb;
        for (unsigned l = 0; l < jb->blk->n_links; l++) { /* the block that followed, if it still follows */
            if (jb->to[l] < 0 || p->v[jb->to[l]].order >= 0) continue;
            if (best < 0 || p->v[jb->to[l]].orig == v->orig + 1u || (p->v[best].orig != v->orig + 1u && p->v[jb->to[l]].orig < p->v[best].orig)) best = jb->to[l];
        }
        for (unsigned i = 0; best < 0 && i < p->n; i++) {
            if (p->v[i].order < 0) best = (int)i;
        }
        if (best < 0) return;
        next = (unsigned)best;
    }
}

static void finish(struct prep *p)
{
    struct gen *g = p->g;
    struct jit_region *r = arena_get(&g->arena, sizeof *r);
    uint16_t *order = arena_get(&g->arena, p->n * sizeof *order);

    *r = *p->r;
    r->n = p->n;
    r->blocks = arena_get(&g->arena, p->n * sizeof *r->blocks);
    lay_out(p, order);
    g->state_in = arena_get(&g->arena, p->n * sizeof *g->state_in);
    g->state = arena_get(&g->arena, p->n * sizeof *g->state);
    for (unsigned i = 0; i < p->n; i++) {
        struct jit_block *jb = &r->blocks[i];
        const struct version *v = &p->v[order[i]];
        *jb = v->jb;
        g->state_in[i] = v->in, g->state[i] = v->state;
        for (unsigned l = 0; l < jb->blk->n_links; l++) {
            if (jb->to[l] >= 0) jb->to[l] = p->v[jb->to[l]].order;
        }
        for (unsigned k = 0; k < jb->n_ind; k++) jb->ind[k] = p->v[jb->ind[k]].order;
        jb->header = false;
    }
    for (unsigned i = 0; i < p->n; i++) {
        const struct jit_block *jb = &r->blocks[i];
        for (unsigned l = 0; l < jb->blk->n_links; l++) {
            if (jb->to[l] >= 0 && jb->to[l] <= (int)i) r->blocks[jb->to[l]].header = true;
        }
        for (unsigned k = 0; k < jb->n_ind; k++) {
            if (jb->ind[k] <= (int)i) r->blocks[jb->ind[k]].header = true;
        }
    }
    g->r = r;
    g->states = p->states, g->n_states = p->n_states;
}

void gen_prepare(struct gen *g)
{
    struct prep p = { .g = g, .r = g->r };
    struct jit_region *r = arena_get(&g->arena, sizeof *r);

    p.block = arena_get(&g->arena, g->r->n * sizeof *p.block);
    for (unsigned k = 0; k < g->r->n; k++) {
        p.block[k] = g->r->blocks[k];
        tidy(g, &p.block[k]);
    }
    host_takes_calls(g, p.block);
    *r = *g->r;
    r->blocks = p.block;
    g->r = r;
    if (!g->guest->n_lazy) return;
    p.cap = 3 * g->r->n + 4;
    p.v = zeroed(g, p.cap * sizeof *p.v);
    p.cap_states = 64 + 24 * g->r->n;
    p.states = arena_get(&g->arena, p.cap_states * sizeof *p.states);
    struct gen_state none = all_in_cells(g);
    intern(&p, &none);
    version(&p, 0, 0);
    for (unsigned i = 0; i < p.n && !p.failed; i++) make(&p, i);
    if (p.failed) return;
    finish(&p);
}
