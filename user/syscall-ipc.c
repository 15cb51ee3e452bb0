/*
 * syscall-ipc.c - System V shared memory, semaphores and message queues, direct and multiplexed.
 */
#include "user/abi.h"
#include "user/syscalls.h"

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <time.h>

enum { IPC_64_FLAG = 0x100 };

/* ---- shared memory
 * ------------------------------------------------------------------------------------- */
int64_t sys_shmget(struct thread *t, const uint64_t *a)
{
    return sys_ret(shmget((key_t)a[0], (size_t)a[1], (int)a[2]));
}
int64_t sys_shmat(struct thread *t, const uint64_t *a)
{
    return mem_shmat(t->proc, (int)a[0], a[1], (int)a[2]);
}
int64_t sys_shmdt(struct thread *t, const uint64_t *a)
{
    return mem_shmdt(t->proc, a[0]);
}

int64_t sys_shmctl(struct thread *t, const uint64_t *a)
{
    struct shmid_ds ds;
    int cmd = (int)a[1] & ~IPC_64_FLAG;
    const struct layout *l = t->proc->abi->shmid_ds;
    memset(&ds, 0, sizeof ds);
    switch (cmd) {
    case IPC_STAT:
    case SHM_STAT: {
        int64_t r = sys_ret(shmctl((int)a[0], cmd, &ds));
        return r < 0 ? r : put_layout(t, a[2], l, &ds) ? -EFAULT : r;
    }
    case IPC_SET:
        return get_layout(t, a[2], l, &ds) ? -EFAULT : sys_ret(shmctl((int)a[0], cmd, &ds));
    case IPC_RMID:
    case SHM_LOCK:
    case SHM_UNLOCK: return sys_ret(shmctl((int)a[0], cmd, NULL));
    default: return -EINVAL;
    }
}

/* ---- semaphores
 * ---------------------------------------------------------------------------------------- */
union sem_arg {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
};

int64_t sys_semget(struct thread *t, const uint64_t *a)
{
    return sys_ret(semget((key_t)a[0], (int)a[1], (int)a[2]));
}

static int64_t do_semctl(struct thread *t, int id, int num, int cmd, uint64_t arg)
{
    const struct abi *abi = t->proc->abi;
    union sem_arg u;
    struct semid_ds ds;
    memset(&ds, 0, sizeof ds);
    cmd &= ~IPC_64_FLAG;
    switch (cmd) {
    case GETVAL:
    case GETPID:
    case GETNCNT:
    case GETZCNT:
    case IPC_RMID: return sys_ret(semctl(id, num, cmd));
    case SETVAL:
        /* A union passed by value: an int lies at its start. */
        u.val = (int)(abi->be && abi->long_size == 8 ? arg >> 32 : arg);
        return sys_ret(semctl(id, num, cmd, u));
    case IPC_STAT:
    case SEM_STAT: {
        u.buf = &ds;
        int64_t r = sys_ret(semctl(id, num, cmd, u));
        return r < 0 ? r : put_layout(t, arg, abi->semid_ds, &ds) ? -EFAULT : r;
    }
    case IPC_SET:
        u.buf = &ds;
        return get_layout(t, arg, abi->semid_ds, &ds) ? -EFAULT : sys_ret(semctl(id, num, cmd, u));
    case GETALL:
    case SETALL: {
        u.buf = &ds;
        if (semctl(id, 0, IPC_STAT, u)) return -errno;
        size_t n = (size_t)ds.sem_nsems;
        uint8_t *g = cmd == GETALL ? mem_out(t->proc, arg, 2 * n)
                                   : (uint8_t *)(uintptr_t)mem_in(t->proc, arg, 2 * n);
        if (!g) return -EFAULT;
        unsigned short *v = NEW_ARRAY(unsigned short, n + 1);
        for (size_t i = 0; cmd == SETALL && i < n; i++)
            v[i] = (unsigned short)guest_ld(abi, g + 2 * i, 2);
        u.array = v;
        int64_t r = sys_ret(semctl(id, 0, cmd, u));
        for (size_t i = 0; cmd == GETALL && r >= 0 && i < n; i++)
            guest_st(abi, g + 2 * i, 2, v[i]);
        mem_free(v);
        return r;
    }
    default: return -EINVAL;
    }
}
int64_t sys_semctl(struct thread *t, const uint64_t *a)
{
    return do_semctl(t, (int)a[0], (int)a[1], (int)a[2], a[3]);
}

static int64_t do_semop(struct thread *t, int id, uint64_t ops, uint64_t n,
                        const struct timespec *ts)
{
    const struct abi *abi = t->proc->abi;
    if (n > 500) return -E2BIG;
    const uint8_t *g = mem_in(t->proc, ops, n * 6);
    if (!g) return -EFAULT;
    struct sembuf v[500];
    for (uint64_t i = 0; i < n; i++) {
        v[i].sem_num = (unsigned short)guest_ld(abi, g + 6 * i, 2);
        v[i].sem_op = (short)guest_ld(abi, g + 6 * i + 2, 2);
        v[i].sem_flg = (short)guest_ld(abi, g + 6 * i + 4, 2);
    }
    return sys_ret(semtimedop(id, v, (size_t)n, ts));
}
int64_t sys_semop(struct thread *t, const uint64_t *a)
{
    return do_semop(t, (int)a[0], a[1], a[2], NULL);
}
int64_t sys_semtimedop(struct thread *t, const uint64_t *a)
{
    struct timespec ts;
    if (a[3] && get_layout(t, a[3], layout_for_time(t), &ts)) return -EFAULT;
    return do_semop(t, (int)a[0], a[1], a[2], a[3] ? &ts : NULL);
}

