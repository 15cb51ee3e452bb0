/*
 * chardev.c - character backends in common: front ends, the set of backends, -chardev and device strings.
 *
 * What each backend does is in its own file (fd.c, stdio.c, socket.c, mux.c). See chardev.h, backend.h.
 */
#include "chardev/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

struct chr_set {
    struct loop *loop;
    struct chardev *first;
    uint8_t escape;
    bool started;                  /* chr_focus_first was called: changes of focus are told */
    void (*quit)(void *), (*commit)(void *);
    void *opaque;
};

static const struct chr_ops *const backends[] = {
    &chr_null, &chr_socket, &chr_udp, &chr_ringbuf, &chr_file, &chr_pipe, &chr_pty, &chr_stdio,
    &chr_serial,
};

static const struct opt_desc common_opts[] = {
    { "backend", OPT_STRING, "kind of backend" },
    { "id", OPT_STRING, "name of the backend" },
    { "mux", OPT_BOOL, "up to four front ends share the backend" },
    { "logfile", OPT_STRING, "file that gets a copy of all output" },
    { "logappend", OPT_BOOL, "keep what the log file holds" },
    { NULL, OPT_STRING, NULL },
};

/* ---- front ends ------------------------------------------------------------------------------- */

int chr_attach(struct chardev *c, const struct chr_frontend *fe, struct error *e)
{
    if (c->ops == &chr_mux) return chr_mux_attach(c, fe, e);
    if (c->has_fe) return error_set(e, "chardev '%s' is already in use", c->id);
    c->fe = *fe;
    c->has_fe = true;
    if (c->ops->attached) c->ops->attached(c, true);
    if (c->open && fe->event) fe->event(fe->opaque, CHR_OPENED);
    return 0;
}

void chr_detach(struct chardev *c, void *opaque)
{
    if (c->ops == &chr_mux) {
        chr_mux_detach(c, opaque);
    } else if (c->has_fe && c->fe.opaque == opaque) {
        c->has_fe = false;
        if (c->ops->attached) c->ops->attached(c, false);
    }
}

static void log_output(struct chardev *c, const uint8_t *buf, int n)
{
    while (c->log_fd >= 0 && n > 0) {
        ssize_t k = write(c->log_fd, buf, (size_t)n);
        if (k <= 0) return;
        buf += k, n -= (int)k;
    }
}

static int write_some(struct chardev *c, void *opaque, const uint8_t *buf, int n)
{
    int k;

    if (c->ops == &chr_mux) return chr_mux_write(c, opaque, buf, n);
    k = c->ops->write ? c->ops->write(c, buf, n) : n;
    if (k < 0) k = n;
    log_output(c, buf, k);
    return k;
}

int chr_write(struct chardev *c, void *opaque, const uint8_t *buf, int n)
{
    return n > 0 ? write_some(c, opaque, buf, n) : 0;
}

void chr_write_all(struct chardev *c, void *opaque, const uint8_t *buf, int n)
{
    while (n > 0) {
        int k = write_some(c, opaque, buf, n);
        struct pollfd p = { .fd = -1, .events = POLLOUT };

        buf += k, n -= k;
        if (k) continue;
        /* Full. Wait for the reader, but not past an order to end: a stopped terminal must not keep the
         * program from ending. */
        if (loop_interrupted(c->set->loop)) return;
        if (c->ops->out_fd) p.fd = c->ops->out_fd(c);
        poll(&p, p.fd >= 0, 100);
    }
}

void chr_accept_input(struct chardev *c)
{
    if (c->ops->accept_input) c->ops->accept_input(c);
}

void chr_send_break(struct chardev *c) { chr_event(c, CHR_BREAK); }
const char *chr_id(const struct chardev *c) { return c->id; }
bool chr_is_mux(const struct chardev *c) { return c->ops == &chr_mux; }

int chr_can_receive(struct chardev *c)
{
    int n = c->has_fe && c->fe.can_receive ? c->fe.can_receive(c->fe.opaque) : 0;
    return MAX(n, 0);
}

void chr_receive(struct chardev *c, const uint8_t *buf, int n)
{
    if (c->has_fe && c->fe.receive && n > 0) c->fe.receive(c->fe.opaque, buf, n);
}

void chr_event(struct chardev *c, enum chr_event ev)
{
    if (ev == CHR_OPENED) c->open = true;
    if (ev == CHR_CLOSED) c->open = false;
    if (c->has_fe && c->fe.event) c->fe.event(c->fe.opaque, ev);
}

