/*
 * sys-smm.c - system management mode: SMI, the saved state, RSM.
 *
 * Processors with long mode save by the map of the AMD64 APM volume 2 chapter 10, others by that of the Intel SDM volume 3
 * chapter 32 (32-bit map); its reserved part holds what is not documented, in an order of its own.
 */
#include "isa/x86/sys.h"

#include "util/log.h"

/* Offsets from SMBASE + 8000h. */
enum { MAP64_SEGS = 0x7e00, MAP64_HALT = 0x7ec9, MAP64_EFER = 0x7ed0, MAP64_REVISION = 0x7efc, MAP64_SMBASE = 0x7f00, MAP64_CR4 = 0x7f48,
       MAP64_CR3 = 0x7f50, MAP64_CR0 = 0x7f58, MAP64_DR7 = 0x7f60, MAP64_DR6 = 0x7f68, MAP64_FLAGS = 0x7f70, MAP64_RIP = 0x7f78,
       MAP64_R15 = 0x7f80 };
enum { MAP32_SMBASE = 0x7ef8, MAP32_REVISION = 0x7efc, MAP32_HALT = 0x7f02, MAP32_HIDDEN = 0x7f10, MAP32_TABLES = 0x7f58, MAP32_CR4 = 0x7f80,
       MAP32_ES = 0x7fa8, MAP32_LDTR = 0x7fc0, MAP32_TR = 0x7fc4, MAP32_DR7 = 0x7fc8, MAP32_DR6 = 0x7fcc, MAP32_EAX = 0x7fd0, MAP32_EIP = 0x7ff0,
       MAP32_FLAGS = 0x7ff4, MAP32_CR3 = 0x7ff8, MAP32_CR0 = 0x7ffc };

static uint64_t at(const struct x86_cpu *x, unsigned off) { return (uint64_t)x->smbase + 0x8000 + off; }
static void put(struct x86_cpu *x, unsigned off, uint64_t v, unsigned size) { x86_phys_st(x, at(x, off), v, size); }
static uint64_t get(struct x86_cpu *x, unsigned off, unsigned size) { return x86_phys_ld(x, at(x, off), size); }

/* Attributes of 16 bits, as AMD's map has them. */
static uint32_t short_attr(uint32_t a) { return (a >> 8 & 0xff) | (a >> 12 & 0xf00); }
static uint32_t long_attr(uint32_t a) { return (a & 0xff) << 8 | (a & 0xf00) << 12; }

static void put_segment64(struct x86_cpu *x, unsigned off, uint16_t sel, uint32_t attr, uint32_t limit, uint64_t base)
{
    put(x, off, sel, 2);
    put(x, off + 2, short_attr(attr), 2);
    put(x, off + 4, limit, 4);
    put(x, off + 8, base, 8);
}

static void save64(struct x86_cpu *x, bool halted)
{
    for (unsigned s = 0; s < 6; s++) put_segment64(x, MAP64_SEGS + 16 * s, x->sel[s], x->seg_attr[s], x->seg_limit[s], x86_base(x, s));
    put_segment64(x, MAP64_SEGS + 0x60, 0, 0, x->gdt.limit, x->gdt.base);
    put_segment64(x, MAP64_SEGS + 0x70, x->ldt.sel, x->ldt.attr, x->ldt.limit, x->ldt.base);
    put_segment64(x, MAP64_SEGS + 0x80, 0, 0, x->idt.limit, x->idt.base);
    put_segment64(x, MAP64_SEGS + 0x90, x->tr.sel, x->tr.attr, x->tr.limit, x->tr.base);
    put(x, MAP64_HALT, halted, 1);
    put(x, MAP64_EFER, x->efer, 8);
    put(x, MAP64_REVISION, 0x20064, 4);
    put(x, MAP64_SMBASE, x->smbase, 4);
    put(x, MAP64_CR4, x->cr4, 8);
    put(x, MAP64_CR3, x->cr3, 8);
    put(x, MAP64_CR0, x->cr0, 8);
    put(x, MAP64_DR7, x->dr[7], 8);
    put(x, MAP64_DR6, x->dr[6], 8);
    put(x, MAP64_FLAGS, x86_get_eflags(x), 8);
    put(x, MAP64_RIP, x86_ip_of(x, x86_lin(x)), 8);
    /* r15 first; rdi and rsi change places with what their numbers say */
    for (unsigned r = 0; r < 16; r++) {
        static const uint8_t order[16] = { 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0 };
        put(x, MAP64_R15 + 8 * r, x86_gpr(x, order[r]), 8);
    }
}

