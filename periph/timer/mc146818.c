/*
 * mc146818.c - real time clock with 114 bytes of CMOS memory.
 *
 * Follows Motorola's MC146818 data sheet with a 32.768 kHz time base, in the 128-byte form that PC
 * chip sets have. The registers hold the time themselves, as in the chip, and an update once a
 * second of guest time advances them; the host's clock is never read. The property base_time says
 * when the guest begins. Not modelled: the square wave pin and daylight saving (bit DSE).
 */
#include "periph/timer/mc146818.h"

#include "periph/regions.h"
#include "util/log.h"

enum {
    RTC_SEC,
    RTC_SEC_ALARM,
    RTC_MIN,
    RTC_MIN_ALARM,
    RTC_HOUR,
    RTC_HOUR_ALARM,
    RTC_WDAY,
    RTC_MDAY,
    RTC_MONTH,
    RTC_YEAR,
    RTC_A,
    RTC_B,
    RTC_C,
    RTC_D,
    RTC_FIRST_RAM,
    RTC_CENTURY = 0x32
};
enum { A_UIP = 0x80, A_DV = 0x70, A_DV_RUN = 0x20, A_DV_RESET = 0x60, A_RS = 0x0f };
enum {
    B_SET = 0x80,
    B_PIE = 0x40,
    B_AIE = 0x20,
    B_UIE = 0x10,
    B_SQWE = 8,
    B_DM = 4,
    B_24 = 2,
    B_DSE = 1
};
enum { C_IRQF = 0x80, C_PF = 0x40, C_AF = 0x20, C_UF = 0x10 };
enum { D_VRT = 0x80, HOUR_PM = 0x80, ALARM_ANY = 0xc0 };

#define RTC_HZ 32768
/* UIP goes high this long before the update cycle, which itself takes so long (data sheet, table
 * 6). */
#define UIP_AHEAD_NS 244000
#define UPDATE_NS    1984000

struct rtc {
    struct device dev;
    uint64_t base_time; /* int64_t: seconds since 1970-01-01 at guest time 0 */
    uint16_t iobase;
    uint8_t index;
    uint8_t ram[128];       /* registers A, B, C and D included */
    uint64_t divider_start; /* ns when the divider chain was at zero */
    uint64_t periodic_seen; /* periods counted when PF was last brought up to date */
    struct timer update;    /* end of the next update cycle */
    struct timer periodic;  /* next period, while PIE is set and PF clear */
    struct irq_line irq[1];
};

static bool running(const struct rtc *s)
{
    return (s->ram[RTC_A] & A_DV) == A_DV_RUN;
}

static unsigned decode(const struct rtc *s, uint8_t v)
{
    return s->ram[RTC_B] & B_DM ? v : (v >> 4) * 10u + (v & 15);
}

static uint8_t encode(const struct rtc *s, unsigned v)
{
    return (uint8_t)(s->ram[RTC_B] & B_DM ? v : v / 10 << 4 | v % 10);
}

static unsigned decode_hour(const struct rtc *s, uint8_t v)
{
    unsigned h;

    if (s->ram[RTC_B] & B_24) return decode(s, v);
    h = decode(s, v & 0x7f) % 12; /* 12 am is hour 0 */
    return v & HOUR_PM ? h + 12 : h;
}

static uint8_t encode_hour(const struct rtc *s, unsigned h)
{
    if (s->ram[RTC_B] & B_24) return encode(s, h);
    return encode(s, h % 12 ? h % 12 : 12) | (h >= 12 ? HOUR_PM : 0);
}

static unsigned month_days(unsigned month, unsigned year)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    if (month < 1 || month > 12) return 31;
    /* The chip knows two digits of the year: every fourth is a leap year. */
    return month == 2 && year % 4 == 0 ? 29 : days[month - 1];
}

/* Days of a Gregorian year. */
static int year_days(int64_t y)
{
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0 ? 366 : 365;
}

