/*
 * insn.c - a guest program that runs random encodings of every line of mips.def on random operands and prints one hash of
 * the results per line. The expected outputs (*.txt here) come from qemu-user; see build.sh.
 *
 * It needs nothing of an OS but write, exit and cacheflush. The table is included as it is, so a new line is
 * tested as soon as this is built anew. Left out, as their effect is not a result: privileged instructions, traps and
 * breaks that would be taken, time. UNPREDICTABLE operands are avoided.
 */
#include <stdint.h>

#if defined(__mips64) && _MIPS_SIM == _ABIN32
#define WRITE 6001
#define EXIT 6058
#define FLUSH 6197
typedef uint64_t reg;
#elif defined(__mips64)
#define WRITE 5001
#define EXIT 5058
#define FLUSH 5197
typedef uint64_t reg;
#else
#define WRITE 4004
#define EXIT 4001
#define FLUSH 4147
typedef uint32_t reg;
#endif

enum {
    MIPS_1 = 1, MIPS_2 = 2, MIPS_3 = 4, MIPS_4 = 8, MIPS_5 = 16, MIPS_32 = 32, MIPS_32R2 = 64, MIPS_64 = 128,
    MIPS_64R2 = 256, MIPS_16E = 1 << 12,
    ML_R2 = MIPS_32R2 | MIPS_64R2, ML_64R2 = MIPS_64R2, ML_64 = MIPS_64 | MIPS_64R2, ML_32 = MIPS_32 | ML_64 | ML_R2,
    ML_5 = MIPS_5 | ML_64, ML_4 = MIPS_4 | ML_5, ML_3 = MIPS_3 | ML_4, ML_2 = MIPS_2 | ML_3 | ML_32, ML_1 = MIPS_1 | ML_2,
    ML_5_R2 = ML_5 | ML_R2, ML_4_R2 = ML_4 | ML_R2, ML_3_R2 = ML_3 | ML_R2, ML_4_32 = ML_4 | ML_32, ML_3_32 = ML_3 | ML_32,
    MF_RD = 1, MF_RT = 2, MF_RA = 4, MF_FCC = 8, MF_BR = 16, MF_64 = 32, MF_CP0 = 64, MF_CP1 = 128, MF_COP1X = 256,
    MF_MORE = 512, MF_EXT = 1024,
#ifdef __mips64
    TARGET = MIPS_1 | MIPS_2 | MIPS_3 | MIPS_4 | MIPS_5 | MIPS_32 | MIPS_32R2 | MIPS_64 | MIPS_64R2,
#else
    TARGET = MIPS_1 | MIPS_2 | MIPS_32 | MIPS_32R2,
#endif
};
struct line { const char *name, *pattern, *syntax; uint32_t levels, flags; };
static const struct line lines[] = {
#define INSN(n, p, s, l, f, fn, a) { n, p, s, l, f },
#include "isa/mips/mips.def"
};
#ifdef MIPS16
static const struct line lines16[] = {
#define INSN16(n, p, s, f, fn, a) { n, p, s, MIPS_16E, f },
#include "isa/mips/mips16.def"
};
#endif

