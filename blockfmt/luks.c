/*
 * luks.c - the LUKS version 1 header (On-Disk Format Specification 1.2): checking it, opening a key slot, making one.
 */
#include "blockfmt/block.h"
#include "blockfmt/luks.h"
#include "util/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define HEADER_SIZE 592u
#define SLOTS       8u
#define STRIPES     4000u
#define SLOT_ON     0x00ac71f3u
#define SLOT_OFF    0x0000deadu
#define MAX_KEY     128u
/* Of PBKDF2: some minutes of a host. More is a damaged header, or one made to keep its reader busy for an hour. */
#define MAX_ITERATIONS (UINT32_C(1) << 28)

enum { ERASE_PASSES = 3 }; /* over key material; where the host copies on write, nothing reaches what was there */

static const uint8_t magic[6] = {'L', 'U', 'K', 'S', 0xba, 0xbe};

struct slot {
    uint32_t active, iterations, offset, stripes; /* offset: sectors */
    uint8_t salt[32];
};

struct luks {
    char cipher_name[33], cipher_mode[33], hash[33], uuid[41];
    uint32_t payload, key_bytes, digest_iterations;
    uint8_t digest[20], salt[32];
    struct slot slots[SLOTS];
    char alg[40], mode[33], ivgen[33], ivhash[33]; /* as create options name them */
    bool open;               /* by a password: */
    uint8_t master[MAX_KEY]; /* what goes into further slots */
};

void luks_free(struct luks *l)
{
    if (l) crypt_wipe(l->master, sizeof l->master);
    mem_free(l);
}

uint64_t luks_payload_offset(const struct luks *l) { return (uint64_t)l->payload * 512; }

static void text(char *out, const uint8_t *p, size_t n)
{
    memcpy(out, p, n);
    out[n] = 0;
}

/* "xts-plain64", "cbc-essiv:sha256": cipher_name and key_bytes give the rest. */
static int split_mode(struct luks *l, struct error *e)
{
    char *dash = strchr(l->cipher_mode, '-'), *colon = strchr(l->cipher_mode, ':');
    uint32_t bits;

    if (!dash) return error_set(e, "Unexpected cipher mode string format '%s'", l->cipher_mode), -EINVAL;
    snprintf(l->mode, sizeof l->mode, "%.*s", (int)(dash - l->cipher_mode), l->cipher_mode);
    snprintf(l->ivgen, sizeof l->ivgen, "%.*s", (int)(colon && colon > dash ? colon - dash - 1 : (long)strlen(dash + 1)), dash + 1);
    snprintf(l->ivhash, sizeof l->ivhash, "%s", colon ? colon + 1 : "");
    bits = l->key_bytes * 8;
    if (!strcmp(l->mode, "xts")) bits /= 2;
    snprintf(l->alg, sizeof l->alg, "%s-%u", l->cipher_name, bits);
    if (crypt_built() && crypt_key_len(l->alg, l->mode) != l->key_bytes)
        return error_set(e, "Cipher '%s' in mode '%s' with a key of %u bytes is not supported", l->cipher_name, l->cipher_mode,
                         l->key_bytes), -ENOTSUP;
    if (!strcmp(l->ivgen, "essiv") && !*l->ivhash) return error_set(e, "Missing IV generator hash specification"), -EINVAL;
    return 0;
}

