# Files of chardev/ (see Makefile.am).