struct loop *chr_loop(const struct chardev *c) { return c->set->loop; }

/* ---- the set ---------------------------------------------------------------------------------- */

struct chr_set *chr_set_new(struct loop *loop)
{
    struct chr_set *s = NEW(struct chr_set);
    s->loop = loop;
    s->escape = 1;
    return s;
}

static void chr_delete(struct chardev *c)
{
    if (c->ops->close) c->ops->close(c);
    if (c->log_fd >= 0) close(c->log_fd);
    mem_free(c->id);
    mem_free(c);
}

void chr_set_delete(struct chr_set *s)
{
    if (!s) return;
    /* A mux is registered after what it sits on, so the last goes first. */
    while (s->first) {
        struct chardev **p = &s->first;
        while ((*p)->next) p = &(*p)->next;
        chr_delete(*p);
        *p = NULL;
    }
    mem_free(s);
}

struct chardev *chr_find(struct chr_set *s, const char *id)
{
    struct chardev *c = s->first;
    while (c && strcmp(c->id, id)) c = c->next;
    return c;
}

struct chardev *chr_next(struct chr_set *s, struct chardev *c) { return c ? c->next : s->first; }

int chr_remove(struct chr_set *s, const char *id, struct error *e)
{
    struct chardev **p = &s->first, *c;

    while (*p && strcmp((*p)->id, id)) p = &(*p)->next;
    c = *p;
    if (!c) return error_set(e, "Chardev '%s' not found", id);
    if (c->has_fe || c->mux) return error_set(e, "Chardev '%s' is busy", id);
    *p = c->next;
    chr_delete(c);
    return 0;
}

void chr_describe(const struct chardev *c, char *buf, size_t size)
{
    if (c->ops->describe) c->ops->describe(c, buf, size);
    else snprintf(buf, size, "%s", c->ops->name);
}

void chr_list_backends(void (*put)(void *, const char *, const char *), void *opaque)
{
    for (unsigned i = 0; i < ARRAY_LEN(backends); i++) {
        put(opaque, backends[i]->name, backends[i]->help);
        if (backends[i]->alias) put(opaque, backends[i]->alias, backends[i]->help);
    }
}

void chr_set_escape(struct chr_set *s, uint8_t c) { s->escape = c; }
uint8_t chr_set_get_escape(const struct chr_set *s) { return s->escape; }

void chr_set_actions(struct chr_set *s, void (*quit)(void *), void (*commit)(void *), void *opaque)
{
    s->quit = quit, s->commit = commit, s->opaque = opaque;
}

void chr_set_act(struct chr_set *s, char what)
{
    if (what == 'x' && s->quit) s->quit(s->opaque);
    if (what == 's' && s->commit) s->commit(s->opaque);
}

bool chr_set_started(const struct chr_set *s) { return s->started; }

void chr_focus_first(struct chr_set *s)
{
    s->started = true;
    for (struct chardev *c = s->first; c; c = c->next) {
        if (c->ops == &chr_mux) chr_mux_focus(c, 0);
    }
}

int chr_wait_connected(struct chr_set *s, struct error *e)
{
    for (struct chardev *c = s->first; c; c = c->next) {
        if (c->ops->wait && c->ops->wait(c, e)) return -1;
    }
    return 0;
}

struct chardev *chr_add(struct chr_set *s, const char *id, const struct chr_ops *ops,
                        const struct opts *o, struct error *e)
{
    struct chardev *c, **p = &s->first;
    const char *log = opts_get(o, "logfile");

    if (strlen(id) > 127) {
        error_set(e, "chardev id '%.20s...' is longer than 127 characters", id);
        return NULL;
    }
    if (chr_find(s, id)) {
        error_set(e, "Duplicate ID '%s' for chardev", id);
        return NULL;
    }
    c = NEW(struct chardev);
    c->id = mem_strdup(id);
    c->ops = ops;
    c->set = s;
    c->log_fd = -1;
    if (log) {
        int how = opts_bool(o, "logappend", false) ? O_APPEND : O_TRUNC;
        c->log_fd = open(log, O_WRONLY | O_CREAT | how, 0666);
        if (c->log_fd < 0) error_set(e, "could not open '%s': %s", log, strerror(errno));
    }
    if ((log && c->log_fd < 0) || (ops->open && ops->open(c, o, e))) {
        error_prefix(e, "chardev '%s'", id);
        if (c->log_fd >= 0) close(c->log_fd);
        mem_free(c->id);
        mem_free(c);
        return NULL;
    }
    while (*p) p = &(*p)->next;
    *p = c;
    return c;
}

