/*
 * mux.c - one backend, up to four front ends: the guest's console and the monitor on one terminal.
 *
 * Input goes to the front end in focus; output of all is passed on. The escape character (Ctrl-A unless
 * -echr) followed by a letter is a command to the mux itself.
 */
#include "chardev/backend.h"

#include <stdio.h>
#include <time.h>

enum { MUX_MAX = 4, MUX_HELD = 64 };

struct mux {
    struct chardev *c, *lower;
    struct chr_frontend fe[MUX_MAX];
    unsigned n, focus;
    bool escape;              /* the last byte was the escape character */
    uint8_t held[MUX_MAX][MUX_HELD]; /* input a front end had no room for */
    unsigned n_held[MUX_MAX];
    bool stamps, line_start;  /* C-a t */
    uint64_t t0;
};

static struct mux *mux_of(struct chardev *c) { return c->data; }

static void tell(struct mux *m, unsigned i, enum chr_event ev)
{
    if (i < m->n && m->fe[i].event) m->fe[i].event(m->fe[i].opaque, ev);
}

static void print(struct mux *m, const char *s)
{
    chr_write_all(m->lower, m, (const uint8_t *)s, (int)strlen(s));
}

/* Gives a front end what was held back for it, as far as it has room. */
static void deliver(struct mux *m, unsigned i)
{
    struct chr_frontend *fe = &m->fe[i];

    while (i < m->n && m->n_held[i]) {
        int room = fe->can_receive ? fe->can_receive(fe->opaque) : 0;
        uint8_t buf[MUX_HELD];
        unsigned k = (unsigned)MAX(room, 0);

        if (!k) return;
        k = MIN(k, m->n_held[i]);
        memcpy(buf, m->held[i], k);
        m->n_held[i] -= k;
        memmove(m->held[i], m->held[i] + k, m->n_held[i]);
        fe->receive(fe->opaque, buf, (int)k);
    }
}

static void help(struct mux *m)
{
    uint8_t esc = chr_set_get_escape(m->c->set);
    char name[16], line[128];
    static const struct { const char *key, *text; } keys[] = {
        { "h", "print this help" },
        { "x", "exit the emulator" },
        { "s", "save disk data back to file (if -snapshot)" },
        { "t", "toggle console timestamps" },
        { "b", "send break (magic SysRq)" },
        { "c", "switch between console and monitor" },
    };

    if (esc < 27) snprintf(name, sizeof name, "C-%c", esc + 'a' - 1);
    else snprintf(name, sizeof name, "0x%02x", esc);
    print(m, "\r\n");
    for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
        snprintf(line, sizeof line, "%s %-4s %s\r\n", name, keys[i].key, keys[i].text);
        print(m, line);
    }
    snprintf(line, sizeof line, "%s %-4s sends %s\r\n", name, name, name);
    print(m, line);
}

void chr_mux_focus(struct chardev *c, unsigned n)
{
    struct mux *m = mux_of(c);

    if (n >= m->n) return;
    if (m->focus != n && chr_set_started(c->set)) tell(m, m->focus, CHR_MUX_OUT);
    m->focus = n;
    if (chr_set_started(c->set)) tell(m, n, CHR_MUX_IN);
    deliver(m, n);
}

static void command(struct mux *m, uint8_t ch)
{
    switch (ch) {
    case 'h': case '?': help(m); break;
    case 'x': chr_set_act(m->c->set, 'x'); break;
    case 's': chr_set_act(m->c->set, 's'); break;
    case 't':
        m->stamps = !m->stamps;
        m->line_start = false;
        m->t0 = loop_now_ns();
        break;
    case 'b': tell(m, m->focus, CHR_BREAK); break;
    case 'c':
        if (m->n) chr_mux_focus(m->c, (m->focus + 1) % m->n);
        break;
    }
}

static int mux_can_receive(void *opaque)
{
    struct mux *m = opaque;

    if (!m->n) return 0;
    deliver(m, m->focus);
    /* With nothing held there is always room for a few bytes, so that escapes work while the guest does not
     * read. What the guest does not take waits in held[]. */
    return (int)(MUX_HELD - m->n_held[m->focus]);
}

