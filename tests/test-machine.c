/*
 * test-machine.c - a machine's life with a CPU and a device made for the test: exact event times, independence of
 * how execution is cut, waiting, save and restore at any instruction, events, damaged streams.
 *
 * The toy CPU has 32-bit instructions `op, register, 16-bit immediate`, one interrupt at 0x80, and no MMU.
 */
#include "machines/machine.h"
#include "tests/backends.h"

#include <stdio.h>

static unsigned passed, failed;

static bool check_(bool ok, const char *what, int line)
{
    if (ok) passed++;
    else if (failed++ < 50) printf("test-machine.c:%d: %s\n", line, what);
    return ok;
}
#define CHECK(e) check_((e), #e, __LINE__)

/* ---- the CPU ---- */
struct toy { struct cpu c; uint32_t r[4], pc, epc; bool pending, masked; };
static struct toy *toy(struct cpu *c) { return (struct toy *)c; }

enum { S_R0, S_PC = 4, S_EPC, S_COUNT };
#define SLOT(n, f, cls_) { n, offsetof(struct toy, f), T_I32, cls_ }
static const struct slot_desc slots[] = {
    SLOT("r0", r[0], SLOT_GPR), SLOT("r1", r[1], SLOT_GPR), SLOT("r2", r[2], SLOT_GPR),
    SLOT("r3", r[3], SLOT_GPR), SLOT("pc", pc, SLOT_PC), SLOT("epc", epc, SLOT_SYS),
};
enum { ADDI, ST, LD, JMP, HALT, IRET };
#define I(op, reg, imm) ((uint32_t)(op) | (uint32_t)(reg) << 8 | (uint32_t)(imm) << 16)

static uint64_t do_halt(struct cpu *c, uint64_t mask, uint64_t b, uint64_t x)
{
    (void)b, (void)x;
    c->halted = !(toy(c)->r[0] & mask);
    return 0;
}
static uint64_t do_iret(struct cpu *c, uint64_t a, uint64_t b, uint64_t x)
{
    (void)a, (void)b, (void)x;
    toy(c)->masked = false;
    return 0;
}
static const struct helper_desc helpers[] = {
    { "halt", do_halt, HELPER_TIME, SLOTS_ALL, SLOTS_ALL }, { "iret", do_iret, HELPER_TIME, SLOTS_ALL, SLOTS_ALL },
};

static void translate(struct ir_builder *b)
{
    uint64_t pc = b->blk.pc;
    for (;; pc += 4) {
        uint8_t buf[4];
        b->pc = pc;
        if (!ir_insn(b, pc, 4, 0)) {
            if (!b->ended) ir_goto(b, ir_link(b, pc, 0, IR_HINT_NONE));
            return;
        }
        if (!ir_fetch(b, pc, 4, buf)) {
            ir_fetch_fault(b, pc);
            return;
        }
        ir_id r = S_R0 + (buf[1] & 3);
        uint32_t imm = ld16_le(buf + 2);
        switch (buf[0]) {
        case ADDI: ir_op2(b, OP_ADD, T_I32, r, r, ir_c32(b, imm)); continue;
        case ST: ir_st(b, T_I32, r, ir_c32(b, imm << 4), 0, IR_M32, 0); continue;
        case LD: ir_ld(b, T_I32, r, ir_c32(b, imm << 4), 0, IR_M32, 0); continue;
        case HALT:
            ir_call(b, 0, T_I32, IR_NONE, ir_c32(b, imm), IR_NONE, IR_NONE);
            ir_exit(b, IR_EXIT_HALT, pc + 4);
            return;
        case IRET:
            ir_call(b, 1, T_I32, IR_NONE, IR_NONE, IR_NONE, IR_NONE);
            ir_ind(b, T_I32, S_EPC, IR_HINT_NONE);
            return;
        default: ir_goto(b, ir_link(b, imm, 0, IR_HINT_NONE)); return;
        }
    }
}

