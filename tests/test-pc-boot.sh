#!/bin/sh
# test-pc-boot.sh - PCs boot by firmware: the disk of tests/guest/x86-boot.S, whose output was recorded on another emulator,
# under each engine; -boot, bootindex, -option-rom, -fw_cfg, -acpitable, -smbios; boot sectors, ROMs and disks that are bad;
# more CPUs than memory. Long boots of real systems are run-pc.sh's.
set -u
build=${QUERN_BUILD:-.}
src=${QUERN_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}
. "$src/tests/patience.sh"
guest=$src/tests/guest
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); printf 'FAILED: %s\n' "$*"; }

q32=$build/quern-system-i386 q64=$build/quern-system-x86_64
bios=
for d in /usr/local/share/quern /usr/share/quern /usr/share/qemu /usr/share/seabios; do [ -e "$d/bios-256k.bin" ] && bios=$d; done
if [ -z "$bios" ]; then
    echo "no bios-256k.bin (Debian: seabios)"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
common="-L $bios -display none -monitor none -icount sleep=off -no-reboot"

# refused TEXT ARGS...
refused() {
    text=$1
    shift
    timeout $((5 * patience)) "$q32" -L "$bios" -display none -monitor none -S "$@" >"$dir/out" 2>&1 </dev/null
    rc=$?
    if [ $rc = 1 ] && grep -qF -- "$text" "$dir/out"; then ok; else bad "$* -> $rc '$(cat "$dir/out")' (wanted '$text')"; fi
}
refused "Invalid boot device 'z'" -boot z
refused "Boot device 'c' was given twice" -boot cc
refused 'Too many boot devices for PC' -boot abcd
refused "Invalid boot device for PC: 'e'" -boot once=e
refused "Invalid parameter 'wings'" -boot order=c,wings=on
refused 'between 0 and 65535' -boot splash-time=65536
refused 'between -1 and 65535' -boot reboot-timeout=-2
refused "Could not find firmware '$dir/none.bmp'" -boot "splash=$dir/none.bmp"
echo text >"$dir/text"
refused 'neither a JPEG nor a BMP' -boot "splash=$dir/text"
refused 'The bootindex 1 has already been used' -drive "if=none,id=a,file=$dir/text,format=raw" \
    -device ide-hd,drive=a,bootindex=1 -device ide-cd,bootindex=1
refused "expects a number" -device ide-cd,bootindex=first
refused "Could not find firmware" -option-rom "$dir/nothing"
: >"$dir/empty"
refused "is empty" -option-rom "$dir/empty"
refused 'there are two ROMs' -option-rom "$dir/text" -option-rom "$dir/text"
refused 'a name, and either file or string' -fw_cfg opt/x
refused 'duplicate fw_cfg file name' -fw_cfg name=etc/e820,string=x
refused 'name too long' -fw_cfg name=opt/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,string=x
refused "requires one of 'data' or 'file'" -acpitable sig=ABCD
refused 'too short for the header' -acpitable "file=$dir/text"
refused 'out of range' -acpitable "data=$dir/text,rev=256"
refused "Don't know how to build fields for SMBIOS type 9" -smbios type=9
refused 'Invalid UUID' -smbios type=1,uuid=12
refused 'Invalid release' -smbios type=0,release=300.1
refused 'whole SMBIOS structures' -smbios "file=$dir/text"
refused 'Must specify type= or file=' -smbios vendor=x
refused "unable to find CPU model 'nix'" -cpu nix,+sse
refused "x86 has no feature 'wings'" -cpu qemu32,+wings
refused "the feature 'avx512f' is not built" -cpu qemu32,+avx512f,enforce
refused 'Invalid SMP CPUs 256' -smp 256
refused 'Invalid SMP CPUs 2' -M isapc -smp 2
refused 'No bus of the machine takes device' -M isapc -device VGA
refused 'does not support if=virtio' -M isapc -drive "if=virtio,file=$dir/text,format=raw"
refused "Can't create IDE unit 1, bus supports only 1 units" -M q35 -device ide-cd,bus=ide.0,unit=1
refused "Bus 'ide.6' not found" -M q35 -device ide-cd,bus=ide.6
refused "Bus 'ide.2' not found" -device ide-cd,bus=ide.2
refused 'unit 1 too big (max is 0)' -M q35 -drive "unit=1,file=$dir/text,format=raw"
refused 'drive with bus=1, unit=0 (index=1) exists' -drive "bus=1,file=$dir/text,format=raw" -hdb "$dir/text" -M pc-q35-7.2
refused 'isapc" has no bootindex' -M isapc -device ide-cd,bootindex=1

