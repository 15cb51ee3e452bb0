/*
 * ahci-port.c - a port of an AHCI controller: fetches commands from the list in memory, gives them to the drive's taskfile,
 * moves data by the table of memory ranges, and writes the drive's answers (FIS) to memory.
 *
 * Follows Serial ATA AHCI 1.3.1, chapters 3.3, 4 and 5, and for the FISes Serial ATA 2.6, chapter 10.3. The link is
 * there at once after a reset. Queued commands (NCQ) are accepted at once and done one after the other. Not modelled:
 * power states of the link, port multipliers, FIS-based switching, DMA Setup FISes as software sees them, aggressive
 * power management, mechanical presence switches.
 */
#include "periph/block/ahci.h"

#include "util/log.h"

enum {
    P_CLB = 0x00, P_CLBU = 0x04, P_FB = 0x08, P_FBU = 0x0c, P_IS = 0x10, P_IE = 0x14, P_CMD = 0x18,
    P_TFD = 0x20, P_SIG = 0x24, P_SSTS = 0x28, P_SCTL = 0x2c, P_SERR = 0x30, P_SACT = 0x34, P_CI = 0x38
};
#define IS_DHRS (1u << 0)
#define IS_PSS  (1u << 1)
#define IS_SDBS (1u << 3)
#define IS_PCS  (1u << 6)
#define IS_PRCS (1u << 22)
#define IS_OFS  (1u << 24)
#define IS_IFS  (1u << 27)
#define IS_HBFS (1u << 29)
#define IS_TFES (1u << 30)
#define IS_W1C  (0xfd8000bfu & ~(IS_PCS | IS_PRCS))
#define IE_MASK 0xfdc000ffu
#define CMD_ST    (1u << 0)
#define CMD_SUD   (1u << 1)
#define CMD_POD   (1u << 2)
#define CMD_CLO   (1u << 3)
#define CMD_FRE   (1u << 4)
#define CMD_FR    (1u << 14)
#define CMD_CR    (1u << 15)
#define CMD_ATAPI (1u << 24)
#define CMD_DLAE  (1u << 25)
#define CMD_ASP   (1u << 27)
#define CMD_WRITABLE (CMD_ST | CMD_FRE | CMD_ATAPI | CMD_DLAE | (1u << 26) | CMD_ASP)
enum { CMD_CCS_SHIFT = 8 };
#define SERR_DIAG_N (1u << 16)
#define SERR_DIAG_X (1u << 26)
#define SERR_ERR_P  (1u << 10)
enum { SSTS_LINK = 0x123, DET = 15, DET_RESET = 1, DET_OFF = 4 }; /* active, 3 Gb/s, present */
#define SIG_NONE 0xffffffffu
enum { TFD_NONE = 0x7f };
/* Command header. */
enum { HEADER_SIZE = 32, HEADER_COUNT = 4, H_FIS_LENGTH = 0x1f, H_CLEAR_BUSY = 0x400 };
enum { TABLE_PACKET = 0x40, TABLE_RANGES = 0x80, RANGE_SIZE = 16, FIS_MAX = 64 };
/* FISes, and where they go in memory. */
enum { FIS_H2D = 0x27, FIS_D2H = 0x34, FIS_PIO_SETUP = 0x5f, FIS_SET_BITS = 0xa1 };
enum { AT_PIO_SETUP = 0x20, AT_D2H = 0x40, AT_SET_BITS = 0x58 };
enum { FIS_I = 0x40, FIS_D = 0x20, FIS_C = 0x80 };
enum { CMD_READ_QUEUED = 0x60, CMD_WRITE_QUEUED = 0x61, DEVICE_FUA = 0x80 };
/* The taskfile. */
enum { REG_FEATURE = 1, REG_NSECTOR, REG_LOW, REG_MID, REG_HIGH, REG_DEVICE, REG_COMMAND };

static void process(struct ahci_port *p);

static struct ide_drive *drive_of(const struct ahci_port *p)
{
    return p->ch.drive[0];
}

/* ---- interrupts ---- */

static void interrupt(struct ahci_port *p, uint32_t bits)
{
    p->is |= bits;
    ahci_update(p->owner);
}

