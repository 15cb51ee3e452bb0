/*
 * rt.h - the little runtime of the benchmark programs: no libc, so that binaries are small and the same code runs on every
 * guest and natively. Each program defines `unsigned bench(void)`, whose result is printed and must be the same everywhere.
 */
#ifndef BENCH_RT_H
#define BENCH_RT_H

/* Runs in one process: more than one where compiling should not weigh (bench-run --repeat). */
#ifndef BENCH_REPEAT
#define BENCH_REPEAT 1
#endif

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#if defined(__mips__)
#if _MIPS_SIM == _ABIO32
#define SYS_BASE 4000
#elif _MIPS_SIM == _ABI64
#define SYS_BASE 5000
#else
#define SYS_BASE 6000
#endif
#define SYS_WRITE (SYS_BASE == 4000 ? 4004 : SYS_BASE + 1)
#define SYS_EXIT  (SYS_BASE == 4000 ? 4001 : SYS_BASE + 58)
static long rt_syscall(long n, long a, long b, long c)
{
    register long v0 __asm__("$2") = n;
    register long a0 __asm__("$4") = a, a1 __asm__("$5") = b, a2 __asm__("$6") = c;
    __asm__ volatile("syscall"
                     : "+r"(v0), "+r"(a0), "+r"(a1), "+r"(a2)
                     :
                     : "$1", "$3", "$7", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15", "$24", "$25", "hi", "lo", "memory");
    return v0;
}
#define RT_START __start
#elif defined(__x86_64__)
#define SYS_WRITE 1
#define SYS_EXIT  60
static long rt_syscall(long n, long a, long b, long c)
{
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return r;
}
#define RT_START _start
#elif defined(__i386__)
#define SYS_WRITE 4
#define SYS_EXIT  1
static long rt_syscall(long n, long a, long b, long c)
{
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(n), "b"(a), "c"(b), "d"(c) : "memory");
    return r;
}
#define RT_START _start
#else
#error "rt.h: no system calls for this machine yet"
#endif

#if defined __GNUC__ && !defined __clang__
__attribute__((noipa)) /* each run is a run */
#endif
unsigned bench(void);

static void rt_print(u32 v)
{
    char buf[12];
    int i = 11;
    buf[i] = '\n';
    do buf[--i] = (char)('0' + v % 10), v /= 10;
    while (v);
    rt_syscall(SYS_WRITE, 1, (long)(buf + i), 12 - i);
}

__attribute__((noreturn, used)) static void rt_main(void)
{
    u32 sum = 0;
    for (int i = 0; i < BENCH_REPEAT; i++) sum = bench();
    rt_print(sum);
    rt_syscall(SYS_EXIT, 0, 0, 0);
    for (;;) {}
}

/* The entry point: a C function would be free to assume an aligned stack. */
#if defined(__x86_64__)
__asm__(".globl _start\n_start: xor %ebp,%ebp\n and $-16,%rsp\n call rt_main\n");
#elif defined(__i386__)
__asm__(".globl _start\n_start: xor %ebp,%ebp\n and $-16,%esp\n call rt_main\n");
#else
void RT_START(void);
void RT_START(void) { rt_main(); }
#endif

/* gcc may call these even without a libc. */
void *memcpy(void *d, const void *s, unsigned long n);
void *memset(void *d, int c, unsigned long n);
__attribute__((used)) void *memcpy(void *d, const void *s, unsigned long n)
{
    for (unsigned long i = 0; i < n; i++) ((volatile u8 *)d)[i] = ((const u8 *)s)[i];
    return d;
}
__attribute__((used)) void *memset(void *d, int c, unsigned long n)
{
    for (unsigned long i = 0; i < n; i++) ((volatile u8 *)d)[i] = (u8)c;
    return d;
}

static inline u32 rt_random(u32 *s)
{
    *s ^= *s << 13, *s ^= *s >> 17, *s ^= *s << 5;
    return *s;
}

#endif
