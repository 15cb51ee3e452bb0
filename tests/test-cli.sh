#!/bin/sh
# test-cli.sh - the command line from outside: what is refused and how, help texts, the manual page, the monitor over
# standard input, signals and exit statuses. Machines are started stopped (-S) with a few bytes for a kernel.
set -u
build=${QUERN_BUILD:-.}
src=${QUERN_SOURCE:-..}
q=$build/quern-system-mipsel
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); printf 'FAILED: %s\n' "$*"; }

# run ARGS: status in $rc, output in $out and $err
run() {
    "$@" >"$dir/out" 2>"$dir/err" </dev/null
    rc=$?
    out=$(cat "$dir/out") err=$(cat "$dir/err")
}

# refused TEXT ARGS...: ends with 1 and TEXT on stderr, nothing on stdout
refused() {
    text=$1
    shift
    run "$q" "$@"
    case $rc:$out:$err in
    1::*"$text"*) ok ;;
    *) bad "$* -> $rc '$out' '$err' (wanted '$text')" ;;
    esac
}

# prints TEXT ARGS...: ends with 0 and TEXT on stdout
prints() {
    text=$1
    shift
    run "$q" "$@"
    case $rc:$out in
    0:*"$text"*) ok ;;
    *) bad "$* -> $rc '$out' '$err' (wanted '$text')" ;;
    esac
}

refused 'quern-system-mipsel: -foo: invalid option' -foo
refused '--foo: invalid option' --foo
refused '-m: requires an argument' -m
refused 'not supported yet' -usb
refused 'not supported for this target' -no-acpi
refused "unsupported machine type 'nix'" -M nix
refused 'no machine type given' -M ''
refused "unsupported machine type ''" -machine type=
refused "unable to find CPU model 'nix'" -cpu nix
refused "expects a size" -m many
refused 'too large' -m 99999999999999E
refused 'Too much memory' -m 100G
refused 'memory hotplug' -m 128,slots=2
refused 'Invalid SMP CPUs' -smp 200
refused "Invalid parameter 'wheels'" -smp wheels=4
refused 'topology' -smp 3,cores=2,sockets=1
refused 'sockets (2) * dies (1) * cores (2) * threads (0) != maxcpus (3)' -smp 3,cores=2,sockets=2
refused 'cores must be greater than zero' -smp 4,cores=0
refused 'maxcpus must be equal to or greater' -smp 4,maxcpus=2
refused 'out of range' -smp cores=65536,sockets=65536,threads=65536
refused 'clusters' -smp 4,clusters=2
refused "invalid accelerator 'steam'" -accel steam
refused 'not supported yet' -accel kvm
refused 'needs two engines' -kernel "$dir/k" -lockstep ref
refused 'one engine too many' -kernel "$dir/k" -lockstep ref,interp,null
refused "no JIT backend 'steam'" -kernel "$dir/k" -lockstep ref,steam
refused 'every=0' -kernel "$dir/k" -lockstep ref,interp,every=0
refused 'neither a monitor nor a debugger' -kernel "$dir/k" -monitor stdio -lockstep ref,interp
refused 'there is no monitor' -kernel "$dir/k" -serial mon:stdio -lockstep ref,interp
refused "no JIT backend 'steam'" -accel jit,backend=steam
refused "Invalid parameter 'speed'" -accel jit,speed
refused "threshold" -accel jit,threshold=many
refused "invalid value 'slow' of 'mode'" -accel interp,mode=slow
refused "Property 'wings' not found" -M malta,wings=on
refused "expects 'on' or 'off'" -M malta,usb=perhaps
refused 'wrong format' -uuid 123
refused "expects an identifier" -drive file=x,id=1x
refused "does not support the option 'speed'" -kernel "$dir/k" -drive file="$dir/k",format=raw,speed=9
refused 'invalid write error action' -drive file=x,werror=maybe
refused 'invalid read error action' -drive file=x,rerror=enospc
refused 'requires cache.direct=on' -drive file=x,aio=native
refused 'invalid aio option' -drive file=x,aio=magic
refused 'invalid cache option' -drive file=x,cache=maybe
refused 'discard operation to unmap' -drive file=x,detect-zeroes=unmap
refused 'cannot be used at the same time' -kernel "$dir/k" -drive file="$dir/k",format=raw,bps=1,bps_rd=2
refused 'require corresponding' -kernel "$dir/k" -drive file="$dir/k",format=raw,iops_max=2
refused 'throttle-group.warp' -kernel "$dir/k" -drive file="$dir/k",format=raw,throttling.warp=2
refused 'property of the device' -drive file=x,cyls=3
refused "both 'driver' and 'format'" -drive file=x,format=raw,driver=raw
refused "Parameter 'driver' is missing" -kernel "$dir/k" -blockdev node-name=a
refused "'node-name' must be specified" -kernel "$dir/k" -blockdev driver=file,filename="$dir/k"
refused 'Unknown driver' -kernel "$dir/k" -blockdev driver=nix,node-name=a
refused "'nonode'" -kernel "$dir/k" -blockdev driver=raw,file=nonode,node-name=a
refused "can't find value 'nix'" -kernel "$dir/k" -device ide-hd,drive=nix
refused "Bus 'ide.7' not found" -device ide-hd,drive=a,bus=ide.7
refused 'drive property not set' -device ide-hd
refused 'does not accept value' -object teapot,id=a
refused "unsupported bus type" -drive file=x,if=string
refused 'does not support if=virtio' -M mipssim -drive file=/dev/null,if=virtio,format=raw
refused 'does not support if=floppy' -drive file=x,if=floppy
refused 'does not support if=scsi' -drive file=x,if=scsi
refused "invalid media" -drive file=x,media=tape
refused 'exists' -hda x -hda y
refused 'exists' -hdc x -cdrom y
refused "Duplicate ID 'a'" -drive file=x,id=a,if=none -drive file=y,id=a,if=none
refused 'drive is empty' -drive if=ide
refused 'too many serial ports' -serial null -serial null -serial null -serial null -serial null
refused 'not a valid char driver name' -kernel "$dir/k" -serial teapot
refused 'no id specified' -kernel "$dir/k" -chardev null
refused 'not found' -kernel "$dir/k" -serial chardev:nix
refused "'-d help' lists" -d everything
refused 'bad address range' -dfilter 1
refused 'could not open log file' -D /nonexistent/log
refused 'invalid date' -rtc base=2006-13-01
refused 'invalid date' -rtc base=yesterday
refused 'not supported yet' -rtc clock=host
refused 'not supported yet' -icount auto
refused 'out of range' -icount 99
refused 'expects a number' -echr x
refused 'not supported yet' -display sdl
refused 'not supported yet' -net user
refused 'display adapter is not supported yet' -M malta -vga std
refused 'only allowed with -kernel' -append x
refused "there is no device 'nix'" -global nix.a=1
refused "Invalid parameter 'x'" -global x
refused 'invalid global property' -global driver=x
refused 'not supported yet' -mon chardev=x,mode=control
refused 'only one disk image' a.img b.img
refused 'could not' -kernel "$dir/absent" -display none -serial null -monitor null
refused 'already in use' -kernel "$dir/k" -serial stdio -monitor stdio
refused 'cannot be used with' -daemonize -nographic
refused 'not supported yet' -readconfig x

