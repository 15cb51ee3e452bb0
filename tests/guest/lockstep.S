/*
 * lockstep.S - a guest without end for tests of -lockstep (malta, mipssim; kernel at 0x80100000): integers, shifts, compares,
 * narrow loads and stores, calls and returns, floating point, and loads that fault, in loops that become hot. What
 * it computes is folded into memory, so that nothing of it is lost.
 *
 * Build: mipsel-linux-gnu-gcc -mips32r2 -mno-abicalls -fno-pic -nostdlib -static -Wl,-Ttext=0x80100000 -Wl,--build-id=none
 *        -Wl,-z,max-page-size=4096 -o lockstep.elf lockstep.S && mipsel-linux-gnu-strip lockstep.elf
 */
        .set    noreorder
        .set    noat
        .text
        .globl  __start
__start:
        mfc0    $8, $12                 /* Status: CU1, exceptions in RAM, no interrupts */
        lui     $9, 0x2040
        not     $9, $9
        and     $8, $8, $9
        lui     $9, 0x2000
        or      $8, $8, $9
        srl     $8, $8, 3
        sll     $8, $8, 3               /* EXL, ERL, IE off */
        mtc0    $8, $12
        ehb
        la      $8, handler             /* to both vectors */
        lui     $9, 0x8000
        li      $10, 16
1:      lw      $11, 0($8)
        sw      $11, 0($9)
        sw      $11, 0x180($9)
        addiu   $8, $8, 4
        addiu   $10, $10, -1
        bnez    $10, 1b
        addiu   $9, $9, 4
        lui     $9, 0x8000
        li      $10, 16
2:      synci   0($9)
        synci   0x180($9)
        addiu   $10, $10, -1
        bnez    $10, 2b
        addiu   $9, $9, 4
        sync
        lui     $16, 0x8020             /* data */
        li      $17, 1                  /* seed */
        mtc1    $0, $f0
        lui     $8, 0x3f80
        mtc1    $8, $f2                 /* 1.0 */
        lui     $8, 0x4049
        ori     $8, $8, 0x0fdb
        mtc1    $8, $f4                 /* pi */
        move    $22, $0

loop:   li      $8, 0x6d4b              /* xorshift and a product */
        sll     $9, $17, 13
        xor     $17, $17, $9
        srl     $9, $17, 17
        xor     $17, $17, $9
        sll     $9, $17, 5
        xor     $17, $17, $9
        mul     $10, $17, $8
        addu    $22, $22, $10
        sra     $11, $10, 7
        srav    $12, $17, $10
        addu    $11, $11, $12
        andi    $13, $17, 0xffc         /* memory */
        addu    $13, $13, $16
        sw      $11, 0($13)
        lb      $14, 0($13)
        lhu     $15, 2($13)
        lh      $24, 0($13)
        addu    $22, $22, $14
        addu    $22, $22, $15
        subu    $22, $22, $24
        sh      $22, 0x1000($13)
        sb      $15, 0x1002($13)
        slt     $25, $14, $24           /* compares */
        addu    $22, $22, $25
        sltiu   $25, $17, 0x7000
        xor     $22, $22, $25
        bltz    $10, 3f
        addiu   $22, $22, 3
        blez    $14, 4f
        addiu   $22, $22, 7
3:      jal     fold                    /* calls */
        move    $4, $22
        move    $22, $2
4:      andi    $8, $17, 31             /* floating point */
        mtc1    $8, $f6
        cvt.s.w $f6, $f6
        add.s   $f8, $f6, $f2
        mul.s   $f8, $f8, $f4
        sub.s   $f0, $f8, $f0
        c.lt.s  $f0, $f6
        bc1f    5f
        nop
        mov.s   $f0, $f4
5:      swc1    $f0, 0x2000($16)
        andi    $8, $17, 15             /* now and then a load from nowhere; the handler goes on behind it */
        bnez    $8, 6f
        lui     $9, 0x0040
        addiu   $22, $22, 1
        lw      $10, 16($9)
        addiu   $22, $22, 2
        sw      $22, 20($9)
6:      b       loop
        sw      $22, 0x2004($16)

fold:   rotr    $2, $4, 9               /* leaf */
        xor     $2, $2, $4
        seb     $3, $4
        addu    $2, $2, $3
        jr      $31
        nop

handler:                                /* 16 words: EPC into a sum, on behind the instruction */
        mfc0    $26, $14
        lui     $27, 0x8020
        lw      $1, 0x2008($27)
        addu    $1, $1, $26
        sw      $1, 0x2008($27)
        mfc0    $1, $9
        sw      $1, 0x200c($27)
        addiu   $26, $26, 4
        mtc0    $26, $14
        ehb
        eret
        nop
        nop
        nop
        nop
        nop
