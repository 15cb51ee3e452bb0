/*
 * abi-x86.c - Linux on x86-64: registers, calls, signal frames.
 *
 * Follows the x86-64 psABI, and the layouts of Linux's asm/ headers sigcontext.h and ucontext.h. Numbers and layouts:
 * abi-x86-tables.c. Calls: x86-64.def. The vsyscall page: the kernel's Documentation/admin-guide, parameter vsyscall=.
 */
#include "user/abi-x86.h"

#include <elf.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "user/syscalls.h"
sys_fn sys_arch_prctl;

static const struct syscall_desc calls_64[] = {
#define SYS(num, name, fn, kinds, flags) SYSCALL_DESC(num, name, kinds, flags),
#include "user/x86-64.def"
};
static sys_fn *const fns_64[] = {
#define SYS(num, name, fn, kinds, flags) fn,
#include "user/x86-64.def"
};

/* ---- registers ---- */

enum { SYS_gettimeofday_64 = 96, SYS_time_64 = 201, SYS_getcpu_64 = 309 };
enum { VSYSCALL_PAGE = 0xff600000u }; /* the low half of its address; the upper one is all ones */

static struct x86_cpu *cpu_of(struct thread *t) { return x86_cpu(t->cpu); }
static uint64_t get(struct thread *t, unsigned r) { return x86_gpr(cpu_of(t), r); }
static void set(struct thread *t, unsigned r, uint64_t v) { x86_set_gpr(cpu_of(t), r, v); }
static uint64_t get_sp(struct thread *t) { return get(t, RSP); }
static uint64_t get_pc(struct thread *t) { return x86_cell(cpu_of(t), &cpu_of(t)->pc); }
static void set_pc(struct thread *t, uint64_t pc) { x86_set_cell(cpu_of(t), &cpu_of(t)->pc, pc); }
static bool any_flags(uint32_t f) { (void)f; return true; }

static int setup(struct thread *t, struct error *e)
{
    (void)e;
    x86_user_setup(t->cpu, true);
    return 0;
}

static void start(struct thread *t, uint64_t entry, uint64_t sp)
{
    set(t, RSP, sp);
    set(t, RDX, 0);
    set_pc(t, entry);
}

static void set_tls(struct thread *t, uint64_t v) { cpu_set_slot(t->cpu, XR_SEG_BASE + 4, v); }

static void clone_regs(struct thread *child, uint64_t sp, uint64_t tls, bool with_tls)
{
    if (sp) set(child, RSP, sp);
    if (with_tls) set_tls(child, tls);
}

/* ---- calls ---- */

/* Old programs call fixed addresses for the time: number of the call that stands for one, or 0. */
static unsigned vsyscall_number(uint64_t pc)
{
    if (pc >> 32 != 0xffffffff) return 0;
    switch ((uint32_t)pc) {
    case VSYSCALL_PAGE: return SYS_gettimeofday_64;
    case VSYSCALL_PAGE + 0x400: return SYS_time_64;
    case VSYSCALL_PAGE + 0x800: return SYS_getcpu_64;
    default: return 0;
    }
}

static unsigned syscall_number(struct thread *t, unsigned *shift)
{
    unsigned fixed = vsyscall_number(get_pc(t));

    *shift = 0;
    return fixed ? fixed : (unsigned)get(t, RAX);
}

static bool arg(struct thread *t, unsigned n, uint64_t *v)
{
    static const uint8_t regs[6] = { RDI, RSI, RDX, R10, R8, 9 };
    if (n >= ARRAY_LEN(regs)) return false;
    *v = get(t, regs[n]);
    return true;
}

/* The instruction leaves the return address in rcx and the flags in r11. */
static void skip_call(struct thread *t)
{
    if (vsyscall_number(get_pc(t))) {
        uint64_t to;
        if (get_scalar(t, get_sp(t), 8, &to)) to = 0; /* it faults there */
        set_pc(t, to);
        set(t, RSP, get_sp(t) + 8);
        return;
    }
    set_pc(t, get_pc(t) + 2);
    set(t, RCX, get_pc(t));
    set(t, R11, x86_get_eflags(cpu_of(t)));
}

