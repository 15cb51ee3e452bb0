#!/bin/sh
# run-pc.sh - boots real systems on the PC boards: Debian's installers by GRUB from a disk and a CD made with Debian's tools, their
# first screen, several CPUs, memtest86+, a Debian made by debootstrap that compiles and powers off; equal hashes of engines. Not
# part of `make check`, which has test-pc-boot.sh: minutes for each; `make check-pc` runs all.
#
# usage: run-pc.sh [-d DIR] [TEST]...
#   -d DIR    where images, screens and logs are made and kept (default pc-boots in the build directory)
#   TEST      disk-i386 disk-amd64 cd-i386 cd-amd64 screen-i386 screen-amd64 smp-amd64 pvh-amd64 isapc-i386 q35-disk-amd64
#             q35-cd-i386 memtest debian debian-smp debian-threads debian-virtio debian-q35 hash-i386 hash-amd64 hash-smp lockstep-i386 (default: all)
# $QUERN_SLOW: by how much longer than usual things may take (default 1), for a machine that has other things to do.
# Packages: seabios, debian-installer-12-netboot-i386, -amd64 (below $QUERN_INSTALLERS when they were unpacked elsewhere),
# grub-pc-bin, grub-common, xorriso, mtools, memtest86+; for debian, as root: debootstrap, e2fsprogs.
set -u
slow=${QUERN_SLOW:-1}
build=$(cd "${QUERN_BUILD:-.}" && pwd)
dir=$build/pc-boots
while getopts d: option; do
    case $option in
    d) dir=$OPTARG ;;
    *) sed -n '/^# usage/,/^#   TEST/s/^# *//p' "$0" >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
mkdir -p "$dir" && cd "$dir" || exit 1
dir=$PWD
passed=0 failed=0 skipped=0 pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null' EXIT

good() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $name: $*"; }
skip() { skipped=$((skipped + 1)); echo "SKIP $name: $*"; return 1; }
have() {
    for tool; do command -v "$tool" >/dev/null || { skip "$tool is missing ($packages)"; return 1; }; done
}
packages='Debian: grub-pc-bin grub-common xorriso mtools memtest86+ debootstrap e2fsprogs'

# The installer's kernel and initial RAM disk for architecture $1: $kernel, $initrd.
installer() {
    set -- "$1" "${QUERN_INSTALLERS:-}/usr/lib/debian-installer/images/12/$1/text/debian-installer/$1"
    kernel=$2/linux initrd=$2/initrd.gz
    [ -e "$kernel" ] && [ -e "$initrd" ] || skip "no $kernel (Debian: debian-installer-12-netboot-$1)"
}
target() { case $1 in amd64) echo x86_64 ;; *) echo "$1" ;; esac; }

# ---- a machine with a console ----

# start ARGS...: the console's output is in $out; `send TEXT`, `await PATTERN SECONDS`
start() {
    out=$dir/$name.log
    rm -f in; : >"$out"
    mkfifo in
    case "$*" in
    *thread=multi* | *-icount*) ;; # guest time is the host's, or as asked
    *) set -- "$@" -icount sleep=off ;;
    esac
    "$@" -display none -monitor none -serial stdio -no-reboot <in >"$out" 2>&1 &
    pid=$!
    exec 3>in
}
send() { printf '%s\r' "$1" >&3; }
seen() { tr -d '\r' <"$out" | grep -q -- "$1"; }
await() {
    i=0
    while [ $i -lt $(($2 * 2 * slow)) ]; do
        if seen "$1"; then good; return 0; fi
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.5
        i=$((i + 1))
    done
    if seen "$1"; then good; return 0; fi
    bad "no '$1' after $((i / 2)) s: $(tail -n 3 "$out")"
    return 1
}
# The program ends by itself, with status 0.
await_end() {
    i=0
    while kill -0 "$pid" 2>/dev/null && [ $i -lt $(($1 * 2 * slow)) ]; do sleep 0.5; i=$((i + 1)); done
    if kill -0 "$pid" 2>/dev/null; then bad "still running after $(($1 * slow)) s"; stop; return; fi
    wait "$pid"
    rc=$?
    pid=
    exec 3>&-
    [ $rc = 0 ] && good || bad "status $rc: $(tail -n 3 "$out")"
}
stop() {
    [ -z "$pid" ] || { kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; pid=; }
    exec 3>&-
}
# A shell of the initial RAM disk works, and the machine powers off.
shell() {
    if await '~ #' 600; then
        send 'echo $((6 * 7))-is-it'
        await '^42-is-it' 60
        send 'poweroff -f'
        await_end 60
    else
        stop
    fi
}

