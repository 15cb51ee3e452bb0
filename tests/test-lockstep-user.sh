#!/bin/sh
# test-lockstep-user.sh - -lockstep in user mode: programs that make all sorts of system calls, take signals and fork are equal
# under two engines and do what they do alone; options that make no sense are refused.
set -u
build=${QUERN_BUILD:-.} src=${QUERN_SOURCE:-..}
passed=0 failed=0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $*"; }
limit=
command -v timeout >/dev/null && limit='timeout 120'
unset QUERN_ACCEL

for target in mipsel mips64; do
    gzip -dc "$src/tests/user/bin/suite-$target.gz" >"$tmp/suite" && chmod 755 "$tmp/suite"
    for test in files process signals threads unaligned wild; do
        $limit "$build/quern-$target" -lockstep interp,null:threshold=2:threshold2=9 "$tmp/suite" $test >"$tmp/out" 2>"$tmp/err" </dev/null
        echo "status $?" >>"$tmp/out"
        if sed "s,$tmp/suite,SUITE,g" "$tmp/out" | diff "$src/tests/user/$test.expected" - >"$tmp/diff" && grep -q 'are equal after' "$tmp/err" &&
            ! grep -q 'differ between' "$tmp/err"; then ok; else bad "$target $test: $(head -5 "$tmp/diff" "$tmp/err")"; fi
    done
done
hello=$src/tests/bench/guest/mipsel/hello
"$build/quern-mipsel" -lockstep interp "$hello" >"$tmp/out" 2>&1 && bad "one engine is enough" || ok
"$build/quern-mipsel" -g 1 -lockstep interp,ref "$hello" >"$tmp/out" 2>&1 && bad "with a debugger" || ok
"$build/quern-mipsel" -lockstep interp,ref,replay="$hello" "$hello" >"$tmp/out" 2>&1 && bad "not a replay file" || ok
echo "$passed passed, $failed failed"
[ $failed = 0 ]
