/*
 * x86-sys.S - a ROM of 64 KiB that runs through the modes of an x86 from the reset vector on, and writes down what it sees to
 * port E9h: every exception's frame, gates, tasks, virtual-8086 mode, paging, fast calls, long mode, debug registers.
 *
 * What it prints was recorded on another emulator, but for what comes after "own:", which is what the manuals say (limits and
 * rights), and three lines in which that one differs from them: faults of a new task's segments have the new task's EIP; reserved
 * bits give a page fault's code P beside RSVD.
 *
 *   gcc -c -o x.o x86-sys.S && ld -m elf_x86_64 -Ttext 0xf0000 --oformat binary -o x86-sys.bin x.o
 */
        .text
        .code16
        .globl _start
_start:
start:

#define O(x) ((x) - start)
#define IDT 0x1000
#define GDT 0x2000
#define TSS0 0x3000
#define TSS1 0x3200
#define TSS2 0x3400
#define TSS16 0x3600
#define RESUME 0x700
#define STACK0 0x8000
#define STACK3 0x9000
#define STACKV 0xa000

#define CODE 0x08
#define DATA 0x10
#define UCODE 0x1b
#define UDATA 0x23
#define TR0 0x28
#define TR1 0x30
#define TR2 0x38
#define CODE16 0x40
#define DATA16 0x48
#define ABSENT 0x50
#define CONF 0x58
#define EXONLY 0x60
#define ROSEG 0x68
#define GATE 0x70
#define GATEP 0x78
#define LDTSEL 0x80
#define TASKGATE 0x88
#define TRSIX 0x90
#define GATEBAD 0x98
#define SMALL 0xa0
#define DOWN 0xa8
#define CODE64 0xb0
#define BUSY 0xc0
#define UCONF 0xc8
#define USMALL 0xd3
#define SYSBASE 0x100  /* code 0, data 0, code 3, data 3 for sysenter and syscall */

/* ---- real mode ---- */
real:
        cli
        mov     %cs, %ax
        call    hex16
        xor     %ax, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     $STACK0, %sp
        smsw    %ax
        call    hex16
        /* vectors to a handler that prints its return address and flags */
        xor     %di, %di
        mov     $256, %cx
1:      mov     $O(rm_trap), %ax
        stosw
        mov     $0xf000, %ax
        stosw
        loop    1b
        movw    $O(1f), RESUME
        xor     %bx, %bx
        div     %bx
1:      movw    $O(1f), RESUME
        int     $0x40
1:      movw    $O(1f), RESUME
        int3
1:      movw    $O(1f), RESUME
        mov     $0x7f, %al
        add     $1, %al
        into
1:      movw    $O(1f), RESUME
        movl    $0x00100005, 0x720
        mov     $0x11, %ax
        bound   %ax, 0x720
1:      movw    $O(1f), RESUME
        ud2
1:      movw    $O(1f), RESUME
        .byte 0x0f, 0x00, 0xc0    /* sldt: not in real mode */
1:      movw    $O(1f), RESUME
        push    $0x3302
        popf
        pushf
        pop     %ax
        call    hex16
        push    $0x2
        popf
1:      lcall   $0xf000, $O(rm_far)
        call    hex16
        mov     %sp, %ax
        call    hex16
        pushl   $0x12345678
        movw    $0xf000, 0x724
        movw    $O(rm_far), 0x722
        lcall   *0x722
        call    hex16
        popl    %eax
        call    hex32
        movl    $0xabcd1234, 0x730
        lds     0x730, %si
        mov     %ds, %ax
        call    hex16
        mov     %si, %ax
        call    hex16
        lgs     %cs:O(far_data), %edi
        mov     %gs, %ax
        call    hex16
        mov     %edi, %eax
        call    hex32
        xor     %ax, %ax
        mov     %ax, %ds
        /* instruction pointers wrap in a call; the stack pointer, too */
        mov     $2, %sp
        push    $0x1111
        push    $0x2222
        mov     %sp, %ax
        call    hex16_nostack
        mov     $STACK0, %sp
        pushal
        mov     %sp, %ax
        add     $32, %sp
        call    hex16
        enter   $16, $3
        mov     %sp, %ax
        mov     %bp, %cx
        leave
        call    hex16
        mov     %cx, %ax
        call    hex16
        /* single step: three instructions */
        movw    $O(rm_step), 4
        push    $0x102
        popf
        nop
        mov     $5, %ax
        push    $0x2
        popf
        movw    $O(rm_trap), 4
        jmp     to_protected

rm_far: mov     $0xfa12, %ax
        lret

rm_step:
        push    %bp
        mov     %sp, %bp
        push    %ax
        mov     $'s', %al
        out     %al, $0xe9
        mov     2(%bp), %ax
        call    hex16
        pop     %ax
        pop     %bp
        iret

far_data: .long 0x89abcdef
        .word 0x4321

rm_trap:
        mov     %sp, %bp
        mov     $'r', %al
        out     %al, $0xe9
        mov     (%bp), %ax
        call    hex16
        mov     2(%bp), %ax
        call    hex16
        mov     4(%bp), %ax
        and     $0xf7ff, %ax   /* of an undefined OF after div */
        and     $0xff2a, %ax
        call    hex16
        mov     $STACK0, %sp
        jmp     *RESUME

hex32:  push    %eax
        shr     $16, %eax
        call    hex16_bare
        pop     %eax
        call    hex16
        ret
hex16_bare:
        mov     $4, %dx
1:      rol     $4, %ax
        push    %ax
        and     $15, %al
        cmp     $10, %al
        sbb     $0x69, %al
        das
        out     %al, $0xe9
        pop     %ax
        dec     %dx
        jnz     1b
        ret
hex16:  call    hex16_bare
        mov     $' ', %al
        out     %al, $0xe9
        ret
hex16_nostack:
        /* the caller's stack is at the top of the segment */
        mov     %ax, %cx
        mov     %cl, %al
        shr     $4, %al
        add     $'A', %al
        out     %al, $0xe9
        mov     %cl, %al
        and     $15, %al
        add     $'A', %al
        out     %al, $0xe9
        ret

/* ---- to protected mode ---- */
to_protected:
        mov     $'\n', %al
        out     %al, $0xe9
        xor     %ax, %ax
        mov     %ax, %es
        mov     $0xf000, %ax
        mov     %ax, %ds
        mov     $O(gdt), %si
        mov     $GDT, %di
        mov     $(gdt_end - gdt), %cx
        cld
        rep movsb
        lgdtl   O(gdt_reg)
        lidtl   O(idt_reg)
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        ljmpl   $CODE, $prot
        .balign 8
