/*
 * simd-func.c - vector instructions that are long or rare, as C functions that translated code calls: AES, SHA, carry-less products,
 * string comparison, dot products, masked moves, gathers, approximations, 3DNow!, SSE4a; XSAVE.
 *
 * Follows the Intel SDM volume 2 (and volume 1, chapter 13, for XSAVE), FIPS 197 and FIPS 180-4, and the AMD64 APM volumes 4 and 5. The
 * approximations of reciprocals and roots are the exact values rounded: processors differ in theirs.
 */
#include "isa/x86/decode.h"
#include "isa/x86/simd-func.h"
#include "isa/x86/sys.h"

/* ---- lanes of a vector of 16 bytes ---- */

typedef uint64_t half[2];

static unsigned byte_of(const uint64_t *v, unsigned i) { return v[i / 8] >> 8 * (i & 7) & 0xff; }
static void set_byte(uint64_t *v, unsigned i, unsigned x)
{
    unsigned at = 8 * (i & 7);
    v[i / 8] = (v[i / 8] & ~(UINT64_C(0xff) << at)) | (uint64_t)(x & 0xff) << at;
}
static uint32_t dword_of(const uint64_t *v, unsigned i) { return (uint32_t)(v[i / 2] >> 32 * (i & 1)); }
static void set_dword(uint64_t *v, unsigned i, uint32_t x)
{
    unsigned at = 32 * (i & 1);
    v[i / 2] = (v[i / 2] & ~(UINT64_C(0xffffffff) << at)) | (uint64_t)x << at;
}
static uint32_t rol(uint32_t x, unsigned n) { return x << n | x >> (32 - n); }
static uint32_t ror(uint32_t x, unsigned n) { return x >> n | x << (32 - n); }

/* ---- AES ---- */

