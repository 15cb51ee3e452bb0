/*
 * fw_cfg.c - firmware configuration: selector port 510h, data port 511h, DMA address ports 514h to
 * 51Bh.
 *
 * Follows the interface that its guests use (SeaBIOS, Linux's fw_cfg driver). Items cannot be
 * written by the guest, neither by the data port nor by DMA.
 */
#include "periph/misc/fw_cfg.h"

#include "periph/regions.h"
#include "util/log.h"

enum { KEYS = 0x20, NAME_SIZE = 56, DIR_ENTRY = 64 };
enum { DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16 };
enum { ID_TRADITIONAL = 1, ID_DMA = 2 };
enum { PIECE = 4096 }; /* of a source, at a time */

struct item {
    uint8_t *data; /* NULL: from the source */
    struct fw_cfg_source source;
    uint32_t size;
};
struct file {
    char name[NAME_SIZE];
    struct item item;
};

struct fw_cfg {
    struct device dev;
    uint16_t iobase;
    uint16_t key;
    uint32_t offset;
    uint32_t dma_high; /* the address' upper half, written before the lower */
    struct item item[KEYS];
    struct file *file;
    uint32_t n_files;
    uint8_t piece[PIECE]; /* of piece_of, from piece_at on */
    const struct item *piece_of;
    uint32_t piece_at;
};

static struct fw_cfg *fw(struct device *d)
{
    return (struct fw_cfg *)d;
}

static void drop_item(struct item *i)
{
    mem_free(i->data);
    if (i->source.close) i->source.close(i->source.opaque);
    memset(i, 0, sizeof *i);
}

static void set_item(struct item *i, const void *data, uint32_t size)
{
    uint8_t *copy = mem_alloc(size ? size : 1);
    if (size) memcpy(copy, data, size);
    drop_item(i);
    i->data = copy, i->size = size;
}

void fw_cfg_add(struct device *d, unsigned key, const void *data, uint32_t size)
{
    if (key < KEYS) set_item(&fw(d)->item[key], data, size);
}

void fw_cfg_add_source(struct device *d, unsigned key, const struct fw_cfg_source *source, uint32_t size)
{
    struct fw_cfg *s = fw(d);
    if (key >= KEYS) {
        source->close(source->opaque);
        return;
    }
    drop_item(&s->item[key]);
    s->piece_of = NULL;
    s->item[key].source = *source;
    s->item[key].size = size;
}

/* Where the item's data from `at`, which is within it, on are; *n: at most so many of them, less where they come in pieces. */
static const uint8_t *item_data(struct fw_cfg *s, const struct item *i, uint32_t at, uint32_t *n)
{
    if (i->data) return i->data + at;
    if (s->piece_of != i || at < s->piece_at || at - s->piece_at >= PIECE) {
        s->piece_of = i;
        s->piece_at = at - at % PIECE;
        memset(s->piece, 0, PIECE);
        i->source.read(i->source.opaque, s->piece_at, s->piece, MIN((uint32_t)PIECE, i->size - s->piece_at));
    }
    *n = MIN(*n, PIECE - (at - s->piece_at));
    return s->piece + (at - s->piece_at);
}

void fw_cfg_add_int(struct device *d, unsigned key, uint64_t value, unsigned bytes)
{
    uint8_t b[8];
    st64_le(b, value);
    fw_cfg_add(d, key, b, MIN(bytes, 8u));
}

/* The list of files as the guest reads it: big-endian. */
static void make_directory(struct fw_cfg *s)
{
    uint32_t size = 4 + s->n_files * DIR_ENTRY;
    uint8_t *dir = mem_zalloc(size);
    st32_be(dir, s->n_files);
    for (uint32_t i = 0; i < s->n_files; i++) {
        uint8_t *p = dir + 4 + i * DIR_ENTRY;
        st32_be(p, s->file[i].item.size);
        st16_be(p + 4, (uint16_t)(FW_CFG_FILE_FIRST + i));
        memcpy(p + 8, s->file[i].name, NAME_SIZE);
    }
    set_item(&s->item[FW_CFG_FILE_DIR], dir, size);
    mem_free(dir);
}

