/*
 * system.c - the system emulator's program: from parsed options to a running machine, and back to a clean
 * terminal and exit status on every way out.
 */
#include "tools/system.h"

#include "blockfmt/block.h"
#include "blockfmt/job.h"
#include "chardev/term.h"
#include "machines/threads.h"
#include "mon/gdb.h"
#include "mon/monitor.h"
#include "periph/devices.h"
#include "util/log.h"
#include "util/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

enum { MAX_MONITORS = 8 };

struct system {
    struct sysopts opts;
    struct loop *loop;
    struct chr_set *chrs;
    struct machine *machine;
    struct lockstep *lockstep; /* owns the machine then */
    struct mon_env env;
    struct monitor *monitors[MAX_MONITORS];
    struct chardev *monitor_chr[MAX_MONITORS];
    unsigned n_monitor_chr;
    bool pidfile_written;
    int ready_fd; /* -daemonize: the parent waits for a byte; -1: none */
};

/* ---- signals ---------------------------------------------------------------------------------- */

/* Signal handlers have no argument of ours: the one machine that this process's signals end. */
static struct machine *volatile signal_machine;
static struct loop *volatile signal_loop;
static volatile sig_atomic_t signal_number, signal_pid;

static void on_signal(int sig, siginfo_t *info, void *context)
{
    signal_pid = info && info->si_code <= 0 ? (sig_atomic_t)info->si_pid : 0;
    signal_number = sig;
    if (signal_machine) machine_post(signal_machine, MACHINE_QUIT);
    if (signal_loop) loop_interrupt(signal_loop);
}

static void install_signals(struct loop *loop)
{
    static const int sigs[] = { SIGTERM, SIGINT, SIGHUP };
    struct sigaction sa;

    memset(&sa, 0, sizeof sa);
    sa.sa_sigaction = on_signal;
    sa.sa_flags = SA_SIGINFO;
    sigemptyset(&sa.sa_mask);
    signal_loop = loop;
    for (unsigned i = 0; i < ARRAY_LEN(sigs); i++) sigaction(sigs[i], &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* "terminating on signal 15 from pid 123 (bash)" */
static void report_signal(void)
{
    char name[64] = "<unknown process>", path[40];
    FILE *f;

    if (!signal_number) return;
    if (!signal_pid) {
        error_report("terminating on signal %d", (int)signal_number);
        return;
    }
    snprintf(path, sizeof path, "/proc/%d/comm", (int)signal_pid);
    f = fopen(path, "r");
    if (f) {
        if (fgets(name, sizeof name, f)) name[strcspn(name, "\n")] = 0;
        fclose(f);
    }
    error_report("terminating on signal %d from pid %d (%s)", (int)signal_number, (int)signal_pid, name);
}

/* ---- going to the background --------------------------------------------------------------------- */

/* The parent stays until the child says it is ready, so that whoever started it can connect. Returns in the child; the
 * parent's exit status is returned as `status` with true. */
static bool daemon_fork(struct system *sys, int *status, struct error *e)
{
    int fds[2];
    pid_t pid;

    *status = 1;
    if (pipe(fds)) return error_set(e, "-daemonize: %s", strerror(errno)), true;
    pid = fork();
    if (pid < 0) return error_set(e, "-daemonize: %s", strerror(errno)), true;
    if (pid > 0) {
        char c = 1;
        ssize_t n;
        close(fds[1]);
        do n = read(fds[0], &c, 1);
        while (n < 0 && errno == EINTR);
        *status = n == 1 ? c : 1;
        return true;
    }
    close(fds[0]);
    fcntl(fds[1], F_SETFD, FD_CLOEXEC);
    setsid();
    sys->ready_fd = fds[1];
    return false;
}

static int daemon_ready(struct system *sys, struct error *e)
{
    int null;
    ssize_t n;

    if (sys->ready_fd < 0) return 0;
    null = open("/dev/null", O_RDWR);
    if (null < 0 || chdir("/")) return error_set(e, "-daemonize: %s", strerror(errno));
    for (int i = 0; i < 3; i++) dup2(null, i);
    if (null > 2) close(null);
    n = write(sys->ready_fd, "", 1);
    close(sys->ready_fd);
    sys->ready_fd = -1;
    return n == 1 ? 0 : error_set(e, "-daemonize: the starting process is gone");
}

static int write_pidfile(struct system *sys, struct error *e)
{
    const char *path = sys->opts.pidfile;
    char s[24];
    int fd, n = snprintf(s, sizeof s, "%d\n", (int)getpid());

    if (!path) return 0;
    fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0) return error_set(e, "cannot open PID file '%s': %s", path, strerror(errno));
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    /* The lock is held as long as the process lives. */
    if (lockf(fd, F_TLOCK, 0) < 0) {
        error_set(e, "cannot lock PID file '%s': another process has it", path);
        close(fd);
        return -1;
    }
    if (ftruncate(fd, 0) || write(fd, s, (size_t)n) != n) {
        error_set(e, "cannot write PID file '%s': %s", path, strerror(errno));
        close(fd);
        return -1;
    }
    sys->pidfile_written = true;
    return 0;
}

/* ---- character devices --------------------------------------------------------------------------- */

static int add_monitor(struct system *sys, struct chardev *c, struct error *e)
{
    if (sys->n_monitor_chr == MAX_MONITORS) return error_set(e, "too many monitors (at most %d)", MAX_MONITORS);
    sys->monitor_chr[sys->n_monitor_chr++] = c;
    return 0;
}

/* Ids in properties of -device: one program has one set of character devices. */
static struct chr_set *resolve_chrs;
static struct sysopts *resolve_opts;

/* Random numbers of devices begin with this, unless -seed says how. */
static void host_entropy(uint8_t *out, size_t n)
{
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, out, n) : -1;
    if (fd >= 0) close(fd);
    if (got != (ssize_t)n) error_warn("the host has no entropy: random numbers of devices are the same in every run");
}

