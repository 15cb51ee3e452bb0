# flatboot.S - an option ROM that starts a 32-bit kernel which fw_cfg holds (machines/boot/x86-flat.c puts it there).
#
# Follows the Plug and Play BIOS specification 1.0a (expansion header with a bootstrap entry vector). The parts go to their places
# by fw_cfg's DMA; then the kernel is entered in flat protected mode without paging, eax and ebx as a Multiboot boot loader and
# the PVH boot protocol have them. Assembled into flatboot.h as linuxboot.S is.
        .code16
        .text
SELECT  = 0x510
DATA    = 0x511
DMA_LOW = 0x518

start:  .byte 0x55, 0xaa, 1             # 512 bytes
        jmp init
        .org 0x1a
        .word pnp
        .balign 16
pnp:    .ascii "$PnP"
        .byte 1, 2                      # revision, 32 bytes
        .word 0
        .byte 0, 0                      # checksum: filled in by the program
        .long 0
        .word 0, product
        .byte 0x02, 0x80, 0             # mass storage
        .byte 0
        .word 0, 0, boot, 0, 0
product: .asciz "kernel loader"

init:   mov $0x20, %ax                  # there is a device to boot from
        lret

# Item ax, a number of 32 bits, to eax.
get:    mov $SELECT, %dx
        out %ax, %dx
        inc %dx
        mov $4, %cx
1:      in %dx, %al
        ror $8, %eax
        loop 1b
        ret

boot:   cli
        cld
        xor %ax, %ax
        mov %ax, %ss
        mov $0x7c00, %sp
        mov $parts, %si
next:   mov %cs:(%si), %ax              # the number that says the size
        test %ax, %ax
        jz run
        call get
        test %eax, %eax
        jz 2f
        mov %eax, %ebx
        mov %cs:2(%si), %ax             # the address
        call get
        bswap %eax
        pushl %eax                      # a descriptor: control, length, address, all big-endian
        pushl $0
        bswap %ebx
        pushl %ebx
        movzwl %cs:4(%si), %eax         # the data
        shl $16, %eax
        or $0x0a, %eax                  # select and read
        bswap %eax
        pushl %eax
        mov %sp, %bp
        movzwl %sp, %eax
        bswap %eax
        mov $DMA_LOW, %dx
        out %eax, %dx
1:      cmpl $0, (%bp)
        jne 1b
        add $16, %sp
2:      add $6, %si
        jmp next

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
