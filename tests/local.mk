# Files of tests/ (see Makefile.am).
check_PROGRAMS += tests/test-ir
tests_test_ir_SOURCES = tests/test-ir.c
tests_test_ir_LDADD = libquern.a
TESTS += tests/test-ir
