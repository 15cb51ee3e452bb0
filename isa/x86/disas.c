/*
 * disas.c - x86 instructions as text, AT&T syntax, from the instruction table: what GNU objdump 2.40 writes.
 *
 * Syntax: the GNU assembler manual, chapter "80386 Dependent Features". Where objdump has habits that follow from no
 * rule (names without size suffix, operands in Intel's order) they are in small tables here.
 */
#include "isa/x86/decode.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

struct text { char *s; size_t size, n; };

ATTR_PRINTF(2, 3) static void add(struct text *t, const char *fmt, ...)
{
    va_list ap;

    if (t->n >= t->size) return;
    va_start(ap, fmt);
    int k = vsnprintf(t->s + t->n, t->size - t->n, fmt, ap);
    va_end(ap);
    t->n += k > 0 ? (size_t)k : 0;
}

/* ---- registers ---- */

static const char names8[16][5] = { "al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil", "r8b", "r9b", "r10b", "r11b", "r12b", "r13b", "r14b", "r15b" };
static const char names_high[4][3] = { "ah", "ch", "dh", "bh" };
static const char names16[8][3] = { "ax", "cx", "dx", "bx", "sp", "bp", "si", "di" };
static const char names_seg[8][3] = { "es", "cs", "ss", "ds", "fs", "gs", "?", "?" };

static void gpr(struct text *t, const struct x86_insn *d, unsigned n, unsigned size)
{
    if (size == 1) add(t, "%%%s", !d->rex && n >= 4 && n < 8 ? names_high[n - 4] : names8[n & 15]);
    else if (n == X86_RIP) add(t, size == 8 ? "%%rip" : "%%eip");
    else if (n < 8) add(t, "%%%s%s", size == 8 ? "r" : size == 4 ? "e" : "", names16[n]);
    else add(t, "%%r%u%s", n, size == 8 ? "" : size == 4 ? "d" : "w");
}

static void vreg(struct text *t, const struct x86_insn *d, unsigned n, unsigned size)
{
    add(t, "%%%cmm%u", x86_size_bytes(d, size) == 32 && size != XS_NONE ? 'y' : 'x', n);
}

static bool is_any(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(name, list[i])) return true;
    }
    return false;
}
#define IS_ANY(name, list) is_any(name, list, ARRAY_LEN(list))

/* ---- operands ---- */

static void hex(struct text *t, int64_t v)
{
    if (v < 0) add(t, "-0x%" PRIx64, (uint64_t)0 - (uint64_t)v);
    else add(t, "0x%" PRIx64, (uint64_t)v);
}

static uint64_t cut(uint64_t v, unsigned bytes) { return bytes >= 8 ? v : v & ((UINT64_C(1) << 8 * bytes) - 1); }

static void segment(struct text *t, const struct x86_insn *d)
{
    if (d->seg != X86_NO_REG) add(t, "%%%s:", names_seg[d->seg]);
}

static void memory(struct text *t, const struct x86_insn *d)
{
    bool sib = d->asize != 2 && (d->modrm & 7) == 4, no_base = d->base == X86_NO_REG;

    if (!(d->def->flags & XI_BR && d->seg == 3)) segment(t, d); /* notrack */
    if (no_base && d->index == X86_NO_REG && (!sib || (d->mode == X86_64 && d->scale == 0 && d->asize == 8))) {
        if (d->asize == 2) hex(t, d->disp);
        else add(t, "0x%" PRIx64, cut((uint64_t)d->disp, d->mode == X86_64 ? 8 : d->asize));
        return;
    }
    if (d->disp_size) hex(t, d->disp);
    add(t, "(");
    if (!no_base) gpr(t, d, d->base, d->asize);
    if (d->asize == 2) {
        if (d->index != X86_NO_REG) add(t, ","), gpr(t, d, d->index, 2);
    } else if (d->form->vsib) {
        bool quad = d->def->arg & 4;
        unsigned lanes = (d->l ? 32u : 16u) >> (d->def->arg & 3);
        unsigned bytes = quad ? (d->l ? 32u : 16u) : lanes * 4;
        add(t, ",%%%cmm%u,%u", bytes == 32 ? 'y' : 'x', d->index, 1u << d->scale);
    } else if (sib && (d->index != X86_NO_REG || d->scale || no_base || (d->base & 7) != 4)) {
        if (d->index == X86_NO_REG) add(t, ",%%%s", d->asize == 8 ? "riz" : "eiz");
        else add(t, ","), gpr(t, d, d->index, d->asize);
        add(t, ",%u", 1u << d->scale);
    }
    add(t, ")");
}

