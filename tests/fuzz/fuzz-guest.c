/*
 * fuzz-guest.c - fuzz target: hostile guest code, in system mode on a bare board and in user mode's world, run by two
 * engines in lockstep.
 *
 * The second of the two is cut into slices at random, drops what it has learnt (TLB, code) at random, is saved and
 * loaded, and is watched by breakpoints and watchpoints; none of this may be seen by the guest. A difference ends
 * the process, as does whatever the sanitizers see.
 *
 * FUZZ_BACKEND=NAME puts a JIT backend in the place of the first (default: now and then the null backend), with everything
 * compiled at its first or second run. At the end a line tells how many blocks were translated and compiled.
 * FUZZ_GUEST=mips or x86: inputs that make other guests do nothing.
 *
 * The guests are MIPS in both, and x86 in system mode: real mode, 32 bits flat or with paging, 64 bits.
 *
 * The board has RAM at 0, which goes over into a device, which goes over into half a page of RAM and a hole; the device
 * unmaps pages, writes code by DMA, drives interrupts and arms a timer. Start-up state (Status, TLB, registers) is hostile.
 */
#include "tests/backends.h"
#include "tests/fuzz/guest-code.h"
#include "tests/fuzz/x86-code.h"

#include "interp/jit.h"
#include "isa/mips/mips-user.h"
#include "isa/mips/priv.h"
#include "isa/x86/x86-board.h"
#include "isa/x86/sys.h"
#include "machines/machine.h"
#include "util/log.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

enum { PAGE = 4096, RAM_PAGES = 8, RAM = RAM_PAGES * PAGE, DEV_BASE = RAM, HALF_BASE = RAM + PAGE, OVER_PAGE = 3, ROM_BASE = 0x1fc00000 };

ATTR_PRINTF(1, 2) ATTR_NORETURN static void found(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "FOUND: ");
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\n");
    va_end(ap);
    abort();
}

/* ---- engines ------------------------------------------------------------------------------------ */

static uint64_t translated, compiled, regions;

static void count_engine(struct engine *eng)
{
    struct engine_stats s;
    struct jit_stats j;
    engine_get_stats(eng, &s);
    jit_get_stats(eng, &j);
    translated += s.translations;
    compiled += j.tier[1].blocks + j.tier[2].blocks;
    regions += j.tier[2].regions;
}

static void print_counts(void)
{
    printf("guest blocks: %" PRIu64 " translated, %" PRIu64 " compiled, %" PRIu64 " regions\n", translated, compiled, regions);
}

/* What the fast engine compiles with; how: random bits. */
static void choose_backend(struct engine_config *c, unsigned how, uint32_t seed)
{
    static const struct jit_backend *wanted;
    static bool asked;
    if (!asked) {
        const char *name = getenv("FUZZ_BACKEND");
        struct error e = ERROR_INIT;
        asked = true;
        atexit(print_counts);
        register_backends();
        wanted = name ? jit_find(name, &e) : NULL;
        if (name && !wanted) found("%s", e.msg);
    }
    c->backend = wanted ? wanted : how & 1 ? &jit_null_backend : NULL;
    c->sync = true;
    c->threshold = 1 + (how >> 1 & 1), c->threshold2 = 1 + (how >> 2 & 3);
    if ((how & 0x70) == 0x70) c->chaos = seed | 1;
    c->code_size = (size_t)1 << 20;
}

/* ---- the bare board ----------------------------------------------------------------------------- */

struct hostile {
    struct device dev;
    struct region *ram, *over, *half, *rom, *io, *low;
    struct machine *m;
    struct timer timer;
    uint64_t last, reads;
    uint32_t pins;
    bool over_off;
};

static bool is_x86(const struct isa *isa) { return isa == &x86_32_isa || isa == &x86_64_isa; }

static void pin(struct machine *m, unsigned n, bool level)
{
    if (is_x86(m->cfg.isa)) n = n == 3 ? X86_PIN_NMI : X86_PIN_INTR;
    m->cfg.isa->set_irq(m->cpu[0], n, level);
}

static void drive(struct hostile *h, uint32_t pins)
{
    if (is_x86(h->m->cfg.isa)) {
        pin(h->m, 2, pins & 0x14);
        pin(h->m, 3, pins & 8);
    } else {
        for (unsigned n = 2; n < 8; n++) pin(h->m, n, pins >> n & 1);
    }
    h->pins = pins;
}

static void on_timer(void *opaque)
{
    struct hostile *h = opaque;
    drive(h, h->pins ^ 0x10);
}

static uint64_t io_read(void *opaque, uint64_t addr, unsigned size)
{
    struct hostile *h = opaque;
    h->reads++;
    switch (addr & 0x3c) {
    case 0: return h->reads;
    case 4: return clock_now(h->dev.clock);
    default: return h->last + addr + size;
    }
}

static void io_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct hostile *h = opaque;
    uint8_t code[8];

    h->last = value + size;
    switch (addr & 0x3c) {
    case 4: drive(h, (uint32_t)value & 0xfc); break;
    case 8:
        h->over_off = !(value & 1);
        region_set_enabled(h->over, !h->over_off);
        break;
    case 12: timer_arm(&h->timer, clock_now(h->dev.clock) + (value & 0x3ff)); break;
    case 16:
        st64_le(code, value * UINT64_C(0x9e3779b97f4a7c15));
        as_write_buf(h->dev.mb->mem, value & (RAM - 1), code, sizeof code);
        break;
    default: break;
    }
}

