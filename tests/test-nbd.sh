#!/bin/sh
# test-nbd.sh - quern-nbd and the driver nbd beside libnbd's tools, nbdkit, qemu-nbd and qemu-img: each as the other's
# peer, over Unix sockets and TCP, plain and with TLS. What is not installed is skipped by its package's name.
set -u
build=${QUERN_BUILD:-$(pwd)}
nbd=$build/quern-nbd img=$build/quern-img io=$build/quern-io
dir=$(mktemp -d) || exit 1
pids=
cleanup() {
    for p in $pids; do kill "$p" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf "$dir"
}
trap cleanup EXIT
cd "$dir" || exit 1
passed=0 failed=0 skipped=0
ok() { # NAME COMMAND...: the command succeeds
    name=$1
    shift
    if timeout 60 "$@" >out 2>&1; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "failed: $name: $*"; head -n 5 out
    fi
}
prints() { # NAME TEXT COMMAND...: it succeeds and prints TEXT
    name=$1 text=$2
    shift 2
    if timeout 60 "$@" >out 2>&1 && grep -q -- "$text" out; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "failed: $name: $*: no '$text' in"; head -n 5 out
    fi
}
fails() { # NAME TEXT COMMAND...: it does not succeed, and says TEXT
    name=$1 text=$2
    shift 2
    if timeout 60 "$@" >out 2>&1 || ! grep -q -- "$text" out; then
        failed=$((failed + 1)); echo "failed: $name: $*"; head -n 5 out
    else passed=$((passed + 1))
    fi
}
skip() { echo "$1 is not installed (Debian: $2): skipped"; skipped=$((skipped + 1)); }
have() { command -v "$1" >/dev/null 2>&1; }
# serve COMMAND...: a server at $sock (removed before), in the background; its process is $server
serve() {
    rm -f "$sock"
    timeout 300 "$@" >server.out 2>&1 &
    server=$!
    pids="$pids $server"
    n=0
    while [ ! -S "$sock" ] && [ $n -lt 100 ] && kill -0 $server 2>/dev/null; do sleep 0.05; n=$((n + 1)); done
}
stop() { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; }
port=$((20000 + $$ % 20000))
sock=$dir/s uri="nbd+unix:///?socket=$dir/s" named="nbd+unix:///disk?socket=$dir/s"

# A disk with data, zeros and a hole.
"$io" -f raw -c 'write -q -P 1 0 64k' -c 'write -q -P 2 1M 300k' -c 'write -q -P 3 7900k 100k' "$(truncate -s 8M a.raw; echo a.raw)"
"$img" convert -f raw -O qcow2 a.raw a.qcow2

# ---- what is refused ----
fails 'no file' 'Invalid number of arguments' "$nbd"
fails 'option' "unrecognized option '--nope'" "$nbd" --nope a.raw
fails 'no image' "Failed to open 'nosuch'" "$nbd" -k "$sock" nosuch
fails 'relative socket' 'must be absolute' "$nbd" -k s a.raw
fails 'port' "Invalid port '99999'" "$nbd" -p 99999 a.raw
fails 'shared' "Invalid shared device number 'x'" "$nbd" -e x a.raw
fails 'bitmap' "Bitmap 'b' is not found" "$nbd" -k "$sock" -f raw -B b a.raw
fails 'snapshot' 'Failed to load snapshot' "$nbd" -k "$sock" -l nope a.qcow2
fails 'key of a snapshot' "Invalid parameter 'snapshot.nope'" "$nbd" -k "$sock" -l snapshot.nope=1 a.qcow2
fails 'aio, twice' '--aio can only be specified once' "$nbd" -k "$sock" --aio=threads --aio=threads a.qcow2
fails 'discard, twice' '--discard can only be specified once' "$nbd" -k "$sock" --discard=unmap --discard=unmap a.qcow2
fails 'cache, twice' '-n and --cache can only be specified once' "$nbd" -k "$sock" -n --cache=none a.qcow2
fails 'detect-zeroes' "Invalid parameter 'x' for detect-zeroes" "$nbd" -k "$sock" --detect-zeroes=x a.qcow2
fails 'offset' "Invalid offset" "$nbd" -k "$sock" -f raw -o 100M a.raw
fails 'credentials' "No TLS credentials with id 't'" "$nbd" -k "$sock" -f raw --tls-creds t a.raw
fails 'no partitions' 'no partition table' "$nbd" -k "$sock" -f raw -P 1 a.raw
fails 'no server' 'Failed to connect to' "$img" info "nbd+unix:///?socket=$dir/none"
fails 'no port' 'Connection refused' "$img" info "nbd://127.0.0.1:1/x"
fails 'bad uri' 'not of the form' "$img" info "nbd+unix:///x"
fails 'bad name' 'names neither' "$img" info "nbd:x"
fails 'no address' 'address missing' "$img" info --image-opts driver=nbd,export=x
fails 'list and file' 'List mode' "$nbd" -L a.raw
case $(uname) in Linux) [ -e /dev/nbd0 ] || fails 'no device' 'Failed to open /dev/nbd0' "$nbd" -c /dev/nbd0 -f raw a.raw ;; esac

