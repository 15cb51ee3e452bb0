/*
 * fuzz-nbd.c - hostile peers of the NBD server and of the driver "nbd". The first byte of the input says which; the
 * rest is what the peer sends, whatever it hears. Seeds are whole conversations.
 */
#include "blockfmt/nbd-proto.h"
#include "blockfmt/nbd-server.h"
#include "tests/fuzz/fuzz.h"
#include "util/sock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { DISK = 4 << 20 };

struct peer {
    int fd, listener; /* listener: accept first */
    const uint8_t *data;
    size_t n;
};

static void *drain(void *opaque)
{
    static _Thread_local uint8_t sink[65536];
    int fd = *(int *)opaque;

    while (sock_recv(fd, sink, sizeof sink) > 0) {
    }
    return NULL;
}

/* Says its words, hears whatever comes meanwhile, leaves. */
static void *talk(void *opaque)
{
    struct peer *p = opaque;
    pthread_t reader;

    if (p->listener >= 0) {
        p->fd = accept(p->listener, NULL, NULL);
        if (p->fd < 0) return NULL;
    }
    if (pthread_create(&reader, NULL, drain, &p->fd)) abort();
    for (size_t at = 0; at < p->n;) {
        ptrdiff_t k = sock_send(p->fd, p->data + at, p->n - at);
        if (k <= 0) break;
        at += (size_t)k;
    }
    shutdown(p->fd, SHUT_WR);
    pthread_join(reader, NULL);
    close(p->fd);
    return NULL;
}

static void fuzz_server(const uint8_t *data, size_t n, unsigned mode)
{
    const char *const bitmaps[] = {"b", NULL};
    struct nbd_server_config cfg = {.handshake_ms = 5000, .multi_conn = true};
    struct nbd_export_config x = {.name = "disk", .description = "fuzzed", .writable = true, .allocation_depth = true, .bitmaps = bitmaps};
    struct peer p = {.listener = -1, .data = data, .n = n};
    struct error e = ERROR_INIT;
    struct opts o = {NULL, 0};
    struct blk_backend *b;
    struct nbd_server *s;
    pthread_t t;
    int fds[2];

    opts_set(&o, "driver", "null-co");
    opts_set(&o, "size", "4194304");
    b = blk_open_opts(NULL, &o, BLK_UNMAP, &e);
    opts_free(&o);
    if (!b || socketpair(AF_UNIX, SOCK_STREAM, 0, fds)) abort();
    struct blk_bitmap *bm = blk_bitmap_new(blk_root(b), "b", 65536, false, &e);
    if (!bm) abort();
    blk_bitmap_set(bm, 65536, 1 << 20);
    s = nbd_server_new(&cfg, &e);
    if (!s || nbd_server_add(s, b, &x, &e)) abort();
    x.name = "", x.writable = false, x.bitmaps = NULL, x.description = NULL;
    if (mode & 1 && nbd_server_add(s, b, &x, &e)) abort();
    p.fd = fds[1];
    if (pthread_create(&t, NULL, talk, &p)) abort();
    nbd_server_serve(s, fds[0]);
    pthread_join(t, NULL);
    nbd_server_delete(s);
    blk_close(b);
}

static void fuzz_client(const uint8_t *data, size_t n, unsigned mode)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    const char *tmp = getenv("TMPDIR");
    char dir[64];
    struct peer p = {.data = data, .n = n};
    struct error e = ERROR_INIT;
    struct opts o = {NULL, 0};
    struct blk_backend *b;
    struct blk_status st;
    uint8_t *buf = mem_alloc(70000);
    pthread_t t;

    snprintf(dir, sizeof dir, "%.40s/fuzz-nbd-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) abort();
    snprintf(un.sun_path, sizeof un.sun_path, "%s/s", dir);
    p.listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(p.listener, (struct sockaddr *)&un, sizeof un) || listen(p.listener, 1)) abort();
    if (pthread_create(&t, NULL, talk, &p)) abort();
    opts_set(&o, "driver", "nbd");
    opts_set(&o, "server.path", un.sun_path);
    opts_set(&o, "export", mode & 1 ? "disk" : "");
    b = blk_open_opts(NULL, &o, BLK_UNMAP | (mode & 2 ? BLK_RDONLY : 0), &e);
    shutdown(p.listener, SHUT_RDWR); /* a second connection is refused */
    close(p.listener);
    if (b) {
        uint64_t size = blk_size(b), at = size > 100000 ? 1000 : 0;
        (void)blk_read(b, at, buf, (size_t)MIN(size, UINT64_C(512)));
        (void)blk_status(b, 0, MIN(size, UINT64_C(1) << 20), NULL, &st);
        (void)blk_read(b, at, buf, (size_t)MIN(size, UINT64_C(70000)));
        (void)blk_write(b, 0, buf, (size_t)MIN(size, UINT64_C(4096)));
        (void)blk_zero(b, 0, MIN(size, UINT64_C(4096)), BLK_MAY_UNMAP);
        (void)blk_discard(b, 0, MIN(size, UINT64_C(4096)));
        (void)blk_flush(b);
        blk_close(b);
    }
    pthread_join(t, NULL);
    opts_free(&o);
    unlink(un.sun_path);
    rmdir(dir);
    mem_free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!n) return 0;
    if (data[0] & 1) fuzz_client(data + 1, n - 1, data[0] >> 1);
    else fuzz_server(data + 1, n - 1, data[0] >> 1);
    return 0;
}

