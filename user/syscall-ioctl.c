/*
 * syscall-ioctl.c - ioctl, by the table of the ABI: numbers and the shape of the argument.
 */
#include "user/abi.h"
#include "user/syscalls.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

/* ---- terminals: the kernel's structure is four words, the line, and the control characters
 * -------------- */
enum { TERMIOS_CC = 17 };

static uint32_t word_to_guest(const struct flag_pair *p, uint32_t v)
{
    return p ? abi_flags_to_guest(p, v) : v;
}
static uint32_t word_to_host(const struct flag_pair *p, uint32_t v)
{
    return p ? abi_flags_to_host(p, v, NULL) : v;
}

static int64_t do_termios(struct thread *t, int fd, const struct ioctl_desc *d, uint64_t addr)
{
    const struct abi *abi = t->proc->abi;
    struct termios s;
    unsigned size = TERMIOS_CC + abi->n_cc;
    if (tcgetattr(fd, &s)) return -errno;
    if (d->kind == 'T') {
        uint8_t *g = mem_out(t->proc, addr, size);
        if (!g) return -EFAULT;
        memset(g, 0, size);
        guest_st(abi, g, 4, word_to_guest(abi->iflags, s.c_iflag));
        guest_st(abi, g + 4, 4, word_to_guest(abi->oflags, s.c_oflag));
        guest_st(abi, g + 8, 4, word_to_guest(abi->cflags, s.c_cflag));
        guest_st(abi, g + 12, 4, word_to_guest(abi->lflags, s.c_lflag));
        for (const struct num_pair *c = abi->cc; c->host; c++)
            g[TERMIOS_CC + c->guest - 100] = s.c_cc[c->host - 100];
        return 0;
    }
    const uint8_t *g = mem_in(t->proc, addr, size);
    if (!g) return -EFAULT;
    s.c_iflag = word_to_host(abi->iflags, (uint32_t)guest_ld(abi, g, 4));
    s.c_oflag = word_to_host(abi->oflags, (uint32_t)guest_ld(abi, g + 4, 4));
    s.c_cflag = word_to_host(abi->cflags, (uint32_t)guest_ld(abi, g + 8, 4));
    s.c_lflag = word_to_host(abi->lflags, (uint32_t)guest_ld(abi, g + 12, 4));
    for (const struct num_pair *c = abi->cc; c->host; c++)
        s.c_cc[c->host - 100] = g[TERMIOS_CC + c->guest - 100];
    int when = d->host == TCSETS ? TCSANOW : d->host == TCSETSW ? TCSADRAIN : TCSAFLUSH;
    return sys_ret(tcsetattr(fd, when, &s));
}

/* ---- network interfaces
 * ---------------------------------------------------------------------------------- */
static void addr_to_guest(const struct abi *abi, const struct sockaddr *s, uint8_t *g)
{
    memcpy(g, s, 16);
    guest_st(abi, g, 2, s->sa_family);
}

static int64_t do_ifreq(struct thread *t, int fd, const struct ioctl_desc *d, uint64_t addr)
{
    const struct abi *abi = t->proc->abi;
    struct ifreq r;
    uint8_t *g = mem_out(t->proc, addr, IFNAMSIZ + 16);
    if (!g) return -EFAULT;
    memset(&r, 0, sizeof r);
    memcpy(r.ifr_name, g, IFNAMSIZ);
    uint8_t *u = g + IFNAMSIZ;
    if (d->kind == 'j') {
        r.ifr_ifindex = (int)guest_ld(abi, u, 4);
    } else if (d->kind == 'f') {
        r.ifr_flags = (short)guest_ld(abi, u, 2);
    } else {
        memcpy(&r.ifr_addr, u, 16);
        r.ifr_addr.sa_family = (sa_family_t)guest_ld(abi, u, 2);
    }
    if (ioctl(fd, d->host, &r)) return -errno;
    memcpy(g, r.ifr_name, IFNAMSIZ);
    if (d->kind == 'j')
        guest_st(abi, u, 4, (uint64_t)r.ifr_ifindex);
    else if (d->kind == 'f')
        guest_st(abi, u, 2, (uint64_t)r.ifr_flags);
    else
        addr_to_guest(abi, &r.ifr_addr, u);
    return 0;
}