# ---- ourselves ----
serve "$nbd" -t -e 0 -k "$sock" -f raw -x disk -D 'what a disk' a.raw
prints 'list' "export: 'disk'" "$nbd" -L -k "$sock"
prints 'list: description' 'what a disk' "$nbd" -L -k "$sock"
prints 'info' 'virtual size: 8 MiB' "$img" info "$named"
fails 'another export' "Requested export not available" "$img" info "nbd+unix:///other?socket=$sock"
ok 'read' "$io" -f raw -c 'read -P 1 0 64k' -c 'read -P 0 64k 900k' -c 'read -P 2 1M 300k' "$named"
ok 'write' "$io" -f raw -c 'write -P 9 3000001 12345' -c 'read -P 9 3000001 12345' -c 'write -z 3M 64k' -c 'discard 4M 1M' -c flush "$named"
ok 'seen by another' "$io" -f raw -c 'read -P 9 3000001 12345' "nbd:unix:$sock:exportname=disk"
prints 'map' '"zero": true, "data": false' "$img" map --output=json -f raw "$named"
ok 'convert' "$img" convert -f raw -O qcow2 "$named" b.qcow2
ok 'compare' "$img" compare -F raw b.qcow2 "$named"
ok 'convert into' "$img" convert -n -f qcow2 -O raw a.qcow2 "$named"
ok 'and compare' "$img" compare -f qcow2 -F raw a.qcow2 "$named"
ok 'many at once' "$img" bench -f raw -c 2000 -d 32 "$named"
stop
serve "$nbd" -t -r -k "$sock" -f qcow2 a.qcow2
fails 'read-only' 'read-only' "$io" -f raw -c 'write 0 512' "$uri"
ok 'read-only read' "$io" -r -f raw -c 'read -P 1 0 64k' "$uri"
stop
serve "$nbd" -t -k "$sock" -f raw -s a.raw
ok 'snapshot: write' "$io" -f raw -c 'write -P 77 0 64k' "$uri"
ok 'snapshot: read' "$io" -f raw -c 'read -P 77 0 64k' "$uri"
stop
ok 'snapshot: the file' "$io" -r -f raw -c 'read -P 1 0 64k' a.raw
serve "$nbd" -k "$sock" -f raw -o 1M a.raw
prints 'offset' '7 MiB' "$img" info "$uri"
wait $server 2>/dev/null && passed=$((passed + 1)) || { failed=$((failed + 1)); echo 'failed: it stays when the last client has left'; }

# requests that wait are worked on beside each other: O_DIRECT, and a disk that takes its time
cp a.raw w.raw
serve "$nbd" -t -e 0 -k "$sock" -f raw --cache=none w.raw
if kill -0 $server 2>/dev/null; then
    ok 'direct: many at once' "$img" bench -f raw -c 1000 -d 32 -w --pattern=7 "$uri"
    ok 'direct: read' "$io" -f raw -c 'read -P 7 0 3M' "$uri"
    ok 'direct: odd places' "$io" -f raw -c 'write -P 8 1001 9999' -c 'read -P 8 1001 9999' -c 'read -P 7 11000 4096' "$uri"
