# Files of periph/ (see Makefile.am).
