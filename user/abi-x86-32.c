/*
 * abi-x86-32.c - Linux on i386: registers, calls, thread areas, signal frames, and the calls that only i386 has.
 *
 * Follows the i386 psABI, and the layouts of Linux's asm/ headers sigcontext.h, ucontext.h, ldt.h, stat.h. Selectors and
 * entries are those of a 64-bit kernel. Numbers and layouts: abi-x86-tables.c. Calls: x86-32.def. There is no vDSO.
 */
#include "user/abi-x86.h"

#include <elf.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/syscalls.h"
sys_fn sys_x86_getuid16, sys_x86_getgid16, sys_x86_geteuid16, sys_x86_getegid16, sys_x86_getgroups16, sys_x86_setgroups16, sys_x86_getresuid16,
    sys_x86_getresgid16, sys_x86_old_select, sys_x86_old_mmap, sys_x86_set_thread_area, sys_x86_get_thread_area, sys_x86_modify_ldt;

static const struct syscall_desc calls_32[] = {
#define SYS(num, name, fn, kinds, flags) SYSCALL_DESC(num, name, kinds, flags),
#include "user/x86-32.def"
};
static sys_fn *const fns_32[] = {
#define SYS(num, name, fn, kinds, flags) fn,
#include "user/x86-32.def"
};

/* ---- registers ---- */

enum { ES, CS, SS, DS, FS, GS };

static struct x86_cpu *cpu_of(struct thread *t) { return x86_cpu(t->cpu); }
static uint64_t get(struct thread *t, unsigned r) { return x86_gpr(cpu_of(t), r); }
static void set(struct thread *t, unsigned r, uint64_t v) { x86_set_gpr(cpu_of(t), r, v); }
static uint64_t get_sp(struct thread *t) { return (uint32_t)get(t, RSP); }
static uint64_t get_pc(struct thread *t) { return x86_cell(cpu_of(t), &cpu_of(t)->pc); }
static void set_pc(struct thread *t, uint64_t pc) { x86_set_cell(cpu_of(t), &cpu_of(t)->pc, (uint32_t)pc); }
static bool any_flags(uint32_t f) { (void)f; return true; }

static int setup(struct thread *t, struct error *e)
{
    (void)e;
    x86_user_setup(t->cpu, false);
    return 0;
}

static void start(struct thread *t, uint64_t entry, uint64_t sp)
{
    set(t, RSP, sp);
    set(t, RDX, 0);
    set_pc(t, entry);
}

/* ---- thread areas: struct user_desc is number, base, limit, flags ---- */

enum { AREA_32BIT = 1, AREA_CONTENTS = 6, AREA_READ_ONLY = 8, AREA_PAGES = 16, AREA_NOT_PRESENT = 32, AREA_USABLE = 64 };
enum { AREA_SIZE = 16, AREA_EMPTY = AREA_READ_ONLY | AREA_NOT_PRESENT };

struct area { uint32_t number, base, limit, flags; };

static bool get_area(struct thread *t, uint64_t at, struct area *a)
{
    const uint8_t *g = mem_in(t->proc, at, AREA_SIZE);

    if (!g) return false;
    *a = (struct area){ ld32_le(g), ld32_le(g + 4), ld32_le(g + 8), ld32_le(g + 12) };
    return true;
}

/* The descriptor as the processor has it: SDM volume 3, section 3.4.5. */
static uint64_t descriptor(const struct area *a)
{
    uint32_t type = (a->flags & AREA_CONTENTS) << 1 | (a->flags & AREA_READ_ONLY ? 0 : 2) | 1, lo, hi;

    if (!a->base && !a->limit && (a->flags & ~(uint32_t)AREA_USABLE) == AREA_EMPTY) return 0;
    lo = (a->limit & 0xffff) | a->base << 16;
    hi = (a->base >> 16 & 0xff) | type << 8 | 1u << 12 | 3u << 13 | (a->flags & AREA_NOT_PRESENT ? 0 : 1u << 15) | (a->limit & 0xf0000) |
         (a->flags & AREA_USABLE ? 1u << 20 : 0) | (a->flags & AREA_32BIT ? 1u << 22 : 0) | (a->flags & AREA_PAGES ? 1u << 23 : 0) |
         (a->base & 0xff000000);
    return lo | (uint64_t)hi << 32;
}

