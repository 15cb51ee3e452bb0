/*
 * commands.c - monitor commands that steer: running, logging, the debugger, character devices.
 */
#include "mon/internal.h"

#include "mon/gdb.h"
#include "util/log.h"

void mon_quit(struct monitor *m, const struct mon_args *a) { machine_post(m->env->machine, MACHINE_QUIT); }

void mon_stop(struct monitor *m, const struct mon_args *a)
{
    if (m->env->machine->state == MACHINE_RUNNING) machine_set_state(m->env->machine, MACHINE_PAUSED);
}

void mon_cont(struct monitor *m, const struct mon_args *a)
{
    if (m->env->machine->state == MACHINE_SHUTDOWN) {
        mon_printf(m, "Error: Resetting the Virtual Machine is required\n");
        return;
    }
    /* From a breakpoint, not to it. */
    for (unsigned i = 0; i < m->env->machine->n_cpus && m->env->machine->state == MACHINE_DEBUGGED; i++) {
        m->env->machine->cpu[i]->step_over_break = true;
    }
    machine_set_state(m->env->machine, MACHINE_RUNNING);
}

void mon_system_reset(struct monitor *m, const struct mon_args *a)
{
    /* After a power-off with -no-shutdown a reset is the way back to life. */
    if (m->env->machine->state == MACHINE_SHUTDOWN) machine_set_state(m->env->machine, MACHINE_PAUSED);
    machine_post(m->env->machine, MACHINE_RESET);
}

void mon_system_powerdown(struct monitor *m, const struct mon_args *a)
{
    machine_post(m->env->machine, MACHINE_POWERDOWN);
}

void mon_cpu(struct monitor *m, const struct mon_args *a)
{
    uint64_t n = mon_num(a, "index");

    if (n >= m->env->machine->n_cpus) mon_printf(m, "invalid CPU index\n");
    else m->cpu = m->env->machine->cpu[n];
}

void mon_log(struct monitor *m, const struct mon_args *a)
{
    struct error e = ERROR_INIT;
    uint32_t mask;

    if (log_parse_items(mon_str(a, "items"), &mask, &e)) mon_printf(m, "%s\nTry \"help log\" for more information\n", e.msg);
    else {
        log_set(mask);
        engine_flush(m->env->machine->engine); /* what runs already is chained, and was translated unlogged */
    }
}

void mon_logfile(struct monitor *m, const struct mon_args *a)
{
    struct error e = ERROR_INIT;
    if (log_set_file(mon_str(a, "filename"), &e)) mon_error(m, &e);
}

void mon_gdbserver(struct monitor *m, const struct mon_args *a)
{
    const char *dev = mon_str(a, "device") ? mon_str(a, "device") : "tcp::1234";
    struct error e = ERROR_INIT;

    gdb_server_delete(m->env->gdb);
    m->env->gdb = NULL;
    if (!strcmp(dev, "none")) {
        mon_printf(m, "Disabled gdbserver\n");
        return;
    }
    m->env->gdb = gdb_server_new(m->env, dev, &e);
    if (m->env->gdb) {
        mon_printf(m, "Waiting for gdb connection on device '%s'\n", dev);
    } else {
        mon_error(m, &e);
        mon_printf(m, "Could not open gdbserver on device '%s'\n", dev);
    }
}

/* A chardev by id, or a message. */
static struct chardev *chardev_of(struct monitor *m, const char *id)
{
    struct chardev *c = chr_find(m->env->chrs, id);
    if (!c) mon_printf(m, "Error: Chardev '%s' not found\n", id);
    return c;
}

void mon_chardev_send_break(struct monitor *m, const struct mon_args *a)
{
    struct chardev *c = chardev_of(m, mon_str(a, "id"));
    if (c) chr_send_break(c);
}

void mon_chardev_add(struct monitor *m, const struct mon_args *a)
{
    struct error e = ERROR_INIT;
    if (!chr_new_opts(m->env->chrs, mon_str(a, "args"), &e)) mon_error(m, &e);
}

void mon_chardev_remove(struct monitor *m, const struct mon_args *a)
{
    struct error e = ERROR_INIT;
    if (chr_remove(m->env->chrs, mon_str(a, "id"), &e)) mon_error(m, &e);
}

void mon_ringbuf_write(struct monitor *m, const struct mon_args *a)
{
    struct chardev *c = chardev_of(m, mon_str(a, "device"));
    const char *s = mon_str(a, "data");
    struct error e = ERROR_INIT;

    if (c && chr_ringbuf_write(c, (const uint8_t *)s, (unsigned)strlen(s), &e)) mon_error(m, &e);
}

void mon_ringbuf_read(struct monitor *m, const struct mon_args *a)
{
    struct chardev *c = chardev_of(m, mon_str(a, "device"));
    struct error e = ERROR_INIT;
    unsigned n = (unsigned)MIN(mon_num(a, "size"), UINT64_C(65536));
    uint8_t *buf;

    if (!c) return;
    buf = mem_alloc(n);
    if (chr_ringbuf_read(c, buf, &n, &e)) {
        mon_error(m, &e);
    } else {
        for (unsigned i = 0; i < n; i++) {
            if (buf[i] == '\\') mon_printf(m, "\\\\");
            else if ((buf[i] < 32 && buf[i] != '\n' && buf[i] != '\t') || buf[i] >= 127) mon_printf(m, "\\u%04X", buf[i]);
            else mon_printf(m, "%c", buf[i]);
        }
        mon_printf(m, "\n");
    }
    mem_free(buf);
}