static bool mmu(struct cpu *c, uint64_t va, enum mem_access a, unsigned mode, bool probe, struct mmu_hit *hit)
{
    (void)c, (void)a, (void)mode, (void)probe;
    *hit = (struct mmu_hit){ va, MMU_R | MMU_W | MMU_X, CPU_PAGE_BITS, false, false };
    return true;
}
static void fault(struct cpu *c, enum mem_fault f, enum mem_access a, uint64_t va)
{
    (void)a;
    c->exc = (struct exception){ (uint32_t)f, 0, va };
}
static void enter(struct cpu *c)
{
    toy(c)->epc = toy(c)->pc;
    toy(c)->pc = 0x80;
    toy(c)->masked = true;
}
static bool has_work(struct cpu *c) { return toy(c)->pending && !toy(c)->masked; }
static bool interrupt(struct cpu *c)
{
    if (!has_work(c)) return false;
    c->halted = false;
    enter(c);
    return true;
}
static unsigned mmu_mode(struct cpu *c) { return (void)c, 0; }
static const struct guest toy_guest = {
    .name = "toy", .slots = slots, .n_slots = S_COUNT, .helpers = helpers, .n_helpers = 2, .pc_slot = S_PC,
    .addr_type = T_I32, .cpu_size = sizeof(struct toy), .translate = translate, .mmu = mmu, .fault = fault,
    .exception = enter, .interrupt = interrupt, .has_work = has_work, .mmu_mode = mmu_mode,
};
static void toy_reset(struct cpu *c)
{
    memset(toy(c)->r, 0, sizeof toy(c)->r);
    toy(c)->pc = toy(c)->epc = 0;
    toy(c)->masked = false;
}
static int toy_init(struct cpu *c, const struct cpu_model *m, bool be, bool user, struct error *e)
{
    (void)m, (void)be, (void)user, (void)e;
    toy_reset(c);
    return 0;
}
static void toy_irq(struct cpu *c, unsigned n, bool level) { (void)n, toy(c)->pending = level; }
static const struct cpu_model models[] = { { "toy1", "", NULL } };
static const struct state_field toy_state[] = { STATE_INT(struct toy, pending), STATE_INT(struct toy, masked), STATE_END };
static const struct isa toy_isa = {
    .name = "toy", .guest = &toy_guest, .models = models, .n_models = 1, .init = toy_init, .reset = toy_reset,
    .set_irq = toy_irq, .state = toy_state, .n_state = 2,
};

/* ---- the device: period, acknowledge, time, power, and other code ---- */
struct ticker {
    struct device dev;
    struct region *mmio, *over;       /* over: RAM in front of RAM, at first */
    struct timer timer;
    struct irq_line irq;
    uint64_t fires, last, due;
    uint32_t period;
    uint32_t pokes, poke_in, poke_at; /* writes to 0x40; the one that writes `poke` to poke_at (0: that takes `over` away) */
    uint32_t poke[2];
};
enum { OVER = 0x2000 };
static const struct state_field ticker_state[] = {
    STATE_RUNTIME(struct ticker, mmio), STATE_RUNTIME(struct ticker, over), STATE_RUNTIME(struct ticker, poke_in),
    STATE_RUNTIME(struct ticker, poke_at), STATE_RUNTIME(struct ticker, poke), STATE_INT(struct ticker, pokes), STATE_TIMER_RESET(struct ticker, timer), STATE_IRQ(struct ticker, irq, 1),
    STATE_INT(struct ticker, fires), STATE_INT(struct ticker, last),
    STATE_INT(struct ticker, due), STATE_INT_RESET(struct ticker, period, 0), STATE_END
};
static unsigned late; /* events that did not come right at, or at the first instruction after, their time */

