# test-pc-drives.sh - SeaBIOS boots a sector from each kind of drive that the PC has, reads through it and says so on the
# serial port; and what -drive, -fda and -device say to what cannot be.

bios=/usr/share/seabios/bios-256k.bin
quern="$QUERN_BUILD/quern"
passed=0 failed=0

if ! test -f $bios; then
    echo "no firmware $bios (Debian: seabios)"
    exit 77
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/quern-test-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT

# bytes HEX...
bytes() { for x in "$@"; do printf "\\$(printf %03o $((0x$x)))"; done; }

# xor ax,ax; mov ds,ax; mov es,ax; mov ss,ax; mov sp,7c00h; cld; mov ax,201h; mov cx,2; xor dh,dh; mov bx,8000h; int 13h; jc +13h;
# mov si,8000h; next: lodsb; test al,al; jz +6; mov dx,3f8h; out dx,al; jmp next; mov dx,501h; mov al,10h; out dx,al; hlt; jmp $
sector() {
    bytes 31 c0 8e d8 8e c0 8e d0 bc 00 7c fc b8 01 02 b9 02 00 30 f6 bb 00 80 cd 13 72 0e be 00 80 ac 84 c0 74 06 ba f8 03 ee eb f5 \
        ba 01 05 b0 10 ee f4 eb fd
}

# image FILE KIB: a sector to boot, one with a text, and the rest
image() {
    dd if=/dev/zero of="$1" bs=1024 count=0 seek=$2 2>/dev/null
    sector | dd of="$1" conv=notrunc 2>/dev/null
    bytes 55 aa | dd of="$1" bs=1 seek=510 conv=notrunc 2>/dev/null
    printf 'sector two is read\n\000' | dd of="$1" bs=512 seek=1 conv=notrunc 2>/dev/null
}

# boots NAME OPTIONS...
boots() {
    name=$1
    shift
    timeout 120 "$quern" --target=system-i386 -m 32 -display none -monitor none -serial file:"$dir/out" -device isa-debug-exit "$@" \
        >"$dir/log" 2>&1 </dev/null
    status=$?
    if test $status = 33 && grep -q 'sector two is read' "$dir/out"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$name: status $status"
        head -5 "$dir/log" "$dir/out"
    fi
}

# refuses NAME WORDS OPTIONS...
refuses() {
    name=$1 words=$2
    shift 2
    timeout 60 "$quern" --target=system-i386 -m 32 -display none -monitor none -serial none -S "$@" >"$dir/log" 2>&1 </dev/null
    status=$?
    if test $status = 1 && grep -q "$words" "$dir/log"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$name: status $status, expected: $words"
        head -5 "$dir/log"
    fi
}

image "$dir/hd" 8192
hd="file=$dir/hd,format=raw"
boots virtio -drive $hd,if=virtio
boots 'virtio 1.0' -drive $hd,if=none,id=d -device virtio-blk-pci,drive=d,disable-legacy=on
boots 'virtio legacy' -drive $hd,if=none,id=d -device virtio-blk-pci,drive=d,disable-modern=on
boots node -blockdev driver=raw,node-name=n,file.driver=file,file.filename="$dir/hd" -device virtio-blk-pci,drive=n
boots scsi -drive $hd,if=none,id=d -device virtio-scsi-pci,id=s -device scsi-hd,drive=d,bus=s.0
boots ide -drive $hd
for k in 160 360 720 1200 1440 2880; do
    image "$dir/fd" $k
    boots "floppy of $k KiB" -drive file="$dir/fd",format=raw,if=floppy
done

# Of two disks that say different things the one with the lower bootindex is booted.
image "$dir/other" 8192
printf 'the other disk\000   ' | dd of="$dir/other" bs=512 seek=1 conv=notrunc 2>/dev/null
image "$dir/fd" 1440
both="-drive $hd,if=none,id=d -drive file=$dir/other,format=raw,if=none,id=o"
boots 'bootindex: scsi' $both -device virtio-scsi-pci,id=s -device scsi-hd,drive=o,bus=s.0,bootindex=4 \
    -device scsi-hd,drive=d,bus=s.0,scsi-id=3,bootindex=2
boots 'bootindex: scsi or ide' $both -device ide-hd,drive=o,bootindex=9 -device virtio-scsi-pci -device scsi-hd,drive=d,bootindex=8
boots 'bootindex: ahci' $both -device ich9-ahci,id=ahci -device ide-hd,drive=o,bus=ahci.1,bootindex=4 \
    -device ide-hd,drive=d,bus=ahci.4,bootindex=2
boots 'bootindex: ahci of q35' -M q35 $both -device ich9-ahci,id=ahci -device ide-hd,drive=o,bootindex=4 \
    -device ide-hd,drive=d,bus=ahci.0,bootindex=2
floppy="-drive file=$dir/fd,format=raw,if=none,id=d -drive file=$dir/other,format=raw,if=none,id=o"
boots 'bootindex: floppy' $floppy -device ide-hd,drive=o,bootindex=2 -device floppy,drive=d,bootindex=1
image "$dir/fd2" 720
printf 'the other floppy\000  ' | dd of="$dir/fd2" bs=512 seek=1 conv=notrunc 2>/dev/null
boots 'bootindex: disk before floppy' $both -device floppy,drive=f,unit=0,bootindex=2 -device ide-hd,drive=d,bootindex=1 \
    -drive file="$dir/fd2",format=raw,if=none,id=f
