/*
 * test-x86-vme.c - the virtual interrupt flag of x86: CR4.VME with the interrupt redirection bitmap in virtual-8086 mode,
 * CR4.PVI in ring 3. Each case is one instruction and what the Intel SDM, volume 3, "8086 emulation" (table "Software interrupt
 * handling methods") and volume 2 (cli, sti, pushf, popf, iret, int) say of it; a CPU in system mode without a machine runs it.
 */
#include "isa/x86/sys.h"
#include "tests/backends.h"

#include "bus/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    RAM_SIZE = 1 << 16,
    IDT = 0x1000,
    GDT = 0x2000,
    TSS = 0x3000,
    TSS_LIMIT = 0xff,
    IO_MAP = 0x88, /* in the TSS: the redirection bitmap is before it */
    CODE = 0x4000,
    HANDLERS = 0x5000, /* + the vector; never run */
    STACK0 = 0x8000,
    STACK = 0xa000,
    TARGET = 0x0123, /* of the program's own vectors, in segment 0500h */
};
enum { VM = XFL_VM | XFL_ONE, F_IF = XFL_IF, VIF = XFL_VIF, VIP = XFL_VIP, IOPL3 = XFL_IOPL, CF = 1, TF = XFL_TF, NONE = -1 };
enum where { V86, RING3, RING0 };

struct vcase {
    const char *what;
    uint8_t code[3];
    enum where where;
    uint32_t cr4, flags;
    uint32_t stack[3];  /* of 16-bit words in virtual-8086 mode, else of 32 bits */
    int vector;         /* of the exception or interrupt that reaches ring 0 */
    uint32_t ip;        /* afterwards, or in the handler's frame */
    uint32_t after;     /* flags of those asked for, there too */
    int sp;             /* change of sp, if no handler */
    uint32_t pushed;    /* the last word pushed, for sp < 0 */
};