/* x86: the same device by ports. */
static uint32_t port_in(void *opaque, struct cpu *c, uint16_t port, unsigned size)
{
    return (void)c, (uint32_t)io_read(opaque, port, size);
}

static void port_out(void *opaque, struct cpu *c, uint16_t port, uint32_t value, unsigned size)
{
    (void)c;
    io_write(opaque, port, value, size);
}

static int acknowledge(void *opaque, struct cpu *c) { return (void)opaque, (void)c, X86_VECTOR; }

static const struct x86_board_ops x86_ops = { .in = port_in, .out = port_out, .acknowledge = acknowledge };

static const struct mmio_ops io_ops = { .read = io_read, .write = io_write };

static const struct prop_desc props[] = { PROP_END };
static const struct state_field state[] = {
    STATE_RUNTIME(struct hostile, ram),  STATE_RUNTIME(struct hostile, over), STATE_RUNTIME(struct hostile, half),
    STATE_RUNTIME(struct hostile, rom),  STATE_RUNTIME(struct hostile, io),   STATE_RUNTIME(struct hostile, m),
    STATE_RUNTIME(struct hostile, low),
    STATE_TIMER_RESET(struct hostile, timer), STATE_INT(struct hostile, last), STATE_INT(struct hostile, reads),
    STATE_INT(struct hostile, pins),     STATE_INT(struct hostile, over_off), STATE_END,
};

static int realize(struct device *d, struct error *e)
{
    struct hostile *h = (struct hostile *)d;
    (void)e;
    timer_init(&h->timer, d->clock, on_timer, h);
    return 0;
}

static void unrealize(struct device *d)
{
    struct hostile *h = (struct hostile *)d;
    timer_cancel(&h->timer);
}

static int post_load(struct device *d, struct error *e)
{
    struct hostile *h = (struct hostile *)d;
    (void)e;
    region_set_enabled(h->over, !h->over_off);
    return 0;
}

static const struct dev_desc desc = {
    .name = "hostile", .bus = BUS_SYSTEM, .size = sizeof(struct hostile), .props = props, .state = state,
    .realize = realize, .unrealize = unrealize, .post_load = post_load,
};

static int board_init(struct machine *m, struct error *e)
{
    struct hostile *h = (struct hostile *)dev_create(m->mb, &desc, NULL, NULL);
    struct region *root = m->mb->mem_root;

    m->board_data = h;
    h->m = m;
    if (dev_realize(&h->dev, e)) return -1;
    if (!machine_add_cpu(m, e)) return -1;
    h->ram = mb_own_region(m->mb, region_new_ram("ram", RAM, e));
    h->over = mb_own_region(m->mb, region_new_ram("over", PAGE, e));
    h->half = mb_own_region(m->mb, region_new_ram("half", PAGE / 2, e));
    h->rom = mb_own_region(m->mb, region_new_rom("rom", PAGE, e));
    h->io = mb_own_region(m->mb, region_new_mmio("io", PAGE, &io_ops, h));
    if (!h->ram || !h->over || !h->half || !h->rom) return -1;
    region_add(root, h->ram, 0, 0);
    region_add(root, h->over, OVER_PAGE * PAGE, 1);
    region_add(root, h->half, HALF_BASE, 0);
    region_add(root, h->rom, ROM_BASE, 0);
    region_add(root, h->io, DEV_BASE, 0);
    if (is_x86(m->cfg.isa)) {
        h->low = mb_own_region(m->mb, region_new_ram("low", X86_LOW_SIZE, e));
        if (!h->low) return -1;
        region_add(root, h->low, X86_LOW, 0);
        x86_connect_board(m->cpu[0], &x86_ops, h);
    }
    return 0;
}

static const char *const isas[] = { "mips32", "mips64", "x86-32", "x86-64", NULL };
static const struct board bare = { .name = "bare", .isas = isas, .default_ram = RAM, .max_cpus = 1, .init = board_init };

/* ---- start-up state ------------------------------------------------------------------------------ */

#define K0(a) ((uint64_t)(int64_t)(int32_t)(0x80000000u + (a)))
#define K1(a) ((uint64_t)(int64_t)(int32_t)(0xa0000000u + (a)))