prints 'Quern emulator version' -version
prints '-nographic' -h
prints 'malta' -M help
prints '(default)' -machine '?'
prints '24Kf' -cpu help
prints 'interp' -accel help
prints 'in_asm' -d help
prints 'socket' -chardev help
prints 'none' -display help
prints 'raw' -drive format=help
prints '/usr/share' -L help
prints 'name "' -device help

# All by one name.
q=$build/quern
prints 'targets: ' --help
prints 'malta' --target=system-mips -M help
refused "there is no target 'vax'" --target=system-vax
refused 'Try' --frobnicate
q=$build/quern-system-mipsel

# The manual page is that of this program.
if "$build/quern" --man | cmp -s - "$src/man/quern.1"; then ok; else bad "man/quern.1 is not current: make man"; fi
for tool in quern-img quern-io quern-nbd; do
    if "$build/$tool" --man | cmp -s - "$src/man/$tool.1"; then ok; else bad "man/$tool.1 is not current: make man"; fi
done

# A kernel that is a loop: an ELF file of one instruction and its delay slot, b . ; nop
printf '\177ELF\001\001\001\000\000\000\000\000\000\000\000\000' >"$dir/k"           # 32 bits, little-endian
printf '\002\000\010\000\001\000\000\000\000\000\020\200\064\000\000\000' >>"$dir/k" # EXEC, MIPS, entry 0x80100000
printf '\000\000\000\000\000\020\000\000\064\000\040\000\001\000\000\000' >>"$dir/k"
printf '\000\000\000\000' >>"$dir/k"
printf '\001\000\000\000\124\000\000\000\000\000\020\200\000\000\020\000' >>"$dir/k" # LOAD, offset 84
printf '\010\000\000\000\010\000\000\000\005\000\000\000\004\000\000\000' >>"$dir/k"
printf '\377\377\000\020\000\000\000\000' >>"$dir/k"

