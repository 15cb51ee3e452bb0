/*
 * gdb-system.c - the gdb stub on a machine: threads are CPUs, all stop and run together, the connection is a character
 * backend.
 */
#include "mon/gdb.h"
#include "mon/monitor.h"

#include <stdio.h>

struct gdb_server {
    struct mon_env *env;
    struct gdb_stub *stub;
    struct chardev *chr;
    bool own_chr;             /* made here, so removed here */
    struct guest quiet;       /* the CPU's guest without interrupts, for single steps */
};

static struct machine *machine_of(void *opaque) { return ((struct gdb_server *)opaque)->env->machine; }

static unsigned n_threads(void *opaque) { return machine_of(opaque)->n_cpus; }

static struct cpu *thread(void *opaque, unsigned n)
{
    struct machine *m = machine_of(opaque);
    return n >= 1 && n <= m->n_cpus ? m->cpu[n - 1] : NULL;
}

static bool running(void *opaque) { return machine_of(opaque)->state == MACHINE_RUNNING; }

static void fill_hit(struct gdb_server *s, struct gdb_stop *stop)
{
    struct debug_hit hit = engine_debug_hit(s->env->machine->engine);

    stop->watch = hit.watch;
    stop->watch_kind = hit.kind == WATCH_WRITE ? GDB_WATCH_WRITE : hit.kind == WATCH_READ ? GDB_WATCH_READ : GDB_WATCH_ACCESS;
    stop->watch_addr = hit.addr;
}

static bool never(struct cpu *cpu) { return false; }

/* One instruction of one CPU, between the machine's slices. */
static void step(struct gdb_server *s, unsigned n, unsigned flags)
{
    struct machine *m = s->env->machine;
    struct cpu *cpu = m->cpu[n - 1];
    const struct guest *guest = cpu->guest;
    struct gdb_stop stop = { .kind = GDB_STOP_SIGNAL, .signo = 5, .thread = n };
    uint64_t before = cpu_icount(cpu);
    enum run_exit x = RUN_KICKED;

    if (!(flags & GDB_SSTEP_NOTIMER)) clock_run(m->clock, clock_now(m->clock));
    if (flags & GDB_SSTEP_NOIRQ) {
        s->quiet = *guest;
        s->quiet.interrupt = never;
        cpu->guest = &s->quiet;
    }
    /* A kick that is pending ends the first run before it starts. */
    for (unsigned tries = 0; x == RUN_KICKED && cpu_icount(cpu) == before && tries < 4; tries++) {
        cpu->step_over_break = true;
        m->running = cpu;
        x = engine_run(cpu, 1);
        m->running = NULL;
    }
    cpu->step_over_break = false;
    cpu->guest = guest;
    if (x == RUN_DEBUG) fill_hit(s, &stop);
    machine_set_state(m, MACHINE_DEBUGGED);
    gdb_stub_stopped(s->stub, &stop);
}

static void resume(void *opaque, unsigned step_thread, unsigned flags)
{
    struct gdb_server *s = opaque;
    struct machine *m = machine_of(s);

    if (m->state == MACHINE_SHUTDOWN) {
        struct gdb_stop stop = { .kind = GDB_STOP_EXITED };
        gdb_stub_stopped(s->stub, &stop);
    } else if (step_thread && step_thread <= m->n_cpus) {
        step(s, step_thread, flags);
    } else {
        machine_set_state(m, MACHINE_RUNNING);
    }
}

static void stop(void *opaque)
{
    struct machine *m = machine_of(opaque);
    if (m->state == MACHINE_RUNNING) machine_set_state(m, MACHINE_PAUSED);
}

static const enum watch_kind watch_kinds[] = { 0, 0, WATCH_WRITE, WATCH_READ, WATCH_ACCESS };

static int insert(void *opaque, enum gdb_break kind, uint64_t addr, uint64_t len)
{
    struct engine *eng = machine_of(opaque)->engine;

    if (kind > GDB_BREAK_HW) return engine_watch_insert(eng, addr, len, watch_kinds[kind]);
    engine_break_insert(eng, addr);
    return 0;
}

static int remove_(void *opaque, enum gdb_break kind, uint64_t addr, uint64_t len)
{
    struct engine *eng = machine_of(opaque)->engine;

    if (kind > GDB_BREAK_HW) return engine_watch_remove(eng, addr, len, watch_kinds[kind]);
    engine_break_remove(eng, addr);
    return 0;
}

static void kill_(void *opaque) { machine_post(machine_of(opaque), MACHINE_QUIT); }