static void tick(void *opaque)
{
    struct ticker *t = opaque;
    t->fires++;
    t->last = clock_now(t->dev.clock);
    late += t->last < t->due || t->last >= t->due + 8;
    irq_raise(&t->irq);
    t->due = t->last - t->last % t->period + (t->fires % 7 ? 1 : 10) * (uint64_t)t->period;
    timer_arm(&t->timer, t->due);
}
static uint64_t ticker_read(void *opaque, uint64_t a, unsigned size)
{
    struct ticker *t = opaque;
    (void)size;
    return a == 0x20 ? clock_now(t->dev.clock) : t->period;
}
static void ticker_write(void *opaque, uint64_t a, uint64_t v, unsigned size)
{
    struct ticker *t = opaque;
    (void)size;
    switch (a) {
    case 0x00:
        if (!timer_armed(&t->timer)) {
            t->period = 3001;
            t->due = clock_now(t->dev.clock) + 77;
            timer_arm(&t->timer, t->due);
        }
        break;
    case 0x10: irq_lower(&t->irq); break;
    case 0x30: t->dev.mb->request(t->dev.mb, v & 1 ? MB_RESET : MB_POWEROFF); break;
    case 0x40:
        if (++t->pokes != t->poke_in) break;
        if (t->poke_at) as_write_buf(t->dev.mb->mem, t->poke_at, t->poke, sizeof t->poke);
        else region_set_enabled(t->over, false);
        break;
    default: irq_raise(&t->irq); break; /* at once */
    }
}
static const struct mmio_ops ticker_ops = { ticker_read, ticker_write, 1, 8, 4, 4, false, false };
static int ticker_realize(struct device *d, struct error *e)
{
    struct ticker *t = (struct ticker *)d;
    (void)e;
    t->mmio = region_new_mmio("ticker", 0x1000, &ticker_ops, t);
    timer_init(&t->timer, d->clock, tick, t);
    region_add(d->mb->mem_root, t->mmio, 0x80000, 0);
    return 0;
}
static void ticker_unrealize(struct device *d) { region_delete(((struct ticker *)d)->mmio); }
static const struct dev_desc ticker_desc = {
    .name = "ticker", .size = sizeof(struct ticker), .state = ticker_state, .realize = ticker_realize,
    .unrealize = ticker_unrealize,
};

/* ---- the board ---- */
static void pin(void *opaque, unsigned n, bool level) { toy_irq(opaque, n, level); }
static int board_init(struct machine *m, struct error *e)
{
    struct region *ram = mb_own_region(m->mb, region_new_ram("toy.ram", m->cfg.ram_size, e));
    if (!ram) return -1;
    region_add(m->mb->mem_root, ram, 0, 0);
    struct region *over = mb_own_region(m->mb, region_new_ram("toy.over", CPU_PAGE_SIZE, e));
    if (!over) return -1;
    region_add(m->mb->mem_root, over, OVER, 1);
    dev_register(&ticker_desc);
    struct device *d = dev_make(m->mb, "ticker", NULL, e);
    struct cpu *cpu = machine_add_cpu(m, e);
    if (!d || !cpu) return -1;
    ((struct ticker *)d)->over = over;
    irq_connect(&((struct ticker *)d)->irq, pin, cpu, 0);
    for (unsigned i = 1; i < m->cfg.n_cpus; i++)
        if (!machine_add_cpu(m, e)) return -1;
    return 0;
}
static unsigned resets;
static void board_reset(struct machine *m)
{
    static const uint32_t program[] = {
        I(ST, 0, 0x8000),  I(ADDI, 0, 1),     I(ST, 0, 0x40),   I(LD, 1, 0x8002), I(ST, 1, 0x41), I(ADDI, 2, 3),
        I(HALT, 0, 15),    I(ST, 2, 0x8004),  I(ADDI, 2, 5),    I(JMP, 0, 0),
    };
    static const uint32_t handler[] = { I(ST, 0, 0x8001), I(ADDI, 3, 1), I(ST, 3, 0x42), I(IRET, 0, 0) };
    uint8_t code[64];
    for (unsigned i = 0; i < ARRAY_LEN(program); i++) st32_le(code + 4 * i, program[i]);
    as_write_rom(m->mb->mem, 0, code, sizeof program);
    for (unsigned i = 0; i < ARRAY_LEN(handler); i++) st32_le(code + 4 * i, handler[i]);
    as_write_rom(m->mb->mem, 0x80, code, sizeof handler);
    resets++;
}
static const char *const isas[] = { "toy", NULL };
static const struct board toy_board = {
    .name = "toyboard", .isas = isas, .default_ram = 1 << 20, .max_ram = 16 << 20, .max_cpus = 2, .init = board_init,
    .reset = board_reset,
};

