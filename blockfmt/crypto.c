/*
 * crypto.c - ciphers of disks, hashes and key derivation with libgcrypt (see crypto.h).
 */
#include "blockfmt/crypto.h"

#include <errno.h>

#ifdef HAVE_GCRYPT
#include "util/lazy.h"

#include <gcrypt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#ifdef QUERN_SO_GCRYPT
#define FUNCTIONS(X) X(gcry_check_version) X(gcry_cipher_algo_info) X(gcry_cipher_close) X(gcry_cipher_ctl) X(gcry_cipher_decrypt) \
    X(gcry_cipher_encrypt) X(gcry_cipher_get_algo_blklen) X(gcry_cipher_open) X(gcry_cipher_setctr) X(gcry_cipher_setiv) \
    X(gcry_cipher_setkey) X(gcry_control) X(gcry_kdf_derive) X(gcry_md_algo_info) X(gcry_md_get_algo_dlen) \
    X(gcry_md_hash_buffer) X(gcry_randomize)
LAZY_LIBRARY(FUNCTIONS, QUERN_SO_GCRYPT)
#define L(f) lib.f
#define load_library(e) lazy_load(&lazy, e)
#else
#define L(f) f
#define load_library(e) 0
#endif

enum ivgen { IV_NONE, IV_PLAIN, IV_PLAIN64, IV_ESSIV };
#define HANDLES 16

/* A handle holds the state of one request: as many as run at once are made. */
struct crypt {
    int algo, mode;
    enum ivgen ivgen;
    size_t block;
    uint8_t key[128];
    size_t key_len;
    gcry_cipher_hd_t essiv;
    pthread_mutex_t lock;
    gcry_cipher_hd_t spare[HANDLES];
    unsigned n_spare;
};

static const struct cipher {
    const char *name;
    int algo;
    size_t key;
} ciphers[] = {
    {"aes-128", GCRY_CIPHER_AES128, 16},         {"aes-192", GCRY_CIPHER_AES192, 24},
    {"aes-256", GCRY_CIPHER_AES256, 32},         {"cast5-128", GCRY_CIPHER_CAST5, 16},
    {"serpent-128", GCRY_CIPHER_SERPENT128, 16}, {"serpent-192", GCRY_CIPHER_SERPENT192, 24},
    {"serpent-256", GCRY_CIPHER_SERPENT256, 32}, {"twofish-128", GCRY_CIPHER_TWOFISH128, 16},
    {"twofish-256", GCRY_CIPHER_TWOFISH, 32},    {"des", GCRY_CIPHER_DES, 8},
    {"3des", GCRY_CIPHER_3DES, 24},
};

/* Before anything else is called. False: there is no library, which has been said. */
static bool ready(void)
{
    static atomic_bool said;
    struct error e = {0};

    if (load_library(&e)) {
        if (!atomic_exchange(&said, true)) error_print(&e);
        error_clear(&e);
        return false;
    }
    if (!L(gcry_control)(GCRYCTL_INITIALIZATION_FINISHED_P)) {
        (void)L(gcry_check_version)(NULL);
        L(gcry_control)(GCRYCTL_DISABLE_SECMEM, 0);
        L(gcry_control)(GCRYCTL_INITIALIZATION_FINISHED, 0);
    }
    return true;
}

bool crypt_built(void) { return ready(); }

static const struct cipher *find_cipher(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(ciphers); i++) {
        if (!strcmp(ciphers[i].name, name)) return &ciphers[i];
    }
    return NULL;
}

static int hash_algo(const char *name)
{
    static const struct {
        const char *name;
        int algo;
    } hashes[] = {{"md5", GCRY_MD_MD5},       {"sha1", GCRY_MD_SHA1},     {"sha224", GCRY_MD_SHA224},
                  {"sha256", GCRY_MD_SHA256}, {"sha384", GCRY_MD_SHA384}, {"sha512", GCRY_MD_SHA512},
                  {"ripemd160", GCRY_MD_RMD160}};
    for (size_t i = 0; name && i < ARRAY_LEN(hashes); i++) {
        if (!strcmp(hashes[i].name, name)) return hashes[i].algo;
    }
    return 0;
}

static bool test_cipher(int algo) { return L(gcry_cipher_algo_info)(algo, GCRYCTL_TEST_ALGO, NULL, NULL) == 0; }

static int mode_of(const char *mode)
{
    if (!strcmp(mode, "xts")) return GCRY_CIPHER_MODE_XTS;
    if (!strcmp(mode, "cbc")) return GCRY_CIPHER_MODE_CBC;
    if (!strcmp(mode, "ecb")) return GCRY_CIPHER_MODE_ECB;
    if (!strcmp(mode, "ctr")) return GCRY_CIPHER_MODE_CTR;
    return -1;
}

