# Files of periph/ (see Makefile.am).
libquern_a_SOURCES += periph/devices.c periph/devices.h periph/devices.def
libquern_a_SOURCES += periph/regions.c periph/regions.h
libquern_a_SOURCES += periph/intc/i8259.c periph/intc/i8259.h
libquern_a_SOURCES += periph/timer/i8254.c periph/timer/i8254.h periph/timer/pcspk.c
libquern_a_SOURCES += periph/timer/mc146818.c periph/timer/mc146818.h