/* ---- system ---- */
static long call3(long n, long a, long b, long c)
{
    register long v0 __asm__("$2") = n, a0 __asm__("$4") = a, a1 __asm__("$5") = b, a2 __asm__("$6") = c, a3 __asm__("$7");
    __asm__ volatile("syscall" : "+r"(v0), "=r"(a3) : "r"(a0), "r"(a1), "r"(a2)
                     : "memory", "$1", "$3", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15", "$24", "$25", "hi", "lo");
    return v0;
}

static char out[60];
static unsigned n_out;
static void put(char c)
{
    out[n_out++] = c;
    if (c == '\n' || n_out == sizeof out) call3(WRITE, 1, (long)out, n_out), n_out = 0;
}
static void puts_(const char *s) { while (*s) put(*s++); }
static void hex(uint32_t v) { for (int i = 28; i >= 0; i -= 4) put("0123456789abcdef"[v >> i & 15]); }
static int same(const char *a, const char *b)
{
    while (*a && *a == *b) a++, b++;
    return *a == *b;
}
static int has(const char *s, char c)
{
    for (; *s; s++) if (*s == c) return 1;
    return 0;
}
static int ends(const char *s, const char *tail)
{
    const char *p = s, *q = tail;
    while (*p) p++;
    while (*q) q++;
    while (q > tail && p > s) if (*--p != *--q) return 0;
    return q == tail;
}
static int starts(const char *s, const char *head)
{
    while (*head) if (*s++ != *head++) return 0;
    return 1;
}
void *memset(void *p, int c, unsigned long n);
void *memset(void *p, int c, unsigned long n)
{
    for (char *q = p; n--;) *q++ = (char)c;
    return p;
}

static uint32_t rng = 0x2545f491;
static uint32_t rnd(void)
{
    rng ^= rng << 13, rng ^= rng >> 17, rng ^= rng << 5;
    return rng;
}

/* ---- running one instruction ---- */
struct context {              /* offsets are used in run_case */
    reg gpr[32];              /* 2..24 are loaded and stored */
    reg hi, lo;
    uint64_t fpr[32];
    uint32_t fcsr, pad;
};
static struct context in, result;
static union { uint8_t b[256]; uint32_t w[64]; } mem_ __attribute__((aligned(16)));
#define memory mem_.b
static uint32_t code[64] __attribute__((aligned(64)));
void run_case(struct context *in, struct context *out, void *code);

static uint32_t hash;
static void mix(uint32_t v)
{
    hash = (hash ^ v) * 16777619u;
    hash ^= hash >> 15;
}

static uint32_t word(void)
{
    static const uint32_t special[] = { 0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x8000, 0x7fff, 0xffff8000, 31, 32, 63 };
    uint32_t r = rnd();
    if (r % 3 == 0) return special[rnd() % (sizeof special / sizeof *special)];
    if (r % 3 == 1) return rnd() >> (rnd() & 31);
    return rnd();
}

/* nans: 3 signalling ones only, 4 also the default quiet one (which quiet NaN a result is, is not laid down) */
static uint32_t single(int nans)
{
    static const uint32_t special[] = { 0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x00800000, 0x7f7fffff,
        0x4f000000, 0xcf000000, 0x4effffff, 0x5f000000, 0x3f000000, 0x40200000, 0x3fc00000,
        0x7fc00000, 0xffffffff, 0x7fc12345, 0x7fbfffff };
    uint32_t r = rnd();
    if (r % 3 == 0) return special[rnd() % (nans ? 15 + nans : 15)];
    if (r % 3 == 1) return (rnd() & 0x807fffff) | (100 + rnd() % 60) << 23;
    return (rnd() & 0x80000000) | (rnd() % 0x7f000000 + 0x800000);
}

static uint64_t pair(uint32_t hi, uint32_t lo) { return (uint64_t)hi << 32 | lo; }
static uint64_t dbl(int nans)
{
    static const uint32_t special[] = { 0, 0x80000000, 0x3ff00000, 0xbff00000, 0x7ff00000, 0xfff00000, 0x00100000, 0x41e00000,
        0xc1e00000, 0x43e00000, 0xc3e00000, 0x3fe00000, 0x40040000, 0x3ff80000, 0x7ff80000, 0xfff80000 };
    uint32_t r = rnd();
    if (r % 4 == 0) return pair(special[rnd() % (nans ? 16 : 14)], 0);
    if (r % 4 == 1 && nans) return pair(0x7ff7ffff, 0xffffffff);
    if (r % 4 == 2) return pair((rnd() & 0x800fffff) | (980 + rnd() % 110) << 20, rnd() & 0xffff0000);
    return pair((rnd() & 0x80000000) | (rnd() % 0x7fd00000 + 0x100000), rnd());
}

static void flush(void) { call3(FLUSH, (long)code, sizeof code, 3); }

static void set_field(uint32_t *insn, int shift, uint32_t v) { *insn = (*insn & ~(31u << shift)) | v << shift; }
static uint32_t any_reg(void) { return rnd() % 12 ? 2 + rnd() % 14 : 0; }

static void fill(const struct line *l)
{
    int nans = !starts(l->name, "abs") && !starts(l->name, "neg.") && !starts(l->name, "nm") && !starts(l->name, "r");
    if (nans) nans = starts(l->name, "cvt.") ? 3 : 4;
    for (int i = 0; i < 32; i++) {
        uint32_t w = word();
        if (same(l->name, "add") || same(l->name, "sub") || same(l->name, "addi")) w = (uint32_t)((int32_t)w >> 2) & ~0x8000u;
        in.gpr[i] = (reg)(int32_t)w;
#ifdef __mips64
        if (l->flags & MF_64 || rnd() % 8 == 0) {
            if (l->flags & MF_64) in.gpr[i] = rnd() & 1 ? pair(word(), rnd()) : (uint64_t)(int64_t)(int32_t)w;
            if (same(l->name, "dadd") || same(l->name, "dsub") || same(l->name, "daddi")) in.gpr[i] = (reg)((int64_t)in.gpr[i] >> 2) & ~(reg)0x8000;
        }
#endif
        in.fpr[i] = ends(l->name, ".s") || ends(l->name, "c1") || rnd() % 8 == 0 ? pair(single(nans), single(nans)) : dbl(nans);
        if (ends(l->name, ".w") && starts(l->name, "cvt")) in.fpr[i] = pair(word(), word());
        if (ends(l->name, ".l") && starts(l->name, "cvt")) in.fpr[i] = pair(word(), word());
    }
    in.hi = (reg)(int32_t)rnd(), in.lo = (reg)(int32_t)rnd();
    in.fcsr = (rnd() & 3) | (rnd() & 0xfe) << 24 | (rnd() & 1) << 23;
    for (int i = 0; i < 64; i++) mem_.w[i] = rnd();
}

static void run(const struct line *l)
{
    run_case(&in, &result, code);
    for (int i = 2; i <= 24; i++) {
        mix((uint32_t)result.gpr[i]);
        mix((uint32_t)((uint64_t)result.gpr[i] >> 32));
    }
    if (!same(l->name, "mul")) { /* leaves them UNPREDICTABLE */
        mix((uint32_t)result.hi), mix((uint32_t)result.lo);
        mix((uint32_t)((uint64_t)result.hi >> 32)), mix((uint32_t)((uint64_t)result.lo >> 32));
    }
    for (int i = 0; i < 32; i++) mix((uint32_t)result.fpr[i]), mix((uint32_t)(result.fpr[i] >> 32));
    /* Cause after an instruction of two operations is a matter of taste */
    mix(l->flags & MF_COP1X || starts(l->name, "r") ? result.fcsr & ~0x3f000u : result.fcsr);
    for (int i = 0; i < 64; i++) mix(mem_.w[i]);
}

static int skipped(const struct line *l)
{
    static const char *const names[] = { "syscall", "break", "sdbbp", "rdhwr", "lwc2", "ldc2", "swc2", "sdc2", "cop2", "ll",
        "lld", "sc", "scd", "synci", "jalx", "cfc1", "ctc1", "jr", "jalr", "jr.hb", "jalr.hb", "j", "jal" };
    if (!(l->levels & TARGET) || l->flags & MF_CP0) return 1;
#ifndef __mips64
    /* the format L and these need FR=1 */
    const char *dot = l->name;
    while (*dot && !(dot[0] == '.' && dot[1] == 'l' && (dot[2] == '.' || !dot[2]))) dot++;
    if ((*dot && l->flags & MF_CP1 && !starts(l->name, "c.")) || same(l->name, "luxc1") || same(l->name, "suxc1")) return 1;
#endif
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) if (same(l->name, names[i])) return 1;
    return 0;
}