#define ASKED (XFL_VM | XFL_IF | XFL_VIF | XFL_VIP | XFL_IOPL | XFL_TF | 1)
#define VME   CR4_VME
static const struct vcase cases[] = {
    { "cli clears VIF", { 0xfa }, V86, VME, VM | VIF | F_IF, { 0 }, NONE, 1, XFL_VM | F_IF, 0, 0 },
    { "cli with IOPL 3 clears IF", { 0xfa }, V86, VME, VM | VIF | F_IF | IOPL3, { 0 }, NONE, 1, XFL_VM | VIF | IOPL3, 0, 0 },
    { "cli without VME", { 0xfa }, V86, 0, VM | F_IF, { 0 }, XE_GP, 0, XFL_VM | F_IF, 0, 0 },
    { "sti sets VIF", { 0xfb }, V86, VME, VM, { 0 }, NONE, 1, XFL_VM | VIF, 0, 0 },
    { "sti while an interrupt waits", { 0xfb }, V86, VME, VM | VIP, { 0 }, XE_GP, 0, XFL_VM | VIP, 0, 0 },
    { "sti with PVI only", { 0xfb }, V86, CR4_PVI, VM, { 0 }, XE_GP, 0, XFL_VM, 0, 0 },
    { "pushf shows VIF as IF", { 0x9c }, V86, VME, VM | VIF, { 0 }, NONE, 1, XFL_VM | VIF, -2, 0x3202 },
    { "pushf hides IF", { 0x9c }, V86, VME, VM | F_IF | CF, { 0 }, NONE, 1, XFL_VM | F_IF | CF, -2, 0x3003 },
    { "pushfd", { 0x66, 0x9c }, V86, VME, VM, { 0 }, XE_GP, 0, XFL_VM, 0, 0 },
    { "pushf without VME", { 0x9c }, V86, 0, VM, { 0 }, XE_GP, 0, XFL_VM, 0, 0 },
    { "popf sets VIF", { 0x9d }, V86, VME, VM, { 0x0203 }, NONE, 1, XFL_VM | VIF | CF, 2, 0 },
    { "popf clears VIF", { 0x9d }, V86, VME, VM | VIF | F_IF, { 0x3002 }, NONE, 1, XFL_VM | F_IF, 2, 0 },
    { "popf while an interrupt waits", { 0x9d }, V86, VME, VM | VIP, { 0x0202 }, XE_GP, 0, XFL_VM | VIP, 0, 0 },
    { "popf that leaves VIF clear", { 0x9d }, V86, VME, VM | VIP, { 0x0003 }, NONE, 1, XFL_VM | VIP | CF, 2, 0 },
    { "popf of TF", { 0x9d }, V86, VME, VM, { 0x0102 }, XE_GP, 0, XFL_VM, 0, 0 },
    { "popfd", { 0x66, 0x9d }, V86, VME, VM, { 0x0002 }, XE_GP, 0, XFL_VM, 0, 0 },
    { "popf with IOPL 3", { 0x9d }, V86, VME, VM | IOPL3, { 0x0202 }, NONE, 1, XFL_VM | IOPL3 | F_IF, 2, 0 },
    { "iret sets VIF", { 0xcf }, V86, VME, VM, { 0x10, CODE >> 4, 0x0202 }, NONE, 0x10, XFL_VM | VIF, 6, 0 },
    { "iret clears VIF", { 0xcf }, V86, VME, VM | VIF | F_IF, { 0x10, CODE >> 4, 0x3003 }, NONE, 0x10, XFL_VM | F_IF | CF, 6, 0 },
    { "iret while an interrupt waits", { 0xcf }, V86, VME, VM | VIP, { 0x10, CODE >> 4, 0x0202 }, XE_GP, 0, XFL_VM | VIP, 0, 0 },
    { "iretd", { 0x66, 0xcf }, V86, VME, VM, { 0x10, CODE >> 4, 0x0002 }, XE_GP, 0, XFL_VM, 0, 0 },
    { "iret without VME", { 0xcf }, V86, 0, VM, { 0x10, CODE >> 4, 0x0002 }, XE_GP, 0, XFL_VM, 0, 0 },
    { "int redirected", { 0xcd, 0x21 }, V86, VME, VM | VIF | F_IF, { 0 }, NONE, TARGET, XFL_VM | F_IF, -6, 2 },
    { "int redirected, IOPL 3", { 0xcd, 0x21 }, V86, VME, VM | VIF | F_IF | IOPL3, { 0 }, NONE, TARGET, XFL_VM | VIF | IOPL3, -6, 2 },
    { "int not redirected", { 0xcd, 0x30 }, V86, VME, VM | VIF, { 0 }, XE_GP, 0, XFL_VM | VIF, 0, 0 },
    { "int not redirected, IOPL 3", { 0xcd, 0x30 }, V86, VME, VM | IOPL3, { 0 }, 0x30, 2, XFL_VM | IOPL3, 0, 0 },
    { "int without VME", { 0xcd, 0x21 }, V86, 0, VM, { 0 }, XE_GP, 0, XFL_VM, 0, 0 },
    { "int 3 of two bytes, redirected", { 0xcd, 3 }, V86, VME, VM, { 0 }, NONE, TARGET, XFL_VM, -6, 2 },
    { "int3", { 0xcc }, V86, VME, VM, { 0 }, 3, 1, XFL_VM, 0, 0 },
    { "int 3 of two bytes without VME", { 0xcd, 3 }, V86, 0, VM, { 0 }, XE_GP, 0, XFL_VM, 0, 0 },
    { "int beyond the task's limit", { 0xcd, 0xff }, V86, VME, VM, { 0 }, XE_GP, 0, XFL_VM, 0, 0 },
    { "iretd to a program with VIF and VIP", { 0xcf }, RING0, VME, XFL_ONE, { 0x20, CODE >> 4, VM | VIF | VIP }, XE_GP, 0x20, XFL_VM | VIF | VIP, 0, 0 },
    { "PVI: cli", { 0xfa }, RING3, CR4_PVI, XFL_ONE | VIF | F_IF, { 0 }, NONE, CODE + 1, F_IF, 0, 0 },
    { "PVI: sti", { 0xfb }, RING3, CR4_PVI, XFL_ONE, { 0 }, NONE, CODE + 1, VIF, 0, 0 },
    { "PVI: sti while an interrupt waits", { 0xfb }, RING3, CR4_PVI, XFL_ONE | VIP, { 0 }, XE_GP, CODE, VIP, 0, 0 },
    { "PVI: sti with VME only", { 0xfb }, RING3, VME, XFL_ONE, { 0 }, XE_GP, CODE, 0, 0, 0 },
    { "PVI: pushf tells the truth", { 0x9c }, RING3, CR4_PVI, XFL_ONE | F_IF, { 0 }, NONE, CODE + 1, F_IF, -4, 0x202 },
    { "PVI: popf leaves VIF", { 0x9d }, RING3, CR4_PVI, XFL_ONE | VIF, { 3 }, NONE, CODE + 1, VIF | CF, 4, 0 },
};

