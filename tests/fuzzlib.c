/*
 * fuzzlib.c - the toy guest and its two worlds (see fuzzlib.h).
 */
#include "tests/fuzzlib.h"

#include "interp/accel.h"
#include "tests/backends.h"
#include "tests/mutant.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096 };

struct toy {
    struct cpu c;
    uint32_t r[FZ_N32];
    uint64_t q[FZ_N64], v[FZ_NV];
    uint32_t map, pc;
    uint64_t pc64;
};

struct fz_side {
    struct engine *eng;
    struct cpu_world world;
    struct toy *t;
    const struct fz_prog *prog;
    uint8_t *base;
    size_t size, guard;
    uint64_t dev;
    bool user, wide;
    bool code[FZ_PAGES];     /* user: write-protected because of translated code */
    bool open;               /* user: all pages readable and writable for the moment */
};

/* The signal handler's only way to what runs. */
static struct fz_side *running;

static const uint8_t user_prot[FZ_PAGES] = { MMU_R, MMU_R | MMU_W, MMU_R | MMU_W, 0, MMU_R, 7, 7, 0 };

/* ---- helpers ---- */
static uint64_t h_mix(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    (void)c;
    return (a ^ b << 7 ^ d << 13) * UINT64_C(0x9e3779b97f4a7c15);
}
static uint64_t h_bump(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    struct toy *t = (struct toy *)c;
    (void)b, (void)d;
    t->q[1] += a + t->r[2];
    t->r[3] ^= (uint32_t)cpu_icount(c);
    return t->q[1];
}
static uint64_t h_raise(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    (void)d;
    if ((a & 7) == 3) {
        c->exc = (struct exception){ 77, (uint32_t)b, a };
        cpu_raise(c);
    }
    return a + 1;
}
static uint64_t h_read(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    struct toy *t = (struct toy *)c;
    (void)d;
    return a + b + t->r[1] + t->q[2];
}
static uint64_t h_write(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    struct toy *t = (struct toy *)c;
    t->r[6] = (uint32_t)(a ^ d);
    t->q[5] = b;
    return a * 3;
}
static uint64_t h_load(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    (void)b, (void)d;
    return cpu_ld(c, FZ_DATA + (a & 0x2fff), IR_M32, 0); /* reaches what has no mapping, too */
}
static uint64_t h_kick(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    (void)b, (void)d;
    if (a & 1) cpu_kick(c);
    return a >> 1;
}
static uint64_t h_remap(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    struct toy *t = (struct toy *)c;
    (void)b, (void)d;
    if (c->world->user) return a;
    t->map ^= (uint32_t)a & 1;
    if (a & 2) cpu_tlb_flush(c);
    else cpu_tlb_flush_page(c, 0x6000);
    return t->map;
}
#define CLS(x) (1u << SLOT_##x)
static const struct helper_desc helpers[FZ_HELPERS] = {
    { "mix", h_mix, HELPER_PURE, 0, 0 },
    { "bump", h_bump, 0, SLOTS_ALL, SLOTS_ALL },
    { "raise", h_raise, HELPER_RAISE, SLOTS_ALL, 0 },
    { "read", h_read, 0, CLS(GPR), 0 },
    { "write", h_write, 0, 0, CLS(FPR) },
    { "load", h_load, HELPER_MEM, 0, 0 },
    { "kick", h_kick, HELPER_TIME, 0, 0 },
    { "remap", h_remap, HELPER_TIME, SLOTS_ALL, SLOTS_ALL },
};

/* ---- the front end ---- */
bool fz_conv_types(unsigned op, unsigned *in, unsigned *out)
{
    enum { T_32 = T_I32, T_64 = T_I64, F16 = T_I32, F32 = T_I32, F64 = T_I64, I32 = T_I32, I64 = T_I64, U32 = T_I32, U64 = T_I64 };
    switch (op) {
#define CONV(N, n, k, fl, ti, to, e) case OP_##N: *in = (unsigned)(ti), *out = (unsigned)(to); return true;
#define FPCV(N, n, ti, to) case OP_##N: *in = (unsigned)(ti), *out = (unsigned)(to); return true;
#include "interp/ops.def"
    default: return false;
    }
}

