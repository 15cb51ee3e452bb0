# Files of blockfmt/ (see Makefile.am).
libquern_a_SOURCES += blockfmt/block.h blockfmt/driver.h blockfmt/block.c blockfmt/raw.c blockfmt/overlay.c
