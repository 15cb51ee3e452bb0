# Files of bus/ (see Makefile.am).
