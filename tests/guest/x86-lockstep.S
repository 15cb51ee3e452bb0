/*
 * x86-lockstep.S - a guest without end for tests of -lockstep, the end of a PC's ROM: what lockstep.S does, in 32-bit protected mode
 * with paging. Integers, shifts, compares, narrow loads and stores, calls and returns, SSE and x87, a string instruction, and
 * loads from a page that is not there, in loops that become hot. What it computes is folded into memory.
 *
 * Build: gcc -m32 -c -o l.o x86-lockstep.S && ld -m elf_i386 -Ttext 0xfffffc00 --oformat binary -o x86-lockstep.bin l.o
 * A test puts zeros in front of it, to 64 KiB, for -bios.
 */
        .text
        .globl  _start

#define RAM 0x10000                     /* where it runs */
#define IN_ROM(x) (x - _start + 0xfc00) /* in the reset's code segment */
#define IN_RAM(x) (x - main + RAM)
#define PAGES 0x8000
#define IDT 0x9000
#define DATA 0x200000
#define ABSENT 0x400000
#define FP 0x3000                       /* behind DATA */

_start:
        .code16
        lgdtl   %cs:IN_ROM(gdtr)
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        ljmpl   $8, $protected
        .balign 8
gdt:    .quad   0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdtr:   .word   23
        .long   gdt

        .code32
protected:
        mov     $16, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     $0x7000, %esp
        cld
        mov     $main, %esi
        mov     $RAM, %edi
        mov     $(end - main), %ecx
        rep movsb
        mov     $RAM, %eax
        jmp     *%eax

main:   xor     %eax, %eax              /* two pages of 4 MiB */
        mov     $PAGES, %edi
        mov     $0x800, %ecx
        rep stosl
        movl    $0x83, PAGES
        movl    $0xffc00083, PAGES + 1023 * 4 /* the ROM has the GDT */
        movl    $(8 << 16 | (IN_RAM(handler) & 0xffff)), IDT + 14 * 8
        movl    $((IN_RAM(handler) & 0xffff0000) | 0x8e00), IDT + 14 * 8 + 4
        lidt    IN_RAM(idtr)
        mov     $0x210, %eax            /* PSE, OSFXSR */
        mov     %eax, %cr4
        mov     $PAGES, %eax
        mov     %eax, %cr3
        mov     $0x80000033, %eax       /* PG, NE, MP, PE */
        mov     %eax, %cr0
        fninit
        mov     $DATA, %esi
        mov     $1, %ebx                /* seed */
        xor     %edi, %edi
        movl    $0x3f800000, FP(%esi)   /* 1.0 */
        movl    $0x40490fdb, FP + 4(%esi) /* pi */
        movss   FP(%esi), %xmm1
        movss   FP + 4(%esi), %xmm2
        xorps   %xmm0, %xmm0

loop:   mov     %ebx, %eax              /* xorshift and a product */
        shl     $13, %eax
        xor     %eax, %ebx
        mov     %ebx, %eax
        shr     $17, %eax
        xor     %eax, %ebx
        mov     %ebx, %eax
        shl     $5, %eax
        xor     %eax, %ebx
        imul    $0x6d4b, %ebx, %ecx
        add     %ecx, %edi
        mov     %ecx, %edx
        sar     $7, %edx
        mov     %ebx, %eax
        sar     %cl, %eax
        add     %eax, %edx
        mov     %ebx, %ebp              /* memory */
        and     $0xffc, %ebp
        add     %esi, %ebp
        mov     %edx, (%ebp)
        movsbl  (%ebp), %eax
        movzwl  2(%ebp), %ecx
        movswl  (%ebp), %edx
        add     %eax, %edi
        adc     %ecx, %edi
        sub     %edx, %edi
        mov     %di, 0x1000(%ebp)
        mov     %cl, 0x1002(%ebp)
        cmp     %edx, %eax              /* compares */
        setl    %al
        movzbl  %al, %eax
        add     %eax, %edi
        cmp     $0x70000000, %ebx
        sbb     $0, %edi
        mov     %ebx, %eax
        and     $7, %eax
        cmp     $3, %eax
        jle     1f
        add     $3, %edi
1:      test    $3, %bl
        jnz     2f
        mov     %ebp, %edx              /* an access that faults */
        mov     ABSENT - DATA + 8(%edx), %eax
        add     %eax, %edi
2:      cvtsi2ss %ebx, %xmm3            /* floating point */
        mulss   %xmm2, %xmm3
        addss   %xmm1, %xmm0
        addss   %xmm0, %xmm3
        movss   %xmm3, FP + 8(%esi)
        xor     FP + 8(%esi), %edi
        flds    FP + 4(%esi)
        fadds   FP + 8(%esi)
        fistpl  FP + 12(%esi)
        xor     FP + 12(%esi), %edi
        mov     $5, %ecx                /* an inner loop with a call */
3:      call    fold
        dec     %ecx
        jnz     3b
        mov     %edi, 0x2000(%esi)
        jmp     loop

fold:   rol     $7, %edi
        xor     %ecx, %edi
        add     0x2000(%esi), %edi
        ret

handler:
        addl    $6, 4(%esp)            /* behind the load */
        mov     4(%esp), %eax
        add     %eax, %edi
        mov     %cr2, %eax
        add     %eax, %edi
        add     $4, %esp
        iret

idtr:   .word   15 * 8 - 1
        .long   IDT
end:
        .org    0x3f0
        .code16
        jmp     _start
        .org    0x400