fi
stop
serve "$nbd" -t -e 0 -k "$sock" --image-opts driver=null-co,latency-ns=20000000,size=64M
start=$(date +%s)
ok 'slow: many at once' "$img" bench -f raw -c 800 -d 16 "$uri"
# one after the other they would take 16 s
if [ $(($(date +%s) - start)) -lt 12 ]; then passed=$((passed + 1))
else failed=$((failed + 1)); echo 'failed: slow requests wait for each other'
fi
stop
cat >rules <<END
[inject-error]
event = "none"
errno = "28"
END
serve "$nbd" -t -e 0 -k "$sock" --image-opts "driver=raw,file.driver=blkdebug,file.config=$dir/rules,file.image.filename=$dir/w.raw"
if kill -0 $server 2>/dev/null; then
    fails 'errors reach the client' 'No space left' "$io" -f raw -c 'write 0 512' "$uri"
    fails 'of reads too' 'No space left' "$io" -f raw -c 'read 0 512' "$uri"
fi
stop
cp a.qcow2 l.qcow2
"$img" snapshot -c first l.qcow2
"$io" -f qcow2 -c 'write -q -P 99 0 64k' l.qcow2
for how in first snapshot.name=first snapshot.id=1; do
    serve "$nbd" -k "$sock" -f qcow2 -l $how l.qcow2
    ok "internal snapshot $how" "$io" -r -f raw -c 'read -P 1 0 64k' "$uri"
    stop
done
serve "$nbd" -t -k "$sock" -f raw --detect-zeroes=unmap w.raw
ok 'detect-zeroes' "$io" -f raw -c 'write -P 0 0 8M' -c flush "$uri"
prints 'detect-zeroes: hole' '"length": 8388608, "depth": 0, .*"zero": true, "data": false' "$img" map --output=json -f raw "$uri"
stop

# --fork and --pid-file: it listens when the command is done
ok 'fork' "$nbd" --fork --pid-file pid -t -k "$sock" -f raw a.raw
ok 'fork: serves' "$io" -r -f raw -c 'read -P 1 0 64k' "$uri"
[ -s pid ] && pids="$pids $(cat pid)" && kill "$(cat pid)"
fails 'fork: fails' 'Could not open' "$nbd" --fork -t -k "$sock" -f raw nosuch

# TCP, addresses in all their forms
serve "$nbd" -t -e 3 -b 127.0.0.1 -p $port -f raw -x d a.raw
sleep 0.3
prints 'tcp' '8 MiB' "$img" info "nbd://127.0.0.1:$port/d"
prints 'tcp: old' '8 MiB' "$img" info "nbd:127.0.0.1:$port:exportname=d"
prints 'tcp: options' '8 MiB' "$img" info --image-opts "driver=nbd,server.type=inet,server.host=127.0.0.1,server.port=$port,export=d"
prints 'tcp: list' "export: 'd'" "$nbd" -L -b 127.0.0.1 -p $port
# it goes and comes again while requests are under way
( "$io" -c 'read -P 1 0 64k' -c 'sleep 2500' -c 'read -q -P 1 0 64k' --image-opts \
    "driver=raw,file.driver=nbd,file.server.type=inet,file.server.host=127.0.0.1,file.server.port=$port,file.export=d,file.reconnect-delay=20" \
    >rec.out 2>&1; echo $? >rec.rc ) &
rec=$!
n=0
while ! grep -q '65536/65536' rec.out 2>/dev/null && [ $n -lt 200 ]; do sleep 0.05; n=$((n + 1)); done
stop
sleep 3
serve "$nbd" -t -e 3 -b 127.0.0.1 -p $port -f raw -x d a.raw
wait $rec
if [ "$(cat rec.rc)" = 0 ] && ! grep -q failed rec.out; then passed=$((passed + 1))
else failed=$((failed + 1)); echo 'failed: reconnect'; cat rec.out
fi
stop

