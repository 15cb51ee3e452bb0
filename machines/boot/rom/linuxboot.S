# linuxboot.S - an option ROM that starts a Linux kernel which fw_cfg holds (machines/boot/x86-linux.c puts it there).
#
# Follows the Plug and Play BIOS specification 1.0a (expansion header with a bootstrap entry vector) and Linux's
# Documentation/arch/x86/boot.rst. The parts go straight to their places by fw_cfg's DMA, which reaches all of the memory;
# then the kernel's own setup code runs in real mode. Assembled into linuxboot.h by:
#
#   as --32 -o linuxboot.o linuxboot.S && ld -m elf_i386 -Ttext 0 -e 0 --oformat binary -o linuxboot.bin linuxboot.o &&
#   xxd -i linuxboot.bin (or any other way to write bytes as a C array)
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
product: .asciz "Linux loader"

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