static int parse(struct luks *l, const uint8_t *h, struct error *e)
{
    uint64_t af;

    if (memcmp(h, magic, sizeof magic)) return error_set(e, "Volume is not in LUKS format"), -EINVAL;
    if (ld16_be(h + 6) != 1) return error_set(e, "LUKS version %u is not supported", ld16_be(h + 6)), -ENOTSUP;
    text(l->cipher_name, h + 8, 32);
    text(l->cipher_mode, h + 40, 32);
    text(l->hash, h + 72, 32);
    l->payload = ld32_be(h + 104), l->key_bytes = ld32_be(h + 108);
    memcpy(l->digest, h + 112, 20);
    memcpy(l->salt, h + 132, 32);
    l->digest_iterations = ld32_be(h + 164);
    text(l->uuid, h + 168, 40);
    if (!l->key_bytes || l->key_bytes > MAX_KEY)
        return error_set(e, "LUKS master key length %u is invalid (at offset 108)", l->key_bytes), -EINVAL;
    if (!l->digest_iterations) return error_set(e, "LUKS key digest has no iterations (at offset 164)"), -EINVAL;
    if (l->digest_iterations > MAX_ITERATIONS)
        return error_set(e, "LUKS key digest's iteration count %" PRIu32 " is too large (at offset 164)", l->digest_iterations), -EINVAL;
    af = ((uint64_t)l->key_bytes * STRIPES + 511) / 512;
    for (unsigned i = 0; i < SLOTS; i++) {
        const uint8_t *p = h + 208 + i * 48;
        struct slot *s = &l->slots[i];
        s->active = ld32_be(p), s->iterations = ld32_be(p + 4), s->offset = ld32_be(p + 40), s->stripes = ld32_be(p + 44);
        memcpy(s->salt, p + 8, 32);
        if (s->active != SLOT_ON && s->active != SLOT_OFF)
            return error_set(e, "Keyslot %u state 0x%x is corrupt (at offset %u)", i, s->active, 208 + i * 48), -EINVAL;
        if (s->stripes != STRIPES)
            return error_set(e, "Keyslot %u is corrupted (stripes %u != %u, at offset %u)", i, s->stripes, STRIPES, 252 + i * 48), -EINVAL;
        if (s->active == SLOT_ON && !s->iterations)
            return error_set(e, "Keyslot %u iteration count is zero (at offset %u)", i, 212 + i * 48), -EINVAL;
        if (s->active == SLOT_ON && s->iterations > MAX_ITERATIONS)
            return error_set(e, "Keyslot %u iteration count %" PRIu32 " is too large (at offset %u)", i, s->iterations, 212 + i * 48), -EINVAL;
        if (s->offset < 2) return error_set(e, "Keyslot %u is overlapping with the LUKS header (at offset %u)", i, 248 + i * 48), -EINVAL;
        if (l->payload && s->offset + af > l->payload)
            return error_set(e, "Keyslot %u is overlapping with the encrypted payload (at offset %u)", i, 248 + i * 48), -EINVAL;
        for (unsigned k = 0; k < i; k++) {
            if (s->offset < l->slots[k].offset + af && l->slots[k].offset < s->offset + af)
                return error_set(e, "Keyslots %u and %u are overlapping in the header", k, i), -EINVAL;
        }
    }
    if (crypt_built() && !crypt_hash_len(l->hash)) return error_set(e, "Hash algorithm '%s' is not supported", l->hash), -ENOTSUP;
    return split_mode(l, e);
}

/* ---- the anti-forensic splitter ------------------------------------------------------------------- */

static int diffuse(const char *hash, uint8_t *b, size_t n)
{
    size_t d = crypt_hash_len(hash);
    uint8_t in[4 + 64], out[64];
    int rc = d && d <= 64 ? 0 : -EINVAL;

    for (size_t at = 0, i = 0; at < n && !rc; at += d, i++) {
        size_t k = MIN(d, n - at);
        st32_be(in, (uint32_t)i);
        memcpy(in + 4, b + at, k);
        rc = crypt_hash(hash, in, 4 + k, out);
        memcpy(b + at, out, k);
    }
    return rc;
}

static int merge(const char *hash, const uint8_t *split, size_t n, uint8_t *key)
{
    uint8_t d[MAX_KEY] = {0};
    int rc = 0;

    for (unsigned s = 0; s < STRIPES - 1 && !rc; s++) {
        for (size_t i = 0; i < n; i++) d[i] ^= split[s * n + i];
        rc = diffuse(hash, d, n);
    }
    for (size_t i = 0; i < n; i++) key[i] = d[i] ^ split[(STRIPES - 1) * n + i];
    crypt_wipe(d, sizeof d);
    return rc;
}

static int split(const char *hash, const uint8_t *key, size_t n, uint8_t *out)
{
    uint8_t d[MAX_KEY] = {0};
    int rc = crypt_random(out, (STRIPES - 1) * n);

    for (unsigned s = 0; s < STRIPES - 1 && !rc; s++) {
        for (size_t i = 0; i < n; i++) d[i] ^= out[s * n + i];
        rc = diffuse(hash, d, n);
    }
    for (size_t i = 0; i < n; i++) out[(STRIPES - 1) * n + i] = d[i] ^ key[i];
    crypt_wipe(d, sizeof d);
    return rc;
}

/* ---- opening -------------------------------------------------------------------------------------- */

