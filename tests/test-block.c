/*
 * test-block.c - the graph of nodes: options, names, rights, backing chains, asynchronous requests, bitmaps, range
 * locks, and a qcow2 image written by several threads.
 */
#include "blockfmt/compress.h"
#include "blockfmt/driver.h"
#include "blockfmt/job.h"
#include "tests/count.h"
#include "util/json.h"

#include <stdlib.h>
#include <unistd.h>

static char *dir;

static char *at(const char *name) { return mem_printf("%s/%s", dir, name); }

static int make(const char *name, const char *format, const char *size, const char *more)
{
    struct opts o = {NULL, 0};
    struct error e = ERROR_INIT;
    char *path = at(name);
    int rc = more ? opts_parse(&o, more, NULL, NULL, &e) : 0;

    if (size) opts_set(&o, "size", size);
    if (!rc) rc = blk_create(NULL, format, path, &o, true, &e);
    if (rc) printf("create %s: %s\n", name, e.msg);
    opts_free(&o);
    mem_free(path);
    return rc;
}

static struct blk_backend *open_image(const char *name, const char *format, unsigned flags, struct error *e)
{
    char *path = at(name);
    struct blk_backend *b = blk_open(path, format, flags, e);
    mem_free(path);
    return b;
}

static void test_names(void)
{
    struct error e = ERROR_INIT;
    struct opts o = {NULL, 0};
    char *s;
    unsigned flags = 0;

    CHECK(!blk_parse_filename("file:a:b", &o, &e) && !strcmp(opts_get(&o, "file.filename"), "a:b"));
    opts_free(&o);
    o = (struct opts){NULL, 0};
    CHECK(!blk_parse_filename("./a:b", &o, &e) && !strcmp(opts_get(&o, "file.filename"), "./a:b"));
    opts_free(&o);
    o = (struct opts){NULL, 0};
    CHECK(blk_parse_filename("nosuch:x", &o, &e) < 0 && strstr(e.msg, "nosuch"));
    opts_free(&o);
    error_clear(&e);
    s = blk_path_combine("/d/e/top.qcow2", "base.qcow2");
    CHECK(!strcmp(s, "/d/e/base.qcow2"));
    mem_free(s);
    s = blk_path_combine("/d/e/top.qcow2", "/base.qcow2");
    CHECK(!strcmp(s, "/base.qcow2"));
    mem_free(s);
    CHECK(!blk_parse_cache("directsync", &flags) && flags == (BLK_DIRECT | BLK_WRITETHROUGH));
    CHECK(blk_parse_cache("fast", &flags) < 0);
    CHECK(blk_parse_detect_zeroes("unmap", &flags, &e) < 0);
    error_clear(&e);
}

static void test_graph(void)
{
    struct blk_graph *g = blk_graph_new();
    struct error e = ERROR_INIT;
    struct opts o;
    struct blk_backend *a, *b;
    struct blk_node *n;
    uint8_t buf[1024];

    CHECK(!make("g.qcow2", "qcow2", "1M", NULL));
    char *text = mem_printf("driver=qcow2,node-name=disk,file.driver=file,file.filename=%s/g.qcow2", dir);
    CHECK(!opts_parse(&o, text, NULL, NULL, &e));
    mem_free(text);
    n = blk_node_add(g, &o, 0, &e);
    CHECK(n && n == blk_node_find(g, "disk") && !strcmp(blk_node_driver(n), "qcow2"));
    CHECK(blk_node_size(n) == 1 << 20 && blk_node_child(n, "file"));
    CHECK(!blk_node_add(g, &o, 0, &e) && strstr(e.msg, "disk"));
    error_clear(&e);
    opts_set(&o, "node-name", "other");
    opts_set(&o, "speed", "11");
    CHECK(!blk_node_add(g, &o, 0, &e) && strstr(e.msg, "speed"));
    error_clear(&e);
    opts_free(&o);
    a = blk_attach(g, n, BLK_PERM_READ | BLK_PERM_WRITE, BLK_PERM_READ, 0, &e);
    b = blk_attach(g, n, BLK_PERM_READ | BLK_PERM_WRITE, BLK_PERM_ALL, 0, &e);
    CHECK(a && !b && strstr(e.msg, "'write'"));
    error_clear(&e);
    CHECK(blk_node_del(g, "disk", &e) == -EBUSY);
    error_clear(&e);
    memset(buf, 0x5a, sizeof buf);
    CHECK(!blk_write(a, 1000, buf, sizeof buf) && blk_write(a, (1 << 20) - 1, buf, 2) == -EIO);
    memset(buf, 0, sizeof buf);
    CHECK(!blk_read(a, 1000, buf, sizeof buf) && buf[0] == 0x5a && buf[1023] == 0x5a);
    CHECK(blk_reopen(a, BLK_RDONLY, &e) == 0 && blk_write(a, 0, buf, 1) == -EROFS);
    CHECK(blk_reopen(a, 0, &e) == 0 && blk_write(a, 0, buf, 1) == 0);
    blk_close(a);
    CHECK(!blk_node_del(g, "disk", &e));
    CHECK(!blk_object_add(g, "secret", "s0", NULL, NULL, &e) && blk_object_add(g, "secret", "s0", NULL, NULL, &e) < 0);
    error_clear(&e);
    blk_graph_delete(g);
}