/* Size that a sign-extended or full immediate is shown in. */
static unsigned imm_width(const struct x86_insn *d)
{
    const struct x86_form *f = d->form;

    if (f->imm[0] == XIMM_W) return 2;
    for (unsigned i = 0; i < f->n_ops; i++) {
        if (f->op[i].what == XO_SI) return d->osize;
        if (f->op[i].what == XO_I && f->op[i].size == XS_B) return 1;
    }
    return d->osize;
}

static void operand(struct text *t, const struct x86_insn *d, const struct x86_operand *o, uint64_t pc)
{
    unsigned size = x86_size_bytes(d, o->size), reg_size = o->size == XS_DW || o->size == XS_DB ? 4 : size;

    switch (o->what) {
    case XO_E:
        if (!strcmp(d->def->name, "lar") || !strcmp(d->def->name, "lsl") || d->form->op[0].what == XO_S) reg_size = d->osize;
        if (d->modrm >= 0xc0) gpr(t, d, d->rm, reg_size);
        else memory(t, d);
        break;
    case XO_M: case XO_MI: memory(t, d); break;
    case XO_W:
        if (d->modrm >= 0xc0) vreg(t, d, d->rm, o->size);
        else memory(t, d);
        break;
    case XO_Q:
        if (d->modrm >= 0xc0) add(t, "%%mm%u", d->rm & 7);
        else memory(t, d);
        break;
    case XO_G: gpr(t, d, d->reg, reg_size); break;
    case XO_R: case XO_Z: gpr(t, d, d->rm, size); break;
    case XO_B: gpr(t, d, d->vvvv, size); break;
    case XO_REG: gpr(t, &(struct x86_insn){ .rex = 0x40 }, o->n, size); break;
    case XO_V: vreg(t, d, d->reg, o->size); break;
    case XO_U: vreg(t, d, d->rm, o->size); break;
    case XO_H: vreg(t, d, d->vvvv, o->size); break;
    case XO_L: vreg(t, d, (uint8_t)d->imm >> 4 & (d->mode == X86_64 ? 15 : 7), o->size); break;
    case XO_P: add(t, "%%mm%u", d->reg & 7); break;
    case XO_N: add(t, "%%mm%u", d->rm & 7); break;
    case XO_XMM0: add(t, "%%xmm0"); break;
    case XO_ST0: add(t, "%%st"); break;
    case XO_STI: add(t, "%%st(%u)", d->rm & 7); break;
    case XO_S: add(t, "%%%s", names_seg[d->reg & 7]); break;
    case XO_SEG: add(t, "%%%s", names_seg[o->n]); break;
    case XO_C: add(t, "%%cr%u", d->reg); break;
    case XO_D: add(t, "%%db%u", d->reg); break;
    case XO_ONE: add(t, "$1"); break;
    case XO_SI: add(t, "$0x%" PRIx64, cut((uint64_t)d->imm, imm_width(d))); break;
    case XO_I:
        if (o->size == XS_B && o != &d->form->op[0] && o[-1].what == XO_I) add(t, "$0x%" PRIx32, d->imm2);
        else add(t, "$0x%" PRIx64, cut((uint64_t)d->imm, imm_width(d)));
        break;
    case XO_J: {
        uint64_t to = pc + d->len + (uint64_t)d->imm;
        add(t, "0x%" PRIx64, d->mode == X86_64 ? to : d->osize == 2 ? (pc & 0xffff0000) | (to & 0xffff) : to & 0xffffffff);
        break;
    }
    case XO_O:
        segment(t, d);
        add(t, "0x%" PRIx64, cut((uint64_t)d->disp, d->asize));
        break;
    case XO_A: add(t, "$0x%x,$0x%" PRIx64, d->sel, cut((uint64_t)d->imm, d->imm_size)); break;
    case XO_X:
        add(t, "%%%s:(", names_seg[d->seg == X86_NO_REG ? 3 : d->seg]);
        gpr(t, d, 6, d->asize);
        add(t, ")");
        break;
    case XO_Y:
        add(t, "%%es:(");
        gpr(t, d, 7, d->asize);
        add(t, ")");
        break;
    }
}

