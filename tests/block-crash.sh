#!/bin/sh
# Writers of images killed at random moments: block-crash.sh [KILLS [SEED [MODES]]], KILLS for all modes of a group
# together: qcow2's first, the other formats' then. After each: everything flushed is there, and check finds no
# corruption. qemu-img, when there is one, checks the last.
set -u
build=${QUERN_BUILD:-$(pwd)}
kills=${1:-12} seed=${2:-$$}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0
for mode in ${3:-plain compressed snapshots lazy subclusters vhdx qed vmdk vdi vpc parallels qcow}; do
    case $mode in plain | compressed | snapshots | lazy) n=$((kills / 4)) f=qcow2 ;;
    subclusters) n=$((kills / 4)) f=qcow2 ;;
    vhdx) n=$((kills / 2)) f=vhdx ;;
    *) n=$((kills / 6)) f=$mode ;;
    esac
    if "$build/tests/block-crash" "$mode" "$dir/$mode" "$dir/log" $n "$seed"; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "failed: $mode (seed $seed)"
    fi
    command -v qemu-img >/dev/null 2>&1 || continue
    qemu-img check -f $f "$dir/$mode" >"$dir/out" 2>&1
    case $? in
    0 | 3 | 63) passed=$((passed + 1)) ;;
    *) failed=$((failed + 1)); echo "failed: qemu-img check, $mode (seed $seed)"; head -n 5 "$dir/out" ;;
    esac
    rm -f "$dir/$mode"
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
