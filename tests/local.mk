# Files of tests/ (see Makefile.am).
check_PROGRAMS += tests/test-ir
tests_test_ir_SOURCES = tests/test-ir.c
tests_test_ir_LDADD = libquern.a
TESTS += tests/test-ir

check_PROGRAMS += tests/test-softfloat
tests_test_softfloat_SOURCES = tests/test-softfloat.c tests/softfloat-host.h tests/softfloat-tables.h
tests_test_softfloat_LDADD = libquern.a
TESTS += tests/test-softfloat

check_PROGRAMS += tests/test-mips-priv
TESTS += tests/test-mips-priv
tests_test_mips_priv_SOURCES = tests/test-mips-priv.c
tests_test_mips_priv_LDADD = libquern.a