/* ---- names ---- */

/* Intel's names that have others in AT&T syntax. */
static const char *const renamed[][2] = {
    { "cbw", "cbtw" }, { "cwde", "cwtl" }, { "cdqe", "cltq" }, { "cwd", "cwtd" }, { "cdq", "cltd" }, { "cqo", "cqto" },
    { "pushad", "pusha" }, { "popad", "popa" }, { "feni", "fneni(8087 only)" }, { "fdisi", "fndisi(8087 only)" },
    { "fsetpm", "fnsetpm(287 only)" },
};
/* Memory operands of a general size that need no suffix. */
static const char *const no_suffix[] = {
    "push", "pop", "call", "jmp", "sldt", "str", "lldt", "ltr", "verr", "verw", "smsw", "lmsw", "invlpg", "prefetch",
    "prefetchw", "prefetchnta", "prefetcht0", "prefetcht1", "prefetcht2", "clflush", "clflushopt", "clwb", "movd", "movq", "vmovd", "vmovq",
    "pinsrb", "pinsrw", "pinsrd", "pinsrq", "pextrb", "pextrw", "pextrd", "pextrq", "extractps", "vpinsrb", "vpinsrw", "vpinsrd", "vpinsrq",
    "vpextrb", "vpextrw", "vpextrd", "vpextrq", "vextractps", "movnti", "ldmxcsr", "stmxcsr", "cmpxchg8b", "cmpxchg16b", "lcall",
    "ljmp", "xlat", "mov",
};

static char suffix_of(unsigned bytes)
{
    return bytes == 1 ? 'b' : bytes == 2 ? 'w' : bytes == 4 ? 'l' : 'q';
}

/* Is there a register that shows the operation's size? */
static bool register_shows_size(const struct x86_insn *d)
{
    for (unsigned i = 0; i < d->form->n_ops; i++) {
        const struct x86_operand *o = &d->form->op[i];
        if (o->what == XO_G || o->what == XO_Z || o->what == XO_R || o->what == XO_B) return true;
        if (o->what == XO_E && d->modrm >= 0xc0) return true;
        if (o->what == XO_REG && o->n == 0) return true; /* CL and DX are counts and ports */
    }
    return false;
}

static void x87_suffix(struct text *t, const struct x86_insn *d)
{
    const struct x86_operand *o = &d->form->op[0];
    const char *n = d->def->name;
    bool integer = n[1] == 'i' && strcmp(n, "fincstp");

    if (d->form->n_ops != 1 || o->what != XO_M || n[0] != 'f') return;
    if (!strncmp(n, "fb", 2) || !strncmp(n, "fn", 2) || !strcmp(n, "fldcw") || !strncmp(n, "fx", 2)) {
        if (!strcmp(n, "fnstenv") || !strcmp(n, "fnsave")) goto env;
        return;
    }
    if (o->size == XS_NONE) {
    env: /* the 14-byte form in the mode where the other is usual */
        if (d->p66) add(t, d->mode == X86_16 ? "l" : "s");
        return;
    }
    if (integer) add(t, o->size == XS_W ? "s" : o->size == XS_D ? "l" : "ll");
    else add(t, o->size == XS_T ? "t" : o->size == XS_D ? "s" : "l");
}

static const char *const predicates[32] = {
    "eq", "lt", "le", "unord", "neq", "nlt", "nle", "ord", "eq_uq", "nge", "ngt", "false", "neq_oq", "ge", "gt", "true",
    "eq_os", "lt_oq", "le_oq", "unord_s", "neq_us", "nlt_uq", "nle_uq", "ord_s", "eq_us", "nge_uq", "ngt_uq", "false_os",
    "neq_os", "ge_oq", "gt_oq", "true_us",
};