# a partition
"$io" -f raw -c 'write -q -P 0 0 512' "$(truncate -s 4M p.raw; echo p.raw)"
printf '\000\000\000\000\203\000\000\000\001\010\000\000\000\010\000\000' | dd of=p.raw bs=1 seek=446 conv=notrunc 2>/dev/null
printf '\125\252' | dd of=p.raw bs=1 seek=510 conv=notrunc 2>/dev/null
"$io" -f raw -c 'write -q -P 66 1049088 1M' p.raw
serve "$nbd" -t -k "$sock" -f raw -P 1 p.raw
prints 'partition' '1 MiB' "$img" info "$uri"
ok 'partition: data' "$io" -r -f raw -c 'read -P 66 0 1M' "$uri"
stop

# ---- libnbd ----
if have nbdinfo && have nbdcopy; then
    serve "$nbd" -t -e 0 -k "$sock" -f raw -x disk a.raw
    prints 'nbdinfo' 'export-size: 8388608 (8M)' nbdinfo "$named"
    prints 'nbdinfo --map' 'hole,zero' nbdinfo --map "$named"
    prints 'nbdinfo --list' 'export="disk"' nbdinfo --list "$named"
    ok 'nbdcopy from' nbdcopy "$named" c.raw
    ok 'the same' cmp a.raw c.raw
    ok 'nbdcopy: simple requests' nbdcopy --synchronous "$named" c.raw
    ok 'the same too' cmp a.raw c.raw
    stop
    truncate -s 8M e.raw
    serve "$nbd" -t -e 0 -k "$sock" -f raw e.raw
    ok 'nbdcopy to' nbdcopy --flush a.raw "$uri"
    stop
    ok 'the same there' cmp a.raw e.raw
    prints 'sockets from the starter' '8388608' nbdinfo -- [ "$nbd" -r -f raw a.raw ]
    "$img" create -q -f qcow2 -b a.qcow2 -F qcow2 top.qcow2
    "$img" bitmap --add top.qcow2 b0
    "$io" -c 'write -q 2M 1M' top.qcow2
    serve "$nbd" -t -r -e 0 -k "$sock" -f qcow2 -B b0 -A top.qcow2
    prints 'bitmap' '2097152 *1048576 *1 *dirty' nbdinfo --map=qemu:dirty-bitmap:b0 "$uri"
    prints 'depth 1' '2097152 *1048576 *1 *local' nbdinfo --map=qemu:allocation-depth "$uri"
    prints 'depth 2' '0 *65536 *2 *backing depth 2' nbdinfo --map=qemu:allocation-depth "$uri"
    prints 'bitmap by the driver' '"start": 2097152, "length": 1048576.*"data": false' "$img" map --output=json --image-opts \
        "driver=nbd,server.type=unix,server.path=$sock,x-dirty-bitmap=qemu:dirty-bitmap:b0"
    stop
else
    skip nbdinfo libnbd-bin
fi
if /usr/bin/python3 -c 'import nbd' 2>/dev/null; then
    truncate -s 8M f.raw
    serve "$nbd" -t -e 0 -k "$sock" -f raw f.raw
    cat >t.py <<'END'
