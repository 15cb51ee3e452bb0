/*
 * ir-dump.c - IR as text, for -d op and for bug reports.
 */
#include "interp/cpu.h"
#include "interp/ir.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const cond_names[CC_COUNT] = {
#define COND(N, n, inv, swp, e) [CC_##N] = #n,
#include "interp/ops.def"
};

static const char *operand(const struct ir_block *b, const struct guest *g, ir_id x, char *buf, size_t size)
{
    if (x == IR_NONE) return "-";
    if (ir_is_slot(x)) snprintf(buf, size, "%s", x < g->n_slots ? g->slots[x].name : "slot?");
    else if (ir_is_temp(x)) snprintf(buf, size, "t%u", x - IR_TEMP);
    else snprintf(buf, size, "$0x%" PRIx64, x - IR_CONST < b->n_consts ? b->consts[x - IR_CONST] : 0);
    return buf;
}

void ir_dump(const struct ir_block *b, const struct guest *g, void (*put)(void *, const char *), void *opaque)
{
    char line[256], d[32], x[32], y[32], z[32];

    for (unsigned i = 0; i < b->n_ops; i++) {
        const struct ir_op *o = &b->ops[i];
        const char *w = o->type == T_I64 ? "64" : "32";
        const char *name = ir_op_info[o->op].name;
        switch (o->op) {
        case OP_INSN: snprintf(line, sizeof line, " ---- 0x%" PRIx64 " flags 0x%x", b->pc + o->aux, o->attr); break;
        case OP_LABEL: snprintf(line, sizeof line, "L%u:", o->aux); break;
        case OP_BR: snprintf(line, sizeof line, "    br L%u", o->aux); break;
        case OP_GOTO:
            snprintf(line, sizeof line, "    goto link %u (0x%" PRIx64 ")", o->aux, b->links[o->aux].pc);
            break;
        case OP_BRL: case OP_BRC: case OP_SETC:
            snprintf(line, sizeof line, "    %s%s.%s %s, %s, %s (%s %u)", name, w, cond_names[o->attr], operand(b, g, o->d, d, sizeof d),
                     operand(b, g, o->a, x, sizeof x), operand(b, g, o->b, y, sizeof y), o->op == OP_BRC ? "link" : "label", o->aux);
            break;
        case OP_LD: case OP_ST: case OP_LD2: case OP_ST2: case OP_CAS: case OP_RMW:
            snprintf(line, sizeof line, "    %s%s.%u%s%s%s %s, [%s%+d], %s, %s", name, w, 8u << (o->attr & IR_MSIZE), o->attr & IR_MS ? "s" : "",
                     o->attr & IR_MBE ? "be" : "le", o->attr & IR_MALIGN ? "a" : "", operand(b, g, o->d, d, sizeof d),
                     operand(b, g, o->a, x, sizeof x), IR_DISP(o), operand(b, g, o->b, y, sizeof y), operand(b, g, o->c, z, sizeof z));
            break;
        case OP_CALL:
            snprintf(line, sizeof line, "    call %s -> %s, %s, %s, %s", g->helpers[o->aux].name, operand(b, g, o->d, d, sizeof d),
                     operand(b, g, o->a, x, sizeof x), operand(b, g, o->b, y, sizeof y), operand(b, g, o->c, z, sizeof z));
            break;
        default:
            snprintf(line, sizeof line, "    %s%s %s, %s, %s, %s attr 0x%x aux 0x%x", name, w, operand(b, g, o->d, d, sizeof d),
                     operand(b, g, o->a, x, sizeof x), operand(b, g, o->b, y, sizeof y), operand(b, g, o->c, z, sizeof z), o->attr, o->aux);
        }
        put(opaque, line);
    }
}
