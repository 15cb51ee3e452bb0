/*
 * unbuilt.h - groups of instructions that the translator does not have yet. Executing one raises #UD, and the log of
 * guest errors names it; models do not claim their features. Names go from here when they are built.
 */
#define x86_tr_aes x86_tr_unbuilt
#define x86_tr_aesimc x86_tr_unbuilt
#define x86_tr_aeskey x86_tr_unbuilt
#define x86_tr_amd3d x86_tr_unbuilt
#define x86_tr_dpp x86_tr_unbuilt
#define x86_tr_extrq x86_tr_unbuilt
#define x86_tr_fbld x86_tr_unbuilt
#define x86_tr_fbstp x86_tr_unbuilt
#define x86_tr_gather x86_tr_unbuilt
#define x86_tr_insertps x86_tr_unbuilt
#define x86_tr_insertq x86_tr_unbuilt
#define x86_tr_maskmov x86_tr_unbuilt
#define x86_tr_mpsadbw x86_tr_unbuilt
#define x86_tr_pclmul x86_tr_unbuilt
#define x86_tr_pcmpstr x86_tr_unbuilt
#define x86_tr_phminposuw x86_tr_unbuilt
#define x86_tr_rdpkru x86_tr_unbuilt
#define x86_tr_rdrand x86_tr_unbuilt
#define x86_tr_sha x86_tr_unbuilt
#define x86_tr_vmaskmov x86_tr_unbuilt
#define x86_tr_vpermd x86_tr_unbuilt
#define x86_tr_vpermil x86_tr_unbuilt
#define x86_tr_vpermil_imm x86_tr_unbuilt
#define x86_tr_vrcp x86_tr_unbuilt
#define x86_tr_xsave x86_tr_unbuilt
