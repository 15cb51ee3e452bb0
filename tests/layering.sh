#!/bin/sh
# The floors of the house (doc/architecture.md): a folder includes from below, never from above or beside it.
set -u
top=${QUERN_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}
cd "$top" || exit 1
passed=0 failed=0

# allow FOLDER FOLDERS...: what FOLDER may include from, itself included
allow() {
    folder=$1
    shift
    [ -d "$folder" ] || return 0
    pattern=$(printf '%s|' "$folder" "$@" | sed 's/|$//')
    hits=$(find "$folder" \( -name '*.[ch]' -o -name '*.def' \) -exec grep -Hn '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' {} + |
        grep -Ev "\"($pattern)(/[^\"]*)?\"|\"config\\.h\"")
    if [ -z "$hits" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$folder/ may include from: $pattern"
        echo "$hits"
    fi
}

allow util
allow interp util
allow bus util
allow chardev util
allow blockfmt util
allow netdev util chardev
allow ui util
allow isa util interp bus
allow periph util bus chardev blockfmt netdev ui
allow jit-native util interp
allow jit-gccjit util interp
allow jit-tcc util interp
allow machines util interp bus chardev blockfmt netdev ui isa periph
allow user util interp bus chardev isa mon/gdb.h
allow mon util interp bus chardev blockfmt netdev ui isa machines
allow tools jit-native jit-gccjit util interp bus chardev blockfmt netdev ui isa periph machines user mon

# One file per host library, unless a number says otherwise.
one_user() {
    files=$(grep -rlE "#[[:space:]]*include[[:space:]]*<$1>" --include='*.[ch]' . 2>/dev/null | grep -v '^./build' | wc -l)
    if [ "$files" -le "${2:-1}" ]; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "<$1> is included by $files files"
    fi
}
one_user zlib.h 3 # compressed kernels, compressed images, PNG
one_user zstd.h
one_user jansson.h

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
