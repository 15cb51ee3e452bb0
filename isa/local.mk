# Files of isa/ (see Makefile.am).
libquern_a_SOURCES += isa/isa.c isa/isa.h isa/cpu-state.c isa/cpu-state.h isa/isas.def
include isa/mips/local.mk
include isa/x86/local.mk
