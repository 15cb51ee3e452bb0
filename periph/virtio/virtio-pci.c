/*
 * virtio-pci.c - the registers of virtio over PCI; see virtio-pci.h.
 */
#include "periph/virtio/virtio-pci.h"

#include "util/log.h"

/* Legacy registers, section 4.1.4.10. */
enum {
    L_OFFERED = 0,
    L_FEATURES = 4,
    L_PFN = 8,
    L_SIZE = 12,
    L_SELECT = 14,
    L_NOTIFY = 16,
    L_STATUS = 18,
    L_ISR = 19,
    L_CONFIG_VECTOR = 20,
    L_VECTOR = 22,
    L_CONFIG = 20, /* 24 while MSI-X is on */
    PFN_SHIFT = 12
};
/* The common configuration, section 4.1.4.3. */
enum {
    C_OFFERED_SELECT = 0x00,
    C_OFFERED = 0x04,
    C_FEATURE_SELECT = 0x08,
    C_FEATURES = 0x0c,
    C_CONFIG_VECTOR = 0x10,
    C_NUM_QUEUES = 0x12,
    C_STATUS = 0x14,
    C_GENERATION = 0x15,
    C_SELECT = 0x16,
    C_SIZE = 0x18,
    C_VECTOR = 0x1a,
    C_ENABLE = 0x1c,
    C_NOTIFY_OFF = 0x1e,
    C_DESC = 0x20,
    C_AVAIL = 0x28,
    C_USED = 0x30,
    C_NOTIFY_DATA = 0x38
};
/* Parts of BAR 4. */
enum {
    MODERN_BAR = 4,
    PART_SIZE = 0x1000,
    COMMON_AT = 0x0000,
    ISR_AT = 0x1000,
    CONFIG_AT = 0x2000,
    NOTIFY_AT = 0x3000,
    MODERN_SIZE = 0x4000,
    NOTIFY_STEP = 4
};
enum {
    CAP_VENDOR = 9,
    CAP_COMMON = 1,
    CAP_NOTIFY = 2,
    CAP_ISR = 3,
    CAP_DEVICE = 4,
    CAP_WINDOW = 5
};
/* struct virtio_pci_cap */
enum { VC_LEN = 2, VC_TYPE = 3, VC_BAR = 4, VC_OFFSET = 8, VC_LENGTH = 12, VC_MORE = 16 };

const struct state_field virtio_front_state[] = {
    STATE_PROP(struct virtio_front, disable_legacy),
    STATE_PROP(struct virtio_front, disable_modern),
    STATE_PROP(struct virtio_front, vectors),
    STATE_INT(struct virtio_front, config_vector),
    STATE_INT(struct virtio_front, queue_select),
    STATE_INT(struct virtio_front, offered_select),
    STATE_INT(struct virtio_front, feature_select),
    STATE_STRUCT(struct virtio_front, msix, 1, pci_msix_state),
    STATE_RUNTIME(struct virtio_front, v),
    STATE_RUNTIME(struct virtio_front, legacy),
    STATE_RUNTIME(struct virtio_front, modern),
    STATE_RUNTIME(struct virtio_front, window),
    STATE_END,
};

/* ---- what the device asks of us ---- */

static bool front_read(void *front, uint64_t addr, void *buf, size_t n)
{
    return pci_dma_read(front, addr, buf, n);
}

static bool front_write(void *front, uint64_t addr, const void *buf, size_t n)
{
    return pci_dma_write(front, addr, buf, n);
}

static void update_pin(struct virtio_pci *p)
{
    pci_set_irq(pci_device(&p->dev), p->front.v->isr && !msix_enabled(&p->front.msix));
}

static void front_interrupt(void *front, int queue)
{
    struct virtio_pci *p = front;
    struct virtio_front *f = &p->front;
    if (msix_enabled(&f->msix))
        msix_notify(&f->msix, queue < 0 ? f->config_vector : f->v->vq[queue].vector);
    else
        update_pin(p);
}

static const struct virtio_transport transport = {
    .read = front_read, .write = front_write, .interrupt = front_interrupt};

/* ---- what both register sets share ---- */

static uint8_t take_isr(struct virtio_pci *p)
{
    uint8_t isr = p->front.v->isr;
    p->front.v->isr = 0;
    update_pin(p);
    return isr;
}