static void bits_of(const struct line *l, uint32_t *mask, uint32_t *match)
{
    *mask = *match = 0;
    for (const char *p = l->pattern; *p; p++) {
        if (*p == ' ') continue;
        *mask = *mask << 1 | (*p == '0' || *p == '1');
        *match = *match << 1 | (*p == '1');
    }
}

/* Registers 2..15 or zero where the syntax has GPRs; doubles in even registers. */
static uint32_t encode(const struct line *l)
{
    uint32_t mask, match, insn, rd, sa;
    int even = (!ends(l->name, ".s") || starts(l->name, "cvt.")) && l->flags & MF_CP1, mem = has(l->syntax, '(');

    bits_of(l, &mask, &match);
    insn = (rnd() & ~mask) | match;
    for (const char *s = l->syntax; *s; s++) {
        int shift = *s == 's' || *s == 'R' ? 21 : *s == 't' || *s == 'T' ? 16 : *s == 'd' || *s == 'S' ? 11 : *s == 'D' ? 6 : -1;
        if (shift < 0) continue;
        if (*s >= 'a') set_field(&insn, shift, any_reg());
        else if (even) insn &= ~(1u << shift);
    }
    if (mem) {
        uint32_t size = same(l->name, "lwl") || same(l->name, "lwr") || same(l->name, "swl") || same(l->name, "swr") ||
                        starts(l->name, "ldl") || starts(l->name, "ldr") || starts(l->name, "sdl") || starts(l->name, "sdr") ||
                        same(l->name, "lb") || same(l->name, "lbu") || same(l->name, "sb") || same(l->name, "pref") ||
                        same(l->name, "prefx") || starts(l->name, "lux") || starts(l->name, "sux") ? 1 : 8;
        set_field(&insn, 21, 16); /* base: r16 */
        in.gpr[16] = (reg)(long)(memory + 128);
        if (has(l->syntax, 'o')) {
            insn = (insn & 0xffff0000) | ((rnd() % 208 - 104) & (0u - size) & 0xffff);
        } else {
            set_field(&insn, 16, 17);
            in.gpr[17] = (reg)(int32_t)((rnd() % 208 - 104) & (0u - size));
        }
        if (l->syntax[0] == 't' && rnd() % 8 == 0 && same(l->name, "lw")) set_field(&insn, 16, 16);
    }
    rd = insn >> 11 & 31, sa = insn >> 6 & 31;
    if (has(l->syntax, 'e')) set_field(&insn, 11, rd % (32 - sa));
    if (has(l->syntax, 'E')) set_field(&insn, 11, rd % (32 - sa));
    if (has(l->syntax, 'n') && rd < sa) set_field(&insn, 11, sa + rd % (32 - sa));
    if (starts(l->name, "div") || starts(l->name, "ddiv")) {
        if (!(insn >> 16 & 31)) set_field(&insn, 16, 3);
        if (!in.gpr[insn >> 16 & 31] || !(uint32_t)in.gpr[insn >> 16 & 31]) in.gpr[insn >> 16 & 31] = 7;
        /* the most negative number by -1 overflows */
        if (in.gpr[insn >> 16 & 31] == (reg)-1) in.gpr[insn >> 16 & 31] = (reg)-3;
        if (starts(l->name, "div.")) insn = (rnd() & ~mask) | match, insn &= even ? ~(1u << 6 | 1u << 11 | 1u << 16) : ~0u;
    }
    if (starts(l->name, "cl") || starts(l->name, "dcl")) set_field(&insn, 16, insn >> 11 & 31);
    if (l->name[0] == 't' && has(l->syntax, 's')) { /* a trap that is not taken: r2 against r3 or -5 */
        set_field(&insn, 21, 2);
        if (has(l->syntax, 'j')) insn = (insn & ~0xffffu) | 0xfffb;
        else set_field(&insn, 16, 3);
        in.gpr[3] = (reg)-5;
        in.gpr[2] = starts(l->name, "teq") ? 4 : starts(l->name, "tge") ? (reg)-6 : (reg)-5;
    }
    return insn;
}