static const uint8_t sbox[256] = {
    0x63, 0x7c, 0x77, 0x7b, 0xf2, 0x6b, 0x6f, 0xc5, 0x30, 0x01, 0x67, 0x2b, 0xfe, 0xd7, 0xab, 0x76,
    0xca, 0x82, 0xc9, 0x7d, 0xfa, 0x59, 0x47, 0xf0, 0xad, 0xd4, 0xa2, 0xaf, 0x9c, 0xa4, 0x72, 0xc0,
    0xb7, 0xfd, 0x93, 0x26, 0x36, 0x3f, 0xf7, 0xcc, 0x34, 0xa5, 0xe5, 0xf1, 0x71, 0xd8, 0x31, 0x15,
    0x04, 0xc7, 0x23, 0xc3, 0x18, 0x96, 0x05, 0x9a, 0x07, 0x12, 0x80, 0xe2, 0xeb, 0x27, 0xb2, 0x75,
    0x09, 0x83, 0x2c, 0x1a, 0x1b, 0x6e, 0x5a, 0xa0, 0x52, 0x3b, 0xd6, 0xb3, 0x29, 0xe3, 0x2f, 0x84,
    0x53, 0xd1, 0x00, 0xed, 0x20, 0xfc, 0xb1, 0x5b, 0x6a, 0xcb, 0xbe, 0x39, 0x4a, 0x4c, 0x58, 0xcf,
    0xd0, 0xef, 0xaa, 0xfb, 0x43, 0x4d, 0x33, 0x85, 0x45, 0xf9, 0x02, 0x7f, 0x50, 0x3c, 0x9f, 0xa8,
    0x51, 0xa3, 0x40, 0x8f, 0x92, 0x9d, 0x38, 0xf5, 0xbc, 0xb6, 0xda, 0x21, 0x10, 0xff, 0xf3, 0xd2,
    0xcd, 0x0c, 0x13, 0xec, 0x5f, 0x97, 0x44, 0x17, 0xc4, 0xa7, 0x7e, 0x3d, 0x64, 0x5d, 0x19, 0x73,
    0x60, 0x81, 0x4f, 0xdc, 0x22, 0x2a, 0x90, 0x88, 0x46, 0xee, 0xb8, 0x14, 0xde, 0x5e, 0x0b, 0xdb,
    0xe0, 0x32, 0x3a, 0x0a, 0x49, 0x06, 0x24, 0x5c, 0xc2, 0xd3, 0xac, 0x62, 0x91, 0x95, 0xe4, 0x79,
    0xe7, 0xc8, 0x37, 0x6d, 0x8d, 0xd5, 0x4e, 0xa9, 0x6c, 0x56, 0xf4, 0xea, 0x65, 0x7a, 0xae, 0x08,
    0xba, 0x78, 0x25, 0x2e, 0x1c, 0xa6, 0xb4, 0xc6, 0xe8, 0xdd, 0x74, 0x1f, 0x4b, 0xbd, 0x8b, 0x8a,
    0x70, 0x3e, 0xb5, 0x66, 0x48, 0x03, 0xf6, 0x0e, 0x61, 0x35, 0x57, 0xb9, 0x86, 0xc1, 0x1d, 0x9e,
    0xe1, 0xf8, 0x98, 0x11, 0x69, 0xd9, 0x8e, 0x94, 0x9b, 0x1e, 0x87, 0xe9, 0xce, 0x55, 0x28, 0xdf,
    0x8c, 0xa1, 0x89, 0x0d, 0xbf, 0xe6, 0x42, 0x68, 0x41, 0x99, 0x2d, 0x0f, 0xb0, 0x54, 0xbb, 0x16,
};
static const uint8_t inverse_sbox[256] = {
    0x52, 0x09, 0x6a, 0xd5, 0x30, 0x36, 0xa5, 0x38, 0xbf, 0x40, 0xa3, 0x9e, 0x81, 0xf3, 0xd7, 0xfb,
    0x7c, 0xe3, 0x39, 0x82, 0x9b, 0x2f, 0xff, 0x87, 0x34, 0x8e, 0x43, 0x44, 0xc4, 0xde, 0xe9, 0xcb,
    0x54, 0x7b, 0x94, 0x32, 0xa6, 0xc2, 0x23, 0x3d, 0xee, 0x4c, 0x95, 0x0b, 0x42, 0xfa, 0xc3, 0x4e,
    0x08, 0x2e, 0xa1, 0x66, 0x28, 0xd9, 0x24, 0xb2, 0x76, 0x5b, 0xa2, 0x49, 0x6d, 0x8b, 0xd1, 0x25,
    0x72, 0xf8, 0xf6, 0x64, 0x86, 0x68, 0x98, 0x16, 0xd4, 0xa4, 0x5c, 0xcc, 0x5d, 0x65, 0xb6, 0x92,
    0x6c, 0x70, 0x48, 0x50, 0xfd, 0xed, 0xb9, 0xda, 0x5e, 0x15, 0x46, 0x57, 0xa7, 0x8d, 0x9d, 0x84,
    0x90, 0xd8, 0xab, 0x00, 0x8c, 0xbc, 0xd3, 0x0a, 0xf7, 0xe4, 0x58, 0x05, 0xb8, 0xb3, 0x45, 0x06,
    0xd0, 0x2c, 0x1e, 0x8f, 0xca, 0x3f, 0x0f, 0x02, 0xc1, 0xaf, 0xbd, 0x03, 0x01, 0x13, 0x8a, 0x6b,
    0x3a, 0x91, 0x11, 0x41, 0x4f, 0x67, 0xdc, 0xea, 0x97, 0xf2, 0xcf, 0xce, 0xf0, 0xb4, 0xe6, 0x73,
    0x96, 0xac, 0x74, 0x22, 0xe7, 0xad, 0x35, 0x85, 0xe2, 0xf9, 0x37, 0xe8, 0x1c, 0x75, 0xdf, 0x6e,
    0x47, 0xf1, 0x1a, 0x71, 0x1d, 0x29, 0xc5, 0x89, 0x6f, 0xb7, 0x62, 0x0e, 0xaa, 0x18, 0xbe, 0x1b,
    0xfc, 0x56, 0x3e, 0x4b, 0xc6, 0xd2, 0x79, 0x20, 0x9a, 0xdb, 0xc0, 0xfe, 0x78, 0xcd, 0x5a, 0xf4,
    0x1f, 0xdd, 0xa8, 0x33, 0x88, 0x07, 0xc7, 0x31, 0xb1, 0x12, 0x10, 0x59, 0x27, 0x80, 0xec, 0x5f,
    0x60, 0x51, 0x7f, 0xa9, 0x19, 0xb5, 0x4a, 0x0d, 0x2d, 0xe5, 0x7a, 0x9f, 0x93, 0xc9, 0x9c, 0xef,
    0xa0, 0xe0, 0x3b, 0x4d, 0xae, 0x2a, 0xf5, 0xb0, 0xc8, 0xeb, 0xbb, 0x3c, 0x83, 0x53, 0x99, 0x61,
    0x17, 0x2b, 0x04, 0x7e, 0xba, 0x77, 0xd6, 0x26, 0xe1, 0x69, 0x14, 0x63, 0x55, 0x21, 0x0c, 0x7d,
};

static unsigned twice(unsigned x) { return (x << 1 ^ (x & 0x80 ? 0x11b : 0)) & 0xff; }

