#!/bin/sh
# build.sh - builds the guest programs of this folder with the Debian cross compilers and makes the expected
# outputs with qemu-user 7.2. Run it here. The results are committed, so that tests need neither.
set -e
build() { # name, compiler prefix, flags, qemu, cpu
    "$2-gcc" -I../.. -O2 -g0 -ffreestanding -fno-builtin -fno-pic -mno-abicalls -G0 -static -nostdlib -std=gnu11 -Wall \
        $3 -Wl,-Ttext-segment=0x10000,--build-id=none,-N -s run.S insn.c -o "$1.elf"
    "$4" -cpu "$5" "./$1.elf" > "$1.txt"
}
build mips mips-linux-gnu "-mabi=32 -mips32r2 -mfp32 -DMIPS16" qemu-mips 24Kf
build mipsel mipsel-linux-gnu "-mabi=32 -mips32r2 -mfp32 -DMIPS16" qemu-mipsel 24Kf
build mips64 mips64-linux-gnuabi64 "-mabi=64 -mips64r2" qemu-mips64 MIPS64R2-generic
build mips64el mips64el-linux-gnuabi64 "-mabi=64 -mips64r2" qemu-mips64el MIPS64R2-generic
