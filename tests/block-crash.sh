#!/bin/sh
# Writers of qcow2 images killed at random moments: block-crash.sh [KILLS [SEED]], KILLS for all modes together. After
# each: everything flushed is there, and check finds no corruption. qemu-img, when there is one, checks the last.
set -u
build=${QUERN_BUILD:-$(pwd)}
kills=${1:-12} seed=${2:-$$}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0
for mode in plain compressed snapshots lazy; do
    if "$build/tests/block-crash" $mode "$dir/$mode" "$dir/log" $((kills / 4)) "$seed"; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "failed: $mode (seed $seed)"
    fi
    command -v qemu-img >/dev/null 2>&1 || continue
    qemu-img check "$dir/$mode" >"$dir/out" 2>&1
    case $? in
    0 | 3) passed=$((passed + 1)) ;;
    *) failed=$((failed + 1)); echo "failed: qemu-img check, $mode (seed $seed)"; head -n 5 "$dir/out" ;;
    esac
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