static const uint64_t sys_pointers[] = {
    K0(0x400), K0(0x1000), K0(0x1ffc), K0(0x2ff8), K0(0x3000), K0(0x3ffc), K0(0x4ffc), K0(0x7ffc), K0(0x7ff0),
    K1(0x400), K1(0x1ffc), K1(0x3ffc), K1(0x6000), K0(DEV_BASE), K1(DEV_BASE), K1(DEV_BASE + 4), K1(DEV_BASE + 8),
    K1(DEV_BASE + 12), K1(DEV_BASE + 16), K1(DEV_BASE + 0xffc), K1(HALF_BASE), K1(HALF_BASE + 0x7fc), K0(0x12000),
    K0(0x180), K0(0), K1(ROM_BASE + 0x400), K0(ROM_BASE + 0xffc), K1(0x10000000),
    0, 0x1000, 0x1ffc, 0x2000, 0x3ffc, 0x4000, 0x5ffc, 0x7ffc, 0x8000, 0x7ffffffc, 0x10000,
    UINT64_C(0xffffffffc0000000), UINT64_C(0xffffffffc0001ffc), UINT64_C(0xffffffffe0000000), UINT64_C(0xfffffffffffffffc),
    UINT64_C(0x9000000000001ffc), UINT64_C(0x9800000000008000), UINT64_C(0x900000001fc00200), UINT64_C(0x97ffffffffffffff),
    UINT64_C(0x0000000100001ffc), UINT64_C(0x4000000000001000), UINT64_C(0xc000000000001000), UINT64_C(0xc00000ff7fffffff),
    UINT64_C(0x00ffffffffffffff), UINT64_C(0x7fffffffffffffff), UINT64_C(0x8000000000000000), UINT64_C(0x3fffffffffffffff),
};

static void start_state(struct machine *m, const struct code_place *pl, struct fuzz_bytes *in)
{
    struct cpu *c = m->cpu[0];
    struct mips_cpu *p = mips_cpu(c);
    static const uint32_t status[] = { 0x34000000, 0x3400ff01, 0x34e000e3, 0x24000010, 0x34400004, 0x3000ff11, 0x344000e0, 0x34000009, 0x36000011 };
    static const uint16_t masks[] = { 0, 0, 0, 3, 3, 0xf };
    unsigned n = p->model->tlb_entries;

    for (unsigned i = 0; i < MIN(n, 12u); i++) {
        mips_helper_mtc0(c, 0, i, 0);
        mips_helper_mtc0(c, 5 * 8, (uint64_t)masks[fuzz_pick(in, ARRAY_LEN(masks))] << 13, 0);
        mips_helper_mtc0(c, 10 * 8, (uint64_t)(fuzz_pick(in, 8) << 13) + (fuzz_pick(in, 4) == 0 ? 0xc0000000u : 0) + (fuzz_u8(in) & 3), 0);
        mips_helper_mtc0(c, 2 * 8, fuzz_pick(in, 20) << 6 | (fuzz_u8(in) & 7) | (fuzz_u8(in) & 2), 0);
        mips_helper_mtc0(c, 3 * 8, fuzz_pick(in, 20) << 6 | (fuzz_u8(in) & 7) | (fuzz_u8(in) & 2), 0);
        mips_helper_tlbwi(c, 0, 0, 0);
    }
    mips_helper_mtc0(c, 5 * 8, 0, 0);
    mips_helper_mtc0(c, 12 * 8, fuzz_pick(in, 8) ? status[fuzz_pick(in, ARRAY_LEN(status))] : fuzz_u32(in), 0);
    for (unsigned i = 1; i < 32; i++) {
        uint64_t v = fuzz_u8(in) & 1 ? pl->pointers[fuzz_pick(in, pl->n_pointers)] : (uint64_t)(int64_t)(int8_t)fuzz_u8(in);
        mips_set_gpr(p, i, v);
        if (fuzz_u8(in) & 1) p->fpr[i] = (uint64_t)fuzz_u32(in) << 32 | fuzz_u8(in);
    }
    uint64_t pc = fuzz_u8(in) & 3 ? K0(0x400 + 4 * fuzz_pick(in, 64)) : pl->pointers[fuzz_pick(in, pl->n_pointers)];
    m->cfg.isa->set_pc(c, pc);
}

/* ---- x86 ------------------------------------------------------------------------------------------- */

static const uint64_t x86_pointers[] = {
    0x400, 0x1000, 0x1ffc, 0x1fff, 0x2ff8, 0x3000, 0x3ffd, 0x4ffc, 0x7ffc, 0x7ff9, 0x6000, DEV_BASE, DEV_BASE + 4, DEV_BASE + 8, DEV_BASE + 12,
    DEV_BASE + 16, DEV_BASE + 0xffc, HALF_BASE, HALF_BASE + 0x7fd, 0xa000, X86_LOW, X86_LOW + 0x6ff0, X86_LOW + 0x5004, 0, 0x20400, 0x21ffc,
    0x23000, 0x28000, 0x3ffff, 0x40000, 0xffff, ROM_BASE + 0x400, 0x80000000u, 0xfffffffcu, UINT64_C(0x100000400), UINT64_C(0xffffffff80000000),
    UINT64_C(0x800000000000), UINT64_C(0xfffffffffffffff8),
};

