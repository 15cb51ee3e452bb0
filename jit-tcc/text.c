/*
 * text.c - ops of ops.def as C text (see text.h), and the prelude of the generated source.
 *
 * No header is included by that source and no library linked to it: what libtcc lacks (counts, byte swaps, high products) is
 * here, as functions that are put in when something calls them.
 */
#include "jit-tcc/tcc.h"
#include "jit-tcc/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- growing text ------------------------------------------------------------------------------------ */

static bool grow(struct text *t, size_t n)
{
    if (t->cap - t->n > n) return true;
    size_t cap = MAX(t->cap * 2, t->n + n + 4096);
    char *s = t->failed ? NULL : realloc(t->s, cap);
    if (!s) {
        t->failed = true;
        return false;
    }
    t->s = s, t->cap = cap;
    return true;
}

void text_put(struct text *t, const char *fmt, ...)
{
    for (;;) {
        size_t room = t->cap - t->n;
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(t->s ? t->s + t->n : NULL, t->s ? room : 0, fmt, ap);
        va_end(ap);
        if (n < 0 || t->failed) {
            t->failed = true;
            return;
        }
        if (t->s && (size_t)n < room) {
            t->n += (size_t)n;
            return;
        }
        if (!grow(t, (size_t)n + 1)) return;
    }
}

void text_free(struct text *t)
{
    free(t->s);
    *t = (struct text){ NULL, 0, 0, false };
}

/* ---- the prelude ------------------------------------------------------------------------------------- */

static const struct { const char *name, *plain, *x86; } functions[] = {
    { "x32_bswap", "static u32 x32_bswap(u32 x){return x>>24|x>>8&0xff00|x<<8&0xff0000|x<<24;}",
      "static u32 x32_bswap(u32 x){asm(\"bswap %k0\":\"=r\"(x):\"0\"(x));return x;}" },
    { "x64_bswap", "static u64 x64_bswap(u64 x){x=x>>32|x<<32;x=x>>16&0xffff0000ffffULL|(x&0xffff0000ffffULL)<<16;"
                   "return x>>8&0xff00ff00ff00ffULL|(x&0xff00ff00ff00ffULL)<<8;}",
      "static u64 x64_bswap(u64 x){asm(\"bswapq %0\":\"=r\"(x):\"0\"(x));return x;}" },
    { "x32_bswap16x", "static u32 x32_bswap16x(u32 x){return (x&0xff00ff)<<8|x>>8&0xff00ff;}", NULL },
    { "x64_bswap16x", "static u64 x64_bswap16x(u64 x){return (x&0xff00ff00ff00ffULL)<<8|x>>8&0xff00ff00ff00ffULL;}", NULL },
    { "x32_clz", "static u32 x32_clz(u32 x){u32 n=0;if(!x)return 32;if(!(x>>16))n+=16,x<<=16;if(!(x>>24))n+=8,x<<=8;"
                 "if(!(x>>28))n+=4,x<<=4;if(!(x>>30))n+=2,x<<=2;return n+!(x>>31);}", NULL },
    { "x64_clz", "static u64 x64_clz(u64 x){u64 n=0;if(!x)return 64;if(!(x>>32))n+=32,x<<=32;if(!(x>>48))n+=16,x<<=16;"
                 "if(!(x>>56))n+=8,x<<=8;if(!(x>>60))n+=4,x<<=4;if(!(x>>62))n+=2,x<<=2;return n+!(x>>63);}", NULL },
    { "x32_ctz", "static u32 x32_ctz(u32 x){u32 n=0;if(!x)return 32;if(!(x&0xffff))n+=16,x>>=16;if(!(x&255))n+=8,x>>=8;"
                 "if(!(x&15))n+=4,x>>=4;if(!(x&3))n+=2,x>>=2;return n+!(x&1);}", NULL },
    { "x64_ctz", "static u64 x64_ctz(u64 x){u64 n=0;if(!x)return 64;if(!(x<<32))n+=32,x>>=32;if(!(x&0xffff))n+=16,x>>=16;"
                 "if(!(x&255))n+=8,x>>=8;if(!(x&15))n+=4,x>>=4;if(!(x&3))n+=2,x>>=2;return n+!(x&1);}", NULL },
    { "x32_popcnt", "static u32 x32_popcnt(u32 x){x-=x>>1&0x55555555;x=(x&0x33333333)+(x>>2&0x33333333);"
                    "x=x+(x>>4)&0xf0f0f0f;return x*0x1010101u>>24;}", NULL },
    { "x64_popcnt", "static u64 x64_popcnt(u64 x){x-=x>>1&0x5555555555555555ULL;x=(x&0x3333333333333333ULL)+(x>>2&0x3333333333333333ULL);"
                    "x=x+(x>>4)&0xf0f0f0f0f0f0f0fULL;return x*0x101010101010101ULL>>56;}", NULL },
    { "x32_bitrev", "static u32 x32_bitrev(u32 x){u32 r=0,i=0;for(;i<32;i++)r=r<<1|x>>i&1;return r;}", NULL },
    { "x64_bitrev", "static u64 x64_bitrev(u64 x){u64 r=0,i=0;for(;i<64;i++)r=r<<1|x>>i&1;return r;}", NULL },
    { "x64_mulhu", "static u64 x64_mulhu(u64 a,u64 b){u64 p=a&0xffffffffu,q=b&0xffffffffu,m,n;a>>=32;b>>=32;m=p*b;n=a*q;"
                   "p=(p*q>>32)+(m&0xffffffffu)+(n&0xffffffffu);return a*b+(m>>32)+(n>>32)+(p>>32);}",
      "static u64 x64_mulhu(u64 a,u64 b){u64 h;asm(\"mulq %3\":\"=d\"(h),\"=a\"(a):\"a\"(a),\"c\"(b));return h;}" },
    { "x64_mulhs", "static u64 x64_mulhs(u64 x,u64 y){u64 a=x,b=y,p=a&0xffffffffu,q=b&0xffffffffu,m,n;a>>=32;b>>=32;m=p*b;n=a*q;"
                   "p=(p*q>>32)+(m&0xffffffffu)+(n&0xffffffffu);p=a*b+(m>>32)+(n>>32)+(p>>32);"
                   "if(x>>63)p-=y;if(y>>63)p-=x;return p;}", 
      "static u64 x64_mulhs(u64 a,u64 b){u64 h;asm(\"imulq %3\":\"=d\"(h),\"=a\"(a):\"a\"(a),\"c\"(b));return h;}" },
};