bool fz_float_to_int(unsigned op)
{
    enum { F16 = 1, F32 = 1, F64 = 1, I32 = 2, I64 = 2, U32 = 2, U64 = 2 };
    switch (op) {
#define FPCV(N, n, ti, to) case OP_##N: return (ti) == 1 && (to) == 2;
#include "interp/ops.def"
    default: return false;
    }
}

static struct fz_side *side_of(struct cpu *c)
{
    return c->bus;
}

struct fz_emit {
    struct ir_builder *b;
    const struct fz_insn *in;
    ir_id temp[FZ_TEMPS];
    int label[FZ_OPS];
};

static ir_id operand(struct fz_emit *m, ir_id x)
{
    if (x == IR_NONE || ir_is_slot(x)) return x;
    if (ir_is_const(x)) return ir_const(m->b, (enum ir_type)m->in->k_type[x - IR_CONST], m->in->k[x - IR_CONST]);
    unsigned type = m->in->t_type[x - IR_TEMP];
    if (m->temp[x - IR_TEMP] == IR_NONE) m->temp[x - IR_TEMP] = type == FZ_VTEMP ? ir_vtemp(m->b, 16) : ir_temp(m->b, (enum ir_type)type);
    return m->temp[x - IR_TEMP];
}

static unsigned link_of(struct fz_emit *m, uint32_t i)
{
    const struct fz_link *l = &m->in->link[i < m->in->n_links ? i : 0];
    return ir_link(m->b, l->pc, l->key, l->hint);
}

static unsigned label_of(struct fz_emit *m, uint32_t n)
{
    if (m->label[n % FZ_OPS] < 0) m->label[n % FZ_OPS] = (int)ir_label(m->b);
    return (unsigned)m->label[n % FZ_OPS];
}

static void emit_op(struct fz_emit *m, const struct ir_op *o)
{
    struct ir_builder *b = m->b;
    enum ir_type t = (enum ir_type)o->type;
    ir_id d = operand(m, o->d), x = operand(m, o->a), y = operand(m, o->b), z = operand(m, o->c);
    unsigned l;

    switch (o->op) {
    case OP_EXTRACT: case OP_SEXTRACT: ir_bits(b, (enum ir_opcode)o->op, t, d, x, o->aux & 0xff, o->aux >> 8 & 0xff); return;
    case OP_DEPOSIT: ir_deposit(b, t, d, x, y, o->aux & 0xff, o->aux >> 8 & 0xff); return;
    case OP_SETC: ir_setc(b, t, (enum ir_cond)o->attr, d, x, y); return;
    case OP_FCMP:
        if (o->aux) ir_fcmp_values(b, t, o->aux, o->attr, d, x, y);
        else ir_fcmp(b, t, o->attr, d, x, y);
        return;
    case OP_FROUND: ir_fround(b, t, o->attr, d, x); return;
    case OP_FMIN: case OP_FMAX: ir_fminmax(b, (enum ir_opcode)o->op, t, (enum ir_fmm)o->attr, d, x, y); return;
    case OP_LD2: ir_ld2(b, d, z, x, IR_DISP(o), o->attr, 0); return;
    case OP_ST2: ir_st2(b, y, z, x, IR_DISP(o), o->attr, 0); return;
    case OP_FMA: ir_fma(b, t, o->attr, d, x, y, z); return;
    case OP_LD: ir_ld(b, t, d, x, IR_DISP(o), o->attr, 0); return;
    case OP_ST: ir_st(b, t, y, x, IR_DISP(o), o->attr, 0); return;
    case OP_CAS: ir_cas(b, t, d, x, y, z, o->attr, 0); return;
    case OP_RMW: ir_rmw(b, t, (enum ir_rmw)(o->aux >> 28), d, x, y, o->attr, 0); return;
    case OP_FENCE: ir_fence_mask(b, o->aux); return;
    case OP_CALL: ir_call(b, o->aux, t, d, x, y, z); return;
    case OP_LABEL: ir_place(b, label_of(m, o->aux)); return;
    case OP_BR: ir_br(b, label_of(m, o->aux)); return;
    case OP_BRL: ir_brl(b, t, (enum ir_cond)o->attr, x, y, label_of(m, o->aux)); return;
    case OP_BRC:
        l = link_of(m, o->aux);
        ir_brc(b, t, (enum ir_cond)o->attr, x, y, l);
        return;
    case OP_GOTO:
        l = link_of(m, o->aux);
        ir_goto(b, l);
        return;
    case OP_IND:
        if (b->guest->addr_type == T_I64) {
            ir_id wide = ir_temp(b, T_I64);
            ir_conv(b, OP_ZXW, wide, x);
            x = wide;
        }
        ir_ind(b, (enum ir_type)b->guest->addr_type, x, o->attr);
        return;
    case OP_EXIT: ir_exit(b, (enum ir_exit)o->attr, o->aux); return;
    default: break;
    }
    if (fz_float_to_int(o->op)) {
        ir_f2i(b, (enum ir_opcode)o->op, d, x, o->aux & 15, (enum ir_f2i)(o->aux >> 4));
        return;
    }
    if (ir_op_info[o->op].cls == CLASS_VEC) {
        ir_vec(b, (enum ir_opcode)o->op, IR_VEC_LANE(o), IR_VEC_BYTES(o), d, x, y, z, o->aux);
        return;
    }
    unsigned n = ir_op_info[o->op].n_in;
    if (n == 1) ir_op1(b, (enum ir_opcode)o->op, t, d, x);
    else if (n == 2) ir_op2(b, (enum ir_opcode)o->op, t, d, x, y);
    else ir_op3(b, (enum ir_opcode)o->op, t, d, x, y, z);
}