/* 0: the password opens the slot; 1: it does not. */
static int try_slot(const struct luks *l, const struct slot *s, luks_read_fn *rd, void *opaque, const uint8_t *pass,
                    size_t pass_len, uint8_t *master, struct error *e)
{
    size_t n = l->key_bytes, bytes = ALIGN_UP(n * STRIPES, (size_t)512);
    uint8_t key[MAX_KEY], digest[20], *area = mem_alloc(bytes);
    struct crypt *c = NULL;
    int rc = crypt_pbkdf2(l->hash, pass, pass_len, s->salt, sizeof s->salt, s->iterations, key, n);

    if (!rc) {
        c = crypt_new(l->alg, l->mode, l->ivgen, l->ivhash, key, n, e);
        rc = c ? rd(opaque, (uint64_t)s->offset * 512, area, bytes) : -ENOTSUP;
    }
    if (!rc) rc = crypt_run(c, false, 0, area, bytes);
    if (!rc) rc = merge(l->hash, area, n, master);
    if (!rc) rc = crypt_pbkdf2(l->hash, master, n, l->salt, sizeof l->salt, l->digest_iterations, digest, sizeof digest);
    if (!rc) rc = memcmp(digest, l->digest, sizeof digest) ? 1 : 0;
    crypt_free(c);
    crypt_wipe(key, sizeof key);
    crypt_wipe(area, bytes);
    mem_free(area);
    return rc;
}

struct luks *luks_open(luks_read_fn *rd, void *opaque, const uint8_t *pass, size_t pass_len, struct crypt **crypt,
                       struct error *e)
{
    struct luks *l = NEW(struct luks);
    uint8_t h[HEADER_SIZE];
    int rc = rd(opaque, 0, h, sizeof h);

    if (rc) error_set(e, "Unable to read LUKS header: %s", strerror(-rc));
    else rc = parse(l, h, e);
    if (!rc && pass) {
        if (!crypt_built()) {
            error_set(e, "encryption is not supported by this build (it was made without libgcrypt)");
            rc = -ENOTSUP;
        } else {
            rc = 1;
        }
        for (unsigned i = 0; i < SLOTS && rc == 1; i++) {
            if (l->slots[i].active == SLOT_ON) rc = try_slot(l, &l->slots[i], rd, opaque, pass, pass_len, l->master, e);
        }
        if (rc == 1) error_set(e, "Invalid password, cannot unlock any keyslot");
        else if (rc) error_set(e, "could not open a key slot: %s", strerror(-rc));
        else *crypt = crypt_new(l->alg, l->mode, l->ivgen, l->ivhash, l->master, l->key_bytes, e);
        l->open = !rc;
        if (!rc && !*crypt) rc = -ENOTSUP;
    }
    if (!rc) return l;
    luks_free(l);
    return NULL;
}

void luks_info(const struct luks *l, struct json_out *j)
{
    jout_string(j, "ivgen-alg", l->ivgen);
    if (*l->ivhash) jout_string(j, "ivgen-hash-alg", l->ivhash);
    jout_string(j, "hash-alg", l->hash);
    jout_string(j, "cipher-alg", l->alg);
    jout_string(j, "uuid", l->uuid);
    jout_string(j, "cipher-mode", l->mode);
    jout_array(j, "slots");
    for (unsigned i = 0; i < SLOTS; i++) {
        const struct slot *s = &l->slots[i];
        jout_object(j, NULL);
        jout_bool(j, "active", s->active == SLOT_ON);
        if (s->active == SLOT_ON) jout_uint(j, "iters", s->iterations);
        jout_uint(j, "key-offset", (uint64_t)s->offset * 512);
        if (s->active == SLOT_ON) jout_uint(j, "stripes", s->stripes);
        jout_end(j, '}');
    }
    jout_end(j, ']');
    jout_uint(j, "payload-offset", luks_payload_offset(l));
    jout_uint(j, "master-key-iters", l->digest_iterations);
}

/* ---- making one ----------------------------------------------------------------------------------- */

static struct luks_params defaults(const struct luks_params *p)
{
    struct luks_params d = *p;
    if (!d.cipher_alg) d.cipher_alg = "aes-256";
    if (!d.cipher_mode) d.cipher_mode = "xts";
    if (!d.ivgen_alg) d.ivgen_alg = "plain64";
    if (!d.hash_alg) d.hash_alg = "sha256";
    if (!d.ivgen_hash_alg && !strcmp(d.ivgen_alg, "essiv")) d.ivgen_hash_alg = "sha256";
    if (!d.iter_time) d.iter_time = 2000;
    return d;
}

/* Sectors of one key slot: whole units of 4 KiB. */
static uint32_t slot_sectors(size_t key) { return (uint32_t)ALIGN_UP((key * STRIPES + 511) / 512, (size_t)8); }

