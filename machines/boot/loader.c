/*
 * loader.c - reading files (and unwrapping gzip), finding firmware, and the images that every reset
 * writes to memory again.
 */
#include "machines/boot/loader.h"

#include "util/zlib.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files ---- */

void boot_file_free(struct boot_file *f)
{
    mem_free(f->data);
    f->data = NULL;
    f->size = 0;
}

static bool is_gzip(const struct boot_file *f)
{
    return f->size >= 18 && f->data[0] == 0x1f && f->data[1] == 0x8b && f->data[2] == 8;
}

#ifdef HAVE_ZLIB
static int gunzip(const char *path, uint64_t max, struct boot_file *f, struct error *e)
{
    z_stream z;
    struct boot_file out = {NULL, 0};
    uint64_t cap = MIN(MAX(f->size * 3, 65536u), max);
    int rc;
    memset(&z, 0, sizeof z);
    if (z_load(e)) return -1;
    if (Z(inflateInit2_)(&z, 15 + 16, ZLIB_VERSION, sizeof z) != Z_OK)
        return error_set(e, "'%s': zlib cannot be started", path);
    out.data = mem_alloc((size_t)cap + 1);
    z.next_in = f->data;
    z.avail_in = (uInt)MIN(f->size, UINT32_MAX / 2);
    uint64_t fed = z.avail_in;
    for (;;) {
        if (out.size == cap) {
            if (cap >= max) {
                error_set(e, "'%s': decompressed it is larger than %" PRIu64 " bytes", path, max);
                goto fail;
            }
            cap = MIN(cap * 2, max);
            out.data = mem_realloc(out.data, (size_t)cap + 1);
        }
        uint64_t room = MIN(cap - out.size, UINT32_MAX / 2);
        z.next_out = out.data + out.size;
        z.avail_out = (uInt)room;
        rc = Z(inflate)(&z, Z_NO_FLUSH);
        out.size += room - z.avail_out;
        if (rc == Z_STREAM_END) break; /* what follows the first member is padding or not ours */
        if (rc == Z_BUF_ERROR || rc == Z_OK) {
            if (z.avail_in || (rc == Z_OK && !z.avail_out)) continue;
            if (fed < f->size) {
                z.next_in = f->data + fed;
                z.avail_in = (uInt)MIN(f->size - fed, UINT32_MAX / 2);
                fed += z.avail_in;
                continue;
            }
            error_set(e, "'%s': the gzip data end early", path);
            goto fail;
        }
        error_set(e, "'%s': bad gzip data: %s", path, z.msg ? z.msg : "unknown error");
        goto fail;
    }
    Z(inflateEnd)(&z);
    mem_free(f->data);
    *f = out;
    return 0;
fail:
    Z(inflateEnd)(&z);
    mem_free(out.data);
    return -1;
}
#else
static int gunzip(const char *path, uint64_t max, struct boot_file *f, struct error *e)
{
    error_set(e, "'%s' is compressed by gzip, and this program was built without zlib", path);
    error_hint(e, "decompress it by gunzip, or build with zlib (Debian: zlib1g-dev)");
    return -1;
}
#endif

/* The size of an open file that may be read from; 0 + error. */
static uint64_t check_file(const char *path, int fd, uint64_t max, struct error *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode))
        error_set(e, "could not read '%s': %s", path,
                  S_ISDIR(st.st_mode) ? strerror(EISDIR) : strerror(errno));
    else if (st.st_size < 0 || (uint64_t)st.st_size > max)
        error_set(e, "'%s' is larger than %" PRIu64 " bytes", path, max);
    else if (!st.st_size)
        error_set(e, "'%s' is empty", path);
    else
        return (uint64_t)st.st_size;
    return 0;
}

int boot_read_raw(const char *path, uint64_t max, struct boot_file *out, struct error *e)
{
    FILE *f = fopen(path, "rb");
    out->data = NULL, out->size = 0;
    if (!f) return error_set(e, "could not open '%s': %s", path, strerror(errno));
    out->size = check_file(path, fileno(f), max, e);
    if (!out->size) goto fail;
    out->data = mem_alloc((size_t)out->size + 1);
    if (fread(out->data, 1, (size_t)out->size, f) != out->size) {
        error_set(e, "could not read '%s': %s", path,
                  ferror(f) ? strerror(errno) : "it is shorter than it was");
        boot_file_free(out);
        goto fail;
    }
    fclose(f);
    return 0;
fail:
    fclose(f);
    return -1;
}

struct boot_stream *boot_stream_open(const char *path, uint64_t from, uint64_t max, struct error *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        error_set(e, "could not open '%s': %s", path, strerror(errno));
        return NULL;
    }
    uint64_t size = check_file(path, fd, max, e);
    if (size && size <= from) error_set(e, "could not read '%s': it is shorter than it was", path);
    if (size <= from) {
        close(fd);
        return NULL;
    }
    struct boot_stream *s = NEW(struct boot_stream);
    s->fd = fd, s->from = from, s->size = size - from;
    s->path = mem_strdup(path);
    return s;
}

