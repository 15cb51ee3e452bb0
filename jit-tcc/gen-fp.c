/*
 * gen-fp.c - the text of floating point, by the rules of interp/fpx.h; what those leave to softfloat is jit_op()'s.
 */
#include "jit-tcc/gen.h"

#include <stdio.h>

/* Host arithmetic by the rules of interp/fpx.h: operands finite, no result that is no number (which of finite numbers only a
 * quotient is), none that may be tiny before rounding and was not after it. The tests look at the upper 32 bits alone. */

/* The text of the upper half (of 64 bits) or all (of 32) of the variable v, shifted left by one: without its sign. */
static void put_magnitude(struct gen *g, const char *v, bool wide)
{
    if (wide) PUT("*(u32*)((char*)&%s+%d)<<1", v, HOST_BE ? 0 : 4);
    else PUT("%s<<1", v);
}

static void put_finite(struct gen *g, const char *v, bool wide)
{
    put_magnitude(g, v, wide);
    PUT("<%uu", wide ? 0xffe00000u : 0xff000000u);
}

/* ... that the variable v is a result to be had from softfloat. */
static void put_suspect(struct gen *g, unsigned op, const char *v, bool wide)
{
    put_magnitude(g, v, wide);
    PUT("==%uu", wide ? 0x00200000u : 0x01000000u);
    if (op != OP_FDIV) return;
    PUT("||");
    put_magnitude(g, v, wide);
    PUT(">=%uu", wide ? 0xffe00000u : 0xff000000u);
}

/* An operand as something that has an address. */
static void use_variable(struct gen *g, char *s, ir_id x, const char *spare)
{
    gen_use(g, s, x);
    if (!ir_is_const(x)) return;
    PUT("%s=%s;", spare, s);
    snprintf(s, NAME, "%s", spare);
}

/* Is the note of the op at hand replaced before anybody can ask for it? */
static bool note_is_dead(const struct gen *g)
{
    for (unsigned k = g->at + 1; k < g->b->n_ops; k++) {
        unsigned op = g->b->ops[k].op, cls = tcc_svc->op_info[op].cls;
        if (cls == CLASS_FP || cls == CLASS_FPCV || op == OP_FCMP || op == OP_FMA) return true;
        if (cls != CLASS_PURE && cls != CLASS_CONV && op != OP_SETC && op != OP_INSN) return false;
    }
    return false;
}

static void put_note(struct gen *g, const struct ir_op *o, const char *a, const char *b, uint32_t aux)
{
    if (g->pass != WRITE || note_is_dead(g)) return;
    PUT("L.na=%s;", a);
    if (b) PUT("L.nb=%s;", b);
    if (g->f2i) PUT("L.nx=%u;", (unsigned)aux);
    PUT("L.no=%uu;", NOTE_SET | o->op | (unsigned)o->type << 16);
}

/* Up to where an operation on two finite floats is written: their names, the result's. Gives the number for the other case. */
static unsigned begin_host(struct gen *g, const struct ir_op *o, char *a, char *b, char *d)
{
    bool wide = o->type == T_I64;
    unsigned n = gen_keep_op(g, o);

    use_variable(g, a, o->a, wide ? "fa" : "ga");
    use_variable(g, b, o->b, wide ? "fb" : "gb");
    PUT("if(L.ff&&");
    put_finite(g, a, wide);
    if (strcmp(a, b)) {
        PUT("&&");
        put_finite(g, b, wide);
    }
    gen_define(g, d, o->d);
    PUT("){");
    put_note(g, o, a, b, 0);
    return n;
}

static void gen_arith(struct gen *g, const struct ir_op *o, const char *operator_)
{
    bool wide = o->type == T_I64;
    const char *r = wide ? "fr" : "gr", *type = wide ? "double" : "float";
    char a[NAME], b[NAME], d[NAME];
    unsigned n = begin_host(g, o, a, b, d);

    bool suspect = o->op == OP_FMUL || o->op == OP_FDIV;
    const char *to = suspect && (!strcmp(d, a) || !strcmp(d, b)) ? r : d; /* the operands may be needed again */
    PUT("*(%s*)&%s=*(%s*)&%s%s *(%s*)&%s;", type, to, type, a, operator_, type, b);
    if (suspect) {
        PUT("if(");
        put_suspect(g, o->op, to, wide);
        PUT(")%s=JO(c,%s,%s,0,%u);", d, a, b, n);
        if (to != d) PUT("else %s=%s;", d, to);
    }
    PUT("}else %s=JO(c,%s,%s,0,%u);", d, a, b, n);
}

