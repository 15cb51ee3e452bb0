#!/bin/sh
# test-remote.sh - images on other hosts: http (a server in python3), ssh (an sshd of our own), iscsi (tgtd), nfs
# (nfs-ganesha), all on this host, beside qemu-img where it can do the same. What is not installed is skipped.
set -u
build=${QUERN_BUILD:-$(pwd)}
img=$build/quern-img io=$build/quern-io
dir=$(mktemp -d) || exit 1
pids= tgtd=
cleanup() {
    for p in $pids; do kill "$p" 2>/dev/null; done
    [ -z "$tgtd" ] || kill -9 "$tgtd" 2>/dev/null # it does not end by itself while it has a target
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
fails() { # NAME TEXT COMMAND...: it does not, and says TEXT
    name=$1 text=$2
    shift 2
    if timeout 60 "$@" >out 2>&1 || ! grep -q -- "$text" out; then
        failed=$((failed + 1)); echo "failed: $name: $*"; head -n 5 out
    else passed=$((passed + 1))
    fi
}
skip() { echo "$1 is not there (Debian: $2): skipped"; skipped=$((skipped + 1)); }
have() { command -v "$1" >/dev/null 2>&1; }
built() { # PROTOCOL LIBRARY: is it in this build?
    ! "$img" info "$1" 2>&1 | grep -q "built without" && return 0
    skip "$2 in this build" "$3"
    return 1
}
port=$((20000 + $$ % 20000))
"$io" -f raw -c 'write -q -P 1 0 64k' -c 'write -q -P 2 1M 300k' -c 'write -q -P 3 7900k 100k' "$(truncate -s 8M a.raw; echo a.raw)"
"$img" convert -f raw -O qcow2 a.raw a.qcow2

# ---- http ----
if built http://127.0.0.1:1/ libcurl libcurl4-gnutls-dev; then
    if have python3; then
        cat >httpd.py <<'END'
import http.server, os, re, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass
    def error(self, code):
        self.send_response(code); self.send_header("Content-Length", "0"); self.end_headers()
    def reply(self, body):
        path = self.path.lstrip("/")
        if path.startswith("auth/"):
            path = path[5:]
            if self.headers.get("Authorization") != "Basic dTpw": return self.error(401)
        if path.startswith("cookie/"):
            path = path[7:]
            if self.headers.get("Cookie") != "a=b": return self.error(403)
        if path.startswith("moved/"):
            self.send_response(302); self.send_header("Location", "/" + path[6:]); self.send_header("Content-Length", "0"); return self.end_headers()
        whole, liar = path.startswith("norange/"), path.startswith("liar/")
        if whole: path = path[8:]
        if liar: path = path[5:]
        if not os.path.isfile(path): return self.error(404)
        size = os.path.getsize(path)
        first, last = 0, size - 1
        m = re.match(r"bytes=(\d+)-(\d*)$", self.headers.get("Range", ""))
        if m and not whole and not liar:
            first, last = int(m[1]), min(int(m[2] or size - 1), size - 1)
            self.send_response(206); self.send_header("Content-Range", "bytes %d-%d/%d" % (first, last, size))
        else: self.send_response(200)
        if not whole: self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1)); self.end_headers()
        if body:
            with open(path, "rb") as f: f.seek(first); self.wfile.write(f.read(last - first + 1))
    def do_GET(self): self.reply(True)
    def do_HEAD(self): self.reply(False)
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
open("ready", "w").close()
server.serve_forever()
END
        python3 httpd.py $port 2>/dev/null &
        pids="$pids $!"
        n=0
        while [ ! -e ready ] && [ $n -lt 200 ]; do sleep 0.05; n=$((n + 1)); done
        at=http://127.0.0.1:$port
        ok 'http: read' "$io" -r -f raw -c 'read -P 1 0 64k' -c 'read -P 0 64k 900k' -c 'read -P 2 1M 300k' "$at/a.raw"
        ok 'http: convert' "$img" convert -O raw "$at/a.qcow2" b.raw
        ok 'http: the same' cmp a.raw b.raw
        ok 'http: redirected' "$img" convert -O raw "$at/moved/a.qcow2" b.raw
        ok 'http: backing file' "$img" create -q -f qcow2 -b "$at/a.qcow2" -F qcow2 top.qcow2
        ok 'http: overlay' "$io" -c 'write -P 9 64k 64k' -c 'read -P 9 64k 64k' -c 'read -P 2 1M 300k' top.qcow2
        ok 'http: user' "$io" --object secret,id=s,data=p -r --image-opts -c 'read -P 1 0 512' \
            "driver=raw,file.driver=http,file.url=$at/auth/a.raw,file.username=u,file.password-secret=s"
        ok 'http: cookie' "$io" -r --image-opts -c 'read -P 1 0 512' "driver=raw,file.driver=http,file.url=$at/cookie/a.raw,file.cookie=a=b,file.readahead=4k"
        fails 'http: no user' '401' "$img" info "$at/auth/a.raw"
        fails 'http: not there' '404' "$img" info "$at/nope"
        fails 'http: no ranges' "does not support 'range'" "$img" info "$at/norange/a.raw"
        fails 'http: ignored ranges' 'Could not' "$io" -r -c 'read 0 512' "$at/liar/a.raw"
        fails 'http: writing' 'read-only' "$io" -f raw -c 'write 0 512' "$at/a.raw"
        fails 'http: nobody there' "connect" "$img" info http://127.0.0.1:1/x
        fails 'http: readahead' 'multiple of 512' "$img" info --image-opts "driver=http,url=$at/a.raw,readahead=100"
    else
        skip python3 python3
    fi