static struct area from_descriptor(uint32_t number, uint64_t d)
{
    uint32_t hi = (uint32_t)(d >> 32);

    return (struct area){ number, x86_descriptor_base(d), (uint32_t)(d & 0xffff) | (hi & 0xf0000),
                          !d ? AREA_EMPTY
                             : (hi >> 22 & 1) | (hi >> 9 & AREA_CONTENTS) | (hi & 1 << 9 ? 0 : AREA_READ_ONLY) | (hi >> 23 & 1 ? AREA_PAGES : 0) |
                                   (hi & 1 << 15 ? 0 : AREA_NOT_PRESENT) | (hi & 1 << 20 ? AREA_USABLE : 0) };
}

/* Puts an area into the caller's table; *number: the entry's. */
static int64_t put_area(struct thread *t, const struct area *a, uint32_t *number)
{
    struct x86_cpu *x = cpu_of(t);
    uint32_t n = a->number;

    if (n == UINT32_MAX) {
        for (n = X86_USER_TLS; n < X86_USER_TLS + X86_USER_TLS_COUNT && x->user_tls[n - X86_USER_TLS];) n++;
        if (n == X86_USER_TLS + X86_USER_TLS_COUNT) return -ESRCH;
    }
    if (n < X86_USER_TLS || n >= X86_USER_TLS + X86_USER_TLS_COUNT) return -EINVAL;
    x->user_tls[n - X86_USER_TLS] = descriptor(a);
    x86_user_reload(x);
    *number = n;
    return 0;
}

int64_t sys_x86_set_thread_area(struct thread *t, const uint64_t *a)
{
    struct area area;
    uint32_t n;

    if (!get_area(t, a[0], &area)) return -EFAULT;
    int64_t r = put_area(t, &area, &n);
    return r ? r : put_scalar(t, a[0], 4, n);
}

int64_t sys_x86_get_thread_area(struct thread *t, const uint64_t *a)
{
    struct area area;

    if (!get_area(t, a[0], &area)) return -EFAULT;
    if (area.number < X86_USER_TLS || area.number >= X86_USER_TLS + X86_USER_TLS_COUNT) return -EINVAL;
    area = from_descriptor(area.number, cpu_of(t)->user_tls[area.number - X86_USER_TLS]);
    uint8_t *g = mem_out(t->proc, a[0], AREA_SIZE);
    if (!g) return -EFAULT;
    st32_le(g, area.number), st32_le(g + 4, area.base), st32_le(g + 8, area.limit), st32_le(g + 12, area.flags);
    return 0;
}

/* The table is the process's: threads share it. It is made at its full size, so that it never moves. */
int64_t sys_x86_modify_ldt(struct thread *t, const uint64_t *a)
{
    struct x86_cpu *x = cpu_of(t);
    struct area area;

    switch ((int)a[0]) {
    case 0: { /* read */
        uint64_t n = MIN(a[2], (uint64_t)8 * X86_USER_LDT_COUNT);
        if (!x->user_ldt) return 0;
        uint8_t *g = mem_out(t->proc, a[1], n);
        if (!g) return -EFAULT;
        for (uint64_t i = 0; i < n / 8; i++) st64_le(g + 8 * i, x->user_ldt[i]);
        return (int64_t)n;
    }
    case 2: return 0; /* the default table is empty */
    case 1: case 0x11:
        if (a[2] != AREA_SIZE) return -EINVAL;
        if (!get_area(t, a[1], &area)) return -EFAULT;
        if (area.number >= X86_USER_LDT_COUNT || ((area.flags & AREA_CONTENTS) == AREA_CONTENTS && (a[0] == 1 || !(area.flags & AREA_NOT_PRESENT))))
            return -EINVAL;
        if (a[0] == 1) area.flags &= ~(uint32_t)AREA_USABLE;
        pthread_mutex_lock(&t->proc->lock);
        if (!x->user_ldt) {
            uint64_t *ldt = NEW_ARRAY(uint64_t, X86_USER_LDT_COUNT);
            for (struct thread *q = t->proc->threads; q; q = q->next) cpu_of(q)->user_ldt = ldt;
        }
        x->user_ldt[area.number] = descriptor(&area);
        pthread_mutex_unlock(&t->proc->lock);
        x86_user_reload(x);
        return 0;
    default: return -ENOSYS;
    }
}