static void mix(uint64_t *v, bool inverse)
{
    for (unsigned c = 0; c < 4; c++) {
        unsigned s[4], d[4];
        for (unsigned r = 0; r < 4; r++) s[r] = byte_of(v, 4 * c + r);
        if (inverse) { /* the inverse map is the map after multiplying by 4x^2 + 5 */
            unsigned u = twice(twice(s[0] ^ s[2])), w = twice(twice(s[1] ^ s[3]));
            s[0] ^= u, s[2] ^= u, s[1] ^= w, s[3] ^= w;
        }
        for (unsigned r = 0; r < 4; r++) d[r] = twice(s[r]) ^ twice(s[(r + 1) & 3]) ^ s[(r + 1) & 3] ^ s[(r + 2) & 3] ^ s[(r + 3) & 3];
        for (unsigned r = 0; r < 4; r++) set_byte(v, 4 * c + r, d[r]);
    }
}

/* how: 1 last round, 2 decryption */
static void aes_round(uint64_t *d, const uint64_t *a, const uint64_t *key, unsigned how)
{
    half s = { 0, 0 };

    for (unsigned c = 0; c < 4; c++) {
        for (unsigned r = 0; r < 4; r++) {
            unsigned from = 4 * ((how & 2 ? c + 4 - r : c + r) & 3) + r;
            set_byte(s, 4 * c + r, how & 2 ? inverse_sbox[byte_of(a, from)] : sbox[byte_of(a, from)]);
        }
    }
    if (!(how & 1)) mix(s, how & 2);
    d[0] = s[0] ^ key[0], d[1] = s[1] ^ key[1];
}

static uint32_t sub_word(uint32_t x)
{
    return sbox[x & 0xff] | (uint32_t)sbox[x >> 8 & 0xff] << 8 | (uint32_t)sbox[x >> 16 & 0xff] << 16 | (uint32_t)sbox[x >> 24] << 24;
}

static void aes_key(uint64_t *d, const uint64_t *b, unsigned imm)
{
    uint32_t x1 = sub_word(dword_of(b, 1)), x3 = sub_word(dword_of(b, 3));

    d[0] = x1 | (uint64_t)(ror(x1, 8) ^ imm) << 32;
    d[1] = x3 | (uint64_t)(ror(x3, 8) ^ imm) << 32;
}

/* ---- SHA ---- */

static uint32_t sha1_f(unsigned what, uint32_t b, uint32_t c, uint32_t d)
{
    return what == 0 ? (b & c) ^ (~b & d) : what == 2 ? (b & c) ^ (b & d) ^ (c & d) : b ^ c ^ d;
}

static void sha1_rounds(uint64_t *d, const uint64_t *a, const uint64_t *b, unsigned what)
{
    static const uint32_t k[4] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6 };
    uint32_t s[5] = { dword_of(a, 3), dword_of(a, 2), dword_of(a, 1), dword_of(a, 0), 0 };

    for (unsigned i = 0; i < 4; i++) {
        uint32_t t = sha1_f(what, s[1], s[2], s[3]) + rol(s[0], 5) + dword_of(b, 3 - i) + s[4] + k[what];
        s[4] = s[3], s[3] = s[2], s[2] = rol(s[1], 30), s[1] = s[0], s[0] = t;
    }
    for (unsigned i = 0; i < 4; i++) set_dword(d, 3 - i, s[i]);
}

static uint32_t small0(uint32_t x) { return ror(x, 7) ^ ror(x, 18) ^ x >> 3; }
static uint32_t small1(uint32_t x) { return ror(x, 17) ^ ror(x, 19) ^ x >> 10; }

static void sha256_rounds(uint64_t *d, const uint64_t *a, const uint64_t *b, const uint64_t *wk)
{
    uint32_t A = dword_of(b, 3), B = dword_of(b, 2), C = dword_of(a, 3), D = dword_of(a, 2), E = dword_of(b, 1), F = dword_of(b, 0), G = dword_of(a, 1),
             H = dword_of(a, 0);

    for (unsigned i = 0; i < 2; i++) {
        uint32_t t = ((E & F) ^ (~E & G)) + (ror(E, 6) ^ ror(E, 11) ^ ror(E, 25)) + dword_of(wk, i) + H;
        uint32_t u = t + ((A & B) ^ (A & C) ^ (B & C)) + (ror(A, 2) ^ ror(A, 13) ^ ror(A, 22));
        H = G, G = F, F = E, E = t + D, D = C, C = B, B = A, A = u;
    }
    d[0] = F | (uint64_t)E << 32, d[1] = B | (uint64_t)A << 32;
}

