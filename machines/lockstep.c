/*
 * lockstep.c - the two machines: stepping, comparing, going back (see lockstep.h). Searching and reporting: lockstep-report.c.
 *
 * Which pages of memory were written is known by write-protecting them. A copy of memory as it was when the machines were last
 * equal is kept and brought up to date page by page. Translated code survives going back, so that what only hot code does
 * wrong goes wrong again.
 */
#include "machines/lockstep-private.h"

#include "chardev/backend.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- serial lines ---- */
static int twin_open(struct chardev *c, const struct opts *o, struct error *e)
{
    (void)c, (void)o, (void)e;
    return 0;
}

static int twin_write(struct chardev *c, const uint8_t *buf, int n)
{
    struct ls_twin *t = c->data;
    return t->which || t->port->ls->quiet ? n : chr_write(t->port->real, t->port, buf, n);
}

static void twin_accept(struct chardev *c)
{
    struct ls_twin *t = c->data;
    t->port->wanted = true; /* asked for when both stand at the same instruction */
}

static const struct chr_ops twin_ops = { .name = "lockstep", .help = "", .open = twin_open, .write = twin_write, .accept_input = twin_accept };

static int port_can_receive(void *opaque)
{
    struct ls_port *p = opaque;
    int a = chr_can_receive(p->twin[0]), b = chr_can_receive(p->twin[1]);
    return MIN(a, b);
}

static void port_receive(void *opaque, const uint8_t *buf, int n)
{
    struct ls_port *p = opaque;
    chr_receive(p->twin[0], buf, n);
    chr_receive(p->twin[1], buf, n);
}

static void port_event(void *opaque, enum chr_event ev)
{
    struct ls_port *p = opaque;
    for (unsigned i = 0; i < LS_MACHINES; i++) chr_event(p->twin[i], ev);
}

int lockstep_add_serial(struct lockstep *ls, unsigned n, struct chardev *real, struct error *e)
{
    struct ls_port *p = &ls->port[n];
    const struct opts none = { NULL, 0 };

    if (!real) return 0;
    p->ls = ls, p->real = real;
    for (unsigned i = 0; i < LS_MACHINES; i++) {
        char *id = mem_printf("lockstep%u-%u", n, i);
        p->twin[i] = chr_add(real->set, id, &twin_ops, &none, e);
        mem_free(id);
        if (!p->twin[i]) return -1;
        ls->twin[n][i] = (struct ls_twin){ p, i };
        p->twin[i]->data = &ls->twin[n][i];
        p->twin[i]->open = real->open;
    }
    const struct chr_frontend fe = { port_can_receive, port_receive, port_event, p };
    return chr_attach(real, &fe, e);
}

/* ---- memory ---- */

/* The signal handler's only way to what runs. */
static struct lockstep *volatile tracked;

static bool page_written(struct lockstep *ls, const uint8_t *at)
{
    for (unsigned i = 0; i < ls->n_mem; i++) {
        struct ls_memory *r = &ls->mem[i];
        for (unsigned k = 0; k < LS_MACHINES; k++) {
            if (!r->p[k] || at < r->p[k] || at >= r->p[k] + r->size) continue;
            size_t n = (size_t)(at - r->p[k]) / ls->page;
            mprotect(r->p[k] + n * ls->page, ls->page, PROT_READ | PROT_WRITE);
            if (!r->dirty[k][n]) {
                r->dirty[k][n] = 1;
                r->list[k][r->n[k]++] = (uint32_t)n;
            }
            return true;
        }
    }
    return false;
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
    (void)context;
    if (!tracked || !page_written(tracked, info->si_addr)) signal(sig, SIG_DFL); /* not ours: happens again, and ends */
}

static void track(struct lockstep *ls)
{
    struct sigaction sa;
    tracked = ls;
    memset(&sa, 0, sizeof sa);
    sa.sa_sigaction = on_fault;
    sa.sa_flags = SA_SIGINFO;
    sigemptyset(&sa.sa_mask);
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
}

static bool all_zero(const uint8_t *p, size_t n) { return !*p && !memcmp(p, p + 1, n - 1); }

