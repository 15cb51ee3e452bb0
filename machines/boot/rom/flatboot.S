# flatboot.S - an option ROM that starts a 32-bit kernel which fw_cfg holds (machines/boot/x86-flat.c puts it there).
#
# Follows the Plug and Play BIOS specification 1.0a (expansion header with a bootstrap entry vector). The parts go to their places
# by fw_cfg's DMA; then the kernel is entered in flat protected mode without paging, eax and ebx as a Multiboot boot loader and
# the PVH boot protocol have them. Assembled into flatboot.h as linuxboot.S is.
        .macro PRODUCT
        .asciz "kernel loader"
        .endm
        .include "loader.inc"

run:    mov $0x10, %ax                  # the entry
        call get
        mov %eax, %edi
        mov $0x0a, %ax                  # the information's address
        call get
        mov %eax, %ebx
        in $0x92, %al                   # A20
        or $2, %al
        and $0xfe, %al
        out %al, $0x92
        xor %ecx, %ecx
        mov %cs, %cx
        shl $4, %ecx
        lea gdt(%ecx), %eax
        pushl %eax
        pushw $23
        mov %sp, %bp
        lgdtl (%bp)
        pushl $8
        lea flat(%ecx), %eax
        pushl %eax
        mov %cr0, %eax
        or $1, %al
        mov %eax, %cr0
        lretl
        .code32
flat:   mov $16, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        mov %eax, %fs
        mov %eax, %gs
        mov $0x2badb002, %eax
        jmp *%edi

# size, address, data
parts:  .word 0x0b, 0x0a, 0x12          # information and modules
        .word 0x08, 0x07, 0x11          # kernel
        .word 0
        .balign 8
gdt:    .quad 0
        .quad 0x00cf9b000000ffff
        .quad 0x00cf93000000ffff
        .org 511
        .byte 0                         # checksum: filled in by the program
