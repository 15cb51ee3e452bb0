# Files of chardev/ (see Makefile.am).
libquern_a_SOURCES += chardev/chardev.h chardev/backend.h chardev/term.h chardev/chardev.c chardev/fd.c \
	chardev/mux.c chardev/socket.c chardev/term.c