static struct machine *make(enum engine_mode mode, unsigned n_cpus)
{
    struct machine_config c = { .board = &toy_board, .isa = &toy_isa, .icount_shift = 3, .n_cpus = n_cpus };
    struct error e = ERROR_INIT;
    c.engine.mode = mode;
    engine_from_environment(&c.engine);
    struct machine *m = machine_new(&c, &e);
    if (!m) printf("%s\n", e.msg);
    return m;
}
static struct ticker *ticker(struct machine *m) { return (struct ticker *)m->mb->first; }

static uint64_t rng_state = 99;
static unsigned below(unsigned n)
{
    rng_state ^= rng_state << 13, rng_state ^= rng_state >> 7, rng_state ^= rng_state << 17;
    return (unsigned)((rng_state >> 20) % n);
}

/* ---- tests ---- */
static void test_config(void)
{
    struct machine_config c = { .board = &toy_board, .isa = &toy_isa };
    struct error e = ERROR_INIT;
    c.ram_size = 17 << 20;
    CHECK(!machine_new(&c, &e) && !strcmp(e.msg, "machine \"toyboard\": a memory of 17 MiB is more than the 16 MiB it can have"));
    error_clear(&e);
    c.ram_size = 0, c.n_cpus = 3;
    CHECK(!machine_new(&c, &e) && !strcmp(e.msg, "machine \"toyboard\": 3 CPUs are more than the 2 it can have"));
    error_clear(&e);
    struct isa other = toy_isa;
    other.name = "other";
    c.isa = &other, c.n_cpus = 1;
    CHECK(!machine_new(&c, &e) && !strcmp(e.msg, "machine \"toyboard\" takes no CPU of instruction set \"other\""));
    struct machine *a = make(ENGINE_REF, 1), *b = make(ENGINE_REF, 1); /* two machines in one process */
    machine_step(a, 1000);
    CHECK(machine_hash(a) != machine_hash(b) && a->state == MACHINE_PRELAUNCH);
    machine_step(b, 1000);
    CHECK(machine_hash(a) == machine_hash(b));
    machine_delete(a);
    machine_delete(b);
}

/* Runs in steps of up to max_step instructions to the first instruction boundary at or after `until`. */
static void stop(void *opaque) { machine_post(opaque, MACHINE_STOP); }
static void run_until(struct machine *m, uint64_t until, unsigned max_step)
{
    struct timer end;
    m->state = MACHINE_RUNNING;
    timer_init(&end, m->clock, stop, m);
    timer_arm(&end, until);
    while (m->state == MACHINE_RUNNING) machine_step(m, max_step > 1 ? 1 + below(max_step) : 1);
}

static uint64_t run_in_steps(enum engine_mode mode, unsigned n_cpus, unsigned max_step, uint64_t until)
{
    struct machine *m = make(mode, n_cpus);
    run_until(m, until, max_step);
    CHECK(ticker(m)->fires > 10 && toy(m->cpu[0])->r[3] > 10 && m->idle_ns > 1000);
    uint64_t h = machine_hash(m);
    machine_delete(m);
    return h;
}

static void test_cuts(enum engine_mode mode)
{
    uint64_t want = run_in_steps(ENGINE_REF, 1, 1u << 30, 400000);
    CHECK(run_in_steps(mode, 1, 1u << 30, 400000) == want);
    CHECK(run_in_steps(mode, 1, 1000, 400000) == want);
    CHECK(run_in_steps(mode, 1, 7, 400000) == want);
    CHECK(run_in_steps(mode, 1, 1, 400000) == want);
    want = run_in_steps(ENGINE_REF, 2, 1u << 30, 400000);
    CHECK(run_in_steps(mode, 2, 13, 400000) == want);
}

