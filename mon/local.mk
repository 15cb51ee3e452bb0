# Files of mon/ (see Makefile.am).