/* The name with its suffix. True: the last operand is in the name. */
static bool mnemonic(struct text *t, const struct x86_insn *d)
{
    const char *n = d->def->name;
    const struct x86_form *f = d->form;

    if (d->def->flags & XI_CMP && (uint8_t)d->imm < (d->vex ? 32 : 8)) {
        size_t len = strlen(n);
        add(t, "%.*s%s%s", (int)(len - 2), n, predicates[(uint8_t)d->imm], n + len - 2);
        return true;
    }
    if (!strcmp(n + d->vex, "pclmulqdq") && !((uint8_t)d->imm & ~0x11)) {
        add(t, "%spclmul%sq%sqdq", d->vex ? "v" : "", d->imm & 1 ? "h" : "l", d->imm & 16 ? "h" : "l");
        return true;
    }
    if (!strcmp(n, "movzx") || !strcmp(n, "movsx")) {
        add(t, "mov%c%c%c", n[3], f->op[1].size == XS_B ? 'b' : 'w', suffix_of(d->osize));
        return false;
    }
    if (!strcmp(n, "movsxd")) {
        add(t, d->osize == 8 ? "movslq" : "movsxd");
        return false;
    }
    for (unsigned i = 0; i < ARRAY_LEN(renamed); i++) {
        if (!strcmp(n, renamed[i][0])) n = renamed[i][1];
    }
    /* AT&T's old exchange of these two pairs */
    if (f->n_ops == 2 && f->op[0].what == XO_STI && (!strncmp(n, "fsub", 4) || !strncmp(n, "fdiv", 4))) {
        bool r = n[4] == 'r', p = n[strlen(n) - 1] == 'p';
        add(t, "%.4s%s%s", n, r ? "" : "r", p ? "p" : "");
        return false;
    }
    add(t, "%s", n);
    x87_suffix(t, d);
    if (d->rex & 8 && (!strncmp(n, "fx", 2) || !strncmp(n, "xs", 2) || !strncmp(n, "xr", 2)) && f->op[0].what == XO_M) add(t, "64");
    if (d->rex & 8 && d->mode == X86_64 && !strncmp(n + d->vex, "pcmpestr", 8)) add(t, "q");
    if (d->def->flags & XI_XY && d->modrm < 0xc0) add(t, d->l ? "y" : "x");
    if (!strcmp(n, "crc32") && d->modrm < 0xc0) add(t, "%c", suffix_of(x86_size_bytes(d, f->op[1].size)));
    if (f->imm[0] == XIMM_MOFFS ? d->asize == 8 : f->imm[0] == XIMM_V && d->osize == 8) {
        add(t, "abs");
        return false;
    }
    bool off_size = d->mode == X86_64 ? d->p66 && d->osize == 2 : d->p66; /* not the mode's own */
    char off = d->osize == 2 ? 'w' : 'l';
    static const char *const sized[] = { "pusha", "popa", "pushf", "popf", "leave", "enter", "iret", "lret", "ret", "call", "jmp",
                                         "lcall", "ljmp", "push", "pop" };
    static const char *const tables[] = { "lgdt", "lidt", "sgdt", "sidt" };
    bool far = !strcmp(n, "iret") || !strcmp(n, "lret");
    if (IS_ANY(n, tables) && d->mode != X86_64) add(t, "%c", off);
    if ((!strcmp(n, "sysret") || !strcmp(n, "sysexit")) && d->mode == X86_64) add(t, d->osize == 8 ? "q" : "l");
    else if (IS_ANY(n, sized)) {
        bool reg = f->n_ops && register_shows_size(d) && (f->op[0].what == XO_Z || f->op[0].what == XO_E);
        if (far && d->osize == 8) add(t, "q");
        else if (off_size && !reg) add(t, "%c", off);
        return false;
    }
    if (register_shows_size(d) || IS_ANY(n, no_suffix)) {
        if (!strcmp(n, "mov") && !register_shows_size(d) && f->op[0].what != XO_S && f->op[1].what != XO_S) {
            add(t, "%c", suffix_of(x86_size_bytes(d, f->op[0].size)));
        }
        return false;
    }
    for (unsigned i = 0; i < f->n_ops; i++) {
        const struct x86_operand *o = &f->op[i];
        if (o->what == XO_E || o->what == XO_X || o->what == XO_Y) {
            if (!strncmp(n, "set", 3) && d->def->feature == XF_386) break;
            if (strstr(n, "cvtsi2s") && d->mode != X86_64) break;
            add(t, "%c", suffix_of(x86_size_bytes(d, o->size)));
            break;
        }
    }
    return false;
}

