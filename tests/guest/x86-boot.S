/*
 * x86-boot.S - a disk whose boot sector loads the rest by the BIOS and tries what programs for DOS-era PCs rely on: the
 * BIOS's services, 64 KiB wraps, the A20 gate, unreal mode, a short trip to protected mode, a virtual-8086 task that is
 * switched to, interrupts of timer, clock and keyboard, and code that rewrites itself.
 *
 * Lines "name value..." go to COM1 by programmed output; then port F4h (isa-debug-exit) gets 0. What it prints was recorded
 * on another emulator (x86-boot.txt), but for lines that begin with "own:", which are about limits that one does not check.
 * Exceptions and modes in detail are x86-sys.S's.
 *
 *   gcc -m32 -c -o b.o x86-boot.S && ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o x86-boot.bin b.o
 */
        .code16
        .text
        .globl _start

#define SECTORS 15              /* behind the boot sector */
#define SCRATCH_LBA 40          /* a sector to write to */
#define BUF 0xa000              /* a sector's place */
#define COM 0x3f8
#define TSS_A 0xb000
#define TSS_B 0xb100
#define TSS_C 0xb200

_start:
        ljmp    $0, $1f
1:      xor     %ax, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     $0x7c00, %sp
        cld
        sti
        mov     %dl, drive
        mov     $COM + 3, %dx   /* 115200 8N1 */
        mov     $0x80, %al
        out     %al, %dx
        mov     $COM, %dx
        mov     $1, %al
        out     %al, %dx
        inc     %dx
        xor     %al, %al
        out     %al, %dx
        mov     $COM + 3, %dx
        mov     $3, %al
        out     %al, %dx
        mov     $0x0200 | SECTORS, %ax
        mov     $2, %cx
        mov     drive, %dl
        xor     %dh, %dh
        mov     $0x7e00, %bx
        int     $0x13
        jc      load_failed
        jmp     main
load_failed:
        mov     $bad_load, %si
        call    puts
        jmp     exit

/* ---- output ---- */
putc:   push    %dx
        push    %ax
        mov     $COM + 5, %dx
1:      in      %dx, %al
        test    $0x20, %al
        jz      1b
        pop     %ax
        mov     $COM, %dx
        out     %al, %dx
        pop     %dx
        ret
puts:   lodsb
        test    %al, %al
        jz      1f
        call    putc
        jmp     puts
1:      ret
/* a space and eax in hexadecimal */
hex:    pushal
        mov     %eax, %ebx
        mov     $' ', %al
        call    putc
        mov     $8, %cx
1:      rol     $4, %ebx
        mov     %bl, %al
        and     $15, %al
        cmp     $10, %al
        sbb     $0x69, %al
        das
        call    putc
        loop    1b
        popal
        ret
hex16:  push    %eax
        movzwl  %ax, %eax
        call    hex
        pop     %eax
        ret
newline:
        push    %ax
        mov     $'\r', %al
        call    putc
        mov     $'\n', %al
        call    putc
        pop     %ax
        ret
exit:   mov     $0xf4, %dx
        xor     %eax, %eax
        out     %eax, %dx
1:      hlt
        jmp     1b
bad_load:
        .asciz  "the boot sector cannot load the rest\r\n"
drive:  .byte   0
        .org    510
        .word   0xaa55

        .macro  NAME text:vararg
        push    %si
        push    %ax
        mov     $99f, %si
        call    puts
        pop     %ax
        pop     %si
        .section .rodata.names, "a"
99:     .asciz  \text
        .previous
        .endm
        .macro  SHOW16 v:vararg
        push    %eax
        mov     \v, %ax
        call    hex16
        pop     %eax
        .endm
        .macro  SHOW32 v:vararg
        push    %eax
        mov     \v, %eax
        call    hex
        pop     %eax
        .endm
        /* carry as 0 or 1 in front of what follows */
        .macro  SHOWC
        push    %eax
        setc    %al
        movzbl  %al, %eax
        call    hex
        pop     %eax
        .endm
        .macro  END
        call    newline
        .endm