int fw_cfg_add_file(struct device *d, const char *name, const void *data, uint32_t size,
                    struct error *e)
{
    struct fw_cfg *s = fw(d);
    uint32_t at = 0;
    if (!*name || strlen(name) >= NAME_SIZE)
        return error_set(e, "fw_cfg: '%s' is no name of 1 to %d bytes", name, NAME_SIZE - 1);
    while (at < s->n_files && strcmp(s->file[at].name, name) < 0)
        at++;
    if (at == s->n_files || strcmp(s->file[at].name, name)) {
        if (s->n_files == FW_CFG_MAX_FILES) return error_set(e, "fw_cfg: there are too many files");
        s->file = mem_realloc(s->file, (s->n_files + 1) * sizeof *s->file);
        memmove(s->file + at + 1, s->file + at, (s->n_files - at) * sizeof *s->file);
        memset(&s->file[at], 0, sizeof s->file[at]);
        memcpy(s->file[at].name, name, strlen(name));
        s->n_files++;
    }
    set_item(&s->file[at].item, data, size);
    make_directory(s);
    return 0;
}

const uint8_t *fw_cfg_file(struct device *d, const char *name, uint32_t *size)
{
    struct fw_cfg *s = fw(d);
    for (uint32_t i = 0; i < s->n_files; i++) {
        if (strcmp(s->file[i].name, name)) continue;
        *size = s->file[i].item.size;
        return s->file[i].item.data;
    }
    return NULL;
}

static const struct item *selected(const struct fw_cfg *s)
{
    static const struct item none = {0};
    unsigned key = s->key & 0x3fff;
    if (s->key & 0x8000) return &none; /* architecture's own: a PC has none of them */
    if (key < KEYS) return &s->item[key];
    return key - FW_CFG_FILE_FIRST < s->n_files ? &s->file[key - FW_CFG_FILE_FIRST].item : &none;
}

static void select_key(struct fw_cfg *s, uint16_t key)
{
    s->key = key;
    s->offset = 0;
}

static uint64_t port_read(void *opaque, uint64_t addr, unsigned size)
{
    struct fw_cfg *s = opaque;
    const struct item *i = selected(s);
    uint32_t n = 1;
    if (addr == 0 || s->offset >= i->size) return 0;
    uint8_t byte = *item_data(s, i, s->offset, &n);
    s->offset++;
    return byte;
}

static void port_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    if (addr == 0 && size == 2)
        select_key(opaque, (uint16_t)value);
    else
        LOG(GUEST_ERRORS, "fw_cfg: write to the data port\n");
}

static const struct mmio_ops port_ops = {
    .read = port_read, .write = port_write, .min_size = 1, .max_size = 2, .unaligned = true};

/* ---- DMA: a descriptor of big-endian control, length, address ---- */

static bool move(struct fw_cfg *s, uint32_t control, uint32_t length, uint64_t addr)
{
    static const uint8_t zeros[512];
    const struct item *i = selected(s);
    struct address_space *mem = s->dev.mb->mem;
    uint32_t have = s->offset < i->size ? MIN(length, i->size - s->offset) : 0;
    bool ok = true;
    if (control & DMA_READ) {
        for (uint32_t at = 0, n; ok && at < have; at += n) {
            n = have - at;
            const uint8_t *data = item_data(s, i, s->offset + at, &n);
            ok = as_write_buf(mem, addr + at, data, n);
        }
        /* Behind the end there are zeros; no more of them than memory takes. */
        for (uint32_t at = have; ok && at < length;) {
            uint32_t k = MIN(length - at, (uint32_t)sizeof zeros);
            ok = as_write_buf(mem, addr + at, zeros, k);
            at += k;
        }
    }
    s->offset = s->offset > UINT32_MAX - length ? UINT32_MAX : s->offset + length;
    return ok;
}

