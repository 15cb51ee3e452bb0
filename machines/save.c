/*
 * save.c - a machine's state as a stream, and its hash.
 *
 * Stream: magic, u32 version, sections of `u16 name length, name, u64 length, payload`: "machine" (what must match),
 * "clock", "cpu0"..., "devices", "ram", "end". All little-endian. Memory is saved by pages; pages of
 * zeros are left out. The hash covers what a guest can see, by value, so that it is equal on all hosts and engines.
 */
#include "isa/cpu-state.h"
#include "machines/machine.h"

#include <inttypes.h>
#include <stdio.h>

static const char magic[8] = { 'Q', 'U', 'E', 'R', 'N', 'V', 'M', '\n' };
enum { STREAM_VERSION = 1, PAGE = 4096 };

static const struct state_field clock_state[] = {
    STATE_INT(struct machine, idle_ns),
    STATE_INT(struct machine, turn),
    STATE_INT(struct machine, turn_left),
    STATE_END
};

/* ---- memory ---- */
static bool is_zero(const uint8_t *p, size_t n)
{
    while (n >= 64) {
        uint64_t x = 0;
        for (unsigned i = 0; i < 8; i++) x |= ld64_host(p + 8 * i);
        if (x) return false;
        p += 64, n -= 64;
    }
    while (n--)
        if (*p++) return false;
    return true;
}

/* Four independent chains, so that multiplications overlap. */
static uint64_t hash_page(const uint8_t *p, size_t n, uint64_t h)
{
    uint64_t a = h, b = h ^ 1, c = h ^ 2, d = h ^ 3;
    for (; n >= 32; n -= 32, p += 32) {
        a = state_mix(a, ld64_le(p));
        b = state_mix(b, ld64_le(p + 8));
        c = state_mix(c, ld64_le(p + 16));
        d = state_mix(d, ld64_le(p + 24));
    }
    while (n--) a = state_mix(a, *p++);
    return state_mix(state_mix(state_mix(a, b), c), d);
}

static size_t page_len(uint64_t size, uint64_t at) { return size - at < PAGE ? (size_t)(size - at) : PAGE; }

static uint64_t hash_ram(struct machine *m, uint64_t h)
{
    for (struct region *r = NULL; (r = as_ram_next(m->mb->mem, r));) {
        uint64_t size = region_size(r);
        const uint8_t *p = region_ram(r);
        h = state_mix(h, size);
        for (uint64_t at = 0; at < size; at += PAGE) {
            size_t n = page_len(size, at);
            if (is_zero(p + at, n)) continue;
            h = hash_page(p + at, n, state_mix(h, at));
        }
    }
    return h;
}

static void save_ram(struct machine *m, struct state_buf *b)
{
    for (struct region *r = NULL; (r = as_ram_next(m->mb->mem, r));) {
        uint64_t size = region_size(r);
        const uint8_t *p = region_ram(r);
        state_put_str(b, region_name(r));
        state_put_int(b, size, 8);
        for (uint64_t at = 0; at < size; at += PAGE) {
            size_t n = page_len(size, at);
            if (is_zero(p + at, n)) continue;
            state_put_int(b, at / PAGE, 8);
            state_put(b, p + at, n);
        }
        state_put_int(b, UINT64_MAX, 8);
    }
}

static void clear(uint8_t *p, uint64_t from, uint64_t to, uint64_t size)
{
    for (; from < to; from += PAGE) { /* untouched pages stay untouched */
        size_t n = page_len(size, from);
        if (!is_zero(p + from, n)) memset(p + from, 0, n);
    }
}

static int load_ram(struct machine *m, struct state_buf *b, struct error *e)
{
    char name[256];
    for (struct region *r = NULL; (r = as_ram_next(m->mb->mem, r));) {
        uint64_t size = region_size(r), saved, at, done = 0;
        uint8_t *p = region_ram(r);
        if (!state_get_str(b, name, sizeof name) || !state_get_int(b, &saved, 8))
            return error_set(e, "the saved state lacks the memory \"%s\"", region_name(r));
        if (strcmp(name, region_name(r)) || saved != size)
            return error_set(e, "the saved memory \"%s\" of 0x%" PRIx64 " bytes stands where this machine has \"%s\" of 0x%" PRIx64,
                             name, saved, region_name(r), size);
        for (;;) {
            if (!state_get_int(b, &at, 8)) return error_set(e, "the saved memory \"%s\" is cut off", name);
            if (at == UINT64_MAX) break;
            if (at > (size - 1) / PAGE || at * PAGE < done)
                return error_set(e, "the saved memory \"%s\" has a page %" PRIu64 " out of order", name, at);
            at *= PAGE;
            size_t n = page_len(size, at);
            const uint8_t *src = state_get(b, n);
            if (!src) return error_set(e, "the saved memory \"%s\" is cut off", name);
            clear(p, done, at, size);
            memcpy(p + at, src, n);
            done = at + PAGE;
        }
        clear(p, done, size, size);
    }
    if (b->pos != b->len) return error_set(e, "the saved state has more memories than this machine");
    return 0;
}