/* which: the table's numbers */
static void sha(struct x86_cpu *x, unsigned which, uint64_t *d, const uint64_t *pa, const uint64_t *b, unsigned imm)
{
    half a = { pa[0], pa[1] };
    uint32_t w[4];

    switch (which) {
    case 0: d[0] = b[0], d[1] = b[1], set_dword(d, 3, dword_of(b, 3) + rol(dword_of(a, 3), 30)); break;
    case 1: d[1] = a[0] ^ a[1], d[0] = b[1] ^ a[0]; break;
    case 2:
        for (unsigned i = 0; i < 3; i++) w[i] = rol(dword_of(a, 3 - i) ^ dword_of(b, 2 - i), 1);
        w[3] = rol(dword_of(a, 0) ^ w[0], 1);
        for (unsigned i = 0; i < 4; i++) set_dword(d, 3 - i, w[i]);
        break;
    case 3: sha256_rounds(d, a, b, x->vec[0]); break;
    case 4:
        for (unsigned i = 0; i < 4; i++) set_dword(d, i, dword_of(a, i) + small0(i < 3 ? dword_of(a, i + 1) : dword_of(b, 0)));
        break;
    case 5:
        w[0] = dword_of(a, 0) + small1(dword_of(b, 2));
        w[1] = dword_of(a, 1) + small1(dword_of(b, 3));
        w[2] = dword_of(a, 2) + small1(w[0]);
        w[3] = dword_of(a, 3) + small1(w[1]);
        for (unsigned i = 0; i < 4; i++) set_dword(d, i, w[i]);
        break;
    default: sha1_rounds(d, a, b, imm & 3); break;
    }
}

/* ---- integers ---- */

static void clmul(uint64_t *d, uint64_t a, uint64_t b)
{
    uint64_t lo = 0, hi = 0;

    for (unsigned i = 0; i < 64; i++) {
        if (!(b >> i & 1)) continue;
        lo ^= a << i;
        if (i) hi ^= a >> (64 - i);
    }
    d[0] = lo, d[1] = hi;
}

static void mpsadbw(uint64_t *d, const uint64_t *pa, const uint64_t *pb, unsigned imm)
{
    half a = { pa[0], pa[1] }, b = { pb[0], pb[1] }, r = { 0, 0 };
    unsigned from = imm & 4, block = 4 * (imm & 3);

    for (unsigned i = 0; i < 8; i++) {
        unsigned sum = 0;
        for (unsigned k = 0; k < 4; k++) {
            int diff = (int)byte_of(a, from + i + k) - (int)byte_of(b, block + k);
            sum += (unsigned)(diff < 0 ? -diff : diff);
        }
        r[i / 4] |= (uint64_t)sum << 16 * (i & 3);
    }
    d[0] = r[0], d[1] = r[1];
}

static void phminposuw(uint64_t *d, const uint64_t *b)
{
    unsigned best = 0, least = b[0] & 0xffff;

    for (unsigned i = 1; i < 8; i++) {
        unsigned v = b[i / 4] >> 16 * (i & 3) & 0xffff;
        if (v < least) least = v, best = i;
    }
    d[0] = least | best << 16, d[1] = 0;
}

/* ---- strings ---- */

struct text { const uint64_t *v; unsigned n, lanes; bool word, sign; };

static int element(const struct text *s, unsigned i)
{
    unsigned v = s->word ? s->v[i / 4] >> 16 * (i & 3) & 0xffff : byte_of(s->v, i);
    if (!s->sign) return (int)v;
    return s->word ? (int16_t)v : (int8_t)v;
}

static unsigned implicit_length(const struct text *s)
{
    unsigned i = 0;
    while (i < s->lanes && element(s, i)) i++;
    return i;
}

static unsigned explicit_length(uint64_t v, bool wide, unsigned lanes)
{
    int64_t n = wide ? (int64_t)v : (int32_t)v;
    return n > (int64_t)lanes || n < -(int64_t)lanes ? lanes : (unsigned)(n < 0 ? -n : n);
}

static bool one_match(const struct text *a, const struct text *b, unsigned j, unsigned how)
{
    switch (how) {
    case 0: /* equal to any */
        for (unsigned i = 0; j < b->n && i < a->n; i++) {
            if (element(a, i) == element(b, j)) return true;
        }
        return false;
    case 1: /* in one of the ranges */
        for (unsigned i = 0; j < b->n && i + 1 < a->n; i += 2) {
            if (element(a, i) <= element(b, j) && element(b, j) <= element(a, i + 1)) return true;
        }
        return false;
    case 2: return j < a->n && j < b->n ? element(a, j) == element(b, j) : j >= a->n && j >= b->n;
    default: /* a begins here, as far as there is room */
        for (unsigned i = 0; i < a->n && j + i < b->lanes; i++) {
            if (j + i >= b->n || element(a, i) != element(b, j + i)) return false;
        }
        return true;
    }
}

