/*
 * exec.c - execve by the guest: programs of the guest's ISA run under this program again, scripts
 * through their interpreter, everything else as the host runs it.
 *
 * The new instance gets the options of this one as arguments ahead of the program's; the guest's
 * argv[0] goes through -0. Neither is seen by the guest.
 */
#include "user/abi.h"
#include "user/syscalls.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_SCRIPTS 5

static int read_head(const char *path, uint8_t *head, size_t n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    ssize_t r = read(fd, head, n - 1);
    int err = errno;
    close(fd);
    if (r < 0) return -err;
    head[r] = 0;
    return (int)r;
}

struct vec {
    const char **v;
    size_t n, room;
};

static void push(struct vec *x, const char *s)
{
    if (x->n + 1 >= x->room) {
        x->room = x->room ? x->room * 2 : 64;
        x->v = mem_realloc(x->v, x->room * sizeof *x->v);
    }
    x->v[x->n++] = s;
    x->v[x->n] = NULL;
}

/* A name for `path` that the new instance can open. The kernel reads a program before it closes the
 * descriptors that are to be closed; we do after, and "/proc/self/fd/N" may have gone. Then the
 * file's own name serves; one without any (memfd_create, deleted) stays open in the new program.
 * The caller frees; *fd is to be closed when execve fails. */
