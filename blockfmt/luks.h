/*
 * luks.h - the LUKS version 1 header: key slots and the master key, for the luks format and for qcow2 images that
 * hold one.
 */
#ifndef BLOCKFMT_LUKS_H
#define BLOCKFMT_LUKS_H

#include "blockfmt/crypto.h"

struct json_out;
struct luks;

/* Where the header lies: offsets count from its start. 0 or -errno. */
typedef int luks_read_fn(void *opaque, uint64_t offset, void *buf, size_t n);
typedef int luks_write_fn(void *opaque, uint64_t offset, const void *buf, size_t n);

/* Checks the header; with a password (not NULL) finds the slot that it opens and makes *crypt. NULL + *e. */
struct luks *luks_open(luks_read_fn *, void *opaque, const uint8_t *pass, size_t pass_len, struct crypt **crypt,
                       struct error *);
void luks_free(struct luks *); /* NULL: nothing */
uint64_t luks_payload_offset(const struct luks *); /* bytes */
/* Members of "data": algorithms, uuid, slots. */
void luks_info(const struct luks *, struct json_out *);

/* As create options name them; NULL: the default. */
struct luks_params {
    const char *cipher_alg, *cipher_mode, *ivgen_alg, *ivgen_hash_alg, *hash_alg;
    uint64_t iter_time; /* milliseconds; 0: the default of 2000 */
};
/* Bytes before the payload; 0 + *e when the algorithms are not to be had. */
uint64_t luks_header_size(const struct luks_params *, struct error *);
/* Writes a new header with one slot. */
int luks_create(const struct luks_params *, const uint8_t *pass, size_t pass_len, luks_write_fn *, void *opaque,
                struct error *);

/* How key slots change: one gets the new password, or some are erased. */
struct luks_change {
    bool activate, force; /* force: also a slot in use, and the last one */
    int slot;             /* -1: the first free one; all that the old password opens */
    uint64_t iter_time;   /* milliseconds; 0: the default */
    const uint8_t *new_pass, *old_pass; /* of the graph's secrets; NULL: none */
    size_t new_len, old_len;
};
/* LUKS_AMEND_OPTIONS after `prefix`, checked; a missing state is an error. 0 or -errno and *e. */
struct blk_graph;
struct opts;
int luks_change_parse(struct luks_change *, struct blk_graph *, const struct opts *, const char *prefix, struct error *);
/* With a header that a password has opened. `flush` after each write, so that a slot counts only once its key is there. */
int luks_change(struct luks *, const struct luks_change *, luks_read_fn *, luks_write_fn *, int (*flush)(void *opaque),
                void *opaque, struct error *);
/* The options of that, for tables of struct blk_create_opt; P: the prefix. */
#define LUKS_AMEND_OPTIONS(P)                                                                                          \
    {P "iter-time", OPT_NUMBER, "Time to spend in PBKDF in milliseconds", NULL},                                       \
    {P "keyslot", OPT_NUMBER, "Select a single keyslot to modify explicitly", NULL},                                   \
    {P "new-secret", OPT_STRING, "New secret to set in the matching keyslots. Empty string to erase", NULL},           \
    {P "old-secret", OPT_STRING, "Select all keyslots that match this password", NULL},                                \
    {P "state", OPT_STRING, "Select new state of affected keyslots (active/inactive)", NULL}

#endif
