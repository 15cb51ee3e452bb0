# linuxboot.S - an option ROM that starts a Linux kernel which fw_cfg holds (machines/boot/x86-linux.c puts it there).
#
# Follows the Plug and Play BIOS specification 1.0a (expansion header with a bootstrap entry vector) and Linux's
# Documentation/arch/x86/boot.rst. The parts go straight to their places by fw_cfg's DMA, which reaches all of the memory;
# then the kernel's own setup code runs in real mode. Assembled into linuxboot.h, in this folder, by:
#
#   as --32 -o linuxboot.o linuxboot.S && ld -m elf_i386 -Ttext 0 -e 0 --oformat binary -o linuxboot.bin linuxboot.o &&
#   xxd -i linuxboot.bin (or any other way to write bytes as a C array)
        .macro PRODUCT
        .asciz "Linux loader"
        .endm
        .include "loader.inc"

run:    mov $0x13, %ax                  # the command line's address: the stack ends before it
        call get
        mov %eax, %ebx
        mov $0x16, %ax                  # the setup code's address
        call get
        sub %eax, %ebx
        shr $4, %eax
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %fs
        mov %ax, %gs
        mov %ax, %ss
        lea -16(%bx), %sp
        add $0x20, %ax
        push %ax
        push $0
        lret

# size, address, data
parts:  .word 0x17, 0x16, 0x18          # setup code
        .word 0x14, 0x13, 0x15          # command line
        .word 0x0b, 0x0a, 0x12          # initial RAM disk
        .word 0x08, 0x07, 0x11          # kernel
        .word 0
        .org 511
        .byte 0                         # checksum: filled in by the program
