# The libtcc backend, a module: built when configure found a libtcc that works.
EXTRA_PROGRAMS += quern-jit-tcc.so
if HAVE_TCC
jitmod_PROGRAMS += quern-jit-tcc.so
endif
quern_jit_tcc_so_SOURCES = jit-tcc/tcc.h jit-tcc/text.h jit-tcc/text.c jit-tcc/gen.h jit-tcc/gen.c jit-tcc/gen-cell.c \
	jit-tcc/gen-mem.c jit-tcc/gen-fp.c jit-tcc/jit-tcc.c
quern_jit_tcc_so_CPPFLAGS = $(AM_CPPFLAGS) $(TCC_CPPFLAGS)
quern_jit_tcc_so_CFLAGS = $(COMPILE_MODULE)
quern_jit_tcc_so_LDFLAGS = $(LINK_MODULE) $(TCC_LDFLAGS)
quern_jit_tcc_so_LDADD = -ltcc
EXTRA_DIST += jit-tcc/probe.c