static char *lasting_path(const char *path, int *fd)
{
    struct stat a, b;
    *fd = -1;
    if (strncmp(path, "/proc/self/fd/", 14)) return mem_strdup(path);
    char *name = realpath(path, NULL), *copy = NULL;
    if (name && !stat(path, &a) && !stat(name, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        copy = mem_strdup(name);
    free(name);
    if (copy) return copy;
    *fd = open(path, O_RDONLY); /* without O_CLOEXEC */
    return *fd < 0 ? mem_strdup(path) : mem_printf("/proc/self/fd/%d", *fd);
}

/* Runs the guest program at host path under a new instance. */
static int64_t exec_guest(struct proc *p, const struct abi *abi, const char *path, char **argv,
                          char **envp)
{
    struct vec x = {NULL, 0, 0};
    char *name = mem_printf("quern-%s", abi->target);
    push(&x, name);
    for (unsigned i = 0; i < user_n_options; i++) {
        const struct user_option *o = &user_options[i];
        /* What was said of this program alone; the environment has been edited already; a model may
         * not suit another ABI. */
        if (!strcmp(o->name, "0") || !strcmp(o->name, "E") || !strcmp(o->name, "U") ||
            !strcmp(o->name, "h") || !strcmp(o->name, "version") || !strcmp(o->name, "g"))
            continue;
        if (!strcmp(o->name, "cpu") && abi != p->abi) continue;
        const char *value = *(const char **)((char *)&p->opt + o->offset);
        if (!value) continue;
        char *opt = mem_printf("-%s", o->name);
        push(&x, opt);
        if (o->arg) push(&x, value);
    }
    push(&x, "-0");
    push(&x, argv[0] ? argv[0] : "");
    int fd;
    char *file = lasting_path(path, &fd);
    push(&x, file);
    for (size_t i = 1; argv[0] && argv[i]; i++)
        push(&x, argv[i]);
    /* Options that came by environment variables are on the command line now, where they win. */
    execve("/proc/self/exe", (char **)x.v, envp);
    int err = errno;
    if (fd >= 0) close(fd);
    mem_free(file);
    mem_free(x.v);
    return -err;
}

int64_t exec_program(struct thread *t, int dirfd, const char *path, char **argv, char **envp,
                     int flags)
{
    struct proc *p = t->proc;
    char room[PATH_ROOM], fd_path[64], script[MAX_SCRIPTS][256];
    char **args = argv;
    int64_t ret;
    struct vec scratch[MAX_SCRIPTS];
    unsigned depth = 0;
    if ((flags & AT_EMPTY_PATH) && !path[0]) {
        snprintf(fd_path, sizeof fd_path, "/proc/self/fd/%d", dirfd);
        path = fd_path;
    } else if (path_is_self_exe(path)) {
        path = p->exe;
    } else {
        path = path_map(p, path, room, true);
    }
    char *relative = NULL;
    if (dirfd != AT_FDCWD && path[0] != '/') {
        relative = mem_printf("/proc/self/fd/%d/%s", dirfd, path);
        path = relative;
    }
    for (;;) {
        uint8_t head[256];
        if (access(path, X_OK)) {
            ret = -errno;
            break;
        }
        struct stat st;
        if (!stat(path, &st) && !S_ISREG(st.st_mode)) {
            ret = -EACCES;
            break;
        }
        int n = read_head(path, head, sizeof head);
        const struct abi *abi = NULL;
        enum elf_kind kind = n < 0 ? ELF_UNKNOWN : elf_probe(head, (size_t)n, &abi);
        if (kind == ELF_GUEST) {
            ret = exec_guest(p, abi, path, args, envp);
            break;
        }
        if (kind != ELF_SCRIPT) {
            /* The host's own, or something its kernel knows; -ENOEXEC is the host's to say. */
            execve(path, args, envp);
            ret = -errno;
            break;
        }
        if (depth == MAX_SCRIPTS) {
            ret = -ELOOP;
            break;
        }
        /* "#! interpreter [argument]" */
        char *line = script[depth];
        memcpy(line, head, sizeof head);
        line[strcspn(line, "\n")] = 0;
        char *in = line + 2 + strspn(line + 2, " \t");
        char *end = in + strcspn(in, " \t");
        char *arg = end + strspn(end, " \t");
        size_t alen = strlen(arg);
        while (alen && (arg[alen - 1] == ' ' || arg[alen - 1] == '\t'))
            arg[--alen] = 0;
        *end = 0;
        if (!*in) {
            ret = -ENOEXEC;
            break;
        }
        struct vec *x = &scratch[depth++];
        memset(x, 0, sizeof *x);
        push(x, in);
        if (*arg) push(x, arg);
        push(x, path == room || path == relative || path == fd_path ? mem_strdup(path) : path);
        for (size_t i = 1; args[0] && args[i]; i++)
            push(x, args[i]);
        args = (char **)x->v;
        path = path_map(p, in, room, true);
    }
    while (depth)
        mem_free(scratch[--depth].v);
    mem_free(relative);
    return ret;
}

/* argv or envp of the guest: strings are pointers into its memory. */
static int64_t get_vector(struct thread *t, uint64_t addr, struct vec *x)
{
    unsigned w = t->proc->abi->long_size;
    x->v = NULL;
    x->n = x->room = 0;
    push(x, NULL);
    x->n = 0;
    if (!addr) return 0;
    for (;; addr += w) {
        uint64_t s;
        if (get_scalar(t, addr, w, &s)) return -EFAULT;
        if (!s) return 0;
        const char *str = mem_str(t->proc, s, 1 << 17);
        if (!str) return mem_page(t->proc, s) & PAGE_READ ? -E2BIG : -EFAULT;
        if (x->n > 1 << 18) return -E2BIG;
        push(x, str);
    }
}

int64_t sys_execveat(struct thread *t, const uint64_t *a)
{
    const char *path = mem_str(t->proc, a[1], 4096);
    if (!path) return -EFAULT;
    if (!path[0] && !(a[4] & AT_EMPTY_PATH)) return -ENOENT;
    struct vec argv, envp = {NULL, 0, 0};
    int64_t r = get_vector(t, a[2], &argv);
    if (!r) r = get_vector(t, a[3], &envp);
    if (!r) {
        if (log_stream()) fflush(log_stream());
        /* Signals that we handle become the default ones of the new program by themselves; the mask
         * is the guest's, as it is inherited. */
        r = exec_program(t, (int)a[0], path, (char **)argv.v, (char **)envp.v, (int)a[4]);
    }
    mem_free(argv.v);
    mem_free(envp.v);
    return r;
}

int64_t sys_execve(struct thread *t, const uint64_t *a)
{
    uint64_t b[5] = {(uint64_t)(int64_t)AT_FDCWD, a[0], a[1], a[2], 0};
    return sys_execveat(t, b);
}
