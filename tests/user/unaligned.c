/* unaligned.c - loads and stores at any address. Linux repairs those of 2, 4 and 8 bytes, also the FPU's; LL is an
 * address error. What lies behind the end of memory is a fault all the same. Says the same in either byte order. */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static sigjmp_buf jb;
static volatile int sig_;
static void h(int s)
{
    sig_ = s;
    siglongjmp(jb, 1);
}
/* The value as memory would hold it, in out; a narrow integer widened by the load is narrowed again. */
#define LOAD(insn, type, reg, narrow)                                                              \
    static void insn(volatile char *p, char *out)                                                  \
    {                                                                                              \
        type v;                                                                                    \
        __asm__ volatile(#insn " %0, 0(%1)" : reg(v) : "r"(p) : "memory");                         \
        narrow n = v;                                                                              \
        memcpy(out, &n, sizeof n);                                                                 \
    }
#define STORE(insn, type, reg, narrow)                                                             \
    static void insn(volatile char *p, char *in)                                                   \
    {                                                                                              \
        narrow n;                                                                                  \
        memcpy(&n, in, sizeof n);                                                                  \
        type v = n;                                                                                \
        __asm__ volatile(#insn " %0, 0(%1)" ::reg(v), "r"(p) : "memory");                          \
    }
LOAD(lh, long, "=r", short)
LOAD(lhu, long, "=r", unsigned short)
LOAD(lw, long, "=r", int)
LOAD(ll, long, "=r", int)
LOAD(lwc1, float, "=f", float)
LOAD(ldc1, double, "=f", double)
STORE(sh, long, "r", short)
STORE(sw, long, "r", int)
STORE(swc1, float, "f", float)
STORE(sdc1, double, "f", double)
#if __mips64
LOAD(ld, long, "=r", long)
LOAD(lwu, long, "=r", unsigned)
STORE(sd, long, "r", long)
#else /* the same lines */
#define ld   ldc1
#define lwu  lw
#define sd   sdc1
#endif
int main(void)
{
#define T(n, size, load) {#n, n, size, load}
    static const struct {
        const char *name;
        void (*run)(volatile char *, char *);
        int size, load;
    } t[] = {T(lh, 2, 1), T(lhu, 2, 1), T(lw, 4, 1), T(lwu, 4, 1), T(ld, 8, 1), T(lwc1, 4, 1), T(ldc1, 8, 1),
             T(sh, 2, 0), T(sw, 4, 0), T(sd, 8, 0), T(swc1, 4, 0), T(sdc1, 8, 0), T(ll, 4, 1)};
    enum { END = 65536 };
    char *m = mmap(0, 2 * END, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(m + END, END, PROT_NONE);
    signal(SIGBUS, h);
    signal(SIGSEGV, h);
    for (unsigned k = 0; k < sizeof t / sizeof *t; k++) {
        printf("%s:", t[k].name);
        for (int i = 0; i < 10; i++) {
            /* the last two: across a page's end, and beyond memory's */
            char *at = i < 8 ? m + i : i == 8 ? m + END / 2 - 1 : m + END - 1, reg[8];
            for (int j = 0; j < 8; j++)
                reg[j] = 0x11 * (j + 1);
            for (int j = 0; j < 8 && at + j < m + END; j++)
                at[j] = 0x61 + j;
            if (sigsetjmp(jb, 1)) {
                printf(" signal %d", sig_);
                continue;
            }
            t[k].run(at, reg);
            printf(memcmp(at, reg, t[k].size) || (t[k].load ? reg[0] != 0x61 : at[0] != 0x11) ? " wrong" : " good");
        }
        puts("");
    }
    return 0;
}