gdt_reg: .word gdt_end - gdt - 1
        .long GDT
idt_reg: .word 0x7ff
        .long IDT
idt_real: .word 0x3ff
        .long 0
        .balign 8
gdt:    .quad 0
        .quad 0x00cf9b000000ffff /* 08 code */
        .quad 0x00cf92000000ffff /* 10 data */
        .quad 0x00cffb000000ffff /* 18 code, 3 */
        .quad 0x00cff2000000ffff /* 20 data, 3 */
        .quad 0x0000890000000067 | (TSS0 << 16)
        .quad 0x0000890000000067 | (TSS1 << 16)
        .quad 0x0000890000000067 | (TSS2 << 16)
        .quad 0x00009a0f0000ffff /* 40 code of 16 bits at F0000 */
        .quad 0x000092000000ffff /* 48 */
        .quad 0x00cf12000000ffff /* 50 data, absent */
        .quad 0x00cf9e000000ffff /* 58 conforming */
        .quad 0x00cf98000000ffff /* 60 execute only */
        .quad 0x00cf90000000ffff /* 68 read only */
        .word gate_target - 0xf0000, CODE, 0xec00, 0x000f /* 70 call gate, for 3 */
        .word gate_params - 0xf0000, CODE, 0xec02, 0x000f /* 78 with two parameters */
        .quad 0x000082004000001f /* 80 LDT at 4000 */
        .word 0, TR1, 0xe500, 0  /* 88 task gate */
        .quad 0x000081000000002b | (TSS16 << 16) /* 90 */
        .word 0, 0x1f0, 0xec00, 0 /* 98 call gate to nowhere */
        .quad 0x0040920050000fff /* a0 data of 4 KiB at 5000 */
        .quad 0x0040960060000fff /* a8 expands down */
        .quad 0x00af9a000000ffff /* b0 code of 64 bits */
        .quad 0
        .quad 0x00008b0000000067 | (TSS2 << 16) /* c0 a busy TSS */
        .quad 0x00cffe000000ffff /* c8 conforming, 3 */
        .quad 0x0040f20050000fff /* d0 data of 4 KiB for 3 */
        .org gdt + SYSBASE
        .quad 0x00cf9b000000ffff
        .quad 0x00cf93000000ffff
        .quad 0x00cffb000000ffff
        .quad 0x00cff3000000ffff
        .quad 0x00affb000000ffff
        .quad 0
gdt_end:

        .code32
#define TRY movl $1f, RESUME;
.macro msg text
        call    puts
        .asciz  "\text"
.endm

puts:   xchg    %esi, (%esp)
        push    %eax
1:      lodsb
        test    %al, %al
        jz      2f
        out     %al, $0xe9
        jmp     1b
2:      pop     %eax
        xchg    %esi, (%esp)
        ret
hex:    /* eax, eight digits and a space */
        push    %ecx
        mov     $8, %ecx
hexn:   push    %eax
        rol     $4, %eax
        push    %eax
        and     $15, %al
        cmp     $10, %al
        sbb     $0x69, %al
        das
        out     %al, $0xe9
        pop     %eax
        add     $4, %esp
        dec     %ecx
        jnz     hexn
        mov     $' ', %al
        out     %al, $0xe9
        pop     %ecx
        ret
hexw:   push    %ecx
        shl     $16, %eax
        mov     $4, %ecx
        jmp     hexn

/* An exception: number, error code, cs:eip, flags, cr2 or the outer stack; then on at RESUME in ring 0. */
trap:   cld
        mov     $DATA, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     $'v', %al
        out     %al, $0xe9
        mov     (%esp), %eax
        call    hexw
        mov     4(%esp), %eax
        call    hexw
        mov     12(%esp), %eax
        call    hexw
        mov     8(%esp), %eax
        call    hex
        mov     16(%esp), %eax
        and     $0x000ef700, %eax
        call    hex
        cmpl    $14, (%esp)
        jne     1f
        mov     %cr2, %eax
        call    hex
1:      testb   $3, 12(%esp)
        jnz     2f
        testb   $2, 18(%esp)
        jz      3f
2:      mov     24(%esp), %eax
        call    hexw
        mov     20(%esp), %eax
        call    hex
3:      mov     $'\n', %al
        out     %al, $0xe9
        xor     %eax, %eax
        mov     %eax, %fs
        mov     %eax, %gs
        mov     $DATA, %ax
        mov     %ax, %ss
        mov     $STACK0, %esp
        push    $2
        popf
        jmp     *RESUME

        .balign 16
stubs:
        .set    i, 0
        .rept   64
        .balign 16
        .if     !(i == 8 || (i >= 10 && i <= 14) || i == 17)
        push    $0
        .endif
        push    $i
        jmp     trap
        .set    i, i + 1
        .endr

/* ebx = vector, ecx = type and rights, eax = target */
set_gate:
        lea     IDT(,%ebx,8), %edi
        mov     %ax, (%edi)
        movw    $CODE, 2(%edi)
        mov     %cx, 4(%edi)
        shr     $16, %eax
        mov     %ax, 6(%edi)
        ret

prot:   mov     $DATA, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        xor     %eax, %eax
        mov     %ax, %fs
        mov     %ax, %gs
        mov     $STACK0, %esp
        mov     $IDT, %edi
        mov     $512, %ecx
        rep stosl
        xor     %ebx, %ebx
1:      mov     %ebx, %eax
        shl     $4, %eax
        add     $stubs, %eax
        mov     $0x8e00, %ecx
        call    set_gate
        inc     %ebx
        cmp     $48, %ebx
        jb      1b
        mov     $3, %ebx
        mov     $stubs + 0x30, %eax
        mov     $0xee00, %ecx
        call    set_gate
        mov     $0x30, %ebx             /* for ring 3 */
        mov     $stubs + 0x300, %eax
        mov     $0xee00, %ecx
        call    set_gate
        mov     $0x31, %ebx             /* not for it; a trap gate */
        mov     $stubs + 0x310, %eax
        mov     $0x8f00, %ecx
        call    set_gate
        mov     $0x32, %ebx             /* absent */
        mov     $stubs + 0x320, %eax
        mov     $0x6e00, %ecx
        call    set_gate
        movl    $DATA, TSS0 + 8
        movl    $STACK0, TSS0 + 4
        movw    $0x68, TSS0 + 102

        msg     "protected\n"
        mov     %cr0, %eax
        and     $0x7fffffff, %eax
        and     $~0x60000000, %eax
        call    hex
        mov     %cs, %ax
        call    hexw
        msg     "\n"
        mov     $TR0, %ax
        ltr     %ax
        str     %ax
        call    hexw
        movb    GDT + TR0 + 5, %al
        call    hexw
        mov     $LDTSEL, %ax
        lldt    %ax
        sldt    %ax
        call    hexw
        movl    $0x0000ffff, 0x4008
        movl    $0x00cf9200, 0x400c
        mov     $0x0c, %ax
        mov     %ax, %fs
        mov     %fs, %ax
        call    hexw
        movb    0x400d, %al
        call    hexw
        msg     "\n"

        msg     "faults\n"
        TRY
        xor     %ebx, %ebx
        xor     %edx, %edx
        div     %ebx
