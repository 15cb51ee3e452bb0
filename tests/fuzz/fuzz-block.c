/*
 * fuzz-block.c - fuzz target: disk images of every format. An input is a recipe: which small image (made once, by this
 * build), which bytes of it change, and what is then done with it. Checksums are made right again most of the time, so
 * that what lies behind them is reached.
 *
 * An image may be refused, with a message; what is opened is read, asked, checked, written, repaired and read again.
 * Nothing may crash, hang or take memory without bound. What is open for reading does not change its file. What a check
 * with repair has called clean is clean to the next one, and opens. An image that nobody has damaged holds what is written to
 * it, and is clean after whatever was done to it.
 * FUZZ_BLOCK=NAME in the environment keeps to one kind of image, FUZZ_BLOCK_FORMAT=NAME to those of one format.
 */
#include "tests/fuzz/fuzz.h"

#include "blockfmt/compress.h"
#include "blockfmt/crypto.h"
#include "blockfmt/imgutil.h"
#include "tests/block-samples.h"
#include "util/json.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_REGIONS = 64, PIECE = 4096, OLD_KINDS = 40 };

/* The image has them; it is taken while it is open for writing; the library that it cannot do without. */
enum more { SNAPSHOTS = 1, BITMAPS = 2, UNCLOSED = 4, ZLIB = 8, ZSTD = 16, CIPHERS = 32 };
static const struct kind {
    const char *name, *format, *options, *sample;
    uint32_t size_k; /* the disk's size in KiB */
    bool backing;
    const char *open; /* options of opening */
    unsigned more;    /* enum more */
} kinds[] = {
    {"vdi", "vdi", NULL, NULL, 8192, false, NULL, 0},
    {"vdi-static", "vdi", "static=on", NULL, 2048, false, NULL, 0},
    {"vpc", "vpc", NULL, NULL, 16384, false, NULL, 0},
    {"vpc-fixed", "vpc", "subformat=fixed", NULL, 1024, false, NULL, 0},
    {"vhdx", "vhdx", "block_size=1M", NULL, 8192, false, NULL, 0},
    {"vhdx-log", "vhdx", "block_size=1M", NULL, 8192, false, NULL, UNCLOSED},
    {"vmdk", "vmdk", NULL, NULL, 65536, false, NULL, 0},
    {"vmdk-zeroed", "vmdk", "zeroed_grain=on", NULL, 8192, false, NULL, 0},
    {"vmdk-stream", "vmdk", "subformat=streamOptimized", NULL, 8192, false, NULL, ZLIB},
    {"vmdk-flat", "vmdk", "subformat=monolithicFlat", NULL, 1024, false, NULL, 0},
    {"vmdk-split", "vmdk", "subformat=twoGbMaxExtentSparse", NULL, 1024, false, NULL, 0},
    {"qed", "qed", "cluster_size=4k,table_size=2", NULL, 8192, false, NULL, 0},
    {"qed-backing", "qed", "cluster_size=4k,table_size=2", NULL, 2048, true, NULL, 0},
    {"qcow", "qcow", NULL, NULL, 8192, false, NULL, 0},
    {"qcow-backing", "qcow", NULL, NULL, 2048, true, NULL, 0},
    {"parallels", "parallels", "cluster_size=64k", NULL, 4096, false, NULL, 0},
    {"bochs", "bochs", NULL, "bochs", 256, false, NULL, 0},
    {"cloop", "cloop", NULL, "cloop", 256, false, NULL, ZLIB},
    {"dmg", "dmg", NULL, "dmg", 256, false, NULL, ZLIB},
    {"dmg-fork", "dmg", NULL, "dmg-fork", 256, false, NULL, ZLIB},
    {"qcow2", "qcow2", "cluster_size=4k", NULL, 4096, false, NULL, 0},
    {"qcow2-v2", "qcow2", "cluster_size=512,compat=0.10", NULL, 1024, true, NULL, 0},
    {"qcow2-sub", "qcow2", "cluster_size=16k,extended_l2=on", NULL, 4096, true, NULL, 0},
    {"qcow2-zstd", "qcow2", "cluster_size=8k,compression_type=zstd,lazy_refcounts=on", NULL, 4096, false, NULL, ZSTD},
    {"qcow2-snap", "qcow2", "cluster_size=4k,refcount_bits=1", NULL, 2048, false, NULL, BITMAPS},
    {"qcow2-snap16", "qcow2", "cluster_size=4k", NULL, 2048, false, NULL, SNAPSHOTS | BITMAPS},
    {"qcow2-wide", "qcow2", "cluster_size=1k,refcount_bits=64", NULL, 1024, false, NULL, SNAPSHOTS},
    {"qcow2-data", "qcow2", "cluster_size=4k,data_file=f.data", NULL, 2048, false, NULL, 0},
    {"qcow2-data-raw", "qcow2", "cluster_size=4k,data_file=f.data,data_file_raw=on", NULL, 2048, false, NULL, 0},
    {"qcow2-luks", "qcow2", "cluster_size=4k,encrypt.format=luks,encrypt.key-secret=sec0,encrypt.iter-time=1", NULL, 1024,
     false, "encrypt.key-secret=sec0", SNAPSHOTS | CIPHERS},
    {"qcow2-aes", "qcow2", "cluster_size=4k,encrypt.format=aes,encrypt.key-secret=sec0", NULL, 1024, false,
     "encrypt.key-secret=sec0", CIPHERS},
    {"luks", "luks", "key-secret=sec0,iter-time=1", NULL, 512, false, "key-secret=sec0", CIPHERS},
    {"luks-cbc", "luks", "key-secret=sec0,iter-time=1,cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256",
     NULL, 512, false, "key-secret=sec0", CIPHERS},
    {"qcow-aes", "qcow", "encrypt.format=aes,encrypt.key-secret=sec0", NULL, 1024, false, "encrypt.key-secret=sec0", CIPHERS},
    {"vhdx-fixed", "vhdx", "block_size=1M,subformat=fixed", NULL, 2048, false, NULL, 0},
    {"vmdk-split-flat", "vmdk", "subformat=twoGbMaxExtentFlat", NULL, 1024, false, NULL, 0},
    {"vmdk-backing", "vmdk", "backing_file=base.vmdk", NULL, 2048, false, NULL, 0},
    {"vmdk-compat6", "vmdk", "compat6=on,adapter_type=lsilogic", NULL, 2048, false, NULL, 0},
    {"parallels-1m", "parallels", NULL, NULL, 4096, false, NULL, 0},
    {"raw", "raw", NULL, NULL, 256, false, NULL, 0},
    {"vmdk-cowd", "vmdk", NULL, "cowd", 256, false, NULL, 0},
    {"parallels-open", "parallels", "cluster_size=64k", NULL, 4096, false, NULL, UNCLOSED},
    {"qed-open", "qed", "cluster_size=4k,table_size=2", NULL, 2048, false, NULL, UNCLOSED},
    {"qcow2-open", "qcow2", "cluster_size=4k,lazy_refcounts=on", NULL, 2048, false, NULL, UNCLOSED | BITMAPS},
};