/* ---- messages
 * ------------------------------------------------------------------------------------------ */
int64_t sys_msgget(struct thread *t, const uint64_t *a)
{
    return sys_ret(msgget((key_t)a[0], (int)a[1]));
}

int64_t sys_msgctl(struct thread *t, const uint64_t *a)
{
    struct msqid_ds ds;
    int cmd = (int)a[1] & ~IPC_64_FLAG;
    const struct layout *l = t->proc->abi->msqid_ds;
    memset(&ds, 0, sizeof ds);
    switch (cmd) {
    case IPC_STAT:
    case MSG_STAT: {
        int64_t r = sys_ret(msgctl((int)a[0], cmd, &ds));
        return r < 0 ? r : put_layout(t, a[2], l, &ds) ? -EFAULT : r;
    }
    case IPC_SET:
        return get_layout(t, a[2], l, &ds) ? -EFAULT : sys_ret(msgctl((int)a[0], cmd, &ds));
    case IPC_RMID: return sys_ret(msgctl((int)a[0], cmd, NULL));
    default: return -EINVAL;
    }
}

enum { MAX_MESSAGE = 1 << 20 };
int64_t sys_msgsnd(struct thread *t, const uint64_t *a)
{
    const struct abi *abi = t->proc->abi;
    unsigned w = abi->long_size;
    if (a[2] > MAX_MESSAGE) return -EINVAL;
    const uint8_t *g = mem_in(t->proc, a[1], a[2] + w);
    if (!g) return -EFAULT;
    struct {
        long type;
    } *m = mem_alloc(sizeof *m + (size_t)a[2]);
    m->type = (long)abi_slong(abi, guest_ld(abi, g, w));
    memcpy(m + 1, g + w, (size_t)a[2]);
    int64_t r = sys_ret(msgsnd((int)a[0], m, (size_t)a[2], (int)a[3]));
    mem_free(m);
    return r;
}

int64_t sys_msgrcv(struct thread *t, const uint64_t *a)
{
    const struct abi *abi = t->proc->abi;
    unsigned w = abi->long_size;
    if (a[2] > MAX_MESSAGE) return -EINVAL;
    uint8_t *g = mem_out(t->proc, a[1], a[2] + w);
    if (!g) return -EFAULT;
    struct {
        long type;
    } *m = mem_alloc(sizeof *m + (size_t)a[2]);
    int64_t r = sys_ret(msgrcv((int)a[0], m, (size_t)a[2], (long)(int64_t)a[3], (int)a[4]));
    if (r >= 0) {
        guest_st(abi, g, w, (uint64_t)m->type);
        memcpy(g + w, m + 1, (size_t)r);
    }
    mem_free(m);
    return r;
}

/* ---- the multiplexed form: call (and version), first, second, third, ptr, fifth
 * --------------------------- */
int64_t sys_ipc(struct thread *t, const uint64_t *a)
{
    enum {
        SEMOP = 1,
        SEMGET,
        SEMCTL,
        SEMTIMEDOP,
        MSGSND = 11,
        MSGRCV,
        MSGGET,
        MSGCTL,
        SHMAT = 21,
        SHMDT,
        SHMGET,
        SHMCTL
    };
    unsigned call = (unsigned)a[0] & 0xffff, version = (unsigned)a[0] >> 16,
             w = t->proc->abi->long_size;
    uint64_t v, type;
    switch (call) {
    case SEMOP: return do_semop(t, (int)a[1], a[4], a[2], NULL);
    case SEMTIMEDOP: {
        uint64_t b[4] = {a[1], a[4], a[2], a[5]};
        return sys_semtimedop(t, b);
    }
    case SEMGET: return sys_ret(semget((key_t)a[1], (int)a[2], (int)a[3]));
    case SEMCTL:
        if (get_scalar(t, a[4], w, &v)) return -EFAULT;
        return do_semctl(t, (int)a[1], (int)a[2], (int)a[3], v);
    case MSGGET: return sys_ret(msgget((key_t)a[1], (int)a[2]));
    case MSGCTL: {
        uint64_t b[3] = {a[1], a[2], a[4]};
        return sys_msgctl(t, b);
    }
    case MSGSND: {
        uint64_t b[4] = {a[1], a[4], a[2], a[3]};
        return sys_msgsnd(t, b);
    }
    case MSGRCV: {
        uint64_t msg = a[4];
        type = a[5];
        if (!version) { /* ptr holds the buffer and the type */
            if (get_scalar(t, a[4], w, &msg) || get_scalar(t, a[4] + w, w, &type)) return -EFAULT;
        }
        uint64_t b[5] = {a[1], msg, a[2], (uint64_t)abi_slong(t->proc->abi, type), a[3]};
        return sys_msgrcv(t, b);
    }
    case SHMGET: return sys_ret(shmget((key_t)a[1], (size_t)(uint32_t)a[2], (int)a[3]));
    case SHMCTL: {
        uint64_t b[3] = {a[1], a[2], a[4]};
        return sys_shmctl(t, b);
    }
    case SHMAT: {
        if (version == 1) return -EINVAL;
        int64_t at = mem_shmat(t->proc, (int)a[1], a[4], (int)a[2]);
        return at < 0 && at >= -4095 ? at : put_scalar(t, a[3] & 0xffffffff, w, (uint64_t)at);
    }
    case SHMDT: return mem_shmdt(t->proc, a[4]);
    default: return -ENOSYS;
    }
}
