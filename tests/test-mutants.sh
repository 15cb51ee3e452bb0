#!/bin/sh
# test-mutants.sh - faults put into a backend on purpose (tests/mutant.c), ten classes of them: the checks that `make check`
# runs must find each, and -lockstep must name an instruction for each. The backends: null, or those named as arguments or
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

guest="$src/tests/guest/lockstep.elf"
lockstep() { # ENGINE
    "$build/tests/quern-mutant" mipsel -M malta -cpu 24Kf -kernel "$guest" -nographic \
        -lockstep "interp,$1:threshold=20,every=1000,limit=100000,write=$dir/replay" </dev/null >"$dir/out" 2>&1
}

for backend in ${*:-${MUTANT_BACKENDS:-null}}; do
    unset QUERN_MUTANT
    # without a fault nothing is found
    lockstep "$backend" && ok || bad "$backend: a difference without a fault: $(tail -3 "$dir/out")"
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
        lockstep mutant
        rc=$?
        insn=$(sed -n 's/^The first instruction that differs: //p' "$dir/out")
        if [ $rc = 1 ] && [ -n "$insn" ] && [ -s "$dir/replay" ]; then ok
        else bad "$backend: $class: -lockstep: status $rc, $(tail -3 "$dir/out")"; fi
        if [ $class = ext ]; then # the file shows it again
            "$build/tests/quern-mutant" mipsel -M malta -cpu 24Kf -kernel "$guest" -nographic \
                -lockstep "interp,mutant:threshold=20,replay=$dir/replay" </dev/null >"$dir/out2" 2>&1
            rc=$?
            [ $rc = 1 ] && grep -qF "$insn" "$dir/out2" && ok || bad "$backend: replay: status $rc, $(tail -3 "$dir/out2")"
        fi
        echo "$backend $class: found by$by; lockstep: $insn"
        [ "${VERBOSE:-}" ] && cat "$dir/out"
    done
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