/* arg: 1 index, 2 implicit lengths; wide: REX.W */
static void pcmpstr(struct x86_cpu *x, unsigned arg, bool wide, const uint64_t *pa, const uint64_t *pb, unsigned imm)
{
    unsigned lanes = imm & 1 ? 8 : 16, all = imm & 1 ? 0xff : 0xffff, r = 0;
    struct text a = { pa, 0, lanes, imm & 1, imm & 2 }, b = { pb, 0, lanes, imm & 1, imm & 2 };

    a.n = arg & 2 ? implicit_length(&a) : explicit_length(x86_gpr(x, 0), wide, lanes);
    b.n = arg & 2 ? implicit_length(&b) : explicit_length(x86_gpr(x, 2), wide, lanes);
    for (unsigned j = 0; j < lanes; j++) r |= (unsigned)one_match(&a, &b, j, imm >> 2 & 3) << j;
    if (imm & 0x10) r ^= imm & 0x20 ? all & ((1u << b.n) - 1) : all;
    uint32_t f = (r ? XFL_CF : 0u) | (b.n < lanes ? XFL_ZF : 0u) | (a.n < lanes ? XFL_SF : 0u) | (r & 1 ? XFL_OF : 0u);
    x->cc_op = X86_CC_FLAGS;
    x86_set_cell(x, &x->cc_b, f);
    if (arg & 1) {
        unsigned at = lanes;
        for (unsigned j = 0; j < lanes; j++) {
            if (r >> j & 1 && (at == lanes || imm & 0x40)) at = j;
        }
        x86_set_gpr(x, 1, at);
        return;
    }
    x->vec[0][0] = r, x->vec[0][1] = 0;
    for (unsigned j = 0; imm & 0x40 && j < 16; j++) set_byte(x->vec[0], j, r >> (lanes == 8 ? j / 2 : j) & 1 ? 0xff : 0);
}

/* ---- floating point ---- */

static uint64_t fp2(struct x86_cpu *x, unsigned op, bool dbl, uint64_t a, uint64_t b) { return fp_exec(&x->c, op, dbl ? T_I64 : T_I32, 0, 0, a, b, 0); }

static void dot(struct x86_cpu *x, uint64_t *d, const uint64_t *a, const uint64_t *b, unsigned imm, bool dbl)
{
    uint64_t p[4] = { 0 };

    if (dbl) {
        for (unsigned i = 0; i < 2; i++) p[i] = imm >> (4 + i) & 1 ? fp2(x, OP_FMUL, true, a[i], b[i]) : 0;
        uint64_t s = fp2(x, OP_FADD, true, p[0], p[1]);
        for (unsigned i = 0; i < 2; i++) d[i] = imm >> i & 1 ? s : 0;
        return;
    }
    for (unsigned i = 0; i < 4; i++) p[i] = imm >> (4 + i) & 1 ? fp2(x, OP_FMUL, false, dword_of(a, i), dword_of(b, i)) : 0;
    uint64_t lo = fp2(x, OP_FADD, false, p[0], p[1]), hi = fp2(x, OP_FADD, false, p[2], p[3]), s = fp2(x, OP_FADD, false, lo, hi);
    for (unsigned i = 0; i < 4; i++) set_dword(d, i, imm >> i & 1 ? (uint32_t)s : 0);
}

/* 1 / v, or 1 / sqrt(v): no flags; denormal numbers are zeros */
static uint32_t approximate(uint32_t v, bool reciprocal)
{
    struct fp_env e = { .round = FP_RNE, .nan_rule = FP_NAN_FIRST, .nan_negative = true, .daz = true, .ftz = true };
    f32_t one = 0x3f800000;

    if (!reciprocal) {
        if (v >> 31 && (v & 0x7f800000) && (v & 0x7fffffff) <= 0x7f800000) return 0xffc00000;
        if (!(v & 0x7f800000)) return (v & 0x80000000) | 0x7f800000;
        return f32_div(one, f32_sqrt(v, &e), &e);
    }
    return f32_div(one, v, &e);
}

/* ---- vector functions ---- */