/* Puts `seconds` since 1970 into the time registers in their current format. */
static void set_time(struct rtc *s, int64_t seconds)
{
    enum { DAYS_400_YEARS = 146097 };
    int64_t days = seconds / 86400, rest = seconds % 86400, year;
    unsigned month;

    if (rest < 0) rest += 86400, days--;
    s->ram[RTC_SEC] = encode(s, (unsigned)(rest % 60));
    s->ram[RTC_MIN] = encode(s, (unsigned)(rest / 60 % 60));
    s->ram[RTC_HOUR] = encode_hour(s, (unsigned)(rest / 3600));
    s->ram[RTC_WDAY] = encode(s, (unsigned)(((days + 4) % 7 + 7) % 7) +
                                     1); /* 1970-01-01 was a Thursday; 1 = Sunday */
    /* The calendar repeats every 400 years, which also bounds the loop. */
    year = 1970 + days / DAYS_400_YEARS * 400;
    days %= DAYS_400_YEARS;
    if (days < 0) days += DAYS_400_YEARS, year -= 400;
    for (; days >= year_days(year); year++)
        days -= year_days(year);
    for (month = 1;; month++) {
        int n = month == 2 ? year_days(year) - 337 : (int)month_days(month, 1);
        if (days < n) break;
        days -= n;
    }
    s->ram[RTC_MDAY] = encode(s, (unsigned)days + 1);
    s->ram[RTC_MONTH] = encode(s, month);
    year = (year % 10000 + 10000) % 10000;
    s->ram[RTC_YEAR] = encode(s, (unsigned)(year % 100));
    s->ram[RTC_CENTURY] =
        (uint8_t)(year / 1000 << 4 | year / 100 % 10); /* by convention of PCs; always BCD */
}

/* One second more, register by register as the chip carries. */
static void advance(struct rtc *s)
{
    unsigned v, year;

    v = decode(s, s->ram[RTC_SEC]) + 1;
    s->ram[RTC_SEC] = encode(s, v < 60 ? v : 0);
    if (v < 60) return;
    v = decode(s, s->ram[RTC_MIN]) + 1;
    s->ram[RTC_MIN] = encode(s, v < 60 ? v : 0);
    if (v < 60) return;
    v = decode_hour(s, s->ram[RTC_HOUR]) + 1;
    s->ram[RTC_HOUR] = encode_hour(s, v < 24 ? v : 0);
    if (v < 24) return;
    v = decode(s, s->ram[RTC_WDAY]) + 1;
    s->ram[RTC_WDAY] = encode(s, v <= 7 ? v : 1);
    year = decode(s, s->ram[RTC_YEAR]);
    v = decode(s, s->ram[RTC_MDAY]) + 1;
    if (v <= month_days(decode(s, s->ram[RTC_MONTH]), year)) {
        s->ram[RTC_MDAY] = encode(s, v);
        return;
    }
    s->ram[RTC_MDAY] = encode(s, 1);
    v = decode(s, s->ram[RTC_MONTH]) + 1;
    s->ram[RTC_MONTH] = encode(s, v <= 12 ? v : 1);
    if (v <= 12) return;
    s->ram[RTC_YEAR] = encode(s, year < 99 ? year + 1 : 0);
}

static bool alarm_matches(const struct rtc *s)
{
    static const uint8_t pairs[3][2] = {
        {RTC_SEC, RTC_SEC_ALARM}, {RTC_MIN, RTC_MIN_ALARM}, {RTC_HOUR, RTC_HOUR_ALARM}};

    for (unsigned i = 0; i < 3; i++) {
        uint8_t alarm = s->ram[pairs[i][1]];
        if ((alarm & ALARM_ANY) != ALARM_ANY && alarm != s->ram[pairs[i][0]]) return false;
    }
    return true;
}

/* Ticks of 32.768 kHz in a period; 0: none is selected. */
static unsigned period(const struct rtc *s)
{
    unsigned rs = s->ram[RTC_A] & A_RS;

    if (!rs || !running(s)) return 0;
    return 1u << (rs <= 2 ? rs + 6 : rs - 1);
}