static void set_tls(struct thread *t, uint64_t v)
{
    struct area area;
    uint32_t n;

    if (get_area(t, v, &area)) put_area(t, &area, &n);
}

static void clone_regs(struct thread *child, uint64_t sp, uint64_t tls, bool with_tls)
{
    if (sp) set(child, RSP, sp);
    if (with_tls) set_tls(child, tls);
}

/* ---- calls ---- */

static unsigned syscall_number(struct thread *t, unsigned *shift)
{
    *shift = 0;
    return (unsigned)get(t, RAX);
}

static bool arg(struct thread *t, unsigned n, uint64_t *v)
{
    static const uint8_t regs[6] = { RBX, RCX, RDX, RSI, RDI, RBP };
    if (n >= ARRAY_LEN(regs)) return false;
    *v = (uint32_t)get(t, regs[n]);
    return true;
}

static void skip_call(struct thread *t) { set_pc(t, get_pc(t) + 2); }

static void syscall_done(struct thread *t, int64_t r)
{
    bool err = r < 0 && r >= -4095;
    set(t, RAX, (uint32_t)(err ? -(int64_t)abi_errno_to_guest(t->proc->abi, (int)-r) : r));
    skip_call(t);
}

static void set_second(struct thread *t, uint64_t v) { (void)t, (void)v; }

/* ---- calls of i386 alone ---- */

/* An id that does not fit 16 bits is told as this one. */
static uint32_t id16(uint32_t id) { return id > 0xffff ? 65534 : id; }

int64_t sys_x86_getuid16(struct thread *t, const uint64_t *a) { (void)t, (void)a; return id16(getuid()); }
int64_t sys_x86_getgid16(struct thread *t, const uint64_t *a) { (void)t, (void)a; return id16(getgid()); }
int64_t sys_x86_geteuid16(struct thread *t, const uint64_t *a) { (void)t, (void)a; return id16(geteuid()); }
int64_t sys_x86_getegid16(struct thread *t, const uint64_t *a) { (void)t, (void)a; return id16(getegid()); }

static int64_t put_ids16(struct thread *t, const uint64_t *a, uint32_t r, uint32_t e, uint32_t s)
{
    return put_scalar(t, a[0], 2, id16(r)) || put_scalar(t, a[1], 2, id16(e)) || put_scalar(t, a[2], 2, id16(s)) ? -EFAULT : 0;
}
int64_t sys_x86_getresuid16(struct thread *t, const uint64_t *a)
{
    uid_t r, e, s;
    return getresuid(&r, &e, &s) ? -errno : put_ids16(t, a, r, e, s);
}
int64_t sys_x86_getresgid16(struct thread *t, const uint64_t *a)
{
    gid_t r, e, s;
    return getresgid(&r, &e, &s) ? -errno : put_ids16(t, a, r, e, s);
}

enum { MAX_GROUPS = 65536 };
int64_t sys_x86_getgroups16(struct thread *t, const uint64_t *a)
{
    int n = (int)a[0];

    if (n < 0 || n > MAX_GROUPS) return -EINVAL;
    gid_t *g = NEW_ARRAY(gid_t, n + 1);
    int64_t r = sys_ret(getgroups(n, g));
    for (int i = 0; n && i < r; i++) {
        if (put_scalar(t, a[1] + 2u * (unsigned)i, 2, id16(g[i]))) {
            r = -EFAULT;
            break;
        }
    }
    mem_free(g);
    return r;
}

int64_t sys_x86_setgroups16(struct thread *t, const uint64_t *a)
{
    int n = (int)a[0];
    int64_t r = 0;

    if (n < 0 || n > MAX_GROUPS) return -EINVAL;
    gid_t *g = NEW_ARRAY(gid_t, n + 1);
    for (int i = 0; i < n && !r; i++) {
        uint64_t v;
        r = get_scalar(t, a[1] + 2u * (unsigned)i, 2, &v);
        g[i] = (gid_t)v;
    }
    if (!r) r = sys_ret(syscall(SYS_setgroups, n, g));
    mem_free(g);
    return r;
}

