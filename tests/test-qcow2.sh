#!/bin/sh
# What qcow2 and luks images can do beyond reads and writes, beside qemu-img and qemu-io: snapshots, subclusters, external
# data files, bitmaps, preallocation, amend, encryption, jobs, damage and repair.
set -u
build=${QUERN_BUILD:-$(pwd)}
img=$build/quern-img tool=$build/tests/block-tool
if ! command -v qemu-img >/dev/null 2>&1 || ! command -v qemu-io >/dev/null 2>&1; then
    echo 'qemu-img is not installed (Debian: qemu-utils)'
    echo '0 passed, 0 failed, 1 skipped'
    exit 0
fi
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
passed=0 failed=0 skipped=0 what=
ok() { # COMMAND...
    if "$@" >out 2>&1; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "failed: $what: $*"; head -n 5 out
    fi
}
fails() { # TEXT COMMAND...
    text=$1
    shift
    if "$@" >out 2>&1 || ! grep -q -- "$text" out; then failed=$((failed + 1)); echo "failed: $what: $* (wants: $text)"; head -n 5 out
    else passed=$((passed + 1))
    fi
}
says() { # TEXT COMMAND...: it succeeds, and says TEXT
    text=$1
    shift
    if "$@" >out 2>&1 && grep -q -- "$text" out; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "failed: $what: $* (wants: $text)"; head -n 5 out
    fi
}
check() { ok qemu-img check -q "$1"; ok "$img" check "$1"; }
io() { f=$1; shift; ok sh -c 'f=$1; shift; for c; do set -- "$@" -c "$c"; shift; done; qemu-io "$@" "$f" >io.out 2>&1; r=$?; cat io.out; [ $r = 0 ] && ! grep -q failed io.out' - "$f" "$@"; }

for o in compat=1.1 compat=0.10 cluster_size=4k extended_l2=on lazy_refcounts=on refcount_bits=8,cluster_size=2M; do
    what="snapshots, $o"
    rm -f a
    ok "$img" create -q -f qcow2 -o $o a 48M
    ok "$tool" a write 1000000 3000000 1 + write 20000000 100000 2
    ok "$tool" a snapshot create s1 + write 1500000 500000 3 + write 40000000 1000 4
    check a
    ok "$tool" a read 1500000 500000 3 + read 1000000 500000 1 + read 40000000 1000 4
    io a 'read -P 3 1500000 500000' 'read -P 1 1000000 500000'
    ok "$tool" a snapshot create-vm s2 + write 0 100000 5
    check a
    ok "$tool" a snapshot apply s1 + read 1500000 500000 1 + read 40000000 1000 0
    check a
    ok "$tool" -r a snapshot load s2 + read 1500000 500000 3 + read 0 100000 0
    ok "$tool" a snapshot apply s2 + snapshot vmread x + read 1500000 500000 3
    check a
    ok qemu-img snapshot -a s1 a
    ok "$tool" a read 1500000 500000 1 + write 1500000 10 9
    ok qemu-img snapshot -c q3 a
    check a
    ok "$tool" a snapshot delete s1 + snapshot apply q3 + read 1500000 10 9
    check a
    ok "$tool" a snapshot delete q3 + snapshot delete s2 + read 1500000 10 9
    check a
done

for o in extended_l2=on extended_l2=on,cluster_size=128k extended_l2=on,cluster_size=16k; do
    what="subclusters, $o"
    rm -f a base
    ok "$img" create -q -f raw base 20M
    ok "$tool" -o driver=raw base write 0 20000000 7
    ok "$img" create -q -f qcow2 -o $o -b base -F raw a
    io a 'write -P 1 5000 3000' 'write -z 1M 70000' 'discard 3M 1M' 'write -P 2 4200000 300000'
    ok "$tool" a read 0 5000 7 + read 5000 3000 1 + read 8000 1000000 7 + read 1048576 70000 0 + read 4200000 300000 2 \
        + read 4500000 1000000 7
    ok "$tool" a write 9000000 5000 3 + write 9001000 100 4
    io a 'read -P 3 9000000 1000' 'read -P 7 8900000 100000' 'read -P 4 9001000 100' 'read -P 3 9001100 3900' \
        'read -P 7 9005000 100000'
    check a
    ok "$tool" a snapshot create s + write 9002000 1000 6 + write 12000000 100000 8
    io a 'read -P 3 9000000 1000' 'read -P 4 9001000 100' 'read -P 6 9002000 1000' 'read -P 3 9003000 2000' \
        'read -P 7 9005000 100000'
    check a
    ok qemu-img convert -O raw a r1
    ok "$img" convert -O raw a r2
    ok cmp r1 r2
