/*
 * abi.c - the list of guest ABIs and the look-ups over their tables.
 */
#include "user/abi.h"

extern const struct abi abi_mips, abi_mipsel, abi_mipsn32, abi_mipsn32el, abi_mips64, abi_mips64el,
    abi_i386, abi_x86_64;

const struct abi *const abi_list[] = {
    &abi_mips, &abi_mipsel, &abi_mipsn32, &abi_mipsn32el, &abi_mips64, &abi_mips64el,
    &abi_i386, &abi_x86_64,
};
const unsigned abi_count = ARRAY_LEN(abi_list);

const struct abi *abi_find(const char *target)
{
    for (unsigned i = 0; i < abi_count; i++)
        if (!strcmp(abi_list[i]->target, target)) return abi_list[i];
    return NULL;
}

/* Tables of pairs end with {0, 0}; a pair {x, 0} or {0, x} says that x has no partner. */
int abi_num_to_host(const struct num_pair *p, int guest)
{
    for (; p->host || p->guest; p++)
        if (p->guest == guest) return p->host;
    return guest;
}

int abi_num_to_guest(const struct num_pair *p, int host)
{
    for (; p->host || p->guest; p++)
        if (p->host == host) return p->guest;
    return host;
}

int abi_errno_to_guest(const struct abi *abi, int host)
{
    return abi_num_to_guest(abi->errnos, host);
}

uint32_t abi_flags_to_host(const struct flag_pair *p, uint32_t guest, uint32_t *unknown)
{
    uint32_t host = 0, seen = 0;
    for (; p->host || p->guest; p++) {
        if (p->guest && (guest & p->guest) == p->guest) host |= p->host;
        seen |= p->guest;
    }
    if (unknown) *unknown = guest & ~seen;
    return host;
}

uint32_t abi_flags_to_guest(const struct flag_pair *p, uint32_t host)
{
    uint32_t guest = 0;
    for (; p->host || p->guest; p++)
        if (p->host && (host & p->host) == p->host) guest |= p->guest;
    return guest;
}

int abi_sig_to_host(const struct abi *abi, int guest)
{
    if (guest < 1 || guest > (int)abi->n_signals) return 0;
    int host = abi_num_to_host(abi->signals, guest);
    return host < SIGNALS && host != SIGNAL_REKICK ? host : 0;
}

int abi_sig_to_guest(const struct abi *abi, int host)
{
    if (host < 1 || host >= SIGNALS) return 0;
    return abi_num_to_guest(abi->signals, host);
}

/* Sets are arrays of longs, bit 0 of word 0 = signal 1. */
uint64_t abi_set_to_host(const struct abi *abi, const uint8_t *set, unsigned bytes)
{
    uint64_t mask = 0;
    unsigned w = abi->long_size;
    for (unsigned sig = 1; sig <= abi->n_signals && sig <= bytes * 8; sig++) {
        unsigned bit = sig - 1;
        if (!(guest_ld(abi, set + bit / (w * 8) * w, w) >> (bit % (w * 8)) & 1)) continue;
        int host = abi_sig_to_host(abi, (int)sig);
        if (host) mask |= (uint64_t)1 << (host - 1);
    }
    return mask;
}

void abi_set_to_guest(const struct abi *abi, uint64_t mask, uint8_t *set, unsigned bytes)
{
    unsigned w = abi->long_size;
    memset(set, 0, bytes);
    for (int host = 1; host < SIGNALS; host++) {
        if (!(mask >> (host - 1) & 1)) continue;
        int sig = abi_sig_to_guest(abi, host);
        if (!sig || (unsigned)sig > bytes * 8) continue;
        uint8_t *p = set + (unsigned)(sig - 1) / (w * 8) * w;
        guest_st(abi, p, w, guest_ld(abi, p, w) | (uint64_t)1 << ((unsigned)(sig - 1) % (w * 8)));
    }
}

uint64_t abi_long(const struct abi *abi, uint64_t v)
{
    return abi->long_size == 4 ? (uint32_t)v : v;
}
int64_t abi_slong(const struct abi *abi, uint64_t v)
{
    return abi->long_size == 4 ? (int32_t)v : (int64_t)v;
}