/* ---- seeds ---------------------------------------------------------------------------------------- */

struct out { uint8_t *p; size_t n, room; };

static void put(struct out *o, const void *data, size_t n)
{
    if (o->n + n > o->room) return;
    if (n) memcpy(o->p + o->n, data, n);
    o->n += n;
}

static void put16(struct out *o, unsigned v) { uint8_t b[2]; st16_be(b, (uint16_t)v); put(o, b, 2); }
static void put32(struct out *o, uint32_t v) { uint8_t b[4]; st32_be(b, v); put(o, b, 4); }
static void put64(struct out *o, uint64_t v) { uint8_t b[8]; st64_be(b, v); put(o, b, 8); }

static void option(struct out *o, unsigned number, const void *data, size_t n)
{
    put64(o, NBD_OPTION_MAGIC);
    put32(o, number);
    put32(o, (uint32_t)n);
    put(o, data, n);
}

static void contexts(struct out *o, unsigned number, const char *name, const char *const *queries)
{
    uint8_t buf[512];
    struct out d = {buf, 0, sizeof buf};
    uint32_t n = 0;

    put32(&d, (uint32_t)strlen(name));
    put(&d, name, strlen(name));
    for (; queries[n];) n++;
    put32(&d, n);
    for (uint32_t i = 0; i < n; i++) put32(&d, (uint32_t)strlen(queries[i])), put(&d, queries[i], strlen(queries[i]));
    option(o, number, buf, d.n);
}

static void request(struct out *o, unsigned flags, unsigned type, uint64_t offset, uint32_t len)
{
    put32(o, NBD_REQUEST_MAGIC);
    put16(o, flags);
    put16(o, type);
    put64(o, o->n);
    put64(o, offset);
    put32(o, len);
}

