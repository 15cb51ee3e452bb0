/*
 * strace.c - `PID name(args) = result`, from the kinds in the tables of calls.
 */
#include "user/abi.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>

struct text {
    char buf[1024];
    size_t n;
};

static void add(struct text *x, const char *fmt, ...) ATTR_PRINTF(2, 3);
static void add(struct text *x, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(x->buf + x->n, sizeof x->buf - x->n, fmt, ap);
    va_end(ap);
    if (n > 0) x->n = MIN(x->n + (size_t)n, sizeof x->buf - 1);
}

struct name {
    uint32_t value;
    const char *name;
};

static void add_flags(struct text *x, uint32_t v, const struct name *names, const char *zero)
{
    bool any = false;
    for (; names->name; names++)
        if (names->value && (v & names->value) == names->value) {
            add(x, "%s%s", any ? "|" : "", names->name);
            v &= ~names->value;
            any = true;
        }
    if (v || !any) {
        if (!any && !v)
            add(x, "%s", zero);
        else
            add(x, "%s0x%x", any ? "|" : "", v);
    }
}

static const struct name open_names[] = {{O_RDWR, "O_RDWR"},
                                         {O_WRONLY, "O_WRONLY"},
                                         {O_APPEND, "O_APPEND"},
                                         {O_CREAT, "O_CREAT"},
                                         {O_EXCL, "O_EXCL"},
                                         {O_NOCTTY, "O_NOCTTY"},
                                         {O_NONBLOCK, "O_NONBLOCK"},
                                         {O_SYNC, "O_SYNC"},
                                         {O_DSYNC, "O_DSYNC"},
                                         {O_ASYNC, "FASYNC"},
                                         {O_DIRECT, "O_DIRECT"},
                                         {O_NOATIME, "O_NOATIME"},
                                         {O_CLOEXEC, "O_CLOEXEC"},
                                         {O_PATH, "O_PATH"},
                                         {O_TMPFILE, "O_TMPFILE"},
                                         {O_DIRECTORY, "O_DIRECTORY"},
                                         {O_NOFOLLOW, "O_NOFOLLOW"},
                                         {O_TRUNC, "O_TRUNC"},
                                         {0, NULL}};
static const struct name prot_names[] = {
    {PROT_READ, "PROT_READ"}, {PROT_WRITE, "PROT_WRITE"}, {PROT_EXEC, "PROT_EXEC"}, {0, NULL}};
static const struct name map_names[] = {
    {MAP_SHARED, "MAP_SHARED"},       {MAP_PRIVATE, "MAP_PRIVATE"},
    {MAP_ANONYMOUS, "MAP_ANONYMOUS"}, {MAP_FIXED, "MAP_FIXED"},
    {MAP_NORESERVE, "MAP_NORESERVE"}, {MAP_LOCKED, "MAP_LOCKED"},
    {MAP_POPULATE, "MAP_POPULATE"},   {0, NULL}};

static const char *const signal_names[32] = {
    [SIGHUP] = "SIGHUP",       [SIGINT] = "SIGINT",   [SIGQUIT] = "SIGQUIT",
    [SIGILL] = "SIGILL",       [SIGTRAP] = "SIGTRAP", [SIGABRT] = "SIGABRT",
    [SIGBUS] = "SIGBUS",       [SIGFPE] = "SIGFPE",   [SIGKILL] = "SIGKILL",
    [SIGUSR1] = "SIGUSR1",     [SIGSEGV] = "SIGSEGV", [SIGUSR2] = "SIGUSR2",
    [SIGPIPE] = "SIGPIPE",     [SIGALRM] = "SIGALRM", [SIGTERM] = "SIGTERM",
    [SIGCHLD] = "SIGCHLD",     [SIGCONT] = "SIGCONT", [SIGSTOP] = "SIGSTOP",
    [SIGTSTP] = "SIGTSTP",     [SIGTTIN] = "SIGTTIN", [SIGTTOU] = "SIGTTOU",
    [SIGURG] = "SIGURG",       [SIGXCPU] = "SIGXCPU", [SIGXFSZ] = "SIGXFSZ",
    [SIGVTALRM] = "SIGVTALRM", [SIGPROF] = "SIGPROF", [SIGWINCH] = "SIGWINCH",
    [SIGIO] = "SIGIO",         [SIGPWR] = "SIGPWR",   [SIGSYS] = "SIGSYS",
};

static void add_signal(struct text *x, int host, int raw)
{
    if (host > 0 && host < 32 && signal_names[host])
        add(x, "%s", signal_names[host]);
    else
        add(x, "%d", raw);
}

