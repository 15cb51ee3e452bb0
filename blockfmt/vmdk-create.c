/*
 * vmdk-create.c - new VMware disks: the sparse header with its directories, flat files, the descriptor. Layout of hosted
 * sparse extents after VMware's technical note "Virtual Disk Format 5.0".
 */
#include "blockfmt/compress.h"
#include "blockfmt/vmdk.h"

#include <stdarg.h>
#include <stdio.h>

#define GRAIN      128u /* sectors */
#define PER_GT     512u
#define DESC_ROOM  20u  /* sectors */
#define SPLIT      (UINT64_C(1) << 31)

struct text {
    char *s;
    size_t n, room;
};

static void ATTR_PRINTF(2, 3) say(struct text *t, const char *fmt, ...)
{
    char line[2048];
    va_list ap;
    int k;

    va_start(ap, fmt);
    k = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    k = MIN(k, (int)sizeof line - 1);
    if (t->n + (size_t)k + 1 > t->room) t->room = (t->n + (size_t)k + 1) * 2, t->s = mem_realloc(t->s, t->room);
    memcpy(t->s + t->n, line, (size_t)k + 1);
    t->n += (size_t)k;
}

/* A sparse extent without content, with room for a descriptor. */
static int make_sparse(struct blk_graph *g, const char *path, uint64_t size, bool compressed, bool zeroed, const struct text *desc,
                       const struct opts *o, struct error *e)
{
    uint64_t sectors = size / VMDK_SECTOR, grains = (sectors + GRAIN - 1) / GRAIN, tables = (grains + PER_GT - 1) / PER_GT;
    uint64_t gd = (tables * 4 + VMDK_SECTOR - 1) / VMDK_SECTOR, gt = PER_GT * 4 / VMDK_SECTOR;
    uint64_t rgd_at = 1 + DESC_ROOM, gd_at = rgd_at + gd + gt * tables, end = gd_at + gd + gt * tables;
    struct blk_node *file;
    uint8_t *h;
    int rc;

    if (desc->n > DESC_ROOM * VMDK_SECTOR) return error_set(e, "the descriptor is too long: %zu bytes", desc->n), -EINVAL;
    file = blk_create_file(g, path, 0, o, e);
    if (!file) return -EIO;
    h = mem_zalloc((size_t)MAX(rgd_at, gd) * VMDK_SECTOR);
    end = ALIGN_UP(end, (uint64_t)GRAIN);
    rc = blk_node_truncate(file, end * VMDK_SECTOR, BLK_PREALLOC_OFF, e);
    for (unsigned copy = 0; copy < 2; copy++) {
        uint64_t at = copy ? gd_at : rgd_at;
        memset(h, 0, (size_t)gd * VMDK_SECTOR);
        for (uint64_t i = 0; i < tables; i++) st32_le(h + i * 4, (uint32_t)(at + gd + i * gt));
        if (!rc && gd) rc = blk_node_write(file, at * VMDK_SECTOR, h, (size_t)gd * VMDK_SECTOR, 0);
    }
    memset(h, 0, (size_t)rgd_at * VMDK_SECTOR);
    memcpy(h, "KDMV", 4);
    st32_le(h + K_VERSION, compressed ? 3 : zeroed ? 2 : 1);
    st32_le(h + K_FLAGS, VMDK_NEWLINE_TEST | VMDK_REDUNDANT | (zeroed ? VMDK_ZERO_GRAIN : 0) |
                             (compressed ? VMDK_COMPRESSED | VMDK_MARKERS : 0));
    st64_le(h + K_CAPACITY, sectors);
    st64_le(h + K_GRAIN, GRAIN);
    st64_le(h + K_DESC, 1);
    st64_le(h + K_DESC_SIZE, DESC_ROOM);
    st32_le(h + K_PER_GT, PER_GT);
    st64_le(h + K_RGD, rgd_at);
    st64_le(h + K_GD, gd_at);
    st64_le(h + K_OVERHEAD, end);
    memcpy(h + K_NEWLINE, "\n \r\n", 4);
    st16_le(h + K_ALGORITHM, compressed ? 1 : 0);
    if (desc->n) memcpy(h + VMDK_SECTOR, desc->s, desc->n);
    if (!rc) rc = blk_node_write(file, 0, h, (size_t)rgd_at * VMDK_SECTOR, 0);
    if (rc) error_set(e, "Could not write '%s': %s", path, strerror(-rc));
    mem_free(h);
    blk_node_unref(file);
    return rc;
}

static int make_flat(struct blk_graph *g, const char *path, uint64_t size, const struct opts *o, struct error *e)
{
    struct blk_node *file = blk_create_file(g, path, size, o, e);

    if (!file) return -EIO;
    blk_node_unref(file);
    return 0;
}