main:
/* ---- int 10h ---- */
        mov     $3, %ax
        int     $0x10
        mov     $0x0f00, %ax
        int     $0x10
        NAME    "video-mode"
        call    hex16
        END
        mov     $0x0e41, %ax
        mov     $7, %bx
        int     $0x10
        mov     $0x0e42, %ax
        int     $0x10
        mov     $0x0300, %ax
        xor     %bx, %bx
        int     $0x10
        NAME    "cursor"
        SHOW16  %dx
        SHOW16  %cx
        END
        mov     $0x0200, %ax
        mov     $0x0001, %dx
        int     $0x10
        mov     $0x0800, %ax
        int     $0x10
        NAME    "char-at"
        call    hex16
        push    %es
        mov     $0xb800, %bx
        mov     %bx, %es
        SHOW32  %es:0
        pop     %es
        END
        mov     $0x1130, %ax    /* the ROM's font */
        mov     $0x0600, %bx
        push    %es
        push    %bp
        int     $0x10
        mov     %cx, %bx
        mov     %es:0x41*16+4(%bp), %eax
        pop     %bp
        pop     %es
        NAME    "font"
        SHOW16  %bx
        call    hex
        END
        mov     $0x13, %ax
        int     $0x10
        mov     $0x0c5a, %ax    /* a pixel */
        xor     %bx, %bx
        mov     $100, %cx
        mov     $50, %dx
        int     $0x10
        mov     $0x0d00, %ax
        int     $0x10
        NAME    "pixel"
        xor     %ah, %ah
        call    hex16
        push    %es
        mov     $0xa000, %bx
        mov     %bx, %es
        mov     %es:50*320+100, %al
        pop     %es
        call    hex16
        END
        mov     $0x4f00, %ax
        mov     $BUF, %di
        movl    $0x32454256, (BUF)      /* "VBE2" */
        int     $0x10
        NAME    "vbe"
        call    hex16
        SHOW32  BUF
        END
        mov     $0x4f02, %ax
        mov     $0x101, %bx
        int     $0x10
        NAME    "vbe-set"
        call    hex16
        mov     $0x4f03, %ax
        int     $0x10
        SHOW16  %bx
        END
        mov     $3, %ax
        int     $0x10

/* ---- int 11h, 12h ---- */
        int     $0x12
        NAME    "base-memory"
        call    hex16
        END

/* ---- int 13h ---- */
        mov     $0x4100, %ax
        mov     $0x55aa, %bx
        mov     drive, %dl
        int     $0x13
        NAME    "disk-extensions"
        SHOWC
        SHOW16  %bx
        SHOW16  %cx
        END
        mov     $0x0800, %ax
        mov     drive, %dl
        push    %es
        int     $0x13
        pop     %es
        NAME    "disk-geometry"
        SHOWC
        SHOW16  %cx
        SHOW16  %dx
        END
        mov     $0x4800, %ax
        mov     drive, %dl
        mov     $BUF, %si
        movw    $0x1a, BUF
        int     $0x13
        NAME    "disk-parameters"
        SHOWC
        SHOW32  BUF+16
        SHOW16  BUF+24
        END
        mov     $0x4200, %ax
        mov     drive, %dl
        mov     $packet, %si
        movl    $0, packet+8
        int     $0x13
        NAME    "disk-read-lba"
        SHOWC
        SHOW16  BUF+510
        SHOW32  BUF
        END
        mov     $BUF, %di       /* write a pattern, read it back */
        mov     $128, %cx
        mov     $0x01020304, %eax
