/*
 * machine.c - building a machine: checks of the configuration, the CPUs' view of the bus, reset.
 *
 * Not here: running (run.c), saving and hashing (save.c).
 */
#include "machines/run.h"
#include "machines/threads.h"

#include "periph/pci/pci.h"
#include "util/log.h"

/* ---- what CPUs see of the bus: cpu->bus is the machine ---- */
static void phys_page(void *bus, uint64_t pa, struct phys_page *page)
{
    struct machine *m = bus;
    uint64_t n = CPU_PAGE_SIZE;
    bool readonly = false;
    machine_map_lock(m, false);
    uint8_t *host = as_host(m->mb->mem, pa, &n, &readonly);
    machine_map_unlock(m);

    page->host = n == CPU_PAGE_SIZE ? host : NULL; /* a page of several things goes byte by byte */
    page->readonly = readonly;
}

/* A device may have raised an interrupt: the access ended its block, so it is seen at once and at the same
 * instruction however execution is cut into slices. */
static void after_access(struct cpu *cpu)
{
    if (cpu && cpu->guest->has_work && cpu->guest->has_work(cpu)) cpu_kick(cpu);
}

static bool mmio_read(void *bus, struct cpu *cpu, uint64_t pa, unsigned size, uint64_t *value)
{
    struct machine *m = bus;
    machine_lock(m, cpu);
    bool ok = as_read(m->mb->mem, pa, size, value);
    after_access(cpu);
    machine_unlock(m);
    return ok;
}

static bool mmio_write(void *bus, struct cpu *cpu, uint64_t pa, unsigned size, uint64_t value)
{
    struct machine *m = bus;
    machine_lock(m, cpu);
    bool ok = as_write(m->mb->mem, pa, size, value);
    after_access(cpu);
    machine_unlock(m);
    return ok;
}

static void map_changed(void *opaque)
{
    struct machine *m = opaque;
    for (unsigned i = 0; i < m->n_cpus; i++) cpu_tlb_flush_soon(m->cpu[i]);
    if (m->n_cpus) engine_map_changed(m->engine, m->running ? m->running : m->cpu[0]);
    /* The access that did it ended its block, but the way to the next one, in the same page, may be known. */
    if (m->running) cpu_kick(m->running);
}

static void map_guard(void *opaque, bool begin)
{
    if (begin) machine_map_lock(opaque, true);
    else machine_map_unlock(opaque);
}

static void ram_written(void *opaque, const uint8_t *host, uint64_t n)
{
    struct machine *m = opaque;
    engine_code_written(m->engine, host, (size_t)n);
}

/* ---- requests from devices ---- */
static void request(struct machine_bus *mb, int what)
{
    struct machine *m = mb->machine;
    switch (what) {
    case MB_RESET: machine_post(m, MACHINE_RESET); break;
    case MB_POWEROFF: machine_post(m, MACHINE_POWEROFF); break;
    case MB_EXIT: machine_post(m, MACHINE_QUIT); break;
    default: break; /* suspend: no board wakes up yet, so it is no more than waiting */
    }
    machine_threads_wake(m);
}

/* ---- time ---- */
static uint64_t now(void *opaque)
{
    return machine_now(opaque);
}

static void resched(void *opaque)
{
    struct machine *m = opaque;
    if (m->threads) machine_threads_wake(m);
    else if (m->running && clock_next(m->clock) < m->budget_end) cpu_kick(m->running);
}

uint64_t machine_time(struct machine *m)
{
    return clock_now(m->clock);
}

/* ---- life ---- */
static const struct cpu_model *find_model(const struct isa *isa, const char *name)
{
    for (unsigned i = 0; name && i < isa->n_models; i++)
        if (!strcmp(isa->models[i].name, name)) return &isa->models[i];
    return NULL;
}

static int check(struct machine_config *c, struct error *e)
{
    const struct board *b = c->board;
    const char *const *n;

    if (!b) return error_set(e, "no machine is chosen");
    if (!c->isa) return error_set(e, "machine \"%s\": no instruction set is chosen", b->name);
    for (n = b->isas; n && *n; n++)
        if (!strcmp(*n, c->isa->name)) break;
    if (!n || !*n)
        return error_set(e, "machine \"%s\" takes no CPU of instruction set \"%s\"", b->name, c->isa->name);
    if (!c->cpu) {
        bool wide = c->isa->guest->addr_type == T_I64;
        c->cpu = find_model(c->isa, wide ? b->default_cpu64 : b->default_cpu32);
        if (!c->cpu) c->cpu = find_model(c->isa, wide ? b->default_cpu32 : b->default_cpu64);
        if (!c->cpu && c->isa->n_models) c->cpu = &c->isa->models[0];
        if (!c->cpu)
            return error_set(e, "instruction set \"%s\" has no CPU model", c->isa->name);
    }
    if (!c->ram_size) c->ram_size = b->default_ram;
    if (b->max_ram && c->ram_size > b->max_ram)
        return error_set(e, "machine \"%s\": a memory of %llu MiB is more than the %llu MiB it can have", b->name,
                         (unsigned long long)((c->ram_size + 0xfffff) >> 20),
                         (unsigned long long)(b->max_ram >> 20));
    c->ram_size = ALIGN_UP(c->ram_size, (uint64_t)CPU_PAGE_SIZE);
    if (!c->n_cpus) c->n_cpus = 1;
    unsigned max = b->max_cpus ? b->max_cpus : 1;
    if (c->n_cpus > MIN(max, MACHINE_MAX_CPUS))
        return error_set(e, "machine \"%s\": %u CPUs are more than the %u it can have", b->name, c->n_cpus,
                         MIN(max, MACHINE_MAX_CPUS));
    if (c->icount_shift > 10)
        return error_set(e, "icount shift %u is out of range: 0 to 10", c->icount_shift);
    if (c->engine.threads && HOST_ATOMIC_MAX < 8) return error_set(e, "thread=multi: this host has no atomic operations of 8 bytes");
    return 0;
}

