/*
 * mem.c - guest memory: filling the software TLB, its slow paths (system mode), direct access (user mode), code pages.
 */
#include "interp/block.h"

#include <stdlib.h>

/* ---- TLB: filling (what it is made of: tlb.c) ------------------------------------------------------ */

static bool watched_page(const struct engine *eng, uint64_t va)
{
    for (unsigned i = 0; i < eng->n_watches; i++) {
        const struct watchpoint *w = &eng->watches[i];
        if ((va & CPU_PAGE_MASK) <= w->va + w->len - 1 && (va | ~CPU_PAGE_MASK) >= w->va) return true;
    }
    return false;
}

/* What one access reaches: host memory, or a physical address on the bus. */
struct reach { uint8_t *host; uint64_t phys; bool readonly; };

/* Translates va and refills the TLB; raises the guest's exception when there is no mapping. */
static struct reach tlb_fill(struct cpu *cpu, uint64_t va, enum mem_access acc, unsigned mmu)
{
    struct mmu_hit hit;
    struct reach r;

    if (!cpu->guest->mmu(cpu, va, acc, mmu, false, &hit)) cpu_raise(cpu);
    struct phys_page pp = cpu_phys_page(cpu, hit.phys & CPU_PAGE_MASK);
    r.phys = hit.phys;
    r.host = pp.host ? pp.host + (hit.phys & ~CPU_PAGE_MASK) : NULL;
    r.readonly = pp.readonly;
    if (hit.page_bits >= CPU_PAGE_BITS) {
        struct tlb_entry *e = tlb_use(cpu_tlb_of(cpu, mmu), va);
        uint64_t tag = va & CPU_PAGE_MASK;
        bool slow = cpu->engine->n_watches && watched_page(cpu->engine, va);
        if (!pp.host) tag |= TLB_IO, slow = true;
        /* Who makes the page one of code looks at written_pages, or we see that it is one. */
        bool shared = cpu->parallel && hit.prot & MMU_W && !slow && !pp.readonly;
        if (shared) pthread_mutex_lock(&cpu->engine->lock);
        e->rd = hit.prot & MMU_R ? tag | (slow ? TLB_SLOW : 0) : UINT64_MAX;
        e->wr = hit.prot & MMU_W ? tag : UINT64_MAX;
        if (hit.prot & MMU_W) {
            /* A tag for writing that is not slow promises that reading is all right, too. */
            if (slow || !(hit.prot & MMU_R) || pp.readonly || !mem_code_open(cpu->engine, pp.host)) e->wr |= TLB_SLOW;
            if (pp.readonly) e->wr |= TLB_ROM;
            if (!(e->wr & TLB_SLOW)) cpu->written_pages[page_hash(pp.host)] = 1;
        }
        if (shared) pthread_mutex_unlock(&cpu->engine->lock);
        e->addend = (uintptr_t)pp.host - (uintptr_t)(va & CPU_PAGE_MASK);
        e->phys = (hit.phys & CPU_PAGE_MASK) | (hit.global ? TLB_GLOBAL : 0);
    }
    return r;
}

ATTR_NORETURN void mem_fault(struct cpu *cpu, enum mem_fault f, enum mem_access acc, uint64_t va)
{
    cpu->guest->fault(cpu, f, acc, va);
    cpu_raise(cpu);
}

/* ---- values in host memory ---------------------------------------------------------------------- */

static uint64_t host_ld(const uint8_t *p, unsigned mem)
{
    switch (mem & (IR_MSIZE | IR_MBE)) {
    case IR_M8: case IR_M8 | IR_MBE: return *p;
    case IR_M16: return ld16_le(p);
    case IR_M32: return ld32_le(p);
    case IR_M64: return ld64_le(p);
    case IR_M16 | IR_MBE: return ld16_be(p);
    case IR_M32 | IR_MBE: return ld32_be(p);
    default: return ld64_be(p);
    }
}

static void host_st(uint8_t *p, uint64_t v, unsigned mem)
{
    switch (mem & (IR_MSIZE | IR_MBE)) {
    case IR_M8: case IR_M8 | IR_MBE: *p = (uint8_t)v; break;
    case IR_M16: st16_le(p, (uint16_t)v); break;
    case IR_M32: st32_le(p, (uint32_t)v); break;
    case IR_M64: st64_le(p, v); break;
    case IR_M16 | IR_MBE: st16_be(p, (uint16_t)v); break;
    case IR_M32 | IR_MBE: st32_be(p, (uint32_t)v); break;
    default: st64_be(p, v); break;
    }
}

static uint64_t extend(uint64_t v, unsigned mem)
{
    unsigned bits = 8u << (mem & IR_MSIZE);
    if (bits == 64) return v;
    uint64_t m = UINT64_C(1) << (bits - 1);
    v &= (m << 1) - 1;
    return mem & IR_MS ? (v ^ m) - m : v;
}

static uint64_t bus_order(uint64_t v, unsigned mem)
{
    if (!(mem & IR_MBE)) return v;
    switch (mem & IR_MSIZE) {
    case IR_M8: return v;
    case IR_M16: return host_bswap16((uint16_t)v);
    case IR_M32: return host_bswap32((uint32_t)v);
    default: return host_bswap64(v);
    }
}

/* ---- device accesses ------------------------------------------------------------------------ */

