/*
 * debuggee.c - something to debug, without a libc: tests/test-gdb-user.sh. The first letter of the argument says what is done.
 * For MIPS, o32 and n64.
 */
#if _MIPS_SIM == _ABI64
enum { NR_kill = 5060, NR_exit = 5058, NR_getpid = 5038, NR_sigaction = 5013, NR_clone = 5055, NR_pause = 5033, NR_yield = 5023, NR_group = 5205 };
#else
enum { NR_kill = 4037, NR_exit = 4001, NR_getpid = 4020, NR_sigaction = 4194, NR_clone = 4120, NR_pause = 4029, NR_yield = 4162, NR_group = 4246 };
#endif

__asm__(".globl __start\n.set push\n.set noreorder\n.ent __start\n__start:\n"
        "move $4, $29\n move $31, $0\n"
#if _MIPS_SIM == _ABI64
        "dli $2, -16\n and $29, $29, $2\n daddiu $29, $29, -64\n"
#else
        "li $2, -8\n and $29, $29, $2\n addiu $29, $29, -32\n"
#endif
        "jal begin\n nop\n break\n.end __start\n.set pop\n");

static long sys(long n, long a, long b, long c, long d)
{
    register long v0 __asm__("$2") = n;
    register long a0 __asm__("$4") = a, a1 __asm__("$5") = b, a2 __asm__("$6") = c, a3 __asm__("$7") = d;
    __asm__ volatile("syscall" : "+r"(v0), "+r"(a3) : "r"(a0), "r"(a1), "r"(a2)
                     : "$1", "$3", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15", "$24", "$25", "memory");
    return v0;
}

volatile int counter = 7;
volatile int handled;
volatile int in_thread;
static long long stack[512] __attribute__((aligned(16)));

__attribute__((noinline)) int leaf(int x)
{
    counter += x;
    return counter;
}

__attribute__((noinline)) int middle(int x)
{
    return leaf(x) + 1;
}

__attribute__((noinline)) void handler(int sig)
{
    handled = sig;
}

__attribute__((noinline)) void in_the_thread(void)
{
    in_thread = 1;
    for (;;) sys(NR_yield, 0, 0, 0, 0);
}

/* The child has registers of its own and an empty stack. */
__attribute__((noinline)) void start_thread(void)
{
    if (sys(NR_clone, 0x10f00, (long)&stack[480], 0, 0) == 0) in_the_thread();
}

__attribute__((noinline, noreturn)) void finish(int status)
{
    for (;;) sys(NR_group, status, 0, 0, 0);
}

void begin(long *sp)
{
    struct { int flags; void *handler; int mask[4]; long rest[2]; } sa = { 0, (void *)handler, { 0 }, { 0 } };
    char what = sp[0] > 1 ? *(char *)sp[2] : 'x';

    switch (what) {
    case 's': /* a signal with a handler */
        sys(NR_sigaction, 16, (long)&sa, 0, 16);
        sys(NR_kill, sys(NR_getpid, 0, 0, 0, 0), 16, 0, 0);
        finish(handled);
    case 'd': /* one to die of */
        sys(NR_kill, sys(NR_getpid, 0, 0, 0, 0), 15, 0, 0);
        break;
    case 'f': /* a fault */
        *(volatile int *)8 = 1;
        break;
    case 'l': /* until somebody interrupts */
        for (;;) counter++;
    case 'p':
        for (;;) sys(NR_pause, 0, 0, 0, 0);
    case 't':
        start_thread();
        while (!in_thread) sys(NR_yield, 0, 0, 0, 0);
        middle(1);
        break;
    default:
        for (int i = 1; i < 4; i++) middle(i);
    }
    finish(counter);
}
