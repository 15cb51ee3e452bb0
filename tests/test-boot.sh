#!/bin/sh
# test-boot.sh - Debian's MIPS installer kernel boots on malta to a shell, runs commands, and powers off.
set -u
build=${QUERN_BUILD:-.}
. "${QUERN_SOURCE:-$(cd "$(dirname "$0")/.." && pwd)}/tests/patience.sh"
images=/usr/lib/debian-installer/images/12/mipsel/malta
kernel=$(find -L "$images" -type f -name 'vmlinuz*' 2>/dev/null | sort | head -n 1)
initrd=$(find -L "$images" -type f -name initrd.gz 2>/dev/null | sort | head -n 1)
if [ -z "$kernel" ] || [ -z "$initrd" ]; then
    echo "no kernel in $images (Debian: debian-installer-12-netboot-mipsel)"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
dir=$(mktemp -d) || exit 1
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
passed=0 failed=0
mkfifo "$dir/in"

"$build/quern-system-mipsel" -M malta -m 256 -nographic -no-reboot -icount shift=3,sleep=off -kernel "$kernel" \
    -initrd "$initrd" -append 'console=ttyS0 rdinit=/bin/sh quiet' <"$dir/in" >"$dir/out" 2>&1 &
pid=$!
exec 3>"$dir/in"

# await TEXT SECONDS
says() { tr -d '\r' <"$dir/out" | grep -qF -- "$1"; }
says_or_gone() { says "$1" || gone "$pid"; }
await() {
    within "$2" says_or_gone "$1"
    if says "$1"; then passed=$((passed + 1)); return 0; fi
    failed=$((failed + 1))
    echo "FAILED: no '$1'"
    return 1
}

if await '~ #' 60; then
    printf 'echo $((6 * 7))-is-it\r' >&3
    await '42-is-it' 8
    printf 'mount -t proc proc /proc; cat /proc/cpuinfo\r' >&3
    await 'MIPS Malta' 8
    printf '\001c' >&3
    await 'monitor - type' 5
    printf 'info status\r' >&3
    await 'VM status: running' 5
    printf '\001c' >&3
    printf 'poweroff -f\r' >&3
    if ! within 8 gone "$pid"; then
        failed=$((failed + 1))
        echo "FAILED: poweroff did not end the emulator"
    else
        wait "$pid"
        rc=$?
        pid=
        if [ $rc = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: status $rc"; fi
    fi
fi
[ $failed = 0 ] || tail -n 40 "$dir/out"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