static void syscall_done(struct thread *t, int64_t r)
{
    bool err = r < 0 && r >= -4095;
    set(t, RAX, err ? (uint64_t)-(int64_t)abi_errno_to_guest(t->proc->abi, (int)-r) : (uint64_t)r);
    skip_call(t);
}

static void set_second(struct thread *t, uint64_t v) { (void)t, (void)v; }

int64_t sys_arch_prctl(struct thread *t, const uint64_t *a)
{
    enum { SET_GS = 0x1001, SET_FS, GET_FS, GET_GS };
    ir_id fs = XR_SEG_BASE + 4, gs = XR_SEG_BASE + 5;

    switch (a[0]) {
    case SET_FS: case SET_GS:
        if (a[1] >= UINT64_C(1) << 47) return -EPERM;
        cpu_set_slot(t->cpu, a[0] == SET_FS ? fs : gs, a[1]);
        return 0;
    case GET_FS: case GET_GS: return put_scalar(t, a[1], 8, cpu_get_slot(t->cpu, a[0] == GET_FS ? fs : gs));
    default: return -EINVAL;
    }
}

/* ---- exceptions ---- */

void x86_fault_event(struct thread *t, struct guest_event *ev, uint64_t at)
{
    const struct exception *x = &t->cpu->exc;

    memset(ev, 0, sizeof *ev);
    ev->addr = at;
    ev->sig = SIGSEGV;
    ev->code = SI_KERNEL;
    switch (x->code) {
    case XE_PF:
        ev->addr = x->addr;
        if (x->addr >> 47 && x->addr >> 47 != 0x1ffff) { /* not canonical: a general protection fault, whose address nobody knows */
            ev->addr = 0;
            break;
        }
        if (x->addr >> 47) { /* the kernel's half */
            ev->code = SEGV_MAPERR;
            break;
        }
        ev->sig = t->fault_bus ? SIGBUS : SIGSEGV;
        ev->code = t->fault_bus ? BUS_ADRERR : 0;
        break;
    case XE_DE:
        ev->sig = SIGFPE, ev->code = FPE_INTDIV;
        break;
    case XE_UD:
        ev->sig = SIGILL, ev->code = ILL_ILLOPN;
        break;
    case XE_BP: case XE_DB: /* traps: they lie behind the instruction */
        t->proc->isa->set_pc(t->cpu, at + (t->cpu->insn_flags & XI_LEN_MASK));
        ev->sig = SIGTRAP, ev->code = x->code == XE_BP ? SI_KERNEL : TRAP_BRKPT;
        break;
    case XE_MF: case XE_XM:
        ev->sig = SIGFPE, ev->code = FPE_FLTINV;
        break;
    default: ev->addr = 0; break; /* general protection */
    }
}

/* What enters the kernel, a fault or a call, is not stepped: event() forgets it. */
bool x86_trapped(struct thread *t)
{
    if (!cpu_of(t)->db_pending) return false;
    cpu_of(t)->db_pending = 0;
    t->cpu->exc.code = XE_DB, t->cpu->exc.sub = 0;
    return true;
}

static void event(struct thread *t, struct guest_event *ev)
{
    uint64_t at = get_pc(t);

    cpu_of(t)->db_pending = 0;
    if (t->cpu->exc.code == XE_SYSCALL || (t->cpu->exc.code == XE_PF && t->cpu->exc.addr == at && vsyscall_number(at))) {
        memset(ev, 0, sizeof *ev);
        ev->syscall = true;
        return;
    }
    x86_fault_event(t, ev, at);
}

/* ---- signal frames ----
 * return address; ucontext: flags, link, stack, 256 bytes of sigcontext, mask; siginfo. The FXSAVE image is above. */