/* Most device accesses change nothing that the CPU would have to see at once. They are made where they stand; only if one
 * leaves a kick behind (an interrupt, a nearer deadline) the block must end with this unit: it is run once more, alone, and
 * gets the results of its accesses from the log.
 *
 * May the running unit be run again: do others follow it in its block (*inner), or is it in compiled code, which a store to that
 * code's page leaves in the same way? Then *unit is the instruction count at its start. */
static bool io_unit(struct cpu *cpu, uint64_t *unit, bool *inner)
{
    struct blk *b;
    struct mark *m = cpu_running(cpu, &b);
    *unit = UINT64_MAX;
    if (!m) return false;
    struct mark *last = &b->marks[b->n_marks - 1];
    m -= m->unit_back;
    *unit = cpu->icount + (uint64_t)(cpu->icount_budget - cpu->icount_reserve - cpu->icount_left - (b->n_insns - m->n));
    *inner = m != last - last->unit_back;
    return *inner || cpu->xpoint;
}

/* Works out io.unit of what has been noted. If blocks have changed meanwhile it is none, or that of an earlier unit. */
static void io_settle(struct cpu *cpu)
{
    struct io_log *io = &cpu->io;
    bool inner;
    if (!io->late) return;
    io->late = false;
    if (io->left != cpu->icount_left + cpu->icount_reserve) {
        io->n = 0;
        return;
    }
    uint32_t xpoint = cpu->xpoint;
    const void *xpc = cpu->xpc;
    struct blk *xblk = cpu->xblk;
    cpu->xpoint = io->xpoint, cpu->xpc = io->xpc, cpu->xblk = io->xblk;
    if (!io_unit(cpu, &io->unit, &inner) && io->unit == UINT64_MAX) io->n = 0;
    cpu->xpoint = xpoint, cpu->xpc = xpc, cpu->xblk = xblk;
}

/* Is this what is fetched at va now? */
static bool code_is(struct cpu *cpu, uint64_t va, const uint8_t *code, unsigned n)
{
    while (n) {
        unsigned off = (unsigned)(va & ~CPU_PAGE_MASK), k = MIN(n, CPU_PAGE_SIZE - off);
        const uint8_t *host = cpu_code_page(cpu, va, true);
        if (!host || memcmp(host + off, code, k)) return false;
        va += k, code += k, n -= k;
    }
    return true;
}

/* If what the running unit has done to devices has put other code in its place (by DMA, by another mapping), it is run again from
 * what it was: an instruction is complete before the next one is fetched. */
static void unit_keep(struct cpu *cpu)
{
    struct blk *b;
    const struct mark *m = cpu_running(cpu, &b), *end = b->marks + b->n_marks;
    m -= m->unit_back;
    unsigned from = m->pc_off;
    do m++;
    while (m < end && m->unit_back);
    unsigned to = MIN(m < end ? m->pc_off : b->size, b->n_code);
    if (to <= from || to - from > IO_CODE || code_is(cpu, b->pc + from, b->code + from, to - from)) return;
    memcpy(cpu->io.code, b->code + from, to - from);
    cpu->io.n_code = (uint8_t)(to - from);
}

/* In interpreted code: have the accesses so far put other code in the place of the block's? Compiled code's are kicked. */
static bool code_changed(struct cpu *cpu)
{
    const struct blk *b = cpu->xblk;
    if (cpu->xpoint || !b) return false;
    return !b->valid || (b->one_shot && b->code && !code_is(cpu, b->pc, b->code, b->n_code));
}

/* Runs the unit again, alone; what it has done to devices so far is not done again. */
ATTR_NORETURN static void unit_again(struct cpu *cpu)
{
    struct io_log *io = &cpu->io;
    uint64_t unit;
    bool inner;
    io_settle(cpu);
    if (io->n && io_unit(cpu, &unit, &inner) && unit == io->unit) {
        io->replay = true, io->at = 0;
        unit_keep(cpu);
    }
    longjmp(*cpu->unwind, UNWIND_IO);
}

/* Time and interrupts are exact only if nothing follows in the block after something that may change them. So if
 * more than this unit is to come in the block, undo to the start of the unit and run that unit alone. */
static void io_point(struct cpu *cpu)
{
    uint64_t unit;
    bool inner;
    if (io_unit(cpu, &unit, &inner) && inner) unit_again(cpu);
}

/* Before an access: is it one to be repeated? Then its value; a write is done already. */
static bool io_repeat(struct cpu *cpu, uint64_t phys, unsigned size, bool write, uint64_t *value)
{
    struct io_log *io = &cpu->io;
    uint64_t unit;
    bool inner;
    if (likely(!io->replay)) {
        if (unlikely(io->n == IO_LOG)) io_settle(cpu);
        if (io->n == IO_LOG && io_unit(cpu, &unit, &inner) && unit == io->unit) unit_again(cpu);
        return false;
    }
    const struct io_access *a = &io->e[io->at];
    if (io->at == io->n || a->phys != phys || a->size != size || a->write != write) {
        io->replay = false; /* can't happen: the unit is the same, and so is what it reads */
        return false;
    }
    if (!write) *value = a->value;
    if (++io->at == io->n) io->replay = false;
    return true;
}

