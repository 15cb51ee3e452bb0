/*
 * cfi-flash.c - a bank of NOR flash chips with Intel's command set and the common flash interface.
 *
 * Follows Intel's data sheets of the 28FxxxJ3 family and the CFI specification (JESD68, JEP137:
 * primary command set 0001h). A bank of `width` bytes is made of width / device-width chips side by
 * side, each with its own state machine and all on the same address lines. Operations take no time,
 * so suspend and resume have nothing to stop. Block lock bits are kept until reset. While every
 * chip shows its array, reads go straight to the contents. Not modelled: the protection register,
 * and the other command sets.
 */
#include "periph/misc/cfi-flash.h"

#include "blockfmt/block.h"
#include "periph/regions.h"
#include "util/log.h"

#include <inttypes.h>

enum { MAX_CHIPS = 4, BUFFER_WORDS = 32, MAX_BLOCKS = 4096 };
enum flash_mode { SHOW_ARRAY, SHOW_STATUS, SHOW_ID, SHOW_CFI };
enum flash_step {
    STEP_COMMAND,
    STEP_PROGRAM,
    STEP_ERASE,
    STEP_LOCK,
    STEP_COUNT,
    STEP_DATA,
    STEP_CONFIRM
};
enum { SR_READY = 0x80, SR_ERASE_ERROR = 0x20, SR_PROGRAM_ERROR = 0x10, SR_LOCKED = 2 };

struct flash_chip {
    uint32_t at[BUFFER_WORDS]; /* write buffer: offset in the bank of each word */
    uint16_t word[BUFFER_WORDS];
    uint8_t mode, step, status;
    uint8_t used, expected; /* words in the buffer */
    uint8_t command;
};

struct flash {
    struct device dev;
    struct blk_backend *drive;
    char *name;
    uint64_t sector_length;
    uint32_t num_blocks;
    uint16_t id0, id1;
    uint8_t width, device_width;
    bool big_endian;
    struct flash_chip chip[MAX_CHIPS];
    uint8_t locked[MAX_BLOCKS / 8]; /* by block of the bank */
    uint8_t n_chips;
    uint64_t size;
    uint8_t *mem;
};

/* Reads go to the contents directly while every chip shows its array. */
static void update_romd(struct flash *s)
{
    bool direct = true;

    for (unsigned i = 0; i < s->n_chips; i++)
        direct = direct && s->chip[i].mode == SHOW_ARRAY;
    region_set_romd(s->dev.mmio[0], direct);
}

static uint8_t log2_of(uint64_t v)
{
    uint8_t n = 0;

    while (v > 1)
        v >>= 1, n++;
    return n;
}

/* A byte of the CFI query table, by word address. */
static uint8_t cfi_byte(const struct flash *s, uint32_t word)
{
    uint64_t block = s->sector_length / s->n_chips;
    uint8_t buffer = log2_of((uint64_t)BUFFER_WORDS * s->device_width);

    switch (word) {
    case 0x10: return 'Q';
    case 0x11: return 'R';
    case 0x12: return 'Y';
    case 0x13: return 1;    /* Intel/Sharp extended command set */
    case 0x15: return 0x31; /* address of its table */
    case 0x1b: return 0x27; /* Vcc 2.7 .. 3.6 V */
    case 0x1c: return 0x36;
    case 0x1f: return 7; /* typical times: word 128 us, buffer 128 us, erase 1 s */
    case 0x20: return 7;
    case 0x21: return 10;
    case 0x23: return 4; /* the longest: 16 times as much */
    case 0x24: return 4;
    case 0x25: return 4;
    case 0x27: return log2_of(s->size / s->n_chips);
    case 0x28: return s->device_width == 1 ? 0 : 2; /* x8; x8 or x16 */
    case 0x2a: return buffer;
    case 0x2c: return 1; /* one region of equal blocks */
    case 0x2d: return (uint8_t)(s->num_blocks - 1);
    case 0x2e: return (uint8_t)((s->num_blocks - 1) >> 8);
    case 0x2f: return (uint8_t)(block >> 8);
    case 0x30: return (uint8_t)(block >> 16);
    case 0x31: return 'P';
    case 0x32: return 'R';
    case 0x33: return 'I';
    case 0x34: return '1';
    case 0x35: return '0';
    case 0x36: return 0x08; /* instant individual block locking is not there; lock/unlock is */
    default: return 0;
    }
}

static bool is_locked(const struct flash *s, uint64_t offset)
{
    uint64_t block = offset / s->sector_length;

    return s->locked[block >> 3] & (1u << (block & 7));
}