static void set_status(struct virtio_pci *p, uint8_t status, bool legacy)
{
    struct virtio_front *f = &p->front;
    virtio_set_status(f->v, status, legacy);
    if (status) return;
    f->config_vector = VIRTIO_NO_VECTOR;
    f->queue_select = 0;
    f->offered_select = f->feature_select = 0;
    update_pin(p);
}

static uint16_t valid_vector(const struct virtio_front *f, uint64_t vector)
{
    return vector < f->msix.n ? (uint16_t)vector : VIRTIO_NO_VECTOR;
}

/* The selected queue; NULL: it does not exist. */
static struct virtio_queue *selected(const struct virtio_front *f)
{
    return f->queue_select < f->v->n_queues ? &f->v->vq[f->queue_select] : NULL;
}

/* The device is in guest memory, and that leads back to its own registers. */
static bool from_itself(const struct virtio *v)
{
    if (v->in_dma)
        LOG(GUEST_ERRORS, "%s: the device is told to access its own registers\n", v->class->name);
    return v->in_dma;
}

static uint64_t config_read(struct virtio *v, uint64_t at, unsigned size)
{
    uint64_t x = 0;
    for (unsigned i = 0; i < size; i++)
        x |= (uint64_t)virtio_config_read(v, (unsigned)at + i) << 8 * i;
    return x;
}

/* ---- legacy ---- */

static uint64_t legacy_read(void *opaque, uint64_t addr, unsigned size)
{
    struct virtio_pci *p = opaque;
    struct virtio_front *f = &p->front;
    const struct virtio_queue *q = selected(f);
    unsigned config = msix_enabled(&f->msix) ? L_CONFIG + 4 : L_CONFIG;
    if (from_itself(f->v)) return 0;
    if (addr >= config) return config_read(f->v, addr - config, size);
    switch (addr) {
    case L_OFFERED: return virtio_offered(f->v, true);
    case L_FEATURES: return (uint32_t)f->v->features;
    case L_PFN: return q && q->enabled ? q->desc >> PFN_SHIFT : 0;
    case L_SIZE: return q ? q->max_size : 0;
    case L_SELECT: return f->queue_select;
    case L_STATUS: return f->v->status;
    case L_ISR: return take_isr(p);
    case L_CONFIG_VECTOR: return f->config_vector;
    case L_VECTOR: return q ? q->vector : VIRTIO_NO_VECTOR;
    default: return 0;
    }
}

static void legacy_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct virtio_pci *p = opaque;
    struct virtio_front *f = &p->front;
    struct virtio_queue *q = selected(f);
    unsigned config = msix_enabled(&f->msix) ? L_CONFIG + 4 : L_CONFIG;
    if (from_itself(f->v)) return;
    if (addr >= config) {
        virtio_config_write(f->v, (unsigned)(addr - config), value, size);
        return;
    }
    switch (addr) {
    case L_FEATURES: virtio_set_features(f->v, 0, (uint32_t)value, true); break;
    case L_PFN:
        if (!value) {
            set_status(p, 0, true); /* how drivers before 1.0 reset it */
        } else if (q) {
            q->size = q->max_size;
            virtio_set_legacy_queue(f->v, f->queue_select, (value & UINT32_MAX) << PFN_SHIFT);
        }
        break;
    case L_SELECT: f->queue_select = (uint16_t)value; break;
    case L_NOTIFY: virtio_kick(f->v, (unsigned)value & 0xffff); break;
    case L_STATUS: set_status(p, (uint8_t)value, true); break;
    case L_CONFIG_VECTOR: f->config_vector = valid_vector(f, value); break;
    case L_VECTOR:
        if (q) q->vector = valid_vector(f, value);
        break;
    default:
        LOG(GUEST_ERRORS, "%s: write to legacy register 0x%x\n", f->v->class->name, (unsigned)addr);
        break;
    }
}

static const struct mmio_ops legacy_ops = {
    .read = legacy_read, .write = legacy_write, .min_size = 1, .max_size = 4, .unaligned = true};

/* ---- 1.0 ---- */

static uint64_t half(uint64_t v, uint64_t addr)
{
    return addr & 4 ? v >> 32 : v & UINT32_MAX;
}

