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

none="-drive $hd,if=none,id=d"
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

echo "$passed passed, $failed failed"
test $failed = 0
