/*
 * crypto.h - ciphers of disks, hashes and key derivation: one wrapper around the library (libgcrypt, when it is built
 * in; without it everything below says so).
 */
#ifndef BLOCKFMT_CRYPTO_H
#define BLOCKFMT_CRYPTO_H

#include "util/error.h"

struct crypt; /* a cipher with its key, for sectors of 512 bytes */

bool crypt_built(void); /* false too: the library cannot be loaded (said once) */
/* cipher: "aes-256", "serpent-128", "twofish-256", "cast5-128", ... as create options say; mode: xts, cbc, ecb, ctr;
 * ivgen: plain, plain64, essiv (with ivhash: its hash), "" for none. key_len must be what they need (xts: double). */
struct crypt *crypt_new(const char *cipher, const char *mode, const char *ivgen, const char *ivhash, const uint8_t *key,
                        size_t key_len, struct error *);
void crypt_free(struct crypt *); /* NULL: nothing */
/* Bytes of key that a cipher takes in a mode; 0: not known or not built in. */
size_t crypt_key_len(const char *cipher, const char *mode);
/* In place; n is a multiple of 512, `sector` the number of the first. Any thread. 0 or -errno. */
int crypt_run(struct crypt *, bool encrypt, uint64_t sector, uint8_t *buf, size_t n);

size_t crypt_hash_len(const char *hash); /* 0: not known */
int crypt_hash(const char *hash, const void *data, size_t n, uint8_t *out);
int crypt_pbkdf2(const char *hash, const uint8_t *pass, size_t pass_len, const uint8_t *salt, size_t salt_len,
                 uint64_t iterations, uint8_t *out, size_t n);
/* How many iterations of PBKDF2 with n bytes of output take about `ms` milliseconds here. */
uint64_t crypt_pbkdf2_count(const char *hash, size_t n, uint64_t ms);
int crypt_random(uint8_t *out, size_t n);
void crypt_wipe(void *p, size_t n);

#endif