static void test_chain(void)
{
    struct error e = ERROR_INIT;
    struct blk_backend *b;
    struct blk_status st;
    uint8_t buf[65536], want[65536];

    CHECK(!make("base.qcow2", "qcow2", "512k", NULL));
    b = open_image("base.qcow2", NULL, 0, &e);
    memset(want, 7, sizeof want);
    CHECK(b && !blk_write(b, 65536, want, sizeof want) && !blk_write(b, 458752, want, sizeof want));
    blk_close(b);
    CHECK(!make("top.qcow2", "qcow2", "1M", "backing_file=base.qcow2,backing_fmt=qcow2,cluster_size=4k"));
    b = open_image("top.qcow2", NULL, BLK_UNMAP, &e);
    CHECK(b && blk_node_backing(blk_root(b)));
    CHECK(!blk_read(b, 65536, buf, sizeof buf) && !memcmp(buf, want, sizeof buf));
    CHECK(!blk_read(b, 500000, buf, 65536) && buf[0] == 7 && !buf[65535]); /* across the base's end */
    buf[0] = 1;
    CHECK(!blk_write(b, 70000, buf, 1) && !blk_read(b, 69999, buf, 3) && buf[0] == 7 && buf[1] == 1 && buf[2] == 7);
    CHECK(!blk_status(b, 65536, 65536, NULL, &st) && st.depth == 1 && st.bytes == 4096 && (st.flags & BLK_ST_DATA));
    CHECK(!blk_status(b, 69632, 65536, NULL, &st) && st.depth == 0 && st.bytes == 4096);
    CHECK(!blk_zero(b, 65536 + 100, 8192, BLK_MAY_UNMAP) && !blk_read(b, 65536, buf, 16384));
    CHECK(buf[99] == 7 && !buf[100] && !buf[8291] && buf[8292] == 7);
    CHECK(!blk_discard(b, 0, 1 << 20) && !blk_read(b, 65536, buf, 4096) && !buf[0]);
    struct blk_check c = {0};
    CHECK(!blk_check(b, 0, &c, &e) && !c.corruptions && !c.leaks);
    CHECK(!blk_truncate(b, 2 << 20, BLK_PREALLOC_OFF, &e) && blk_size(b) == 2 << 20);
    blk_close(b);
    /* commit: the base gets it, the top is empty, and shows the same */
    CHECK(!make("over.qcow2", "qcow2", "1M", "backing_file=base.qcow2,backing_fmt=qcow2"));
    b = open_image("over.qcow2", NULL, BLK_UNMAP, &e);
    memset(buf, 9, sizeof buf);
    CHECK(b && !blk_write(b, 65536, buf, 1000) && !blk_write(b, 900000, buf, 5000) && !blk_zero(b, 458752, 65536, 0));
    CHECK(!blk_commit(b, &e));
    if (e.set) printf("%s\n", e.msg);
    CHECK(!blk_status(b, 0, 1 << 20, blk_node_backing(blk_root(b)), &st) && !(st.flags & BLK_ST_ALLOCATED));
    CHECK(!blk_read(b, 65536, buf, 1001) && buf[0] == 9 && buf[999] == 9 && buf[1000] == 7);
    CHECK(!blk_write(b, 0, buf, 1)); /* still there to be written */
    blk_close(b);
    b = open_image("base.qcow2", NULL, 0, &e);
    CHECK(b && blk_size(b) == 1 << 20 && !blk_read(b, 900000, buf, 5000) && buf[0] == 9 && buf[4999] == 9);
    CHECK(b && !blk_read(b, 458752, buf, 10) && !buf[0] && !blk_check(b, 0, &c, &e) && !c.corruptions && !c.leaks);
    CHECK(blk_commit(b, &e) == -ENOTSUP);
    error_clear(&e);
    blk_close(b);
    /* an image that is its own backing is not made; two that are each other's are not opened */
    char *path = at("loop1.qcow2"), *other = at("loop2.qcow2");
    struct opts o = {NULL, 0};
    opts_set(&o, "size", "1M");
    opts_set(&o, "backing_file", "loop1.qcow2");
    opts_set(&o, "backing_fmt", "qcow2");
    CHECK(blk_create(NULL, "qcow2", path, &o, false, &e) < 0 && strstr(e.msg, "same filename"));
    error_clear(&e);
    CHECK(!blk_create(NULL, "qcow2", other, &o, false, &e));
    opts_set(&o, "backing_file", "loop2.qcow2");
    CHECK(!blk_create(NULL, "qcow2", path, &o, false, &e));
    b = blk_open(path, NULL, BLK_RDONLY, &e);
    CHECK(!b && e.set);
    error_clear(&e);
    mem_free(other);
    opts_free(&o);
    mem_free(path);
}