static const struct fz_insn *decode(struct ir_builder *b, uint64_t pc)
{
    const struct fz_prog *p = side_of(b->cpu)->prog;
    uint8_t w[4];
    if (!ir_fetch(b, pc, 4, w)) return NULL;
    return &p->insn[(ld32_le(w) ^ (uint32_t)(b->blk.key & 1)) % p->n];
}

/* Ops of an instruction from `from` to before `to`. */
static void emit(struct fz_emit *m, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to && !(m->b->ended && m->in->ops[i].op != OP_LABEL); i++) emit_op(m, &m->in->ops[i]);
}

static void begin(struct fz_emit *m, struct ir_builder *b, const struct fz_insn *in)
{
    m->b = b, m->in = in;
    for (unsigned i = 0; i < FZ_TEMPS; i++) m->temp[i] = IR_NONE;
    for (unsigned i = 0; i < FZ_OPS; i++) m->label[i] = -1;
}

static void fz_translate(struct ir_builder *b)
{
    struct fz_emit m, slot;
    uint64_t pc = b->blk.pc;

    for (;; pc += 4) {
        if (b->blk.n_links > 2 || (pc & ~(uint64_t)3) >= FZ_CODE + 4 * FZ_WORDS) { /* room for what an instruction may need */
            if (b->blk.n_insns) {
                ir_goto(b, ir_link(b, pc, b->blk.key, 0));
                return;
            }
            ir_insn(b, pc, 4, 0);
            ir_goto(b, ir_link(b, FZ_CODE, b->blk.key, 0)); /* the end leads back to the beginning */
            return;
        }
        /* Instructions are fetched before they start: of what crosses into a page that is not there, nothing happens. */
        if (b->blk.n_insns && ((pc ^ b->blk.pc) & CPU_PAGE_MASK || b->blk.n_insns >= b->max_insns)) {
            ir_goto(b, ir_link(b, pc, b->blk.key, 0));
            return;
        }
        const struct fz_insn *in = decode(b, pc);
        if (!ir_insn(b, pc, 4, (unsigned)(pc >> 2) & 3)) {
            if (!b->ended) ir_goto(b, ir_link(b, pc, b->blk.key, 0));
            return;
        }
        if (!in) {
            ir_fetch_fault(b, (pc + 3) & CPU_PAGE_MASK);
            return;
        }
        begin(&m, b, in);
        if (in->delay) {
            emit(&m, 0, in->delay - 1u);
            const struct fz_insn *next = decode(b, pc + 4);
            ir_insn(b, pc + 4, 4, IR_INSN_CONT | ((unsigned)(pc >> 2) & 3));
            if (!next) {
                ir_fetch_fault(b, (pc + 7) & CPU_PAGE_MASK);
                return;
            }
            begin(&slot, b, next);
            /* what leaves, or cannot be done twice, does nothing in a delay slot */
            for (unsigned i = 0; i < next->n_ops && !next->delay; i++) {
                const struct ir_op *o = &next->ops[i];
                if (ir_op_info[o->op].flags & F_END || o->op == OP_BRC || o->op == OP_CALL || o->d == FZ_KEY) break;
                if (o->op == OP_BRL || o->op == OP_BR) break; /* its label might lie behind such an op */
                if (o->op == OP_LABEL) continue;
                emit_op(&slot, o);
            }
            emit(&m, in->delay - 1u, in->n_ops);
            if (!b->ended) ir_goto(b, ir_link(b, pc + 8, b->blk.key, 0));
            return;
        }
        emit(&m, 0, in->n_ops);
        if (b->ended) return;
    }
}

