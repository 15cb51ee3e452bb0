#!/bin/sh
# test-block-aio.sh - aio=threads|native|io_uring of the tools: what is accepted, what is said, what a kernel that
# refuses leads to, and that each does what it says: bytes are compared, system calls are looked at (strace).
set -u
build=$(cd "${QUERN_BUILD:-.}" && pwd)
img=$build/quern-img io=$build/quern-io nbd=$build/quern-nbd refuse=$build/tests/refuse
passed=0 failed=0
dir=$(mktemp -d "$build/test-aio.XXXXXX") || exit 1 # not in /tmp, which may be memory without O_DIRECT
server=
trap 'test -n "$server" && kill $server 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir" || exit 1

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $*"; }
# says TEXT STATUS COMMAND...: its output has TEXT in it, and it ends with STATUS
says() {
    text=$1 status=$2
    shift 2
    out=$("$@" 2>&1 </dev/null)
    rc=$?
    case $out in
    *"$text"*) [ $rc = "$status" ] && ok || bad "$*: status $rc, not $status" ;;
    *) bad "$*: says '$out', not '$text'" ;;
    esac
}

direct='aio=native was specified, but it requires cache.direct=on, which was not specified.'
"$img" create -q -f raw a.raw 4M
"$img" create -q -f qcow2 -o preallocation=metadata a.qcow2 4M
says "$direct" 1 "$img" bench -f raw -c 10 -i native a.raw
says "$direct" 1 "$img" bench -f raw -c 10 -n a.raw
says "$direct" 1 "$io" -f raw -k -c 'read 0 4k' a.raw
says "$direct" 1 "$io" -f raw -i native -c 'read 0 4k' a.raw
says "$direct" 1 "$nbd" --aio=native -f raw -k "$dir/s" a.raw
says "$direct" 1 "$img" info --image-opts driver=file,filename=a.raw,aio=native
says 'invalid parameter value: bogus' 1 "$img" info --image-opts driver=file,filename=a.raw,aio=bogus
says 'Invalid aio option: bogus' 1 "$img" bench -f raw -i bogus a.raw
says 'Invalid aio option: bogus' 1 "$io" -f raw -i bogus -c 'read 0 4k' a.raw
says "Invalid aio mode 'bogus'" 1 "$nbd" --aio=bogus -f raw -k "$dir/s" a.raw
engines=threads
for e in native io_uring; do
    if "$img" bench -f raw -c 1 -t none -i $e a.raw >out 2>&1; then
        engines="$engines $e"
    elif grep -q "aio=$e was specified, but is not supported in this build" out; then
        ok
        echo "SKIPPED: aio=$e is not built in (Debian: liburing-dev)"
    else
        bad "bench -i $e: $(cat out)"
    fi
done

for e in $engines; do
    for f in raw qcow2; do
        n=$((n + 1)) 2>/dev/null || n=1
        says 'Run completed' 0 "$img" bench -w --pattern $((n + 64)) -f $f -c 1024 -S 4096 -t none -i $e a.$f
        says '4 MiB, 1 ops' 0 "$io" -f $f -r -c "read -P $((n + 64)) 0 4M" a.$f
        says 'Run completed' 0 "$img" bench -f $f -c 1000 -S 36864 -t none -i $e a.$f
        # many at a time, off the alignment too, then all of it by another way
        { for i in 0 1 2 3 4 5 6 7; do echo "aio_write -q -P $((n + i)) $((i * 16))k 12k"; echo "aio_write -q -P 9 $((i * 16 + 13))k 512"; done
          echo aio_flush
          for i in 0 1 2 3 4 5 6 7; do echo "aio_read -P $((n + i)) $((i * 16))k 12k"; done; echo aio_flush; } >commands
        out=$("$io" -f $f -t none -i $e a.$f <commands 2>&1)
        case $out in *failed*) bad "$e $f: $out" ;; *) ok ;; esac
        [ "$(printf '%s\n' "$out" | grep -c 'read 12288/12288')" = 8 ] && ok || bad "$e $f: aio_read: $out"
        says '12 KiB, 1 ops' 0 "$io" -f $f -r -c "read -P $((n + 3)) 48k 12k" a.$f
    done
    # a server: written through it, looked at in the file
    "$nbd" -t --cache=none --aio=$e -f raw -k "$dir/s" a.raw &
    server=$!
    for i in 1 2 3 4 5 6 7 8 9 10; do [ -S s ] && break; sleep 0.2; done
    says '4 MiB, 1 ops' 0 "$io" -f raw -c 'write -P 77 0 4M' "nbd+unix:///?socket=$dir/s"
    kill $server; wait $server 2>/dev/null; server=; rm -f s
    says '4 MiB, 1 ops' 0 "$io" -f raw -r -c 'read -P 77 0 4M' a.raw
    case $e in
    native) call=io_submit ;;
    io_uring) call=io_uring_enter ;;
    *) continue ;;
    esac
    if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
        for f in raw qcow2; do
            strace -f -o trace "$img" bench -f $f -c 500 -S 36864 -t none -i $e a.$f >/dev/null 2>&1
            # qcow2: the first one of each table is read by a thread
            if grep -q "$call(" trace && [ "$(grep -c 'pread64(' trace)" -lt 80 ]; then ok; else bad "$e $f: no $call"; fi
        done
    else
        echo "SKIPPED: system calls are not looked at (Debian: strace)"
    fi
done

# What the kernel refuses is done by threads, and said.
"$refuse" EPERM io_uring_setup true
if [ $? = 77 ]; then
    echo "SKIPPED: no seccomp filters on this host"
else
    for c in "io_uring ENOSYS io_uring_setup" "io_uring EPERM io_uring_setup" "native ENOSYS io_setup"; do
        set -- $c
        case " $engines " in *" $1 "*) ;; *) continue ;; esac
        says "warning: aio=$1: the kernel does not let us (" 0 "$refuse" "$2" "$3" "$img" bench -w -f qcow2 -c 100 -t none -i "$1" a.qcow2
        says 'Run completed' 0 "$refuse" "$2" "$3" "$img" bench -w -f raw -c 100 -t none -i "$1" a.raw
    done
fi
"$img" check -q a.qcow2 && ok || bad "check a.qcow2"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