done

for raw in off on; do
    for by in qemu quern; do
        what="external data, raw $raw, $by"
        rm -f a d
        if [ $by = qemu ]; then ok qemu-img create -q -f qcow2 -o data_file=d,data_file_raw=$raw a 20M
        else ok "$img" create -q -f qcow2 -o data_file=d,data_file_raw=$raw a 20M
        fi
        ok "$tool" a write 0 100000 1 + write 5000000 3000000 2
        check a
        io a 'read -P 1 0 100000' 'read -P 2 5000000 3000000' 'write -P 3 6000000 100' 'write -z 7M 128k' 'discard 0 64k'
        ok "$tool" a read 6000000 100 3 + read 7340032 131072 0 + write 8000000 100 4
        check a
        fails 'external data file' "$tool" a snapshot create s
        [ $raw = on ] || continue
        ok "$img" convert -O raw a r1
        ok cmp d r1
    done
done

what=bitmaps
rm -f a
ok "$img" create -q -f qcow2 a 40M
ok "$tool" a bitmap add b1 + write 1000000 100000 1
check a
ok qemu-img bitmap --add -g 32k a b2
ok qemu-io -c 'write 20M 1M' a
says '^b1 flags 3: 983040+131072 20971520+1048576$' "$tool" a bitmap show b1
ok "$tool" a bitmap merge b1 b2 + bitmap disable b2 + bitmap clear b2 + write 100 1 1
check a
says '^b2 flags 2:$' "$tool" a bitmap show b2
"$tool" a write 30000000 1 1 + crash
ok sh -c 'qemu-img info a | grep -q in-use'
says '^b1 flags 6:$' "$tool" a bitmap show b1
check a
ok "$tool" a bitmap remove b1 + bitmap remove b2
fails xx sh -c 'qemu-img info a | grep bitmaps || { echo xx; exit 1; }'
ok "$tool" a bitmap add b1 512 + resize 80000000 + write 70000000 5 1
says ': 69999616+512$' "$tool" a bitmap show b1
check a

for o in metadata falloc full metadata,cluster_size=4k metadata,extended_l2=on falloc,refcount_bits=1 full,cluster_size=512; do
    what="preallocation=$o"
    rm -f a
    ok "$img" create -q -f qcow2 -o preallocation=$o a 10M
    check a
    ok "$tool" a write 100000 100 1 + read 0 100000 0 + resize 12000000 metadata + resize 15000000 falloc
    check a
done

what=amend
rm -f a
ok "$img" create -q -f qcow2 a 10M
ok "$tool" a write 0 1000000 1
ok qemu-io -c 'write -z 0 128k' -c 'write -z 5M 128k' a
ok "$tool" a snapshot create s1 + write 300000 100 2
ok "$tool" a amend refcount_bits=64
check a
fails 'Cannot decrease' "$tool" a amend refcount_bits=1
ok "$tool" a snapshot delete s1 + amend refcount_bits=2
check a
ok "$tool" a amend refcount_bits=16,lazy_refcounts=on,size=12M
check a
ok "$tool" a amend compat=0.10
check a
ok "$tool" a read 0 131072 0 + read 131072 100000 1 + read 5242880 131072 0 + snapshot create s1
ok "$tool" a amend compat=1.1,lazy_refcounts=on
check a
ok "$tool" a amend backing_file=foo,backing_fmt=raw
ok sh -c 'qemu-img info a | grep -q "backing file: foo"'
ok "$tool" -o backing= a rebase + empty
check a
ok "$tool" a read 0 1000000 0
fails 'only supported for image creation\|Invalid parameter' "$tool" a amend cluster_size=4k