/* The parent's content identifier. */
static int parent_cid(struct blk_graph *g, const char *filename, const char *backing, uint32_t *cid, struct error *e)
{
    char *path = blk_path_combine(filename, backing);
    struct blk_backend *b = blk_open_in(g, path, NULL, NULL, BLK_RDONLY | BLK_NO_BACKING, e);
    int rc = 0;

    mem_free(path);
    if (!b) return -EINVAL;
    if (strcmp(blk_node_driver(blk_root(b)), "vmdk")) rc = (error_set(e, "backing_file must be a vmdk image"), -EINVAL);
    else *cid = ((const struct vmdk *)blk_state(blk_root(b)))->cid;
    blk_close(b);
    return rc;
}

struct plan {
    bool flat, split, compressed, zeroed;
    const char *subformat, *adapter, *hwversion, *tools, *backing;
    uint64_t size;
    uint32_t cid, parent;
};

static int make_plan(struct blk_graph *g, const char *filename, const struct opts *o, struct plan *p, struct error *e)
{
    static const char *const adapters[] = {"ide", "buslogic", "lsilogic", "legacyESX"};
    static const char *const subformats[] = {"monolithicFlat", "monolithicSparse", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat",
                                             "streamOptimized"};
    const char *fmt = opts_get(o, "backing_fmt"), *s;
    bool compat6 = opts_bool(o, "compat6", false), ok = false;
    uint8_t id[16];

    *p = (struct plan){.size = ALIGN_UP(opts_size(o, "size", 0), (uint64_t)512), .parent = 0xffffffff};
    p->adapter = (s = opts_get(o, "adapter_type")) ? s : "ide";
    p->subformat = (s = opts_get(o, "subformat")) ? s : "monolithicSparse";
    p->hwversion = opts_get(o, "hwversion"), p->tools = (s = opts_get(o, "toolsversion")) ? s : "2147483647";
    p->backing = opts_get(o, "backing_file");
    if (p->backing && !*p->backing) p->backing = NULL;
    if (compat6 && p->hwversion && strcmp(p->hwversion, "undefined"))
        return error_set(e, "compat6 cannot be enabled with hwversion set"), -EINVAL;
    if (!p->hwversion || !strcmp(p->hwversion, "undefined")) p->hwversion = compat6 ? "6" : "4";
    for (size_t i = 0; i < ARRAY_LEN(adapters); i++) ok |= !strcmp(p->adapter, adapters[i]);
    if (!ok) return error_set(e, "invalid parameter value: %s", p->adapter), -EINVAL;
    ok = false;
    for (size_t i = 0; i < ARRAY_LEN(subformats); i++) ok |= !strcmp(p->subformat, subformats[i]);
    if (!ok) return error_set(e, "invalid parameter value: %s", p->subformat), -EINVAL;
    /* These go between quotes into the descriptor. */
    if (strpbrk(p->hwversion, "\"\r\n") || strpbrk(p->tools, "\"\r\n") || (p->backing && strpbrk(p->backing, "\"\r\n")) ||
        strpbrk(filename, "\"\r\n"))
        return error_set(e, "names in a vmdk descriptor cannot contain quotes or line ends"), -EINVAL;
    if (strlen(p->hwversion) > 64 || strlen(p->tools) > 64 || (p->backing && strlen(p->backing) > 1023))
        return error_set(e, "a name is too long for the descriptor"), -EINVAL;
    p->flat = strstr(p->subformat, "Flat") != NULL, p->split = !strncmp(p->subformat, "twoGb", 5);
    p->compressed = !strcmp(p->subformat, "streamOptimized"), p->zeroed = opts_bool(o, "zeroed_grain", false);
    int rc = p->compressed ? compress_need(COMPRESS_ZLIB, "subformat=streamOptimized", e) : 0;
    if (rc) return rc;
    if (p->flat && p->backing) return error_set(e, "Flat image can't have backing file"), -ENOTSUP;
    if (p->flat && p->zeroed) return error_set(e, "Flat image can't enable zeroed grain"), -ENOTSUP;
    if (fmt && *fmt && strcmp(fmt, "vmdk")) return error_set(e, "backing_file must be a vmdk image"), -EINVAL;
    if (p->size > (UINT64_C(1) << 53)) return error_set(e, "the image is too large for vmdk"), -EFBIG;
    if (!p->split && !p->flat && p->size / VMDK_SECTOR > UINT32_MAX - (UINT64_C(1) << 27))
        return error_set(e, "the image is too large for one sparse extent; subformat=twoGbMaxExtentSparse has more"), -EFBIG;
    img_uuid(id);
    p->cid = ld32_be(id) & 0x7fffffff;
    return p->backing ? parent_cid(g, filename, p->backing, &p->parent, e) : 0;
}