static void start_x86(struct machine *m, struct fuzz_bytes *in)
{
    struct hostile *h = m->board_data;
    bool is64 = m->cfg.isa == &x86_64_isa;
    unsigned kind = fuzz_pick(in, 8);
    struct x86_place pl = { is64 && kind > 2 ? X86_64 : kind == 1 ? X86_16 : X86_32, kind & 1, x86_pointers, ARRAY_LEN(x86_pointers) };
    struct x86_start start = { .protected_mode = true, .eip = X86_BOOT };
    uint8_t *ram = region_ram(h->ram);

    x86_code(in, &pl, ram, RAM);
    x86_code(in, &pl, region_ram(h->over), 256);
    x86_code(in, &pl, region_ram(h->half), 256);
    x86_code(in, &pl, region_ram(h->rom), PAGE);
    uint64_t at = fuzz_u8(in) & 3 ? 0x400 + fuzz_pick(in, 64) : x86_pointers[fuzz_pick(in, ARRAY_LEN(x86_pointers))];
    x86_low(in, &pl, region_ram(h->low), at);
    if (pl.mode == X86_16) {
        x86_vectors(ram, region_ram(h->low));
        start = (struct x86_start){ .ss = (uint16_t)(fuzz_pick(in, 16) << 6), .eip = (uint16_t)at };
        uint32_t *const r[] = { &start.eax, &start.ebx, &start.ecx, &start.edx, &start.esi, &start.edi, &start.ebp, &start.esp };
        for (unsigned i = 0; i < ARRAY_LEN(r); i++) *r[i] = fuzz_u8(in) & 1 ? (uint32_t)x86_pointers[fuzz_pick(in, ARRAY_LEN(x86_pointers))] : fuzz_u8(in);
    }
    x86_start_at(m->cpu[0], &start);
}

static const char *const models_x86_32[] = { "max", "qemu32", "pentium3", "coreduo" };
static const char *const models_x86_64[] = { "max", "qemu64", "Haswell", "core2duo" };

/* ---- both ------------------------------------------------------------------------------------------- */

/* What a machine is made of. */
struct kind { const struct isa *isa; bool be; const char *model; };

static const char *const models32[] = { "24Kf", "4Kc", "4Km", "74Kf" };
static const char *const models64[] = { "MIPS64R2-generic", "R4000", "5Kf", "20Kc", "24Kf" };

static struct kind choose_kind(struct fuzz_bytes *in, bool x86)
{
    bool is64 = fuzz_u8(in) & 1, be = fuzz_u8(in) & 1;
    if (x86 && is64) return (struct kind){ &x86_64_isa, false, models_x86_64[fuzz_pick(in, ARRAY_LEN(models_x86_64))] };
    if (x86) return (struct kind){ &x86_32_isa, false, models_x86_32[fuzz_pick(in, ARRAY_LEN(models_x86_32))] };
    if (is64) return (struct kind){ &mips64_isa, be, models64[fuzz_pick(in, ARRAY_LEN(models64))] };
    return (struct kind){ &mips32_isa, be, models32[fuzz_pick(in, ARRAY_LEN(models32))] };
}

static struct machine *new_machine(struct fuzz_bytes in, const struct kind *kind, struct engine_config engine)
{
    struct machine_config cfg = { .board = &bare, .isa = kind->isa, .big_endian = kind->be, .engine = engine, .icount_shift = 0 };
    struct error e = ERROR_INIT;
    cfg.cpu = isa_find_model(cfg.isa, kind->model);
    if (!cfg.cpu) cfg.cpu = &cfg.isa->models[0];
    struct machine *m = machine_new(&cfg, &e);
    if (!m) found("no machine: %s", e.msg);
    if (is_x86(cfg.isa)) {
        start_x86(m, &in);
        return m;
    }

    struct hostile *h = m->board_data;
    struct code_place pl = { kind->isa == &mips64_isa, kind->be, false, sys_pointers, ARRAY_LEN(sys_pointers) };
    uint8_t *ram = region_ram(h->ram);
    guest_code(&in, &pl, ram, RAM / 4);
    guest_code(&in, &pl, region_ram(h->over), 64);
    guest_code(&in, &pl, region_ram(h->half), 64);
    guest_code(&in, &pl, region_ram(h->rom), PAGE / 4);
    if (fuzz_u8(&in) & 7) {
        guest_handler(&pl, ram + 0x180);
        guest_handler(&pl, ram + 0x200);
        guest_handler(&pl, region_ram(h->rom) + 0x380);
    }
    if (fuzz_u8(&in) & 7) {
        guest_refill(&pl, ram);
        guest_refill(&pl, ram + 0x80);
        guest_refill(&pl, region_ram(h->rom) + 0x200);
        guest_refill(&pl, region_ram(h->rom) + 0x280);
    }
    start_state(m, &pl, &in);
    return m;
}

/* x86: has the guest page tables of its own? What it changes there may be seen at once or later. */
static bool own_tables(const struct machine *m)
{
    const struct x86_cpu *x = x86_cpu(m->cpu[0]);
    return is_x86(m->cfg.isa) && (x->cr0 & CR0_PG) && (x->cr3 & CPU_PAGE_MASK) != X86_PAGES;
}

/* x86: what the flags are made of depends on where blocks were cut; the flags do not. */
static uint64_t hash_of(struct machine *m)
{
    static const ir_id lazy[] = { XR_CC_OP, XR_CC_R, XR_CC_B, XR_CF_OP, XR_CF_R, XR_CF_B };
    uint64_t saved[ARRAY_LEN(lazy)];
    struct cpu *c = m->cpu[0];

    if (!is_x86(m->cfg.isa)) return machine_hash(m);
    uint32_t flags = x86_flags_now(x86_cpu(c));
    for (unsigned i = 0; i < ARRAY_LEN(lazy); i++) {
        saved[i] = cpu_get_slot(c, lazy[i]);
        cpu_set_slot(c, lazy[i], 0);
    }
    uint64_t h = state_mix(machine_hash(m), flags);
    for (unsigned i = 0; i < ARRAY_LEN(lazy); i++) cpu_set_slot(c, lazy[i], saved[i]);
    return h;
}

