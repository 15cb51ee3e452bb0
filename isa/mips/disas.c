/*
 * disas.c - text of MIPS and MIPS16e instructions, from the tables' syntax strings, spelled as GNU objdump does.
 *
 * Syntax letters, 32-bit set:
 *   s t d     GPR in bits 25:21, 20:16, 15:11     R T S D   FPR in bits 25:21, 20:16, 15:11, 10:6
 *   a A       shift amount or position; + 32      e E n N   field size: msbd + 1, + 33; from msb; from msb + 32
 *   j u o     immediate signed, hex; offset       b J X     branch target; jump target; jalx target
 *   c C       condition code in bits 20:18, 10:8  k h       hint in bits 20:16, 15:11
 *   q B K w   codes, left out when 0              y         sync type, left out when 0
 *   0 1 2 H   CP0 register and select, FPU control register, CP2 register, hardware register
 *   z         "zero"
 * MIPS16e: x y z registers, w v full register numbers (mov32r, movr32), G sp, R ra, Z zero, 4 8 immediate scaled,
 *   0 1 2 5-bit offsets scaled, k s u a immediates, b B branch targets, P pc-relative address, J jump target,
 *   m register list, c code
 */
#include "isa/mips/decode.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

static const char *const names_o32[32] = {
    "zero", "at", "v0", "v1", "a0", "a1", "a2", "a3", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7",
    "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "t8", "t9", "k0", "k1", "gp", "sp", "s8", "ra",
};
static const char *const names_n64[16] = {
    "zero", "at", "v0", "v1", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "t0", "t1", "t2", "t3",
};

/* CP0 registers by number; those with selects of their own names follow. */
static const char *const cp0_names[32] = {
    "index", "random", "entrylo0", "entrylo1", "context", "pagemask", "wired", "hwrena",
    "badvaddr", "count", "entryhi", "compare", "status", "cause", "epc", "prid",
    "config", "lladdr", "watchlo", "watchhi", "xcontext", NULL, NULL, "debug",
    "depc", "perfcnt", "errctl", "cacheerr", "taglo", "taghi", "errorepc", "desave",
};
static const struct { uint8_t reg, sel; const char *name; } cp0_selects[] = {
    { 0, 1, "mvpcontrol" }, { 0, 2, "mvpconf0" }, { 0, 3, "mvpconf1" },
    { 1, 1, "vpecontrol" }, { 1, 2, "vpeconf0" }, { 1, 3, "vpeconf1" }, { 1, 4, "yqmask" },
    { 1, 5, "vpeschedule" }, { 1, 6, "vpeschefback" },
    { 2, 1, "tcstatus" }, { 2, 2, "tcbind" }, { 2, 3, "tcrestart" }, { 2, 4, "tchalt" }, { 2, 5, "tccontext" },
    { 2, 6, "tcschedule" }, { 2, 7, "tcschefback" },
    { 4, 1, "contextconfig" }, { 5, 1, "pagegrain" },
    { 6, 1, "srsconf0" }, { 6, 2, "srsconf1" }, { 6, 3, "srsconf2" }, { 6, 4, "srsconf3" }, { 6, 5, "srsconf4" },
    { 12, 1, "intctl" }, { 12, 2, "srsctl" }, { 12, 3, "srsmap" }, { 15, 1, "ebase" },
    { 16, 1, "config1" }, { 16, 2, "config2" }, { 16, 3, "config3" },
    { 18, 1, "watchlo,1" }, { 18, 2, "watchlo,2" }, { 18, 3, "watchlo,3" }, { 18, 4, "watchlo,4" },
    { 18, 5, "watchlo,5" }, { 18, 6, "watchlo,6" }, { 18, 7, "watchlo,7" },
    { 19, 1, "watchhi,1" }, { 19, 2, "watchhi,2" }, { 19, 3, "watchhi,3" }, { 19, 4, "watchhi,4" },
    { 19, 5, "watchhi,5" }, { 19, 6, "watchhi,6" }, { 19, 7, "watchhi,7" },
    { 23, 1, "tracecontrol" }, { 23, 2, "tracecontrol2" }, { 23, 3, "usertracedata" }, { 23, 4, "tracebpc" },
    { 25, 1, "perfcnt,1" }, { 25, 2, "perfcnt,2" }, { 25, 3, "perfcnt,3" }, { 25, 4, "perfcnt,4" },
    { 25, 5, "perfcnt,5" }, { 25, 6, "perfcnt,6" }, { 25, 7, "perfcnt,7" },
    { 27, 1, "cacheerr,1" }, { 27, 2, "cacheerr,2" }, { 27, 3, "cacheerr,3" },
    { 28, 1, "datalo" }, { 28, 2, "taglo1" }, { 28, 3, "datalo1" }, { 28, 4, "taglo2" }, { 28, 5, "datalo2" },
    { 28, 6, "taglo3" }, { 28, 7, "datalo3" },
    { 29, 1, "datahi" }, { 29, 2, "taghi1" }, { 29, 3, "datahi1" }, { 29, 4, "taghi2" }, { 29, 5, "datahi2" },
    { 29, 6, "taghi3" }, { 29, 7, "datahi3" },
};

