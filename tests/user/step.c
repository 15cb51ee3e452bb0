/*
 * step.c - a program that single-steps itself (EFLAGS.TF) and prints where and how each SIGTRAP came. What a Linux kernel on real
 * hardware makes of it is in step-TARGET.txt; tests/test-user-step.sh compares. Without a libc, for i386 and x86-64.
 *
 * Offsets are those of the instruction that comes next, from the case's first one.
 */
typedef unsigned long word;
typedef unsigned int u32;

#ifdef __x86_64__
enum { NR_WRITE = 1, NR_EXIT = 60, NR_SIGACTION = 13, NR_SIGPROCMASK = 14, NR_FORK = 57, NR_WAIT4 = 61 };
enum { UC_IP = 40 + 128, UC_FLAGS = 40 + 136, UC_TRAP = 40 + 160, UC_MASK = 296, INFO_ADDR = 16 };
static long call(long n, word a, word b, word c, word d)
{
    long r;
    register word r10 __asm__("r10") = d;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return r;
}
#else
enum { NR_WRITE = 4, NR_EXIT = 1, NR_SIGACTION = 174, NR_SIGPROCMASK = 175, NR_FORK = 2, NR_WAIT4 = 114 };
enum { UC_IP = 20 + 56, UC_FLAGS = 20 + 64, UC_TRAP = 20 + 48, UC_MASK = 108, INFO_ADDR = 12 };
static long call(long n, word a, word b, word c, word d)
{
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(n), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
    return r;
}
#endif

struct event { word at, flags; int sig, code; char traced, addr_ok; u32 trap; };
static struct event ev[256];
static unsigned n_ev;
static word base;
static int set_at, clear_at; /* the handler sets or clears TF when so many events have come */
static char text[16384];
static unsigned n_text;

static void put(const char *s) { while (*s && n_text < sizeof text) text[n_text++] = *s++; }
static void put_num(long v)
{
    char b[24];
    int n = 23;
    word u = v < 0 ? -(word)v : (word)v;
    b[n] = 0;
    do b[--n] = (char)('0' + u % 10), u /= 10; while (u);
    if (v < 0) b[--n] = '-';
    put(b + n);
}

static word self_flags(void)
{
    word f;
    __asm__ volatile("pushf\n pop %0" : "=r"(f));
    return f;
}

enum { TF = 0x100, SEGV = 11, FPE = 8, ILL = 4, TRAP = 5, USR1 = 10 };
extern char fetch_back[];

static void handler(int sig, char *info, char *uc)
{
    word *ip = (word *)(uc + UC_IP), *flags = (word *)(uc + UC_FLAGS);
    struct event *e = &ev[n_ev < 255 ? n_ev++ : 255];

    *e = (struct event){ .at = *ip - base, .flags = *flags, .sig = sig, .code = *(int *)(info + 8), .traced = (self_flags() & TF) != 0,
                         .addr_ok = sig == USR1 || *(word *)(info + INFO_ADDR) == *ip, .trap = *(u32 *)(uc + UC_TRAP) };
    if (sig == SEGV) *ip = (word)fetch_back, e->at = 0x999; /* where it is, is not the same everywhere */
    if (sig == FPE || sig == ILL) *ip += 2;
    if (set_at && (int)n_ev == set_at) *flags |= TF;
    if (clear_at && (int)n_ev == clear_at) *flags &= ~(word)TF;
}

extern void restorer(void);
static void catch_signal(int sig)
{
    struct { void *fn; word flags; void *restorer; u32 mask[2]; } a = { (void *)handler, 0x04000004, (void *)restorer, { 0, 0 } };
    call(NR_SIGACTION, (word)sig, (word)&a, 0, 8);
}

/* ---- what is stepped ---- */