uint64_t luks_header_size(const struct luks_params *params, struct error *e)
{
    struct luks_params p = defaults(params);
    size_t key = crypt_key_len(p.cipher_alg, p.cipher_mode);

    if (!crypt_built()) error_set(e, "encryption is not supported by this build (it was made without libgcrypt)");
    else if (!key) error_set(e, "Algorithm '%s' with mode '%s' is not supported", p.cipher_alg, p.cipher_mode);
    else if (!crypt_hash_len(p.hash_alg)) error_set(e, "Hash algorithm '%s' is not supported", p.hash_alg);
    else if (p.ivgen_hash_alg && !crypt_hash_len(p.ivgen_hash_alg)) error_set(e, "Hash algorithm '%s' is not supported", p.ivgen_hash_alg);
    else if (strcmp(p.ivgen_alg, "plain") && strcmp(p.ivgen_alg, "plain64") && strcmp(p.ivgen_alg, "essiv"))
        error_set(e, "IV generator '%s' is not supported", p.ivgen_alg);
    else return (8 + (uint64_t)SLOTS * slot_sectors(key)) * 512;
    return 0;
}

/* The master key, split and encrypted by what a password gives: a slot's key material, *area (freed by the caller). */
static int seal(const struct luks_params *p, const uint8_t *master, size_t n, const uint8_t *pass, size_t pass_len,
                struct slot *s, uint8_t **area, size_t *bytes, struct error *e)
{
    uint8_t key[MAX_KEY];
    struct crypt *c = NULL;
    int rc = crypt_random(s->salt, sizeof s->salt);

    *bytes = ALIGN_UP(n * STRIPES, (size_t)512);
    *area = mem_zalloc(*bytes);
    s->active = SLOT_ON;
    s->iterations = (uint32_t)MIN(MAX(crypt_pbkdf2_count(p->hash_alg, n, p->iter_time), 1000), MAX_ITERATIONS);
    if (!rc) rc = crypt_pbkdf2(p->hash_alg, pass, pass_len, s->salt, sizeof s->salt, s->iterations, key, n);
    if (!rc) rc = split(p->hash_alg, master, n, *area);
    if (!rc) {
        c = crypt_new(p->cipher_alg, p->cipher_mode, p->ivgen_alg, p->ivgen_hash_alg, key, n, e);
        rc = c ? crypt_run(c, true, 0, *area, *bytes) : -ENOTSUP;
    }
    crypt_free(c);
    crypt_wipe(key, sizeof key);
    return rc;
}

/* The 48 bytes of a slot in the header. */
static void put_slot(uint8_t *p, const struct slot *s)
{
    st32_be(p, s->active), st32_be(p + 4, s->iterations);
    memcpy(p + 8, s->salt, sizeof s->salt);
    st32_be(p + 40, s->offset), st32_be(p + 44, s->stripes);
}

int luks_create(const struct luks_params *params, const uint8_t *pass, size_t pass_len, luks_write_fn *wr, void *opaque,
                struct error *e)
{
    struct luks_params p = defaults(params);
    uint64_t size = luks_header_size(params, e), iterations;
    size_t n = crypt_key_len(p.cipher_alg, p.cipher_mode), dash = strcspn(p.cipher_alg, "-"), bytes;
    uint8_t h[HEADER_SIZE] = {0}, master[MAX_KEY], id[16], *area = NULL;
    int rc = 0;

    if (!size || n > MAX_KEY) return -ENOTSUP;
    memcpy(h, magic, sizeof magic);
    st16_be(h + 6, 1);
    memcpy(h + 8, p.cipher_alg, MIN(dash, 31));
    snprintf((char *)h + 40, 32, "%s-%s%s%s", p.cipher_mode, p.ivgen_alg, p.ivgen_hash_alg ? ":" : "",
             p.ivgen_hash_alg ? p.ivgen_hash_alg : "");
    snprintf((char *)h + 72, 32, "%s", p.hash_alg);
    st32_be(h + 104, (uint32_t)(size / 512));
    st32_be(h + 108, (uint32_t)n);
    rc = crypt_random(master, n);
    if (!rc) rc = crypt_random(h + 132, 32);
    if (!rc) rc = crypt_random(id, sizeof id);
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40), id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    snprintf((char *)h + 168, 40, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", id[0], id[1], id[2], id[3],
             id[4], id[5], id[6], id[7], id[8], id[9], id[10], id[11], id[12], id[13], id[14], id[15]);
    iterations = MIN(MAX(crypt_pbkdf2_count(p.hash_alg, 20, p.iter_time) / 8, 1000), MAX_ITERATIONS);
    st32_be(h + 164, (uint32_t)iterations);
    if (!rc) rc = crypt_pbkdf2(p.hash_alg, master, n, h + 132, 32, iterations, h + 112, 20);
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot s = {.active = SLOT_OFF, .offset = 8 + i * slot_sectors(n), .stripes = STRIPES};
        if (!i && !rc) rc = seal(&p, master, n, pass, pass_len, &s, &area, &bytes, e);
        put_slot(h + 208 + i * 48, &s);
    }
    if (!rc) rc = wr(opaque, 8 * 512, area, bytes);
    if (!rc) rc = wr(opaque, 0, h, sizeof h);
    if (rc) error_set(e, "could not make the LUKS header: %s", strerror(-rc));
    crypt_wipe(master, sizeof master);
    mem_free(area);
    return rc;
}

