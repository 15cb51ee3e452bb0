/*
 * sys-paging.c - x86 virtual to physical: 32-bit paging with and without 4-MiB pages, PAE, four levels; rights, accessed and
 * dirty bits; `info tlb`.
 *
 * Follows the Intel SDM volume 3 chapter 4. The engine's TLB is the only one; PCIDs are honoured in that entries may go earlier
 * than they must. A write to a page that is not dirty comes here even after a read.
 */
#include "isa/x86/sys.h"

#include "interp/engine.h"

#include <inttypes.h>
#include <stdio.h>

enum { PT_P = 1, PT_W = 2, PT_U = 4, PT_A = 32, PT_D = 64, PT_PS = 128, PT_G = 256 };
enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16 };
#define PT_NX (UINT64_C(1) << 63)

static unsigned phys_bits(const struct x86_cpu *x) { return x86_has(x, XF_LM) ? 40 : 36; }
static uint64_t frame_mask(const struct x86_cpu *x) { return ((UINT64_C(1) << phys_bits(x)) - 1) & CPU_PAGE_MASK; }
static uint64_t a20(const struct x86_cpu *x, uint64_t pa) { return atomic_load_int(&x->a20_off) ? pa & ~(UINT64_C(1) << 20) : pa; }

/* ---- physical memory ---- */

static uint8_t *phys_host(struct x86_cpu *x, uint64_t pa, bool write)
{
    struct phys_page pp = cpu_phys_page(&x->c, pa & CPU_PAGE_MASK);

    return pp.host && !(write && pp.readonly) ? pp.host + (pa & ~CPU_PAGE_MASK) : NULL;
}

uint64_t x86_phys_ld(struct x86_cpu *x, uint64_t pa, unsigned size)
{
    uint64_t v = UINT64_MAX;

    pa = a20(x, pa);
    const uint8_t *p = phys_host(x, pa, false);
    if (!p) {
        if (x->c.parallel) return size == 8 ? v : v >> (64 - 8 * size); /* tables in devices: not where devices have a lock */
        if (!x->c.world->mmio_read(x->c.bus, &x->c, pa, size, &v)) v = UINT64_MAX;
        return size == 8 ? v : v & ((UINT64_C(1) << 8 * size) - 1);
    }
    return size == 1 ? *p : size == 2 ? ld16_le(p) : size == 4 ? ld32_le(p) : ld64_le(p);
}

void x86_phys_st(struct x86_cpu *x, uint64_t pa, uint64_t v, unsigned size)
{
    pa = a20(x, pa);
    uint8_t *p = phys_host(x, pa, true);
    if (!p) {
        x->c.world->mmio_write(x->c.bus, &x->c, pa, size, v);
        return;
    }
    if (size == 1) *p = (uint8_t)v;
    else if (size == 2) st16_le(p, (uint16_t)v);
    else if (size == 4) st32_le(p, (uint32_t)v);
    else st64_le(p, v);
    engine_code_written(x->c.engine, p, size);
}

/* ---- walking ---- */

/* What a walk found out. */
struct walk {
    uint64_t rights;       /* W and U of all levels; NX of any */
    uint64_t entry, at;    /* the last entry and where it is */
    unsigned size;         /* of entries: 4 or 8 */
    unsigned bits;         /* log2 of the page */
    uint64_t found;        /* the last entry as it lies in memory */
    uint64_t upper[3], upper_found[3]; /* where entries above it without A are, and those */
    unsigned n_upper;
    uint32_t error;        /* when it failed */
};

static uint64_t entry_at(struct x86_cpu *x, struct walk *w, uint64_t at)
{
    w->at = at;
    w->entry = w->found = x86_phys_ld(x, at, w->size);
    return w->entry;
}

static void go_down(struct walk *w)
{
    uint64_t e = w->entry;

    w->rights = (w->rights & (e | ~(uint64_t)(PT_W | PT_U))) | (e & PT_NX);
    if (!(e & PT_A)) w->upper[w->n_upper] = w->at, w->upper_found[w->n_upper++] = e;
}

static bool walk32(struct x86_cpu *x, uint64_t va, struct walk *w)
{
    uint64_t e = entry_at(x, w, (x->cr3 & 0xfffff000) + (va >> 22 & 0x3ff) * 4);

    w->size = 4;
    w->error = 0;
    if (!(e & PT_P)) return false;
    if (e & PT_PS && x->cr4 & CR4_PSE) {
        w->bits = 22;
        bool pse36 = x->model->sys & XSF(PSE36);
        w->error = PF_RSVD | PF_P;
        if (e & (pse36 ? 0x200000 : 0x3fe000)) return false;
        if (pse36) w->entry |= (e >> 13 & 0xff) << 32;
        w->entry &= ~UINT64_C(0x3fe000);
        return true;
    }
    go_down(w);
    w->bits = 12;
    return entry_at(x, w, (e & 0xfffff000) + (va >> 12 & 0x3ff) * 4) & PT_P;
}

