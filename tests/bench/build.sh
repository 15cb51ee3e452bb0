#!/bin/sh
# Builds the benchmark programs for every guest whose cross compiler is there, into guest/TARGET/NAME. The results are
# committed, so that a benchmark needs no cross compiler.
cd "$(dirname "$0")" || exit 1
build() {
    target=$1 cc=$2
    shift 2
    command -v "$cc" >/dev/null || { echo "build.sh: $cc is missing: $target left as it is"; return; }
    mkdir -p "guest/$target"
    for src in *.c; do
        "$cc" -O2 -ffreestanding -fno-builtin -fno-tree-loop-distribute-patterns -fno-stack-protector -nostdlib -static "$@" \
            -Wl,--build-id=none -o "guest/$target/${src%.c}" "$src" -lgcc 2>/dev/null || echo "build.sh: $target: $src failed"
        "${cc%gcc}strip" "guest/$target/${src%.c}"
    done
}
build mipsel mipsel-linux-gnu-gcc -mno-abicalls -fno-pic -G0
build mips mips-linux-gnu-gcc -mno-abicalls -fno-pic -G0
build mips64el mips64el-linux-gnuabi64-gcc -mno-abicalls -fno-pic -G0
build mips64 mips64-linux-gnuabi64-gcc -mno-abicalls -fno-pic -G0
# i386 has the x87 for floating point, x86_64 SSE.
build i386 i686-linux-gnu-gcc -march=i686 -fno-pic -no-pie -fno-asynchronous-unwind-tables
build x86_64 x86_64-linux-gnu-gcc -fno-pic -no-pie -fno-asynchronous-unwind-tables
