/*
 * mips-priv.S - a boot ROM with a very small kernel and a user program, for test-mips-boot.c: TLB refill, modified and
 * invalid pages, every exception a user program can cause, delay slots, timer interrupts, ERET.
 *
 * It writes one letter for each event to a 16550's data register at physical 0x1fd003f8: 'a' + ExcCode, 'D' after it when
 * the exception was in a delay slot. '.' ends the run. Any MIPS32 release 2 CPU with a TLB runs it, in both byte orders.
 *
 * Words only (no bytes, no strings): the test stores them in the byte order of the CPU. mips-priv.h is made by
 *   mips-linux-gnu-gcc -static -nostdlib -mips32r2 -mno-abicalls -fno-pic -Wl,-Ttext=0xbfc00000,-e,start -o mips-priv.elf mips-priv.S
 *   mips-linux-gnu-objcopy -O binary -j .text mips-priv.elf mips-priv.bin
 *   od -An -v -tx4 --endian=big -w16 mips-priv.bin | sed 's/ \([0-9a-f]*\)/0x\1, /g;s/ *$//' > mips-priv.h
 */
        .set noreorder
        .set noat
        .set mips32r2
#define INDEX $0
#define ENTRYLO0 $2
#define ENTRYLO1 $3
#define PAGEMASK $5
#define WIRED $6
#define BADVADDR $8
#define COUNT $9
#define ENTRYHI $10
#define COMPARE $11
#define STATUS $12
#define CAUSE $13
#define EPC $14
#define zero $0
#define v0 $2
#define a0 $4
#define t0 $8
#define t1 $9
#define t2 $10
#define t3 $11
#define t4 $12
#define t5 $13
#define s0 $16
#define k0 $26
#define k1 $27
#define TICK 20000
/* save area: 0x8000e000; ticks at 0x8000e020; page table of the first 4 MiB: 0x80010000 */

        .text
        .globl start
start:  lui     t0, 0x0040              # BEV
        mtc0    t0, STATUS
        lui     t0, 0x0080              # IV
        mtc0    t0, CAUSE
        lui     t0, %hi(vectors)
        addiu   t0, t0, %lo(vectors)
        lui     t1, %hi(vectors_end)
        addiu   t1, t1, %lo(vectors_end)
        lui     t2, 0xa000
1:      lw      t3, 0(t0)
        addiu   t0, t0, 4
        sw      t3, 0(t2)
        bne     t0, t1, 1b
        addiu   t2, t2, 4
        lui     t0, %hi(program)
        addiu   t0, t0, %lo(program)
        lui     t1, %hi(program_end)
        addiu   t1, t1, %lo(program_end)
        lui     t2, 0xa002
1:      lw      t3, 0(t0)
        addiu   t0, t0, 4
        sw      t3, 0(t2)
        bne     t0, t1, 1b
        addiu   t2, t2, 4
        # 0x100000 -> 0x20000, 0x101000 -> 0x21000, both clean; 0x102000 invalid
        lui     t0, 0x8001
        li      t1, 0x20000 >> 6 | 0x1a
        sw      t1, 0x100 * 4(t0)
        li      t1, 0x21000 >> 6 | 0x1a
        sw      t1, 0x101 * 4(t0)
        # an empty TLB: as many entries as Config1 tells
        mtc0    zero, ENTRYLO0
        mtc0    zero, ENTRYLO1
        mtc0    zero, PAGEMASK
        mtc0    zero, WIRED
        mfc0    t0, $16, 1
        ext     t0, t0, 25, 6
        lui     t1, 0x8000
1:      mtc0    t0, INDEX
        sll     t2, t0, 13
        addu    t2, t2, t1
        mtc0    t2, ENTRYHI
        ehb
        tlbwi
        bnez    t0, 1b
        addiu   t0, t0, -1
        li      t0, 5                   # ASID
        mtc0    t0, ENTRYHI
        mfc0    t0, COUNT
        addiu   t0, t0, TICK
        mtc0    t0, COMPARE
        lui     t0, 0x0010
        mtc0    t0, EPC
        li      t0, 0x8013              # IM7, user mode, EXL, IE
        mtc0    t0, STATUS
        ehb
        eret

        .org    0x400