/* ---- many requests at once ---- */

enum { N = 400, UNIT = 3000 };
static unsigned n_done, n_wrong;

static void done(struct blk_req *r)
{
    n_done++;
    if (r->rc) n_wrong++;
}

static void test_async(void)
{
    struct error e = ERROR_INIT;
    struct blk_req *reqs = NEW_ARRAY(struct blk_req, N);
    uint8_t *data = mem_alloc((size_t)N * UNIT), back[UNIT];
    struct blk_backend *b;
    struct blk_ctx *c = blk_ctx_new(NULL, 8, &e);
    struct blk_check k = {0};

    CHECK(!make("async.qcow2", "qcow2", "64M", "cluster_size=4k,refcount_bits=1"));
    b = open_image("async.qcow2", "qcow2", BLK_NO_FLUSH, &e);
    CHECK(b && c);
    for (unsigned i = 0; i < N; i++) {
        memset(data + (size_t)i * UNIT, (int)(i % 255) + 1, UNIT);
        /* neighbours share clusters */
        reqs[i] = (struct blk_req){.blk = b, .op = BLK_OP_WRITE, .offset = (uint64_t)(i * 7 % N) * UNIT,
                                   .bytes = UNIT, .buf = data + (size_t)i * UNIT, .done = done};
        blk_submit(c, &reqs[i]);
        if (i % 50 == 49) blk_ctx_poll(c);
    }
    blk_ctx_drain(c);
    CHECK(n_done == N && !n_wrong && !blk_ctx_pending(c));
    unsigned differ = 0;
    for (unsigned i = 0; i < N; i++) {
        if (blk_read(b, (uint64_t)(i * 7 % N) * UNIT, back, UNIT) || memcmp(back, data + (size_t)i * UNIT, UNIT)) differ++;
    }
    CHECK(!differ);
    CHECK(!blk_check(b, 0, &k, &e) && !k.corruptions && !k.leaks);
    blk_ctx_delete(c);
    blk_close(b);
    mem_free(data);
    mem_free(reqs);
}

/* Compressed bytes do not go on behind others whose cluster has become one of plain data meanwhile. */
static void test_compressed_reuse(void)
{
    struct error e = ERROR_INIT;
    struct blk_backend *b;
    struct blk_check k = {0};
    uint8_t *data = mem_alloc(65536), *back = mem_alloc(65536);

    if (!compress_built(COMPRESS_DEFLATE_RAW)) {
        mem_free(data);
        mem_free(back);
        return;
    }
    CHECK(!make("reuse.qcow2", "qcow2", "1M", NULL));
    b = open_image("reuse.qcow2", "qcow2", BLK_NO_FLUSH | BLK_UNMAP, &e);
    for (unsigned i = 0; i < 8; i++) {
        memset(data, 1, 65536);
        CHECK(!blk_write_flags(b, 0, data, 65536, BLK_COMPRESSED));
        CHECK(!blk_zero(b, 0, 65536, BLK_MAY_UNMAP) && !blk_flush(b) && !blk_flush(b));
        memset(data, 2, 65536);
        CHECK(!blk_write(b, 65536 * (i + 1), data, 65536));
        memset(back, 3, 65536);
        CHECK(!blk_write_flags(b, 655360, back, 65536, BLK_COMPRESSED));
        CHECK(!blk_read(b, 65536 * (i + 1), back, 65536) && !memcmp(back, data, 65536));
    }
    CHECK(!blk_check(b, 0, &k, &e) && !k.corruptions && !k.leaks);
    blk_close(b);
    mem_free(data);
    mem_free(back);
}

