# Files of periph/ (see Makefile.am).
libquern_a_SOURCES += periph/devices.c periph/devices.h periph/devices.def
libquern_a_SOURCES += periph/regions.c periph/regions.h
libquern_a_SOURCES += periph/intc/i8259.c periph/intc/i8259.h
libquern_a_SOURCES += periph/timer/i8254.c periph/timer/i8254.h periph/timer/pcspk.c
libquern_a_SOURCES += periph/timer/mc146818.c periph/timer/mc146818.h
libquern_a_SOURCES += periph/char/serial.c periph/char/serial.h periph/char/isa-serial.c periph/char/serial-mm.c
libquern_a_SOURCES += periph/char/parallel.c
libquern_a_SOURCES += periph/input/ps2.c periph/input/ps2.h periph/input/i8042.c periph/input/i8042.h
libquern_a_SOURCES += periph/misc/i8257.c periph/misc/i8257.h periph/misc/superio.c periph/misc/superio.h
libquern_a_SOURCES += periph/misc/cfi-flash.c periph/misc/cfi-flash.h periph/misc/malta-fpga.c periph/misc/malta-fpga.h
libquern_a_SOURCES += periph/misc/smbus.c periph/misc/smbus.h periph/misc/smbus-eeprom.c
libquern_a_SOURCES += periph/misc/i2c-bits.c periph/misc/i2c-bits.h periph/misc/unimp.c periph/misc/mipsnet.c
libquern_a_SOURCES += periph/pci/pci.c periph/pci/pci-dump.c periph/pci/pci.h periph/pci/gt64120.c periph/pci/gt64120.h
libquern_a_SOURCES += periph/pci/piix4.c periph/pci/piix4.h periph/pci/piix4_pm.c periph/pci/piix4_uhci.c \
	periph/pci/piix4_smbus.c periph/pci/piix4_smbus.h
libquern_a_SOURCES += periph/pci/piix4_ide.c periph/pci/acpi-pm.c periph/pci/acpi-pm.h
libquern_a_SOURCES += periph/pci/msi.c periph/pci/msi.h periph/pci/pcie-port.c periph/block/ahci.c periph/block/ahci.h periph/block/ahci-port.c
libquern_a_SOURCES += periph/pci/ich9.h periph/pci/ich9-lpc.c periph/pci/ich9-smbus.c
libquern_a_SOURCES += periph/block/fdc.c periph/block/fdc-data.c periph/block/fdc-internal.h periph/block/fdc.h
libquern_a_SOURCES += periph/block/ide.c periph/block/ide.h periph/block/ata.c periph/block/atapi.c
libquern_a_SOURCES += periph/block/ide.c periph/block/ide.h periph/block/ata.c periph/block/isa-ide.c periph/block/atapi.c
libquern_a_SOURCES += periph/net/pcnet.c
libquern_a_SOURCES += periph/intc/lapic.c periph/intc/lapic.h periph/intc/ioapic.c periph/intc/ioapic.h
libquern_a_SOURCES += periph/timer/hpet.c periph/timer/hpet.h periph/pci/i440fx.c periph/pci/i440fx.h
libquern_a_SOURCES += periph/misc/port92.c periph/char/debugcon.c periph/misc/fw_cfg.c periph/misc/fw_cfg.h
libquern_a_SOURCES += periph/display/vga.h periph/display/vga.c periph/display/vga-draw.c \
	periph/display/edid.c periph/display/pci-vga.c
libquern_a_SOURCES += periph/pci/msix.c periph/pci/msix.h
libquern_a_SOURCES += periph/virtio/virtio.c periph/virtio/virtio.h periph/virtio/virtio-pci.c periph/virtio/virtio-pci.h
libquern_a_SOURCES += periph/virtio/virtio-io.c periph/virtio/virtio-io.h periph/virtio/virtio-blk.c periph/virtio/virtio-blk.h
libquern_a_SOURCES += periph/virtio/virtio-rng.c periph/virtio/virtio-rng.h periph/virtio/virtio-pci-devices.c
libquern_a_SOURCES += periph/virtio/virtio-scsi.c periph/virtio/virtio-scsi.h periph/virtio/virtio-serial.c periph/virtio/virtio-serial.h
libquern_a_SOURCES += periph/virtio/virtio-balloon.c periph/virtio/virtio-balloon.h periph/virtio/virtio-input.c periph/virtio/virtio-input.h
libquern_a_SOURCES += periph/scsi/scsi.h periph/scsi/scsi-disk.c periph/scsi/mmc.c periph/scsi/mmc.h