/* Prefixes that the text must name. */
static void prefix_names(struct text *t, const struct x86_insn *d)
{
    const char *n = d->def->name;
    bool jump = d->def->flags & XI_BR;
    bool string = d->def->flags & (XI_REP | XI_REPZ);

    if (d->lock) {
        if (d->rep) add(t, d->rep == 0xf2 ? "xacquire " : "xrelease ");
        add(t, "lock ");
    } else if (d->rep && !d->vex && d->form->prefixes == 15 && strcmp(n, "pause")) {
        if (string) add(t, d->def->flags & XI_REPZ ? (d->rep == 0xf2 ? "repnz " : "repz ") : d->rep == 0xf2 ? "repnz " : "rep ");
        else if (d->def->flags & XI_XREL && d->modrm < 0xc0 && d->form->op[0].what == XO_E) add(t, d->rep == 0xf2 ? "repnz " : "xrelease ");
        else if (!strcmp(n, "xchg") && d->has_modrm && d->modrm < 0xc0) add(t, d->rep == 0xf2 ? "xacquire " : "xrelease ");
        else if (jump && d->rep == 0xf2 && (d->form->op[0].what == XO_J || !strcmp(n, "ret") || d->form->op[0].what == XO_E)) add(t, "bnd ");
        else add(t, d->rep == 0xf2 ? "repnz " : "repz ");
    }
    bool indirect = jump && d->form->n_ops && d->form->op[0].what == XO_E && d->def->name[0] != 'l';
    if (indirect && (d->seg == 3 || d->idle_seg == 3)) add(t, "notrack ");
    else if (d->idle_seg != X86_NO_REG) add(t, "%s ", names_seg[d->idle_seg]);
}

/* Registers of instructions that have none in their encoding. */
static void implied(struct text *t, const struct x86_insn *d)
{
    static const struct { const char *name, *ops; } list[] = {
        { "monitor", "%rax,%ecx,%edx" }, { "mwait", "%eax,%ecx" }, { "xlat", "%ds:(%rbx)" },
    };

    for (unsigned i = 0; i < ARRAY_LEN(list); i++) {
        if (strcmp(d->def->name, list[i].name)) continue;
        do add(t, " ");
        while (t->n < 7 && t->n < t->size);
        for (const char *s = list[i].ops; *s; s++) { /* r stands for the address size, ds for an override */
            if (*s == 'r') {
                if (d->asize != 2) add(t, "%c", d->asize == 8 ? 'r' : 'e');
            } else if (*s == 'd' && s[1] == 's') {
                add(t, "%s", names_seg[d->seg == X86_NO_REG ? 3 : d->seg]), s++;
            } else {
                add(t, "%c", *s);
            }
        }
    }
}

unsigned x86_disas_att(const uint8_t *bytes, size_t n, enum x86_mode mode, uint64_t features, uint64_t pc, char *out, size_t size)
{
    struct x86_insn d;
    struct text t = { out, size, 0 };
    enum x86_decoded r = x86_decode(bytes, n, mode, false, features, &d);
    static const char *const intel_order[] = { "enter", "bound", "monitor", "mwait", "invlpga" };

    if (size) *out = 0;
    if (r == X86_SHORT) return 0;
    if (r != X86_OK) {
        add(&t, "(bad)");
        return 1;
    }
    prefix_names(&t, &d);
    if (!strcmp(d.def->name, "nop") && d.opcode == 0x90 && d.p66) {
        add(&t, "xchg   ");
        gpr(&t, &d, 0, d.osize), add(&t, ","), gpr(&t, &d, 0, d.osize);
        return d.len;
    }
    size_t start = t.n;
    bool skip_last = mnemonic(&t, &d);
    unsigned n_ops = d.form->n_ops - (skip_last ? 1u : 0);
    if (n_ops && d.form->op[n_ops - 1].what == XO_ONE) n_ops--; /* shifts by one */
    if (!n_ops) implied(&t, &d);
    if (n_ops) {
        do add(&t, " ");
        while (t.n < start + 7 && t.n < size);
    }
    for (unsigned i = 0; i < n_ops; i++) {
        unsigned k = IS_ANY(d.def->name, intel_order) ? i : n_ops - 1 - i;
        if (i) add(&t, ",");
        if (d.def->flags & XI_BR && (d.form->op[k].what == XO_E || d.form->op[k].what == XO_M)) add(&t, "*");
        /* a port in DX looks like memory */
        if (d.form->op[k].what == XO_REG && d.form->op[k].n == 2 && d.form->op[k].size == XS_W) add(&t, "(%%dx)");
        else operand(&t, &d, &d.form->op[k], pc);
    }
    return d.len;
}