/* PxIS shows two bits of PxSERR. */
static void update_serr(struct ahci_port *p)
{
    p->is &= ~(IS_PCS | IS_PRCS);
    if (p->serr & SERR_DIAG_X) p->is |= IS_PCS;
    if (p->serr & SERR_DIAG_N) p->is |= IS_PRCS;
    ahci_update(p->owner);
}

/* What is wrong with memory or software stops the port. */
static void fatal(struct ahci_port *p, uint32_t bits, const char *what)
{
    LOG(GUEST_ERRORS, "ahci: %s\n", what);
    p->halted = true;
    interrupt(p, bits);
}

/* ---- FISes to memory ---- */

static void put_fis(struct ahci_port *p, unsigned at, const uint8_t *fis, size_t n)
{
    if (p->cmd & CMD_FRE) pci_dma_write(ahci_pci(p->owner), p->fb + at, fis, n);
}

/* The taskfile as a register FIS or PIO Setup FIS tells it, from byte 2 on. */
static void put_taskfile(uint8_t *f, const struct ide_drive *d)
{
    f[2] = d->status, f[3] = d->error;
    f[4] = d->lba_low, f[5] = d->lba_mid, f[6] = d->lba_high, f[7] = d->device;
    f[8] = d->hob_low, f[9] = d->hob_mid, f[10] = d->hob_high;
    f[12] = d->nsector, f[13] = d->hob_nsector;
}

static void show_status(struct ahci_port *p, const struct ide_drive *d)
{
    p->tfd = (uint32_t)d->error << 8 | d->status;
}

/* A register FIS; with `tell` it makes an interrupt. */
static void send_registers(struct ahci_port *p, bool tell)
{
    const struct ide_drive *d = drive_of(p);
    uint8_t f[20] = {FIS_D2H, tell ? FIS_I : 0};
    put_taskfile(f, d);
    show_status(p, d);
    put_fis(p, AT_D2H, f, sizeof f);
    if (tell && (p->cmd & CMD_FRE)) p->is |= IS_DHRS;
}

static void send_signature(struct ahci_port *p)
{
    const struct ide_drive *d = drive_of(p);
    if (!d) return;
    send_registers(p, false);
    p->sig = (uint32_t)d->lba_high << 24 | (uint32_t)d->lba_mid << 16 | (uint32_t)d->lba_low << 8 | d->nsector;
}

/* Queued command `tag` has ended, well or with an error that leaves it unfinished. */
static void send_set_bits(struct ahci_port *p, unsigned tag)
{
    struct ide_drive *d = drive_of(p);
    bool bad = d->status & ATA_ERR;
    uint8_t f[8] = {FIS_SET_BITS, FIS_I, d->status & 0x77, d->error};
    uint32_t done = bad ? 0 : 1u << tag;
    st32_le(f + 4, done);
    if (bad) { /* for its log */
        put_taskfile(d->failed, d);
        d->failed[0] = (uint8_t)tag;
    }
    p->tfd = (p->tfd & 0x88) | (uint32_t)d->error << 8 | f[2];
    p->sact &= ~done;
    put_fis(p, AT_SET_BITS, f, sizeof f);
    p->is |= IS_SDBS;
}

/* ---- data ---- */

static bool next_range(struct ahci_port *p)
{
    struct ahci_ranges *c = &p->run;
    uint8_t r[RANGE_SIZE];
    if (c->next_entry >= c->entries) return false;
    uint64_t at = c->table + TABLE_RANGES + (uint64_t)RANGE_SIZE * c->next_entry;
    if (!pci_dma_read(ahci_pci(p->owner), at, r, sizeof r)) return false;
    c->next_entry++;
    c->addr = ld64_le(r) & ~UINT64_C(1);
    c->left = ((ld32_le(r + 12) & 0x3fffff) | 1) + 1;
    return true;
}

