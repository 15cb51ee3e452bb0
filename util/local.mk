# Files of util/ (see Makefile.am).
libquern_a_SOURCES += util/error.c util/error.h util/host.h util/log.c util/log.h util/loop.c util/loop.h util/opts.c util/opts.h