1:      stosl
        imul    $69069, %eax, %eax
        inc     %eax
        loop    1b
        movl    $SCRATCH_LBA, packet+8
        mov     $0x4300, %ax
        mov     drive, %dl
        mov     $packet, %si
        int     $0x13
        NAME    "disk-write"
        SHOWC
        mov     $BUF, %di
        mov     $256, %cx
        xor     %ax, %ax
        rep     stosw
        mov     $0x4200, %ax
        mov     drive, %dl
        mov     $packet, %si
        int     $0x13
        SHOWC
        SHOW32  BUF
        SHOW32  BUF+508
        END
        movl    $0x7ffffff0, packet+8
        mov     $0x4200, %ax
        mov     drive, %dl
        mov     $packet, %si
        int     $0x13
        NAME    "disk-beyond"
        SHOWC
        mov     %ah, %al
        xor     %ah, %ah
        call    hex16
        END
        mov     $0x0201, %ax    /* a drive that is not there */
        mov     $1, %cx
        mov     $0x87, %dx
        mov     $BUF, %bx
        int     $0x13
        NAME    "disk-none"
        SHOWC
        call    hex16
        END
        mov     $0x1500, %ax
        mov     drive, %dl
        int     $0x13
        NAME    "disk-kind"
        SHOWC
        mov     %ah, %al
        xor     %ah, %ah
        call    hex16
        END

/* ---- int 15h ---- */
        mov     $0x8800, %ax
        int     $0x15
        NAME    "extended-memory"
        SHOWC
        and     $0x3000, %ax            /* firmware keeps some for itself */
        call    hex16
        END
        mov     $0xe801, %ax
        int     $0x15
        NAME    "memory-e801"
        SHOWC
        and     $0x3000, %ax
        call    hex16
        SHOW16  %bx
        END
        NAME    "memory-map"
        xor     %ebx, %ebx
        xor     %ebp, %ebp
1:      mov     $0xe820, %eax
        mov     $0x534d4150, %edx
        mov     $24, %ecx
        mov     $BUF, %di
        int     $0x15
        jc      2f

        cmpl    $1, BUF+16      /* RAM only: firmware's own tables may be anywhere */
        jne     3f
        SHOW32  BUF
3:      inc     %bp
        test    %ebx, %ebx
        jnz     1b
2:      END
        mov     $0xc000, %ax
        push    %es
        int     $0x15
        mov     %es:2(%bx), %ax
        pop     %es
        NAME    "model"
        SHOWC
        call    hex16
        END
        NAME    "a20"           /* off, asked, on, asked; by the BIOS */
        mov     $0x2400, %ax
        int     $0x15
        call    hex16
        mov     $0x2402, %ax
        int     $0x15
        call    hex16
        call    wraps
        mov     $0x2401, %ax
        int     $0x15
        mov     $0x2402, %ax
        int     $0x15
        call    hex16
        call    wraps
        END
        NAME    "a20-port92"
        in      $0x92, %al
        and     $0xfc, %al
        out     %al, $0x92
        call    wraps
        or      $2, %al
        out     %al, $0x92
        call    wraps
        END
        mov     $0x8600, %ax    /* 10 ms */
        xor     %cx, %cx
        mov     $10000, %dx
        int     $0x15
        NAME    "wait"
        SHOWC
        END
        movl    $0x600df00d, BUF /* a block to 2 MiB and back */
        movl    $0, BUF+4
        mov     $blocks, %si
        mov     $1, %cx
        mov     $0x8700, %ax
        int     $0x15
        NAME    "block-move"
        SHOWC
        movl    $0, BUF
        mov     $blocks2, %si
        mov     $2, %cx
        mov     $0x8700, %ax
        int     $0x15
        SHOWC
        SHOW32  BUF
        END

/* ---- int 16h: the keyboard controller is told to deliver codes ---- */
        NAME    "keys"
        mov     $0x1e, %bl      /* A pressed, released */
        call    type
        mov     $0x9e, %bl
        call    type
        mov     $0x2a, %bl      /* with Shift */
        call    type
        mov     $0x30, %bl
        call    type
        mov     $0x0200, %ax
        int     $0x16
        and     $15, %ax
        call    hex16
        mov     $0xaa, %bl
        call    type
        mov     $0x3b, %bl      /* F1 */
        call    type
        mov     $3, %cx