enum { FRAME_UC = 8, UC_STACK = 16, UC_SC = 40, UC_MASK = 296, UC_SIZE = 304, FRAME_INFO = FRAME_UC + UC_SIZE, FRAME_SIZE = FRAME_INFO + 128, FX_SIZE = 512 };
enum { SC_RIP = 128, SC_FLAGS = 136, SC_CS = 144, SC_SS = 150, SC_TRAP = 160, SC_CR2 = 176, SC_FP = 184 };
static const uint8_t sc_order[16] = { 8, 9, 10, 11, 12, 13, 14, 15, RDI, RSI, RBP, RBX, RDX, RAX, RCX, RSP };

static bool setup_frame(struct thread *t, const struct guest_frame *f)
{
    struct proc *p = t->proc;
    const struct abi *abi = p->abi;
    struct x86_cpu *x = cpu_of(t);
    uint64_t sp = get_sp(t);

    if ((f->action->flags & SA_ONSTACK) && t->altstack_size && !signal_on_altstack(t, sp)) sp = t->altstack + t->altstack_size;
    else sp -= 128; /* the area below the stack pointer that functions may use */
    uint64_t fx = ALIGN_DOWN(sp - FX_SIZE, 64), at = ALIGN_DOWN(fx - FRAME_SIZE, 16) - 8;
    uint8_t *fr = mem_out(p, at, (size_t)(fx + FX_SIZE - at));
    if (!fr) return false;
    memset(fr, 0, (size_t)(fx + FX_SIZE - at));
    x86_fxsave_image(x, fr + (fx - at));
    guest_st(abi, fr, 8, p->sigpage);
    uint8_t *uc = fr + FRAME_UC, *sc = uc + UC_SC;
    guest_st(abi, uc, 8, 6); /* the sigcontext has SS, and it is to be restored */
    guest_st(abi, uc + UC_STACK, 8, t->altstack);
    guest_st(abi, uc + UC_STACK + 8, 4, (uint32_t)(!t->altstack_size ? SS_DISABLE : signal_on_altstack(t, get_sp(t)) ? SS_ONSTACK : 0));
    guest_st(abi, uc + UC_STACK + 16, 8, t->altstack_size);
    for (unsigned i = 0; i < 16; i++) guest_st(abi, sc + 8 * i, 8, get(t, sc_order[i]));
    guest_st(abi, sc + SC_RIP, 8, get_pc(t));
    guest_st(abi, sc + SC_FLAGS, 8, x86_get_eflags(x));
    guest_st(abi, sc + SC_CS, 2, x->sel[1]);
    guest_st(abi, sc + SC_SS, 2, x->sel[2]);
    guest_st(abi, sc + SC_TRAP, 8, t->cpu->exc.code & 31);
    guest_st(abi, sc + SC_CR2, 8, t->cpu->exc.addr);
    guest_st(abi, sc + SC_FP, 8, fx);
    abi_set_to_guest(abi, f->mask, uc + UC_MASK, 8);
    signal_info_to_guest(abi, f->info, fr + FRAME_INFO);
    set(t, RDI, (uint64_t)abi_sig_to_guest(abi, f->sig));
    set(t, RSI, at + FRAME_INFO);
    set(t, RDX, at + FRAME_UC);
    set(t, RAX, 0);
    set(t, RSP, at);
    x86_set_eflags(x, x86_get_eflags(x) & ~(uint32_t)(XFL_DF | XFL_TF | XFL_RF));
    set_pc(t, f->action->handler);
    return true;
}