/* An image in memory: its pieces that are not zeros. */
struct image {
    uint64_t size;
    unsigned n, n_regions;
    struct piece { uint64_t at; uint8_t bytes[PIECE]; } *v;
    uint64_t regions[MAX_REGIONS]; /* where runs of pieces start, where tables are likely */
};
static struct image images[ARRAY_LEN(kinds)];
static char dir[64], path[96];
static bool newer;  /* a recipe with what was added later: bit 7 of its first byte, so that kept inputs mean what they meant */
static bool intact; /* the image of this run, so far as we know */
static struct blk_graph *graph; /* with the secret "sec0" */

static void die(const char *what, const char *why)
{
    fprintf(stderr, "fuzz-block: %s: %s\n", what, why);
    abort();
}

static bool built(const struct kind *k)
{
    return (!(k->more & ZLIB) || compress_built(COMPRESS_ZLIB)) && (!(k->more & ZSTD) || compress_built(COMPRESS_ZSTD)) &&
           (!(k->more & CIPHERS) || crypt_built());
}

static void clean_up(void)
{
    static const char *const files[] = {"f.img", "f-flat.img", "f-s001.img", "f-f001.img", "base.raw", "base.vmdk", "f.data"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char *p = mem_printf("%s/%s", dir, files[i]);
        unlink(p);
        mem_free(p);
    }
    (void)!chdir("/");
    rmdir(dir);
    blk_graph_delete(graph);
}