static uint64_t periods(const struct rtc *s)
{
    uint64_t now = clock_now(s->dev.clock);

    return now < s->divider_start ? 0 : clock_ticks(now - s->divider_start, RTC_HZ) / period(s);
}

/* Sets PF when a period has ended since the last look. */
static void catch_up(struct rtc *s)
{
    uint64_t n;

    if (!period(s)) return;
    n = periods(s);
    if (n > s->periodic_seen) s->ram[RTC_C] |= C_PF;
    s->periodic_seen = n;
}

static void update_irq(struct rtc *s)
{
    bool on = s->ram[RTC_B] & s->ram[RTC_C] & (C_PF | C_AF | C_UF);

    if (on)
        s->ram[RTC_C] |= C_IRQF;
    else
        s->ram[RTC_C] &= (uint8_t)~C_IRQF;
    irq_set(&s->irq[0], on);
    /* Nobody sees PF set a second time before C is read: no events are spent on that. */
    if ((s->ram[RTC_B] & B_PIE) && !(s->ram[RTC_C] & C_PF) && period(s))
        timer_arm(&s->periodic,
                  s->divider_start + clock_ticks_to_ns((periods(s) + 1) * period(s), RTC_HZ));
    else
        timer_cancel(&s->periodic);
}

static void periodic_event(void *opaque)
{
    struct rtc *s = opaque;

    catch_up(s);
    update_irq(s);
}

static void update_event(void *opaque)
{
    struct rtc *s = opaque;

    timer_arm(&s->update, s->update.deadline == TIME_NEVER ? clock_now(s->dev.clock) + NS_PER_SEC
                                                           : s->update.deadline + NS_PER_SEC);
    if (s->ram[RTC_B] & B_SET) return;
    advance(s);
    s->ram[RTC_C] |= C_UF;
    if (alarm_matches(s)) s->ram[RTC_C] |= C_AF;
    update_irq(s);
}

static void write_a(struct rtc *s, uint8_t v)
{
    bool ran = running(s);

    catch_up(s);
    s->ram[RTC_A] = v & (uint8_t)~A_UIP;
    if (running(s) && !ran) {
        /* The first update comes half a second after the divider is let go. */
        s->divider_start = clock_now(s->dev.clock);
        timer_arm(&s->update, s->divider_start + NS_PER_SEC / 2);
    } else if (!running(s)) {
        timer_cancel(&s->update);
    }
    s->periodic_seen = period(s) ? periods(s) : 0;
}

static void data_write(struct rtc *s, uint8_t v)
{
    switch (s->index) {
    case RTC_A: write_a(s, v); break;
    case RTC_B:
        catch_up(s);
        if (v & B_SET) v &= (uint8_t)~B_UIE; /* as the data sheet says */
        s->ram[RTC_B] = v;
        break;
    case RTC_C:
    case RTC_D:
        LOG(GUEST_ERRORS, "mc146818rtc: write to read-only register %c\n", 'A' + s->index - RTC_A);
        return;
    case RTC_SEC: s->ram[RTC_SEC] = v & 0x7f; return; /* bit 7 is always 0 */
    default: s->ram[s->index] = v; return;
    }
    update_irq(s);
}

static uint8_t data_read(struct rtc *s)
{
    uint8_t v;

    switch (s->index) {
    case RTC_A: {
        uint64_t now = clock_now(s->dev.clock);
        bool soon = timer_armed(&s->update) &&
                    s->update.deadline - MIN(now, s->update.deadline) <= UIP_AHEAD_NS + UPDATE_NS;
        return s->ram[RTC_A] | (soon && !(s->ram[RTC_B] & B_SET) ? A_UIP : 0);
    }
    case RTC_C:
        catch_up(s);
        update_irq(s);
        v = s->ram[RTC_C];
        s->ram[RTC_C] = 0;
        update_irq(s);
        return v;
    case RTC_D: return D_VRT;
    default: return s->ram[s->index];
    }
}

static uint64_t rtc_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)size;
    return addr & 1 ? data_read(opaque) : 0xff; /* the index cannot be read back */
}

