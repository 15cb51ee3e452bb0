/*
 * syscall-net.c - sockets: addresses, options, messages with ancillary data.
 */
#include "user/abi.h"
#include "user/syscalls.h"

#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netpacket/packet.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>

/* ---- addresses: the family and some members are in the machine's order, ports and addresses are
 * not ------- */
static int get_addr(struct thread *t, uint64_t addr, uint64_t len, struct sockaddr_storage *s)
{
    const struct abi *abi = t->proc->abi;
    if (len > sizeof *s) return -EINVAL;
    memset(s, 0, sizeof *s);
    if (len < 2) return len ? -EINVAL : 0;
    const uint8_t *g = mem_in(t->proc, addr, len);
    if (!g) return -EFAULT;
    memcpy(s, g, (size_t)len);
    s->ss_family = (sa_family_t)guest_ld(abi, g, 2);
    if (s->ss_family == AF_INET6 && len >= 28) {
        ((struct sockaddr_in6 *)s)->sin6_scope_id = (uint32_t)guest_ld(abi, g + 24, 4);
    } else if (s->ss_family == AF_NETLINK && len >= 12) {
        ((struct sockaddr_nl *)s)->nl_pid = (uint32_t)guest_ld(abi, g + 4, 4);
        ((struct sockaddr_nl *)s)->nl_groups = (uint32_t)guest_ld(abi, g + 8, 4);
    } else if (s->ss_family == AF_PACKET && len >= 12) {
        ((struct sockaddr_ll *)s)->sll_ifindex = (int)guest_ld(abi, g + 4, 4);
        ((struct sockaddr_ll *)s)->sll_hatype = (unsigned short)guest_ld(abi, g + 8, 2);
    }
    return 0;
}

static void addr_to_guest(const struct abi *abi, const struct sockaddr_storage *s, socklen_t len,
                          uint8_t *out, size_t room)
{
    uint8_t b[sizeof *s];
    if (len > sizeof b) len = sizeof b;
    memcpy(b, s, len);
    if (len >= 2) guest_st(abi, b, 2, s->ss_family);
    if (s->ss_family == AF_INET6 && len >= 28) {
        guest_st(abi, b + 24, 4, ((const struct sockaddr_in6 *)s)->sin6_scope_id);
    } else if (s->ss_family == AF_NETLINK && len >= 12) {
        guest_st(abi, b + 4, 4, ((const struct sockaddr_nl *)s)->nl_pid);
        guest_st(abi, b + 8, 4, ((const struct sockaddr_nl *)s)->nl_groups);
    } else if (s->ss_family == AF_PACKET && len >= 12) {
        guest_st(abi, b + 4, 4, (uint64_t)((const struct sockaddr_ll *)s)->sll_ifindex);
        guest_st(abi, b + 8, 2, ((const struct sockaddr_ll *)s)->sll_hatype);
    }
    memcpy(out, b, MIN((size_t)len, room));
}

/* To *addr with room *len; *len becomes the full length. NULL: not wanted */
static int64_t put_addr(struct thread *t, const struct sockaddr_storage *s, socklen_t len,
                        uint64_t addr, uint64_t len_addr)
{
    uint64_t room;
    if (!addr) return 0;
    if (get_scalar(t, len_addr, 4, &room)) return -EFAULT;
    if ((int32_t)room < 0) return -EINVAL;
    size_t n = MIN((size_t)room, (size_t)len);
    uint8_t *out = mem_out(t->proc, addr, n);
    if (!out) return -EFAULT;
    addr_to_guest(t->proc->abi, s, len, out, n);
    return put_scalar(t, len_addr, 4, len);
}

/* ---- making sockets
 * ------------------------------------------------------------------------------------------ */
static int64_t socket_type(struct thread *t, uint64_t guest, int *type)
{
    const struct abi *abi = t->proc->abi;
    uint32_t unknown, flags = abi_flags_to_host(abi->sock_flags, (uint32_t)guest & ~0xfu, &unknown);
    if (unknown) return -EINVAL;
    *type = abi_num_to_host(abi->sock_types, (int)(guest & 0xf)) | (int)flags;
    return 0;
}