static void differ(struct machine *a, struct machine *b, const char *what)
{
    struct cpu *x = a->cpu[0], *y = b->cpu[0];
    fprintf(stderr, "%s: %s %s, time %" PRIu64 " %" PRIu64 ", icount %" PRIu64 " %" PRIu64 "\n", what, a->cfg.isa->name, a->cfg.cpu->name, machine_time(a),
            machine_time(b), cpu_icount(x), cpu_icount(y));
    if (is_x86(a->cfg.isa)) fprintf(stderr, "  flags %x %x\n", x86_get_eflags(x86_cpu(x)), x86_get_eflags(x86_cpu(y)));
    else fprintf(stderr, "  status %x %x, cause %x %x\n", mips_cpu(x)->status, mips_cpu(y)->status, mips_cpu(x)->cause, mips_cpu(y)->cause);
    for (unsigned i = 0; i < x->guest->n_slots; i++) {
        uint64_t p = cpu_get_slot(x, (ir_id)i), q = cpu_get_slot(y, (ir_id)i);
        if (p != q || i == x->guest->pc_slot) fprintf(stderr, "  %s %" PRIx64 " %" PRIx64 "\n", x->guest->slots[i].name, p, q);
    }
    if (mb_hash(a->mb) != mb_hash(b->mb)) fprintf(stderr, "  devices differ\n");
    if (a->idle_ns != b->idle_ns) fprintf(stderr, "  idle time %" PRIu64 " %" PRIu64 "\n", a->idle_ns, b->idle_ns);
    for (struct region *p = NULL, *q = NULL; (p = as_ram_next(a->mb->mem, p)) && (q = as_ram_next(b->mb->mem, q));) {
        for (uint64_t i = 0; i < region_size(p); i++) {
            if (region_ram(p)[i] == region_ram(q)[i]) continue;
            fprintf(stderr, "  %s + 0x%" PRIx64 ": %02x %02x\n", region_name(p), i, region_ram(p)[i], region_ram(q)[i]);
            break;
        }
    }
    if (cpu_fp_flags(x) != cpu_fp_flags(y)) fprintf(stderr, "  FP flags %x %x\n", cpu_fp_flags(x), cpu_fp_flags(y));
    if (x->fp_note.op != y->fp_note.op) fprintf(stderr, "  last FP op %x %x\n", x->fp_note.op, y->fp_note.op);
    found("%s: the machines differ", what);
}

/* Cuts, forgets and watches; to the same instant as the other machine. */
static void follow(struct machine *m, uint64_t target, unsigned how, uint64_t *rng)
{
    unsigned stuck = 0;
    while (machine_time(m) < target) {
        uint64_t before = machine_time(m), left = target - before, n = 1 + fuzz_random(rng) % (how & 1 ? 5 : 80);
        machine_step(m, MIN(n, left));
        if (m->state == MACHINE_DEBUGGED) {
            m->cpu[0]->step_over_break = true;
            machine_set_state(m, MACHINE_PRELAUNCH);
            if (machine_time(m) == before && ++stuck > 200) found("no way past a breakpoint or watchpoint");
        }
        if (machine_time(m) != before) stuck = 0;
        if (m->events) return;
        if (how & 2 && fuzz_random(rng) % 4 == 0) cpu_tlb_flush(m->cpu[0]);
        if (how & 4 && fuzz_random(rng) % 8 == 0) engine_flush(m->engine);
    }
}

static void reload(struct machine **m, struct fuzz_bytes in, const struct kind *kind, struct engine_config engine)
{
    struct state_buf buf = { 0 };
    struct error e = ERROR_INIT;
    struct machine *n = new_machine(in, kind, engine);

    if (machine_save(*m, &buf, &e)) found("not saved: %s", e.msg);
    buf.pos = 0;
    if (machine_load(n, &buf, &e)) found("not loaded: %s", e.msg);
    state_buf_free(&buf);
    machine_delete(*m);
    *m = n;
}