enum { JR_RA = 0x03e00008, JR_T9 = 0x03200008, NOP = 0, MOVE_T9_RA = 0x03e0c821 };

/* A branch over two instructions that leave marks, with a delay slot that may change what it tests. */
static void place_branch(const struct line *l)
{
    uint32_t insn = encode(l), rs = insn >> 21 & 31, rt = insn >> 16 & 31, slot, n = 0;
    int dir = rnd() & 1; /* backwards? */

    if (rnd() & 1 && has(l->syntax, 't')) in.gpr[rt] = in.gpr[rs];
    if (rnd() % 4 == 0) in.gpr[rs] = 0;
    slot = NOP;
    switch (rnd() % 5) {
    case 0: slot = 0x24000001 | rs << 21 | rs << 16; break;          /* addiu rs, rs, 1 */
    case 1: slot = has(l->syntax, 't') ? 0x24000001 | rt << 21 | rt << 16 : 0x24420001; break;
    case 2: slot = 0x46000032 | (rnd() & 7) << 8 | (rnd() & 14) << 16 | (rnd() & 14) << 11; break; /* c.eq.s cc */
    case 3: slot = 0x00001010; break;                                /* mfhi v0 */
    }
    code[n++] = MOVE_T9_RA;
    if (dir) {
        code[n++] = 0x10000005;          /* b to the branch below */
        code[n++] = NOP;
        code[n++] = 0x26940001;          /* addiu s4, s4, 1: only reached backwards */
        code[n++] = JR_T9;
        code[n++] = 0x26b50001;          /* addiu s5, s5, 1 */
        code[n++] = 0x26d60001;          /* addiu s6, s6, 1 */
        code[n] = (insn & 0xffff0000) | (0xffff & (3 - (n + 1)));
        n++;
    } else {
        code[n++] = (insn & 0xffff0000) | 3;
    }
    code[n++] = slot;
    code[n++] = 0x26940101;              /* addiu s4, s4, 257 */
    code[n++] = 0x26b50003;              /* addiu s5, s5, 3 */
    code[n++] = 0x26d60005;              /* addiu s6, s6, 5 */
    code[n++] = l->flags & MF_RA ? 0x03f91023 : NOP;  /* subu v0, ra, t9: what was linked, relative */
    code[n++] = JR_T9;
    code[n++] = NOP;
}

