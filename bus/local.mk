# Files of bus/ (see Makefile.am).
libquern_a_SOURCES += bus/as.c bus/bus.h bus/clock.c bus/clock.h bus/dev.c bus/dev.h bus/flatten.c bus/irq.h bus/mtree.c \
	bus/prop.c bus/prop.h bus/region.c bus/region.h bus/state.c bus/state.h
libquern_a_SOURCES += bus/input.c bus/input.h