/* ---- memory ---- */
static bool fz_mmu(struct cpu *c, uint64_t va, enum mem_access acc, unsigned mode, bool probe, struct mmu_hit *h)
{
    const struct toy *t = (const struct toy *)c;
    unsigned page = (unsigned)(va >> CPU_PAGE_BITS);
    (void)mode;
    bool ok = va < FZ_MEM && page != 7 && !(acc == ACCESS_WRITE && (page == 0 || page == 4)) && !(acc == ACCESS_EXEC && page < 5);
    if (!ok) {
        if (!probe) c->exc = (struct exception){ 88, (uint32_t)acc, va };
        return false;
    }
    uint64_t pa = page == 6 && t->map & 1 ? va + PAGE : va;
    *h = (struct mmu_hit){ .phys = pa, .prot = (uint8_t)(MMU_R | (page == 0 || page == 4 ? 0 : MMU_W) | (page >= 5 ? MMU_X : 0)), .page_bits = 12 };
    return true;
}

static void fz_fault(struct cpu *c, enum mem_fault f, enum mem_access acc, uint64_t va)
{
    /* user mode: the host does not tell the kind of access, and either half of two cells may be read first */
    bool user = c->world->user && f == FAULT_USER && acc != ACCESS_EXEC;
    c->exc = (struct exception){ 90 + (uint32_t)f, user ? 0 : (uint32_t)acc, user ? va & CPU_PAGE_MASK : va };
}

static void fz_exception(struct cpu *c)
{
    struct toy *t = (struct toy *)c;
    uint64_t pc = cpu_get_slot(c, FZ_PC);
    t->q[0] = t->q[0] * 31 + c->exc.code + c->exc.addr * 7 + pc + c->insn_flags;
    t->r[0] += (uint32_t)cpu_icount(c) + c->exc.sub;
    cpu_set_slot(c, FZ_PC, FZ_CODE + ((pc * 5 + 16 + (t->q[0] >> 9)) & (4 * FZ_WORDS - 4)));
    c->key = t->q[0] >> 5 & 1;
}

static bool no_interrupt(struct cpu *c) { (void)c; return false; }
static bool has_work(struct cpu *c) { (void)c; return true; }
static unsigned mmu_mode(struct cpu *c) { (void)c; return 0; }

#define R(n) { "r" #n, offsetof(struct toy, r) + 4 * n, T_I32, n < 6 ? SLOT_GPR : SLOT_FPR }
#define Q(n) { "q" #n, offsetof(struct toy, q) + 8 * n, T_I64, n < 4 ? SLOT_GPR : SLOT_FPR }
#define V(n) { "v" #n, offsetof(struct toy, v) + 8 * n, T_I64, SLOT_VEC }
#define SLOTS R(0), R(1), R(2), R(3), R(4), R(5), R(6), R(7), Q(0), Q(1), Q(2), Q(3), Q(4), Q(5), Q(6), Q(7), \
    V(0), V(1), V(2), V(3), V(4), V(5), V(6), V(7), \
    { "map", offsetof(struct toy, map), T_I32, SLOT_SYS }, { "key", offsetof(struct toy, c.key), T_I64, SLOT_MODE }
static const struct slot_desc slots32[FZ_SLOTS] = { SLOTS, { "pc", offsetof(struct toy, pc), T_I32, SLOT_PC } };
static const struct slot_desc slots64[FZ_SLOTS] = { SLOTS, { "pc", offsetof(struct toy, pc64), T_I64, SLOT_PC } };
#define GUEST(w) { \
    .name = "toy" #w, .slots = slots##w, .n_slots = FZ_SLOTS, .helpers = helpers, .n_helpers = FZ_HELPERS, .pc_slot = FZ_PC, \
    .addr_type = T_I##w, .cpu_size = sizeof(struct toy), .translate = fz_translate, .mmu = fz_mmu, .fault = fz_fault, \
    .exception = fz_exception, .interrupt = no_interrupt, .has_work = has_work, .mmu_mode = mmu_mode }
