#!/bin/sh
# quern-img and quern-io beside qemu-img and qemu-io: what one writes the other reads and checks.
set -u
build=${QUERN_BUILD:-$(pwd)}
img=$build/quern-img io=$build/quern-io
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
passed=0 failed=0 skipped=0
ok() { # NAME COMMAND...: the command succeeds
    name=$1
    shift
    if "$@" >out 2>&1; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "failed: $name: $*"; head -n 5 out
    fi
}
fails() { # NAME TEXT COMMAND...: it does not, and says TEXT
    name=$1 text=$2
    shift 2
    if "$@" >out 2>&1 || ! grep -q -- "$text" out; then
        failed=$((failed + 1)); echo "failed: $name: $*"; head -n 5 out
    else passed=$((passed + 1))
    fi
}

# Writes of all shapes; then the same, read back with verification.
shapes='0:512:1 6000:5000:2 65536:204800:3 1000000:3000000:4 8388608:1:5 16777000:1000:6 33000000:555555:7'
writes() { for s in $shapes; do printf 'write -q -P %s %s %s\n' "${s##*:}" "${s%%:*}" "$(echo "$s" | cut -d: -f2)"; done; }
reads() { writes | sed 's/^write/read/'; }
run() { # PROGRAM IMAGE: commands from stdin; fails when a pattern is not found
    "$1" -t unsafe "$2" >run.out 2>&1 && ! grep -q 'failed' run.out
}
script() { "$2" | run "$1" "$3"; }

fails 'no size' 'size' "$img" create -f qcow2 x
fails 'unknown format' "Unknown file format 'nope'" "$img" create -f nope x 1M
fails 'unknown option' "Invalid parameter 'foo'" "$img" create -f qcow2 -o foo=1 x 1M
fails 'a size of 20 digits' 'Must be between 0 and' "$img" create -f qcow2 x 99999999999999999999
fails 'what fails is announced' "^Formatting 'x', fmt=qcow2" "$img" create -f qcow2 -o cluster_size=3 x 1M
fails 'a hint that is too large' 'Extent size hint is too large' "$img" create -f raw -o extent_size_hint=8G x 1M
fails 'an option of files, elsewhere' "Invalid parameter 'nocow'" "$img" create -f qcow2 -o nocow=on nbd:localhost:1 1M
for f in raw qcow2 vdi vmdk; do
    "$img" create -f $f -o extent_size_hint=1M,nocow=on x 1M >said 2>&1
    ok "options of files: $f" grep -q ' nocow=on extent_size_hint=1048576$' said
    rm -f x
done
"$img" create -q -f raw small 64k
for f in raw vdi vpc vhdx qed parallels; do
    fails "no compression: $f" 'Compression not supported for this file format' "$img" convert -f raw -c -O $f small x
    ok "no compression: $f: nothing is made" test ! -e x
done
for f in qcow qcow2 vmdk; do ok "compression: $f" "$img" convert -f raw -c -O $f small x; rm -f x; done
"$img" create -f raw x 010 >said
ok 'a size with a zero in front is decimal' grep -q ' size=10$' said
fails 'no such image' 'No such file' "$img" info nosuch
if ! command -v qemu-img >/dev/null 2>&1 || ! command -v qemu-io >/dev/null 2>&1; then
    echo 'qemu-img is not installed (Debian: qemu-utils): skipped'
    skipped=1
    qemu=0
else
    qemu=1
fi

for opts in compat=1.1 compat=0.10 cluster_size=512 cluster_size=4k cluster_size=2M refcount_bits=1 refcount_bits=64 \
    lazy_refcounts=on compression_type=zstd; do
    rm -f a.qcow2 b.qcow2 c.qcow2 a.raw
    if ! "$img" create -q -f qcow2 -o "$opts" a.qcow2 48M 2>out; then
        if grep -q 'not supported by this build' out; then skipped=$((skipped + 1))
        else failed=$((failed + 1)); echo "create $opts:"; cat out
        fi
        continue
    fi
    ok "$opts: write" script "$io" writes a.qcow2
    ok "$opts: read" script "$io" reads a.qcow2
    ok "$opts: check" "$img" check a.qcow2
    ok "$opts: to raw" "$img" convert -O raw a.qcow2 a.raw
    ok "$opts: compressed" "$img" convert -c -O qcow2 -o "$opts" a.raw c.qcow2
    ok "$opts: compressed, read" script "$io" reads c.qcow2
    ok "$opts: compressed, check" "$img" check c.qcow2
    [ $qemu = 1 ] || continue
    ok "$opts: qemu-img check" qemu-img check a.qcow2
    ok "$opts: qemu-img compare" qemu-img compare a.qcow2 a.raw
    ok "$opts: qemu-img check, compressed" qemu-img check c.qcow2
    ok "$opts: qemu-img compare, compressed" qemu-img compare c.qcow2 a.raw
    ok "$opts: qemu-img create" qemu-img create -q -f qcow2 -o "$opts" b.qcow2 48M
    ok "$opts: qemu-io writes" script qemu-io writes b.qcow2
    ok "$opts: read what it wrote" script "$io" reads b.qcow2
    ok "$opts: check what it wrote" "$img" check b.qcow2
    ok "$opts: discard, zero and write there" "$io" -c 'discard 0 1M' -c 'write -z 2M 2M' -c 'write -zu 20M 20M' \
        -c 'write -P 8 2500000 100000' b.qcow2
    ok "$opts: qemu-img check after" qemu-img check b.qcow2
    ok "$opts: qemu-io reads" qemu-io -c 'read -P 8 2500000 100000' -c 'read -P 0 2M 402848' -c 'read -P 0 20M 20M' b.qcow2
    # backing chains
    rm -f o.qcow2
    ok "$opts: overlay" "$img" create -q -f qcow2 -b a.qcow2 -F qcow2 o.qcow2
    ok "$opts: overlay, write" "$io" -c 'write -P 9 1100000 70000' -c 'write -P 9 47M 1M' o.qcow2
    ok "$opts: overlay, qemu-io reads" qemu-io -c 'read -P 4 1000000 100000' -c 'read -P 9 1100000 70000' \
        -c 'read -P 4 1170000 100000' -c 'read -P 9 47M 1M' o.qcow2
    ok "$opts: overlay, qemu-img check" qemu-img check o.qcow2
    "$img" info --output=json a.qcow2 >1 2>&1
    qemu-img info --output=json a.qcow2 >2 2>&1
    sort 1 | tr -d ' ,' >1s
    sort 2 | tr -d ' ,' >2s
    ok "$opts: info --output=json" cmp 1s 2s
done

if [ $qemu = 1 ]; then
    "$img" create -q -f qcow2 l.qcow2 1M
    qemu-io -c 'sleep 1500' l.qcow2 &
    sleep 0.5
    fails 'locked by qemu-io' 'Failed to get "write" lock' "$io" -c 'read 0 1' l.qcow2
    fails 'locked by qemu-io, reading' 'Failed to get shared "write" lock' "$img" info l.qcow2
    wait
    "$io" -c 'sleep 1500' l.qcow2 &
    sleep 0.5
    fails 'locks out qemu-io' 'Failed to get "write" lock' qemu-io -c 'read 0 1' l.qcow2
    wait
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
