/*
 * explain.c - what the engine makes of a piece of guest code, as text: for reports of the checkers (-lockstep); instructions also for logs.
 */
#include "interp/jit.h"

#include <stdio.h>
#include <stdlib.h>

static void put_bytes(const struct jit_code *c, void (*put)(void *, const char *), void *opaque)
{
    const uint8_t *p = c->text;
    char line[160];

    snprintf(line, sizeof line, "  %s code, tier %u, %u blocks from 0x%" PRIx64 ", %zu bytes%s", c->backend->name, c->tier, c->n_blocks, c->blocks[0]->pc,
             c->text_size, p ? ":" : " (not in memory of the engine's)");
    put(opaque, line);
    for (size_t i = 0; p && i < c->text_size; i += 16) {
        int n = snprintf(line, sizeof line, "    %p:", (const void *)(p + i));
        for (size_t k = i; k < MIN(i + 16, c->text_size); k++) n += snprintf(line + n, sizeof line - (size_t)n, " %02x", p[k]);
        put(opaque, line);
    }
}

void engine_disas(struct cpu *cpu, uint64_t pc, uint64_t key, unsigned n, char *text, size_t size)
{
    uint8_t bytes[16];
    unsigned have = n ? MIN(n, (unsigned)sizeof bytes) : (unsigned)sizeof bytes;

    text[0] = '\0';
    while (have && !cpu_debug_read(cpu, pc, bytes, have)) have = n ? 0 : have - 1; /* the last one before what cannot be read */
    if (have && cpu->guest->disas) cpu->guest->disas(cpu, key, pc, bytes, have, text, size);
}

void engine_explain(struct cpu *cpu, uint64_t pc, uint64_t key, unsigned what, void (*put)(void *, const char *), void *opaque)
{
    struct engine *eng = cpu->engine;
    const struct guest *g = cpu->guest;
    const uint8_t *host = cpu_code_page(cpu, pc, true);
    struct ir_builder ib;
    char text[160], line[200];

    if (!host) {
        put(opaque, "  (no code there)");
        return;
    }
    memset(&ib, 0, sizeof ib);
    pthread_mutex_lock(&eng->lock);
    struct blk *b = blk_find(cpu, pc, key);
    ir_builder_init(&ib, cpu, pc, key & ~KEY_ONE, b && eng->cfg.max_block ? b->n_insns : eng->cfg.max_block);
    ib.code_vpage = pc & CPU_PAGE_MASK;
    ib.code_host = ib.code_pages[0] = host;
    g->translate(&ib);
    if (what & EXPLAIN_GUEST) {
        for (unsigned i = 0; i < ib.blk.n_ops; i++) {
            const struct ir_op *o = &ib.blk.ops[i];
            if (o->op != OP_INSN) continue;
            uint64_t at = pc + o->aux;
            engine_disas(cpu, at, key, o->a, text, sizeof text);
            snprintf(line, sizeof line, "  0x%08" PRIx64 ":  %s", at, text);
            put(opaque, line);
        }
    }
    if (what & EXPLAIN_IR) ir_dump(&ib.blk, g, put, opaque);
    if (what & EXPLAIN_OPT) {
        ir_optimise(&ib);
        ir_dump(&ib.blk, g, put, opaque);
    }
    if (what & EXPLAIN_HOST) {
        const struct jit_code *c = NULL;
        for (unsigned n = 0; b && (c = jit_code_with(b, n)); n++) put_bytes(c, put, opaque);
        if (!b || !jit_code_with(b, 0)) put(opaque, "  (interpreted)");
    }
    pthread_mutex_unlock(&eng->lock);
    ir_builder_free(&ib);
}

unsigned engine_block_at(struct cpu *cpu, uint64_t pc, uint64_t key)
{
    pthread_mutex_lock(&cpu->engine->lock);
    const struct blk *b = blk_find(cpu, pc, key);
    unsigned n = b ? b->n_insns : 0;
    pthread_mutex_unlock(&cpu->engine->lock);
    return n;
}
