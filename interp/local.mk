# Files of interp/ (see Makefile.am).