static void io_done(struct cpu *cpu, uint64_t phys, unsigned size, bool write, uint64_t value)
{
    struct io_log *io = &cpu->io;
    uint64_t unit;
    bool inner;
    int64_t left = cpu->icount_left + cpu->icount_reserve;
    if (unlikely(code_changed(cpu))) cpu_kick(cpu);
    if (io->left != left && likely(!atomic_load_u32(&cpu->kick))) {
        io->left = left, io->xpoint = cpu->xpoint, io->xpc = cpu->xpc, io->xblk = cpu->xblk;
        io->late = true, io->n = 1;
        io->e[0] = (struct io_access){ phys, value, (uint8_t)size, write };
        return;
    }
    io_settle(cpu);
    bool again = io_unit(cpu, &unit, &inner);
    if (io->unit != unit) io->unit = unit, io->n = 0;
    if (!again) { /* never to be repeated, but known to have been (unit_has_io) */
        io->n = unit != UINT64_MAX;
        return;
    }
    io->e[io->n++] = (struct io_access){ phys, value, (uint8_t)size, write };
    if (inner && unlikely(atomic_load_u32(&cpu->kick))) unit_again(cpu);
}

/* A store to the page of running code must be the last thing its block does, and compiled code, which goes on to other
 * blocks of its region by itself, must be left. */
static void code_point(struct cpu *cpu, const uint8_t *page)
{
    if (!cpu_runs_page(cpu, page)) return;
    if (cpu->xpoint) unit_again(cpu);
    io_point(cpu);
}

void engine_code_page_own(struct cpu *cpu, const void *host)
{
    code_point(cpu, (const uint8_t *)((uintptr_t)host & ~(uintptr_t)(CPU_PAGE_SIZE - 1)));
}

/* Has the running unit made device accesses? */
static bool unit_has_io(struct cpu *cpu)
{
    uint64_t unit;
    bool inner;
    if (cpu->world->user) return false;
    io_settle(cpu);
    if (!cpu->io.n) return false;
    (void)io_unit(cpu, &unit, &inner);
    return unit == cpu->io.unit;
}

static void watch_check(struct cpu *cpu, uint64_t va, unsigned size, bool write)
{
    struct engine *eng = cpu->engine;
    for (unsigned i = 0; i < eng->n_watches; i++) {
        struct watchpoint *w = &eng->watches[i];
        if (!(w->kind & (write ? WATCH_WRITE : WATCH_READ))) continue;
        if (va + size <= w->va || va >= w->va + w->len) continue;
        if (cpu->step_over_break || atomic_load_int(&eng->hit_late) == HIT_LATE) continue; /* told already; the unit may run again by then */
        struct debug_hit hit = { true, w->kind, va, cpu->index };
        if (cpu->guest->watch_after && cpu_in_code(cpu)) {
            uint64_t unit;
            bool inner;
            if (io_unit(cpu, &unit, &inner)) unit_again(cpu); /* alone: its block's end is its own */
            engine_set_hit(eng, hit);
            atomic_store_int(&eng->hit_late, HIT_LATE);
            continue;
        }
        engine_set_hit(eng, hit);
        if (cpu_in_code(cpu) && !unit_has_io(cpu)) longjmp(*cpu->unwind, UNWIND_WATCH);
        atomic_store_int(&eng->hit_late, HIT_LATE); /* entering an exception cannot be begun again, nor what a device has seen: stop behind it */
        if (cpu_in_code(cpu)) cpu_kick(cpu);
    }
}

/* Before a store: if it may change code, ours must be left first. Does it? */
static bool st_point(struct cpu *cpu, const uint8_t *host, unsigned size)
{
    unsigned at = (unsigned)((uintptr_t)host & (CPU_PAGE_SIZE - 1));
    if (!cpu->parallel && at + size <= CPU_PAGE_SIZE) { /* most such stores are to data beside code */
        const struct code_page *p = code_page_find(cpu->engine, host - at);
        if (!p || !(p->granules & code_granules(at, size))) return false;
    }
    code_point(cpu, host - at);
    return true;
}

static void st_code(struct cpu *cpu, uint8_t *host, uint64_t v, unsigned mem)
{
    unsigned size = 1u << (mem & IR_MSIZE);
    bool code = st_point(cpu, host, size);
    host_st(host, v, mem);
    if (code) engine_code_written(cpu->engine, host, size);
}

static struct reach reach(struct cpu *cpu, uint64_t va, enum mem_access acc, unsigned mmu)
{
    struct tlb_entry *e = tlb_at(cpu_tlb_of(cpu, mmu), va);
    uint64_t tag = acc == ACCESS_WRITE ? e->wr : e->rd;

    if (tag == ((va & CPU_PAGE_MASK) | TLB_SLOW | TLB_IO)) return (struct reach){ NULL, (e->phys & CPU_PAGE_MASK) | (va & ~CPU_PAGE_MASK), false };
    if ((tag & ~(uint64_t)TLB_SLOW) == (va & CPU_PAGE_MASK) && tag != UINT64_MAX) {
        /* Slow because of code that is gone: among several vCPUs such stores are dear. */
        if (cpu->parallel && acc == ACCESS_WRITE && mem_code_open(cpu->engine, (uint8_t *)(uintptr_t)((uintptr_t)(va & CPU_PAGE_MASK) + e->addend)))
            return tlb_fill(cpu, va, acc, mmu);
        return (struct reach){ (uint8_t *)(uintptr_t)((uintptr_t)va + e->addend), (e->phys & CPU_PAGE_MASK) | (va & ~CPU_PAGE_MASK), false };
    }
    return tlb_fill(cpu, va, acc, mmu);
}