# ---- images ----

# A directory with GRUB's menu: entry $2 is the default.
tree() {
    rm -rf "tree-$1"
    mkdir -p "tree-$1/boot/grub"
    cp "$kernel" "$initrd" "tree-$1/"
    cat >"tree-$1/boot/grub/grub.cfg" <<EOF
serial --unit=0 --speed=115200
terminal_output console serial
set timeout=1
set default=$2
menuentry shell {
    linux /linux console=ttyS0 rdinit=/bin/sh
    initrd /initrd.gz
}
menuentry installer {
    linux /linux vga=normal --- quiet
    initrd /initrd.gz
}
EOF
}
# A CD: El Torito.
make_cd() {
    have grub-mkrescue xorriso mcopy && installer "$1" || return 1
    tree "$1" "$2"
    grub-mkrescue -o "$3" "tree-$1" >grub.log 2>&1 || { bad "grub-mkrescue: $(tail -n 3 grub.log)"; return 1; }
}
# A disk: one FAT partition at 1 MiB, GRUB in the boot sector and behind it.
make_disk() {
    have grub-mkimage mformat mcopy && installer "$1" || return 1
    tree "$1" 0
    rm -f "$2"
    truncate -s 128M "$2"
    printf '\200\040\041\000\014\376\377\377\000\010\000\000\000\370\003\000' | dd of="$2" bs=1 seek=446 conv=notrunc 2>/dev/null
    mformat -i "$2@@1M" -F :: && mcopy -s -i "$2@@1M" "tree-$1"/* :: || { bad "mtools"; return 1; }
    put_grub "$2" fat
}
put_grub() {
    grub-mkimage -O i386-pc -o core.img -p '(hd0,msdos1)/boot/grub' biosdisk part_msdos "$2" normal linux serial terminal \
        configfile echo boot || { bad "grub-mkimage"; return 1; }
    dd if=/usr/lib/grub/i386-pc/boot.img of="$1" bs=1 count=440 conv=notrunc 2>/dev/null
    dd if=core.img of="$1" bs=512 seek=1 conv=notrunc 2>/dev/null
    printf '\125\252' | dd of="$1" bs=1 seek=510 conv=notrunc 2>/dev/null
}

# ---- tests ----

# disk ARCH MIB [ARGS...]
disk() {
    make_disk "$1" disk.img || return
    program=$build/quern-system-$(target "$1") mib=$2
    shift 2
    start "$program" -m "$mib" "$@" -drive file=disk.img,format=raw
    await 'GNU GRUB' 60 && shell
}
cd_boot() {
    make_cd "$1" 0 cd.iso || return
    program=$build/quern-system-$(target "$1") mib=$2
    shift 2
    start "$program" -m "$mib" "$@" -cdrom cd.iso -boot d
    await 'GNU GRUB' 60 && shell
}
# How often the points of colour $2, as bytes "0" (00h) and "A" (AAh), follow each other in the picture $1.
points() { LC_ALL=C tr -c '\000\252' x <"$1" 2>/dev/null | LC_ALL=C tr '\000\252' 0A | fold -w 3000 | grep -o "$2" | wc -l; }
# The installer's first screen, by screendumps: once it has both the blue and the grey of a dialogue and stays as it is (a
# screen that is being drawn has grey, too).
screen() {
    make_cd "$1" 1 cd.iso || return
    rm -f in "$name.ppm" "$name.png"
    mkfifo in
    "$build/quern-system-$(target "$1")" -m "$2" -display none -serial null -monitor stdio -icount sleep=off -cdrom cd.iso \
        -boot d <in >"$name.log" 2>&1 &
    pid=$!
    exec 3>in
    i=0 grey=0 blue=0 same=
    while [ $i -lt $((200 * slow)) ] && kill -0 "$pid" 2>/dev/null; do # 20 minutes
        sleep 5
        mv "$name.ppm" "$name.before" 2>/dev/null
        printf 'screendump %s.ppm\nscreendump %s.png\n' "$name" "$name" >&3
        sleep 1
        i=$((i + 1))
        cmp -s "$name.ppm" "$name.before" && same=1 || continue
        grey=$(points "$name.ppm" AAA) blue=$(points "$name.ppm" 00A)
        [ "$grey" -gt 100000 ] && [ "$blue" -gt 50000 ] && break
    done
    if [ "$grey" -gt 100000 ] && [ "$blue" -gt 50000 ] && [ $same ]; then good
    else bad "no dialogue on the screen ($grey grey points, $blue blue in $dir/$name.ppm)"; fi
    echo "the screen: $dir/$name.png"
    stop
}
smp() {
    installer amd64 || return
    start "$build/quern-system-x86_64" -smp 4 -m 512 -kernel "$kernel" -initrd "$initrd" -append 'console=ttyS0 rdinit=/bin/sh'
    await '~ #' 600 || { stop; return; }
    send 'mount -t proc proc /proc; echo cpus=$(grep -c ^processor /proc/cpuinfo)'
    await '^cpus=4' 60
    send 'for i in 1 2 3 4; do (dd if=/dev/zero bs=64k count=200 2>/dev/null | md5sum | sed s/^/$i:/) & done; wait; echo all-$((6 * 7))'
    await '^all-42' 120
    [ "$(tr -d '\r' <"$out" | grep -c '^[1-4]:[0-9a-f]\{32\}  -')" = 4 ] && good || bad "four sums were wanted"
    [ "$(tr -d '\r' <"$out" | sed -n 's/^[1-4]:\([0-9a-f]*\) .*/\1/p' | sort -u | wc -l)" = 1 ] && good || bad "the sums differ"
    send 'poweroff -f'
    await_end 60
}
# The installer's kernel as the ELF file that it holds.
pvh() {
    installer amd64 && have xz || return
    at=$(LC_ALL=C grep -abo "$(printf '\3757zXZ')" "$kernel" | head -n 1 | cut -d: -f1)
    [ "$at" ] || { skip "no xz data in $kernel"; return; }
    tail -c +$((at + 1)) "$kernel" | xz -dc --single-stream >vmlinux 2>/dev/null
    start "$build/quern-system-x86_64" -m 512 -kernel vmlinux -initrd "$initrd" -append 'console=ttyS0 rdinit=/bin/sh'
    shell
}
# Without PCI, ACPI and APICs; nothing to power off by.
isapc() {
    installer i386 || return
    start "$build/quern-system-i386" -M isapc -cpu pentium3 -m 256 -kernel "$kernel" -initrd "$initrd" \
        -append 'console=ttyS0 rdinit=/bin/sh'
    if await '~ #' 600; then
        send 'echo $((6 * 7))-is-it'
        await '^42-is-it' 60
    fi
    stop
}
memtest() {
    have grub-mkrescue xorriso mcopy || return
    [ -e /boot/memtest86+ia32.bin ] || { skip "memtest86+ is missing ($packages)"; return; }
    rm -rf tree-memtest
    mkdir -p tree-memtest/boot/grub
    cp /boot/memtest86+ia32.bin tree-memtest/mt.bin
    printf 'linux16 /mt.bin console=ttyS0,115200\nboot\n' >tree-memtest/boot/grub/grub.cfg
    grub-mkrescue -o memtest.iso tree-memtest >grub.log 2>&1 || { bad "grub-mkrescue: $(tail -n 3 grub.log)"; return; }
    start "$build/quern-system-i386" -m 32 -cdrom memtest.iso -boot d
    await 'Pass:  1  *Errors: 0' 1800
    if seen 'Errors: [1-9]'; then bad 'errors'; else good; fi
    stop
}