struct board {
    struct cpu_world world;
    struct engine *engine;
    struct bus_clock *clock;
    struct cpu *cpu;
    uint8_t ram[RAM_SIZE];
};

static void phys_page(void *bus, uint64_t pa, struct phys_page *p)
{
    struct board *b = bus;
    *p = (struct phys_page){ pa < RAM_SIZE ? b->ram + pa : NULL, false };
}

static bool mmio_read(void *bus, struct cpu *cpu, uint64_t pa, unsigned size, uint64_t *value)
{
    (void)bus, (void)cpu, (void)pa, (void)size;
    *value = UINT64_MAX;
    return true;
}

static bool mmio_write(void *bus, struct cpu *cpu, uint64_t pa, unsigned size, uint64_t value)
{
    (void)bus, (void)cpu, (void)pa, (void)size, (void)value;
    return true;
}

static const struct x86_board_ops ops = { .acknowledge = NULL };

static uint64_t now(void *opaque) { return cpu_icount(((struct board *)opaque)->cpu); }

static void put(struct board *b, uint32_t at, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) b->ram[at + i] = (uint8_t)(v >> 8 * i);
}

static uint32_t word(const struct board *b, uint32_t at, unsigned n)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < n; i++) v |= (uint32_t)b->ram[at + i] << 8 * i;
    return v;
}

static void gate(struct board *b, unsigned vector)
{
    uint64_t to = HANDLERS + vector;
    put(b, IDT + 8 * vector, to | UINT64_C(8) << 16 | UINT64_C(0xee00) << 32, 8);
}

static void tables(struct board *b, const struct vcase *v)
{
    put(b, GDT + 0x08, UINT64_C(0x00cf9b000000ffff), 8);
    put(b, GDT + 0x10, UINT64_C(0x00cf93000000ffff), 8);
    put(b, GDT + 0x18, UINT64_C(0x00cffb000000ffff), 8);
    put(b, GDT + 0x20, UINT64_C(0x00cff3000000ffff), 8);
    gate(b, XE_GP), gate(b, 3), gate(b, 0x30);
    put(b, TSS + 4, STACK0, 4);
    put(b, TSS + 8, 0x10, 4);
    put(b, TSS + 0x66, v->code[1] == 0xff ? TSS_LIMIT + 2 : IO_MAP, 2);
    b->ram[TSS + IO_MAP - 32 + 0x30 / 8] = 1 << 0x30 % 8;
    put(b, 4 * 0x21, 0x0500u << 16 | TARGET, 4);
    put(b, 4 * 3, 0x0500u << 16 | TARGET, 4);
    memcpy(b->ram + CODE, v->code, sizeof v->code);
}

static void start(struct board *b, const struct vcase *v)
{
    struct x86_cpu *x = x86_cpu(b->cpu);
    unsigned n = v->where == V86 ? 2 : 4;
    uint32_t sp = v->where == RING0 ? STACK0 - 64 : STACK;

    for (unsigned i = 0; i < 3; i++) put(b, sp + n * i, v->stack[i], n);
    for (unsigned i = 3; i < 9 && v->where == RING0; i++) put(b, sp + 4 * i, i == 3 ? STACK : 0, 4); /* sp and segments of the program */
    x86_set_cr0(x, (uint32_t)x->cr0 | CR0_PE);
    x86_set_cr4(x, v->cr4);
    x->gdt = (struct x86_table){ GDT, 0x27, 0, 0 };
    x->idt = (struct x86_table){ IDT, 0x7ff, 0, 0 };
    x->tr = (struct x86_table){ TSS, TSS_LIMIT, SA_P | SYS_TSS_BUSY << SA_TYPE_SHIFT, 0x28 };
    x86_set_eflags(x, v->flags);
    x->cpl = v->where == RING0 ? 0 : 3;
    for (unsigned s = 0; s < 6; s++) {
        uint32_t attr = SA_P | SA_S | SA_RW | SA_ACCESSED | SA_G | SA_DB | (uint32_t)x->cpl << SA_DPL_SHIFT | (s == SEG_CS ? SA_CODE : 0);
        uint16_t sel = (uint16_t)((v->where == RING0 ? 0x08 : 0x1b) + (s == SEG_CS ? 0 : 8));
        if (v->where == V86) x86_seg_put_real(x, s, s == SEG_CS ? CODE >> 4 : 0);
        else x86_seg_put(x, s, sel, 0, 0xffffffffu, attr);
    }
    x86_set_gpr(x, 4, sp);
    x86_set_ip(x, v->where == V86 ? 0 : CODE);
    x86_update_key(x);
}

