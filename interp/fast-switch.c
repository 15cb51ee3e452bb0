/*
 * fast-switch.c - the fast interpreter by switch, for compilers without computed goto: the same bodies, without
 * superinstructions (see fast-body.h).
 */
#define XOPS_NO_FUSE
#include "interp/fast-values.h"

#ifdef QUERN_XPROFILE
/* A build for choosing superinstructions (CPPFLAGS=-DQUERN_XPROFILE, switch dispatch, no fusion): counts which record
 * follows which and prints the commonest pairs at exit. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
static const char *const xop_names[XO_COUNT] = {
#define X_ALU2(N, W, m) #N #W "_" #m,
#define X_ALU1(N, W, m) #N #W "_" #m,
#define X_ALU3(N, W) #N #W,
#define X_ALU3K(N, W) #N #W "_K",
#define X_INS(W) "DEPOSIT" #W,
#define X_CONV(N) #N,
#define X_SETC(C, W, m) "SETC_" #C #W "_" #m,
#define X_LD(sz, sg, T, AW, en, al) "LD_" #sz #sg "_" #T "_" #AW "_" #en "_" #al,
#define X_ST(sz, T, AW, en, al) "ST_" #sz "_" #T "_" #AW "_" #en "_" #al,
#define X_LD2(AW, en) "LD2_" #AW "_" #en,
#define X_ST2(AW, en) "ST2_" #AW "_" #en,
#define X_FP2(N, W) #N #W,
#define X_FPCV(N) #N,
#define X_FCMP(W) "FCMP" #W,
#define X_FMA(W) "FMA" #W,
#define X_BRC2(C, W, m) "BRC2_" #C #W "_" #m,
#define X_BRC1(C, W, m) "BRC1_" #C #W "_" #m,
#define X_BRL(C, W, m) "BRL_" #C #W "_" #m,
#define X_MISC(N) #N,
#include "interp/xops.def"
};
static uint64_t xprofile[XO_COUNT][XO_COUNT], xprofile_total;
static unsigned xprofile_last;

static void xprofile_print(void)
{
    for (unsigned n = 0; n < 150; n++) {
        unsigned a = 0, b = 0;
        for (unsigned i = 0; i < XO_COUNT; i++) {
            for (unsigned j = 0; j < XO_COUNT; j++) {
                if (xprofile[i][j] > xprofile[a][b]) a = i, b = j;
            }
        }
        fprintf(stderr, "%6.3f%% %s %s\n", 100.0 * (double)xprofile[a][b] / (double)xprofile_total, xop_names[a], xop_names[b]);
        xprofile[a][b] = 0;
    }
}
static inline void xprofile_count(unsigned op)
{
    if (!xprofile_total++) atexit(xprofile_print);
    xprofile[xprofile_last][op]++;
    xprofile_last = op;
}
#define XPROFILE_COUNT(op) xprofile_count((unsigned)(op))
#else
#define XPROFILE_COUNT(op) ((void)0)
#endif

#define FAST_RUN  fast_run_switch_user
#define FAST_USER 1
#define FAST_GOTO 0
#include "interp/fast-body.h"
#define FAST_RUN  fast_run_switch_sys
#define FAST_USER 0
#define FAST_GOTO 0
#include "interp/fast-body.h"