fi

# ---- ssh ----
if built 'ssh://127.0.0.1:1/x' libssh libssh-dev; then
    sshd=$(PATH=$PATH:/usr/sbin:/sbin command -v sshd)
    if [ -n "$sshd" ] && have ssh-keygen && have ssh-agent; then
        p=$((port + 1))
        ssh-keygen -q -t ed25519 -N '' -f host && ssh-keygen -q -t ed25519 -N '' -f user
        cp user.pub authorized && chmod 700 . && chmod 600 authorized
        [ "$(id -u)" != 0 ] || mkdir -p /run/sshd
        printf '%s\n' "Port $p" 'ListenAddress 127.0.0.1' "HostKey $dir/host" "AuthorizedKeysFile $dir/authorized" 'StrictModes no' \
            'UsePAM no' 'PermitRootLogin yes' "PidFile $dir/sshd.pid" 'Subsystem sftp internal-sftp' >sshd.conf
        "$sshd" -D -f "$dir/sshd.conf" 2>sshd.log &
        pids="$pids $!"
        eval "$(ssh-agent -s)" >/dev/null
        pids="$pids $SSH_AGENT_PID"
        ssh-add -q user 2>/dev/null
        sleep 1
        me=$(id -un)
        at=ssh://$me@127.0.0.1:$p$dir
        hash=$(ssh-keygen -l -E md5 -f host.pub | sed 's/.*MD5:\([0-9a-f:]*\) .*/\1/')
        ok 'ssh: read' "$io" -r -f raw -c 'read -P 1 0 64k' -c 'read -P 2 1M 300k' "$at/a.raw?host_key_check=no"
        ok 'ssh: hash' "$io" -r -f raw -c 'read -P 1 0 64k' "$at/a.raw?host_key_check=md5:$hash"
        ok 'ssh: options' "$io" -r --image-opts -c 'read -P 1 0 64k' "driver=raw,file.driver=ssh,file.server.host=127.0.0.1,file.server.port=$p,file.user=$me,file.path=$dir/a.raw,file.host-key-check.mode=hash,file.host-key-check.type=md5,file.host-key-check.hash=$hash"
        fails 'ssh: other hash' 'does not match' "$img" info "$at/a.raw?host_key_check=md5:00112233445566778899aabbccddeeff"
        fails 'ssh: unknown host' 'known_hosts\|host key' "$img" info "$at/a.raw?host_key_check=yes"
        fails 'ssh: not there' 'No such file' "$img" info "$at/nope?host_key_check=no"
        ok 'ssh: create' "$img" create -q -f qcow2 "$at/n.qcow2?host_key_check=no" 16M
        ok 'ssh: write' "$io" -f qcow2 -c 'write -P 5 1M 2M' -c flush -c 'read -P 5 1M 2M' "$at/n.qcow2?host_key_check=no"
        ok 'ssh: check' "$img" check n.qcow2
        ok 'ssh: convert' "$img" convert -O qcow2 "$at/a.qcow2?host_key_check=no" c.qcow2
        ok 'ssh: the same' "$img" compare c.qcow2 a.qcow2
        SSH_AUTH_SOCK= HOME=$dir fails 'ssh: no key' 'authenticate' "$img" info "$at/a.raw?host_key_check=no"
        if have qemu-img && qemu-img --help | grep -q ' ssh'; then
            ok 'ssh: qemu-img reads it' qemu-img compare "$at/n.qcow2?host_key_check=no" n.qcow2
        fi
    else
        skip 'sshd, ssh-agent' 'openssh-server openssh-client'
    fi
