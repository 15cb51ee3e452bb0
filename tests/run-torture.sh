#!/bin/sh
# Compiles the programs of GCC's execute tests (gcc.c-torture/execute) for the targets named and runs each under
# qemu-TARGET, or with -n on the host's own CPU, and under quern-TARGET: those that pass by the first have to pass by
# the second. The programs are GCC's and under its licence; they are read from Debian's package gcc-12-source and no
# part of this project.
# Not part of the default tests: a complete run takes minutes for each target.
#
# usage: run-torture.sh [-e EVERY] [-j JOBS] [-O LEVELS] [-a ACCEL] [-w DIR] [-n] [-k NAME] [TARGET]...
#   -e N       only every Nth program (default 1, or $QUERN_TORTURE_EVERY)
#   -j N       that many at a time (default 2)
#   -O LEVELS  optimisation levels (default "-O0 -O1")
#   -a ACCEL   the value of quern's -accel (default: none given)
#   -w DIR     work directory, kept; unpacked sources in it are used again (default: a temporary one)
#   -n         natively instead of under qemu, on hosts that run the target's programs themselves
#   -k NAME    only programs whose name contains NAME; what they print is kept in DIR
#   TARGET     mipsel, mips, mips64el, mips64, mipsn32el, mipsn32, i386, x86_64 (default mipsel); n32 needs the packages
#              libc6-dev-mipsn32-mips64el-cross and libn32gcc-12-dev-mips64el-cross, or those for mips64
# The sources: /usr/src/gcc-12/gcc-12.*.tar.xz, or the tar file or unpacked tree $QUERN_TORTURE names.
set -u

self=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")

die() { echo "$0: $*" >&2; exit 1; }

skip() {
    echo "$1"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}

# The compiler of a target, with the option that chooses its ABI.
compiler() {
    case $1 in
    mipsel) echo mipsel-linux-gnu-gcc ;;
    mips) echo mips-linux-gnu-gcc ;;
    mips64el) echo mips64el-linux-gnuabi64-gcc ;;
    mips64) echo mips64-linux-gnuabi64-gcc ;;
    mipsn32el) echo mips64el-linux-gnuabi64-gcc -mabi=n32 ;;
    mipsn32) echo mips64-linux-gnuabi64-gcc -mabi=n32 ;;
    i386) if command -v i686-linux-gnu-gcc >/dev/null; then echo i686-linux-gnu-gcc; else echo gcc -m32; fi ;;
    x86_64) if command -v x86_64-linux-gnu-gcc >/dev/null; then echo x86_64-linux-gnu-gcc; else echo gcc; fi ;;
    *) die "no cross compiler known for $1" ;;
    esac
}

# What runs a target's programs to compare with: nothing is the host itself.
reference() { [ "$TORTURE_NATIVE" ] || echo "qemu-$1"; }

# The options a program asks for in its comments; those for other machines are left out.
directives() {
    sed -nE 's/.*\{ *dg-(options|additional-options) +("([^"]*)"|\{ *"([^"]*)" *\})( *\{ *target +fpic *\})? *\}.*/\3\4/p' \
        "$1" | grep -v '_printf_float' | tr '\n' ' '
    # Tests with a file NAME.x have more options there.
    [ -f "${1%.c}.x" ] && sed -nE 's/^ *(lappend|set) additional_flags "?(-f[^"]*)"?.*/\2/p' "${1%.c}.x" | tr '\n' ' '
}

# worker TARGET LEVEL SOURCE: one program; appends a line "RESULT NAME LEVEL" to the list of results.
worker() {
    target=$1 level=$2 source=$3
    name=${source#"$TORTURE_TREE"/}
    stem=$TORTURE_WORK/run/$target$level-$(echo "${name%.c}" | tr / -)
    files=$source flags=
    # Programs for x86 alone, and those that need a higher level than asked for, say so.
    case $target in i386 | x86_64) foreign= ;; *) foreign=1 ;; esac
    if [ $foreign ] && grep -q 'dg-skip-if.*! { i?86' "$source"; then
        echo "unsupported $name $level" >>"$TORTURE_RESULTS"
        return
    fi
    case $name in
    builtins/*)
        files="$source ${source%.c}-lib.c $TORTURE_TREE/builtins/lib/main.c"
        flags="-fno-tree-dse -fno-tree-loop-distribute-patterns -fno-tracer -fno-ipa-ra -fno-inline-functions" ;;
    ieee/*) flags=-fno-inline ;;
    esac
    # shellcheck disable=SC2046,SC2086 # lists of words
    if ! $(compiler "$target") -w $level $flags $(directives "$source") -static -o "$stem" $files -lm \
        >"$stem.gcc" 2>&1; then
        echo "uncompiled $name $level" >>"$TORTURE_RESULTS"
        [ "$TORTURE_KEEP" ] || rm -f "$stem.gcc"
        return
    fi
    # A directory of its own: some write files.
    mkdir -p "$stem.d"
    # shellcheck disable=SC2046 # none, or a command
    (cd "$stem.d" && timeout 60 $(reference "$target") "$stem" >"$stem.qemu" 2>&1 </dev/null)
    oracle=$?
    # shellcheck disable=SC2086
    (cd "$stem.d" && timeout 120 "$TORTURE_QUERN/quern-$target" $TORTURE_ACCEL "$stem" >"$stem.quern" 2>&1 </dev/null)
    ours=$?
    if [ $oracle = 0 ] && [ $ours = 0 ]; then result=pass
    elif [ $oracle = 0 ]; then result="FAIL($ours)"
    elif [ $ours = 0 ]; then result="only-quern($oracle)"
    else result="neither($oracle,$ours)"
    fi
    echo "$result $name $level" >>"$TORTURE_RESULTS"
    [ "$TORTURE_KEEP" ] || rm -f "$stem" "$stem.gcc" "$stem.qemu" "$stem.quern"
    rm -rf "$stem.d"
}

if [ "${1:-}" = --worker ]; then
    shift
    worker "$@"
    exit 0
fi

every=${QUERN_TORTURE_EVERY:-1} jobs=2 levels="-O0 -O1" accel='' work='' only='' native=''
while getopts e:j:O:a:w:nk: option; do
    case $option in
    e) every=$OPTARG ;;
    j) jobs=$OPTARG ;;
    O) levels=$OPTARG ;;
    a) accel="-accel $OPTARG" ;;
    w) work=$OPTARG ;;
    n) native=1 ;;
    k) only=$OPTARG ;;
    *) sed -n '/^# usage/,/^# The sources/s/^# *//p' "$0" >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- mipsel