/* ---- changing slots ------------------------------------------------------------------------------- */

static int write_slot(const struct luks *l, unsigned i, luks_write_fn *wr, int (*flush)(void *), void *opaque)
{
    uint8_t p[48];
    int rc;

    put_slot(p, &l->slots[i]);
    rc = wr(opaque, 208 + i * 48, p, sizeof p);
    return rc ? rc : flush(opaque);
}

static int fill_slot(struct luks *l, unsigned i, const struct luks_change *c, luks_write_fn *wr, int (*flush)(void *),
                     void *opaque, struct error *e)
{
    struct luks_params p = {l->alg, l->mode, l->ivgen, *l->ivhash ? l->ivhash : NULL, l->hash, c->iter_time};
    struct slot s = l->slots[i];
    uint8_t *area = NULL;
    size_t bytes;
    int rc;

    p = defaults(&p);
    rc = seal(&p, l->master, l->key_bytes, c->new_pass, c->new_len, &s, &area, &bytes, e);
    if (!rc) rc = wr(opaque, (uint64_t)s.offset * 512, area, bytes);
    if (!rc) rc = flush(opaque);
    if (!rc) l->slots[i] = s, rc = write_slot(l, i, wr, flush, opaque);
    if (area) crypt_wipe(area, bytes);
    mem_free(area);
    return rc;
}

/* The header forgets the slot first: what is left of its key material is then of no use to the password alone. */
static int erase_slot(struct luks *l, unsigned i, luks_write_fn *wr, int (*flush)(void *), void *opaque)
{
    size_t bytes = ALIGN_UP(l->key_bytes * (size_t)STRIPES, (size_t)512);
    struct slot *s = &l->slots[i];
    uint8_t *area = mem_alloc(bytes);
    int rc;

    s->active = SLOT_OFF, s->iterations = 0;
    memset(s->salt, 0, sizeof s->salt);
    rc = write_slot(l, i, wr, flush, opaque);
    for (unsigned k = 0; k < ERASE_PASSES && !rc; k++) {
        rc = crypt_random(area, bytes);
        if (!rc) rc = wr(opaque, (uint64_t)s->offset * 512, area, bytes);
        if (!rc) rc = flush(opaque);
    }
    mem_free(area);
    return rc;
}

static int activate(struct luks *l, const struct luks_change *c, luks_write_fn *wr, int (*flush)(void *), void *opaque,
                    struct error *e)
{
    unsigned i = 0;

    if (c->slot >= 0) {
        i = (unsigned)c->slot;
        if (l->slots[i].active == SLOT_ON && !c->force)
            return error_set(e, "Refusing to overwrite active keyslot %u - please erase it first", i), -EINVAL;
    } else {
        while (i < SLOTS && l->slots[i].active == SLOT_ON) i++;
        if (i == SLOTS) return error_set(e, "Can't add a keyslot - all keyslots are in use"), -ENOSPC;
    }
    return fill_slot(l, i, c, wr, flush, opaque, e);
}