size_t crypt_key_len(const char *name, const char *mode)
{
    const struct cipher *c = find_cipher(name);
    if (!c || mode_of(mode) < 0 || !ready() || !test_cipher(c->algo)) return 0;
    return strcmp(mode, "xts") ? c->key : 2 * c->key;
}

static gcry_cipher_hd_t new_handle(const struct crypt *c)
{
    gcry_cipher_hd_t h;

    if (L(gcry_cipher_open)(&h, c->algo, c->mode, 0)) return NULL;
    if (L(gcry_cipher_setkey)(h, c->key, c->key_len)) {
        L(gcry_cipher_close)(h);
        return NULL;
    }
    return h;
}

/* ESSIV: the number of the sector, encrypted with the hash of the key. */
static int make_essiv(struct crypt *c, const char *cipher, const char *ivhash)
{
    int algo = hash_algo(ivhash);
    size_t n = algo ? L(gcry_md_get_algo_dlen)(algo) : 0, dash = strcspn(cipher, "-");
    uint8_t salt[64];
    char name[32];

    if (!n || n > sizeof salt || dash > 16) return -EINVAL;
    L(gcry_md_hash_buffer)(algo, salt, c->key, c->key_len);
    memcpy(name, cipher, dash);
    memcpy(name + dash, n == 16 ? "-128" : n == 24 ? "-192" : "-256", 5);
    const struct cipher *k = find_cipher(name);
    if (!k || k->key != n || L(gcry_cipher_open)(&c->essiv, k->algo, GCRY_CIPHER_MODE_ECB, 0)) return -EINVAL;
    return L(gcry_cipher_setkey)(c->essiv, salt, n) ? -EINVAL : 0;
}

struct crypt *crypt_new(const char *cipher, const char *mode, const char *ivgen, const char *ivhash, const uint8_t *key,
                        size_t key_len, struct error *e)
{
    const struct cipher *k = find_cipher(cipher);
    struct crypt *c;
    int m = mode_of(mode);

    if (!k || m < 0 || !ready() || !test_cipher(k->algo)) {
        error_set(e, "Algorithm '%s' with mode '%s' is not supported", cipher, mode);
        return NULL;
    }
    if (key_len != crypt_key_len(cipher, mode)) {
        error_set(e, "Cipher key length %zu should be %zu", key_len, crypt_key_len(cipher, mode));
        return NULL;
    }
    c = NEW(struct crypt);
    pthread_mutex_init(&c->lock, NULL);
    c->algo = k->algo, c->mode = m, c->key_len = key_len, c->block = L(gcry_cipher_get_algo_blklen)(k->algo);
    memcpy(c->key, key, key_len);
    if (!ivgen || !*ivgen) c->ivgen = IV_NONE;
    else if (!strcmp(ivgen, "plain")) c->ivgen = IV_PLAIN;
    else if (!strcmp(ivgen, "plain64")) c->ivgen = IV_PLAIN64;
    else if (!strcmp(ivgen, "essiv")) c->ivgen = IV_ESSIV;
    else goto unknown;
    if (c->ivgen == IV_ESSIV && make_essiv(c, cipher, ivhash)) goto unknown;
    c->spare[0] = new_handle(c);
    if (!c->spare[0]) {
        error_set(e, "the cipher '%s' does not take this key", cipher);
        crypt_free(c);
        return NULL;
    }
    c->n_spare = 1;
    return c;
unknown:
    error_set(e, "IV generator '%s' with hash '%s' is not supported", ivgen, ivhash ? ivhash : "");
    crypt_free(c);
    return NULL;
}

void crypt_free(struct crypt *c)
{
    if (!c) return;
    while (c->n_spare) L(gcry_cipher_close)(c->spare[--c->n_spare]);
    if (c->essiv) L(gcry_cipher_close)(c->essiv);
    pthread_mutex_destroy(&c->lock);
    crypt_wipe(c->key, sizeof c->key);
    mem_free(c);
}

static int make_iv(struct crypt *c, uint64_t sector, uint8_t *iv)
{
    int rc = 0;

    memset(iv, 0, 16);
    if (c->ivgen == IV_PLAIN) st32_le(iv, (uint32_t)sector);
    else if (c->ivgen != IV_NONE) st64_le(iv, sector);
    if (c->ivgen == IV_ESSIV) {
        pthread_mutex_lock(&c->lock);
        rc = L(gcry_cipher_encrypt)(c->essiv, iv, c->block, NULL, 0) ? -EIO : 0;
        pthread_mutex_unlock(&c->lock);
    }
    return rc;
}

