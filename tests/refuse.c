/*
 * refuse.c - runs a program with system calls refused, as containers do: `refuse EPERM io_uring_setup COMMAND...`. For
 * tests. Status 77: not here.
 */
#include "util/host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__linux__) && defined(__x86_64__)
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

int main(int argc, char **argv)
{
    static const struct { const char *name; int nr; } calls[] = {{"io_uring_setup", 425}, {"io_setup", SYS_io_setup}};
    int code = argc > 1 && !strcmp(argv[1], "ENOSYS") ? ENOSYS : EPERM, nr = -1;

    for (size_t i = 0; argc > 3 && i < ARRAY_LEN(calls); i++) {
        if (!strcmp(argv[2], calls[i].name)) nr = calls[i].nr;
    }
    if (nr < 0) return fprintf(stderr, "usage: refuse EPERM|ENOSYS io_uring_setup|io_setup COMMAND...\n"), 2;
    struct sock_filter code_of[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)code),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {ARRAY_LEN(code_of), code_of};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 77;
    execvp(argv[3], argv + 3);
    perror(argv[3]);
    return 127;
}
#else
int main(void) { return 77; }
#endif
