/*
 * ich9-smbus.c - function 31.3 of the 82801IB/IR (ICH9): the SMBus host, in I/O ports and in memory. What its registers do is
 * in piix4_smbus.c, as the two generations agree; here are the interrupt and the addresses.
 *
 * Follows the ICH9 data sheet (Intel 316972), chapter 20. Blocks go through the 32-byte buffer whether or not it is
 * chosen, and there is no packet error code; not modelled: the slave, SMBALERT#, SMLink, SMI#.
 */
#include "periph/pci/ich9.h"

#include "periph/pci/piix4_smbus.h"
#include "periph/regions.h"

enum { HOSTC = 0x40, HOSTC_EN = 1, HOSTC_MASK = 0x0f };
enum { AUX_STS = 0x0c };
enum { BAR_MEM = 0, BAR_IO = 4 };

struct ich9_smb {
    struct device dev;
    struct pci_func pci;
    struct smbus_host smb;
};

static struct ich9_smb *smb(struct device *d)
{
    return (struct ich9_smb *)d;
}

struct smbus *ich9_smbus(struct device *d)
{
    return smb(d)->smb.bus;
}

static void update_irq(struct ich9_smb *s)
{
    pci_set_irq(pci_device(&s->dev), smbus_host_irq(&s->smb));
}

static uint64_t smb_read(void *opaque, uint64_t addr, unsigned size)
{
    struct ich9_smb *s = opaque;
    if (!(s->pci.config[HOSTC] & HOSTC_EN) || addr >= SMBUS_HOST_PORTS) return 0xff;
    return addr == AUX_STS ? 0 : smbus_host_ops.read(&s->smb, addr, size);
}

static void smb_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ich9_smb *s = opaque;
    if (!(s->pci.config[HOSTC] & HOSTC_EN) || addr >= SMBUS_HOST_PORTS || addr == AUX_STS) return;
    smbus_host_ops.write(&s->smb, addr, value, size);
    update_irq(s);
}

static const struct mmio_ops smb_ops = {
    .read = smb_read, .write = smb_write, .min_size = 1, .max_size = 4, .impl_min = 1, .impl_max = 1};

static int smb_realize(struct device *d, struct error *e)
{
    struct pci_device *p = pci_device(d);
    if (pci_realize(p, e)) return -1;
    p->pci.wmask[HOSTC] = HOSTC_MASK;
    pci_set_bar(p, BAR_IO, PCI_BAR_IO, region_new_mmio("ich9-smbus", 32, &smb_ops, d));
    pci_set_bar(p, BAR_MEM, PCI_BAR_MEM, region_new_mmio("ich9-smbus", 256, &smb_ops, d));
    smb(d)->smb.bus = smbus_new();
    return 0;
}

static void smb_unrealize(struct device *d)
{
    smbus_delete(smb(d)->smb.bus);
    smb(d)->smb.bus = NULL;
    pci_unrealize(pci_device(d));
}

static void smb_reset(struct device *d)
{
    pci_reset(pci_device(d));
    smb(d)->pci.config[HOSTC] = 0;
    smbus_host_reset(&smb(d)->smb);
    update_irq(smb(d));
}

static int smb_post_load(struct device *d, struct error *e)
{
    pci_post_load(pci_device(d));
    return 0;
}

static const struct prop_desc smb_props[] = {PCI_PROPS(struct ich9_smb), PROP_END};
static const struct state_field smb_state[] = {
    PCI_STATE(struct ich9_smb),
    STATE_STRUCT(struct ich9_smb, smb, 1, smbus_host_state),
    STATE_END,
};
static const struct pci_dev_desc smb_pci = {.vendor = 0x8086,
                                            .device = 0x2930,
                                            .class_code = 0x0c0500,
                                            .revision = 2,
                                            .status = 0x0280,
                                            .subvendor = 0x1af4,
                                            .subdevice = 0x1100,
                                            .int_pin = 1};

const struct dev_desc ich9_smb_desc = {
    .name = "ICH9-SMB",
    .help = "82801IB (ICH9) SMBus host",
    .bus = BUS_PCI,
    .category = DEV_BRIDGE,
    .size = sizeof(struct ich9_smb),
    .props = smb_props,
    .state = smb_state,
    .realize = smb_realize,
    .unrealize = smb_unrealize,
    .reset = smb_reset,
    .post_load = smb_post_load,
    .bus_desc = &smb_pci,
};
