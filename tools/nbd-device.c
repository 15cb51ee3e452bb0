/*
 * nbd-device.c - quern-nbd -c and -d: Linux's own NBD client, /dev/nbdN. Follows the ioctls of <linux/nbd.h>: the tool
 * negotiates, then lends the kernel its socket.
 */
#include "tools/nbd.h"

#ifdef HAVE_LINUX_FS_H

#include "blockfmt/nbd-client.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* As <linux/nbd.h> has them, whose names of commands are nbd-proto.h's too. */
#define NBD_SET_SOCK        _IO(0xab, 0)
#define NBD_SET_BLKSIZE     _IO(0xab, 1)
#define NBD_DO_IT           _IO(0xab, 3)
#define NBD_CLEAR_SOCK      _IO(0xab, 4)
#define NBD_CLEAR_QUE       _IO(0xab, 5)
#define NBD_SET_SIZE_BLOCKS _IO(0xab, 7)
#define NBD_DISCONNECT      _IO(0xab, 8)
#define NBD_SET_FLAGS       _IO(0xab, 10)

struct nbd_device {
    char *path;
    int fd;
    struct nbd_chan chan;
    bool attached;
    pthread_t thread;
    void (*gone)(void *);
    void *opaque;
};

struct nbd_device *nbd_device_open(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct nbd_device *d;

    if (fd < 0) return error_report("Failed to open %s: %s", path, strerror(errno)), NULL;
    d = NEW(struct nbd_device);
    d->fd = fd, d->path = mem_strdup(path);
    return d;
}

static void *run(void *opaque)
{
    struct nbd_device *d = opaque;

    if (ioctl(d->fd, NBD_DO_IT) < 0 && errno != EPIPE) error_report("%s: %s", d->path, strerror(errno));
    ioctl(d->fd, NBD_CLEAR_QUE);
    ioctl(d->fd, NBD_CLEAR_SOCK);
    d->gone(d->opaque);
    return NULL;
}

int nbd_device_attach(struct nbd_device *d, int fd, const char *export, void (*gone)(void *), void *opaque)
{
    struct nbd_request_for f = {.export = export};
    struct nbd_export_info info;
    struct error e = ERROR_INIT;
    sigset_t all, old;
    int rc;

    nbd_chan_init(&d->chan, fd);
    d->gone = gone, d->opaque = opaque;
    rc = nbd_negotiate(&d->chan, &f, &info, &e);
    if (rc) {
        error_print(&e);
        nbd_chan_close(&d->chan, false);
        return -1;
    }
    int readonly = (info.flags & NBD_READ_ONLY) != 0;
    if (info.size / 512 > ULONG_MAX || ioctl(d->fd, NBD_SET_BLKSIZE, 512ul) < 0 ||
        ioctl(d->fd, NBD_SET_SIZE_BLOCKS, (unsigned long)(info.size / 512)) < 0 ||
        (ioctl(d->fd, NBD_SET_FLAGS, (unsigned long)info.flags) < 0 && errno != ENOTTY) ||
        (ioctl(d->fd, BLKROSET, &readonly) < 0 && readonly) || ioctl(d->fd, NBD_SET_SOCK, (unsigned long)fd) < 0) {
        error_report("Failed to set up %s: %s", d->path, strerror(errno));
        nbd_chan_close(&d->chan, false);
        return -1;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&d->thread, NULL, run, d);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc) return error_report("could not start a thread: %s", strerror(rc)), -1;
    d->attached = true;
    return 0;
}

void nbd_device_detach(struct nbd_device *d)
{
    if (!d) return;
    if (d->attached) {
        ioctl(d->fd, NBD_DISCONNECT);
        pthread_join(d->thread, NULL);
        nbd_chan_close(&d->chan, false);
    }
    close(d->fd);
    mem_free(d->path);
    mem_free(d);
}

int nbd_device_disconnect(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC), rc = 0;

    if (fd < 0) return error_report("Cannot open %s: %s", path, strerror(errno)), -1;
    if (ioctl(fd, NBD_CLEAR_QUE) < 0 || ioctl(fd, NBD_DISCONNECT) < 0 || ioctl(fd, NBD_CLEAR_SOCK) < 0) {
        error_report("Cannot disconnect %s: %s", path, strerror(errno));
        rc = -1;
    } else {
        printf("%s disconnected\n", path);
    }
    close(fd);
    return rc;
}

#else

struct nbd_device *nbd_device_open(const char *path)
{
    error_report("this host has no NBD devices (they are Linux's)");
    return NULL;
}
int nbd_device_attach(struct nbd_device *d, int fd, const char *export, void (*gone)(void *), void *opaque) { return -1; }
void nbd_device_detach(struct nbd_device *d) {}
int nbd_device_disconnect(const char *path) { return nbd_device_open(path), -1; }

#endif
