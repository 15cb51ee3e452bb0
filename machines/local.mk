# Files of machines/ (see Makefile.am).
libquern_a_SOURCES += machines/boards.c machines/boards.def machines/machine.c machines/machine.h machines/run.c \
	machines/save.c