/* As struct ide_front's dma. */
static long move(void *opaque, bool to_memory, uint8_t *buf, size_t n)
{
    struct ahci_port *p = opaque;
    struct pci_device *pci = ahci_pci(p->owner);
    struct ahci_ranges *c = &p->run;
    size_t done = 0;
    if (p->slot < 0) return -1; /* software stopped the port */
    while (done < n) {
        if (!c->left && !next_range(p)) break;
        uint32_t k = (uint32_t)MIN((size_t)c->left, n - done);
        bool ok = to_memory ? pci_dma_write(pci, c->addr, buf + done, k) : pci_dma_read(pci, c->addr, buf + done, k);
        if (!ok) {
            interrupt(p, IS_HBFS);
            return -1;
        }
        c->addr += k, c->left -= k, done += k;
    }
    c->moved += (uint32_t)done;
    if (done < n) p->is |= IS_OFS;
    return (long)done;
}

static bool always_ready(void *opaque)
{
    return true;
}

static void moved_all(void *opaque, bool failed)
{
}

/* ---- the end of commands ---- */

static void write_count(struct ahci_port *p)
{
    uint8_t n[4];
    st32_le(n, p->run.moved);
    pci_dma_write(ahci_pci(p->owner), p->clb + (unsigned)HEADER_SIZE * (unsigned)p->slot + HEADER_COUNT, n, sizeof n);
}

static void end_command(struct ahci_port *p)
{
    const struct ide_drive *d = drive_of(p);
    unsigned slot = (unsigned)p->slot;
    bool bad = d->status & ATA_ERR;
    if (p->queued) {
        send_set_bits(p, slot);
    } else {
        write_count(p);
        if (!bad) p->ci &= ~(1u << slot);
    }
    p->slot = -1;
    if (bad) { /* until software clears ST */
        p->halted = true;
        p->accepted = 0;
        p->is |= IS_TFES;
    }
    ahci_update(p->owner);
    process(p);
}

/* The drive's interrupt; while it offers data pump has that. */
static void set_irq(void *opaque, bool level)
{
    struct ahci_port *p = opaque;
    const struct ide_drive *d = drive_of(p);
    if (!level || !d || (d->status & (ATA_DRQ | ATA_BSY))) return;
    if (p->slot < 0) { /* of a command that was given up */
        show_status(p, d);
        return;
    }
    if (!p->queued) send_registers(p, true);
    end_command(p);
}

/* Moves what the drive offers or asks for between its buffer and memory. */
static void pump(void *opaque)
{
    struct ahci_port *p = opaque;
    struct ide_drive *d = drive_of(p);
    if (p->pumping) return;
    p->pumping = true;
    while (p->slot >= 0 && (d->status & ATA_DRQ)) {
        uint32_t n;
        enum ide_phase phase = d->phase;
        uint8_t *block = ide_block(&p->ch, &n);
        if (!block) break;
        if (phase == IDE_PACKET) {
            if (!pci_dma_read(ahci_pci(p->owner), p->run.table + TABLE_PACKET, block, n)) memset(block, 0, n);
            ide_block_done(&p->ch);
            continue;
        }
        uint8_t f[20] = {FIS_PIO_SETUP, (uint8_t)(FIS_I | (phase == IDE_DATA_IN ? FIS_D : 0))};
        put_taskfile(f, d);
        long got = move(p, phase == IDE_DATA_IN, block, n);
        if (phase == IDE_DATA_OUT && got < (long)n) memset(block + MAX(got, 0L), 0, n - (uint32_t)MAX(got, 0L));
        ide_block_done(&p->ch);
        f[15] = d->status;
        st16_le(f + 16, (uint16_t)n);
        put_fis(p, AT_PIO_SETUP, f, sizeof f);
        p->is |= IS_PSS;
        if (p->slot >= 0 && !(d->status & (ATA_DRQ | ATA_BSY))) { /* that was all; no register FIS comes */
            show_status(p, d);
            end_command(p);
        }
    }
    p->pumping = false;
    ahci_update(p->owner);
}

static const struct ide_front front = {
    .set_irq = set_irq, .dma_ready = always_ready, .dma = move, .dma_done = moved_all, .drq = pump, .sata = true};

/* ---- the beginning of commands ---- */