static void test_jumps(void)
{
    static const struct line l = { "jump", "", "", MIPS_1, 0 };
    hash = 1;
    for (int i = 0; i < 60; i++) {
        uint32_t n = 0, target;
        fill(&l);
        target = (uint32_t)(long)&code[6];
        code[n++] = MOVE_T9_RA;
        in.gpr[3] = (reg)(long)&code[6];
        switch (i % 6) {
        case 0: code[n++] = 0x08000000 | (target >> 2 & 0x3ffffff); break;       /* j */
        case 1: code[n++] = 0x0c000000 | (target >> 2 & 0x3ffffff); break;       /* jal */
        case 2: code[n++] = 0x00600008; break;                                   /* jr v1 */
        case 3: code[n++] = 0x0060f809; break;                                   /* jalr v1 */
        case 4: code[n++] = 0x00602009; break;                                   /* jalr a0, v1 */
        default: code[n++] = 0x0c000000 | (target >> 2 & 0x3ffffff); break;
        }
        code[n++] = i % 6 == 4 ? 0x24840001 : i % 12 < 6 ? 0x24630001 : 0x26940001;     /* slot: changes the link, target or a mark */
        code[n++] = 0x26b50003;
        code[n++] = 0x26d60005;
        code[n++] = 0x26d60009;
        code[n++] = 0x03f91023;          /* subu v0, ra, t9 */
        code[n++] = i % 6 == 4 ? 0x00832023 : 0x00631823; /* subu a0, a0, v1; v1 = 0 */
        code[n++] = JR_T9;
        code[n++] = 0x00001821;
        if (i % 6 != 1 && i % 6 != 3 && i % 6 != 5) code[6] = NOP;
        flush();
        run_case(&in, &result, code);
        result.gpr[3] = 0;
        for (int k = 2; k <= 24; k++) mix((uint32_t)(k == 2 && code[6] != NOP ? 0 : result.gpr[k]));
    }
    puts_("jumps "), hex(hash), put('\n');
}