int crypt_run(struct crypt *c, bool encrypt, uint64_t sector, uint8_t *buf, size_t n)
{
    gcry_cipher_hd_t h = NULL;
    int rc = n & 511 ? -EINVAL : 0;

    pthread_mutex_lock(&c->lock);
    if (c->n_spare) h = c->spare[--c->n_spare];
    pthread_mutex_unlock(&c->lock);
    if (!h) h = new_handle(c);
    if (!h) return -EIO;
    for (; n && !rc; n -= 512, buf += 512, sector++) {
        uint8_t iv[16];
        rc = make_iv(c, sector, iv);
        if (rc) break;
        L(gcry_cipher_ctl)(h, GCRYCTL_RESET, NULL, 0);
        if (c->mode == GCRY_CIPHER_MODE_CTR) rc = L(gcry_cipher_setctr)(h, iv, c->block) ? -EIO : 0;
        else if (c->mode != GCRY_CIPHER_MODE_ECB) rc = L(gcry_cipher_setiv)(h, iv, c->block) ? -EIO : 0;
        if (!rc) rc = (encrypt ? L(gcry_cipher_encrypt)(h, buf, 512, NULL, 0) : L(gcry_cipher_decrypt)(h, buf, 512, NULL, 0)) ? -EIO : 0;
    }
    pthread_mutex_lock(&c->lock);
    if (c->n_spare < HANDLES) c->spare[c->n_spare++] = h, h = NULL;
    pthread_mutex_unlock(&c->lock);
    if (h) L(gcry_cipher_close)(h);
    return rc;
}

size_t crypt_hash_len(const char *hash)
{
    int algo = hash_algo(hash);
    return ready() && algo && !L(gcry_md_algo_info)(algo, GCRYCTL_TEST_ALGO, NULL, NULL) ? L(gcry_md_get_algo_dlen)(algo) : 0;
}

int crypt_hash(const char *hash, const void *data, size_t n, uint8_t *out)
{
    if (!crypt_hash_len(hash)) return -ENOTSUP;
    L(gcry_md_hash_buffer)(hash_algo(hash), out, data, n);
    return 0;
}

int crypt_pbkdf2(const char *hash, const uint8_t *pass, size_t pass_len, const uint8_t *salt, size_t salt_len,
                 uint64_t iterations, uint8_t *out, size_t n)
{
    if (!crypt_hash_len(hash)) return -ENOTSUP;
    return L(gcry_kdf_derive)(pass, pass_len, GCRY_KDF_PBKDF2, hash_algo(hash), salt, salt_len, (unsigned long)iterations, n, out)
               ? -EINVAL : 0;
}

uint64_t crypt_pbkdf2_count(const char *hash, size_t n, uint64_t ms)
{
    uint8_t out[128], salt[32] = {0};
    uint64_t count = 1 << 13;

    for (;;) {
        clock_t start = clock();
        if (crypt_pbkdf2(hash, (const uint8_t *)"password", 8, salt, sizeof salt, count, out, MIN(n, sizeof out))) return 1000;
        uint64_t us = (uint64_t)(clock() - start) * 1000000 / CLOCKS_PER_SEC;
        if (us >= 50000 || count >= UINT64_C(1) << 28) return us ? MAX(count * ms * 1000 / us, 1000) : count;
        count *= 2;
    }
}

int crypt_random(uint8_t *out, size_t n)
{
    if (!ready()) return -ENOTSUP;
    L(gcry_randomize)(out, n, GCRY_STRONG_RANDOM);
    return 0;
}

#else

bool crypt_built(void) { return false; }
size_t crypt_key_len(const char *cipher, const char *mode) { return 0; }
struct crypt *crypt_new(const char *cipher, const char *mode, const char *ivgen, const char *ivhash, const uint8_t *key,
                        size_t key_len, struct error *e)
{
    error_set(e, "encryption is not supported by this build (it was made without libgcrypt)");
    return NULL;
}
void crypt_free(struct crypt *c) {}
int crypt_run(struct crypt *c, bool encrypt, uint64_t sector, uint8_t *buf, size_t n) { return -ENOTSUP; }
size_t crypt_hash_len(const char *hash) { return 0; }
int crypt_hash(const char *hash, const void *data, size_t n, uint8_t *out) { return -ENOTSUP; }
int crypt_pbkdf2(const char *hash, const uint8_t *pass, size_t pass_len, const uint8_t *salt, size_t salt_len,
                 uint64_t iterations, uint8_t *out, size_t n)
{
    return -ENOTSUP;
}
uint64_t crypt_pbkdf2_count(const char *hash, size_t n, uint64_t ms) { return 1000; }
int crypt_random(uint8_t *out, size_t n) { return -ENOTSUP; }

#endif

void crypt_wipe(void *p, size_t n)
{
    volatile uint8_t *q = p;
    while (n--) *q++ = 0;
}