struct machine *machine_new(const struct machine_config *cfg, struct error *e)
{
    struct machine_config c = *cfg;
    if (check(&c, e)) return NULL;

    struct machine *m = NEW(struct machine);
    m->cfg = c;
    m->state = MACHINE_PRELAUNCH;
    m->slice = 200000;
    m->engine = engine_new(&c.engine, e);
    if (!m->engine) {
        mem_free(m);
        return NULL;
    }
    m->mb = mb_new(64);
    m->mb->machine = m;
    m->mb->request = request;
    m->mb->big_endian = c.big_endian;
    memcpy(m->mb->seed, c.seed, sizeof c.seed);
    m->clock = m->mb->clock;
    for (unsigned i = 0; i < c.n_globals; i++)
        mb_add_global(m->mb, c.globals[i].driver, c.globals[i].prop, c.globals[i].value);
    clock_connect(m->clock, now, resched, m);
    as_on_change(m->mb->mem, map_changed, m);
    as_set_guard(m->mb->mem, map_guard, m);
    as_on_ram_write(m->mb->mem, ram_written, m);
    m->world.phys_page = phys_page;
    m->world.mmio_read = mmio_read;
    m->world.mmio_write = mmio_write;

    /* Devices and memory appear one by one: one flattening does for all. */
    bus_transaction_begin();
    int rc = c.board->init(m, e);
    bus_transaction_commit();
    if (!rc && !m->n_cpus) rc = error_set(e, "machine \"%s\" has no CPU", c.board->name);
    if (rc) {
        error_set(e, "machine \"%s\" cannot be built", c.board->name); /* when it gave no reason */
        machine_delete(m);
        return NULL;
    }
    machine_reset(m);
    return m;
}

void machine_delete(struct machine *m)
{
    if (!m) return;
    /* Devices may still drive CPU pins and unmap regions while they go. */
    while (m->mb->last) dev_destroy(m->mb->last);
    unsigned n = m->n_cpus;
    for (unsigned i = 0; i < n; i++) state_cancel_timers(m->cpu[i], m->cfg.isa->state);
    clock_connect(m->clock, NULL, NULL, NULL);
    m->n_cpus = 0; /* unmapping the rest flushes nobody */
    for (unsigned i = 0; i < n; i++) cpu_delete(m->cpu[i]);
    mb_delete(m->mb);
    engine_delete(m->engine);
    mem_free(m);
}

struct cpu *machine_add_cpu(struct machine *m, struct error *e)
{
    const struct isa *isa = m->cfg.isa;
    if (m->n_cpus == MACHINE_MAX_CPUS) {
        error_set(e, "a machine has at most %u CPUs", MACHINE_MAX_CPUS);
        return NULL;
    }
    struct cpu *cpu = cpu_new(isa->guest, &m->world, m->engine, m, (int)m->n_cpus);
    if (!cpu) {
        error_set(e, "CPU \"%s\" cannot be made", m->cfg.cpu->name);
        return NULL;
    }
    if (isa->init(cpu, m->cfg.cpu, m->cfg.big_endian, false, e)) {
        error_set(e, "CPU \"%s\" cannot be made", m->cfg.cpu->name);
        cpu_delete(cpu);
        return NULL;
    }
    m->cpu[m->n_cpus++] = cpu;
    if (isa->connect_clock) isa->connect_clock(cpu, m->clock);
    return cpu;
}

void machine_reset(struct machine *m)
{
    bus_transaction_begin();
    for (unsigned i = 0; i < m->n_cpus; i++) {
        m->cpu[i]->halted = false;
        if (log_on(LOG_CPU_RESET)) {
            log_printf("CPU Reset (CPU %u)\n", i);
            cpu_log_state(m->cpu[i]);
        }
        m->cfg.isa->reset(m->cpu[i]);
    }
    mb_reset(m->mb); /* after the CPUs: pins take the level that devices give them */
    bus_transaction_commit();
    if (m->cfg.board->reset) m->cfg.board->reset(m);
    for (unsigned i = 0; i < m->n_cpus; i++) cpu_tlb_flush(m->cpu[i]);
}

bool machine_dump_pci(struct machine *m, void (*put)(void *, const char *line), void *opaque)
{
    if (!m->mb->pci) return false;
    pci_bus_dump(m->mb->pci, put, opaque);
    return true;
}