static void rtc_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct rtc *s = opaque;

    (void)size;
    if (addr & 1)
        data_write(s, (uint8_t)value);
    else
        s->index = value & 0x7f; /* bit 7 is the NMI mask, outside of this chip */
}

void mc146818_set_cmos(struct device *d, unsigned index, uint8_t value)
{
    if (index >= RTC_FIRST_RAM && index < 128) ((struct rtc *)d)->ram[index] = value;
}

static const struct mmio_ops rtc_ops = {
    .read = rtc_read, .write = rtc_write, .impl_min = 1, .impl_max = 1};

static int rtc_realize(struct device *d, struct error *e)
{
    struct rtc *s = (struct rtc *)d;

    timer_init(&s->update, d->clock, update_event, s);
    timer_init(&s->periodic, d->clock, periodic_event, s);
    /* What a PC's firmware leaves: running, 1024 Hz selected, 24 hours, BCD. */
    s->ram[RTC_A] = A_DV_RUN | 6;
    s->ram[RTC_B] = B_24;
    s->ram[RTC_D] = D_VRT;
    s->divider_start = clock_now(d->clock);
    set_time(s, (int64_t)s->base_time + (int64_t)(s->divider_start / NS_PER_SEC));
    timer_arm(&s->update, s->divider_start + NS_PER_SEC);
    if (!s->iobase) {
        periph_make_mmio(d, 0, "rtc", 2, &rtc_ops);
        return 0;
    }
    return periph_map_ports(d, 0, "rtc", s->iobase, 2, &rtc_ops, e);
}

static void rtc_unrealize(struct device *d)
{
    struct rtc *s = (struct rtc *)d;

    timer_cancel(&s->update);
    timer_cancel(&s->periodic);
    periph_drop_regions(d);
}

/* The battery keeps time and memory; the RESET pin clears enables and flags. */
static void rtc_reset(struct device *d)
{
    struct rtc *s = (struct rtc *)d;

    catch_up(s);
    s->ram[RTC_B] &= (uint8_t) ~(B_PIE | B_AIE | B_UIE | B_SQWE);
    s->ram[RTC_C] = 0;
    update_irq(s);
}

static int rtc_post_load(struct device *d, struct error *e)
{
    struct rtc *s = (struct rtc *)d;

    (void)e;
    s->index &= 0x7f;
    irq_set(&s->irq[0], s->ram[RTC_C] & C_IRQF);
    return 0;
}

static const struct prop_desc rtc_props[] = {
    PROP(struct rtc, PROP_U64, "base_time", base_time, 0,
         "seconds since 1970 at machine start (signed)"),
    PROP(struct rtc, PROP_U16, "iobase", iobase, 0x70,
         "first I/O port (0: the board maps region 0)"),
    PROP_END,
};

static const struct state_field rtc_state[] = {
    STATE_PROP(struct rtc, base_time),     STATE_PROP(struct rtc, iobase),
    STATE_INT_RESET(struct rtc, index, 0), STATE_ARR(struct rtc, ram),
    STATE_INT(struct rtc, divider_start),  STATE_INT(struct rtc, periodic_seen),
    STATE_TIMER(struct rtc, update),       STATE_TIMER(struct rtc, periodic),
    STATE_RUNTIME(struct rtc, irq),        STATE_END,
};

static const struct reg_desc rtc_regs[] = {
    {0, "index", 1},
    {1, "data", 1},
    REG_END,
};

const struct dev_desc mc146818_desc = {
    .name = "mc146818rtc",
    .help = "MC146818 real time clock and CMOS memory",
    .bus = BUS_ISA,
    .category = DEV_TIMER,
    .size = sizeof(struct rtc),
    .props = rtc_props,
    .state = rtc_state,
    .regs = rtc_regs,
    .realize = rtc_realize,
    .unrealize = rtc_unrealize,
    .reset = rtc_reset,
    .post_load = rtc_post_load,
    .irq_offset = offsetof(struct rtc, irq),
    .n_irqs = 1,
};
