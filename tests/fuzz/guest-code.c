/*
 * guest-code.c - the generator of hostile MIPS code (see guest-code.h).
 *
 * Encodings follow MD00086 and MD00087. What it aims at: delay slots at the end of a page, stores into code that is
 * about to run, TLB writes under running code, jumps to devices and holes, loads and stores at page ends, mode bits
 * flipped at random, LL/SC, MIPS16e at odd places, waits, and timers.
 */
#include "tests/fuzz/guest-code.h"

#include "isa/mips/decode.h"

enum { REGS_FREE = 32 };

struct gen {
    struct fuzz_bytes *in;
    const struct code_place *pl;
    uint8_t *mem;
    unsigned at, n;
};

static void put(struct gen *g, uint32_t w)
{
    if (g->at >= g->n) return;
    if (g->pl->big_endian) st32_be(g->mem + 4 * g->at, w);
    else st32_le(g->mem + 4 * g->at, w);
    g->at++;
}

static unsigned reg(struct gen *g) { return fuzz_pick(g->in, REGS_FREE); }

static uint32_t itype(unsigned op, unsigned rs, unsigned rt, uint32_t imm)
{
    return (uint32_t)op << 26 | rs << 21 | rt << 16 | (imm & 0xffff);
}

/* A pointer into a register: 32-bit addresses in two instructions, wide ones by shifting. */
static unsigned pointer(struct gen *g, unsigned r)
{
    uint64_t v = g->pl->pointers[fuzz_pick(g->in, g->pl->n_pointers)];
    static const int8_t near[] = { 0, 0, 0, 4, -4, 1, -1, 2, -8, 8, 3, 7 };

    if (!r) r = 8;
    v += (uint64_t)(int64_t)near[fuzz_pick(g->in, ARRAY_LEN(near))];
    if (g->pl->is64 && v != (uint64_t)(int64_t)(int32_t)v) {
        put(g, itype(0x0f, 0, r, (uint32_t)(v >> 48)));            /* lui */
        put(g, itype(0x0d, r, r, (uint32_t)(v >> 32)));            /* ori */
        put(g, r << 16 | r << 11 | 16 << 6 | 0x38);                /* dsll 16 */
        put(g, itype(0x0d, r, r, (uint32_t)(v >> 16)));
        put(g, r << 16 | r << 11 | 16 << 6 | 0x38);
        put(g, itype(0x0d, r, r, (uint32_t)v));
        return r;
    }
    put(g, itype(0x0f, 0, r, (uint32_t)(v >> 16)));
    put(g, itype(0x0d, r, r, (uint32_t)v));
    return r;
}

static const uint8_t memory_ops[] = {
    0x20, 0x21, 0x23, 0x24, 0x25, 0x28, 0x29, 0x2b, /* lb lh lw lbu lhu sb sh sw */
    0x22, 0x26, 0x2a, 0x2e, 0x30, 0x38,             /* lwl lwr swl swr ll sc */
    0x31, 0x35, 0x39, 0x3d, 0x2f, 0x33,             /* lwc1 ldc1 swc1 sdc1 cache pref */
    0x37, 0x3f, 0x27, 0x1a, 0x1b, 0x2c, 0x2d, 0x34, 0x3c, /* 64 bits wide */
};

static uint32_t memory_op(struct gen *g, unsigned base)
{
    static const int16_t disp[] = { 0, 0, 4, -4, 8, -8, 1, -1, 2, 3, 7, 16, 0x7ff, 0xff8, 0xffc, 0xffe, 0xfff, 0x1000, -0x1000, 32767, -32768 };
    return itype(memory_ops[fuzz_pick(g->in, ARRAY_LEN(memory_ops))], base, reg(g), (uint32_t)disp[fuzz_pick(g->in, ARRAY_LEN(disp))]);
}

static uint32_t any_word(struct gen *g);

