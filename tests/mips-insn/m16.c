/*
 * m16.c - a guest program in compiled MIPS16e code: save and restore, branches, jal and jalx between the instruction sets,
 * pc-relative loads, jump tables, unaligned and byte accesses. Prints hashes; m16*.txt come from qemu-user.
 */
#include <stdint.h>

#define NOMIPS16 __attribute__((nomips16, noinline))
#define NOINLINE __attribute__((noinline))

NOMIPS16 static long call3(long n, long a, long b, long c)
{
    register long v0 __asm__("$2") = n, a0 __asm__("$4") = a, a1 __asm__("$5") = b, a2 __asm__("$6") = c, a3 __asm__("$7");
    __asm__ volatile("syscall" : "+r"(v0), "=r"(a3) : "r"(a0), "r"(a1), "r"(a2)
                     : "memory", "$1", "$3", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15", "$24", "$25", "hi", "lo");
    return v0;
}

static void print(const char *name, uint32_t v)
{
    char buf[60];
    int n = 0;
    while (*name) buf[n++] = *name++;
    buf[n++] = ' ';
    for (int i = 28; i >= 0; i -= 4) buf[n++] = "0123456789abcdef"[v >> i & 15];
    buf[n++] = '\n';
    call3(4004, 1, (long)buf, n);
}

static uint32_t seed = 1;
static NOINLINE uint32_t rnd(void) { return seed = seed * 1664525u + 1013904223u; }

static NOINLINE int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

static NOINLINE uint32_t crc(const uint8_t *p, int n)
{
    uint32_t c = 0xffffffff;
    while (n--) {
        c ^= *p++;
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320 : c >> 1;
    }
    return ~c;
}

NOMIPS16 static uint32_t wide(uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e) { return (a * 3 ^ b) + (c << 7 | c >> 25) - d * e; }

static NOINLINE uint32_t many(uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e, uint32_t f)
{
    uint32_t x[8];
    for (int i = 0; i < 8; i++) x[i] = wide(a + i, b ^ i, c, d, e) + f;
    return x[a & 7] ^ x[b & 7] ^ wide(x[0], x[1], x[2], x[3], x[4]);
}

static NOINLINE void sort(int *v, int n)
{
    for (int gap = n / 2; gap > 0; gap /= 2)
        for (int i = gap; i < n; i++)
            for (int j = i - gap; j >= 0 && v[j] > v[j + gap]; j -= gap) {
                int t = v[j];
                v[j] = v[j + gap], v[j + gap] = t;
            }
}

static NOINLINE uint32_t pick(int op, uint32_t a, uint32_t b)
{
    switch (op) {
    case 0: return a + b;
    case 1: return a - b;
    case 2: return a * b;
    case 3: return b ? a / b : 1;
    case 4: return b ? (uint32_t)((int32_t)a % (int32_t)(b >> 1 | 1)) : 2;
    case 5: return a << (b & 31);
    case 6: return (uint32_t)((int32_t)a >> (b & 31));
    case 7: return a >> (b & 31);
    case 8: return (int32_t)a < (int32_t)b;
    case 9: return a < b;
    case 10: return (uint32_t)(int8_t)a + (uint32_t)(int16_t)b;
    case 11: return (uint8_t)a * (uint32_t)(uint16_t)b;
    case 12: return (uint32_t)((uint64_t)a * b >> 32);
    case 13: return (uint32_t)((int64_t)(int32_t)a * (int32_t)b >> 32);
    default: return ~a ^ -b;
    }
}

static uint32_t (*const table[])(int, uint32_t, uint32_t) = { pick, pick };

void start_c(void);
void run_case(void);
void start_c(void)
{
    static uint8_t bytes[300];
    static int ints[200];
    static struct { int8_t a; uint8_t b; int16_t c; uint16_t d; int32_t e; } s[20];
    uint32_t h = 0;

    print("fib", (uint32_t)fib(15));
    for (int i = 0; i < 300; i++) bytes[i] = (uint8_t)rnd();
    print("crc", crc(bytes, 300));
    for (int i = 0; i < 200; i++) ints[i] = (int)rnd();
    sort(ints, 200);
    for (int i = 0; i < 200; i++) h = h * 31 + (uint32_t)ints[i];
    print("sort", h);
    for (int i = 0; i < 2000; i++) h = h * 31 + table[i & 1]((int)(rnd() >> 28), rnd(), rnd() >> (rnd() & 31));
    print("pick", h);
    for (int i = 0; i < 100; i++) h += many(rnd(), rnd(), rnd(), rnd(), rnd(), h);
    print("many", h);
    for (int i = 0; i < 20; i++) s[i].a = (int8_t)rnd(), s[i].b = (uint8_t)rnd(), s[i].c = (int16_t)rnd(), s[i].d = (uint16_t)rnd(), s[i].e = (int32_t)rnd();
    for (int i = 0; i < 20; i++) h = h * 7 + (uint32_t)(s[i].a + s[i].b * s[i].c - s[i].d + s[i].e);
    print("struct", h);
    call3(4001, 0, 0, 0);
}
