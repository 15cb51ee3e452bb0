/*
 * gdb.c - the protocol engine of the gdb stub: packets in and out, registers, memory, breakpoints, threads, target
 * description. It knows the debuggee through struct gdb_target only (see gdb.h).
 */
#include "mon/gdb.h"

#include <stdio.h>

enum { PACKET_MAX = 0x1000, MAX_REGS = 512 };
enum parse_state { IN_IDLE, IN_DATA, IN_SUM1, IN_SUM2 };

struct gdb_bp { enum gdb_break kind; uint64_t addr, len; };

struct gdb_stub {
    struct gdb_target t;
    void (*send)(void *, const uint8_t *, int);
    void *opaque;

    enum parse_state state;
    uint8_t in[PACKET_MAX + 1];
    unsigned in_len;
    uint8_t in_sum, sum_given;
    uint8_t *out;                  /* the last packet sent, for a '-' */
    size_t out_len;
    bool no_ack, ack_off_next;

    bool awaiting;                 /* a stop is to be reported */
    struct gdb_stop last;
    unsigned g_thread, c_thread;   /* Hg, Hc; never 0 */
    unsigned list_next;            /* qsThreadInfo */
    unsigned sstep;
    int resume_signal;
    struct gdb_bp *bps;
    unsigned n_bps;

    const struct isa_reg *regs[MAX_REGS]; /* by gdb's number; NULL: a gap */
    unsigned n_regs;
    char *xml;
};

/* ---- text ------------------------------------------------------------------------------------- */

struct text { char *s; size_t n, size; };

static void text_add(struct text *t, const void *s, size_t n)
{
    if (t->n + n + 1 > t->size) {
        t->size = (t->n + n + 1) * 2;
        t->s = mem_realloc(t->s, t->size);
    }
    memcpy(t->s + t->n, s, n);
    t->n += n;
    t->s[t->n] = 0;
}

static void text_str(struct text *t, const char *s) { text_add(t, s, strlen(s)); }