/* Something for a delay slot; now and then what must not be there. */
static void slot(struct gen *g)
{
    switch (fuzz_pick(g->in, 5)) {
    case 0: put(g, 0); break;
    case 1: put(g, memory_op(g, reg(g))); break;
    default: put(g, any_word(g)); break;
    }
}

static uint32_t branch(struct gen *g)
{
    static const uint8_t ops[] = { 4, 5, 6, 7, 0x14, 0x15, 0x16, 0x17 };
    uint32_t d = fuzz_pick(g->in, 24) - 12;
    switch (fuzz_pick(g->in, 4)) {
    case 0: { /* regimm: bltz .. bgezall */
        static const uint8_t rt[] = { 0, 1, 2, 3, 16, 17, 18, 19 };
        return itype(1, reg(g), rt[fuzz_pick(g->in, 8)], d);
    }
    case 1: return itype(4, 0, 0, d);                                     /* b */
    case 2: return itype(0x11, 8 | 0, fuzz_pick(g->in, 32), d);           /* bc1 */
    default: return itype(ops[fuzz_pick(g->in, ARRAY_LEN(ops))], reg(g), reg(g), d);
    }
}

static uint32_t encoding(struct gen *g)
{
    unsigned line = fuzz_u16(g->in) % mips_n_insns32;
    uint64_t rng = fuzz_u32(g->in) | 1;
    return mips_encode_random(line, &rng);
}

static uint32_t encoding16(struct gen *g)
{
    uint32_t w[2];
    for (unsigned i = 0; i < 2; i++) {
        uint64_t rng = fuzz_u32(g->in) | 1;
        w[i] = mips_encode_random(mips_n_insns32 + fuzz_u16(g->in) % (mips_n_insns - mips_n_insns32), &rng);
        if (w[i] >> 16) return w[i];
    }
    return w[0] << 16 | w[1];
}

static uint32_t any_word(struct gen *g)
{
    switch (fuzz_pick(g->in, 12)) {
    case 0: return fuzz_u32(g->in);
    case 1: return memory_op(g, reg(g));
    case 2: return branch(g);
    case 3: return encoding16(g);
    default: return encoding(g);
    }
}

/* mtc0 or dmtc0 of a value that does something. */
static void cp0(struct gen *g)
{
    static const struct { uint8_t rd, sel; uint32_t v[6]; } regs[] = {
        { 12, 0, { 0x00000000, 0x10000001, 0x3400ff01, 0x34e0ff13, 0x20000002, 0x34000004 } }, /* Status */
        { 12, 0, { 0x0000fc01, 0x24400010, 0x308000f9, 0x3400ff11, 0x30ff0009, 0x10008001 } },
        { 13, 0, { 0x00000300, 0x00800000, 0x08000000, 0x00000000, 0x00000100, 0xffffffff } }, /* Cause */
        { 10, 0, { 0x00000000, 0x00002001, 0x00004000, 0xc0000000, 0x00001fff, 0x00006002 } }, /* EntryHi */
        { 2, 0, { 0x00000007, 0x00000046, 0x000000c7, 0x00000406, 0x00000002, 0x00000000 } },  /* EntryLo0 */
        { 3, 0, { 0x00000007, 0x00000046, 0x00000087, 0x00000446, 0x00000005, 0xffffffff } },  /* EntryLo1 */
        { 5, 0, { 0x00000000, 0x00006000, 0x0001e000, 0x1fffe000, 0x00002000, 0xffffffff } },  /* PageMask */
        { 0, 0, { 0, 1, 2, 7, 63, 0x80000000 } },                                              /* Index */
        { 6, 0, { 0, 1, 7, 15, 31, 63 } },                                                     /* Wired */
        { 9, 0, { 0, 0xfffffff0, 0x7fffffff, 100, 1, 2 } },                                    /* Count */
        { 11, 0, { 0, 10, 20, 50, 100, 0xffffffff } },                                         /* Compare */
        { 14, 0, { 0x80000100, 0x80000ffc, 0x00000ffc, 0xbfc00000, 0x80000101, 0x80008000 } }, /* EPC */
        { 30, 0, { 0x80000200, 0x80001ffc, 0x00001000, 0xbfc00200, 0x80000203, 0xfffffffe } }, /* ErrorEPC */
        { 15, 1, { 0x80000000, 0x80001000, 0x80004000, 0xbffff000, 0x80008000, 0 } },          /* EBase */
        { 16, 0, { 0, 2, 3, 7, 0xffffffff, 0x80000003 } },                                     /* Config */
        { 7, 0, { 0, 0xf, 0x2000000f, 0xffffffff, 1, 4 } },                                    /* HWREna */
        { 12, 1, { 0, 0x3e0, 0x20, 0xffffffff, 1, 2 } },                                       /* IntCtl */
    };
    unsigned k = fuzz_pick(g->in, ARRAY_LEN(regs)), r = 26 + fuzz_pick(g->in, 2);
    uint32_t v = regs[k].v[fuzz_pick(g->in, 6)];

    if (fuzz_pick(g->in, 8) == 0) v = fuzz_u32(g->in);
    put(g, itype(0x0f, 0, r, v >> 16));
    put(g, itype(0x0d, r, r, v));
    put(g, 0x40000000u | (g->pl->is64 && fuzz_pick(g->in, 4) == 0 ? 5u : 4u) << 21 | r << 16 | (uint32_t)regs[k].rd << 11 | regs[k].sel);
}

