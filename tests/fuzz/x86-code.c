/*
 * x86-code.c - the generator of hostile x86 code (see x86-code.h).
 *
 * Encodings follow the Intel SDM volume 2, tables and descriptors volume 3. What it aims at: stores into code that is about to run,
 * through other mappings too, instructions over a page's edge and in the middle of others, string instructions over devices and
 * code, mappings and modes that change under running code, faults between flags and their use, ports, waits and interrupts.
 */
#include "tests/fuzz/x86-code.h"

enum { GDT = 0, IDT = 0x1000, PAGES = X86_PAGES - X86_LOW, HANDLERS = 0x600, REAL_HANDLER = 0x7e00, STACK_TOP = 0x7000 };
enum { CODE32 = 0x10, DATA = 0x18, CODE64 = 0x20, TSS = 0x48 };

struct gen {
    struct fuzz_bytes *in;
    const struct x86_place *pl;
    uint8_t *mem;
    unsigned at, n;
};

static void put(struct gen *g, unsigned b)
{
    if (g->at < g->n) g->mem[g->at++] = (uint8_t)b;
}

static void put_n(struct gen *g, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) put(g, (uint8_t)(v >> 8 * i));
}

static void put_bytes(struct gen *g, const char *b, unsigned n)
{
    for (unsigned i = 0; i < n; i++) put(g, (uint8_t)b[i]);
}
#define PUT(g, s) put_bytes(g, s, sizeof(s) - 1)

static void any_insn(struct gen *g)
{
    uint8_t b[15];
    unsigned n = 0;
    for (unsigned i = 0; i < 4 && !n; i++) {
        unsigned line = fuzz_u16(g->in) % x86_n_defs;
        uint64_t rng = fuzz_u32(g->in) | 1;
        n = x86_encode_random(line, g->pl->mode, &rng, b);
    }
    for (unsigned i = 0; i < n; i++) put(g, b[i]);
}

/* Not the stack pointer, which is set apart. */
static unsigned reg(struct gen *g)
{
    static const uint8_t regs[] = { 0, 1, 2, 3, 5, 6, 7 };
    return regs[fuzz_pick(g->in, ARRAY_LEN(regs))];
}

static uint64_t pointer(struct gen *g)
{
    static const int8_t near[] = { 0, 0, 0, 4, -4, 1, -1, 2, -8, 8, 3, 7 };
    return g->pl->pointers[fuzz_pick(g->in, g->pl->n_pointers)] + (uint64_t)(int64_t)near[fuzz_pick(g->in, ARRAY_LEN(near))];
}

/* mov reg, value */
static void load(struct gen *g, unsigned r, uint64_t v)
{
    if (g->pl->mode == X86_64 && v != (uint32_t)v) put(g, 0x48), put(g, 0xb8 + r), put_n(g, v, 8);
    else put(g, 0xb8 + r), put_n(g, v, g->pl->mode == X86_16 ? 2 : 4);
}

/* An operand [r] without displacement, as 16-bit addressing has it: through BX. */
static unsigned through(struct gen *g, unsigned field)
{
    bool small = g->pl->mode == X86_16;
    load(g, 3, pointer(g));
    return field << 3 | (small ? 7 : 3);
}