1:      TRY
        int3
1:      TRY
        mov     $0x7f, %al
        inc     %al
        into
1:      TRY
        movl    $3, 0x720
        movl    $9, 0x724
        mov     $10, %eax
        bound   %eax, 0x720
1:      TRY
        ud2
1:      TRY
        int     $0x30
1:      TRY
        int     $0x31
1:      TRY
        int     $0x32
1:      TRY
        int     $0x60
1:      TRY
        int     $0xff
1:      TRY
        mov     $0x3f8, %ax
        mov     %ax, %ds
1:      TRY
        mov     $ABSENT, %ax
        mov     %ax, %es
1:      TRY
        mov     $ABSENT, %ax
        mov     %ax, %ss
1:      TRY
        xor     %ax, %ax
        mov     %ax, %ss
1:      TRY
        mov     $UDATA, %ax
        mov     %ax, %ss
1:      TRY
        mov     $EXONLY, %ax
        mov     %ax, %es
1:      TRY
        mov     $CODE, %ax
        mov     %ax, %ss
1:      TRY
        mov     $TR0, %ax
        mov     %ax, %es
1:      TRY
        mov     $0x14, %ax     /* LDT, beyond nothing: entry 2 is zero */
        mov     %ax, %es
1:      TRY
        ljmp    $0, $0
1:      TRY
        ljmp    $DATA, $0
1:      TRY
        ljmp    $UCODE, $0
1:      TRY
        ljmp    $ABSENT, $0
1:      TRY
        lcall   $GATEBAD, $0
1:      TRY
        ljmp    $BUSY, $0
1:      TRY
        mov     $BUSY, %ax
        ltr     %ax
1:      TRY
        mov     $DATA, %ax
        lldt    %ax
1:      TRY
        push    $0
        push    $0
        lret
1:      TRY
        push    $2
        push    $DATA
        push    $0
        iret
1:      TRY
        .byte   0x0f, 0x20, 0xc8     /* mov %cr1, %eax */
1:      TRY
        .byte   0xf0, 0x90           /* lock nop */
1:      TRY
        mov     %cr0, %eax
        or      $8, %al
        mov     %eax, %cr0
        fnop
1:      TRY
        fwait
        mov     %cr0, %eax
        or      $2, %al
        mov     %eax, %cr0
        fwait
1:      clts
        TRY
        mov     %cr0, %eax
        and     $~2, %al
        or      $4, %al
        mov     %eax, %cr0
        fld1
1:      mov     %cr0, %eax
        and     $~6, %al
        mov     %eax, %cr0
        /* a fault on the way to a handler: the gate is gone, so #DF; its gate is there */
        TRY
        movl    $0, IDT + 13 * 8 + 4
        mov     $0x3f8, %ax
        mov     %ax, %ds
1:      mov     $13, %ebx
        mov     $stubs + 0xd0, %eax
        mov     $0x8e00, %ecx
        call    set_gate

        msg     "selectors\n"
        .irp    sel, 0, CODE, DATA, UCODE, UDATA, TR0, TR1, ABSENT, CONF, EXONLY, ROSEG, GATE, LDTSEL, TASKGATE, TRSIX, 0x3f8, 0x0c
        mov     $\sel, %ecx
        call    ask
        .endr

        msg     "limits\n"
        mov     $SMALL, %ax
        mov     %ax, %fs
        mov     $CODE16, %ecx
        lsl     %ecx, %eax
        call    hex
        mov     $SMALL, %ecx
        lsl     %ecx, %eax
        call    hex
        msg     "\n"

        msg     "flags\n"
        pushf
        pop     %eax
        call    hex
        push    $0x00247ed7
        popf
        pushf
        pop     %eax
        push    $2
        popf
        call    hex
        sti
        pushf
        cli
        pop     %eax
        and     $0x200, %eax
        call    hex
        msg     "\n"

/* ---- rings ---- */
        msg     "rings\n"
        /* each try from ring 3 begins anew */
        .macro  user label
        movl    $9f, RESUME
        mov     $\label, %ebx
        jmp     to_user
9:
        .endm
        user    u_int30
        user    u_int31
        user    u_cli
        user    u_in
        user    u_hlt
        user    u_cr0
        user    u_gate
        user    u_gatep
        user    u_jmp
        user    u_ss
        user    u_lret
        user    u_popf
        user    u_ltr
        user    u_iopl
        user    u_map
        user    u_sidt
        user    u_rdmsr
        user    u_conf
        user    u_ac
        user    u_wbinvd
        user    u_dr
        jmp     rings_done

/* ebx = where */
to_user: push   $UDATA
        push    $STACK3
        push    $2
        push    $UCODE
        push    %ebx
        mov     $UDATA, %ax
        mov     %ax, %ds
        mov     %ax, %es
        iret
u_int30: int    $0x30
u_int31: int    $0x31
u_cli:  cli
u_in:   mov     $0x80, %dx
        in      %dx, %al
u_hlt:  hlt
u_cr0:  mov     %cr0, %eax
u_gate: lcall   $GATE | 3, $0x1234
        int     $0x30
u_gatep: push   $0x11112222
        push    $0x33334444
        lcall   $GATEP | 3, $0
        mov     %esp, %eax
        int     $0x30
u_jmp:  ljmp    $GATE | 3, $0
u_ss:   mov     $DATA, %ax
        mov     %ax, %ss
u_lret: push    $CODE
        push    $0
        lret
u_popf: push    $0x3202
        popf
        int     $0x30
u_ltr:  mov     $TR1, %ax
        ltr     %ax
u_iopl: sti
u_map:  /* the I/O map permits port 80h to 87h after this */
        mov     $0xe9, %dx
        int     $0x30
u_sidt: sub     $8, %esp
        sidt    (%esp)
        add     $8, %esp
        int     $0x30
u_rdmsr: mov    $0x10, %ecx
        rdmsr
u_conf: lcall   $CONF, $conf_target
        int     $0x30