# A Debian: made once, by root.
make_debian() {
    [ -e debian.qcow2 ] && return
    have debootstrap mke2fs grub-mkimage || return 1
    [ "$(id -u)" = 0 ] || { skip 'debootstrap needs root'; return 1; }
    if [ ! -e rootfs/complete ]; then
        rm -rf rootfs
        debootstrap --variant=minbase --include=systemd-sysv,udev,linux-image-amd64,gcc,libc6-dev,make,procps,kmod,initramfs-tools,\
login,passwd,e2fsprogs bookworm rootfs "${QUERN_MIRROR:-http://deb.debian.org/debian}" >debootstrap.log 2>&1 ||
            { skip "debootstrap: $(tail -n 1 debootstrap.log)"; return 1; }
        touch rootfs/complete
    fi
    echo /dev/disk/by-label/quern / ext4 defaults 0 1 >rootfs/etc/fstab
    echo quern >rootfs/etc/hostname
    printf 'root:quern\n' | chroot rootfs chpasswd
    ln -sf /vmlinuz rootfs/linux
    cat >rootfs/boot/grub.cfg <<EOF
serial --unit=0 --speed=115200
terminal_output console serial
linux /vmlinuz root=LABEL=quern console=ttyS0
initrd /initrd.img
boot
EOF
    rm -f debian.img
    mkdir -p rootfs/boot/grub && cp rootfs/boot/grub.cfg rootfs/boot/grub/
    truncate -s 1536M debian.img
    printf '\200\040\041\000\203\376\377\377\000\010\000\000\000\370\057\000' | dd of=debian.img bs=1 seek=446 conv=notrunc 2>/dev/null
    mke2fs -q -t ext4 -O '^metadata_csum_seed' -L quern -d rootfs -E offset=1048576 debian.img 1535M 2>mke2fs.log ||
        { bad "mke2fs: $(cat mke2fs.log)"; return 1; }
    put_grub debian.img ext2
    "$build/quern-img" convert -f raw -O qcow2 debian.img debian.qcow2 && rm debian.img
}
# With -icount sleep=on: a login that waits for its password gives up after a minute of guest time.
debian() {
    make_debian || return
    rm -f debian-run.qcow2
    "$build/quern-img" create -q -f qcow2 -b debian.qcow2 -F qcow2 debian-run.qcow2 || { bad "quern-img create"; return; }
    start "$build/quern-system-x86_64" -m 512 "$@"
    await 'quern login:' 1800 || { stop; return; }
    send root
    await 'Password:' 60
    send quern
    await 'root@quern:~#' 120
    send 'exec sh' # which puts nothing into its lines; what came before it has set the terminal would have other line ends
    await '2004l# $' 60
    send 'cat >t.c <<X
#include <stdio.h>
int main(void) { unsigned s = 0; for (unsigned i = 0; i < 1000000; i++) s = s * 5 + i; printf("sum=%08x\n", s); return 0; }
X
gcc -O2 -o t t.c && ./t'
    await 'sum=[0-9a-f]\{8\}' 300 # behind prompts
    send 'for i in 1 2 3 4 5 6 7 8; do echo "int f$i(int x) { return x * $i; }" >f$i.c; done
echo "all: f1.o f2.o f3.o f4.o f5.o f6.o f7.o f8.o" >Makefile
make -j4 >make.log && echo objects-$(ls f?.o | wc -l)'
    await 'objects-8' 300
    send 'tar cf t.tar /usr/bin /etc 2>/dev/null; tar xf t.tar && diff -r usr/bin /usr/bin && md5sum t.c && echo tar-$((6 * 7))'
    await 'tar-42' 600
    send 'poweroff'
    await_end 300
    "$build/quern-img" check debian-run.qcow2 >check.log 2>&1 && good || bad "quern-img check: $(cat check.log)"
}

