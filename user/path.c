/*
 * path.c - guest paths: the prefix of -L, and the files of /proc that would tell of the host's
 * program instead of the guest's.
 */
#include "user/abi.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the prefix -------------------------------------------------------------------------------
 */
/* Walks `path` below the prefix, keeping absolute symbolic links inside. Fills out and returns true
 * when all of it exists there. */
static bool below_prefix(struct proc *p, const char *path, char *out, bool follow_last)
{
    char rest[PATH_ROOM], link[PATH_ROOM], next[PATH_ROOM];
    size_t base = strlen(p->opt.prefix), len = base;
    int links = 0;
    if (base >= PATH_ROOM / 2 || strlen(path) >= PATH_ROOM / 2) return false;
    memcpy(out, p->opt.prefix, base + 1);
    strcpy(rest, path);
    char *r = rest;
    for (;;) {
        while (*r == '/')
            r++;
        if (!*r) break;
        size_t n = strcspn(r, "/");
        bool last = r[n] == 0;
        if (n == 1 && r[0] == '.') {
            r += n;
            continue;
        }
        if (n == 2 && r[0] == '.' && r[1] == '.') {
            while (len > base && out[len - 1] != '/')
                len--;
            if (len > base) len--;
            out[len] = 0;
            r += n;
            continue;
        }
        if (len + n + 2 > PATH_ROOM) return false;
        out[len] = '/';
        memcpy(out + len + 1, r, n);
        out[len + 1 + n] = 0;
        struct stat st;
        if (lstat(out, &st)) return false;
        if (S_ISLNK(st.st_mode) && (!last || follow_last)) {
            ssize_t got = readlink(out, link, sizeof link - 1);
            if (got < 0 || ++links > 40) return false;
            link[got] = 0;
            if ((size_t)got + strlen(r + n) + 1 > sizeof next) return false;
            memcpy(next, link, (size_t)got);
            strcpy(next + got, r + n);
            strcpy(rest, next);
            r = rest;
            if (link[0] == '/') len = base;
            out[len] = 0;
            continue;
        }
        len += n + 1;
        r += n;
    }
    if (len == base && !out[0]) strcpy(out, "/");
    /* A slash at the end asks for a directory. */
    size_t plen = strlen(path);
    if (plen > 1 && path[plen - 1] == '/' && len + 2 < PATH_ROOM) strcpy(out + len, "/");
    return true;
}

/* Where the kernel shows itself; in a root directory that a distribution made these are empty. */
static bool is_kernels(const char *path)
{
    static const char *const names[] = { "/proc", "/sys", "/dev" };
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        size_t n = strlen(names[i]);
        if (!strncmp(path, names[i], n) && !path[n + strspn(path + n, "/")]) return true;
    }
    return false;
}

const char *path_map(struct proc *p, const char *path, char *out, bool follow_last)
{
    if (path[0] != '/' || !p->opt.prefix || !p->opt.prefix[0]) return path;
    if (!path[1]) return path; /* the root stays the host's, so that / and .. agree */
    if (is_kernels(path)) return path;
    return below_prefix(p, path, out, follow_last) ? out : path;
}

const char *path_guest(struct thread *t, uint64_t addr, char *out, bool follow_last)
{
    const char *s = mem_str(t->proc, addr, 4096);
    return s ? path_map(t->proc, s, out, follow_last) : NULL;
}

/* ---- /proc ------------------------------------------------------------------------------------
 */
/* "/proc/self/NAME" or "/proc/PID/NAME" of our own: NAME, else NULL. */
static const char *self_file(const char *path)
{
    if (strncmp(path, "/proc/", 6)) return NULL;
    path += 6;
    if (!strncmp(path, "self/", 5)) return path + 5;
    if (!strncmp(path, "thread-self/", 12)) return path + 12;
    char *end;
    long pid = strtol(path, &end, 10);
    return end != path && *end == '/' && pid == getpid() ? end + 1 : NULL;
}

bool path_is_self_exe(const char *path)
{
    const char *name = self_file(path);
    return name && !strcmp(name, "exe");
}