static void *resolve_backend(enum prop_kind kind, const char *id, struct error *e)
{
    if (kind == PROP_DRIVE && resolve_opts) return sysopts_attach_node(resolve_opts, id, e);
    struct chardev *c = kind == PROP_CHR && resolve_chrs ? chr_find(resolve_chrs, id) : NULL;
    if (!c) error_set(e, "there is no backend '%s' for it", id);
    return c;
}

static int make_chardevs(struct system *sys, struct error *e)
{
    struct sysopts *o = &sys->opts;
    /* Without a screen that could have virtual consoles, the terminal is the place for both, unless the user
     * disposed of one of them (then the other is not wanted on the terminal either) or of the screen. */
    bool both = !o->cfg.no_defaults && !o->serials.n && !o->monitors.n && !o->mons.n;
    bool terminal = o->nographic || (both && !o->display_given && !o->daemonize);
    struct chardev *c;
    bool mon;

    for (unsigned i = 0; i < o->chardevs.n; i++) {
        if (!chr_new_opts(sys->chrs, o->chardevs.v[i], e)) return -1;
    }
    if (!o->cfg.no_defaults && terminal) {
        if (o->lockstep_text) {
            if (!o->serials.n && o->cfg.board->n_serial) str_list_add(&o->serials, "stdio");
        } else if (both && o->cfg.board->n_serial) str_list_add(&o->serials, "mon:stdio");
        else if (!o->serials.n && o->cfg.board->n_serial) str_list_add(&o->serials, "stdio");
        else if (!o->monitors.n && !o->mons.n) str_list_add(&o->monitors, "stdio");
    }
    for (unsigned i = 0; i < o->serials.n; i++) {
        char *id = mem_printf("serial%u", i);
        int rc = chr_new_string(sys->chrs, id, o->serials.v[i], &c, &mon, e);
        mem_free(id);
        if (rc) {
            error_prefix(e, "-serial %s", o->serials.v[i]);
            return -1;
        }
        if (mon && c && add_monitor(sys, c, e)) return -1;
        if (i < MACHINE_MAX_SERIAL) o->cfg.serial[i] = c;
    }
    for (unsigned i = 0; i <= o->parallels.n; i++) { /* and the debug port */
        const char *text = i < o->parallels.n ? o->parallels.v[i] : o->debugcon;
        char *id = i < o->parallels.n ? mem_printf("parallel%u", i) : mem_printf("debugcon");
        int rc = text ? chr_new_string(sys->chrs, id, text, &c, &mon, e) : 0;
        mem_free(id);
        if (rc) {
            error_prefix(e, "%s %s", i < o->parallels.n ? "-parallel" : "-debugcon", text);
            return -1;
        }
        if (!text) continue;
        if (mon && c && add_monitor(sys, c, e)) return -1;
        if (i < o->parallels.n) o->cfg.parallel[i] = c;
        else o->cfg.debugcon = c;
    }
    for (unsigned i = 0; i < o->monitors.n; i++) {
        char *id = mem_printf("compat_monitor%u", i);
        int rc = chr_new_string(sys->chrs, id, o->monitors.v[i], &c, &mon, e);
        mem_free(id);
        if (rc) {
            error_prefix(e, "-monitor %s", o->monitors.v[i]);
            return -1;
        }
        if (c && add_monitor(sys, c, e)) return -1;
    }
    for (unsigned i = 0; i < o->mons.n; i++) {
        c = chr_find(sys->chrs, o->mons.v[i]);
        if (!c) return error_set(e, "-mon: chardev \"%s\" not found", o->mons.v[i]);
        if (add_monitor(sys, c, e)) return -1;
    }
    return 0;
}

