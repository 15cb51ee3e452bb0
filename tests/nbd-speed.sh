#!/bin/sh
# nbd-speed.sh [ROUNDS] - quern-nbd beside qemu-nbd, through libnbd's tools: sequential by nbdcopy, random by its python
# module, on raw and qcow2. Rounds of both servers take turns; printed are medians of the time that passed and of the
# server's processor time, and their ratios (over 1: quern-nbd is the faster). Run by hand; not part of make check.
set -u
build=${QUERN_BUILD:-$(pwd)}
rounds=${1:-5}
for tool in qemu-nbd qemu-img nbdcopy; do
    command -v $tool >/dev/null || { echo "$tool is not installed (Debian: qemu-utils, libnbd-bin)"; exit 77; }
done
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
sock=$dir/s uri="nbd+unix:///?socket=$dir/s"
dd if=/dev/urandom of="$dir/d.raw" bs=1M count=256 2>/dev/null
qemu-img convert -f raw -O qcow2 "$dir/d.raw" "$dir/d.qcow2"
cat >"$dir/blocks.py" <<'END'
import nbd, random, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
write, depth, count = sys.argv[2] == "w", int(sys.argv[3]), int(sys.argv[4])
random.seed(1)
blocks = h.get_size() // 4096
bufs = [nbd.Buffer.from_bytearray(bytearray(random.randbytes(4096))) for _ in range(depth)]
flying, done = [], 0
while done < count or flying:
    while len(flying) < depth and done < count:
        at = random.randrange(blocks) * 4096
        flying.append(h.aio_pwrite(bufs[done % depth], at) if write else h.aio_pread(bufs[done % depth], at))
        done += 1
    h.poll(-1)
    flying = [c for c in flying if not h.aio_command_completed(c)]
h.shutdown()
END
# once SERVER FORMAT COMMAND: "wall-ms cpu-ms"
once() {
    rm -f "$sock"
    "$1" -f "$2" -t -e 0 -k "$sock" "$dir/d.$2" &
    server=$!
    while [ ! -S "$sock" ]; do sleep 0.02; done
    sleep 0.1
    start=$(date +%s%N)
    sh -c "$3" >/dev/null || echo "$3 failed" >&2
    end=$(date +%s%N)
    awk -v wall=$(((end - start) / 1000)) '{ print wall / 1000, ($14 + $15) * 10 }' /proc/$server/stat
    kill $server
    wait $server 2>/dev/null
}
median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
measure() { # NAME FORMAT COMMAND
    : >"$dir/ours"; : >"$dir/theirs"
    n=0
    while [ $n -lt "$rounds" ]; do
        once "$build/quern-nbd" "$2" "$3" >>"$dir/ours"
        once qemu-nbd "$2" "$3" >>"$dir/theirs"
        n=$((n + 1))
    done
    ow=$(cut -d' ' -f1 "$dir/ours" | median) oc=$(cut -d' ' -f2 "$dir/ours" | median)
    tw=$(cut -d' ' -f1 "$dir/theirs" | median) tc=$(cut -d' ' -f2 "$dir/theirs" | median)
    awk -v n="$1" -v f="$2" -v ow="$ow" -v oc="$oc" -v tw="$tw" -v tc="$tc" \
        'BEGIN { printf "%-34s %-6s %9.0f %9.0f %7.2f %9.0f %9.0f %7.2f\n", n, f, ow, tw, tw / ow, oc, tc, tc / (oc ? oc : 10) }' | tee -a "$dir/table"
}
printf '%-34s %-6s %9s %9s %7s %9s %9s %7s\n' what format 'ms' 'qemu ms' ratio 'cpu ms' 'qemu cpu' ratio
py=/usr/bin/python3
for f in raw qcow2; do
    measure 'sequential read' $f "nbdcopy '$uri' null:"
    measure 'sequential read, one connection' $f "nbdcopy --connections=1 '$uri' null:"
    measure 'sequential write' $f "nbdcopy '$dir/d.raw' '$uri'"
    if $py -c 'import nbd' 2>/dev/null; then
        measure 'random 4k read, one at a time' $f "$py '$dir/blocks.py' '$uri' r 1 5000"
        measure 'random 4k read, 16 at once' $f "$py '$dir/blocks.py' '$uri' r 16 10000"
        measure 'random 4k write, one at a time' $f "$py '$dir/blocks.py' '$uri' w 1 5000"
        measure 'random 4k write, 16 at once' $f "$py '$dir/blocks.py' '$uri' w 16 10000"
    fi
done
awk '{ w += log($(NF - 3)); c += log($NF); n++ } END { printf "geometric mean of the ratios: %.2f (time), %.2f (processor time)\n", exp(w / n), exp(c / n) }' "$dir/table"
