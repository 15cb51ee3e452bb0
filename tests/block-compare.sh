#!/bin/sh
# The outputs of quern-img and qemu-img side by side, field by field: images made by either program in every format both
# have, then info, map, check, measure, compare and snapshot -l, human and JSON. Usage: block-compare.sh [small]
# Differences that are meant are taken away by `known`, each with its reason; all others are printed and counted.
set -u
build=${QUERN_BUILD:-$(pwd)}
img=$build/quern-img io=$build/quern-io
size=${1:-full}
command -v qemu-img >/dev/null 2>&1 && command -v qemu-io >/dev/null 2>&1 || { echo 'qemu-img is not installed: skipped'; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
images=0 fields=0 differ=0 known=0 skipped=0

# What may differ, and why:
known() {
    # - the programs' own names
    # - progress of the very same step may be printed once or twice: not compared
    # - the order of JSON members says nothing: sorted
    # - disk size of the image while it is read: rounding of the same number of blocks, compared as it is
    sed -e 's/qemu-img/IMG/g' -e 's/quern-img/IMG/g' -e 's/WARNING: /IMG: warning: /'
}
fields() { known | tr -d '\r' | sed 's/,$//'; }
reason() { # WHAT: why this output of this image may differ; nothing when it may not
    case "$name: $1" in
    vhdx*:\ map*|vhdx*:\ measure*|vhdx*:\ compare\ -s*)
        echo 'qemu-img 7.2 takes all of a vhdx for data without a place; here blocks and the holes in them are known' ;;
    parallels*:\ info*|parallels*:\ chain)
        diff 1f 2f | grep '^[<>]' | grep -qv dirty-flag || echo 'qemu-img 7.2 does not say whether a parallels image was closed properly' ;;
    esac
}
compare() { # WHAT ARGS...: the output of both on the same image
    what=$1
    shift
    qemu-img "$@" >1 2>&1
    echo "exit $?" >>1
    "$img" "$@" >2 2>&1
    echo "exit $?" >>2
    case "$*" in
    *json*) fields <1 | sort >1f; fields <2 | sort >2f ;;
    *) fields <1 >1f; fields <2 >2f ;;
    esac
    fields=$((fields + $(wc -l <1f)))
    if ! cmp -s 1f 2f; then
        why=$(reason "$what")
        if [ -n "$why" ]; then
            known=$((known + 1))
            echo "$name: $what: known: $why"
            return
        fi
        differ=$((differ + $(diff 1f 2f | grep -c '^[<>]')))
        echo "$name: $what:"
        diff 1f 2f | grep '^[<>]' | sed 's/^</  qemu  /; s/^>/  quern /' | head -n 8
    fi
}
look() { # IMAGE FORMAT
    if ! "$img" info -f "$2" "$1" >out 2>&1 && grep -qE 'not supported|Unknown driver|does not support' out; then
        skipped=$((skipped + 1))
        echo "$name: skipped: $(head -n 1 out)"
        return
    fi
    images=$((images + 1))
    for out in human json; do
        compare "info $out" info --output=$out "$1"
        compare "info -f $out" info -f "$2" --output=$out "$1"
        compare "map $out" map --output=$out -f "$2" "$1"
        compare "check $out" check --output=$out -f "$2" "$1"
        compare "measure raw $out" measure --output=$out -O raw -f "$2" "$1"
        compare "measure qcow2 $out" measure --output=$out -O qcow2 -f "$2" "$1"
    done
    compare 'measure qcow2 4k' measure -O qcow2 -o cluster_size=4k -f "$2" "$1"
    compare chain info --backing-chain --output=json "$1"
    compare 'compare with zeros' compare -f "$2" -F raw "$1" zeros.raw
    compare 'compare -s with zeros' compare -s -f "$2" -F raw "$1" zeros.raw
    compare 'compare with itself' compare -U -f "$2" -F "$2" "$1" "$1"
    compare 'map part' map --output=json --start-offset=1M --max-length=3M -f "$2" "$1"
    [ "$2" != raw ] && compare 'snapshot -l' snapshot -l "$1"
}
writes='-c write_-q_-P_1_0_1M -c write_-q_-P_2_3M_70k -c write_-q_-z_5M_1M -c write_-q_-P_3_9000000_5 -c write_-q_-P_0_6M_128k'
fill() { # PROGRAM FORMAT IMAGE
    set -- "$1" "$2" "$3" $(echo "$writes" | sed 's/-c //g')
    p=$1 f=$2 i=$3
    shift 3
    for w; do "$p" -f "$f" -t unsafe -c "$(echo "$w" | tr _ ' ')" "$i" >/dev/null 2>&1; done
}
one() { # FORMAT OPTIONS SIZE: made and filled by each of the two programs
    for maker in qemu quern; do
        name="$1 $2 $3 by $maker"
        rm -f x.img
        if [ $maker = qemu ]; then set -- "$1" "$2" "$3" qemu-img qemu-io; else set -- "$1" "$2" "$3" "$img" "$io"; fi
        if ! "$4" create -q -f "$1" ${2:+-o "$2"} x.img "$3" >out 2>&1; then
            skipped=$((skipped + 1))
            echo "$name: skipped: $(head -n 1 out)"
            continue
        fi
        fill "$5" "$1" x.img
        look x.img "$1"
    done
}
truncate -s 16M zeros.raw
one raw '' 16M
one qcow2 '' 16M
if [ "$size" != small ]; then
    one raw preallocation=falloc 12M
    one raw preallocation=full 10M
    one raw '' 10000384
    for o in compat=0.10 cluster_size=512 cluster_size=4k cluster_size=2M lazy_refcounts=on refcount_bits=1 \
        refcount_bits=64 compression_type=zstd preallocation=metadata preallocation=falloc preallocation=full \
        extended_l2=on,cluster_size=128k; do
        one qcow2 $o 16M
    done
    one qcow2 '' 10G
    one qcow2 cluster_size=4k 1T
    for f in qed vdi vmdk vpc vhdx parallels qcow; do one $f '' 16M; done
