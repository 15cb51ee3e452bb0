/*
 * gdb.c - x86's registers as gdb knows them: names, order and types are those of its features org.gnu.gdb.i386.*.
 *
 * Follows the GDB manual, appendix G (target descriptions).
 */
#include "isa/x86/x86.h"

enum { SPEC_EFLAGS, SPEC_FCW, SPEC_FSW, SPEC_FTAG, SPEC_NONE, SPEC_MXCSR };

static uint64_t spec_get(struct cpu *c, unsigned n)
{
    struct x86_cpu *x = x86_cpu(c);
    uint32_t tags = 0;

    switch (n) {
    case SPEC_EFLAGS: return x86_get_eflags(x);
    case SPEC_FCW: return x->fcw;
    case SPEC_FSW: return x->fsw | (x->ftop & 7) << 11;
    case SPEC_FTAG:
        for (unsigned i = 0; i < 8; i++) tags |= (x->ftw >> i & 1 ? 0u : 3u) << 2 * i;
        return tags;
    case SPEC_MXCSR: return x86_get_mxcsr(x);
    default: return 0;
    }
}

static void spec_set(struct cpu *c, unsigned n, uint64_t v)
{
    struct x86_cpu *x = x86_cpu(c);

    switch (n) {
    case SPEC_EFLAGS: x86_set_eflags(x, (uint32_t)v | XFL_ONE); break;
    case SPEC_FCW: x->fcw = (uint16_t)v; break;
    case SPEC_FSW: x->fsw = (uint16_t)(v & 0xc7ff), x->ftop = v >> 11 & 7; break;
    case SPEC_FTAG:
        x->ftw = 0;
        for (unsigned i = 0; i < 8; i++) x->ftw |= (uint32_t)((v >> 2 * i & 3) != 3) << i;
        break;
    case SPEC_MXCSR: x86_set_mxcsr(x, (uint32_t)v & 0xffff); break;
    default: break;
    }
}

static uint64_t sel_get(struct cpu *c, unsigned n) { return x86_cpu(c)->sel[n]; }
/* A debugger that writes all registers back does not mean to load segments. */
static void sel_set(struct cpu *c, unsigned n, uint64_t v)
{
    struct x86_cpu *x = x86_cpu(c);
    if (x->user && n != 1 && x->sel[n] != (uint16_t)v) x86_user_load_segment(x, n, (uint16_t)v);
}

static unsigned st_reg(struct cpu *c, unsigned n) { return (x86_cpu(c)->ftop + n) & 7; }
static uint64_t st_get(struct cpu *c, unsigned n) { return x86_cpu(c)->st[st_reg(c, n)].mm; }
static uint64_t st_high(struct cpu *c, unsigned n) { return x86_cpu(c)->st[st_reg(c, n)].se; }
static void st_set(struct cpu *c, unsigned n, uint64_t v) { x86_cpu(c)->st[st_reg(c, n)].mm = v; }
static void st_set_high(struct cpu *c, unsigned n, uint64_t v) { x86_cpu(c)->st[st_reg(c, n)].se = (uint16_t)v; }

static uint64_t xmm_high(struct cpu *c, unsigned n) { return x86_cpu(c)->vec[(n - XR_VEC) / 4][1]; }
static void xmm_set_high(struct cpu *c, unsigned n, uint64_t v) { x86_cpu(c)->vec[(n - XR_VEC) / 4][1] = v; }
static uint64_t xmm_get(struct cpu *c, unsigned n) { return x86_cpu(c)->vec[(n - XR_VEC) / 4][0]; }
static void xmm_set(struct cpu *c, unsigned n, uint64_t v) { x86_cpu(c)->vec[(n - XR_VEC) / 4][0] = v; }

/* clang-format off */
#define GPR(w, n, name_) { .name = name_, .bits = w, .arg = XR_GPR0 + n },
#define STACK(w, n, name_) { .name = name_, .bits = w, .arg = XR_GPR0 + n, .type = "data_ptr" },
#define SPEC(name_, n) { .name = name_, .bits = 32, .get = spec_get, .set = spec_set, .arg = n },
#define SEG(name_, n) { .name = name_, .bits = 32, .get = sel_get, .set = sel_set, .arg = n, .type = "int32" },
#define ST(n) { .name = "st" #n, .bits = 80, .get = st_get, .set = st_set, .get_high = st_high, .set_high = st_set_high, .arg = n, .type = "i387_ext" },
#define XMM(n) { .name = "xmm" #n, .bits = 128, .get = xmm_get, .set = xmm_set, .get_high = xmm_high, .set_high = xmm_set_high, .arg = XR_VEC + 4 * n, .type = "vec128" },
#define FLAGS_AND_SEGMENTS \
    { .name = "eflags", .bits = 32, .get = spec_get, .set = spec_set, .arg = SPEC_EFLAGS, .type = "i386_eflags" }, \
    SEG("cs", 1) SEG("ss", 2) SEG("ds", 3) SEG("es", 0) SEG("fs", 4) SEG("gs", 5)