static void mux_receive(void *opaque, const uint8_t *buf, int n)
{
    struct mux *m = opaque;
    uint8_t esc = chr_set_get_escape(m->c->set);

    for (int i = 0; i < n; i++) {
        if (m->escape) {
            m->escape = false;
            if (buf[i] != esc) {
                deliver(m, m->focus); /* what was typed before a change of focus */
                command(m, buf[i]);
                continue;
            }
        } else if (esc && buf[i] == esc) {
            m->escape = true;
            continue;
        }
        /* The focus may have moved within this input to one that is full: its excess is dropped. */
        if (m->n_held[m->focus] == MUX_HELD) deliver(m, m->focus);
        if (m->n_held[m->focus] < MUX_HELD) m->held[m->focus][m->n_held[m->focus]++] = buf[i];
    }
    deliver(m, m->focus);
}

static void mux_event(void *opaque, enum chr_event ev)
{
    struct mux *m = opaque;

    if (ev == CHR_OPENED) m->c->open = true;
    if (ev == CHR_CLOSED) m->c->open = false;
    if (ev == CHR_BREAK) tell(m, m->focus, ev);
    else
        for (unsigned i = 0; i < m->n; i++) tell(m, i, ev);
}

static void mux_accept(struct chardev *c)
{
    struct mux *m = mux_of(c);
    deliver(m, m->focus);
    chr_accept_input(m->lower);
}

int chr_mux_attach(struct chardev *c, const struct chr_frontend *fe, struct error *e)
{
    struct mux *m = mux_of(c);

    if (m->n == MUX_MAX) return error_set(e, "chardev '%s' already has %d front ends", c->id, MUX_MAX);
    m->fe[m->n++] = *fe;
    c->has_fe = true;
    if (c->open) tell(m, m->n - 1, CHR_OPENED);
    chr_mux_focus(c, m->n - 1);
    chr_accept_input(m->lower);
    return 0;
}

void chr_mux_detach(struct chardev *c, void *opaque)
{
    struct mux *m = mux_of(c);
    unsigned i = 0;

    while (i < m->n && m->fe[i].opaque != opaque) i++;
    if (i == m->n) return;
    m->n--;
    for (; i < m->n; i++) {
        m->fe[i] = m->fe[i + 1];
        memcpy(m->held[i], m->held[i + 1], m->n_held[i + 1]);
        m->n_held[i] = m->n_held[i + 1];
    }
    m->n_held[m->n] = 0;
    c->has_fe = m->n > 0;
    m->focus = 0;
    chr_mux_focus(c, 0);
}

int chr_mux_write(struct chardev *c, void *opaque, const uint8_t *buf, int n)
{
    struct mux *m = mux_of(c);

    if (!m->stamps) return chr_write(m->lower, m, buf, n);
    for (int i = 0; i < n; i++) {
        if (m->line_start) {
            uint64_t ms = (loop_now_ns() - m->t0) / 1000000;
            char s[40];
            snprintf(s, sizeof s, "[%02u:%02u:%02u.%03u] ", (unsigned)(ms / 3600000),
                     (unsigned)(ms / 60000 % 60), (unsigned)(ms / 1000 % 60), (unsigned)(ms % 1000));
            print(m, s);
            m->line_start = false;
        }
        chr_write_all(m->lower, m, buf + i, 1);
        m->line_start = buf[i] == '\n';
    }
    return n;
}

static void mux_close(struct chardev *c)
{
    struct mux *m = mux_of(c);
    m->lower->mux = NULL;
    chr_detach(m->lower, m);
    mem_free(m);
}

static void mux_describe(const struct chardev *c, char *buf, size_t size)
{
    const struct mux *m = c->data;
    chr_describe(m->lower, buf, size);
}

static int mux_out_fd(const struct chardev *c)
{
    const struct mux *m = c->data;
    return m->lower->ops->out_fd ? m->lower->ops->out_fd(m->lower) : -1;
}

const struct chr_ops chr_mux = {
    .name = "mux", .help = "several front ends on one backend", .close = mux_close,
    .accept_input = mux_accept, .describe = mux_describe, .out_fd = mux_out_fd,
};

struct chardev *chr_mux_over(struct chr_set *s, const char *id, struct chardev *lower, struct error *e)
{
    struct opts none = { NULL, 0 };
    struct chardev *c = chr_add(s, id, &chr_mux, &none, e);
    struct chr_frontend fe = { mux_can_receive, mux_receive, mux_event, NULL };
    struct mux *m;

    if (!c) return NULL;
    c->data = m = NEW(struct mux);
    m->c = c, m->lower = lower;
    m->line_start = true;
    fe.opaque = m;
    lower->mux = c;
    if (chr_attach(lower, &fe, e)) {
        chr_remove(s, id, NULL);
        return NULL;
    }
    return c;
}