static void save32(struct x86_cpu *x, bool halted)
{
    struct x86_table *tables[2] = { &x->ldt, &x->tr };

    for (unsigned s = 0; s < 6; s++) {
        put(x, MAP32_ES + 4 * s, x->sel[s], 4);
        put(x, MAP32_HIDDEN + 12 * s, x86_base(x, s), 4);
        put(x, MAP32_HIDDEN + 12 * s + 4, x->seg_limit[s], 4);
        put(x, MAP32_HIDDEN + 12 * s + 8, x->seg_attr[s], 4);
    }
    put(x, MAP32_TABLES, x->gdt.base, 4);
    put(x, MAP32_TABLES + 4, x->gdt.limit, 4);
    put(x, MAP32_TABLES + 8, x->idt.base, 4);
    put(x, MAP32_TABLES + 12, x->idt.limit, 4);
    for (unsigned i = 0; i < 2; i++) {
        put(x, MAP32_TABLES + 16 + 12 * i, tables[i]->base, 4);
        put(x, MAP32_TABLES + 20 + 12 * i, tables[i]->limit, 4);
        put(x, MAP32_TABLES + 24 + 12 * i, tables[i]->attr, 4);
    }
    put(x, MAP32_LDTR, x->ldt.sel, 4);
    put(x, MAP32_TR, x->tr.sel, 4);
    put(x, MAP32_SMBASE, x->smbase, 4);
    put(x, MAP32_REVISION, 0x20000, 4);
    put(x, MAP32_HALT, halted, 2);
    put(x, MAP32_CR4, x->cr4, 4);
    put(x, MAP32_DR7, x->dr[7], 4);
    put(x, MAP32_DR6, x->dr[6], 4);
    for (unsigned r = 0; r < 8; r++) put(x, MAP32_EAX + 4 * r, x86_gpr(x, r), 4);
    put(x, MAP32_EIP, x86_ip_of(x, x86_lin(x)), 4);
    put(x, MAP32_FLAGS, x86_get_eflags(x), 4);
    put(x, MAP32_CR3, x->cr3, 4);
    put(x, MAP32_CR0, x->cr0, 4);
}

void x86_enter_smm(struct x86_cpu *x)
{
    bool halted = x->c.halted;

    LOG(INT, "x86: SMI at %04x, state to 0x%08x\n", x->sel[SEG_CS], x->smbase + 0xfe00u);
    x->smm = true;
    if (x->board && x->board->smm) x->board->smm(x->board_opaque, &x->c, true);
    if (x86_has(x, XF_LM)) save64(x, halted);
    else save32(x, halted);
    x->c.halted = false;
    x->nmi_blocked = true;
    x->cr0 &= ~(uint32_t)(CR0_PE | CR0_EM | CR0_TS) & ~CR0_PG;
    x->cr4 = 0;
    x->efer = 0;
    x->dr[7] = 0x400;
    x->cpl = 0;
    x86_set_eflags(x, XFL_ONE);
    for (unsigned s = 0; s < 6; s++) {
        x86_seg_put(x, s, 0, 0, 0xffffffffu, SA_P | SA_S | SA_RW | SA_ACCESSED | SA_G);
    }
    x86_seg_put(x, SEG_CS, (uint16_t)(x->smbase >> 4), x->smbase, 0xffffffffu, SA_P | SA_S | SA_RW | SA_ACCESSED | SA_G);
    x86_set_ip(x, 0x8000);
    cpu_tlb_flush(&x->c);
    x86_update_key(x);
}

