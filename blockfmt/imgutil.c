/*
 * imgutil.c - helpers shared by image formats (see imgutil.h). CRC-32C is the polynomial of RFC 3720, section 12.1.
 */
#include "blockfmt/imgutil.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define MAX_TABLE (UINT64_C(1) << 31) /* bytes of one table in memory */

int img_bad(struct error *e, struct blk_node *n, const char *what, uint64_t value)
{
    error_set(e, "%s: %s (0x%llx)", blk_node_driver(n), what, (unsigned long long)value);
    return -EINVAL;
}

int img_bad_at(struct error *e, struct blk_node *n, const char *what, uint64_t offset)
{
    error_set(e, "%s: %s at offset 0x%llx", blk_node_driver(n), what, (unsigned long long)offset);
    return -EINVAL;
}

int img_io_error(struct error *e, struct blk_node *n, const char *what, int rc)
{
    error_set(e, "%s: could not read or write %s: %s", blk_node_driver(n), what, strerror(-rc));
    return rc;
}

void img_uuid(uint8_t uuid[16])
{
    static unsigned calls;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, uuid, 16) : -1;

    if (fd >= 0) close(fd);
    if (got != 16) { /* a host without the device: unlikely to be equal is all that is needed */
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        uint64_t x = (uint64_t)t.tv_sec * 1000000007u ^ (uint64_t)t.tv_nsec << 20 ^ (uint64_t)getpid() << 44 ^ ++calls;
        for (unsigned i = 0; i < 16; i++) {
            x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            uuid[i] = (uint8_t)(x >> 56);
        }
    }
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

uint32_t img_crc32c(uint32_t crc, const void *buf, size_t n)
{
    /* Four bits at a time: headers and log sectors are all that is summed. */
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    const uint8_t *p = buf;

    crc = ~crc;
    while (n--) {
        crc ^= *p++;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

int img_read_backing(struct blk_node *n, uint64_t offset, void *buf, size_t len)
{
    struct blk_node *below = blk_node_child(n, "backing");

    if (below) return blk_node_read(below, offset, buf, len);
    memset(buf, 0, len);
    return 0;
}

int img_read_table(struct blk_node *n, const char *what, uint64_t offset, uint64_t entries, unsigned entry, void *out,
                   struct error *e)
{
    struct blk_node *file = blk_file(n);
    uint64_t size = blk_node_size(file), bytes;
    void *v;
    int rc;

    if (entries > MAX_TABLE / entry) {
        error_set(e, "%s: %s is too large (%llu entries)", blk_node_driver(n), what, (unsigned long long)entries);
        return -EFBIG;
    }
    bytes = entries * entry;
    if (offset > size || bytes > size - offset) {
        error_set(e, "%s: %s (offset 0x%llx, 0x%llx bytes) lies beyond the end of the file (0x%llx)", blk_node_driver(n),
                  what, (unsigned long long)offset, (unsigned long long)bytes, (unsigned long long)size);
        return -EINVAL;
    }
    v = mem_alloc((size_t)bytes + !bytes);
    rc = blk_node_read(file, offset, v, (size_t)bytes);
    if (rc) {
        mem_free(v);
        return img_io_error(e, n, what, rc);
    }
    memcpy(out, &v, sizeof v);
    return 0;
}

int img_clear(struct blk_node *file, uint64_t offset, uint64_t n)
{
    return blk_node_zero(file, offset, n, BLK_MAY_UNMAP);
}

/* ---- pages of tables ------------------------------------------------------------------------------ */

#define PAGE 4096u

void img_pages_init(struct img_pages *p, struct blk_node *file, unsigned pages)
{
    p->file = file, p->n = pages;
    p->data = NEW_ARRAY(uint8_t *, pages);
    p->tags = NEW_ARRAY(uint64_t, pages);
    pthread_mutex_init(&p->lock, NULL);
}

void img_pages_free(struct img_pages *p)
{
    if (!p->data) return;
    for (unsigned i = 0; i < p->n; i++) mem_free(p->data[i]);
    mem_free(p->data);
    mem_free(p->tags);
    pthread_mutex_destroy(&p->lock);
    p->data = NULL;
}

static unsigned slot_of(const struct img_pages *p, uint64_t page)
{
    return (unsigned)((page ^ page >> 10 ^ page >> 20) % p->n);
}

int img_pages_read(struct img_pages *p, uint64_t offset, void *buf, unsigned n)
{
    uint64_t page = offset / PAGE;
    unsigned slot = slot_of(p, page);
    int rc = 0;

    if (offset > blk_node_size(p->file) || n > blk_node_size(p->file) - offset) return -EIO;
    pthread_mutex_lock(&p->lock);
    if (p->tags[slot] != page + 1) {
        p->tags[slot] = 0;
        if (!p->data[slot]) p->data[slot] = mem_alloc(PAGE);
        rc = blk_node_read(p->file, page * PAGE, p->data[slot], PAGE);
        if (!rc) p->tags[slot] = page + 1;
    }
    if (!rc) memcpy(buf, p->data[slot] + offset % PAGE, n);
    pthread_mutex_unlock(&p->lock);
    return rc;
}

int img_pages_write(struct img_pages *p, uint64_t offset, const void *buf, unsigned n)
{
    uint64_t page = offset / PAGE;
    unsigned slot = slot_of(p, page);
    int rc;

    pthread_mutex_lock(&p->lock);
    rc = blk_node_write(p->file, offset, buf, n, 0);
    if (p->tags[slot] == page + 1) {
        if (rc) p->tags[slot] = 0;
        else memcpy(p->data[slot] + offset % PAGE, buf, n);
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

void img_check_line(struct blk_check *c, const char *fmt, ...)
{
    char line[256];
    va_list ap;

    if (!c->message) return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    c->message(c->opaque, line);
}