# hashes TARGET CPUS MIB ARCH ENGINE...: all lines equal. QUERN_INSNS: how far (10^10 instructions of guest time reach the shell),
# QUERN_REF_INSNS: how far the reference interpreter goes, which needs minutes for 10^9.
hashes() {
    t=$1 cpus=$2 mib=$3
    installer "$4" || return
    shift 4
    [ -e "$build/tests/boot-hash" ] || { skip 'tests/boot-hash is not built (make tests/boot-hash)'; return; }
    first='' n=0
    for engine; do
        n=$((n + 1)) insns=${QUERN_INSNS:-10000000000}
        case $engine in
        ref) insns=${QUERN_REF_INSNS:-$insns} ;;
        *tcc) [ -e "$build/quern-jit-tcc.so" ] || { skip 'quern-jit-tcc.so is not built' || continue; } ;;
        esac
        "$build/tests/boot-hash" --target "$t" --smp "$cpus" --memory "$mib" --kernel "$kernel" --initrd "$initrd" \
            --append 'console=ttyS0 rdinit=/bin/sh' --console "$name.$n.console" --engine "$engine" \
            --insns "$insns" --every 250000000 >"$name.$n.txt" 2>&1
        if [ -z "$first" ]; then first=$name.$n.txt; continue; fi
        if [ -s "$name.$n.txt" ] && head -n "$(wc -l <"$name.$n.txt")" "$first" | cmp - "$name.$n.txt"; then good
        else bad "engine $engine differs"; fi
    done
    grep -q BusyBox "$name.1.console" && good || bad 'the shell was not reached'
}
# The first instructions of the kernel, from firmware on, in two engines at once.
lockstep() {
    installer i386 || return
    timeout "${QUERN_LOCKSTEP_SECONDS:-900}" "$build/quern-system-i386" -m 256 -display none -serial "file:$name.console" \
        -icount sleep=off -no-reboot -kernel "$kernel" -initrd "$initrd" -append 'console=ttyS0 rdinit=/bin/sh' -lockstep "$1" \
        >"$name.log" 2>&1 </dev/null
    rc=$?
    [ $rc = 124 ] && good || bad "$1: status $rc: $(tail -n 5 "$name.log")"
    echo "$1: $(tail -n 1 "$name.console")"
}