static void test_bitmap(void)
{
    struct error e = ERROR_INIT;
    struct blk_backend *b = open_image("g.qcow2", "qcow2", 0, &e);
    struct blk_bitmap *m = blk_bitmap_new(blk_root(b), "m", 65536, false, &e);
    uint64_t off = 0, n;
    uint8_t x = 1;

    struct blk_bitmap *wide = blk_bitmap_new(blk_root(b), "wide", 1u << 21, false, &e);

    CHECK(m && wide && !blk_bitmap_new(blk_root(b), "m", 65536, false, &e) && !blk_bitmap_count(m));
    CHECK(!blk_write(b, 131071, &x, 1) && !blk_write(b, 131072, &x, 1) && blk_bitmap_count(m) == 131072);
    CHECK(blk_bitmap_run(m, &off, &n) && off == 65536 && n == 131072);
    off += n;
    CHECK(!blk_bitmap_run(m, &off, &n));
    off = blk_size(b); /* the bit stands for more than the image has */
    CHECK(!blk_bitmap_run(wide, &off, &n));
    blk_bitmap_clear(m, 65536, 65536);
    CHECK(blk_bitmap_count(m) == 65536 && blk_bitmap_find(blk_root(b), "m") == m);
    blk_bitmap_delete(m);
    blk_close(b);
}

static void test_raw(void)
{
    struct error e = ERROR_INIT;
    char *text = mem_printf("driver=raw,offset=64k,size=128k,file.filename=%s/r.img", dir);
    struct opts o;
    struct blk_backend *b;
    uint8_t head[512] = "QFI\xfb\0\0\0\3", x = 9;

    CHECK(!make("r.img", "raw", "1M", NULL));
    CHECK(!opts_parse(&o, text, NULL, NULL, &e));
    b = blk_open_opts(NULL, &o, 0, &e);
    CHECK(b && blk_size(b) == 131072 && !blk_write(b, 0, &x, 1) && blk_write(b, 131072, &x, 1) == -EIO);
    blk_close(b);
    opts_free(&o);
    mem_free(text);
    b = open_image("r.img", "raw", 0, &e);
    CHECK(b && !blk_read(b, 65536, &x, 1) && x == 9);
    blk_close(b);
    error_set_progname("test-block (expected)");
    b = open_image("r.img", NULL, 0, &e); /* guessed: the first sector is guarded */
    CHECK(b && blk_write(b, 0, head, 512) == -EPERM && blk_write(b, 4, &x, 1) == 0 && blk_write(b, 512, head, 512) == 0);
    blk_close(b);
    CHECK(!open_image("nosuch", NULL, 0, &e) && strstr(e.msg, "nosuch"));
    error_clear(&e);
}

static void test_json(void)
{
    struct json_out j;
#ifdef HAVE_JANSSON
    struct opts o = {NULL, 0};
    struct error e = ERROR_INIT;
    CHECK(!json_flatten("{\"a\": {\"b\": [1, true, null]}, \"c\": \"x\"}", &o, &e));
    CHECK(!strcmp(opts_get(&o, "a.b.0"), "1") && !strcmp(opts_get(&o, "a.b.1"), "on") && !strcmp(opts_get(&o, "a.b.2"), ""));
    CHECK(json_flatten("{\"a\": }", &o, &e) < 0 && e.set);
    opts_free(&o);
#endif
    jout_init(&j);
    jout_object(&j, NULL);
    jout_string(&j, "k", "a\"b\n");
    jout_array(&j, "v");
    jout_uint(&j, NULL, 5);
    jout_end(&j, ']');
    jout_end(&j, '}');
    CHECK(!strcmp(j.text, "{\n    \"k\": \"a\\\"b\\n\",\n    \"v\": [\n        5\n    ]\n}"));
    jout_free(&j);
}

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    char *cmd;

    dir = mem_printf("%s/test-block-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) return printf("no directory for the test\n0 passed, 1 failed\n"), 1;
    test_names();
    test_graph();
    test_chain();
    test_async();
    test_compressed_reuse();
    test_bitmap();
    test_raw();
    test_json();
    cmd = mem_printf("rm -rf '%s'", dir);
    CHECK(!system(cmd));
    mem_free(cmd);
    mem_free(dir);
    return count_report();
}