static void stop_at(void *opaque) { machine_post(opaque, MACHINE_POWEROFF); }

static uint64_t run_sliced(enum engine_mode mode, uint64_t slice, bool sleep, uint64_t *host_ns)
{
    struct machine *m = make(mode, 1);
    struct timer end;
    m->slice = slice;
    m->cfg.icount_sleep = sleep;
    timer_init(&end, m->clock, stop_at, m);
    timer_arm(&end, 30000000); /* 30 ms of guest time, most of it waiting */
    machine_set_state(m, MACHINE_RUNNING);
    uint64_t base = m->host_base;
    CHECK(machine_run(m) == 0 && m->state == MACHINE_SHUTDOWN);
    *host_ns = m->last_poll - base;
    uint64_t h = machine_hash(m);
    machine_delete(m);
    return h;
}

static void test_run(enum engine_mode mode)
{
    uint64_t host, want = run_sliced(ENGINE_REF, 200000, false, &host);
    CHECK(run_sliced(mode, 10000, false, &host) == want);
    CHECK(run_sliced(mode, 33, false, &host) == want);
    CHECK(run_sliced(mode, 200000, true, &host) == want);
    CHECK(host >= 28000000); /* it kept pace with the host while waiting */
}

static void test_save(enum engine_mode mode)
{
    struct state_buf s = { 0 };
    struct error e = ERROR_INIT;
    unsigned wrong = 0;
    for (unsigned i = 0; i < 60; i++) {
        struct machine *a = make(mode, 1 + i % 2), *b = make(ENGINE_REF, 1 + i % 2);
        machine_step(a, below(20000));
        machine_step(b, below(20000)); /* what is there is replaced */
        s.len = s.pos = 0;
        if (machine_save(a, &s, &e) || machine_load(b, &s, &e)) wrong++;
        if (machine_hash(a) != machine_hash(b)) wrong++;
        uint64_t until = machine_time(a) + 8 * 5000;
        run_until(a, until, 1u << 30);
        run_until(b, until, 300);
        if (machine_hash(a) != machine_hash(b)) wrong++;
        machine_delete(a);
        machine_delete(b);
    }
    if (!CHECK(wrong == 0)) printf("  %u wrong; %s\n", wrong, e.msg);

    struct machine *m = make(mode, 1), *two = make(mode, 2);
    machine_step(m, 5000);
    s.len = s.pos = 0;
    machine_save(m, &s, NULL);
    CHECK(s.len < 20000); /* a megabyte of zeros is not in it */
    error_clear(&e);
    CHECK(machine_load(two, &s, &e) && !strcmp(e.msg, "the saved state's number of CPUs is 1, and this machine's 2"));
    uint8_t *good = mem_alloc(s.len);
    memcpy(good, s.data, s.len);
    uint64_t h = machine_hash(m);
    unsigned refused = 0;
    for (unsigned i = 0; i < 3000; i++) {
        struct state_buf f = { s.data, s.len, s.len, 0 };
        memcpy(s.data, good, s.len);
        if (i & 1) f.len = below((unsigned)s.len);
        for (unsigned k = below(3); k; k--) f.data[below(below(2) ? 900 : (unsigned)s.len)] = (uint8_t)below(256);
        error_clear(&e);
        if (machine_load(m, &f, &e)) refused += e.set;
    }
    CHECK(refused > 1500);
    memcpy(s.data, good, s.len);
    s.pos = 0;
    CHECK(!machine_load(m, &s, &e) && machine_hash(m) == h);
    mem_free(good);
    state_buf_free(&s);
    machine_delete(m);
    machine_delete(two);
}

/* A device that puts other code, or memory, in the place of the very instruction that makes it do so, and of the next: the
 * store is complete, and once; what follows is what is there then. */