u_ac:   mov     $'a', %al
        push    $0x40202
        popf
        movl    0x721, %ecx
        int     $0x30
u_wbinvd: wbinvd
u_dr:   mov     %dr7, %eax

u_small: mov    $USMALL, %ax
        mov     %ax, %ss
        mov     $0x1002, %esp
        push    %eax

irq_show: push  %eax
        mov     $'i', %al
        out     %al, $0xe9
        mov     4(%esp), %eax
        call    hex
        pop     %eax
        iret
        .code16
smi_code: mov   $'m', %al
        out     %al, $0xe9
        mov     %cs, %ax
        mov     %ax, %ds
        mov     %cs, %ax
        mov     %ah, %al
        add     $'0', %al
        out     %al, $0xe9
        smsw    %ax
        and     $1, %al
        add     $'0', %al
        out     %al, $0xe9
        mov     $0, %ebx
        mov     $' ', %al
        out     %al, $0xe9
        rsm
smi_end:
        .code32

conf_target:
        mov     %cs, %eax
        and     $3, %eax
        lret

gate_target:
        push    %eax
        mov     16(%esp), %eax
        movw    %ss, %ax
        mov     $'g', %al
        out     %al, $0xe9
        mov     8(%esp), %eax
        call    hexw
        mov     12(%esp), %eax
        call    hex
        mov     16(%esp), %eax
        call    hexw
        mov     %ss, %eax
        call    hexw
        pop     %eax
        lret
gate_params:
        mov     $'p', %al
        out     %al, $0xe9
        mov     8(%esp), %eax
        call    hex
        mov     12(%esp), %eax
        call    hex
        mov     16(%esp), %eax
        call    hex
        lret    $8

/* ecx = selector: what lar, lsl, verr, verw say of it */
ask:    mov     %ecx, %eax
        call    hexw
        xor     %eax, %eax
        lar     %ecx, %eax
        setz    %dl
        call    hex
        xor     %eax, %eax
        lsl     %ecx, %eax
        setz    %dh
        call    hex
        verr    %cx
        setz    %al
        verw    %cx
        setz    %ah
        shl     $16, %eax
        mov     %dx, %ax
        call    hex
        msg     "\n"
        ret

rings_done:
        /* an I/O map */
        msg     "map\n"
        mov     $GDT + TR0, %edi
        andb    $~2, 5(%edi)
        movw    $0xff, (%edi)
        mov     $TSS0 + 0x68, %edi
        mov     $0xff, %al
        mov     $0x98, %ecx
        rep stosb
        movb    $0xfe, TSS0 + 0x68 + 0x80 / 8
        mov     $TR0, %ax
        ltr     %ax
        user    m_in80
        user    m_in81
        user    m_inw
        user    m_far
        jmp     map_done
m_in80: in      $0x80, %al
        xor     %eax, %eax
        int     $0x30
m_in81: in      $0x81, %al
m_inw:  in      $0x80, %ax
m_far:  mov     $0x4f0, %dx
        in      %dx, %al
map_done:

/* ---- tasks ---- */
        msg     "tasks\n"
        call    fill_tss
        ljmp    $TR1, $0
        msg     "back "
        call    show_tasks
        lcall   $TR1, $0
        msg     "back "
        call    show_tasks
        lcall   $TASKGATE, $0
        msg     "back "
        call    show_tasks
        lcall   $TRSIX, $0
        msg     "back "
        call    show_tasks
        pushf
        pop     %eax
        call    hex
        msg     "\n"
        /* an exception with an error code through a task gate */
        movl    $(TR2 << 16), IDT + 13 * 8
        movl    $0x8500, IDT + 13 * 8 + 4
        mov     $ABSENT, %ecx
        movl    $task_fault, TSS2 + 32
        mov     $TR0, %ax
        mov     $0x3f8, %dx
        mov     %dx, %gs         /* the handler lets it go on behind the instruction */
        msg     "after "
        call    show_tasks
        mov     $13, %ebx
        mov     $stubs + 0xd0, %eax
        mov     $0x8e00, %ecx
        call    set_gate
        /* a task whose ds is bad: #TS in it */
        movl    $0x3f8, TSS2 + 84
        andb    $~2, GDT + TR2 + 5
        movl    $task_one, TSS2 + 32
        movl    $1f, RESUME
        ljmp    $TR2, $0
1:      str     %ax
        call    hexw
        msg     "\n"
        mov     %cr0, %eax
        and     $8, %eax
        call    hex
        clts
        msg     "\n"
        andb    $~2, GDT + TR0 + 5
        mov     $TR0, %ax
        ltr     %ax
        jmp     v86

fill_tss:
        mov     $TSS1, %edi
        mov     $task_one, %eax
        call    1f
        mov     $TSS2, %edi
        mov     $task_one, %eax
        call    1f
        /* of 16 bits: code at F0000 */
        movw    $O(task_16), TSS16 + 14
        movw    $2, TSS16 + 16
        movw    $0x1234, TSS16 + 18
        movw    $0x7e00, TSS16 + 26
        movw    $DATA16, TSS16 + 34
        movw    $CODE16, TSS16 + 36
        movw    $DATA16, TSS16 + 38
        movw    $DATA16, TSS16 + 40
        ret
1:      mov     %eax, 32(%edi)
        movl    $2, 36(%edi)
        movl    $0x0a0a0a0a, 40(%edi)
        movl    $0x7000, 56(%edi)
        movl    $DATA, 72(%edi)
        movl    $CODE, 76(%edi)
        movl    $DATA, 80(%edi)
        movl    $DATA, 84(%edi)
        movl    $LDTSEL, 96(%edi)
        ret

show_tasks:
        str     %ax
        call    hexw
        movb    GDT + TR0 + 5, %al
        call    hexw
        movb    GDT + TR1 + 5, %al
        call    hexw
        movw    TSS1, %ax
        call    hexw
        mov     TSS1 + 36, %eax
        and     $0xffff, %eax
        call    hex
        msg     "\n"
        ret

task_one:
        call    hex
        str     %ax
        call    hexw
        pushf
        pop     %eax
        call    hex
        sldt    %ax
        call    hexw
        mov     %esp, %eax
        call    hex
        pushf
        pop     %eax
        test    $0x40, %ah
        jnz     1f
        ljmp    $TR0, $0
        jmp     task_one
1:      iret
        msg     "again "
        jmp     task_one

task_fault:
        msg     "fault "
        pop     %eax
        call    hex
        str     %ax
        call    hexw
        addl    $2, TSS0 + 32
        iret
        jmp     task_fault

        .code16
