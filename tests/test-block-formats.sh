#!/bin/sh
# The image formats beside qemu-img and qemu-io: what one writes the other reads, checks, compares and describes alike.
# FORMATS="vdi vmdk" limits a run.
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
command -v qemu-img >/dev/null 2>&1 && command -v qemu-io >/dev/null 2>&1 && qemu=1 || qemu=0
[ $qemu = 1 ] || { echo 'qemu-img is not installed (Debian: qemu-utils): half of the checks are skipped'; skipped=1; }

shapes='0:512:1 6000:5000:2 65536:204800:3 1000000:3000000:4 8388608:1:5 16777000:1000:6 33000000:555555:7 50000000:331648:9'
writes() { for s in $shapes; do printf 'write -q -P %s %s %s\n' "${s##*:}" "${s%%:*}" "$(echo "$s" | cut -d: -f2)"; done; }
reads() { writes | sed 's/^write/read/'; }
run() { # PROGRAM FORMAT IMAGE: commands from stdin; fails when a pattern is not found
    if [ "$1" = qemu-io ]; then "$1" -f "$2" -t unsafe "$3" >run.out 2>&1
    else "$1" -f "$2" -t unsafe "$3" >run.out 2>&1
    fi || { cat run.out; return 1; }
    ! grep -i 'fail\|error' run.out
}
script() { "$2" | run "$1" "$3" "$4"; }
# What does not depend on how the host lays files out.
facts() { sort "$1" | tr -d ' ,' | grep -v 'actual-size\|"cid"\|filename\|extent_size\|[][]'; }

