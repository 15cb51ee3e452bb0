/* A switch interpreter of a small stack machine: indirect jumps through a table. */
#include "rt.h"
enum { PUSH, ADD, SUB, MUL, XOR, DUP, SWAP, DROP, LOAD, STORE, JNZ, HALT, SHR, LT };
static const signed char code[] = {
    PUSH, 0, STORE, 0, PUSH, 1, STORE, 1,                      /* sum = 0; x = 1 */
    PUSH, 100, PUSH, 100, MUL, PUSH, 60, MUL, STORE, 2,        /* n = 600000 */
    /* 18: */
    LOAD, 1, PUSH, 5, MUL, PUSH, 7, ADD, DUP, PUSH, 3, SHR, XOR, STORE, 1,
    LOAD, 0, LOAD, 1, ADD, STORE, 0,
    LOAD, 2, PUSH, 1, SUB, DUP, STORE, 2, JNZ, 18, LOAD, 0, HALT,
};
__attribute__((noinline)) static u32 run(void)
{
    u32 stack[32], var[4] = { 0, 0, 0, 0 }, t;
    int sp = 0, pc = 0;
    for (;;) {
        switch (code[pc++]) {
        case PUSH: stack[sp++] = (u32)code[pc++]; break;
        case ADD: sp--, stack[sp - 1] += stack[sp]; break;
        case SUB: sp--, stack[sp - 1] -= stack[sp]; break;
        case MUL: sp--, stack[sp - 1] *= stack[sp]; break;
        case XOR: sp--, stack[sp - 1] ^= stack[sp]; break;
        case SHR: sp--, stack[sp - 1] >>= stack[sp] & 31; break;
        case LT: sp--, stack[sp - 1] = stack[sp - 1] < stack[sp]; break;
        case DUP: stack[sp] = stack[sp - 1], sp++; break;
        case SWAP: t = stack[sp - 1], stack[sp - 1] = stack[sp - 2], stack[sp - 2] = t; break;
        case DROP: sp--; break;
        case LOAD: stack[sp++] = var[(int)code[pc++]]; break;
        case STORE: var[(int)code[pc++]] = stack[--sp]; break;
        case JNZ: pc = stack[--sp] ? code[pc] : pc + 1; break;
        default: return stack[sp - 1];
        }
    }
}
unsigned bench(void) { return run() + run(); }