static bool have_asm;

static int function_index(const char *name, size_t n)
{
    for (unsigned i = 0; i < ARRAY_LEN(functions); i++) {
        if (strlen(functions[i].name) == n && !memcmp(functions[i].name, name, n)) return (int)i;
    }
    return -1;
}

void tcc_text_prelude(struct text *t, uint32_t needs)
{
    text_put(t, "typedef unsigned char u8;typedef signed char s8;typedef unsigned short u16;typedef short s16;typedef unsigned u32;"
                "typedef int s32;typedef unsigned long long u64;typedef long long s64;\n");
#define X(name, type, fn) text_put(t, "#define " #name " ((" type ")%lluULL)\n", (unsigned long long)(uintptr_t)fn);
    TCC_CALLS(X)
#undef X
    for (unsigned i = 0; i < ARRAY_LEN(functions); i++) {
        if (needs >> i & 1) text_put(t, "%s\n", have_asm && functions[i].x86 ? functions[i].x86 : functions[i].plain);
    }
}

/* ---- ops --------------------------------------------------------------------------------------------- */

#define STRING_(...) #__VA_ARGS__
#define STRING(...) STRING_(__VA_ARGS__)
static const char *const source[2][OP_COUNT] = {
    [T_I32] = {
#define XW 32
#define PURE(N, n, in, fl, ty, e) [OP_##N] = STRING(e),
#include "interp/ops.def"
#undef XW
    },
    [T_I64] = {
#define XW 64
#define PURE(N, n, in, fl, ty, e) [OP_##N] = STRING(e),
#define CONV(N, n, in, fl, ti, to, e) [OP_##N] = STRING(e),
#include "interp/ops.def"
#undef XW
    },
};
static const char *const condition[2][CC_COUNT] = {
    [T_I32] = {
#define XW 32
#define COND(N, n, inv, swp, e) [CC_##N] = STRING(e),
#include "interp/ops.def"
#undef XW
    },
    [T_I64] = {
#define XW 64
#define COND(N, n, inv, swp, e) [CC_##N] = STRING(e),
#include "interp/ops.def"
#undef XW
    },
};

