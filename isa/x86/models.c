/*
 * models.c - CPU models of x86 by table, changes to them ("Nehalem,+avx,-popcnt"), and CPUID.
 *
 * Follows the Intel SDM volume 2 (CPUID) and the AMD64 APM volume 3, appendix D; which features a processor of a name has: the
 * manufacturers' data sheets. A model never claims what the translator does not have (MISSING).
 */
#include "isa/x86/decode.h"
#include "isa/x86/sys.h"

#include <strings.h>

#define F(f) XF_BIT(XF_##f)
/* Not built, or system mode's business that is not there: asked for, they are left out with a warning. */
#define MISSING (F(SVM) | F(PKU) | F(XSAVES))

#define I386 (F(8086) | F(186) | F(286) | F(386))
#define I486 (I386 | F(486) | F(FPU) | F(CPUID))
#define PENTIUM (I486 | F(TSC) | F(MSR) | F(CX8))
#define PPRO (PENTIUM | F(P6) | F(CMOV) | F(SEP))
#define PENTIUM2 (PPRO | F(MMX) | F(FXSR))
#define PENTIUM3 (PENTIUM2 | F(SSE))
#define ATHLON (PENTIUM3 | F(3DNOW) | F(3DNOWEXT) | F(SYSCALL))
#define SSE3_32 (PENTIUM3 | F(SSE2) | F(SSE3) | F(CLFLUSH))
#define K8 (SSE3_32 | F(LM) | F(SYSCALL) | F(CX16))
#define CORE2 (K8 | F(SSSE3) | F(LAHF64) | F(MONITOR))
#define NEHALEM (CORE2 | F(SSE41) | F(SSE42) | F(POPCNT) | F(RDTSCP))
#define WESTMERE (NEHALEM | F(AES) | F(PCLMUL))
#define SANDYBRIDGE (WESTMERE | F(AVX) | F(XSAVE) | F(XSAVEOPT))
#define IVYBRIDGE (SANDYBRIDGE | F(F16C) | F(RDRAND) | F(FSGSBASE))
#define HASWELL (IVYBRIDGE | F(AVX2) | F(FMA) | F(BMI1) | F(BMI2) | F(MOVBE) | F(LZCNT) | F(INVPCID))
#define BROADWELL (HASWELL | F(ADX) | F(RDSEED) | F(SMAP) | F(PREFETCHW))
#define SKYLAKE (BROADWELL | F(XSAVEC) | F(CLFLUSHOPT))
#define EPYC_1 ((SKYLAKE & ~F(INVPCID)) | F(SHA) | F(SSE4A))
#define QEMU64 (K8 | F(LAHF64) | F(SSSE3) | F(POPCNT) | F(LZCNT) | F(BMI1) | F(BMI2) | F(MOVBE) | F(ADX) | F(PREFETCHW) | F(RDTSCP) | F(FSGSBASE))
#define ONLY_64 (F(LM) | F(SYSCALL) | F(CX16) | F(LAHF64) | F(FSGSBASE))
#define ALL (XF_ALL & ~MISSING & ~F(3DNOW) & ~F(3DNOWEXT))

/* Of no chip that was made: no VME, which all with CPUID have. */
#define NO_CHIP (UINT64_C(1) << 63)

/* Features of system mode come with those of the same generation. Intel's processors with AVX have an x2APIC (AMD's: SSE4A). */
#define SYS_P6 (XSF(DE) | XSF(PSE) | XSF(PAE) | XSF(MCE) | XSF(MTRR) | XSF(PGE) | XSF(MCA) | XSF(PAT) | XSF(PSE36))
#define SYS_OF(f)                                                                                  \
    (((f) & NO_CHIP ? 0 : XSF(VME)) | ((f) & F(P6) ? SYS_P6 : (f) & F(TSC) ? XSF(DE) | XSF(PSE) : 0) | ((f) & F(LM) ? XSF(NX) : 0) |   \
     (((f) & F(AVX)) && ((f) & F(INVPCID) || !((f) & F(SSE4A))) ? XSF(X2APIC) | XSF(TSC_DEADLINE) : 0) |                \
     ((f) & F(RDRAND) ? XSF(SMEP) : 0) | ((f) & F(INVPCID) ? XSF(PCID) : 0) | (((f) & F(AES)) && ((f) & F(LM)) ? XSF(PDPE1GB) : 0))

