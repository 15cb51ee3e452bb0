/*
 * fast-body.h - the fast interpreter: handlers of the records in xops.def and their dispatch.
 *
 * Included four times, with
 *   FAST_RUN   the function's name
 *   FAST_USER  1: guest address + base is the host address; 0: software TLB
 *   FAST_GOTO  1: computed goto; 0: switch
 * Handlers that can be part of a superinstruction are inline functions (cpu, record, accumulator) -> accumulator; the ends of
 * blocks are macros. The bodies are the same in all four.
 */

#define CELL32(off) (*(uint32_t *)((char *)cpu + (off)))
#define CELL64(off) (*(uint64_t *)((char *)cpu + (off)))
#define CELL_(W, off) CELL##W(off)
#define SA_RR(W) CELL_(W, r->a)
#define SA_RI(W) CELL_(W, r->a)
#define SA_AR(W) ((uint##W##_t)acc)
#define SA_RA(W) CELL_(W, r->a)
#define SA_AI(W) ((uint##W##_t)acc)
#define SB_RR(W) CELL_(W, r->b)
#define SB_RI(W) ((uint##W##_t)(int##W##_t)r->imm)
#define SB_AR(W) CELL_(W, r->b)
#define SB_RA(W) ((uint##W##_t)acc)
#define SB_AI(W) ((uint##W##_t)(int##W##_t)r->imm)
#define SA_R(W) CELL_(W, r->a)
#define SA_A(W) ((uint##W##_t)acc)

#define BODY(name) static ATTR_INLINE uint64_t FN(name)(struct cpu *cpu, const struct xrec *r, uint64_t acc)
#define FN_(run, name) run##_##name
#define FN__(run, name) FN_(run, name)
#define FN(name) FN__(FAST_RUN, name)

/* ---- plain records ------------------------------------------------------------------------------- */

