# Files of tests/ (see Makefile.am). A test is a program tests/test-NAME.c or a script tests/test-NAME.sh; it
# ends with a line `N passed, N failed` (`, N skipped` may follow) and status 0 when nothing failed. Scripts find
# the build in $QUERN_BUILD and the source in $QUERN_SOURCE; JIT backends that are modules are loaded from the build.
AM_TESTS_ENVIRONMENT = QUERN_BUILD='$(abs_top_builddir)'; export QUERN_BUILD; \
	QUERN_SOURCE='$(abs_top_srcdir)'; export QUERN_SOURCE; \
	QUERN_MODULE_PATH='$(abs_top_builddir)'; export QUERN_MODULE_PATH;
TEST_EXTENSIONS = .sh
SH_LOG_COMPILER = $(SHELL)
EXTRA_DIST += tests/summary.sh tests/patience.sh

# The tests that are programs: what the build with sanitizers runs.
.PHONY: print-unit-tests
print-unit-tests:
	@echo $(filter $(check_PROGRAMS),$(TESTS))

# Programs: each from tests/NAME.c and the library. One line each, so that branches merge.
LDADD = libquern.a
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)
UNIT_TESTS =
UNIT_TESTS += tests/test-block
UNIT_TESTS += tests/test-block-aio
UNIT_TESTS += tests/test-block-faults
UNIT_TESTS += tests/test-block-filters
UNIT_TESTS += tests/test-block-jobs
UNIT_TESTS += tests/test-block-readonly
tests_test_block_readonly_SOURCES = tests/test-block-readonly.c tests/block-samples.c tests/block-samples.h
UNIT_TESTS += tests/test-bus
UNIT_TESTS += tests/test-chardev
UNIT_TESTS += tests/test-devices
UNIT_TESTS += tests/test-devices-state
UNIT_TESTS += tests/test-fdc
UNIT_TESTS += tests/test-fuzz-ir
UNIT_TESTS += tests/test-fuzz-ops
UNIT_TESTS += tests/test-hash
UNIT_TESTS += tests/test-ir
UNIT_TESTS += tests/test-ops
UNIT_TESTS += tests/test-machine
UNIT_TESTS += tests/test-malta
UNIT_TESTS += tests/test-mips-boot
UNIT_TESTS += tests/test-mips-exec
UNIT_TESTS += tests/test-mips-priv
UNIT_TESTS += tests/test-mips-table
UNIT_TESTS += tests/test-mips-traps
UNIT_TESTS += tests/test-mon
UNIT_TESTS += tests/test-opts
UNIT_TESTS += tests/test-pc
UNIT_TESTS += tests/test-pc-board
UNIT_TESTS += tests/test-x86-topology
UNIT_TESTS += tests/test-pci-ide
UNIT_TESTS += tests/test-ahci
UNIT_TESTS += tests/test-softfloat
if USER_MODE
UNIT_TESTS += tests/test-user-elf
UNIT_TESTS += tests/test-virtio
endif
UNIT_TESTS += tests/test-x86-host
UNIT_TESTS += tests/test-x86-table
UNIT_TESTS += tests/test-x86-sys tests/test-x86-vme
if JIT_X64
UNIT_TESTS += tests/test-x64-emit
endif
EXTRA_DIST += tests/x64-cases.h
UNIT_TESTS += tests/test-a64-emit
tests_test_a64_emit_SOURCES = tests/test-a64-emit.c tests/a64-cases.h jit-native/a64-emit.h jit-native/a64-emit.c jit-native/emit.h jit-native/emit.c

# Programs that scripts use.
check_PROGRAMS += tests/block-tool tests/block-crash tests/refuse