/* Finds the memories of machine k; with k == 0 the copies are made. */
static int add_memories(struct lockstep *ls, unsigned k, struct error *e)
{
    unsigned n = 0;
    for (struct region *r = NULL; (r = as_ram_next(ls->m[k]->mb->mem, r)); n++) {
        if (n == LS_MEMORIES) return error_set(e, "-lockstep: the machine has more than %d memories", LS_MEMORIES);
        struct ls_memory *s = &ls->mem[n];
        size_t size = ALIGN_UP((size_t)region_size(r), ls->page), pages = size / ls->page;
        s->p[k] = region_ram(r);
        s->dirty[k] = NEW_ARRAY(uint8_t, pages);
        s->list[k] = NEW_ARRAY(uint32_t, pages);
        s->n[k] = 0;
        if (!k) {
            s->name = region_name(r);
            s->size = size;
            void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (p == MAP_FAILED) return error_set(e, "-lockstep: no memory for a copy of the guest's: %s", strerror(errno));
            s->equal = p;
            ls->n_mem = n + 1;
        }
    }
    return 0;
}

/* All of machine 0's memory becomes the copy. */
static void copy_all(struct lockstep *ls)
{
    for (unsigned i = 0; i < ls->n_mem; i++) {
        struct ls_memory *r = &ls->mem[i];
        for (size_t at = 0; at < r->size; at += ls->page) {
            if (!all_zero(r->p[0] + at, ls->page) || !all_zero(r->equal + at, ls->page)) memcpy(r->equal + at, r->p[0] + at, ls->page);
        }
    }
}

static void protect_all(struct lockstep *ls, unsigned k)
{
    for (unsigned i = 0; i < ls->n_mem; i++) mprotect(ls->mem[i].p[k], ls->mem[i].size, PROT_READ);
}

/* ---- comparing and going back ---- */
static bool same_pages(struct lockstep *ls, unsigned k)
{
    for (unsigned i = 0; i < ls->n_mem; i++) {
        struct ls_memory *r = &ls->mem[i];
        const unsigned of[2] = { 0, k };
        for (unsigned w = 0; w < 2; w++) {
            for (uint32_t n = 0; n < r->n[of[w]]; n++) {
                size_t at = r->list[of[w]][n] * ls->page;
                if (memcmp(r->p[0] + at, r->p[k] + at, ls->page)) return false;
            }
        }
    }
    return true;
}

bool ls_equal(struct lockstep *ls, unsigned k)
{
    struct machine *a = ls->m[0], *b = ls->m[k];
    return machine_time(a) == machine_time(b) && a->state == b->state && atomic_load(&a->events) == atomic_load(&b->events) &&
           machine_hash_but_ram(a) == machine_hash_but_ram(b) && same_pages(ls, k);
}

/* They are equal: this is where they go back to. */
static int mark(struct lockstep *ls, struct error *e)
{
    for (unsigned i = 0; i < ls->n_mem; i++) {
        struct ls_memory *r = &ls->mem[i];
        for (unsigned k = 0; k < 2; k++) {
            for (uint32_t n = 0; n < r->n[k]; n++) {
                size_t at = r->list[k][n] * ls->page;
                if (!k || !r->dirty[0][r->list[k][n]]) memcpy(r->equal + at, r->p[k] + at, ls->page);
            }
        }
        for (unsigned k = 0; k < 2; k++) {
            for (uint32_t n = 0; n < r->n[k]; n++) {
                r->dirty[k][r->list[k][n]] = 0;
                mprotect(r->p[k] + r->list[k][n] * ls->page, ls->page, PROT_READ);
            }
            r->n[k] = 0;
        }
    }
    ls->equal.len = ls->equal.pos = 0;
    return machine_save_but_ram(ls->m[0], &ls->equal, e);
}

static int restore(struct lockstep *ls, unsigned k, struct error *e)
{
    struct machine *m = ls->m[k];
    for (unsigned i = 0; i < ls->n_mem; i++) {
        struct ls_memory *r = &ls->mem[i];
        for (uint32_t n = 0; n < r->n[k]; n++) {
            size_t at = r->list[k][n] * ls->page;
            if (!memcmp(r->p[k] + at, r->equal + at, ls->page)) continue;
            memcpy(r->p[k] + at, r->equal + at, ls->page);
            engine_code_written(m->engine, r->p[k] + at, ls->page);
        }
    }
    atomic_store(&m->events, 0);
    if (m->state != MACHINE_RUNNING) machine_set_state(m, MACHINE_RUNNING);
    struct state_buf b = ls->equal;
    b.pos = 0;
    return machine_load_but_ram(m, &b, e);
}

bool ls_probe(struct lockstep *ls, unsigned k, uint64_t n, struct error *e)
{
    if (restore(ls, k, e)) return false;
    machine_step(ls->m[k], n);
    return true;
}