# make_disk FILE: the boot sector's disk, 1 MiB
make_disk() {
    cp "$guest/x86-boot.bin" "$1"
    dd if=/dev/zero of="$1" bs=1 seek=1048575 count=1 conv=notrunc 2>/dev/null
}

# suite PROGRAM ARGS...: the disk's output is the recorded one
suite() {
    make_disk "$dir/disk"
    # shellcheck disable=SC2086
    timeout $((30 * patience)) "$@" $common -m 16 -rtc base=2020-02-29T13:05:50 -drive "file=$dir/disk,format=raw" \
        -device isa-debug-exit,iobase=0xf4,iosize=4 -serial "file:$dir/serial" >"$dir/out" 2>&1 </dev/null
    rc=$?
    tr -d '\r' <"$dir/serial" >"$dir/lines"
    if [ $rc = 1 ] && diff "$guest/x86-boot.txt" "$dir/lines" >"$dir/diff"; then ok
    else bad "$* -> $rc $(cat "$dir/out" "$dir/diff")"; fi
}
for q in "$q32" "$q64"; do
    for accel in interp interp,mode=ref jit jit,backend=native,threshold=1,sync=on; do
        case $accel in *native*) "$q" -accel help 2>&1 | grep -q native || continue ;; esac
        suite "$q" -accel $accel
    done
done
# Two engines side by side, compared as they go.
second=ref
"$q32" -accel help 2>&1 | grep -q native && second=native
make_disk "$dir/disk"
# shellcheck disable=SC2086
timeout $((30 * patience)) "$q32" -L "$bios" -display none -icount sleep=off -no-reboot -m 16 -rtc base=2020-02-29T13:05:50 \
    -drive "file=$dir/disk,format=raw" -device isa-debug-exit,iobase=0xf4,iosize=4 -serial "file:$dir/serial" \
    -lockstep interp,$second,every=1000000 >"$dir/out" 2>&1 </dev/null
if grep -q 'are equal' "$dir/out"; then ok; else bad "-lockstep interp,$second: $(cat "$dir/out")"; fi
suite "$q64" -smp 4
suite "$q32" -cpu 486
suite "$q32" -M isapc
suite "$q32" -M q35
suite "$q64" -M q35 -smp 2
# The other emulator says the same, but of what it does not check.
if command -v qemu-system-i386 >/dev/null; then
    make_disk "$dir/disk"
    # By its count of instructions, too: in real time a loaded host shows another second.
    timeout $((30 * patience)) qemu-system-i386 -display none -monitor none -m 16 -rtc base=2020-02-29T13:05:50,clock=vm -icount shift=3,sleep=off -no-reboot \
        -drive "file=$dir/disk,format=raw" -device isa-debug-exit,iobase=0xf4,iosize=4 -serial "file:$dir/serial" \
        >/dev/null 2>&1 </dev/null
    tr -d '\r' <"$dir/serial" | grep -v '^own:' >"$dir/theirs"
    grep -v '^own:' "$guest/x86-boot.txt" >"$dir/ours"
    if diff "$dir/ours" "$dir/theirs" >"$dir/diff"; then ok; else bad "qemu-system-i386 differs: $(cat "$dir/diff")"; fi
fi

# octal BYTES... in hexadecimal, as a file
bytes() { for b in $1; do printf "\\$(printf '%03o' "0x$b")"; done; }
# sector FILE CODE: a boot sector
sector() {
    bytes "$2" >"$1"
    dd if=/dev/zero of="$1" bs=1 seek=4194303 count=1 conv=notrunc 2>/dev/null
    bytes '55 aa' | dd of="$1" bs=1 seek=510 conv=notrunc 2>/dev/null
}
# boots STATUS ARGS: what the boot sector gives to port F4h comes back
boots() {
    want=$1
    shift
    # shellcheck disable=SC2086
    timeout $((10 * patience)) "$q32" $common -m 16 -device isa-debug-exit,iobase=0xf4,iosize=4 "$@" >"$dir/out" 2>&1 </dev/null
    rc=$?
    if [ $rc = "$want" ]; then ok; else bad "$* -> $rc (wanted $want) $(cat "$dir/out")"; fi
}
says() { sector "$1" "66 b8 $2 00 00 00 ba f4 00 66 ef f4"; } # mov eax, N; mov dx, f4h; out dx, eax; hlt
says "$dir/one" 01
says "$dir/two" 02
drive_one="-drive file=$dir/one,format=raw,if=none,id=one" drive_two="-drive file=$dir/two,format=raw,if=none,id=two"
boots 3 -hda "$dir/one" -hdb "$dir/two"
# shellcheck disable=SC2086
boots 5 $drive_one $drive_two -device ide-hd,drive=one,bootindex=7 -device ide-hd,drive=two,bootindex=3
# shellcheck disable=SC2086
boots 3 $drive_one $drive_two -device ide-hd,drive=one,bootindex=3 -device ide-hd,drive=two,bootindex=7