/* ---- CPUs ---- */

/* ---- the whole ---- */
uint64_t machine_hash_but_ram(struct machine *m)
{
    uint64_t h = state_mix(0, m->idle_ns);
    for (unsigned i = 0; i < m->n_cpus; i++) h = isa_cpu_hash(m->cfg.isa, m->cpu[i], h);
    return state_mix(h, mb_hash(m->mb));
}

uint64_t machine_hash(struct machine *m) { return hash_ram(m, machine_hash_but_ram(m)); }

static size_t open_section(struct state_buf *b, const char *name)
{
    state_put_str(b, name);
    state_put_int(b, 0, 8);
    return b->len;
}

static void close_section(struct state_buf *b, size_t at) { st64_le(b->data + at - 8, b->len - at); }

/* What the stream and the machine must agree on. */
static void put_identity(struct machine *m, struct state_buf *b)
{
    state_put_str(b, m->cfg.board->name);
    state_put_str(b, m->cfg.isa->name);
    state_put_str(b, m->cfg.cpu->name);
    state_put_int(b, m->cfg.big_endian, 1);
    state_put_int(b, m->n_cpus, 4);
    state_put_int(b, m->cfg.threads, 4);
    state_put_int(b, m->cfg.cores, 4);
    state_put_int(b, m->cfg.dies, 4);
    state_put_int(b, m->cfg.ram_size, 8);
    state_put_int(b, m->cfg.icount_shift, 4);
}

static int save(struct machine *m, struct state_buf *b, bool ram, struct error *e)
{
    char name[32];
    size_t at;

    if (m->running) return error_set(e, "the machine is in the middle of an instruction and cannot be saved");
    state_put(b, magic, sizeof magic);
    state_put_int(b, STREAM_VERSION, 4);

    at = open_section(b, "machine");
    put_identity(m, b);
    close_section(b, at);

    at = open_section(b, "clock");
    state_save(m, clock_state, b);
    state_put_int(b, clock_seq(m->clock), 8);
    close_section(b, at);

    for (unsigned i = 0; i < m->n_cpus; i++) {
        snprintf(name, sizeof name, "cpu%u", i);
        at = open_section(b, name);
        isa_cpu_save(m->cfg.isa, m->cpu[i], b);
        close_section(b, at);
    }
    at = open_section(b, "devices");
    mb_save(m->mb, b);
    close_section(b, at);

    at = open_section(b, "ram");
    if (ram) save_ram(m, b);
    close_section(b, at);

    at = open_section(b, "end");
    close_section(b, at);
    return 0;
}

int machine_save(struct machine *m, struct state_buf *b, struct error *e) { return save(m, b, true, e); }
int machine_save_but_ram(struct machine *m, struct state_buf *b, struct error *e) { return save(m, b, false, e); }

/* Opens the section that must come next as a buffer of its own; the outer one moves past it. */
static int enter(struct state_buf *b, const char *want, struct state_buf *in, struct error *e)
{
    char name[32];
    uint64_t len;
    if (!state_get_str(b, name, sizeof name) || !state_get_int(b, &len, 8) || len > b->len - b->pos)
        return error_set(e, "the saved state ends before or in its section \"%s\"", want);
    if (strcmp(name, want))
        return error_set(e, "the saved state has a section \"%s\" where \"%s\" is expected", name, want);
    *in = (struct state_buf){ b->data + b->pos, (size_t)len, (size_t)len, 0 };
    b->pos += (size_t)len;
    return 0;
}

static int leave(const struct state_buf *in, const char *name, struct error *e)
{
    if (in->pos == in->len) return 0;
    return error_set(e, "the saved state's section \"%s\" is longer than what is known of it", name);
}

