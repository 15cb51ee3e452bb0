/*
 * mmc.c - tables of CD/DVD-ROM drives; see mmc.h.
 */
#include "periph/scsi/mmc.h"

enum { INVALID_FIELD = -(0x24 << 8), NO_SAVED_PAGES = -(0x39 << 8), NOT_A_DVD = -(0x30 << 8 | 2) };
enum { CD_MAX = 405000 }; /* sectors: more than the largest CD */

static void msf(uint8_t *out, uint32_t lba)
{
    lba += 150;
    out[0] = 0;
    out[1] = (uint8_t)(lba / 75 / 60), out[2] = (uint8_t)(lba / 75 % 60),
    out[3] = (uint8_t)(lba % 75);
}

static void toc_address(uint8_t *out, bool in_msf, uint32_t lba)
{
    if (in_msf)
        msf(out, lba);
    else
        st32_be(out, lba);
}

/* One data track and the lead-out. */
static int read_toc(const struct mmc_drive *d, const uint8_t *p, uint8_t *b)
{
    bool in_msf = p[1] & 2;
    uint8_t format = p[2] & 15, start = p[6];
    uint32_t n = 4, total = (uint32_t)MIN(d->sectors, UINT32_MAX - 150);
    if (!format) format = p[9] >> 6;
    memset(b, 0, 64);
    switch (format) {
    case 0:
        if (start > 1 && start != 0xaa) return INVALID_FIELD;
        b[2] = b[3] = 1;
        if (start <= 1) {
            b[n + 1] = 0x14, b[n + 2] = 1;
            toc_address(b + n + 4, in_msf, 0);
            n += 8;
        }
        b[n + 1] = 0x16, b[n + 2] = 0xaa;
        toc_address(b + n + 4, in_msf, total);
        n += 8;
        break;
    case 1: /* one session */
        b[2] = b[3] = 1;
        b[5] = 0x14, b[6] = 1;
        toc_address(b + 8, in_msf, 0);
        n = 12;
        break;
    case 2: { /* raw: first, last track, lead-out, track 1 */
        static const uint8_t points[4] = {0xa0, 0xa1, 0xa2, 1};
        b[2] = b[3] = 1;
        for (unsigned i = 0; i < 4; i++, n += 11) {
            b[n] = 1, b[n + 1] = 0x14, b[n + 3] = points[i];
            if (points[i] == 0xa2)
                msf(b + n + 7, total);
            else if (points[i] == 1)
                msf(b + n + 7, 0);
            else
                b[n + 8] = 1;
        }
        break;
    }
    default: return INVALID_FIELD;
    }
    st16_be(b, (uint16_t)(n - 2));
    return (int)n;
}

int mmc_mode_pages(const struct mmc_drive *d, unsigned page, unsigned control, uint8_t *b)
{
    unsigned n = 0;
    bool found = false;
    if (control == 3) return NO_SAVED_PAGES;
    memset(b, 0, 64);
    if (page == 0x01 || page == 0x3f) { /* error recovery */
        b[n] = 0x01, b[n + 1] = 6;
        if (control == 0) b[n + 3] = 5;
        n += 8, found = true;
    }
    if (page == 0x0e || page == 0x3f) { /* audio control */
        b[n] = 0x0e, b[n + 1] = 14;
        n += 16, found = true;
    }
    if (page == 0x2a || page == 0x3f) { /* capabilities and mechanical status */
        b[n] = 0x2a, b[n + 1] = 20;
        if (control != 1) {
            b[n + 2] = 0x3b;                                  /* reads CD-R, CD-RW, DVD */
            b[n + 4] = 0x70;                                  /* mode 2, multisession */
            b[n + 6] = (uint8_t)(0x29 | (d->locked ? 2 : 0)); /* tray, eject, lock */
            st16_be(b + n + 8, 706);
            st16_be(b + n + 10, 2);
            st16_be(b + n + 12, 512);
            st16_be(b + n + 14, 706);
        }
        n += 22, found = true;
    }
    return found ? (int)n : INVALID_FIELD;
}

static int mode_sense(const struct mmc_drive *d, const uint8_t *p, uint8_t *b)
{
    int n = mmc_mode_pages(d, p[2] & 0x3f, p[2] >> 6, b + 8);
    if (n < 0) return n;
    memset(b, 0, 8);
    st16_be(b, (uint16_t)(n + 8 - 2));
    b[2] = d->tray_open ? 0x71 : d->disc ? 0x01 : 0x70;
    return n + 8;
}

