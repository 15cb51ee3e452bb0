/*
 * proto.h - what the backend and its worker program say to each other, over a socket: own format, host byte order, versioned.
 *
 * The worker greets with struct gj_hello. Then, for each batch: struct gj_request and `size` bytes of regions; the worker
 * answers with struct gj_reply and `size` bytes of an ELF object that defines the function r<i> for region i. A region
 * is struct gj_region, its slots, its helpers, then per block struct gj_block, ops, consts, types of consts and temps (padded
 * to 8 bytes). It holds no host address: code reaches what it needs through the table whose layout is below.
 */
#ifndef JIT_GCCJIT_PROTO_H
#define JIT_GCCJIT_PROTO_H

#include "interp/jit.h"

enum {
    GJ_HELLO = 0x716a6831, GJ_REQUEST = 0x716a7131, GJ_REPLY = 0x716a7231,
    GJ_MAX_SIZE = 1 << 28, /* of a message */
    GJ_BATCH = 32,
    GJ_AGAIN = 1 << 30,    /* in maps (gen-mem.c) */
};

struct gj_hello {
    uint32_t magic, version;
    uint64_t abi;             /* jit_abi(): the layout of the CPU structure and the IR */
};

struct gj_request {
    uint32_t magic, size, n_regions;
    uint32_t flags;           /* GJ_DUMP */
};

struct gj_reply {
    uint32_t magic, size;     /* size 0: failed, error tells */
    uint32_t rss_kb, contexts;
    char error[160];
};

struct gj_slot { uint32_t offset; uint8_t type, cls; uint16_t pad; };
struct gj_helper { uint32_t flags, reads, writes, pad; };

struct gj_region {
    uint32_t n_blocks, n_slots, n_helpers;
    uint16_t pc_slot;
    uint8_t addr_type, user;
    uint8_t fp_fast;          /* cpu->fp_fast as it will most likely be found */
};

struct gj_block {
    uint64_t pc, key;
    uint16_t n_insns, n_ops, n_consts, n_temps, n_labels, n_links, refund[IR_MAX_LINKS];
    int16_t to[IR_MAX_LINKS], ind[JIT_MAX_IND];
    uint8_t check[IR_MAX_LINKS];
    uint8_t n_ind, check_ind, header, pad[5];
};

/* The table of host addresses and points of one region: what jit_code.priv points to. */
enum { GJT_LD, GJT_ST, GJT_CAS, GJT_RMW, GJT_OP, GJT_FETCH_FAULT, GJT_HELPERS /* guest->helpers */, GJT_REF /* ref_exec_op */, GJT_FP /* jit_op for floats */,
       GJT_FIXED };
static inline unsigned gjt_blk(unsigned b) { return GJT_FIXED + b; }                          /* struct blk * */
static inline unsigned gjt_ops(unsigned n, unsigned b) { return GJT_FIXED + n + b; }          /* const struct ir_op * */
static inline unsigned gjt_consts(unsigned n, unsigned b) { return GJT_FIXED + 2 * n + b; }   /* const uint64_t * */
static inline unsigned gjt_link(unsigned n, unsigned b, unsigned l) { return GJT_FIXED + 3 * n + b * IR_MAX_LINKS + l; }
/* The points of all instructions of all blocks, in order. */
static inline unsigned gjt_points(unsigned n) { return GJT_FIXED + (3 + IR_MAX_LINKS) * n; }

enum { GJ_VERSION = 2 << 16 | GJT_FIXED };

#endif
