#!/bin/sh
# run-user.sh - runs the guest programs of tests/user under every engine mode and compares output and exit
# status with the expected ones, which qemu-user and hardware give too (tests/user/README).
#
# usage: run-user.sh [--exec DIRECTORY-OF-quern-TARGET] [--prefix NAME]
#   --exec DIR     programs are DIR/quern-mipsel and so on (default: $QUERN_BUILD or .)
#   --prefix NAME  other program names: NAME-mipsel, without the engine options (say qemu)
#   --under COMMAND  runs them by this command (say qemu-aarch64)
#   --modes 'M ...'  the values of -accel to try
srcdir=${srcdir:-.}
case $0 in */run-user.sh) here=${0%/run-user.sh} ;; *) here=$srcdir/tests ;; esac
dir=${QUERN_BUILD:-.} prefix=quern under= only=
while [ $# -gt 0 ]; do
    case $1 in
    --exec) dir=$2; shift 2 ;;
    --prefix) prefix=$2; shift 2 ;;
    --under) under=$2; shift 2 ;;
    --modes) only=$2; shift 2 ;;
    *) echo "usage: run-user.sh [--exec DIR] [--prefix NAME] [--under COMMAND] [--modes LIST]" >&2; exit 2 ;;
    esac
done
. "$here/patience.sh"
passed=0 failed=0 skipped=0
tmp=$(mktemp -d "${TMPDIR:-/tmp}/quern-run-user-XXXXXX") || exit 1
trap 'rm -rf "$tmp"' EXIT
limit=
command -v timeout >/dev/null && limit="timeout $((30 * patience))"
if [ "$prefix" = quern ]; then
    modes="interp,mode=fast interp,mode=ref interp,dispatch=switch interp,fp=soft"
    if grep -q '^#define HAVE_JIT_NATIVE' "$dir/config.h" 2>/dev/null; then
        modes="$modes jit,backend=native,sync=on,threshold=2 jit,backend=native,threshold=20 jit,backend=native,chaos=7"
    fi
    [ -e "$dir/quern-jit-tcc.so" ] && modes="$modes jit,backend=tcc,sync=on,threshold=2 jit,backend=tcc,chaos=9"
    modes=${QUERN_ACCEL:-$modes}
else
    modes=other
fi
[ -n "$only" ] && modes=$only
for packed in "$here"/user/bin/suite-*.gz; do
    [ -f "$packed" ] || continue
    name=${packed##*/suite-} target=${name%.gz}
    run=$dir/$prefix-$target
    [ "$prefix" = quern ] || run=$prefix-$target
    if ! command -v "$run" >/dev/null; then
        echo "SKIP suite-$target: no $run"
        skipped=$((skipped + 1))
        continue
    fi
    suite=$tmp/suite-$target
    gzip -dc "$packed" >"$suite" && chmod 755 "$suite"
    size= # an emulator that keeps tables of all of a reserved window needs one that is not too large
    case $under/$target in ?*/mips64*) size='-R 8G' ;; esac
    for expected in "$here"/user/*.expected; do
        test=${expected##*/} test=${test%.expected}
        if [ -n "$under" ] && [ "$test" = process ]; then
            skipped=$((skipped + 1)) # it executes this program again, which the command does not see
            continue
        fi
        for mode in $modes; do
            opt="-accel $mode"
            [ "$mode" = other ] && opt=
            # shellcheck disable=SC2086
            $limit $under "$run" $size $opt "$suite" "$test" >"$tmp/out" 2>"$tmp/err" </dev/null
            echo "status $?" >>"$tmp/out"
            if sed "s,$suite,SUITE,g" "$tmp/out" | diff "$expected" - >"$tmp/diff"; then
                passed=$((passed + 1))
            else
                failed=$((failed + 1))
                echo "FAIL $test on $target ($mode)"
                sed 's/^/    /' "$tmp/diff" "$tmp/err" | head -20
            fi
        done
    done
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
