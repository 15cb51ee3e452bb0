/*
 * mips-user.h - what Linux user mode asks of the MIPS CPU.
 *
 * Not here: the kernel's side of the ABIs (user/).
 */
#ifndef ISA_MIPS_MIPS_USER_H
#define ISA_MIPS_MIPS_USER_H

struct cpu;

enum mips_abi {
    MIPS_ABI_O32, /* 32-bit registers; FR=0 */
    MIPS_ABI_N32, /* 64-bit operations, 32-bit addresses; FR=1 */
    MIPS_ABI_N64, /* 64-bit operations and addresses; FR=1 */
};

/* Sets the mode bits of the ABI in a CPU that was made for user mode (isa->init with user = true),
 * and nothing else: once at start, before the first block runs. N32 and N64 need a 64-bit model; on
 * a 32-bit one they mean O32. */
void mips_user_setup(struct cpu *, unsigned abi);

#endif