#define X_ALU2(N, W, m)                                                                            \
    BODY(N##W##_##m)                                                                               \
    {                                                                                              \
        (void)acc;                                                                                 \
        return CELL_(W, r->d) = v##W##_##N(SA_##m(W), SB_##m(W), 0, 0);                            \
    }
#define X_ALU1(N, W, m)                                                                            \
    BODY(N##W##_##m)                                                                               \
    {                                                                                              \
        (void)acc;                                                                                 \
        return CELL_(W, r->d) = v##W##_##N(SA_##m(W), 0, 0, r->b);                                 \
    }
#define X_ALU3(N, W)                                                                               \
    BODY(N##W)                                                                                     \
    {                                                                                              \
        (void)acc;                                                                                 \
        return CELL_(W, r->d) = v##W##_##N(CELL_(W, r->a), CELL_(W, r->b), CELL_(W, r->c), 0);     \
    }
#define X_ALU3K(N, W)                                                                              \
    BODY(N##W##_K)                                                                                 \
    {                                                                                              \
        (void)acc;                                                                                 \
        return CELL_(W, r->d) = v##W##_##N(CELL_(W, r->a), CELL_(W, r->b), r->c, 0);               \
    }
#define X_INS(W)                                                                                   \
    BODY(DEPOSIT##W)                                                                               \
    {                                                                                              \
        (void)acc;                                                                                 \
        return CELL_(W, r->d) = v##W##_DEPOSIT(CELL_(W, r->a), CELL_(W, r->b), 0, r->c);           \
    }
#define X_CONV(N)                                                                                  \
    BODY(N)                                                                                        \
    {                                                                                              \
        (void)acc;                                                                                 \
        return XC_##N;                                                                             \
    }
#define XC_LO     (CELL32(r->d) = (uint32_t)CELL64(r->a))
#define XC_HI     (CELL32(r->d) = (uint32_t)(CELL64(r->a) >> 32))
#define XC_ZXW    (CELL64(r->d) = CELL32(r->a))
#define XC_SXW    (CELL64(r->d) = (uint64_t)(int64_t)(int32_t)CELL32(r->a))
#define XC_CONCAT (CELL64(r->d) = (uint64_t)CELL32(r->b) << 32 | CELL32(r->a))
#define X_SETC(C, W, m)                                                                            \
    BODY(SETC_##C##W##_##m)                                                                        \
    {                                                                                              \
        (void)acc;                                                                                 \
        return CELL_(W, r->d) = c##W##_##C(SA_##m(W), SB_##m(W));                                  \
    }

/* ---- memory ---------------------------------------------------------------------------------------- */

#define ATTR_u 0
#define ATTR_s IR_MS
#define ATTR_le 0
#define ATTR_be IR_MBE
#define LOG2_8  IR_M8
#define LOG2_16 IR_M16
#define LOG2_32 IR_M32
#define LOG2_64 IR_M64
#define MEM_ATTR(sz, sg, en, al) (LOG2_##sz | ATTR_##sg | ATTR_##en | ((al) ? IR_MALIGN : 0))
#define RAW_LD_8_le(p)  (*(const uint8_t *)(p))
#define RAW_LD_16_le(p) ld16_le(p)
#define RAW_LD_16_be(p) ld16_be(p)
#define RAW_LD_32_le(p) ld32_le(p)
#define RAW_LD_32_be(p) ld32_be(p)
#define RAW_LD_64_le(p) ld64_le(p)
#define RAW_LD_64_be(p) ld64_be(p)
#define RAW_ST_8_le(p, v)  (*(uint8_t *)(p) = (uint8_t)(v))
#define RAW_ST_16_le(p, v) st16_le(p, (uint16_t)(v))
#define RAW_ST_16_be(p, v) st16_be(p, (uint16_t)(v))
#define RAW_ST_32_le(p, v) st32_le(p, (uint32_t)(v))
#define RAW_ST_32_be(p, v) st32_be(p, (uint32_t)(v))
#define RAW_ST_64_le(p, v) st64_le(p, v)
#define RAW_ST_64_be(p, v) st64_be(p, v)
#define EXT_u(T, sz, v) ((uint##T##_t)(v))
#define EXT_s(T, sz, v) ((uint##T##_t)(int##T##_t)(int##sz##_t)(v))

#if FAST_USER
/* The window of a 32-bit guest on a 64-bit host is complete: every address is inside, and protection does the rest. */
#define WHOLE_WINDOW(AW) ((AW) == 32 && sizeof(void *) == 8)
#define REACH(AW, va, sz, al, tag) ((!(al) || !((va) & ((sz) / 8 - 1))) && (WHOLE_WINDOW(AW) || likely((va) < cpu->ulimit - ((sz) / 8 - 1))))
#define HOST(va) (cpu->ubase + (uintptr_t)(va))
#define BEFORE_ACCESS (cpu->xpc = r)
#define ENTRY(va)
#else
#define ENTRY(va) const struct tlb_entry *e = &cpu->tlb_now[((va) >> CPU_PAGE_BITS) & (TLB_SIZE - 1)]
#define REACH(AW, va, sz, al, tag)                                                                 \
    ((al) ? e->tag == ((va) & (CPU_PAGE_MASK | ((sz) / 8 - 1)))                                    \
          : e->tag == (((uint64_t)(va) + ((sz) / 8 - 1)) & CPU_PAGE_MASK) && ((sz) == 8 || (((va) ^ ((va) + ((sz) / 8 - 1))) & CPU_PAGE_MASK) == 0))
#define HOST(va) ((uint8_t *)((uintptr_t)(va) + e->addend))
#define BEFORE_ACCESS
#endif

#define X_LD(sz, sg, T, AW, en, al)                                                                \
    BODY(LD_##sz##sg##_##T##_##AW##_##en##_##al)                                                   \
    {                                                                                              \
        (void)acc;                                                                                 \
        uint##AW##_t va = CELL_(AW, r->a) + (uint##AW##_t)(int##AW##_t)r->imm;                     \
        ENTRY(va);                                                                                 \
        BEFORE_ACCESS;                                                                             \
        if (likely(REACH(AW, va, sz, al, rd))) return CELL_(T, r->d) = EXT_##sg(T, sz, RAW_LD_##sz##_##en(HOST(va))); \
        cpu->xpc = r;                                                                              \
        return CELL_(T, r->d) = (uint##T##_t)mem_slow_ld(cpu, va, MEM_ATTR(sz, sg, en, al), cpu->mmu_now); \
    }
#define X_ST(sz, T, AW, en, al)                                                                    \
    BODY(ST_##sz##_##T##_##AW##_##en##_##al)                                                       \
    {                                                                                              \
        uint##AW##_t va = CELL_(AW, r->a) + (uint##AW##_t)(int##AW##_t)r->imm;                     \
        ENTRY(va);                                                                                 \
        BEFORE_ACCESS;                                                                             \
        if (likely(REACH(AW, va, sz, al, wr))) {                                                   \
            RAW_ST_##sz##_##en(HOST(va), CELL_(T, r->d));                                          \
        } else {                                                                                   \
            cpu->xpc = r;                                                                          \
            mem_slow_st(cpu, va, CELL_(T, r->d), MEM_ATTR(sz, u, en, al), cpu->mmu_now);           \
        }                                                                                          \
        return acc;                                                                                \
    }

/* ---- floating point: the host where it is known to give the same bits and flags --------------------- */

#define X_FP2(N, W)                                                                                \
    BODY(N##W)                                                                                     \
    {                                                                                              \
        (void)acc;                                                                                 \
        uint##W##_t x = CELL_(W, r->a), y = CELL_(W, r->b), z;                                     \
        if (likely(cpu->fp_fast && fpx_finite##W(x) && fpx_finite##W(y) && fpx_##N##W(x, y, &z)) && \
            !(FPX_CAN_BE_TINY(OP_##N) && FPX_TINY##W(cpu, z))) {                                   \
            cpu->fp_note.a = x, cpu->fp_note.b = y, cpu->fp_note.op = OP_##N | (W == 64 ? T_I64 : T_I32) << 16; \
            return CELL_(W, r->d) = z;                                                             \
        }                                                                                          \
        return CELL_(W, r->d) = (uint##W##_t)fp_exec(cpu, OP_##N, W == 64 ? T_I64 : T_I32, 0, 0, x, y, 0); \
    }
#define X_FPCV(N)                                                                                  \
    BODY(N)                                                                                        \
    {                                                                                              \
        (void)acc;                                                                                 \
        return XF_##N;                                                                             \
    }
#define XF_CONV(N, WI, WO) (CELL_(WO, r->d) = (uint##WO##_t)fpx_convert(cpu, OP_##N, WO == 64 ? T_I64 : T_I32, CELL_(WI, r->a)))
#define XF_F32_F64 XF_CONV(F32_F64, 32, 64)
#define XF_F64_F32 XF_CONV(F64_F32, 64, 32)
#define XF_I32_F32 XF_CONV(I32_F32, 32, 32)
#define XF_I32_F64 XF_CONV(I32_F64, 32, 64)
#define XF_I64_F32 XF_CONV(I64_F32, 64, 32)
#define XF_I64_F64 XF_CONV(I64_F64, 64, 64)
#define XF_U64_F32 XF_CONV(U64_F32, 64, 32)
#define XF_U64_F64 XF_CONV(U64_F64, 64, 64)
#define XF_TO_INT(N, WI, WO) (CELL_(WO, r->d) = (uint##WO##_t)fpx_to_int##WI(cpu, OP_##N, WO == 64 ? T_I64 : T_I32, r->c, CELL_(WI, r->a)))
#define XF_F32_I32 XF_TO_INT(F32_I32, 32, 32)
#define XF_F32_I64 XF_TO_INT(F32_I64, 32, 64)
#define XF_F64_I32 XF_TO_INT(F64_I32, 64, 32)
#define XF_F64_I64 XF_TO_INT(F64_I64, 64, 64)
#define X_FCMP(W)                                                                                  \
    BODY(FCMP##W)                                                                                  \
    {                                                                                              \
        (void)acc;                                                                                 \
        return CELL32(r->d) = (uint32_t)fpx_compare##W(cpu, r->c, CELL_(W, r->a), CELL_(W, r->b)); \
    }

#include "interp/xops.def"

BODY(OP)
{
    cpu->xpc = r;
    const struct op_record *o = r->p;
    ref_exec_op(cpu, &o->op, o->consts);
    return acc;
}
BODY(LI32) { (void)acc; return CELL32(r->d) = (uint32_t)r->imm; }
BODY(LI64) { (void)acc; return CELL64(r->d) = (uint64_t)(int64_t)r->imm; }

/* ---- the run loop ------------------------------------------------------------------------------------ */

enum xexit FAST_RUN(struct cpu *cpu, struct blk *blk)
{
#if FAST_GOTO
    static const int32_t table[XO_COUNT] = {
#define AT(label) (int32_t)((char *)&&label - (char *)&&unlinked),
#define X_ALU2(N, W, m) AT(L_##N##W##_##m)
#define X_ALU1(N, W, m) AT(L_##N##W##_##m)
#define X_ALU3(N, W) AT(L_##N##W)
#define X_ALU3K(N, W) AT(L_##N##W##_K)
#define X_INS(W) AT(L_DEPOSIT##W)
#define X_CONV(N) AT(L_##N)
#define X_SETC(C, W, m) AT(L_SETC_##C##W##_##m)
#define X_LD(sz, sg, T, AW, en, al) AT(L_LD_##sz##sg##_##T##_##AW##_##en##_##al)
#define X_ST(sz, T, AW, en, al) AT(L_ST_##sz##_##T##_##AW##_##en##_##al)
#define X_LD2(AW, en) AT(L_LD2_##AW##_##en)
#define X_ST2(AW, en) AT(L_ST2_##AW##_##en)
#define X_FP2(N, W) AT(L_##N##W)
#define X_FPCV(N) AT(L_##N)
#define X_FCMP(W) AT(L_FCMP##W)
#define X_FMA(W) AT(L_FMA##W)
#define X_BRC2(C, W, m) AT(L_BRC2_##C##W##_##m)
#define X_BRC1(C, W, m) AT(L_BRC1_##C##W##_##m)
#define X_BRL(C, W, m) AT(L_BRL_##C##W##_##m)
#define X_MISC(N) AT(L_##N)
#define X_FUSE2(A, B) AT(L_##A##__##B)
#define X_FUSEB(A, C, W, m) AT(L_##A##__BRC2_##C##W##_##m)
#define X_FUSEG(A) AT(L_##A##__GOTO)
#define X_FUSE1(A, C, W, m) AT(L_##A##__BRC1_##C##W##_##m)
#include "interp/xops.def"
#undef AT
    };
#define DISPATCH() goto *r->h
#define H(name) L_##name:
    if (!blk) {
        FN(table).offset = table;
        FN(table).base = &&unlinked;
        return X_LOOKUP;
    }
#else
#define DISPATCH() goto next
#define H(name) case XO_##name:
#endif
    const struct xrec *r;
    struct link *l;
    struct blk *to;
    uint64_t acc = 0, pc;
    unsigned refund;

    cpu->icount_left -= blk->n_insns;
    cpu->xblk = blk;
    r = blk->x;

#define NEXT(n) do { r += (n); DISPATCH(); } while (0)
/* Leaves by link l. */
#define FOLLOW(lnk)                                                                                \
    do {                                                                                           \
        l = (lnk);                                                                                 \
        to = atomic_load_ptr(&l->to);                                                              \
        if (unlikely(!to)) goto unlinked;                                                          \
        int64_t left = cpu->icount_left + l->refund - to->n_insns;                                 \
        if (unlikely(left < 0 || cpu->kick)) goto over_budget;                                     \
        cpu->icount_left = left;                                                                   \
        cpu->xblk = to;                                                                            \
        r = to->x;                                                                                 \
        DISPATCH();                                                                                \
    } while (0)
/* A block of another mode, without a look at the dispatcher (a return from an exception is an indirect branch): data
 * accesses go by its mode. */
#define ENTER_MODE(to)                                                                             \
    do {                                                                                           \
        if (!FAST_USER && unlikely((to)->key != cpu->xblk->key)) {                                 \
            cpu->mmu_now = cpu->guest->mmu_mode(cpu);                                              \
            cpu->tlb_now = cpu_tlb_of(cpu, cpu->mmu_now)->e;                                          \
        }                                                                                          \
    } while (0)
/* Leaves to a computed address. */
#define INDIRECT(target, unused)                                                                   \
    do {                                                                                           \
        pc = (target);                                                                             \
        refund = (unused);                                                                         \
        if (unlikely(cpu->xblk->ind)) ind_note(cpu, pc);                                           \
        to = atomic_load_ptr(&cpu->jump_cache[jc_index(pc)]);                                      \
        if (unlikely(!to || to->pc != pc || to->key != cpu->key)) goto indirect;                   \
        int64_t left = cpu->icount_left + refund - to->n_insns;                                    \
        if (unlikely(left < 0 || cpu->kick)) goto indirect;                                        \
        ENTER_MODE(to);                                                                            \
        cpu->icount_left = left;                                                                   \
        cpu->xblk = to;                                                                            \
        r = to->x;                                                                                 \
        DISPATCH();                                                                                \
    } while (0)
#define BRANCH2(C, W, m)                                                                           \
    do {                                                                                           \
        if (c##W##_##C(SA_##m(W), SB_##m(W))) FOLLOW((struct link *)(uintptr_t)r[1].h);            \
        else FOLLOW((struct link *)(uintptr_t)r[1].p);                                             \
    } while (0)

#if FAST_GOTO
    DISPATCH();
#else
next:
    XPROFILE_COUNT(r->op);
    switch (r->op) {
#endif

#define PLAIN(name) H(name) { acc = FN(name)(cpu, r, acc); NEXT(1); }
#define X_ALU2(N, W, m) PLAIN(N##W##_##m)
#define X_ALU1(N, W, m) PLAIN(N##W##_##m)
#define X_ALU3(N, W) PLAIN(N##W)
#define X_ALU3K(N, W) PLAIN(N##W##_K)
#define X_INS(W) PLAIN(DEPOSIT##W)
#define X_CONV(N) PLAIN(N)
#define X_SETC(C, W, m) PLAIN(SETC_##C##W##_##m)
#define X_LD(sz, sg, T, AW, en, al) PLAIN(LD_##sz##sg##_##T##_##AW##_##en##_##al)
#define X_ST(sz, T, AW, en, al) PLAIN(ST_##sz##_##T##_##AW##_##en##_##al)
#define X_FP2(N, W) PLAIN(N##W)
#define X_FPCV(N) PLAIN(N)
#define X_FCMP(W) PLAIN(FCMP##W)
/* d and c: the cells; the record behind has the attributes and the mask of the alignment that is asked for. A single access
 * of 16 bytes between threads goes the slow way. */
#define PAIR_OK(AW, va, tag) (!((va) & r[1].imm64 & 15) && !((r[1].imm64 & IR_MPAIR << 16) && cpu->parallel) && REACH(AW, va, 128, 0, tag))
#define X_LD2(AW, en)                                                                              \
    H(LD2_##AW##_##en)                                                                             \
    {                                                                                              \
        uint##AW##_t va = CELL_(AW, r->a) + (uint##AW##_t)(int16_t)r->b;                           \
        uint64_t pair[2];                                                                          \
        ENTRY(va);                                                                                 \
        BEFORE_ACCESS;                                                                             \
        if (likely(PAIR_OK(AW, va, rd))) {                                                         \
            const uint8_t *p = HOST(va);                                                           \
            pair[0] = RAW_LD_64_##en(p), pair[1] = RAW_LD_64_##en(p + 8);                          \
        } else {                                                                                   \
            cpu->xpc = r;                                                                          \
            mem_slow_ld2(cpu, va, pair, (unsigned)(r[1].imm64 >> 16), cpu->mmu_now);               \
        }                                                                                          \
        CELL64(r->d) = pair[0];                                                                    \
        acc = CELL64(r->c) = pair[1];                                                              \
        NEXT(2);                                                                                   \
    }
#define X_ST2(AW, en)                                                                              \
    H(ST2_##AW##_##en)                                                                             \
    {                                                                                              \
        uint##AW##_t va = CELL_(AW, r->a) + (uint##AW##_t)(int16_t)r->b;                           \
        const uint64_t pair[2] = { CELL64(r->d), CELL64(r->c) };                                   \
        ENTRY(va);                                                                                 \
        BEFORE_ACCESS;                                                                             \
        if (likely(PAIR_OK(AW, va, wr) && (!FAST_USER || !(((va) ^ ((va) + 15)) & CPU_PAGE_MASK)))) { \
            uint8_t *p = HOST(va);                                                                 \
            RAW_ST_64_##en(p, pair[0]), RAW_ST_64_##en(p + 8, pair[1]);                            \
        } else {                                                                                   \
            cpu->xpc = r;                                                                          \
            mem_slow_st2(cpu, va, pair, (unsigned)(r[1].imm64 >> 16), cpu->mmu_now);               \
        }                                                                                          \
        NEXT(2);                                                                                   \
    }
#define X_FMA(W)                                                                                   \
    H(FMA##W)                                                                                      \
    {                                                                                              \
        acc = CELL_(W, r->d) = (uint##W##_t)fpx_fma##W(cpu, (unsigned)r[1].imm64, CELL_(W, r->a), CELL_(W, r->b), CELL_(W, r->c)); \
        NEXT(2);                                                                                   \
    }
#define X_BRC2(C, W, m) H(BRC2_##C##W##_##m) BRANCH2(C, W, m);
#define X_BRC1(C, W, m)                                                                            \
    H(BRC1_##C##W##_##m)                                                                           \
    {                                                                                              \
        if (c##W##_##C(SA_##m(W), SB_##m(W))) FOLLOW((struct link *)(uintptr_t)r[1].h);            \
        NEXT(2);                                                                                   \
    }
#define X_BRL(C, W, m)                                                                             \
    H(BRL_##C##W##_##m)                                                                            \
    {                                                                                              \
        if (c##W##_##C(SA_##m(W), SB_##m(W))) NEXT(r->d);                                          \
        NEXT(1);                                                                                   \
    }
#define X_FUSE2(A, B)                                                                              \
    H(A##__##B)                                                                                    \
    {                                                                                              \
        acc = FN(A)(cpu, r, acc);                                                                  \
        acc = FN(B)(cpu, r + 1, acc);                                                              \
        NEXT(2);                                                                                   \
    }
#define X_FUSEG(A)                                                                                 \
    H(A##__GOTO)                                                                                   \
    {                                                                                              \
        acc = FN(A)(cpu, r, acc);                                                                  \
        FOLLOW((struct link *)(uintptr_t)r[1].p);                                                  \
    }
#define X_FUSE1(A, C, W, m)                                                                        \
    H(A##__BRC1_##C##W##_##m)                                                                      \
    {                                                                                              \
        acc = FN(A)(cpu, r, acc);                                                                  \
        r++;                                                                                       \
        if (c##W##_##C(SA_##m(W), SB_##m(W))) FOLLOW((struct link *)(uintptr_t)r[1].h);            \
        NEXT(2);                                                                                   \
    }
#define X_FUSEB(A, C, W, m)                                                                        \
    H(A##__BRC2_##C##W##_##m)                                                                      \
    {                                                                                              \
        acc = FN(A)(cpu, r, acc);                                                                  \
        r++;                                                                                       \
        BRANCH2(C, W, m);                                                                          \
    }
#include "interp/xops.def"

    PLAIN(OP)
    PLAIN(LI32)
    PLAIN(LI64)
    H(LI64W)
    {
        acc = CELL64(r->d) = r[1].imm64;
        NEXT(2);
    }
    H(FCMPV32)
    {
        acc = CELL32(r->d) = (uint32_t)fpx_relation32(cpu, (uint32_t)r[1].imm64, r->c, CELL32(r->a), CELL32(r->b));
        NEXT(2);
    }
    H(FCMPV64)
    {
        acc = CELL32(r->d) = (uint32_t)fpx_relation64(cpu, (uint32_t)r[1].imm64, r->c, CELL64(r->a), CELL64(r->b));
        NEXT(2);
    }
    H(VEC)
    {
        vec_run(cpu, (unsigned)r[1].op, (uint32_t)r[1].imm64, &CELL64(r->d), &CELL64(r->a), &CELL64(r->b), &CELL64(r->c));
        NEXT(2);
    }
    H(FENCE)
    {
        mem_fence(cpu, r->a);
        NEXT(1);
    }
    H(SKIP) NEXT(r->imm);
    H(GOTO) FOLLOW((struct link *)(uintptr_t)r->p);
    H(IND32) INDIRECT(CELL32(r->a), r->d);
    H(IND64) INDIRECT(CELL64(r->a), r->d);
    H(INDC32)
    {
        if (unlikely(CELL32(r->a) & r->b)) NEXT(r->d);
        INDIRECT(CELL32(r->a), r->c);
    }
    H(INDC64)
    {
        if (unlikely(CELL64(r->a) & r->b)) NEXT(r->d);
        INDIRECT(CELL64(r->a), r->c);
    }
    H(EXIT)
    {
        cpu->icount_left += r->d;
        cpu_set_slot(cpu, cpu->guest->pc_slot, r[1].imm64);
        return (enum xexit)r->a;
    }
    H(CALL)
    {
        const struct call_record *k = r->p;
        cpu->xpc = r;
        uint64_t v = k->fn(cpu, call_arg(cpu, k, 0), call_arg(cpu, k, 1), call_arg(cpu, k, 2));
        if (k->d_type == T_I64) CELL64(k->d) = v;
        else if (k->d) CELL32(k->d) = (uint32_t)v;
        NEXT(1);
    }
    /* The gate of a block: counts its runs until it is worth compiling, then enters the code. */
    H(HEAT)
    {
        struct blk *me = (struct blk *)(uintptr_t)r->p;
        if (unlikely(!--*me->heat)) {
            jit_hot(cpu, me);
            if (atomic_load_ptr(&me->jit)) {
                r = &me->gate;
                DISPATCH();
            }
        }
        r = me->records;
        DISPATCH();
    }
    H(NATIVE)
    {
        struct blk *me = (struct blk *)(uintptr_t)r->p;
        const struct jit_code *code = atomic_load_ptr(&me->jit);
        r = me->records;
        if (unlikely(!code)) DISPATCH(); /* dropped by another thread just now */
        cpu->icount_left += me->n_insns; /* which the code charges itself */
        uintptr_t way = code->entry(cpu, code);
        cpu->xpoint = 0;
        switch (way) {
        case JIT_REFUSE:
            cpu->icount_left -= me->n_insns;
            DISPATCH();
        case JIT_LOOKUP: return X_LOOKUP;
        case JIT_HOT:
            cpu->xlink = NULL;
            jit_hot_here(cpu);
            return X_LOOKUP;
        case JIT_IND:
            cpu->xblk = me; /* of the same MMU mode */
            INDIRECT(cpu_get_slot(cpu, cpu->guest->pc_slot), 0);
        case JIT_IRQ: return X_IRQ;
        case JIT_HALT: return X_HALT;
        case JIT_DEBUG: return X_DEBUG;
        default:
            l = (struct link *)way;
            cpu->xblk = l->from;
            cpu->icount_left -= l->refund; /* given back already */
            FOLLOW(l);
        }
    }
    H(FETCHF)
    {
        cpu->xpc = r;
        fetch_fault(cpu, r[1].imm64);
    }
#if !FAST_GOTO
    default: return X_LOOKUP;
    }
#endif

indirect:
    cpu->icount_left += refund;
    cpu_set_slot(cpu, cpu->guest->pc_slot, pc);
    return X_LOOKUP;

unlinked:
    if (!FAST_USER) { /* a way to another page is looked up each time */
        to = cpu->jump_cache[jc_index(l->pc)];
        if (to && to->pc == l->pc && to->key == l->key) {
            int64_t left = cpu->icount_left + l->refund - to->n_insns;
            if (likely(left >= 0 && !cpu->kick && !blk_may_link(l, to))) {
                cpu->key = l->key;
                ENTER_MODE(to);
                cpu->icount_left = left;
                cpu->xblk = to;
                r = to->x;
                DISPATCH();
            }
        }
    }
    cpu->xlink = l;
over_budget:
    cpu->icount_left += l->refund;
    cpu_set_slot(cpu, cpu->guest->pc_slot, l->pc);
    cpu->key = l->key;
    return X_LOOKUP;
}
#undef DISPATCH
#undef H
#undef NEXT
#undef FOLLOW
#undef BRANCH2
#undef INDIRECT
#undef ENTER_MODE
#undef PLAIN
#undef REACH
#undef HOST
#undef BEFORE_ACCESS
#undef PAIR_OK
#undef ENTRY
#undef WHOLE_WINDOW
#undef FAST_RUN
#undef FAST_USER
#undef FAST_GOTO