[ $# -gt 0 ] || set -- disk-i386 disk-amd64 cd-i386 cd-amd64 screen-i386 screen-amd64 smp-amd64 pvh-amd64 isapc-i386 q35-disk-amd64 \
    q35-cd-i386 memtest debian debian-smp debian-threads debian-virtio debian-q35 hash-i386 hash-amd64 hash-smp lockstep-i386
for name; do
    begin=$(date +%s) before=$failed
    case $name in
    disk-i386) disk i386 256 ;;
    disk-amd64) disk amd64 512 ;;
    cd-i386) cd_boot i386 256 ;;
    cd-amd64) cd_boot amd64 512 ;;
    screen-i386) screen i386 512 ;;
    screen-amd64) screen amd64 1024 ;;
    smp-amd64) smp ;;
    pvh-amd64) pvh ;;
    isapc-i386) isapc ;;
    q35-disk-amd64) disk amd64 512 -M q35 ;;
    q35-cd-i386) cd_boot i386 256 -M q35 ;;
    memtest) memtest ;;
    debian) debian -icount sleep=on -drive file=debian-run.qcow2,format=qcow2 ;;
    debian-smp) debian -icount sleep=on -smp 4 -drive file=debian-run.qcow2,format=qcow2 ;;
    debian-threads) debian -smp 4 -accel tcg,thread=multi -device virtio-blk-pci,drive=disk,bootindex=1 -drive file=debian-run.qcow2,format=qcow2,if=none,id=disk ;;
    debian-q35) debian -icount sleep=on -M q35 -smp 2 -drive file=debian-run.qcow2,format=qcow2 ;;
    debian-virtio) debian -icount sleep=on -drive file=debian-run.qcow2,format=qcow2,if=none,id=disk -device virtio-blk-pci,drive=disk,bootindex=1 ;;
    hash-i386) hashes i386 1 256 i386 jit jit,backend=tcc goto ref ;;
    hash-amd64) hashes x86_64 1 512 amd64 jit jit,backend=tcc goto ref ;;
    hash-smp) hashes x86_64 4 512 amd64 jit jit goto ;;
    lockstep-i386) lockstep ref,native,every=1000000 ;;
    *) echo "run-pc.sh: there is no test '$name'" >&2; exit 2 ;;
    esac
    [ "$failed" = "$before" ] && echo "$name: $(($(date +%s) - begin)) s"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
