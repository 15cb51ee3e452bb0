#!/bin/sh
# on-kernel.sh - where the .expected files are checked: runs the tests of bin/suite-mipsel.gz on Debian's own kernel
# (package debian-installer-12-netboot-mipsel) in a system emulator, and compares what they print. Not part of
# `make check`. Needs cpio.
#
# usage: on-kernel.sh [EMULATOR]     (default: qemu-system-mipsel; a path to quern-system-mipsel does as well)
set -u
here=$(cd "$(dirname "$0")" && pwd)
emulator=${1:-qemu-system-mipsel}
images=/usr/lib/debian-installer/images/12/mipsel/malta
kernel=$(find -L "$images" -name 'vmlinuz*' 2>/dev/null | head -n 1)
initrd=$(find -L "$images" -name initrd.gz 2>/dev/null | head -n 1)
for tool in "$emulator" cpio gzip; do
    command -v "$tool" >/dev/null || { echo "no $tool"; exit 2; }
done
[ "$kernel" ] && [ "$initrd" ] || { echo "no kernel and initrd below $images"; exit 2; }
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
tests=$(cd "$here" && ls ./*.expected | sed 's,^\./,,; s,\.expected$,,')

# Added to the installer's RAM disk: the suite, and a first program that runs it.
mkdir "$tmp/root"
gzip -dc "$here/bin/suite-mipsel.gz" >"$tmp/root/suite"
{
    echo '#!/bin/sh'
    echo 'mount -t proc proc /proc; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp; ip link set lo up'
    for t in $tests; do
        echo "echo '== $t'; /suite $t </dev/null 2>/dev/null >/tmp/out; echo status \$? >>/tmp/out; cat /tmp/out"
    done
    echo 'echo == end; poweroff -f'
} >"$tmp/root/run"
chmod 755 "$tmp/root/suite" "$tmp/root/run"
{ cat "$initrd"; (cd "$tmp/root" && printf 'suite\nrun\n' | cpio -o -H newc 2>/dev/null | gzip); } >"$tmp/initrd.gz"
timeout 900 "$emulator" -M malta -m 256 -nographic -no-reboot -kernel "$kernel" -initrd "$tmp/initrd.gz" \
    -append 'console=ttyS0 rdinit=/run quiet panic=-1' </dev/null 2>&1 | tr -d '\r' >"$tmp/console"
passed=0 failed=0
for t in $tests; do
    awk -v t="== $t" '/^== / { on = $0 == t; next } on' "$tmp/console" | sed 's,/suite,SUITE,g' >"$tmp/out"
    if diff "$here/$t.expected" "$tmp/out"; then passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $t"
    fi
done
grep -q '^== end' "$tmp/console" || tail -n 20 "$tmp/console"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
