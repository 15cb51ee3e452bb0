/*
 * test-x86-table.c - the x86 instruction table: every line is well formed, no line hides another, every encoding decodes to
 * its own line, and hostile bytes do no harm. Also the tool of tests/test-x86-disas.sh:
 *   test-x86-table --emit MODE SEED PER-LINE > FILE    encodings of every line, one after the other
 *   test-x86-table --disas MODE FILE                   the file's instructions as text, with their offsets
 * MODE is 16, 32 or 64.
 */
#include "isa/x86/decode.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static const char *line_name(unsigned i)
{
    static char buf[4][120];
    static unsigned k;
    char *s = buf[k++ & 3];

    snprintf(s, sizeof buf[0], "%s %s (%s)", x86_defs[i].name, x86_defs[i].ops, x86_defs[i].enc);
    return s;
}

/* May one encoding fit both? */
static bool overlap(unsigned i, unsigned j)
{
    const struct x86_form *a = x86_form(i), *b = x86_form(j);
    uint8_t plus = a->plus_r || b->plus_r ? 0xf8 : 0xff;
    uint32_t any = (x86_defs[i].flags | x86_defs[j].flags) & XI_ANYMOD;

    if (a->map != b->map || (a->opcode & plus) != (b->opcode & plus) || !(a->prefixes & b->prefixes)) return false;
    if ((a->rm_match ^ b->rm_match) & a->rm_mask & b->rm_mask) return false;
    if (!any && ((a->mem && (b->reg || b->rm_mask & 0xc0)) || (b->mem && (a->reg || a->rm_mask & 0xc0)))) return false;
    if (!(a->osizes & b->osizes) || !(a->asizes & b->asizes)) return false;
    if ((a->i64 && b->o64) || (a->o64 && b->i64)) return false;
    if (a->w != XD_ANY && b->w != XD_ANY && a->w != b->w) return false;
    return a->l == XD_ANY || b->l == XD_ANY || a->l == b->l;
}

/* Does every encoding of i also fit j? */
static bool within(unsigned i, unsigned j)
{
    const struct x86_form *a = x86_form(i), *b = x86_form(j);

    if (a->prefixes & ~b->prefixes || (b->plus_r < a->plus_r)) return false;
    if (b->rm_mask & ~a->rm_mask || (b->mem && !a->mem) || (b->reg && !a->reg && !(a->rm_mask & 0xc0))) return false;
    if (a->osizes & ~b->osizes || a->asizes & ~b->asizes || (b->i64 && !a->i64) || (b->o64 && !a->o64)) return false;
    return !((b->w != XD_ANY && a->w != b->w) || (b->l != XD_ANY && a->l != b->l));
}

static void test_lines(void)
{
    for (unsigned i = 0; i < x86_n_defs; i++) {
        const struct x86_form *f = x86_form(i);
        check(!f->error, "%s: %s", line_name(i), f->error ? f->error : "");
        for (unsigned j = i + 1; j < x86_n_defs; j++) {
            if (!overlap(i, j)) continue;
            /* the earlier one must be the special case, or the same */
            check(within(i, j), "%s and %s overlap", line_name(i), line_name(j));
            check(!within(j, i) || !strcmp(x86_defs[i].name, x86_defs[j].name), "%s hides %s", line_name(i), line_name(j));
            check(f->modrm == x86_form(j)->modrm, "%s and %s: ModRM", line_name(i), line_name(j));
        }
    }
}

static void test_round_trip(void)
{
    static const char *const modes[] = { "16", "32", "64" };
    uint64_t rng = 0x123456789abcdef;
    unsigned n = 0, forms[3] = { 0 };

    for (unsigned i = 0; i < x86_n_defs; i++) {
        for (unsigned m = X86_16; m <= X86_64; m++) {
            unsigned bad = 0, made = 0;
            char example[80] = "";
            for (unsigned k = 0; k < 200; k++) {
                uint8_t b[16];
                struct x86_insn d;
                unsigned len = x86_encode_random(i, (enum x86_mode)m, &rng, b);
                if (!len) continue;
                made++;
                enum x86_decoded r = x86_decode(b, len, (enum x86_mode)m, false, XF_ALL, &d);
                bool same = r == X86_OK && d.len == len && (d.line == i || overlap(i, d.line));
                /* registers that do not exist, and gathers with equal vectors, are undefined whatever the line says */
                if (r == X86_UD && d.def && d.line == i && d.len == len) same = true;
                for (unsigned cut = 0; cut < len && same; cut++) {
                    struct x86_insn e;
                    if (x86_decode(b, cut, (enum x86_mode)m, false, XF_ALL, &e) != X86_SHORT) same = false;
                }
                if (same) continue;
                bad++;
                int at = snprintf(example, sizeof example, "%d %s", (int)r, d.def ? d.def->name : "-");
                for (unsigned c = 0; c < len; c++) at += snprintf(example + at, sizeof example - (size_t)at, " %02x", b[c]);
            }
            n += made;
            forms[m] += made != 0;
            check(!bad, "%s: %s bits: %u of %u do not decode to themselves, as %s", line_name(i), modes[m], bad, made, example);
        }
    }
    printf("%u lines; forms in 16, 32, 64 bits: %u, %u, %u; %u encodings\n", x86_n_defs, forms[0], forms[1], forms[2], n);
}