/* how: enum x86_simd | destination << 8 | first operand << 16 (registers * 2 + half) | immediate << 24; lo, hi: the last operand */
uint64_t x86_helper_simd(struct cpu *c, uint64_t how, uint64_t lo, uint64_t hi)
{
    struct x86_cpu *x = x86_cpu(c);
    unsigned which = how & 0xff, imm = how >> 24 & 0xff;
    uint64_t *d = x->vec[how >> 9 & 15] + 2 * (how >> 8 & 1);
    const uint64_t *first = x->vec[how >> 17 & 15] + 2 * (how >> 16 & 1);
    half a = { first[0], first[1] }, b = { lo, hi };

    switch (which) {
    case XV_AES: case XV_AES + 1: case XV_AES + 2: case XV_AES + 3: aes_round(d, a, b, which - XV_AES); break;
    case XV_AESIMC:
        mix(b, true);
        d[0] = b[0], d[1] = b[1];
        break;
    case XV_AESKEY: aes_key(d, b, imm); break;
    case XV_CLMUL: clmul(d, a[imm & 1], b[imm >> 4 & 1]); break;
    case XV_MPSADBW: mpsadbw(d, a, b, imm); break;
    case XV_PHMINPOS: phminposuw(d, b); break;
    case XV_DPPS: case XV_DPPD: dot(x, d, a, b, imm, which == XV_DPPD); break;
    case XV_PCMPSTR: case XV_PCMPSTR + 1: case XV_PCMPSTR + 2: case XV_PCMPSTR + 3: pcmpstr(x, which - XV_PCMPSTR, how >> 32 & 1, a, b, imm); break;
    case XV_INSERTPS:
        d[0] = a[0], d[1] = a[1];
        set_dword(d, imm >> 4 & 3, dword_of(b, imm >> 6));
        for (unsigned i = 0; i < 4; i++) {
            if (imm >> i & 1) set_dword(d, i, 0);
        }
        break;
    case XV_PERMILPS:
        for (unsigned i = 0; i < 4; i++) set_dword(d, i, dword_of(a, dword_of(b, i) & 3));
        break;
    case XV_PERMILPD: d[0] = a[lo >> 1 & 1], d[1] = a[hi >> 1 & 1]; break;
    case XV_STASH: x->stash[2 * (imm & 1)] = lo, x->stash[2 * (imm & 1) + 1] = hi; break;
    case XV_PERMD: { /* the first operand is the indices */
        const uint64_t idx[4] = { first[0], first[1], first[2], first[3] };
        for (unsigned i = 0; i < 8; i++) set_dword(d, i, dword_of(x->stash, dword_of(idx, i) & 7));
        break;
    }
    case XV_RSQRT: case XV_RCP:
        for (unsigned i = 0; i < 4; i++) set_dword(d, i, approximate(dword_of(b, i), which == XV_RCP));
        break;
    case XV_RSQRT1: case XV_RCP1:
        d[0] = a[0], d[1] = a[1];
        set_dword(d, 0, approximate((uint32_t)lo, which == XV_RCP1));
        break;
    default: sha(x, which - XV_SHA, d, a, b, imm); break;
    }
    return 0;
}

/* vmaskmov, maskmovdqu, maskmovq. how: log2 of a lane's bytes | store << 2 | data register << 8 | mask register << 16 | bytes << 24; MMX: 1 << 32 */
uint64_t x86_helper_maskmov(struct cpu *c, uint64_t va, uint64_t how, uint64_t unused)
{
    struct x86_cpu *x = x86_cpu(c);
    unsigned lane = how & 3, bytes = how >> 24 & 0xff, n = bytes >> lane, w = 8u << lane, dr = how >> 8 & 15, mr = how >> 16 & 15;
    uint64_t *data = how >> 32 & 1 ? &x->st[dr].mm : x->vec[dr], *mask = how >> 32 & 1 ? &x->st[mr].mm : x->vec[mr], out[4] = { 0 };
    uint64_t low = w == 64 ? ~UINT64_C(0) : (UINT64_C(1) << w) - 1;
    bool store = how >> 2 & 1;

    (void)unused;
    for (unsigned pass = store ? 0 : 1; pass < 2; pass++) {
        for (unsigned i = 0; i < n; i++) {
            unsigned at = i * w;
            uint64_t to = va + (uint64_t)i * (w / 8);
            if (!x->is64 || (c->key & XK_MODE) != X86_64) to = (uint32_t)to;
            if (!(mask[at / 64] >> (at % 64 + w - 1) & 1)) continue;
            if (!pass) cpu_probe(c, to, w / 8, ACCESS_WRITE, c->mmu_now);
            else if (store) cpu_st(c, to, data[at / 64] >> at % 64 & low, lane, c->mmu_now);
            else out[at / 64] |= cpu_ld(c, to, lane, c->mmu_now) << at % 64;
        }
    }
    if (!store) memcpy(data, out, sizeof out);
    return 0;
}

/* how: log2 of a lane's bytes | indices of 8 bytes << 2 | scale << 3 | destination << 8 | indices << 16 | mask << 24 | elements << 32 |
 * address bytes << 40. Elements that are done stay done when a later one faults. */