int64_t sys_socket(struct thread *t, const uint64_t *a)
{
    int type;
    int64_t r = socket_type(t, a[1], &type);
    if (r) return r;
    /* The messages of netlink are structures in the machine's order. */
    if ((int)a[0] == AF_NETLINK && t->proc->abi->be != HOST_BE) return -EAFNOSUPPORT;
    r = sys_ret(socket((int)a[0], type, (int)a[2]));
    if (r >= 0) fd_kind_set(t->proc, (int)r, FD_PLAIN);
    return r;
}

int64_t sys_socketpair(struct thread *t, const uint64_t *a)
{
    int type, fd[2];
    int64_t r = socket_type(t, a[1], &type);
    if (r) return r;
    if (!mem_out(t->proc, a[3], 8)) return -EFAULT;
    if (socketpair((int)a[0], type, (int)a[2], fd)) return -errno;
    put_scalar(t, a[3], 4, (uint64_t)fd[0]);
    return put_scalar(t, a[3] + 4, 4, (uint64_t)fd[1]);
}

int64_t sys_bind(struct thread *t, const uint64_t *a)
{
    struct sockaddr_storage s;
    int r = get_addr(t, a[1], a[2], &s);
    return r ? r : sys_ret(bind((int)a[0], (struct sockaddr *)&s, (socklen_t)a[2]));
}

int64_t sys_connect(struct thread *t, const uint64_t *a)
{
    struct sockaddr_storage s;
    int r = get_addr(t, a[1], a[2], &s);
    return r ? r : sys_ret(connect((int)a[0], (struct sockaddr *)&s, (socklen_t)a[2]));
}

int64_t sys_listen(struct thread *t, const uint64_t *a)
{
    return sys_ret(listen((int)a[0], (int)a[1]));
}
int64_t sys_shutdown(struct thread *t, const uint64_t *a)
{
    return sys_ret(shutdown((int)a[0], (int)a[1]));
}

static int64_t do_accept(struct thread *t, const uint64_t *a, int flags)
{
    struct sockaddr_storage s;
    socklen_t len = sizeof s;
    int64_t fd = sys_ret(accept4((int)a[0], (struct sockaddr *)&s, &len, flags));
    if (fd < 0) return fd;
    fd_kind_set(t->proc, (int)fd, FD_PLAIN);
    int64_t r = put_addr(t, &s, len, a[1], a[2]);
    return r ? r : fd;
}
int64_t sys_accept(struct thread *t, const uint64_t *a)
{
    return do_accept(t, a, 0);
}
int64_t sys_accept4(struct thread *t, const uint64_t *a)
{
    return do_accept(t, a, (int)abi_flags_to_host(t->proc->abi->sock_flags, (uint32_t)a[3], NULL));
}

int64_t sys_getsockname(struct thread *t, const uint64_t *a)
{
    struct sockaddr_storage s;
    socklen_t len = sizeof s;
    return getsockname((int)a[0], (struct sockaddr *)&s, &len) ? -errno
                                                               : put_addr(t, &s, len, a[1], a[2]);
}
int64_t sys_getpeername(struct thread *t, const uint64_t *a)
{
    struct sockaddr_storage s;
    socklen_t len = sizeof s;
    return getpeername((int)a[0], (struct sockaddr *)&s, &len) ? -errno
                                                               : put_addr(t, &s, len, a[1], a[2]);
}

/* ---- options
 * ---------------------------------------------------------------------------------------------------
 */
static bool sock_level(struct thread *t, uint64_t guest, int *level)
{
    bool sol = (int)guest == t->proc->abi->sol_socket;
    *level = sol ? SOL_SOCKET : (int)guest;
    return sol;
}

static bool timeout_option(bool sol, int name)
{
    return sol && (name == SO_RCVTIMEO || name == SO_SNDTIMEO);
}

