/*
 * run.S - entry point, and run_case(in, out, code): loads r2..r24, hi, lo, the FPU from *in, calls code, stores them to
 * *out. Code returns through ra and may not touch r1, r25..r30.
 */
#ifdef __mips64
#define L ld
#define S sd
#define SZ 8
#define ADDU daddu
#define ADDIU daddiu
#define FIRST 1
#else
#define L lw
#define S sw
#define SZ 4
#define ADDU addu
#define ADDIU addiu
#define FIRST 2
#endif
#define HI (32 * SZ)
#define LO (33 * SZ)
#define FPR (34 * SZ)
#define FCSR (FPR + 256)

    .set noreorder
    .set noat
    .text
    .globl __start
    .ent __start
__start:
    ADDIU $sp, $sp, -64
    li $2, -16
    and $sp, $sp, $2
    jal start_c
    nop
    break
    .end __start

    .globl run_case
    .ent run_case
run_case:
    ADDIU $sp, $sp, -16 * SZ
    S $16, 0*SZ($sp)
    S $17, 1*SZ($sp)
    S $18, 2*SZ($sp)
    S $19, 3*SZ($sp)
    S $20, 4*SZ($sp)
    S $21, 5*SZ($sp)
    S $22, 6*SZ($sp)
    S $23, 7*SZ($sp)
    S $30, 8*SZ($sp)
    S $31, 9*SZ($sp)
    S $28, 10*SZ($sp)
    S $5, 11*SZ($sp)
    move $30, $4
    move $25, $6
    L $2, HI($30)
    mthi $2
    L $2, LO($30)
    mtlo $2
    lw $2, FCSR($30)
    ctc1 $2, $31
    .irp n, 0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30
    ldc1 $f\n, FPR+8*\n($30)
    .endr
#ifdef __mips64
    .irp n, 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31
    ldc1 $f\n, FPR+8*\n($30)
    .endr
#endif
    .irp n, 2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24
    L $\n, SZ*\n($30)
    .endr
    jalr $25
    nop
    L $30, 11*SZ($sp)
    .irp n, 2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24
    S $\n, SZ*\n($30)
    .endr
    mfhi $2
    S $2, HI($30)
    mflo $2
    S $2, LO($30)
    cfc1 $2, $31
    sw $2, FCSR($30)
    ctc1 $0, $31
    .irp n, 0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30
    sdc1 $f\n, FPR+8*\n($30)
    .endr
#ifdef __mips64
    .irp n, 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31
    sdc1 $f\n, FPR+8*\n($30)
    .endr
#endif
    L $16, 0*SZ($sp)
    L $17, 1*SZ($sp)
    L $18, 2*SZ($sp)
    L $19, 3*SZ($sp)
    L $20, 4*SZ($sp)
    L $21, 5*SZ($sp)
    L $22, 6*SZ($sp)
    L $23, 7*SZ($sp)
    L $30, 8*SZ($sp)
    L $31, 9*SZ($sp)
    L $28, 10*SZ($sp)
    jr $31
    ADDIU $sp, $sp, 16 * SZ
    .end run_case