uint64_t x86_helper_gather(struct cpu *c, uint64_t base, uint64_t how, uint64_t segment)
{
    struct x86_cpu *x = x86_cpu(c);
    unsigned lane = how & 3, scale = how >> 3 & 3, n = how >> 32 & 0xff, w = 8u << lane;
    uint64_t *d = x->vec[how >> 8 & 15], *idx = x->vec[how >> 16 & 15], *mask = x->vec[how >> 24 & 15];
    uint64_t low = w == 64 ? ~UINT64_C(0) : (UINT64_C(1) << w) - 1;

    for (unsigned i = 0; i < n; i++) {
        unsigned at = i * w;
        if (!(mask[at / 64] >> (at % 64 + w - 1) & 1)) {
            mask[at / 64] &= ~(low << at % 64);
            continue;
        }
        int64_t k = how >> 2 & 1 ? (int64_t)idx[i] : (int32_t)dword_of(idx, i);
        uint64_t va = base + ((uint64_t)k << scale);
        if ((how >> 40 & 15) == 4) va = (uint32_t)va;
        va += segment;
        if ((c->key & XK_MODE) != X86_64) va = (uint32_t)va;
        uint64_t v = cpu_ld(c, va, lane, c->mmu_now);
        d[at / 64] = (d[at / 64] & ~(low << at % 64)) | v << at % 64;
        mask[at / 64] &= ~(low << at % 64);
    }
    for (unsigned i = 0; i < 4; i++) {
        mask[i] = 0;
        if (i >= n * w / 64) d[i] = 0;
    }
    return 0;
}

/* extrq, insertq. how: 0 extract, 1 insert | length << 8 | index << 16 */
uint64_t x86_helper_sse4a(struct cpu *c, uint64_t a, uint64_t b, uint64_t how)
{
    unsigned len = how >> 8 & 63, at = how >> 16 & 63;
    uint64_t m = len ? (UINT64_C(1) << len) - 1 : ~UINT64_C(0);

    (void)c;
    if (!(how & 1)) return a >> at & m;
    return (a & ~(m << at)) | (b & m) << at;
}

/* ---- 3DNow!: no NaNs, no flags, denormal numbers are zeros ---- */

static uint32_t now_lane(unsigned which, uint32_t a, uint32_t b)
{
    struct fp_env e = { .round = FP_RNE, .nan_rule = FP_NAN_FIRST, .nan_negative = true, .daz = true, .ftz = true };
    bool less, same;

    switch (which) {
    case 0: return f32_from_i32((int16_t)b, &e);
    case 1: return f32_from_i32((int32_t)b, &e);
    case 2: case 3: {
        int limit = which == 2 ? 15 : 31, exp = (int)(b >> 23 & 0xff) - 127;
        if (exp >= limit) return b >> 31 ? (which == 2 ? 0xffff8000u : 0x80000000u) : which == 2 ? 0x7fffu : 0x7fffffffu;
        return (uint32_t)f32_to_i32(b, FP_RTZ, &e);
    }
    case 6: case 12: case 18: case 7: case 13:
        if (!(a & 0x7f800000)) a = 0;
        if (!(b & 0x7f800000)) b = 0;
        same = a == b;
        less = a >> 31 != b >> 31 ? a >> 31 : a >> 31 ? a > b : a < b;
        if (which == 7) return less ? a : b;
        if (which == 13) return less || same ? b : a;
        return (which == 6 ? !less : which == 12 ? !less && !same : same) ? 0xffffffff : 0;
    case 10: return f32_sub(a, b, &e);
    case 16: return f32_sub(b, a, &e);
    case 11: return f32_add(a, b, &e);
    case 19: return f32_mul(a, b, &e);
    default: return b; /* the steps of Newton's method: the first approximation is exact already */
    }
}

uint64_t x86_helper_3dnow(struct cpu *c, uint64_t which, uint64_t a, uint64_t b)
{
    struct fp_env e = { .round = FP_RNE, .nan_rule = FP_NAN_FIRST, .nan_negative = true, .daz = true, .ftz = true };
    uint32_t a0 = (uint32_t)a, a1 = (uint32_t)(a >> 32), b0 = (uint32_t)b, b1 = (uint32_t)(b >> 32), lo, hi;
    uint64_t r = 0;

    (void)c;
    switch (which) {
    case 4: lo = f32_sub(a0, a1, &e), hi = f32_sub(b0, b1, &e); break;
    case 5: lo = f32_sub(a0, a1, &e), hi = f32_add(b0, b1, &e); break;
    case 17: lo = f32_add(a0, a1, &e), hi = f32_add(b0, b1, &e); break;
    case 8: lo = hi = approximate(b0, true); break;
    case 9: lo = hi = (b0 & 0x80000000) | (approximate(b0 & 0x7fffffff, false) & 0x7fffffff); break;
    case 21:
        for (unsigned i = 0; i < 64; i += 16) r |= (uint64_t)(uint16_t)(((int16_t)(a >> i) * (int16_t)(b >> i) + 0x8000) >> 16) << i;
        return r;
    case 22: return b >> 32 | b << 32;
    case 23:
        for (unsigned i = 0; i < 64; i += 8) r |= ((a >> i & 0xff) + (b >> i & 0xff) + 1) >> 1 << i;
        return r;
    default: lo = now_lane((unsigned)which, a0, b0), hi = now_lane((unsigned)which, a1, b1); break;
    }
    return lo | (uint64_t)hi << 32;
}

