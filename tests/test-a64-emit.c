/*
 * test-a64-emit.c - the A64 encoder: each case with its text and the word that an assembler makes of it; constants and logical
 * immediates against a decoder written from the manual's definition (DecodeBitMasks). Runs on any host.
 */
#include "jit-native/a64-emit.h"

#include <stdio.h>

static unsigned passed, failed;

static void check(bool ok, const char *what, uint64_t v)
{
    if (ok) passed++;
    else failed++, printf("FAILED: %s: %llx\n", what, (unsigned long long)v);
}

#define CASE(text, emit, word)                                                                     \
    do {                                                                                           \
        e.n = 0;                                                                                   \
        emit;                                                                                      \
        check(e.n == 4 && ld32_le(e.buf) == word, text, e.n ? ld32_le(e.buf) : 0);                 \
    } while (0)

/* N:immr:imms -> the value; false: reserved. */
static bool decode(bool w, unsigned bits, uint64_t *v)
{
    unsigned n = bits >> 12, immr = bits >> 6 & 63, imms = bits & 63, len = 0, all = n << 6 | (~imms & 63);
    if (!all || (n && !w)) return false;
    while (all >> (len + 1)) len++;
    if (!len) return false;
    unsigned size = 1u << len, s = imms & (size - 1), r = immr & (size - 1);
    if (s == size - 1) return false;
    uint64_t ones = UINT64_MAX >> (63 - s), mask = UINT64_MAX >> (64 - size);
    uint64_t x = r ? (ones >> r | ones << (size - r)) & mask : ones;
    for (unsigned i = size; i < 64; i *= 2) x |= x << i;
    *v = w ? x : (uint32_t)x;
    return true;
}

static void logical_immediates(void)
{
    for (unsigned w = 0; w < 2; w++) {
        for (unsigned bits = 0; bits < 1u << 13; bits++) {
            uint64_t v, back;
            uint32_t got;
            if (!decode(w, bits, &v)) continue;
            check(a64_logic_bits(w, v, &got) && decode(w, got, &back) && back == v, "logical immediate", v);
            uint64_t other = v ^ UINT64_C(0x10100); /* mostly none; never a wrong one */
            if (!w) other = (uint32_t)other;
            check(!a64_logic_bits(w, other, &got) || (decode(w, got, &back) && back == other), "another", other);
        }
    }
}

/* What a sequence of moves gives. */
static uint64_t run_moves(const struct emit *e, unsigned d)
{
    uint64_t x = 0, v;
    for (uint32_t at = 0; at < e->n; at += 4) {
        uint32_t i = ld32_le(e->buf + at);
        bool w = i >> 31;
        unsigned by = 16 * (i >> 21 & 3);
        uint64_t imm = (uint64_t)(i >> 5 & 0xffff) << by;
        if ((i & 31) != d) return 0xbad;
        switch (i & 0x7f800000u) {
        case A_MOVN: x = ~imm; break;
        case A_MOVZ: x = imm; break;
        case A_MOVK: x = (x & ~(UINT64_C(0xffff) << by)) | imm; break;
        case A_ORRI:
            if ((i >> 5 & 31) != ZR || !decode(w, i >> 10 & 0x1fff, &v)) return 0xbad;
            x = v;
            break;
        default: return 0xbad;
        }
        if (!w) x = (uint32_t)x;
    }
    return x;
}

static void constants(void)
{
    struct emit e;
    uint64_t seed = 1;
    emit_init(&e);
    for (unsigned i = 0; i < 20000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        uint64_t v = seed ^ seed >> 29, m = 0;
        for (unsigned k = 0; k < 4; k++) m |= (i >> k & 1 ? UINT64_C(0xffff) : 0) << 16 * k;
        v = i & 16 ? v | m : v & m;
        if (i & 32) v = (uint32_t)v;
        if (i & 64) v >>= i >> 7 & 63;
        e.n = 0;
        a64_mov_imm(&e, 7, v);
        check(e.n <= 16 && run_moves(&e, 7) == v, "constant", v);
    }
    emit_free(&e);
}

static void branches(void)
{
    static const uint32_t want[] = { 0x54000080 /* b.eq +16 */, 0x17ffffff /* b -4 */, 0xb5000049 /* cbnz x9, +8 */, 0x10ffffa1 /* adr x1, -12 */,
                                     0x97fffffc /* bl -16 */, 0xd503201f };
    struct emit e;
    uint8_t out[64];
    emit_init(&e);
    unsigned fwd = emit_label(&e), back = emit_label(&e);
    emit_place(&e, back);
    a64_bcond(&e, C_EQ, fwd);
    emit_jump(&e, back);
    unsigned next = emit_label(&e);
    a64_cbz(&e, true, true, 9, next);
    a64_adr(&e, X1, back);
    emit_place(&e, fwd);
    emit_place(&e, next);
    emit_call_abs(&e, out);
    emit_align(&e, 8);
    check(emit_finish(&e, out, out), "finish", 0);
    for (unsigned i = 0; i < ARRAY_LEN(want); i++) check(ld32_le(out + 4 * i) == want[i], "branch", ld32_le(out + 4 * i));
    emit_free(&e);

    /* too far: refused, not wrong */
    emit_init(&e);
    unsigned far = emit_label(&e);
    a64_bcond(&e, C_NE, far);
    for (unsigned i = 0; i < 1u << 18; i++) a64_word(&e, A_NOP);
    emit_place(&e, far);
    uint8_t *big = mem_alloc(e.n);
    check(!emit_finish(&e, big, big), "far branch", 0);
    free(big);
    emit_free(&e);
}

int main(void)
{
    struct emit e;
    emit_init(&e);
#include "tests/a64-cases.h"
    emit_free(&e);
    logical_immediates();
    constants();
    branches();
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