/* The header, the ranges and the FIS of a slot; false: the port has stopped. */
static bool fetch(struct ahci_port *p, unsigned slot, uint32_t *header, struct ahci_ranges *c, uint8_t fis[FIS_MAX])
{
    uint8_t h[HEADER_SIZE];
    struct pci_device *pci = ahci_pci(p->owner);
    p->last_slot = (uint8_t)slot;
    if (!pci_dma_read(pci, p->clb + (unsigned)HEADER_SIZE * slot, h, sizeof h)) {
        fatal(p, IS_HBFS, "no command list");
        return false;
    }
    *header = ld32_le(h);
    *c = (struct ahci_ranges){.table = ld64_le(h + 8) & ~UINT64_C(0x7f), .entries = *header >> 16};
    if (!pci_dma_read(pci, c->table, fis, FIS_MAX)) {
        fatal(p, IS_HBFS, "no command table");
        return false;
    }
    if (fis[0] != FIS_H2D || (*header & H_FIS_LENGTH) < 4) {
        p->serr |= SERR_ERR_P;
        fatal(p, IS_IFS, "a command that is no register FIS");
        return false;
    }
    return true;
}

static void write_taskfile(struct ahci_port *p, const uint8_t *f)
{
    bool queued = p->queued; /* the count is where others have features */
    ide_write(&p->ch, REG_DEVICE, f[7] & ~ATA_DEV_DRV);
    for (unsigned i = 0; i < 2; i++) { /* what the registers held before comes first */
        unsigned hob = !i;
        ide_write(&p->ch, REG_FEATURE, f[hob ? 11 : 3]);
        ide_write(&p->ch, REG_NSECTOR, queued ? f[hob ? 11 : 3] : f[hob ? 13 : 12]);
        ide_write(&p->ch, REG_LOW, f[hob ? 8 : 4]);
        ide_write(&p->ch, REG_MID, f[hob ? 9 : 5]);
        ide_write(&p->ch, REG_HIGH, f[hob ? 10 : 6]);
    }
    ide_write(&p->ch, REG_COMMAND, f[2]);
}

/* A FIS that writes the device control register. */
static void control(struct ahci_port *p, unsigned slot, uint32_t header, const uint8_t *f)
{
    bool was = p->ch.control & ATA_CTL_SRST, now = f[15] & ATA_CTL_SRST;
    p->ci &= ~(1u << slot);
    ide_write_control(&p->ch, f[15] & ATA_CTL_SRST);
    if (now) {
        p->accepted = 0;
        p->slot = -1;
        p->tfd |= ATA_BSY;
    } else if (was) {
        send_signature(p);
    }
    if (header & H_CLEAR_BUSY) p->tfd &= ~(uint32_t)(ATA_BSY | ATA_DRQ);
}

static bool is_queued(const struct ahci_port *p, const uint8_t *f)
{
    return !drive_of(p)->is_cd && (f[2] == CMD_READ_QUEUED || f[2] == CMD_WRITE_QUEUED);
}

/* Takes the command of a slot of PxCI. */
static void issue(struct ahci_port *p, unsigned slot)
{
    uint8_t f[FIS_MAX];
    uint32_t header;
    struct ahci_ranges c;
    p->cmd = (p->cmd & ~(31u << CMD_CCS_SHIFT)) | slot << CMD_CCS_SHIFT;
    if (!fetch(p, slot, &header, &c, f)) return;
    if (!(f[1] & FIS_C)) {
        control(p, slot, header, f);
        return;
    }
    if (is_queued(p, f)) { /* the drive takes it and is ready for the next */
        p->ci &= ~(1u << slot);
        p->accepted |= 1u << slot;
        return;
    }
    if (p->slot >= 0 || p->accepted) {
        fatal(p, IS_IFS, "an ordinary command among queued ones");
        return;
    }
    p->slot = (int8_t)slot;
    p->queued = false;
    p->run = c;
    p->tfd |= ATA_BSY;
    write_taskfile(p, f);
    if (p->slot == (int)slot && !(drive_of(p)->status & (ATA_BSY | ATA_DRQ))) set_irq(p, true); /* a reset: no interrupt comes */
}