static int check_identity(struct machine *m, struct state_buf *b, struct error *e)
{
    char s[128];
    uint64_t v;
    const char *const want[] = { m->cfg.board->name, m->cfg.isa->name, m->cfg.cpu->name };
    static const char *const what[] = { "machine", "instruction set", "CPU" };
    const struct { const char *name; unsigned bytes; uint64_t want; } num[] = {
        { "big-endian flag", 1, m->cfg.big_endian },
        { "number of CPUs", 4, m->n_cpus },
        { "number of threads of a core", 4, m->cfg.threads },
        { "number of cores of a die", 4, m->cfg.cores },
        { "number of dies of a package", 4, m->cfg.dies },
        { "memory size", 8, m->cfg.ram_size },
        { "icount shift", 4, m->cfg.icount_shift },
    };

    for (unsigned i = 0; i < ARRAY_LEN(want); i++) {
        if (!state_get_str(b, s, sizeof s)) return error_set(e, "the saved state does not say which %s it is of", what[i]);
        if (strcmp(s, want[i]))
            return error_set(e, "the saved state is of the %s \"%s\", and this is \"%s\"", what[i], s, want[i]);
    }
    for (unsigned i = 0; i < ARRAY_LEN(num); i++) {
        if (!state_get_int(b, &v, num[i].bytes))
            return error_set(e, "the saved state does not say its %s", num[i].name);
        if (v != num[i].want)
            return error_set(e, "the saved state's %s is %" PRIu64 ", and this machine's %" PRIu64, num[i].name, v, num[i].want);
    }
    return 0;
}

static int load(struct machine *m, struct state_buf *b, bool ram, struct error *e)
{
    char name[32];
    struct state_buf in;
    uint64_t version, seq;
    const uint8_t *p = state_get(b, sizeof magic);

    if (!p || memcmp(p, magic, sizeof magic)) return error_set(e, "this is no saved machine state");
    if (!state_get_int(b, &version, 4) || version != STREAM_VERSION)
        return error_set(e, "the saved state is of version %" PRIu64 "; version %u is known", version, STREAM_VERSION);

    if (enter(b, "machine", &in, e) || check_identity(m, &in, e) || leave(&in, "machine", e)) return -1;

    if (enter(b, "clock", &in, e) || state_load(m, clock_state, &in, "clock", e)) return -1;
    if (!state_get_int(&in, &seq, 8)) return error_set(e, "the saved clock is cut off");
    if (leave(&in, "clock", e)) return -1;
    if (m->turn >= m->n_cpus) return error_set(e, "clock: there is no CPU %" PRIu32 " to have its turn", m->turn);
    clock_set_seq(m->clock, seq);

    for (unsigned i = 0; i < m->n_cpus; i++) {
        snprintf(name, sizeof name, "cpu%u", i);
        if (enter(b, name, &in, e) || isa_cpu_load(m->cfg.isa, m->cpu[i], &in, e) || leave(&in, name, e)) return -1;
    }
    /* Memory before devices: their post_load may look at it. */
    struct state_buf devices;
    if (enter(b, "devices", &devices, e)) return -1;
    if (enter(b, "ram", &in, e) || (ram && load_ram(m, &in, e))) return -1;
    if (mb_load(m->mb, &devices, e) || leave(&devices, "devices", e)) return -1;
    if (enter(b, "end", &in, e)) return -1;
    return leave(&in, "end", e);
}

static int load_all(struct machine *m, struct state_buf *b, bool ram, struct error *e)
{
    if (m->running) return error_set(e, "the machine is in the middle of an instruction and cannot be loaded");
    bus_transaction_begin();
    int rc = load(m, b, ram, e);
    bus_transaction_commit();
    if (rc) error_set(e, "the saved state cannot be loaded");
    for (unsigned i = 0; i < m->n_cpus; i++) {
        struct cpu *cpu = m->cpu[i];
        cpu->icount_left = cpu->icount_budget = 0;
        cpu_fp_changed(cpu);
        cpu_tlb_flush(cpu);
    }
    if (ram) engine_flush(m->engine); /* other code may lie where it lay */
    machine_pace(m);
    return rc;
}

int machine_load(struct machine *m, struct state_buf *b, struct error *e) { return load_all(m, b, true, e); }
int machine_load_but_ram(struct machine *m, struct state_buf *b, struct error *e) { return load_all(m, b, false, e); }