static void test_llsc(void)
{
    hash = 1;
    for (int i = 0; i < 20; i++) {
        long r = i, old = 0, t = 0;
        memory[3] = (uint8_t)i;
        __asm__ volatile(".set push\n.set noreorder\nll %0,0(%3)\n addiu %1,%0,5\n sc %1,0(%3)\n lw %2,0(%3)\n .set pop"
                         : "=&r"(old), "=&r"(r), "=&r"(t) : "r"(memory + 4 * (i & 7)) : "memory");
        mix((uint32_t)old), mix((uint32_t)r), mix((uint32_t)t);mix((uint32_t)old), mix((uint32_t)r), mix((uint32_t)t);
        /* a failing one: linked to another address */
        r = 7;
        __asm__ volatile(".set push\n.set noreorder\nll %0,0(%3)\n sc %1,4(%3)\n lw %2,4(%3)\n .set pop"
                         : "=&r"(old), "+r"(r), "=&r"(t) : "r"(memory + 4 * (i & 7)) : "memory");
        mix((uint32_t)old), mix((uint32_t)r), mix((uint32_t)t);mix((uint32_t)old), mix((uint32_t)r), mix((uint32_t)t);
#ifdef __mips64
        __asm__ volatile(".set push\n.set noreorder\nlld %0,0(%3)\n daddiu %1,%0,5\n scd %1,0(%3)\n ld %2,0(%3)\n .set pop"
                         : "=&r"(old), "=&r"(r), "=&r"(t) : "r"(memory + 8 * (i & 7)) : "memory");
        mix((uint32_t)old), mix((uint32_t)r), mix((uint32_t)t), mix((uint32_t)((uint64_t)t >> 32));
#endif
    }
    puts_("llsc "), hex(hash), put('\n');
}

static void test_fcsr(void)
{
    static const uint32_t values[] = { 0, 3, 0x7c, 0x01000000, 0xfe800000, 0x02000001, 0x7d, 0x0003f000 & 0 };
    hash = 1;
    for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
        uint32_t a, b, c, d, v = values[i], w = 0xa5;
        __asm__ volatile(".set push\n.set noreorder\nctc1 %4,$31\n cfc1 %0,$25\n cfc1 %1,$26\n cfc1 %2,$28\n ctc1 %5,$25\n nop\n cfc1 %3,$31\n ctc1 $0,$31\n nop\n.set pop"
                         : "=&r"(a), "=&r"(b), "=&r"(c), "=&r"(d) : "r"(v), "r"(w));
        mix(a), mix(b), mix(c), mix(d);
    }
    puts_("fcsr "), hex(hash), put('\n');
}