/* Templates: blanks left out, the five names as one byte each. Made once, before anything is compiled. */
enum { AT_A = 1, AT_B, AT_C, AT_POS, AT_LEN, TEMPLATE_MAX = 512 };
struct template { char *s; uint32_t needs; bool none; };
static struct template op_templates[2][OP_COUNT], cond_templates[2][CC_COUNT];

static bool word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static void make_template(struct template *t, const char *s)
{
    static const char *const names[] = { [AT_A] = "A", [AT_B] = "B", [AT_C] = "C", [AT_POS] = "KPOS", [AT_LEN] = "KLEN" };
    char out[TEMPLATE_MAX];
    size_t n = 0;

    t->none = !s;
    while (s && *s) {
        size_t len = 0;
        while (word_char(s[len])) len++;
        if (!len) {
            if (*s != ' ') out[n++] = *s;
            s++;
        } else {
            unsigned k = AT_A;
            while (k <= AT_LEN && !(strlen(names[k]) == len && !memcmp(names[k], s, len))) k++;
            if (k <= AT_LEN) {
                out[n++] = (char)k;
            } else {
                if (n && word_char(out[n - 1])) out[n++] = ' ';
                if (n + len < sizeof out) memcpy(out + n, s, len);
                n += len;
                int f = function_index(s, len);
                if (f >= 0) t->needs |= 1u << f;
                else if (*s == 'x') t->none = true; /* a function that there is not */
            }
            s += len;
        }
        if (n > sizeof out - 8) {
            t->none = true;
            break;
        }
    }
    free(t->s);
    t->s = t->none ? NULL : malloc(n + 1);
    if (!t->s) {
        t->none = true;
        return;
    }
    memcpy(t->s, out, n);
    t->s[n] = '\0';
}

void tcc_text_init(bool asm_ok)
{
    have_asm = asm_ok;
    for (unsigned w = 0; w < 2; w++) {
        for (unsigned i = 0; i < OP_COUNT; i++) make_template(&op_templates[w][i], source[w][i]);
        for (unsigned i = 0; i < CC_COUNT; i++) make_template(&cond_templates[w][i], condition[w][i]);
    }
}

static void fill(struct text *t, const char *s, const struct operands *o, uint32_t aux)
{
    char pos[8], len[8];
    const char *const word[] = { [AT_A] = o->a, [AT_B] = o->b, [AT_C] = o->c, [AT_POS] = pos, [AT_LEN] = len };

    snprintf(pos, sizeof pos, "%u", (unsigned)(aux & 0xff));
    snprintf(len, sizeof len, "%u", (unsigned)(aux >> 8 & 0xff));
    for (; *s; s++) {
        const char *w = *s <= AT_LEN ? word[(int)*s] : s;
        size_t n = *s <= AT_LEN ? strlen(w) : 1;
        if (!grow(t, n + 1)) return;
        memcpy(t->s + t->n, w, n);
        t->n += n;
    }
    if (grow(t, 1)) t->s[t->n] = '\0';
}

bool tcc_text_pure(struct text *t, unsigned op, unsigned type, uint32_t aux, const struct operands *o, uint32_t *needs)
{
    const struct template *p = &op_templates[source[T_I32][op] ? type : (unsigned)T_I64][op];
    if (p->none) return false;
    *needs |= p->needs;
    fill(t, p->s, o, aux);
    return true;
}

void tcc_text_cond(struct text *t, unsigned cond, unsigned type, const struct operands *o)
{
    const struct template *p = &cond_templates[type][cond];
    if (p->none) t->failed = true;
    else fill(t, p->s, o, 0);
}

void tcc_text_swap(struct text *t, unsigned bits, const char *v, uint32_t *needs)
{
    if (bits == 16) {
        text_put(t, "%s=(u16)(%s>>8|%s<<8);", v, v, v);
    } else if (have_asm) {
        text_put(t, "asm(\"bswap%s %%%s0\":\"=r\"(%s):\"0\"(%s));", bits == 64 ? "q" : "", bits == 64 ? "" : "k", v, v);
    } else {
        const char *name = bits == 64 ? "x64_bswap" : "x32_bswap";
        *needs |= 1u << function_index(name, strlen(name));
        text_put(t, "%s=%s(%s);", v, name, v);
    }
}
