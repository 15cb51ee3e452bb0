/*
 * x86-smp.S - what several CPUs of a PC do to each other, as the end of a ROM: 32-bit protected mode with paging. Atomic operations
 * of all sizes and places, locks, page table entries that are changed while others walk over them, code that one CPU writes and
 * the others run, interrupts between CPUs that spin or sleep. It prints "N CPUs" and "ok", or which check failed, on COM1,
 * and ends by a triple fault.
 *
 * Build: gcc -m32 -c -o s.o x86-smp.S && ld -m elf_i386 -Ttext 0xfffff800 --oformat binary -o x86-smp.bin s.o
 * A test puts zeros in front of it, to 64 KiB, for -bios.
 */
        .text
        .globl  _start

#define RAM 0x10000                     /* where it runs */
#define IN_ROM(x) (x - _start + 0xf800) /* in the reset's code segment */
#define IN_RAM(x) (x - main + RAM)
#define START 0x8000                    /* of the other CPUs */
#define PAGES 0x20000
#define TABLE 0x21000                   /* of the first 4 MiB */
#define IDT 0x22000
#define STACKS 0x30000                  /* 4 KiB each */
#define DATA 0x200000
#define SWAPPED 0x300000                /* pages whose entries change */
#define CODE 0x340000                   /* pages that are written and run */
#define N_SWAPPED 16
#define N_CODE 32
#define APIC 0xfee00000
#define ICR (APIC + 0x300)

#define ATOMICS 4000                    /* rounds */
#define SWAPS 300
#define PATCHES 600
#define IPIS 400

#define CPUS (DATA + 0x000)
#define ALIVE (DATA + 0x004)
#define BAR_COUNT (DATA + 0x008)
#define BAR_TURN (DATA + 0x00c)
#define FAILED (DATA + 0x010)
#define DONE (DATA + 0x014)
#define SEQ (DATA + 0x018)
#define ACKS (DATA + 0x01c)
#define LOCK (DATA + 0x040)
#define C_INC (DATA + 0x080)
#define C_XADD (DATA + 0x0c0)
#define C_CAS (DATA + 0x100)
#define C_LOCKED (DATA + 0x140)
#define C_CAS8 (DATA + 0x180)
#define C_WORD (DATA + 0x1c0)
#define C_BYTE (DATA + 0x200)
#define C_ODD (DATA + 0x241)            /* two words of the host */
#define C_EDGE (DATA + 0xffe)           /* two pages */
#define C_CODE (IN_RAM(in_code))        /* on a page with code */

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
        cld
        mov     $main, %esi
        mov     $RAM, %edi
        mov     $(end - main), %ecx
        rep movsb
        mov     $RAM, %eax
        jmp     *%eax

/* ---- from here on in RAM ---- */
main:   mov     $(STACKS + 0x1000), %esp
        mov     $DATA, %edi             /* data, and stacks and tables below */
        xor     %eax, %eax
        mov     $0x800, %ecx
        rep stosl
        mov     $PAGES, %edi
        mov     $0xc00, %ecx
        rep stosl
        movl    $(TABLE | 3), PAGES
        movl    $(0xfec00000 | 0x83), PAGES + 1019 * 4
        mov     $3, %eax
        mov     $TABLE, %edi
        mov     $0x400, %ecx
1:      stosl
        add     $0x1000, %eax
        loop    1b
        mov     $IN_RAM(page_fault), %eax
        mov     $14, %ebx
        call    gate
        mov     $IN_RAM(ipi), %eax
        mov     $0x40, %ebx
        call    gate
        mov     $IN_RAM(ipi), %eax      /* spurious: never counted twice */
        mov     $0x4f, %ebx
        call    gate
        mov     $CODE, %edi             /* mov $0, %eax; ret */
        mov     $N_CODE, %ecx
1:      movb    $0xb8, (%edi)
        movl    $0, 1(%edi)
        movb    $0xc3, 5(%edi)
        add     $0x1000, %edi
        loop    1b
        mov     $0x510, %edx            /* fw_cfg: how many CPUs */
        mov     $5, %ax
        out     %ax, %dx
        inc     %edx
        in      %dx, %al
        movzbl  %al, %eax
        mov     %eax, CPUS
        mov     $IN_RAM(ap), %esi       /* the others' start */
        mov     $START, %edi
        mov     $(ap_end - ap), %ecx
        rep movsb
        movl    $1, ALIVE
        call    settle
        movl    $0x000c4500, ICR        /* INIT, and a start-up, to all but this one */
        call    sent
        movl    $(0x000c4600 | START >> 12), ICR
        call    sent
1:      pause
        mov     ALIVE, %eax
        cmp     CPUS, %eax
        jne     1b
        xor     %ebp, %ebp
        call    decimal
        mov     $IN_RAM(text_cpus), %esi
        call    print
        jmp     work

