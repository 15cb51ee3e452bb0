/* walk.c - hot loops of floating point that run off the end of memory. The handler makes the page readable, and all goes on with what
 * was in the registers at that very instruction: a wrong one shows in the result. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ROUNDS = 4000, N = 24 };
static char *memory;
static long page;
static volatile unsigned faults;
static volatile unsigned long at;

static void on_fault(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)context;
    faults++;
    at = (unsigned long)((char *)info->si_addr - memory);
    mprotect(memory + page, (size_t)page, PROT_READ | PROT_WRITE);
}

/* Many live values; each step reads 8 bytes. */
static __attribute__((noinline)) double many(const double *p, unsigned n, const double *k)
{
    double a = k[0], b = k[1], c = k[2], d = k[3], e = k[4], f = k[5];
    while (n--) {
        double x = *p++;
        a = a * 0.5 + x, b = b * 0.25 + a, c = c * 0.125 + b, d = d * 0.75 - x, e = e * 0.5 + d, f = (f + e) * 0.5;
    }
    return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f;
}

/* Few: the loop is short. */
static __attribute__((noinline)) double few(const double *p, const double *end, long step)
{
    double s = 0;
    for (; p != end; p += step) s += *p * p[1];
    return s;
}

int main(int argc, char **argv)
{
    static const double k[6] = { 1, 2, 3, 4, 5, 6 };
    struct sigaction s;
    double t = 0;

    (void)argc, (void)argv;
    page = sysconf(_SC_PAGESIZE);
    memory = mmap(NULL, (size_t)(2 * page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(&s, 0, sizeof s);
    s.sa_sigaction = on_fault;
    s.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &s, NULL);
    double *last = (double *)(void *)(memory + page);
    for (int i = -200; i < 200; i++) last[i] = i * 0.37 + 1;
    for (unsigned round = 0; round < ROUNDS; round++) {
        t += many(last - N, N, k) * 1e-3 + few(last - 2 * N, last - 2, 1);
        if (round % 1000 != 999) continue;
        for (unsigned back = 0; back < 9; back++) {
            mprotect(memory + page, (size_t)page, PROT_NONE);
            double v = many(last - N - back, N + back + 3, k);
            printf("many %u: %.17g, %u faults, at %lu\n", back, v, faults, at);
            mprotect(memory + page, (size_t)page, PROT_NONE);
            v = few(last - N - back, last + 8, 1);
            printf("few %u: %.17g, %u faults, at %lu\n", back, v, faults, at);
        }
    }
    printf("%.17g\n", t);
    return 0;
}