static uint64_t sys_ld(struct cpu *cpu, uint64_t va, unsigned mem, unsigned mmu)
{
    unsigned size = 1u << (mem & IR_MSIZE);

    if (va & (size - 1)) {
        if (mem & IR_MALIGN) mem_fault(cpu, FAULT_ALIGN, ACCESS_READ, va);
        if ((va & ~CPU_PAGE_MASK) + size > CPU_PAGE_SIZE) { /* byte by byte over the page's edge */
            uint64_t v = 0;
            for (unsigned i = 0; i < size; i++) {
                uint64_t byte = sys_ld(cpu, va + i, IR_M8, mmu);
                v |= byte << 8 * (mem & IR_MBE ? size - 1 - i : i);
            }
            return v;
        }
    }
    if (cpu->engine->n_watches) watch_check(cpu, va, size, false);
    struct reach r = reach(cpu, va, ACCESS_READ, mmu);
    if (r.host) return host_ld(r.host, mem);
    uint64_t v = 0;
    if (!io_repeat(cpu, r.phys, size, false, &v)) {
        if (!cpu->world->mmio_read(cpu->bus, cpu, r.phys, size, &v)) {
            if (!cpu->guest->open_bus) mem_fault(cpu, FAULT_BUS, ACCESS_READ, va);
            v = size == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * size) - 1;
        }
        io_done(cpu, r.phys, size, false, v);
    }
    return bus_order(v, mem);
}

static void sys_st(struct cpu *cpu, uint64_t va, uint64_t v, unsigned mem, unsigned mmu)
{
    unsigned size = 1u << (mem & IR_MSIZE);

    if (va & (size - 1)) {
        if (mem & IR_MALIGN) mem_fault(cpu, FAULT_ALIGN, ACCESS_WRITE, va);
        if ((va & ~CPU_PAGE_MASK) + size > CPU_PAGE_SIZE) {
            tlb_fill(cpu, (va + size - 1) & CPU_PAGE_MASK, ACCESS_WRITE, mmu); /* both pages must do before anything is written */
            for (unsigned i = 0; i < size; i++) {
                sys_st(cpu, va + i, v >> 8 * (mem & IR_MBE ? size - 1 - i : i), IR_M8, mmu);
            }
            return;
        }
    }
    if (cpu->engine->n_watches) watch_check(cpu, va, size, true);
    struct reach r = reach(cpu, va, ACCESS_WRITE, mmu);
    if (r.host && !r.readonly) {
        st_code(cpu, r.host, v, mem);
        return;
    }
    if (io_repeat(cpu, r.phys, size, true, NULL)) return;
    v &= size == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * size) - 1;
    if (!cpu->world->mmio_write(cpu->bus, cpu, r.phys, size, bus_order(v, mem)) && !cpu->guest->open_bus)
        mem_fault(cpu, FAULT_BUS, ACCESS_WRITE, va);
    io_done(cpu, r.phys, size, true, v);
}

/* ---- both worlds -------------------------------------------------------------------------------- */

/* User mode: the host's protection speaks when the page is touched. A write puts back what is there, at once. */
static void touch(uint8_t *p, enum mem_access acc)
{
#if HOST_GNU
    if (acc == ACCESS_WRITE) __atomic_fetch_or(p, 0, __ATOMIC_RELAXED);
#else
    if (acc == ACCESS_WRITE) *(volatile uint8_t *)p |= 0;
#endif
    else (void)*(volatile uint8_t *)p;
}

/* User mode: an access that reaches the limit faults there, unless its first byte faults: what the host reports where it
 * is asked (all accesses of a 32-bit guest on a 64-bit host). */
static void user_limit(struct cpu *cpu, uint64_t va, unsigned n, enum mem_access acc)
{
    if (va < cpu->ulimit && cpu->ulimit - va >= n) return;
    if (va < cpu->ulimit) {
        touch(cpu->ubase + va, acc);
        va = cpu->ulimit;
    }
    mem_fault(cpu, FAULT_USER, ACCESS_READ, va); /* no page, and so no write to a page: as the host's fault is told */
}

static uint8_t *user_host(struct cpu *cpu, uint64_t va, unsigned mem, enum mem_access acc)
{
    unsigned size = 1u << (mem & IR_MSIZE);
    if ((mem & IR_MALIGN) && (va & (size - 1))) mem_fault(cpu, FAULT_ALIGN, acc, va);
    user_limit(cpu, va, size, acc);
    if (cpu->engine->n_watches) watch_check(cpu, va, size, acc == ACCESS_WRITE);
    return cpu->ubase + va;
}

uint64_t mem_slow_ld(struct cpu *cpu, uint64_t va, unsigned mem, unsigned mmu)
{
    uint64_t v = cpu->world->user ? host_ld(user_host(cpu, va, mem, ACCESS_READ), mem) : sys_ld(cpu, va, mem, mmu);
    return extend(v, mem);
}

void mem_slow_st(struct cpu *cpu, uint64_t va, uint64_t v, unsigned mem, unsigned mmu)
{
    if (cpu->world->user) host_st(user_host(cpu, va, mem, ACCESS_WRITE), v, mem);
    else sys_st(cpu, va, v, mem, mmu);
}

