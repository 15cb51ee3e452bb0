#!/bin/sh
# test-boot.sh - Debian's MIPS installer kernel boots on malta to a shell, runs commands, and powers off.
set -u
build=${QUERN_BUILD:-.}
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
await() {
    i=0
    while [ $i -lt $(($2 * 5)) ]; do
        if tr -d '\r' <"$dir/out" | grep -qF -- "$1"; then
            passed=$((passed + 1))
            return 0
        fi
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.2
        i=$((i + 1))
    done
    if tr -d '\r' <"$dir/out" | grep -qF -- "$1"; then passed=$((passed + 1)); return 0; fi
    failed=$((failed + 1))
    echo "FAILED: no '$1'"
    return 1
}

if await '~ #' 240; then
    printf 'echo $((6 * 7))-is-it\r' >&3
    await '42-is-it' 30
    printf 'mount -t proc proc /proc; cat /proc/cpuinfo\r' >&3
    await 'MIPS Malta' 30
    printf '\001c' >&3
    await 'monitor - type' 20
    printf 'info status\r' >&3
    await 'VM status: running' 20
    printf '\001c' >&3
    printf 'poweroff -f\r' >&3
    i=0
    while kill -0 "$pid" 2>/dev/null && [ $i -lt 150 ]; do sleep 0.2; i=$((i + 1)); done
    if kill -0 "$pid" 2>/dev/null; then
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