static void gen_compare(struct gen *g, const struct ir_op *o)
{
    const char *type = o->type == T_I64 ? "double" : "float";
    char a[NAME], b[NAME], d[NAME];
    /* it raises nothing, but its note must be there: flags of the operation before are gone */
    unsigned n = begin_host(g, o, a, b, d);

    PUT("%s=*(%s*)&%s<*(%s*)&%s?%d:*(%s*)&%s==*(%s*)&%s?%d:%d;}else %s=JO(c,%s,%s,0,%u);", d, type, a, type, b, !!(o->attr & IR_REL_LT), type, a, type,
        b, !!(o->attr & IR_REL_EQ), !!(o->attr & IR_REL_GT), d, a, b, n);
}

/* Conversions to floating point; UINT64 only of what is no negative INT64. */
static void gen_convert(struct gen *g, const struct ir_op *o)
{
    const char *value;
    bool from64 = false, to64 = false, float_in = false, positive = false;
    char a[NAME], d[NAME];

    switch (o->op) {
    case OP_F32_F64: value = "(double)*(float*)&", to64 = float_in = true; break;
    case OP_F64_F32: value = "(float)*(double*)&", from64 = float_in = true; break;
    case OP_I32_F32: value = "(float)*(s32*)&"; break;
    case OP_I32_F64: value = "(double)*(s32*)&", to64 = true; break;
    case OP_U64_F32:
    case OP_I64_F32: value = "(float)*(s64*)&", from64 = true, positive = o->op == OP_U64_F32; break;
    default: value = "(double)*(s64*)&", from64 = to64 = true, positive = o->op == OP_U64_F64; break;
    }
    const char *r = to64 ? "fr" : "gr";
    unsigned n = gen_keep_op(g, o);
    use_variable(g, a, o->a, from64 ? "fa" : "ga");
    PUT("if(L.ff");
    if (positive) PUT("&&!(%s>>63)", a);
    if (float_in) {
        PUT("&&");
        put_finite(g, a, from64);
    }
    gen_define(g, d, o->d);
    PUT("){");
    put_note(g, o, a, NULL, 0);
    PUT("*(%s*)&%s=%s%s;", to64 ? "double" : "float", r, value, a);
    if (o->op == OP_F64_F32) {
        PUT("if(");
        put_suspect(g, o->op, r, false);
        PUT(")%s=JO(c,%s,0,0,%u);else ", d, a, n);
    }
    PUT("%s=%s;}else %s=JO(c,%s,0,0,%u);", d, r, d, a, n);
}

/* Truncations of what surely fits. */
static void gen_truncate(struct gen *g, const struct ir_op *o)
{
    bool from64 = o->op == OP_F64_I32 || o->op == OP_F64_I64, to64 = o->type == T_I64;
    unsigned bias = from64 ? 1023 : 127, n = gen_keep_op(g, o);
    char a[NAME], d[NAME];

    use_variable(g, a, o->a, from64 ? "fa" : "ga");
    PUT("if(L.ff&&");
    put_magnitude(g, a, from64);
    PUT("<%uu", (bias + (to64 ? 63 : 31)) << (from64 ? 21 : 24));
    gen_define(g, d, o->d);
    PUT("){");
    put_note(g, o, a, NULL, o->aux);
    PUT("%s=(s%d)*(%s*)&%s;}else %s=JO(c,%s,0,0,%u);", d, to64 ? 64 : 32, from64 ? "double" : "float", a, d, a, n);
}

void gen_fp(struct gen *g, const struct ir_op *o)
{
    static const char operators[OP_COUNT] = { [OP_FADD] = '+', [OP_FSUB] = '-', [OP_FMUL] = '*', [OP_FDIV] = '/' };
    char text[2] = { operators[o->op], '\0' };
    bool here = false;

    switch (o->op) {
    case OP_FADD: case OP_FSUB: case OP_FMUL: case OP_FDIV:
        here = !o->attr;
        if (here) gen_arith(g, o, text);
        break;
    case OP_FCMP:
        here = !o->aux;
        if (here) gen_compare(g, o);
        break;
    case OP_F32_F64: case OP_F64_F32: case OP_I32_F32: case OP_I32_F64: case OP_I64_F32: case OP_I64_F64: case OP_U64_F32: case OP_U64_F64:
        here = true;
        gen_convert(g, o);
        break;
    case OP_F32_I32: case OP_F32_I64: case OP_F64_I32: case OP_F64_I64:
        here = (o->aux & 15) == FP_RTZ;
        if (here) gen_truncate(g, o);
        break;
    default: break;
    }
    if (!here) gen_other(g, o);
}