/* These two find their arguments in memory. */
static bool get_words(struct thread *t, uint64_t at, uint64_t *v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (get_scalar(t, at + 4 * i, 4, &v[i])) return false;
    }
    return true;
}
int64_t sys_x86_old_select(struct thread *t, const uint64_t *a)
{
    uint64_t v[5];
    return get_words(t, a[0], v, 5) ? sys_select(t, v) : -EFAULT;
}
int64_t sys_x86_old_mmap(struct thread *t, const uint64_t *a)
{
    uint64_t v[6];
    if (!get_words(t, a[0], v, 6)) return -EFAULT;
    return v[5] & 4095 ? -EINVAL : sys_mmap(t, v);
}

/* ---- exceptions ---- */

static void event(struct thread *t, struct guest_event *ev)
{
    const struct exception *x = &t->cpu->exc;

    cpu_of(t)->db_pending = 0;
    if (x->code == XE_INT && x->sub == 0x80) {
        memset(ev, 0, sizeof *ev);
        ev->syscall = true;
        return;
    }
    x86_fault_event(t, ev, get_pc(t));
}

/* ---- signal frames ----
 * Both begin with the return address and the signal. The older one goes on with the sigcontext, room for the x87's
 * state that is not used any more, and the mask's second word; the newer one with the addresses of what follows: siginfo,
 * ucontext (flags, link, stack, sigcontext, mask). The code that returns comes last. Above lies the x87's state, 112 bytes
 * of it as FSAVE writes them, then the FXSAVE image. */
enum { OLD_SC = 8, SC_SIZE = 88, OLD_EXTRA = OLD_SC + SC_SIZE + 624, OLD_CODE = OLD_EXTRA + 4, OLD_SIZE = OLD_CODE + 8 };
enum { RT_INFO = 16, RT_UC = RT_INFO + 128, UC_STACK = 8, UC_SC = 20, UC_MASK = UC_SC + SC_SIZE, RT_CODE = RT_UC + UC_MASK + 8, RT_SIZE = RT_CODE + 8 };
enum { FP_ENV = 112, FP_SIZE = FP_ENV + 512 };
enum { SC_GPR = 16, SC_TRAP = 48, SC_ERR = 52, SC_EIP = 56, SC_CS = 60, SC_FLAGS = 64, SC_SP = 68, SC_SS = 72, SC_FP = 76, SC_MASK = 80, SC_CR2 = 84 };
static const uint8_t sc_segs[4] = { GS, FS, ES, DS };
static const uint8_t sc_order[8] = { RDI, RSI, RBP, RSP, RBX, RDX, RCX, RAX };
static const uint8_t code_old[8] = { 0x58, 0xb8, 0x77, 0, 0, 0, 0xcd, 0x80 }; /* pop %eax; mov $119,%eax; int $0x80 */
static const uint8_t code_rt[8] = { 0xb8, 0xad, 0, 0, 0, 0xcd, 0x80, 0 };     /* mov $173,%eax; int $0x80 */

static void save_context(struct thread *t, uint8_t *sc, uint64_t fp, uint32_t mask)
{
    struct x86_cpu *x = cpu_of(t);

    for (unsigned i = 0; i < 4; i++) st32_le(sc + 4 * i, x->sel[sc_segs[i]]);
    for (unsigned i = 0; i < 8; i++) st32_le(sc + SC_GPR + 4 * i, (uint32_t)get(t, sc_order[i]));
    st32_le(sc + SC_TRAP, t->cpu->exc.code & 31);
    st32_le(sc + SC_ERR, t->cpu->exc.code == XE_PF ? t->cpu->exc.sub : 0);
    st32_le(sc + SC_EIP, (uint32_t)get_pc(t));
    st32_le(sc + SC_CS, x->sel[CS]);
    st32_le(sc + SC_FLAGS, x86_get_eflags(x));
    st32_le(sc + SC_SP, (uint32_t)get(t, RSP));
    st32_le(sc + SC_SS, x->sel[SS]);
    st32_le(sc + SC_FP, (uint32_t)fp);
    st32_le(sc + SC_MASK, mask);
    st32_le(sc + SC_CR2, (uint32_t)t->cpu->exc.addr);
}

