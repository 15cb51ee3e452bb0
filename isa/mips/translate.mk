# Instruction tables, decoder, disassembler, translators and FPU of isa/mips/ (see Makefile.am).
libquern_a_SOURCES += \
	isa/mips/decode.c \
	isa/mips/decode.h \
	isa/mips/disas.c \
	isa/mips/fpu.c \
	isa/mips/mips.def \
	isa/mips/mips16.def \
	isa/mips/translate-branch.c \
	isa/mips/translate-cp0.c \
	isa/mips/translate-fpu.c \
	isa/mips/translate-integer.c \
	isa/mips/translate-memory.c \
	isa/mips/translate-mips16.c \
	isa/mips/translate.c