static void fuzz_system(struct fuzz_bytes in, bool x86)
{
    struct kind kind = choose_kind(&in, x86);
    unsigned how = fuzz_u8(&in);
    static const uint8_t max_block[] = { 0, 0, 0, 1, 2, 7 };
    struct engine_config fast = { .mode = ENGINE_FAST, .portable_switch = how & 8, .max_block = max_block[fuzz_pick(&in, 6)] };
    struct engine_config ref = { .mode = how & 16 ? ENGINE_FAST : ENGINE_REF, .soft_fp = true, .no_fuse = true, .max_block = max_block[fuzz_pick(&in, 6)] };
    uint64_t rng = fuzz_u32(&in) | 1;
    choose_backend(&fast, (unsigned)(rng >> 7), (uint32_t)rng);
    unsigned rounds = 1 + fuzz_pick(&in, 12), breaks = how & 32 ? fuzz_pick(&in, 4) : 0, watches = how & 64 ? fuzz_pick(&in, 4) : 0;
    struct machine *a, *b;

    a = new_machine(in, &kind, fast);
    b = new_machine(in, &kind, ref);
    for (unsigned i = 0; i < breaks; i++) engine_break_insert(b->engine, x86 ? 0x400 + fuzz_pick(&in, 64) : K0(0x400 + fuzz_pick(&in, 64) * 4));
    for (unsigned i = 0; i < watches; i++) {
        uint64_t at = x86 ? x86_pointers[fuzz_pick(&in, ARRAY_LEN(x86_pointers))] : sys_pointers[fuzz_pick(&in, ARRAY_LEN(sys_pointers))];
        engine_watch_insert(b->engine, at, 1 + fuzz_pick(&in, 9), (enum watch_kind)(1 + fuzz_pick(&in, 3)));
    }
    if (hash_of(a) != hash_of(b)) differ(a, b, "start");
    /* FUZZ_STOP: where to stop, to find by halving where two machines part. */
    const char *stop = getenv("FUZZ_STOP");
    uint64_t end = stop ? strtoull(stop, NULL, 10) : TIME_NEVER;
    for (unsigned i = 0; i < rounds && machine_time(a) < end; i++) {
        uint64_t n = 1 + fuzz_random(&rng) % 300;
        machine_step(a, MIN(n, end - machine_time(a)));
        follow(b, machine_time(a), how, &rng);
        if (own_tables(a) || own_tables(b)) break;
        if (hash_of(a) != hash_of(b)) differ(a, b, "run");
        if (a->events || b->events) break;
        if (fuzz_random(&rng) % 4 == 0) {
            unsigned n = 2 + fuzz_random(&rng) % 6, level = fuzz_random(&rng) & 1;
            pin(a, n, level);
            pin(b, n, level);
        }
        if (fuzz_random(&rng) % 4 == 0) { /* code arrives from outside */
            uint8_t code[16];
            for (unsigned k = 0; k < sizeof code; k++) code[k] = (uint8_t)(fuzz_random(&rng) >> 9);
            uint64_t at = fuzz_random(&rng) & (RAM - 4);
            as_write_buf(a->mb->mem, at, code, sizeof code);
            as_write_buf(b->mb->mem, at, code, sizeof code);
        }
        if (how & 128 && fuzz_random(&rng) % 4 == 0) {
            reload(&b, in, &kind, ref);
            if (hash_of(a) != hash_of(b)) differ(a, b, "reload");
        }
    }
    count_engine(a->engine);
    machine_delete(a);
    machine_delete(b);
}

/* ---- user mode's world ----------------------------------------------------------------------------- */

enum { U_PAGES = 16, U_SIZE = U_PAGES * PAGE };
/* What 32-bit addresses can reach (interp/cpu.h, ubase). */
static const size_t u_window = sizeof(void *) == 8 ? (size_t)0xffffffffu + 1 + PAGE : (size_t)U_SIZE;
static const size_t u_guard = sizeof(void *) == 8 ? (size_t)CPU_GUARD64 : 0;

struct process {
    struct engine *engine;
    struct cpu_world world;
    struct cpu *c;
    uint8_t *base;
    uint8_t prot[U_PAGES];   /* MMU_*; 0: nothing there */
    bool code[U_PAGES];      /* write-protected because of translated code */
};

/* The signal handler's only way to the process; none outside of engine_run. */
static struct process *running;

static int host_prot(const struct process *p, unsigned n)
{
    int prot = p->prot[n] & MMU_R ? PROT_READ : PROT_NONE;
    return p->prot[n] & MMU_W && !p->code[n] ? prot | PROT_WRITE : prot;
}

static void protect(struct process *p, unsigned n) { mprotect(p->base + n * PAGE, PAGE, host_prot(p, n)); }

static void on_fault(int sig, siginfo_t *info, void *context)
{
    struct process *p = running;
    uintptr_t at = p ? (uintptr_t)info->si_addr - (uintptr_t)p->base : 0;

    if (p) cpu_host_fault(p->c, context);
    if (p && p->c->xpoint && at >= U_SIZE && at + u_guard < u_window + 2 * u_guard) {
        cpu_fp_signal(p->c, context);
        engine_run_again(p->c);
    }
    if (!p || at >= u_window || !cpu_in_code(p->c)) {
        signal(sig, SIG_DFL); /* the sanitizer's handler is gone, but the core is not */
        return;
    }
    unsigned n = (unsigned)(at / PAGE);
    if (n < U_PAGES && p->code[n] && p->prot[n] & MMU_W) {
        engine_code_page_fault(p->engine, p->base + n * PAGE);
        p->code[n] = false;
        protect(p, n);
        cpu_fp_signal(p->c, context);
        engine_code_page_own(p->c, info->si_addr);
        return;
    }
    p->c->guest->fault(p->c, FAULT_USER, n < U_PAGES && p->prot[n] & MMU_R ? ACCESS_WRITE : ACCESS_READ, at);
    cpu_fp_signal(p->c, context);
    cpu_raise(p->c);
}

static const uint8_t *user_code(struct cpu *c, uint64_t va)
{
    struct process *p = c->bus;
    return va < U_SIZE && p->prot[va / PAGE] & MMU_X ? p->base + (va & CPU_PAGE_MASK) : NULL;
}

