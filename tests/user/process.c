/* process.c - fork, exec of itself and of scripts, pipes, memory, sockets, System V IPC, /proc, limits, time. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(x) printf("%-28s %ld\n", #x, (long)(x))
extern char **environ;
static int pass_fd(int sock, int fd)
{
    char c = 'F', ctl[CMSG_SPACE(sizeof(int))];
    struct iovec v = { &c, 1 };
    struct msghdr h = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof ctl };
    struct cmsghdr *m = CMSG_FIRSTHDR(&h);
    m->cmsg_level = SOL_SOCKET;
    m->cmsg_type = SCM_RIGHTS;
    m->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(m), &fd, sizeof fd);
    return sendmsg(sock, &h, 0);
}
static int take_fd(int sock)
{
    char c, ctl[CMSG_SPACE(sizeof(int))];
    int fd = -1;
    struct iovec v = { &c, 1 };
    struct msghdr h = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof ctl };
    if (recvmsg(sock, &h, 0) != 1) return -1;
    struct cmsghdr *m = CMSG_FIRSTHDR(&h);
    if (m && m->cmsg_type == SCM_RIGHTS) memcpy(&fd, CMSG_DATA(m), sizeof fd);
    return fd;
}
int main(int argc, char **argv)
{
    char buf[4096];
    int status;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1) {
        printf("again: argv[0] %s argc %d %s env %s\n", argv[0], argc, argv[1], getenv("QTEST"));
        return 9;
    }
    ssize_t n = readlink("/proc/self/exe", buf, sizeof buf - 1);
    char self[4096];
    snprintf(self, sizeof self, "%.*s", (int)(n > 0 ? n : 0), buf);
    setenv("QTEST", "yes", 1);
    if (!fork()) {
        execl(self, "me", "one", "two", NULL);
        _exit(99);
    }
    wait(&status);
    printf("exec status %d\n", WEXITSTATUS(status));
    char *args[] = { "spawned", "x", NULL };
    pid_t pid;
    int err = posix_spawn(&pid, self, NULL, NULL, args, environ);
    waitpid(pid, &status, 0);
    printf("spawn %d status %d\n", err, WEXITSTATUS(status));
    /* A descriptor that closes itself is open for as long as it takes to read the program; so is one of a file
     * without a name. */
    int fds[2] = { open(self, O_RDONLY | O_CLOEXEC), memfd_create("nameless", MFD_CLOEXEC) }, in = open(self, O_RDONLY);
    while ((n = read(in, buf, sizeof buf)) > 0)
        if (write(fds[1], buf, n) != n) return 1;
    close(in);
    for (int i = 0; i < 2; i++) {
        if (!fork()) {
            fexecve(fds[i], args, environ);
            _exit(99);
        }
        wait(&status);
        printf("fexecve status %d\n", WEXITSTATUS(status));
        close(fds[i]);
    }
    char script[] = "/tmp/quern-script-XXXXXX";
    int fd = mkstemp(script);
    dprintf(fd, "#!%s scriptarg\nnothing\n", self);
    fchmod(fd, 0755);
    close(fd);
    if (!fork()) {
        execl(script, "me", "tail", NULL);
        _exit(99);
    }
    wait(&status);
    printf("script status %d\n", WEXITSTATUS(status));
    unlink(script);
    CHECK(execl("/nonexistent", "x", NULL));
    printf("errno %s\n", strerror(errno));

    size_t page = sysconf(_SC_PAGESIZE);
    char *m = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    strcpy(m, "moved");
    char *m2 = mremap(m, 4 * page, 64 * page, MREMAP_MAYMOVE);
    printf("mremap %s %d\n", m2, m2[63 * page]);
    CHECK(mprotect(m2, page, PROT_READ));
    CHECK(read(0x7fff, m2, 1) < 0);
    CHECK(munmap(m2, 64 * page));
    CHECK(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);

    int sv[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv));
    int pp[2];
    if (pipe(pp)) return 1;
    CHECK(pass_fd(sv[0], pp[1]));
    fd = take_fd(sv[1]);
    CHECK(write(fd, "via", 3));
    CHECK(read(pp[0], buf, 10));
    int ls = socket(AF_INET, SOCK_STREAM, 0), one = 1, type = 0;
    socklen_t len = sizeof type;
    CHECK(setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
    CHECK(getsockopt(ls, SOL_SOCKET, SO_TYPE, &type, &len));
    printf("type %d\n", type == SOCK_STREAM);
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) }, peer;
    CHECK(bind(ls, (void *)&sin, sizeof sin));
    CHECK(listen(ls, 5));
    len = sizeof sin;
    CHECK(getsockname(ls, (void *)&sin, &len));
    int c = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(c, (void *)&sin, sizeof sin));
    len = sizeof peer;
    int a = accept(ls, (void *)&peer, &len);
    printf("peer %s %d\n", inet_ntoa(peer.sin_addr), (int)len);
    CHECK(send(c, "net", 3, 0));
    CHECK(recv(a, buf, sizeof buf, 0));
    CHECK(connect(c, (void *)&sin, sizeof sin));
    printf("errno %s\n", strerror(errno));

    int id = shmget(IPC_PRIVATE, 10000, IPC_CREAT | 0600);
    char *sh = shmat(id, NULL, 0);
    struct shmid_ds sds;
    CHECK(shmctl(id, IPC_STAT, &sds));
    printf("shm %ld attached %ld\n", (long)sds.shm_segsz, (long)sds.shm_nattch);
    sh[9999] = 5;
    CHECK(shmdt(sh));
    CHECK(shmctl(id, IPC_RMID, NULL));
    id = semget(IPC_PRIVATE, 3, IPC_CREAT | 0600);
    union { int val; void *p; } su = { .val = 4 };
    CHECK(semctl(id, 1, SETVAL, su));
    struct sembuf sb = { 1, -3, 0 };
    CHECK(semop(id, &sb, 1));
    CHECK(semctl(id, 1, GETVAL));
    CHECK(semctl(id, 0, IPC_RMID));
    id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    struct { long t; char s[8]; } msg = { 3, "message" };
    CHECK(msgsnd(id, &msg, 8, 0));
    msg.s[0] = 0;
    CHECK(msgrcv(id, &msg, 8, 0, 0));
    printf("msg %ld %s\n", msg.t, msg.s);
    CHECK(msgctl(id, IPC_RMID, NULL));

    struct rlimit rl;
    CHECK(getrlimit(RLIMIT_NOFILE, &rl));
    printf("nofile %d\n", rl.rlim_cur > 0 && rl.rlim_cur <= rl.rlim_max);
    struct rusage ru;
    CHECK(getrusage(RUSAGE_SELF, &ru));
    struct timespec t1, t2, nap = { 0, 20000000 };
    CHECK(clock_gettime(CLOCK_MONOTONIC, &t1));
    CHECK(nanosleep(&nap, NULL));
    clock_gettime(CLOCK_MONOTONIC, &t2);
    long us = (t2.tv_sec - t1.tv_sec) * 1000000 + (t2.tv_nsec - t1.tv_nsec) / 1000;
    printf("slept %d\n", us >= 20000 && us < 5000000);
    printf("year ok %d\n", time(NULL) > 1600000000);
    struct sysinfo si;
    CHECK(sysinfo(&si));
    printf("ram %d\n", si.totalram > 0 && si.mem_unit > 0);
    cpu_set_t cs;
    CHECK(sched_getaffinity(0, sizeof cs, &cs));
    printf("cpus %d\n", CPU_COUNT(&cs) > 0);
    struct utsname u;
    uname(&u);
    printf("%s %d\n", u.sysname, !strncmp(u.machine, "mips", 4));
    FILE *f = fopen("/proc/self/maps", "r");
    int stack = 0, text = 0;
    while (f && fgets(buf, sizeof buf, f)) {
        if (strstr(buf, "[stack]")) stack = 1;
        if (strstr(buf, self)) text = 1;
    }
    printf("maps: stack %d text %d\n", stack, text);
    f = fopen("/proc/self/cmdline", "r");
    printf("cmdline %d\n", f && fgets(buf, sizeof buf, f) && buf[0]);
    fflush(stdout);
    kill(getpid(), SIGTERM);
    return 0;
}
