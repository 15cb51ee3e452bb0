/*
 * test-mips-table.c - the MIPS instruction tables: no two lines overlap, every line decodes to itself, and the
 * disassembler writes what GNU objdump writes.
 *
 * The expected texts in tests/mips-disas.txt were made once, with binutils 2.40, by
 *   tests/mips-disas.sh ./test-mips-table > tests/mips-disas.txt
 * Each line is the instruction set, the address, the encoding and the text.
 */
#include "isa/mips/decode.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static unsigned passed, failed;

ATTR_PRINTF(2, 3) static void check(bool ok, const char *fmt, ...)
{
    va_list ap;

    if (ok) {
        passed++;
        return;
    }
    failed++;
    va_start(ap, fmt);
    printf("FAILED ");
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
}

static bool may_overlap(unsigned i, unsigned j)
{
    const struct mips_bits *a = mips_insn_bits(i), *b = mips_insn_bits(j);
    /* the wider form of the same instruction, for later levels */
    if (strcmp(mips_insns[i].name, mips_insns[j].name)) return false;
    if (mips_insns[j].flags & MF_MORE) return (a->mask & b->mask) == b->mask;
    if (mips_insns[i].flags & MF_MORE) return (a->mask & b->mask) == a->mask;
    return false;
}

static void test_overlap(unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        for (unsigned j = i + 1; j < to; j++) {
            const struct mips_bits *a = mips_insn_bits(i), *b = mips_insn_bits(j);
            if (!(mips_insns[i].levels & mips_insns[j].levels) || ((a->match ^ b->match) & a->mask & b->mask)) continue;
            if (i >= mips_n_insns32 && (a->mask >> 16) != (b->mask >> 16) && !(a->mask >> 16 && b->mask >> 16)) {
                /* widths differ: compare first halfwords */
                uint32_t am = a->mask >> 16 ? a->mask >> 16 : a->mask, av = a->mask >> 16 ? a->match >> 16 : a->match;
                uint32_t bm = b->mask >> 16 ? b->mask >> 16 : b->mask, bv = b->mask >> 16 ? b->match >> 16 : b->match;
                if ((av ^ bv) & am & bm) continue;
            }
            check(may_overlap(i, j), "%s (%s) and %s (%s) overlap", mips_insns[i].name, mips_insns[i].pattern,
                  mips_insns[j].name, mips_insns[j].pattern);
        }
    }
}

static void test_lines(void)
{
    uint64_t rng = 0x123456789abcdef;

    for (unsigned i = 0; i < mips_n_insns; i++) {
        const struct mips_insn *d = &mips_insns[i];
        unsigned width = 0, bad = 0;
        uint32_t example = 0;
        for (const char *p = d->pattern; *p; p++) width += *p != ' ';
        check(width == 32 || (i >= mips_n_insns32 && width == 16), "%s: pattern of %u bits", d->name, width);
        check(mips_translators[i] && d->levels, "%s: no translator or no level", d->name);
        for (unsigned k = 0; k < 1000; k++) {
            uint32_t insn = mips_encode_random(i, &rng);
            for (uint32_t l = d->levels; l; l &= l - 1) {
                int line = i < mips_n_insns32 ? mips_decode(insn, l & -l) : mips16_decode(insn);
                if (line == (int)i || (line >= 0 && d->flags & MF_MORE && !strcmp(mips_insns[line].name, d->name))) continue;
                bad++, example = insn;
            }
        }
        check(!bad, "%s: %u of 1000 encodings decode to something else, %08" PRIx32, d->name, bad, example);
        /* the destination flags must agree with the operands' order in the syntax */
        if (i < mips_n_insns32 && d->syntax[0] == 'd' && !(d->flags & MF_BR)) {
            check(d->flags & MF_RD, "%s: destination rd without MF_RD", d->name);
        }
    }
    check(mips_decode(0xffffffff, MIPS_1 | MIPS_2 | MIPS_32) < 0, "all ones is reserved");
}

/* ---- disassembly ---- */
static const struct set { const char *name; uint32_t levels; bool is64, m16; } sets[] = {
    { "32r2", MIPS_1 | MIPS_2 | MIPS_32 | MIPS_32R2, false, false },
    { "64r2", MIPS_1 | MIPS_2 | MIPS_3 | MIPS_4 | MIPS_5 | MIPS_32 | MIPS_32R2 | MIPS_64 | MIPS_64R2, true, false },
    { "16", MIPS_16E, false, true },
};