fi

# ---- iscsi ----
if built iscsi://127.0.0.1:1/t/1 libiscsi libiscsi-dev; then
    if have tgtd && have tgtadm && [ "$(id -u)" = 0 ]; then
        p=$((port + 2)) c=$((port % 1000 + 100))
        tgtd -f -C $c --iscsi portal=127.0.0.1:$p >tgtd.log 2>&1 &
        tgtd=$!
        sleep 1
        cp a.raw i.raw
        tgt=iqn.2026-01.test:disk
        if tgtadm -C $c --lld iscsi --op new --mode target --tid 1 -T $tgt >tgt.out 2>&1 &&
            tgtadm -C $c --lld iscsi --op new --mode logicalunit --tid 1 --lun 1 -b "$dir/i.raw" >>tgt.out 2>&1 &&
            tgtadm -C $c --lld iscsi --op bind --mode target --tid 1 -I ALL >>tgt.out 2>&1; then
            at=iscsi://127.0.0.1:$p/$tgt/1
            ok 'iscsi: read' "$io" -r -f raw -c 'read -P 1 0 64k' -c 'read -P 2 1M 300k' "$at"
            ok 'iscsi: write' "$io" -f raw -c 'write -P 5 2000001 12345' -c flush -c 'write -z 3M 1M' -c 'discard 5M 1M' -c 'read -P 5 2000001 12345' "$at"
            ok 'iscsi: convert' "$img" convert -f raw -O raw "$at" i2.raw
            ok 'iscsi: the same' cmp i.raw i2.raw
            ok 'iscsi: convert into' "$img" convert -n -f qcow2 -O raw a.qcow2 "$at"
            ok 'iscsi: compare' "$img" compare -f raw -F raw "$at" a.raw
            ok 'iscsi: options' "$img" info --image-opts "driver=raw,file.driver=iscsi,file.transport=tcp,file.portal=127.0.0.1:$p,file.target=$tgt,file.lun=1,file.initiator-name=iqn.2026-01.test:me,file.header-digest=crc32c"
            fails 'iscsi: no such target' 'Failed to connect' "$img" info "iscsi://127.0.0.1:$p/iqn.2026-01.test:none/1"
            fails 'iscsi: nobody there' 'Failed to connect' "$img" info iscsi://127.0.0.1:1/$tgt/1
            tgtadm -C $c --lld iscsi --op new --mode account --user joe --password secretsecret >>tgt.out 2>&1 &&
                tgtadm -C $c --lld iscsi --op bind --mode account --tid 1 --user joe >>tgt.out 2>&1
            ok 'iscsi: CHAP' "$img" info --object secret,id=s,data=secretsecret --image-opts "driver=raw,file.driver=iscsi,file.portal=127.0.0.1:$p,file.target=$tgt,file.lun=1,file.user=joe,file.password-secret=s"
            ok 'iscsi: CHAP in the name' "$img" info "iscsi://joe%secretsecret@127.0.0.1:$p/$tgt/1"
            fails 'iscsi: CHAP, wrong' 'Failed to connect' "$img" info "iscsi://joe%wrongwrongwrong@127.0.0.1:$p/$tgt/1"
        else
            cat tgt.out
            skip 'a working tgtd' tgt
        fi
    else
        skip 'tgtd, as root,' tgt
    fi
    fails 'iscsi: name' 'not of the form' "$img" info iscsi://host
fi

# ---- nfs ----
if built nfs://127.0.0.1/none/x libnfs libnfs-dev; then
    fails 'nfs: name' 'not of the form' "$img" info nfs:///x
    fails 'nfs: parameter' 'Unknown NFS parameter' "$img" info 'nfs://127.0.0.1/a/b?foo=1'
    if [ -n "${QUERN_NFS:-}" ]; then # nfs://host/directory of a server that is there, writable
        ok 'nfs: create' "$img" create -q -f qcow2 "$QUERN_NFS/quern-test.qcow2" 16M
        ok 'nfs: write' "$io" -f qcow2 -c 'write -P 5 1M 2M' -c flush -c 'read -P 5 1M 2M' "$QUERN_NFS/quern-test.qcow2"
        ok 'nfs: check' "$img" check "$QUERN_NFS/quern-test.qcow2"
    else
        echo 'no NFS server is known (QUERN_NFS=nfs://host/directory names one): skipped'
        skipped=$((skipped + 1))
    fi
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
