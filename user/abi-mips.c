/*
 * abi-mips.c - Linux on MIPS: o32, n32 and n64 in both byte orders. Registers, calls, signal
 * frames.
 *
 * Follows the MIPS psABI supplement, and the frame layouts that Linux documents by its
 * asm/ucontext.h and asm/sigcontext.h. Tables of numbers: abi-mips-tables.c; calls: mips-*.def.
 */
#include "user/abi-mips.h"
#include "isa/mips/mips.h"
#include "isa/mips/mips-user.h"

#include <elf.h>
#include <sys/time.h>

/* Handlers by name; each table declares what it uses. */
#include "user/syscalls.h"

static const struct syscall_desc calls_o32[] = {
#define SYS(num, name, fn, kinds, flags) SYSCALL_DESC(num, name, kinds, flags),
#include "user/mips-o32.def"
};
static sys_fn *const fns_o32[] = {
#define SYS(num, name, fn, kinds, flags) fn,
#include "user/mips-o32.def"
};
static const struct syscall_desc calls_n32[] = {
#define SYS(num, name, fn, kinds, flags) SYSCALL_DESC(num, name, kinds, flags),
#include "user/mips-n32.def"
};
static sys_fn *const fns_n32[] = {
#define SYS(num, name, fn, kinds, flags) fn,
#include "user/mips-n32.def"
};
static const struct syscall_desc calls_n64[] = {
#define SYS(num, name, fn, kinds, flags) SYSCALL_DESC(num, name, kinds, flags),
#include "user/mips-n64.def"
};
static sys_fn *const fns_n64[] = {
#define SYS(num, name, fn, kinds, flags) fn,
#include "user/mips-n64.def"
};

enum { R_V0 = 2, R_V1 = 3, R_A0 = 4, R_A3 = 7, R_T9 = 25, R_SP = 29, R_RA = 31 };
enum { EF_ABI2 = 0x20, EF_ABI_MASK = 0xf000, EF_ABI_O32 = 0x1000, EF_FP64 = 0x200 };
/* .MIPS.abiflags fp_abi */
enum { FP_ABI_64 = 6, FP_ABI_64A = 7 };

static struct mips_cpu *cpu_of(struct thread *t)
{
    return mips_cpu(t->cpu);
}
static uint64_t get(struct thread *t, unsigned r)
{
    return mips_gpr(cpu_of(t), r);
}

static void set(struct thread *t, unsigned r, uint64_t v)
{
    mips_set_gpr(cpu_of(t), r, v);
}

static uint64_t get_sp(struct thread *t)
{
    return abi_long(t->proc->abi, get(t, R_SP));
}

/* Address of the instruction to go on with, with the MIPS16 bit. */
static uint64_t get_pc(struct thread *t)
{
    uint64_t pc = mips_get_pc(cpu_of(t));
    return t->cpu->key & MK_M16 ? pc | 1 : pc;
}

static void set_pc(struct thread *t, uint64_t pc)
{
    t->proc->isa->set_pc(t->cpu, pc);
}

static bool flags_o32(uint32_t f)
{
    return !(f & EF_ABI2) && ((f & EF_ABI_MASK) == EF_ABI_O32 || !(f & EF_ABI_MASK));
}
static bool flags_n32(uint32_t f)
{
    return (f & EF_ABI2) != 0;
}
static bool flags_n64(uint32_t f)
{
    return !(f & EF_ABI2);
}

static unsigned abi_of(const struct abi *abi)
{
    return abi->long_size == 8 ? MIPS_ABI_N64 : abi->reg64 ? MIPS_ABI_N32 : MIPS_ABI_O32;
}

static int setup(struct thread *t, struct error *e)
{
    struct proc *p = t->proc;
    unsigned abi = abi_of(p->abi);
    if (abi != MIPS_ABI_O32 && !cpu_of(t)->is64) {
        error_set(e, "CPU %s has no 64-bit registers, which %s programs need", p->model->name,
                  p->target);
        return -1;
    }
    mips_user_setup(t->cpu, abi);
    if (abi == MIPS_ABI_O32 &&
        (p->fp_abi == FP_ABI_64 || p->fp_abi == FP_ABI_64A || (p->elf_flags & EF_FP64))) {
        cpu_of(t)->status |= 1u << 26; /* FR */
        mips_update_key(cpu_of(t));
    }
    return 0;
}

