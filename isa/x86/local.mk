# Files of isa/x86/ (see Makefile.am).
libquern_a_SOURCES += \
	isa/x86/decode.c \
	isa/x86/decode.h \
	isa/x86/disas.c \
	isa/x86/translate.c \
	isa/x86/unbuilt.h \
	isa/x86/x86-simd.def \
	isa/x86/x86.def