static void sequence(struct gen *g)
{
    unsigned k, at;

    switch (fuzz_pick(g->in, 16)) {
    case 0: /* a wild access of any kind */
        load(g, reg(g), pointer(g));
        any_insn(g);
        break;
    case 1: /* a wild jump or call */
        k = reg(g);
        load(g, k, pointer(g));
        put(g, 0xff), put(g, (fuzz_pick(g->in, 2) ? 0xe0 : 0xd0) | k);
        break;
    case 2: /* a store of an instruction into code */
        load(g, 0, fuzz_u32(g->in));
        k = through(g, 0);
        put(g, fuzz_pick(g->in, 4) ? 0x89 : 0x88), put(g, k);
        break;
    case 3: /* a store over what follows: call .+0; pop; mov [reg+8], al */
        put(g, 0xe8), put_n(g, 0, g->pl->mode == X86_16 ? 2 : 4);
        put(g, 0x5b);
        put(g, fuzz_pick(g->in, 2) ? 0x88 : 0x89), put(g, g->pl->mode == X86_16 ? 0x47 : 0x43), put(g, fuzz_pick(g->in, 24));
        break;
    case 4: /* a loop that ends */
        load(g, 6, 1 + fuzz_pick(g->in, 24));
        at = g->at;
        k = 1 + fuzz_pick(g->in, 5);
        for (unsigned i = 0; i < k; i++) any_insn(g);
        PUT(g, "\x83\xee\x01"); /* sub esi, 1 */
        if (g->at - at < 120) put(g, 0x75), put(g, at - g->at - 1);
        break;
    case 5: /* strings: rep with a count that ends, over anything */
        load(g, 7, pointer(g));
        load(g, 6, pointer(g));
        load(g, 1, 1 + fuzz_pick(g->in, 40));
        if (fuzz_pick(g->in, 4) == 0) put(g, 0xfd);
        put(g, fuzz_pick(g->in, 4) ? 0xf3 : 0xf2);
        put(g, "\xa4\xa5\xaa\xab\xac\xa6\xa7\xae\xaf\x6c\x6d\x6e\x6f"[fuzz_pick(g->in, 13)] & 0xff);
        if (fuzz_pick(g->in, 2)) put(g, 0xfc);
        break;
    case 6: /* compare and branch, over something */
        any_insn(g);
        put(g, 0x70 + fuzz_pick(g->in, 16)), put(g, fuzz_pick(g->in, 8));
        break;
    case 7: /* backwards: what was there begins elsewhere now */
        put(g, 0x70 + fuzz_pick(g->in, 16)), put(g, (unsigned)-(int)fuzz_pick(g->in, 60));
        break;
    case 8: /* a port, also one that writes code, unmaps, interrupts */
        load(g, 0, fuzz_u32(g->in));
        put(g, fuzz_pick(g->in, 2) ? 0xe6 + fuzz_pick(g->in, 2) : 0xe4 + fuzz_pick(g->in, 2)), put(g, fuzz_pick(g->in, 5) * 4);
        break;
    case 9: /* the device's registers in memory */
        load(g, 0, fuzz_u32(g->in));
        load(g, 3, 0x8000 + 4 * fuzz_pick(g->in, 5));
        put(g, fuzz_pick(g->in, 4) ? 0x89 : 0x87), put(g, g->pl->mode == X86_16 ? 7 : 3);
        break;
    case 10: /* locked and exchanged */
        k = through(g, reg(g));
        put(g, 0xf0);
        switch (fuzz_pick(g->in, 4)) {
        case 0: put(g, 0x0f), put(g, 0xb1), put(g, k); break;
        case 1: put(g, 0x0f), put(g, 0xc1), put(g, k); break;
        case 2: put(g, 0x01), put(g, k); break;
        default: put(g, 0x87), put(g, k); break;
        }
        break;
    case 11: /* sti, cli, hlt, int, into the stack */
        put(g, "\xfb\xfa\xfb\xf4\xcc\x9c\x9d\xcf"[fuzz_pick(g->in, 8)] & 0xff);
        break;
    case 12: /* the TLB */
        if (fuzz_pick(g->in, 2)) {
            k = through(g, 7);
            PUT(g, "\x0f\x01"), put(g, k);
        } else {
            PUT(g, "\x0f\x20\xd8\x0f\x22\xd8"); /* cr3 again */
        }
        break;
    case 13: /* segments */
        load(g, 0, fuzz_pick(g->in, 10) * 8 + (fuzz_pick(g->in, 4) ? 0 : fuzz_pick(g->in, 4)));
        put(g, 0x8e), put(g, 0xc0 | "\x00\x03\x04\x05"[fuzz_pick(g->in, 4)] << 3);
        break;
    case 14: /* CR0: write protection, coprocessor bits */
        PUT(g, "\x0f\x20\xc0");                                 /* mov eax, cr0 */
        PUT(g, "\x0f\xba\xf8"), put(g, "\x10\x10\x01\x02\x03\x05\x12\x10"[fuzz_pick(g->in, 8)]); /* btc eax, n */
        PUT(g, "\x0f\x22\xc0");
        break;
    default: /* the stack elsewhere, and back */
        PUT(g, "\x89\xe5"), load(g, 4, pointer(g));
        any_insn(g);
        any_insn(g);
        PUT(g, "\x89\xec");
        break;
    }
}