/* What a chip puts on its data lines for the bank offset of one of its words. */
static uint32_t chip_read(const struct flash *s, unsigned i, uint64_t offset)
{
    const struct flash_chip *c = &s->chip[i];
    uint32_t word = (uint32_t)(offset / s->width);

    switch (c->mode) {
    case SHOW_ARRAY:
        if (s->device_width == 1) return s->mem[offset];
        return s->big_endian ? ld16_be(s->mem + offset) : ld16_le(s->mem + offset);
    case SHOW_STATUS: return c->status;
    case SHOW_CFI: return cfi_byte(s, word);
    default: /* the identifier, and the lock of each block in its third word */
        switch (word & (s->sector_length / s->width - 1)) {
        case 0: return s->id0;
        case 1: return s->id1;
        case 2: return is_locked(s, offset);
        default: return 0;
        }
    }
}

static void store(struct flash *s, uint64_t offset, uint32_t n)
{
    if (s->drive && !blk_readonly(s->drive) && blk_write(s->drive, offset, s->mem + offset, n) < 0)
        error_warn("%s: the flash at offset 0x%" PRIx64 " could not be written to its image",
                   s->name, offset);
}

static bool may_change(struct flash *s, struct flash_chip *c, uint64_t offset, uint8_t error_bit)
{
    if (!(s->drive && blk_readonly(s->drive)) && !is_locked(s, offset)) return true;
    c->status |= error_bit | SR_LOCKED;
    return false;
}

/* Programming clears bits and sets none. */
static void program(struct flash *s, struct flash_chip *c, uint64_t offset, uint32_t word,
                    unsigned bytes)
{
    if (!may_change(s, c, offset, SR_PROGRAM_ERROR)) return;
    if (bytes == 1)
        s->mem[offset] &= (uint8_t)word;
    else if (s->big_endian)
        st16_be(s->mem + offset, (uint16_t)(ld16_be(s->mem + offset) & word));
    else
        st16_le(s->mem + offset, (uint16_t)(ld16_le(s->mem + offset) & word));
    store(s, offset, bytes);
}

static void erase(struct flash *s, unsigned i, uint64_t offset)
{
    uint64_t start = offset - offset % s->sector_length;

    if (!may_change(s, &s->chip[i], offset, SR_ERASE_ERROR)) return;
    for (uint64_t at = start + i * s->device_width; at < start + s->sector_length; at += s->width)
        memset(s->mem + at, 0xff, s->device_width);
    store(s, start, (uint32_t)s->sector_length);
}

static void first_cycle(struct flash_chip *c, uint8_t v)
{
    c->command = v;
    switch (v) {
    case 0xff: c->mode = SHOW_ARRAY; break;
    case 0x50: c->status = SR_READY; break;
    case 0x70: c->mode = SHOW_STATUS; break;
    case 0x90: c->mode = SHOW_ID; break;
    case 0x98: c->mode = SHOW_CFI; break;
    case 0x10:
    case 0x40: c->step = STEP_PROGRAM, c->mode = SHOW_STATUS; break;
    case 0x20: c->step = STEP_ERASE, c->mode = SHOW_STATUS; break;
    case 0x60: c->step = STEP_LOCK, c->mode = SHOW_STATUS; break;
    case 0xe8: c->step = STEP_COUNT, c->mode = SHOW_STATUS; break;
    case 0xb0:
    case 0xd0: c->mode = SHOW_STATUS; break; /* suspend, resume: nothing is running */
    default:
        LOG(GUEST_ERRORS, "cfi.pflash01: unknown command 0x%02x\n", v);
        c->mode = SHOW_ARRAY;
        break;
    }
}

