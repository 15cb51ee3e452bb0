#!/bin/sh
# What cannot be opened, created or written, and what is said of it: files that are none, images cut short anywhere,
# damaged headers, loops of backing files, two writers. Messages that qemu-img has too are its words.
set -u
build=${QUERN_BUILD:-$(pwd)}
img=$build/quern-img io=$build/quern-io
dir=$(mktemp -d) || exit 1
holder=
trap '[ -z "$holder" ] || kill $holder; chmod -R u+rwx "$dir"; rm -rf "$dir"' EXIT
cd "$dir" || exit 1
passed=0 failed=0
refused() { # TEXT COMMAND...: status 1 or 2, and TEXT
    text=$1
    shift
    "$@" >out 2>&1 </dev/null
    status=$?
    if [ $status -ge 1 ] && [ $status -le 2 ] && grep -qF -- "$text" out; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "failed ($status): $*"; echo "  wanted: $text"; head -n 3 out
    fi
}
ok() {
    if "$@" >out 2>&1 </dev/null; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "failed: $*"; head -n 3 out
    fi
}
poke() { # FILE OFFSET OCTAL
    # shellcheck disable=SC2059
    printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# ---- files
"$img" create -q -f qcow2 a.img 1M && "$img" create -q -f qcow2 -u -b none.img -F raw nob.img 1M
mkfifo fifo && mkdir dir && : >empty && echo hello >short && truncate -s 1k zeros && ln -s loop loop && ln -s nowhere dangling && ln -s a.img link
while IFS='|' read -r text command; do
    [ -n "$text" ] || continue
    # shellcheck disable=SC2086
    refused "$text" "$img" $command
done <<'TABLE'
Could not open 'nosuch': Could not open 'nosuch': No such file or directory|info nosuch
Could not open 'dir': Is a directory|info dir
Could not open 'fifo': neither a file nor a device|info fifo
Could not open 'loop': Too many levels of symbolic links|info loop
Could not open 'dangling': No such file or directory|info dangling
Could not open 'nob.img': Could not open backing file: Could not open 'none.img': No such file or directory|map nob.img
Could not open 'nob.img': Could not open backing file: Could not open 'none.img': No such file or directory|convert nob.img y
the file is cut off in the header, at offset 0|info -f qcow2 empty
the file is cut off in the header, at offset 6|info -f qcow2 short
Image is not in qcow2 format|info -f qcow2 zeros
Image not in VDI format|info -f vdi zeros
Image not in VMDK format|info -f vmdk zeros
invalid VPC image|info -f vpc zeros
Image not in VHDX format|info -f vhdx zeros
Image not in QED format|info -f qed zeros
Image not in qcow format|info -f qcow zeros
Image not in Parallels format|info -f parallels zeros
Volume is not in LUKS format|info -f luks zeros
Image not in Bochs format|info -f bochs zeros
block_size cannot be zero|info -f cloop zeros
Could not locate UDIF trailer in dmg file|info -f dmg zeros
Unknown driver 'nofmt'|info -f nofmt a.img
Could not create 'dir': Is a directory|create -f qcow2 dir 1M
Could not create 'no/x': No such file or directory|create -f qcow2 no/x 1M
x: Unknown file format 'nofmt'|create -f nofmt x 1M
Could not open 'none.img': No such file or directory|create -f qcow2 -b none.img -F raw x
Error: Trying to create an image with the same filename as the backing file|create -f qcow2 -u -b x -F qcow2 x 1M
Cluster size must be a power of two between 512 and 2048k|create -f qcow2 -o cluster_size=3k x 1M
Cluster size must be a power of two between 512 and 2048k|create -f qcow2 -o cluster_size=4M x 1M
Refcount width must be a power of two and may not exceed 64 bits|create -f qcow2 -o refcount_bits=3 x 1M
Could not open backing image.|create -f qcow2 -b nope x 1M
Backing file specified without backing format|create -f qcow2 -u -b nope x 1M
Invalid image size specified. Must be between 0 and 9223372036854775807.|create -f qcow2 x 9E
Invalid image size specified. Must be between 0 and 9223372036854775807.|create -f qcow2 x 17E
Invalid image size specified. You may use k, M, G, T, P or E suffixes for|create -f qcow2 x 9Q
Unsupported VDI image size (size is 0x1869f0000000000, max supported is 0x1fffff8000000)|create -f vdi x 99999T
The image size is too large for file format 'vpc'|create -f vpc x 99999T
Image size too large; max of 64TB|create -f vhdx x 99999T
Parameter 'key-secret' is required for cipher|create -f luks x 1M
Use the --shrink option to perform a shrink operation.|resize a.img 1k
New image size must be positive|resize a.img -5M
Image does not have a backing file|commit a.img
Failed to get "write" lock|convert a.img a.img
TABLE
ok "$img" info link
[ -s short ] && [ ! -s empty ] && [ ! -e x ] && passed=$((passed + 1)) || { failed=$((failed + 1)); echo 'failed: something was written'; }

# ---- backing files in a circle
"$img" create -q -f qcow2 self.img 1M && "$img" rebase -u -b self.img -F qcow2 self.img
"$img" create -q -f qcow2 -u -b l2.img -F qcow2 l1.img 1M && "$img" create -q -f qcow2 -u -b l1.img -F qcow2 l2.img 1M
refused "Backing file 'self.img' creates an infinite loop." "$img" map self.img
refused 'creates an infinite loop.' "$img" map l1.img
refused 'creates an infinite loop.' "$img" info --backing-chain l2.img

# ---- damaged headers of qcow2: PLACE BYTES TEXT
while IFS='|' read -r place bytes text; do
    [ -n "$place" ] || continue
    cp a.img d.img && poke d.img "$place" "$bytes"
    refused "$text" "$io" -f qcow2 -c 'read 0 512' d.img
done <<'TABLE'
4|\0\0\0\7|Unsupported qcow2 version 7
20|\0\0\0\50|Unsupported cluster size: 2^40
24|\377\377\377\377\377\377\377\377|Image size
36|\177\377\377\377|L1
40|\0\0\0\0\0\0\1\1|L1 table offset
48|\0\0\0\0\0\0\1\1|Reference count table offset invalid
56|\377\377\377\377|Reference count table too large
60|\377\377\377\377|napshot
8|\0\0\0\0\177\0\0\0|
100|\0\0\0\1|
96|\0\0\0\77|
TABLE

# ---- a LUKS header that asks for an hour of hashing (where there is cryptography): PLACE TEXT
secret="secret,id=s,data=hello"
if "$img" create -q --object "$secret" -f luks -o key-secret=s,iter-time=10 l.img 1M >out 2>&1; then
    while IFS='|' read -r place text; do
        [ -n "$place" ] || continue
        cp l.img d.img && poke d.img "$place" '\377\0\0\0'
        refused "$text" timeout 20 "$img" info --object "$secret" --image-opts driver=luks,file.filename=d.img,key-secret=s
    done <<'TABLE'
164|LUKS key digest's iteration count 4278190080 is too large (at offset 164)
212|Keyslot 0 iteration count 4278190080 is too large (at offset 212)
TABLE
fi

# ---- counts of 0, repaired
"$io" -f qcow2 -c 'write -q -P 7 0 1M' a.img && cp a.img d.img
poke d.img 131072 '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
"$img" check d.img >out 2>&1
[ $? = 2 ] && grep -q 'ERROR cluster 4 refcount=0 reference=1' out && passed=$((passed + 1)) || { failed=$((failed + 1)); echo 'failed: counts of 0'; head -n 3 out; }
ok "$img" check -r all d.img
ok "$img" check d.img
ok "$io" -f qcow2 -c 'read -q -P 7 0 1M' d.img

# ---- tables that lie elsewhere than they can: beyond the end, off a cluster, over each other. What is refused or damaged stays as
# it is; repairing, where it says that it has, leaves an image that is clean, and the rest of the data readable.
be32() { od -An -tu1 -j "$2" -N 4 "$1" | awk '{ printf "%.0f", (($1 * 256 + $2) * 256 + $3) * 256 + $4 }'; }
be64() { od -An -tu1 -j "$2" -N 8 "$1" | awk '{ x = 0; for (i = 1; i <= 8; i++) x = x * 256 + (i == 1 ? $i % 64 : $i); printf "%.0f", x }'; }
as64() { awk -v x="$1" -v top="${2:-0}" 'BEGIN { for (i = 7; i >= 0; i--) { b = int(x / 256 ^ i) % 256; if (i == 7) b += top; printf "\\%03o", b } }'; }
"$img" create -q -f qcow2 t.img 1M && "$io" -f qcow2 -c 'write -q -P 7 0 512k' -c 'write -q -P 8 512k 512k' t.img
l1=$(be64 t.img 40) rt=$(be64 t.img 48)
rb=$(be64 t.img "$rt") l2=$(be64 t.img "$l1")
d0=$(be64 t.img "$l2")
[ "$l2" -gt 0 ] && [ "$d0" -gt 0 ] && passed=$((passed + 1)) || { failed=$((failed + 1)); echo 'failed: the tables of an image'; }
while read -r where what; do
    eval "at=$where to=$what"
    for top in 0 128; do # without and with the COPIED flag
        cp t.img d.img && poke d.img "$at" "$(as64 "$to" $top)"
        cp d.img e.img
        timeout 20 "$io" -r -f qcow2 -c 'read 0 1M' d.img >out 2>&1
        [ $? -le 1 ] && cmp -s d.img e.img && passed=$((passed + 1)) || { failed=$((failed + 1)); echo "failed: $where = $what: read"; }
        timeout 20 "$img" check d.img >out 2>&1
        s=$?
        [ $s -ge 1 ] && [ $s -le 3 ] && cmp -s d.img e.img && passed=$((passed + 1)) || { failed=$((failed + 1)); echo "failed: $where = $what: check: status $s"; }
        # Writers do not make it worse: what is not touched stays, tables are not written over.
        timeout 20 "$io" -f qcow2 -c 'write -P 9 0 64k' d.img >out 2>&1
        [ $? -le 1 ] && passed=$((passed + 1)) || { failed=$((failed + 1)); echo "failed: $where = $what: write"; }
        timeout 20 "$img" check -q -r all d.img >out 2>&1
        s=$?
        if [ $s = 0 ]; then ok "$img" check d.img; else [ $s -le 3 ] && passed=$((passed + 1)) || { failed=$((failed + 1)); echo "failed: $where = $what: repair: status $s"; }; fi
    done
done <<'TABLE'
40 0x7fffffff0000
48 0x7fffffff0000
$rt 0x7fffffff0000
$rt $((rb+512))
$rt 0
$l1 0x7fffffff0000
$l1 $((l2+512))
$l2 0x7fffffff0000
$l2 $((d0+512))
$l1 $rb
$l1 $l1
$l2 $l2
$l2 $rb
$l2 $rt
$l2 $l1
$l2 $((d0+65536))
40 $rb
48 $l1
TABLE
cp t.img d.img && poke d.img "$l2" "$(as64 "$l2" 128)"
refused 'write failed' "$io" -f qcow2 -c 'write -P 9 0 64k' d.img
grep -q 'overlaps with' out && passed=$((passed + 1)) || { failed=$((failed + 1)); echo 'failed: what was to be written over'; head -n 3 out; }
[ "$(be64 d.img "$l2")" = "$l2" ] && passed=$((passed + 1)) || { failed=$((failed + 1)); echo 'failed: a table was written over'; }
ok "$io" -r -f qcow2 -c 'read -q -P 8 512k 512k' d.img

# ---- compressed clusters that lie: of their length, their place, their bytes
head -c 1M /dev/urandom | od -An -tx1 | head -c 1M >text && "$img" convert -c -f raw -O qcow2 text c.img
l2=$(be64 c.img "$(be64 c.img 40)")
for v in '\177\377\377\377\377\377\377\377' '\100\000\177\377\377\377\377\377' '\177\300\000\000\000\005\000\000' '\100\000\000\000\000\000\000\000' '\100\000\000\000\000\005\001\377'; do
    cp c.img d.img && poke d.img "$l2" "$v"
    timeout 20 "$io" -r -f qcow2 -c 'read 0 64k' d.img >out 2>&1
    s=$?
    [ $s = 1 ] && grep -q 'read failed' out && passed=$((passed + 1)) || { failed=$((failed + 1)); echo "failed: compressed $v: status $s"; head -n 3 out; }
    ok "$io" -r -f qcow2 -c 'read -q 64k 64k' d.img
    timeout 20 "$img" check d.img >out 2>&1
    s=$?
    [ $s -le 3 ] && [ $s != 1 ] && passed=$((passed + 1)) || { failed=$((failed + 1)); echo "failed: compressed $v: check: status $s"; }
done
# the first bytes name a kind of block that deflate has not
cp c.img d.img && poke d.img "$(be32 c.img $((l2 + 4)))" '\377\377\377\377\377\377\377\377\377\377'
refused 'read failed: Input/output error' "$io" -r -f qcow2 -c 'read 0 64k' d.img

# ---- no room: what was flushed before is there, and the image is whole
"$img" create -q -f qcow2 full.img 64M && "$io" -f qcow2 -c 'write -q -P 3 0 1M' full.img
(trap '' XFSZ; ulimit -f 6000; "$io" -f qcow2 -c 'write -P 4 1M 16M' full.img) >out 2>&1
grep -q 'write failed: File too large' out && passed=$((passed + 1)) || { failed=$((failed + 1)); echo 'failed: a file that may not grow'; head -n 3 out; }
"$img" check full.img >out 2>&1
s=$?
[ $s = 0 ] || [ $s = 3 ] && passed=$((passed + 1)) || { failed=$((failed + 1)); echo "failed: a file that could not grow: check: status $s"; }
ok "$io" -f qcow2 -c 'read -q -P 3 0 1M' full.img
printf '[inject-error]\nevent = "write_aio"\nerrno = "28"\n' >rules
refused 'No space left on device' "$io" -c 'write -P 4 2M 1M' "blkdebug:rules:full.img"
for event in l2_update cluster_alloc refblock_update_part l1_update; do # wherever it fails: what was there stays
    printf '[inject-error]\nevent = "%s"\nerrno = "28"\nonce = "on"\n' $event >rules
    timeout 20 "$io" -c 'write -P 4 20M 1M' -c flush -c 'write -P 5 40M 1M' "blkdebug:rules:full.img" >out 2>&1
    [ $? -le 1 ] && passed=$((passed + 1)) || { failed=$((failed + 1)); echo "failed: no room at $event"; head -n 3 out; }
    "$img" check full.img >out 2>&1
    s=$?
    [ $s = 0 ] || [ $s = 3 ] && passed=$((passed + 1)) || { failed=$((failed + 1)); echo "failed: no room at $event: check: status $s"; }
done
ok "$io" -f qcow2 -c 'read -q -P 3 0 1M' full.img

# ---- symbolic links are written through, and stay
ok "$io" -f qcow2 -c 'write -q -P 6 0 64k' link
[ -L link ] && passed=$((passed + 1)) || { failed=$((failed + 1)); echo 'failed: a link was replaced'; }
ok "$io" -r -f qcow2 -c 'read -q -P 6 0 64k' a.img

# ---- images cut short at every cluster: no crash, nothing altered by looking, nothing made worse by repairing
cut_short() { # FORMAT OPTIONS STEP
    # shellcheck disable=SC2086
    "$img" create -q -f "$1" ${2:+-o $2} whole 4M && "$io" -f "$1" -c 'write -q -P 5 0 300k' -c 'write -q -P 6 3M 100k' whole >out 2>&1
    size=$(wc -c <whole) at=0 bad=0 n=0
    [ "$size" -gt $(($3 * 40)) ] && step=$((size / 40 / 512 * 512)) || step=$3
    while [ $at -lt "$size" ]; do
        head -c $at whole >part && cksum <part >1
        for c in info check map; do
            timeout 20 "$img" $c -f "$1" part >out 2>&1
            s=$?
            [ $s -le 3 ] || [ $s = 63 ] || { bad=$((bad + 1)); echo "$1 cut at $at: $c: status $s"; }
            [ $s != 1 ] || [ $c = map ] || grep -q part out || { bad=$((bad + 1)); echo "$1 cut at $at: $c names no file"; head -n 2 out; }
        done
        cksum <part >2
        cmp -s 1 2 || { bad=$((bad + 1)); echo "$1 cut at $at: altered by looking"; }
        "$io" -r -f "$1" -c 'read -q 0 300k' part >1 2>&1
        timeout 20 "$img" check -r all -f "$1" part >out 2>&1
        s=$?
        [ $s -le 3 ] || [ $s = 63 ] || { bad=$((bad + 1)); echo "$1 cut at $at: repair: status $s"; }
        if [ $s = 0 ]; then timeout 20 "$img" check -f "$1" part >out 2>&1 || [ $? -ge 3 ] || { bad=$((bad + 1)); echo "$1 cut at $at: repaired, not clean"; }; fi
        at=$((at + step)) n=$((n + 1))
    done
    rm -f whole part
    [ $bad = 0 ] && passed=$((passed + 1)) || failed=$((failed + 1))
}
cut_short qcow2 cluster_size=64k 65536
cut_short qcow2 cluster_size=4k 4096
cut_short qcow2 cluster_size=16k,extended_l2=on 16384
cut_short qcow '' 4096
cut_short qed cluster_size=64k 65536
cut_short vdi '' 1048576
cut_short vmdk '' 65536
cut_short vmdk subformat=streamOptimized 65536
cut_short vpc '' 65536
cut_short vhdx block_size=1M 1048576
cut_short parallels cluster_size=64k 65536

# ---- who may
(sleep 30 | "$io" -f qcow2 a.img >/dev/null 2>&1) &
holder=$!
sleep 1
refused 'Failed to get "write" lock' "$io" -f qcow2 -c 'write 0 512' a.img
grep -q 'Is another process using the image \[a.img\]?' out && passed=$((passed + 1)) || { failed=$((failed + 1)); echo 'failed: the hint of the lock'; }
refused 'Failed to get shared "write" lock' "$img" info a.img
ok "$img" info -U a.img
kill $holder 2>/dev/null
wait $holder 2>/dev/null
holder=
if command -v qemu-io >/dev/null 2>&1; then # the locks are the same in both
    (sleep 30 | qemu-io -f qcow2 a.img >/dev/null 2>&1) &
    holder=$!
    sleep 1
    refused 'Failed to get "write" lock' "$io" -f qcow2 -c 'write 0 512' a.img
    kill $holder 2>/dev/null
    pkill -P $holder 2>/dev/null
    holder=
else
    echo 'SKIPPED: the other writer is ours alone (Debian: qemu-utils)'
fi
if [ "$(id -u)" = 0 ]; then as='setpriv --reuid=65534 --clear-groups'; else as=; fi
chmod 755 .
if $as "$img" --version >/dev/null 2>&1; then
    chmod 444 link && cp a.img ro.img && chmod 444 ro.img && cp a.img no.img && chmod 0 no.img
    refused "Could not open 'ro.img': Permission denied" $as "$io" -f qcow2 -c 'write 0 512' ro.img
    refused "Could not open 'no.img': Permission denied" $as "$img" info no.img
    ok $as "$img" info ro.img
    mkdir sub && refused "Could not create 'sub/x': Permission denied" $as "$img" create -f qcow2 sub/x 1M
fi
echo "$passed passed, $failed failed"
[ $failed = 0 ]