void x86_code(struct fuzz_bytes *in, const struct x86_place *pl, uint8_t *mem, unsigned n)
{
    struct gen g = { in, pl, mem, 0, n };
    while (g.at < n) {
        switch (fuzz_pick(in, 8)) {
        case 0: case 1: sequence(&g); break;
        case 2: put(&g, fuzz_u8(in)); break;
        default: any_insn(&g); break;
        }
    }
}

/* ---- the bare machine ---------------------------------------------------------------------------- */

static void gate(uint8_t *idt, bool is64, unsigned vector, uint32_t at, unsigned dpl)
{
    uint8_t *p = idt + vector * (is64 ? 16 : 8);
    st32_le(p, (uint32_t)(is64 ? CODE64 : CODE32) << 16 | (at & 0xffff));
    st32_le(p + 4, (at & 0xffff0000u) | 0x8e00 | dpl << 13);
}

/* Handlers at HANDLERS: no error code, with one, the interrupt. */
static void handlers(struct gen *g, bool is64)
{
    enum { ROOM = 16 };
    uint32_t at = X86_LOW + HANDLERS;
    const char *rex = "\x48";

    g->at = HANDLERS;
    if (is64) put_bytes(g, rex, 1);
    PUT(g, "\xff\x04\x24"); /* inc [esp] */
    if (is64) put_bytes(g, rex, 1);
    put(g, 0xcf);
    g->at = HANDLERS + ROOM;
    if (is64) put_bytes(g, rex, 1);
    PUT(g, "\x83\xc4"), put(g, is64 ? 8 : 4);
    if (is64) put_bytes(g, rex, 1);
    PUT(g, "\xff\x04\x24");
    if (is64) put_bytes(g, rex, 1);
    put(g, 0xcf);
    g->at = HANDLERS + 2 * ROOM;
    PUT(g, "\x50\xb0\x00\xe6"), put(g, X86_IRQ_PORT), put(g, 0x58); /* all lines low */
    if (is64) put_bytes(g, rex, 1);
    put(g, 0xcf);
    for (unsigned v = 0; v < 256 / (is64 ? 2 : 1); v++) {
        bool code = v == 8 || (v >= 10 && v <= 14) || v == 17;
        gate(g->mem + IDT, is64, v, at + (v == X86_VECTOR ? 2 * ROOM : code ? ROOM : 0), v == 3 || v == 4 || v >= 0x30 ? 3 : 0);
    }
}

static void tables(struct fuzz_bytes *in, const struct x86_place *pl, uint8_t *low)
{
    bool is64 = pl->mode == X86_64;
    uint8_t *p = low + PAGES, *pt = p + 0x3000;
    static const uint8_t rights[] = { 7, 7, 7, 7, 7, 5, 3, 0 };

    if (is64) {
        st64_le(p, (X86_PAGES + 0x1000) | 7);
        st64_le(p + 0x1000, (X86_PAGES + 0x2000) | 7);
        st64_le(p + 0x2000, (X86_PAGES + 0x3000) | 7);
    } else {
        st32_le(p, (X86_PAGES + 0x3000) | 7);
    }
    for (unsigned i = 0; i < 64; i++) {
        /* after the first 32 pages the RAM once more */
        uint64_t e = (uint64_t)(i < 32 ? i : i % 8) << 12;
        e |= i >= 8 && i < 32 ? 7 : rights[fuzz_pick(in, ARRAY_LEN(rights))];
        /* A TLB may forget or keep what is changed in tables that are in use, so that no two engines need agree: they are out of reach. */
        if (i >= (X86_PAGES) >> 12 && i <= (X86_PAGES + 0x3000) >> 12) e = 0;
        if (is64) st64_le(pt + 8 * i, e | (fuzz_u8(in) % 16 ? 0 : i < 8 ? UINT64_C(1) << 63 : 0));
        else st32_le(pt + 4 * i, (uint32_t)e);
    }
}

