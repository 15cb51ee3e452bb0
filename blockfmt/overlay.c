/*
 * overlay.c - `-snapshot`: writes go to an anonymous temporary file and are gone at exit. Clusters
 * of 64 KiB are copied on the first write; cluster n lies at n * 64 KiB of the (sparse) temporary
 * file.
 */
#include "blockfmt/driver.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define CLUSTER UINT64_C(65536)

struct overlay {
    const struct blk_driver *base;
    void *base_state;
    int fd;
    uint64_t size;
    uint8_t *map; /* one bit per cluster: it lies in the temporary file */
};

static int temp_file(struct error *e)
{
    const char *dir = getenv("TMPDIR");
    char *name = mem_printf("%s/quern-XXXXXX", dir && *dir ? dir : "/var/tmp");
    int fd = mkstemp(name);
    if (fd < 0)
        error_set(e, "Could not create a temporary file '%s': %s", name, strerror(errno));
    else
        unlink(name);
    mem_free(name);
    return fd;
}

void *blk_overlay_open(const struct blk_driver *base, void *base_state, uint64_t size,
                       struct error *e)
{
    int fd = temp_file(e);
    if (fd < 0) return NULL;
    struct overlay *o = NEW(struct overlay);
    o->base = base, o->base_state = base_state, o->fd = fd, o->size = size;
    o->map = NEW_ARRAY(uint8_t, size / CLUSTER / 8 + 1);
    return o;
}

static bool mapped(const struct overlay *o, uint64_t cluster)
{
    return o->map[cluster / 8] >> (cluster % 8) & 1;
}

static int temp_rw(int fd, bool write, uint64_t offset, uint8_t *p, size_t n)
{
    while (n) {
        ssize_t k = write ? pwrite(fd, p, n, (off_t)offset) : pread(fd, p, n, (off_t)offset);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return -errno;
        if (!k) {
            if (write) return -EIO;
            memset(p, 0, n);
            return 0;
        }
        p += k, n -= (size_t)k, offset += (uint64_t)k;
    }
    return 0;
}

static int overlay_read(void *state, uint64_t offset, void *buf, size_t n)
{
    struct overlay *o = state;
    uint8_t *p = buf;
    while (n) {
        size_t k = (size_t)MIN((uint64_t)n, CLUSTER - offset % CLUSTER);
        int rc = mapped(o, offset / CLUSTER) ? temp_rw(o->fd, false, offset, p, k)
                                             : o->base->read(o->base_state, offset, p, k);
        if (rc) return rc;
        p += k, n -= k, offset += k;
    }
    return 0;
}

static int copy_up(struct overlay *o, uint64_t cluster)
{
    uint64_t start = cluster * CLUSTER;
    size_t n = (size_t)MIN(CLUSTER, o->size - start);
    uint8_t *tmp = mem_alloc(n);
    int rc = o->base->read(o->base_state, start, tmp, n);
    if (!rc) rc = temp_rw(o->fd, true, start, tmp, n);
    mem_free(tmp);
    return rc;
}

static int overlay_write(void *state, uint64_t offset, const void *buf, size_t n)
{
    struct overlay *o = state;
    const uint8_t *p = buf;
    while (n) {
        uint64_t cluster = offset / CLUSTER;
        size_t k = (size_t)MIN((uint64_t)n, CLUSTER - offset % CLUSTER);
        int rc = 0;
        if (!mapped(o, cluster) && k != CLUSTER) rc = copy_up(o, cluster);
        if (!rc) rc = temp_rw(o->fd, true, offset, (uint8_t *)(uintptr_t)p, k);
        if (rc) return rc;
        o->map[cluster / 8] |= (uint8_t)(1u << (cluster % 8));
        p += k, n -= k, offset += k;
    }
    return 0;
}

static int overlay_flush(void *state)
{
    return 0; /* the temporary file does not outlive the program */
}

static void overlay_close(void *state)
{
    struct overlay *o = state;
    o->base->close(o->base_state);
    close(o->fd);
    mem_free(o->map);
    mem_free(o);
}

const struct blk_driver blk_overlay_driver = {.name = "overlay",
                                              .read = overlay_read,
                                              .write = overlay_write,
                                              .flush = overlay_flush,
                                              .close = overlay_close};