#ifdef MIPS16
/* MIPS16e: registers 2..7, 16 and 17; no sp, no branches. */
static void test_mips16(void)
{
    for (unsigned i = 0; i < sizeof lines16 / sizeof *lines16; i++) {
        const struct line *l = &lines16[i];
        uint32_t mask, match;
        uint16_t *h = (uint16_t *)code;
        if (l->flags & MF_BR || has(l->syntax, 'G') || has(l->syntax, 'P') || has(l->syntax, 'm') || has(l->syntax, 'c')) continue;
        bits_of(l, &mask, &match);
        hash = 1;
        for (int k = 0; k < 32; k++) {
            uint32_t insn = (rnd() & ~mask) | match, ext = 0, n = 0;
            fill(l);
            if (has(l->syntax, 'w')) insn = (insn & 0xff07) | ((rnd() & 7) << 5) | (rnd() & 8);
            if (has(l->syntax, 'w') && (insn & 0xe8) == 0) insn |= 0x40; /* r0, r1: not ours */
            if (has(l->syntax, 'w') && (insn & 0xf8) == 0x20) insn |= 0x40;
            if (has(l->syntax, 'v')) insn = (insn & 0xffe0) | (2 + rnd() % 14);
            if (l->flags & MF_EXT && rnd() & 1) ext = 0xf000 | (rnd() & 0x7ff);
            if (has(l->syntax, '(')) {
                uint32_t x = insn >> 8 & 7, r = x < 2 ? 16 + x : x;
                in.gpr[r] = (reg)(long)(memory + 64);
                if (ext) ext = 0xf000 | (rnd() & 0x60), insn &= 0xfff8; /* extended offsets are not scaled */
                if (same(l->name, "sb") || same(l->name, "lb")) ext = ext ? 0xf7ff : 0;
            } else if (ext && has(l->syntax, 'a')) {
                ext = 0xf000 | (rnd() & 31) << 6, insn &= ~0x1cu;
            }
            if (starts(l->name, "div")) {
                uint32_t y = insn >> 5 & 7, r = y < 2 ? 16 + y : y;
                if (!in.gpr[r] || in.gpr[r] == (reg)-1) in.gpr[r] = 9;
            }
            if (ext) h[n++] = (uint16_t)ext;
            h[n++] = (uint16_t)insn;
            h[n++] = 0xe820; /* jr ra */
            h[n++] = 0x6500; /* nop */
            flush();
            run_case(&in, &result, (char *)code + 1);
            for (int r = 2; r <= 24; r++) {
                /* the base register is an address: only that it stays */
                mix(result.gpr[r] == (reg)(long)(memory + 64) ? 64 : (uint32_t)result.gpr[r]);
            }
            mix((uint32_t)result.hi), mix((uint32_t)result.lo);
            for (int b = 0; b < 64; b++) mix(mem_.w[b]);
        }
        puts_("m16 "), puts_(l->name), put(' '), puts_(l->syntax), put(' '), hex(hash), put('\n');
    }
}
#endif

void start_c(void);
void start_c(void)
{
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++) {
        const struct line *l = &lines[i];
        if (skipped(l)) continue;
        hash = 1;
        for (int k = 0; k < 32; k++) {
            fill(l);
            if (l->flags & MF_BR) {
                place_branch(l);
            } else {
                code[0] = encode(l);
                code[1] = JR_RA;
                code[2] = NOP;
            }
            flush();
            reg base = has(l->syntax, '(') ? in.gpr[16] : 0;
            if (base) {
                run_case(&in, &result, code);
                /* addresses depend on where things lie */
                if (result.gpr[16] == base) result.gpr[16] = 0;
                for (int r = 2; r <= 24; r++) mix((uint32_t)result.gpr[r]), mix((uint32_t)((uint64_t)result.gpr[r] >> 32));
                for (int r = 0; r < 32; r++) mix((uint32_t)result.fpr[r]), mix((uint32_t)(result.fpr[r] >> 32));
                for (int b = 0; b < 64; b++) mix(mem_.w[b]);
            } else {
                run(l);
            }
        }
        puts_(l->name), put(' '), puts_(l->pattern), put(' '), hex(hash), put('\n');
    }
    test_jumps();
    test_llsc();
    test_fcsr();
#ifdef MIPS16
    test_mips16();
#endif
    call3(EXIT, 0, 0, 0);
}
