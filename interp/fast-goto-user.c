/*
 * fast-goto-user.c - the fast interpreter for user mode, by computed goto (see fast-body.h).
 */
#include "interp/fast-values.h"

#if HOST_GNU
static struct fast_table fast_run_goto_user_table;

#define XPROFILE_COUNT(op) ((void)0)
#define FAST_RUN  fast_run_goto_user
#define FAST_USER 1
#define FAST_GOTO 1
#include "interp/fast-body.h"
#endif

const struct fast_table *fast_table_user(void)
{
#if HOST_GNU
    if (!fast_run_goto_user_table.base) fast_run_goto_user(NULL, NULL);
    return &fast_run_goto_user_table;
#else
    return NULL;
#endif
}