static void start(struct thread *t, uint64_t entry, uint64_t sp)
{
    set(t, R_SP, sp);
    set(t, R_T9, entry);
    set_pc(t, entry);
}

static void clone_regs(struct thread *child, uint64_t sp, uint64_t tls, bool set_tls)
{
    if (sp)
        set(child, R_SP,
            abi_of(child->proc->abi) == MIPS_ABI_N64 ? sp : (uint64_t)(int64_t)(int32_t)sp);
    if (set_tls) cpu_set_slot(child->cpu, MS_ULOCAL, tls);
}

static void set_tls(struct thread *t, uint64_t v)
{
    cpu_set_slot(t->cpu, MS_ULOCAL, v);
}

/* ---- calls -------------------------------------------------------------------------------------
 */
static unsigned syscall_number(struct thread *t, unsigned *shift)
{
    unsigned n = (unsigned)get(t, R_V0);
    *shift = 0;
    if (n == 4000 && abi_of(t->proc->abi) == MIPS_ABI_O32) { /* syscall(number, ...) */
        n = (unsigned)get(t, R_A0);
        *shift = 1;
    }
    return n;
}

static bool arg(struct thread *t, unsigned n, uint64_t *v)
{
    if (abi_of(t->proc->abi) == MIPS_ABI_O32 && n >= 4)
        return get_scalar(t, (uint32_t)(get(t, R_SP) + 4 * n), 4, v) == 0;
    if (n >= 8) return false;
    *v = get(t, R_A0 + n);
    return true;
}

static void skip_call(struct thread *t)
{
    cpu_set_slot(t->cpu, MS_PC, mips_get_pc(cpu_of(t)) + (t->cpu->key & MK_M16 ? 2 : 4));
}

static void syscall_done(struct thread *t, int64_t r)
{
    bool err = r < 0 && r >= -4095;
    set(t, R_V0, err ? (uint64_t)abi_errno_to_guest(t->proc->abi, (int)-r) : (uint64_t)r);
    set(t, R_A3, err);
    skip_call(t);
}

static void set_second(struct thread *t, uint64_t v)
{
    set(t, R_V1, v);
}

int64_t sys_set_thread_area(struct thread *t, const uint64_t *a)
{
    set_tls(t, a[0]);
    return 0;
}

/* Writes to code are seen without being told, but for those through another mapping of the same page. */
int64_t sys_cacheflush(struct thread *t, const uint64_t *a)
{
    struct proc *p = t->proc;
    if (a[0] < p->limit && a[1]) engine_code_written(p->engine, p->base + a[0], (size_t)MIN(a[1], p->limit - a[0]));
    return 0;
}
int64_t sys_cachectl(struct thread *t, const uint64_t *a)
{
    return -ENOSYS;
}

int64_t sys_sysmips(struct thread *t, const uint64_t *a)
{
    enum { FLUSH_CACHE = 3, FIXADE = 7, ATOMIC_SET = 2001 };
    switch (a[0]) {
    case FLUSH_CACHE: return 0;
    case FIXADE: return a[1] & 1 ? 0 : -EINVAL; /* repairing accesses cannot be turned off */
    case ATOMIC_SET: {
        static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
        uint64_t old;
        if (a[1] & 3) return -EINVAL;
        pthread_mutex_lock(&lock);
        int r = get_scalar(t, a[1], 4, &old);
        if (!r) r = put_scalar(t, a[1], 4, a[2]);
        pthread_mutex_unlock(&lock);
        if (r) return r;
        set(t, R_V0, (uint64_t)(int64_t)(int32_t)old);
        set(t, R_A3, 0);
        return (int32_t)old;
    }
    default: return -EINVAL;
    }
}

/* ---- exceptions
 * ---------------------------------------------------------------------------------- */
/* Is the address one that the CPU does not translate for user code? */
static bool beyond_user(struct thread *t, uint64_t addr)
{
    bool is64 = t->proc->abi->elf_class == ELFCLASS64;
    return addr >> (is64 ? cpu_of(t)->model->seg_bits : 31);
}

/* Linux says no more of an address error that it does not repair (LL, SC, jumps, the kernel's
 * addresses) than that there was one. */