static uint64_t common_read(struct virtio_front *f, uint64_t addr)
{
    struct virtio *v = f->v;
    const struct virtio_queue *q = selected(f);
    switch (addr) {
    case C_OFFERED_SELECT: return f->offered_select;
    case C_OFFERED:
        return f->offered_select < 2
                   ? virtio_offered(v, false) >> 32 * f->offered_select & UINT32_MAX
                   : 0;
    case C_FEATURE_SELECT: return f->feature_select;
    case C_FEATURES:
        return f->feature_select < 2 ? v->features >> 32 * f->feature_select & UINT32_MAX : 0;
    case C_CONFIG_VECTOR: return f->config_vector;
    case C_NUM_QUEUES: return v->n_queues;
    case C_STATUS: return v->status;
    case C_GENERATION: return v->generation;
    case C_SELECT: return f->queue_select;
    case C_SIZE: return q ? q->size : 0;
    case C_VECTOR: return q ? q->vector : VIRTIO_NO_VECTOR;
    case C_ENABLE: return q && q->enabled;
    case C_NOTIFY_OFF:
    case C_NOTIFY_DATA: return q ? f->queue_select : 0;
    case C_DESC:
    case C_DESC + 4: return q ? half(q->desc, addr) : 0;
    case C_AVAIL:
    case C_AVAIL + 4: return q ? half(q->avail, addr) : 0;
    case C_USED:
    case C_USED + 4: return q ? half(q->used, addr) : 0;
    default: return 0;
    }
}

static void set_half(uint64_t *x, uint64_t addr, uint64_t value)
{
    unsigned shift = addr & 4 ? 32 : 0;
    *x = (*x & ~((uint64_t)UINT32_MAX << shift)) | (value & UINT32_MAX) << shift;
}

static void write_queue_register(struct virtio_front *f, struct virtio_queue *q, uint64_t addr,
                                 uint64_t value)
{
    const char *name = f->v->class->name;
    switch (addr) {
    case C_VECTOR: q->vector = valid_vector(f, value); return;
    case C_ENABLE:
        if (value == 1 && !q->enabled && q->size) {
            q->enabled = true;
            q->last_avail = q->used_idx = 0;
            q->signalled_valid = false;
        }
        return;
    default: break;
    }
    if (q->enabled) {
        LOG(GUEST_ERRORS, "%s: queue %u is changed while it is enabled\n", name, f->queue_select);
        return;
    }
    switch (addr) {
    case C_SIZE:
        value &= 0xffff;
        if (value > q->max_size || (value & (value - 1)))
            LOG(GUEST_ERRORS, "%s: a queue cannot have %u entries\n", name, (unsigned)value);
        else
            q->size = (uint16_t)value;
        break;
    case C_DESC:
    case C_DESC + 4: set_half(&q->desc, addr, value); break;
    case C_AVAIL:
    case C_AVAIL + 4: set_half(&q->avail, addr, value); break;
    default: set_half(&q->used, addr, value); break;
    }
}

static void common_write(struct virtio_pci *p, uint64_t addr, uint64_t value)
{
    struct virtio_front *f = &p->front;
    struct virtio_queue *q = selected(f);
    switch (addr) {
    case C_OFFERED_SELECT: f->offered_select = (uint32_t)value; break;
    case C_FEATURE_SELECT: f->feature_select = (uint32_t)value; break;
    case C_FEATURES: virtio_set_features(f->v, f->feature_select, (uint32_t)value, false); break;
    case C_CONFIG_VECTOR: f->config_vector = valid_vector(f, value); break;
    case C_STATUS: set_status(p, (uint8_t)value, false); break;
    case C_SELECT: f->queue_select = (uint16_t)value; break;
    case C_SIZE:
    case C_VECTOR:
    case C_ENABLE:
    case C_DESC:
    case C_DESC + 4:
    case C_AVAIL:
    case C_AVAIL + 4:
    case C_USED:
    case C_USED + 4:
        if (q) write_queue_register(f, q, addr, value);
        break;
    default:
        LOG(GUEST_ERRORS, "%s: write to register 0x%x\n", f->v->class->name, (unsigned)addr);
        break;
    }
}

static uint64_t modern_read(void *opaque, uint64_t addr, unsigned size)
{
    struct virtio_pci *p = opaque;
    if (from_itself(p->front.v)) return 0;
    switch (addr / PART_SIZE * PART_SIZE) {
    case COMMON_AT: return common_read(&p->front, addr);
    case ISR_AT: return addr == ISR_AT ? take_isr(p) : 0;
    case CONFIG_AT: return config_read(p->front.v, addr - CONFIG_AT, size);
    default: return 0;
    }
}

