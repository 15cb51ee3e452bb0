#!/bin/sh
# test-gdb-user.sh - a real gdb on a user-mode process (-g): symbols, registers, memory, breakpoints, watchpoints, steps, signals,
# threads, ^C, and how the process ends. The programs are tests/user/debuggee.c, built by tests/user/build.sh.
set -u
build=${QUERN_BUILD:-.}
source=${QUERN_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}
. "$source/tests/patience.sh"
gdb=$(command -v gdb-multiarch) || { echo "gdb-multiarch is missing (Debian: gdb-multiarch)"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
dir=$(mktemp -d) || exit 1
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
passed=0 failed=0

ok() { passed=$((passed + 1)); }
bad() {
    failed=$((failed + 1))
    echo "FAILED ($target $what): $1"
    [ "$shown" = yes ] || sed 's/^/    /' "$dir/out" "$dir/err"
    shown=yes
}

# session ARGUMENT [OPTION...]: gdb with the commands of standard input on a program just begun
session() {
    what=$1 shown=no
    shift
    program=$source/tests/user/bin/debuggee-$target
    rm -f "$dir/sock"
    "$build/quern-$target" -g "$dir/sock" "$@" "$program" "$what" >"$dir/guest" 2>"$dir/err" &
    pid=$!
    within 5 test -S "$dir/sock"
    { printf '%s\n' 'set pagination off' 'set confirm off' 'set sysroot /' "file $program" "target remote $dir/sock"; cat; } >"$dir/cmds"
    timeout $((20 * patience)) "$gdb" -q -nx <"$dir/cmds" >"$dir/out" 2>&1
    if ! within 5 gone "$pid"; then
        bad "the process is still there"
        kill -9 "$pid"
    fi
    wait "$pid" 2>/dev/null
    status=$?
    pid=
}

# check TEXT...: are they in gdb's output?
check() {
    for text; do
        if grep -qF -- "$text" "$dir/out"; then ok
        else bad "no '$text'"
        fi
    done
}

ends() {
    if [ "$status" = "$1" ]; then ok
    else bad "status $status, not $1"
    fi
}

for target in mipsel mips64; do
    for mode in ${QUERN_ACCEL:-interp,mode=fast interp,mode=ref}; do
        session x -accel "$mode" <<'CMDS'
printf "starts at start: %d\n", $pc == (unsigned long)&__start
x/i $pc
break leaf
continue
printf "x is %d\n", $a0
backtrace
print *(int *)&counter
stepi
printf "stepped by %d\n", $pc - (unsigned long)&leaf
set var *(int *)&counter = 100
continue
print *(int *)&counter
delete
x/x 0
x/4x $sp + 0x10000000
watch *(int *)&counter
continue
delete
rwatch *(int *)&counter
continue
delete
tbreak finish
continue
set $a0 = 42
info auxv
continue
CMDS
        check 'starts at start: 1' 'Breakpoint 1, ' 'x is 1' '#1 ' 'in middle ()' '#2 ' 'in begin ()' '= 7' 'stepped by ' '= 101' \
            'Cannot access memory at address 0x0' 'Hardware watchpoint 2: ' 'Old value = 101' 'New value = 103' \
            'Hardware read watchpoint 3: ' 'Value = 103' 'AT_PAGESZ' 'AT_ENTRY' 'exited with code 052'
        ends 42
    done

    # Signals: reported, then passed on or not.
    session s <<'CMDS'
break handler
continue
backtrace 1
continue
printf "handler gets %d\n", $a0
finish
continue
CMDS
    check 'Program received signal SIGUSR1' 'handler gets 16' 'exited with code 020'
    ends 16
    session s <<'CMDS'
continue
signal 0
CMDS
    check 'Program received signal SIGUSR1' 'exited normally'
    ends 0
    session d <<'CMDS'
continue
continue
CMDS
    check 'Program received signal SIGTERM' 'Program terminated with signal SIGTERM'
    ends 143
    session f <<'CMDS'
continue
x/i $pc
signal 0
set var *(int *)&counter = 3
continue
CMDS
    check 'Program received signal SIGSEGV' '=> 0x' 'Program terminated with signal SIGSEGV'
    ends 139

    # ^C, in guest code and in a call that blocks.
    for how in l p; do
        session $how <<'CMDS'
python
import os, signal, threading, gdb
threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
end
continue
info registers pc
kill
CMDS
        check 'Program received signal SIGINT' 'pc: '
        ends 137
    done

    session t <<'CMDS'
break middle
continue
info threads
thread apply all printf "a thread at %p\n", $pc
stepi
stepi
thread 2
stepi
thread 1
continue
CMDS
    check 'Thread 1 ' '* 1 ' '  2 ' 'a thread at' 'exited with code 010'
    ends 8

    session x <<'CMDS'
break leaf
continue
detach
CMDS
    check 'Breakpoint 1, ' 'detached'
    ends 13
done

echo "$passed passed, $failed failed"
[ $failed = 0 ]