static bool walk64(struct x86_cpu *x, uint64_t va, struct walk *w)
{
    uint64_t frames = frame_mask(x), bad = ((UINT64_C(1) << 52) - 1) & ~(frames | 0xfff), e;
    unsigned level = 4;
    uint64_t table = x->cr3 & frames;

    if (!(x->efer & EFER_NXE)) bad |= PT_NX;
    if (!x86_long(x)) {
        e = x->pdpte[va >> 30 & 3];
        w->error = 0;
        if (!(e & PT_P)) return false;
        table = e & frames;
        level = 2;
        bad |= UINT64_C(0x7ff) << 52;
    }
    for (;; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        e = entry_at(x, w, table + (va >> shift & 511) * 8);
        w->error = 0;
        if (!(e & PT_P)) return false;
        w->error = PF_RSVD | PF_P;
        if (e & bad) return false;
        bool large = level > 1 && e & PT_PS;
        if (large && (level == 4 || (level == 3 && !(x->model->sys & XSF(PDPE1GB))))) return false;
        if (large && e & ((UINT64_C(1) << shift) - 1) & ~UINT64_C(0x1fff)) return false;
        if (level == 1 || large) {
            w->bits = shift;
            if (large) w->entry &= ~UINT64_C(0x1000);
            return true;
        }
        go_down(w);
        table = e & frames;
    }
}

static bool walk(struct x86_cpu *x, uint64_t va, struct walk *w)
{
    bool wide = x->cr4 & CR4_PAE;

    *w = (struct walk){ .rights = PT_W | PT_U, .size = wide ? 8 : 4 };
    if (!(wide ? walk64(x, va, w) : walk32(x, va, w))) return false;
    w->rights = (w->rights & (w->entry | ~(uint64_t)(PT_W | PT_U))) | (w->entry & PT_NX);
    return true;
}

/* Sets bits in an entry that is still what was found there. */
static bool set_bits(struct x86_cpu *x, uint64_t at, unsigned size, uint64_t found, uint64_t bits)
{
    uint8_t *p = phys_host(x, a20(x, at), true);

    if (p) return cpu_host_cas(&x->c, p, size, found, found | bits);
    x86_phys_st(x, at, found | bits, 1); /* both bits are in the first byte */
    return true;
}

/* Marks what a walk used. False: another CPU has changed an entry meanwhile. */
static bool mark_used(struct x86_cpu *x, const struct walk *w, bool write)
{
    uint64_t bits = PT_A | (write ? PT_D : 0);

    for (unsigned i = 0; i < w->n_upper; i++) {
        if (!set_bits(x, w->upper[i], w->size, w->upper_found[i], PT_A)) return false;
    }
    return !(bits & ~w->found) || set_bits(x, w->at, w->size, w->found, bits);
}

/* Which of MMU_R, MMU_W, MMU_X the rights give. */
static uint8_t rights_of(const struct x86_cpu *x, const struct walk *w, bool user, bool smap, bool user_code)
{
    bool page_user = w->rights & PT_U, writable = w->rights & PT_W, nx = w->rights & PT_NX && x->efer & EFER_NXE;
    uint8_t prot = 0;

    if (user ? page_user : !(smap && page_user)) {
        prot = MMU_R;
        if (writable || (!user && !(x->cr0 & CR0_WP))) prot |= MMU_W;
    }
    if (!nx && (user_code ? page_user : !(page_user && x->cr4 & CR4_SMEP))) prot |= MMU_X;
    return prot;
}

static bool page_fault(struct x86_cpu *x, uint64_t va, enum mem_access acc, bool user, bool probe, uint32_t error)
{
    if (probe) return false;
    if (acc == ACCESS_WRITE) error |= PF_W;
    if (user) error |= PF_U;
    if (acc == ACCESS_EXEC && ((x->efer & EFER_NXE && x->cr4 & CR4_PAE) || x->cr4 & CR4_SMEP)) error |= PF_I;
    x->c.exc = (struct exception){ .code = XE_PF, .sub = error, .addr = va };
    return false;
}

/* Where large pages were met, by GiB. */
static uint64_t large_bit(uint64_t va) { return UINT64_C(1) << (va >> 30 & 63); }