static int erase(struct luks *l, const struct luks_change *c, luks_read_fn *rd, luks_write_fn *wr, int (*flush)(void *),
                 void *opaque, struct error *e)
{
    unsigned hit = 0, active = 0, found = 0;
    int rc = 0;

    for (unsigned i = 0; i < SLOTS; i++) {
        const struct slot *s = &l->slots[i];
        if (s->active != SLOT_ON) continue;
        active++;
        if (c->slot >= 0 && i != (unsigned)c->slot) continue;
        if (c->old_pass) {
            uint8_t master[MAX_KEY];
            rc = try_slot(l, s, rd, opaque, c->old_pass, c->old_len, master, e);
            crypt_wipe(master, sizeof master);
            if (rc < 0) return rc;
            if (rc) continue;
        }
        hit |= 1u << i, found++;
    }
    if (c->slot >= 0 && l->slots[c->slot].active != SLOT_ON)
        return error_set(e, "Given keyslot %d is already erased (inactive)", c->slot), -EINVAL;
    if (c->slot >= 0 && !found)
        return error_set(e, "Given keyslot %d doesn't contain the given old password for erase operation", c->slot), -EINVAL;
    if (!found) return error_set(e, "No keyslots match given (old) password for erase operation"), -EINVAL;
    if (found == active && !c->force) {
        if (c->slot >= 0)
            error_set(e, "Attempt to erase the only active keyslot %d which will erase all the data in the image "
                         "irreversibly - refusing operation", c->slot);
        else
            error_set(e, "All the active keyslots match the (old) password that was given and erasing them will erase all "
                         "the data in the image irreversibly - refusing operation");
        return -EINVAL;
    }
    rc = 0;
    for (unsigned i = 0; i < SLOTS && !rc; i++) {
        if (hit >> i & 1) rc = erase_slot(l, i, wr, flush, opaque);
    }
    return rc;
}

int luks_change(struct luks *l, const struct luks_change *c, luks_read_fn *rd, luks_write_fn *wr, int (*flush)(void *),
                void *opaque, struct error *e)
{
    int rc;

    if (!l->open) return error_set(e, "the key slots cannot be changed: no password has opened the image"), -EACCES;
    rc = c->activate ? activate(l, c, wr, flush, opaque, e) : erase(l, c, rd, wr, flush, opaque, e);
    if (rc && !e->set) error_set(e, "could not change the key slots: %s", strerror(-rc));
    return rc;
}

static const struct blk_secret *secret_of(struct blk_graph *g, const char *id, struct error *e)
{
    const struct blk_secret *s = blk_object_find(g, "secret", id);

    if (!s) error_set(e, "No secret with id '%s'", id);
    return s;
}

int luks_change_parse(struct luks_change *c, struct blk_graph *g, const struct opts *o, const char *prefix, struct error *e)
{
    const char *v[5] = {NULL};
    static const char *const names[5] = {"state", "new-secret", "old-secret", "keyslot", "iter-time"};
    const struct blk_secret *s;
    uint64_t slot;
    char name[48];

    for (unsigned i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "%s%s", prefix, names[i]);
        v[i] = opts_get(o, name);
    }
    *c = (struct luks_change){.slot = -1};
    if (!v[0]) return error_set(e, "Parameter '%sstate' is missing", prefix), -EINVAL;
    c->activate = !strcmp(v[0], "active");
    if (!c->activate && strcmp(v[0], "inactive"))
        return error_set(e, "Parameter '%sstate' does not accept value '%s'", prefix, v[0]), -EINVAL;
    if (c->activate && !v[1]) return error_set(e, "'new-secret' is required to activate a keyslot"), -EINVAL;
    if (c->activate && v[2]) return error_set(e, "'old-secret' must not be given when activating keyslots"), -EINVAL;
    if (!c->activate && v[1]) return error_set(e, "'new-secret' must not be given when erasing keyslots"), -EINVAL;
    if (!c->activate && v[4]) return error_set(e, "'iter-time' must not be given when erasing keyslots"), -EINVAL;
    if (!c->activate && !v[2] && !v[3])
        return error_set(e, "To erase keyslot(s), either explicit keyslot index or the password currently contained in them "
                            "must be given"),
               -EINVAL;
    if (v[3]) {
        if (opt_parse_number("keyslot", v[3], INT32_MAX, &slot, e)) return -EINVAL;
        if (slot >= SLOTS)
            return error_set(e, "Invalid keyslot %u specified, must be between 0 and %u", (unsigned)slot, SLOTS - 1), -EINVAL;
        c->slot = (int)slot;
    }
    if (v[4] && opt_parse_number("iter-time", v[4], UINT32_MAX, &c->iter_time, e)) return -EINVAL;
    if (v[1]) {
        if (!(s = secret_of(g, v[1], e))) return -ENOENT;
        c->new_pass = s->data, c->new_len = s->len;
    }
    if (v[2]) {
        if (!(s = secret_of(g, v[2], e))) return -ENOENT;
        c->old_pass = s->data, c->old_len = s->len;
    }
    return 0;
}
