#!/bin/sh
# Writers of images killed at random moments: block-crash.sh [KILLS [SEED [MODES]]], KILLS for all modes of a group
# together: qcow2's first, the other formats' then. After each: everything flushed is there, and check finds no
# corruption; qemu-img, when there is one, must find none either.
set -u
build=${QUERN_BUILD:-$(pwd)}
kills=${1:-12} seed=${2:-$$}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0 peer=
command -v qemu-img >/dev/null 2>&1 && peer=peer
for mode in ${3:-plain compressed snapshots lazy subclusters vhdx qed vmdk vdi vpc parallels qcow}; do
    case $mode in plain | compressed | snapshots | lazy | subclusters) n=$((kills / 4)) ;;
    vhdx) n=$((kills / 2)) ;;
    *) n=$((kills / 6)) ;;
    esac
    if "$build/tests/block-crash" "$mode" "$dir/$mode" "$dir/log" $n "$seed" $peer; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "failed: $mode (seed $seed)"; [ ! -f "$dir/log.peer" ] || head -n 5 "$dir/log.peer"
    fi
    rm -f "$dir/$mode"
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
