/*
 * fast-goto-sys.c - the fast interpreter for machines, by computed goto (see fast-body.h).
 */
#include "interp/fast-values.h"

#if HOST_GNU
static struct fast_table fast_run_goto_sys_table;

#define XPROFILE_COUNT(op) ((void)0)
#define FAST_RUN  fast_run_goto_sys
#define FAST_USER 0
#define FAST_GOTO 1
#include "interp/fast-body.h"
#endif

const struct fast_table *fast_table_sys(void)
{
#if HOST_GNU
    if (!fast_run_goto_sys_table.base) fast_run_goto_sys(NULL, NULL);
    return &fast_run_goto_sys_table;
#else
    return NULL;
#endif
}
