# Files of machines/ (see Makefile.am).
libquern_a_SOURCES += machines/boards.c machines/boards.def machines/machine.c machines/machine.h machines/run.c machines/run.h machines/threads.c machines/threads.h \
	machines/user-devices.c machines/user-devices.h machines/media.c machines/media.h \
	machines/save.c machines/lockstep.h machines/lockstep-private.h machines/lockstep.c machines/lockstep-report.c
libquern_a_SOURCES += machines/boot/loader.c machines/boot/loader.h machines/boot/elf.c
libquern_a_SOURCES += machines/boot/mips-linux.c machines/boot/mips-linux.h machines/malta.c machines/mipssim.c
libquern_a_SOURCES += machines/mips-board.c machines/mips-board.h
libquern_a_SOURCES += machines/pc.c machines/pc.h machines/pc-q35.c machines/pc-boot.c machines/pc-tables.h machines/pc-acpi.c \
	machines/pc-smbios.c machines/pc-options.c machines/pc-options.h machines/pc-user-tables.c machines/acpi/aml.c machines/acpi/aml.h
libquern_a_SOURCES += machines/boot/x86-linux.c machines/boot/x86-linux.h machines/boot/rom/linuxboot.h machines/boot/x86-flat.c \
	machines/boot/x86-flat.h machines/boot/rom/flatboot.h
EXTRA_DIST += machines/boot/rom/linuxboot.S machines/boot/rom/flatboot.S machines/boot/rom/loader.inc
