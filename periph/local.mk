# Files of periph/ (see Makefile.am).
libquern_a_SOURCES += periph/devices.c periph/devices.h periph/devices.def
