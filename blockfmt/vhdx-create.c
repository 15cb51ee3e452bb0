/*
 * vhdx-create.c - new VHDX images: identifier, headers, region tables, metadata, block allocation table ([MS-VHDX]
 * section 2). The log comes first, then the table, then the metadata; blocks follow.
 */
#include "blockfmt/vhdx.h"

#define GIB (UINT64_C(1) << 30)

struct plan {
    uint64_t size, log, bat_offset, bat_length, meta, data, blocks, entries;
    uint32_t block, chunk;
    bool fixed, zero;
};

static int make_plan(const struct opts *o, struct plan *p, struct error *e)
{
    const char *sub = opts_get(o, "subformat");
    uint64_t block = opts_size(o, "block_size", 0), log = opts_size(o, "log_size", VHDX_MIB);

    *p = (struct plan){.size = ALIGN_UP(opts_size(o, "size", 0), (uint64_t)512)};
    p->fixed = sub && !strcmp(sub, "fixed");
    p->zero = opts_bool(o, "block_state_zero", true);
    if (sub && !p->fixed && strcmp(sub, "dynamic")) return error_set(e, "Invalid subformat '%s'", sub), -EINVAL;
    if (p->size > VHDX_MAX_SIZE) return error_set(e, "Image size too large; max of 64TB"), -EINVAL;
    p->log = log < VHDX_MIB ? VHDX_MIB : ALIGN_UP(log, VHDX_MIB);
    if (p->log >= UINT32_MAX) return error_set(e, "Log size must be smaller than 4 GB"), -EINVAL;
    if (!block) block = (p->size > (UINT64_C(32) << 40) ? 64 : p->size > 100 * GIB ? 32 : p->size > GIB ? 16 : 8) * VHDX_MIB;
    if (block > 256 * VHDX_MIB) block = 256 * VHDX_MIB;
    if (block < VHDX_MIB) block = VHDX_MIB;
    if (block & (block - 1)) return error_set(e, "Block size must be a power of two"), -EINVAL;
    p->block = (uint32_t)block;
    p->chunk = (uint32_t)((UINT64_C(1) << 23) * 512 / block);
    p->blocks = (p->size + block - 1) / block;
    p->entries = p->blocks ? p->blocks + (p->blocks - 1) / p->chunk : 0;
    p->bat_offset = VHDX_MIB + p->log;
    p->bat_length = ALIGN_UP(MAX(p->entries * 8, (uint64_t)1), VHDX_MIB);
    p->meta = p->bat_offset + p->bat_length, p->data = p->meta + VHDX_MIB;
    return 0;
}

static void make_header(uint8_t *h, const struct plan *p)
{
    memcpy(h, "head", 4);
    img_uuid(h + 16);
    img_uuid(h + 32);
    st16_le(h + 66, 1);
    st32_le(h + 68, (uint32_t)p->log);
    st64_le(h + 72, VHDX_MIB);
}

static void make_regions(uint8_t *t, const struct plan *p)
{
    memcpy(t, "regi", 4);
    st32_le(t + 8, 2);
    memcpy(t + 16, vhdx_guids[VHDX_GUID_BAT], 16);
    st64_le(t + 32, p->bat_offset);
    st32_le(t + 40, (uint32_t)p->bat_length);
    st32_le(t + 44, 1);
    memcpy(t + 48, vhdx_guids[VHDX_GUID_METADATA], 16);
    st64_le(t + 64, p->meta);
    st32_le(t + 72, (uint32_t)VHDX_MIB);
    st32_le(t + 76, 1);
    st32_le(t + 4, vhdx_sum(t, VHDX_REGION_SIZE));
}