if "$tool" -s s=hello l create luks size=1M,iter-time=100,key-secret=s >out 2>&1; then
    for o in encrypt.format=luks,encrypt.iter-time=100 encrypt.format=aes \
        encrypt.format=luks,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.iter-time=100 \
        encrypt.format=luks,encrypt.cipher-alg=serpent-128,encrypt.iter-time=100,encrypt.hash-alg=sha1,extended_l2=on \
        cipher-alg=twofish-256,iter-time=100,hash-alg=sha512; do
        for by in qemu quern; do
            what="$o, $by"
            case $o in encrypt*) f=qcow2 k=encrypt.key-secret ;; *) f=luks k=key-secret ;; esac
            rm -f a
            if [ $by = qemu ]; then
                # older ones do not make AES images any more, and need time to measure
                qemu-img create -q --object secret,id=s,data=hello -f $f -o $o,$k=s a 10M >out 2>&1 || continue
            else
                ok "$tool" -s s=hello a create $f size=10M,$o,$k=s
            fi
            ok "$tool" -s s=hello -o $k=s a write 0 100000 1 + write 5000001 100 2 + read 5000001 100 2
            ok qemu-io --object secret,id=s,data=hello --image-opts driver=$f,$k=s,file.filename=a -c 'read -P 1 0 100000' \
                -c 'read -P 2 5000001 100' -c 'write -P 3 7000000 100000'
            fails xx sh -c 'grep failed out || { echo xx; exit 1; }'
            ok "$tool" -s s=hello -o $k=s a read 7000000 100000 3
        done
    done
    # Key slots: what either program does to them, the other knows.
    for f in luks qcow2; do
        what="key slots, $f"
        case $f in luks) p= ;; *) p=encrypt. ;; esac
        rm -f a
        ok "$tool" -s s=hello a create $f size=1M,${p:+encrypt.format=luks,}${p}iter-time=10,${p}key-secret=s
        slots() { # PROGRAM SECRET OPTIONS...
            by=$1 o=driver=$f,${p}key-secret=$2,file.filename=a
            shift 2
            "$by" amend --object secret,id=s,data=hello --object secret,id=t,data=other --image-opts "$o" -o "$@"
        }
        opens() {
            qemu-io --object secret,id=s,data=hello --object secret,id=t,data=other \
                --image-opts "driver=$f,${p}key-secret=$1,file.filename=a" -c 'read 0 1M'
        }
        fails 'new-secret' slots "$img" s ${p}state=active
        fails 'already erased' slots "$img" s ${p}state=inactive,${p}keyslot=5
        fails 'refusing' slots "$img" s ${p}state=inactive,${p}old-secret=s
        fails 'Refusing' slots "$img" s ${p}state=active,${p}keyslot=0,${p}new-secret=t
        ok opens s
        ok slots "$img" s ${p}state=active,${p}new-secret=t,${p}iter-time=10
        ok opens t
        ok slots "$img" t ${p}state=inactive,${p}old-secret=s
        fails 'Invalid password' opens s
        ok opens t
        ok slots qemu-img t ${p}state=active,${p}new-secret=s,${p}iter-time=10,${p}keyslot=7
        ok slots "$img" s ${p}state=inactive,${p}keyslot=1
        fails 'Invalid password' opens t
        ok opens s
    done
    fails 'Invalid password' "$tool" -s s=hallo -o key-secret=s l read 0 1 1
    fails 'required' "$tool" l read 0 1 1
else
    skipped=$((skipped + 1))
fi

chain() { # FORMAT: base <- mid <- top, and what top shows
    rm -f base mid top
    ok "$img" create -q -f "$1" base 16M
    ok "$tool" -o driver="$1" base write 0 8000000 1
    ok "$img" create -q -f qcow2 -b base -F "$1" mid
    ok qemu-io -c 'write -P 2 4M 1M' -c 'write -z 6M 1M' mid
    ok "$img" create -q -f qcow2 -b mid -F qcow2 top 20M
    ok qemu-io -c 'write -P 3 4500000 5000' -c 'write -z 1M 1M' -c 'write -P 4 19M 1M' top
    ok qemu-img convert -O raw top ref
}
for f in qcow2 raw; do
    what="jobs, $f"
    chain $f; ok "$tool" top job commit 1; check mid; ok qemu-img compare mid ref
    chain $f; ok "$tool" top job commit 2; ok qemu-img compare base ref
    chain $f; ok "$tool" top job stream; check top; rm base mid; ok qemu-img compare top ref
    chain $f; ok "$tool" top job stream 2; check top; rm mid; ok qemu-img compare top ref
    for j in mirror backup; do
        chain $f
        ok qemu-img create -q -f qcow2 t 20M
        ok "$tool" top job $j t
        check t
        ok qemu-img compare t ref
    done
done