int64_t sys_setsockopt(struct thread *t, const uint64_t *a)
{
    const struct abi *abi = t->proc->abi;
    int level, name = (int)a[2];
    bool sol = sock_level(t, a[1], &level);
    uint64_t len = a[4];
    union {
        int i[64];
        struct timeval tv;
        uint8_t b[256];
    } v;
    if (sol) name = abi_num_to_host(abi->sockopts, name);
    if (timeout_option(sol, name)) {
        if (len < layout_size(abi, &layout_timeval)) return -EINVAL;
        if (get_layout(t, a[3], &layout_timeval, &v.tv)) return -EFAULT;
        return sys_ret(setsockopt((int)a[0], level, name, &v.tv, sizeof v.tv));
    }
    if (len > sizeof v) return -EINVAL;
    if (len && get_bytes(t, a[3], v.b, (size_t)len)) return -EFAULT;
    /* Options are ints, or a few ints, but for names and addresses. */
    bool bytes =
        (sol && name == SO_BINDTODEVICE) || (level == IPPROTO_TCP && name == TCP_CONGESTION);
    if (sol && name == SO_ATTACH_FILTER) return -ENOPROTOOPT;
    if (!bytes && (level == IPPROTO_IP || level == IPPROTO_IPV6) && len > 4) {
        /* Multicast membership: addresses, then the interface's index */
        size_t at = level == IPPROTO_IPV6 ? 16 : 8;
        if (len >= at + 4) v.i[at / 4] = (int)guest_ld(abi, v.b + at, 4);
        bytes = true;
    }
    if (!bytes)
        for (uint64_t i = 0; i + 4 <= len; i += 4)
            v.i[i / 4] = (int)guest_ld(abi, v.b + i, 4);
    return sys_ret(setsockopt((int)a[0], level, name, v.b, (socklen_t)len));
}

int64_t sys_getsockopt(struct thread *t, const uint64_t *a)
{
    const struct abi *abi = t->proc->abi;
    int level, name = (int)a[2];
    bool sol = sock_level(t, a[1], &level);
    uint64_t room;
    union {
        int i[128];
        struct timeval tv;
        uint8_t b[512];
    } v;
    if (get_scalar(t, a[4], 4, &room)) return -EFAULT;
    if ((int32_t)room < 0) return -EINVAL;
    socklen_t len = (socklen_t)MIN(room, sizeof v);
    memset(&v, 0, sizeof v);
    if (sol) name = abi_num_to_host(abi->sockopts, name);
    if (timeout_option(sol, name)) {
        uint8_t g[16];
        len = sizeof v.tv;
        if (getsockopt((int)a[0], level, name, &v.tv, &len)) return -errno;
        layout_to_guest(abi, &layout_timeval, &v.tv, g);
        len = (socklen_t)MIN(room, layout_size(abi, &layout_timeval));
        return put_bytes(t, a[3], g, len) ? -EFAULT : put_scalar(t, a[4], 4, len);
    }
    if (getsockopt((int)a[0], level, name, &v, &len)) return -errno;
    bool bytes = (sol && (name == SO_BINDTODEVICE || name == SO_PEERSEC)) ||
                 (level == IPPROTO_TCP && (name == TCP_CONGESTION || name == TCP_INFO));
    if (sol && name == SO_TYPE) v.i[0] = abi_num_to_guest(abi->sock_types, v.i[0]);
    if (sol && name == SO_ERROR) v.i[0] = abi_errno_to_guest(abi, v.i[0]);
    if (!bytes)
        for (socklen_t i = 0; i + 4 <= len; i += 4)
            guest_st(abi, v.b + i, 4, (uint64_t)v.i[i / 4]);
    return put_bytes(t, a[3], v.b, len) ? -EFAULT : put_scalar(t, a[4], 4, len);
}

/* ---- data
 * --------------------------------------------------------------------------------------------------------
 */