static void other_code(const struct engine_config *engine, bool map, uint64_t step)
{
    enum { TIMES = 60, AT = 40, LOOP = 5, CODE = OVER + 0x100 };
    static const uint32_t before[LOOP] = { I(ADDI, 1, 1), I(ST, 0, 0x8004), I(ADDI, 2, 1), I(ADDI, 2, 1), I(JMP, 0, CODE) };
    static const uint32_t after[2] = { I(ADDI, 3, 100), I(ADDI, 2, 50) };
    struct machine_config c = { .board = &toy_board, .isa = &toy_isa, .engine = *engine };
    struct error e = ERROR_INIT;
    struct machine *m = machine_new(&c, &e);
    if (!CHECK(m)) return;
    struct toy *t = toy(m->cpu[0]);
    struct ticker *d = ticker(m);
    uint8_t code[4 * LOOP];

    for (unsigned i = 0; i < LOOP; i++) st32_le(code + 4 * i, before[i]);
    as_write_rom(m->mb->mem, CODE, code, sizeof code);
    st32_le(code + 4, after[0]), st32_le(code + 8, after[1]);
    d->poke_in = AT;
    if (map) {
        region_set_enabled(d->over, false);
        as_write_rom(m->mb->mem, CODE, code, sizeof code);
        region_set_enabled(d->over, true);
    } else {
        d->poke_at = CODE + 4;
        memcpy(d->poke, code + 4, sizeof d->poke);
    }
    t->pc = CODE;
    for (uint64_t left = TIMES * LOOP, n; left; left -= n) machine_step(m, n = MIN(left, step));
    if (!CHECK(d->pokes == AT && t->pc == CODE && t->r[1] == TIMES && t->r[2] == 2 * (AT - 1) + 51 * (TIMES - AT + 1) && t->r[3] == 100 * (TIMES - AT)))
        printf("%s%s, steps of %u: %u stores, registers %u %u %u, pc %x\n", map ? "mapping" : "DMA", c.engine.backend ? c.engine.backend->name : "",
               (unsigned)step, d->pokes, t->r[1], t->r[2], t->r[3], t->pc);
    machine_delete(m);
}

static void test_other_code(void)
{
    struct engine_config c[4] = { { .mode = ENGINE_REF }, { .mode = ENGINE_FAST }, { .mode = ENGINE_FAST, .sync = true, .threshold = 2, .threshold2 = 3 } };
    unsigned n = 3;
    c[2].backend = &jit_null_backend;
#ifdef HAVE_JIT_NATIVE
    c[n] = c[2], c[n++].backend = &jit_native_backend;
#endif
    engine_from_environment(&c[1]);
    for (unsigned i = 0; i < n; i++) {
        for (unsigned how = 0; how < 6; how++) other_code(&c[i], how & 1, how < 2 ? 1000 : how < 4 ? 7 : 1);
    }
}

static void test_events(void)
{
    struct machine *m = make(ENGINE_REF, 1);
    machine_step(m, 3000);
    unsigned before = resets;
    as_write(m->mb->mem, 0x80030, 4, 1);
    machine_step(m, 1);
    CHECK(resets == before + 1 && toy(m->cpu[0])->r[0] == 0);
    machine_step(m, 3000);
    CHECK(toy(m->cpu[0])->r[0] > 10);
    m->no_reboot = m->no_shutdown = true;
    as_write(m->mb->mem, 0x80030, 4, 1);
    machine_step(m, 100);
    CHECK(resets == before + 1 && m->state == MACHINE_SHUTDOWN && !m->events);
    uint64_t t = machine_time(m);
    machine_set_state(m, MACHINE_RUNNING);
    m->no_shutdown = false;
    as_write(m->mb->mem, 0x80030, 4, 0);
    CHECK(machine_run(m) == 0 && machine_time(m) == t);
    machine_delete(m);
}

int main(void)
{
    test_config();
    for (int mode = ENGINE_REF; mode <= ENGINE_FAST; mode++) {
        test_cuts((enum engine_mode)mode);
        test_run((enum engine_mode)mode);
        test_save((enum engine_mode)mode);
    }
    test_other_code();
    test_events();
    CHECK(late == 0);
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