vectors:                                # TLB refill
        mfc0    k0, BADVADDR
        srl     k0, k0, 13
        sll     k0, k0, 3
        lui     k1, 0x8001
        addu    k0, k0, k1
        lw      k1, 0(k0)
        mtc0    k1, ENTRYLO0
        lw      k1, 4(k0)
        mtc0    k1, ENTRYLO1
        ehb
        tlbwr
        eret

        .org    0x400 + 0x180           # everything else
        lui     k1, 0x8001
        sw      t0, -0x2000(k1)
        sw      t1, -0x1ffc(k1)
        sw      t2, -0x1ff8(k1)
        mfc0    k0, CAUSE
        ext     t0, k0, 2, 5
        li      t1, 8
        beq     t0, t1, system_call
        lui     t2, 0xbfd0
        b       more
        addiu   t1, t0, 'a'

        .org    0x400 + 0x200           # timer interrupt
        lui     k1, 0x8001
        sw      t0, -0x2000(k1)
        lw      t0, -0x1fe0(k1)
        addiu   t0, t0, 1
        sw      t0, -0x1fe0(k1)
        mfc0    t0, COUNT
        addiu   t0, t0, TICK
        mtc0    t0, COMPARE
        lw      t0, -0x2000(k1)
        ehb
        eret

more:   sb      t1, 0x3f8(t2)
        li      t1, 1
        beq     t0, t1, modified
        li      t1, 2
        beq     t0, t1, invalid
        li      t1, 3
        beq     t0, t1, invalid
        nop
        mfc0    t1, EPC
        bgez    k0, 1f                  # skip the instruction, or branch and slot
        addiu   t1, t1, 4
        li      t0, 'D'
        sb      t0, 0x3f8(t2)
        addiu   t1, t1, 4
1:      b       leave
        mtc0    t1, EPC

modified:
        mfc0    t0, BADVADDR
        srl     t0, t0, 12
        sll     t0, t0, 2
        addu    t0, t0, k1
        lw      t1, 0(t0)
        ori     t1, t1, 4
        b       rewrite
        sw      t1, 0(t0)
invalid:                                # gets 0x22000, clean
        mfc0    t0, BADVADDR
        srl     t0, t0, 12
        sll     t0, t0, 2
        addu    t0, t0, k1
        li      t1, 0x22000 >> 6 | 0x1a
        sw      t1, 0(t0)
rewrite:
        srl     t0, t0, 3               # both halves into the entry that is there
        sll     t0, t0, 3
        lw      t1, 0(t0)
        mtc0    t1, ENTRYLO0
        lw      t1, 4(t0)
        mtc0    t1, ENTRYLO1
        ehb
        tlbp
        ehb
        tlbwi
        b       leave
        nop

system_call:                            # v0 = 0: write a0; 1: ticks into v0; 2: the end
        mfc0    t1, EPC
        addiu   t1, t1, 4
        mtc0    t1, EPC
        beqz    v0, 1f
        addiu   t1, v0, -1
        bnez    t1, 2f
        nop
        b       leave
        lw      v0, -0x1fe0(k1)
1:      b       leave
        sb      a0, 0x3f8(t2)
2:      li      t1, '.'
        sb      t1, 0x3f8(t2)
1:      wait
        b       1b
        nop
leave:  lw      t0, -0x2000(k1)
        lw      t1, -0x1ffc(k1)
        lw      t2, -0x1ff8(k1)
        ehb
        eret
vectors_end:

program:                                # at virtual 0x100000
        li      v0, 0
        li      a0, 'U'
        syscall
        lui     t0, 0x0010
        lui     t3, 0x8000
        lw      t1, 0x1000(t0)          # 0
        addiu   t1, t1, 3
        sw      t1, 0x1000(t0)          # clean page: b
        lw      t2, 0x1000(t0)
        li      v0, 0
        addiu   a0, t2, '0'
        syscall                         # 3
        lw      t2, 0x2000(t0)          # invalid: c
        sw      t1, 0x2000(t0)          # clean: b
        lw      t2, 0x2000(t0)
        addiu   a0, t2, '1'
        syscall                         # 4
        lw      t4, 0(t3)               # kernel's address: e
        sw      t4, 0(t3)               # f
        lw      t4, 1(t0)               # misaligned: e
        sh      t4, 3(t0)               # f
        b       1f
        lw      t4, 0(t3)               # eD, then on after the slot
        li      a0, 'x'
        syscall                         # x
1:      beq     t0, t0, 1f
        syscall                         # a system call in a slot: EPC is the branch, + 4 is the slot again, then on
        li      a0, 'y'
        syscall                         # y
1:      lui     t5, 0x7fff
        ori     t5, t5, 0xffff
        addi    t5, t5, 1               # m
        bgez    t5, 1f                  # still positive
        nop
        li      a0, '!'
        syscall
1:      break                           # j
        teq     zero, zero              # n
        mfc0    t4, STATUS              # l
        .word   0x46000000              # add.s $f0, $f0, $f0: l
        .word   0xec000000              # k
        .word   0x7c03e83b              # rdhwr v1, $29: k
        eret                            # l
        cache   0, 0(t0)                # l
1:      li      v0, 1
        syscall
        slti    v0, v0, 3
        bnez    v0, 1b
        li      v0, 0
        li      a0, 'T'
        syscall
        li      v0, 2
        syscall
program_end:
