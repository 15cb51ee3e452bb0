/*
 * msix.c - MSI-X; see msix.h.
 */
#include "periph/pci/msix.h"

#include "util/log.h"

enum { CAP_ID = 0x11, CAP_SIZE = 12, CONTROL = 2, TABLE = 4, PBA = 8 };
enum { ENABLE = 0x8000, MASK_ALL = 0x4000 };
enum { ENTRY_DATA = 8, ENTRY_CONTROL = 12, ENTRY_MASKED = 1 };

const struct state_field pci_msix_state[] = {
    STATE_ARR(struct pci_msix, table),   STATE_INT(struct pci_msix, pending),
    STATE_RUNTIME(struct pci_msix, pci), STATE_RUNTIME(struct pci_msix, cap),
    STATE_RUNTIME(struct pci_msix, n),   STATE_END,
};

static uint16_t control(const struct pci_msix *m)
{
    return m->cap ? ld16_le(m->pci->pci.config + m->cap + CONTROL) : 0;
}

bool msix_enabled(const struct pci_msix *m)
{
    return control(m) & ENABLE;
}

static void send_pending(struct pci_msix *m)
{
    uint16_t c = control(m);
    if (!(c & ENABLE) || (c & MASK_ALL)) return;
    for (unsigned i = 0; i < m->n && m->pending; i++) {
        const uint8_t *e = m->table + 16 * i;
        if (!(m->pending >> i & 1) || (e[ENTRY_CONTROL] & ENTRY_MASKED)) continue;
        m->pending &= ~(UINT64_C(1) << i);
        pci_send_msi(m->pci, ld64_le(e), ld32_le(e + ENTRY_DATA));
    }
}

void msix_notify(struct pci_msix *m, unsigned vector)
{
    if (vector >= m->n || !msix_enabled(m)) return;
    m->pending |= UINT64_C(1) << vector;
    send_pending(m);
}

void msix_config_written(struct pci_msix *m, unsigned reg, unsigned size)
{
    if (m->cap && reg < m->cap + TABLE && m->cap + CONTROL < reg + size) send_pending(m);
}

static uint64_t bar_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct pci_msix *m = opaque;
    uint8_t pba[8];
    if (addr < 16 * m->n) return ld32_le(m->table + addr);
    st64_le(pba, m->pending);
    if (addr - MSIX_PBA < ALIGN_UP(m->n, 64u) / 8) return ld32_le(pba + (addr - MSIX_PBA));
    return 0;
}

static void bar_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct pci_msix *m = opaque;
    if (addr >= 16 * m->n) {
        LOG(GUEST_ERRORS, "%s: write to 0x%x of the MSI-X BAR\n", m->pci->dev.desc->name,
            (unsigned)addr);
        return;
    }
    if ((addr & 15) == ENTRY_CONTROL) value &= ENTRY_MASKED;
    if ((addr & 15) == 0) value &= ~UINT64_C(3);
    st32_le(m->table + addr, (uint32_t)value);
    send_pending(m);
}

static const struct mmio_ops bar_ops = {.read = bar_read,
                                        .write = bar_write,
                                        .min_size = 4,
                                        .max_size = 8,
                                        .impl_min = 4,
                                        .impl_max = 4};

int msix_init(struct pci_msix *m, struct pci_device *d, unsigned n, unsigned bar, struct error *e)
{
    m->pci = d;
    if (!n || !pci_bus_has_msi(d->pci.bus)) return 0;
    if (n > MSIX_MAX)
        return error_set(e, "%s: %u MSI-X vectors, at most %u", d->dev.desc->name, n, MSIX_MAX);
    unsigned cap = pci_add_capability(d, CAP_ID, CAP_SIZE);
    if (!cap) return error_set(e, "%s: no room for the MSI-X capability", d->dev.desc->name);
    m->cap = (uint8_t)cap;
    m->n = n;
    uint8_t *c = d->pci.config + cap;
    st16_le(c + CONTROL, (uint16_t)(n - 1));
    st32_le(c + TABLE, bar);
    st32_le(c + PBA, MSIX_PBA | bar);
    st16_le(d->pci.wmask + cap + CONTROL, ENABLE | MASK_ALL);
    pci_set_bar(d, bar, PCI_BAR_MEM, region_new_mmio("msix", MSIX_BAR_SIZE, &bar_ops, m));
    return 0;
}

void msix_reset(struct pci_msix *m)
{
    memset(m->table, 0, sizeof m->table);
    m->pending = 0;
    if (!m->cap) return;
    for (unsigned i = 0; i < m->n; i++)
        m->table[16 * i + ENTRY_CONTROL] = ENTRY_MASKED;
    st16_le(m->pci->pci.config + m->cap + CONTROL, (uint16_t)(m->n - 1));
}