# monitor COMMANDS: runs a stopped machine with them on standard input, output in $out without escape sequences
monitor() {
    printf '%s\n' "$@" quit | "$q" -M malta -display none -serial null -monitor stdio -S -kernel "$dir/k" -name me \
        -uuid 12345678-9abc-def0-1234-56789abcdef0 -chardev ringbuf,id=rb,size=16 >"$dir/raw" 2>&1
    rc=$?
    tr -d '\r' <"$dir/raw" >"$dir/out"
    out=$(cat "$dir/out")
}
# says COMMAND TEXT
says() {
    monitor "$1"
    case $rc:$out in
    0:*"
$2"*) ok ;;
    *) bad "monitor: $1 -> $rc '$out' (wanted '$2')" ;;
    esac
}
says 'info version' '0.'
says 'info status' 'VM status: paused (prelaunch)'
says 'info name' 'me'
says 'info uuid' '12345678-9abc-def0-1234-56789abcdef0'
says 'info cpus' '* CPU #0: pc=0x80100000'
says 'info chardev' 'rb: filename=ringbuf'
says 'info registers' 'pc=0x80100000'
says 'info mtree' 'address-space'
says 'info qtree' 'bus'
says 'info pci' '  Bus  0, device  10, function 1:
    IDE controller: PCI device 8086:7111
      PCI subsystem 0000:0000
      BAR4: I/O at 0xffffffffffffffff [0x000e].
      id ""
  Bus  0, device  10, function 2:
    USB controller: PCI device 8086:7112'
says 'info pci' '  Bus  0, device   0, function 0:
    Host bridge: PCI device 11ab:4620'
says 'info pic' 'pic1: irr='
says 'info lapic' 'Error: this machine has no local APIC'
says 'info ioapic' 'Error: this machine has no I/O APIC'
# Those of a PC, before it has run.
head -c 65536 /dev/zero >"$dir/rom"
printf '%s\n' 'info lapic' 'info lapic 4' 'info lapic 3' 'info pic' 'info ioapic' 'info irq' quit | "$build/quern-system-i386" -S -display none -serial null \
    -vga none -monitor stdio -bios "$dir/rom" -smp 4,sockets=2,cores=1,threads=2 -cpu max 2>&1 | tr -d '\r' >"$dir/pics"
for what in 'dumping local APIC state for CPU 0 ' 'No CPU available' 'dumping local APIC state for CPU 3 ' \
    'LVT0	 0x00000700 active-hi edge                              ExtINT (vec 0)' \
    'LVTT	 0x00010000 active-hi edge  masked         one-shot     Fixed  (vec 0)' \
    'SPIV	 0x000000ff APIC disabled, focus=off, spurious vec 255' 'ICR	 0x00000000 physical edge de-assert no-shorthand' 'ISR	 (none)' \
    'APR 0x00 TPR 0x00 DFR 0x0f LDR 0x00 PPR 0x00' '  pin 23 0x0000000000010000 dest=0 vec=0   active-hi edge  masked fixed  physical' \
    'pic0: irr=00 imr=ff isr=00 hprio=0 irq_base=00 rr_sel=0 elcr=00 fnm=0'; do
    if grep -qxF -- "$what" "$dir/pics"; then ok; else bad "no '$what': $(cat "$dir/pics")"; fi
done
# A CPU that has not run has looked nothing up; then the counters move.
says 'info jit' 'lookups             0'
says 'info jit' 'translations        0'
{ echo cont; sleep 0.5; echo stop; echo 'info jit'; echo quit; } | "$q" -M malta -display none -serial null -monitor stdio -S \
    -kernel "$dir/k" 2>&1 | tr -d '\r' >"$dir/jit"
for what in blocks 'block bytes' 'guest instructions' lookups translations; do
    if grep -q "^$what  *[1-9]" "$dir/jit"; then ok; else bad "info jit: no $what: $(cat "$dir/jit")"; fi
done
for what in invalidations flushes; do
    if grep -q "^$what  *[0-9]" "$dir/jit"; then ok; else bad "info jit: no $what"; fi