# Scripts.
dist_check_SCRIPTS += $(SCRIPT_TESTS)
TESTS += $(SCRIPT_TESTS)
SCRIPT_TESTS =
SCRIPT_TESTS += tests/block-crash.sh
SCRIPT_TESTS += tests/layering.sh
SCRIPT_TESTS += tests/test-block-aio.sh
SCRIPT_TESTS += tests/test-block-tools.sh
SCRIPT_TESTS += tests/test-io.sh
SCRIPT_TESTS += tests/test-x86-disas.sh
SCRIPT_TESTS += tests/test-block-formats.sh
SCRIPT_TESTS += tests/test-block-compare.sh
SCRIPT_TESTS += tests/test-vvfat.sh
SCRIPT_TESTS += tests/test-block-bad.sh
EXTRA_DIST += tests/block-compare.sh tests/block-matrix.sh
EXTRA_DIST += tests/block-compare.sh tests/block-matrix.sh tests/nbd-speed.sh
SCRIPT_TESTS += tests/test-pc-drives.sh
SCRIPT_TESTS += tests/test-nbd.sh
SCRIPT_TESTS += tests/test-qcow2.sh
SCRIPT_TESTS += tests/test-remote.sh
SCRIPT_TESTS += tests/test-boot.sh
SCRIPT_TESTS += tests/test-pc-boot.sh
SCRIPT_TESTS += tests/test-smp.sh
SCRIPT_TESTS += tests/test-cli.sh
if USER_MODE
SCRIPT_TESTS += tests/test-gccjit.sh
endif
if USER_MODE
SCRIPT_TESTS += tests/test-gdb-user.sh
endif
SCRIPT_TESTS += tests/test-gdb.sh
if USER_MODE
SCRIPT_TESTS += tests/test-lockstep-user.sh
SCRIPT_TESTS += tests/test-user-step.sh
endif
SCRIPT_TESTS += tests/test-mutants.sh
if USER_MODE
SCRIPT_TESTS += tests/test-jit-tcc.sh
endif
if USER_MODE
SCRIPT_TESTS += tests/test-jit-bad.sh
endif
SCRIPT_TESTS += tests/test-log.sh
if USER_MODE
SCRIPT_TESTS += tests/run-user.sh
endif
SCRIPT_TESTS += tests/test-fuzz.sh
SCRIPT_TESTS += tests/test-bad-input.sh

# Not part of `make check`: programs of Debian (some 150 MB are downloaded the first time; QUERN_SYSROOT names a
# directory that has them already) and GCC's execute tests (Debian's package gcc-12-source), beside qemu-user.
# DEBIAN_TARGET: mipsel, i386 or x86_64
DEBIAN_TARGET = mipsel
DEBIAN_SYSROOT = $${QUERN_SYSROOT:-$(abs_top_builddir)/debian-$(DEBIAN_TARGET)}
TORTURE_FLAGS =
.PHONY: check-debian check-torture
check-debian: all
	root="$(DEBIAN_SYSROOT)"; test -e "$$root/.apt/complete" || $(SHELL) $(srcdir)/tests/debian-sysroot.sh -a $$(echo $(DEBIAN_TARGET) | sed s/x86_64/amd64/) "$$root"
	QUERN_BUILD='$(abs_top_builddir)' $(SHELL) $(srcdir)/tests/run-debian.sh -t $(DEBIAN_TARGET) "$(DEBIAN_SYSROOT)"
check-torture: all
	QUERN_BUILD='$(abs_top_builddir)' $(SHELL) $(srcdir)/tests/run-torture.sh $(TORTURE_FLAGS)
# make check-pc: boots of whole systems on the PC boards, minutes each. PC_FLAGS: which; see run-pc.sh.
.PHONY: check-pc
PC_FLAGS =
check-pc: all tests/boot-hash$(EXEEXT)
	QUERN_BUILD='$(abs_top_builddir)' $(SHELL) $(srcdir)/tests/run-pc.sh $(PC_FLAGS)
EXTRA_DIST += tests/run-pc.sh
EXTRA_DIST += tests/debian-sysroot.sh tests/run-debian.sh tests/debian-commands.txt tests/run-torture.sh

EXTRA_DIST += tests/count.h tests/devices.h tests/pc-machine.h tests/softfloat-host.h tests/softfloat-tables.h tests/guest tests/mips-disas.txt \
	tests/mips-disas.sh tests/mips-insn tests/user tests/bench tests/run-ide.sh