/* Begins a queued command that the drive has accepted. */
static void begin_queued(struct ahci_port *p, unsigned slot)
{
    uint8_t f[FIS_MAX];
    uint32_t header;
    struct ahci_ranges c;
    p->accepted &= ~(1u << slot);
    if (!fetch(p, slot, &header, &c, f) || !is_queued(p, f)) return;
    p->slot = (int8_t)slot;
    p->queued = true;
    p->run = c;
    drive_of(p)->tag = (uint8_t)slot;
    drive_of(p)->fua = f[7] & DEVICE_FUA;
    write_taskfile(p, f);
}

/* The first slot of a set after the last one, or AHCI_SLOTS. */
static unsigned next_slot(const struct ahci_port *p, uint32_t set)
{
    for (unsigned i = 1; i <= AHCI_SLOTS; i++) {
        unsigned slot = (p->last_slot + i) % AHCI_SLOTS;
        if (set >> slot & 1) return slot;
    }
    return AHCI_SLOTS;
}

/* Goes on with what waits: takes commands, one that is not queued when all others have ended, and begins one of the queued. */
static void process(struct ahci_port *p)
{
    if (p->processing) return;
    p->processing = true;
    while ((p->cmd & CMD_ST) && !p->halted && drive_of(p)) {
        bool running = p->slot >= 0, queue = p->accepted || (running && p->queued);
        uint32_t set = (running && !p->queued) || (p->tfd & (ATA_BSY | ATA_DRQ)) ? 0 : queue ? p->ci & p->sact : p->ci;
        if (set) issue(p, next_slot(p, set));
        else if (!running && p->accepted) begin_queued(p, next_slot(p, p->accepted));
        else break;
    }
    p->processing = false;
}

/* ---- resets ---- */

static void forget_commands(struct ahci_port *p)
{
    p->ci = p->sact = p->accepted = 0;
    p->slot = -1;
    p->halted = p->queued = false;
}

/* The link comes up, and the drive tells what it is. */
static void link_up(struct ahci_port *p)
{
    ide_channel_reset(&p->ch);
    p->tfd = TFD_NONE;
    p->sig = SIG_NONE;
    p->ssts = drive_of(p) ? SSTS_LINK : 0;
    if (drive_of(p)) p->serr |= SERR_DIAG_X;
    send_signature(p);
    update_serr(p);
}

void ahci_port_reset(struct ahci_port *p)
{
    p->clb = p->fb = 0;
    p->is = p->ie = p->serr = p->sctl = 0;
    p->cmd = CMD_SUD | CMD_POD;
    p->last_slot = AHCI_SLOTS - 1;
    p->run = (struct ahci_ranges){0};
    forget_commands(p);
    link_up(p);
}

void ahci_port_init(struct ahci_port *p, struct ahci *owner)
{
    p->owner = owner;
    p->ch.front = &front, p->ch.opaque = p;
    p->slot = -1;
}

bool ahci_port_valid(const struct ahci_port *p)
{
    return p->slot >= -1 && p->slot < AHCI_SLOTS && p->last_slot < AHCI_SLOTS && p->ch.select <= 1;
}

/* ---- registers ---- */

uint32_t ahci_port_read(struct ahci_port *p, unsigned reg)
{
    switch (reg) {
    case P_CLB: return (uint32_t)p->clb;
    case P_CLBU: return (uint32_t)(p->clb >> 32);
    case P_FB: return (uint32_t)p->fb;
    case P_FBU: return (uint32_t)(p->fb >> 32);
    case P_IS: return p->is;
    case P_IE: return p->ie;
    case P_CMD:
        return p->cmd | (p->cmd & CMD_FRE ? CMD_FR : 0) | (p->cmd & CMD_ST ? CMD_CR : 0);
    case P_TFD: return p->tfd;
    case P_SIG: return p->sig;
    case P_SSTS: return p->ssts;
    case P_SCTL: return p->sctl;
    case P_SERR: return p->serr;
    case P_SACT: return p->sact;
    case P_CI: return p->ci;
    default: return 0;
    }
}

