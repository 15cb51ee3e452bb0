# Files of jit-gccjit/ (see Makefile.am): the backend in the program, and the worker, the only thing linked to libgccjit.
if GCCJIT
libquern_a_SOURCES += jit-gccjit/proto.h jit-gccjit/backend.h jit-gccjit/backend.c jit-gccjit/client.h jit-gccjit/client.c \
	jit-gccjit/elf-load.h jit-gccjit/elf-load.c jit-gccjit/maps.h jit-gccjit/maps.c
pkglibexec_PROGRAMS += quern-jit-worker-gccjit
quern_jit_worker_gccjit_SOURCES = jit-gccjit/worker.c jit-gccjit/gen.h jit-gccjit/gen.c jit-gccjit/gen-expr.c jit-gccjit/gen-mem.c \
	jit-gccjit/gen-fp.c jit-gccjit/gen-cell.c jit-gccjit/gen-scan.c jit-gccjit/gen-ops.c jit-gccjit/gen-block.c
quern_jit_worker_gccjit_CPPFLAGS = $(AM_CPPFLAGS) $(GCCJIT_CPPFLAGS)
quern_jit_worker_gccjit_LDADD = $(GCCJIT_LIBS)
endif
EXTRA_DIST += jit-gccjit/proto.h