int64_t sys_sendto(struct thread *t, const uint64_t *a)
{
    struct sockaddr_storage s;
    const void *buf = mem_in(t->proc, a[1], a[2]);
    if (!buf) return -EFAULT;
    int r = a[4] ? get_addr(t, a[4], a[5], &s) : 0;
    return r ? r
             : sys_ret(sendto((int)a[0], buf, (size_t)a[2], (int)a[3],
                              a[4] ? (struct sockaddr *)&s : NULL, a[4] ? (socklen_t)a[5] : 0));
}
int64_t sys_send(struct thread *t, const uint64_t *a)
{
    uint64_t b[6] = {a[0], a[1], a[2], a[3], 0, 0};
    return sys_sendto(t, b);
}

int64_t sys_recvfrom(struct thread *t, const uint64_t *a)
{
    struct sockaddr_storage s;
    socklen_t len = sizeof s;
    void *buf = mem_out(t->proc, a[1], a[2]);
    if (!buf) return -EFAULT;
    s.ss_family = AF_UNSPEC;
    int64_t n = sys_ret(recvfrom((int)a[0], buf, (size_t)a[2], (int)a[3],
                                 a[4] ? (struct sockaddr *)&s : NULL, a[4] ? &len : NULL));
    if (n < 0 || !a[4]) return n;
    int64_t r = put_addr(t, &s, len, a[4], a[5]);
    return r ? r : n;
}
int64_t sys_recv(struct thread *t, const uint64_t *a)
{
    uint64_t b[6] = {a[0], a[1], a[2], a[3], 0, 0};
    return sys_recvfrom(t, b);
}

/* ---- messages
 * ------------------------------------------------------------------------------------------------------
 */
/* name, namelen (int), iov, iovlen (size_t), control, controllen (size_t), flags (int) */
struct guest_msg {
    uint64_t name, namelen, iov, iovlen, control, controllen, at_namelen, at_controllen, at_flags;
};

static int get_msg(struct thread *t, uint64_t addr, struct guest_msg *m)
{
    const struct abi *abi = t->proc->abi;
    unsigned w = abi->long_size;
    const uint8_t *g = mem_in(t->proc, addr, 7 * w);
    if (!g) return -EFAULT;
    m->name = guest_ld(abi, g, w);
    m->namelen = guest_ld(abi, g + w, 4);
    m->iov = guest_ld(abi, g + 2 * w, w);
    m->iovlen = guest_ld(abi, g + 3 * w, w);
    m->control = guest_ld(abi, g + 4 * w, w);
    m->controllen = guest_ld(abi, g + 5 * w, w);
    m->at_namelen = addr + w;
    m->at_controllen = addr + 5 * w;
    m->at_flags = addr + 6 * w;
    return 0;
}

enum { MAX_CONTROL = 65536 };

/* Ancillary data: size_t length, int level, int type, data; each aligned to size_t */
static int control_to_host(struct thread *t, const struct guest_msg *m, struct msghdr *h)
{
    const struct abi *abi = t->proc->abi;
    unsigned w = abi->long_size, head = ALIGN_UP(w + 8, w);
    if (m->controllen > MAX_CONTROL) return -ENOBUFS;
    const uint8_t *g = mem_in(t->proc, m->control, m->controllen);
    if (!g) return -EFAULT;
    /* Each header grows by 8 bytes at most, and by its alignment. */
    h->msg_controllen = (size_t)m->controllen * 3 + 64;
    h->msg_control = mem_zalloc(h->msg_controllen);
    struct cmsghdr *c = CMSG_FIRSTHDR(h);
    size_t used = 0;
    for (uint64_t at = 0; c && m->controllen - at >= head;) {
        uint64_t len = guest_ld(abi, g + at, w);
        if (len < head || len > m->controllen - at) return -EINVAL;
        int level = (int)guest_ld(abi, g + at + w, 4), type = (int)guest_ld(abi, g + at + w + 4, 4);
        size_t n = (size_t)(len - head);
        c->cmsg_level = level == abi->sol_socket ? SOL_SOCKET : level;
        c->cmsg_type = type;
        c->cmsg_len = CMSG_LEN(n);
        const uint8_t *src = g + at + head;
        uint8_t *dst = CMSG_DATA(c);
        if (c->cmsg_level == SOL_SOCKET)
            for (size_t i = 0; i + 4 <= n; i += 4)
                st32_host(dst + i, (uint32_t)guest_ld(abi, src + i, 4));
        else
            memcpy(dst, src, n);
        used += CMSG_SPACE(n);
        at += ALIGN_UP(len, (uint64_t)w);
        if (at >= m->controllen) break;
        c = (struct cmsghdr *)((uint8_t *)c + CMSG_SPACE(n));
    }
    h->msg_controllen = used;
    return 0;
}