#ifdef __x86_64__
#define SP "%rsp"
#define AX "%rax"
#define BX "%rbx"
#define CX "%rcx"
#define SI "%rsi"
#define DI "%rdi"
#define ADDR ".quad"
#define GETPID "mov $39, %eax\n syscall\n"
#define KILL "mov %eax, %edi\n mov $10, %esi\n mov $62, %eax\n syscall\n"
__asm__("restorer: mov $15, %eax\n syscall\n");
#else
#define SP "%esp"
#define AX "%eax"
#define BX "%ebx"
#define CX "%ecx"
#define SI "%esi"
#define DI "%edi"
#define ADDR ".long"
#define GETPID "mov $20, %eax\n int $0x80\n"
#define KILL "mov %eax, %ebx\n mov $10, %ecx\n mov $37, %eax\n int $0x80\n"
__asm__("restorer: mov $173, %eax\n int $0x80\n");
#endif
/* TF on behind STEP, off with STOP's popf. */
#define STEP "pushf\n orl $0x100, (" SP ")\n popf\n"
#define STOP "pushf\n andl $~0x100, (" SP ")\n popf\n"
#define CASE(name, body)                                                                           \
    __asm__(".text\n .p2align 4\n case_" #name ": push " BX "\n push " SI "\n push " DI "\n cld\n start_" #name ":\n" body                     \
            "nop\n pop " DI "\n pop " SI "\n pop " BX "\n ret\n");                                 \
    extern char start_##name[];                                                                    \
    void case_##name(void);
static char buffer[64] __attribute__((used)) = "aaaaaaaabaaaaaaaaaaaaaa";

CASE(plain, STEP "nop\n mov $5, %eax\n add $3, %eax\n xchg %eax, %ecx\n" STOP)
CASE(branches, STEP "xor %eax, %eax\n jne 1f\n je 1f\n nop\n 1: cmp $1, %eax\n jb 2f\n nop\n 2: jl 3f\n ja 3f\n nop\n 3: cmp $0, %eax\n jb 4f\n je 4f\n nop\n 4: call 5f\n jmp 6f\n 5: ret\n"
               "6: mov $2, %ecx\n 7: loop 7b\n mov $8f, %ebx\n call *" BX "\n jmp *9f\n 8: ret $0\n .p2align 3\n 9: " ADDR " 1f\n 1: nop\n" STOP)
CASE(strings, "mov $buffer, %esi\n mov $buffer + 16, %edi\n mov $3, %ecx\n" STEP "rep movsb\n rep stosb\n mov $1, %ecx\n rep lodsb\n mov $buffer, %esi\n mov $buffer + 6, %edi\n mov $8, %ecx\n"
              "repe cmpsb\n mov $2, %ecx\n repne scasb\n stosb\n" STOP)
CASE(calls, STEP GETPID "nop\n nop\n" GETPID STOP)
CASE(signals, GETPID STEP KILL "nop\n nop\n" STOP)
CASE(flags, STEP "pushf\n pop " AX "\n and $0x100, %eax\n jne 1f\n nop\n 1: pushf\n popf\n nop\n" STOP "nop\n pushfw\n orw $0x100, (" SP ")\n popfw\n nop\n pushfw\n andw $0xfeff, (" SP ")\n popfw\n")
CASE(stack_segment, "mov %ss, %ecx\n" STEP "mov %ecx, %ss\n nop\n nop\n mov %ecx, %es\n nop\n" STOP)
CASE(faults, "mov $1, %eax\n cltd\n" STEP "xor %ecx, %ecx\n div %ecx\n nop\n ud2\n nop\n" STOP)
CASE(int3, STEP "nop\n int3\n nop\n" STOP)
CASE(fetch, "mov $0x1000, %ecx\n" STEP "jmp *" CX "\n nop\n fetch_back: nop\n" STOP)
CASE(by_handler, "int3\n nop\n mov $1, %eax\n nop\n nop\n")
CASE(units, STEP "fldz\n fld1\n faddp\n fstp %st(0)\n pxor %xmm0, %xmm0\n paddb %xmm0, %xmm1\n cvtsi2sd %eax, %xmm1\n xor %eax, %eax\n push " BX "\n cpuid\n pop " BX "\n rdtsc\n nop\n lock addl $1, buffer + 32\n"
            "xadd %eax, buffer + 36\n mov $1, %ecx\n shl %cl, %eax\n enter $16, $0\n leave\n" STOP)
