#!/bin/sh
# formats.sh - the long fuzz run of disk images: every format in turn, a slice of time each, round after round, in one
# process at a time. `make fuzz-formats` builds the targets with sanitizers and calls it; see there for the usual numbers.
#
# usage: formats.sh [--seconds N] [--slice N] [--total N] [--seed N] [--out DIR] [--formats "A B"] BUILD
#   --seconds N   of processor time for each format, in all (3600)
#   --slice N     of that for one format in one round (120)
#   --total N     stops after the slice in which so many seconds of the clock are over (0: never)
#   --out DIR     where findings and the log go (fuzz-formats)
#   BUILD         the folder with tests/fuzz/fuzz-block and its like
# What a finding needs to be seen again is left in DIR/FORMAT-SEED; the run goes on. Status 1 when there were findings.
set -u
seconds=3600 slice=120 total=0 seed=1 out=fuzz-formats
formats="vdi vpc vhdx vmdk qed qcow parallels luks bochs cloop dmg raw vvfat nbd qcow2"
usage() { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
while [ $# -gt 1 ]; do
    case $1 in
    --seconds) seconds=$2 ;;
    --slice) slice=$2 ;;
    --total) total=$2 ;;
    --seed) seed=$2 ;;
    --out) out=$2 ;;
    --formats) formats=$2 ;;
    *) usage ;;
    esac
    shift 2
done
[ $# = 1 ] && [ -x "$1/tests/fuzz/fuzz-block" ] || usage
build=$1
mkdir -p "$out" || exit 1
log=$out/log
start=$(date +%s) spent=0 findings=0
# Small images made and thrown away by the thousand: in memory, where the host has a place for that.
[ -n "${TMPDIR:-}" ] || { [ -w /dev/shm ] && TMPDIR=/dev/shm && export TMPDIR; }
: "${ASAN_OPTIONS:=quarantine_size_mb=16:allocator_release_to_os_interval_ms=-1:malloc_context_size=8}"
export ASAN_OPTIONS

while [ "$spent" -lt "$seconds" ]; do
    n=$((seconds - spent < slice ? seconds - spent : slice))
    for f in $formats; do
        case $f in
        vvfat | nbd) target=fuzz-$f ;;
        *) target=fuzz-block ;;
        esac
        last=$out/$f-$seed
        if FUZZ_BLOCK_FORMAT=$f "$build/tests/fuzz/$target" --cpu "$n" --seed "$seed" --last "$last" >"$last.out" 2>&1; then
            echo "$f seed=$seed $(sed -n 's/.*: \([0-9]* inputs.*\)/\1/p' "$last.out")" >>"$log"
            rm -f "$last.out"
        else
            echo "$f seed=$seed FINDING: $last" | tee -a "$log"
            findings=$((findings + 1))
        fi
        if [ "$total" -gt 0 ] && [ $(($(date +%s) - start)) -ge "$total" ]; then break 2; fi
    done
    spent=$((spent + n)) seed=$((seed + 1))
done
# "qcow2 seed=3 1234 inputs, 56.7 s of CPU time" of all rounds, added up
awk '$3 ~ /^[0-9]+$/ { n[$1] += $3; t[$1] += $5 } /FINDING/ { bad[$1]++ }
     END { for (f in n) printf "%-10s %9d inputs %8.1f s of CPU time %3d findings\n", f, n[f], t[f], bad[f] }' "$log" | sort
[ $findings = 0 ]