case $every in '' | *[!0-9]* | 0) die "-e takes a number" ;; esac

source=${QUERN_TORTURE:-}
[ "$source" ] || for f in /usr/src/gcc-12/gcc-12.*.tar.xz; do
    [ -f "$f" ] && source=$f
done
if [ -z "$work" ]; then
    work=$(mktemp -d "${TMPDIR:-/tmp}/quern-torture-XXXXXX") || exit 1
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM
fi
mkdir -p "$work/run"
work=$(cd "$work" && pwd)
tree=$(find "$work" -type d -path '*/gcc.c-torture/execute' | head -n 1)
if [ -z "$tree" ] && [ -d "$source" ]; then
    tree=$(find "$source" -type d -path '*/gcc.c-torture/execute' | head -n 1)
elif [ -z "$tree" ] && [ "$source" ]; then
    tar -x -C "$work" --wildcards -f "$source" '*/gcc.c-torture/execute/*' || die "cannot unpack $source"
    tree=$(find "$work" -type d -path '*/gcc.c-torture/execute' | head -n 1)
fi
[ "$tree" ] || skip "no sources: install gcc-12-source, or set QUERN_TORTURE to its tar file (apt-get download
gcc-12-source and dpkg-deb -x need no privilege)"

TORTURE_TREE=$tree TORTURE_WORK=$work TORTURE_ACCEL=$accel TORTURE_KEEP=$only TORTURE_NATIVE=$native
TORTURE_QUERN=$(cd "${QUERN_BUILD:-.}" && pwd)
export TORTURE_TREE TORTURE_WORK TORTURE_ACCEL TORTURE_KEEP TORTURE_NATIVE TORTURE_QUERN
sample=
[ "$every" = 1 ] || sample=", one program in $every"
passed=0 failed=0 skipped=0
for target; do
    gcc=$(compiler "$target") || exit 1
    gcc=${gcc%% *}
    missing=
    # shellcheck disable=SC2046
    for tool in "$gcc" $(reference "$target") "$TORTURE_QUERN/quern-$target" timeout xargs; do
        command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
    done
    if [ "$missing" ]; then
        echo "SKIP $target: no$missing"
        skipped=$((skipped + 1))
        continue
    fi
    TORTURE_RESULTS=$work/results-$target
    export TORTURE_RESULTS
    : >"$TORTURE_RESULTS"
    find "$tree" -name '*.c' ! -name '*-lib.c' ! -path '*/builtins/lib/*' | LC_ALL=C sort |
        awk -v every="$every" -v only="$only" 'only != "" ? index($0, only) : NR % every == 0' |
        while read -r file; do
            for level in $levels; do
                echo "$target $level $file"
            done
        done | xargs -n 3 -P "$jobs" sh "$self" --worker
    LC_ALL=C sort -o "$TORTURE_RESULTS" "$TORTURE_RESULTS"
    both=$(grep -c '^pass ' "$TORTURE_RESULTS")
    bad=$(grep -c '^FAIL' "$TORTURE_RESULTS")
    none=$(grep -c '^un' "$TORTURE_RESULTS")
    [ -s "$TORTURE_RESULTS" ] || die "$target: no program was run"
    echo "== $target, $levels$sample: $(wc -l <"$TORTURE_RESULTS") programs, $none of them not for it"
    oracle=$(reference "$target")
    echo "   $((both + bad)) pass by ${oracle:-the host}, $both of these by quern-$target:" \
        "$(awk -v a="$both" -v b="$((both + bad))" 'BEGIN { printf "%.2f %%", b ? 100 * a / b : 0 }')"
    grep -v '^pass ' "$TORTURE_RESULTS" | grep -v '^uns' | sed 's/^/   /'
    passed=$((passed + both)) failed=$((failed + bad)) skipped=$((skipped + none))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