void mem_fence(struct cpu *cpu, unsigned mask)
{
    if (!cpu->parallel) return;
#if HOST_GNU
#if defined(__x86_64__) || defined(__i386__)
    if (!(mask & IR_FENCE_WR)) { /* the only order that the host does not keep by itself */
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        return;
    }
#endif
#endif
    if (mask) atomic_fence();
}

/* A pair's checks before anything is accessed: alignment, and on writes both pages' faults. */
static void pair_check(struct cpu *cpu, uint64_t va, unsigned mem, enum mem_access acc, unsigned mmu)
{
    if ((mem & IR_MALIGN) && (va & (mem & IR_MPAIR ? 15 : 7))) mem_fault(cpu, FAULT_ALIGN, acc, va);
    if (acc == ACCESS_WRITE && (cpu->world->user || (va & ~CPU_PAGE_MASK) + 16 > CPU_PAGE_SIZE)) cpu_probe(cpu, va, 16, acc, mmu);
}

/* One access of 16 bytes is atomic where the address is a multiple of 16 and the host can. */
#if HOST_GNU && defined(__x86_64__)
static bool host_cas128(void *p, uint64_t e[2], const uint64_t n[2]) /* e, n: low, high half; e gets what was there */
{
    bool done;
    __asm__ volatile("lock cmpxchg16b %1" : "=@ccz"(done), "+m"(*(uint64_t(*)[2])p), "+a"(e[0]), "+d"(e[1]) : "b"(n[0]), "c"(n[1]) : "memory");
    return done;
}
#define HOST_CAS128 1
#else
#define HOST_CAS128 0
#endif

/* For sizes and addresses without a host primitive, under threads. Whoever unwinds with it gives it back in the run loop. */
static void odd_lock(struct cpu *cpu)
{
    pthread_mutex_lock(&cpu->engine->odd_sizes);
    cpu->odd_locked = true;
}

void mem_odd_unlock(struct cpu *cpu)
{
    cpu->odd_locked = false;
    pthread_mutex_unlock(&cpu->engine->odd_sizes);
}

void mem_slow_ld2(struct cpu *cpu, uint64_t va, uint64_t v[2], unsigned mem, unsigned mmu)
{
    unsigned half = mem & ~(unsigned)(IR_MALIGN | IR_MPAIR);
    bool whole = (mem & IR_MPAIR) && cpu->parallel;
    pair_check(cpu, va, mem, ACCESS_READ, mmu);
    if (whole) { /* two equal readings of both halves in a row: nothing came in between that can be told from it */
        uint64_t w[2];
        v[0] = mem_slow_ld(cpu, va, half, mmu), v[1] = mem_slow_ld(cpu, va + 8, half, mmu);
        for (;;) {
            mem_fence(cpu, IR_FENCE_ALL);
            w[0] = mem_slow_ld(cpu, va, half, mmu), w[1] = mem_slow_ld(cpu, va + 8, half, mmu);
            if (w[0] == v[0] && w[1] == v[1]) return;
            v[0] = w[0], v[1] = w[1];
        }
    }
    v[0] = mem_slow_ld(cpu, va, half, mmu);
    v[1] = mem_slow_ld(cpu, va + 8, half, mmu);
}

void mem_slow_st2(struct cpu *cpu, uint64_t va, const uint64_t v[2], unsigned mem, unsigned mmu)
{
    unsigned half = mem & ~(unsigned)(IR_MALIGN | IR_MPAIR);
    pair_check(cpu, va, mem, ACCESS_WRITE, mmu);
    if ((mem & IR_MPAIR) && cpu->parallel && !(va & 15)) {
        uint64_t old[2], seen[2];
        mem_slow_ld2(cpu, va, seen, half, mmu);
        do old[0] = seen[0], old[1] = seen[1];
        while (!cpu_cas128(cpu, va, old, v, seen, half, mmu));
        return;
    }
    mem_slow_st(cpu, va, v[0], half, mmu);
    mem_slow_st(cpu, va + 8, v[1], half, mmu);
}

uint8_t *cpu_probe(struct cpu *cpu, uint64_t va, unsigned n, enum mem_access acc, unsigned mmu)
{
    if (!n) return NULL;
    if (cpu->world->user) {
        user_limit(cpu, va, n, acc);
        touch(cpu->ubase + va, acc);
        /* the page size of the host is at least the guest's page's here */
        for (uint64_t p = (va & CPU_PAGE_MASK) + CPU_PAGE_SIZE; p - va < n; p += CPU_PAGE_SIZE) touch(cpu->ubase + p, acc);
        for (unsigned i = 0; i < cpu->engine->n_watches; i++) {
            const struct watchpoint *w = &cpu->engine->watches[i];
            if (va + n > w->va && va < w->va + w->len) return NULL;
        }
        return cpu->ubase + va;
    }
    bool one_page = (va & ~CPU_PAGE_MASK) + n <= CPU_PAGE_SIZE;
    const struct tlb_entry *e = tlb_at(cpu_tlb_of(cpu, mmu), va);
    if (one_page && (acc == ACCESS_WRITE ? e->wr : e->rd) == (va & CPU_PAGE_MASK)) return (uint8_t *)((uintptr_t)va + e->addend);
    uint64_t at = va;
    uint8_t *host = NULL;
    for (;;) {
        struct mmu_hit hit;
        uint64_t next;
        if (!cpu->guest->mmu(cpu, at, acc, mmu, false, &hit)) cpu_raise(cpu);
        if (at == va) {
            struct phys_page pp = cpu_phys_page(cpu, hit.phys & CPU_PAGE_MASK);
            if (pp.host && !(acc == ACCESS_WRITE && (pp.readonly || !mem_code_open(cpu->engine, pp.host)))) host = pp.host + (hit.phys & ~CPU_PAGE_MASK);
        }
        next = (at | ~(~UINT64_C(0) << MIN(hit.page_bits, CPU_PAGE_BITS))) + 1;
        if (next - va >= n) break;
        at = next;
    }
    if (!one_page || (cpu->engine->n_watches && watched_page(cpu->engine, va))) return NULL;
    if (host) tlb_fill(cpu, va, acc, mmu);
    /* Only the entry, made under the lock, is a promise: since we looked another vCPU may have read code from the page. */
    if (cpu->parallel && acc == ACCESS_WRITE && e->wr != (va & CPU_PAGE_MASK)) return NULL;
    return host;
}