int vmdk_create(struct blk_graph *g, const char *filename, const struct opts *o, struct error *e)
{
    struct text desc = {NULL, 0, 0}, none = {NULL, 0, 0}, list = {NULL, 0, 0};
    const char *slash = strrchr(filename, '/'), *base = slash ? slash + 1 : filename, *dot = strrchr(base, '.');
    int stem = dot && dot != base ? (int)(dot - base) : (int)strlen(base), rc;
    const char *ext = dot && dot != base ? dot : "";
    struct plan p;

    rc = make_plan(g, filename, o, &p, e);
    if (rc) return rc;
    if (!p.flat && !p.split) {
        say(&list, "RW %llu SPARSE \"%s\"\n", (unsigned long long)(p.size / VMDK_SECTOR), base);
    } else {
        uint64_t at = 0;
        unsigned i = 1;
        do {
            uint64_t part = p.split ? MIN(p.size - at, SPLIT) : p.size;
            char *name = !p.split ? mem_printf("%.*s-flat%s", stem, base, ext)
                                  : mem_printf("%.*s-%c%03u%s", stem, base, p.flat ? 'f' : 's', i, ext);
            char *path = mem_printf("%.*s%s", (int)(base - filename), filename, name);
            rc = p.flat ? make_flat(g, path, part, o, e) : make_sparse(g, path, part, false, p.zeroed, &none, o, e);
            say(&list, p.flat ? "RW %llu FLAT \"%s\" 0\n" : "RW %llu SPARSE \"%s\"\n", (unsigned long long)(part / VMDK_SECTOR), name);
            mem_free(path);
            mem_free(name);
            at += part, i++;
        } while (!rc && at < p.size);
    }
    unsigned heads = strcmp(p.adapter, "ide") ? 255 : 16;
    say(&desc, "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=%08x\ncreateType=\"%s\"\n", p.cid, p.parent, p.subformat);
    if (p.backing) say(&desc, "parentFileNameHint=\"%s\"\n", p.backing);
    say(&desc, "\n# Extent description\n");
    if (list.n) { /* longer than a line may be */
        desc.room = desc.n + list.n + 1;
        desc.s = mem_realloc(desc.s, desc.room);
        memcpy(desc.s + desc.n, list.s, list.n + 1);
        desc.n += list.n;
    }
    say(&desc, "\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"%s\"\n", p.hwversion);
    say(&desc, "ddb.geometry.cylinders = \"%llu\"\nddb.geometry.heads = \"%u\"\nddb.geometry.sectors = \"63\"\n",
        (unsigned long long)(p.size / (VMDK_SECTOR * 63 * heads)), heads);
    say(&desc, "ddb.adapterType = \"%s\"\nddb.toolsVersion = \"%s\"\n", p.adapter, p.tools);
    if (!rc && !p.flat && !p.split) {
        rc = make_sparse(g, filename, p.size, p.compressed, p.zeroed, &desc, o, e);
    } else if (!rc) {
        struct blk_node *file = blk_create_file(g, filename, 0, o, e);
        rc = file ? blk_node_write(file, 0, desc.s, desc.n, 0) : -EIO;
        if (rc) error_set(e, "Could not write '%s': %s", filename, strerror(-rc));
        blk_node_unref(file);
    }
    mem_free(desc.s);
    mem_free(list.s);
    return rc;
}

const struct blk_create_opt vmdk_create_opts[] = {
    {"adapter_type", OPT_STRING, "Virtual adapter type, can be one of ide (default), lsilogic, buslogic or legacyESX", NULL},
    {"backing_file", OPT_STRING, "File name of a base image", NULL},
    {"backing_fmt", OPT_STRING, "Must be 'vmdk' if present", NULL},
    {"compat6", OPT_BOOL, "VMDK version 6 image", "off"},
    {"hwversion", OPT_STRING, "VMDK hardware version", "undefined"},
    {"size", OPT_SIZE, "Virtual disk size", NULL},
    {"subformat", OPT_STRING,
     "VMDK flat extent format, can be one of {monolithicSparse (default) | monolithicFlat | twoGbMaxExtentSparse | "
     "twoGbMaxExtentFlat | streamOptimized} ",
     NULL},
    {"toolsversion", OPT_STRING, "VMware guest tools version", NULL},
    {"zeroed_grain", OPT_BOOL, "Enable efficient zero writes using the zeroed-grain GTE feature", NULL},
    {NULL, OPT_STRING, NULL, NULL},
};
