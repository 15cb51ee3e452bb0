/*
 * as.c - accesses to an address space: memory, and registers through handlers with the sizes,
 * order and alignment they want.
 *
 * A handler may change the space under our feet. So nothing found in the flat view is used after a
 * handler ran: what is needed is copied before, and every piece looks its address up anew.
 */
#include "bus/region.h"
#include "util/log.h"

#include <inttypes.h>

static uint64_t ones(unsigned size) { return size >= 8 ? UINT64_MAX : (UINT64_C(1) << size * 8) - 1; }

static uint64_t swap(uint64_t v, unsigned size)
{
    switch (size) {
    case 2: return host_bswap16((uint16_t)v);
    case 4: return host_bswap32((uint32_t)v);
    case 8: return host_bswap64(v);
    default: return v;
    }
}

static uint64_t mem_get(const uint8_t *p, unsigned size)
{
    switch (size) {
    case 1: return *p;
    case 2: return ld16_le(p);
    case 4: return ld32_le(p);
    default: return ld64_le(p);
    }
}

static void mem_put(uint8_t *p, unsigned size, uint64_t v)
{
    switch (size) {
    case 1: *p = (uint8_t)v; break;
    case 2: st16_le(p, (uint16_t)v); break;
    case 4: st32_le(p, (uint32_t)v); break;
    default: st64_le(p, v); break;
    }
}

/* ---- registers ---- */

/* What of a region outlives a call of its handlers. */
struct mmio {
    struct mmio_ops ops;
    void *opaque;
};

static uint64_t call_read(const struct mmio *m, uint64_t off, unsigned size)
{
    uint64_t v = m->ops.read(m->opaque, off, size) & ones(size);
    return m->ops.big_endian ? swap(v, size) : v;
}

static void call_write(const struct mmio *m, uint64_t off, uint64_t v, unsigned size)
{
    v &= ones(size);
    m->ops.write(m->opaque, off, m->ops.big_endian ? swap(v, size) : v, size);
}

/* The next piece of an access at off with n bytes to go: what the handlers are called with (*base, *width), and
 * the bytes of the access that it serves (the result). */
static unsigned piece(const struct mmio_ops *o, uint64_t off, unsigned n, uint64_t *base,
                      unsigned *width)
{
    unsigned p = o->impl_max;
    while (p > 1 && (p > n || (!o->unaligned && (off & (p - 1))))) p >>= 1;
    *base = off, *width = p;
    if (p >= o->impl_min) return p;
    *width = o->impl_min;
    *base = off & ~(uint64_t)(o->impl_min - 1);
    unsigned room = (unsigned)(o->impl_min - (off - *base));
    return MIN(room, n);
}

static bool size_ok(const struct region *r, uint64_t off, unsigned size, const char *what)
{
    if (size >= r->ops.min_size && size <= r->ops.max_size) return true;
    LOG(GUEST_ERRORS, "%s: %u-byte %s at offset 0x%" PRIx64 " is not a size it answers to\n", r->name,
        size, what, off);
    return false;
}

static bool mmio_read(const struct region *r, uint64_t off, unsigned size, uint64_t *value)
{
    struct mmio m = { r->ops, r->opaque };
    uint64_t v = 0, base;
    unsigned width;

    if (!size_ok(r, off, size, "read")) {
        *value = ones(size);
        return false;
    }
    if (!m.ops.read) {
        LOG(GUEST_ERRORS, "%s: read at offset 0x%" PRIx64 ", which is write-only\n", r->name, off);
        *value = 0;
        return true;
    }
    for (unsigned done = 0; done < size;) {
        unsigned n = piece(&m.ops, off + done, size - done, &base, &width);
        uint64_t x = call_read(&m, base, width) >> 8 * (off + done - base);
        v |= (x & ones(n)) << 8 * done;
        done += n;
    }
    *value = v;
    return true;
}

static bool mmio_write(const struct region *r, uint64_t off, unsigned size, uint64_t value)
{
    struct mmio m = { r->ops, r->opaque };
    uint64_t base;
    unsigned width;

    if (!size_ok(r, off, size, "write")) return false;
    if (!m.ops.write) {
        LOG(GUEST_ERRORS, "%s: write of 0x%" PRIx64 " at offset 0x%" PRIx64 ", which is read-only\n",
            r->name, value, off);
        return true;
    }
    for (unsigned done = 0; done < size;) {
        unsigned n = piece(&m.ops, off + done, size - done, &base, &width);
        uint64_t x = (value >> 8 * done) & ones(n);
        call_write(&m, base, x << 8 * (off + done - base), width);
        done += n;
    }
    return true;
}

/* ---- single accesses ---- */
bool as_read(struct address_space *as, uint64_t addr, unsigned size, uint64_t *value)
{
    const struct flat_range *f = flat_find(&as->view, addr, &as->hint);

    if (f && size - 1 <= f->last - addr) {
        uint64_t off = f->offset + (addr - f->start);
        if (!f->direct) return mmio_read(f->region, off, size, value);
        *value = mem_get(f->region->ram + off, size);
        return true;
    }
    if (size > 1) { /* it may begin or end where something answers */
        uint64_t lo, hi;
        unsigned half = size / 2;
        bool ok = as_read(as, addr, half, &lo);
        ok &= as_read(as, addr + half, half, &hi);
        *value = lo | hi << 8 * half;
        return ok;
    }
    LOG(GUEST_ERRORS, "%s: read at 0x%016" PRIx64 ": nothing answers\n", as->name, addr);
    *value = ones(size);
    return false;
}

