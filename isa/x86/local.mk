# Files of isa/x86/ (see Makefile.am).
libquern_a_SOURCES += \
	isa/x86/cpu.c \
	isa/x86/decode.c \
	isa/x86/decode.h \
	isa/x86/disas.c \
	isa/x86/flags.c \
	isa/x86/helpers.c \
	isa/x86/helpers.def \
	isa/x86/segment-user.c \
	isa/x86/translate-control.c \
	isa/x86/translate-flags.c \
	isa/x86/translate-integer.c \
	isa/x86/translate-shift.c \
	isa/x86/translate-simd-fp.c \
	isa/x86/translate-simd.c \
	isa/x86/translate-simd.h \
	isa/x86/translate-string.c \
	isa/x86/translate-x87.c \
	isa/x86/translate.c \
	isa/x86/translate.h \
	isa/x86/unbuilt.h \
	isa/x86/x86-simd.def \
	isa/x86/x86.def \
	isa/x86/x86.h \
	isa/x86/x87-func.c \
	isa/x86/x87.c \
	isa/x86/x87.h