static const struct guest toy32 = GUEST(32), toy64 = GUEST(64);

static void phys(void *bus, uint64_t pa, struct phys_page *p)
{
    struct fz_side *s = bus;
    if (pa < FZ_MEM && pa >> CPU_PAGE_BITS != FZ_DEVICE >> CPU_PAGE_BITS) p->host = s->base + pa;
}
static bool dev_read(void *bus, struct cpu *c, uint64_t pa, unsigned size, uint64_t *v)
{
    struct fz_side *s = bus;
    s->dev = s->dev * 33 + pa + size + cpu_icount(c);
    *v = s->dev >> 8;
    return (pa & 0xff0) != 0xff0;
}
static bool dev_write(void *bus, struct cpu *c, uint64_t pa, unsigned size, uint64_t v)
{
    struct fz_side *s = bus;
    s->dev = (s->dev ^ v) * 37 + pa + size + cpu_icount(c);
    return (pa & 0xff0) != 0xff0;
}

/* ---- user style ---- */
static void protect(struct fz_side *s, unsigned n)
{
    int prot = user_prot[n] & MMU_R ? PROT_READ : PROT_NONE;
    if (user_prot[n] & MMU_W && !s->code[n]) prot |= PROT_WRITE;
    mprotect(s->base + n * PAGE, PAGE, prot);
}

char fz_doing[160];

static void on_fault(int sig, siginfo_t *info, void *context)
{
    struct fz_side *s = running;
    uintptr_t at = s ? (uintptr_t)info->si_addr - (uintptr_t)s->base : 0;

    if (s && at + s->guard < s->size + 2 * s->guard) {
        cpu_host_fault(&s->t->c, context);
        if (s->t->c.xpoint && at >= FZ_MEM) { /* compiled code does not wrap addresses */
            cpu_fp_signal(&s->t->c, context);
            engine_run_again(&s->t->c);
        }
    }
    if (!s || at >= s->size || !cpu_in_code(&s->t->c)) {
        static const char text[] = "crashed: ";
        ssize_t k = write(2, text, sizeof text - 1);
        k = write(2, fz_doing, strlen(fz_doing));
        k = write(2, "\n", 1);
        (void)k;
        signal(sig, SIG_DFL); /* happens again, and ends */
        return;
    }
    unsigned n = (unsigned)(at / PAGE);
    if (n < FZ_PAGES && s->code[n] && user_prot[n] & MMU_W) {
        engine_code_page_fault(s->eng, s->base + n * PAGE);
        s->code[n] = false;
        protect(s, n);
        cpu_fp_signal(&s->t->c, context);
        engine_code_page_own(&s->t->c, info->si_addr);
        return;
    }
    fz_fault(&s->t->c, FAULT_USER, ACCESS_READ, at);
    cpu_fp_signal(&s->t->c, context);
    cpu_raise(&s->t->c);
}

static const uint8_t *user_code(struct cpu *c, uint64_t va)
{
    return va < FZ_MEM && user_prot[va / PAGE] & MMU_X ? side_of(c)->base + (va & CPU_PAGE_MASK) : NULL;
}

static void user_code_page(struct cpu *c, uint64_t va)
{
    struct fz_side *s = side_of(c);
    if (va >= FZ_MEM) return;
    s->code[va / PAGE] = true;
    protect(s, (unsigned)(va / PAGE));
}

/* ---- sides ---- */
struct fz_side *fz_open(const struct engine_config *cfg, bool user, bool wide, struct error *e)
{
    static bool installed;
    struct fz_side *s = NEW(struct fz_side);