static void chip_write(struct flash *s, unsigned i, uint64_t offset, uint32_t v, unsigned bytes)
{
    struct flash_chip *c = &s->chip[i];
    uint64_t block = offset / s->sector_length;
    uint8_t step = c->step;

    c->step = STEP_COMMAND;
    switch (step) {
    case STEP_COMMAND: first_cycle(c, (uint8_t)v); break;
    case STEP_PROGRAM: program(s, c, offset, v, bytes); break;
    case STEP_ERASE:
        if ((v & 0xff) == 0xd0)
            erase(s, i, offset);
        else
            c->status |= SR_ERASE_ERROR | SR_PROGRAM_ERROR; /* command sequence error */
        break;
    case STEP_LOCK:
        if ((v & 0xff) == 0x01)
            s->locked[block >> 3] |= (uint8_t)(1u << (block & 7));
        else if ((v & 0xff) == 0xd0)
            memset(s->locked, 0, sizeof s->locked); /* clears all of them */
        else
            c->status |= SR_ERASE_ERROR | SR_PROGRAM_ERROR;
        break;
    case STEP_COUNT:
        if ((v & 0xff) >= BUFFER_WORDS) {
            c->status |= SR_ERASE_ERROR | SR_PROGRAM_ERROR;
            break;
        }
        c->used = 0;
        c->expected = (uint8_t)((v & 0xff) + 1);
        c->step = STEP_DATA;
        break;
    case STEP_DATA:
        if (bytes < s->device_width) { /* a byte of a word: the other one is not touched */
            bool high = (offset & 1) != s->big_endian;
            v = high ? v << 8 | 0xff : 0xff00 | v;
        }
        c->at[c->used] = (uint32_t)(offset - offset % s->device_width);
        c->word[c->used++] = (uint16_t)v;
        c->step = c->used < c->expected ? STEP_DATA : STEP_CONFIRM;
        break;
    default:
        if ((v & 0xff) != 0xd0) {
            c->status |= SR_ERASE_ERROR | SR_PROGRAM_ERROR;
            break;
        }
        for (unsigned k = 0; k < c->used; k++)
            program(s, c, c->at[k], c->word[k], s->device_width);
        break;
    }
}

/* Splits an access of the bank among the chips. A piece narrower than a chip's word is its low or
 * high byte. */
static unsigned piece_shift(const struct flash *s, unsigned done, unsigned piece, unsigned size)
{
    return 8 * (s->big_endian ? size - piece - done : done);
}

static uint64_t flash_read(void *opaque, uint64_t addr, unsigned size)
{
    struct flash *s = opaque;
    unsigned piece = MIN(size, s->device_width);
    uint64_t v = 0;

    for (unsigned done = 0; done < size; done += piece) {
        uint64_t at = addr + done;
        unsigned i = (unsigned)(at % s->width) / s->device_width,
                 in_word = (unsigned)(at % s->device_width);
        uint32_t w = chip_read(s, i, at - in_word);

        if (piece < s->device_width)
            w >>= 8 * (s->big_endian ? s->device_width - 1 - in_word : in_word);
        v |= (uint64_t)(w & (piece == 1 ? 0xff : 0xffff)) << piece_shift(s, done, piece, size);
    }
    return v;
}

static void flash_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct flash *s = opaque;
    unsigned piece = MIN(size, s->device_width);

    for (unsigned done = 0; done < size; done += piece) {
        uint64_t at = addr + done;
        uint32_t v =
            (uint32_t)(value >> piece_shift(s, done, piece, size)) & (piece == 1 ? 0xff : 0xffff);

        chip_write(s, (unsigned)(at % s->width) / s->device_width, at, v, piece);
    }
    update_romd(s);
}

uint8_t *cfi_flash_contents(struct device *d, uint64_t *size)
{
    *size = ((struct flash *)d)->size;
    return ((struct flash *)d)->mem;
}

#define FLASH_OPS(w, be)                                                                           \
    {                                                                                              \
        .read = flash_read, .write = flash_write, .min_size = 1, .max_size = 8, .impl_min = 1,     \
        .impl_max = (w), .big_endian = (be)                                                        \
    }
static const struct mmio_ops flash_ops[3][2] = {
    {FLASH_OPS(1, false), FLASH_OPS(1, true)},
    {FLASH_OPS(2, false), FLASH_OPS(2, true)},
    {FLASH_OPS(4, false), FLASH_OPS(4, true)},
};

static bool power_of_2(uint64_t v)
{
    return v && !(v & (v - 1));
}

static int check(const struct flash *s, struct error *e)
{
    if (!power_of_2(s->width) || s->width > 4)
        return error_set(e, "cfi.pflash01: width %u is not 1, 2 or 4", s->width);
    if (!power_of_2(s->device_width) || s->device_width > MIN(2, s->width))
        return error_set(e, "cfi.pflash01: device-width %u does not fit a bank of %u bytes",
                         s->device_width, s->width);
    if (!power_of_2(s->sector_length) || s->sector_length < 256u * s->width ||
        s->sector_length > 1u << 24)
        return error_set(
            e, "cfi.pflash01: sector-length %" PRIu64 " is not a power of 2 from %u to 16M",
            s->sector_length, 256u * s->width);
    if (!power_of_2(s->num_blocks) || s->num_blocks > MAX_BLOCKS ||
        s->num_blocks * s->sector_length > UINT64_C(1) << 30)
        return error_set(
            e,
            "cfi.pflash01: num-blocks %u is not a power of 2 up to %d, or the flash is beyond 1G",
            s->num_blocks, MAX_BLOCKS);
    return 0;
}

