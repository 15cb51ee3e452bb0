#!/bin/sh
# sizes.sh - how large things are: the program stripped, the source by folder, and what a build without optional
# libraries is linked with.
#
# usage: QUERN_SOURCE=DIR QUERN_BUILD=DIR sizes.sh [--ldd]     (--ldd configures and builds in $QUERN_BUILD/plain)
set -u
src=$(cd "${QUERN_SOURCE:-.}" && pwd) && build=$(cd "${QUERN_BUILD:-.}" && pwd) || exit 1
tmp=$(mktemp) || exit 1
trap 'rm -f "$tmp"' EXIT
if [ -x "$build/quern" ]; then
    strip -o "$tmp" "$build/quern" && echo "quern, stripped: $(wc -c <"$tmp") bytes"
    size "$build/quern"
fi
echo "lines of C, headers and tables:"
for d in util interp bus chardev blockfmt isa periph machines mon user tools tests; do
    find "$src/$d" \( -name '*.[ch]' -o -name '*.def' -o -name '*.S' \) -exec cat {} + | wc -l |
        awk -v d="$d" '{ printf "  %-10s %7d\n", d, $1 }'
done | awk '{ print; n += $2 } END { printf "  %-10s %7d\n", "all", n }'
if [ "${1:-}" = --ldd ]; then
    mkdir -p "$build/plain" && cd "$build/plain" || exit 1
    { [ -e config.status ] || "$src/configure" --disable-zlib; } >plain.log 2>&1 &&
        make -s -j"${JOBS:-2}" quern >>plain.log 2>&1 || { tail -n 5 plain.log; exit 1; }
    echo "without optional libraries:"
    ldd quern
    # libc and libm, and what every program has: the loader and the kernel's own.
    if ldd quern | grep -vE 'libc\.|libm\.|ld-linux|ld64|linux-vdso|linux-gate|not a dynamic'; then
        echo "more than libc and libm is needed"
        exit 1
    fi
fi