/* Feature descriptors of a drive that reads CDs and DVDs. */
static int get_configuration(const struct mmc_drive *d, const uint8_t *p, uint8_t *b)
{
    bool dvd = d->sectors > CD_MAX;
    uint16_t profile = !mmc_has_medium(d) ? 0 : dvd ? 0x10 : 0x08, start = ld16_be(p + 2);
    uint8_t rt = p[1] & 3;
    uint32_t n = 8;
    struct {
        uint16_t code;
        uint8_t flags, len;
        uint8_t data[8];
    } f[] = {
        {0x0000,
         0x03,
         8,
         {0x00, 0x10, dvd && profile, 0, 0x00, 0x08, !dvd && profile, 0}}, /* profiles */
        {0x0001, 0x0b, 8, {0, 0, 0, 2, 1, 0, 0, 0}},                       /* core: ATAPI */
        {0x0002, 0x07, 4, {2, 0, 0, 0}},                                   /* morphing: events */
        {0x0003, 0x03, 4, {0x29, 0, 0, 0}},          /* removable medium: tray */
        {0x0010, 0x01, 8, {0, 0, 8, 0, 0, 1, 0, 0}}, /* random readable */
        {0x001e, 0x09, 4, {0, 0, 0, 0}},             /* CD read */
        {0x001f, 0x01, 0, {0}},                      /* DVD read */
    };
    if (rt == 3) return INVALID_FIELD;
    memset(b, 0, 128);
    st16_be(b + 6, profile);
    for (size_t i = 0; i < ARRAY_LEN(f); i++) {
        bool current = (f[i].flags & 1) || (f[i].code == 0x1e && profile == 8) ||
                       (f[i].code == 0x1f && profile == 0x10);
        if (f[i].code < start || (rt == 1 && !current) || (rt == 2 && f[i].code != start)) continue;
        st16_be(b + n, f[i].code);
        b[n + 2] = (uint8_t)((f[i].flags & ~1u) | current);
        b[n + 3] = f[i].len;
        memcpy(b + n + 4, f[i].data, f[i].len);
        n += 4u + f[i].len;
    }
    st32_be(b, n - 4);
    return (int)n;
}

/* Polled only. Class 4: media. */
static int event_status(struct mmc_drive *d, const uint8_t *p, uint8_t *b)
{
    if (!(p[1] & 1)) return INVALID_FIELD; /* asynchronous operation is not supported */
    memset(b, 0, 8);
    b[3] = 1 << 4; /* supported classes */
    if (!(p[4] & 1 << 4)) {
        b[1] = 2;
        b[2] = 0x80; /* no event available */
        return 4;
    }
    b[1] = 6;
    b[2] = 4;
    b[4] = d->event;
    b[5] = (uint8_t)((d->tray_open ? 1 : 0) | (mmc_has_medium(d) ? 2 : 0));
    d->event = 0;
    return 8;
}

static int mechanism_status(uint8_t *b, bool open)
{
    memset(b, 0, 8);
    b[1] = open ? 0x10 : 0;
    b[5] = 1;
    return 8;
}

static int disc_information(uint8_t *b)
{
    memset(b, 0, 34);
    b[1] = 32;
    b[2] = 0x0e; /* complete, last session complete */
    b[3] = b[4] = b[5] = b[6] = 1;
    b[7] = 0x20; /* unrestricted use */
    return 34;
}

static int dvd_structure(const struct mmc_drive *d, const uint8_t *p, uint8_t *b)
{
    int n;
    memset(b, 0, 2052);
    if (d->sectors <= CD_MAX) return NOT_A_DVD;
    switch (p[7]) {
    case 0: /* physical format: one layer, read only */
        n = 2052;
        b[4] = 0x01, b[5] = 0x0f, b[6] = 0x01;
        st32_be(b + 8, 0x30000);
        st32_be(b + 12, (uint32_t)(0x30000 + d->sectors - 1));
        break;
    case 1: n = 8; break; /* no copyright protection */
    default: return INVALID_FIELD;
    }
    st16_be(b, (uint16_t)(n - 2));
    return n;
}

int mmc_reply(struct mmc_drive *d, const uint8_t *p, uint8_t *b, uint32_t *allocation)
{
    *allocation = ld16_be(p + 7);
    switch (p[0]) {
    case 0x42: /* READ SUB-CHANNEL: no audio is playing */
        memset(b, 0, 4);
        b[1] = 0x15;
        return 4;
    case 0x43: return read_toc(d, p, b);
    case 0x46: return get_configuration(d, p, b);
    case 0x4a: return event_status(d, p, b);
    case 0x51: return disc_information(b);
    case 0x5a: return mode_sense(d, p, b);
    case 0xad: *allocation = ld16_be(p + 8); return dvd_structure(d, p, b);
    case 0xbd: *allocation = ld16_be(p + 8); return mechanism_status(b, d->tray_open);
    default: return MMC_UNKNOWN;
    }
}