static void load64(struct x86_cpu *x, bool *halted)
{
    x->efer = get(x, MAP64_EFER, 8) & (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE);
    x->cr4 = get(x, MAP64_CR4, 8);
    x->cr3 = get(x, MAP64_CR3, 8);
    x->cr0 = (uint32_t)get(x, MAP64_CR0, 4);
    x86_set_eflags(x, (uint32_t)get(x, MAP64_FLAGS, 4));
    for (unsigned s = 0; s < 6; s++) {
        unsigned o = MAP64_SEGS + 16 * s;
        x86_seg_put(x, s, (uint16_t)get(x, o, 2), get(x, o + 8, 8), (uint32_t)get(x, o + 4, 4), long_attr((uint32_t)get(x, o + 2, 2)));
    }
    x->gdt = (struct x86_table){ .base = get(x, MAP64_SEGS + 0x68, 8), .limit = (uint32_t)get(x, MAP64_SEGS + 0x64, 4) };
    x->idt = (struct x86_table){ .base = get(x, MAP64_SEGS + 0x88, 8), .limit = (uint32_t)get(x, MAP64_SEGS + 0x84, 4) };
    struct x86_table *t[2] = { &x->ldt, &x->tr };
    for (unsigned i = 0; i < 2; i++) {
        unsigned o = MAP64_SEGS + 0x70 + 0x20 * i;
        *t[i] = (struct x86_table){ get(x, o + 8, 8), (uint32_t)get(x, o + 4, 4), long_attr((uint32_t)get(x, o + 2, 2)), (uint16_t)get(x, o, 2) };
    }
    x->dr[6] = get(x, MAP64_DR6, 8);
    x->dr[7] = get(x, MAP64_DR7, 8);
    for (unsigned r = 0; r < 16; r++) x86_set_gpr(x, 15 - r, get(x, MAP64_R15 + 8 * r, 8));
    x86_set_ip(x, get(x, MAP64_RIP, 8));
    *halted = get(x, MAP64_HALT, 1) & 1;
    if (get(x, MAP64_REVISION, 4) & 0x20000) x->smbase = (uint32_t)get(x, MAP64_SMBASE, 4);
}

static void load32(struct x86_cpu *x, bool *halted)
{
    struct x86_table *tables[2] = { &x->ldt, &x->tr };

    x->cr4 = get(x, MAP32_CR4, 4);
    x->cr3 = get(x, MAP32_CR3, 4);
    x->cr0 = (uint32_t)get(x, MAP32_CR0, 4);
    x86_set_eflags(x, (uint32_t)get(x, MAP32_FLAGS, 4));
    for (unsigned s = 0; s < 6; s++) {
        unsigned o = MAP32_HIDDEN + 12 * s;
        x86_seg_put(x, s, (uint16_t)get(x, MAP32_ES + 4 * s, 4), get(x, o, 4), (uint32_t)get(x, o + 4, 4), (uint32_t)get(x, o + 8, 4));
    }
    x->gdt = (struct x86_table){ .base = get(x, MAP32_TABLES, 4), .limit = (uint32_t)get(x, MAP32_TABLES + 4, 4) };
    x->idt = (struct x86_table){ .base = get(x, MAP32_TABLES + 8, 4), .limit = (uint32_t)get(x, MAP32_TABLES + 12, 4) };
    for (unsigned i = 0; i < 2; i++) {
        unsigned o = MAP32_TABLES + 16 + 12 * i;
        *tables[i] = (struct x86_table){ get(x, o, 4), (uint32_t)get(x, o + 4, 4), (uint32_t)get(x, o + 8, 4),
                                         (uint16_t)get(x, i ? MAP32_TR : MAP32_LDTR, 4) };
    }
    x->dr[6] = get(x, MAP32_DR6, 4);
    x->dr[7] = get(x, MAP32_DR7, 4);
    for (unsigned r = 0; r < 8; r++) x86_set_gpr(x, r, get(x, MAP32_EAX + 4 * r, 4));
    x86_set_ip(x, get(x, MAP32_EIP, 4));
    *halted = get(x, MAP32_HALT, 2) & 1;
    x->smbase = (uint32_t)get(x, MAP32_SMBASE, 4);
}

uint64_t x86_helper_rsm(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    struct x86_cpu *x = x86_cpu(c);
    bool halted;

    (void)a, (void)b, (void)d;
    if (!x->smm) x86_raise(x, XE_UD, 0);
    if (x86_has(x, XF_LM)) load64(x, &halted);
    else load32(x, &halted);
    x->cpl = !(x->cr0 & CR0_PE) ? 0 : x->eflags & XFL_VM ? 3 : (uint8_t)sa_dpl(x->seg_attr[SEG_SS]);
    for (unsigned s = 0; s < 6; s++) x86_seg_update(x, s);
    x->smm = false;
    x->nmi_blocked = false;
    if (x->board && x->board->smm) x->board->smm(x->board_opaque, c, false);
    cpu_tlb_flush(c);
    if (x->cr0 & CR0_PG && x->cr4 & CR4_PAE && !x86_long(x)) {
        for (unsigned i = 0; i < 4; i++) x->pdpte[i] = x86_phys_ld(x, (x->cr3 & 0xffffffe0) + 8 * i, 8);
    }
    c->halted = halted; /* noticed when the block ends by its kick */
    x86_update_key(x);
    cpu_kick(c);
    return x86_lin(x);
}