    if (!installed) {
        struct sigaction sa;
        memset(&sa, 0, sizeof sa);
        sa.sa_sigaction = on_fault;
        sa.sa_flags = SA_SIGINFO | SA_NODEFER;
        sigaction(SIGSEGV, &sa, NULL);
        sigaction(SIGBUS, &sa, NULL);
        installed = true;
    }
    s->user = user, s->wide = wide;
    s->size = user && sizeof(void *) == 8 ? (size_t)0xffffffffu + 1 + PAGE : FZ_MEM;
    s->guard = user && sizeof(void *) == 8 ? (size_t)(wide ? CPU_GUARD64 : CPU_GUARD) : 0;
    uint8_t *at = mmap(NULL, s->size + 2 * s->guard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED || mprotect(at + s->guard, FZ_MEM, PROT_READ | PROT_WRITE)) {
        error_set(e, "no memory for a guest: %s", strerror(errno));
        mem_free(s);
        return NULL;
    }
    s->base = at + s->guard;
    s->eng = engine_new(cfg, e);
    if (!s->eng) {
        munmap(s->base - s->guard, s->size + 2 * s->guard);
        mem_free(s);
        return NULL;
    }
    if (user) s->world = (struct cpu_world){ .user = true, .user_code = user_code, .user_code_page = user_code_page };
    else s->world = (struct cpu_world){ .phys_page = phys, .mmio_read = dev_read, .mmio_write = dev_write };
    s->t = (struct toy *)cpu_new(wide ? &toy64 : &toy32, &s->world, s->eng, s, 0);
    s->t->c.ubase = s->base;
    s->t->c.ulimit = FZ_MEM;
    return s;
}

void fz_close(struct fz_side *s)
{
    if (!s) return;
    cpu_delete(&s->t->c);
    engine_delete(s->eng);
    munmap(s->base - s->guard, s->size + 2 * s->guard);
    mem_free(s);
}

struct cpu *fz_cpu(struct fz_side *s) { return &s->t->c; }
struct engine *fz_engine(struct fz_side *s) { return s->eng; }

uint8_t *fz_mem(struct fz_side *s)
{
    if (s->user && !s->open) mprotect(s->base, FZ_MEM, PROT_READ | PROT_WRITE);
    s->open = s->user;
    return s->base;
}

void fz_mem_done(struct fz_side *s)
{
    for (unsigned i = 0; s->open && i < FZ_PAGES; i++) protect(s, i);
    s->open = false;
}

void fz_start(struct fz_side *s, const struct fz_prog *p)
{
    struct toy *t = s->t;
    uint8_t *m = fz_mem(s);
    uint64_t x = p->mem_seed | 1;

    /* What was translated of the last program goes. */
    for (unsigned i = 5; i < FZ_PAGES; i++) {
        if (s->user) engine_code_page_fault(s->eng, m + i * PAGE);
        else engine_code_written(s->eng, m + i * PAGE, PAGE);
        s->code[i] = false;
    }
    cpu_tlb_flush(&t->c);
    s->prog = p;
    for (unsigned i = 0; i < FZ_DEVICE; i += 8) {
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        st64_le(m + i, x ^ x >> 29);
    }
    for (unsigned i = 0; i < 256; i += 8) st64_le(m + FZ_RDONLY + i, ld64_le(m + i));
    for (unsigned i = 0; i < FZ_WORDS; i++) {
        st32_le(m + FZ_CODE + 4 * i, p->word[i]);
        st32_le(m + FZ_OTHER + 4 * i, p->word[FZ_WORDS + i]);
    }
    st32_le(m + FZ_CODE + 4 * FZ_WORDS, 0);
    st32_le(m + FZ_CODE + 4 * FZ_WORDS + 4, 0);
    memcpy(t->r, p->r, sizeof t->r);
    memcpy(t->q, p->q, sizeof t->q);
    for (unsigned i = 0; i < FZ_NV; i++) t->v[i] = (x + i) * UINT64_C(0x9e3779b97f4a7c15);
    t->map = 0, t->pc = FZ_CODE, t->pc64 = FZ_CODE;
    t->c.key = 0, t->c.icount = 0, t->c.kick = 0;
    t->c.fp.round = p->fp_round & 3, t->c.fp.tiny_before = p->fp_round & 4, t->c.fp.sees_denormal = p->fp_round & 8;
    t->c.fp_note = (struct fp_note){ 0 };
    cpu_fp_changed(&t->c);
    cpu_fp_set_flags(&t->c, 0);
    s->dev = p->mem_seed;
    fz_mem_done(s);
}

enum run_exit fz_run(struct fz_side *s, unsigned budget)
{
    running = s;
    enum run_exit x = engine_run(&s->t->c, budget);
    running = NULL;
    if (x == RUN_EXCEPTION) {
        fz_exception(&s->t->c);
        s->t->c.icount++;
    }
    return x;
}

