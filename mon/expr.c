/*
 * expr.c - integer expressions of the monitor (see expr.h). Arithmetic is on 64 bits and wraps; division is signed.
 */
#include "mon/expr.h"

enum { MAX_DEPTH = 64 };

struct parser {
    const char *p;
    expr_reg_fn reg;
    void *opaque;
    struct error *e;
    unsigned depth;
};

static void skip(struct parser *x)
{
    while (*x->p == ' ' || *x->p == '\t') x->p++;
}

static int parse_logic(struct parser *x, uint64_t *v);

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return 99;
}

static int parse_number(struct parser *x, uint64_t *v)
{
    unsigned base = 10;
    const char *start = x->p;

    if (start[0] == '0' && (start[1] == 'x' || start[1] == 'X') && digit_of(start[2]) < 16) base = 16, x->p += 2;
    else if (start[0] == '0') base = 8;
    *v = 0;
    while ((unsigned)digit_of(*x->p) < base) {
        unsigned d = (unsigned)digit_of(*x->p++);
        if (*v > (UINT64_MAX - d) / base) return error_set(x->e, "number too large");
        *v = *v * base + d;
    }
    /* "12ab" is a slip, not a number and a word. */
    if (digit_of(*x->p) < 16 || *x->p == '_') return error_set(x->e, "invalid char '%c' in number", *x->p);
    return 0;
}

static int parse_register(struct parser *x, uint64_t *v)
{
    char name[64];
    unsigned n = 0;

    for (x->p++;; x->p++) {
        char c = *x->p;
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.')) break;
        if (n < sizeof name - 1) name[n++] = c;
    }
    name[n] = 0;
    if (!n || !x->reg || !x->reg(x->opaque, name, v)) return error_set(x->e, "unknown register");
    return 0;
}

static int parse_unary(struct parser *x, uint64_t *v)
{
    int rc;

    if (++x->depth > MAX_DEPTH) return error_set(x->e, "expression is nested too deeply");
    skip(x);
    switch (*x->p) {
    case '+': x->p++; rc = parse_unary(x, v); break;
    case '-': x->p++; rc = parse_unary(x, v); *v = 0 - *v; break;
    case '~': x->p++; rc = parse_unary(x, v); *v = ~*v; break;
    case '(':
        x->p++;
        rc = parse_logic(x, v);
        if (!rc && *x->p != ')') rc = error_set(x->e, "')' expected");
        if (!rc) x->p++;
        break;
    case '\'':
        if (!x->p[1] || x->p[2] != '\'') return error_set(x->e, "missing terminating ' character");
        *v = (uint8_t)x->p[1];
        x->p += 3;
        rc = 0;
        break;
    case '$': rc = parse_register(x, v); break;
    case 0: return error_set(x->e, "unexpected end of expression");
    default:
        if (digit_of(*x->p) > 9) return error_set(x->e, "invalid char '%c' in expression", *x->p);
        rc = parse_number(x, v);
    }
    x->depth--;
    skip(x);
    return rc;
}

static int parse_product(struct parser *x, uint64_t *v)
{
    uint64_t b;
    char op;

    if (parse_unary(x, v)) return -1;
    while ((op = *x->p) == '*' || op == '/' || op == '%') {
        x->p++;
        if (parse_unary(x, &b)) return -1;
        if (op == '*') {
            *v *= b;
        } else if (!b) {
            return error_set(x->e, "division by zero");
        } else if (b == UINT64_MAX) {
            *v = op == '/' ? 0 - *v : 0; /* the one signed quotient that may not fit */
        } else {
            *v = (uint64_t)(op == '/' ? (int64_t)*v / (int64_t)b : (int64_t)*v % (int64_t)b);
        }
    }
    return 0;
}

static int parse_sum(struct parser *x, uint64_t *v)
{
    uint64_t b;
    char op;

    if (parse_product(x, v)) return -1;
    while ((op = *x->p) == '+' || op == '-') {
        x->p++;
        if (parse_product(x, &b)) return -1;
        *v = op == '+' ? *v + b : *v - b;
    }
    return 0;
}

static int parse_logic(struct parser *x, uint64_t *v)
{
    uint64_t b;
    char op;

    if (parse_sum(x, v)) return -1;
    while ((op = *x->p) == '&' || op == '|' || op == '^') {
        x->p++;
        if (parse_sum(x, &b)) return -1;
        *v = op == '&' ? *v & b : op == '|' ? *v | b : *v ^ b;
    }
    return 0;
}

int expr_eval(const char **p, uint64_t *out, expr_reg_fn reg, void *opaque, struct error *e)
{
    struct parser x = { *p, reg, opaque, e, 0 };
    uint64_t v = 0;

    if (parse_logic(&x, &v)) return -1;
    *p = x.p;
    *out = v;
    return 0;
}
