/*
 * block.c - opening an image by name, and the checks every request goes through. It does no I/O of
 * its own: raw.c and overlay.c do. Formats other than raw are recognised by their signatures, so
 * that none is taken for a raw disk and overwritten by a guest.
 */
#include "blockfmt/driver.h"

#include <errno.h>

struct blk_backend {
    const struct blk_driver *drv;
    void *state;
    uint64_t size;
    bool readonly;
    char *path;
};

struct signature {
    const char *format;
    bool from_end; /* offset counts back from the end */
    uint32_t offset;
    uint8_t len;
    const char *bytes;
};

static const struct signature signatures[] = {
    {"qcow2", false, 0, 8, "QFI\xfb\0\0\0\2"},
    {"qcow2", false, 0, 8, "QFI\xfb\0\0\0\3"},
    {"qcow", false, 0, 4, "QFI\xfb"},
    {"qed", false, 0, 4, "QED\0"},
    {"vmdk", false, 0, 4, "KDMV"},
    {"vmdk", false, 0, 4, "COWD"},
    {"vmdk", false, 0, 21, "# Disk DescriptorFile"},
    {"vdi", false, 0x40, 4, "\x7f\x10\xda\xbe"},
    {"vhdx", false, 0, 8, "vhdxfile"},
    {"vpc", false, 0, 8, "conectix"},
    {"vpc", true, 512, 8, "conectix"},
    {"parallels", false, 0, 16, "WithoutFreeSpace"},
    {"parallels", false, 0, 16, "WithouFreSpacExt"},
    {"luks", false, 0, 6, "LUKS\xba\xbe"},
    {"bochs", false, 0, 22, "Bochs Virtual HD Image"},
    {"cloop", false, 0, 21, "#!/bin/sh\n#V2.0 Format"},
    {"dmg", true, 512, 4, "koly"},
};

static const char *probe(const struct blk_driver *drv, void *state, uint64_t size)
{
    for (size_t i = 0; i < ARRAY_LEN(signatures); i++) {
        const struct signature *s = &signatures[i];
        uint8_t buf[32];
        if (size < (uint64_t)s->offset + (s->from_end ? 0 : s->len)) continue;
        uint64_t at = s->from_end ? size - s->offset : s->offset;
        if (drv->read(state, at, buf, s->len) == 0 && !memcmp(buf, s->bytes, s->len))
            return s->format;
    }
    return NULL;
}

static bool known_format(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(signatures); i++) {
        if (!strcmp(signatures[i].format, name)) return true;
    }
    return false;
}

struct blk_backend *blk_open(const char *path, const char *format, unsigned flags, struct error *e)
{
    if (format && strcmp(format, "raw")) {
        if (known_format(format))
            error_set(e, "'%s': image format '%s' is not supported yet", path, format);
        else
            error_set(e, "'%s': Unknown driver '%s'", path, format);
        return NULL;
    }
    uint64_t size;
    /* An image under an overlay is only read. */
    void *state = blk_raw_open(path, (flags & (BLK_RDONLY | BLK_SNAPSHOT)) != 0, &size, e);
    if (!state) return NULL;
    const struct blk_driver *drv = &blk_raw_driver;
    if (!format) {
        const char *found = probe(drv, state, size);
        if (found) {
            error_set(e, "'%s' is an image of format '%s', which is not supported yet", path,
                      found);
            error_hint(e, "format=raw takes the bytes of the file as the disk");
            drv->close(state);
            return NULL;
        }
    }
    if ((flags & BLK_SNAPSHOT) && !(flags & BLK_RDONLY)) {
        void *o = blk_overlay_open(drv, state, size, e);
        if (!o) {
            drv->close(state);
            return NULL;
        }
        drv = &blk_overlay_driver, state = o;
    }
    struct blk_backend *b = NEW(struct blk_backend);
    b->drv = drv, b->state = state, b->size = size;
    b->readonly = (flags & BLK_RDONLY) != 0;
    b->path = mem_strdup(path);
    return b;
}

void blk_close(struct blk_backend *b)
{
    if (!b) return;
    if (!b->readonly) b->drv->flush(b->state);
    b->drv->close(b->state);
    mem_free(b->path);
    mem_free(b);
}

uint64_t blk_size(const struct blk_backend *b)
{
    return b->size;
}

bool blk_readonly(const struct blk_backend *b)
{
    return b->readonly;
}

const char *blk_path(const struct blk_backend *b)
{
    return b->path;
}

static bool in_range(const struct blk_backend *b, uint64_t offset, size_t n)
{
    return offset <= b->size && n <= b->size - offset;
}

int blk_read(struct blk_backend *b, uint64_t offset, void *buf, size_t n)
{
    if (!in_range(b, offset, n)) return -EIO;
    return b->drv->read(b->state, offset, buf, n);
}

int blk_write(struct blk_backend *b, uint64_t offset, const void *buf, size_t n)
{
    if (b->readonly) return -EROFS;
    if (!in_range(b, offset, n)) return -EIO;
    return b->drv->write(b->state, offset, buf, n);
}

int blk_flush(struct blk_backend *b)
{
    return b->readonly ? 0 : b->drv->flush(b->state);
}
