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
build mipsn32 mips64-linux-gnuabi64 "-mabi=n32 -mips64r2" qemu-mipsn32 MIPS64R2-generic
build mipsn32el mips64el-linux-gnuabi64 "-mabi=n32 -mips64r2" qemu-mipsn32el MIPS64R2-generic

# MIPS16e code; start.S of the 32-bit set calls it by jalx
m16() { # name, compiler prefix, qemu
    "$2-gcc" -O2 -g0 -ffreestanding -fno-builtin -fno-pic -mno-abicalls -G0 -mabi=32 -mips32r2 -mfp32 -mips16 -minterlink-mips16 \
        -std=gnu11 -Wall -c m16.c -o m16.o
    "$2-gcc" -mabi=32 -mips32r2 -mfp32 -mno-abicalls -fno-pic -c run.S -o run.o
    "$2-gcc" -static -nostdlib -mabi=32 -Wl,-Ttext-segment=0x10000,--build-id=none,-N -s run.o m16.o -lgcc -o "$1.elf"
    rm -f m16.o run.o
    "$3" -cpu 24Kf "./$1.elf" > "$1.txt"
}
m16 m16 mips-linux-gnu qemu-mips
m16 m16el mipsel-linux-gnu qemu-mipsel