/* ---- other spellings ---- */
static const struct alias { const char *name, *pattern, *syntax; } aliases[] = {
#define ALIAS(n, p, s) { n, p, s },
#include "isa/mips/mips.def"
};
static struct mips_bits alias_bits[ARRAY_LEN(aliases)];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
    for (unsigned i = 0; i < ARRAY_LEN(aliases); i++) {
        for (const char *p = aliases[i].pattern; *p; p++) {
            if (*p == ' ') continue;
            alias_bits[i].mask = alias_bits[i].mask << 1 | (*p == '0' || *p == '1');
            alias_bits[i].match = alias_bits[i].match << 1 | (*p == '1');
        }
    }
}

/* ---- output ---- */
struct text {
    char *p;
    size_t left;
    bool is64;
    uint32_t insn;
    uint64_t pc;
};

ATTR_PRINTF(2, 3) static void put(struct text *t, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(t->p, t->left, fmt, ap);
    va_end(ap);
    if (n < 0 || !t->left) return;
    if ((size_t)n >= t->left) n = (int)t->left - 1;
    t->p += n, t->left -= (size_t)n;
}

static const char *gpr(const struct text *t, unsigned r)
{
    return t->is64 && r < 16 ? names_n64[r] : names_o32[r];
}

static void address(struct text *t, uint64_t va)
{
    put(t, "0x%" PRIx64, t->is64 ? va : (uint64_t)(uint32_t)va);
}

static void cp0_register(struct text *t, unsigned reg, unsigned sel)
{
    if (!sel && cp0_names[reg]) {
        put(t, "c0_%s", cp0_names[reg]);
        return;
    }
    for (unsigned i = 0; i < ARRAY_LEN(cp0_selects); i++) {
        if (cp0_selects[i].reg == reg && cp0_selects[i].sel == sel) {
            put(t, "c0_%s", cp0_selects[i].name);
            return;
        }
    }
    put(t, sel ? "$%u,%u" : "$%u", reg, sel);
}

static void fpu_control(struct text *t, unsigned reg)
{
    static const struct { uint8_t reg; const char *name; } names[] = {
        { 0, "c1_fir" }, { 1, "c1_ufr" }, { 4, "c1_unfr" }, { 25, "c1_fccr" }, { 26, "c1_fexr" }, { 28, "c1_fenr" }, { 31, "c1_fcsr" },
    };
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if (names[i].reg == reg) {
            put(t, "%s", names[i].name);
            return;
        }
    }
    put(t, "$%u", reg);
}

static void sync_type(struct text *t, unsigned type)
{
    (void)t, (void)type;
    if (type) put(t, "0x%x", type);
}

static void hw_register(struct text *t, unsigned reg)
{
    static const char *const names[4] = { "hwr_cpunum", "hwr_synci_step", "hwr_cc", "hwr_ccres" };
    if (reg < 4) put(t, "%s", names[reg]);
    else put(t, "$%u", reg);
}

static bool code(struct text *t, unsigned v)
{
    if (v) put(t, "0x%x", v);
    return v;
}

/* Does this operand vanish at its value? Then the comma before it must, too. */
static bool vanishes(char c, uint32_t insn)
{
    return c == 'q' && !(insn >> 6 & 0x3ff);
}