static void address_error(struct guest_event *ev)
{
    ev->sig = SIGBUS;
    ev->code = SI_KERNEL;
    ev->addr = 0;
}

static void event(struct thread *t, struct guest_event *ev)
{
    struct mips_cpu *m = cpu_of(t);
    const struct exception *x = &t->cpu->exc;
    memset(ev, 0, sizeof *ev);
    unsigned flags = t->cpu->insn_flags;
    uint64_t at = mips_get_pc(m);
    if (x->code == ME_SYS) {
        ev->syscall = true;
        return;
    }
    /* A branch and its slot are done again from the branch. */
    if (flags & MI_DS)
        cpu_set_slot(t->cpu, MS_PC, at - 4);
    else if (flags & MI_DS2)
        cpu_set_slot(t->cpu, MS_PC, at - 2);
    ev->addr = at;
    switch (x->code & 31) {
    case ME_MOD:
    case ME_TLBL:
    case ME_TLBS:
        ev->sig = t->fault_bus ? SIGBUS : SIGSEGV;
        ev->code = t->fault_bus ? BUS_ADRERR : 0;
        ev->addr = abi_long(t->proc->abi, x->addr);
        if (beyond_user(t, ev->addr)) address_error(ev);
        break;
    case ME_ADEL:
    case ME_ADES:
        address_error(ev);
        break;
    case ME_IBE:
    case ME_DBE:
        ev->sig = SIGBUS;
        ev->code = BUS_OBJERR;
        break;
    case ME_BP:
    case ME_TR: {
        /* The assembler puts small codes in the upper half of the 20-bit field. */
        uint32_t code = x->sub;
        if ((x->code & 31) == ME_BP && code >= 1 << 10) code = (code & 0x3ff) << 10 | code >> 10;
        ev->sig = code == 6 || code == 7 ? SIGFPE : SIGTRAP;
        ev->code = code == 6 ? FPE_INTOVF : code == 7 ? FPE_INTDIV : TRAP_BRKPT;
        break;
    }
    case ME_OV:
        ev->sig = SIGFPE;
        ev->code = FPE_INTOVF;
        break;
    case ME_FPE: {
        uint32_t cause = mips_fcsr_read(m) >> 12 & 0x1f;
        ev->sig = SIGFPE;
        ev->code = cause & 16  ? FPE_FLTINV
                   : cause & 8 ? FPE_FLTDIV
                   : cause & 4 ? FPE_FLTOVF
                   : cause & 2 ? FPE_FLTUND
                   : cause & 1 ? FPE_FLTRES
                               : FPE_FLTINV;
        break;
    }
    case ME_RI:
    case ME_CPU:
        ev->sig = SIGILL;
        ev->code = ILL_ILLOPC;
        break;
    default: ev->sig = SIGILL; ev->code = ILL_ILLTRP;
    }
}

/* ---- signal frames
 * ---------------------------------------------------------------------------------- */
/* Offsets from the frame's start: argument save area 16, trampoline room 8, then (rt) siginfo 128
 * and the ucontext, or (o32's older form) the sigcontext and the mask. */
enum { FRAME_INFO = 24, FRAME_UC = 152, SIGFRAME_SC = 24, SC32_SIZE = 592, SC64_SIZE = 600 };

static void save_context(struct thread *t, uint8_t *sc)
{
    const struct abi *abi = t->proc->abi;
    struct mips_cpu *m = cpu_of(t);
    bool o32 = abi_of(abi) == MIPS_ABI_O32, fr = (m->status >> 26 & 1) != 0;
    unsigned regs = o32 ? 16 : 0, fpregs = o32 ? 272 : 256;
    guest_st(abi, sc + (o32 ? 8 : 576), 8, o32 ? get_pc(t) : get_pc(t));
    for (unsigned i = 0; i < 32; i++) {
        uint64_t v = get(t, i);
        guest_st(abi, sc + regs + 8 * i, 8, o32 ? (uint64_t)(int64_t)(int32_t)v : v);
        guest_st(abi, sc + fpregs + 8 * i, 8, !fr && (i & 1) ? 0 : m->fpr[i]);
    }
    guest_st(abi, sc + (o32 ? 532 : 584), 4, mips_fcsr_read(m));
    guest_st(abi, sc + (o32 ? 540 : 588), 4, 1);
    uint64_t hi = cpu_get_slot(t->cpu, MS_HI), lo = cpu_get_slot(t->cpu, MS_LO);
    guest_st(abi, sc + (o32 ? 552 : 512), 8, o32 ? (uint64_t)(int64_t)(int32_t)hi : hi);
    guest_st(abi, sc + (o32 ? 560 : 544), 8, o32 ? (uint64_t)(int64_t)(int32_t)lo : lo);
}