boots 'bootindexB: floppy of q35' -M q35 -drive file="$dir/other",format=raw -fdb "$dir/fd" -global isa-fdc.bootindexB=1

none="-drive $hd,if=none,id=d"
refuses 'bootindex twice' 'bootindex 3 has already been used' $none -device virtio-scsi-pci,bootindex=3 -device scsi-hd,drive=d,bootindex=3
refuses 'bootindex of isapc' 'has no bootindex' -M isapc -device floppy,bootindex=1
refuses 'floppy given twice' 'already in use' $none -device floppy,drive=d -device floppy,drive=d
refuses 'no such floppy' "Property 'floppy.drive' can't find value 'x'" -device floppy,drive=x
refuses 'twice' 'already in use' $none -device virtio-blk-pci,drive=d -device virtio-blk-pci,drive=d
refuses 'unknown' "drive or node 'x'" -device virtio-blk-pci,drive=x
refuses 'without' 'drive property not set' -device virtio-blk-pci
refuses 'no bus' "Bus 'nowhere.0' not found" $none -device scsi-hd,drive=d,bus=nowhere.0
refuses 'no adapter' "No bus of the machine takes device 'scsi-hd'" $none -device scsi-hd,drive=d
refuses 'slot taken' 'in use by' $none -device virtio-blk-pci,drive=d,addr=1
refuses 'no mode' 'neither modern nor legacy' $none -device virtio-blk-pci,drive=d,disable-modern=on,disable-legacy=on
refuses 'third floppy' 'too large' -drive $hd,if=floppy,index=2
refuses 'large floppy' 'too large or small' -drive $hd,if=floppy
refuses 'port 0' 'reserved for virtconsole' -device virtio-serial-pci -device virtserialport,nr=0
refuses 'port twice' 'already exists' -device virtio-serial-pci -device virtserialport,nr=3 -device virtserialport,nr=3
refuses 'two balloons' 'balloon already' -device virtio-balloon-pci -device virtio-balloon-pci
refuses 'id taken' 'in use' -device virtio-scsi-pci -device scsi-cd,scsi-id=2 -device scsi-cd,scsi-id=2

# monitor NAME WORDS COMMANDS OPTIONS...: what the monitor says to them, without spaces, contains WORDS.
monitor() {
    name=$1 words=$2
    printf '%b\nquit\n' "$3" >"$dir/in"
    shift 3
    timeout 60 "$quern" --target=system-i386 -m 32 -display none -serial none -monitor stdio -S "$@" >"$dir/out" 2>"$dir/log" <"$dir/in"
    status=$?
    if test $status = 0 && tr -d '\r\n ' <"$dir/out" | grep -q "$words"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$name: status $status, expected: $words"
        head -20 "$dir/log" "$dir/out"
    fi
}

none="-drive file=$dir/hd,format=raw,if=none,id=d,media=cdrom"
monitor 'default drives' 'floppy0:\[notinserted\]Removabledevice:notlocked,trayclosedide1-cd0:\[notinserted\]Removabledevice:notlocked,trayclosed(' 'info block'
monitor 'change' "ide1-cd0:$dir/hd(raw,read-only)Removabledevice:notlocked,trayclosed" "change ide1-cd0 $dir/hd raw\\ninfo block"
monitor 'eject' 'ide1-cd0:\[notinserted\]Removabledevice:notlocked,trayopen' 'eject ide1-cd0\ninfo block' -cdrom "$dir/hd"
monitor 'change of a floppy' "floppy0:$dir/fd(raw)" "eject floppy0\\nchange floppy0 $dir/fd raw\\ninfo block" -fda "$dir/fd2"
monitor 'read-only floppy' "floppy1:$dir/fd(raw,read-only)" "change floppy1 $dir/fd raw read-only\\ninfo block" -device floppy,unit=1
monitor 'it stays read-only' "floppy0:$dir/fd2(raw,read-only)" \
    "change floppy0 $dir/fd raw read-only\\nchange floppy0 $dir/fd2 raw\\ninfo block" -drive file="$dir/fd",format=raw,if=floppy,snapshot=on
monitor 'too large' 'toolargeorsmallforafloppydisk' "change floppy0 $dir/hd raw"
monitor 'of SCSI' "d:$dir/other(raw,read-only)" "change c $dir/hd raw\\nchange d $dir/other raw\\ninfo block" $none \
    -device virtio-scsi-pci -device scsi-cd,drive=d,id=c
monitor 'of SCSI without a drive' "c:$dir/other(raw,read-only)" "change c $dir/other raw\\neject c\\nchange c $dir/other\\ninfo block c" \
    -device virtio-scsi-pci -device scsi-cd,id=c
monitor 'disks stay' "Device'ide0-hd0'isnotremovable.*Device'ide0-hd0'isnotremovable" "eject ide0-hd0\\nchange ide0-hd0 $dir/other" -hda "$dir/hd"
monitor 'no such drive' "Device'nothing'notfound" 'eject nothing'
monitor 'no such file' 'Nosuchfileordirectory.*ide1-cd0:.*/hd(raw' "change ide1-cd0 $dir/nothing\\ninfo block" -cdrom "$dir/hd"
monitor 'no such format' "Unknowndriver'nothing'" "change ide1-cd0 $dir/hd nothing"
monitor 'no such mode' 'invalidparametervalue:nothing' "change ide1-cd0 $dir/hd raw nothing"

echo "$passed passed, $failed failed"
test $failed = 0
