#!/bin/sh
# test-mutants.sh - faults put into a backend on purpose (tests/mutant.c), ten classes of them: the checks that `make check`
# runs must find each, and -lockstep must name an instruction for each, with a MIPS guest and an x86 one. The backends: null, or those named as arguments or
# in $MUTANT_BACKENDS. gccjit takes its time for each region, so the operands (L0, thousands of regions) are tried there only with
# what random programs (L1) have not found: half a minute for each class on an idle host.
set -u
build=${QUERN_BUILD:-.}
src=${QUERN_SOURCE:-..}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $*"; }

# x86-lockstep.bin is the end of a ROM
{ dd if=/dev/zero bs=1024 count=63 && cat "$src/tests/guest/x86-lockstep.bin"; } >"$dir/rom" 2>/dev/null
guests='mipsel i386'
run() { # GUEST ENGINE MORE: the first machine is the interpreter
    case $1 in
    mipsel) set -- "$1" "$2" "$3" -M malta -cpu 24Kf -kernel "$src/tests/guest/lockstep.elf" ;;
    i386) set -- "$1" "$2" "$3" -M pc -m 16 -bios "$dir/rom" ;;
    esac
    target=$1 compared=interp,$2:threshold=20,$3
    shift 3
    "$build/tests/quern-mutant" "$target" "$@" -nographic -lockstep "$compared" </dev/null >"$dir/out" 2>&1
}
lockstep() { run "$1" "$2" "every=1000,limit=500000,write=$dir/replay"; }

for backend in ${*:-${MUTANT_BACKENDS:-null}}; do
    unset QUERN_MUTANT
    # without a fault nothing is found
    for guest in $guests; do
        lockstep "$guest" "$backend" && ok || bad "$backend, $guest: a difference without a fault: $(tail -3 "$dir/out")"
    done
    for class in add cond store ext shift refund point fp link endian; do
        QUERN_MUTANT=$class:$backend
        export QUERN_MUTANT
        by=
        "$build/tests/test-fuzz-ir" --engine mutant --first >"$dir/out" 2>&1 || by=' L1'
        case $backend$by in
        'gccjit L1') ;;
        *) "$build/tests/test-fuzz-ops" --engine mutant >"$dir/out" 2>&1 || by=" L0$by" ;;
        esac
        case $by in '') bad "$backend: $class: not found by make check's fuzzers" ;; *) ok ;; esac
        for guest in $guests; do
            rm -f "$dir/replay"
            lockstep "$guest" mutant
            rc=$?
            insn=$(sed -n 's/^The first instruction that differs: //p' "$dir/out")
            case $rc:$insn in
            1:*:\ \ ?*) [ -s "$dir/replay" ] && ok || bad "$backend, $guest: $class: no file" ;;
            *) bad "$backend, $guest: $class: -lockstep: status $rc, '$insn' $(tail -3 "$dir/out")" ;;
            esac
            echo "$backend $guest $class: found by$by; lockstep: $insn"
            [ "${VERBOSE:-}" ] && cat "$dir/out"
            [ $class = ext ] || continue # the file shows it again
            run "$guest" mutant "replay=$dir/replay"
            rc=$?
            [ $rc = 1 ] && grep -qF "$insn" "$dir/out" && ok || bad "$backend, $guest: replay: status $rc, $(tail -3 "$dir/out")"
        done
    done
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