/* X(number, name, signature, vendor, features, help) */
/* clang-format off */
#define MODELS_32(X) \
    X(M_48632, "486", 0x480, "GenuineIntel", I486, "80486 DX4 with CPUID") \
    X(M_PENTIUM32, "pentium", 0x543, "GenuineIntel", PENTIUM, "Pentium") \
    X(M_PENTIUM232, "pentium2", 0x652, "GenuineIntel", PENTIUM2, "Pentium II") \
    X(M_PENTIUM332, "pentium3", 0x673, "GenuineIntel", PENTIUM3, "Pentium III") \
    X(M_ATHLON32, "athlon", 0x623, "AuthenticAMD", ATHLON, "Athlon") \
    X(M_COREDUO32, "coreduo", 0x6e8, "GenuineIntel", SSE3_32 | F(MONITOR), "Core Duo") \
    X(M_KVM3232, "kvm32", 0xf61, "GenuineIntel", SSE3_32, "32 bits, what every host has") \
    X(M_QEMU3232, "qemu32", 0x663, "GenuineIntel", SSE3_32 | F(SSSE3) | NO_CHIP, "32 bits (the default)") \
    X(M_MAX32, "max", 0x663, "GenuineIntel", ALL & ~ONLY_64, "32 bits, all that is built")
#define MODELS_64(X) \
    X(M_KVM6464, "kvm64", 0xf61, "GenuineIntel", K8, "64 bits, what every host has") \
    X(M_QEMU6464, "qemu64", 0x60fb1, "AuthenticAMD", QEMU64 | NO_CHIP, "64 bits (the default)") \
    X(M_CORE2DUO64, "core2duo", 0x6fb, "GenuineIntel", CORE2, "Core 2 Duo") \
    X(M_PENRYN64, "Penryn", 0x10674, "GenuineIntel", CORE2 | F(SSE41), "Core 2, 45 nm") \
    X(M_NEHALEM64, "Nehalem", 0x106a3, "GenuineIntel", NEHALEM, "Core i7 9xx") \
    X(M_WESTMERE64, "Westmere", 0x206c1, "GenuineIntel", WESTMERE, "Xeon E56xx") \
    X(M_SANDYBRIDGE64, "SandyBridge", 0x206a1, "GenuineIntel", SANDYBRIDGE, "Xeon E312xx") \
    X(M_IVYBRIDGE64, "IvyBridge", 0x306a9, "GenuineIntel", IVYBRIDGE, "Xeon E3-12xx v2") \
    X(M_HASWELL64, "Haswell", 0x306c4, "GenuineIntel", HASWELL, "Core, 4th generation") \
    X(M_BROADWELL64, "Broadwell", 0x306d2, "GenuineIntel", BROADWELL, "Core, 5th generation") \
    X(M_SKYLAKE_CLIENT64, "Skylake-Client", 0x506e3, "GenuineIntel", SKYLAKE, "Core, 6th generation") \
    X(M_EPYC64, "EPYC", 0x800f12, "AuthenticAMD", EPYC_1, "EPYC, 1st generation") \
    X(M_MAX64, "max", 0x60fb1, "AuthenticAMD", ALL, "64 bits, all that is built")

enum {
#define X(id, name_, sig, vendor_, features_, help_) id,
    MODELS_32(X) MODELS_64(X)
#undef X
};
static const struct x86_model defs[] = {
#define X(id, name_, sig, vendor_, features_, help_) [id] = { .features = (features_) & ~(MISSING | NO_CHIP), .sys = SYS_OF(features_), .signature = sig, .vendor = vendor_, .brand = "Quern " name_ },
    MODELS_32(X) MODELS_64(X)
#undef X
};
#define X(id, name_, sig, vendor_, features_, help_) { .name = name_, .help = help_, .def = &defs[id] },
const struct cpu_model x86_models_32[] = { MODELS_32(X) };
const struct cpu_model x86_models_64[] = { MODELS_64(X) };
#undef X
/* clang-format on */
_Static_assert(ARRAY_LEN(x86_models_32) == X86_MODELS_32 && ARRAY_LEN(x86_models_64) == X86_MODELS_64, "see x86.h");

/* ---- changes ---- */