static void detach(void *opaque)
{
    struct machine *m = machine_of(opaque);
    if (m->state != MACHINE_SHUTDOWN) machine_set_state(m, MACHINE_RUNNING);
}

static char *monitor(void *opaque, unsigned n, const char *line)
{
    return monitor_command(((struct gdb_server *)opaque)->env, thread(opaque, n), line);
}

static char *describe_thread(void *opaque, unsigned n)
{
    struct cpu *c = thread(opaque, n);
    return mem_printf("CPU#%u [%s]", n - 1, c && c->halted ? "halted " : "running");
}

/* ---- the connection ----------------------------------------------------------------------------- */

static void send(void *opaque, const uint8_t *buf, int n)
{
    struct gdb_server *s = opaque;
    chr_write_all(s->chr, s, buf, n);
}

static int can_receive(void *opaque) { return 4096; }

static void receive(void *opaque, const uint8_t *buf, int n) { gdb_stub_input(((struct gdb_server *)opaque)->stub, buf, n); }

static void event(void *opaque, enum chr_event ev)
{
    struct gdb_server *s = opaque;

    if (ev == CHR_OPENED) {
        gdb_stub_connected(s->stub, true);
        stop(s);
    } else if (ev == CHR_CLOSED) {
        gdb_stub_connected(s->stub, false);
    }
}

static void on_state(void *opaque, struct machine *m, enum machine_state state)
{
    struct gdb_server *s = opaque;
    struct gdb_stop stop = { .kind = GDB_STOP_SIGNAL, .signo = 2, .thread = 1 };

    if (state == MACHINE_RUNNING || state == MACHINE_PRELAUNCH) return;
    if (state == MACHINE_SHUTDOWN) {
        stop.kind = GDB_STOP_EXITED;
        stop.signo = 0;
    } else if (state == MACHINE_DEBUGGED) {
        stop.signo = 5;
        fill_hit(s, &stop);
        stop.thread = (unsigned)engine_debug_hit(m->engine).cpu + 1;
    }
    gdb_stub_stopped(s->stub, &stop);
}

struct gdb_server *gdb_server_new(struct mon_env *env, const char *dev, struct error *e)
{
    struct gdb_server *s = NEW(struct gdb_server);
    struct gdb_target t = {
        .opaque = s, .isa = env->machine->cfg.isa, .big_endian = env->machine->cfg.big_endian,
        .n_threads = n_threads, .thread = thread, .resume = resume, .stop = stop, .running = running,
        .insert = insert, .remove = remove_, .kill = kill_, .detach = detach, .monitor = monitor,
        .describe_thread = describe_thread,
    };
    struct chr_frontend fe = { can_receive, receive, event, s };
    char *full;

    s->env = env;
    /* A TCP or Unix address is a server that waits for nobody; what the user wrote after it still counts. */
    if (!strncmp(dev, "tcp:", 4) || !strncmp(dev, "unix:", 5)) {
        full = mem_printf("%s%s%s", dev, strstr(dev, ",server") ? "" : ",server", strstr(dev, "wait") ? "" : ",nowait");
        if (!strncmp(dev, "tcp:", 4) && !strstr(dev, "nodelay")) {
            char *more = mem_printf("%s,nodelay", full);
            mem_free(full);
            full = more;
        }
    } else {
        full = mem_strdup(dev);
    }
    s->own_chr = strncmp(dev, "chardev:", 8) != 0;
    if (chr_new_string(env->chrs, "gdb", full, &s->chr, NULL, e)) s->chr = NULL;
    else if (!s->chr) error_set(e, "gdb: '%s' is no device", dev);
    mem_free(full);
    if (!s->chr) {
        mem_free(s);
        return NULL;
    }
    s->stub = gdb_stub_new(&t, send, s);
    if (chr_attach(s->chr, &fe, e)) {
        gdb_stub_delete(s->stub);
        if (s->own_chr) chr_remove(env->chrs, "gdb", NULL);
        mem_free(s);
        return NULL;
    }
    env->machine->on_state = on_state;
    env->machine->on_state_opaque = s;
    return s;
}

void gdb_server_delete(struct gdb_server *s)
{
    struct gdb_stop end = { .kind = GDB_STOP_EXITED };

    if (!s) return;
    gdb_stub_stopped(s->stub, &end); /* a debugger that waits learns of the end */
    if (s->env->machine->on_state_opaque == s) s->env->machine->on_state = NULL;
    gdb_stub_delete(s->stub);
    chr_detach(s->chr, s);
    if (s->own_chr) chr_remove(s->env->chrs, chr_id(s->chr), NULL);
    mem_free(s);
}
