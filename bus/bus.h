/*
 * bus.h - address spaces: what answers at which address.
 *
 * Configuration: a tree of regions (RAM, ROM, MMIO, alias, container) with offsets, priorities and an enable
 * bit. Use: the tree is flattened into one sorted array of ranges whenever it changed; lookups are a
 * binary search, and CPUs cache the result in their TLBs.
 *
 * Values on the bus: for an access of n bytes the byte at the lowest address is the least significant
 * one, whatever the CPU's byte order. A region whose registers are big-endian is given swapped values, so that handlers
 * always see the register's numeric value. Accesses are cut or widened to the sizes a region implements:
 * a piece narrower than impl_min becomes one access of the register it lies in; reads take the bytes asked for, writes
 * put the bytes in their place and zeros in the others.
 *
 * Handlers may change any space while they run, but must not delete the region they serve.
 * A size of UINT64_MAX means all 2^64 bytes.
 */
#ifndef BUS_BUS_H
#define BUS_BUS_H

#include "util/error.h"

struct address_space;
struct region;

/* MMIO handlers: addr is relative to the region; size 1, 2, 4, 8. */
typedef uint64_t (*mmio_read_fn)(void *opaque, uint64_t addr, unsigned size);
typedef void (*mmio_write_fn)(void *opaque, uint64_t addr, uint64_t value, unsigned size);

struct mmio_ops {
    mmio_read_fn read;        /* NULL: reads as zero, logged */
    mmio_write_fn write;      /* NULL: ignored, logged */
    uint8_t min_size, max_size;           /* accesses the device accepts; 0 = 1 and 8 (else bus error) */
    uint8_t impl_min, impl_max;           /* accesses the handlers implement; the core splits or widens; 0 = same as above */
    bool big_endian;          /* registers are big-endian */
    bool unaligned;           /* handlers take any alignment (else unaligned accesses are split) */
};

/* Regions are owned by their creator and live until region_delete. `name` is copied. */
struct region *region_new_container(const char *name, uint64_t size);
struct region *region_new_ram(const char *name, uint64_t size, struct error *); /* zeroed; NULL: no memory */
struct region *region_new_rom(const char *name, uint64_t size, struct error *); /* guest writes are ignored (logged) */
/* ROM whose writes (and, when `romd` is off, reads) go to ops: flash. */
struct region *region_new_romd(const char *name, uint64_t size, const struct mmio_ops *, void *opaque, struct error *);
void region_set_romd(struct region *, bool direct_reads);
struct region *region_new_mmio(const char *name, uint64_t size, const struct mmio_ops *, void *opaque);
struct region *region_new_alias(const char *name, struct region *target, uint64_t offset, uint64_t size);
/* An alias through which nothing can be written: what it shows of RAM behaves as ROM. */
void region_set_readonly(struct region *alias, bool);
void region_delete(struct region *);

/* Puts child into parent at offset; higher priority hides lower; equal: the later one wins. */
void region_add(struct region *parent, struct region *child, uint64_t offset, int priority);
void region_remove(struct region *child);
void region_move(struct region *child, uint64_t offset);
void region_set_enabled(struct region *, bool);
uint8_t *region_ram(struct region *);      /* host address of RAM/ROM contents, NULL otherwise */
uint64_t region_size(const struct region *);
const char *region_name(const struct region *);

/* Address spaces: memory, or I/O ports. */
struct address_space *as_new(const char *name, struct region *root);
void as_delete(struct address_space *);
/* Batches changes: the space is re-flattened when the outermost transaction ends. */
void bus_transaction_begin(void);
void bus_transaction_commit(void);
/* Called after the flat view changed (CPUs flush their TLBs). */
void as_on_change(struct address_space *, void (*fn)(void *), void *opaque);
/* Called around (true: before) the change of the view itself, for threads that only call as_host. One per space. */
void as_set_guard(struct address_space *, void (*fn)(void *opaque, bool begin), void *opaque);
/* Called after RAM was written through this space by a device (DMA) or loader: translated code may be stale. */
void as_on_ram_write(struct address_space *, void (*fn)(void *, const uint8_t *host, uint64_t n), void *opaque);

/* Single accesses. False: nothing answers (reads give all ones). size 1, 2, 4, 8. */
bool as_read(struct address_space *, uint64_t addr, unsigned size, uint64_t *value);
bool as_write(struct address_space *, uint64_t addr, unsigned size, uint64_t value);
/* Blocks of bytes (DMA, loaders, debuggers): RAM by copying, MMIO in the largest aligned pieces.
 * Return false if some byte had no answer. as_write_rom also writes ROM (loaders, debuggers). */
bool as_read_buf(struct address_space *, uint64_t addr, void *buf, uint64_t n);
bool as_write_buf(struct address_space *, uint64_t addr, const void *buf, uint64_t n);
/* MMIO is not written by as_write_rom: those bytes have no answer. */
bool as_write_rom(struct address_space *, uint64_t addr, const void *buf, uint64_t n);
/* Host address for [addr, addr + *n): RAM or directly readable ROM; shortens *n to what is contiguous. NULL: none. *readonly set for ROM.
 * Who writes through the pointer tells the space afterwards by as_ram_written (translated code). */
uint8_t *as_host(struct address_space *, uint64_t addr, uint64_t *n, bool *readonly);

/* The contents of [addr, addr + n) are not needed: RAM becomes zero, and the host may have the memory behind it. What is
 * not RAM is left alone, and false returned. */
bool as_discard(struct address_space *, uint64_t addr, uint64_t n);
void as_ram_written(struct address_space *, const uint8_t *host, uint64_t n);

/* `info mtree`, line by line without newline: both the tree and the flat view. */
void as_dump(struct address_space *, bool flat, void (*put)(void *, const char *line), void *opaque);
/* RAM, ROM and flash regions in the space's tree, mapped or not (disabled ones count: a device that unmaps its memory
 * disables the region and does not remove it), in creation order; prev = NULL: the first. For saving state and hashing. */
struct region *as_ram_next(struct address_space *, struct region *prev);

#endif