static void operand(struct text *t, char c)
{
    uint32_t i = t->insn;
    unsigned rs = i >> 21 & 31, rt = i >> 16 & 31, rd = i >> 11 & 31, sa = i >> 6 & 31;
    uint64_t next = t->pc + 4, region = next & ~(uint64_t)0xfffffff;

    switch (c) {
    case 's': put(t, "%s", gpr(t, rs)); break;
    case 't': put(t, "%s", gpr(t, rt)); break;
    case 'd': put(t, "%s", gpr(t, rd)); break;
    case 'R': put(t, "$f%u", rs); break;
    case 'T': put(t, "$f%u", rt); break;
    case 'S': put(t, "$f%u", rd); break;
    case 'D': put(t, "$f%u", sa); break;
    case 'a': put(t, "0x%x", sa); break;
    case 'A': put(t, "0x%x", sa + 32); break;
    case 'e': put(t, "0x%x", rd + 1); break;
    case 'E': put(t, "0x%x", rd + 33); break;
    case 'n': put(t, "0x%x", rd - sa + 1); break;
    case 'N': put(t, "0x%x", rd + 33 - sa); break;
    case 'j': case 'o': put(t, "%d", (int16_t)i); break;
    case 'u': put(t, "0x%x", i & 0xffff); break;
    case 'b': address(t, next + (uint64_t)((int64_t)(int16_t)i * 4)); break;
    case 'J': case 'X': address(t, region | (i & 0x3ffffff) << 2); break;
    case 'c': put(t, "$fcc%u", rt >> 2); break;
    case 'C': put(t, "$fcc%u", sa >> 2); break;
    case 'k': put(t, "0x%x", rt); break;
    case 'h': put(t, "0x%x", rd); break;
    case 'q': code(t, i >> 6 & 0x3ff); break;
    case 'B': code(t, i >> 6 & 0xfffff); break;
    case 'K':
        if (i >> 6 & 0xfffff) put(t, "0x%x", i >> 16 & 0x3ff);
        if (i >> 6 & 0x3ff) put(t, ",0x%x", i >> 6 & 0x3ff);
        break;
    case 'w': code(t, i >> 6 & 0x7ffff); break;
    case 'y': sync_type(t, sa); break;
    case '0': cp0_register(t, rd, i & 7); break;
    case '1': fpu_control(t, rd); break;
    case '2': put(t, "$%u", rt); break;
    case 'H': hw_register(t, rd); break;
    case 'z': put(t, "zero"); break;
    default: put(t, "%c", c); break;
    }
}

static void disas32(struct text *t, uint32_t levels)
{
    const char *name, *syntax;
    int line = mips_decode(t->insn, levels);

    pthread_once(&once, init);
    if (line < 0) {
        put(t, ".word\t0x%x", t->insn);
        return;
    }
    name = mips_insns[line].name, syntax = mips_insns[line].syntax;
    for (unsigned i = 0; i < ARRAY_LEN(aliases); i++) {
        if ((t->insn & alias_bits[i].mask) == alias_bits[i].match) {
            name = aliases[i].name, syntax = aliases[i].syntax;
            break;
        }
    }
    put(t, "%s", name);
    char *start = t->p;
    if (*syntax) put(t, "\t");
    char *operands = t->p;
    for (const char *s = syntax; *s; s++) {
        if (*s == ',' && vanishes(s[1], t->insn)) continue;
        operand(t, *s);
    }
    if (t->p == operands && t->left) *(t->p = start) = 0; /* nothing came: no tab */
}

/* ---- MIPS16e ---- */
static void list16(struct text *t)
{
    static const uint8_t n_args[16] = { 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 0, 3, 3, 4, 0 };
    static const uint8_t n_statics[16] = { 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 4, 0, 1, 0, 0 };
    uint32_t i = t->insn, e = i >> 16;
    unsigned size = (e & 0xf0) | (i & 15), args = n_args[e & 15], statics = n_statics[e & 15], xs = e >> 8 & 7;
    unsigned s = (i >> 5 & 1) | (i >> 4 & 1) << 1; /* bit 0: s0, bit 1: s1 */

    if (args == 1) put(t, "a0,");
    else if (args) put(t, "a0-a%u,", args - 1);
    put(t, "%u", !e && !size ? 128 : size * 8);
    if (i & 0x40) put(t, ",ra");
    /* s0, s1 and s2.. are written as ranges where they are neighbours */
    for (unsigned r = 0; r < 8; r++) {
        uint32_t set = s | ((1u << MIN(xs, 6u)) - 1) << 2;
        if (!(set >> r & 1)) continue;
        unsigned last = r;
        while (last < 7 && set >> (last + 1) & 1) last++;
        if (last > r) put(t, ",s%u-s%u", r, last);
        else put(t, ",s%u", r);
        r = last;
    }
    if (xs == 7) put(t, ",s8");
    if (statics == 1) put(t, ",a3");
    else if (statics) put(t, ",a%u-a3", 4 - statics);
}

static int32_t ext16(uint32_t i)
{
    uint32_t e = i >> 16;
    return (int16_t)((e & 0x1f) << 11 | (e & 0x7e0) | (i & 0x1f));
}

static int32_t signed_field(uint32_t v, unsigned n)
{
    int32_t sign = 1 << (n - 1);
    return (int32_t)((v & ((1u << n) - 1)) ^ (uint32_t)sign) - sign;
}