/* Names as Linux's /proc/cpuinfo has them, where they are not those of enum x86_feature. */
static const struct { const char *name; uint8_t feature; } aliases[] = {
    { "sse4.1", XF_SSE41 }, { "sse4_1", XF_SSE41 }, { "sse4.2", XF_SSE42 }, { "sse4_2", XF_SSE42 }, { "pni", XF_SSE3 }, { "pclmulqdq", XF_PCLMUL },
    { "sha-ni", XF_SHA }, { "sha_ni", XF_SHA }, { "abm", XF_LZCNT }, { "lahf_lm", XF_LAHF64 }, { "lahf-lm", XF_LAHF64 }, { "3dnowprefetch", XF_PREFETCHW },
    { "tsc-deadline", XF_COUNT + XSB_TSC_DEADLINE }, { "tsc_deadline_timer", XF_COUNT + XSB_TSC_DEADLINE },
};

/* Features of other emulators' lists that no CPU has here: switched off they change nothing. */
static const char *const never[] = {
    "hypervisor", "invtsc", "vmx", "ht", "ss", "ds", "acpi", "pbe", "est", "tm", "tm2", "xtpr",
    "pdcm", "dca", "osvw", "umip", "pks", "la57", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "mpx", "hle",
    "rtm", "erms", "spec-ctrl", "ibpb", "ssbd", "stibp", "arch-capabilities", "md-clear", "npt", "kvm", "pmu",
};

static const char *const feature_names[XF_COUNT] = {
#define X(f) [XF_##f] = #f,
    X86_FEATURES(X)
#undef X
};
static const char *const sys_names[XSB_COUNT] = {
#define X(f, word, bit) [XSB_##f] = #f,
    X86_SYS_FEATURES(X)
#undef X
};

static bool is_named(const char *a, const char *name, size_t n) { return !strncasecmp(a, name, n) && !a[n]; }

/* Below XF_COUNT: an x86_feature; then: XSB_*; -1: none. */
static int feature_named(const char *name, size_t n)
{
    for (unsigned i = 0; i < ARRAY_LEN(aliases); i++) {
        if (is_named(aliases[i].name, name, n)) return aliases[i].feature;
    }
    for (int i = XF_CMOV; i < XF_COUNT; i++) { /* those before are generations */
        if (is_named(feature_names[i], name, n)) return i;
    }
    for (int i = 0; i < XSB_COUNT; i++) {
        if (is_named(sys_names[i], name, n)) return XF_COUNT + i;
    }
    return is_named("LM", name, n) ? XF_LM : -1;
}

const char *x86_feature_name(unsigned i)
{
    static const unsigned n = XF_COUNT - XF_CMOV;

    return i < n ? feature_names[XF_CMOV + i] : i < n + XSB_COUNT ? sys_names[i - n] : NULL;
}

struct changed { struct cpu_model model; struct x86_model def; char name[]; };

/* A number of the signature: family, model, stepping. */
static int change_signature(struct x86_model *m, const char *name, uint64_t v)
{
    uint32_t s = m->signature, family = s >> 8 & 15, model = (s >> 4 & 15) | (s >> 12 & 0xf0), step = s & 15;

    if (family == 15) family += s >> 20 & 255;
    if (!strcmp(name, "family") && v <= 15 + 255) family = (uint32_t)v;
    else if (!strcmp(name, "model") && v <= 255) model = (uint32_t)v;
    else if (!strcmp(name, "stepping") && v <= 15) step = (uint32_t)v;
    else return -1;
    m->signature = step | (model & 15) << 4 | MIN(family, 15u) << 8 | (model & 0xf0) << 12 | (family > 15 ? family - 15 : 0) << 20;
    return 0;
}

/* NAME=VALUE where NAME is no feature. 1: not one of these. */
static int change_property(struct x86_model *m, const char *name, const char *v, struct error *e)
{
    char *end;

    if (!strcmp(name, "vendor")) {
        if (strlen(v) != 12) return error_set(e, "vendor=%s: a vendor has 12 characters", v);
        memcpy(m->vendor, v, 12);
    } else if (!strcmp(name, "model-id") || !strcmp(name, "model_id")) {
        memset(m->brand, 0, sizeof m->brand);
        memcpy(m->brand, v, MIN(strlen(v), sizeof m->brand - 1));
    } else if (!strcmp(name, "family") || !strcmp(name, "model") || !strcmp(name, "stepping")) {
        uint64_t n = strtoull(v, &end, 0);
        if (!*v || *end || *v == '-' || change_signature(m, name, n)) return error_set(e, "%s=%s: out of range", name, v);
    } else return 1;
    return 0;
}