import nbd, sys, errno
for structured in (True, False):
    h = nbd.NBD()
    h.set_request_structured_replies(structured)
    h.add_meta_context("base:allocation")
    h.connect_uri(sys.argv[1])
    assert h.get_structured_replies_negotiated() == structured
    data = bytes(range(256)) * 2048
    h.pwrite(data, 12345, nbd.CMD_FLAG_FUA)
    assert h.pread(len(data), 12345) == data
    h.zero(4096, 12345)
    h.zero(4096, 20000, nbd.CMD_FLAG_NO_HOLE | nbd.CMD_FLAG_FUA)
    assert h.pread(4096, 12345) == bytes(4096)
    h.trim(65536, 131072)
    h.cache(1 << 20, 0)
    h.flush()
    h.set_strict_mode(0)
    for call, number in ((lambda: h.pread(512, 8 << 20), errno.EINVAL), (lambda: h.pwrite(b"x" * 512, (8 << 20) - 1), errno.ENOSPC),
                         (lambda: h.trim(512, 1 << 40), errno.ENOSPC), (lambda: h.pread(512, 0, 0x4000), errno.EINVAL)):
        try:
            call()
            assert False
        except nbd.Error as e:
            assert e.errnum in (number, errno.EINVAL), (e.errnum, number)
    assert h.pread(4, 12345 + 50000) == data[50000:50004]
    # many in flight, answered in any order
    bufs = [nbd.Buffer(4096) for _ in range(64)]
    cookies = [h.aio_pread(bufs[i], 12345 + 8192 * i) for i in range(60)]
    while h.aio_in_flight():
        h.poll(-1)
    assert all(h.aio_command_completed(c) for c in cookies)
    assert bytes(bufs[40].to_bytearray()) == data[40 * 8192:40 * 8192 + 4096]
    big = h.pread(8 << 20, 0)
    assert len(big) == 8 << 20 and big[12345 + 60000:12345 + 60004] == data[60000:60004]
    if structured:
        seen = []
        h.block_status(8 << 20, 0, lambda ctx, off, entries, err: seen.extend(entries) or 0)
        assert sum(seen[::2]) == 8 << 20, seen
        parts = []
        h.pread_structured(1 << 20, 0, lambda buf, off, status, err: parts.append((off, len(buf), status)) or 0, nbd.CMD_FLAG_DF)
        assert len(parts) == 1
    h.shutdown()
END
    ok 'python3-libnbd' /usr/bin/python3 t.py "$uri"
    stop
else
    skip "the module nbd of python3" python3-libnbd
fi

# ---- nbdkit as server ----
if have nbdkit; then
    cp a.raw k.raw
    for how in '' --no-sr --mask-handshake=0 --mask-handshake=1 --oldstyle; do
        serve nbdkit -f -U "$sock" $how file k.raw
        ok "nbdkit $how: read" "$io" -f raw -c 'read -P 1 0 64k' -c 'read -P 2 1M 300k' "$uri"
        # as an oldstyle server it promises flush and zeros and refuses both
        [ "$how" = --oldstyle ] || ok "nbdkit $how: write" "$io" -f raw -c 'write -P 8 5M 100k' -c 'write -z 5M 10k' -c 'read -P 0 5M 10k' -c 'discard 5M 20k' -c flush "$uri"
        ok "nbdkit $how: compare" "$img" compare -f raw -F raw "$uri" k.raw
        stop
    done
    serve nbdkit -f -U "$sock" --filter=delay file k.raw delay-read=2ms
    ok 'nbdkit: answers out of order' "$img" bench -f raw -c 500 -d 16 "$uri"
    stop
    serve nbdkit -f -U "$sock" --filter=error file k.raw error-pread=ENOSPC error-pread-rate=100%
    fails 'nbdkit: errors' 'No space left' "$io" -r -f raw -c 'read 0 512' "$uri"
    stop
    serve nbdkit -f -U "$sock" --filter=blocksize-policy file k.raw blocksize-minimum=4096 blocksize-preferred=64k blocksize-maximum=1M blocksize-error-policy=error
    ok 'nbdkit: block sizes' "$io" -f raw -c 'write -P 6 1001 5000' -c 'read -P 6 1001 5000' -c 'read 0 3M' "$uri"
    stop
else
    skip nbdkit nbdkit
fi