bool x86_mmu(struct cpu *c, uint64_t va, enum mem_access acc, unsigned mode, bool probe, struct mmu_hit *hit)
{
    struct x86_cpu *x = x86_cpu(c);
    bool user_code = x->cpl == 3, user = acc == ACCESS_EXEC ? user_code : mode == X86_MMU_USER;
    struct walk w;

    if (!x86_long(x)) {
        va = (uint32_t)va;
    } else if (!x86_canonical(va)) {
        if (!probe) c->exc = (struct exception){ .code = XE_GP };
        return false;
    }
    hit->page_bits = CPU_PAGE_BITS;
    hit->uncached = hit->global = false;
    if (acc != ACCESS_EXEC && x->dr[7] & 0xff && x86_data_break_page(x, va)) {
        if (!probe) x86_data_break(x, va, 1, acc == ACCESS_WRITE);
        hit->page_bits = CPU_PAGE_BITS - 1;
    }
    if (!(x->cr0 & CR0_PG)) {
        hit->phys = a20(x, va);
        hit->prot = MMU_R | MMU_W | MMU_X;
        return true;
    }
    uint8_t prot, want = acc == ACCESS_WRITE ? MMU_W : acc == ACCESS_READ ? MMU_R : MMU_X;
    do {
        if (!walk(x, va, &w)) return page_fault(x, va, acc, user, probe, w.error);
        prot = rights_of(x, &w, user, mode == X86_MMU_SMAP, user_code);
        if (!(prot & want)) return page_fault(x, va, acc, user, probe, PF_P);
    } while (!probe && !mark_used(x, &w, acc == ACCESS_WRITE));
    bool dirty = w.entry & PT_D || (!probe && acc == ACCESS_WRITE);
    if (!dirty) prot &= (uint8_t)~MMU_W;
    uint64_t offset = (UINT64_C(1) << w.bits) - 1;
    hit->global = w.entry & PT_G && x->cr4 & CR4_PGE;
    if (w.bits > CPU_PAGE_BITS && !probe) {
        x->large_pages |= large_bit(va);
        x->large_bits = MAX(x->large_bits, (uint8_t)w.bits);
    }
    hit->phys = a20(x, ((w.entry & frame_mask(x)) & ~offset) | (va & offset));
    hit->prot = prot;
    return true;
}

/* The engine knows pages of 4 KiB: of a larger one all that may be there go. */
void x86_flush_page(struct x86_cpu *x, uint64_t va)
{
    uint64_t size = UINT64_C(1) << x->large_bits, piece = CPU_PAGE_SIZE * 256;

    if (!(x->large_pages & large_bit(va))) {
        cpu_tlb_flush_page(&x->c, va);
    } else if (x->large_bits > 22) {
        cpu_tlb_flush(&x->c);
    } else {
        va &= ~(size - 1);
        for (uint64_t at = 0; at < size; at += piece) cpu_tlb_flush_range(&x->c, va + at, piece);
    }
}

void x86_load_pdptes(struct x86_cpu *x)
{
    uint64_t v[4], bad = ~frame_mask(x) & ~UINT64_C(0xfff);

    for (unsigned i = 0; i < 4; i++) {
        v[i] = x86_phys_ld(x, (x->cr3 & 0xffffffe0) + 8 * i, 8);
        if (v[i] & PT_P && v[i] & (bad | 0x1e6)) x86_gp(x, 0);
    }
    memcpy(x->pdpte, v, sizeof v);
}

/* ---- info tlb ---- */

/* Calls put for each page that is mapped, over the entries of a table of one level. */
struct lister { struct x86_cpu *x; void (*put)(void *, const char *); void *opaque; bool wide; };

static void list_page(const struct lister *l, uint64_t va, uint64_t e, unsigned shift)
{
    char line[80];
    uint64_t pa = e & frame_mask(l->x) & ~((UINT64_C(1) << shift) - 1);

    if (va >> 47 & 1) va |= ~UINT64_C(0) << 48;
    snprintf(line, sizeof line, "%016" PRIx64 ": %016" PRIx64 " %c%c%c%c%c%c%c%c%c", va, pa, e & PT_NX ? 'X' : '-', e & PT_G ? 'G' : '-',
             shift > 12 ? 'P' : '-', e & PT_D ? 'D' : '-', e & PT_A ? 'A' : '-', e & 16 ? 'C' : '-', e & 8 ? 'T' : '-', e & PT_U ? 'U' : '-',
             e & PT_W ? 'W' : '-');
    l->put(l->opaque, line);
}

static void list_table(const struct lister *l, uint64_t table, uint64_t va, unsigned level)
{
    unsigned bits = l->wide ? 9 : 10, shift = 12 + bits * (level - 1);

    for (unsigned i = 0; i < 1u << bits; i++) {
        uint64_t e = x86_phys_ld(l->x, table + i * (l->wide ? 8u : 4u), l->wide ? 8 : 4), to = va | (uint64_t)i << shift;
        if (!(e & PT_P)) continue;
        if (level == 1 || (e & PT_PS && (l->wide || l->x->cr4 & CR4_PSE) && level < 4)) list_page(l, to, e, shift);
        else list_table(l, e & frame_mask(l->x), to, level - 1);
    }
}

void x86_dump_tlb(struct cpu *c, void (*put)(void *, const char *), void *opaque)
{
    struct x86_cpu *x = x86_cpu(c);
    struct lister l = { x, put, opaque, x->cr4 & CR4_PAE };

    if (!(x->cr0 & CR0_PG)) {
        put(opaque, "PG disabled");
    } else if (x86_long(x)) {
        list_table(&l, x->cr3 & frame_mask(x), 0, 4);
    } else if (l.wide) {
        for (unsigned i = 0; i < 4; i++) {
            if (x->pdpte[i] & PT_P) list_table(&l, x->pdpte[i] & frame_mask(x), (uint64_t)i << 30, 2);
        }
    } else {
        list_table(&l, x->cr3 & 0xfffff000, 0, 2);
    }
}