task_16: mov    %ax, %bx
        mov     $'6', %al
        out     %al, $0xe9
        mov     %bx, %ax
        call    hex16
        mov     %sp, %ax
        call    hex16
        pushf
        pop     %ax
        call    hex16
        iret
        jmp     task_16
        .code32

/* ---- virtual-8086 mode ---- */
        .macro  virtual label, flags
        movl    $9f, RESUME
        mov     $O(\label), %ebx
        mov     $\flags, %edx
        jmp     to_v86
9:
        .endm
to_v86: push    $0x1111
        push    $0x2222
        push    $0x3333
        push    $0x4444
        push    $0
        push    $STACKV
        push    %edx
        push    $0xf000
        push    %ebx
        iret
v86:    msg     "virtual\n"
        virtual v_int, 0x20002
        virtual v_int, 0x23002
        virtual v_int3, 0x20002
        virtual v_cli, 0x20002
        virtual v_cli, 0x23002
        virtual v_hlt, 0x23002
        virtual v_pushf, 0x20002
        virtual v_popf, 0x23002
        virtual v_iret, 0x20002
        virtual v_iret, 0x23002
        virtual v_in80, 0x23002
        virtual v_in81, 0x23002
        virtual v_segs, 0x23002
        virtual v_lldt, 0x23002
        virtual v_far, 0x23002
        jmp     paging
        .code16
v_int:  int     $0x30
v_int3: int3
v_cli:  sti
        pushf
        pop     %ax
        ud2
v_hlt:  hlt
v_pushf: pushf
v_popf: pushw   $0x0002
        popf
        int     $0x30
v_iret: pushw   $0x3002
        pushw   $0xf000
        pushw   $O(v_int3)
        iret
v_in80: in      $0x80, %al
        int3
v_in81: in      $0x81, %al
v_segs: mov     %ds, %ax
        call    hex16
        mov     %gs, %ax
        call    hex16
        mov     $0x1234, %ax
        mov     %ax, %ds
        int3
v_lldt: lldt    %ax
v_far:  lcall   $0xf000, $O(rm_far)
        call    hex16
        mov     %sp, %ax
        call    hex16
        int3
        .code32

/* ---- paging ---- */
#define PD 0x10000
#define PT 0x11000
#define PT2 0x12000
#define PDPT 0x13000
#define PML4 0x18000
paging: msg     "paging\n"
        /* the first 4 MiB as they are, for all; 4 MiB at 400000 again by pages with faults in them */
        mov     $PD, %edi
        xor     %eax, %eax
        mov     $0x3000, %ecx
        rep stosl
        movl    $PT + 7, PD
        movl    $PT2 + 7, PD + 4
        mov     $PT, %edi
        mov     $7, %eax
        mov     $1024, %ecx
1:      stosl
        add     $0x1000, %eax
        loop    1b
        movl    $0x20000 + 7, PT2         /* 400000: all may */
        movl    $0x21000 + 5, PT2 + 4     /* 401000: read only */
        movl    $0x22000 + 3, PT2 + 8     /* 402000: supervisor */
        movl    $0x23000 + 1, PT2 + 12    /* 403000: supervisor, read only */
        mov     $PD, %eax
        mov     %eax, %cr3
        mov     %cr0, %eax
        or      $0x80000000, %eax
        mov     %eax, %cr0
        msg     "on\n"
        mov     0x400000, %eax
        mov     PT2, %eax
        call    hex
        mov     %eax, 0x400000
        mov     PT2, %eax
        call    hex
        mov     PD + 4, %eax
        call    hex
        mov     %eax, 0x401000            /* no WP */
        mov     PT2 + 4, %eax
        call    hex
        msg     "\n"
        TRY
        mov     0x404000, %eax
1:      TRY
        mov     %eax, 0x404123
1:      TRY
        mov     0x800ffc, %eax
1:      TRY
        mov     $0x405000, %eax
        jmp     *%eax
1:      TRY
        incl    0x403ffe
1:      mov     %cr0, %eax
        or      $0x10000, %eax
        mov     %eax, %cr0
        TRY
        mov     %eax, 0x401004
1:      TRY
        mov     %eax, 0x403004
1:      user    p_read
        user    p_write
        user    p_super
        user    p_superw
        user    p_absent
        user    p_absentw
        user    p_exec
        user    p_cross
        /* a change without invlpg may be seen late; with it at once */
        movl    $0x55aa, 0x20000
        movl    $0xaa55, 0x24000
        mov     0x400000, %eax
        movl    $0x24000 + 7, PT2
        invlpg  0x400000
        mov     0x400000, %eax
        call    hex
        /* pages of 4 MiB */
        movl    $0x00000087, PD + 8
        mov     %cr4, %eax
        or      $0x10, %eax
        mov     %eax, %cr4
        mov     0x820000, %eax
        call    hex
        mov     %eax, 0x820004
        mov     PD + 8, %eax
        call    hex
        msg     "\n"
        jmp     paging2
p_read: mov     0x401000, %eax
        mov     0x400000, %eax
        mov     %eax, 0x400000
        int     $0x30
p_write: mov    %eax, 0x401000
p_super: mov    0x402000, %eax
p_superw: mov   %eax, 0x402000
p_absent: mov   0x404000, %eax
p_absentw: mov  %eax, 0x404000
p_exec: mov     $0x402000, %eax
        jmp     *%eax
p_cross: mov    %eax, 0x400ffe

paging2: /* a page fault on the way to a page fault's handler: #DF, through a task gate, which has a stack of its own */
        movl    $(TR2 << 16), IDT + 8 * 8
        movl    $0x8500, IDT + 8 * 8 + 4
        andb    $~2, GDT + TR2 + 5
        movl    $DATA, TSS2 + 84
        movl    $PD, TSS2 + 28
        movl    $double, TSS2 + 32
        movl    $0x7000, TSS2 + 56
        movl    $1f, RESUME
        mov     $0x404800, %esp
        mov     0x404000, %eax
        ud2
double: pop     %eax
        msg     "double "
        call    hex
        mov     %cr2, %eax
        call    hex
        mov     TSS0 + 32, %eax
        call    hex
        mov     TSS0 + 56, %eax
        call    hex
        msg     "\n"
        /* the old task is over: take its place */
        pushl   $2
        popf
        andb    $~2, GDT + TR0 + 5
        mov     $TR0, %ax
        ltr     %ax
        clts
        mov     $STACK0, %esp
        mov     $8, %ebx
        mov     $stubs + 0x80, %eax
        mov     $0x8e00, %ecx
        call    set_gate
