#!/bin/sh
# test-user-step.sh - programs that single-step themselves (EFLAGS.TF) in user mode, under every engine and in lockstep: what a Linux
# kernel makes of it is in tests/user/step-TARGET.txt; where the host is an x86-64, its processor is asked again.
set -u
build=${QUERN_BUILD:-.}
source=${QUERN_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0 skipped=0
ulimit -c 0

# same WHAT: is the output the expected one?
same() {
    if cmp -s "$dir/out" "$source/tests/user/step-$target.txt"; then passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED ($target, $1):"
        diff "$source/tests/user/step-$target.txt" "$dir/out" | head -20
    fi
}

modes="interp,mode=fast interp,mode=ref interp,dispatch=switch"
if grep -q '^#define HAVE_JIT_NATIVE' "$build/config.h" 2>/dev/null; then
    modes="$modes jit,backend=native,sync=on,threshold=2 jit,backend=native,chaos=7"
fi
[ -e "$build/quern-jit-tcc.so" ] && modes="$modes jit,backend=tcc,sync=on,threshold=2"
for target in i386 x86_64; do
    program=$source/tests/user/bin/step-$target
    if [ "$(uname -m)" = x86_64 ] && "$program" >"$dir/out" 2>/dev/null; then same "the host's processor"
    else skipped=$((skipped + 1)); echo "SKIP $target: not a program of the host"
    fi
    for mode in ${QUERN_ACCEL:-$modes}; do
        "$build/quern-$target" -accel "$mode" "$program" >"$dir/out" 2>/dev/null
        same "$mode"
    done
    "$build/quern-$target" -lockstep interp,null:threshold=2:threshold2=9 "$program" >"$dir/out" 2>"$dir/err"
    same "in lockstep"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