/* Makes a backend from parsed options, with a mux on top when asked for: the mux then has the id. */
static struct chardev *make(struct chr_set *s, const char *id, const struct chr_ops *ops,
                            const struct opts *o, bool mux, struct error *e)
{
    struct chardev *c, *m;
    char *lower;

    if (!mux) return chr_add(s, id, ops, o, e);
    lower = mem_printf("%s-base", id);
    c = chr_add(s, lower, ops, o, e);
    m = c ? chr_mux_over(s, id, c, e) : NULL;
    if (c && !m) chr_remove(s, lower, NULL);
    mem_free(lower);
    return m;
}

static const struct chr_ops *find_backend(const char *name, struct error *e)
{
    static const char *const later[] = { "vc", "msmouse", "braille", "parallel", "parport", "spicevmc",
                                         "spiceport", "wctablet", "testdev", "console" };

    for (unsigned i = 0; i < ARRAY_LEN(backends); i++) {
        const struct chr_ops *b = backends[i];
        if (!strcmp(b->name, name) || (b->alias && !strcmp(b->alias, name))) return b;
    }
    for (unsigned i = 0; i < ARRAY_LEN(later); i++) {
        if (!strcmp(later[i], name)) {
            error_set(e, "chardev backend '%s' is not supported yet", name);
            return NULL;
        }
    }
    error_set(e, "'%s' is not a valid char driver name", name);
    return NULL;
}

struct chardev *chr_new_opts(struct chr_set *s, const char *optstring, struct error *e)
{
    struct opts o;
    struct opt_desc desc[32];
    const struct chr_ops *ops;
    struct chardev *c = NULL;
    const char *id;
    unsigned n = 0;
    size_t first = strcspn(optstring, ",=");
    char *name;

    /* The backend's name decides which keys there are, so it is looked at first. */
    if (optstring[first] == '=' && first == 7 && !strncmp(optstring, "backend", 7)) optstring += 8;
    name = mem_printf("%.*s", (int)strcspn(optstring, ","), optstring);
    ops = find_backend(name, e);
    mem_free(name);
    if (!ops) return NULL;
    for (unsigned i = 0; common_opts[i].name; i++) desc[n++] = common_opts[i];
    for (unsigned i = 0; ops->opts && ops->opts[i].name && n < ARRAY_LEN(desc) - 1; i++) {
        desc[n++] = ops->opts[i];
    }
    desc[n] = (struct opt_desc){ NULL, OPT_STRING, NULL };
    if (opts_parse(&o, optstring, "backend", desc, e)) {
        error_prefix(e, "-chardev %s", optstring);
        return NULL;
    }
    id = opts_get(&o, "id");
    if (!id) error_set(e, "-chardev %s: no id specified", optstring);
    else c = make(s, id, ops, &o, opts_bool(&o, "mux", false), e);
    opts_free(&o);
    return c;
}

/* ---- device strings --------------------------------------------------------------------------- */

/* "host:port,opt,opt" and "path,opt,opt": fills host/port or path; the rest are options of the backend. */
static int address(struct opts *o, const struct chr_ops *ops, const char *what, const char *s,
                   bool is_path, struct error *e)
{
    const char *comma = strchr(s, ',');
    size_t n = comma ? (size_t)(comma - s) : strlen(s);
    char *head = mem_printf("%.*s", (int)n, s), *colon;
    struct error sub = ERROR_INIT;

    if (opts_parse(o, comma ? comma + 1 : "", NULL, ops->opts, &sub)) {
        error_set(e, "%s%s: %s", what, s, sub.msg);
        mem_free(head);
        return -1;
    }
    if (is_path) {
        opts_set(o, "path", head);
    } else {
        colon = strrchr(head, ':');
        if (!colon || !colon[1]) {
            error_set(e, "%s%s: expected HOST:PORT", what, s);
            opts_free(o);
            mem_free(head);
            return -1;
        }
        *colon = 0;
        /* [::1]:port */
        if (*head == '[' && colon > head + 1 && colon[-1] == ']') {
            colon[-1] = 0;
            opts_set(o, "host", head + 1);
        } else if (*head) {
            opts_set(o, "host", head);
        }
        opts_set(o, "port", colon + 1);
    }
    mem_free(head);
    return 0;
}