/* One change: +name, -name, name, name=on, name=off; or a property with its value. enforce: a feature that is missing is an error. */
static int change(struct x86_model *m, const char *s, bool enforce, struct error *e)
{
    bool on = *s != '-';
    const char *eq = strchr(s, '=');

    if (*s == '+' || *s == '-') s++;
    size_t n = eq ? (size_t)(eq - s) : strlen(s);
    if (is_named("check", s, n) || is_named("enforce", s, n)) return 0;
    if (eq) {
        char *name = mem_printf("%.*s", (int)n, s);
        int rc = change_property(m, name, eq + 1, e);
        mem_free(name);
        if (rc <= 0) return rc;
        if (!strcmp(eq + 1, "off")) on = false;
        else if (strcmp(eq + 1, "on")) return error_set(e, "'%s': on or off is expected", s);
    }
    int f = feature_named(s, n);
    bool missing = f >= 0 && f < XF_COUNT && MISSING >> f & 1;
    for (unsigned i = 0; f < 0 && i < ARRAY_LEN(never); i++) missing |= is_named(never[i], s, n);
    if (f < 0 && !missing) {
        error_set(e, "x86 has no feature '%.*s'", (int)n, s);
        return error_hint(e, "-cpu help lists them");
    }
    if (missing) {
        if (!on) return 0;
        if (enforce) return error_set(e, "the feature '%.*s' is not built", (int)n, s);
        error_warn("the feature '%.*s' is not built: the CPU will not have it", (int)n, s);
        return 0;
    }
    if (f >= XF_COUNT) {
        uint32_t bit = UINT32_C(1) << (f - XF_COUNT);
        m->sys = on ? m->sys | bit : m->sys & ~bit;
    } else {
        m->features = on ? m->features | UINT64_C(1) << f : m->features & ~(UINT64_C(1) << f);
    }
    return 0;
}

const struct cpu_model *x86_derive_model(const struct isa *isa, const char *text, struct error *e)
{
    size_t n = strcspn(text, ",");
    char *base = mem_printf("%.*s", (int)n, text);
    const struct cpu_model *from = isa_find_model(isa, base);

    mem_free(base);
    if (!from) {
        error_set(e, "unknown CPU model '%.*s'", (int)n, text);
        return NULL;
    }
    struct changed *c = mem_zalloc(sizeof *c + strlen(text) + 1);
    c->def = *(const struct x86_model *)from->def;
    strcpy(c->name, text);
    c->model = (struct cpu_model){ .name = c->name, .help = from->help, .def = &c->def };
    const char *check = strstr(text, ",enforce");
    bool enforce = check && (!check[8] || check[8] == ',' || !strncmp(check + 8, "=on", 3));
    for (text += n; *text == ','; text += n) {
        text++;
        n = strcspn(text, ",");
        char *one = mem_printf("%.*s", (int)n, text);
        int rc = n ? change(&c->def, one, enforce, e) : 0;
        mem_free(one);
        if (rc) {
            mem_free(c);
            return NULL;
        }
    }
    return &c->model;
}

/* ---- CPUID ---- */

struct cpuid_bit { uint8_t feature, bit; };
static const struct cpuid_bit leaf1_d[] = {
    { XF_FPU, 0 }, { XF_TSC, 4 }, { XF_MSR, 5 }, { XF_CX8, 8 }, { XF_SEP, 11 }, { XF_CMOV, 15 }, { XF_CLFLUSH, 19 }, { XF_MMX, 23 }, { XF_FXSR, 24 },
    { XF_SSE, 25 }, { XF_SSE2, 26 },
};
static const struct cpuid_bit leaf1_c[] = {
    { XF_SSE3, 0 }, { XF_PCLMUL, 1 }, { XF_SSSE3, 9 }, { XF_FMA, 12 }, { XF_CX16, 13 }, { XF_SSE41, 19 }, { XF_SSE42, 20 }, { XF_MOVBE, 22 },
    { XF_POPCNT, 23 }, { XF_AES, 25 }, { XF_XSAVE, 26 }, { XF_XSAVE, 27 }, { XF_AVX, 28 }, { XF_F16C, 29 }, { XF_RDRAND, 30 },
};
static const struct cpuid_bit leaf7_b[] = {
    { XF_FSGSBASE, 0 }, { XF_BMI1, 3 }, { XF_AVX2, 5 }, { XF_BMI2, 8 }, { XF_RDSEED, 18 }, { XF_ADX, 19 }, { XF_CLFLUSHOPT, 23 },
    { XF_CLWB, 24 }, { XF_SHA, 29 },
};
static const struct cpuid_bit ext_c[] = { { XF_LAHF64, 0 }, { XF_LZCNT, 5 }, { XF_SSE4A, 6 }, { XF_PREFETCHW, 8 } };
static const struct cpuid_bit ext_d[] = { { XF_SYSCALL, 11 }, { XF_RDTSCP, 27 }, { XF_LM, 29 }, { XF_3DNOWEXT, 30 }, { XF_3DNOW, 31 } };