# strict: what has no bootindex is not tried. 124: still waiting.
sector "$dir/nothing" '' && printf x | dd of="$dir/nothing" bs=1 seek=510 conv=notrunc 2>/dev/null
boots 3 -hda "$dir/nothing" -drive "file=$dir/one,format=raw,if=none,id=one" -device ide-hd,drive=one,bootindex=1 -boot strict=on
# shellcheck disable=SC2086
timeout 3 "$q32" $common -m 16 -hda "$dir/one" -device isa-debug-exit,iobase=0xf4,iosize=4 -boot strict=on \
    -drive "file=$dir/nothing,format=raw,if=none,id=no" -device ide-hd,drive=no,bootindex=1 >"$dir/out" 2>&1 </dev/null
rc=$?
if [ $rc = 124 ]; then ok; else bad "strict=on -> $rc $(cat "$dir/out")"; fi

# A CD without emulation (El Torito): boots before the disk once, leaves 7 in CMOS memory and resets; the disk tells of it.
at() { bytes "$2" | dd of="$dir/cd" bs=1 seek="$1" conv=notrunc 2>/dev/null; }
text() { printf '%s' "$2" | dd of="$dir/cd" bs=1 seek="$1" conv=notrunc 2>/dev/null; }
dd if=/dev/zero of="$dir/cd" bs=2048 count=32 2>/dev/null
at 32768 01 && text 32769 CD001 && at 32774 01
text 34817 CD001 && at 34822 01 && text 34823 'EL TORITO SPECIFICATION' && at 34887 '13 00 00 00'
at 36864 ff && text 36865 CD001 && at 36870 01
at 38912 01 && at 38940 'aa 55 55 aa 88 00 00 00 00 00 04 00 14 00 00 00'
at 40960 'b0 50 e6 70 b0 07 e6 71 b0 01 e6 92 f4'
sector "$dir/tells" 'b0 50 e6 70 e4 71 66 0f b6 c0 ba f4 00 66 ef f4'
for how in '-boot once=d' '-boot order=c,once=dc' '-boot order=c,once=d,strict=on -cpu 486'; do
    # shellcheck disable=SC2086
    timeout $((10 * patience)) "$q32" -L "$bios" -display none -monitor none -icount sleep=off -m 16 -drive "file=$dir/tells,format=raw" \
        -cdrom "$dir/cd" -device isa-debug-exit,iobase=0xf4,iosize=4 $how >"$dir/out" 2>&1 </dev/null
    rc=$?
    if [ $rc = 15 ]; then ok; else bad "$how -> $rc $(cat "$dir/out")"; fi
done

# An option ROM: its initialisation (retf after giving 5 to the port); also one of an odd size, one that lies, one of nonsense.
rom() {
    bytes "55 aa $2 eb 00 66 b8 05 00 00 00 ba f4 00 66 ef cb" >"$1"
    dd if=/dev/zero of="$1" bs=1 seek=511 count=1 conv=notrunc 2>/dev/null
    sum=$(od -An -v -tu1 "$1" | awk '{ for (i = 1; i <= NF; i++) s += $i } END { print (256 - s % 256) % 256 }')
    bytes "$(printf %x "$sum")" | dd of="$1" bs=1 seek=511 conv=notrunc 2>/dev/null
}
rom "$dir/rom" 01
boots 11 -hda "$dir/one" -option-rom "$dir/rom"
rom "$dir/lies" 40
boots 11 -hda "$dir/one" -option-rom "$dir/lies" # firmware adds up zeros behind it
if grep -q 'says that it has 32768 bytes, of which 512 are there' "$dir/out"; then ok; else bad "no word about a ROM that lies: $(cat "$dir/out")"; fi
dd if="$dir/rom" of="$dir/odd" bs=1 count=300 2>/dev/null
boots 3 -hda "$dir/one" -option-rom "$dir/odd" -option-rom "$dir/text"

