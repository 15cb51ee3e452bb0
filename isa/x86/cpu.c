/*
 * cpu.c - the tables that describe x86 to the rest of the house: slots, helpers, struct guest, struct isa, models, saved
 * state; and making, resetting and printing a CPU.
 *
 * What only system mode has is in sys-*.c.
 */
#include "isa/x86/sys.h"

#include "bus/dev.h"
#include "interp/x87.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- slots ---- */
/* clang-format off */
#define OFF(f) offsetof(struct x86_cpu, f)
#define X8(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define MM(n) [XR_MM + n] = { "mm" #n, OFF(st[n].mm), T_I64, SLOT_FPR }, [XR_ST_SE + n] = { "stse" #n, OFF(st[n].se), T_I32, SLOT_FPR },
#define VEC4(n) \
    [XR_VEC + 4 * n] = { "xmm" #n "l", OFF(vec[n][0]), T_I64, SLOT_VEC }, [XR_VEC + 4 * n + 1] = { "xmm" #n "h", OFF(vec[n][1]), T_I64, SLOT_VEC }, \
    [XR_VEC + 4 * n + 2] = { "ymm" #n "l", OFF(vec[n][2]), T_I64, SLOT_VEC }, [XR_VEC + 4 * n + 3] = { "ymm" #n "h", OFF(vec[n][3]), T_I64, SLOT_VEC },
#define GPRS(r, p, u, T) \
    [0] = { r "ax", OFF(gpr.u[0]), T, SLOT_GPR }, [1] = { r "cx", OFF(gpr.u[1]), T, SLOT_GPR }, \
    [2] = { r "dx", OFF(gpr.u[2]), T, SLOT_GPR }, [3] = { r "bx", OFF(gpr.u[3]), T, SLOT_GPR }, \
    [4] = { r "sp", OFF(gpr.u[4]), T, SLOT_GPR }, [5] = { r "bp", OFF(gpr.u[5]), T, SLOT_GPR }, \
    [6] = { r "si", OFF(gpr.u[6]), T, SLOT_GPR }, [7] = { r "di", OFF(gpr.u[7]), T, SLOT_GPR }, \
    [8] = { p "8", OFF(gpr.u[8]), T, SLOT_GPR }, [9] = { p "9", OFF(gpr.u[9]), T, SLOT_GPR }, \
    [10] = { p "10", OFF(gpr.u[10]), T, SLOT_GPR }, [11] = { p "11", OFF(gpr.u[11]), T, SLOT_GPR }, \
    [12] = { p "12", OFF(gpr.u[12]), T, SLOT_GPR }, [13] = { p "13", OFF(gpr.u[13]), T, SLOT_GPR }, \
    [14] = { p "14", OFF(gpr.u[14]), T, SLOT_GPR }, [15] = { p "15", OFF(gpr.u[15]), T, SLOT_GPR },
#define SLOTS(pcname, u, T) \
    [XR_PC] = { pcname, OFF(pc.u), T, SLOT_PC }, [XR_KEY] = { "key", OFF(c.key), T_I64, SLOT_MODE }, \
    [XR_CC_OP] = { "cc_op", OFF(cc_op), T_I32, SLOT_FLAG }, [XR_CC_R] = { "cc_r", OFF(cc_r.u), T, SLOT_FLAG }, \
    [XR_CC_B] = { "cc_b", OFF(cc_b.u), T, SLOT_FLAG }, [XR_DF] = { "df", OFF(df.u), T, SLOT_FLAG }, \
    [XR_SEG_BASE] = { "es_base", OFF(seg_base.u[0]), T, SLOT_SYS }, [XR_SEG_BASE + 1] = { "cs_base", OFF(seg_base.u[1]), T, SLOT_SYS }, \
    [XR_SEG_BASE + 2] = { "ss_base", OFF(seg_base.u[2]), T, SLOT_SYS }, [XR_SEG_BASE + 3] = { "ds_base", OFF(seg_base.u[3]), T, SLOT_SYS }, \
    [XR_SEG_BASE + 4] = { "fs_base", OFF(seg_base.u[4]), T, SLOT_SYS }, [XR_SEG_BASE + 5] = { "gs_base", OFF(seg_base.u[5]), T, SLOT_SYS }, \
    [XR_FTOP] = { "ftop", OFF(ftop), T_I32, SLOT_FPR }, [XR_FTW] = { "ftw", OFF(ftw), T_I32, SLOT_FPR }, \
    [XR_CF_OP] = { "cf_op", OFF(cf_op), T_I32, SLOT_FLAG }, [XR_CF_R] = { "cf_r", OFF(cf_r.u), T, SLOT_FLAG }, [XR_CF_B] = { "cf_b", OFF(cf_b.u), T, SLOT_FLAG }, \
    [XR_LIMIT] = { "es_limit", OFF(seg_fast[0]), T_I32, SLOT_SYS }, [XR_LIMIT + 1] = { "cs_limit", OFF(seg_fast[1]), T_I32, SLOT_SYS }, \
    [XR_LIMIT + 2] = { "ss_limit", OFF(seg_fast[2]), T_I32, SLOT_SYS }, [XR_LIMIT + 3] = { "ds_limit", OFF(seg_fast[3]), T_I32, SLOT_SYS }, \
    [XR_LIMIT + 4] = { "fs_limit", OFF(seg_fast[4]), T_I32, SLOT_SYS }, [XR_LIMIT + 5] = { "gs_limit", OFF(seg_fast[5]), T_I32, SLOT_SYS }, \
    X8(MM) X8(VEC4) VEC4(8) VEC4(9) VEC4(10) VEC4(11) VEC4(12) VEC4(13) VEC4(14) VEC4(15)
static const struct slot_desc slots32[XR_COUNT] = { GPRS("e", "unused", w, T_I32) SLOTS("eip", w, T_I32) };
static const struct slot_desc slots64[XR_COUNT] = { GPRS("r", "r", d, T_I64) SLOTS("rip", d, T_I64) };
/* clang-format on */

static const struct helper_desc helpers[XH_COUNT] = {
#define HELPER(N, fn, flags, reads, writes) [XH_##N] = { #N, fn, flags, reads, writes },
#include "isa/x86/helpers.def"
};

/* ---- struct guest ---- */

static void x86_fault(struct cpu *c, enum mem_fault f, enum mem_access acc, uint64_t va)
{
    if (!x86_cpu(c)->user) {
        x86_sys_fault(c, f, acc, va);
        return;
    }
    c->exc = (struct exception){ .code = f == FAULT_ALIGN ? XE_GP : XE_PF, .addr = va };
    if (f != FAULT_ALIGN) c->exc.sub = 4u | (acc == ACCESS_WRITE ? 2 : acc == ACCESS_EXEC ? 16 : 0);
}

static unsigned mmu_mode(struct cpu *c)
{
    return x86_cpu(c)->user ? 0 : x86_mmu_mode(c);
}

unsigned x86_disas(const struct cpu *c, uint64_t key, uint64_t pc, const uint8_t *bytes, size_t n, char *out, size_t size)
{
    (void)c;
    return x86_disas_att(bytes, n, (enum x86_mode)(key & XK_MODE), XF_ALL, pc, out, size);
}

static void dump_x87(struct x86_cpu *x, void (*put)(void *, const char *), void *opaque)
{
    char line[120];

    snprintf(line, sizeof line, "FCW=%04x FSW=%04x [ST=%u] FTW=%02x MXCSR=%08" PRIx32, x->fcw, x->fsw | (x->ftop & 7) << 11, (unsigned)x->ftop & 7,
             (unsigned)~x->ftw & 0xff, x86_get_mxcsr(x));
    put(opaque, line);
    for (unsigned i = 0; i < 8; i += 2) {
        snprintf(line, sizeof line, "FPR%u=%016" PRIx64 " %04x FPR%u=%016" PRIx64 " %04x", i, x->st[i].mm, (unsigned)x->st[i].se & 0xffff, i + 1, x->st[i + 1].mm,
                 (unsigned)x->st[i + 1].se & 0xffff);
        put(opaque, line);
    }
}

static void dump(struct cpu *c, void (*put)(void *, const char *), void *opaque, bool fpu)
{
    static const char names[16][4] = { "AX", "CX", "DX", "BX", "SP", "BP", "SI", "DI", "8 ", "9 ", "10", "11", "12", "13", "14", "15" };
    static const uint8_t order[16] = { 0, 3, 1, 2, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15 };
    struct x86_cpu *x = x86_cpu(c);
    bool w = x->user ? x->is64 : x86_long(x);
    char line[200];

    for (unsigned i = 0; i < (w ? 16u : 8u); i += 4) {
        int n = 0;
        for (unsigned k = i; k < i + 4; k++) {
            n += snprintf(line + n, sizeof line - (size_t)n, "%s%c%s=%0*" PRIx64, k > i ? " " : "", w ? 'R' : 'E', names[order[k]], w ? 16 : 8, x86_gpr(x, order[k]));
        }
        put(opaque, line);
    }
    uint32_t f = x86_get_eflags(x);
    int n = snprintf(line, sizeof line, "%cIP=%0*" PRIx64 " %cFL=%08" PRIx32 " [%c%c%c%c%c%c%c] CPL=%u", w ? 'R' : 'E', w ? 16 : 8,
             x->user ? x86_lin(x) : x86_ip_of(x, x86_lin(x)), w ? 'R' : 'E', f, f & XFL_DF ? 'D' : '-', f & XFL_OF ? 'O' : '-', f & XFL_SF ? 'S' : '-', f & XFL_ZF ? 'Z' : '-',
             f & XFL_AF ? 'A' : '-', f & XFL_PF ? 'P' : '-', f & XFL_CF ? 'C' : '-', (unsigned)(c->key >> XK_CPL_SHIFT & 3));
    if (!x->user) snprintf(line + n, sizeof line - (size_t)n, " II=%d A20=%d SMM=%d HLT=%d", !!(c->key & XK_SHADOW), !x->a20_off, x->smm, c->halted);
    put(opaque, line);
    if (!x->user) x86_sys_dump(c, put, opaque);
    for (unsigned s = 0; x->user && s < 6; s++) {
        static const char seg[6][3] = { "ES", "CS", "SS", "DS", "FS", "GS" };
        snprintf(line, sizeof line, "%s =%04x %0*" PRIx64, seg[s], x->sel[s], w ? 16 : 8, x->is64 ? x->seg_base.d[s] : x->seg_base.w[s]);
        put(opaque, line);
    }
    if (fpu) dump_x87(x, put, opaque);
    for (unsigned i = 0; fpu && i < (w ? 16u : 8u); i++) {
        snprintf(line, sizeof line, "XMM%02u=%016" PRIx64 "%016" PRIx64, i, x->vec[i][1], x->vec[i][0]);
        put(opaque, line);
    }
}

/* clang-format off */
static const struct guest_x87 x87 = {
    .helper = XH_X87, .st = OFF(st[0]), .control = OFF(fcw), .status = OFF(fsw), .top = XR_FTOP, .tags = XR_FTW, .first = XR_MM, .last = XR_FTW,
};
#define X86_GUEST(name_, slots_, type)                                                             \
    {                                                                                              \
        .name = name_, .slots = slots_, .n_slots = XR_COUNT, .helpers = helpers,                   \
        .n_helpers = XH_COUNT, .pc_slot = XR_PC, .addr_type = type,                                \
        .cpu_size = sizeof(struct x86_cpu), .x87 = &x87, .lazy_first = XR_CC_OP, .n_lazy = 6, .watch_after = true, .ordered = true, .open_bus = true,    \
        .no_fp_notes = true, .sse_fp = true, .translate = x86_translate, .fault = x86_fault,       \
        .mmu = x86_mmu, .exception = x86_exception, .interrupt = x86_interrupt, .has_work = x86_has_work, \
        .mmu_mode = mmu_mode, .disas = x86_disas, .dump = dump,                                    \
    }
const struct guest x86_32_guest = X86_GUEST("x86-32", slots32, T_I32);
const struct guest x86_64_guest = X86_GUEST("x86-64", slots64, T_I64);
/* clang-format on */

/* ---- making ---- */

static void reset(struct cpu *c)
{
    struct x86_cpu *x = x86_cpu(c);

    memset(&x->gpr, 0, sizeof x->gpr);
    memset(&x->seg_base, 0, sizeof x->seg_base);
    memset(x->st, 0, sizeof x->st);
    memset(x->vec, 0, sizeof x->vec);
    x86_set_eflags(x, XFL_ONE | XFL_IF);
    x86_set_cell(x, &x->pc, 0);
    c->halted = false;
    x->fcw = 0x37f, x->fsw = x->fsw_pending = 0, x->ftw = x->ftop = 0;
    c->fp = (struct fp_env){ .round = FP_RNE, .nan_rule = FP_NAN_FIRST, .nan_negative = true, .sees_denormal = true, .muladd_inf_nan = FP_INFZERO_C_QUIET, .muladd_order = FP_MULADD_ABC };
    c->fp_note = (struct fp_note){ 0 };
    x86_set_mxcsr(x, 0x1f80);
    if (x->user) x86_user_setup(c, x->is64);
    else x86_sys_reset(x, false);
}

void x86_user_setup(struct cpu *c, bool long_mode)
{
    struct x86_cpu *x = x86_cpu(c);

    c->key = (uint64_t)(long_mode ? X86_64 : X86_32) | XK_SS32 | 3u << XK_CPL_SHIFT | XK_PROT | XK_SSE | XK_AVX | XK_X87;
    /* What Linux has programs see with sgdt, sidt, smsw, sldt and str, where it keeps the truth to itself (UMIP). */
    x->gdt = (struct x86_table){ .base = UINT64_C(0xfffffffffffe0000) };
    x->idt = (struct x86_table){ .base = UINT64_C(0xffffffffffff0000) };
    x->tr = (struct x86_table){ .sel = 0x40 };
    x->cr0 = CR0_PG | CR0_AM | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE;
    memset(x->sel, 0, sizeof x->sel);
    x->sel[1] = long_mode ? X86_USER_CS : X86_USER_CS32;
    x->sel[2] = X86_USER_DS;
    if (!long_mode) x->sel[0] = x->sel[3] = X86_USER_DS;
}

static int init(struct cpu *c, const struct cpu_model *model, bool big_endian, bool user, struct error *e)
{
    struct x86_cpu *x = x86_cpu(c);

    (void)big_endian;
    (void)e;
    x->model = model->def;
    x->is64 = c->guest == &x86_64_guest;
    x->user = user;
    x->topology = (struct x86_topology){ (uint32_t)c->index, 1, 1, 1 };
    reset(c);
    return 0;
}

static void set_pc(struct cpu *c, uint64_t pc) { x86_set_cell(x86_cpu(c), &x86_cpu(c)->pc, pc); }

/* clang-format off */
#define I(f) STATE_INT(struct x86_cpu, f)
#define A(f) STATE_ARR(struct x86_cpu, f)
#define T(f) STATE_INT(struct x86_table, f)
static const struct state_field table_state[] = { T(base), T(limit), T(attr), T(sel), STATE_END };
#undef T
#define T(f) STATE_STRUCT(struct x86_cpu, f, 1, table_state)
static const struct state_field state[] = {
    I(eflags), A(sel), I(fcw), I(fsw), I(mxcsr), I(random), A(seg_limit), A(seg_attr), T(gdt), T(idt), T(ldt), T(tr), I(cpl), I(cr0), I(cr2),
    I(cr3), I(cr4), I(efer), I(xcr0), A(dr), I(star), I(lstar), I(cstar), I(fmask), I(kernel_gs), I(tsc_aux), I(sysenter_cs), I(sysenter_esp),
    I(sysenter_eip), I(pat), I(mtrr_def), A(mtrr_fixed), A(mtrr_base), A(mtrr_mask), I(misc_enable), I(mcg_status), I(mcg_ctl), A(mc_bank), I(debugctl),
    I(microcode), I(feature_control), I(tsc_offset), A(pdpte), I(monitor), I(smbase), I(a20_off), I(smm), I(nmi_blocked), I(nmi_pending),
    I(smi_pending), I(init_pending), I(wait_sipi), I(is_ap), I(sipi), I(stopped), I(in_mwait), I(db_pending), I(delivering), I(delivering_vector), I(delivering_soft),
    I(delivering_external), I(ferr), I(ferr_wait), I(pins), STATE_END,
};
#undef T
#undef A
#undef I
static const struct isa_target targets32[] = { { "i386", false }, { NULL, false } };
static const struct isa_target targets64[] = { { "x86_64", false }, { NULL, false } };
#define X86_ISA(w, arch)                                                                    \
    {                                                                                              \
        .name = "x86-" #w, .targets = targets##w, .guest = &x86_##w##_guest, .models = x86_models_##w, .n_models = X86_MODELS_##w, .derive_model = x86_derive_model, .feature_name = x86_feature_name, \
        .gdb_arch = arch, .gdb = x86_gdb_##w, .n_gdb = X86_GDB_FEATURES + (w == 64), .init = init, .reset = reset, .set_irq = x86_sys_set_irq, .dump_tlb = x86_dump_tlb, .connect_clock = x86_sys_connect_clock, .disas = x86_disas, .dump = dump, .set_pc = set_pc, \
        .state = state, .n_state = ARRAY_LEN(state) - 1,                                           \
    }
const struct isa x86_32_isa = X86_ISA(32, "i386");
const struct isa x86_64_isa = X86_ISA(64, "i386:x86-64");
/* clang-format on */
