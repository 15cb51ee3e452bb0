#!/bin/sh
# test-jit-bad.sh - code generators under bad conditions: executable memory, files, threads or the compiler refused, memory for
# code that is used up all the time. The guest goes on in the next tier, its result is right, and it is said once.
# (Modules that are missing or wrong: test-jit-tcc.sh. Workers missing, wrong or killed: test-gccjit.sh. Faults, signals and code
# that changes: tests/user/hot.c by run-user.sh, and the fuzzers.)
set -u
build=$(cd "${QUERN_BUILD:-.}" && pwd) src=$(cd "${QUERN_SOURCE:-..}" && pwd)
guest=$src/tests/bench/guest
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
passed=0 failed=0 skipped=0
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $*"; }
skip() { skipped=$((skipped + 1)); echo "SKIPPED: $*"; }
unset QUERN_ACCEL
QUERN_MODULE_PATH=$build
export QUERN_MODULE_PATH
native= tcc= gccjit=
grep -q '^#define HAVE_JIT_NATIVE' "$build/config.h" && native=native
[ -e "$build/quern-jit-tcc.so" ] && tcc=tcc
[ -x "$build/quern-jit-worker-gccjit" ] && grep -q '^#define HAVE_GCCJIT 1' "$build/config.h" && gccjit=gccjit

for target in mipsel mips64; do
    for program in vm hash; do "$build/quern-$target" -accel interp "$guest/$target/$program" >"$dir/$target-$program" 2>/dev/null; done
done
# run TARGET PROGRAM ACCEL [OPTIONS]: under $under; output in $dir/out, messages in $dir/err. Is the result right?
under=
run() {
    target=$1 program=$2 accel=$3
    shift 3
    # shellcheck disable=SC2086
    $under timeout 120 "$build/quern-$target" -accel "$accel" "$@" "$guest/$target/$program" 2>"$dir/err" | cat >"$dir/out"
    cmp -s "$dir/out" "$dir/$target-$program"
}
said() { # said N PATTERN: is it in that many lines, and nothing else at all?
    [ "$(grep -c -- "$2" "$dir/err")" = "$1" ] && [ "$(wc -l <"$dir/err")" = "$1" ]
}
message() { head -c 400 "$dir/err"; }

for backend in $native $tcc null; do
    # Files may not grow: no memory with two views. Compiled all the same, and no signal.
    (
        ulimit -f 0 || exit 9
        timeout 120 "$build/quern-mipsel" -accel "jit,backend=$backend,threshold=20,sync=on" -d out_asm "$guest/mipsel/vm" 2>&1 | cat
    ) | grep -v '^[ 0-9a-fx]*:\|^$' >"$dir/all"
    if grep -qxF "$(cat "$dir/mipsel-vm")" "$dir/all" && { [ $backend = null ] || grep -q "^OUT: tier" "$dir/all"; }; then ok
    else bad "$backend, no file may grow: $(tail -n 3 "$dir/all" | head -c 300)"; fi

    # Address space that is enough for the guest, but not for that much code. (A 64-bit guest's has no such limit.)
    cat >"$dir/less" <<'EOF'
ulimit -v 6000000 || exit 9
exec "$@"
EOF
    under="sh $dir/less"
    if run mipsel vm interp; then
        run mipsel vm "jit,backend=$backend,tb-size=2000" && said 1 "'$backend' can't be used: no executable memory.*; interpreting" && ok ||
            bad "$backend, no memory for code: $(message)"
    else
        skip "no guest runs in 6 GB of address space here"
    fi
    under=

    # Little memory, all of it compiled at once: dropped again and again.
    for target in mipsel mips64; do
        [ $backend != null ] || break
        for more in '' ,regions=off ,chaos=2; do
            run $target vm "jit,backend=$backend,tb-size=1,threshold=1,sync=on$more" && said 0 . && ok || bad "$target $backend tb-size=1$more: $(message)"
        done
    done
done
for backend in $native $tcc; do
    "$build/tests/test-fuzz-ir" --engine "$backend:tb-size=1:threshold=1" --count 60 --seed 7000 >"$dir/out" 2>&1 && ok || bad "$backend, IR in little memory: $(tail -5 "$dir/out")"
done

# No threads: the guest's own compiles. (root has no such limit.)
if [ "$tcc" ]; then
    under="prlimit --nproc=1"
    [ "$(id -u)" = 0 ] && under="setpriv --reuid 48151 --regid 48151 --clear-groups $under"
    if $under "$build/quern-mipsel" -accel interp "$guest/mipsel/vm" 2>/dev/null | cmp -s - "$dir/mipsel-vm"; then
        # shellcheck disable=SC2086
        $under "$build/quern-mipsel" -accel jit,backend=tcc,threshold=100 -d out_asm "$guest/mipsel/vm" >"$dir/out" 2>"$dir/err"
        if cmp -s "$dir/out" "$dir/mipsel-vm" && [ "$(grep -c 'no thread for compiling' "$dir/err")" = 1 ] && grep -q '^OUT: tier' "$dir/err"; then ok
        else bad "no threads: $(grep -v '^0x' "$dir/err" | head -c 300)"; fi
    else
        skip "no other user can be tried here"
    fi
    under=
fi

# A compiler that lacks its assembler.
if [ "$gccjit" ]; then
    mkdir "$dir/worker"
    as=$(readlink -f /usr/bin/as)
    cat >"$dir/worker/quern-jit-worker-gccjit" <<EOF
#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec unshare -rm sh -c 'mount --bind /dev/null "$as" && exec "$build/quern-jit-worker-gccjit" "\$1"' x "\$1"
EOF
    chmod 755 "$dir/worker/quern-jit-worker-gccjit"
    if unshare -rm sh -c "mount --bind /dev/null '$as'" 2>/dev/null; then
        QUERN_MODULE_PATH=$dir/worker
        run mipsel vm jit,backend=gccjit,sync=on,threshold2=3000 && ok || bad "gccjit without an assembler: $(message)"
        QUERN_MODULE_PATH=$build
    else
        skip "nothing can be mounted here"
    fi
fi

if [ $skipped = 0 ]; then echo "$passed passed, $failed failed"; else echo "$passed passed, $failed failed, $skipped skipped"; fi
[ $failed = 0 ]