static int control_to_guest(struct thread *t, struct msghdr *h, const struct guest_msg *m,
                            uint64_t *written, int *flags)
{
    const struct abi *abi = t->proc->abi;
    unsigned w = abi->long_size, head = ALIGN_UP(w + 8, w);
    uint64_t at = 0, room = MIN(m->controllen, MAX_CONTROL);
    uint8_t *g = mem_out(t->proc, m->control, room);
    if (!g) return -EFAULT;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        const uint8_t *src = CMSG_DATA(c);
        size_t n = c->cmsg_len - CMSG_LEN(0), out = n;
        bool stamp = c->cmsg_level == SOL_SOCKET &&
                     (c->cmsg_type == SCM_TIMESTAMP || c->cmsg_type == SO_TIMESTAMPNS);
        if (stamp) out = 2 * w;
        if (room - at < head + out) {
            *flags |= MSG_CTRUNC;
            if (room - at < head || c->cmsg_type != SCM_RIGHTS) break;
            out = ALIGN_DOWN((size_t)(room - at - head), (size_t)4);
            n = out;
        }
        guest_st(abi, g + at, w, head + out);
        guest_st(abi, g + at + w, 4,
                 (uint64_t)(c->cmsg_level == SOL_SOCKET ? abi->sol_socket : c->cmsg_level));
        guest_st(abi, g + at + w + 4, 4, (uint64_t)c->cmsg_type);
        uint8_t *dst = g + at + head;
        if (stamp) {
            struct timeval tv;
            memcpy(&tv, src, sizeof tv);
            guest_st(abi, dst, w, (uint64_t)tv.tv_sec);
            guest_st(abi, dst + w, w, (uint64_t)tv.tv_usec);
        } else if (c->cmsg_level == SOL_SOCKET || n == 4) {
            for (size_t i = 0; i + 4 <= n; i += 4)
                guest_st(abi, dst + i, 4, ld32_host(src + i));
        } else {
            memcpy(dst, src, n);
        }
        at += MIN(ALIGN_UP(head + out, (uint64_t)w), room - at);
    }
    *written = at;
    return 0;
}

