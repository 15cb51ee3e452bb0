# Files of isa/ (see Makefile.am).