static void text_hex(struct text *t, const uint8_t *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        char c[2] = { digits[p[i] >> 4], digits[p[i] & 15] };
        text_add(t, c, 2);
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static const char *read_hex(const char *p, uint64_t *v)
{
    *v = 0;
    for (; hex_digit(*p) >= 0; p++) *v = *v << 4 | (uint64_t)hex_digit(*p);
    return p;
}

/* Bytes of hexadecimal text; the number of bytes, at most max. */
static size_t read_hex_bytes(const char *p, uint8_t *out, size_t max)
{
    size_t n = 0;
    for (; n < max && hex_digit(p[0]) >= 0 && hex_digit(p[1]) >= 0; p += 2) {
        out[n++] = (uint8_t)(hex_digit(p[0]) << 4 | hex_digit(p[1]));
    }
    return n;
}

/* ---- packets out -------------------------------------------------------------------------------- */

static void put_packet(struct gdb_stub *g, const void *data, size_t n)
{
    const uint8_t *p = data;
    uint8_t sum = 0;
    char tail[4];

    for (size_t i = 0; i < n; i++) sum = (uint8_t)(sum + p[i]);
    g->out = mem_realloc(g->out, n + 4);
    g->out[0] = '$';
    if (n) memcpy(g->out + 1, data, n);
    snprintf(tail, sizeof tail, "#%02x", sum);
    memcpy(g->out + 1 + n, tail, 3);
    g->out_len = n + 4;
    g->send(g->opaque, g->out, (int)g->out_len);
}

static void put_text(struct gdb_stub *g, const char *s) { put_packet(g, s, strlen(s)); }

/* A piece of a document: 'm' or 'l' and the bytes, escaped. args: "OFFSET,LENGTH" */
static void put_piece(struct gdb_stub *g, const char *doc, size_t total, const char *args)
{
    uint64_t offset, length;
    struct text t = { NULL, 0, 0 };
    const char *p = read_hex(args, &offset);

    if (*p != ',') {
        put_text(g, "E00");
        return;
    }
    read_hex(p + 1, &length);
    offset = MIN(offset, total);
    length = MIN(MIN(length, total - offset), (PACKET_MAX - 8) / 2);
    text_str(&t, offset + length < total ? "m" : "l");
    for (uint64_t i = 0; i < length; i++) {
        char c = doc[offset + i];
        if (c == '#' || c == '$' || c == '}' || c == '*') {
            char esc[2] = { '}', (char)(c ^ 0x20) };
            text_add(&t, esc, 2);
        } else {
            text_add(&t, &c, 1);
        }
    }
    put_packet(g, t.s, t.n);
    mem_free(t.s);
}

/* ---- threads ------------------------------------------------------------------------------------ */

static int thread_id(const struct gdb_stub *g, unsigned n) { return g->t.thread_id ? g->t.thread_id(g->t.opaque, n) : (int)n; }

static unsigned thread_of_id(const struct gdb_stub *g, uint64_t id)
{
    unsigned n = g->t.n_threads(g->t.opaque);
    for (unsigned i = 1; i <= n; i++) {
        if ((uint64_t)thread_id(g, i) == id) return i;
    }
    return 0;
}

static struct cpu *cpu_of(const struct gdb_stub *g)
{
    struct cpu *c = g->t.thread(g->t.opaque, g->g_thread);
    return c ? c : g->t.thread(g->t.opaque, 1);
}

/* ---- stops -------------------------------------------------------------------------------------- */

static void put_stop(struct gdb_stub *g)
{
    static const char *const watch[] = { "", "", "watch", "rwatch", "awatch" };
    const struct gdb_stop *s = &g->last;
    char buf[128];
    int n;

    if (s->kind != GDB_STOP_SIGNAL) {
        snprintf(buf, sizeof buf, "%c%02x", s->kind == GDB_STOP_EXITED ? 'W' : 'X', (unsigned)s->signo & 0xff);
        put_text(g, buf);
        return;
    }
    n = snprintf(buf, sizeof buf, "T%02xthread:%x;", (unsigned)s->signo & 0xff, (unsigned)thread_id(g, s->thread));
    if (s->watch) {
        snprintf(buf + n, sizeof buf - (size_t)n, "%s:%llx;", watch[s->watch_kind], (unsigned long long)s->watch_addr);
    }
    put_text(g, buf);
}

void gdb_stub_stopped(struct gdb_stub *g, const struct gdb_stop *s)
{
    g->last = *s;
    if (!g->last.thread) g->last.thread = 1;
    g->g_thread = g->c_thread = g->last.thread;
    if (!g->awaiting) return;
    g->awaiting = false;
    put_stop(g);
}

static void resume(struct gdb_stub *g, unsigned step_thread, int signo)
{
    g->awaiting = true;
    g->resume_signal = signo;
    g->t.resume(g->t.opaque, step_thread, g->sstep & GDB_SSTEP_ENABLE ? g->sstep : GDB_SSTEP_ENABLE);
}

int gdb_stub_signal(const struct gdb_stub *g) { return g->resume_signal; }

static void remove_breakpoints(struct gdb_stub *g)
{
    for (unsigned i = 0; i < g->n_bps; i++) g->t.remove(g->t.opaque, g->bps[i].kind, g->bps[i].addr, g->bps[i].len);
    mem_free(g->bps);
    g->bps = NULL, g->n_bps = 0;
}

/* ---- registers ---------------------------------------------------------------------------------- */

static void number_registers(struct gdb_stub *g)
{
    unsigned num = 0;

    for (unsigned f = 0; f < g->t.isa->n_gdb; f++) {
        const struct isa_gdb_feature *ft = &g->t.isa->gdb[f];
        for (unsigned i = 0; i < ft->n_regs; i++, num++) {
            if (ft->regs[i].regnum) num = ft->regs[i].regnum - 1;
            if (num >= MAX_REGS) return;
            g->regs[num] = &ft->regs[i];
            g->n_regs = MAX(g->n_regs, num + 1);
        }
    }
}

static char *make_xml(const struct gdb_stub *g)
{
    const struct isa *isa = g->t.isa;
    struct text t = { NULL, 0, 0 };
    char line[200];
    unsigned num = 0;

    text_str(&t, "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">");
    if (isa->gdb_arch) {
        snprintf(line, sizeof line, "<architecture>%s</architecture>", isa->gdb_arch);
        text_str(&t, line);
    }
    for (unsigned f = 0; f < isa->n_gdb; f++) {
        const struct isa_gdb_feature *ft = &isa->gdb[f];
        size_t len = strlen(ft->name);
        bool fpu = len > 4 && !strcmp(ft->name + len - 4, ".fpu");

        snprintf(line, sizeof line, "<feature name=\"%s\">", ft->name);
        text_str(&t, line);
        if (ft->types) text_str(&t, ft->types);
        for (unsigned i = 0; i < ft->n_regs; i++, num++) {
            const struct isa_reg *r = &ft->regs[i];
            bool is_float = fpu && r->name[0] == 'f' && r->name[1] >= '0' && r->name[1] <= '9';
            if (r->regnum) num = r->regnum - 1;
            const char *type = r->type ? r->type : !is_float ? NULL : r->bits == 32 ? "ieee_single" : "ieee_double";
            snprintf(line, sizeof line, "<reg name=\"%s\" bitsize=\"%u\"%s%s%s regnum=\"%u\"/>", r->name, r->bits, type ? " type=\"" : "",
                     type ? type : "", type ? "\"" : "", num);
            text_str(&t, line);
        }
        text_str(&t, "</feature>");
    }
    text_str(&t, "</target>");
    return t.s;
}

static void register_bytes(const struct gdb_stub *g, const struct isa_reg *r, struct cpu *cpu, struct text *t)
{
    uint64_t v = r->get ? r->get(cpu, r->arg) : cpu_get_slot(cpu, (ir_id)r->arg), high = r->get_high ? r->get_high(cpu, r->arg) : 0;
    unsigned n = r->bits / 8u;
    uint8_t buf[16] = { 0 };

    for (unsigned i = 0; i < n && i < 16; i++) buf[g->t.big_endian ? n - 1 - i : i] = (uint8_t)((i < 8 ? v : high) >> 8 * (i & 7));
    text_hex(t, buf, MIN(n, (unsigned)sizeof buf));
}

static void set_register(const struct gdb_stub *g, const struct isa_reg *r, struct cpu *cpu, const uint8_t *buf)
{
    unsigned n = r->bits / 8u;
    uint64_t v[2] = { 0 };

    for (unsigned i = 0; i < n && i < 16; i++) v[i / 8] |= (uint64_t)buf[g->t.big_endian ? n - 1 - i : i] << 8 * (i & 7);
    if (r->set_high) r->set_high(cpu, r->arg, v[1]);
    if (r->set) r->set(cpu, r->arg, v[0]);
    else if (!r->get) cpu_set_slot(cpu, (ir_id)r->arg, v[0]);
}

static void read_registers(struct gdb_stub *g)
{
    struct text t = { NULL, 0, 0 };

    text_add(&t, "", 0);
    for (unsigned i = 0; i < g->n_regs; i++) {
        if (g->regs[i]) register_bytes(g, g->regs[i], cpu_of(g), &t);
    }
    put_packet(g, t.s, t.n);
    mem_free(t.s);
}

static void write_registers(struct gdb_stub *g, const char *p)
{
    static const size_t max = 16;

    for (unsigned i = 0; i < g->n_regs; i++) {
        uint8_t buf[16];
        size_t n;
        if (!g->regs[i]) continue;
        n = MIN(g->regs[i]->bits / 8u, max);
        if (read_hex_bytes(p, buf, n) != n) break;
        set_register(g, g->regs[i], cpu_of(g), buf);
        p += 2 * n;
    }
    put_text(g, "OK");
}

static void read_register(struct gdb_stub *g, const char *p)
{
    struct text t = { NULL, 0, 0 };
    uint64_t n;

    read_hex(p, &n);
    if (n >= g->n_regs || !g->regs[n]) {
        put_text(g, "E14");
        return;
    }
    register_bytes(g, g->regs[n], cpu_of(g), &t);
    put_packet(g, t.s, t.n);
    mem_free(t.s);
}

static void write_register(struct gdb_stub *g, const char *p)
{
    uint8_t buf[16];
    uint64_t n;

    p = read_hex(p, &n);
    if (n >= g->n_regs || !g->regs[n] || *p != '=' ||
        read_hex_bytes(p + 1, buf, sizeof buf) < MIN(g->regs[n]->bits / 8u, 16u)) {
        put_text(g, "E14");
        return;
    }
    set_register(g, g->regs[n], cpu_of(g), buf);
    put_text(g, "OK");
}

/* ---- memory ------------------------------------------------------------------------------------- */

static void read_memory(struct gdb_stub *g, const char *p)
{
    uint8_t buf[PACKET_MAX / 2];
    struct text t = { NULL, 0, 0 };
    uint64_t addr, len;

    p = read_hex(p, &addr);
    if (*p != ',') {
        put_text(g, "E22");
        return;
    }
    read_hex(p + 1, &len);
    len = MIN(len, (uint64_t)sizeof buf);
    if (!cpu_debug_read(cpu_of(g), addr, buf, (size_t)len)) {
        put_text(g, "E14");
        return;
    }
    text_add(&t, "", 0);
    text_hex(&t, buf, (size_t)len);
    put_packet(g, t.s, t.n);
    mem_free(t.s);
}

/* M: hexadecimal; X: bytes, of which } escapes the next. */
static void write_memory(struct gdb_stub *g, const char *p, const char *end, bool binary)
{
    uint8_t buf[PACKET_MAX];
    uint64_t addr, len;
    size_t n = 0;

    p = read_hex(p, &addr);
    if (*p != ',') goto bad;
    p = read_hex(p + 1, &len);
    if (*p != ':' || len > sizeof buf) goto bad;
    p++;
    if (!binary) n = read_hex_bytes(p, buf, (size_t)len);
    else
        for (; p < end && n < len; p++) {
            if (*p == '}' && p + 1 < end) buf[n++] = (uint8_t)(*++p ^ 0x20);
            else buf[n++] = (uint8_t)*p;
        }
    if (n != len) goto bad;
    put_text(g, !n || cpu_debug_write(cpu_of(g), addr, buf, n) ? "OK" : "E14");
    return;
bad:
    put_text(g, "E22");
}

/* ---- breakpoints -------------------------------------------------------------------------------- */

static void breakpoint(struct gdb_stub *g, const char *p, bool insert)
{
    struct gdb_bp b;
    uint64_t kind;
    unsigned i;

    p = read_hex(p, &kind);
    if (*p != ',' || kind > GDB_WATCH_ACCESS) {
        put_text(g, *p == ',' ? "" : "E22"); /* empty: a kind we do not know */
        return;
    }
    p = read_hex(p + 1, &b.addr);
    if (*p != ',') {
        put_text(g, "E22");
        return;
    }
    read_hex(p + 1, &b.len);
    b.kind = (enum gdb_break)kind;
    for (i = 0; i < g->n_bps; i++) {
        if (g->bps[i].kind == b.kind && g->bps[i].addr == b.addr && g->bps[i].len == b.len) break;
    }
    if (insert) {
        if (i == g->n_bps) { /* inserting twice is allowed and means once */
            if (g->t.insert(g->t.opaque, b.kind, b.addr, b.len)) {
                put_text(g, "E22");
                return;
            }
            g->bps = mem_realloc(g->bps, (g->n_bps + 1) * sizeof *g->bps);
            g->bps[g->n_bps++] = b;
        }
    } else if (i < g->n_bps) {
        g->t.remove(g->t.opaque, b.kind, b.addr, b.len);
        g->bps[i] = g->bps[--g->n_bps];
    }
    put_text(g, "OK");
}

/* ---- running ------------------------------------------------------------------------------------ */

static void set_pc_if_given(struct gdb_stub *g, const char *p)
{
    uint64_t addr;
    if (hex_digit(*p) < 0) return;
    read_hex(p, &addr);
    if (g->t.isa->set_pc) g->t.isa->set_pc(cpu_of(g), addr);
}

/* c, C, s, S with the signal and address they may carry. */
static void run(struct gdb_stub *g, char cmd, const char *p)
{
    uint64_t sig = 0;

    if (cmd == 'C' || cmd == 'S') {
        p = read_hex(p, &sig);
        if (*p == ';') p++;
    }
    set_pc_if_given(g, p);
    resume(g, cmd == 's' || cmd == 'S' ? g->c_thread : 0, (int)sig);
}

/* vCont;ACTION[:THREAD]... The first thread that is to step decides; all others run or wait as the target has it. */
static void vcont(struct gdb_stub *g, const char *p)
{
    unsigned step = 0;
    int signo = 0;
    bool any = false;

    while (*p == ';') {
        char a = *++p;
        uint64_t sig = 0, id = 0;
        unsigned thread = g->c_thread;

        p++;
        if (a == 'C' || a == 'S') p = read_hex(p, &sig);
        else if (a != 'c' && a != 's') {
            put_text(g, a == 't' ? "" : "E22");
            return;
        }
        if (*p == ':') {
            if (p[1] == '-') p += 2 + strspn(p + 2, "0123456789abcdefABCDEF");
            else {
                p = read_hex(p + 1, &id);
                if (id) thread = thread_of_id(g, id);
                if (!thread) {
                    put_text(g, "E22");
                    return;
                }
            }
        }
        if ((a == 's' || a == 'S') && !step) step = thread;
        if (sig && !signo) signo = (int)sig;
        any = true;
    }
    if (!any) put_text(g, "E22");
    else resume(g, step, signo);
}

/* ---- queries ------------------------------------------------------------------------------------ */

static bool starts(const char *s, const char *prefix, const char **rest)
{
    size_t n = strlen(prefix);
    if (strncmp(s, prefix, n)) return false;
    *rest = s + n;
    return true;
}

static void list_threads(struct gdb_stub *g)
{
    struct text t = { NULL, 0, 0 };
    unsigned n = g->t.n_threads(g->t.opaque);
    char buf[24];

    text_str(&t, g->list_next <= n ? "m" : "l");
    for (unsigned i = 0; i < 64 && g->list_next <= n; i++, g->list_next++) {
        snprintf(buf, sizeof buf, "%s%x", i ? "," : "", (unsigned)thread_id(g, g->list_next));
        text_str(&t, buf);
    }
    put_packet(g, t.s, t.n);
    mem_free(t.s);
}

static void monitor_command_packet(struct gdb_stub *g, const char *hex)
{
    uint8_t line[PACKET_MAX / 2 + 1];
    size_t n = read_hex_bytes(hex, line, sizeof line - 1);
    char *out;

    line[n] = 0;
    if (!g->t.monitor) {
        put_text(g, "");
        return;
    }
    out = g->t.monitor(g->t.opaque, g->g_thread, (const char *)line);
    for (size_t i = 0, len = strlen(out); i < len;) {
        struct text t = { NULL, 0, 0 };
        size_t k = MIN(len - i, (size_t)(PACKET_MAX - 8) / 2);
        text_str(&t, "O");
        text_hex(&t, (uint8_t *)out + i, k);
        put_packet(g, t.s, t.n);
        mem_free(t.s);
        i += k;
    }
    mem_free(out);
    put_text(g, "OK");
}

static void supported(struct gdb_stub *g)
{
    struct text t = { NULL, 0, 0 };

    text_str(&t, "PacketSize=1000;QStartNoAckMode+;vContSupported+");
    if (g->n_regs) text_str(&t, ";qXfer:features:read+");
    if (g->t.auxv) text_str(&t, ";qXfer:auxv:read+");
    if (g->t.exec_file) text_str(&t, ";qXfer:exec-file:read+");
    put_packet(g, t.s, t.n);
    mem_free(t.s);
}

static void query(struct gdb_stub *g, const char *p)
{
    const char *rest;
    char buf[160];
    uint64_t a, b;

    if (starts(p, "Supported", &rest)) {
        supported(g);
    } else if (!strcmp(p, "C")) {
        snprintf(buf, sizeof buf, "QC%x", (unsigned)thread_id(g, g->g_thread));
        put_text(g, buf);
    } else if (!strcmp(p, "fThreadInfo")) {
        g->list_next = 1;
        list_threads(g);
    } else if (!strcmp(p, "sThreadInfo")) {
        list_threads(g);
    } else if (starts(p, "ThreadExtraInfo,", &rest)) {
        unsigned n;
        char *s;
        struct text t = { NULL, 0, 0 };
        read_hex(rest, &a);
        n = thread_of_id(g, a);
        if (!n) {
            put_text(g, "E22");
            return;
        }
        s = g->t.describe_thread ? g->t.describe_thread(g->t.opaque, n) : mem_printf("thread %u", n);
        text_add(&t, "", 0);
        text_hex(&t, (uint8_t *)s, strlen(s));
        put_packet(g, t.s, t.n);
        mem_free(t.s);
        mem_free(s);
    } else if (starts(p, "Xfer:features:read:target.xml:", &rest) && g->n_regs) {
        if (!g->xml) g->xml = make_xml(g);
        put_piece(g, g->xml, strlen(g->xml), rest);
    } else if (starts(p, "Xfer:features:read:", &rest)) {
        put_text(g, "E00");
    } else if (starts(p, "Xfer:auxv:read::", &rest) && g->t.auxv) {
        const uint8_t *data;
        size_t n;
        if (g->t.auxv(g->t.opaque, &data, &n)) put_piece(g, (const char *)data, n, rest);
        else put_text(g, "E00");
    } else if (starts(p, "Xfer:exec-file:read:", &rest) && g->t.exec_file) {
        const char *name = g->t.exec_file(g->t.opaque);
        rest = strchr(rest, ':');
        put_piece(g, name, strlen(name), rest ? rest + 1 : "");
    } else if (starts(p, "Rcmd,", &rest)) {
        monitor_command_packet(g, rest);
    } else if (starts(p, "Attached", &rest)) {
        put_text(g, "1");
    } else if (!strcmp(p, "Offsets") && g->t.offsets && g->t.offsets(g->t.opaque, &a, &b)) {
        snprintf(buf, sizeof buf, "Text=%llx;Data=%llx;Bss=%llx", (unsigned long long)a, (unsigned long long)b,
                 (unsigned long long)b);
        put_text(g, buf);
    } else if (!strcmp(p, "Symbol::")) {
        put_text(g, "OK");
    } else if (!strcmp(p, "qemu.sstepbits")) {
        put_text(g, "ENABLE=1,NOIRQ=2,NOTIMER=4");
    } else if (!strcmp(p, "qemu.sstep")) {
        snprintf(buf, sizeof buf, "0x%x", g->sstep);
        put_text(g, buf);
    } else {
        put_text(g, "");
    }
}

static void set_query(struct gdb_stub *g, const char *p)
{
    const char *rest;
    uint64_t v;

    if (!strcmp(p, "StartNoAckMode")) {
        g->ack_off_next = true;
        put_text(g, "OK");
    } else if (starts(p, "qemu.sstep=", &rest)) {
        if (rest[0] == '0' && (rest[1] == 'x' || rest[1] == 'X')) rest += 2;
        read_hex(rest, &v);
        if (v > 7 || !(v & GDB_SSTEP_ENABLE)) {
            put_text(g, "E22");
            return;
        }
        g->sstep = (unsigned)v;
        put_text(g, "OK");
    } else {
        put_text(g, "");
    }
}

/* ---- packets in --------------------------------------------------------------------------------- */

static void select_thread(struct gdb_stub *g, const char *p)
{
    unsigned *which = p[0] == 'c' ? &g->c_thread : &g->g_thread, n;
    uint64_t id;

    if ((p[0] != 'c' && p[0] != 'g') || !p[1]) {
        put_text(g, "E22");
        return;
    }
    if (p[1] == '-') { /* all: whichever is current */
        put_text(g, "OK");
        return;
    }
    read_hex(p + 1, &id);
    n = id ? thread_of_id(g, id) : *which;
    if (n) *which = n;
    put_text(g, n ? "OK" : "E22");
}

static void detach(struct gdb_stub *g)
{
    remove_breakpoints(g);
    g->awaiting = false;
    if (g->t.detach) g->t.detach(g->t.opaque);
    else g->t.resume(g->t.opaque, 0, 0);
}

static void handle(struct gdb_stub *g, const char *p, size_t len)
{
    const char *rest;
    uint64_t id;

    switch (*p) {
    case '?': put_stop(g); break;
    case 'g': read_registers(g); break;
    case 'G': write_registers(g, p + 1); break;
    case 'p': read_register(g, p + 1); break;
    case 'P': write_register(g, p + 1); break;
    case 'm': read_memory(g, p + 1); break;
    case 'M': write_memory(g, p + 1, p + len, false); break;
    case 'X': write_memory(g, p + 1, p + len, true); break;
    case 'c': case 'C': case 's': case 'S': run(g, *p, p + 1); break;
    case 'Z': case 'z': breakpoint(g, p + 1, *p == 'Z'); break;
    case 'H': select_thread(g, p + 1); break;
    case 'T':
        read_hex(p + 1, &id);
        put_text(g, thread_of_id(g, id) ? "OK" : "E22");
        break;
    case 'q': query(g, p + 1); break;
    case 'Q': set_query(g, p + 1); break;
    case 'k':
        remove_breakpoints(g);
        g->awaiting = false;
        g->t.kill(g->t.opaque);
        break;
    case 'D':
        put_text(g, "OK");
        detach(g);
        break;
    case 'v':
        if (!strcmp(p, "vCont?")) put_text(g, "vCont;c;C;s;S");
        else if (starts(p, "vCont", &rest)) vcont(g, rest);
        else if (starts(p, "vKill", &rest)) {
            put_text(g, "OK");
            g->t.kill(g->t.opaque);
        } else put_text(g, "");
        break;
    default: put_text(g, ""); break; /* F without semihosting, and what else we do not know */
    }
}

static void ack(struct gdb_stub *g, char c)
{
    if (!g->no_ack) g->send(g->opaque, (const uint8_t *)&c, 1);
}

static void end_of_packet(struct gdb_stub *g)
{
    g->state = IN_IDLE;
    if (!g->no_ack && g->in_sum != g->sum_given) {
        ack(g, '-');
        return;
    }
    ack(g, '+');
    g->in[g->in_len] = 0;
    if (g->t.running(g->t.opaque)) {
        /* While gdb waits for a stop only ^C makes sense: a stray packet gets no answer. A debugger that comes
         * over a line without connections (stdio) finds the debuggee running: its first packet stops it. */
        if (g->awaiting) return;
        g->t.stop(g->t.opaque);
    }
    handle(g, (const char *)g->in, g->in_len);
    if (g->ack_off_next) g->no_ack = true, g->ack_off_next = false;
}

void gdb_stub_input(struct gdb_stub *g, const uint8_t *buf, int n)
{
    for (int i = 0; i < n; i++) {
        uint8_t c = buf[i];

        switch (g->state) {
        case IN_IDLE:
            if (c == '$') g->state = IN_DATA, g->in_len = 0, g->in_sum = 0;
            else if (c == 3) g->t.stop(g->t.opaque);
            else if (c == '-' && !g->no_ack && g->out) g->send(g->opaque, g->out, (int)g->out_len);
            break;
        case IN_DATA:
            if (c == '#') {
                g->state = IN_SUM1;
            } else if (c == '$') { /* a packet that was cut short */
                g->in_len = 0, g->in_sum = 0;
            } else if (g->in_len == PACKET_MAX) {
                g->state = IN_IDLE;
                ack(g, '-');
            } else {
                g->in[g->in_len++] = c;
                g->in_sum = (uint8_t)(g->in_sum + c);
            }
            break;
        case IN_SUM1:
            g->sum_given = (uint8_t)(MAX(hex_digit((char)c), 0) << 4);
            g->state = IN_SUM2;
            break;
        case IN_SUM2:
            g->sum_given |= (uint8_t)MAX(hex_digit((char)c), 0);
            end_of_packet(g);
            break;
        }
    }
}

void gdb_stub_connected(struct gdb_stub *g, bool yes)
{
    g->state = IN_IDLE;
    g->no_ack = g->ack_off_next = false;
    g->awaiting = false;
    g->sstep = GDB_SSTEP_ENABLE | GDB_SSTEP_NOIRQ | GDB_SSTEP_NOTIMER;
    if (!yes) remove_breakpoints(g);
}

struct gdb_stub *gdb_stub_new(const struct gdb_target *t, void (*send)(void *, const uint8_t *, int), void *opaque)
{
    struct gdb_stub *g = NEW(struct gdb_stub);

    g->t = *t;
    g->send = send;
    g->opaque = opaque;
    g->g_thread = g->c_thread = 1;
    g->last = (struct gdb_stop){ .kind = GDB_STOP_SIGNAL, .signo = 5, .thread = 1 };
    g->sstep = GDB_SSTEP_ENABLE | GDB_SSTEP_NOIRQ | GDB_SSTEP_NOTIMER;
    number_registers(g);
    return g;
}

void gdb_stub_delete(struct gdb_stub *g)
{
    if (!g) return;
    remove_breakpoints(g);
    mem_free(g->out);
    mem_free(g->xml);
    mem_free(g);
}
