#!/bin/sh
# test-jit-tcc.sh - the libtcc backend: guest programs give what they give under the interpreter, compiled in batches, alone, and
# at random; a kernel's boot gives the same hashes; a module that can't be had is told of.
# (Single ops and random IR: the fuzzers, which take every module that was built. Signals and faults: run-user.sh.)
set -u
build=${QUERN_BUILD:-.} src=${QUERN_SOURCE:-.}
passed=0 failed=0 skipped=0
limit=
command -v timeout >/dev/null && limit='timeout 300'
pass() { passed=$((passed + 1)); }
fail() { failed=$((failed + 1)); echo "FAILED: $*"; }
skip() { skipped=$((skipped + 1)); echo "SKIPPED: $*"; }
finish() {
    [ $skipped = 0 ] && echo "$passed passed, $failed failed" || echo "$passed passed, $failed failed, $skipped skipped"
    [ $failed = 0 ]
    exit
}
QUERN_MODULE_PATH=${QUERN_MODULE_PATH:-$build}
export QUERN_MODULE_PATH
guest=$src/tests/bench/guest
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

# Wherever it was built or not, asking for what is not there is an error or falls back, but says so.
QUERN_MODULE_PATH=$tmp "$build/quern-mipsel" -accel jit,backend=tcc "$guest/mipsel/hello" >"$tmp/out" 2>&1
if grep -q "backend 'tcc'" "$tmp/out"; then pass; else fail "no word about a module that is missing: $(cat "$tmp/out")"; fi
echo nonsense >"$tmp/quern-jit-tcc.so"
QUERN_MODULE_PATH=$tmp "$build/quern-mipsel" -accel jit,backend=tcc "$guest/mipsel/hello" >"$tmp/out" 2>&1
if grep -q "backend 'tcc'" "$tmp/out"; then pass; else fail "no word about a module that is none: $(cat "$tmp/out")"; fi

if [ ! -e "$build/quern-jit-tcc.so" ]; then
    skip "jit-tcc was not built (Debian: libtcc-dev)"
    finish
fi

for target in mipsel mips mips64el mips64; do
    for p in mandel nbody hash vm; do
        want=$("$build/quern-$target" -accel interp "$guest/$target/$p" 2>&1)
        for how in sync=on,threshold=1,regions=off threshold=20 sync=on,chaos=5; do
            got=$($limit "$build/quern-$target" -accel jit,backend=tcc,$how "$guest/$target/$p" 2>&1)
            if [ -n "$want" ] && [ "$got" = "$want" ]; then pass; else fail "$target $p $how: $got, not $want"; fi
        done
    done
done

# The source is in the log.
"$build/quern-mipsel" -accel jit,backend=tcc,sync=on,threshold=1 -d out_asm -D "$tmp/log" "$guest/mipsel/mandel" >/dev/null 2>&1
if grep -q '^u64 f(' "$tmp/log" && grep -q '^OUT: tier 2 tcc' "$tmp/log"; then pass; else fail "-d out_asm shows no code"; fi

# The last part of a kernel's start, with its memory mapped and interrupts on.
if [ -e "$build/tests/boot-hash" ] && "$build/tests/boot-hash" --save-at 2400000000 --insns 2400000000 --every 2400000000 --write "$tmp/state" >"$tmp/boot" 2>&1; then
    "$build/tests/boot-hash" --read "$tmp/state" --insns 2440000000 --every 10000000 >"$tmp/want"
    for how in sync=on,threshold=20 threshold=200; do
        "$build/tests/boot-hash" --engine jit,backend=tcc,$how --read "$tmp/state" --insns 2440000000 --every 10000000 >"$tmp/got" 2>&1
        if [ -s "$tmp/want" ] && cmp -s "$tmp/want" "$tmp/got"; then pass; else fail "the boot goes another way ($how)"; fi
    done
else
    skip "no kernel to boot ($(tail -n 1 "$tmp/boot" 2>/dev/null))"
fi
finish