/* ---- good images ---------------------------------------------------------------------------------- */

static void keep(struct image *m)
{
    int fd = open(path, O_RDONLY);
    struct stat st;
    uint64_t last = UINT64_MAX;

    if (fd < 0 || fstat(fd, &st)) die("cannot read back", path);
    m->size = (uint64_t)st.st_size;
    for (uint64_t at = 0; at < m->size; at += PIECE) {
        uint8_t buf[PIECE] = {0};
        ssize_t got = pread(fd, buf, PIECE, (off_t)at);
        if (got < 0) die("cannot read back", path);
        if (blk_is_zero(buf, PIECE)) continue;
        if (last == UINT64_MAX || at != last + PIECE) {
            if (m->n_regions < MAX_REGIONS) m->regions[m->n_regions++] = at;
        }
        last = at;
        m->v = mem_realloc(m->v, (m->n + 1) * sizeof *m->v);
        m->v[m->n].at = at;
        memcpy(m->v[m->n++].bytes, buf, PIECE);
    }
    if (m->size >= 512 && m->n_regions < MAX_REGIONS) m->regions[m->n_regions++] = m->size - 512;
    close(fd);
}

static void fill(struct blk_backend *b)
{
    uint8_t *data = mem_alloc(100000);
    uint64_t size = blk_size(b);

    for (unsigned i = 0; i < 100000; i++) data[i] = (uint8_t)(i * 7 + i / 300);
    if (blk_write(b, 0, data, 5000) || blk_write(b, 100000, data, 100000) || blk_write(b, size - 3000, data, 3000) ||
        blk_write(b, size / 2, data, 512))
        die("cannot write", blk_path(b));
    (void)blk_zero(b, 600000 < size ? 589824 : 65536, 65536, BLK_MAY_UNMAP);
    (void)blk_write_flags(b, 262144, data, 65536, BLK_COMPRESSED);
    (void)blk_flush(b);
    mem_free(data);
}

static struct blk_backend *open_as(const struct kind *k, unsigned flags, struct error *e)
{
    struct opts o = {NULL, 0};

    if (k->open && opts_parse(&o, k->open, NULL, NULL, e)) die(k->name, e->msg);
    struct blk_backend *b = blk_open_in(graph, path, k->format, &o, flags, e);
    opts_free(&o);
    return b;
}

static void add_more(const struct kind *k, struct blk_backend *b)
{
    struct error e = ERROR_INIT;

    for (unsigned i = 0; i < 2 && (k->more & SNAPSHOTS); i++) {
        struct blk_snapshot sn = {.date_sec = 1000, .icount = UINT64_MAX, .vm_state_size = i ? 3000 : 0};
        uint8_t state[3000] = {1, 2, 3};
        snprintf(sn.name, sizeof sn.name, "snap%u", i);
        if (i && blk_vmstate_write(b, 0, state, sizeof state)) die(k->name, "vmstate");
        if (blk_snapshot_create(b, &sn, &e)) die(k->name, e.msg);
        if (blk_write(b, 8192, state, sizeof state)) die(k->name, "write");
    }
    for (unsigned i = 0; i < 2 && (k->more & BITMAPS); i++) {
        struct blk_bitmap *m = blk_bitmap_new(blk_root(b), i ? "bitmap-b" : "a", 65536u << i, true, &e);
        if (!m) die(k->name, e.msg);
        blk_bitmap_set(m, 65536, 200000);
    }
}

