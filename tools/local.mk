# Files of tools/ (see Makefile.am).