static bool restore_frame(struct thread *t, bool rt, uint64_t *mask)
{
    struct proc *p = t->proc;
    const struct abi *abi = p->abi;
    struct x86_cpu *x = cpu_of(t);
    const uint32_t keep = XFL_ARITH | XFL_DF | XFL_TF | XFL_AC | XFL_NT;
    const uint8_t *fr = mem_in(p, get_sp(t) - 8, FRAME_SIZE);

    (void)rt;
    if (!fr) return false;
    const uint8_t *uc = fr + FRAME_UC, *sc = uc + UC_SC;
    uint32_t ss = (uint32_t)guest_ld(abi, uc + UC_STACK + 8, 4);
    if (!(ss & SS_ONSTACK)) {
        t->altstack = guest_ld(abi, uc + UC_STACK, 8);
        t->altstack_size = ss & SS_DISABLE ? 0 : guest_ld(abi, uc + UC_STACK + 16, 8);
    }
    *mask = abi_set_to_host(abi, uc + UC_MASK, 8);
    uint64_t fx = guest_ld(abi, sc + SC_FP, 8);
    if (fx) {
        const uint8_t *image = mem_in(p, fx, FX_SIZE);
        if (!image) return false;
        x86_fxrstor_image(x, image);
    }
    for (unsigned i = 0; i < 16; i++) set(t, sc_order[i], guest_ld(abi, sc + 8 * i, 8));
    x86_set_eflags(x, (x86_get_eflags(x) & ~keep) | ((uint32_t)guest_ld(abi, sc + SC_FLAGS, 8) & keep));
    set_pc(t, guest_ld(abi, sc + SC_RIP, 8));
    return true;
}

/* Unwinders know a frame by these instructions at the return address: mov $15,%rax; syscall */
static void write_sigpage(struct proc *p, uint8_t *page)
{
    static const uint8_t code[] = { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 };
    (void)p;
    memcpy(page, code, sizeof code);
}

static uint64_t hwcap(struct thread *t, unsigned n) { return n ? 0 : x86_cpuid_features(cpu_of(t)); }

void x86_cpuinfo(struct thread *t, FILE *f)
{
    const struct x86_model *m = x86_cpu(t->cpu)->model;
    fprintf(f, "processor\t: 0\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\nmodel name\t: %s\n\n", m->vendor,
            (m->signature >> 8 & 15) + (m->signature >> 20 & 255), (m->signature >> 4 & 15) | (m->signature >> 12 & 0xf0), m->brand);
}

extern const struct abi abi_x86_64;
/* clang-format off */
const struct abi abi_x86_64 = {
    .target = "x86_64", .machine = "x86_64", .platform = "x86_64", .default_cpu = "qemu64", .be = false, .long_size = 8, .reg64 = true,
    .limit = (uint64_t)1 << 40, .elf_class = ELFCLASS64, .elf_data = ELFDATA2LSB, .elf_machine = EM_X86_64, .elf_flags_ok = any_flags,
    .calls = calls_64, .call_fns = fns_64, .n_calls = ARRAY_LEN(calls_64), .errnos = x86_errnos, .signals = x86_signals, .n_signals = 64, .sigset_size = 8,
    .sig_block = 0, .sig_unblock = 1, .sig_setmask = 2, .sa_flags = x86_sa_flags, .open_flags = x86_open_flags, .mmap_flags = x86_mmap_flags,
    .sock_flags = x86_sock_flags, .sock_types = x86_sock_types, .sockopts = x86_sockopts, .sol_socket = 1, .fcntls = x86_fcntls, .rlimits = x86_rlimits,
    .epoll_packed = true, .rlim_infinity = UINT64_MAX, .stat = &x86_stat, .stat64 = &x86_stat, .statfs = &x86_statfs, .statfs64 = &x86_statfs,
    .flock = &x86_flock, .flock64 = &x86_flock, .shmid_ds = &x86_shmid, .semid_ds = &x86_semid, .msqid_ds = &x86_msqid,
    .lflags = x86_lflags, .cc = x86_control_chars, .n_cc = 19, .ioctls = x86_ioctls, .setup = setup, .start = start, .event = event, .trapped = x86_trapped,
    .syscall_number = syscall_number, .arg = arg, .syscall_done = syscall_done, .skip_call = skip_call, .set_second = set_second,
    .get_sp = get_sp, .get_pc = get_pc, .clone = clone_regs, .set_tls = set_tls, .clone_tls_arg = 4, .setup_frame = setup_frame,
    .sigreturn = restore_frame, .write_sigpage = write_sigpage, .hwcap = hwcap, .cpuinfo = x86_cpuinfo,
};
/* clang-format on */