void boot_stream_read(void *opaque, uint64_t at, uint8_t *buf, size_t n)
{
    struct boot_stream *s = opaque;
    while (n) {
        ssize_t got = pread(s->fd, buf, n, (off_t)(s->from + at));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            if (!s->told) error_warn("'%s': %s", s->path, got ? strerror(errno) : "it is shorter than it was");
            s->told = true;
            return;
        }
        at += (uint64_t)got, buf += got, n -= (size_t)got;
    }
}

void boot_stream_close(void *opaque)
{
    struct boot_stream *s = opaque;
    if (!s) return;
    close(s->fd);
    mem_free(s->path);
    mem_free(s);
}

int boot_read_file(const char *path, uint64_t max, struct boot_file *out, struct error *e)
{
    if (boot_read_raw(path, max, out, e)) return -1;
    if (is_gzip(out) && gunzip(path, max, out, e)) {
        boot_file_free(out);
        return -1;
    }
    return 0;
}

char *boot_find_firmware(const char *name, const char *const *search, struct error *e)
{
    static const char *const built_in[] = {"/usr/share/quern", "/usr/local/share/quern",
                                           "/usr/share/seabios", "/usr/share/qemu", NULL};
    const char *const *lists[2] = {search, built_in};
    if (!access(name, R_OK)) return mem_strdup(name);
    for (unsigned i = 0; i < 2 && !strchr(name, '/'); i++) {
        for (const char *const *d = lists[i]; d && *d; d++) {
            char *path = mem_printf("%s/%s", *d, name);
            if (!access(path, R_OK)) return path;
            mem_free(path);
        }
    }
    error_set(e, "Could not find firmware '%s'", name);
    error_hint(e, "-L adds a directory to look in");
    return NULL;
}

/* ---- images ---- */

struct boot_image {
    struct boot_image *next;
    char *name;
    uint64_t addr, size, mem_size;
    uint8_t *data;
};

struct boot_images {
    struct device dev;
    struct boot_image *first, **tail;
};

static int images_realize(struct device *d, struct error *e)
{
    struct boot_images *s = (struct boot_images *)d;
    s->tail = &s->first;
    return 0;
}

static void images_unrealize(struct device *d)
{
    struct boot_images *s = (struct boot_images *)d;
    for (struct boot_image *i = s->first, *next; i; i = next) {
        next = i->next;
        mem_free(i->name);
        mem_free(i->data);
        mem_free(i);
    }
    s->first = NULL;
    s->tail = &s->first;
}

static void images_reset(struct device *d)
{
    static const uint8_t zeros[4096];
    struct boot_images *s = (struct boot_images *)d;
    for (struct boot_image *i = s->first; i; i = i->next) {
        if (i->size) as_write_rom(d->mb->mem, i->addr, i->data, i->size);
        for (uint64_t at = i->size; at < i->mem_size;) {
            uint64_t n = MIN(i->mem_size - at, (uint64_t)sizeof zeros);
            as_write_rom(d->mb->mem, i->addr + at, zeros, n);
            at += n;
        }
    }
}

static const struct prop_desc images_props[] = {PROP_END};
static const struct state_field images_state[] = {
    STATE_RUNTIME(struct boot_images, first),
    STATE_RUNTIME(struct boot_images, tail),
    STATE_END,
};

/* Not in devices.def: only boards make it. */
static const struct dev_desc images_desc = {
    .name = "boot-images",
    .help = "what reset puts into memory",
    .bus = BUS_SYSTEM,
    .category = DEV_MISC,
    .size = sizeof(struct boot_images),
    .props = images_props,
    .state = images_state,
    .realize = images_realize,
    .unrealize = images_unrealize,
    .reset = images_reset,
};

struct device *boot_images_new(struct machine_bus *mb, struct error *e)
{
    return dev_finish(dev_create(mb, &images_desc, NULL, NULL), e);
}

void boot_images_add(struct device *images, const char *name, uint64_t addr, uint8_t *data,
                     uint64_t size, uint64_t mem_size)
{
    struct boot_images *s = (struct boot_images *)images;
    struct boot_image *i = NEW(struct boot_image);
    i->name = mem_strdup(name);
    i->addr = addr, i->data = data, i->size = size, i->mem_size = MAX(size, mem_size);
    *s->tail = i;
    s->tail = &i->next;
}

const char *boot_images_overlap(struct device *images, uint64_t addr, uint64_t size)
{
    struct boot_images *s = (struct boot_images *)images;
    for (struct boot_image *i = s->first; i; i = i->next) {
        if (addr < i->addr + i->mem_size && i->addr < addr + size) return i->name;
    }
    return NULL;
}