/* Encodings that are UNPREDICTABLE, or have no text here. */
static bool odd(unsigned line, uint32_t insn)
{
    const char *n = mips_insns[line].name;
    unsigned rd = insn >> 11 & 31, sa = insn >> 6 & 31;

    if (!strcmp(n, "cop2")) return true;
    if (!strcmp(n, "ext") || !strcmp(n, "dext") || !strcmp(n, "dextu")) return sa + rd > 31;
    if (!strcmp(n, "dextm")) return sa + rd + 32 > 63;
    if (!strcmp(n, "ins") || !strcmp(n, "dins") || !strcmp(n, "dinsu")) return rd < sa;
    return false;
}

static void emit(const struct set *s)
{
    uint64_t rng = 0xfeedf00d12345;
    unsigned from = s->m16 ? mips_n_insns32 : 0, to = s->m16 ? mips_n_insns : mips_n_insns32;

    for (unsigned i = from; i < to; i++) {
        for (unsigned k = 0; k < 4 && mips_insns[i].levels & s->levels; k++) {
            uint32_t insn = mips_encode_random(i, &rng);
            uint8_t b[4];
            if (odd(i, insn)) continue;
            if (k == 0 && !s->m16) insn &= mips_insn_bits(i)->mask; /* aliases like zeros */
            if (!s->m16) {
                st32_le(b, insn);
                fwrite(b, 1, 4, stdout);
            } else if (mips_insn_bits(i)->mask >> 16) {
                st16_le(b, (uint16_t)(insn >> 16)), st16_le(b + 2, (uint16_t)insn);
                fwrite(b, 1, 4, stdout);
            } else {
                st16_le(b, (uint16_t)insn);
                fwrite(b, 1, 2, stdout);
            }
        }
    }
}

static void test_disas(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[200], name[8], want[120], got[120];
    static struct mips_cpu m;
    static struct mips_model model;
    unsigned long pc, word;
    int at;

    if (!f) {
        check(false, "cannot open %s", path);
        return;
    }
    m.model = &model;
    while (fgets(line, sizeof line, f)) {
        const struct set *s = NULL;
        uint8_t b[4];
        if (sscanf(line, "%7s %lx: %lx %n", name, &pc, &word, &at) < 3) continue;
        for (unsigned i = 0; i < ARRAY_LEN(sets); i++) {
            if (!strcmp(sets[i].name, name)) s = &sets[i];
        }
        if (!s) continue;
        snprintf(want, sizeof want, "%s", line + at);
        want[strcspn(want, "\n")] = 0;
        for (char *p = want; (p = strchr(p, '\t')) != NULL;) *p = ' ';
        model.isa = s->levels, m.is64 = s->is64;
        size_t n = 4;
        if (!s->m16) st32_le(b, (uint32_t)word);
        else if (word >> 16) st16_le(b, (uint16_t)(word >> 16)), st16_le(b + 2, (uint16_t)word);
        else st16_le(b, (uint16_t)word), n = 2;
        mips_disas(&m.c, s->m16 ? MK_M16 : 0, pc, b, n, got, sizeof got);
        for (char *p = got; (p = strchr(p, '\t')) != NULL;) *p = ' ';
        check(!strcmp(got, want), "%s %lx: %0*lx \"%s\", objdump says \"%s\"", name, pc, (int)(2 * n), word, got, want);
    }
    fclose(f);
}

int main(int argc, char **argv)
{
    const char *src = getenv("srcdir");
    char path[1000];

    for (unsigned i = 0; argc > 2 && !strcmp(argv[1], "--emit") && i < ARRAY_LEN(sets); i++) {
        if (!strcmp(argv[2], sets[i].name)) {
            emit(&sets[i]);
            return 0;
        }
    }
    test_overlap(0, mips_n_insns32);
    test_overlap(mips_n_insns32, mips_n_insns);
    test_lines();
    snprintf(path, sizeof path, "%s/tests/mips-disas.txt", src ? src : "..");
    test_disas(path);
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