CASE(patched, STEP "movb $0x40, 1f + 1\n nop\n 1: and $0x20, %al\n nop\n" STOP)
#ifdef __x86_64__
CASE(iret, "mov %rsp, %rax\n mov %ss, %ecx\n push %rcx\n push %rax\n pushf\n orl $0x100, (%rsp)\n mov %cs, %ecx\n push %rcx\n push $1f\n iretq\n 1: nop\n"
           "mov %rsp, %rax\n mov %ss, %ecx\n push %rcx\n push %rax\n pushf\n andl $~0x100, (%rsp)\n mov %cs, %ecx\n push %rcx\n push $2f\n iretq\n 2: nop\n")
#else
CASE(iret, "pushf\n orl $0x100, (%esp)\n push %cs\n push $1f\n iret\n 1: nop\n pushf\n andl $~0x100, (%esp)\n push %cs\n push $2f\n iret\n 2: nop\n")
#endif

static void run(const char *name, void (*fn)(void), char *start, int set, int clear)
{
    n_ev = 0, base = (word)start, set_at = set, clear_at = clear;
    fn();
    put(name), put(":");
    for (unsigned i = 0; i < n_ev; i++) {
        const struct event *e = &ev[i];
        put(" "), put_num((long)e->at);
        if (e->sig != TRAP) put(" signal "), put_num(e->sig);
        if (e->sig == TRAP && e->code != 2) put(" code "), put_num(e->code);
        if (e->sig == TRAP && e->trap != 1) put(" trap "), put_num((long)e->trap);
        if (!(e->flags & TF)) put(" off");
        if (e->traced) put(" HANDLER");
        if (e->sig == TRAP && e->code == 2 && !e->addr_ok) put(" ADDRESS");
        put(",");
    }
    put(self_flags() & TF ? " TF is left on\n" : "\n");
}

static word status_of(int how)
{
    int status = 0;
    long pid = call(NR_FORK, 0, 0, 0, 0);

    if (!pid) {
        word mask[2] = { 1 << (TRAP - 1), 0 }, dfl[6] = { 0 };
        if (how == 0) call(NR_SIGPROCMASK, 0, (word)mask, 0, 8);
        if (how == 1) call(NR_SIGACTION, TRAP, (word)dfl, 0, 8);
        if (how == 2) dfl[0] = 1, call(NR_SIGACTION, TRAP, (word)dfl, 0, 8);
        case_plain();
        call(NR_EXIT, 3, 0, 0, 0);
    }
    call(NR_WAIT4, (word)pid, (word)&status, 0, 0);
    return (word)status & 0x7f;
}

__attribute__((used)) static void main_(void)
{
    catch_signal(TRAP), catch_signal(FPE), catch_signal(ILL), catch_signal(SEGV), catch_signal(USR1);
#define RUN(name) run(#name, case_##name, start_##name, 0, 0);
    RUN(plain) RUN(branches) RUN(strings) RUN(calls) RUN(signals) RUN(flags) RUN(stack_segment) RUN(faults) RUN(int3) RUN(fetch) RUN(units) RUN(patched) RUN(iret)
    run("set by handler", case_by_handler, start_by_handler, 1, 4);
    run("cleared by handler", case_plain, start_plain, 0, 2);
    for (int how = 0; how < 3; how++) put("ends by signal "), put_num((long)status_of(how)), put(how == 0 ? ": blocked\n" : how == 1 ? ": default\n" : ": ignored\n");
    call(NR_WRITE, 1, (word)text, n_text, 0);
    call(NR_EXIT, 0, 0, 0, 0);
}
__asm__(".text\n .globl _start\n _start: and $-16, " SP "\n call main_\n hlt\n .section .note.GNU-stack, \"\", @progbits\n .text\n");