static void add_string(struct text *x, struct thread *t, uint64_t addr)
{
    const char *s = addr ? mem_str(t->proc, addr, 4096) : NULL;
    if (!s) {
        add(x, addr ? "0x%llx" : "NULL", (unsigned long long)addr);
        return;
    }
    add(x, "\"");
    for (size_t i = 0; s[i] && i < 400; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\')
            add(x, "\\%c", c);
        else if (c < 32)
            add(x, c == '\n' ? "\\n" : "\\%03o", c);
        else
            add(x, "%c", c);
    }
    add(x, "\"");
}

static void add_address(struct text *x, const struct abi *abi, uint64_t v)
{
    if (!v)
        add(x, "NULL");
    else
        add(x, "0x%0*llx", abi->long_size * 2, (unsigned long long)v);
}

void strace_call(struct thread *t, const struct syscall_desc *call, const uint64_t *a, unsigned n)
{
    const struct abi *abi = t->proc->abi;
    struct text x = {"", 0};
    add(&x, "%d %s(", (int)t->tid, call->name);
    for (unsigned i = 0; i < n; i++) {
        if (i) add(&x, ",");
        switch (call->kinds[i]) {
        case '@':
            if ((int)a[i] == AT_FDCWD)
                add(&x, "AT_FDCWD");
            else
                add(&x, "%d", (int)a[i]);
            break;
        case 'd':
        case 'i': add(&x, "%d", (int)a[i]); break;
        case 's': add_string(&x, t, a[i]); break;
        case 'P':
        case 'B': add_address(&x, abi, a[i]); break;
        case 'x': add(&x, "0x%llx", (unsigned long long)a[i]); break;
        case 'm': add(&x, "0%03llo", (unsigned long long)a[i]); break;
        case 'o':
            if (!strncmp(call->name, "open", 4) &&
                !(abi_flags_to_host(abi->open_flags, (uint32_t)a[i], NULL) & O_ACCMODE))
                add(&x, a[i] ? "O_RDONLY|" : "");
            add_flags(&x, abi_flags_to_host(abi->open_flags, (uint32_t)a[i], NULL), open_names,
                      "O_RDONLY");
            break;
        case 'M': add_flags(&x, (uint32_t)a[i], prot_names, "PROT_NONE"); break;
        case 'F':
            add_flags(&x, abi_flags_to_host(abi->mmap_flags, (uint32_t)a[i], NULL), map_names, "0");
            break;
        case 'S': add_signal(&x, abi_sig_to_host(abi, (int)a[i]), (int)a[i]); break;
        case 'L':
        case 'l': add(&x, "%lld", (long long)a[i]); break;
        default: add(&x, "%llu", (unsigned long long)a[i]);
        }
    }
    log_printf("%s)", x.buf);
}

void strace_result(struct thread *t, const struct syscall_desc *call, int64_t ret)
{
    const struct abi *abi = t->proc->abi;
    if (call->flags & SYS_NORET) {
        log_printf(" = ?\n");
    } else if (ret < 0 && ret >= -4095) {
        log_printf(" = -1 errno=%d (%s)\n", abi_errno_to_guest(abi, (int)-ret),
                   strerror((int)-ret));
    } else if (!strcmp(call->name, "brk") || !strncmp(call->name, "mmap", 4) ||
               !strcmp(call->name, "mremap") || !strcmp(call->name, "shmat")) {
        log_printf(" = 0x%0*llx\n", abi->long_size * 2, (unsigned long long)ret);
    } else {
        log_printf(" = %lld\n", (long long)ret);
    }
}

void strace_signal(struct thread *t, int sig, const siginfo_t *i)
{
    struct text x = {"", 0};
    add(&x, "--- ");
    add_signal(&x, sig, abi_sig_to_guest(t->proc->abi, sig));
    add(&x, " {si_signo=");
    add_signal(&x, sig, abi_sig_to_guest(t->proc->abi, sig));
    if (i->si_code == SI_USER)
        add(&x, ", si_code=SI_USER");
    else if (i->si_code == SI_TKILL)
        add(&x, ", si_code=SI_TKILL");
    else if (i->si_code == SI_QUEUE)
        add(&x, ", si_code=SI_QUEUE");
    else
        add(&x, ", si_code=%d", i->si_code);
    if (i->si_code <= 0) {
        add(&x, ", si_pid=%d, si_uid=%u", (int)i->si_pid, (unsigned)i->si_uid);
    } else if (sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE ||
               sig == SIGTRAP) {
        add(&x, ", si_addr=");
        add_address(&x, t->proc->abi, (uint64_t)(uintptr_t)i->si_addr);
    }
    log_printf("%s} ---\n", x.buf);
}