static uint32_t word(const struct x86_cpu *x, const struct cpuid_bit *b, size_t n)
{
    uint32_t v = 0;
    for (size_t i = 0; i < n; i++) v |= (uint32_t)(x->model->features >> b[i].feature & 1) << b[i].bit;
    return v;
}
#define WORD(list) word(x, list, ARRAY_LEN(list))


static void caches(uint32_t sub, uint32_t r[4])
{
    static const uint32_t leaf4[4][4] = {
        { 0x00000121, 0x01c0003f, 63, 1 }, { 0x00000122, 0x01c0003f, 63, 1 }, { 0x00000143, 0x03c0003f, 4095, 1 }, { 0x00000163, 0x03c0003f, 16383, 6 },
    };
    if (sub < 4) memcpy(r, leaf4[sub], sizeof leaf4[sub]);
}

/* The state components of XSAVE. */
static void xsave_leaf(const struct x86_cpu *x, uint32_t sub, uint32_t r[4])
{
    bool avx = x->model->features & XF_BIT(XF_AVX);
    uint32_t size = avx ? 832 : 576;

    if (sub == 0) r[0] = avx ? 7 : 3, r[1] = r[2] = size;
    else if (sub == 1) r[0] = (uint32_t)(x->model->features >> XF_XSAVEOPT & 1) | (uint32_t)(x->model->features >> XF_XSAVEC & 1) << 1, r[1] = size;
    else if (sub == 2 && avx) r[0] = 256, r[1] = 576;
}

/* eax, ebx, ecx, edx */
void x86_cpuid(const struct x86_cpu *x, uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    const struct x86_model *m = x->model;
    bool lm = m->features & XF_BIT(XF_LM), xsave = m->features & XF_BIT(XF_XSAVE), amd = m->vendor[0] == 'A';
    const uint32_t names[4] = { 0, ld32_le(m->vendor), ld32_le(m->vendor + 8), ld32_le(m->vendor + 4) };
    bool old = !(m->features & XF_BIT(XF_P6)), zen = amd && m->features & XF_BIT(XF_AVX);

    memset(r, 0, 4 * sizeof *r);
    switch (leaf) {
    case 0:
        memcpy(r, names, sizeof names);
        r[0] = old ? 1 : xsave ? 0xd : 7;
        break;
    case 1: r[0] = m->signature, r[1] = 8 << 8 | 1 << 16, r[2] = WORD(leaf1_c), r[3] = WORD(leaf1_d); break;
    case 4:
        if (!amd && !old) caches(sub, r);
        break;
    case 7:
        if (!sub) r[1] = WORD(leaf7_b), r[2] = (uint32_t)(m->features >> XF_RDPID & 1) << 22;
        break;
    case 0xd:
        if (xsave) xsave_leaf(x, sub, r);
        break;
    case 0x80000000:
        if (old) break;
        memcpy(r, names, sizeof names);
        r[0] = 0x80000008;
        break;
    case 0x80000001: r[0] = m->signature, r[2] = WORD(ext_c), r[3] = WORD(ext_d) | (amd ? WORD(leaf1_d) & 0x0183f3ff : 0); break;
    case 0x80000002: case 0x80000003: case 0x80000004: {
        const char *s = m->brand + 16 * (leaf - 0x80000002);
        for (unsigned i = 0; i < 4; i++) r[i] = ld32_le(s + 4 * i);
        break;
    }
    case 0x80000005:
        /* TLBs; data and code: 64 KiB, 2 ways, lines of 64 bytes; later 32 KiB, 8 ways, and 64 KiB, 4 ways */
        if (amd) r[0] = r[1] = 0x01ff01ff, r[2] = zen ? 0x20080140 : 0x40020140, r[3] = zen ? 0x40040140 : 0x40020140;
        break;
    case 0x80000006: r[1] = 0x42004200, r[2] = zen ? 0x02006140 : 0x02008140, r[3] = zen ? 0x00408140 : 0x00808140; /* 512 KiB; 8 and 16 MiB */ break;
    case 0x80000008: r[0] = lm ? 48 << 8 | 40 : 32 << 8 | 36; break;
    default: break;
    }
}

uint32_t x86_cpuid_features(const struct x86_cpu *x) { return WORD(leaf1_d); }