# The engine's fuzzers (tests/fuzzlib.h).
FUZZLIB = tests/fuzzlib.h tests/fuzzlib.c tests/fuzzgen.c tests/mutant.h tests/mutant.c
tests_test_fuzz_ir_SOURCES = tests/test-fuzz-ir.c $(FUZZLIB)
tests_test_fuzz_ops_SOURCES = tests/test-fuzz-ops.c $(FUZZLIB)

EXTRA_DIST += tests/regress

# make check-engines: every test that runs a guest, with QUERN_ACCEL, the default of -accel, set to each of ENGINES. Tests that
# compare engines by themselves (fuzzers, test-hash, test-ir) are in make check.
ENGINES = interp interp,mode=ref jit,backend=native,threshold=2,threshold2=12 jit,backend=tcc,threshold=2,sync=on \
	jit,backend=gccjit,threshold=400 jit,chaos=3,sync=on jit,backend=tcc,chaos=4,sync=on jit,backend=null,chaos=5
ENGINE_TESTS = tests/test-ops tests/test-machine tests/test-malta tests/test-mips-boot tests/test-mips-exec tests/test-mips-priv \
	tests/test-mips-traps tests/test-x86-sys tests/test-pci-ide tests/run-user.sh tests/test-boot.sh tests/test-gdb.sh tests/test-gdb-user.sh \
	tests/test-log.sh tests/test-bad-input.sh tests/test-pc-boot.sh tests/test-smp.sh
.PHONY: check-engines
check-engines: all
	bad=0; for e in $(ENGINES); do echo "== $$e"; \
		QUERN_ACCEL="$$e" $(MAKE) check TESTS='$(ENGINE_TESTS)' || bad=1; done; exit $$bad

# Faults on purpose, and whether they are found.
check_PROGRAMS += tests/quern-mutant
tests_quern_mutant_SOURCES = tests/quern-mutant.c tests/mutant.h tests/mutant.c tools/system.h tools/system.c \
	tools/system-opts.h tools/system-opts.c tools/system-drives.c tools/system-boot.c tools/shared.c tools/options.c tools/options.def tools/help.c

# The tool that compares machines by their hashes: built with the tests, run by hand.
check_PROGRAMS += tests/boot-hash
tests_boot_hash_SOURCES = tests/boot-hash.c tests/boot-hash.h
EXTRA_DIST += tests/boot-hash.h tests/backends.h

# make bench: tests/bench under every engine, beside other emulators. BENCH_FLAGS: see bench-run --help.
EXTRA_PROGRAMS += tests/bench-run
tests_bench_run_SOURCES = tests/bench-run.c tests/bench-run.h tests/bench-out.c
tests_bench_run_LDADD = -lm
BENCH_FLAGS =
.PHONY: bench
bench: all tests/bench-run$(EXEEXT)
	tests/bench-run$(EXEEXT) --build '$(abs_top_builddir)' --source '$(abs_top_srcdir)' $(BENCH_FLAGS)
CLEANFILES += tests/bench-run$(EXEEXT) bench.json bench.svg

# make bench-block: the image tools beside qemu-utils. BENCH_BLOCK_FLAGS: see bench-block --help.
EXTRA_PROGRAMS += tests/bench-block
tests_bench_block_SOURCES = tests/bench-block.c
tests_bench_block_LDADD = -lm

.PHONY: bench-block
bench-block: all tests/bench-block$(EXEEXT)
	tests/bench-block$(EXEEXT) --build '$(abs_top_builddir)' $(BENCH_BLOCK_FLAGS)
CLEANFILES += tests/bench-block$(EXEEXT)

# make check-hosts: other hosts, by cross compilers and qemu-user. HOSTS: which; none: check-hosts.sh knows.
EXTRA_DIST += tests/check-hosts.sh tests/sizes.sh
HOSTS =
.PHONY: check-hosts
check-hosts: all tests/boot-hash$(EXEEXT)
	QUERN_BUILD='$(abs_top_builddir)' QUERN_SOURCE='$(abs_top_srcdir)' $(SHELL) '$(srcdir)/tests/check-hosts.sh' $(HOSTS)