uint64_t cpu_ld(struct cpu *cpu, uint64_t va, unsigned mem, unsigned mmu) { return mem_slow_ld(cpu, va, mem, mmu); }
void cpu_st(struct cpu *cpu, uint64_t va, uint64_t v, unsigned mem, unsigned mmu) { mem_slow_st(cpu, va, v, mem, mmu); }

/* System mode, alone: memory that the TLB lets reads and writes through to, all of it in one page; NULL: ask rmw_begin(). */
static uint8_t *rmw_host(struct cpu *cpu, uint64_t va, unsigned size, unsigned mmu)
{
    if (cpu->parallel || cpu->world->user || (va & ~CPU_PAGE_MASK) + size > CPU_PAGE_SIZE) return NULL;
    const struct tlb_entry *e = tlb_at(cpu_tlb_of(cpu, mmu), va);
    uint64_t tag = va & CPU_PAGE_MASK;
    return e->rd == tag && e->wr == tag ? (uint8_t *)((uintptr_t)va + e->addend) : NULL;
}

/* A read-modify-write faults as a write before it reads, and nothing unwinds between its halves or within the second, or
 * the first would find what it has left. What could (devices, code, a page's edge) has the unit run alone, where nothing does. */
static void rmw_begin(struct cpu *cpu, uint64_t va, unsigned size, unsigned mmu)
{
    /* a debugger must see it before a device does */
    if (cpu->engine->n_watches) watch_check(cpu, va, size, true);
    struct reach r = tlb_fill(cpu, va, ACCESS_WRITE, mmu);
    bool edge = (va & ~CPU_PAGE_MASK) + size > CPU_PAGE_SIZE;
    if (edge) tlb_fill(cpu, (va + size - 1) & CPU_PAGE_MASK, ACCESS_WRITE, mmu);
    if (!edge && r.host && !r.readonly) st_point(cpu, r.host, size);
    else if (cpu->xpoint) unit_again(cpu);
    else io_point(cpu);
}

void cpu_before_st(struct cpu *cpu, uint64_t va, unsigned n, unsigned mmu)
{
    if (cpu->world->user) cpu_probe(cpu, va, n, ACCESS_WRITE, mmu);
    else rmw_begin(cpu, va, n, mmu);
}

