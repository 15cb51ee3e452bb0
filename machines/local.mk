# Files of machines/ (see Makefile.am).