static void make(const struct kind *k, struct image *m)
{
    struct error e = ERROR_INIT;
    struct opts o = {NULL, 0};
    char *size = mem_printf("%uk", k->size_k);

    if (k->sample) {
        uint8_t *p;
        size_t n = sample_image(k->sample, &p);
        FILE *f = fopen(path, "wb");
        if (!f || fwrite(p, 1, n, f) != n || fclose(f)) die("cannot write", path);
        mem_free(p);
        keep(m);
        mem_free(size);
        return;
    }
    if (k->options && opts_parse(&o, k->options, NULL, NULL, &e)) die(k->name, e.msg);
    opts_set(&o, "size", size);
    if (k->backing) opts_set(&o, "backing_file", "base.raw"), opts_set(&o, "backing_fmt", "raw");
    if (blk_create(graph, k->format, path, &o, false, &e)) die(k->name, e.msg);
    struct blk_backend *b = open_as(k, BLK_NO_FLUSH, &e);
    if (!b) die(k->name, e.msg);
    fill(b);
    add_more(k, b);
    if (k->more & UNCLOSED) keep(m); /* with a log, or marked */
    blk_close(b);
    if (!(k->more & UNCLOSED)) keep(m);
    opts_free(&o);
    mem_free(size);
}

static void set_up(void)
{
    const char *tmp = getenv("TMPDIR");
    struct error e = ERROR_INIT;
    struct opts o = {NULL, 0};
    char *base;

    snprintf(dir, sizeof dir, "%.40s/fuzz-block.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) die("cannot make", dir);
    atexit(clean_up);
    snprintf(path, sizeof path, "%s/f.img", dir);
    graph = blk_graph_new();
    struct blk_secret *secret = mem_alloc(sizeof *secret + 3);
    secret->len = 3;
    memcpy(secret->data, "abc", 3);
    if (blk_object_add(graph, "secret", "sec0", secret, free, &e)) die("secret", e.msg);
    if (chdir(dir)) die("cannot enter", dir);
    base = mem_printf("%s/base.raw", dir);
    opts_set(&o, "size", "2M");
    if (blk_create(NULL, "raw", base, &o, false, &e)) die("base", e.msg);
    if (blk_create(NULL, "vmdk", "base.vmdk", &o, false, &e)) die("base", e.msg);
    opts_free(&o);
    mem_free(base);
}

/* ---- changes -------------------------------------------------------------------------------------- */

static uint8_t *bytes_at(struct image *m, struct piece *v, uint64_t at, unsigned n)
{
    for (unsigned i = 0; i < m->n; i++) {
        if (at >= v[i].at && at + n <= v[i].at + PIECE) return v[i].bytes + (at - v[i].at);
    }
    return NULL;
}

static uint64_t value(struct fuzz_bytes *f, uint64_t old, uint64_t size)
{
    switch (fuzz_pick(f, 12)) {
    case 0: return 0;
    case 1: return 1;
    case 2: return UINT64_MAX;
    case 3: return UINT64_C(1) << fuzz_pick(f, 64);
    case 4: return (UINT64_C(1) << fuzz_pick(f, 64)) - 1;
    case 5: return old + 1;
    case 6: return old - 1;
    case 7: return old << fuzz_pick(f, 8);
    case 8: return size;
    case 9: return size / 512;
    case 10: return (uint64_t)fuzz_u16(f) * 512;
    default: return (uint64_t)fuzz_u32(f) << 32 | fuzz_u32(f);
    }
}

static void edit(struct image *m, struct piece *v, struct fuzz_bytes *f)
{
    uint64_t at = m->n > 1 && fuzz_pick(f, 2) ? m->v[fuzz_pick(f, m->n)].at : m->regions[fuzz_pick(f, m->n_regions)];
    unsigned width = 1u << fuzz_pick(f, 4);
    uint8_t *p;

    at += fuzz_pick(f, 4) ? fuzz_pick(f, 256) : fuzz_pick(f, 8192);
    if (fuzz_pick(f, 8)) at &= ~(uint64_t)(width - 1);
    p = bytes_at(m, v, at, width);
    if (!p) return;
    bool be = fuzz_pick(f, 2);
    uint64_t old = 0, x;
    for (unsigned i = 0; i < width; i++) old |= (uint64_t)p[i] << 8 * (be ? width - 1 - i : i);
    x = value(f, old, m->size);
    for (unsigned i = 0; i < width; i++) p[i] = (uint8_t)(x >> 8 * (be ? width - 1 - i : i));
}

/* An entry of a table becomes another's: two then have the same cluster. */
static void copy_entry(struct image *m, struct piece *v, struct fuzz_bytes *f)
{
    struct piece *x = &v[fuzz_pick(f, m->n)];
    unsigned width = fuzz_pick(f, 2) ? 4 : 8, reach = fuzz_pick(f, 4) ? 64 : PIECE;
    unsigned from = fuzz_u16(f) % reach & ~(width - 1), to = fuzz_u16(f) % reach & ~(width - 1);

    memmove(x->bytes + to, x->bytes + from, width);
}

static void fix_sum_crc(struct image *m, struct piece *v, uint64_t at, unsigned n)
{
    uint8_t *tmp = mem_zalloc(n), *p = bytes_at(m, v, at, 8);

    if (p) {
        for (unsigned i = 0; i < n; i += PIECE) {
            uint8_t *q = bytes_at(m, v, at + i, PIECE);
            if (q) memcpy(tmp + i, q, PIECE);
        }
        st32_le(tmp + 4, 0);
        st32_le(p + 4, img_crc32c(0, tmp, n));
    }
    mem_free(tmp);
}

static void fix_sum_bytes(struct image *m, struct piece *v, uint64_t at, unsigned n, unsigned field)
{
    uint8_t *p = bytes_at(m, v, at, n);
    uint32_t sum = 0;

    if (!p) return;
    st32_be(p + field, 0);
    for (unsigned i = 0; i < n; i++) sum += p[i];
    st32_be(p + field, ~sum);
}

/* A header may ask for minutes of hashing (more is an error): that ends, but nothing is to be seen in it. */
static void fix_luks(struct image *m, struct piece *v)
{
    enum { DIGEST = 164, SLOT0 = 208 + 4, SLOT_SIZE = 48, SLOTS = 8, LONG = 1 << 16, ERROR = 1 << 28 };

    for (unsigned i = 0; i < m->n; i++) {
        uint8_t *p = v[i].bytes;
        if (memcmp(p, "LUKS\xba\xbe", 6)) continue;
        for (unsigned k = 0; k <= SLOTS; k++) {
            uint8_t *n = p + (k < SLOTS ? SLOT0 + k * SLOT_SIZE : DIGEST);
            if (ld32_be(n) > LONG && ld32_be(n) <= ERROR) st32_be(n, ld32_be(n) % LONG + 1);
        }
    }
}

static void fix_sums(const struct kind *k, struct image *m, struct piece *v)
{
    if (!strcmp(k->format, "vhdx")) {
        fix_sum_crc(m, v, 65536, 4096);
        fix_sum_crc(m, v, 131072, 4096);
        fix_sum_crc(m, v, 196608, 65536);
        fix_sum_crc(m, v, 262144, 65536);
        uint8_t *log = bytes_at(m, v, 1 << 20, 64);
        if (log && ld32_le(log + 8) <= 65536 && ld32_le(log + 8) >= PIECE) fix_sum_crc(m, v, 1 << 20, ld32_le(log + 8) & ~4095u);
    } else if (!strcmp(k->format, "vpc")) {
        fix_sum_bytes(m, v, 0, 512, 64);
        fix_sum_bytes(m, v, 512, 1024, 36);
        if (m->size % PIECE == 512) fix_sum_bytes(m, v, m->size - 512, 512, 64);
    }
}

static void put(struct image *m, struct piece *v, uint64_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

    if (fd < 0 || ftruncate(fd, (off_t)size)) die("cannot write", path);
    for (unsigned i = 0; i < m->n; i++) {
        if (v[i].at >= size) continue;
        size_t n = (size_t)MIN((uint64_t)PIECE, size - v[i].at);
        if (pwrite(fd, v[i].bytes, n, (off_t)v[i].at) != (ssize_t)n) die("cannot write", path);
    }
    close(fd);
}

/* The file's time is one that no write gives it. */
static void mark_time(void)
{
    struct timespec t[2] = {{1000, 0}, {1000, 0}};
    if (utimensat(AT_FDCWD, path, t, 0)) die("cannot mark", path);
}

static void see_time(const struct kind *k)
{
    struct stat st;
    if (!stat(path, &st) && st.st_mtime != 1000) die(k->name, "is changed by who reads it");
}

/* ---- use ------------------------------------------------------------------------------------------ */

static void look(struct blk_backend *b, uint8_t *buf, struct fuzz_bytes *f)
{
    uint64_t size = blk_size(b), at = 0;
    struct blk_status st;
    struct blk_info info;
    struct json_out j;
    unsigned budget = 4 << 20;

    (void)blk_node_info(blk_root(b), &info);
    jout_init(&j);
    jout_object(&j, NULL);
    (void)blk_node_info_specific(blk_root(b), &j);
    jout_end(&j, '}');
    jout_free(&j);
    for (unsigned i = 0; i < 200 && at < size; i++) {
        if (blk_status(b, at, MIN(size - at, UINT64_C(1) << 30), NULL, &st)) break;
        if (!st.bytes) abort();
        if ((st.flags & BLK_ST_DATA) && budget >= 65536) {
            (void)blk_read(b, at, buf, (size_t)MIN(st.bytes, (uint64_t)65536));
            budget -= 65536;
        }
        at += st.bytes;
    }
    for (unsigned i = 0; i < 6 && size; i++) {
        at = ((uint64_t)fuzz_u32(f) << 20 | fuzz_u16(f)) % size;
        uint64_t n = MIN(size - at, (uint64_t)fuzz_u16(f) + 1);
        if (!newer || blk_read_now(b, at, buf, (size_t)n)) (void)blk_read(b, at, buf, (size_t)n);
    }
    if (size) (void)blk_read(b, size - MIN(size, (uint64_t)4096), buf, (size_t)MIN(size, (uint64_t)4096));
}

static void write_and_read(const struct kind *k, struct blk_backend *b, uint64_t at, const uint8_t *buf, size_t n, unsigned flags)
{
    uint8_t *back;

    if (blk_write_flags(b, at, buf, n, flags) || !intact) return;
    back = mem_alloc(n);
    if (blk_read(b, at, back, n) || memcmp(back, buf, n)) die(k->name, "is not what has been written");
    mem_free(back);
}

static void change(const struct kind *k, struct blk_backend *b, uint8_t *buf, struct fuzz_bytes *f)
{
    uint64_t size = blk_size(b);

    for (unsigned i = 0; i < 8 && size; i++) {
        uint64_t at = (fuzz_pick(f, 2) ? (uint64_t)fuzz_u32(f) << 9 : fuzz_u32(f)) % size;
        uint64_t n = MIN(size - at, (uint64_t)fuzz_u16(f) + 1);
        switch (fuzz_pick(f, 6)) {
        case 0: (void)blk_zero(b, at, n, BLK_MAY_UNMAP); break;
        case 1: (void)blk_discard(b, at, n); break;
        case 2: (void)blk_flush(b); break;
        case 3: at &= ~UINT64_C(65535), write_and_read(k, b, at, buf, (size_t)MIN(size - at, (uint64_t)65536), BLK_COMPRESSED); break;
        default: write_and_read(k, b, at, buf + fuzz_pick(f, 256), (size_t)n, 0); break;
        }
    }
}

/* What changes more than data. */
static void restructure(struct blk_backend *b, uint8_t *buf, struct fuzz_bytes *f)
{
    struct blk_snapshot *list = NULL, sn = {.icount = UINT64_MAX};
    struct error e = ERROR_INIT;
    struct opts o = {NULL, 0};
    uint64_t size = blk_size(b);
    int n;

    switch (fuzz_pick(f, 10)) {
    case 0:
        snprintf(sn.name, sizeof sn.name, "new%u", fuzz_pick(f, 4));
        (void)blk_snapshot_create(b, &sn, &e);
        break;
    case 1:
    case 2:
        n = blk_snapshot_list(blk_root(b), &list, &e);
        if (n > 0) {
            const char *id = list[fuzz_pick(f, (uint32_t)MIN(n, 200))].id;
            error_clear(&e);
            (void)(fuzz_pick(f, 2) ? blk_snapshot_delete(b, id, &e) : blk_snapshot_apply(b, id, &e));
        }
        free(list);
        break;
    case 3: (void)blk_truncate(b, MIN(size + (uint64_t)fuzz_u16(f) * 512, UINT64_C(1) << 40), BLK_PREALLOC_OFF, &e); break;
    case 4: (void)blk_truncate(b, size / 512 / (1 + fuzz_pick(f, 7)) * 512, BLK_PREALLOC_OFF, &e); break;
    case 5: (void)blk_make_empty(b, &e); break;
    case 6: (void)blk_change_backing(blk_root(b), fuzz_pick(f, 2) ? "base.raw" : NULL, "raw", &e); break;
    case 7:
        if (strcmp(blk_node_driver(blk_root(b)), "luks")) {
            opts_set(&o, fuzz_pick(f, 2) ? "compat" : "lazy_refcounts", "0.10");
        } else {
            bool add = !fuzz_pick(f, 4); /* takes time */
            char slot[2] = {(char)('0' + fuzz_pick(f, 8)), 0};
            opts_set(&o, "state", add ? "active" : "inactive");
            if (add) opts_set(&o, "new-secret", "sec0"), opts_set(&o, "iter-time", "1");
            if (fuzz_pick(f, 2)) opts_set(&o, "keyslot", slot);
            else if (!add) opts_set(&o, "old-secret", "sec0");
        }
        (void)blk_amend(b, &o, true, NULL, NULL, &e);
        opts_free(&o);
        break;
    case 8:
        for (struct blk_bitmap *m = NULL; (m = blk_bitmap_next(blk_root(b), m));) {
            uint64_t at = 0, len;
            for (unsigned i = 0; i < 100 && blk_bitmap_run(m, &at, &len); i++) at += len;
        }
        (void)blk_bitmap_new(blk_root(b), "fresh", 65536, true, &e);
        break;
    default:
        (void)blk_vmstate_read(b, fuzz_u16(f), buf, 4096);
        (void)blk_vmstate_write(b, fuzz_u16(f), buf, 4096);
        break;
    }
}

static void inspect(struct blk_backend *b, uint8_t *buf, struct fuzz_bytes *f)
{
    struct blk_snapshot *list = NULL;
    struct error e = ERROR_INIT;
    int n = blk_snapshot_list(blk_root(b), &list, &e);

    if (n > 0) {
        (void)blk_snapshot_load(b, list[fuzz_pick(f, (uint32_t)MIN(n, 200))].id, &e);
        (void)blk_read(b, 0, buf, (size_t)MIN(blk_size(b), (uint64_t)65536));
    }
    free(list);
}

/* 1: clean, or all repaired; 0: not; -1: there is no answer. */
static void print_line(void *opaque, const char *line) { fprintf(stderr, "%s\n", line); }

static int check(const struct kind *k, unsigned fix, bool print, struct blk_check *c)
{
    struct error e = ERROR_INIT;
    struct blk_backend *b = open_as(k, BLK_CHECK | BLK_NO_BACKING | (fix ? BLK_NO_FLUSH : BLK_RDONLY), &e);
    int rc;

    *c = (struct blk_check){.message = print ? print_line : NULL};
    if (!b) {
        if (print) print_line(NULL, e.msg);
        return error_clear(&e), -1;
    }
    rc = blk_check(b, fix, c, &e);
    blk_close(b);
    if (rc && print) print_line(NULL, e.msg);
    error_clear(&e);
    if (rc || c->check_errors) return -1;
    return !c->corruptions && !c->leaks; /* what is left */
}

static void repair(const struct kind *k)
{
    struct blk_check c;

    if (intact && check(k, 0, false, &c) == 0) (void)check(k, 0, true, &c), die(k->name, "is damaged by its users");
    if (check(k, BLK_FIX_LEAKS | BLK_FIX_ERRORS, false, &c) != 1) return;
    if (check(k, 0, false, &c) != 1) (void)check(k, 0, true, &c), die(k->name, "is repaired, and is not");
}

/* Which kind of image: what the input says, within what the environment asks for. */
static unsigned pick_kind(struct fuzz_bytes *f)
{
    const char *name = getenv("FUZZ_BLOCK"), *format = getenv("FUZZ_BLOCK_FORMAT");
    unsigned which = fuzz_u8(f), fit = 0;

    if (name && !*name) name = NULL;
    if (format && !*format) format = NULL;
    newer = which & 0x80;
    if (!name && !format) return newer ? (which & 0x7f) % ARRAY_LEN(kinds) : which % OLD_KINDS;
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) fit += !strcmp(name ? name : format, name ? kinds[i].name : kinds[i].format);
    if (!fit) die("no such image", name ? name : format);
    which = (which & 0x7f) % fit;
    for (unsigned i = 0;; i++) {
        if (!strcmp(name ? name : format, name ? kinds[i].name : kinds[i].format) && !which--) return i;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_bytes f = fuzz_bytes(data, size);
    struct error e = ERROR_INIT;
    unsigned which, edits;
    struct blk_check c;
    struct piece *v;
    uint8_t *buf;

    if (!dir[0]) set_up();
    which = pick_kind(&f);
    const struct kind *k = &kinds[which];
    struct image *m = &images[which];
    if (!built(k)) return 0;
    if (!m->size) make(k, m);
    v = mem_alloc((m->n + 1) * sizeof *v);
    memcpy(v, m->v, m->n * sizeof *v);
    edits = fuzz_pick(&f, 6);
    for (unsigned i = 0; i < edits && m->n_regions; i++) {
        if (newer && m->n && fuzz_pick(&f, 8) == 0) copy_entry(m, v, &f);
        else edit(m, v, &f);
    }
    if (fuzz_pick(&f, 8)) fix_sums(k, m, v);
    fix_luks(m, v);
    size = m->size;
    if (fuzz_pick(&f, 8) == 0) size = newer && !fuzz_pick(&f, 4) ? size + 512 * fuzz_u16(&f) : size / 256 * fuzz_pick(&f, 256);
    intact = !(k->more & UNCLOSED) && size == m->size && !memcmp(v, m->v, m->n * sizeof *v);
    put(m, v, size);
    mark_time();
    mem_free(v);
    buf = mem_zalloc(1 << 17);
    memset(buf + 5000, 0x55, 70000);

    struct blk_backend *b = open_as(k, BLK_RDONLY, &e);
    if (b) look(b, buf, &f), inspect(b, buf, &f);
    else if (!e.set || !e.msg[0]) abort();
    else if (intact) die(k->name, e.msg);
    blk_close(b);
    error_clear(&e);
    (void)check(k, 0, false, &c);
    see_time(k);
    b = open_as(k, BLK_NO_FLUSH | (newer && fuzz_pick(&f, 2) ? BLK_UNMAP : 0), &e);
    if (b) {
        if (newer && fuzz_pick(&f, 8) == 0 &&
            (blk_reopen(b, blk_flags(b) | BLK_RDONLY, &e) || blk_reopen(b, blk_flags(b) & ~(unsigned)BLK_RDONLY, &e)) && intact)
            die(k->name, e.msg);
        error_clear(&e);
        change(k, b, buf, &f);
        for (unsigned i = fuzz_pick(&f, 3); i; i--) restructure(b, buf, &f);
        change(k, b, buf, &f);
        look(b, buf, &f);
    } else if (!e.set || !e.msg[0]) {
        abort();
    }
    blk_close(b);
    error_clear(&e);
    repair(k);
    b = open_as(k, BLK_RDONLY, &e);
    if (b) look(b, buf, &f);
    blk_close(b);
    error_clear(&e);
    mem_free(buf);
    return 0;
}

/* Each image as it is, and with one change; in the older way and the newer. */
size_t fuzz_seed(unsigned n, uint8_t *buf, size_t room)
{
    if (n >= ARRAY_LEN(kinds) * 4 || room < 64) return 0;
    memset(buf, 0, 64);
    buf[0] = (uint8_t)(n / 4 | (n & 2 ? 0x80 : 0));
    buf[1] = n & 1;
    for (unsigned i = 2; i < 64; i++) buf[i] = (uint8_t)(i * 37 + n * 11);
    return 64;
}