done
says 'info jit' 'engine'
says 'info kvm' 'kvm support: not compiled'
says 'print 1+2*3' '0x7'
says 'p/d -(5%3)+~0' '-3'
says 'p/x 0x10|3&1' '0x1'
says 'p/c 65' "'A'"
says 'p/o 010' '010'
says "p 'a'" '0x61'
says 'p $pc' '0x80100000'
says 'p $r29-$r29' '0x0'
says 'p $nix' 'unknown register'
says 'p 1/0' 'division by zero'
says 'p (1' "')' expected"
says 'p' 'unexpected end of expression'
says 'p 1 2' 'extraneous characters'
says 'x/2xw 0x80100000' '80100000: 0x1000ffff 0x00000000'
says 'xp/4xb 0x100000' '0000000000100000: 0xff 0xff 0x00 0x10'
says 'x/i $pc' '0x80100000:  b'
says 'x/dh 0x80100000' '80100000:    -1'
says 'x 0x00000000' 'Cannot access memory'
says 'x/z 0' "invalid char in format: 'z'"
says 'gva2gpa 0x80001000' 'gpa: 0x1000'
says 'gva2gpa 0' 'Unmapped'
says 'sum 0x100000 2' '33150'
says 'nix' "unknown command: 'nix'"
says 'info nix' "unknown command: 'info nix'"
says 'savevm a' "Error: 'savevm' is not supported yet"
says 'cpu 7' 'invalid CPU index'
says 'log nix' "unknown log item 'nix'"
says 'ringbuf_read nix 1' "Error: Chardev 'nix' not found"
says 'help sum' 'sum addr size -- '
says 'help' 'quit|q'
says 'info' 'info status'
monitor 'ringbuf_write rb "a\\b"' 'ringbuf_read rb 16' "memsave 0x80100000 8 \"$dir/m\"" "pmemsave 0x100000 8 \"$dir/p\"" 'info history'
case $out in *'a\\b'*"0: 'ringbuf_write"*) ok ;; *) bad "ring buffer, history: $out" ;; esac
if cmp -s "$dir/m" "$dir/p" && [ "$(wc -c <"$dir/m")" = 8 ]; then ok; else bad memsave; fi
# Editing: C-a, C-k, word erase, Up.
monitor "$(printf 'xx print 5\001\004\004\004')" "$(printf '\033[A\010')6" "$(printf 'print nonsense\0277')"
case $out in *0x5*0x6*0x7*) ok ;; *) bad "line editing: $out" ;; esac
monitor "$(printf 'info sta\t')"
case $out in *'paused (prelaunch)'*) ok ;; *) bad "completion: $out" ;; esac
monitor cont 'info status' stop 'info status' system_reset cont 'info status'
case $out in *'status: running'*'status: paused'*'status: running'*) ok ;; *) bad "stop and cont: $out" ;; esac

# Signals: an orderly end with status 0, and the terminal mux untouched.
for sig in TERM INT HUP; do
    ( trap - INT; exec "$q" -M malta -display none -serial null -monitor null -kernel "$dir/k" -pidfile "$dir/pid" ) \
        >"$dir/out" 2>"$dir/err" </dev/null &
    i=0
    while [ ! -s "$dir/pid" ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i + 1)); done
    pid=$(cat "$dir/pid" 2>/dev/null)
    kill -s $sig "${pid:-0}"
    wait $!
    rc=$?
    case $sig:$rc:$(cat "$dir/err") in
    INT:*) # a shell without job control starts background commands with SIGINT ignored: ours still ends by it
        case $rc in 0) ok ;; *) bad "SIGINT: status $rc" ;; esac ;;
    *:0:*'terminating on signal '*' from pid '*) ok ;;
    *) bad "SIG$sig: $rc $(cat "$dir/err")" ;;
    esac
    if [ -e "$dir/pid" ]; then bad "SIG$sig: the pid file stays"; rm -f "$dir/pid"; else ok; fi
done

# -daemonize: back at once, reachable by its socket, gone after quit
run "$q" -M malta -display none -serial null -monitor "unix:$dir/mon,server,nowait" -kernel "$dir/k" -daemonize -pidfile "$dir/pid"
if [ $rc = 0 ] && [ -s "$dir/pid" ] && [ -S "$dir/mon" ]; then ok; else bad "-daemonize: $rc $err"; fi
[ -s "$dir/pid" ] && kill "$(cat "$dir/pid")" && sleep 0.5
if [ -e "$dir/pid" ]; then bad "-daemonize: did not end"; else ok; fi

# Accelerators in order of preference.
printf 'info jit\nquit\n' | "$q" -M malta,accel=kvm:tcg -display none -serial null -monitor stdio -S -kernel "$dir/k" >"$dir/out" 2>&1
case $?:$(cat "$dir/out") in 0:*"accelerator 'kvm' is not supported yet; using tcg"*'mode=fast'*) ok ;; *) bad "accel=kvm:tcg: $(cat "$dir/out")" ;; esac
printf 'info jit\nquit\n' | "$q" -accel interp,mode=ref,fp=soft -display none -serial null -monitor stdio -S -kernel "$dir/k" >"$dir/out" 2>&1
case $?:$(cat "$dir/out") in 0:*'mode=ref'*) ok ;; *) bad "mode=ref: $(cat "$dir/out")" ;; esac

echo "$passed passed, $failed failed"
[ $failed = 0 ]
