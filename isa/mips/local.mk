# Files of isa/mips/ (see Makefile.am).
libquern_a_SOURCES += \
	isa/mips/cp0.c \
	isa/mips/except.c \
	isa/mips/helpers.def \
	isa/mips/mips-user.h \
	isa/mips/mips.c \
	isa/mips/mips.h \
	isa/mips/mmu.c \
	isa/mips/models.c \
	isa/mips/priv.h \
	isa/mips/timer.c