bool as_write(struct address_space *as, uint64_t addr, unsigned size, uint64_t value)
{
    const struct flat_range *f = flat_find(&as->view, addr, &as->hint);

    if (f && size - 1 <= f->last - addr) {
        struct region *r = f->region;
        uint64_t off = f->offset + (addr - f->start);
        if (!r->ram || r->kind == REGION_ROMD) return mmio_write(r, off, size, value);
        if (f->readonly) {
            LOG(GUEST_ERRORS, "%s: write to ROM at 0x%016" PRIx64 "\n", r->name, addr);
            return true;
        }
        mem_put(r->ram + off, size, value);
        as_ram_written(as, r->ram + off, size);
        return true;
    }
    if (size > 1) {
        unsigned half = size / 2;
        bool ok = as_write(as, addr, half, value & ones(half));
        ok &= as_write(as, addr + half, half, value >> 8 * half);
        return ok;
    }
    LOG(GUEST_ERRORS, "%s: write at 0x%016" PRIx64 ": nothing answers\n", as->name, addr);
    return false;
}

/* ---- blocks ---- */

/* The size of the next access to registers: the largest aligned one that fits and is accepted. */
static unsigned block_piece(const struct region *r, uint64_t off, uint64_t n)
{
    unsigned p = r->ops.max_size;
    while (p > 1 && (p > n || (off & (p - 1)))) p >>= 1;
    return p;
}

/* How many of n bytes from addr on have no answer (at least one). */
static uint64_t hole(struct address_space *as, uint64_t addr, uint64_t n)
{
    const struct flat_view *v = &as->view;
    unsigned lo = 0, hi = v->n;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (v->range[mid].start <= addr) lo = mid + 1;
        else hi = mid;
    }
    if (lo == v->n) return n;
    return MIN(n, v->range[lo].start - addr);
}

/* buf may be NULL for nothing but n = 0. Addresses wrap at 2^64. */
bool as_read_buf(struct address_space *as, uint64_t addr, void *buf, uint64_t n)
{
    uint8_t *p = buf;
    bool ok = true;

    while (n) {
        const struct flat_range *f = flat_find(&as->view, addr, &as->hint);
        uint64_t k;
        if (!f) {
            k = hole(as, addr, n);
            LOG(GUEST_ERRORS, "%s: read of %" PRIu64 " bytes at 0x%016" PRIx64 ": nothing answers\n",
                as->name, k, addr);
            memset(p, 0xff, (size_t)k);
            ok = false;
        } else {
            uint64_t off = f->offset + (addr - f->start);
            k = f->last - addr;
            k = k >= n ? n : k + 1;
            if (f->direct) {
                memcpy(p, f->region->ram + off, (size_t)k);
            } else {
                uint64_t v;
                k = block_piece(f->region, off, k);
                ok &= mmio_read(f->region, off, (unsigned)k, &v);
                uint8_t b[8];
                st64_le(b, v);
                memcpy(p, b, (size_t)k);
            }
        }
        addr += k, p += k, n -= k;
    }
    return ok;
}

static bool write_buf(struct address_space *as, uint64_t addr, const void *buf, uint64_t n, bool rom)
{
    const uint8_t *p = buf;
    bool ok = true;

    while (n) {
        const struct flat_range *f = flat_find(&as->view, addr, &as->hint);
        uint64_t k;
        if (!f) {
            k = hole(as, addr, n);
            LOG(GUEST_ERRORS, "%s: write of %" PRIu64 " bytes at 0x%016" PRIx64 ": nothing answers\n",
                as->name, k, addr);
            ok = false;
        } else {
            struct region *r = f->region;
            uint64_t off = f->offset + (addr - f->start);
            k = f->last - addr;
            k = k >= n ? n : k + 1;
            if (r->ram && (rom || r->kind != REGION_ROMD)) {
                if (rom || !f->readonly) {
                    memcpy(r->ram + off, p, (size_t)k);
                    as_ram_written(as, r->ram + off, k);
                } else {
                    LOG(GUEST_ERRORS, "%s: write to ROM at 0x%016" PRIx64 "\n", r->name, addr);
                }
            } else if (rom) {
                ok = false;
            } else {
                uint8_t b[8] = { 0 };
                k = block_piece(r, off, k);
                memcpy(b, p, (size_t)k);
                ok &= mmio_write(r, off, (unsigned)k, ld64_le(b));
            }
        }
        addr += k, p += k, n -= k;
    }
    return ok;
}

bool as_write_buf(struct address_space *as, uint64_t addr, const void *buf, uint64_t n)
{
    return write_buf(as, addr, buf, n, false);
}

bool as_write_rom(struct address_space *as, uint64_t addr, const void *buf, uint64_t n)
{
    return write_buf(as, addr, buf, n, true);
}

uint8_t *as_host(struct address_space *as, uint64_t addr, uint64_t *n, bool *readonly)
{
    unsigned hint = 0; /* the common one is for those who may use devices */
    const struct flat_range *f = flat_find(&as->view, addr, &hint);
    if (!f || !f->direct) return NULL;
    uint64_t room = f->last - addr;
    if (*n && *n - 1 > room) *n = room + 1;
    if (readonly) *readonly = f->readonly;
    return f->region->ram + f->offset + (addr - f->start);
}

bool as_discard(struct address_space *as, uint64_t addr, uint64_t n)
{
    while (n) {
        const struct flat_range *f = flat_find(&as->view, addr, &as->hint);
        if (!f || !f->direct || f->readonly || f->region->kind != REGION_RAM) return false;
        uint8_t *p = f->region->ram + f->offset + (addr - f->start);
        uint64_t k = f->last - addr;
        k = k >= n ? n : k + 1;
        region_zero(p, (size_t)k);
        as_ram_written(as, p, k);
        addr += k, n -= k;
    }
    return true;
}