static int flash_realize(struct device *d, struct error *e)
{
    struct flash *s = (struct flash *)d;

    if (check(s, e) < 0) return -1;
    s->n_chips = s->width / s->device_width;
    s->size = s->num_blocks * s->sector_length;
    if (s->drive && blk_size(s->drive) != s->size) {
        error_set(e, "cfi.pflash01: the flash has %" PRIu64 " bytes and its image %s %" PRIu64,
                  s->size, blk_path(s->drive), blk_size(s->drive));
        return error_hint(e, "make the image exactly as large as the flash");
    }
    d->mmio[0] =
        region_new_romd(s->name, s->size, &flash_ops[log2_of(s->width)][s->big_endian], s, e);
    if (!d->mmio[0]) return -1;
    s->mem = region_ram(d->mmio[0]);
    memset(s->mem, 0xff, (size_t)s->size);
    if (s->drive && blk_read(s->drive, 0, s->mem, (size_t)s->size) < 0) {
        periph_drop_regions(d);
        return error_set(e, "cfi.pflash01: cannot read %s", blk_path(s->drive));
    }
    return 0;
}

static void flash_reset(struct device *d)
{
    struct flash *s = (struct flash *)d;

    memset(s->chip, 0, sizeof s->chip);
    for (unsigned i = 0; i < MAX_CHIPS; i++)
        s->chip[i].status = SR_READY;
    update_romd(s);
}

static int flash_post_load(struct device *d, struct error *e)
{
    struct flash *s = (struct flash *)d;

    for (unsigned i = 0; i < MAX_CHIPS; i++) {
        struct flash_chip *c = &s->chip[i];

        if (c->mode > SHOW_CFI || c->step > STEP_CONFIRM || c->used > BUFFER_WORDS ||
            c->expected > BUFFER_WORDS || (c->step == STEP_DATA && c->used >= c->expected))
            return error_set(e, "cfi.pflash01: chip %u cannot be in this state", i);
        for (unsigned k = 0; k < c->used; k++)
            if (c->at[k] >= s->size || c->at[k] % s->device_width)
                return error_set(e, "cfi.pflash01: chip %u: write buffer at 0x%" PRIx32, i,
                                 c->at[k]);
    }
    update_romd(s);
    return 0;
}

static const struct prop_desc props[] = {
    PROP(struct flash, PROP_DRIVE, "drive", drive, 0, "image, exactly as large as the flash"),
    PROP_STRING(struct flash, "name", name, "flash", "name of its memory region"),
    PROP(struct flash, PROP_U32, "num-blocks", num_blocks, 64, "erase blocks"),
    PROP(struct flash, PROP_SIZE, "sector-length", sector_length, 65536,
         "bytes of an erase block of the bank"),
    PROP(struct flash, PROP_U8, "width", width, 4, "bytes of the bank: 1, 2 or 4"),
    PROP(struct flash, PROP_U8, "device-width", device_width, 2, "bytes of each chip: 1 or 2"),
    PROP(struct flash, PROP_BOOL, "big-endian", big_endian, 0,
         "how the chips are wired to the bus"),
    PROP(struct flash, PROP_U16, "id0", id0, 0x0089, "manufacturer"),
    PROP(struct flash, PROP_U16, "id1", id1, 0x0016, "device"),
    PROP_END,
};

static const struct state_field chip_state[] = {
    STATE_ARR(struct flash_chip, at),
    STATE_ARR(struct flash_chip, word),
    STATE_INT(struct flash_chip, mode),
    STATE_INT(struct flash_chip, step),
    STATE_INT(struct flash_chip, status),
    STATE_INT(struct flash_chip, used),
    STATE_INT(struct flash_chip, expected),
    STATE_INT(struct flash_chip, command),
    STATE_END,
};

/* The contents are a memory region, which the machine saves with the others. */
static const struct state_field state[] = {
    STATE_STRUCT(struct flash, chip, MAX_CHIPS, chip_state),
    STATE_ARR_RESET(struct flash, locked, 0),
    STATE_RUNTIME(struct flash, n_chips),
    STATE_RUNTIME(struct flash, size),
    STATE_RUNTIME(struct flash, mem),
    STATE_END,
};

const struct dev_desc cfi_flash_desc = {
    .name = "cfi.pflash01",
    .help = "NOR flash with Intel's command set",
    .bus = BUS_SYSTEM,
    .category = DEV_STORAGE,
    .size = sizeof(struct flash),
    .props = props,
    .state = state,
    .realize = flash_realize,
    .unrealize = periph_drop_regions,
    .reset = flash_reset,
    .post_load = flash_post_load,
};