1:      mov     $7, %eax
        xor     %ecx, %ecx
        cpuid
        and     $0x100080, %ebx
        cmp     $0x100080, %ebx
        jne     3f
        msg     "smap\n"
        mov     $PT, %edi
        mov     $256, %ecx
1:      andb    $~4, (%edi)
        add     $4, %edi
        loop    1b
        mov     %cr4, %eax
        or      $0x300000, %eax
        mov     %eax, %cr4
        TRY
        mov     0x400000, %eax
1:      TRY
        mov     %eax, 0x400000
1:      TRY
        stac
        mov     0x400000, %eax
        clac
        call    hex
        mov     $0x400000, %eax
        jmp     *%eax
1:      TRY
        stac
        mov     %eax, 0x400000
        push    $2
        popf
        mov     %eax, 0x400000
1:      mov     %cr4, %eax
        and     $~0x300000, %eax
        mov     %eax, %cr4
3:      mov     %cr0, %eax
        and     $0x7fffffff, %eax
        mov     %eax, %cr0

/* PAE with no-execute */
        msg     "PAE\n"
        mov     $1, %eax
        cpuid
        and     $0x40, %edx
        mov     %edx, %eax
        call    hex
        movl    $0x14000 + 1, PDPT
        movl    $0, PDPT + 4
        movl    $0x00000087, 0x14000      /* 2 MiB at 0 */
        movl    $0, 0x14004
        movl    $0x15000 + 7, 0x14008     /* 200000: pages */
        movl    $0, 0x1400c
        movl    $0x20000 + 7, 0x15000
        movl    $0x21000 + 5, 0x15008
        movl    $0x22000 + 7, 0x15010
        movl    $0, 0x15014
        mov     %cr4, %eax
        or      $0x20, %eax
        mov     %eax, %cr4
        mov     $PDPT, %eax
        mov     %eax, %cr3
        mov     %cr0, %eax
        or      $0x80000000, %eax
        mov     %eax, %cr0
        mov     0x200000, %eax
        call    hex
        mov     0x15000, %eax
        call    hex
        mov     0x14000, %eax
        call    hex
        msg     "\n"
        TRY
        mov     %eax, 0x201000
1:      TRY
        mov     0x40000000, %eax
1:      TRY
        movl    $0x80000000, 0x15014      /* reserved while NXE is off */
        mov     0x202000, %eax
1:      TRY
        mov     $0x80000001, %eax
        cpuid
        bt      $20, %edx
        jnc     2f
        mov     $0xc0000080, %ecx
        rdmsr
        or      $0x800, %eax
        wrmsr
        mov     0x202000, %eax
        msg     "nx "
        mov     $0x202000, %eax
        jmp     *%eax
1:      TRY
        movl    $0x100, 0x14014           /* reserved: beyond physical addresses */
        movl    $0x87, 0x14010
        movl    $0x00100000, 0x14014
        mov     0x400000, %eax
1:
2:      mov     %cr0, %eax
        and     $0x7fffffff, %eax
        mov     %eax, %cr0

/* ---- sysenter ---- */
        msg     "sysenter\n"
        TRY
        mov     $0x174, %ecx
        xor     %eax, %eax
        xor     %edx, %edx
        wrmsr
        sysenter
1:      mov     $0x174, %ecx
        mov     $SYSBASE, %eax
        wrmsr
        mov     $0x175, %ecx
        mov     $0x7800, %eax
        wrmsr
        mov     $0x176, %ecx
        mov     $se_entry, %eax
        wrmsr
        rdmsr
        call    hex
        user    se_user
        jmp     debug
se_user: mov    $0x12345, %ebx
        sysenter
se_back: mov    %cs, %eax
        mov     %ss, %ebx
        int     $0x30
se_entry: mov   %cs, %eax
        call    hexw
        mov     %ss, %eax
        call    hexw
        mov     %esp, %eax
        call    hex
        mov     $se_back, %edx
        mov     $STACK3 - 64, %ecx
        sysexit

/* ---- debug ---- */
debug:  msg     "debug\n"
        movl    $db_show, %eax
        mov     $1, %ebx
        mov     $0x8e00, %ecx
        call    set_gate
        /* trap flag: over mov ss, a repeat, a call */
        mov     $STACK0, %esp
        mov     $3, %ecx
        mov     $0x720, %edi
        mov     $DATA, %dx
        push    $0x102
        popf
db_1:   nop
        mov     %dx, %ss
        nop
        rep stosb
        jmp     2f
        nop
2:      push    $2
        popf
        nop
        msg     "\n"
        /* an instruction breakpoint, a write, a read or write, DR7's fixed bits */
        mov     $db_2, %eax
        mov     %eax, %dr0
        mov     $0x740, %eax
        mov     %eax, %dr1
        mov     $0x744, %eax
        mov     %eax, %dr2
        mov     $0x0fd00000 | 0x2a, %eax
        mov     %eax, %dr7
        mov     %dr7, %eax
        call    hex
        mov     %dr6, %eax
        call    hex
        msg     "\n"
        nop
db_2:   mov     $1, %eax
        movl    $1, 0x740
        mov     0x740, %eax
        mov     0x744, %eax
        movl    $1, 0x748
        mov     $0, %eax
        mov     %eax, %dr7
        nop
        mov     $1, %ebx
        mov     $stubs + 0x10, %eax
        mov     $0x8e00, %ecx
        call    set_gate
        xor     %eax, %eax
        mov     %eax, %dr6
        mov     %dr6, %eax
        call    hex
        msg     "\n"
        jmp     long
db_show: push   %eax
        mov     $'d', %al
        out     %al, $0xe9
        mov     4(%esp), %eax
        call    hex
        mov     %dr6, %eax
        call    hex
        xor     %eax, %eax
        mov     %eax, %dr6
        orl     $0x10000, 12(%esp)
        pop     %eax
        iret

/* ---- long mode ---- */
long:   mov     $0x80000000, %eax
        cpuid
        cmp     $0x80000001, %eax
        jb      own
        mov     $0x80000001, %eax
        cpuid
        bt      $29, %edx
        jnc     own
        jmp     to_long

/* ---- what only this emulator checks ---- */
own:    mov     $0x3c0, %dx
        msg     "own:\n"
        TRY
        mov     $0x12345, %ecx
        rdmsr
1:      movl    $0, IDT + 6 * 8 + 4
        TRY
        ud2
1:      mov     $6, %ebx
        mov     $stubs + 0x60, %eax
        mov     $0x8e00, %ecx
        call    set_gate
        TRY
        .byte   0xf1