static void write_maps(struct proc *p, FILE *out)
{
    FILE *in = fopen("/proc/self/maps", "re");
    if (!in) return;
    char line[PATH_ROOM + 200];
    uint64_t base = (uint64_t)(uintptr_t)p->base;
    while (fgets(line, sizeof line, in)) {
        unsigned long long lo, hi;
        int at = 0;
        char perms[8];
        if (sscanf(line, "%llx-%llx %7s %n", &lo, &hi, perms, &at) < 3) continue;
        if (lo < base) lo = base;
        if (hi > base + p->limit) hi = base + p->limit;
        if (lo >= hi) continue;
        /* The guest's protection differs from the host's, and so may change within a range. */
        for (uint64_t a = lo - base; a < hi - base;) {
            unsigned f = mem_page(p, a) & (PAGE_USED | PAGE_READ | PAGE_WRITE | PAGE_EXEC);
            uint64_t b = a;
            while (b < hi - base &&
                   (mem_page(p, b) & (PAGE_USED | PAGE_READ | PAGE_WRITE | PAGE_EXEC)) == f)
                b += p->page_size;
            if (f & PAGE_USED) {
                const char *name = p->stack_low && a >= p->stack_low && a < p->stack_high
                                       ? "[stack]"
                                   : a >= p->brk_start && a < p->brk_mapped ? "[heap]"
                                   : a == p->sigpage                        ? "[vdso]"
                                                                            : NULL;
                fprintf(out, "%0*llx-%0*llx %c%c%c%c ", p->abi->long_size * 2,
                        (unsigned long long)a, p->abi->long_size * 2, (unsigned long long)b,
                        f & PAGE_READ ? 'r' : '-', f & PAGE_WRITE ? 'w' : '-',
                        f & PAGE_EXEC ? 'x' : '-', mem_page(p, a) & PAGE_SHARED ? 's' : 'p');
                if (name)
                    fprintf(out, "00000000 00:00 0          %s\n", name);
                else
                    fputs(line + at, out);
            }
            a = b;
        }
    }
    fclose(in);
}

static void write_stat(struct thread *t, FILE *out)
{
    struct proc *p = t->proc;
    FILE *in = fopen("/proc/self/stat", "re");
    char line[2048];
    if (in && fgets(line, sizeof line, in)) {
        const char *name = strrchr(p->exe, '/');
        name = name ? name + 1 : p->exe;
        char *rest = strrchr(line, ')');
        fprintf(out, "%d (%.15s)", (int)getpid(), name);
        /* Fields 3 to 27 are the host's; 28 is the start of the stack. */
        unsigned field = 2;
        for (char *w = rest ? strtok(rest + 1, " \n") : NULL; w; w = strtok(NULL, " \n")) {
            field++;
            if (field == 28)
                fprintf(out, " %llu", (unsigned long long)p->arg_start);
            else if (field == 26 || field == 27 || field == 29 || field == 30)
                fprintf(out, " 0");
            else
                fprintf(out, " %s", w);
        }
        fputc('\n', out);
    }
    if (in) fclose(in);
}

static void write_memory(struct proc *p, uint64_t from, uint64_t to, FILE *out)
{
    if (mem_in(p, from, to - from)) fwrite(p->base + from, 1, (size_t)(to - from), out);
}

int path_open_fake(struct thread *t, const char *path, int flags)
{
    struct proc *p = t->proc;
    if (strncmp(path, "/proc/", 6)) return -ENOTSUP;
    const char *name = self_file(path);
    enum { NONE, MAPS, STAT, AUXV, CMDLINE, CPUINFO } what = NONE;
    if (!strcmp(path, "/proc/cpuinfo"))
        what = CPUINFO;
    else if (!name)
        return -ENOTSUP;
    else if (!strcmp(name, "exe"))
        return (int)sys_ret(open(p->exe, flags & ~(O_CREAT | O_TRUNC)));
    else if (!strcmp(name, "maps"))
        what = MAPS;
    else if (!strcmp(name, "stat"))
        what = STAT;
    else if (!strcmp(name, "auxv"))
        what = AUXV;
    else if (!strcmp(name, "cmdline"))
        what = CMDLINE;
    if (!what) return -ENOTSUP;
    int fd = memfd_create("quern-proc", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
    if (fd < 0) return -errno;
    int dup_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    FILE *out = dup_fd >= 0 ? fdopen(dup_fd, "w") : NULL;
    if (!out) {
        int err = errno;
        close(fd);
        if (dup_fd >= 0) close(dup_fd);
        return -err;
    }
    switch (what) {
    case MAPS: write_maps(p, out); break;
    case STAT: write_stat(t, out); break;
    case AUXV: write_memory(p, p->auxv_start, p->auxv_end, out); break;
    case CMDLINE: write_memory(p, p->arg_start, p->arg_end, out); break;
    case CPUINFO: p->abi->cpuinfo(t, out); break;
    case NONE: break;
    }
    fclose(out);
    lseek(fd, 0, SEEK_SET);
    return fd;
}
