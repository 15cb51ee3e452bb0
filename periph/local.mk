# Files of periph/ (see Makefile.am).
libquern_a_SOURCES += periph/devices.c periph/devices.h periph/devices.def
libquern_a_SOURCES += periph/regions.c periph/regions.h
libquern_a_SOURCES += periph/intc/i8259.c periph/intc/i8259.h
libquern_a_SOURCES += periph/timer/i8254.c periph/timer/i8254.h periph/timer/pcspk.c
libquern_a_SOURCES += periph/timer/mc146818.c periph/timer/mc146818.h
libquern_a_SOURCES += periph/pci/pci.c periph/pci/pci.h periph/pci/gt64120.c periph/pci/gt64120.h
libquern_a_SOURCES += periph/pci/piix4.c periph/pci/piix4.h periph/pci/piix4_pm.c periph/pci/piix4_uhci.c
libquern_a_SOURCES += periph/pci/piix4_ide.c
libquern_a_SOURCES += periph/block/ide.c periph/block/ide.h periph/block/ata.c periph/block/atapi.c
libquern_a_SOURCES += periph/net/pcnet.c periph/net/pcnet.h
