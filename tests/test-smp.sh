#!/bin/sh
# test-smp.sh - PCs with several CPUs: the ROM of tests/guest/x86-smp.S, which checks atomic operations, page tables, code that others
# write and interrupts between CPUs, with CPUs that take turns and with a host thread for each; stopping, looking, going on, resetting
# and ending machines with threads; what thread=multi does not go with. That the ROM is right another emulator of PCs says, where there is one.
set -u
build=${QUERN_BUILD:-.}
src=${QUERN_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}
. "$src/tests/patience.sh"
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); printf 'FAILED: %s\n' "$*"; }
q32=$build/quern-system-i386 q64=$build/quern-system-x86_64
{ dd if=/dev/zero bs=1024 count=62 && cat "$src/tests/guest/x86-smp.bin"; } >"$dir/rom" 2>/dev/null
common="-m 16 -bios $dir/rom -display none -no-reboot"

# all PROGRAM CPUS ARGS...: the ROM finds nothing wrong
all() {
    program=$1 n=$2
    shift 2
    # shellcheck disable=SC2086
    timeout $((60 * patience)) "$program" $common -smp "$n" -monitor none -serial stdio "$@" >"$dir/out" 2>&1 </dev/null
    rc=$?
    if [ $rc = 0 ] && [ "$(cat "$dir/out")" = "$n CPUs
ok" ]; then ok; else bad "$program -smp $n $*: $rc, $(cat "$dir/out")"; fi
}
if command -v qemu-system-i386 >/dev/null; then all qemu-system-i386 2; fi
all "$q32" 1
all "$q32" 2
all "$q64" 4
# shellcheck disable=SC2086
timeout $((60 * patience)) "$q32" $common -monitor none -accel tcg,thread=multi >"$dir/out" 2>&1 </dev/null
if grep -q 'this host has no atomic operations of 8 bytes' "$dir/out"; then
    echo "no threads: the compiler has no atomic operations of 8 bytes"
    echo "$passed passed, $failed failed, 1 skipped"
    [ $failed = 0 ]
    exit
fi
all "$q32" 1 -accel tcg,thread=multi
for engine in tcg interp interp,dispatch=switch interp,mode=ref jit,threshold=1,threshold2=2 jit,chaos=5 jit,backend=null,threshold=1; do
    all "$q32" 2 -accel "$engine,thread=multi"
done
all "$q64" 2 -accel tcg,thread=multi -M q35
all "$q64" 2 -accel tcg,thread=multi -cpu Nehalem
all "$q32" 3 -accel tcg,thread=multi

# A watchpoint on the count of CPUs that run: told behind the store, of the CPU that made it (places as another emulator has them).
gdb=$(command -v gdb-multiarch || command -v gdb)
watched() {
    rm -f "$dir/gdb"
    # shellcheck disable=SC2086
    timeout $((60 * patience)) "$q32" $common -smp 2 -monitor none -serial "file:$dir/serial" -gdb "unix:$dir/gdb,server=on,wait=off" -S "$@" >"$dir/out" 2>&1 </dev/null &
    pid=$!
    within 5 [ -S "$dir/gdb" ]
    timeout $((60 * patience)) "$gdb" -nx -batch -ex 'set pagination off' -ex 'set architecture i386' -ex "target remote $dir/gdb" -ex 'watch *(int *)0x200004' -ex c \
        -ex 'p/x $pc' -ex c -ex 'p/x $pc' -ex thread -ex delete -ex c >"$dir/gdb.out" 2>&1
    wait $pid
    if tr '\n' ' ' <"$dir/gdb.out" | grep -q 'Old value = 0 New value = 1.* = 0x100c7 .*Old value = 1 New value = 2.* = 0x10165 .*Current thread is 2' &&
        [ "$(tail -n 1 "$dir/serial")" = ok ]; then ok; else bad "gdb $*: $(cat "$dir/out" "$dir/gdb.out" "$dir/serial")"; fi
}
if [ -n "$gdb" ]; then
    watched
    watched -accel tcg,thread=multi
else
    echo 'no gdb (Debian: gdb-multiarch)'
fi

# refused TEXT ARGS...
refused() {
    text=$1
    shift
    # shellcheck disable=SC2086
    timeout $((10 * patience)) "$q32" $common -monitor none "$@" >"$dir/out" 2>&1 </dev/null
    rc=$?
    if [ $rc = 1 ] && grep -qF -- "$text" "$dir/out"; then ok; else bad "$* -> $rc '$(cat "$dir/out")' (wanted '$text')"; fi
}
refused '-icount and thread=multi exclude each other' -smp 2 -accel tcg,thread=multi -icount shift=2
refused '-lockstep and thread=multi exclude each other' -smp 2 -accel tcg,thread=multi -lockstep interp,native
refused "invalid value 'many' of 'thread'" -accel tcg,thread=many

# Commands while both CPUs wait for interrupts that never come, or for each other: a ROM that runs for ever.
printf '\353\376' >"$dir/loop"
{ dd if=/dev/zero bs=1 count=65520 && cat "$dir/loop" && dd if=/dev/zero bs=1 count=14; } >"$dir/looprom" 2>/dev/null
{
    sleep 1
    for c in 'info status' 'info cpus' stop 'info status' 'info registers' 'x /2i $pc' cont 'info status' system_reset 'info lapic' 'x /2i $pc' quit; do
        echo "$c"
        sleep 0.2
    done
} | timeout $((30 * patience)) "$q32" -m 16 -bios "$dir/looprom" -display none -smp 2 -accel tcg,thread=multi -serial none -monitor stdio >"$dir/out" 2>&1
rc=$?
if [ $rc = 0 ] && [ "$(grep -c 'VM status: running' "$dir/out")" = 2 ] && grep -q 'VM status: paused' "$dir/out" && grep -q 'CPU #1' "$dir/out" &&
    [ "$(grep -c 'jmp  *0x' "$dir/out")" -ge 2 ]; then ok; else bad "monitor: $rc, $(cat "$dir/out")"; fi

# Signals end it, at once.
timeout -s TERM 2 "$q32" -m 16 -bios "$dir/looprom" -display none -smp 4 -accel tcg,thread=multi -serial none -monitor none >"$dir/out" 2>&1 </dev/null
rc=$?
[ $rc = 124 ] && ok || bad "SIGTERM: $rc, $(cat "$dir/out")"

echo "$passed passed, $failed failed"
[ $failed = 0 ]