static void client_words(struct out *o, unsigned kind)
{
    static const char *const all[] = {NULL}, *const some[] = {"base:allocation", "qemu:allocation-depth", "qemu:dirty-bitmap:b", NULL},
                      *const spaces[] = {"base:", "qemu:dirty-bitmap:", NULL};
    uint8_t go[] = {0, 0, 0, 4, 'd', 'i', 's', 'k', 0, 2, 0, 2, 0, 3}, data[600] = {1, 2, 3};

    put32(o, kind == 1 ? NBD_FLAG_FIXED_NEWSTYLE : NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
    if (kind == 1) {
        option(o, NBD_OPT_LIST, NULL, 0);
        option(o, NBD_OPT_STARTTLS, NULL, 0);
        option(o, NBD_OPT_EXPORT_NAME, "disk", 4);
    } else {
        option(o, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
        contexts(o, NBD_OPT_LIST_META_CONTEXT, "disk", all);
        contexts(o, NBD_OPT_LIST_META_CONTEXT, "disk", spaces);
        contexts(o, NBD_OPT_SET_META_CONTEXT, "disk", some);
        option(o, NBD_OPT_INFO, go, sizeof go);
        option(o, NBD_OPT_GO, go, sizeof go);
    }
    request(o, 0, NBD_CMD_READ, 4096, 8192);
    request(o, kind == 1 ? 0 : NBD_CMD_DF, NBD_CMD_READ, 1, 70000);
    request(o, NBD_CMD_FUA, NBD_CMD_WRITE, 512, sizeof data);
    put(o, data, sizeof data);
    request(o, NBD_CMD_NO_HOLE, NBD_CMD_WRITE_ZEROES, 0, 65536);
    request(o, NBD_CMD_FAST_ZERO, NBD_CMD_WRITE_ZEROES, 0, DISK);
    request(o, 0, NBD_CMD_TRIM, 4096, 1 << 20);
    request(o, 0, NBD_CMD_CACHE, 0, 65536);
    request(o, 0, NBD_CMD_BLOCK_STATUS, 0, DISK);
    request(o, NBD_CMD_REQ_ONE, NBD_CMD_BLOCK_STATUS, 65536, 1 << 20);
    request(o, 0, NBD_CMD_FLUSH, 0, 0);
    if (kind != 2) request(o, 0, NBD_CMD_DISC, 0, 0);
}

static void reply(struct out *o, unsigned option, uint32_t type, const void *data, size_t n)
{
    put64(o, NBD_REP_MAGIC);
    put32(o, option);
    put32(o, type);
    put32(o, (uint32_t)n);
    put(o, data, n);
}

static void chunk(struct out *o, unsigned flags, unsigned type, uint64_t cookie, uint32_t n)
{
    put32(o, NBD_STRUCTURED_MAGIC);
    put16(o, flags);
    put16(o, type);
    put64(o, cookie);
    put32(o, n);
}

static void simple(struct out *o, uint32_t error, uint64_t cookie)
{
    put32(o, NBD_SIMPLE_MAGIC);
    put32(o, error);
    put64(o, cookie);
}

static void server_words(struct out *o, unsigned kind)
{
    uint8_t info[64], zeros[4096] = {0};
    struct out i = {info, 0, sizeof info};
    unsigned flags = NBD_HAS_FLAGS | NBD_SEND_FLUSH | NBD_SEND_TRIM | NBD_SEND_WRITE_ZEROES;

    put64(o, NBD_MAGIC);
    if (kind == 0) { /* oldstyle */
        put64(o, NBD_OLD_MAGIC);
        put64(o, DISK);
        put32(o, flags);
        put(o, zeros, 124);
    } else {
        put64(o, NBD_OPTION_MAGIC);
        put16(o, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
        reply(o, NBD_OPT_STRUCTURED_REPLY, kind == 1 ? NBD_REP_ERROR | NBD_ERR_UNSUP : NBD_REP_ACK, NULL, 0);
        if (kind != 1) {
            reply(o, NBD_OPT_SET_META_CONTEXT, NBD_REP_META_CONTEXT, "\0\0\0\7base:allocation", 19);
            reply(o, NBD_OPT_SET_META_CONTEXT, NBD_REP_ACK, NULL, 0);
        }
        put16(&i, NBD_INFO_BLOCK_SIZE), put32(&i, 1), put32(&i, 4096), put32(&i, 1 << 20);
        reply(o, NBD_OPT_GO, NBD_REP_INFO, info, i.n);
        i.n = 0;
        put16(&i, NBD_INFO_EXPORT), put64(&i, DISK), put16(&i, flags);
        reply(o, NBD_OPT_GO, NBD_REP_INFO, info, i.n);
        reply(o, NBD_OPT_GO, NBD_REP_ACK, NULL, 0);
    }
    /* What fuzz_client asks for, in its order; without structured replies there is no block status. */
    for (uint64_t cookie = 1; cookie < 10; cookie++) {
        if (kind < 2) {
            simple(o, 0, cookie);
            for (uint32_t n = cookie == 1 ? 512 : cookie == 2 ? 70000 : 0; n; n -= MIN(n, sizeof zeros))
                put(o, zeros, MIN(n, sizeof zeros));
        } else if (cookie == 1) {
            chunk(o, 0, NBD_CHUNK_HOLE, cookie, 12);
            put64(o, 1000), put32(o, 412);
            chunk(o, NBD_CHUNK_DONE, NBD_CHUNK_DATA, cookie, 108);
            put64(o, 1412), put(o, zeros, 100);
        } else if (cookie == 2) {
            chunk(o, NBD_CHUNK_DONE, NBD_CHUNK_STATUS, cookie, 12);
            put32(o, 7), put32(o, 65536), put32(o, 3);
        } else if (cookie == 3) {
            /* the status of the rest, which is other than what came before; or an error in the middle */
            chunk(o, NBD_CHUNK_DONE, NBD_CHUNK_STATUS, cookie, 12);
            put32(o, 7), put32(o, 1 << 20), put32(o, 0);
        } else if (cookie == 4 && kind == 3) {
            chunk(o, 0, NBD_CHUNK_ERROR_OFFSET, cookie, 6 + 3 + 8);
            put32(o, 28), put16(o, 3), put(o, "why", 3), put64(o, 1000);
            chunk(o, NBD_CHUNK_DONE, NBD_CHUNK_NONE, cookie, 0);
        } else if (cookie == 4) {
            chunk(o, NBD_CHUNK_DONE, NBD_CHUNK_HOLE, cookie, 12);
            put64(o, 1000), put32(o, 70000);
        } else {
            simple(o, 0, cookie);
        }
    }
}

size_t fuzz_seed(unsigned n, uint8_t *buf, size_t room)
{
    struct out o = {buf, 0, room};
    uint8_t first = (uint8_t)(n < 3 ? (n & 1) << 1 : 1 | (n & 1) << 1);

    if (n >= 7) return 0;
    put(&o, &first, 1);
    if (n < 3) client_words(&o, n);
    else server_words(&o, n - 3);
    return o.n;
}