/* ---- random numbers: of a generator of this CPU's own, so that runs can be repeated ---- */

uint64_t x86_helper_random(struct cpu *c, uint64_t a, uint64_t b, uint64_t d)
{
    struct x86_cpu *x = x86_cpu(c);
    uint64_t z = x->random += UINT64_C(0x9e3779b97f4a7c15);

    (void)a, (void)b, (void)d;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* ---- XSAVE: the components x87 (0), SSE (1), AVX (2); the last at 576 in both formats ---- */

enum { XS_BV = 512, XS_COMP = 520, XS_AVX_AT = 576 };

static unsigned components(const struct x86_cpu *x)
{
    return !x->user ? (unsigned)x->xcr0 : x->model->features & XF_BIT(XF_AVX) ? 7 : 3;
}

/* what: 0 xsave, 1 xrstor, 2 xsaveopt, 3 xrstors, 4 xsavec, 5 xsaves; all of what is asked for counts as in use */
uint64_t x86_helper_xsave(struct cpu *c, uint64_t va, uint64_t what, uint64_t mask)
{
    struct x86_cpu *x = x86_cpu(c);
    unsigned m = c->mmu_now, regs = x->is64 ? 16 : 8, all = components(x), want = (unsigned)mask & all;
    bool compact = what >= 3;
    uint8_t image[512], old[512];

    if (!x->user && !(x->cr4 & CR4_OSXSAVE)) x86_raise(x, XE_UD, 0);
    if (!x->user && x->cr0 & CR0_TS) x86_raise(x, XE_NM, 0);
    if (va & 63) x86_raise(x, XE_GP, 0);
    if (what == 1 || what == 3) {
        uint64_t bv = cpu_ld(c, va + XS_BV, IR_M64, m), comp = cpu_ld(c, va + XS_COMP, IR_M64, m);
        if (comp >> 63 ? (bv & ~comp) || comp << 1 >> 1 & ~(uint64_t)all : comp || bv & ~(uint64_t)all || what == 3) x86_raise(x, XE_GP, 0);
        for (unsigned i = 0; i < 512; i += 8) st64_le(image + i, cpu_ld(c, va + i, IR_M64, m));
        if (want & 6 && ld32_le(image + 24) & 0xffff0000u) x86_raise(x, XE_GP, 0);
        uint64_t upper[16][2] = { { 0 } };
        for (unsigned r = 0; want & bv & 4 && r < regs; r++) {
            for (unsigned k = 0; k < 2; k++) upper[r][k] = cpu_ld(c, va + XS_AVX_AT + 16 * r + 8 * k, IR_M64, m);
        }
        x86_fxsave_image(x, old);
        if (!(want & 1)) memcpy(image, old, 24), memcpy(image + 32, old + 32, 128);
        else if (!(bv & 1)) memset(image, 0, 24), st16_le(image, 0x37f), memset(image + 32, 0, 128);
        if (!(want & 6)) memcpy(image + 24, old + 24, 4);
        else if (comp >> 63 && !(bv & 6)) st32_le(image + 24, 0x1f80);
        if (!(want & 2)) memcpy(image + 160, old + 160, 256);
        else if (!(bv & 2)) memset(image + 160, 0, 256);
        x86_fxrstor_image(x, image);
        for (unsigned r = 0; want & 4 && r < regs; r++) x->vec[r][2] = upper[r][0], x->vec[r][3] = upper[r][1];
        return 0;
    }
    x86_fxsave_image(x, image);
    cpu_probe(c, va, want & 4 ? XS_AVX_AT + 16 * regs : XS_AVX_AT, ACCESS_WRITE, m);
    for (unsigned i = 0; i < 416; i += 8) {
        bool x87 = i < 24 || (i >= 32 && i < 160), sse = i >= 160;
        if (i == 24 ? !(want & 6) : x87 ? !(want & 1) : sse ? !(want & 2) : true) continue;
        cpu_st(c, va + i, ld64_le(image + i), IR_M64, m);
    }
    for (unsigned r = 0; want & 4 && r < regs; r++) {
        for (unsigned k = 0; k < 2; k++) cpu_st(c, va + XS_AVX_AT + 16 * r + 8 * k, x->vec[r][2 + k], IR_M64, m);
    }
    uint64_t bv = compact ? 0 : cpu_ld(c, va + XS_BV, IR_M64, m) & ~(uint64_t)want;
    cpu_st(c, va + XS_BV, bv | want, IR_M64, m);
    if (compact) cpu_st(c, va + XS_COMP, UINT64_C(1) << 63 | want, IR_M64, m);
    return 0;
}
