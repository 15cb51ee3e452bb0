#!/bin/sh
# test-gccjit.sh - the gccjit backend: random IR against the reference, the benchmark programs, and a worker program that is
# missing, of another kind, or killed while guests run. Skipped where libgccjit was not found (Debian: libgccjit-12-dev).
# GCCJIT_PROGRAMS: how many programs of random IR.
set -u
build=${QUERN_BUILD:-.} top=${QUERN_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}
passed=0 failed=0
worker=quern-jit-worker-gccjit

if [ ! -x "$build/$worker" ] || ! grep -q '^#define HAVE_GCCJIT 1' "$build/config.h"; then
    echo "SKIP: the gccjit backend was not built (Debian: libgccjit-12-dev)"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
tmp=$(mktemp -d "${TMPDIR:-/tmp}/quern-test-gccjit-XXXXXX") || exit 1
trap 'rm -rf "$tmp"' EXIT
QUERN_MODULE_PATH=$build TMPDIR=$tmp
export QUERN_MODULE_PATH TMPDIR

check() { # check WHAT: the status of the last command
    status=$?
    if [ $status = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $1"
    fi
}
on() { # on TARGET PROGRAM OPTIONS...: by the backend at once; output in $tmp/out, messages in $tmp/err
    target=$1 program=$2
    shift 2
    timeout 120 "$build/quern-$target" -accel "jit,backend=gccjit,$1" "$top/tests/bench/guest/$target/$program" >"$tmp/out" 2>"$tmp/err"
}

"$build/tests/test-ir" "${GCCJIT_PROGRAMS:-20}" gccjit 2 >"$tmp/out" 2>&1 && ! grep -q ', [1-9][0-9]* refused' "$tmp/out"
check 'random IR'
[ $failed = 0 ] || cat "$tmp/out"

# Programs that rounded otherwise than to nearest, and were compiled for the host's arithmetic all the same.
for seed in 850 952; do
    "$build/tests/test-fuzz-ir" --engine gccjit --seed $seed --count 1 --out "$tmp/found" >"$tmp/out" 2>&1
    check "random IR, program $seed"
done

for target in mipsel mips mips64el; do
    for program in mandel nbody recurse sieve; do
        [ -f "$top/tests/bench/guest/$target/$program" ] || continue
        "$build/quern-$target" "$top/tests/bench/guest/$target/$program" >"$tmp/want"
        on $target $program sync=on,threshold2=20000 && cmp -s "$tmp/out" "$tmp/want" && [ ! -s "$tmp/err" ]
        check "$program on $target"
    done
done

# The guest's own signals and faults, with all it runs compiled.
gzip -dc "$top/tests/user/bin/suite-mipsel.gz" >"$tmp/suite" && chmod 755 "$tmp/suite"
for test in unaligned wild; do
    "$build/quern-mipsel" "$tmp/suite" $test >"$tmp/want" 2>/dev/null
    timeout 120 "$build/quern-mipsel" -accel jit,backend=gccjit,sync=on,threshold2=400 "$tmp/suite" $test >"$tmp/out" 2>/dev/null
    cmp -s "$tmp/out" "$tmp/want"
    check "suite $test"
done

# No worker program: said once, and the guest runs on.
"$build/quern-mipsel" "$top/tests/bench/guest/mipsel/nbody" >"$tmp/want"
QUERN_MODULE_PATH=$tmp/nowhere
on mipsel nbody sync=on,threshold2=1000 && cmp -s "$tmp/out" "$tmp/want" && [ "$(grep -c 'nothing is compiled' "$tmp/err")" = 1 ]
check 'no worker program'

# One that ends at once, and one that never answers as it should.
mkdir "$tmp/bad"
for text in 'exit 1' 'echo no worker of this kind, but some bytes >&0; exit 0'; do
    printf '#!/bin/sh\n%s\n' "$text" >"$tmp/bad/$worker"
    chmod 755 "$tmp/bad/$worker"
    QUERN_MODULE_PATH=$tmp/bad
    on mipsel nbody sync=on,threshold2=1000 && cmp -s "$tmp/out" "$tmp/want" && grep -q 'gccjit: .*compiled' "$tmp/err"
    check "a worker that does: $text"
done

each_worker() { # each_worker SIGNAL: those of this test
    for p in /proc/[0-9]*; do
        case $( { tr '\0' ' ' <"$p/cmdline"; } 2>/dev/null) in
        "$build/$worker $tmp/"*) kill "-$1" "${p#/proc/}" 2>/dev/null ;;
        esac
    done
}
clean() {
    ! ls -d "$tmp"/quern-jit-* 2>/dev/null
}

# One that greets as it should and ends over whatever it is asked: said, and given up at some time.
mkdir "$tmp/none"
: >"$tmp/hello"
"$build/$worker" "$tmp/none" 0<>"$tmp/hello"
printf '#!/bin/sh\ncat "%s" >&0\nhead -c 1 >/dev/null\n' "$tmp/hello" >"$tmp/bad/$worker"
QUERN_MODULE_PATH=$tmp/bad
on mipsel nbody sync=on,threshold2=2 && cmp -s "$tmp/out" "$tmp/want" && grep -q 'failed too often' "$tmp/err"
check 'a worker that ends over each request'
QUERN_MODULE_PATH=$build

# It ends with its quern, which leaves nothing.
clean
check 'temporary files are removed'

# Killed again and again while it works.
"$build/quern-mipsel" "$top/tests/bench/guest/mipsel/sort" >"$tmp/want"
on mipsel sort sync=on,threshold2=1000 &
guest=$!
for i in 1 2 3 4 5 6; do
    sleep 0.3
    each_worker KILL
done
wait $guest && cmp -s "$tmp/out" "$tmp/want"
check 'the worker is killed'
clean
check 'temporary files of killed workers are removed'

# A host that is too busy for it is no reason to start another.
on mipsel sort sync=on,threshold2=1000 &
guest=$!
sleep 0.2
each_worker STOP
sleep 1.5
each_worker CONT
wait $guest && cmp -s "$tmp/out" "$tmp/want" && [ ! -s "$tmp/err" ]
check 'the worker has to wait'

# Its quern is killed: it removes what there is.
"$build/quern-mipsel" -accel jit,backend=gccjit,threshold2=1000 "$top/tests/bench/guest/mipsel/sort" >/dev/null 2>&1 &
guest=$!
sleep 0.3
kill -9 $guest
wait $guest 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    clean >/dev/null && break
    sleep 0.5
done
clean
check 'temporary files go when quern is killed'

echo "$passed passed, $failed failed"
[ $failed = 0 ]