/* Random bytes, with many prefixes and escapes: no reads behind the end, lengths in range, text in bounds. */
static void test_hostile(void)
{
    static const uint8_t likely[] = { 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x0f, 0x38, 0x3a, 0xc4, 0xc5, 0x48, 0x41, 0x2e, 0x65, 0x00, 0xff };
    uint64_t rng = 0xdecafbad1234567;
    unsigned bad = 0, counts[4] = { 0 };

    for (unsigned k = 0; k < 600000; k++) {
        uint8_t all[24], *p;
        size_t n = rng >> 20 & 15;
        char out[100];
        struct x86_insn d;
        enum x86_mode mode = (enum x86_mode)(k % 3);

        for (unsigned i = 0; i < sizeof all; i++) {
            rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
            all[i] = rng >> 60 < 5 ? likely[rng >> 30 & 15] : (uint8_t)(rng >> 40);
        }
        if (!(p = malloc(n ? n : 1))) return; /* of the exact size, for memory checkers */
        memcpy(p, all, n);
        enum x86_decoded r = x86_decode(p, n, mode, k & 64, k & 128 ? XF_ALL : rng, &d);
        counts[r]++;
        if (d.len > X86_MAX_LEN || (r == X86_OK && (d.len > n || !d.def))) bad++;
        if (r == X86_SHORT && d.len <= n) bad++;
        size_t room = rng & 63 ? sizeof out : rng >> 8 & 31;
        if (room) {
            unsigned len = x86_disas_att(p, n, mode, XF_ALL, rng, out, room);
            if (len > n || strlen(out) >= room) bad++;
        }
        free(p);
    }
    check(!bad, "%u of 600000 random strings decode to nonsense", bad);
    printf("hostile bytes: %u decoded, %u short, %u undefined, %u too long\n", counts[0], counts[1], counts[2], counts[3]);
}

/* ---- for comparing with a disassembler ---- */

static int emit(enum x86_mode mode, uint64_t seed, unsigned per_line)
{
    uint64_t rng = seed * 2654435761u + 88172645463325252u;

    for (unsigned i = 0; i < x86_n_defs; i++) {
        for (unsigned k = 0; k < per_line; k++) {
            uint8_t b[16];
            struct x86_insn d;
            unsigned len = x86_encode_random(i, mode, &rng, b);
            if (len && x86_decode(b, len, mode, false, XF_ALL, &d) == X86_OK) fwrite(b, 1, len, stdout);
        }
    }
    return 0;
}

static int disas(enum x86_mode mode, const char *path)
{
    FILE *f = fopen(path, "rb");
    static uint8_t buf[1 << 26];
    char out[200];

    if (!f) {
        perror(path);
        return 1;
    }
    size_t n = fread(buf, 1, sizeof buf, f);
    fclose(f);
    for (size_t at = 0; at < n;) {
        unsigned len = x86_disas_att(buf + at, n - at, mode, XF_ALL, at, out, sizeof out);
        if (!len) break;
        printf("%zx:\t%s\n", at, out);
        at += len;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 3) {
        enum x86_mode mode = !strcmp(argv[2], "16") ? X86_16 : !strcmp(argv[2], "32") ? X86_32 : X86_64;
        if (!strcmp(argv[1], "--emit")) return emit(mode, strtoul(argv[3], NULL, 0), argc > 4 ? (unsigned)atoi(argv[4]) : 4);
        if (!strcmp(argv[1], "--disas")) return disas(mode, argv[3]);
    }
    test_lines();
    test_round_trip();
    test_hostile();
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
