# Files of tests/ (see Makefile.am). A test is a program tests/test-NAME.c or a script tests/test-NAME.sh; it
# ends with a line `N passed, N failed` (`, N skipped` may follow) and status 0 when nothing failed. Scripts find
# the build in $QUERN_BUILD and the source in $QUERN_SOURCE.
AM_TESTS_ENVIRONMENT = QUERN_BUILD='$(abs_top_builddir)'; export QUERN_BUILD; \
	QUERN_SOURCE='$(abs_top_srcdir)'; export QUERN_SOURCE;
TEST_EXTENSIONS = .sh
SH_LOG_COMPILER = $(SHELL)
EXTRA_DIST += tests/summary.sh

# The tests that are programs: what the build with sanitizers runs.
.PHONY: print-unit-tests
print-unit-tests:
	@echo $(filter $(check_PROGRAMS),$(TESTS))

check_PROGRAMS += tests/test-opts
TESTS += tests/test-opts
tests_test_opts_SOURCES = tests/test-opts.c tests/count.h
tests_test_opts_LDADD = libquern.a

check_PROGRAMS += tests/test-chardev
TESTS += tests/test-chardev
tests_test_chardev_SOURCES = tests/test-chardev.c tests/count.h
tests_test_chardev_LDADD = libquern.a

dist_check_SCRIPTS += tests/layering.sh
TESTS += tests/layering.sh

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

check_PROGRAMS += tests/test-mips-boot
TESTS += tests/test-mips-boot
tests_test_mips_boot_SOURCES = tests/test-mips-boot.c tests/guest/mips-priv.h
tests_test_mips_boot_LDADD = libquern.a
EXTRA_DIST += tests/guest/mips-priv.S

dist_check_SCRIPTS += tests/test-cli.sh
TESTS += tests/test-cli.sh

dist_check_SCRIPTS += tests/test-gdb.sh
TESTS += tests/test-gdb.sh

dist_check_SCRIPTS += tests/test-boot.sh
TESTS += tests/test-boot.sh

check_PROGRAMS += tests/test-mon
TESTS += tests/test-mon
tests_test_mon_SOURCES = tests/test-mon.c tests/count.h
tests_test_mon_LDADD = libquern.a