# ---- qemu ----
if have qemu-nbd && have qemu-img && have qemu-io; then
    cp a.qcow2 q.qcow2
    serve qemu-nbd -t -e 4 -k "$sock" -f qcow2 -x disk q.qcow2
    ok 'qemu-nbd: read and write' "$io" -f raw -c 'read -P 1 0 64k' -c 'write -P 4 3M 1M' -c 'read -P 4 3M 1M' -c flush "$named"
    ok 'qemu-nbd: convert' "$img" convert -f raw -O raw "$named" q.raw
    prints 'qemu-nbd: list' "export: 'disk'" "$nbd" -L -k "$sock"
    "$img" map --output=json -f raw "$named" >m1
    qemu-img map --output=json -f raw "$named" >m2
    ok 'qemu-nbd: map as qemu-img' cmp m1 m2
    stop
    serve "$nbd" -t -e 4 -k "$sock" -f qcow2 -x disk q.qcow2
    ok 'qemu-io' qemu-io -f raw -c 'read -P 1 0 64k' -c 'write -P 5 3M 1M' -c 'read -P 5 3M 1M' -c 'write -z 5M 64k' -c 'discard 6M 64k' -c flush "$named"
    ok 'qemu-img convert' qemu-img convert -f raw -O qcow2 "$named" q2.qcow2
    ok 'qemu-img compare' qemu-img compare -F raw q2.qcow2 "$named"
    prints 'qemu-nbd -L' "export: 'disk'" qemu-nbd -L -k "$sock"
    "$nbd" -L -k "$sock" >l1
    qemu-nbd -L -k "$sock" >l2
    ok 'the same list' cmp l1 l2
    ok 'qemu-img bench' qemu-img bench -f raw -c 2000 -d 32 -w "$named"
    stop
    ok 'image in order' "$img" check q.qcow2
else
    skip qemu-nbd qemu-utils
fi

# ---- TLS ----
if ! "$nbd" --object tls-creds-anon,id=t -L -k "$dir/none" 2>&1 | grep -q 'Failed to connect'; then
    echo 'built without TLS (Debian: libgnutls28-dev): skipped'
    skipped=$((skipped + 1))