static void operand16(struct text *t, char c, unsigned len)
{
    static const uint8_t xlat[8] = { 16, 17, 2, 3, 4, 5, 6, 7 };
    uint32_t i = t->insn, e = i >> 16;
    bool ext = len == 4;
    unsigned jump = (e & 0x1f) << 21 | (e & 0x3e0) << 11 | (i & 0xffff);

    switch (c) {
    case 'x': put(t, "%s", gpr(t, xlat[i >> 8 & 7])); break;
    case 'y': put(t, "%s", gpr(t, xlat[i >> 5 & 7])); break;
    case 'z': put(t, "%s", gpr(t, xlat[i >> 2 & 7 ])); break;
    case 'r': put(t, "%s", gpr(t, xlat[i & 7])); break;
    case 'w': put(t, "%s", gpr(t, (i >> 5 & 7) | (i & 0x18))); break;
    case 'v': put(t, "%s", gpr(t, i & 31)); break;
    case 'G': put(t, "sp"); break;
    case 'R': put(t, "ra"); break;
    case 'Z': put(t, "zero"); break;
    case '4': put(t, "%d", ext ? ext16(i) : (int32_t)(i & 0xff) * 4); break;
    case '8': put(t, "%d", ext ? ext16(i) : signed_field(i, 8) * 8); break;
    case '0': case '1': case '2': put(t, "%d", ext ? ext16(i) : (int32_t)(i & 31) << (c - '0')); break;
    case 'k': put(t, "%d", ext ? signed_field((e & 15) << 11 | (e & 0x7f0) | (i & 15), 15) : signed_field(i, 4)); break;
    case 's': put(t, "%d", ext ? ext16(i) : signed_field(i, 8)); break;
    case 'u': put(t, "%d", ext ? ext16(i) : (int32_t)(i & 0xff)); break;
    case 'U': put(t, "%d", ext ? ext16(i) & 0xffff : (int32_t)(i & 0xff)); break;
    case 'a': put(t, "%u", ext ? i >> 22 & 31 : (i >> 2 & 7) ? i >> 2 & 7 : 8); break;
    case 'b': address(t, (t->pc + len + (uint64_t)((int64_t)(ext ? ext16(i) : signed_field(i, 8)) * 2)) | 1); break;
    case 'B': address(t, (t->pc + len + (uint64_t)((int64_t)(ext ? ext16(i) : signed_field(i, 11)) * 2)) | 1); break;
    case 'P': address(t, (t->pc & ~(uint64_t)3) + (uint64_t)(int64_t)(ext ? ext16(i) : (int32_t)(i & 0xff) * 4)); break;
    case 'J': address(t, ((t->pc + 4) & ~(uint64_t)0xfffffff) | jump << 2 | !(e >> 10 & 1)); break; /* bit 0: ISA mode */
    case 'm': list16(t); break;
    case 'c': put(t, "0x%x", i >> 5 & 0x3f); break;
    default: put(t, "%c", c); break;
    }
}

static unsigned disas16(struct text *t, const uint8_t *bytes, size_t n, bool be)
{
    uint32_t first = be ? ld16_be(bytes) : ld16_le(bytes);
    bool extend = first >> 11 == 0x1e, jal = first >> 11 == 3;
    unsigned len = extend || jal ? 4 : 2;
    int line;

    t->insn = first;
    if (len == 4) {
        if (n < 4) return 0;
        t->insn = first << 16 | (be ? ld16_be(bytes + 2) : ld16_le(bytes + 2));
    }
    line = mips16_decode(jal ? t->insn : t->insn & 0xffff);
    if (line < 0 || (extend && !(mips_insns[line].flags & MF_EXT))) {
        if (extend) put(t, "extend\t0x%x", first & 0x7ff);
        else put(t, ".short\t0x%x", first);
        return 2;
    }
    if (t->insn == 0x6500) { /* move zero,s0 */
        put(t, "nop");
        return 2;
    }
    put(t, "%s", mips_insns[line].name);
    const char *s = mips_insns[line].syntax;
    if (*s) put(t, "\t");
    /* the first operand is left out where the second is the same register */
    bool shift = !strcmp(s, "x,y,a"), alu = !strcmp(s, "z,x,y");
    if ((shift && (t->insn >> 8 & 7) == (t->insn >> 5 & 7)) || (alu && (t->insn >> 2 & 7) == (t->insn >> 8 & 7))) s += 2;
    for (; *s; s++) operand16(t, *s, len);
    return len;
}

unsigned mips_disas(const struct cpu *cpu, uint64_t key, uint64_t pc, const uint8_t *bytes, size_t n, char *out, size_t size)
{
    const struct mips_cpu *m = (const struct mips_cpu *)cpu;
    struct text t = { .p = out, .left = size, .is64 = m->is64, .pc = pc };

    if (size) *out = 0;
    if (key & MK_M16) return n < 2 ? 0 : disas16(&t, bytes, n, key & MK_BE);
    if (n < 4) return 0;
    t.insn = key & MK_BE ? ld32_be(bytes) : ld32_le(bytes);
    disas32(&t, m->model->isa);
    return 4;
}