static int64_t do_msg(struct thread *t, int fd, uint64_t addr, int flags, bool out)
{
    struct guest_msg m;
    struct msghdr h;
    struct sockaddr_storage s;
    struct iovec *iov = NULL;
    memset(&h, 0, sizeof h);
    int64_t r = get_msg(t, addr, &m);
    if (r) return r;
    if (m.name) {
        h.msg_name = &s;
        h.msg_namelen = sizeof s;
        memset(&s, 0, sizeof s);
        if (!out) {
            if ((r = get_addr(t, m.name, m.namelen, &s)) != 0) return r;
            h.msg_namelen = (socklen_t)m.namelen;
        }
    }
    if ((r = user_get_iov(t, m.iov, m.iovlen, out, &iov)) != 0) return r == -EINVAL ? -EMSGSIZE : r;
    h.msg_iov = iov;
    h.msg_iovlen = (size_t)m.iovlen;
    if (m.control && m.controllen && !out) {
        r = control_to_host(t, &m, &h);
    } else if (m.control && m.controllen) {
        h.msg_controllen = (size_t)MIN(m.controllen, MAX_CONTROL) * 2 + 64;
        h.msg_control = mem_zalloc(h.msg_controllen);
    }
    if (!r) r = sys_ret(out ? recvmsg(fd, &h, flags) : sendmsg(fd, &h, flags));
    if (out && r >= 0) {
        uint64_t written = 0;
        int bad = 0;
        if (m.name) {
            uint8_t *o = mem_out(t->proc, m.name, MIN(m.namelen, h.msg_namelen));
            if (o)
                addr_to_guest(t->proc->abi, &s, h.msg_namelen, o,
                              (size_t)MIN(m.namelen, h.msg_namelen));
            bad |= !o || put_scalar(t, m.at_namelen, 4, h.msg_namelen);
        }
        if (m.control && m.controllen) bad |= control_to_guest(t, &h, &m, &written, &h.msg_flags);
        bad |= put_scalar(t, m.at_controllen, t->proc->abi->long_size, written);
        bad |= put_scalar(t, m.at_flags, 4, (uint64_t)(h.msg_flags & ~MSG_CMSG_CLOEXEC));
        if (bad) r = -EFAULT;
    }
    mem_free(h.msg_control);
    mem_free(iov);
    return r;
}

int64_t sys_sendmsg(struct thread *t, const uint64_t *a)
{
    return do_msg(t, (int)a[0], a[1], (int)a[2], false);
}
int64_t sys_recvmsg(struct thread *t, const uint64_t *a)
{
    return do_msg(t, (int)a[0], a[1], (int)a[2], true);
}

/* An array of msghdr and the number of bytes each moved */
static int64_t do_mmsg(struct thread *t, const uint64_t *a, bool out)
{
    unsigned w = t->proc->abi->long_size, size = 8 * w, done = 0;
    int flags = (int)a[3];
    for (; done < a[2] && done < 1024; done++) {
        uint64_t at = a[1] + (uint64_t)done * size;
        int64_t r = do_msg(t, (int)a[0], at, flags & ~MSG_WAITFORONE, out);
        if (r < 0) return done ? done : r;
        if (put_scalar(t, at + 7 * w, 4, (uint64_t)r)) return -EFAULT;
        if (flags & MSG_WAITFORONE) flags |= MSG_DONTWAIT;
    }
    return done;
}
int64_t sys_sendmmsg(struct thread *t, const uint64_t *a)
{
    return do_mmsg(t, a, false);
}
int64_t sys_recvmmsg(struct thread *t, const uint64_t *a)
{
    return do_mmsg(t, a, true);
}

/* ---- the multiplexed form
 * ------------------------------------------------------------------------------------------- */
int64_t sys_socketcall(struct thread *t, const uint64_t *a)
{
    static const struct {
        sys_fn *fn;
        uint8_t n;
    } calls[] = {
        {NULL, 0},           {sys_socket, 3},   {sys_bind, 3},        {sys_connect, 3},
        {sys_listen, 2},     {sys_accept, 3},   {sys_getsockname, 3}, {sys_getpeername, 3},
        {sys_socketpair, 4}, {sys_send, 4},     {sys_recv, 4},        {sys_sendto, 6},
        {sys_recvfrom, 6},   {sys_shutdown, 2}, {sys_setsockopt, 5},  {sys_getsockopt, 5},
        {sys_sendmsg, 3},    {sys_recvmsg, 3},  {sys_accept4, 4},     {sys_recvmmsg, 5},
        {sys_sendmmsg, 4},
    };
    uint64_t b[6] = {0};
    unsigned w = t->proc->abi->long_size;
    if (a[0] < 1 || a[0] >= ARRAY_LEN(calls)) return -EINVAL;
    for (unsigned i = 0; i < calls[a[0]].n; i++)
        if (get_scalar(t, a[1] + i * w, w, &b[i])) return -EFAULT;
    return calls[a[0]].fn(t, b);
}
