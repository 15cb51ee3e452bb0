/*
 * simd-func.h - numbers of the vector functions in simd-func.c. Private to isa/x86.
 */
#ifndef ISA_X86_SIMD_FUNC_H
#define ISA_X86_SIMD_FUNC_H

#include "isa/x86/x86.h"

enum x86_simd {
    XV_AES, XV_AESIMC = XV_AES + 4, XV_AESKEY, XV_CLMUL, XV_MPSADBW, XV_PHMINPOS, XV_DPPS, XV_DPPD, XV_PCMPSTR,
    XV_INSERTPS = XV_PCMPSTR + 4, XV_PERMILPS, XV_PERMILPD, XV_STASH, XV_PERMD, XV_RSQRT, XV_RCP, XV_RSQRT1, XV_RCP1, XV_SHA,
};

#endif