static void restore_context(struct thread *t, const uint8_t *sc)
{
    const struct abi *abi = t->proc->abi;
    struct mips_cpu *m = cpu_of(t);
    bool o32 = abi_of(abi) == MIPS_ABI_O32, fr = (m->status >> 26 & 1) != 0;
    unsigned regs = o32 ? 16 : 0, fpregs = o32 ? 272 : 256;
    for (unsigned i = 1; i < 32; i++)
        set(t, i, guest_ld(abi, sc + regs + 8 * i, 8));
    for (unsigned i = 0; i < 32; i++)
        if (fr || !(i & 1)) m->fpr[i] = guest_ld(abi, sc + fpregs + 8 * i, 8);
    cpu_set_slot(t->cpu, MS_HI, guest_ld(abi, sc + (o32 ? 552 : 512), 8));
    cpu_set_slot(t->cpu, MS_LO, guest_ld(abi, sc + (o32 ? 560 : 544), 8));
    /* Cause bits whose enable is set would raise at once. */
    uint32_t fcsr = (uint32_t)guest_ld(abi, sc + (o32 ? 532 : 584), 4);
    mips_fcsr_write(m, fcsr & ~((fcsr >> 7 & 0x1f) << 12 | 1u << 17));
    set_pc(t, guest_ld(abi, sc + (o32 ? 8 : 576), 8));
}

static bool setup_frame(struct thread *t, const struct guest_frame *f)
{
    struct proc *p = t->proc;
    const struct abi *abi = p->abi;
    unsigned kind = abi_of(abi), w = abi->long_size;
    bool rt = kind != MIPS_ABI_O32 || (f->action->flags & SA_SIGINFO);
    unsigned sc_size = kind == MIPS_ABI_O32 ? SC32_SIZE : SC64_SIZE;
    unsigned uc_sc = kind == MIPS_ABI_N64 ? 40 : 24; /* sigcontext in the ucontext */
    unsigned size = rt ? FRAME_UC + uc_sc + sc_size + 16 : SIGFRAME_SC + sc_size + 16;
    uint64_t sp = get_sp(t);
    if ((f->action->flags & SA_ONSTACK) && t->altstack_size && !signal_on_altstack(t, sp))
        sp = t->altstack + t->altstack_size;
    sp = ALIGN_DOWN(sp - 32 - size, 16);
    uint8_t *fr = mem_out(p, sp, size);
    if (!fr) return false;
    memset(fr, 0, size);
    /* Unwinders know a frame by these two instructions at the return address: li v0, number;
     * syscall */
    uint64_t tramp = p->sigpage + (rt ? 0 : 8);
    memcpy(fr + 16, p->base + tramp, 8);
    if (rt) {
        signal_info_to_guest(abi, f->info, fr + FRAME_INFO);
        uint8_t *uc = fr + FRAME_UC;
        guest_st(abi, uc + 2 * w, w, t->altstack);
        guest_st(abi, uc + 3 * w, w, t->altstack_size);
        guest_st(abi, uc + 4 * w, 4,
                 (uint32_t)(!t->altstack_size                  ? SS_DISABLE
                            : signal_on_altstack(t, get_sp(t)) ? SS_ONSTACK
                                                               : 0));
        save_context(t, uc + uc_sc);
        abi_set_to_guest(abi, f->mask, uc + uc_sc + sc_size, 16);
    } else {
        save_context(t, fr + SIGFRAME_SC);
        abi_set_to_guest(abi, f->mask, fr + SIGFRAME_SC + sc_size, 16);
    }
    set(t, R_A0, (uint64_t)abi_sig_to_guest(abi, f->sig));
    set(t, R_A0 + 1, rt ? sp + FRAME_INFO : 0);
    set(t, R_A0 + 2, rt ? sp + FRAME_UC : sp + SIGFRAME_SC);
    set(t, R_SP, sp);
    set(t, R_RA, tramp);
    set(t, R_T9, f->action->handler);
    set_pc(t, f->action->handler);
    return true;
}