bool ls_differs(struct lockstep *ls, unsigned k, uint64_t n, struct error *e)
{
    return ls_probe(ls, 0, n, e) && ls_probe(ls, k, n, e) && !ls_equal(ls, k);
}

bool ls_make_third(struct lockstep *ls, struct error *e)
{
    struct machine_config c = ls->machine_cfg;

    c.engine = ls->cfg.engine[1];
    c.engine.max_block = 1;
    c.engine.chaos = 0;
    if (c.engine.backend) c.engine.threshold = 1, c.engine.threshold2 = 2;
    c.drives = ls->second_drives;
    for (unsigned i = 0; i < MACHINE_MAX_SERIAL; i++) c.serial[i] = ls->port[i].twin[2];
    ls->m[2] = machine_new(&c, e);
    if (!ls->m[2] || add_memories(ls, 2, e)) return false;
    ls->m[2]->no_reboot = ls->m[0]->no_reboot;
    ls->m[2]->no_shutdown = ls->m[0]->no_shutdown;
    machine_set_state(ls->m[2], MACHINE_RUNNING);
    for (unsigned i = 0; i < ls->n_mem; i++) {
        struct ls_memory *r = &ls->mem[i];
        for (size_t at = 0; at < r->size; at += ls->page) {
            if (!all_zero(r->p[2] + at, ls->page) || !all_zero(r->equal + at, ls->page)) memcpy(r->p[2] + at, r->equal + at, ls->page);
        }
    }
    engine_flush(ls->m[2]->engine);
    protect_all(ls, 2);
    return true;
}

/* ---- life ---- */
struct lockstep *lockstep_new(const struct lockstep_config *c, struct error *e)
{
    struct lockstep *ls = NEW(struct lockstep);
    long page = sysconf(_SC_PAGESIZE);
    (void)e;
    ls->cfg = *c;
    ls->cfg.write = c->write ? mem_strdup(c->write) : NULL;
    ls->cfg.replay = c->replay ? mem_strdup(c->replay) : NULL;
    ls->page = (size_t)MAX(page, 4096L);
    return ls;
}

struct machine *lockstep_machines(struct lockstep *ls, const struct machine_config *cfg, struct drive_config *second, struct error *e)
{
    ls->machine_cfg = *cfg;
    ls->second_drives = second;
    for (unsigned k = 0; k < 2; k++) {
        struct machine_config c = *cfg;
        c.engine = ls->cfg.engine[k];
        if (k) c.drives = second;
        for (unsigned i = 0; i < MACHINE_MAX_SERIAL; i++) c.serial[i] = ls->port[i].twin[k];
        ls->m[k] = machine_new(&c, e);
        if (!ls->m[k]) return NULL;
    }
    return ls->m[0];
}

void lockstep_delete(struct lockstep *ls)
{
    if (!ls) return;
    if (tracked == ls) {
        tracked = NULL;
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
    }
    for (unsigned i = 0; i < ls->n_mem; i++) {
        for (unsigned k = 0; k < LS_MACHINES; k++) {
            if (ls->mem[i].p[k]) mprotect(ls->mem[i].p[k], ls->mem[i].size, PROT_READ | PROT_WRITE);
            mem_free(ls->mem[i].dirty[k]);
            mem_free(ls->mem[i].list[k]);
        }
        munmap(ls->mem[i].equal, ls->mem[i].size);
    }
    for (unsigned k = LS_MACHINES; k-- > 0;) machine_delete(ls->m[k]);
    for (unsigned i = 0; i < MACHINE_MAX_SERIAL; i++) {
        if (ls->port[i].real && ls->port[i].twin[2]) chr_detach(ls->port[i].real, &ls->port[i]);
    }
    state_buf_free(&ls->equal);
    lockstep_config_free(&ls->cfg);
    mem_free(ls);
}

/* ---- running ---- */
static int begin(struct lockstep *ls, struct error *e)
{
    if (add_memories(ls, 0, e) || add_memories(ls, 1, e)) return -1;
    ls->m[1]->no_reboot = ls->m[0]->no_reboot;
    ls->m[1]->no_shutdown = ls->m[0]->no_shutdown;
    track(ls);
    copy_all(ls);
    for (unsigned k = 0; k < 2; k++) {
        machine_set_state(ls->m[k], MACHINE_RUNNING);
        protect_all(ls, k);
    }
    return mark(ls, e);
}