/* The start of another CPU, copied to START. */
ap:     .code16
        xor     %ax, %ax
        mov     %ax, %ds
        lgdtl   START + ap_gdtr - ap
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        ljmpl   $8, $IN_RAM(ap32)
        .balign 8
ap_gdt: .quad   0, 0x00cf9a000000ffff, 0x00cf92000000ffff
ap_gdtr: .word  23
        .long   START + ap_gdt - ap
ap_end: .code32
ap32:   mov     $16, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        cld
        mov     $1, %ebp
        lock xadd %ebp, ALIVE           /* its number; what follows needs no stack yet */
        mov     %ebp, %esp
        shl     $12, %esp
        add     $(STACKS + 0x1000), %esp
        call    settle
        jmp     work

/* Paging, interrupts, the local APIC; all CPUs. */
settle: lidt    IN_RAM(idtr)
        lgdt    IN_RAM(ram_gdtr)
        mov     $PAGES, %eax
        mov     %eax, %cr3
        mov     %cr4, %eax
        or      $0x10, %eax             /* PSE */
        mov     %eax, %cr4
        mov     %cr0, %eax
        or      $0x80010000, %eax       /* PG, WP */
        mov     %eax, %cr0
        movl    $0x14f, APIC + 0xf0
        ret

sent:   testl   $0x1000, ICR
        jnz     sent
        ret

/* eax: handler, ebx: vector */
gate:   movzwl  %ax, %ecx
        or      $(8 << 16), %ecx
        mov     %ecx, IDT(, %ebx, 8)
        mov     $0x8e00, %ax
        mov     %eax, IDT + 4(, %ebx, 8)
        ret

page_fault:
        add     $4, %esp                /* again: it will be there */
        iret
ipi:    lock incl ACKS
        movl    $0, APIC + 0xb0
        iret

/* All CPUs come here before one goes on. */
barrier:
        mov     BAR_TURN, %edx
        mov     $1, %eax
        lock xadd %eax, BAR_COUNT
        inc     %eax
        cmp     CPUS, %eax
        je      2f
1:      pause
        cmp     BAR_TURN, %edx
        je      1b
        ret
2:      movl    $0, BAR_COUNT
        incl    BAR_TURN
        ret

/* ebp: the CPU's number */
work:   call    barrier

        mov     $ATOMICS, %esi
atomics:
        lock incl C_INC
        mov     $1, %eax
        lock xadd %eax, C_XADD
        mov     C_CAS, %eax
1:      lea     1(%eax), %edx
        lock cmpxchg %edx, C_CAS
        jne     1b
2:      mov     $1, %eax
        xchg    %eax, LOCK
        test    %eax, %eax
        jz      3f
        pause
        jmp     2b
3:      incl    C_LOCKED
        movl    $0, LOCK
        mov     C_CAS8, %eax
        mov     C_CAS8 + 4, %edx
4:      mov     %eax, %ebx
        mov     %edx, %ecx
        add     $0x40000001, %ebx
        adc     $0, %ecx
        lock cmpxchg8b C_CAS8
        jne     4b
        lock incw C_WORD
        lock subb $3, C_BYTE
        lock incl C_ODD
        lock incl C_EDGE
        lock incl C_CODE
        dec     %esi
        jnz     atomics
        call    barrier
        test    %ebp, %ebp
        jnz     swaps
        mov     CPUS, %eax              /* the sums */
        mov     $ATOMICS, %ecx
        mul     %ecx
        mov     %eax, %ebx
        mov     $1, %edi
        cmp     %ebx, C_INC
        jne     fail
        inc     %edi
        cmp     %ebx, C_XADD
        jne     fail
        inc     %edi
        cmp     %ebx, C_CAS
        jne     fail
        inc     %edi
        cmp     %ebx, C_LOCKED
        jne     fail
        inc     %edi
        mov     $0x40000001, %eax
        mul     %ebx
        cmp     %eax, C_CAS8
        jne     fail
        cmp     %edx, C_CAS8 + 4
        jne     fail
        inc     %edi
        cmp     %bx, C_WORD
        jne     fail
        inc     %edi
        imul    $-3, %ebx, %eax
        cmp     %al, C_BYTE
        jne     fail
        inc     %edi
        cmp     %ebx, C_ODD
        jne     fail
        inc     %edi
        cmp     %ebx, C_EDGE
        jne     fail
        inc     %edi
        cmp     %ebx, C_CODE
        jne     fail

/* Entries that come and go: the accessed and dirty bits of others' writes never bring one back, nor lose one. */
swaps:  call    barrier
        test    %ebp, %ebp
        jnz     walk
        mov     $SWAPS, %esi
        mov     $20, %edi