/* The host's compare and exchange of 1, 2, 4 or 8 bytes at p, a multiple of that; values as IR_MBE of mem says. What was there. */
#if HOST_GNU
#define CAS_HOST(bits, p, expect, v)                                                               \
    __atomic_compare_exchange_n((uint##bits##_t *)(void *)(p), &expect, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

static uint64_t host_cas(uint8_t *p, uint64_t expect, uint64_t v, unsigned mem)
{
    bool swap = !(mem & IR_MBE) == HOST_BE;

    switch (mem & IR_MSIZE) {
    case IR_M8: {
        uint8_t e = (uint8_t)expect, n = (uint8_t)v;
        CAS_HOST(8, p, e, n);
        return e;
    }
    case IR_M16: {
        uint16_t e = swap ? host_bswap16((uint16_t)expect) : (uint16_t)expect, n = swap ? host_bswap16((uint16_t)v) : (uint16_t)v;
        CAS_HOST(16, p, e, n);
        return swap ? host_bswap16(e) : e;
    }
    case IR_M32: {
        uint32_t e = swap ? host_bswap32((uint32_t)expect) : (uint32_t)expect, n = swap ? host_bswap32((uint32_t)v) : (uint32_t)v;
        CAS_HOST(32, p, e, n);
        return swap ? host_bswap32(e) : e;
    }
    default: break;
    }
#if defined(__LP64__) || defined(__x86_64__) /* HOST_ATOMIC_MAX */
    uint64_t e = swap ? host_bswap64(expect) : expect, n = swap ? host_bswap64(v) : v;
    CAS_HOST(64, p, e, n);
    return swap ? host_bswap64(e) : e;
#else
    return expect;
#endif
}
#else
static uint64_t host_cas(uint8_t *p, uint64_t expect, uint64_t v, unsigned mem) { return expect; }
#endif

bool cpu_host_cas(struct cpu *cpu, uint8_t *host, unsigned size, uint64_t expect, uint64_t v)
{
    unsigned mem = size == 8 ? IR_M64 : IR_M32;
    bool same;

    if (cpu->parallel && size <= HOST_ATOMIC_MAX) {
        same = host_cas(host, expect, v, mem) == expect;
    } else {
        same = host_ld(host, mem) == expect;
        if (same) host_st(host, v, mem);
    }
    if (same) engine_code_written(cpu->engine, host, size);
    return same;
}

/* System mode: the memory at va, all of it in one page, after all that may unwind. *code: whoever writes must tell the engine. NULL: no
 * memory, or two pages. */
static uint8_t *atomic_host(struct cpu *cpu, uint64_t va, unsigned size, unsigned mmu, bool *code)
{
    const struct tlb_entry *e = tlb_at(cpu_tlb_of(cpu, mmu), va);
    uint64_t tag = va & CPU_PAGE_MASK;

    if ((va & ~CPU_PAGE_MASK) + size > CPU_PAGE_SIZE) return NULL;
    *code = false;
    if (e->rd == tag && e->wr == tag) return (uint8_t *)((uintptr_t)va + e->addend);
    rmw_begin(cpu, va, size, mmu);
    struct reach r = reach(cpu, va, ACCESS_WRITE, mmu);
    *code = true;
    return r.readonly ? NULL : r.host;
}

/* Compares with `expect` and stores; returns what was there. Real atomics only while other threads run this memory. */
uint64_t mem_cas(struct cpu *cpu, uint64_t va, uint64_t expect, uint64_t v, unsigned mem, unsigned mmu)
{
    unsigned size = 1u << (mem & IR_MSIZE);
    bool lock = cpu->parallel;

    if (lock && size <= HOST_ATOMIC_MAX && ((mem & IR_MALIGN) || !(va & (size - 1)))) {
        bool code = false;
        if ((mem & IR_MALIGN) && (va & (size - 1))) mem_fault(cpu, FAULT_ALIGN, ACCESS_WRITE, va);
        uint8_t *host = cpu->world->user ? user_host(cpu, va, mem, ACCESS_WRITE) : atomic_host(cpu, va, size, mmu, &code);
        if (host) {
            uint64_t was = host_cas(host, expect, v, mem);
            if (code) engine_code_written(cpu->engine, host, size);
            return extend(was, mem);
        }
    }
    uint64_t mask = size == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * size) - 1;

    if ((mem & IR_MALIGN) && (va & (size - 1))) mem_fault(cpu, FAULT_ALIGN, ACCESS_WRITE, va);
    uint8_t *p = rmw_host(cpu, va, size, mmu);
    if (p) {
        uint64_t was = host_ld(p, mem);
        if (was == (expect & mask)) host_st(p, v, mem);
        return extend(was, mem);
    }
    if (!cpu->world->user) rmw_begin(cpu, va, size, mmu);
    else if (lock) cpu_probe(cpu, va, size, ACCESS_WRITE, mmu);
    if (lock) odd_lock(cpu);
    uint64_t old = mem_slow_ld(cpu, va, mem, mmu);
    if ((old & mask) == (expect & mask)) mem_slow_st(cpu, va, v, mem, mmu);
    if (lock) mem_odd_unlock(cpu);
    return old;
}

bool cpu_cas128(struct cpu *cpu, uint64_t va, const uint64_t expect[2], const uint64_t value[2], uint64_t old[2], unsigned mem, unsigned mmu)
{
    unsigned half = (mem & IR_MBE) | IR_M64;

    if ((mem & IR_MALIGN) && (va & 15)) mem_fault(cpu, FAULT_ALIGN, ACCESS_WRITE, va);
    uint8_t *p = cpu_probe(cpu, va, 16, ACCESS_WRITE, mmu);
#if HOST_CAS128
    bool code = false;
    if (cpu->parallel && !p && !(va & 15) && !cpu->world->user) p = atomic_host(cpu, va, 16, mmu, &code);
    if (cpu->parallel && p && !(va & 15)) {
        bool be = mem & IR_MBE; /* the host's low half lies at the lower address */
        uint64_t e[2] = { be ? host_bswap64(expect[0]) : expect[0], be ? host_bswap64(expect[1]) : expect[1] };
        const uint64_t n[2] = { be ? host_bswap64(value[0]) : value[0], be ? host_bswap64(value[1]) : value[1] };
        bool done = host_cas128(p, e, n);
        if (code) engine_code_written(cpu->engine, p, 16);
        old[0] = be ? host_bswap64(e[0]) : e[0], old[1] = be ? host_bswap64(e[1]) : e[1];
        return done;
    }
#endif
    if (!p && !cpu->world->user) rmw_begin(cpu, va, 16, mmu);
    if (cpu->parallel) odd_lock(cpu);
    old[0] = mem_slow_ld(cpu, va, half, mmu), old[1] = mem_slow_ld(cpu, va + 8, half, mmu);
    bool same = old[0] == expect[0] && old[1] == expect[1];
    if (same) mem_slow_st(cpu, va, value[0], half, mmu), mem_slow_st(cpu, va + 8, value[1], half, mmu);
    if (cpu->parallel) mem_odd_unlock(cpu);
    return same;
}

static uint64_t rmw(unsigned what, uint64_t a, uint64_t b, unsigned mem)
{
    uint64_t ua = extend(a, mem & ~(unsigned)IR_MS), ub = extend(b, mem & ~(unsigned)IR_MS);
    int64_t sa = (int64_t)extend(a, mem | IR_MS), sb = (int64_t)extend(b, mem | IR_MS);
    switch (what) {
    case IR_RMW_ADD: return a + b;
    case IR_RMW_AND: return a & b;
    case IR_RMW_OR: return a | b;
    case IR_RMW_XOR: return a ^ b;
    case IR_RMW_MINU: return ua < ub ? a : b;
    case IR_RMW_MAXU: return ua > ub ? a : b;
    case IR_RMW_MINS: return sa < sb ? a : b;
    case IR_RMW_MAXS: return sa > sb ? a : b;
    default: return b;
    }
}

uint64_t mem_rmw(struct cpu *cpu, unsigned what, uint64_t va, uint64_t v, unsigned mem, unsigned mmu)
{
    unsigned raw = mem & ~(unsigned)IR_MS;
    if ((mem & IR_MALIGN) && (va & ((1u << (mem & IR_MSIZE)) - 1))) mem_fault(cpu, FAULT_ALIGN, ACCESS_WRITE, va);
    if (!cpu->parallel) { /* nobody in between; and a device may read differently each time */
        uint8_t *p = rmw_host(cpu, va, 1u << (mem & IR_MSIZE), mmu);
        if (p) {
            uint64_t was = host_ld(p, raw);
            host_st(p, rmw(what, was, v, mem), raw);
            return extend(was, mem);
        }
        if (!cpu->world->user) rmw_begin(cpu, va, 1u << (mem & IR_MSIZE), mmu);
        uint64_t old = mem_slow_ld(cpu, va, raw, mmu);
        mem_slow_st(cpu, va, rmw(what, old, v, mem), raw, mmu);
        return extend(old, mem);
    }
    for (;;) {
        uint64_t old = mem_slow_ld(cpu, va, raw, mmu);
        uint64_t seen = mem_cas(cpu, va, old, rmw(what, old, v, mem), raw, mmu);
        if (extend(seen, raw) == old) return extend(old, mem);
    }
}

/* ---- code and debuggers ----------------------------------------------------------------------- */

/* Host address of the page of va for fetching. probe: no exception is left behind. Not probing means the dispatcher asks:
 * cpu->exc then holds the fetch fault. */
const uint8_t *cpu_code_unit(struct cpu *cpu, uint64_t va, bool probe, struct code_unit *u)
{
    *u = (struct code_unit){ CPU_PAGE_BITS, true };
    if (cpu->world->user) {
        const uint8_t *p = va < cpu->ulimit ? cpu->world->user_code(cpu, va & CPU_PAGE_MASK) : NULL;
        if (!p && !probe) cpu->guest->fault(cpu, FAULT_USER, ACCESS_EXEC, va);
        return p;
    }
    struct mmu_hit hit;
    if (!cpu->guest->mmu(cpu, va, ACCESS_EXEC, cpu->guest->mmu_mode(cpu), probe, &hit)) return NULL;
    struct phys_page pp = cpu_phys_page(cpu, hit.phys & CPU_PAGE_MASK);
    if (!pp.host && !probe) cpu->guest->fault(cpu, FAULT_BUS, ACCESS_EXEC, va);
    *u = (struct code_unit){ MIN(hit.page_bits, CPU_PAGE_BITS), hit.global };
    return pp.host;
}

const uint8_t *cpu_code_page(struct cpu *cpu, uint64_t va, bool probe)
{
    struct code_unit u;
    return cpu_code_unit(cpu, va, probe, &u);
}

ATTR_NORETURN void fetch_fault(struct cpu *cpu, uint64_t va)
{
    if (!cpu_code_page(cpu, va, false)) cpu_raise(cpu);
    longjmp(*cpu->unwind, UNWIND_IO);
}

static uint8_t *debug_page(struct cpu *cpu, uint64_t va, uint64_t *phys)
{
    struct mmu_hit hit;
    struct phys_page pp = { NULL, false };
    if (!cpu->guest->mmu(cpu, va, ACCESS_READ, cpu->guest->mmu_mode(cpu), true, &hit)) return NULL;
    cpu->world->phys_page(cpu->bus, hit.phys & CPU_PAGE_MASK, &pp);
    *phys = hit.phys;
    return pp.host ? pp.host + (hit.phys & ~CPU_PAGE_MASK) : NULL;
}

static bool debug_access(struct cpu *cpu, uint64_t va, uint8_t *buf, size_t n, bool write)
{
    while (n) {
        size_t k = MIN(n, (size_t)(CPU_PAGE_SIZE - (va & ~CPU_PAGE_MASK)));
        uint8_t *p;
        if (cpu->world->user) {
            if (va >= cpu->ulimit || cpu->ulimit - va < k) return false;
            p = cpu->world->user_debug ? cpu->world->user_debug(cpu, va, write) : NULL;
        } else {
            uint64_t phys;
            p = debug_page(cpu, va, &phys);
        }
        if (!p) return false;
        if (write) {
            memcpy(p, buf, k);
            engine_code_written(cpu->engine, p, k);
        } else {
            memcpy(buf, p, k);
        }
        if (write && cpu->world->user && cpu->world->user_debug_done) cpu->world->user_debug_done(cpu, va);
        va += k, buf += k, n -= k;
    }
    return true;
}

bool cpu_debug_read(struct cpu *cpu, uint64_t va, void *buf, size_t n) { return debug_access(cpu, va, buf, n, false); }
bool cpu_debug_write(struct cpu *cpu, uint64_t va, const void *buf, size_t n)
{
    return debug_access(cpu, va, (uint8_t *)(uintptr_t)buf, n, true);
}
