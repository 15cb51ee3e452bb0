#!/bin/sh
# test-gdb.sh - a real gdb on a machine: registers, memory, steps, break- and watchpoints, monitor commands.
set -u
build=${QUERN_BUILD:-.}
. "${QUERN_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}/tests/patience.sh"
gdb=$(command -v gdb-multiarch) || { echo "gdb-multiarch is missing (Debian: gdb-multiarch)"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
dir=$(mktemp -d) || exit 1
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
passed=0 failed=0

# check TEXT: is it in gdb's output?
check() {
    if grep -qF -- "$1" "$dir/out"; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "FAILED: no '$1'"
    fi
}

# One endianness: name, gdb's word, elf bytes of a program at 0x80100000:
#   lui t0,0x8010 ; lw t1,0x40(t0) ; addiu t1,t1,1 ; sw t1,0x40(t0) ; b .-12 (to the lw) ; nop
run() {
    target=$1 endian=$2
    case $endian in
    little)
        h() { printf "\\$2\\$1"; }
        w() { printf "\\$4\\$3\\$2\\$1"; }
        e='\001' ;;
    big)
        h() { printf "\\$1\\$2"; }
        w() { printf "\\$1\\$2\\$3\\$4"; }
        e='\002' ;;
    esac
    {
        printf '\177ELF\001'"$e"'\001\000\000\000\000\000\000\000\000\000'
        h 000 002; h 000 010; w 000 000 000 001; w 200 020 000 000; w 000 000 000 064; w 000 000 000 000
        w 000 000 020 000; h 000 064; h 000 040; h 000 001; h 000 000; h 000 000; h 000 000
        w 000 000 000 001; w 000 000 000 124; w 200 020 000 000; w 000 020 000 000
        w 000 000 000 030; w 000 000 001 000; w 000 000 000 007; w 000 000 000 004
        w 074 010 200 020; w 215 011 000 100; w 045 051 000 001; w 255 011 000 100; w 020 000 377 374; w 000 000 000 000
    } >"$dir/k"
    "$build/quern-system-$target" -M malta -display none -serial null -monitor null -S -kernel "$dir/k" \
        -gdb "unix:$dir/sock" 2>"$dir/err" &
    pid=$!
    within 5 test -S "$dir/sock"
    cat >"$dir/cmds" <<CMDS
set pagination off
set confirm off
set heuristic-fence-post 16
set architecture mips:isa32r2
set endian $endian
target remote $dir/sock
printf "pc is %x\n", \$pc
stepi
printf "t0 is %x\n", \$t0
stepi
stepi
printf "t1 is %x\n", \$t1
set *(int*)0x80100040 = 0x1234
stepi
printf "memory is %x\n", *(int*)0x80100040
set \$t1 = 0x55
printf "t1 is now %x\n", \$t1
hbreak *0x8010000c
continue
printf "at %x\n", \$pc
continue
printf "t1 counts %x\n", \$t1
delete
watch *(int*)0x80100040
continue
delete
rwatch *(int*)0x80100040
continue
delete
maintenance packet qqemu.sstepbits
maintenance packet Qqemu.sstep=0x5
maintenance packet qqemu.sstep
monitor info status
monitor print 2*21
info threads
set *(short*)0x80100042 = 0x1111
x/2xh 0x80100040
p \$nosuch
kill
CMDS
    timeout $((20 * patience)) "$gdb" -q -nx -batch -x "$dir/cmds" >"$dir/out" 2>&1
    check 'pc is 80100000'
    check 't0 is 80100000'
    check 't1 is 1'
    check 'memory is 1'
    check 't1 is now 55'
    check 'at 8010000c'
    check 't1 counts 3'
    check 'Hardware watchpoint 2'
    check 'Hardware read watchpoint 3'
    check 'Old value = '
    check '"ENABLE=1,NOIRQ=2,NOTIMER=4"'
    check '"0x5"'
    check 'VM status: paused (debug)'
    check '0x2a'
    check 'CPU#0'
    check '0x1111'
    if ! within 5 gone "$pid"; then failed=$((failed + 1)); echo "FAILED: kill did not end the machine"
    else passed=$((passed + 1))
    fi
    wait "$pid" 2>/dev/null
    pid=
    [ $failed = 0 ] || cat "$dir/out" "$dir/err"
    rm -f "$dir/sock"
}
run mipsel little
run mips big

echo "$passed passed, $failed failed"
[ $failed = 0 ]