static void make_metadata(uint8_t *t, const struct plan *p)
{
    static const struct { uint8_t guid, length, flags; } items[] = {
        {VHDX_GUID_PARAMETERS, 8, 4}, {VHDX_GUID_SIZE, 8, 6}, {VHDX_GUID_PAGE83, 16, 6}, {VHDX_GUID_LOGICAL, 4, 6},
        {VHDX_GUID_PHYSICAL, 4, 6}};
    uint8_t *v = t + VHDX_REGION_SIZE;
    uint32_t at = 0;

    memcpy(t, "metadata", 8);
    st16_le(t + 10, ARRAY_LEN(items));
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        uint8_t *d = t + 32 + i * 32;
        memcpy(d, vhdx_guids[items[i].guid], 16);
        st32_le(d + 16, VHDX_REGION_SIZE + at);
        st32_le(d + 20, items[i].length);
        st32_le(d + 24, items[i].flags);
        at += items[i].length;
    }
    st32_le(v, p->block);
    st32_le(v + 4, p->fixed ? 1 : 0); /* leave blocks allocated */
    st64_le(v + 8, p->size);
    img_uuid(v + 16);
    st32_le(v + 32, 512);
    st32_le(v + 36, 512);
}

static int write_bat(struct blk_node *file, const struct plan *p)
{
    uint8_t *t = mem_zalloc((size_t)p->entries * 8 + 1);
    int rc;

    for (uint64_t i = 0; i < p->blocks; i++) {
        uint64_t x = p->fixed ? (p->data + i * p->block) | VHDX_PRESENT : p->zero ? VHDX_ZERO : VHDX_NOT_PRESENT;
        st64_le(t + (i + i / p->chunk) * 8, x);
    }
    rc = blk_node_write(file, p->bat_offset, t, (size_t)p->entries * 8, 0);
    mem_free(t);
    return rc;
}

int vhdx_create(struct blk_graph *g, const char *filename, const struct opts *o, struct error *e)
{
    static const char creator[] = "Quern";
    struct plan p;
    struct blk_node *file;
    uint8_t *h, *m;
    int rc = make_plan(o, &p, e);

    if (rc) return rc;
    file = blk_create_file(g, filename, 0, o, e);
    if (!file) return -EIO;
    h = mem_zalloc((size_t)VHDX_MIB), m = mem_zalloc(2 * VHDX_REGION_SIZE);
    memcpy(h, "vhdxfile", 8);
    for (size_t i = 0; creator[i]; i++) st16_le(h + 8 + i * 2, (uint16_t)creator[i]);
    for (unsigned i = 0; i < 2; i++) {
        uint8_t *q = h + (i ? VHDX_HEADER_2 : VHDX_HEADER_1);
        if (i) memcpy(q, h + VHDX_HEADER_1, 4096);
        else make_header(q, &p);
        st64_le(q + 8, i + 1);
        st32_le(q + 4, vhdx_sum(q, 4096));
    }
    make_regions(h + VHDX_REGION_1, &p);
    memcpy(h + VHDX_REGION_2, h + VHDX_REGION_1, VHDX_REGION_SIZE);
    make_metadata(m, &p);
    rc = blk_node_truncate(file, p.data + (p.fixed ? p.blocks * p.block : 0), BLK_PREALLOC_OFF, e);
    if (!rc) rc = write_bat(file, &p);
    if (!rc) rc = blk_node_write(file, p.meta, m, 2 * VHDX_REGION_SIZE, 0);
    if (!rc) rc = blk_node_write(file, 0, h, (size_t)VHDX_REGION_2 + VHDX_REGION_SIZE, 0);
    if (rc) error_set(e, "Error writing '%s': %s", filename, strerror(-rc));
    mem_free(h);
    mem_free(m);
    blk_node_unref(file);
    return rc;
}

const struct blk_create_opt vhdx_create_opts[] = {
    {"block_size", OPT_SIZE, "Block Size; min 1MB, max 256MB. 0 means auto-calculate based on image size.", "0"},
    {"block_state_zero", OPT_BOOL,
     "Force use of payload blocks of type 'ZERO'. Non-standard, but default.  Do not set to 'off' when using 'qemu-img "
     "convert' with subformat=dynamic.",
     NULL},
    {"log_size", OPT_SIZE, "Log size; min 1MB.", "1048576"},
    {"size", OPT_SIZE, "Virtual disk size; max of 64TB.", NULL},
    {"subformat", OPT_STRING, "VHDX format type, can be either 'dynamic' or 'fixed'. Default is 'dynamic'.", NULL},
    {NULL, OPT_STRING, NULL, NULL},
};
