/*
 * maps.c - reading the compiler's operands out of the section .quern.map, and the state out of registers by them.
 *
 * An operand is text as the assembler takes it (AT&T): %register, $number, or displacement(%base,%index,scale); then a minus and
 * what is to be subtracted.
 */
#include "jit-gccjit/maps.h"

#include "jit-gccjit/proto.h"

#include <stdlib.h>
#if defined __linux__ && defined __x86_64__
#include <cpuid.h>
#include <ucontext.h>
#define MAPS 1
#endif

enum where { IN_GPR, IN_XMM, IN_MEMORY, A_CONSTANT };
struct place {
    uint32_t offset;       /* of the cell in the CPU structure */
    uint8_t bytes, where;
    int8_t base, index;    /* registers; -1: none */
    uint8_t scale;
    int64_t k;
    int64_t less;
};
struct access { uint32_t at, point, first, n; };
struct gj_maps {
    struct access *access; /* ascending */
    struct place *place;
    unsigned n_access, n_places;
};

#ifdef MAPS
static const char *const gpr[16] = { "ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "8", "9", "10", "11", "12", "13", "14", "15" };
static const int greg[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

/* After the %: rax, eax, r8, r8d, xmm3. */
static int reg_number(const char **p, bool *xmm)
{
    const char *s = *p;
    *xmm = !strncmp(s, "xmm", 3);
    if (*xmm) {
        char *end;
        unsigned long n = strtoul(s + 3, &end, 10);
        *p = end;
        return end == s + 3 || n > 31 ? -1 : (int)n;
    }
    if (*s != 'r' && *s != 'e') return -1;
    s++;
    size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789");
    size_t core = len > 1 && s[len - 1] == 'd' && s[0] >= '0' && s[0] <= '9' ? len - 1 : len;
    *p = s + len;
    for (int i = 0; i < 16; i++) {
        if (strlen(gpr[i]) == core && !memcmp(gpr[i], s, core)) return i;
    }
    return -1;
}

static bool operand(const char **p, struct place *o)
{
    char *end;
    bool xmm;
    o->base = o->index = -1, o->scale = 1;
    if (**p == '%') {
        ++*p;
        o->base = (int8_t)reg_number(p, &xmm);
        o->where = xmm ? IN_XMM : IN_GPR;
        return o->base >= 0;
    }
    if (**p == '$') {
        o->where = A_CONSTANT;
        o->k = **p && (*p)[1] == '-' ? (int64_t)(0 - strtoull(*p + 2, &end, 0)) : (int64_t)strtoull(*p + 1, &end, 0);
        *p = end;
        return true;
    }
    o->where = IN_MEMORY;
    o->k = strtoll(*p, &end, 0);
    *p = end;
    if (*(*p)++ != '(') return false;
    if (**p == '%') {
        ++*p;
        o->base = (int8_t)reg_number(p, &xmm);
        if (o->base < 0 || xmm) return false;
    }
    if (**p == ',') {
        if (*++*p != '%') return false;
        ++*p;
        o->index = (int8_t)reg_number(p, &xmm);
        if (o->index < 0 || xmm) return false;
        if (**p == ',') {
            o->scale = (uint8_t)strtoul(*p + 1, &end, 10);
            *p = end;
        }
    }
    return *(*p)++ == ')';
}

static int by_address(const void *a, const void *b)
{
    const struct access *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

struct gj_maps *gj_maps_new(const uint8_t *p, size_t size, unsigned number, const char **why)
{
    const uint8_t *end = p + size;
    struct gj_maps *m = NEW(struct gj_maps);
    unsigned cap_a = 0, cap_p = 0;

    *why = NULL;
    while (end - p > 12 && !*why) {
        uint32_t at = ld32_host(p), region = ld32_host(p + 4), point = ld32_host(p + 8);
        const char *s = (const char *)p + 12;
        const uint8_t *zero = memchr(s, 0, (size_t)(end - p) - 12);
        if (!zero) {
            *why = "a map without end";
            break;
        }
        p = zero + 1;
        if (region != number) continue;
        if (m->n_access == cap_a) m->access = mem_realloc(m->access, (cap_a = cap_a * 2 + 64) * sizeof *m->access);
        struct access *a = &m->access[m->n_access++];
        *a = (struct access){ at, point, m->n_places, 0 };
        while (*s && !*why) {
            if (m->n_places == cap_p) m->place = mem_realloc(m->place, (cap_p = cap_p * 2 + 256) * sizeof *m->place);
            struct place *o = &m->place[m->n_places];
            char *e;
            *o = (struct place){ .offset = (uint32_t)strtoul(s, &e, 10) };
            if (*e == ',') o->bytes = (uint8_t)strtoul(e + 1, &e, 10);
            s = e + 1;
            bool good = *e == ',' && operand(&s, o) && *s++ == '-';
            if (good) {
                o->less = strtoll(s, &e, 10);
                s = e;
                good = *s++ == ';';
            }
            if (!good) *why = "a place of a variable that is not understood";
            else m->n_places++, a->n++;
        }
    }
    if (*why) {
        gj_maps_free(m);
        return NULL;
    }
    if (m->n_access) qsort(m->access, m->n_access, sizeof *m->access, by_address);
    return m;
}

/* Registers 16 to 31 of AVX-512, in what the kernel has saved by XSAVE (standard format) behind the legacy area: Intel's manual,
 * volume 1, chapter 13: bit 7 of the header's first word says whether they are there, else they are zero; where: cpuid. */
static const void *high_xmm(const void *fpregs, unsigned number)
{
    enum { HEADER = 512, SOFTWARE = 464, MAGIC = 0x46505853, PART = 7, PART_SIZE = 1024 };
    const uint8_t *p = fpregs;
    unsigned size, offset, c, d;
    if (ld32_host(p + SOFTWARE) != MAGIC || !(ld64_host(p + HEADER) >> PART & 1)) return NULL;
    if (!__get_cpuid_count(0xd, PART, &size, &offset, &c, &d) || size < PART_SIZE) return NULL;
    if (offset + (size_t)PART_SIZE > ld32_host(p + SOFTWARE + 16)) return NULL; /* size of it all */
    return p + offset + (number - 16) * 64;
}

bool gj_maps_recover(const struct gj_maps *m, const uint8_t *text, struct cpu *cpu, const void *context, const uint64_t *points)
{
    const ucontext_t *uc = context;
    const greg_t *r = uc->uc_mcontext.gregs;
    uint64_t at = (uint64_t)r[REG_RIP] - (uintptr_t)text;
    unsigned lo = 0, hi = m->n_access;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (m->access[mid].at < at) lo = mid + 1;
        else hi = mid;
    }
    if (lo == m->n_access || m->access[lo].at != at) return false;
    const struct access *a = &m->access[lo];
    for (unsigned i = a->first; i < a->first + a->n; i++) {
        const struct place *o = &m->place[i];
        uint64_t v = 0;
        switch (o->where) {
        case IN_GPR: v = (uint64_t)r[greg[o->base]]; break;
        case IN_XMM: {
            const void *p = o->base < 16 ? (const void *)&uc->uc_mcontext.fpregs->_xmm[o->base] : high_xmm(uc->uc_mcontext.fpregs, (unsigned)o->base);
            if (p) memcpy(&v, p, sizeof v);
            break;
        }
        case A_CONSTANT: v = (uint64_t)o->k; break;
        default: {
            uint64_t address = (uint64_t)o->k + (o->base < 0 ? 0 : (uint64_t)r[greg[o->base]]) + (o->index < 0 ? 0 : (uint64_t)r[greg[o->index]] * o->scale);
            memcpy(&v, (const void *)(uintptr_t)address, o->bytes);
        }
        }
        v -= (uint64_t)o->less;
        memcpy((char *)cpu + o->offset, &v, o->bytes); /* little-endian hosts */
    }
    cpu->xpoint = (uint32_t)points[a->point & ~(uint32_t)GJ_AGAIN];
    if (a->point & GJ_AGAIN) {
        /* What is invalid has not been found out yet (gen-fp.c); all of it will be done again. */
        if (uc->uc_mcontext.fpregs) uc->uc_mcontext.fpregs->mxcsr &= ~1u;
        jit_run_again(cpu, context);
    }
    return true;
}
#else
struct gj_maps *gj_maps_new(const uint8_t *p, size_t size, unsigned number, const char **why)
{
    (void)p, (void)size, (void)number;
    *why = NULL;
    return NULL;
}
bool gj_maps_recover(const struct gj_maps *m, const uint8_t *text, struct cpu *cpu, const void *context, const uint64_t *points)
{
    (void)m, (void)text, (void)cpu, (void)context, (void)points;
    return false;
}
#endif

void gj_maps_free(struct gj_maps *m)
{
    if (!m) return;
    free(m->access);
    free(m->place);
    free(m);
}