static bool restore_context(struct thread *t, const uint8_t *sc)
{
    const uint32_t keep = XFL_ARITH | XFL_DF | XFL_TF | XFL_AC | XFL_NT;
    struct x86_cpu *x = cpu_of(t);
    uint32_t fp = ld32_le(sc + SC_FP);

    if (fp) {
        const uint8_t *image = mem_in(t->proc, fp, FP_SIZE);
        if (!image) return false;
        x86_fxrstor_image(x, image + FP_ENV);
    }
    for (unsigned i = 0; i < 4; i++) {
        if (!x86_user_load_segment(x, sc_segs[i], ld16_le(sc + 4 * i))) return false;
    }
    for (unsigned i = 0; i < 8; i++) set(t, sc_order[i], ld32_le(sc + SC_GPR + 4 * i));
    x86_set_eflags(x, (x86_get_eflags(x) & ~keep) | (ld32_le(sc + SC_FLAGS) & keep));
    set_pc(t, ld32_le(sc + SC_EIP));
    return true;
}

/* The x87's state as FSAVE writes it, from the FXSAVE image, with the marks that tell of the latter. */
static void save_fp(struct thread *t, uint8_t *fp)
{
    uint8_t *fx = fp + FP_ENV;

    x86_fxsave_image(cpu_of(t), fx);
    uint32_t full = fx[4], tags = 0, top = fx[3] >> 3 & 7;
    for (unsigned i = 0; i < 8; i++) {
        const uint8_t *r = fx + 32 + 16 * ((i - top) & 7);
        uint64_t frac = ld64_le(r);
        unsigned e = ld16_le(r + 8) & 0x7fff;
        unsigned tag = !(full >> i & 1) ? 3 : e == 0x7fff ? 2 : !e && !frac ? 1 : !(frac >> 63) || !e ? 2 : 0;
        tags |= tag << 2 * i;
        memcpy(fp + 28 + 10 * i, fx + 32 + 16 * i, 10);
    }
    st32_le(fp, 0xffff0000u | ld16_le(fx));
    st32_le(fp + 4, 0xffff0000u | ld16_le(fx + 2));
    st32_le(fp + 8, 0xffff0000u | tags);
    st16_le(fp + 108, ld16_le(fx + 2));
    st16_le(fp + 110, 0);
}

static bool setup_frame(struct thread *t, const struct guest_frame *f)
{
    struct proc *p = t->proc;
    const struct abi *abi = p->abi;
    struct x86_cpu *x = cpu_of(t);
    bool rt = f->action->flags & SA_SIGINFO;
    unsigned size = rt ? RT_SIZE : OLD_SIZE;
    uint64_t sp = get_sp(t);
    uint8_t mask[8];

    if ((f->action->flags & SA_ONSTACK) && t->altstack_size && !signal_on_altstack(t, sp)) sp = t->altstack + t->altstack_size;
    uint64_t fp = ALIGN_DOWN((uint32_t)sp - FP_SIZE + FP_ENV, 64) - FP_ENV, at = ALIGN_DOWN(fp - size + 4, 16) - 4;
    if (sp < size + FP_SIZE + 128) return false;
    uint8_t *fr = mem_out(p, at, (size_t)(fp + FP_SIZE - at));
    if (!fr) return false;
    memset(fr, 0, (size_t)(fp + FP_SIZE - at));
    save_fp(t, fr + (fp - at));
    abi_set_to_guest(abi, f->mask, mask, 8);
    st32_le(fr, (uint32_t)p->sigpage + (rt ? 16 : 0));
    st32_le(fr + 4, (uint32_t)abi_sig_to_guest(abi, f->sig));
    if (rt) {
        uint8_t *uc = fr + RT_UC;
        st32_le(fr + 8, (uint32_t)at + RT_INFO);
        st32_le(fr + 12, (uint32_t)at + RT_UC);
        signal_info_to_guest(abi, f->info, fr + RT_INFO);
        st32_le(uc + UC_STACK, (uint32_t)t->altstack);
        st32_le(uc + UC_STACK + 4, !t->altstack_size ? SS_DISABLE : signal_on_altstack(t, get_sp(t)) ? SS_ONSTACK : 0);
        st32_le(uc + UC_STACK + 8, (uint32_t)t->altstack_size);
        save_context(t, uc + UC_SC, fp, ld32_le(mask));
        memcpy(uc + UC_MASK, mask, 8);
        memcpy(fr + RT_CODE, code_rt, 8);
    } else {
        save_context(t, fr + OLD_SC, fp, ld32_le(mask));
        memcpy(fr + OLD_EXTRA, mask + 4, 4);
        memcpy(fr + OLD_CODE, code_old, 8);
    }
    set(t, RAX, (uint64_t)abi_sig_to_guest(abi, f->sig));
    set(t, RDX, rt ? at + RT_INFO : 0);
    set(t, RCX, rt ? at + RT_UC : 0);
    set(t, RSP, at);
    x86_user_load_segment(x, DS, X86_USER_DS);
    x86_user_load_segment(x, ES, X86_USER_DS);
    x86_user_load_segment(x, SS, X86_USER_DS);
    x86_set_eflags(x, x86_get_eflags(x) & ~(uint32_t)(XFL_DF | XFL_TF | XFL_RF));
    set_pc(t, f->action->handler);
    return true;
}