/* ---- drives --------------------------------------------------------------------------------------- */

/* A request of a device failed; on the device's own thread. */
static void io_error(void *opaque, const struct blk_io_error *x)
{
    struct system *sys = opaque;

    if (x->action != BLK_ON_ERROR_STOP) return; /* the guest sees it, or is not to */
    error_warn("%s error on '%s': %s; the machine is stopped", x->read ? "read" : "write", blk_path(x->blk), strerror(-x->rc));
    if (sys->machine) machine_post(sys->machine, MACHINE_STOP);
}

static struct blk_backend *open_medium(void *opaque, const struct machine_drive *d, const char *file, const char *format,
                                       bool read_only, struct error *e)
{
    return sysopts_open_medium(opaque, d, file, format, read_only, e);
}

static void close_medium(void *opaque, struct blk_backend *blk) { sysopts_close_medium(opaque, blk); }

/* ---- the machine ---------------------------------------------------------------------------------- */

static void host_poll(void *opaque, uint64_t max_wait_ns)
{
    struct system *sys = opaque;
    loop_poll(sys->loop, max_wait_ns);
}

static void host_wake(void *opaque) { loop_wake(((struct system *)opaque)->loop); }
static void host_waits(void *opaque, bool waits) { machine_host_waits(opaque, waits); }

static void quit(void *opaque)
{
    struct system *sys = opaque;
    if (sys->machine) machine_post(sys->machine, MACHINE_QUIT);
}

/* Ctrl-A s: write -snapshot data back. */
static void commit(void *opaque)
{
    const struct sysopts *o = &((struct system *)opaque)->opts;

    for (unsigned i = 0; i < o->cfg.n_drives; i++) {
        const struct drive_config *d = &o->drives[i];
        struct error e = ERROR_INIT;
        if (!d->blk || !blk_node_backing(blk_root(d->blk))) continue;
        if (blk_commit(d->blk, &e)) error_report("'%s': %s", d->id, e.msg);
        error_clear(&e);
    }
}

static struct machine *make_pair(struct system *sys, struct error *e)
{
    struct sysopts *o = &sys->opts;

    sys->lockstep = lockstep_new(&o->lockstep, e);
    if (!sys->lockstep) return NULL;
    for (unsigned i = 0; i < MACHINE_MAX_SERIAL; i++) {
        if (lockstep_add_serial(sys->lockstep, i, o->cfg.serial[i], e)) return NULL;
    }
    for (unsigned i = 0; i < o->cfg.n_drives; i++) {
        if (!o->second_drives[i].blk) o->second_drives[i] = o->drives[i]; /* an empty one */
    }
    return lockstep_machines(sys->lockstep, &o->cfg, o->second_drives, e);
}