static void poll_host(struct lockstep *ls)
{
    struct machine *m = ls->m[0];
    for (unsigned i = 0; i < MACHINE_MAX_SERIAL; i++) {
        struct ls_port *p = &ls->port[i];
        if (!p->wanted) continue;
        p->wanted = false;
        chr_accept_input(p->real);
    }
    if (m->host_poll) m->host_poll(m->host_poll_opaque, 0);
}

/* The file: lines of text, an empty one, and a saved machine. */
static int begin_replay(struct lockstep *ls, uint64_t *length, struct error *e)
{
    FILE *f = fopen(ls->cfg.replay, "rb");
    char line[256];
    bool ok = f && fgets(line, sizeof line, f) && !strcmp(line, "QUERN LOCKSTEP 1\n");
    struct state_buf b = { 0 };
    static const size_t block = 65536;
    int rc = 0;

    if (!f) return error_set(e, "%s: %s", ls->cfg.replay, strerror(errno));
    *length = 0;
    while (ok && fgets(line, sizeof line, f) && *line != '\n') {
        if (sscanf(line, "after %" SCNu64, &ls->done) == 1) continue;
        if (sscanf(line, "length %" SCNu64, length) == 1) continue;
    }
    if (!ok || !*length) rc = error_set(e, "%s: not a file that -lockstep has written", ls->cfg.replay);
    uint8_t *buf = mem_alloc(block);
    for (size_t n; !rc && (n = fread(buf, 1, block, f));) state_put(&b, buf, n);
    mem_free(buf);
    fclose(f);
    for (unsigned k = 0; k < 2 && !rc; k++) {
        b.pos = 0;
        rc = machine_load(ls->m[k], &b, e);
    }
    state_buf_free(&b);
    return rc ? rc : begin(ls, e);
}

static int replay(struct lockstep *ls, struct error *e)
{
    uint64_t length;
    if (begin_replay(ls, &length, e)) return -1;
    ls->quiet = true;
    /* The same code again and again becomes hot, as it was. */
    for (unsigned i = 0; i < 64; i++) {
        if (ls_differs(ls, 1, length, e)) return ls_report(ls, length, e) ? -1 : 1;
        if (e->set) return -1;
    }
    if (!ls_make_third(ls, e)) return -1;
    for (unsigned i = 0; i < 4; i++) {
        if (ls_differs(ls, 2, length, e)) return ls_report(ls, length, e) ? -1 : 1;
    }
    error_report("lockstep: %s and %s are equal for the %" PRIu64 " instructions of %s", ls->cfg.name[0], ls->cfg.name[1], length, ls->cfg.replay);
    return 0;
}

int lockstep_run(struct lockstep *ls, struct error *e)
{
    if (ls->cfg.replay) return replay(ls, e);
    if (begin(ls, e)) return -1;
    const char *why = "the guest ended";
    for (;;) {
        poll_host(ls);
        if (atomic_load(&ls->m[0]->events) & MACHINE_QUIT) {
            why = "ended from outside";
            break;
        }
        if (ls->cfg.limit && ls->done >= ls->cfg.limit) {
            why = "the limit is reached";
            break;
        }
        uint64_t n = ls->cfg.every;
        if (ls->cfg.limit) n = MIN(n, ls->cfg.limit - ls->done);
        machine_step(ls->m[0], n);
        machine_step(ls->m[1], n);
        bool quit[2];
        for (unsigned k = 0; k < 2; k++) quit[k] = atomic_load(&ls->m[k]->events) & MACHINE_QUIT;
        if (quit[0] && !quit[1] && !ls->m[0]->mb->exit_code) { /* a signal came: the first machine may have stopped at any place */
            why = "ended from outside";
            break;
        }
        if (!ls_equal(ls, 1)) return ls_report(ls, n, e) ? -1 : 1;
        ls->done += n;
        if (mark(ls, e)) return -1;
        if (atomic_load(&ls->m[0]->events) & MACHINE_QUIT && !quit[0]) continue; /* came since */
        if (atomic_load(&ls->m[0]->events) & (MACHINE_POWEROFF | MACHINE_QUIT) || ls->m[0]->state != MACHINE_RUNNING) break;
    }
    error_report("lockstep: %s and %s are equal after %" PRIu64 " instructions of guest time (%s)", ls->cfg.name[0], ls->cfg.name[1], ls->done, why);
    return 0;
}
