#!/bin/sh
# Runs the programs of a Debian root directory (tests/debian-sysroot.sh makes one) as tests/debian-commands.txt
# lists them, under quern-mipsel -L and qemu-mipsel -L, and compares output and exit status. What the host's processor runs
# itself (i386 and x86_64 on x86-64) is compared with the host instead: there the oracle is a chroot, which needs root or user
# namespaces. Not part of the default tests: `make check-debian` makes the root directory first when it is missing.
#
# usage: run-debian.sh [-t TARGET] [-a ACCEL] [-k NAME] [-o] [-v] [SYSROOT]
#   -t TARGET mipsel (default), i386 or x86_64
#   -a ACCEL  the value of quern's -accel (default: none given)
#   -k NAME   only commands whose name contains NAME
#   -o        print the oracle's output, run nothing else
#   -v        a line for each command
#   SYSROOT   the root directory (default $QUERN_SYSROOT, or debian-TARGET in the build directory)
set -u
accel='' only='' oracle='' verbose='' target=mipsel
while getopts a:k:ot:v option; do
    case $option in
    a) accel="-accel $OPTARG" ;;
    k) only=$OPTARG ;;
    o) oracle=1 ;;
    t) target=$OPTARG ;;
    v) verbose=1 ;;
    *) sed -n '/^# usage/,/^#   SYSROOT/s/^# *//p' "$0" >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
own_root() { [ "$(id -u)" = 0 ] || echo --map-current-user --keep-caps; }
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${QUERN_BUILD:-.}" && pwd)
root=${1:-${QUERN_SYSROOT:-$build/debian-$target}}
if [ ! -e "$root/bin/bash" ]; then
    echo "no sysroot at $root: tests/debian-sysroot.sh DIR makes one, QUERN_SYSROOT=DIR tells where it is"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
root=$(cd "$root" && pwd)
command -v "$build/quern-$target" >/dev/null || { echo "no $build/quern-$target: set QUERN_BUILD" >&2; exit 1; }
theirs=''
command -v qemu-$target >/dev/null && theirs=qemu-$target
case $target/$(uname -sm) in
i386/Linux\ x86_64 | x86_64/Linux\ x86_64)
    theirs=''
    command -v unshare >/dev/null && unshare $(own_root) -m true 2>/dev/null && theirs=host
    ;;
esac

tmp=$(mktemp -d "${TMPDIR:-/tmp}/quern-debian-XXXXXX") || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM

# host PROGRAM...: runs it in the root directory, in the current directory, which is there by the same name
host() {
    # shellcheck disable=SC2016,SC2046 # for the shell inside; options
    exec env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin unshare $(own_root) -m sh -c '
        root=$1 dir=$2 home=$3
        shift 3
        mkdir -p "$root$dir" "$root/proc" "$root/dev" && mount --bind "$dir" "$root$dir" && mount --rbind /proc "$root/proc" &&
            mount --rbind /dev "$root/dev" || exit 125
        exec chroot "$root" env -i -C "$home" "$@"' host "$root" "$tmp" "$tmp/dir" "$@"
}

# run OUTPUT EMULATOR...: the program $1 of $words and its arguments, the body as the last one, in a fresh
# directory of the same name for every emulator. Programs see where they are by argv[0], which is the guest's path.
# qemu-mipsel does not look for directories in the root directory, so its Python and Perl are told where theirs are.
run() {
    output=$1 perl=
    case $2$words in qemu*/perl*) perl=$(echo "$root"/usr/lib/mipsel-linux-gnu/perl/5.*.* | tr ' ' :):$(
        echo "$root"/usr/share/perl/5.*.* | tr ' ' :) ;; esac
    shift
    rm -rf "$tmp/dir"
    mkdir "$tmp/dir"
    # shellcheck disable=SC2086 # the words of the header
    (
        cd "$tmp/dir" || exit 1
        case $1$words in
        host*) set -- "$@" $words ;;
        qemu*python*) set -- "$@" -L "$root" "$root"$words ;;
        *) set -- "$@" -L "$root" -0 ${words%% *} "$root"$words ;;
        esac
        [ "$body" ] && set -- "$@" "$body"
        vars="PATH=/usr/bin:/bin HOME=$tmp/dir TMPDIR=$tmp/dir LC_ALL=C.UTF-8 TZ=UTC TERM=dumb PYTHONHASHSEED=1"
        # shellcheck disable=SC2086 # several
        case $1 in
        host) shift; host $vars timeout 300 "$@" ;;
        esac
        # shellcheck disable=SC2086
        exec env -i $vars ${perl:+PERL5LIB="$perl"} timeout 300 "$@"
    ) >"$output" 2>"$output.err" </dev/null
    echo "status $?" >>"$output"
}

passed=0 failed=0 skipped=0 name='' words='' body='' expected='' state=''
finish() {
    [ "$name" ] || return 0
    case $name in *"$only"*) ;; *) return 0 ;; esac
    if [ "$expected" ] && [ "$theirs" != host ]; then
        printf '%s' "$expected" >"$tmp/theirs"
        : >"$tmp/theirs.err"
    elif [ "$theirs" ]; then
        run "$tmp/theirs" $theirs
    else
        skipped=$((skipped + 1))
        [ "$verbose" ] && echo "SKIP $name: no qemu-$target (package qemu-user), no user namespaces"
        return 0
    fi
    if [ "$oracle" ]; then
        echo "== $name"
        cat "$tmp/theirs" "$tmp/theirs.err"
        return 0
    fi
    # shellcheck disable=SC2086
    run "$tmp/ours" "$build/quern-$target" $accel
    if diff "$tmp/theirs" "$tmp/ours" >"$tmp/diff"; then
        passed=$((passed + 1))
        [ "$verbose" ] && echo "pass $name"
    else
        failed=$((failed + 1))
        echo "FAIL $name"
        sed 's/^/    /' "$tmp/diff" "$tmp/ours.err" | head -n 30
    fi
}

while IFS= read -r line || [ "$line" ]; do
    case $line in
    '== '*)
        finish
        line=${line#== }
        name=${line%%:*} words=${line#*: } body='' expected='' state=body
        ;;
    '-- expected') state=expected ;;
    *)
        case $state in
        body) body="$body$line
" ;;
        expected) expected="$expected$line
" ;;
        esac
        ;;
    esac
done <"$here/debian-commands.txt"
finish
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