static void run_dma(struct fw_cfg *s, uint64_t at)
{
    struct address_space *mem = s->dev.mb->mem;
    uint8_t d[16], result[4];
    bool ok = as_read_buf(mem, at, d, sizeof d);
    uint32_t control = ld32_be(d);
    if (ok) {
        if (control & DMA_SELECT) select_key(s, (uint16_t)(control >> 16));
        if (control & (DMA_READ | DMA_SKIP))
            ok = move(s, control, ld32_be(d + 4), ld64_be(d + 8));
        else if (control & DMA_WRITE)
            ok = false;
    }
    st32_be(result, ok ? 0 : DMA_ERROR);
    as_write_buf(mem, at, result, sizeof result);
}

static uint64_t dma_read(void *opaque, uint64_t addr, unsigned size)
{
    /* The signature that says the ports are there. */
    static const uint8_t signature[9] = "QEMU CFG";
    uint64_t v = 0;
    for (unsigned i = 0; i < size && addr + i < 8; i++)
        v = v << 8 | signature[addr + i];
    return v;
}

static void dma_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct fw_cfg *s = opaque;
    if (size == 8 && addr == 0) {
        run_dma(s, value);
    } else if (size == 4 && addr == 0) {
        s->dma_high = (uint32_t)value;
    } else if (size == 4 && addr == 4) {
        uint64_t at = (uint64_t)s->dma_high << 32 | (uint32_t)value;
        s->dma_high = 0;
        run_dma(s, at);
    } else {
        LOG(GUEST_ERRORS, "fw_cfg: %u-byte write at DMA port %u\n", size, (unsigned)addr);
    }
}

static const struct mmio_ops dma_ops = {.read = dma_read,
                                        .write = dma_write,
                                        .min_size = 1,
                                        .max_size = 8,
                                        .big_endian = true};

/* ---- life ---- */

static int fw_cfg_realize(struct device *d, struct error *e)
{
    struct fw_cfg *s = fw(d);
    fw_cfg_add(d, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_add_int(d, FW_CFG_ID, ID_TRADITIONAL | ID_DMA, 4);
    make_directory(s);
    if (periph_map_ports(d, 0, "fwcfg", s->iobase, 2, &port_ops, e)) return -1;
    return periph_map_ports(d, 1, "fwcfg.dma", s->iobase + 4u, 8, &dma_ops, e);
}

static void fw_cfg_unrealize(struct device *d)
{
    struct fw_cfg *s = fw(d);
    for (unsigned i = 0; i < KEYS; i++) drop_item(&s->item[i]);
    for (uint32_t i = 0; i < s->n_files; i++) drop_item(&s->file[i].item);
    mem_free(s->file);
    s->file = NULL, s->n_files = 0;
    periph_drop_regions(d);
}

static const struct prop_desc props[] = {
    PROP(struct fw_cfg, PROP_U16, "iobase", iobase, 0x510, "first I/O port"),
    PROP_END,
};
static const struct state_field state[] = {
    STATE_PROP(struct fw_cfg, iobase),
    STATE_INT_RESET(struct fw_cfg, key, 0),
    STATE_INT_RESET(struct fw_cfg, offset, 0),
    STATE_INT_RESET(struct fw_cfg, dma_high, 0),
    STATE_RUNTIME(struct fw_cfg, item),
    STATE_RUNTIME(struct fw_cfg, file),
    STATE_RUNTIME(struct fw_cfg, n_files),
    STATE_RUNTIME(struct fw_cfg, piece),
    STATE_RUNTIME(struct fw_cfg, piece_of),
    STATE_RUNTIME(struct fw_cfg, piece_at),
    STATE_END,
};
static const struct reg_desc regs[] = {{0, "selector", 2}, {1, "data", 1}, REG_END};

const struct dev_desc fw_cfg_desc = {
    .name = "fw_cfg_io",
    .help = "firmware configuration interface",
    .bus = BUS_ISA,
    .category = DEV_MISC,
    .size = sizeof(struct fw_cfg),
    .props = props,
    .state = state,
    .regs = regs,
    .realize = fw_cfg_realize,
    .unrealize = fw_cfg_unrealize,
};