1:      TRY
        mov     $0x80000000, %eax
        mov     %eax, %cr0
1:
        mov     $SMALL, %ax
        mov     %ax, %fs
        TRY
        mov     %fs:0xfff, %al
        mov     %fs:0xffc, %eax
        mov     %fs:0xffd, %eax
1:      mov     $SMALL, %ax
        mov     %ax, %fs
        TRY
        movb    $1, %fs:0x1000
1:      mov     $DOWN, %ax
        mov     %ax, %fs
        TRY
        mov     %fs:0x1000, %al
        mov     %fs:0xfff, %al
1:      mov     $ROSEG, %ax
        mov     %ax, %fs
        TRY
        mov     %fs:0x720, %eax
        mov     %eax, %fs:0x720
1:      TRY
        mov     %eax, %cs:0x720
1:      TRY
        xor     %ax, %ax
        mov     %ax, %fs
        mov     %fs:0x720, %eax
1:      mov     $SMALL, %ax
        mov     %ax, %es
        TRY
        mov     $0xffe, %edi
        mov     $5, %ecx
        rep stosb
1:      mov     %edi, %eax
        call    hex
        mov     %ecx, %eax
        call    hex
        msg     "\n"
        user    u_small
        mov     %cr0, %eax
        or      $0x40000, %eax
        mov     %eax, %cr0
        user    u_ac
        /* the board's pins: F4h requests an interrupt, F5h an NMI, F6h an SMI */
        mov     $0x33, %ebx
        mov     $irq_show, %eax
        mov     $0x8e00, %ecx
        call    set_gate
        mov     $2, %ebx
        mov     $irq_show, %eax
        mov     $0x8e00, %ecx
        call    set_gate
        mov     $0x33, %al
        out     %al, $0xf4
        nop
        sti
irq_1:  nop
irq_2:  cli
        out     %al, $0xf4
        sti
        hlt
irq_3:  cli
        out     %al, $0xf4
        mov     $DATA, %dx
        push    $0x202
        popf
        nop
        push    $2
        popf
        sti
        nop
        out     %al, $0xf4
irq_4:  nop
        mov     %dx, %ss
        nop
        cli
        out     %al, $0xf5
irq_5:  nop
        msg     "\n"
        mov     $smi_code, %esi
        mov     $0x38000, %edi
        mov     $(smi_end - smi_code), %ecx
        rep movsb
        mov     $0x11112222, %ebx
        mov     $0x33334444, %ebp
        out     %al, $0xf6
        nop
        mov     %ebx, %eax
        call    hex
        mov     %ebp, %eax
        call    hex
        mov     %cr0, %eax
        call    hex
        pushf
        pop     %eax
        call    hex
        mov     0x3fefc, %eax
        and     $0x20000, %eax
        call    hex
        msg     "\n"
        TRY
        rsm
1:      mov     %cr0, %eax
        and     $~0x40000, %eax
        mov     %eax, %cr0
        TRY
        ljmp    $CODE16, $0x10000
1:      ljmp    $CODE16, $O(own16)
        .code16
own16:  mov     $DATA16, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     %ax, %fs
        mov     %ax, %gs
        mov     %cr0, %eax
        and     $~1, %al
        mov     %eax, %cr0
        ljmp    $0xf000, $O(own_real)
own_real:
        xor     %ax, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     $STACK0, %sp
        lidtl   %cs:O(idt_real)
        movw    $O(rm_trap), 4 * 13
        movw    $0xf000, 4 * 13 + 2
        movw    $O(rm_trap), 4 * 12
        movw    $0xf000, 4 * 12 + 2
        movw    $O(1f), RESUME
        mov     $0xffff, %bx
        mov     (%bx), %al
        mov     (%bx), %ax
1:      movw    $O(1f), RESUME
        mov     $0x10000, %ebx
        mov     (%ebx), %al
1:      movw    $O(1f), RESUME
        jmp     top
1:      jmp     done

done:   mov     $'.', %al
        out     %al, $0xe9
        mov     $'\n', %al
        out     %al, $0xe9
        mov     $0x501, %dx
        xor     %ax, %ax
        out     %al, %dx
1:      hlt
        jmp     1b

/* ---- long mode ---- */
        .code32
to_long: msg    "long\n"
        mov     $PML4, %edi
        xor     %eax, %eax
        mov     $0xc00, %ecx
        rep stosl
        movl    $0x19000 + 7, PML4
        movl    $0x1a000 + 7, 0x19000
        movl    $0x00000087, 0x1a000      /* 2 MiB at 0 */
        movl    $0x15000 + 7, 0x1a008     /* 200000: the pages of before */
        mov     %cr4, %eax
        or      $0x20, %eax
        mov     %eax, %cr4
        mov     $PML4, %eax
        mov     %eax, %cr3
        mov     $0xc0000080, %ecx
        rdmsr
        or      $0x101, %eax
        wrmsr
        mov     %cr0, %eax
        or      $0x80000000, %eax
        mov     %eax, %cr0
        mov     $0xc0000080, %ecx
        rdmsr
        call    hex
        mov     %cs, %eax
        call    hexw
        ljmp    $CODE64, $long64
        .code64
long64: mov     $DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     $STACK0, %rsp
        /* interrupts: 16 bytes each, at 6000 */
        mov     $0x6000, %edi
        xor     %ecx, %ecx
1:      mov     %ecx, %eax
        shl     $4, %eax
        add     $stubs64, %eax
        movl    $0, 8(%rdi)
        movl    $0, 12(%rdi)
        mov     %ax, (%rdi)
        movw    $CODE64, 2(%rdi)
        movw    $0x8e00, 4(%rdi)
        shr     $16, %eax
        mov     %ax, 6(%rdi)
        add     $16, %edi
        inc     %ecx
        cmp     $64, %ecx
        jb      1b
        movw    $0xee00, 0x6000 + 0x30 * 16 + 4
        movb    $2, 0x6000 + 0x31 * 16 + 4        /* IST 2 */
        movb    $2, 0x6000 + 12 * 16 + 4
        lidt    idt64(%rip)
        /* a TSS of 64 bits at 3800; its descriptor takes two */
        movl    $0x38000067, GDT + 0xb8
        movl    $0x00008900, GDT + 0xbc
        movq    $0, GDT + 0xc0
        movq    $STACK0, 0x3804
        movq    $0x7c00, 0x3824 + 8
        movw    $0x68, 0x3800 + 102
        mov     $0xb8, %eax
        ltr     %ax
#define TRY64 movl $1f, RESUME; movl $0, RESUME + 4;
        TRY64
        xor     %ebx, %ebx
        xor     %edx, %edx
        div     %rbx
