#!/bin/sh
# test-log.sh - what -d writes in both modes, and -seed: in_asm, exec, cpu, fpu, int, cpu_reset, the monitor's log.
set -u
build=${QUERN_BUILD:-.}
source=${QUERN_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}
. "$source/tests/patience.sh"
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); printf 'FAILED: %s\n' "$*"; }
# has PATTERN FILE: a basic regular expression
has() { if grep -q -- "$1" "$2"; then ok; else bad "no '$1' in $(basename "$2")"; fi; }
hasnot() { if grep -q -- "$1" "$2"; then bad "'$1' in $(basename "$2")"; else ok; fi; }

# ---- user mode ----
for target in mipsel mips64; do
    rm -f "$dir/first"
    q=$build/quern-$target program=$source/tests/user/bin/debuggee-$target
    for mode in ${QUERN_ACCEL:-interp,mode=fast interp,mode=ref}; do
        "$q" -accel "$mode" -d in_asm -D "$dir/asm" "$program" x
        [ $? = 13 ] && ok || bad "$target $mode: wrong status under -d"
        has '^IN: ' "$dir/asm"
        has '^0x0*[0-9a-f]*:  move	*a0,sp' "$dir/asm"
        has 'jr	*ra' "$dir/asm"
        has 'syscall' "$dir/asm"
        hasnot 'pc=' "$dir/asm"
        "$q" -accel "$mode" -d exec,cpu,int -D "$dir/exec" "$program" x
        has '^Trace 0: .*icount=0$' "$dir/exec"
        has '^pc=0x' "$dir/exec"
        has '^GPR28: ' "$dir/exec"
        has 'exception 8\.' "$dir/exec"
        hasnot '^FIR' "$dir/exec"
        hasnot '^f0 ' "$dir/exec"
        # Every block, chained or not: leaf is entered three times.
        leaf=$(sed -n 's/^0x0*\([0-9a-f]*\):.*/\1/p' "$dir/asm" | head -1)
        [ -n "$leaf" ] && ok || bad "no address in the log"
        traces=$(grep -c '^Trace' "$dir/exec") dumps=$(grep -c '^pc=' "$dir/exec")
        [ "$traces" = "$dumps" ] && [ "$traces" -gt 15 ] && ok || bad "$target $mode: $traces blocks, $dumps dumps"
        "$q" -accel "$mode" -d cpu,fpu -D "$dir/fpu" "$program" x
        has '^f0 ' "$dir/fpu"
        [ -s "$dir/first" ] || cp "$dir/exec" "$dir/first"
    done
    # Both engines go the same way. (Addresses of blocks differ.)
    if [ "$(sed -n 's/^Trace.*\[/[/p' "$dir/first")" = "$(sed -n 's/^Trace.*\[/[/p' "$dir/exec")" ]; then ok
    else bad "$target: fast and ref log different paths"
    fi
    # An instruction that cannot be read is no reason to fall: the pc is nowhere.
    "$q" -d in_asm,int,cpu -D "$dir/fault" "$program" f 2>"$dir/err"
    [ $? = 139 ] && ok || bad "$target: wrong status of a fault under -d"
    has 'exception 2\.' "$dir/fault"
    if [ "$("$q" -dfilter 0x10+16 -d in_asm,exec,cpu "$program" x 2>&1)" = "" ]; then ok; else bad "-dfilter lets through"; fi

    # -seed
    for n in 1 2 3; do "$q" -seed $((n / 2)) "$program" r >"$dir/r$n"; done
    "$q" "$program" r >"$dir/r4"
    "$q" "$program" r >"$dir/r5"
    [ "$(wc -c <"$dir/r1")" -eq 32 ] && ok || bad "no 32 random bytes"
    cmp -s "$dir/r2" "$dir/r3" && ok || bad "$target: one seed, two sequences"
    cmp -s "$dir/r1" "$dir/r2" && bad "$target: two seeds, one sequence" || ok
    cmp -s "$dir/r4" "$dir/r5" && bad "$target: no seed, one sequence" || ok
    QUERN_RAND_SEED=1 "$q" "$program" r >"$dir/r6"
    cmp -s "$dir/r2" "$dir/r6" && ok || bad "$target: QUERN_RAND_SEED is not -seed"
done

# ---- system mode: a kernel at 0x80100000 that makes an exception handler of its own, calls, and calls the system ----
# word HEX...: little-endian
word() {
    for w; do
        printf "$(printf '\\%03o\\%03o\\%03o\\%03o' "0x${w#??????}" "0x$(expr "$w" : '....\(..\)')" "0x$(expr "$w" : '..\(..\)')" "0x${w%??????}")"
    done
}
{
    printf '\177ELF\001\001\001\000\000\000\000\000\000\000\000\000'
    word 00080002 00000001 80100000 00000034 00000000 00001000 00200034 00000001 00000000
    word 00000001 00000054 80100000 00100000 00000040 00001000 00000007 00000004
    word 40806000 3c088000 3c090804 3529000e  # mtc0 zero,Status; t1 = "j 0x80100038"
    word ad090180 ad000184 0c04000c 00000000  # to the general exception vector; jal 0x80100030
    word 0000000c 00000000 00000000 00000000  # syscall
    word 03e00008 00000000 42000020 1000fffe  # 30: jr ra; 38: wait; b 38
} >"$dir/k"
machine() {
    timeout $((20 * patience)) "$build/quern-system-mipsel" -M malta -m 32 -display none -serial null -monitor stdio -kernel "$dir/k" -S "$@" >"$dir/out" 2>&1
}
# Until PATTERN is in FILE, or too long.
wait_for() { within 5 grep -qs -- "$1" "$2"; sleep 0.2; }
wait_a_bit() { sleep 0.5; }
{ echo cont; wait_for 'exception 8' "$dir/sys"; echo quit; } | machine -d in_asm,exec,cpu,int,cpu_reset -D "$dir/sys" -dfilter 0x80100000+0x40
has '^CPU Reset (CPU 0)' "$dir/sys"
has '^0x80100000:  mtc0	*zero' "$dir/sys"
has '^0x80100030:  jr	*ra' "$dir/sys"
has '^Trace 0: .*\[80100000/' "$dir/sys"
has '^Trace 0: .*\[80100030/' "$dir/sys"
has '^pc=0x80100030 ' "$dir/sys"
has 'CP0 Status' "$dir/sys"
has 'exception 8\..* epc 80100020' "$dir/sys"
# Turned on later: what has been translated by then is shown too.
{ echo cont; wait_a_bit; echo stop; echo 'logfile '"$dir/late"; echo 'log exec'; echo system_reset; echo cont; wait_for '^Trace 0' "$dir/late"; echo quit; } | machine -seed 5
has '^Trace 0: ' "$dir/late"


# Exceptions on top of each other (nothing but zeros in the boot ROM) do not shut out the monitor.
printf '\100\000\000\000' | dd of="$dir/k" bs=1 seek=24 conv=notrunc 2>/dev/null # entry: not a page that is there
{ echo cont; wait_a_bit; echo stop; echo 'info status'; echo quit; } | machine
has 'VM status: paused' "$dir/out"

echo "$passed passed, $failed failed"
[ $failed = 0 ]
