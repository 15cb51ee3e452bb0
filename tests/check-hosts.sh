#!/bin/sh
# check-hosts.sh - builds for hosts of other byte order and word size, and runs tests there under qemu-user: the unit
# tests, programs of tests/bench whose results must be those of this host, and a kernel's boot taken over from this
# host, whose hashes must be the same. On hosts that code is generated for (AArch64) all of it with that as well, and
# the programs of tests/user.
#
# usage: check-hosts.sh [HOST...]       (make check-hosts; HOSTS='...' chooses)
# Finds the source in $QUERN_SOURCE and a finished native build in $QUERN_BUILD, where hosts/HOST is written.
# test-softfloat and test-user-elf are left out: they do not end in bearable time under another emulator.
set -u
src=${QUERN_SOURCE:?} build=${QUERN_BUILD:?}
[ $# -gt 0 ] || set -- s390x-linux-gnu powerpc-linux-gnu arm-linux-gnueabihf aarch64-linux-gnu
left_out=' tests/test-softfloat tests/test-user-elf tests/test-hash '
passed=0 failed=0 skipped=0
limit=
# test-mips-exec takes two minutes of an idle processor this way.
command -v timeout >/dev/null && limit='timeout 1800'

pass() { passed=$((passed + 1)); }
fail() { failed=$((failed + 1)); echo "FAILED: $*"; }
skip() { skipped=$((skipped + 1)); echo "SKIPPED: $*"; }

# A state near a kernel's start, made here, and its hashes from there on.
state=$build/hosts/state reference=$build/hosts/hashes
mkdir -p "$build/hosts"
trap 'rm -f "$state"' EXIT
start=2400000000 end=2420000000
have_state=no
if "$build/tests/boot-hash" --save-at $start --insns $start --every $start --write "$state" 2>"$build/hosts/state.log"; then
    "$build/tests/boot-hash" --read "$state" --insns $end >"$reference" && have_state=yes
fi

for host in "$@"; do
    case $host in
    powerpc-*) qemu=qemu-ppc ;;
    powerpc64-*) qemu=qemu-ppc64 ;;
    *) qemu=qemu-${host%%-*} ;;
    esac
    if ! command -v "$host-gcc" >/dev/null; then
        skip "$host: no $host-gcc (Debian: gcc-$host)"
        continue
    fi
    if ! command -v $qemu >/dev/null; then
        skip "$host: no $qemu (Debian: qemu-user)"
        continue
    fi
    # One view of the code memory: qemu-user 7.2 runs what it has once translated at an address for ever if new code is
    # written there by another mapping.
    # It also keeps tables of the whole window that is reserved for a guest: a small one for those of 64 bits.
    extra='' native=''
    case $host in aarch64-*) extra=ac_cv_func_memfd_create=no native='jit,backend=native,sync=on,threshold=2' ;; esac
    dir=$build/hosts/$host
    mkdir -p "$dir" && cd "$dir" || exit 1
    echo "$host: building"
    # Static, so that qemu-user needs no libraries of the host.
    [ -e config.status ] || "$src/configure" --host="$host" --disable-zlib LDFLAGS=-static $extra \
        ${HOSTS_CONFIGURE:+"$HOSTS_CONFIGURE"} >configure.out 2>&1 || { fail "$host: configure, see $dir/configure.out"; continue; }
    if make -s -j"${JOBS:-2}" check TESTS= >make.out 2>&1; then pass; else
        fail "$host: does not build, see $dir/make.out"
        continue
    fi
    for t in $(make -s print-unit-tests | tr ' ' '\n' | sort -u); do
        case $left_out in *" $t "*) continue ;; esac
        srcdir=$src QUERN_BUILD=$dir QUERN_SOURCE=$src $limit $qemu "./$t" >"$t.out" 2>&1
        rc=$?
        line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$t.out" | tail -n 1)
        echo "$host: $t: ${line:-no result} (status $rc)"
        n=$(echo "$line" | sed 's/ passed.*//') bad=$(echo "$line" | sed 's/.* passed, \([0-9]*\) failed.*/\1/')
        if [ $rc = 77 ]; then
            skip "$host: $t"
            continue
        fi
        passed=$((passed + ${n:-0}))
        failed=$((failed + ${bad:-0}))
        if [ $rc != 0 ] && [ "${bad:-0}" = 0 ]; then fail "$host: $t ended with status $rc"; fi
    done
    for target in mipsel mips mips64el mips64; do
        size=
        case $native/$target in ?*/mips64*) size='-R 8G' ;; esac
        for p in hello mandel nbody hash; do
            guest=$src/tests/bench/guest/$target/$p
            want=$("$build/quern-$target" "$guest")
            got=$($limit $qemu "./quern-$target" $size "$guest" 2>&1)
            case $got in
            *"does not fit the guest's address space"*) # linked at 4 GiB and above: no room on a 32-bit host
                skip "$host: $target $p needs a 64-bit host"
                continue ;;
            esac
            if [ -n "$want" ] && [ "$got" = "$want" ]; then pass; else fail "$host: $target $p: $got, not $want"; fi
        done
        [ -n "$native" ] || continue
        for guest in "$src/tests/bench/guest/$target"/*; do
            want=$("$build/quern-$target" "$guest")
            for mode in "$native" jit,backend=native jit,backend=native,regions=off jit,backend=native,chaos=5; do
                got=$($limit $qemu "./quern-$target" $size -accel "$mode" "$guest" 2>&1)
                if [ -n "$want" ] && [ "$got" = "$want" ]; then pass; else fail "$host: $target ${guest##*/} ($mode): $got, not $want"; fi
            done
        done
    done
    if [ -n "$native" ]; then
        for engine in native native:regions=off native:chaos=7; do
            line=$($limit $qemu tests/test-fuzz-ir --engine $engine --count 1000 2>&1 | tail -n 2)
            echo "$host: $line"
            case $line in *' 0 differ'*) pass ;; *) fail "$host: random programs, $engine" ;; esac
        done
        $limit $qemu tests/test-fuzz-ops --engine native --cases 20000000 >fuzz-ops.out 2>&1 && pass || fail "$host: random operands, see $dir/fuzz-ops.out"
        line=$(srcdir=$src QUERN_BUILD=$dir sh "$src/tests/run-user.sh" --under $qemu --modes "$native jit,backend=native,chaos=9" 2>&1 | tee run-user.out | tail -n 1)
        echo "$host: tests/user: $line"
        case $line in *' 0 failed'*) pass ;; *) fail "$host: tests/user, see $dir/run-user.out" ;; esac
    fi
    if [ $have_state = yes ]; then
        for engine in goto ref ${native:+$native jit,backend=native,chaos=3}; do
            $limit $qemu tests/boot-hash --engine $engine --read "$state" --insns $end >"hashes.$engine" 2>&1
            if cmp "$reference" "hashes.$engine"; then pass; else fail "$host: $engine: the machine's hashes differ"; fi
        done
    else
        skip "$host: hashes of a boot: $(tail -n 1 "$build/hosts/state.log")"
    fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