matrix() { # FORMAT OPTIONS BITS: c = compressed writes, k = has check, b = backing, s = read-only but for convert
    fmt=$1 opts=$2 bits=$3 t="$1${2:+ $2}"
    rm -rf ./*.img ./*.raw ./*.vmdk
    o=${opts:+-o $opts}
    case $bits in
    *s*) ;;
    *)
        # shellcheck disable=SC2086
        ok "$t: create" "$img" create -q -f "$fmt" $o a.img 48M
        ok "$t: write" script "$io" writes "$fmt" a.img
        ok "$t: read" script "$io" reads "$fmt" a.img
        ok "$t: zero and discard" "$io" -f "$fmt" -c 'write -z 2M 1M' -c 'write -zu 20M 8M' -c 'discard 40M 1M' \
            -c 'read -P 0 2M 1M' -c 'write -P 4 2M 1M' -c 'read -P 4 2M 1M' -c 'read -P 0 20M 8M' a.img
        case $bits in *k*) ok "$t: check" "$img" check -f "$fmt" a.img ;; esac
        ok "$t: to raw" "$img" convert -f "$fmt" -O raw a.img a.raw
        ;;
    esac
    [ -f a.raw ] || { "$io" -f raw -c 'truncate 48M' a.raw >/dev/null 2>&1 || truncate -s 48M a.raw; writes | run "$io" raw a.raw; }
    # shellcheck disable=SC2086
    ok "$t: from raw" "$img" convert -f raw -O "$fmt" $o a.raw c.img
    ok "$t: from raw, read" script "$io" reads "$fmt" c.img
    case $bits in *c*)
        # shellcheck disable=SC2086
        ok "$t: compressed" "$img" convert -c -f raw -O "$fmt" $o a.raw z.img
        ok "$t: compressed, read" script "$io" reads "$fmt" z.img ;;
    esac
    [ $qemu = 1 ] || return
    for f in a c z; do
        [ -f $f.img ] || continue
        ok "$t: qemu-img compare $f" qemu-img compare -f "$fmt" -F raw $f.img a.raw
        case $bits in *k*) ok "$t: qemu-img check $f" qemu-img check -f "$fmt" $f.img ;; esac
        "$img" info -f "$fmt" --output=json $f.img >1 2>&1
        qemu-img info -f "$fmt" --output=json $f.img >2 2>&1
        # qemu-img has no word on whether a parallels image was closed.
        facts 1 | { [ "$fmt" = parallels ] && grep -v dirty-flag || cat; } >1s
        facts 2 >2s
        ok "$t: info $f" diff 1s 2s
        "$img" check -f "$fmt" --output=json $f.img >1 2>&1
        qemu-img check -f "$fmt" --output=json $f.img 2>&1 | sed 's/^qemu-img/quern-img/' >2
        facts 1 >1s
        facts 2 >2s
        ok "$t: check output $f" diff 1s 2s
    done
    # shellcheck disable=SC2086
    ok "$t: qemu-img create" qemu-img create -q -f "$fmt" $o b.img 48M
    case $bits in
    *s*)
        rm -f b.img
        # shellcheck disable=SC2086
        ok "$t: qemu-img convert" qemu-img convert -f raw -O "$fmt" $o a.raw b.img
        ;;
    *)
        ok "$t: qemu-io writes" script qemu-io writes "$fmt" b.img
        ;;
    esac
    ok "$t: read what it wrote" script "$io" reads "$fmt" b.img
    case $bits in *k*) ok "$t: check what it wrote" "$img" check -f "$fmt" b.img ;; esac
    case $bits in
    *s*) ;;
    *)
        ok "$t: zero and write there" "$io" -f "$fmt" -c 'discard 0 1M' -c 'write -z 2M 2M' -c 'write -zu 20M 2M' \
            -c 'write -P 8 2500000 100000' -c 'write -P 8 40M 64k' b.img
        case $bits in *k*) ok "$t: qemu-img check after" qemu-img check -f "$fmt" b.img ;; esac
        ok "$t: qemu-io reads" qemu-io -f "$fmt" -c 'read -P 8 2500000 100000' -c 'read -P 0 2M 402848' \
            -c 'read -P 0 20M 2M' -c 'read -P 8 40M 64k' -c 'read -P 0 41M 1M' b.img
        ;;
    esac
    case $bits in *b*)
        "$img" create -q -f raw base.raw 48M
        writes | run "$io" raw base.raw
        # shellcheck disable=SC2086
        ok "$t: overlay" "$img" create -q -f "$fmt" $o -b base.raw -F raw o.img
        ok "$t: overlay, read through" script "$io" reads "$fmt" o.img
        ok "$t: overlay, write" "$io" -f "$fmt" -c 'write -P 9 1100000 70000' -c 'write -P 9 47M 1M' o.img
        ok "$t: overlay, qemu-io reads" qemu-io -f "$fmt" -c 'read -P 4 1000000 100000' -c 'read -P 9 1100000 70000' \
            -c 'read -P 4 1170000 100000' -c 'read -P 9 47M 1M' o.img
        # shellcheck disable=SC2086
        ok "$t: overlay by qemu-img" qemu-img create -q -f "$fmt" $o -b base.raw -F raw p.img
        ok "$t: overlay by qemu-img, read through" script "$io" reads "$fmt" p.img ;;
    esac
}

vmdk_more() { # overlays, disks larger than one extent, refusals
    rm -f ./*.vmdk
    "$img" create -q -f vmdk base.vmdk 48M
    writes | run "$io" vmdk base.vmdk
    ok 'vmdk: overlay' "$img" create -q -f vmdk -b base.vmdk -F vmdk o.vmdk
    ok 'vmdk: overlay, read through' script "$io" reads vmdk o.vmdk
    ok 'vmdk: overlay, write' "$io" -f vmdk -c 'write -P 9 1100000 70000' -c 'write -P 9 47M 1M' -c 'write -z 2M 1M' o.vmdk
    ok 'vmdk: overlay, read back' "$io" -f vmdk -c 'read -P 4 1000000 100000' -c 'read -P 9 1100000 70000' \
        -c 'read -P 4 1170000 100000' -c 'read -P 9 47M 1M' -c 'read -P 0 2M 1M' -c 'read -P 4 3M 800000' o.vmdk
    fails 'vmdk: backing of another format' 'must be a vmdk image' "$img" create -f vmdk -b base.vmdk -F raw p.vmdk
    fails 'vmdk: flat with backing' "Flat image can't have backing file" \
        "$img" create -f vmdk -o subformat=monolithicFlat -b base.vmdk -F vmdk p.vmdk
    fails 'vmdk: compat6 and hwversion' 'compat6 cannot' "$img" create -f vmdk -o compat6=on,hwversion=7 p.vmdk 1M
    for s in Sparse Flat; do
        ok "vmdk: two files, $s" "$img" create -q -f vmdk -o subformat=twoGbMaxExtent$s two$s.vmdk 3G
        ok "vmdk: over the seam, $s" "$io" -f vmdk -c 'write -P 3 2097000k 400k' -c 'read -P 3 2097000k 400k' two$s.vmdk
        [ $qemu = 0 ] || ok "vmdk: qemu-io over the seam, $s" qemu-io -f vmdk -c 'read -P 3 2097000k 400k' two$s.vmdk
    done
    [ $qemu = 1 ] || return
    ok 'vmdk: overlay, qemu-io reads' qemu-io -f vmdk -c 'read -P 4 1000000 100000' -c 'read -P 9 1100000 70000' \
        -c 'read -P 4 1170000 100000' -c 'read -P 9 47M 1M' -c 'read -P 0 2M 1M' -c 'read -P 4 3M 800000' o.vmdk
    "$img" info --output=json o.vmdk | sort | tr -d ' ,' | grep -v actual >1
    qemu-img info --output=json o.vmdk | sort | tr -d ' ,' | grep -v actual >2
    ok 'vmdk: info of an overlay' diff 1 2
    ok 'vmdk: overlay by qemu-img' qemu-img create -q -f vmdk -b base.vmdk -F vmdk p.vmdk
    ok 'vmdk: overlay by qemu-img, read through' script "$io" reads vmdk p.vmdk
    "$io" -f vmdk -c 'write 0 1' base.vmdk >/dev/null
    fails 'vmdk: a changed parent' 'Invalid argument' "$io" -f vmdk -c 'read 0 1M' p.vmdk
}

vhdx_log() { # a program that is killed leaves a log: either replays the other's
    for p in ours theirs; do
        [ $p = ours ] || [ $qemu = 1 ] || continue
        [ $p = ours ] && by=$io reader=qemu-io || by=qemu-io reader=$io
        [ $qemu = 1 ] || reader=$io
        "$img" create -q -f vhdx -o block_size=1M k.img 48M
        "$by" -f vhdx -c 'write -P 3 1M 5M' -c flush -c 'write -P 4 9M 100k' -c flush -c 'sleep 60000' k.img >k.out 2>&1 &
        pid=$! tries=0
        until grep -q '^wrote 102400' k.out || [ $tries -gt 50 ]; do sleep 0.2; tries=$((tries + 1)); done
        sleep 0.5
        kill -9 $pid
        cp k.img l.img
        wait 2>/dev/null
        ok "vhdx: log by $p, replayed" "$reader" -f vhdx -c 'read -P 3 1M 5M' -c 'read -P 4 9M 100k' -c 'read -P 0 10M 30M' k.img
        # qemu says that its log is empty after each update
        [ $p = theirs ] || fails "vhdx: log by $p, read-only" 'log that needs to be replayed' "$img" info -f vhdx l.img
        ok "vhdx: log by $p, check -r" "$img" check -r all -f vhdx l.img
        ok "vhdx: log by $p, check" "$img" check -f vhdx l.img
        ok "vhdx: log by $p, read" "$io" -f vhdx -c 'read -P 3 1M 5M' -c 'read -P 4 9M 100k' l.img
    done
}

read_only() { # bochs, cloop, dmg: the images of the unit test
    [ $qemu = 1 ] && [ -x "$build/tests/test-block-readonly" ] || return
    mkdir -p ro
    "$build/tests/test-block-readonly" "$PWD/ro" >/dev/null 2>&1
    for f in a.bochs b.bochs c.cloop d.dmg e.dmg; do
        [ -f ro/$f ] || continue
        ok "$f: to raw" "$img" convert -O raw ro/$f ro/x.raw
        ok "$f: qemu-img compare" qemu-img compare -F raw ro/$f ro/x.raw
    done
}

filters() {
    rm -f ./*.img ./*.raw
    "$img" create -q -f qed f.img 8M
    printf '[inject-error]\nevent = "l2_update"\nstate = "2"\nerrno = "28"\nonce = "on"\n\n[set-state]\nevent = "write_aio"\nstate = "1"\nnew_state = "2"\n' >f.cfg
    # the first write raises write_aio, then l2_update in state 2: it fails, the second does not
    "$io" -f qed -c 'write -P 1 0 4k' -c 'write -P 2 64k 4k' -c 'read -P 2 64k 4k' -c 'read -P 0 0 4k' blkdebug:f.cfg:f.img >out 2>&1
    ok 'blkdebug: rules of a file' test "$(grep -c 'No space left' out)$(grep -c '^wrote' out)$(grep -c 'verification' out)" = 110
    "$img" check -f qed f.img >out 2>&1
    ok 'blkdebug: a leak at most' test $? = 3
    "$io" --image-opts -c 'write -P 3 0 1M' -c 'read 0 512' -c 'read 4k 512' -c 'read 0 512' \
        driver=blkdebug,image.driver=qed,image.file.filename=f.img,inject-error.0.event=none,inject-error.0.iotype=read,inject-error.0.sector=0,inject-error.0.once=on >out 2>&1
    ok 'blkdebug: once, by sector' test "$(grep -c 'read failed' out)$(grep -c '^read 512' out)" = 12
    fails 'blkdebug: unknown event' 'Invalid event name' "$io" --image-opts -c 'read 0 1' \
        driver=blkdebug,image.filename=f.img,inject-error.0.event=nope
    fails 'blkdebug: no config file' "Could not read blkdebug config file 'nosuch'" "$io" -c 'read 0 1' blkdebug:nosuch:f.img
    "$img" create -q -f raw v.raw 8M
    "$img" create -q -f vdi v.img 8M
    ok 'blkverify' "$io" -f blkverify -c 'write -P 5 1M 100k' -c 'write -z 1M 4k' -c 'read 0 5M' blkverify:v.raw:v.img
    "$io" -f raw -c 'write -P 6 1M 1' v.raw >/dev/null
    fails 'blkverify: a difference' 'contents mismatch at offset 1048576' "$io" -f blkverify -c 'read 0 5M' blkverify:v.raw:v.img
    "$img" create -q -f raw b.raw 8M
    "$io" -f raw -c 'write -P 5 1M 100k' b.raw >/dev/null
    "$img" create -q -f qcow2 -b b.raw -F raw o.img
    ok 'copy-on-read' "$io" --image-opts -c 'read -P 5 1050k 10k' driver=copy-on-read,file.driver=qcow2,file.file.filename=o.img
    "$io" -f raw -c 'write -z 0 8M' b.raw >/dev/null
    ok 'copy-on-read: it was copied' "$io" -f qcow2 -c 'read -P 5 1050k 10k' -c 'read -P 0 2M 1M' o.img
    "$io" -f raw -c 'write -P 7 3M 100k' b.raw >/dev/null
    ok 'copy-on-read: -C' "$io" -C -f qcow2 -c 'read -P 7 3M 100k' -c 'write -P 8 4M 4k' o.img
    "$io" -f raw -c 'write -z 0 8M' b.raw >/dev/null
    ok 'copy-on-read: -C, it was copied' "$io" -f qcow2 -c 'read -P 7 3M 100k' -c 'read -P 8 4M 4k' o.img
    fails 'throttle: no group' "Throttle group 'g' does not exist" "$io" --image-opts -c 'read 0 1' \
        driver=throttle,throttle-group=g,file.driver=qcow2,file.file.filename=o.img
}

quorum() {
    rm -f ./*.img
    for i in 0 1 2; do "$img" create -q -f qcow2 q$i.img 8M; done
    three=children.0.file.filename=q0.img,children.1.file.filename=q1.img,children.2.driver=qcow2,children.2.file.filename=q2.img
    ok 'quorum: write' "$io" --image-opts -c 'write -P 1 1M 100k' -c 'write -z 2M 1M' "driver=quorum,vote-threshold=2,$three"
    "$io" -f qcow2 -c 'write -P 9 1M 4k' q1.img >/dev/null
    ok 'quorum: read, one differs' "$io" --image-opts -c 'read -P 1 1M 100k' "driver=quorum,vote-threshold=2,$three"
    fails 'quorum: all must agree' 'Input/output error' "$io" --image-opts -c 'read 1M 100k' "driver=quorum,vote-threshold=3,$three"
    ok 'quorum: rewrite' "$io" --image-opts -c 'read -P 1 1M 100k' "driver=quorum,vote-threshold=2,rewrite-corrupted=on,$three"
    ok 'quorum: rewritten' "$io" -f qcow2 -c 'read -P 1 1M 100k' q1.img
    ok 'quorum: fifo' "$io" --image-opts -c 'read -P 1 1M 100k' "driver=quorum,read-pattern=fifo,$three"
    fails 'quorum: threshold' 'threshold may not exceed' "$io" --image-opts -c 'read 0 1' "driver=quorum,vote-threshold=4,$three"
}

faults() { # a write to the file fails at one of many places: what was flushed before is there, nothing is corrupt
    for fmt in vmdk vdi vpc vhdx qed qcow parallels; do
        rm -f ./*.img
        case $fmt in vhdx) o='-o block_size=1M' ;; parallels) o='-o cluster_size=64k' ;; qed) o='-o cluster_size=4k,table_size=2' ;; *) o= ;; esac
        # shellcheck disable=SC2086
        "$img" create -q -f $fmt $o good.img 16M
        "$io" -f $fmt -c 'write -P 1 1M 200k' -c 'write -P 2 9M 64k' -c flush good.img >/dev/null
        bad=0 hit=0
        for sector in 0 1 2 4 9 21 38 42 60 128 131 256 300 384 420 512 513 520 1000 2048 2056 4096 6144 8200 9000 12288 16384; do
            cp good.img f.img
            "$io" -t unsafe --image-opts -c 'write -P 3 2M 100k' -c 'write -P 4 12M 70k' -c flush -c 'write -P 5 9M 4k' -c flush -c 'write -P 6 5M 1M' \
                "driver=$fmt,file.driver=blkdebug,file.image.driver=file,file.image.filename=f.img,file.inject-error.0.event=none,file.inject-error.0.iotype=write,file.inject-error.0.errno=5,file.inject-error.0.sector=$sector,file.inject-error.0.once=on" >out 2>&1
            grep -q 'Input/output' out && hit=$((hit + 1))
            "$img" check -r leaks -f $fmt f.img >out 2>&1
            case $? in 0 | 1 | 3 | 63) ;; *) bad=$((bad + 1)); cat out ;; esac
            "$io" -f $fmt -c 'read -P 1 1M 200k' -c 'read -P 2 9220k 60k' f.img >out 2>&1
            grep -q 'verif\|fail\|open' out && { bad=$((bad + 1)); echo "sector $sector"; head -n 3 out; }
        done
        ok "$fmt: failing writes" test $bad = 0
        ok "$fmt: writes did fail" test $hit -gt 0
    done
}

formats=${FORMATS:-vmdk vdi vpc vhdx qed qcow parallels readonly filters faults}
for f in $formats; do
    case $f in
    vdi)
        matrix vdi '' k
        matrix vdi static=on k
        ;;
    vmdk)
        for s in monolithicSparse monolithicFlat twoGbMaxExtentSparse twoGbMaxExtentFlat; do matrix vmdk subformat=$s k; done
        matrix vmdk subformat=streamOptimized cks
        matrix vmdk zeroed_grain=on,adapter_type=lsilogic k
        vmdk_more
        ;;
    vpc)
        matrix vpc '' ''
        matrix vpc force_size=on ''
        matrix vpc subformat=fixed ''
        matrix vpc subformat=fixed,force_size=on ''
        ;;
    vhdx)
        matrix vhdx '' k
        matrix vhdx block_size=1M,log_size=2M k
        matrix vhdx block_state_zero=off k
        matrix vhdx subformat=fixed k
        vhdx_log
        ;;
    qed)
        matrix qed '' kb
        matrix qed cluster_size=4k,table_size=2 kb # qemu-img 7.2 cannot open what it makes with table_size=1
        matrix qed cluster_size=1M,table_size=16 kb
        ;;
    qcow)
        matrix qcow '' cb
        ;;
    readonly) read_only ;;
    filters)
        filters
        quorum
        ;;
    faults) faults ;;
    parallels)
        matrix parallels '' k
        matrix parallels cluster_size=64k k
        ;;
    esac
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