static void user_code_page(struct cpu *c, uint64_t va)
{
    struct process *p = c->bus;
    if (va >= U_SIZE) return;
    p->code[va / PAGE] = true;
    protect(p, (unsigned)(va / PAGE));
}

static const uint64_t user_pointers[] = {
    0, 4, 0x400, 0xffc, 0x1000, 0x1ffc, 0x2000, 0x2ff8, 0x3ffc, 0x4000, 0x5ffc, 0x7ffc, 0x8000, 0x9ffe, 0xfffc, 0xffff, 0x10000,
    0xff8, 0x7ffffffc, UINT64_C(0xffffffff80000000), UINT64_C(0xfffffffffffffffc), UINT64_C(0xffffffffffff0000), UINT64_C(0x100000000),
    UINT64_C(0xfffffffffc), UINT64_C(0x8000000000000000), 0x1001, 0x1002,
};

static void open_process(struct process *p, struct fuzz_bytes *in, bool is64, bool be, enum mips_abi abi, struct engine_config cfg)
{
    struct error e = ERROR_INIT;
    const struct isa *isa = is64 ? &mips64_isa : &mips32_isa;
    struct code_place pl = { is64 && abi == MIPS_ABI_N64, be, true, user_pointers, ARRAY_LEN(user_pointers) };

    memset(p, 0, sizeof *p);
    p->world = (struct cpu_world){ .user = true, .user_code = user_code, .user_code_page = user_code_page };
    p->engine = engine_new(&cfg, &e);
    p->c = cpu_new(isa->guest, &p->world, p->engine, p, 0);
    const struct cpu_model *model = isa_find_model(isa, is64 ? "MIPS64R2-generic" : "24Kf");
    if (!model || isa->init(p->c, model, be, true, &e)) found("no process: %s", e.msg);
    mips_user_setup(p->c, abi);
    void *at = mmap(NULL, u_window + 2 * u_guard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED || mprotect((uint8_t *)at + u_guard, U_SIZE, PROT_READ | PROT_WRITE)) found("no memory");
    p->base = (uint8_t *)at + u_guard;
    p->c->ubase = p->base;
    p->c->ulimit = U_SIZE;
    guest_code(in, &pl, p->base, U_SIZE / 4);
    for (unsigned i = 0; i < U_PAGES; i++) {
        static const uint8_t prots[] = { 7, 7, 7, 5, 5, 3, 1, 0 };
        p->prot[i] = i == 1 ? 7 : prots[fuzz_pick(in, ARRAY_LEN(prots))];
        protect(p, i);
    }
    for (unsigned i = 1; i < 32; i++) {
        mips_set_gpr(mips_cpu(p->c), i, fuzz_u8(in) & 1 ? user_pointers[fuzz_pick(in, ARRAY_LEN(user_pointers))] : (uint64_t)(int64_t)(int8_t)fuzz_u8(in));
    }
    isa->set_pc(p->c, 0x1000 + 4 * fuzz_pick(in, 64));
}

static void close_process(struct process *p)
{
    munmap(p->base - u_guard, u_window + 2 * u_guard);
    cpu_delete(p->c);
    engine_delete(p->engine);
}

/* Runs up to an instruction count; exceptions go on behind the instruction. */
static void run_process(struct process *p, uint64_t until, bool slices, uint64_t *rng)
{
    while (cpu_icount(p->c) < until) {
        uint64_t left = until - cpu_icount(p->c), n = slices ? 1 + fuzz_random(rng) % 40 : left;
        running = p;
        enum run_exit x = engine_run(p->c, MIN(left, n));
        running = NULL;
        if (getenv("FUZZ_TRACE")) fprintf(stderr, "%p exit %d at %" PRIx64 " icount %" PRIu64 " left %" PRIu64 "\n", (void *)p, x, mips_get_pc(mips_cpu(p->c)), cpu_icount(p->c), left);
        if (x != RUN_EXCEPTION) continue;
        struct exception ex = p->c->exc;
        if (getenv("FUZZ_TRACE")) fprintf(stderr, "%p ex %u at %" PRIx64 " addr %" PRIx64 " icount %" PRIu64 "\n", (void *)p, ex.code, mips_get_pc(mips_cpu(p->c)), ex.addr, cpu_icount(p->c));
        struct mips_cpu *m = mips_cpu(p->c);
        uint64_t pc = mips_get_pc(m);
        /* What the kernel would tell the program, into registers. Whether a wild access reads or writes is not told: the
         * host does not say, so the codes differ where one engine asks the host and the other the limit. */
        if (ex.code == ME_TLBS) ex.code = ME_TLBL;
        mips_set_gpr(m, 26, (uint64_t)(int64_t)(int32_t)(ex.code << 8 | ex.sub));
        mips_set_gpr(m, 27, (uint64_t)(int64_t)(int32_t)ex.addr);
        pc += 4;
        if (pc >= U_SIZE) pc = 0x1000;
        p->c->guest == &mips64_guest ? mips64_isa.set_pc(p->c, pc) : mips32_isa.set_pc(p->c, pc);
        p->c->icount++; /* so that a loop of faults ends */
        if (slices && fuzz_random(rng) % 16 == 0) engine_flush(p->engine);
    }
}

