# Files of user/ (see Makefile.am).