1:      mov     $0x0000, %ax
        int     $0x16
        call    hex16
        loop    1b
        mov     $0x0100, %ax
        int     $0x16
        setz    %al
        xor     %ah, %ah
        call    hex16
        END

/* ---- int 1Ah ---- */
        xor     %ax, %ax
        int     $0x1a
        mov     %dx, %si
        mov     $0x10000, %edi
1:      xor     %ax, %ax
        int     $0x1a
        mov     %dx, %bx
        sub     %si, %bx
        cmp     $2, %bx
        jae     2f
        push    %edi
        hlt
        pop     %edi
        dec     %edi
        jnz     1b
2:      NAME    "ticks"
        SHOW16  %bx
        END
        mov     $0x0400, %ax
        int     $0x1a
        NAME    "date"
        SHOWC
        SHOW16  %cx
        SHOW16  %dx
        END
        mov     $0x0200, %ax
        int     $0x1a
        NAME    "hour"
        SHOWC
        mov     %ch, %cl
        xor     %ch, %ch
        SHOW16  %cx
        END

/* ---- interrupts: timer, clock, keyboard, a masked line ---- */
        cli
        pushl   4*8
        movl    $irq0, 4*8
        movw    $0, ticks
        mov     $0x34, %al      /* 1193 Hz */
        out     %al, $0x43
        mov     $1000 & 255, %al
        out     %al, $0x40
        mov     $1000 >> 8, %al
        out     %al, $0x40
        sti
1:      hlt
        cmpw    $20, ticks
        jb      1b
        cli
        NAME    "timer"
        SHOW16  ticks
        END
        in      $0x21, %al
        mov     %al, %ah
        or      $1, %al
        out     %al, $0x21
        sti
        mov     $0x8000, %cx
1:      loop    1b
        cli
        mov     ticks, %bx
        mov     %ah, %al
        out     %al, $0x21
        NAME    "masked"
        SHOW16  %bx
        END
        mov     $0x34, %al      /* as it was */
        out     %al, $0x43
        xor     %al, %al
        out     %al, $0x40
        out     %al, $0x40
        popl    4*8
        pushl   4*0x70
        movl    $irq8, 4*0x70
        movw    $0, ticks
        mov     $0x8a, %al      /* periodic, 1024 Hz */
        out     %al, $0x70
        mov     $0x26, %al
        out     %al, $0x71
        mov     $0x8b, %al
        out     %al, $0x70
        in      $0x71, %al
        mov     %al, %ah
        mov     $0x8b, %al
        out     %al, $0x70
        mov     %ah, %al
        or      $0x40, %al
        out     %al, $0x71
        in      $0xa1, %al
        mov     %al, %bl
        and     $0xfe, %al
        out     %al, $0xa1
        sti
1:      hlt
        cmpw    $10, ticks
        jb      1b
        cli
        mov     %bl, %al
        out     %al, $0xa1
        mov     $0x8b, %al
        out     %al, $0x70
        mov     %ah, %al
        out     %al, $0x71
        popl    4*0x70
        NAME    "clock"
        SHOW16  ticks
        SHOW16  clock_flags
        END
        sti
        pushl   4*9             /* one key, our own handler */
        cli
        movl    $irq1, 4*9
        movw    $0, ticks
        sti
        mov     $0x39, %bl
        call    type
        NAME    "keyboard"
        SHOW16  ticks
        END
        cli
        popl    4*9
        sti