# Multiboot with addresses in the header: the kernel gives the last digit of its magic number, 2. le N: four bytes.
le() { printf '%02x %02x %02x %02x ' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255)); }
# multiboot FILE FLAGS HEADER LOAD LOAD_END BSS_END ENTRY
multiboot() {
    bytes "$(le 0x1badb002) $(le "$2") $(le $((0 - 0x1badb002 - $2))) $(le "$3") $(le "$4") $(le "$5") $(le "$6") $(le "$7") \
        83 e0 0f ba f4 00 00 00 ef f4" >"$1"
}
multiboot "$dir/mb" 0x10003 0x100000 0x100000 0 0x200000 0x100020
boots 5 -kernel "$dir/mb" -append 'a b' -initrd "$dir/text one,$dir/text two"
multiboot "$dir/mb" 0x10003 0x100000 0x100001 0 0 0x100020
refused 'load address' -kernel "$dir/mb"
multiboot "$dir/mb" 0x10003 0x100000 0x100000 0x100900 0 0x100020
refused 'end of data' -kernel "$dir/mb"
multiboot "$dir/mb" 0x10003 0x100000 0x100000 0 0x100004 0x100020
refused 'end of bss' -kernel "$dir/mb"
multiboot "$dir/mb" 0x10003 0x100000 0x100000 0 0x3fff0000 0x100020
refused 'does not fit' -kernel "$dir/mb"
multiboot "$dir/mb" 0x10003 0x100000 0x100000 0 0x200000 0x300000
refused 'entry point' -kernel "$dir/mb"
multiboot "$dir/mb" 0x10003 0xa0000 0xa0000 0 0 0xa0020
refused 'is not in memory' -kernel "$dir/mb"
multiboot "$dir/mb" 0x10013 0x100000 0x100000 0 0 0x100020
refused 'asks for what is not known' -kernel "$dir/mb"
# An ELF file with a PVH entry: gives the last digit of the information's magic number, 8.
# pvh FILE OFFSET_OF_NOTE P_FILESZ ENTRY
pvh() {
    bytes "7f 45 4c 46 01 01 01 00 00 00 00 00 00 00 00 00 02 00 03 00 01 00 00 00 $(le 0) $(le 52) $(le 0) $(le 0) 34 00 20 00 02 00 \
        00 00 00 00 00 00 $(le 1) $(le 0) $(le 0x100000) $(le 0x100000) $(le "$3") $(le 0x1000) $(le 7) $(le 4096) \
        $(le 4) $(le "$2") $(le 0) $(le 0) $(le 20) $(le 20) $(le 4) $(le 4) \
        $(le 4) $(le 4) $(le 18) 58 65 6e 00 $(le "$4") 8b 03 83 e0 0f ba f4 00 00 00 ef f4" >"$1"
}
pvh "$dir/pvh" 116 148 0x100088
boots 17 -kernel "$dir/pvh" -append 'a b' -initrd "$dir/text"
pvh "$dir/pvh" 116 149 0x100088
refused 'beyond the file' -kernel "$dir/pvh"
pvh "$dir/pvh" 140 148 0x100088
refused 'without a PVH entry' -kernel "$dir/pvh"
pvh "$dir/pvh" 116 148 0x200000
refused 'entry point' -kernel "$dir/pvh"
refused 'is no kernel for a PC' -kernel "$dir/text"

# Bad boot sectors: triple fault, MMIO as code, no signature, disks too small, code that is none. The program survives all;
# 124: it was still running.
survives() {
    # shellcheck disable=SC2086
    timeout 1 "$q32" $common -m 16 "$@" >"$dir/out" 2>&1 </dev/null
    rc=$?
    case $rc in 0 | 1 | 124) ok ;; *) bad "$* -> $rc $(cat "$dir/out")" ;; esac
}
sector "$dir/bad" 'fa 0f 01 1e 30 7c 0f 0b' # cli; lidt of zeros; ud2: in real mode INT 6 beyond the limit: a triple fault
boots 0 -hda "$dir/bad"
sector "$dir/bad" 'ea 00 00 00 a0' # jmp a000:0
survives -hda "$dir/bad"
sector "$dir/bad" 'fa 31 c0 8e d8 0f 01 16 20 7c 0f 20 c0 0c 01 0f 22 c0 66 ea 00 00 e0 fe 08 00 00 00 00 00 00 00 17 00 26 7c 00 00 00 00 00 00 00 00 00 00 ff ff 00 00 00 9b cf 00'
survives -hda "$dir/bad" # jumps to the local APIC in protected mode
sector "$dir/bad" 'fa 31 c0 8e d8 be 00 7c bf 01 7c b9 ff ff f3 a4 eb fe' # a string instruction over itself
survives -hda "$dir/bad"
: >"$dir/bad"
survives -hda "$dir/bad"
printf x >"$dir/bad"
survives -hda "$dir/bad"
dd if=/dev/zero of="$dir/bad" bs=513 count=3 2>/dev/null
survives -hda "$dir/bad" -cdrom "$dir/bad"
for n in 11 222 3333 4444 5555; do
    dd if="$build/quern" of="$dir/bad" bs=510 skip=$n count=1 2>/dev/null
    bytes '55 aa' >>"$dir/bad"
    survives -hda "$dir/bad"
done

# A CPU for each of 255 APICs, on little memory: firmware finds them all and boots.
boots 3 -hda "$dir/one" -smp 255

echo "$passed passed, $failed failed"
[ $failed = 0 ]