static void write_cmd(struct ahci_port *p, uint32_t v)
{
    uint32_t was = p->cmd;
    p->cmd = (was & ~CMD_WRITABLE) | (v & CMD_WRITABLE);
    if ((v & CMD_CLO) && !(was & CMD_ST)) p->tfd &= ~(uint32_t)(ATA_BSY | ATA_DRQ);
    if ((was & CMD_ST) && !(v & CMD_ST)) {
        forget_commands(p);
        p->cmd &= ~(31u << CMD_CCS_SHIFT);
        p->last_slot = AHCI_SLOTS - 1;
    }
    if ((v & CMD_ST) && !(v & CMD_FRE)) LOG(GUEST_ERRORS, "ahci: a port is started without a place for FISes\n");
    process(p);
}

static void write_sctl(struct ahci_port *p, uint32_t v)
{
    uint32_t was = p->sctl & DET, now = v & DET;
    p->sctl = v & 0xfff;
    if (now == was) return;
    if (now == DET_RESET || now == DET_OFF) {
        forget_commands(p);
        ide_channel_reset(&p->ch);
        p->tfd = TFD_NONE;
        p->ssts = now == DET_OFF ? DET_OFF : 0;
        if (drive_of(p)) p->serr |= SERR_DIAG_N;
        update_serr(p);
    } else if (!now) {
        link_up(p);
    }
}

void ahci_port_write(struct ahci_port *p, unsigned reg, uint32_t v)
{
    switch (reg) {
    case P_CLB: p->clb = (p->clb & ~UINT64_C(0xffffffff)) | (v & ~0x3ffu); break;
    case P_CLBU: p->clb = (uint32_t)p->clb | (uint64_t)v << 32; break;
    case P_FB: p->fb = (p->fb & ~UINT64_C(0xffffffff)) | (v & ~0xffu); break;
    case P_FBU: p->fb = (uint32_t)p->fb | (uint64_t)v << 32; break;
    case P_IS:
        p->is &= ~(v & IS_W1C);
        ahci_update(p->owner);
        break;
    case P_IE:
        p->ie = v & IE_MASK;
        ahci_update(p->owner);
        break;
    case P_CMD: write_cmd(p, v); break;
    case P_SCTL: write_sctl(p, v); break;
    case P_SERR:
        p->serr &= ~v;
        update_serr(p);
        break;
    case P_SACT:
        if (p->cmd & CMD_ST) p->sact |= v;
        break;
    case P_CI:
        if (!(p->cmd & CMD_ST)) break;
        p->ci |= v;
        process(p);
        break;
    default: LOG(GUEST_ERRORS, "ahci: write to register 0x%x of a port\n", reg); break;
    }
}

static const struct state_field ranges_state[] = {
    STATE_INT(struct ahci_ranges, table), STATE_INT(struct ahci_ranges, entries), STATE_INT(struct ahci_ranges, next_entry),
    STATE_INT(struct ahci_ranges, addr),  STATE_INT(struct ahci_ranges, left),    STATE_INT(struct ahci_ranges, moved),
    STATE_END,
};

const struct state_field ahci_port_state[] = {
    STATE_INT(struct ahci_port, clb),
    STATE_INT(struct ahci_port, fb),
    STATE_INT(struct ahci_port, is),
    STATE_INT(struct ahci_port, ie),
    STATE_INT(struct ahci_port, cmd),
    STATE_INT(struct ahci_port, tfd),
    STATE_INT(struct ahci_port, sig),
    STATE_INT(struct ahci_port, ssts),
    STATE_INT(struct ahci_port, sctl),
    STATE_INT(struct ahci_port, serr),
    STATE_INT(struct ahci_port, sact),
    STATE_INT(struct ahci_port, ci),
    STATE_INT(struct ahci_port, slot),
    STATE_INT(struct ahci_port, last_slot),
    STATE_INT(struct ahci_port, queued),
    STATE_INT(struct ahci_port, halted),
    STATE_INT(struct ahci_port, accepted),
    STATE_STRUCT(struct ahci_port, run, 1, ranges_state),
    STATE_RUNTIME(struct ahci_port, owner),
    STATE_STRUCT(struct ahci_port, ch, 1, ide_channel_state),
    STATE_RUNTIME(struct ahci_port, pumping),
    STATE_RUNTIME(struct ahci_port, processing),
    STATE_END,
};