/* The handler's return has popped the address, the older code the signal's number, too. */
static bool restore_frame(struct thread *t, bool rt, uint64_t *mask)
{
    struct proc *p = t->proc;
    const struct abi *abi = p->abi;
    const uint8_t *fr = mem_in(p, (uint32_t)(get_sp(t) - (rt ? 4 : 8)), rt ? RT_SIZE : OLD_SIZE);
    uint8_t set_now[8];

    if (!fr) return false;
    const uint8_t *sc = fr + (rt ? RT_UC + UC_SC : OLD_SC);
    memcpy(set_now, rt ? fr + RT_UC + UC_MASK : sc + SC_MASK, rt ? 8 : 4);
    if (!rt) memcpy(set_now + 4, fr + OLD_EXTRA, 4);
    if (rt) {
        const uint8_t *ss = fr + RT_UC + UC_STACK;
        if (!(ld32_le(ss + 4) & SS_ONSTACK)) {
            t->altstack = ld32_le(ss);
            t->altstack_size = ld32_le(ss + 4) & SS_DISABLE ? 0 : ld32_le(ss + 8);
        }
    }
    *mask = abi_set_to_host(abi, set_now, 8);
    return restore_context(t, sc);
}

static void write_sigpage(struct proc *p, uint8_t *page)
{
    (void)p;
    memcpy(page, code_old, sizeof code_old);
    memcpy(page + 16, code_rt, sizeof code_rt);
}

static uint64_t hwcap(struct thread *t, unsigned n) { return n ? 0 : x86_cpuid_features(cpu_of(t)); }

extern const struct abi abi_i386;
/* clang-format off */
const struct abi abi_i386 = {
    .target = "i386", .machine = "i686", .platform = "i686", .default_cpu = "qemu32", .be = false, .long_size = 4, .max_align = 4,
    .epoll_packed = true, .old_sigset = true, .limit = 0xffffe000, .elf_class = ELFCLASS32, .elf_data = ELFDATA2LSB, .elf_machine = EM_386,
    .elf_flags_ok = any_flags, .calls = calls_32, .call_fns = fns_32, .n_calls = ARRAY_LEN(calls_32), .errnos = x86_errnos, .signals = x86_signals,
    .n_signals = 64, .sigset_size = 8, .sig_block = 0, .sig_unblock = 1, .sig_setmask = 2, .sa_flags = x86_sa_flags,
    .open_flags = x86_open_flags, .mmap_flags = x86_mmap_flags, .sock_flags = x86_sock_flags, .sock_types = x86_sock_types,
    .sockopts = x86_sockopts, .sol_socket = 1, .fcntls = x86_fcntls, .fcntl_lock64 = 12, .rlimits = x86_rlimits, .rlim_infinity = 0xffffffff,
    .stat = &x86_stat_32, .stat64 = &x86_stat64_32, .statfs = &x86_statfs, .statfs64 = &x86_statfs64_32, .flock = &x86_flock,
    .flock64 = &x86_flock64_32, .shmid_ds = &x86_shmid_32, .semid_ds = &x86_semid_32, .msqid_ds = &x86_msqid_32, .lflags = x86_lflags,
    .cc = x86_control_chars, .n_cc = 19, .ioctls = x86_32_ioctls, .setup = setup, .start = start, .event = event, .trapped = x86_trapped,
    .syscall_number = syscall_number, .arg = arg, .syscall_done = syscall_done, .skip_call = skip_call, .set_second = set_second,
    .get_sp = get_sp, .get_pc = get_pc, .clone = clone_regs, .set_tls = set_tls, .clone_tls_arg = 3, .setup_frame = setup_frame,
    .sigreturn = restore_frame, .write_sigpage = write_sigpage, .hwcap = hwcap, .cpuinfo = x86_cpuinfo,
};
/* clang-format on */