# ---- damage ----
poke() { # OFFSET HEXBYTES
    for b in $(echo "$2" | sed 's/../& /g'); do printf "\\$(printf %03o "0x$b")"; done >poke.bin
    dd if=poke.bin of=x bs=1 seek=$(($1)) conv=notrunc 2>/dev/null
}
peek() { od -An -tx1 -j $(($1)) -N 8 x | tr -d ' \n'; }
rm -f good
ok "$img" create -q -f qcow2 good 16M
ok "$tool" good write 0 1000000 1 + write 9000000 100000 2 + snapshot create s + write 0 100000 3
cp good x
l1=$((0x$(peek 40))) rt=$((0x$(peek 48)))
l2=$((0x$(peek $l1 | cut -c3-) & 0xfffffffffffe00)) rb=$((0x$(peek $rt)))
e0=$(peek $l2) e1=$(peek $((l2 + 8)))
repair() { # what is left after a repair is sound, for both, and nothing else has changed
    "$tool" -c x check >out 2>&1
    [ $? != 0 ] && passed=$((passed + 1)) || { failed=$((failed + 1)); echo "failed: $what: not seen"; }
    "$tool" -c x check 3 >out 2>&1
    ok "$tool" -c x check
    ok qemu-img check -q x
    ok "$tool" x read 9000000 100000 2
    ok "$tool" x write 5000000 300000 4
    ok qemu-img check -q x
}
what='counts of zero'; cp good x; poke $rb 00000000000000000000000000000000; repair
what='no refcount block'; cp good x; poke $rt 0000000000000000; repair
what='refcount block unaligned'; cp good x; poke $rt 0000000000020200; repair
what='refcount block outside'; cp good x; poke $rt 0000000070000000; repair
what='refcount block on the header'; cp good x; poke $rt 0000000000010000; repair
what='leaks'; cp good x; poke $((rb + 100)) 0001000100010001; repair
what='two entries, one cluster'; cp good x; poke $l2 "$e1"; repair
what='entry unaligned'; cp good x; poke $l2 8000000000050200; repair
what='entry outside'; cp good x; poke $l2 8000000070000000; repair
what='entry on the header'; cp good x; poke $((l2 + 8)) 8000000000000000; poke $((l2 + 16)) 8000000000030000; repair
what='no COPIED'; cp good x; poke $l2 "0$(echo "$e0" | cut -c2-)"; repair
what='compressed, outside'; cp good x; poke $l2 7fffffffffffffff; repair
what='dirty'; cp good x; poke 72 0000000000000001; ok "$tool" x read 9000000 100000 2 + write 0 100 1; ok qemu-img check -q x
what='corrupt'; cp good x; poke 72 0000000000000002
fails 'corrupt' "$tool" x read 0 1 3
ok "$tool" -r x read 0 1 3
ok "$tool" -c x check 3
ok "$tool" x read 0 1 3

# ---- hostile headers: each names the file and the offset ----
bad() { # OFFSET HEXBYTES TEXT
    what="header $1 $2"
    cp good x
    poke "$1" "$2"
    fails "$3" "$tool" x read 0 1 0
    fails "'x'" "$tool" x read 0 1 0
}
bad 4 00000009 'version'
bad 8 00000000ffffffff 'offset 8 of'
bad 20 00000001 'offset 20 of'
bad 20 00000040 'offset 20 of'
bad 24 ffffffffffffffff 'offset 24 of'
bad 32 00000007 'offset 32 of'
bad 36 00000000 'offset 36 of'
bad 36 ffffffff 'offset 36 of'
bad 40 0000000000000201 'offset 40 of'
bad 40 ffffffffffff0000 'offset 40 of'
bad 48 0000000000000201 'offset 48 of'
bad 56 00000000 'offset 56 of'
bad 56 ffffffff 'offset 56 of'
bad 60 ffffffff 'offset 60 of'
bad 64 0000000000000201 'offset 64 of'
bad 64 0000000070000000 'offset 0x70000000'
bad 72 0000000000000100 'offset 72 of'
bad 96 00000009 'offset 96 of'
bad 100 00000001 'offset 100 of'
bad 100 ffffffff 'offset 100 of'
bad 104 05 'offset 104 of'
bad 112 0000beefffffffff 'offset 112 of'
what='cut off'
for n in 0 1 71 72 100 111 65536 65600 131072 196608 262144; do
    dd if=good of=x bs=$n count=1 2>/dev/null || : >x
    "$tool" -o driver=qcow2 x read 0 100000 3 >out 2>&1
    [ $? -le 1 ] && passed=$((passed + 1)) || { failed=$((failed + 1)); echo "failed: cut off at $n"; }
    "$tool" -o driver=qcow2 -c x check 3 >out 2>&1
    [ $? -le 3 ] && passed=$((passed + 1)) || { failed=$((failed + 1)); echo "failed: check, cut off at $n"; }
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