/* udp:[rhost]:rport[@[src_ip]:src_port] */
static int udp_address(struct opts *o, const char *s, struct error *e)
{
    const char *at = strchr(s, '@');
    char *remote = mem_printf("%.*s", (int)(at ? (size_t)(at - s) : strlen(s)), s);
    int rc = address(o, &chr_udp, "udp:", remote, false, e);

    mem_free(remote);
    if (!rc && at) {
        const char *colon = strrchr(at, ':');
        if (!colon || !colon[1]) {
            opts_free(o);
            return error_set(e, "udp:%s: expected [ADDRESS]:PORT after '@'", s);
        }
        if (colon > at + 1) {
            char *local = mem_printf("%.*s", (int)(colon - at - 1), at + 1);
            opts_set(o, "localaddr", local);
            mem_free(local);
        }
        opts_set(o, "localport", colon + 1);
    }
    return rc;
}

/* Whether s begins with prefix; *rest is what follows. */
static bool starts(const char *s, const char *prefix, const char **rest)
{
    size_t n = strlen(prefix);
    if (strncmp(s, prefix, n)) return false;
    *rest = s + n;
    return true;
}

/* The backend and options of a device string without "mon:". */
static const struct chr_ops *parse_string(const char *s, struct opts *o, struct error *e)
{
    const char *rest;

    o->v = NULL, o->n = 0;
    if (!strcmp(s, "null")) return &chr_null;
    if (!strcmp(s, "stdio")) return &chr_stdio;
    if (!strcmp(s, "pty")) return &chr_pty;
    if (!strcmp(s, "ringbuf") || !strcmp(s, "memory")) return &chr_ringbuf;
    if (starts(s, "stdio,", &rest)) return opts_parse(o, rest, NULL, chr_stdio.opts, e) ? NULL : &chr_stdio;
    if (starts(s, "file:", &rest)) return opts_set(o, "path", rest), &chr_file;
    if (starts(s, "pipe:", &rest)) return opts_set(o, "path", rest), &chr_pipe;
    if (starts(s, "unix:", &rest)) return address(o, &chr_socket, "unix:", rest, true, e) ? NULL : &chr_socket;
    if (starts(s, "tcp:", &rest)) return address(o, &chr_socket, "tcp:", rest, false, e) ? NULL : &chr_socket;
    if (starts(s, "telnet:", &rest)) {
        if (address(o, &chr_socket, "telnet:", rest, false, e)) return NULL;
        opts_set(o, "telnet", "on");
        return &chr_socket;
    }
    if (starts(s, "udp:", &rest)) return udp_address(o, rest, e) ? NULL : &chr_udp;
    if (!strncmp(s, "/dev/", 5) && strncmp(s, "/dev/parport", 12)) {
        opts_set(o, "path", s);
        return &chr_serial;
    }
    {
        char *name = mem_printf("%.*s", (int)strcspn(s, ":,"), s);
        /* Known to -chardev only, known for later, or nonsense: find_backend tells. */
        if (find_backend(name, e)) error_set(e, "device string '%s' is not valid", s);
        mem_free(name);
    }
    return NULL;
}

int chr_new_string(struct chr_set *s, const char *id, const char *str, struct chardev **out,
                   bool *monitor, struct error *e)
{
    const char *rest;
    bool mon = starts(str, "mon:", &rest);
    const struct chr_ops *ops;
    struct opts o;

    *out = NULL;
    if (monitor) *monitor = mon;
    else if (mon) return error_set(e, "'%s': a monitor cannot be on this device", str);
    if (mon) str = rest;
    if (!strcmp(str, "none")) return 0;
    if (starts(str, "chardev:", &rest)) {
        *out = chr_find(s, rest);
        if (!*out) return error_set(e, "chardev '%s' not found", rest);
        if (mon && !chr_is_mux(*out)) return error_set(e, "'mon:%s': the chardev needs mux=on", str);
        return 0;
    }
    ops = parse_string(str, &o, e);
    if (!ops) return -1;
    /* A mux takes ^C for the guest. */
    if (mon && ops == &chr_stdio && !opts_get(&o, "signal")) opts_set(&o, "signal", "off");
    *out = make(s, id, ops, &o, mon, e);
    opts_free(&o);
    return *out ? 0 : -1;
}
