/* files.c - files, directories, descriptors, locks, events. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define CHECK(x) printf("%-28s %ld\n", #x, (long)(x))
static int cmp(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }
int main(int argc, char **argv)
{
    char dir[] = "/tmp/quern-test-XXXXXX", buf[256];
    if (!mkdtemp(dir) || chdir(dir)) return 1;
    int fd = open("a", O_RDWR | O_CREAT | O_EXCL, 0640);
    CHECK(fd >= 0);
    CHECK(open("a", O_RDWR | O_CREAT | O_EXCL, 0640));
    printf("errno %s\n", strerror(errno));
    CHECK(write(fd, "hello world", 11));
    CHECK(lseek(fd, 1000000000000LL & 0x7fffffff, SEEK_SET) > 0);
    CHECK(pwrite(fd, "J", 1, 0));
    CHECK(pread(fd, buf, 5, 0));
    printf("%.5s\n", buf);
    struct iovec v[2] = { { "ab", 2 }, { "cde", 3 } };
    lseek(fd, 11, SEEK_SET);
    CHECK(writev(fd, v, 2));
    struct stat st;
    CHECK(fstat(fd, &st));
    printf("size %ld mode %o nlink %ld type %d\n", (long)st.st_size, (unsigned)st.st_mode, (long)st.st_nlink, S_ISREG(st.st_mode));
    CHECK(ftruncate(fd, 5));
    CHECK(stat("a", &st));
    printf("size %ld uid %d\n", (long)st.st_size, st.st_uid == getuid());
    CHECK(symlink("a", "link"));
    CHECK(readlink("link", buf, sizeof buf));
    CHECK(lstat("link", &st));
    printf("link %d\n", S_ISLNK(st.st_mode));
    CHECK(rename("a", "b"));
    CHECK(access("a", F_OK));
    CHECK(mkdir("sub", 0755));
    CHECK(link("b", "sub/c"));
    struct timespec ts[2] = { { 1000, 500 }, { 2000, 600 } };
    CHECK(utimensat(AT_FDCWD, "b", ts, 0));
    stat("b", &st);
    printf("times %ld.%ld %ld.%ld nlink %d\n", (long)st.st_atim.tv_sec, st.st_atim.tv_nsec, (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (int)st.st_nlink);
    DIR *d = opendir(".");
    struct dirent *e;
    char *names[16];
    int n = 0;
    while ((e = readdir(d))) names[n++] = strdup(e->d_name);
    closedir(d);
    qsort(names, n, sizeof *names, cmp);
    for (int i = 0; i < n; i++) printf("entry %s\n", names[i]);
    CHECK(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND));
    CHECK(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK));
    printf("flags %d %d\n", !!(fcntl(fd, F_GETFL) & O_APPEND), !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
    struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10 };
    CHECK(fcntl(fd, F_SETLK, &fl));
    fl.l_type = F_RDLCK;
    CHECK(fcntl(fd, F_GETLK, &fl));
    printf("lock type %d\n", fl.l_type == F_UNLCK);
    int p[2];
    CHECK(pipe(p));
    CHECK(write(p[1], "xyz", 3));
    int avail = 0;
    CHECK(ioctl(p[0], FIONREAD, &avail));
    printf("avail %d\n", avail);
    struct pollfd pf[2] = { { p[0], POLLIN, 0 }, { p[1], POLLOUT, 0 } };
    CHECK(poll(pf, 2, 100));
    printf("revents %x %x\n", pf[0].revents, pf[1].revents);
    fd_set rs;
    FD_ZERO(&rs);
    FD_SET(p[0], &rs);
    struct timeval tv = { 1, 0 };
    CHECK(select(p[0] + 1, &rs, NULL, NULL, &tv));
    printf("isset %d\n", FD_ISSET(p[0], &rs));
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = { EPOLLIN, { .u64 = 0x123456789abcdefULL } }, out[4];
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev));
    CHECK(epoll_wait(ep, out, 4, 100));
    printf("event %x %llx\n", out[0].events, (unsigned long long)out[0].data.u64);
    int efd = eventfd(5, EFD_NONBLOCK);
    eventfd_t val = 3;
    CHECK(eventfd_write(efd, val));
    CHECK(eventfd_read(efd, &val));
    printf("eventfd %llu\n", (unsigned long long)val);
    int tfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct itimerspec its = { { 0, 0 }, { 0, 20000000 } };
    CHECK(timerfd_settime(tfd, 0, &its, NULL));
    unsigned long long ticks = 0;
    CHECK(read(tfd, &ticks, 8));
    printf("ticks %llu\n", ticks);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int sfd = signalfd(-1, &set, 0);
    raise(SIGUSR1);
    struct signalfd_siginfo ssi;
    CHECK(read(sfd, &ssi, sizeof ssi));
    printf("signalfd %d\n", ssi.ssi_signo == SIGUSR1);
    int ino = inotify_init1(0);
    CHECK(inotify_add_watch(ino, "sub", IN_CREATE));
    close(open("sub/new", O_CREAT | O_WRONLY, 0600));
    n = read(ino, buf, sizeof buf);
    struct inotify_event *ie = (void *)buf;
    printf("inotify %d %x %s\n", n, ie->mask, ie->name);
    CHECK(isatty(p[0]));
    printf("errno %s\n", strerror(errno));
    char *m = mmap(NULL, 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    m[0] = 'Z';
    pread(fd, buf, 5, 0);
    printf("mapped %.5s\n", buf);
    CHECK(munmap(m, 5));
    struct statfs sf;
    CHECK(statfs("/", &sf));
    printf("namelen %ld\n", (long)sf.f_namelen);
    CHECK(dup2(p[0], 100));
    CHECK(fcntl(p[0], F_DUPFD_CLOEXEC, 200));
    CHECK(fcntl(200, F_GETFD));
    CHECK(unlink("b") | unlink("link") | unlink("sub/c") | unlink("sub/new") | rmdir("sub"));
    CHECK(chdir("/"));
    CHECK(rmdir(dir));
    return 7;
}