static void sequence(struct gen *g)
{
    unsigned r, k;
    uint32_t w;

    switch (fuzz_pick(g->in, g->pl->user ? 8 : 16)) {
    case 0: /* a wild access, also in a slot */
        r = pointer(g, reg(g));
        w = memory_op(g, r);
        if (fuzz_pick(g->in, 3) == 0) {
            put(g, branch(g));
            put(g, w);
        } else {
            put(g, w);
        }
        break;
    case 1: /* a wild jump */
        r = pointer(g, reg(g));
        put(g, r << 21 | (fuzz_pick(g->in, 2) ? 31u << 11 | 9 : 8)); /* jalr or jr */
        slot(g);
        break;
    case 2: /* a store of an instruction into code */
        r = pointer(g, 8 + fuzz_pick(g->in, 4));
        w = any_word(g);
        put(g, itype(0x0f, 0, 12, w >> 16));
        put(g, itype(0x0d, 12, 12, w));
        put(g, itype(0x2b, r, 12, fuzz_u8(g->in) * 4u));
        if (fuzz_pick(g->in, 2)) put(g, itype(0x1f, r, 0, 0) | 0x1f); /* synci is regimm; this is special3: RI */
        break;
    case 3: /* LL/SC */
        r = pointer(g, 9);
        k = fuzz_pick(g->in, 3);
        put(g, itype(0x30, r, 10, 0));
        if (k == 1) put(g, any_word(g));
        put(g, itype(0x38, r, 10, k == 2 ? 4 : 0));
        break;
    case 4: /* a store over the following instructions */
        put(g, 0x04110001);                       /* bal .+8 */
        put(g, any_word(g));
        put(g, itype(0x2b, 31, reg(g), 4u * fuzz_pick(g->in, 8)));
        break;
    case 5: /* a loop that ends */
        put(g, itype(9, 0, 11, 1 + fuzz_pick(g->in, 20)));
        k = 1 + fuzz_pick(g->in, 6);
        for (unsigned i = 0; i < k; i++) put(g, any_word(g));
        put(g, itype(9, 11, 11, (uint32_t)-1));
        put(g, itype(5, 11, 0, (uint32_t) - (int)(k + 2)));
        slot(g);
        break;
    case 6: /* into MIPS16e, right here */
        put(g, 0x0c000000u | (0x1d - 3) << 26 | (fuzz_u16(g->in) & 0xfff)); /* jalx */
        slot(g);
        break;
    case 7:
        put(g, branch(g));
        slot(g);
        break;
    case 8: case 9: case 10: cp0(g); break;
    case 11: { /* a TLB operation: tlbr, tlbwi, tlbwr, tlbp, eret, wait, di, ei */
        static const uint32_t ops[] = { 0x42000001, 0x42000002, 0x42000006, 0x42000008, 0x42000018, 0x42000020, 0x41606000, 0x41606020 };
        put(g, ops[fuzz_pick(g->in, ARRAY_LEN(ops))]);
        break;
    }
    case 12: case 13: /* map something: Index, EntryHi, EntryLo, tlbwi */
        r = pointer(g, 10);
        put(g, 0x40800000u | r << 16 | 10 << 11);
        put(g, itype(0x0d, 0, 11, fuzz_pick(g->in, 8)));
        put(g, 0x40800000u | 11 << 16);
        put(g, itype(0x0d, 0, 11, fuzz_pick(g->in, 20) << 6 | (fuzz_u8(g->in) & 7)));
        put(g, 0x40800000u | 11 << 16 | 2 << 11);
        put(g, itype(0x0d, 0, 11, fuzz_pick(g->in, 20) << 6 | (fuzz_u8(g->in) & 7)));
        put(g, 0x40800000u | 11 << 16 | 3 << 11);
        put(g, fuzz_pick(g->in, 2) ? 0x42000002 : 0x42000006);
        break;
    case 14: /* out of the exception level */
        put(g, 0x40086000);                                  /* mfc0 t0, Status */
        put(g, itype(0x0c, 8, 8, 0xff00u | (fuzz_u8(g->in) & 0xf9))); /* andi: also clears BEV */
        put(g, itype(0x0f, 0, 9, 0x3400));                   /* FPU on */
        put(g, 8 << 21 | 9 << 16 | 8 << 11 | 0x25);
        put(g, 0x40886000);
        break;
    default:
        put(g, fuzz_u32(g->in) & 0x01ffffff ? 0x42000020 : 0); /* wait */
        break;
    }
}