/* ---- 64 KiB wraps ---- */
        mov     $0x2000, %ax
        mov     %ax, %fs
        movb    $0x11, %fs:0
        movb    $0x22, %fs:0xffff
        movw    $0x3333, %fs:0xfffe
        mov     $0xffff, %bx
        mov     $2, %si
        movb    $0x44, %fs:(%bx,%si)    /* offset 1 */
        NAME    "wrap-address"
        SHOW16  %fs:0
        SHOW16  %fs:0xfffe
        END
        mov     %fs, %ax                /* rep movsb over the end */
        mov     %ax, %es
        mov     $0xfffe, %di
        mov     $three, %si
        mov     $4, %cx
        rep     movsb
        NAME    "wrap-string"
        SHOW16  %di
        SHOW16  %fs:0
        SHOW16  %fs:0xfffe
        END
        xor     %ax, %ax
        mov     %ax, %es
        cli
        mov     %sp, %bp
        mov     %ss, %bx
        mov     $0x3000, %ax
        mov     %ax, %ss
        xor     %sp, %sp
        push    $0x1234                 /* at FFFEh */
        mov     %sp, %cx
        pop     %dx
        mov     %sp, %di
        mov     %bx, %ss
        mov     %bp, %sp
        sti
        NAME    "wrap-stack"
        SHOW16  %cx
        SHOW16  %dx
        SHOW16  %di
        END
        NAME    "own: word-at-ffff"     /* INT 13 */
        cli
        pushl   4*13
        movl    $fault, 4*13
        movw    $0, faulted
        mov     $1f, %bx
        mov     %fs:0xffff, %ax
1:      SHOW16  faulted
        popl    4*13
        sti
        END
        cli
        pushl   4*0                     /* a division's return address is its own */
        movl    $fault, 4*0
        mov     $1f, %bx
        movw    $0, faulted
        xor     %dx, %dx
        xor     %cx, %cx
        mov     $7, %ax
        div     %cx
1:      NAME    "divide"
        SHOW16  faulted
        popl    4*0
        pushl   4*5
        movl    $fault, 4*5
        mov     $1f, %bx
        movw    $0, faulted
        mov     $9, %ax
        bound   %ax, two_words
1:      SHOW16  faulted
        popl    4*5
        pushl   4*6
        movl    $fault, 4*6
        mov     $1f, %bx
        movw    $0, faulted
        ud2
1:      SHOW16  faulted
        popl    4*6
        sti
        END
        NAME    "push-sp"
        mov     %sp, %bx
        push    %sp
        pop     %ax
        sub     %bx, %ax
        call    hex16
        pushf
        pop     %ax
        and     $0xf000, %ax
        call    hex16
        END
        NAME    "decimal"
        mov     $0x79, %al
        add     $0x35, %al
        daa
        setc    %ah
        call    hex16
        mov     $0x0102, %ax
        sub     $5, %al
        aas
        call    hex16
        mov     $0x63, %al
        aam
        call    hex16
        aad
        call    hex16
        END

/* ---- code that rewrites itself ---- */
        NAME    "self-modifying"
        xor     %dx, %dx
        mov     $1000, %cx
1:      mov     %cx, smc1+2             /* the operand of the next instruction, in the same block */
smc1:   .byte   0x81, 0xc2, 0, 0        /* add $0, %dx */
        loop    1b
        SHOW16  %dx
        xor     %dx, %dx
        mov     $501, %cx
1:      xorb    $8, smc2                /* inc dx, dec dx in turn (42h, 4Ah) */
smc2:   inc     %dx
        loop    1b
        SHOW16  %dx
        mov     $0x42, %al              /* a string instruction writes what follows it: inc dx */
        mov     $smc3, %di
        mov     $8, %cx
        xor     %dx, %dx
        rep     stosb
smc3:   nop
        nop
        nop
        nop
        nop
        nop
        nop
        nop
        SHOW16  %dx
        push    %ds                     /* through another segment */
        mov     $0x07c0, %ax
        mov     %ax, %ds
        movb    $0x4a, %ds:smc4-0x7c00
smc4:   nop
        pop     %ds
        SHOW16  %dx
        END

