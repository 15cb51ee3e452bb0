#!/bin/sh
# build.sh - builds tests/user/bin/suite-TARGET.gz and debuggee-TARGET with the Debian cross compilers (gcc-mipsel-linux-gnu and so on).
set -e
cd "$(dirname "$0")"
mkdir -p bin
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
for pair in mipsel:mipsel-linux-gnu mips:mips-linux-gnu mips64el:mips64el-linux-gnuabi64 mips64:mips64-linux-gnuabi64; do
    target=${pair%%:*} cc=${pair#*:}-gcc
    command -v "$cc" >/dev/null || { echo "no $cc: $target left as it is"; continue; }
    objects=
    for test in signals threads files process wild unaligned hot walk; do
        "$cc" -Os -w -Dmain=${test}_main -c $test.c -o "$tmp/$test.o"
        objects="$objects $tmp/$test.o"
    done
    # shellcheck disable=SC2086
    "$cc" -Os -static -s suite.c $objects -o "$tmp/suite-$target" -lpthread
    "$cc" -O1 -fno-pic -mno-abicalls -fno-stack-protector -nostdlib -static -Wl,--build-id=none -o "bin/debuggee-$target" debuggee.c
    gzip -9n <"$tmp/suite-$target" >"bin/suite-$target.gz"
done
# step-TARGET.txt: what they print on the host, which is a processor of that kind
if [ "$(uname -m)" = x86_64 ]; then
    for pair in x86_64:64 i386:32; do
        target=${pair%%:*}
        gcc -m${pair#*:} -O1 -fno-pic -no-pie -mno-red-zone -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -nostdlib -static -s \
            -Wl,--build-id=none -Wl,-N -o "bin/step-$target" step.c && "bin/step-$target" >"step-$target.txt"
    done
fi
ls -l bin