static void modern_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct virtio_pci *p = opaque;
    if (from_itself(p->front.v)) return;
    switch (addr / PART_SIZE * PART_SIZE) {
    case COMMON_AT: common_write(p, addr, value); break;
    case CONFIG_AT:
        virtio_config_write(p->front.v, (unsigned)(addr - CONFIG_AT), value, size);
        break;
    case NOTIFY_AT: virtio_kick(p->front.v, (unsigned)(addr - NOTIFY_AT) / NOTIFY_STEP); break;
    default: break;
    }
}

static const struct mmio_ops modern_ops = {.read = modern_read,
                                           .write = modern_write,
                                           .min_size = 1,
                                           .max_size = 8,
                                           .impl_min = 1,
                                           .impl_max = 4};

/* ---- configuration space ---- */

/* What the window capability points at: a piece of BAR 4, 1, 2 or 4 bytes. */
static bool window(const struct virtio_pci *p, uint32_t *offset, uint32_t *length)
{
    const uint8_t *c = p->pci.config + p->front.window;
    *offset = ld32_le(c + VC_OFFSET);
    *length = ld32_le(c + VC_LENGTH);
    return p->front.window && c[VC_BAR] == MODERN_BAR &&
           (*length == 1 || *length == 2 || *length == 4) && *offset < MODERN_SIZE &&
           !(*offset & (*length - 1));
}

void virtio_pci_config_reading(struct pci_device *d, unsigned reg, unsigned size)
{
    struct virtio_pci *p = (struct virtio_pci *)d;
    uint32_t offset, length;
    unsigned data = p->front.window + VC_MORE;
    if (!p->front.window || reg + size <= data || reg >= data + 4 || !window(p, &offset, &length))
        return;
    st32_le(d->pci.config + data, (uint32_t)modern_read(p, offset, length));
}

void virtio_pci_config_written(struct pci_device *d, unsigned reg, unsigned size)
{
    struct virtio_pci *p = (struct virtio_pci *)d;
    uint32_t offset, length;
    unsigned data = p->front.window + VC_MORE;
    msix_config_written(&p->front.msix, reg, size);
    if (reg + size > PCI_COMMAND && reg < PCI_COMMAND + 2) update_pin(p);
    if (!p->front.window || reg + size <= data || reg >= data + 4 || !window(p, &offset, &length))
        return;
    uint64_t v = ld32_le(d->pci.config + data) & (UINT64_MAX >> (64 - 8 * length));
    modern_write(p, offset, v, length);
}

static unsigned add_cap(struct pci_device *d, unsigned type, uint32_t offset, unsigned len)
{
    unsigned at = pci_add_capability(d, CAP_VENDOR, len);
    uint8_t *c = d->pci.config + at;
    if (!at) return 0;
    c[VC_LEN] = (uint8_t)len;
    c[VC_TYPE] = (uint8_t)type;
    if (type == CAP_WINDOW) return at;
    c[VC_BAR] = MODERN_BAR;
    st32_le(c + VC_OFFSET, offset);
    st32_le(c + VC_LENGTH, PART_SIZE);
    return at;
}

static int add_modern(struct virtio_pci *p, struct error *e)
{
    struct pci_device *d = pci_device(&p->dev);
    unsigned notify, at;
    bool ok = add_cap(d, CAP_COMMON, COMMON_AT, VC_MORE) && add_cap(d, CAP_ISR, ISR_AT, VC_MORE) &&
              add_cap(d, CAP_DEVICE, CONFIG_AT, VC_MORE);
    notify = ok ? add_cap(d, CAP_NOTIFY, NOTIFY_AT, VC_MORE + 4) : 0;
    at = notify ? add_cap(d, CAP_WINDOW, 0, VC_MORE + 4) : 0;
    if (!at) return error_set(e, "%s: no room for the capabilities", p->dev.desc->name);
    st32_le(d->pci.config + notify + VC_MORE, NOTIFY_STEP);
    p->front.window = (uint8_t)at;
    d->pci.wmask[at + VC_BAR] = 0xff;
    pci_set_wmask32(d, at + VC_OFFSET, ~0u);
    pci_set_wmask32(d, at + VC_LENGTH, ~0u);
    pci_set_wmask32(d, at + VC_MORE, ~0u);
    pci_set_bar(d, MODERN_BAR, PCI_BAR_MEM64_PREFETCH,
                region_new_mmio("virtio-pci", MODERN_SIZE, &modern_ops, p));
    return 0;
}