/* ---- protected mode and back: unreal mode ---- */
        cli
        lgdt    gdt_pointer
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        mov     $0x10, %bx
        mov     %bx, %ds
        mov     %bx, %gs
        and     $0xfe, %al
        mov     %eax, %cr0
        xor     %ax, %ax
        mov     %ax, %ds                /* base 0, the limit stays */
        mov     $0x00200000, %esi
        movl    $0xcafe1234, (%esi)
        mov     (%esi), %ebx
        mov     %gs:(%esi), %ecx
        sti
        NAME    "unreal"
        SHOW32  %ebx
        SHOW32  %ecx
        END

/* ---- tasks: a 32-bit one, one in virtual-8086 mode, and back ---- */
        cli
        lidt    idt_pointer
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        ljmpl   $8, $pm
        .code32
pm:     xor     %ax, %ax
        mov     %ax, %fs                /* a task switch loads all */
        mov     $0x10, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     %sp, %bp
        mov     $0xc400, %esp
        mov     $TSS_A, %edi
        xor     %eax, %eax
        mov     $0x300/4, %ecx
        rep     stosl
        movw    $104, TSS_A+102
        movw    $104, TSS_B+102
        movw    $104, TSS_C+102
        movl    $0xc800, TSS_A+4        /* the stack of ring 0 */
        movl    $0x10, TSS_A+8
        movl    $task_b, TSS_B+32
        movl    $2, TSS_B+36
        movl    $0xcc00, TSS_B+56
        movl    $8, TSS_B+76
        movl    $0x10, TSS_B+72
        movl    $0x10, TSS_B+80
        movl    $0x10, TSS_B+84
        movl    $0xb0b, TSS_B+52        /* ebx */
        movl    $0xd000, TSS_C+4
        movl    $0x10, TSS_C+8
        movl    $vm_code, TSS_C+32
        movl    $0x00023002, TSS_C+36   /* VM, IOPL 3 */
        movl    $0x7000, TSS_C+56
        movl    $0, TSS_C+76
        movl    $0, TSS_C+80
        movl    $0x1234, TSS_C+84       /* ds in virtual-8086 mode */
        mov     $0x18, %ax
        ltr     %ax
        xor     %edx, %edx
        lcall   $0x20, $0               /* task B adds to edx's copy in memory */
        lcall   $0x20, $0               /* goes on behind its iret */
        lcall   $0x30, $0               /* a call gate */
        int     $0x40                   /* its gate is a task gate: virtual-8086 mode */
        str     %ax
        mov     %ax, task_now
        mov     %cr0, %eax
        and     $0xf7, %al              /* TS off */
        mov     %eax, task_cr0
        ljmp    $0x38, $1f
        .code16
1:      mov     $0x40, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     %cr0, %eax
        and     $0xfe, %al
        mov     %eax, %cr0
        ljmp    $0, $1f
1:      xor     %ax, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     %ax, %gs
        mov     %bp, %sp
        lidt    idt_real
        sti
        NAME    "tasks"
        SHOW32  task_sum
        SHOW32  gate_ran
        SHOW16  task_now
        SHOW32  task_cr0
        END
        NAME    "virtual-8086"
        SHOW16  vm_saw
        SHOW16  vm_saw+2
        SHOW32  vm_flags
        END
        NAME    "end"
        END
        jmp     exit

        .code32
task_b: add     %ebx, task_sum
        iret
        addl    $0x1000, task_sum
        iret
gate:   incl    gate_ran
        lret
/* #GP: hlt ends the virtual-8086 code. The task's back link leads to A. */
gp:     mov     $0x10, %ax
        mov     %ax, %ds
        pop     %eax
        mov     8(%esp), %eax
        and     $~0x10000, %eax         /* RF: not everybody pushes it */
        mov     %eax, vm_flags
        pushf
        orl     $1 << 14, (%esp)
        popf
        iret
        .code16
/* ds = 1234h; what it saw is written through segment 0 */
vm_code:
        mov     %ds, %ax
        xor     %bx, %bx
        mov     %bx, %ds
        mov     %ax, vm_saw
        mov     $0xffff, %ax            /* FFFF:0010 is 100000h, as A20 is on */
        mov     %ax, %es
        movw    $0x7777, %es:0x10
        mov     %es:0x10, %ax
        mov     %ax, vm_saw+2
        pushf
        popf
        hlt

