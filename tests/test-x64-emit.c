/*
 * test-x64-emit.c - the x86-64 encoder: each case with its text in AT&T syntax and the bytes that an assembler makes of it; the forms
 * that have rules of their own (registers that need an escape as a base, byte registers, the two lengths of displacements).
 */
#include "jit-native/x64-emit.h"

#include <stdio.h>

static unsigned passed, failed;

static void check(struct emit *e, const char *text, const uint8_t *want, size_t n)
{
    if (e->n == n && !memcmp(e->buf, want, n)) {
        passed++;
    } else {
        failed++;
        printf("%s:", text);
        for (uint32_t i = 0; i < e->n; i++) printf(" %02x", e->buf[i]);
        printf("\n");
    }
    e->n = 0;
}

#define CASE(text, emit, ...)                                                                      \
    do {                                                                                           \
        static const uint8_t want[] = { __VA_ARGS__ };                                             \
        emit;                                                                                      \
        check(&e, text, want, sizeof want);                                                        \
    } while (0)

static void jumps(void)
{
    struct emit e;
    uint8_t out[64];
    emit_init(&e);
    unsigned fwd = emit_label(&e), back = emit_label(&e);
    emit_place(&e, back);
    x64_jcc(&e, X_Z, fwd);  /* 0f 84 rel32 */
    emit_jump(&e, back);      /* eb rel8 */
    emit_place(&e, fwd);
    emit_call_abs(&e, out);  /* e8 rel32 */
    emit_finish(&e, out, out);
    static const uint8_t want[] = { 0x0f, 0x84, 2, 0, 0, 0, 0xeb, 0xf8, 0xe8, 0xf3, 0xff, 0xff, 0xff };
    e.n = 0;
    for (unsigned i = 0; i < sizeof want; i++) emit_byte(&e, out[i]);
    check(&e, "jumps", want, sizeof want);
    emit_free(&e);
}

int main(void)
{
    struct emit e;
    emit_init(&e);
#include "tests/x64-cases.h"
    emit_free(&e);
    jumps();
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