static uint64_t hash_process(struct process *p)
{
    uint64_t h = 1;
    for (unsigned i = 0; i < U_PAGES; i++) mprotect(p->base + i * PAGE, PAGE, PROT_READ);
    for (unsigned i = 0; i < U_SIZE; i += 8) h = state_mix(h, ld64_le(p->base + i));
    for (unsigned i = 0; i < U_PAGES; i++) protect(p, i);
    for (unsigned i = 0; i < p->c->guest->n_slots; i++) h = state_mix(h, cpu_get_slot(p->c, (ir_id)i));
    return state_mix(h, cpu_icount(p->c));
}

static void fuzz_user(struct fuzz_bytes in)
{
    static bool installed;
    if (!installed) {
        struct sigaction sa;
        memset(&sa, 0, sizeof sa);
        sa.sa_sigaction = on_fault;
        sa.sa_flags = SA_SIGINFO | SA_NODEFER;
        sigaction(SIGSEGV, &sa, NULL);
        sigaction(SIGBUS, &sa, NULL);
        installed = true;
    }
    bool is64 = fuzz_u8(&in) & 1, be = fuzz_u8(&in) & 1;
    enum mips_abi abi = !is64 ? MIPS_ABI_O32 : fuzz_u8(&in) & 1 ? MIPS_ABI_N32 : MIPS_ABI_N64;
    unsigned how = fuzz_u8(&in);
    struct engine_config fast = { .mode = ENGINE_FAST, .portable_switch = how & 8 };
    struct engine_config ref = { .mode = how & 16 ? ENGINE_FAST : ENGINE_REF, .soft_fp = true, .no_fuse = true, .max_block = how & 32 ? 1 : 0 };
    uint64_t rng = fuzz_u32(&in) | 1;
    choose_backend(&fast, (unsigned)(rng >> 7), (uint32_t)rng);
    unsigned rounds = 1 + fuzz_pick(&in, 10);
    struct process a, b;
    struct fuzz_bytes twin = in;

    open_process(&a, &in, is64, be, abi, fast);
    open_process(&b, &twin, is64, be, abi, ref);
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t until = cpu_icount(a.c) + 1 + fuzz_random(&rng) % 300;
        run_process(&a, until, false, &rng);
        run_process(&b, cpu_icount(a.c), true, &rng);
        if (hash_process(&a) != hash_process(&b)) {
            for (unsigned k = 0; k < a.c->guest->n_slots; k++) {
                uint64_t p = cpu_get_slot(a.c, (ir_id)k), q = cpu_get_slot(b.c, (ir_id)k);
                if (p != q || k == a.c->guest->pc_slot) fprintf(stderr, "  %s %" PRIx64 " %" PRIx64 "\n", a.c->guest->slots[k].name, p, q);
            }
            for (unsigned k = 0; k < U_PAGES; k++) mprotect(a.base + k * PAGE, PAGE, PROT_READ), mprotect(b.base + k * PAGE, PAGE, PROT_READ);
            for (unsigned k = 0; k < U_SIZE; k += 4)
                if (ld32_le(a.base + k) != ld32_le(b.base + k)) fprintf(stderr, "  [%x] %08x %08x\n", k, ld32_le(a.base + k), ld32_le(b.base + k));
            found("user mode: the engines differ: icount %" PRIu64 " %" PRIu64, cpu_icount(a.c), cpu_icount(b.c));
        }
        /* Another thread unmaps or protects code, as munmap and mprotect would. */
        unsigned n = fuzz_random(&rng) % U_PAGES, prot = fuzz_random(&rng) & 7;
        if (n == 1) continue;
        struct process *both[] = { &a, &b };
        for (unsigned k = 0; k < 2; k++) {
            engine_code_page_fault(both[k]->engine, both[k]->base + n * PAGE);
            both[k]->code[n] = false;
            both[k]->prot[n] = (uint8_t)(prot & MMU_R ? prot : 0);
            protect(both[k], n);
        }
    }
    count_engine(a.engine);
    close_process(&a);
    close_process(&b);
}

/* ---- the target -------------------------------------------------------------------------------------- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_bytes in = fuzz_bytes(data, size);
    if (getenv("FUZZ_LOG")) log_set((uint32_t)strtoul(getenv("FUZZ_LOG"), NULL, 0));
    unsigned what = fuzz_u8(&in);
    const char *only = getenv("FUZZ_GUEST");
    bool x86 = (what & 0x0c) == 8;
    if (only && x86 != !strcmp(only, "x86")) return 0;
    if (x86) fuzz_system(in, true);
    else if (what & 3) fuzz_system(in, false);
    else fuzz_user(in);
    return 0;
}

size_t fuzz_seed(unsigned n, uint8_t *buf, size_t room)
{
    if (n >= 96 || room < 16) return 0;
    uint64_t s = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
    for (unsigned i = 0; i < 16; i++) buf[i] = (uint8_t)(fuzz_random(&s) >> 11);
    buf[0] = n < 64 ? n & 3 : 8;
    buf[1] = (uint8_t)(n >> 2);
    buf[2] = (uint8_t)(n >> 3);
    return 8 + n % 9;
}
