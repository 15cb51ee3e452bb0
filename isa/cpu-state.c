/*
 * cpu-state.c - the state of a CPU as a stream and as a hash (see cpu-state.h).
 */
#include "isa/cpu-state.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- the part that all ISAs have ---- */
static const struct state_field fp_env_state[] = {
    STATE_INT(struct fp_env, round),
    STATE_INT(struct fp_env, flags),
    STATE_INT(struct fp_env, nan_rule),
    STATE_INT(struct fp_env, nan_legacy),
    STATE_INT(struct fp_env, nan_negative),
    STATE_INT(struct fp_env, tiny_before),
    STATE_INT(struct fp_env, ftz),
    STATE_INT(struct fp_env, daz),
    STATE_INT(struct fp_env, x87_precision),
    STATE_INT(struct fp_env, muladd_inf_nan),
    STATE_END
};
static const struct state_field fp_note_state[] = {
    STATE_INT(struct fp_note, a),  STATE_INT(struct fp_note, b),   STATE_INT(struct fp_note, c),
    STATE_INT(struct fp_note, op), STATE_INT(struct fp_note, aux), STATE_END
};
static const struct state_field cpu_state[] = {
    STATE_INT(struct cpu, icount),
    STATE_INT(struct cpu, key),
    STATE_INT(struct cpu, halted),
    STATE_STRUCT(struct cpu, fp, 1, fp_env_state),
    STATE_STRUCT(struct cpu, fp_note, 1, fp_note_state),
    STATE_END
};

/* The ISA's table may be counted instead of ended. */
static struct state_field *isa_state(const struct isa *isa)
{
    unsigned n = 0;
    while (isa->state && n < isa->n_state && isa->state[n].name) n++;
    struct state_field *t = NEW_ARRAY(struct state_field, n + 1);
    if (n) memcpy(t, isa->state, n * sizeof *t);
    return t;
}

void isa_cpu_save(const struct isa *isa, struct cpu *cpu, struct state_buf *b)
{
    const struct guest *g = cpu->guest;
    struct state_field *t = isa_state(isa);

    state_save(cpu, cpu_state, b);
    state_put_int(b, g->n_slots, 4);
    for (unsigned i = 0; i < g->n_slots; i++) {
        state_put_str(b, g->slots[i].name);
        state_put_int(b, cpu_get_slot(cpu, (ir_id)i), 8);
    }
    state_save(cpu, t, b);
    mem_free(t);
}

int isa_cpu_load(const struct isa *isa, struct cpu *cpu, struct state_buf *b, struct error *e)
{
    const struct guest *g = cpu->guest;
    char who[32], name[64];
    uint64_t n, v;

    snprintf(who, sizeof who, "cpu%d", cpu->index);
    if (state_load(cpu, cpu_state, b, who, e)) return -1;
    if (!state_get_int(b, &n, 4) || n != g->n_slots)
        return error_set(e, "%s: the saved state has %" PRIu64 " registers, this CPU %u", who, n, g->n_slots);
    for (unsigned i = 0; i < n; i++) {
        if (!state_get_str(b, name, sizeof name) || !state_get_int(b, &v, 8))
            return error_set(e, "%s: the saved registers are damaged or cut off", who);
        if (strcmp(name, g->slots[i].name))
            return error_set(e, "%s: the saved state has register \"%s\" where this CPU has \"%s\"", who, name,
                             g->slots[i].name);
        if (g->slots[i].type == T_I32 && v > UINT32_MAX)
            return error_set(e, "%s: register \"%s\" does not hold 0x%" PRIx64, who, name, v);
        cpu_set_slot(cpu, (ir_id)i, v);
    }
    struct state_field *t = isa_state(isa);
    int rc = state_load(cpu, t, b, who, e);
    mem_free(t);
    return rc;
}

uint64_t isa_cpu_hash(const struct isa *isa, struct cpu *cpu, uint64_t h)
{
    const struct guest *g = cpu->guest;
    struct state_field *t = isa_state(isa);

    h = state_mix(h, cpu_icount(cpu));
    h = state_mix(h, cpu->halted);
    h = state_mix(h, cpu_fp_flags(cpu));
    for (unsigned i = 0; i < g->n_slots; i++) h = state_mix(h, cpu_get_slot(cpu, (ir_id)i));
    h = state_hash(cpu, t, h);
    mem_free(t);
    return h;
}

static uint64_t field_value(const struct cpu *c, const struct state_field *t)
{
    const char *p = (const char *)c + t->offset;
    switch (t->size) {
    case 1: return *(const uint8_t *)p;
    case 2: return *(const uint16_t *)p;
    case 4: return *(const uint32_t *)p;
    default: return *(const uint64_t *)p;
    }
}

void isa_cpu_show_difference(const struct isa *isa, struct cpu *a, struct cpu *b, FILE *f)
{
    const struct guest *g = a->guest;
    struct state_field *t = isa_state(isa);

    for (unsigned i = 0; i < g->n_slots; i++) {
        uint64_t x = cpu_get_slot(a, (ir_id)i), y = cpu_get_slot(b, (ir_id)i);
        if (x != y) fprintf(f, "  %-10s 0x%" PRIx64 "  0x%" PRIx64 "\n", g->slots[i].name, x, y);
    }
    for (unsigned i = 0; t[i].name; i++) {
        struct state_field one[2] = { t[i], STATE_END };
        if (state_hash(a, one, 0) == state_hash(b, one, 0)) continue;
        if (t[i].count == 1 && !t[i].sub && t[i].size <= 8)
            fprintf(f, "  %-10s 0x%" PRIx64 "  0x%" PRIx64 "\n", t[i].name, field_value(a, &t[i]), field_value(b, &t[i]));
        else
            fprintf(f, "  %s\n", t[i].name);
    }
    if (cpu_icount(a) != cpu_icount(b)) fprintf(f, "  instructions  %" PRIu64 "  %" PRIu64 "\n", cpu_icount(a), cpu_icount(b));
    if (a->halted != b->halted) fprintf(f, "  halted  %d  %d\n", a->halted, b->halted);
    if (cpu_fp_flags(a) != cpu_fp_flags(b)) fprintf(f, "  FP flags  0x%x  0x%x\n", cpu_fp_flags(a), cpu_fp_flags(b));
    mem_free(t);
}
