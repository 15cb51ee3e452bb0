/*
 * sys-dump.c - the registers of system mode as text: `info registers`, -d cpu. In the form that users of other emulators know.
 */
#include "isa/x86/sys.h"

#include <inttypes.h>
#include <stdio.h>

struct out { void (*put)(void *, const char *); void *opaque; struct x86_cpu *x; bool wide; };

/* What kind of segment the attributes say, as far as they say anything. */
static void kind_of(const struct out *o, uint32_t a, char *text, size_t size)
{
    static const char sys_names[16][12] = { "Reserved", "TSS16-avl", "LDT", "TSS16-busy", "CallGate16", "TaskGate", "IntGate16", "TrapGate16",
                                            "Reserved", "TSS32-avl", "Reserved", "TSS32-busy", "CallGate32", "Reserved", "IntGate32", "TrapGate32" };
    static const char sys_long[16][12] = { "<hiword>", "Reserved", "LDT", "Reserved", "Reserved", "Reserved", "Reserved", "Reserved", "Reserved",
                                           "TSS64-avl", "Reserved", "TSS64-busy", "CallGate64", "Reserved", "IntGate64", "TrapGate64" };
    bool l = x86_long(o->x);

    text[0] = 0;
    if (!(o->x->cr0 & CR0_PE) || !(a & SA_P)) return;
    int n = snprintf(text, size, " DPL=%u ", sa_dpl(a));
    text += n, size -= (size_t)n;
    if (!(a & SA_S)) {
        snprintf(text, size, "%s", (l ? sys_long : sys_names)[sa_type(a)]);
    } else if (a & SA_CODE) {
        snprintf(text, size, "%s [%c%c%c]", a & SA_L ? "CS64" : a & SA_DB ? "CS32" : "CS16", a & SA_EC ? 'C' : '-', a & SA_RW ? 'R' : '-',
                 a & SA_ACCESSED ? 'A' : '-');
    } else {
        snprintf(text, size, "%s [%c%c%c]", a & SA_DB || l ? "DS  " : "DS16", a & SA_EC ? 'E' : '-', a & SA_RW ? 'W' : '-', a & SA_ACCESSED ? 'A' : '-');
    }
}

static void segment(const struct out *o, const char *name, uint16_t sel, uint64_t base, uint32_t limit, uint32_t a)
{
    char line[120], kind[40];

    kind_of(o, a, kind, sizeof kind);
    a |= (a & SA_G ? limit >> 28 : limit >> 16 & 15) << 16; /* as in the descriptor */
    snprintf(line, sizeof line, "%-3s=%04x %0*" PRIx64 " %08" PRIx32 " %08" PRIx32 "%s", name, sel, o->wide ? 16 : 8, base, limit, a, kind);
    o->put(o->opaque, line);
}

static void table(const struct out *o, const char *name, const struct x86_table *t)
{
    char line[80];

    snprintf(line, sizeof line, "%s=     %0*" PRIx64 " %08" PRIx32, name, o->wide ? 16 : 8, t->base, t->limit);
    o->put(o->opaque, line);
}

void x86_sys_dump(struct cpu *c, void (*put)(void *, const char *), void *opaque)
{
    static const char names[6][3] = { "ES", "CS", "SS", "DS", "FS", "GS" };
    struct x86_cpu *x = x86_cpu(c);
    struct out o = { put, opaque, x, x86_long(x) };
    char line[160];
    int w = o.wide ? 16 : 8;

    for (unsigned s = 0; s < 6; s++) segment(&o, names[s], x->sel[s], x86_base(x, s), x->seg_limit[s], x->seg_attr[s]);
    segment(&o, "LDT", x->ldt.sel, x->ldt.base, x->ldt.limit, x->ldt.attr);
    segment(&o, "TR", x->tr.sel, x->tr.base, x->tr.limit, x->tr.attr);
    table(&o, "GDT", &x->gdt);
    table(&o, "IDT", &x->idt);
    snprintf(line, sizeof line, "CR0=%08" PRIx32 " CR2=%0*" PRIx64 " CR3=%0*" PRIx64 " CR4=%08" PRIx64, x->cr0, w, x->cr2, w, x->cr3, x->cr4);
    put(opaque, line);
    snprintf(line, sizeof line, "DR0=%016" PRIx64 " DR1=%016" PRIx64 " DR2=%016" PRIx64 " DR3=%016" PRIx64 " ", x->dr[0], x->dr[1], x->dr[2], x->dr[3]);
    put(opaque, line);
    snprintf(line, sizeof line, "DR6=%016" PRIx64 " DR7=%016" PRIx64, x->dr[6], x->dr[7]);
    put(opaque, line);
    snprintf(line, sizeof line, "EFER=%016" PRIx64, x->efer);
    put(opaque, line);
}
