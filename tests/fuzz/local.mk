# Fuzz targets (see CONTRIBUTING.md): `make fuzz` builds them with sanitizers beside this build and runs each for
# FUZZ_SECONDS (every device model for FUZZ_DEVICE_ROUNDS; and the engine's fuzzers, tests/test-fuzz-ops and test-fuzz-ir, as well as guest code, on each of
# FUZZ_BACKENDS, in the ordinary build, since compiled code is not sanitized); `make check` runs each for a moment (tests/test-fuzz.sh).
FUZZ_TARGETS = options guest block vvfat nbd
FUZZ_SECONDS = 600
FUZZ_SEED = 1
FUZZ_DEVICE_ROUNDS = 2000
FUZZ_BACKENDS = goto null native tcc
if USER_MODE
FUZZ_TARGETS += elf
check_PROGRAMS += tests/fuzz/fuzz-elf
endif
check_PROGRAMS += tests/fuzz/fuzz-options
check_PROGRAMS += tests/fuzz/fuzz-guest
check_PROGRAMS += tests/fuzz/fuzz-block
check_PROGRAMS += tests/fuzz/fuzz-vvfat
check_PROGRAMS += tests/fuzz/fuzz-nbd
FUZZ_COMMON = tests/fuzz/driver.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_elf_SOURCES = tests/fuzz/fuzz-elf.c $(FUZZ_COMMON)
tests_fuzz_fuzz_options_SOURCES = tests/fuzz/fuzz-options.c $(FUZZ_COMMON) tools/system.h tools/system-opts.h \
	tools/system-opts.c tools/system-drives.c tools/system-boot.c tools/shared.c tools/options.c tools/options.def tools/help.c
tests_fuzz_fuzz_guest_SOURCES = tests/fuzz/fuzz-guest.c tests/fuzz/guest-code.c tests/fuzz/guest-code.h \
	tests/fuzz/x86-code.c tests/fuzz/x86-code.h $(FUZZ_COMMON)
tests_fuzz_fuzz_block_SOURCES = tests/fuzz/fuzz-block.c tests/block-samples.c tests/block-samples.h $(FUZZ_COMMON)
tests_fuzz_fuzz_vvfat_SOURCES = tests/fuzz/fuzz-vvfat.c $(FUZZ_COMMON)
tests_fuzz_fuzz_nbd_SOURCES = tests/fuzz/fuzz-nbd.c $(FUZZ_COMMON)
EXTRA_DIST += tests/fuzz/regress tests/fuzz/formats.sh

.PHONY: fuzz-build
fuzz-build:
	$(MKDIR_P) build-fuzz
	test -f build-fuzz/Makefile || (cd build-fuzz && CC='$(CC)' CFLAGS='-g -O1' \
		$(SHELL) '$(abs_top_srcdir)/configure' --enable-sanitizers)
	cd build-fuzz && $(MAKE) $(FUZZ_TARGETS:%=tests/fuzz/fuzz-%) tests/test-devices-state
	build-fuzz/tests/test-devices-state $(FUZZ_DEVICE_ROUNDS)
	cd build-fuzz && $(MAKE) $(FUZZ_TARGETS:%=tests/fuzz/fuzz-%)
# Every image format for FORMAT_SECONDS, in slices, for the night: FORMAT_FLAGS are more options of formats.sh.
FORMAT_SECONDS = 3600
FORMAT_FLAGS =
.PHONY: fuzz-formats
fuzz-formats: fuzz-build
	nice $(SHELL) '$(srcdir)/tests/fuzz/formats.sh' --seconds $(FORMAT_SECONDS) $(FORMAT_FLAGS) build-fuzz
.PHONY: fuzz
fuzz: fuzz-build
	for t in $(FUZZ_TARGETS); do \
		build-fuzz/tests/fuzz/fuzz-$$t --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED) --last fuzz-$$t.last || \
		{ echo "fuzz-$$t: the input is in fuzz-$$t.last"; exit 1; }; done
	$(MAKE) fuzz-backends
.PHONY: fuzz-backends
fuzz-backends: tests/test-fuzz-ops$(EXEEXT) tests/test-fuzz-ir$(EXEEXT) tests/fuzz/fuzz-guest$(EXEEXT)
	for b in $(FUZZ_BACKENDS); do \
		tests/test-fuzz-ops --engine $$b --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED) && \
		tests/test-fuzz-ir --engine $$b --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED) || exit 1; \
		case $$b in goto) continue ;; esac; \
		FUZZ_BACKEND=$$b tests/fuzz/fuzz-guest --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED) --last fuzz-guest.last || \
		{ echo "fuzz-guest on $$b: the input is in fuzz-guest.last"; exit 1; }; done
clean-local-fuzz:
	rm -rf build-fuzz
clean-local: clean-local-fuzz
.PHONY: clean-local-fuzz
