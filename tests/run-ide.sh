#!/bin/sh
# run-ide.sh - Debian's kernel mounts an IDE disk of the malta board, reads a file that the host put there and writes another; the
# host then checks the file system and what was written. Not part of `make check`: it downloads Debian's mipsel kernel modules
# (about 30 MB) into DIR.
#
# usage: run-ide.sh DIR
set -u
build=${QUERN_BUILD:-.}
dir=${1:?usage: run-ide.sh DIR}
images=/usr/lib/debian-installer/images/12/mipsel/malta
skip() { echo "$1"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
for tool in mkfs.vfat fsck.vfat mcopy cpio modinfo; do
    command -v $tool >/dev/null || skip "$tool is missing (Debian: dosfstools mtools cpio kmod)"
done
kernel=$(find -L "$images" -type f -name 'vmlinuz*' 2>/dev/null | sort | head -n 1)
initrd=$(find -L "$images" -type f -name initrd.gz 2>/dev/null | sort | head -n 1)
[ -n "$kernel" ] && [ -n "$initrd" ] || skip "no kernel in $images (Debian: debian-installer-12-netboot-mipsel)"
version=${kernel##*vmlinuz-}
mkdir -p "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial" && cd "$dir" || exit 1
dir=$PWD

if [ ! -d root/lib/modules/"$version" ]; then
    cat >apt.conf <<EOF
APT::Architecture "mipsel";
APT::Architectures { "mipsel"; };
Dir::State::Lists "$dir/apt/lists";
Dir::Cache "$dir/apt/cache";
Dir::State::status "$dir/apt/status";
EOF
    : >apt/status
    apt-get -qq -c apt.conf update && apt-get -qq -c apt.conf download "linux-image-$version" || skip "linux-image-$version:mipsel could not be downloaded"
    dpkg-deb -x linux-image-"$version"_*.deb root || exit 1
fi

# The modules and what they need, in the order to insert them.
order=
module_file() { find root/lib/modules/"$version" -name "$1.ko" -o -name "$(echo "$1" | tr _ -).ko" | head -n 1; }
need() {
    case " $order " in *" $1 "*) return ;; esac
    [ -n "$(module_file "$1")" ] || return # built in
    for d in $(modinfo -F depends "$(module_file "$1")" | tr ',' ' '); do need "$d"; done
    order="$order $1"
    mkdir -p extra/m && cp "$(module_file "$1")" "extra/m/$1.ko"
}
rm -rf extra
for m in ata_piix sd_mod vfat nls_cp437 nls_ascii; do need $m; done
(cd extra && find . | cpio -o -H newc --quiet) | gzip -9 >extra.gz
cat "$initrd" extra.gz >initrd.both

passed=0 failed=0
good() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $1"; }

rm -f disk.img
head -c 3000000 /dev/urandom >big
truncate -s 64M disk.img
mkfs.vfat disk.img >/dev/null
mcopy -i disk.img big ::big
sum=$(md5sum <big | cut -d' ' -f1)

script="mount -t proc proc /proc; mount -t devtmpfs dev /dev; for m in $order; do insmod /m/\$m.ko; done; sleep 1;
mkdir /d; mount -t vfat -o iocharset=ascii /dev/sda /d && echo MOUNT\"\"ED; md5sum /d/big; dd if=/d/big of=/d/copy bs=4096; echo quern wrote this >/d/note; sync; umount /d && echo UN\"\"MOUNTED; poweroff -f"
rm -f in
mkfifo in
timeout 300 "$build/quern-system-mipsel" -M malta -m 256 -nographic -no-reboot -icount shift=3,sleep=off -kernel "$kernel" -initrd initrd.both \
    -append 'console=ttyS0 rdinit=/bin/sh quiet' -drive file=disk.img,format=raw,if=ide,index=0 <in >out 2>&1 &
pid=$!
exec 3>in
i=0
while [ $i -lt 600 ] && ! grep -q '~ #' out && kill -0 $pid 2>/dev/null; do sleep 0.2; i=$((i + 1)); done
echo "$script" | tr '\n' ' ' >&3
printf '\r' >&3
wait $pid
status=$?
exec 3>&-
[ $status = 0 ] && good || bad "poweroff: status $status"
grep -q '^MOUNTED' out && good || bad "the disk was not mounted"
grep -q "$sum" out && good || bad "md5sum of the guest differs from the host's $sum"
grep -q '^UNMOUNTED' out && good || bad "the disk was not unmounted"
fsck.vfat -n disk.img >fsck.out 2>&1 && good || { bad "fsck.vfat"; tail -n 5 fsck.out; }
rm -f copy
mcopy -i disk.img ::copy copy
cmp -s big copy && good || bad "the copy made by the guest differs"
[ "$(mtype -i disk.img ::note)" = 'quern wrote this' ] && good || bad "the note is not there"
[ $failed = 0 ] || tail -n 30 out
echo "$passed passed, $failed failed"
[ $failed = 0 ]