static int make_machine(struct system *sys, struct error *e)
{
    struct sysopts *o = &sys->opts;
    struct machine *m = o->lockstep_text ? make_pair(sys, e) : machine_new(&o->cfg, e);

    if (!m) return -1;
    sys->machine = m;
    m->no_reboot = o->no_reboot;
    m->no_shutdown = o->no_shutdown;
    m->host_poll = host_poll;
    m->host_poll_opaque = sys;
    m->host_wake = host_wake;
    loop_on_wait(sys->loop, host_waits, m);
    signal_machine = m;
    sys->env.machine = m;
    sys->env.loop = sys->loop;
    sys->env.chrs = sys->chrs;
    sys->env.open_medium = open_medium;
    sys->env.close_medium = close_medium;
    sys->env.media_opaque = o;
    for (unsigned i = 0; i < sys->n_monitor_chr; i++) {
        sys->monitors[i] = monitor_new(&sys->env, sys->monitor_chr[i], e);
        if (!sys->monitors[i]) return -1;
    }
    if (o->gdbs.n) {
        sys->env.gdb = gdb_server_new(&sys->env, o->gdbs.v[0], e);
        if (!sys->env.gdb) return -1;
    }
    return 0;
}

static void set_process_name(const char *name)
{
#ifdef __linux__
    if (name) prctl(PR_SET_NAME, name);
#endif
}

static int run(struct system *sys, struct error *e)
{
    struct sysopts *o = &sys->opts;
    int code;

    sys->loop = loop_new(e);
    if (!sys->loop) return 1;
    install_signals(sys->loop);
    sys->chrs = chr_set_new(sys->loop);
    resolve_chrs = sys->chrs;
    resolve_opts = o;
    if (!o->seeded) host_entropy(o->cfg.seed, sizeof o->cfg.seed);
    dev_resolve_backend = resolve_backend;
    chr_set_escape(sys->chrs, o->echr);
    chr_set_actions(sys->chrs, quit, commit, sys);
    log_set(o->log_items);
    set_process_name(o->process_name);
    if (make_chardevs(sys, e) || sysopts_open_drives(o, io_error, sys, e) || make_machine(sys, e)) return 1;
    chr_focus_first(sys->chrs);
    if (chr_wait_connected(sys->chrs, e)) return signal_number ? (error_clear(e), 0) : 1;
    if (write_pidfile(sys, e) || daemon_ready(sys, e)) return 1;
    if (signal_number) return 0;
    if (sys->lockstep) {
        code = lockstep_run(sys->lockstep, e);
        return code ? 1 : 0;
    }
    machine_set_state(sys->machine, o->stopped ? MACHINE_PRELAUNCH : MACHINE_RUNNING);
    code = machine_run(sys->machine);
    return signal_number ? 0 : code;
}

static void clean_up(struct system *sys)
{
    struct sysopts *o = &sys->opts;

    signal_machine = NULL;
    gdb_server_delete(sys->env.gdb);
    for (unsigned i = 0; i < MAX_MONITORS; i++) monitor_delete(sys->monitors[i]);
    if (sys->loop) loop_on_wait(sys->loop, NULL, NULL);
    if (sys->lockstep) lockstep_delete(sys->lockstep);
    else if (sys->machine) machine_delete(sys->machine);
    resolve_chrs = NULL;
    resolve_opts = NULL;
    chr_set_delete(sys->chrs);
    signal_loop = NULL;
    loop_delete(sys->loop);
    sysopts_close_drives(o);
    if (sys->pidfile_written) unlink(o->pidfile);
    term_restore();
    log_set_file(NULL, NULL);
    sysopts_free(o);
}

int system_main(int argc, char **argv, const char *target)
{
    struct system *sys = NEW(struct system);
    struct error e = ERROR_INIT;
    bool big_endian = false, parent;
    const struct isa *isa = isa_find_target(target, &big_endian);
    int rc, status = 1;

    sys->ready_fd = -1;
    if (!isa) {
        error_report("there is no target '%s' ('quern --help' lists them)", target);
        mem_free(sys);
        return 1;
    }
    periph_register_all();
    sysopts_init(&sys->opts, target, isa, big_endian);
    rc = sysopts_parse(&sys->opts, argc, argv, &e);
    if (!rc) rc = sysopts_resolve(&sys->opts, &e);
    if (rc > 0) status = 0;
    if (!rc && sys->opts.daemonize) {
        if (sys->opts.nographic) {
            error_set(&e, "-nographic cannot be used with -daemonize");
            rc = -1;
        } else {
            parent = daemon_fork(sys, &status, &e);
            if (parent) rc = 1;
        }
    }
    if (!rc) {
        status = run(sys, &e);
        term_restore();
        report_signal();
    }
    if (e.set) error_print(&e);
    clean_up(sys);
    mem_free(sys);
    return status;
}