bool fz_equal(struct fz_side *a, struct fz_side *b, FILE *f)
{
    struct cpu *x = &a->t->c, *y = &b->t->c;
    bool same = true;
#define DIFFERS(...) do { same = false; if (!f) return false; fprintf(f, __VA_ARGS__); } while (0)
    for (unsigned i = 0; i < FZ_SLOTS; i++) {
        uint64_t p = cpu_get_slot(x, (ir_id)i), q = cpu_get_slot(y, (ir_id)i);
        if (p != q) DIFFERS("  %s = 0x%" PRIx64 ", want 0x%" PRIx64 "\n", slots32[i].name, q, p);
    }
    if (cpu_icount(x) != cpu_icount(y)) DIFFERS("  instructions: %" PRIu64 ", want %" PRIu64 "\n", cpu_icount(y), cpu_icount(x));
    if (a->dev != b->dev) DIFFERS("  the device's state differs\n");
    if (cpu_fp_flags(x) != cpu_fp_flags(y)) DIFFERS("  FP flags 0x%x, want 0x%x\n", cpu_fp_flags(y), cpu_fp_flags(x));
    /* Comparisons may be noted without their operands: they raise nothing that is asked for. */
    if (!(fz_without & FZ_NO_NOTES) && (!x->fp_note.op != !y->fp_note.op || ((cpu_fp_last_flags(x) ^ cpu_fp_last_flags(y)) & 0x1f)))
        DIFFERS("  flags of the last FP op (%s, want %s) 0x%x, want 0x%x\n", ir_op_info[y->fp_note.op & 0xff].name, ir_op_info[x->fp_note.op & 0xff].name,
                cpu_fp_last_flags(y), cpu_fp_last_flags(x));
    for (unsigned i = 0; i < FZ_PAGES; i++) {
        if (a->user && !(user_prot[i] & MMU_W)) continue; /* cannot have changed */
        const uint8_t *p = a->base + i * PAGE, *q = b->base + i * PAGE;
        if (!memcmp(p, q, PAGE)) continue;
        if (!f) return false;
        same = false;
        for (unsigned k = 0, n = 0; k < PAGE && n < 8; k++) {
            if (p[k] != q[k]) fprintf(f, "  [0x%x] = %02x, want %02x\n", i * PAGE + k, q[k], p[k]), n++;
        }
    }
#undef DIFFERS
    return same;
}

/* ---- engines ---- */
void fz_init(void)
{
    register_backends();
    struct error e = ERROR_INIT;
    if (mutant_register(&e)) error_print(&e);
}

int fz_engine_parse(struct fz_engine *g, const char *text, struct error *e)
{
    char *copy = mem_strdup(text), *save = NULL, *w = strtok_r(copy, ":", &save);
    int rc = 0;

    memset(g, 0, sizeof *g);
    snprintf(g->name, sizeof g->name, "%s", text);
    g->cfg.mode = ENGINE_FAST;
    if (!w) rc = error_set(e, "an engine is missing");
    else if (!strcmp(w, "ref")) g->cfg.mode = ENGINE_REF;
    else if (!strcmp(w, "switch")) g->cfg.portable_switch = true;
    else if (strcmp(w, "goto") && strcmp(w, "interp")) {
        g->cfg.backend = jit_find(w, e);
        g->cfg.threshold = 1, g->cfg.threshold2 = 2, g->cfg.sync = true;
        g->cfg.code_size = (size_t)8 << 20, g->cfg.cache_size = (size_t)8 << 20;
        if (!g->cfg.backend) rc = -1;
    }
    while (!rc && (w = strtok_r(NULL, ":,", &save))) {
        char *v = strchr(w, '=');
        if (v) *v++ = 0;
        rc = accel_set(&g->cfg, w, v, e);
    }
    mem_free(copy);
    return rc;
}

unsigned fz_engines(struct fz_engine *list, unsigned room, bool slow_too)
{
    static const char *const names[] = { "goto", "switch", "null", "native", "tcc", "gccjit" };
    unsigned n = 0;
    for (unsigned i = 0; i < ARRAY_LEN(names) && n + 1 < room; i++) {
        struct error e = ERROR_INIT;
        if (!slow_too && !strcmp(names[i], "gccjit")) continue;
        if (!fz_engine_parse(&list[n], names[i], &e)) {
            /* a backend may be there and not work on this host */
            struct fz_side *s = fz_open(&list[n].cfg, false, false, &e);
            if (s) n++;
            fz_close(s);
        }
        error_clear(&e);
    }
    list[n].name[0] = 0;
    return n;
}
