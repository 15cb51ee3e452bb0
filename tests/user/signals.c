/* signals.c - handlers, masks, siginfo, alternate stacks, restart of calls, faults. Prints what it sees. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int count;
static sigjmp_buf jump;
static void plain(int s) { count++; }
static void info(int s, siginfo_t *i, void *uc) { count = i->si_code == SI_QUEUE ? i->si_value.sival_int : -1; }
static void fault(int s, siginfo_t *i, void *uc)
{
    printf("fault sig %d code %d addr %lx\n", s, i->si_code, (unsigned long)i->si_addr & 0xfff);
    siglongjmp(jump, 1);
}
static char alt[65536];
static void on_alt(int s)
{
    char here;
    printf("on alternate stack: %d\n", &here >= alt && &here < alt + sizeof alt);
}
int main(int argc, char **argv)
{
    struct sigaction sa = { .sa_handler = plain };
    setvbuf(stdout, NULL, _IOLBF, 0);
    sigaction(SIGUSR1, &sa, NULL);
    raise(SIGUSR1);
    printf("count %d\n", count);
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    raise(SIGUSR1);
    sigpending(&set);
    printf("blocked: count %d pending %d\n", count, sigismember(&set, SIGUSR1));
    sigprocmask(SIG_SETMASK, &old, NULL);
    printf("after: count %d\n", count);
    struct sigaction si = { .sa_sigaction = info, .sa_flags = SA_SIGINFO };
    sigaction(SIGRTMIN + 1, &si, NULL);
    sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = 42 });
    printf("queued %d\n", count);
    stack_t st = { .ss_sp = alt, .ss_size = sizeof alt };
    sigaltstack(&st, NULL);
    sa.sa_handler = on_alt;
    sa.sa_flags = SA_ONSTACK;
    sigaction(SIGUSR2, &sa, NULL);
    raise(SIGUSR2);
    si.sa_sigaction = fault;
    sigaction(SIGSEGV, &si, NULL);
    sigaction(SIGBUS, &si, NULL);
    sigaction(SIGFPE, &si, NULL);
    sigaction(SIGTRAP, &si, NULL);
    if (!sigsetjmp(jump, 1)) *(volatile int *)0x18 = 1;
    char *page = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!sigsetjmp(jump, 1)) page[5] = 1;
    if (!sigsetjmp(jump, 1)) {
        volatile int zero = 0;
        printf("%d\n", 1 / zero);
    }
    /* A pipe read that a handler interrupts: restarted, and not. */
    int p[2];
    if (pipe(p)) return 1;
    for (int restart = 0; restart < 2; restart++) {
        sa.sa_handler = plain;
        sa.sa_flags = restart ? SA_RESTART : 0;
        sigaction(SIGALRM, &sa, NULL);
        count = 0;
        pid_t child = fork();
        if (!child) {
            usleep(restart ? 300000 : 600000);
            if (write(p[1], "x", 1) != 1) _exit(1);
            _exit(3);
        }
        struct itimerval it = { .it_value = { 0, 100000 } };
        setitimer(ITIMER_REAL, &it, NULL);
        char c;
        int n = read(p[0], &c, 1), e = errno;
        printf("read %d %s count %d\n", n, n < 0 ? strerror(e) : "", count);
        if (n < 0) n = read(p[0], &c, 1);
        int status;
        waitpid(child, &status, 0);
        printf("child %d\n", WEXITSTATUS(status));
    }
    sigemptyset(&set);
    sa.sa_handler = plain;
    sigaction(SIGALRM, &sa, NULL);
    struct itimerval it = { .it_value = { 0, 50000 } };
    setitimer(ITIMER_REAL, &it, NULL);
    int r = sigsuspend(&set);
    printf("sigsuspend %d %s\n", r, strerror(errno));
    pid_t child = fork();
    if (!child) {
        signal(SIGSEGV, SIG_DFL);
        raise(SIGKILL);
    }
    int status;
    waitpid(child, &status, 0);
    printf("killed by %d\n", WTERMSIG(status));
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigqueue(getpid(), SIGRTMIN + 2, (union sigval){ .sival_int = 7 });
    siginfo_t got;
    r = sigwaitinfo(&set, &got);
    printf("waited %d value %d\n", r - SIGRTMIN, got.si_value.sival_int);
    fflush(stdout);
    return 11;
}