/* int length, address of an array of ifreq */
static int64_t do_ifconf(struct thread *t, int fd, uint64_t addr)
{
    const struct abi *abi = t->proc->abi;
    unsigned w = abi->long_size, entry = IFNAMSIZ + (w == 8 ? 24 : 16);
    uint64_t len, buf;
    if (get_scalar(t, addr, 4, &len) || get_scalar(t, addr + w, w, &buf)) return -EFAULT;
    struct ifconf c;
    unsigned room = buf ? (unsigned)MIN(len, 65536) / entry : 256;
    struct ifreq *v = NEW_ARRAY(struct ifreq, room + 1);
    c.ifc_len = (int)(room * sizeof *v);
    c.ifc_req = v;
    int64_t r = sys_ret(ioctl(fd, SIOCGIFCONF, &c));
    unsigned n = r ? 0 : (unsigned)c.ifc_len / sizeof *v;
    uint8_t *g = buf && n ? mem_out(t->proc, buf, (uint64_t)n * entry) : NULL;
    if (buf && n && !g) r = -EFAULT;
    for (unsigned i = 0; g && i < n; i++) {
        memset(g + i * entry, 0, entry);
        memcpy(g + i * entry, v[i].ifr_name, IFNAMSIZ);
        addr_to_guest(abi, &v[i].ifr_addr, g + i * entry + IFNAMSIZ);
    }
    mem_free(v);
    return r ? r : put_scalar(t, addr, 4, n * entry);
}

int64_t sys_ioctl(struct thread *t, const uint64_t *a)
{
    int fd = (int)a[0];
    uint32_t number = (uint32_t)a[1];
    const struct ioctl_desc *d = t->proc->abi->ioctls;
    while (d->name && d->guest != number)
        d++;
    if (!d->name) {
        LOG(UNIMP, "Unsupported ioctl: cmd=0x%04lx\n", (unsigned long)number);
        return -ENOTTY;
    }
    uint64_t v = 0;
    int i;
    switch (d->kind) {
    case '0': return sys_ret(ioctl(fd, d->host, 0));
    case 'v': return sys_ret(ioctl(fd, d->host, (unsigned long)a[2]));
    case 'o':
        return sys_ret(ioctl(
            fd, d->host,
            (unsigned long)abi_flags_to_host(t->proc->abi->open_flags, (uint32_t)a[2], NULL)));
    case 'i':
    case 'I':
        if (d->kind == 'i' && get_scalar(t, a[2], 4, &v)) return -EFAULT;
        i = (int)v;
        {
            /* Some of these are declared for long and write an int, whatever the host's size: room
             * for both. */
            union {
                long l;
                int i;
            } u = {0};
            u.i = i;
            if (ioctl(fd, d->host, &u)) return -errno;
            return d->kind == 'I' ? put_scalar(t, a[2], 4, (uint64_t)u.i) : 0;
        }
    case 'Q': {
        uint64_t q = 0;
        return ioctl(fd, d->host, &q) ? -errno : put_scalar(t, a[2], 8, q);
    }
    case 't':
    case 'T': return do_termios(t, fd, d, a[2]);
    case 'w':
    case 'W': {
        struct winsize w;
        if (d->kind == 'w' && get_layout(t, a[2], &layout_winsize, &w)) return -EFAULT;
        if (ioctl(fd, d->host, &w)) return -errno;
        return d->kind == 'W' ? put_layout(t, a[2], &layout_winsize, &w) : 0;
    }
    case 'N': return do_ifconf(t, fd, a[2]);
    default: return do_ifreq(t, fd, d, a[2]);
    }
}