1:      TRY64
        ud2
1:      TRY64
        mov     $0x800000000000, %rax
        mov     (%rax), %al
1:      TRY64
        mov     $0x123456789000, %rax
        mov     (%rax), %al
1:      TRY64
        movabs  $0xffff800000000000, %rax
        mov     %al, (%rax)
1:      TRY64
        int     $0x31
1:      TRY64
        int     $0x32
1:      TRY64
        .byte   0x06                    /* push es is gone */
1:      TRY64
        mov     $0x3f8, %eax
        mov     %eax, %ds
1:      TRY64
        xor     %eax, %eax
        mov     %eax, %ss               /* null is good in ring 0 */
        mov     $DATA, %eax
        mov     %eax, %ss
        mov     $'n', %al
        out     %al, $0xe9
        ljmpl   *bad_far(%rip)
1:      TRY64
        mov     $0xc0000102, %ecx
        mov     $0x1234, %edx
        xor     %eax, %eax
        wrmsr
1:      mov     $0xc0000102, %ecx
        rdmsr
        mov     %edx, %eax
        call    hex64
        mov     $0xc0000101, %ecx
        mov     $0x720, %eax
        xor     %edx, %edx
        wrmsr
        movl    $0xfeed, %gs:0
        mov     0x720, %eax
        call    hex64
        swapgs
        rdmsr
        mov     %edx, %eax
        call    hex64
        swapgs
        mov     $'\n', %al
        out     %al, $0xe9
        /* syscall */
        mov     $0xc0000081, %ecx
        mov     $((SYSBASE + 8) << 16) | SYSBASE, %edx
        xor     %eax, %eax
        wrmsr
        mov     $0xc0000082, %ecx
        xor     %edx, %edx
        mov     $sc_entry, %eax
        wrmsr
        mov     $0xc0000083, %ecx
        mov     $sc_compat, %eax
        wrmsr
        mov     $0xc0000084, %ecx
        mov     $0x200, %eax
        wrmsr
        movl    $1f, RESUME
        mov     $u64, %ebx
        mov     $SYSBASE + 0x23, %ecx
        jmp     user64
1:      movl    $1f, RESUME
        mov     $u64_priv, %ebx
        mov     $SYSBASE + 0x23, %ecx
        jmp     user64
1:      movl    $1f, RESUME
        mov     $ucompat, %ebx
        mov     $SYSBASE + 0x13, %ecx
        jmp     user64
1:      movl    $1f, RESUME
        mov     $ucompat_call, %ebx
        mov     $SYSBASE + 0x13, %ecx
        jmp     user64
1:      /* compatibility mode in ring 0, and out */
        mov     %cr3, %rax
        call    hex64
        mov     $'\n', %al
        out     %al, $0xe9
        ljmpl   *compat_far(%rip)

user64: pushq   $SYSBASE + 0x1b
        pushq   $STACK3
        pushq   $0x202
        push    %rcx
        push    %rbx
        iretq
u64:    mov     $0x77, %edi
        syscall
        mov     %cs, %eax
        mov     %ss, %ebx
        int     $0x30
u64_priv: hlt
sc_entry: mov   %rcx, %rbx
        mov     %r11, %rax
        call    hex64
        mov     %rbx, %rax
        call    hex64
        mov     %cs, %eax
        call    hex64
        mov     %ss, %eax
        call    hex64
        pushfq
        pop     %rax
        and     $0x200, %eax
        call    hex64
        mov     %rbx, %rcx
        sysretq
sc_compat: mov  %rcx, %rbx
        mov     $'c', %al
        out     %al, $0xe9
        mov     %rbx, %rax
        call    hex64
        mov     %rbx, %rcx
        mov     $0x202, %r11d
        sysretl

hex64:  push    %rcx
        push    %rax
        mov     $16, %ecx
1:      rol     $4, %rax
        push    %rax
        and     $15, %al
        add     $'0', %al
        cmp     $'9', %al
        jbe     2f
        add     $7, %al
2:      out     %al, $0xe9
        pop     %rax
        dec     %ecx
        jnz     1b
        mov     $' ', %al
        out     %al, $0xe9
        pop     %rax
        pop     %rcx
        ret
trap64: mov     $'V', %al
        out     %al, $0xe9
        mov     (%rsp), %rax
        call    hex64
        mov     8(%rsp), %rax
        call    hex64
        mov     24(%rsp), %rax
        call    hex64
        mov     16(%rsp), %rax
        call    hex64
        mov     32(%rsp), %rax
        and     $0xef700, %eax
        call    hex64
        mov     48(%rsp), %rax
        call    hex64
        mov     40(%rsp), %rax
        call    hex64
        mov     %rsp, %rax
        call    hex64
        cmpl    $14, (%rsp)
        jne     1f
        mov     %cr2, %rax
        call    hex64
1:      mov     $'\n', %al
        out     %al, $0xe9
        mov     $DATA, %eax
        mov     %eax, %ss
        mov     %eax, %ds
        mov     $STACK0, %rsp
        pushq   $2
        popfq
        jmp     *RESUME
        .balign 16
stubs64:
        .set    i, 0
        .rept   64
        .balign 16
        .if     !(i == 8 || (i >= 10 && i <= 14) || i == 17)
        pushq   $0
        .endif
        pushq   $i
        jmp     trap64
        .set    i, i + 1
        .endr
        .balign 8
idt64:  .word 0x3ff
        .quad 0x6000
bad_far: .long 0
        .word 0x3f8
compat_far: .long compat
        .word CODE
        .code32
ucompat: mov    %cs, %eax
        mov     $0x5555, %ebx
        int     $0x30
ucompat_call: mov $0x5555, %ebx
        .byte   0x0f, 0x05            /* syscall */
        int     $0x30
compat: mov     %esp, %eax
        mov     $STACK0, %esp
        call    hex
        mov     $-1, %eax
        inc     %eax                  /* one byte again */
        call    hex
        mov     $DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     %cr0, %eax
        and     $0x7fffffff, %eax
        mov     %eax, %cr0
        mov     $0xc0000080, %ecx
        rdmsr
        push    %eax
        call    hex
        pop     %eax
        and     $~0x100, %eax
        wrmsr
        lidt    idt_reg
        andb    $~2, GDT + TR0 + 5
        mov     $TR0, %eax
        ltr     %ax
        msg     "\n"
        jmp     own

        .org    0xfff0
        .code16
        .byte   0xea
        .word   O(real), 0xf000
        .org    0xfffe
top:    nop
        nop
