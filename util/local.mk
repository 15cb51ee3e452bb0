# Files of util/ (see Makefile.am).
libquern_a_SOURCES += util/error.c util/error.h util/host.h util/log.c util/log.h
libquern_a_SOURCES += util/chacha.c util/chacha.h
libquern_a_SOURCES += util/json.c util/json.h
libquern_a_SOURCES += util/loop.c util/loop.h util/opts.c util/opts.h
libquern_a_SOURCES += util/softfloat.c util/softfloat-wide.c util/softfloat.h \
	util/softfloat-parts.h util/softfloat-core.h util/softfloat-ops.h
libquern_a_SOURCES += util/sock.c util/sock.h
libquern_a_SOURCES += util/tls.c util/tls.h util/lazy.c util/lazy.h util/zlib.h