/* does FFFF:0510 show 0:500? 1: yes */
wraps:  pushal
        push    %es
        mov     $0xffff, %ax
        mov     %ax, %es
        movw    $0x1111, 0x500
        movw    $0x2222, %es:0x510
        cmpw    $0x2222, 0x500
        sete    %al
        movzbw  %al, %ax
        pop     %es
        call    hex16
        popal
        ret

/* bl: a scan code, as if the keyboard had sent it; the interrupt comes */
type:   push    %ax
        push    %cx
        cli
1:      in      $0x64, %al
        test    $2, %al
        jnz     1b
        mov     $0xd2, %al
        out     %al, $0x64
1:      in      $0x64, %al
        test    $2, %al
        jnz     1b
        mov     %bl, %al
        out     %al, $0x60
        sti
        mov     $0x4000, %cx            /* until it is taken */
1:      in      $0x64, %al
        test    $1, %al
        jz      2f
        loop    1b
2:      pop     %cx
        pop     %ax
        ret

irq0:   incw    %cs:ticks
        push    %ax
        mov     $0x20, %al
        out     %al, $0x20
        pop     %ax
        iret
irq8:   incw    %cs:ticks
        push    %ax
        mov     $0x8c, %al
        out     %al, $0x70
        in      $0x71, %al
        and     $0xc0, %al
        movb    %al, %cs:clock_flags
        mov     $0x20, %al
        out     %al, $0xa0
        out     %al, $0x20
        pop     %ax
        iret
irq1:   push    %ax
        in      $0x60, %al
        movb    %al, %cs:ticks
        mov     $0x20, %al
        out     %al, $0x20
        pop     %ax
        iret
/* goes on at bx */
fault:  incw    %cs:faulted
        push    %bp
        mov     %sp, %bp
        mov     %bx, 2(%bp)
        pop     %bp
        iret

        .balign 4
packet: .byte   16, 0
        .word   1, BUF, 0
        .long   0, 0
blocks: .fill   16, 1, 0                /* two empty, source, target, two for the BIOS */
        .word   0xffff, BUF
        .byte   0, 0x93, 0, 0
        .word   0xffff, 0
        .byte   0x20, 0x93, 0, 0
        .fill   16, 1, 0
blocks2:
        .fill   16, 1, 0
        .word   0xffff, 0
        .byte   0x20, 0x93, 0, 0
        .word   0xffff, BUF
        .byte   0, 0x93, 0, 0
        .fill   16, 1, 0
three:  .byte   0xa1, 0xa2, 0xa3, 0xa4
two_words:
        .word   1, 8
ticks:  .word   0
clock_flags:
        .word   0
faulted:
        .word   0
task_sum:
        .long   0
gate_ran:
        .long   0
task_now:
        .word   0
task_cr0:
        .long   0
vm_saw: .word   0, 0
vm_flags:
        .long   0
        .balign 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff      /* 08 code */
        .quad   0x00cf93000000ffff      /* 10 data */
        .word   104, TSS_A, 0x8900, 0   /* 18 */
        .word   104, TSS_B, 0x8900, 0   /* 20 */
        .word   104, TSS_C, 0x8900, 0   /* 28 */
        .word   gate, 8, 0x8c00, 0      /* 30 call gate */
        .quad   0x00009b000000ffff      /* 38 16-bit code */
        .quad   0x000093000000ffff      /* 40 16-bit data */
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt
        .balign 8
idt:    .fill   13, 8, 0
        .word   gp, 8, 0x8e00, 0
        .fill   0x40 - 14, 8, 0
        .word   0, 0x28, 0x8500, 0      /* a task gate */
idt_pointer:
        .word   . - idt - 1
        .long   idt
idt_real:
        .word   0x3ff
        .long   0
        .section .rodata.names