#define X87 ST(0) ST(1) ST(2) ST(3) ST(4) ST(5) ST(6) ST(7) SPEC("fctrl", SPEC_FCW) SPEC("fstat", SPEC_FSW) SPEC("ftag", SPEC_FTAG) \
    SPEC("fiseg", SPEC_NONE) SPEC("fioff", SPEC_NONE) SPEC("foseg", SPEC_NONE) SPEC("fooff", SPEC_NONE) SPEC("fop", SPEC_NONE)
#define MXCSR { .name = "mxcsr", .bits = 32, .get = spec_get, .set = spec_set, .arg = SPEC_MXCSR, .type = "i386_mxcsr" },
static const struct isa_reg core32[] = {
    GPR(32, 0, "eax") GPR(32, 1, "ecx") GPR(32, 2, "edx") GPR(32, 3, "ebx") STACK(32, 4, "esp") STACK(32, 5, "ebp") GPR(32, 6, "esi") GPR(32, 7, "edi")
    { .name = "eip", .bits = 32, .arg = XR_PC, .type = "code_ptr" }, FLAGS_AND_SEGMENTS X87
};
static const struct isa_reg core64[] = {
    GPR(64, 0, "rax") GPR(64, 3, "rbx") GPR(64, 1, "rcx") GPR(64, 2, "rdx") GPR(64, 6, "rsi") GPR(64, 7, "rdi") STACK(64, 5, "rbp") STACK(64, 4, "rsp")
    GPR(64, 8, "r8") GPR(64, 9, "r9") GPR(64, 10, "r10") GPR(64, 11, "r11") GPR(64, 12, "r12") GPR(64, 13, "r13") GPR(64, 14, "r14") GPR(64, 15, "r15")
    { .name = "rip", .bits = 64, .arg = XR_PC, .type = "code_ptr" }, FLAGS_AND_SEGMENTS X87
};
static const struct isa_reg sse32[] = { XMM(0) XMM(1) XMM(2) XMM(3) XMM(4) XMM(5) XMM(6) XMM(7) MXCSR };
static const struct isa_reg sse64[] = {
    XMM(0) XMM(1) XMM(2) XMM(3) XMM(4) XMM(5) XMM(6) XMM(7) XMM(8) XMM(9) XMM(10) XMM(11) XMM(12) XMM(13) XMM(14) XMM(15) MXCSR
};
static const struct isa_reg segments[] = {
    { .name = "fs_base", .bits = 64, .arg = XR_SEG_BASE + 4 }, { .name = "gs_base", .bits = 64, .arg = XR_SEG_BASE + 5 },
};

#define FIELD(name, at) "<field name=\"" name "\" start=\"" #at "\" end=\"" #at "\"/>"
static const char core_types[] = "<flags id=\"i386_eflags\" size=\"4\">" FIELD("CF", 0) FIELD("PF", 2) FIELD("AF", 4) FIELD("ZF", 6) FIELD("SF", 7)
    FIELD("TF", 8) FIELD("IF", 9) FIELD("DF", 10) FIELD("OF", 11) FIELD("NT", 14) FIELD("RF", 16) FIELD("VM", 17) FIELD("AC", 18) FIELD("VIF", 19)
    FIELD("VIP", 20) FIELD("ID", 21) "</flags>";
#define VECTOR(id, type, count) "<vector id=\"" id "\" type=\"" type "\" count=\"" #count "\"/>"
#define MEMBER(name, type) "<field name=\"" name "\" type=\"" type "\"/>"
static const char sse_types[] = VECTOR("v4f", "ieee_single", 4) VECTOR("v2d", "ieee_double", 2) VECTOR("v16i8", "int8", 16) VECTOR("v8i16", "int16", 8)
    VECTOR("v4i32", "int32", 4) VECTOR("v2i64", "int64", 2) "<union id=\"vec128\">" MEMBER("v4_float", "v4f") MEMBER("v2_double", "v2d")
    MEMBER("v16_int8", "v16i8") MEMBER("v8_int16", "v8i16") MEMBER("v4_int32", "v4i32") MEMBER("v2_int64", "v2i64") MEMBER("uint128", "uint128")
    "</union><flags id=\"i386_mxcsr\" size=\"4\">" FIELD("IE", 0) FIELD("DE", 1) FIELD("ZE", 2) FIELD("OE", 3) FIELD("UE", 4) FIELD("PE", 5) FIELD("DAZ", 6)
    FIELD("IM", 7) FIELD("DM", 8) FIELD("ZM", 9) FIELD("OM", 10) FIELD("UM", 11) FIELD("PM", 12) FIELD("FZ", 15) "</flags>";

const struct isa_gdb_feature x86_gdb_32[X86_GDB_FEATURES] = {
    { "org.gnu.gdb.i386.core", core32, ARRAY_LEN(core32), core_types },
    { "org.gnu.gdb.i386.sse", sse32, ARRAY_LEN(sse32), sse_types },
};
const struct isa_gdb_feature x86_gdb_64[X86_GDB_FEATURES + 1] = {
    { "org.gnu.gdb.i386.core", core64, ARRAY_LEN(core64), core_types },
    { "org.gnu.gdb.i386.sse", sse64, ARRAY_LEN(sse64), sse_types },
    { "org.gnu.gdb.i386.segments", segments, ARRAY_LEN(segments), NULL },
};
/* clang-format on */
