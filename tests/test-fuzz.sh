#!/bin/sh
# test-fuzz.sh - each fuzz target for a moment with fixed seeds, and on the inputs that once found something
# (tests/fuzz/regress/TARGET-NAME). `make fuzz` is the long run.
set -u
build=${QUERN_BUILD:-.}
src=${QUERN_SOURCE:-..}
passed=0 failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

try() {
    what=$1
    shift
    if "$@" >"$dir/out" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $what"
        tail -20 "$dir/out"
    fi
}

for t in elf options guest block vvfat nbd; do
    [ $t != elf ] || [ -x "$build/tests/fuzz/fuzz-elf" ] || continue # user mode is not built
    for f in "$src/tests/fuzz/regress/$t"-*; do
        [ -f "$f" ] && try "$f" "$build/tests/fuzz/fuzz-$t" "$f"
    done
    for seed in 1 2; do
        try "fuzz-$t --seed $seed" "$build/tests/fuzz/fuzz-$t" --runs 300 --seed $seed
    done
done
# The engine's own fuzzers are programs of make check; here, what they once found, on every engine that there is.
for f in "$src/tests/regress/ir"-*; do
    [ -f "$f" ] && try "$f" "$build/tests/test-fuzz-ir" --replay "$f"
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
