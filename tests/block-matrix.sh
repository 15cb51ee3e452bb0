#!/bin/sh
# Every writable format with every create option: random writes by quern-io, then qemu-img check, compare, info, map and
# convert must agree with quern-img; and the other way round. Prints the matrix: a line for each format and option, a
# column for each step, `ok`, `BAD` or `-` (does not apply). Usage: block-matrix.sh [small] [SEED]
set -u
build=${QUERN_BUILD:-$(pwd)}
img=$build/quern-img io=$build/quern-io
small=0
[ "${1:-}" = small ] && small=1 && shift
seed=${1:-1}
command -v qemu-img >/dev/null 2>&1 && command -v qemu-io >/dev/null 2>&1 || { echo 'qemu-img is not installed: skipped'; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
cells=0 failures=0 skipped=0 log=
requests=$([ $small = 1 ] && echo 40 || echo 150)

# For luks qemu-img measures its own speed, and gives up where the host is too busy to tell.
again() { "$@" || { sleep 2; "$@"; } || { sleep 5; "$@"; }; }

# Random requests inside 16 MiB, as commands of both tools; the same list for image and raw reference.
commands() { # SEED [FORMAT]: a new luks image holds anything, so all of it is written first
    [ "${2:-}" = luks ] && echo 'write -q -P 0 0 16M'
    awk -v seed="$1" -v n="$requests" 'BEGIN {
        srand(seed)
        for (i = 0; i < n; i++) {
            k = int(rand() * 10); off = int(rand() * 16000000); len = int(rand() * 200000) + 1
            if (k < 2) off -= off % 65536
            if (k < 4) { off -= off % 512; len += 512 - len % 512 }
            if (off + len > 16777216) len = 16777216 - off
            if (k == 8) printf "write -q -z %d %d\n", off, len
            else printf "write -q -P %d %d %d\n", int(rand() * 255) + 1, off, len
        }
    }'
}
cell() { # NAME COMMAND...
    what=$1
    shift
    cells=$((cells + 1))
    if "$@" >out 2>&1; then line="$line ok"
    else
        line="$line BAD"
        failures=$((failures + 1))
        log="$log
$name, $what: $* : $(head -n 2 out | tr '\n' ' ')"
    fi
}
none() { line="$line -"; }
# How both programs name an image: by -f, or with the key of an encrypted one.
key= object=
src() { # FORMAT IMAGE
    if [ -z "$key" ]; then echo "-f $1 $2"; else echo "$object --image-opts driver=$1,$key,file.filename=$2"; fi
}
check() { # PROGRAM FORMAT IMAGE: clean, or the format has no check
    "$1" check $(src "$2" "$3")
    rc=$?
    [ $rc = 0 ] || [ $rc = 63 ]
}
same_contents() { # PROGRAM FORMAT IMAGE
    if [ -z "$key" ]; then "$1" compare -f "$2" -F raw "$3" ref.raw
    else "$1" compare $(src "$2" "$3") driver=raw,file.filename=ref.raw; fi
}
same_map() { # FORMAT IMAGE
    qemu-img map --output=json $(src "$1" "$2") >m1 && "$img" map --output=json $(src "$1" "$2") >m2 && sums m1 >s1 && sums m2 >s2 && cmp s1 s2
}
# What must agree: which bytes are there and where, run by run; zeros inside allocated data are no difference.
sums() {
    tr -d '[]{},"' <"$1" | awk '{ for (i = 1; i < NF; i++) v[$i] = $(i + 1)
        k = v["depth:"] " " v["present:"] " " v["data:"] " " (v["data:"] == "true" ? "" : v["zero:"])
        if (k != last) { printf "%s%d %s", (n++ ? "\n" : ""), v["start:"], k; last = k } } END { print "" }'
}
# qemu-img 7.2 does not know whether a parallels image was closed properly; images named by options have a json: name
# there (in an order that means nothing), and the plain one here.
info() {
    "$@" | tr -d ',' | if [ "$format" = parallels ]; then grep -v dirty-flag; elif [ -n "$key" ]; then grep -v '"filename":'; else cat; fi | sort
}
same_info() { # FORMAT IMAGE
    format=$1
    qemu-img info --output=json $(src "$1" "$2") >/dev/null && info qemu-img info --output=json $(src "$1" "$2") >i1 &&
        info "$img" info --output=json $(src "$1" "$2") >i2 && cmp i1 i2
}
write_all() { # PROGRAM FORMAT IMAGE
    if [ -z "$key" ] || [ "$2" = raw ]; then "$1" -f "$2" -t unsafe "$3" <requests >w.out 2>&1
    else "$1" -t unsafe $(src "$2" "$3") <requests >w.out 2>&1; fi && ! grep -q failed w.out
}
verify() { # FORMAT IMAGE: all that both say of it, against ref.raw
    cell 'qemu-img check' check qemu-img "$1" "$2"
    cell 'quern-img check' check "$img" "$1" "$2"
    cell 'qemu-img compare' same_contents qemu-img "$1" "$2"
    cell 'quern-img compare' same_contents "$img" "$1" "$2"
    cell info same_info "$1" "$2"
    cell map same_map "$1" "$2"
    rm -f c1.raw c2.raw
    cell 'qemu-img convert' qemu-img convert $(src "$1" "$2") -O raw c1.raw
    cell 'quern-img convert' "$img" convert $(src "$1" "$2") -O raw c2.raw
    cell 'converted' cmp c1.raw c2.raw
}
skip() {
    skipped=$((skipped + 1))
    printf '%-48s skipped: %s\n' "$name" "$(head -n 1 out | cut -c 1-100)"
}
row() { # FORMAT OPTIONS SIZE
    name="$1${2:+ $2}"
    line=
    commands "$seed" "$1" >requests
    rm -f ref.raw x.img y.img
    truncate -s "$3" ref.raw
    if ! again qemu-img create -q $object -f "$1" ${2:+-o "$2"} y.img "$3" >out 2>&1 || ! qemu-img info $(src "$1" y.img) >out 2>&1; then
        echo "qemu-img cannot use its own: $(head -n 1 out)" >out
        skip
        return
    fi
    "$img" create -q $object -f "$1" ${2:+-o "$2"} x.img "$3" >out 2>&1 || { skip; return; }
    write_all qemu-io raw ref.raw || echo "$name: the reference could not be written"
    cell 'quern-io writes' write_all "$io" "$1" x.img
    verify "$1" x.img
    # more by the other program on the same image
    commands $((seed + 1)) >requests
    write_all qemu-io raw ref.raw
    cell 'qemu-io writes on it' write_all qemu-io "$1" x.img
    verify "$1" x.img
    # the other way round
    rm -f y.img ref.raw
    truncate -s "$3" ref.raw
    commands $((seed + 2)) "$1" >requests
    cell 'qemu-img create' again qemu-img create -q $object -f "$1" ${2:+-o "$2"} y.img "$3"
    cell 'qemu-io writes' write_all qemu-io "$1" y.img
    write_all qemu-io raw ref.raw
    commands $((seed + 3)) >requests
    cell 'quern-io writes on it' write_all "$io" "$1" y.img
    write_all qemu-io raw ref.raw
    verify "$1" y.img
    printf '%-48s%s\n' "$name" "$line"
}
crypt_row() { # KEY=SECRET-OPTION FORMAT OPTIONS SIZE
    object='--object secret,id=sec0,data=letmein' key=$1=sec0
    [ $2 = qcow2 ] && key=encrypt.format=luks,$key
    row "$2" "$3" "$4"
    object= key=
}
# qemu-img 7.2 ends every conversion to a compressed qcow with status 1 and no message, though the image is right.
peer_convert() { # FORMAT ARGUMENTS...
    format=$1
    shift
    qemu-img convert "$@" >peer.out 2>&1 && return
    rc=$?
    cat peer.out
    [ "$format" = qcow ] && [ ! -s peer.out ] && return
    return $rc
}
made_row() { # FORMAT OPTIONS SIZE: images that are written once, by convert
    name="$1${2:+ $2}, by convert"
    line=
    commands "$seed" >requests
    rm -f ref.raw x.img
    truncate -s "$3" ref.raw
    write_all qemu-io raw ref.raw
    cell 'quern-img convert' "$img" convert -f raw -O "$1" ${2:+-o "$2"} ${4:-} ref.raw x.img
    verify "$1" x.img
    cell 'qemu-img convert' peer_convert "$1" -f raw -O "$1" ${2:+-o "$2"} ${4:-} ref.raw x.img
    verify "$1" x.img
    printf '%-48s%s\n' "$name" "$line"
}
s=16777216
row raw '' $s
row qcow2 '' $s
if [ $small = 0 ]; then
    for p in off falloc full; do row raw preallocation=$p $s; done
    for c in 512 1k 4k 32k 128k 2M; do row qcow2 cluster_size=$c $s; done
    for c in 1 2 4 8 16 32 64; do row qcow2 refcount_bits=$c $s; done
    for p in off metadata falloc full; do row qcow2 preallocation=$p $s; done
    row qcow2 compat=0.10 $s
    row qcow2 compat=0.10,cluster_size=512 $s
    row qcow2 lazy_refcounts=on $s
    row qcow2 compression_type=zstd $s
    row qcow2 extended_l2=on $s
    row qcow2 extended_l2=on,cluster_size=2M $s
    row qcow2 nocow=on $s
    row qcow2 data_file=d.raw $s
    row qcow2 data_file=d.raw,data_file_raw=on $s
    crypt_row encrypt.key-secret qcow2 encrypt.format=luks,encrypt.key-secret=sec0,encrypt.iter-time=10 $s
    for o in '' cipher-alg=aes-128 cipher-mode=cbc ivgen-alg=essiv,ivgen-hash-alg=sha256 hash-alg=sha512; do
        crypt_row key-secret luks key-secret=sec0,iter-time=10${o:+,$o} $s
    done
    made_row qcow2 '' $s -c
    made_row qcow2 compression_type=zstd $s -c
    made_row qcow2 cluster_size=4k $s -c
    made_row qcow '' $s -c
    made_row vmdk subformat=streamOptimized $s
    row qcow '' $s
    for o in '' cluster_size=4k cluster_size=1M table_size=1 table_size=2 table_size=16; do row qed "$o" $s; done
    for o in '' static=on preallocation=metadata; do row vdi "$o" $s; done
    for o in '' subformat=monolithicFlat subformat=twoGbMaxExtentSparse subformat=twoGbMaxExtentFlat compat6=on zeroed_grain=on \
        adapter_type=lsilogic hwversion=7 toolsversion=2147483647; do
        row vmdk "$o" $s
    done
    for o in '' force_size=on subformat=fixed,force_size=on; do row vpc "$o" $s; done
    for o in '' subformat=fixed block_size=1M block_state_zero=off log_size=4M; do row vhdx "$o" $s; done
    for o in '' cluster_size=64k; do row parallels "$o" $s; done
else
    row qcow2 compat=0.10,cluster_size=4k $s
fi
echo "$cells cells, $failures failures, $skipped rows skipped"
[ -z "$log" ] || printf '%s\n' "$log"
[ $failures = 0 ]