static bool check(const struct board *b, const struct vcase *v)
{
    const struct x86_cpu *x = x86_cpu(b->cpu);
    uint32_t sp = (uint32_t)x86_gpr(x, 4), ip = (uint32_t)x86_ip_of(x, x86_lin(x)), flags = x86_get_eflags(x);

    if (x->cpl == 0) { /* at the handler's begin: the frame */
        unsigned vector = ip - HANDLERS, at = vector == XE_GP ? 4 : 0;
        if ((int)vector != v->vector || (at && word(b, sp, 4))) return false;
        return word(b, sp + at, 4) == v->ip && (word(b, sp + at + 8, 4) & ASKED) == (v->after & ASKED);
    }
    if (v->vector != NONE || ip != v->ip || (flags & ASKED) != v->after || (int)(sp - STACK) != v->sp) return false;
    if (v->code[0] == 0xcd) { /* the program's own handler */
        uint32_t seen = v->flags & IOPL3 ? v->flags & 0xffff : XFL_ONE | IOPL3 | (v->flags & VIF ? F_IF : 0);
        if (x->sel[SEG_CS] != 0x500 || word(b, sp + 2, 2) != CODE >> 4 || word(b, sp + 4, 2) != seen) return false;
    }
    return v->sp >= 0 || word(b, sp, v->where == V86 ? 2 : 4) == v->pushed;
}

static bool run(const struct isa *isa, const char *model, const struct engine_config *cfg, const struct vcase *v)
{
    struct error e = ERROR_INIT;
    struct engine_config engine = *cfg;
    struct board *b = NEW(struct board);

    b->world = (struct cpu_world){ .phys_page = phys_page, .mmio_read = mmio_read, .mmio_write = mmio_write };
    engine_from_environment(&engine);
    b->engine = engine_new(&engine, &e);
    b->cpu = cpu_new(isa->guest, &b->world, b->engine, b, 0);
    if (isa->init(b->cpu, isa_find_model(isa, model), false, false, &e)) {
        printf("cannot make %s: %s\n", model, e.msg);
        exit(1);
    }
    b->clock = clock_new();
    clock_connect(b->clock, now, NULL, b);
    isa->connect_clock(b->cpu, b->clock);
    x86_connect_board(b->cpu, &ops, b);
    tables(b, v);
    start(b, v);
    engine_run(b->cpu, 1);
    for (int i = 0; i < 3 && v->where == RING0; i++) engine_run(b->cpu, 0); /* up to the next instruction: what is due is entered */
    bool ok = check(b, v);
    cpu_delete(b->cpu);
    clock_delete(b->clock);
    engine_delete(b->engine);
    mem_free(b);
    return ok;
}

int main(void)
{
    static const struct { const char *name; struct engine_config cfg; } engines[] = {
        { "ref", { .mode = ENGINE_REF } },
        { "fast", { .mode = ENGINE_FAST } },
        { "switch", { .mode = ENGINE_FAST, .portable_switch = true } },
    };
    unsigned passed = 0, failed = 0;

    register_backends();
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        for (unsigned k = 0; k < 2 * ARRAY_LEN(engines); k++) {
            bool wide = k & 1;
            if (run(wide ? &x86_64_isa : &x86_32_isa, wide ? "core2duo" : "pentium", &engines[k / 2].cfg, &cases[i])) {
                passed++;
            } else {
                printf("FAILED: %s (%s, %s)\n", cases[i].what, wide ? "core2duo" : "pentium", engines[k / 2].name);
                failed++;
            }
        }
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