void guest_code(struct fuzz_bytes *in, const struct code_place *pl, uint8_t *mem, unsigned n)
{
    struct gen g = { in, pl, mem, 0, n };
    while (g.at < n) {
        if (fuzz_pick(in, 3) == 0) sequence(&g);
        else put(&g, any_word(&g));
    }
}

void guest_handler(const struct code_place *pl, uint8_t *mem)
{
    struct fuzz_bytes none = { NULL, NULL, 1 };
    struct gen g = { &none, pl, mem, 0, 4 };
    put(&g, 0x401a7000 | (pl->is64 ? 1u << 21 : 0)); /* (d)mfc0 k0, EPC */
    put(&g, itype(pl->is64 ? 0x19 : 9, 26, 26, 4));
    put(&g, 0x409a7000 | (pl->is64 ? 1u << 21 : 0));
    put(&g, 0x42000018);
}

void guest_refill(const struct code_place *pl, uint8_t *mem)
{
    struct fuzz_bytes none = { NULL, NULL, 1 };
    struct gen g = { &none, pl, mem, 0, 9 };
    put(&g, 0x401a4000);                  /* mfc0 k0, BadVAddr */
    put(&g, 26 << 16 | 27 << 11 | 6 << 6 | 2); /* srl k1, k0, 6 */
    put(&g, itype(0x0c, 27, 27, 0x180));  /* an even page of the first eight */
    put(&g, itype(0x0d, 27, 27, 7));
    put(&g, 0x409b1000);                  /* EntryLo0 */
    put(&g, itype(0x0e, 27, 27, 0x44));   /* its neighbour, clean */
    put(&g, 0x409b1800);
    put(&g, 0x42000006);                  /* tlbwr */
    put(&g, 0x42000018);
}
