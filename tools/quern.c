/*
 * quern.c - the one program: which emulator it is follows from its name, or from --target.
 */
#include "interp/jit.h"
#ifdef HAVE_GCCJIT
#include "jit-gccjit/backend.h"
#endif
#if defined HAVE_JIT_NATIVE
#include "jit-native/native.h"
#endif
#include "tools/system.h"
#ifdef HAVE_USER_MODE
#include "user/user.h"
#endif

#include <stdio.h>

static const char system_prefix[] = "system-", own_prefix[] = "quern-";

/* "system-mipsel" or "mipsel"; argv[0] stays in front of the options. */
static int dispatch(int argc, char **argv, const char *target)
{
    size_t n = sizeof system_prefix - 1;

    if (!strncmp(target, system_prefix, n)) return system_main(argc, argv, target + n);
#ifdef HAVE_USER_MODE
    return user_main(argc, argv, target);
#else
    error_report("user mode is not built in: it needs a Linux host");
    return 1;
#endif
}

int main(int argc, char **argv)
{
    const char *base = argc > 0 && argv[0] ? argv[0] : "quern", *slash = strrchr(base, '/');
    static const char opt[] = "--target=";

    error_set_progname(base);
#if defined HAVE_JIT_NATIVE
    jit_register(&jit_native_backend); /* the first is what -accel jit means */
#endif
    jit_register(&jit_null_backend);
#ifdef HAVE_GCCJIT
    jit_register(&jit_gccjit_backend);
#endif
    if (slash) base = slash + 1;
    if (!strncmp(base, own_prefix, sizeof own_prefix - 1)) return dispatch(argc, argv, base + sizeof own_prefix - 1);
    if (argc >= 2 && !strncmp(argv[1], opt, sizeof opt - 1)) {
        char *name = mem_printf("quern-%s", argv[1] + sizeof opt - 1);
        int rc;

        /* Messages and usage carry the full name, as if called by it. */
        error_set_progname(name);
        argv[1] = name;
        rc = dispatch(argc - 1, argv + 1, name + sizeof own_prefix - 1);
        error_set_progname("quern");
        mem_free(name);
        return rc;
    }
    if (argc == 2 && !strcmp(argv[1], "--man")) return print_man(), 0;
    if (argc == 2 && (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-version"))) return print_version(), 0;
    if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) return print_usage(), 0;
    if (argc >= 2) error_report("%s: invalid option", argv[1]);
    else error_report("no target given");
    fprintf(stderr, "Try 'quern --help'.\n");
    return 1;
}