1:      xor     %ebx, %ebx
2:      mov     $(N_CODE * 4), %ecx     /* some time for others */
3:      pause
        dec     %ecx
        jnz     3b
        xor     %eax, %eax
        xchg    %eax, TABLE + SWAPPED / 1024(, %ebx, 4)
        mov     %ebx, %edx
        shl     $12, %edx
        add     $(SWAPPED | 3), %edx
        and     $~0x60, %eax
        cmp     %edx, %eax
        jne     fail
        mov     $64, %ecx
4:      cmpl    $0, TABLE + SWAPPED / 1024(, %ebx, 4)
        jne     fail
        dec     %ecx
        jnz     4b
        mov     %edx, TABLE + SWAPPED / 1024(, %ebx, 4)
        inc     %ebx
        cmp     $N_SWAPPED, %ebx
        jne     2b
        dec     %esi
        jnz     1b
        movl    $1, DONE
        jmp     patches
walk:   mov     $SWAPPED, %ebx
1:      invlpg  (%ebx)
        mov     (%ebx), %eax
        mov     %ebp, 4(%ebx)
        add     $0x1000, %ebx
        cmp     $(SWAPPED + N_SWAPPED * 0x1000), %ebx
        jne     1b
        cmpl    $0, DONE
        je      walk

/* Code written by one, then run by the others. */
patches:
        call    barrier
        cmpl    $1, CPUS
        je      ipis
        mov     $1, %esi
        test    %ebp, %ebp
        jnz     run
1:      mov     %esi, %ebx
        and     $(N_CODE - 1), %ebx
        shl     $12, %ebx
        mov     %esi, CODE + 1(%ebx)
        mov     %esi, SEQ
        mov     CPUS, %eax
        dec     %eax
        mul     %esi
2:      pause
        cmp     ACKS, %eax
        jne     2b
        inc     %esi
        cmp     $(PATCHES + 1), %esi
        jne     1b
        jmp     ipis
run:    pause
        cmp     SEQ, %esi
        jne     run
        xor     %eax, %eax
        cpuid
        mov     %esi, %ebx
        and     $(N_CODE - 1), %ebx
        shl     $12, %ebx
        add     $CODE, %ebx
        call    *%ebx
        mov     $30, %edi
        cmp     %esi, %eax
        jne     fail
        lock incl ACKS
        inc     %esi
        cmp     $(PATCHES + 1), %esi
        jne     run

/* Interrupts to all others, of which every second one sleeps. */
ipis:   call    barrier
        test    %ebp, %ebp
        jnz     listen
        movl    $0, ACKS
        movl    $0, DONE
        call    barrier
        mov     $1, %esi
1:      movl    $0x000c4040, ICR
        call    sent
        mov     CPUS, %eax
        dec     %eax
        mul     %esi
2:      pause
        cmp     ACKS, %eax
        jne     2b
        inc     %esi
        cmp     $(IPIS + 1), %esi
        jne     1b
        movl    $1, DONE
        movl    $0x000c4040, ICR
        call    barrier
        cmpl    $0, FAILED
        jne     1f
        mov     $IN_RAM(text_ok), %esi
        call    print
1:      lidt    IN_RAM(no_idt)
        int3
listen: call    barrier
1:      test    $1, %ebp
        jz      2f
        cli
        cmpl    $0, DONE
        jne     3f
        sti
        hlt
        jmp     1b
2:      sti
        pause
        cmpl    $0, DONE
        je      2b
        cli
3:      call    barrier
1:      hlt
        jmp     1b

/* edi: which check. Once. */
fail:   mov     $1, %eax
        xchg    %eax, FAILED
        test    %eax, %eax
        jnz     1f
        mov     $IN_RAM(text_fail), %esi
        call    print
        mov     %edi, %eax
        call    decimal
        mov     $IN_RAM(text_end), %esi
        call    print
        lidt    IN_RAM(no_idt)
        int3
1:      pause
        jmp     1b

print:  mov     $0x3f8, %edx
1:      lodsb
        test    %al, %al
        jz      2f
        out     %al, %dx
        jmp     1b
2:      ret

/* eax, below 100000 */
decimal:
        mov     $10, %ebx
        xor     %ecx, %ecx
1:      xor     %edx, %edx
        div     %ebx
        push    %edx
        inc     %ecx
        test    %eax, %eax
        jnz     1b
        mov     $0x3f8, %edx
2:      pop     %eax
        add     $'0', %al
        out     %al, %dx
        loop    2b
        ret

        .balign 8
ram_gdt: .quad  0, 0x00cf9a000000ffff, 0x00cf92000000ffff
ram_gdtr: .word 23
        .long   IN_RAM(ram_gdt)
idtr:   .word   0x7ff
        .long   IDT
no_idt: .word   0
        .long   0
in_code: .long  0
text_cpus: .asciz " CPUs\n"
text_ok: .asciz "ok\n"
text_fail: .asciz "failed: "
text_end: .asciz "\n"
end:
        .org    0x7f0
        .code16
        jmp     _start
        .org    0x800