elif have certtool && have psktool; then
    mkdir pki other
    certtool --generate-privkey --sec-param=low --outfile pki/ca-key.pem >/dev/null 2>&1
    printf 'cn = Test CA\nca\ncert_signing_key\n' >ca.t
    certtool --generate-self-signed --load-privkey pki/ca-key.pem --template ca.t --outfile pki/ca-cert.pem >/dev/null 2>&1
    for end in server client; do
        printf 'cn = localhost\ndns_name = localhost\nip_address = 127.0.0.1\ntls_www_%s\nsigning_key\nencryption_key\n' $end >$end.t
        certtool --generate-privkey --sec-param=low --outfile pki/$end-key.pem >/dev/null 2>&1
        certtool --generate-certificate --load-ca-certificate pki/ca-cert.pem --load-ca-privkey pki/ca-key.pem \
            --load-privkey pki/$end-key.pem --template $end.t --outfile pki/$end-cert.pem >/dev/null 2>&1
    done
    certtool --generate-privkey --sec-param=low --outfile other/ca-key.pem >/dev/null 2>&1
    certtool --generate-self-signed --load-privkey other/ca-key.pem --template ca.t --outfile other/ca-cert.pem >/dev/null 2>&1
    psktool -u alice -p pki/keys.psk >/dev/null 2>&1
    chmod 600 pki/*
    s509="tls-creds-x509,id=t,dir=$dir/pki,endpoint=server" c509="tls-creds-x509,id=t,dir=$dir/pki,endpoint=client"
    spsk="tls-creds-psk,id=t,dir=$dir/pki,endpoint=server" cpsk="tls-creds-psk,id=t,dir=$dir/pki,endpoint=client,username=alice"
    at="driver=raw,file.driver=nbd,file.server.type=inet,file.server.host=localhost,file.server.port=$port,file.tls-creds=t"
    atu="driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=$sock,file.tls-creds=t"
    rw="-c 'read -P 1 0 64k' -c 'write -P 7 6M 1000k' -c 'read -P 7 6M 1000k' -c flush"
    cp a.raw t.raw
    serve "$nbd" -t -e 0 -b localhost -p $port -f raw --object "$s509" --tls-creds t t.raw
    sleep 0.3
    ok 'x509' sh -c "'$io' --object '$c509' --image-opts $rw '$at'"
    ok 'x509: convert' "$img" convert --object "$c509" --image-opts -O raw "$at" t2.raw
    ok 'x509: all of it' cmp t.raw t2.raw
    fails 'x509: another CA' 'does not verify' "$io" --object "tls-creds-x509,id=t,dir=$dir/other,endpoint=client" --image-opts -r -c 'read 0 512' "$at"
    fails 'x509: another host' 'does not verify' "$io" --object "$c509" --image-opts -r -c 'read 0 512' "$at,file.tls-hostname=other.example"
    fails 'x509: plain' 'TLS' "$img" info "nbd://localhost:$port/"
    prints 'x509: list' 'exports available: 1' "$nbd" -L --object "$c509" --tls-creds t -b localhost -p $port
    if have qemu-io; then
        ok 'x509: qemu-io' sh -c "qemu-io --object '$c509' --image-opts $rw '$at'"
        prints 'x509: qemu-nbd -L' 'exports available: 1' qemu-nbd -L --object "$c509" --tls-creds t -b localhost -p $port
    fi
    have nbdinfo && prints 'x509: nbdinfo' 'with TLS' nbdinfo "nbds://localhost:$port/?tls-certificates=$dir/pki"
    have nbdcopy && ok 'x509: nbdcopy' nbdcopy "nbds://localhost:$port/?tls-certificates=$dir/pki" t3.raw && ok 'x509: copied' cmp t.raw t3.raw
    stop
    mkdir nocert
    cp pki/ca-cert.pem nocert
    serve "$nbd" -t -e 0 -k "$sock" -f raw --object "$s509" --tls-creds t t.raw
    fails 'x509: no certificate' 'quern-io' "$io" --object "tls-creds-x509,id=t,dir=$dir/nocert,endpoint=client" --image-opts -r -c 'read 0 512' "$atu,file.tls-hostname=localhost"
    stop
    serve "$nbd" -t -e 0 -k "$sock" -f raw --object "$s509,verify-peer=off" --tls-creds t t.raw
    ok 'x509: verify-peer=off' "$io" --object "tls-creds-x509,id=t,dir=$dir/nocert,endpoint=client" --image-opts -r -c 'read 0 512' "$atu,file.tls-hostname=localhost"
    stop
    serve "$nbd" -t -e 0 -k "$sock" -f raw --object "$spsk" --tls-creds t t.raw
    ok 'psk' sh -c "'$io' --object '$cpsk' --image-opts $rw '$atu'"
    have nbdinfo && prints 'psk: nbdinfo' 'with TLS' nbdinfo "nbds+unix://alice@/?socket=$sock&tls-psk-file=$dir/pki/keys.psk"
    have qemu-io && ok 'psk: qemu-io' sh -c "qemu-io --object '$cpsk' --image-opts $rw '$atu'"
    fails 'psk: plain' 'TLS' "$img" info "$uri"
    stop
    serve "$nbd" -t -e 0 -k "$sock" -f raw --object "tls-creds-anon,id=t,endpoint=server" --tls-creds t t.raw
    ok 'anon' sh -c "'$io' --object tls-creds-anon,id=t,endpoint=client --image-opts $rw '$atu'"
    have qemu-io && ok 'anon: qemu-io' sh -c "qemu-io --object tls-creds-anon,id=t,endpoint=client --image-opts $rw '$atu'"
    stop
    if have qemu-nbd; then
        serve qemu-nbd -t -e 4 -b localhost -p $port -f raw --object "$s509" --tls-creds t t.raw
        sleep 0.5
        ok 'x509: qemu-nbd' sh -c "'$io' --object '$c509' --image-opts $rw '$at'"
        stop
        serve qemu-nbd -t -e 4 -k "$sock" -f raw --object "$spsk" --tls-creds t t.raw
        ok 'psk: qemu-nbd' sh -c "'$io' --object '$cpsk' --image-opts $rw '$atu'"
        stop
    fi
    if have nbdkit; then
        serve nbdkit -f -U "$sock" --tls=require --tls-certificates="$dir/pki" file t.raw
        ok 'x509: nbdkit' sh -c "'$io' --object '$c509' --image-opts $rw '$atu,file.tls-hostname=localhost'"
        stop
        serve nbdkit -f -U "$sock" --tls=require --tls-psk="$dir/pki/keys.psk" file t.raw
        ok 'psk: nbdkit' sh -c "'$io' --object '$cpsk' --image-opts $rw '$atu'"
        stop
    fi
else
    skip certtool gnutls-bin
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