void x86_low(struct fuzz_bytes *in, const struct x86_place *pl, uint8_t *low, uint64_t start)
{
    bool is64 = pl->mode == X86_64, paging = pl->paging || is64;
    struct gen g = { in, pl, low, 0, X86_LOW_SIZE };
    static const uint64_t gdt[] = {
        0, 0, UINT64_C(0x00cf9b000000ffff), UINT64_C(0x00cf93000000ffff), UINT64_C(0x00af9b000000ffff), UINT64_C(0x00009b000000ffff),
        UINT64_C(0x000093000000ffff), UINT64_C(0x00cffb000000ffff), UINT64_C(0x00cff3000000ffff),
        UINT64_C(0x0000890000000067) | (uint64_t)(X86_LOW + 0x400) << 16, 0,
    };

    for (unsigned i = 0; i < ARRAY_LEN(gdt); i++) st64_le(low + GDT + 8 * i, gdt[i]);
    tables(in, pl, low);
    handlers(&g, is64);
    g.at = X86_BOOT - X86_LOW + 0xf00; /* what lgdt and lidt read */
    put_n(&g, sizeof gdt - 1, 2), put_n(&g, X86_LOW + GDT, 8);
    g.at = X86_BOOT - X86_LOW + 0xf10;
    put_n(&g, 0x7ff, 2), put_n(&g, X86_LOW + IDT, 8);
    g.at = X86_BOOT - X86_LOW;
    PUT(&g, "\x0f\x01\x15"), put_n(&g, X86_BOOT + 0xf00, 4);
    PUT(&g, "\x0f\x01\x1d"), put_n(&g, X86_BOOT + 0xf10, 4);
    PUT(&g, "\x66\xb8"), put_n(&g, TSS, 2), PUT(&g, "\x0f\x00\xd8");
    put(&g, 0xb8), put_n(&g, is64 ? 0x6b0 : 0x690, 4), PUT(&g, "\x0f\x22\xe0"); /* CR4: SSE, large pages; PAE */
    if (paging) put(&g, 0xb8), put_n(&g, X86_PAGES, 4), PUT(&g, "\x0f\x22\xd8");
    if (is64) {
        put(&g, 0xb9), put_n(&g, 0xc0000080u, 4), put(&g, 0xb8), put_n(&g, 0x901, 4); /* EFER: SCE, LME, NXE */
        PUT(&g, "\x31\xd2\x0f\x30");
    }
    put(&g, 0xb8), put_n(&g, paging ? 0x80010033u : 0x33, 4), PUT(&g, "\x0f\x22\xc0");
    if (is64) put(&g, 0xea), put_n(&g, X86_LOW + g.at + 6, 4), put_n(&g, CODE64, 2);
    PUT(&g, "\x66\xb8"), put_n(&g, DATA, 2), PUT(&g, "\x8e\xd8\x8e\xc0\x8e\xd0\xdb\xe3"); /* ds, es, ss; fninit */
    for (unsigned r = 0; r < (is64 ? 16 : 8); r++) {
        uint64_t v = fuzz_u8(in) & 1 ? pl->pointers[fuzz_pick(in, pl->n_pointers)] : (uint64_t)(int64_t)(int8_t)fuzz_u8(in);
        if (r == 4 && fuzz_u8(in) % 8) v = X86_LOW + STACK_TOP;
        if (is64) put(&g, r > 7 ? 0x49 : 0x48);
        put(&g, 0xb8 + (r & 7)), put_n(&g, v, is64 ? 8 : 4);
    }
    if (fuzz_u8(in) & 1) put(&g, 0xfb);
    put(&g, 0xe9), put_n(&g, start - (X86_LOW + g.at + 4), 4);
}

void x86_vectors(uint8_t *ram, uint8_t *low)
{
    static const uint8_t handler[] = { 0x55, 0x89, 0xe5, 0xff, 0x46, 0x02, 0x5d, 0xcf };
    static const uint8_t irq[] = { 0x50, 0xb0, 0x00, 0xe6, X86_IRQ_PORT, 0x58, 0xcf };

    memcpy(low + REAL_HANDLER, handler, sizeof handler);
    memcpy(low + REAL_HANDLER + 16, irq, sizeof irq);
    for (unsigned v = 0; v < 256; v++) st32_le(ram + 4 * v, (uint32_t)(X86_LOW >> 4) << 16 | (REAL_HANDLER + (v == X86_VECTOR ? 16 : 0)));
}
