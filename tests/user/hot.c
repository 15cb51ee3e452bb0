/* hot.c - hot code that is interrupted: a loop in which each access faults in turn, which signals meet at any instruction, and
 * code that is rewritten from its own page, by another thread and through another mapping. Registers are looked at in the
 * handlers. Says the same in either byte order and width. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define REG(uc, n) ((uc)->uc_mcontext.gregs[n])
#define PC(uc)     ((uintptr_t)(uc)->uc_mcontext.pc)

/* ---- every access faults ---- */
enum { AREA = 65536, AREAS = 9, STRIDE = 64, RUNS = AREA * AREAS / STRIDE - 200, POINTERS = 6 };
static char *array[POINTERS];
static unsigned faults, sum, stores;
static const unsigned char pointer_reg[POINTERS] = { 4, 5, 6, 7, 24, 25 };

/* Six pointers walk through memory; loads before stores, sums that depend on each other, a store in the delay slot. */
#define INSIDE ".set push; .set noreorder; .set noat; "
extern char walk_code[], walk_end[];
static void walk(uint32_t out[4], float *f)
{
    register char *p0 __asm__("$4") = array[0];
    register char *p1 __asm__("$5") = array[1];
    register char *p2 __asm__("$6") = array[2];
    register char *p3 __asm__("$7") = array[3];
    register char *p4 __asm__("$24") = array[4];
    register char *p5 __asm__("$25") = array[5];
    register unsigned n __asm__("$2") = RUNS;
    register unsigned s0 __asm__("$16") = 1, s1 __asm__("$17") = 2, s2 __asm__("$18") = 3, s3 __asm__("$19") = 4;
    register float fs __asm__("$f4") = 0;
#if __mips64
#define ADD_P "daddiu"
#else
#define ADD_P "addiu"
#endif
    __asm__ volatile(INSIDE ".globl walk_code, walk_end; walk_code:\n"
        "lw $8, 0($4)\n addu $16, $16, $8\n xor $17, $17, $16\n sw $17, 4($4)\n"
        "lbu $9, 0($5)\n addu $17, $17, $9\n sb $17, 4($5)\n"
        "lh $10, 0($6)\n addu $18, $18, $10\n addu $18, $18, $17\n sh $18, 4($6)\n"
        "lwc1 $f6, 0($7)\n add.s $f4, $f4, $f6\n swc1 $f4, 4($7)\n"
        "sw $18, 0($24)\n lw $11, 0($24)\n addu $19, $19, $11\n"
        ADD_P " $4, $4, 64\n" ADD_P " $5, $5, 64\n" ADD_P " $6, $6, 64\n" ADD_P " $7, $7, 64\n" ADD_P " $24, $24, 64\n" ADD_P " $25, $25, 64\n"
        "addiu $2, $2, -1\n bnez $2, walk_code\n sw $19, -64($25)\n"
        "walk_end: .set pop"
        : "+r"(p0), "+r"(p1), "+r"(p2), "+r"(p3), "+r"(p4), "+r"(p5), "+r"(n), "+r"(s0), "+r"(s1), "+r"(s2), "+r"(s3), "+f"(fs)
        :
        : "$8", "$9", "$10", "$11", "$f6", "memory");
    out[0] = s0, out[1] = s1, out[2] = s2, out[3] = s3, *f = fs;
}
static void mix(unsigned v) { sum = (sum ^ v) * 16777619u, sum ^= sum >> 13; }
static void on_fault(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    uintptr_t pc = PC(uc) - (uintptr_t)walk_code, area = (uintptr_t)info->si_addr & ~(uintptr_t)(AREA - 1);
    if (pc >= (uintptr_t)(walk_end - walk_code)) {
        printf("fault outside the loop: %d\n", sig);
        _exit(1);
    }
    faults++;
    mix((unsigned)pc);
    mix((unsigned)REG(uc, 2));
    for (int i = 0; i < POINTERS; i++) mix((unsigned)(REG(uc, pointer_reg[i]) - (uintptr_t)array[i]));
    for (int i = 8; i < 12; i++) mix((unsigned)REG(uc, i));
    for (int i = 16; i < 20; i++) mix((unsigned)REG(uc, i));
    mprotect((void *)area, AREA, PROT_READ | PROT_WRITE);
}
static void prepare(int bad)
{
    for (int k = 0; k < POINTERS; k++) {
        char *base = (char *)(((uintptr_t)mmap(NULL, AREA * (AREAS + 1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + AREA - 1) & ~(uintptr_t)(AREA - 1));
        array[k] = base + k * 1024;
        for (int i = 0; i < RUNS; i++) {
            char *at = array[k] + i * STRIDE;
            uint32_t v = i * 2654435761u + k;
            uint16_t h = v >> 7;
            float f = (float)(i % 17) * 0.25f;
            if (k == 0) memcpy(at, &v, 4);
            if (k == 1) *at = (char)(v >> 9);
            if (k == 2) memcpy(at, &h, 2);
            if (k == 3) memcpy(at, &f, 4);
        }
        /* the first three areas stay, so that the loop is hot when it meets the others */
        for (int a = 3; bad && a < AREAS; a++) mprotect(base + a * AREA, AREA, a & 1 ? PROT_NONE : PROT_READ);
    }
}
static void fault_everywhere(void)
{
    uint32_t want[4], got[4];
    float fwant, fgot;
    struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
    prepare(0);
    walk(want, &fwant);
    prepare(1);
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
    walk(got, &fgot);
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    printf("faults %u registers %08x result %s %08x\n", faults, sum, memcmp(want, got, sizeof want) || fwant != fgot ? "wrong" : "right", (unsigned)want[3]);
}

/* ---- signals at any instruction ---- */
extern char count_code[], count_end[];
static volatile unsigned alarms, inside, odd;
static void on_alarm(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    uintptr_t at = (PC(uc) - (uintptr_t)count_code) / 4;
    alarms++;
    if (at >= 10) return;
    /* What each register holds before the instruction at this address. */
    unsigned n = (unsigned)REG(uc, 2), runs = (unsigned)REG(uc, 3) - n - (at > 6), a = (unsigned)REG(uc, 8), b = (unsigned)REG(uc, 9), c = (unsigned)REG(uc, 10);
    unsigned wa = 3 * (runs + (at > 0)), wb = 5 * (runs + (at > 1)), wc = 7 * (runs + (at > 5));
    inside++;
    if (at > 7 && at < 10) return; /* behind the branch: it depends on where that went */
    if (a != wa || b != wb || c != wc) odd++;
}
static unsigned count(unsigned n)
{
    register unsigned left __asm__("$2") = n, all __asm__("$3") = n, a __asm__("$8") = 0, b __asm__("$9") = 0, c __asm__("$10") = 0, x __asm__("$11") = 0;
    __asm__ volatile(INSIDE ".globl count_code, count_end; count_code:\n"
        "addiu $8, $8, 3\n addiu $9, $9, 5\n addu $11, $11, $8\n xor $11, $11, $9\n sll $12, $11, 3\n addiu $10, $10, 7\n"
        "addiu $2, $2, -1\n bnez $2, count_code\n addu $11, $11, $12\n nop\n"
        "count_end: .set pop"
        : "+r"(left), "+r"(all), "+r"(a), "+r"(b), "+r"(c), "+r"(x) : : "$12");
    return x + a + b + c;
}
static void signals_everywhere(void)
{
    struct sigaction sa = { .sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO };
    struct itimerval fast = { { 0, 500 }, { 0, 500 } }, off = { { 0, 0 }, { 0, 0 } };
    unsigned want = count(100000), wrong = 0;
    sigaction(SIGALRM, &sa, NULL);
    setitimer(ITIMER_REAL, &fast, NULL);
    for (int i = 0; (inside < 50 || i < 100) && i < 200000; i++) wrong += count(100000) != want;
    setitimer(ITIMER_REAL, &off, NULL);
    printf("signals %s, registers %s, result %s\n", inside >= 50 ? "came" : "did not come", odd ? "wrong" : "right", wrong ? "wrong" : "right");
}

/* ---- code that changes ---- */
#define LI(n)   (0x24020000u | (n))  /* addiu $2, $0, n */
#define JR_RA   0x03e00008u
#define SW_A1   0xac850000u          /* sw $5, 0($4) */
static void flush(void *p, unsigned n) { __builtin___clear_cache((char *)p, (char *)p + n); }
static int call(const void *code) { return ((int (*)(void))code)(); }

static void own_page(void)
{
    uint32_t *c = mmap(NULL, AREA, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    static const uint32_t text[] = { LI(0), JR_RA, 0, 0, SW_A1, JR_RA, 0 };
    int bad = 0;
    memcpy(c, text, sizeof text);
    flush(c, sizeof text);
    for (int i = 0; i < 3000; i++) {
        if (i % 16 == 0) { /* the code writes to its own page */
            ((void (*)(uint32_t *, uint32_t))(c + 4))(c, LI(i / 16));
            flush(c, 4);
        }
        bad += call(c) != i / 16;
    }
    printf("own page: %d wrong\n", bad);
}

static void other_view(void)
{
    char name[] = "/tmp/hot-XXXXXX";
    int fd = mkstemp(name), bad = 0;
    unlink(name);
    if (ftruncate(fd, AREA)) return;
    uint32_t *w = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *x = mmap(NULL, AREA, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    if (w == MAP_FAILED || x == MAP_FAILED) {
        puts("no mapping");
        return;
    }
    w[0] = LI(0), w[1] = JR_RA, w[2] = 0;
    flush(x, 12);
    for (int i = 0; i < 3000; i++) {
        if (i % 16 == 0) {
            w[0] = LI(i / 16);
            if (i % 32) flush(x, 4); /* a call of the kernel, and without it */
            else __asm__ volatile("sync; synci 0(%0); sync" : : "r"(x) : "memory");
        }
        bad += call(x) != i / 16;
    }
    printf("other view: %d wrong\n", bad);
}

static uint32_t *shared;
static volatile int seen;
static void *patch(void *opaque)
{
    for (int i = 1; i <= 100; i++) {
        *(volatile uint32_t *)shared = LI(i);
        flush(shared, 4);
        while (seen != i) sched_yield();
    }
    return opaque;
}
static void other_thread(void)
{
    pthread_t t;
    long calls = 0;
    shared = mmap(NULL, AREA, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    shared[0] = LI(0), shared[1] = JR_RA, shared[2] = 0;
    flush(shared, 12);
    for (int i = 0; i < 2000; i++) calls += call(shared);
    pthread_create(&t, NULL, patch, NULL);
    while (seen != 100) {
        int v = call(shared);
        if (v < seen || v > seen + 1) puts("neither the old code nor the new");
        seen = v;
    }
    pthread_join(t, NULL);
    printf("other thread: %d\n", seen);
}

/* ---- a child, where no file may grow ---- */
static void fork_limited(void)
{
    struct rlimit old, none;
    unsigned want = count(50000);
    int status = -1;
    getrlimit(RLIMIT_FSIZE, &old);
    none = old;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_FSIZE, &none);
    pid_t child = fork();
    if (!child) {
        int wrong = 0;
        for (int i = 0; i < 20; i++) wrong += count(50000) != want;
        _exit(wrong ? 1 : 7);
    }
    waitpid(child, &status, 0);
    setrlimit(RLIMIT_FSIZE, &old);
    printf("child without files: %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    fault_everywhere();
    signals_everywhere();
    fork_limited();
    own_page();
    other_view();
    other_thread();
    return 0;
}
