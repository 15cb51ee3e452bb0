# Files of isa/mips/ (see Makefile.am).
libquern_a_SOURCES += \
	isa/mips/cp0.c \
	isa/mips/decode.c \
	isa/mips/decode.h \
	isa/mips/disas.c \
	isa/mips/except.c \
	isa/mips/fpu.c \
	isa/mips/helpers.def \
	isa/mips/mips-user.h \
	isa/mips/mips.c \
	isa/mips/mips.def \
	isa/mips/mips.h \
	isa/mips/mips16.def \
	isa/mips/mmu.c isa/mips/tlb.c \
	isa/mips/models.c \
	isa/mips/priv.h \
	isa/mips/timer.c \
	isa/mips/translate-branch.c \
	isa/mips/translate-cp0.c \
	isa/mips/translate-fpu.c \
	isa/mips/translate-integer.c \
	isa/mips/translate-memory.c \
	isa/mips/translate-mips16.c \
	isa/mips/translate.c