/* ---- life ---- */

static const struct virtio_pci_desc *kind_of(const struct device *d)
{
    return d->desc->bus_desc;
}

static int realize(struct virtio_pci *p, struct virtio *v, const struct virtio_pci_desc *kind,
                   struct error *e)
{
    struct virtio_front *f = &p->front;
    struct pci_device *d = pci_device(&p->dev);
    const char *word = f->disable_legacy ? f->disable_legacy : "auto";
    bool off = !strcmp(word, "on") || !strcmp(word, "true") || !strcmp(word, "yes");
    if (!off && strcmp(word, "off") && strcmp(word, "false") && strcmp(word, "no") &&
        strcmp(word, "auto"))
        return error_set(e, "Invalid parameter '%s'", word);
    f->legacy = kind->legacy && !off;
    f->modern = !f->disable_modern;
    if (!f->legacy && !f->modern)
        return error_set(e, "%s: device cannot work as neither modern nor legacy mode is enabled",
                         p->dev.desc->name);
    if (v->class->realize(v, e) || pci_realize(d, e)) return -1;
    if (f->legacy) {
        uint64_t size = 32;
        while (size < L_CONFIG + 4u + v->class->config_size)
            size *= 2;
        pci_set_bar(d, 0, PCI_BAR_IO, region_new_mmio("virtio-pci-legacy", size, &legacy_ops, p));
    }
    if (f->modern && add_modern(p, e)) return -1;
    unsigned n = kind->vectors < 0 ? v->n_queues + 1 : (unsigned)kind->vectors;
    return msix_init(&f->msix, d,
                     f->vectors == UINT32_MAX ? MIN(n, (unsigned)MSIX_MAX) : f->vectors, 1, e);
}

int virtio_pci_realize(struct device *d, struct error *e)
{
    struct virtio_pci *p = (struct virtio_pci *)d;
    const struct virtio_pci_desc *kind = kind_of(d);
    struct virtio *v = (struct virtio *)((char *)d + kind->offset);
    p->front.v = v;
    v->class = kind->class;
    v->transport = &transport, v->front = p, v->dev = d;
    if (!realize(p, v, kind, e)) return 0;
    virtio_pci_unrealize(d);
    return -1;
}

void virtio_pci_unrealize(struct device *d)
{
    struct virtio_pci *p = (struct virtio_pci *)d;
    p->front.v->class->unrealize(p->front.v);
    pci_unrealize(pci_device(d));
}

void virtio_pci_reset(struct device *dev)
{
    struct virtio_pci *p = (struct virtio_pci *)dev;
    struct pci_device *d = pci_device(&p->dev);
    uint8_t *c = d->pci.config;
    pci_reset(d);
    if (!p->front.legacy) {
        st16_le(c + PCI_DEVICE, (uint16_t)(0x1040 + p->front.v->class->id));
        st16_le(c + PCI_SUBDEVICE, 0x1100);
        c[PCI_REVISION] = 1;
    }
    if (p->front.window) {
        uint8_t *w = c + p->front.window;
        w[VC_BAR] = 0;
        memset(w + VC_OFFSET, 0, VC_MORE + 4 - VC_OFFSET);
    }
    msix_reset(&p->front.msix);
    set_status(p, 0, true);
}

int virtio_pci_post_load(struct device *d, struct error *e)
{
    struct virtio_pci *p = (struct virtio_pci *)d;
    struct virtio *v = p->front.v;
    if (virtio_post_load(v, e) || (v->class->post_load && v->class->post_load(v, e))) return -1;
    pci_post_load(pci_device(d));
    update_pin(p);
    return 0;
}

const struct reg_desc virtio_pci_regs[] = {
    {L_OFFERED, "HOST_FEATURES", 4},
    {L_FEATURES, "GUEST_FEATURES", 4},
    {L_PFN, "QUEUE_PFN", 4},
    {L_SIZE, "QUEUE_NUM", 2},
    {L_SELECT, "QUEUE_SEL", 2},
    {L_NOTIFY, "QUEUE_NOTIFY", 2},
    {L_STATUS, "STATUS", 1},
    {L_ISR, "ISR", 1},
    REG_END,
};