static bool restore_frame(struct thread *t, bool rt, uint64_t *mask)
{
    struct proc *p = t->proc;
    const struct abi *abi = p->abi;
    unsigned kind = abi_of(abi), w = abi->long_size;
    unsigned sc_size = kind == MIPS_ABI_O32 ? SC32_SIZE : SC64_SIZE,
             uc_sc = kind == MIPS_ABI_N64 ? 40 : 24;
    unsigned sc = rt ? FRAME_UC + uc_sc : SIGFRAME_SC;
    const uint8_t *fr = mem_in(p, get_sp(t), sc + sc_size + 16);
    if (!fr || (get_sp(t) & 7)) return false;
    if (rt) {
        const uint8_t *st = fr + FRAME_UC + 2 * w;
        uint32_t flags = (uint32_t)guest_ld(abi, st + 2 * w, 4);
        if (!(flags & SS_ONSTACK)) {
            t->altstack = guest_ld(abi, st, w);
            t->altstack_size = flags & SS_DISABLE ? 0 : guest_ld(abi, st + w, w);
        }
    }
    *mask = abi_set_to_host(abi, fr + sc + sc_size, 16);
    restore_context(t, fr + sc);
    return true;
}

static void write_sigpage(struct proc *p, uint8_t *page)
{
    unsigned nr[] = {[MIPS_ABI_O32] = 4193, [MIPS_ABI_N32] = 6211, [MIPS_ABI_N64] = 5211};
    guest_st(p->abi, page, 4, 0x24020000 | nr[abi_of(p->abi)]); /* addiu v0, zero, rt_sigreturn */
    guest_st(p->abi, page + 4, 4, 0x0000000c);
    guest_st(p->abi, page + 8, 4, 0x24020000 | 4119); /* sigreturn, o32 only */
    guest_st(p->abi, page + 12, 4, 0x0000000c);
}

static uint64_t hwcap(struct thread *t, unsigned n)
{
    const struct mips_model *m = cpu_of(t)->model;
    if (n || !m) return 0;
    return (m->isa & MIPS_16E ? 1u << 3 : 0) | (m->isa & MIPS_3D ? 1u << 5 : 0);
}

static void cpuinfo(struct thread *t, FILE *f)
{
    const struct mips_cpu *m = cpu_of(t);
    fprintf(f,
            "system type\t\t: quern user mode\nmachine\t\t\t: Unknown\nprocessor\t\t: 0\ncpu "
            "model\t\t: %s\n"
            "BogoMIPS\t\t: 100.00\nwait instruction\t: no\nmicrosecond timers\t: "
            "no\ntlb_entries\t\t: %u\n",
            t->proc->model->name, m->model ? m->model->tlb_entries : 0u);
    static const struct {
        uint32_t bit;
        const char *name;
    } levels[] = {
        {MIPS_1, "mips1"},       {MIPS_2, "mips2"},     {MIPS_3, "mips3"},
        {MIPS_4, "mips4"},       {MIPS_5, "mips5"},     {MIPS_32, "mips32r1"},
        {MIPS_32R2, "mips32r2"}, {MIPS_64, "mips64r1"}, {MIPS_64R2, "mips64r2"},
    };
    fprintf(f, "isa\t\t\t:");
    for (size_t i = 0; m->model && i < ARRAY_LEN(levels); i++)
        if (m->model->isa & levels[i].bit) fprintf(f, " %s", levels[i].name);
    fprintf(f, "\nASEs implemented\t:%s\n\n",
            m->model && (m->model->isa & MIPS_16E) ? " mips16" : "");
}