fi
# Overlays, compressed images, internal snapshots, marked images
for maker in qemu quern; do
    name="overlay by $maker"
    if [ $maker = qemu ]; then set -- qemu-img qemu-io; else set -- "$img" "$io"; fi
    rm -f base.qcow2 x.img y.img
    "$1" create -q -f qcow2 base.qcow2 12M && fill "$2" qcow2 base.qcow2
    "$1" create -q -f qcow2 -b base.qcow2 -F qcow2 x.img 16M && "$2" -c 'write -q -P 7 1M 300k' -c 'write -q -z 3M 64k' x.img
    look x.img qcow2
    name="compressed by $maker"
    "$1" convert -c -m 1 -O qcow2 base.qcow2 y.img
    look y.img qcow2
    [ "$size" = small ] && continue
    name="convert -S 0 by $maker"
    "$1" convert -S 0 -O qcow2 base.qcow2 y.img
    look y.img qcow2
    name="convert raw by $maker"
    "$1" convert -O raw x.img y.img
    look y.img raw
    name="convert -B by $maker"
    "$1" convert -B base.qcow2 -F qcow2 -O qcow2 x.img y.img
    look y.img qcow2
    name="resized by $maker"
    "$1" resize -q y.img 20M
    look y.img qcow2
    name="snapshots by $maker"
    cp base.qcow2 z.img
    if TZ=UTC "$1" snapshot -c first z.img >out 2>&1; then
        "$2" -c 'write -q -P 9 0 3M' z.img && "$1" snapshot -c 'a second one' z.img
        look z.img qcow2
    else
        skipped=$((skipped + 1))
        echo "$name: skipped: $(head -n 1 out)"
    fi
done
echo "$images images, $fields fields, $differ different, $known outputs with known differences, $skipped skipped"
[ $differ = 0 ]
