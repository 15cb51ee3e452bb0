/* wild.c - a program that goes wrong: wild loads, stores and jumps, stack overflow, code that is
 * rewritten, protected and unmapped. Each fault is a signal, and the program goes on. */
#include <signal.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#define KSEG0 ((intptr_t)-1 << 31)
static sigjmp_buf jb;
static volatile uintptr_t at;
static volatile int sig_;
static void h(int s, siginfo_t *i, void *u)
{
    sig_ = s;
    at = (uintptr_t)i->si_addr;
    siglongjmp(jb, 1);
}
static void rec(volatile char *p)
{
    volatile char b[4096];
    b[0] = *p;
    rec(b);
    b[1] = 1;
}
#define TRY(name, stmt)                                                                            \
    do {                                                                                           \
        if (!sigsetjmp(jb, 1)) {                                                                   \
            stmt;                                                                                  \
            printf("%s: no signal\n", name);                                                       \
        } else                                                                                     \
            printf("%s: signal %d\n", name, sig_);                                                 \
    } while (0)
int main(void)
{

    static char alt[65536];
    stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt};
    sigaltstack(&ss, 0);
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_sigaction = h;
    sa.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &sa, 0);
    sigaction(SIGBUS, &sa, 0);
    sigaction(SIGILL, &sa, 0);
    sigaction(SIGTRAP, &sa, 0);
    TRY("null", *(volatile int *)0);
    /* The kernel's segments: at -2 GiB in either width of address. Not for user code: address errors. */
    TRY("kernel", *(volatile int *)KSEG0);
    TRY("kernel store", *(volatile int *)(KSEG0 + 0x1000) = 1);
    TRY("top", *(volatile int *)-4);
    TRY("top byte", *(volatile char *)-1 = 1);
    TRY("odd top", *(volatile short *)-3);
    TRY("jump null", ((void (*)(void))0)());
    TRY("jump kernel", ((void (*)(void))KSEG0)());
    TRY("jump odd", ((void (*)(void))((uintptr_t)main + 2))());
    TRY("stack", rec(alt));
    uint32_t *c = mmap(0, 8192, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    c[0] = 0x24020000;
    c[1] = 0x03e00008;
    c[2] = 0;
    int sum = 0;
    for (int i = 0; i < 1000; i++) {
        c[0] = 0x24020000 | i;
        __builtin___clear_cache((char *)c, (char *)(c + 3));
        sum += ((int (*)(void))c)();
    }
    printf("smc %d\n", sum);
    for (int i = 0; i < 51; i++) {
        mprotect(c, 4096, i & 1 ? PROT_READ | PROT_EXEC : 7);
        ((int (*)(void))c)();
    }
    c[1022] = 0x03e00008;
    c[1023] = 0x24020007;
    printf("page end %d\n", ((int (*)(void))(c + 1022))());
    munmap(c + 1024, 4096);
    printf("page end %d\n", ((int (*)(void))(c + 1022))());
    c[1023] = 0x03e00008;
    __builtin___clear_cache((char *)c, (char *)(c + 1024));
    TRY("slot beyond", ((int (*)(void))(c + 1023))());
    munmap(c, 4096);
    TRY("unmapped", ((int (*)(void))c)());
    puts("done");
    return 0;
}