/* clang-format off */
#define MIPS_COMMON                                                                                \
    .elf_machine = EM_MIPS, .abiflags_pt = 0x70000003, .errnos = mips_errnos, .signals = mips_signals,                 \
    .n_signals = 127, .sigset_size = 16, .sig_block = 1, .sig_unblock = 2, .sig_setmask = 3, .sa_flags = mips_sa_flags, \
    .siginfo_code_first = true, .sa_flags_first = true, .open_flags = mips_open_flags,             \
    .mmap_flags = mips_mmap_flags, .sock_flags = mips_sock_flags, .sock_types = mips_sock_types,   \
    .sockopts = mips_sockopts, .sol_socket = 0xffff, .fcntls = mips_fcntls, .rlimits = mips_rlimits, .lflags = mips_lflags, \
    .cc = mips_cc, .n_cc = 23, .ioctls = mips_ioctls, .setup = setup, .start = start, .event = event, \
    .syscall_number = syscall_number, .arg = arg, .syscall_done = syscall_done, .skip_call = skip_call, \
    .set_second = set_second, .pipe_in_regs = true, .get_sp = get_sp, .get_pc = get_pc, .clone = clone_regs, \
    .set_tls = set_tls, .clone_tls_arg = 3, .setup_frame = setup_frame, .sigreturn = restore_frame, .write_sigpage = write_sigpage, \
    .hwcap = hwcap, .cpuinfo = cpuinfo
#define MIPS_O32(name, end, data, msq)                                                             \
    const struct abi abi_##name = { MIPS_COMMON, .target = #name, .machine = "mips", .default_cpu = "24Kf", .be = end, .long_size = 4, \
        .pairs_aligned = true, .limit = 0x7fff8000, .elf_class = ELFCLASS32, .elf_data = data, .elf_flags_ok = flags_o32, \
        .calls = calls_o32, .call_fns = fns_o32, .n_calls = ARRAY_LEN(calls_o32), .rlim_infinity = 0x7fffffff, .stat = &mips_stat_o32, \
        .stat64 = &mips_stat64, .statfs = &mips_statfs, .statfs64 = &mips_statfs64, .flock = &mips_flock_o32, \
        .flock64 = &mips_flock64_o32, .shmid_ds = &mips_shmid, .semid_ds = &mips_semid_32, .msqid_ds = &msq }
#define MIPS_N32(name, end, data, msq)                                                             \
    const struct abi abi_##name = { MIPS_COMMON, .target = #name, .machine = "mips64", .default_cpu = "5KEf", .be = end, .long_size = 4, \
        .reg64 = true, .limit = 0x7fff8000, .elf_class = ELFCLASS32, .elf_data = data, .elf_flags_ok = flags_n32, \
        .calls = calls_n32, .call_fns = fns_n32, .n_calls = ARRAY_LEN(calls_n32), .rlim_infinity = 0x7fffffff, .stat = &mips_stat64, \
        .stat64 = &mips_stat64, .statfs = &mips_statfs, .statfs64 = &mips_statfs64, .flock = &mips_flock_o32, \
        .flock64 = &mips_flock64_o32, .shmid_ds = &mips_shmid, .semid_ds = &mips_semid_32, .msqid_ds = &msq }
#define MIPS_N64(name, end, data)                                                                  \
    const struct abi abi_##name = { MIPS_COMMON, .target = #name, .machine = "mips64", .default_cpu = "5KEf", .be = end, .long_size = 8, \
        .reg64 = true, .limit = (uint64_t)1 << 40, .elf_class = ELFCLASS64, .elf_data = data, .elf_flags_ok = flags_n64, \
        .calls = calls_n64, .call_fns = fns_n64, .n_calls = ARRAY_LEN(calls_n64), .rlim_infinity = UINT64_MAX, .stat = &mips_stat64, \
        .stat64 = &mips_stat64, .statfs = &mips_statfs, .statfs64 = &mips_statfs, .flock = &mips_flock_n64, \
        .flock64 = &mips_flock_n64, .shmid_ds = &mips_shmid, .semid_ds = &mips_semid_64, .msqid_ds = &mips_msqid_64 }
/* clang-format on */
extern const struct abi abi_mips, abi_mipsel, abi_mipsn32, abi_mipsn32el, abi_mips64, abi_mips64el;
MIPS_O32(mips, true, ELFDATA2MSB, mips_msqid_be32);
MIPS_O32(mipsel, false, ELFDATA2LSB, mips_msqid_le32);
MIPS_N32(mipsn32, true, ELFDATA2MSB, mips_msqid_be32);
MIPS_N32(mipsn32el, false, ELFDATA2LSB, mips_msqid_le32);
MIPS_N64(mips64, true, ELFDATA2MSB);
MIPS_N64(mips64el, false, ELFDATA2LSB);
