/*
 * monitor.c - the human monitor: the object on a character backend, reading command lines, arguments, help and
 * completion, all from the tables of commands.def. What commands do is in commands.c, memory.c and info.c.
 */
#include "mon/internal.h"

#include "machines/threads.h"
#include "mon/expr.h"
#include "util/log.h"
#include "util/opts.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

const struct mon_command mon_commands[] = {
#define CMD(name, alias, args, params, help, fn) { name, alias, args, params, help, fn },
#define LATER(name) { name, NULL, "", "", NULL, NULL },
#define INFO(name, args, params, help, fn)
#define INFO_LATER(name)
#include "mon/commands.def"
    { NULL, NULL, NULL, NULL, NULL, NULL },
};
#undef CMD
#undef LATER
#undef INFO
#undef INFO_LATER
const struct mon_command mon_infos[] = {
#define CMD(name, alias, args, params, help, fn)
#define LATER(name)
#define INFO(name, args, params, help, fn) { name, NULL, args, params, help, fn },
#define INFO_LATER(name) { name, NULL, "", "", NULL, NULL },
#include "mon/commands.def"
    { NULL, NULL, NULL, NULL, NULL, NULL },
};

/* ---- output ----------------------------------------------------------------------------------- */

static void put_bytes(void *opaque, const char *s, unsigned n)
{
    struct monitor *m = opaque;

    if (!m->chr) {
        m->text = mem_realloc(m->text, m->text_len + n + 1);
        memcpy(m->text + m->text_len, s, n);
        m->text_len += n;
        m->text[m->text_len] = 0;
        return;
    }
    /* The other end is a terminal in raw mode: lines end in \r\n. */
    while (n) {
        const char *nl = memchr(s, '\n', n);
        unsigned k = nl ? (unsigned)(nl - s) : n;
        if (k) chr_write_all(m->chr, m, (const uint8_t *)s, (int)k);
        if (nl) {
            chr_write_all(m->chr, m, (const uint8_t *)"\r\n", 2);
            k++;
        }
        s += k, n -= k;
    }
}

void mon_printf(struct monitor *m, const char *fmt, ...)
{
    char small[512], *s = small;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof small) {
        s = mem_alloc((size_t)n + 1);
        va_start(ap, fmt);
        vsnprintf(s, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    if (n > 0) put_bytes(m, s, (unsigned)n);
    if (s != small) mem_free(s);
}

void mon_put_line(void *monitor, const char *line) { mon_printf(monitor, "%s\n", line); }

void mon_error(struct monitor *m, const struct error *e)
{
    mon_printf(m, "Error: %s\n", e->msg);
    if (e->hint[0]) mon_printf(m, "%s\n", e->hint);
}

/* ---- arguments -------------------------------------------------------------------------------- */

const struct mon_arg *mon_arg(const struct mon_args *a, const char *name)
{
    for (unsigned i = 0; i < a->n; i++) {
        if (!strcmp(a->v[i].name, name)) return &a->v[i];
    }
    return NULL;
}

const char *mon_str(const struct mon_args *a, const char *name)
{
    const struct mon_arg *x = mon_arg(a, name);
    return x ? x->str : NULL;
}

uint64_t mon_num(const struct mon_args *a, const char *name)
{
    const struct mon_arg *x = mon_arg(a, name);
    return x ? x->num : 0;
}

static void free_args(struct mon_args *a)
{
    for (unsigned i = 0; i < a->n; i++) mem_free(a->v[i].str);
    a->n = 0;
}

bool mon_register(void *monitor, const char *name, uint64_t *value)
{
    struct monitor *m = monitor;
    const struct isa *isa = m->env->machine->cfg.isa;
    int slot;

    for (unsigned f = 0; f < isa->n_gdb; f++) {
        for (unsigned i = 0; i < isa->gdb[f].n_regs; i++) {
            const struct isa_reg *r = &isa->gdb[f].regs[i];
            if (strcmp(r->name, name)) continue;
            *value = r->get ? r->get(m->cpu, r->arg) : cpu_get_slot(m->cpu, (ir_id)r->arg);
            return true;
        }
    }
    slot = cpu_find_slot(m->cpu->guest, name);
    if (slot < 0 && !strcmp(name, "pc")) slot = m->cpu->guest->pc_slot;
    if (slot < 0) return false;
    *value = cpu_get_slot(m->cpu, (ir_id)slot);
    return true;
}

static const char *skip(const char *p)
{
    while (*p == ' ' || *p == '\t') p++;
    return p;
}

/* A word, or a string in double quotes with \n \r \\ \' \". NULL + error when the quotes do not close. */
static char *read_word(const char **pp, struct error *e)
{
    const char *p = *pp;
    char *out = mem_alloc(strlen(p) + 1), *q = out;

    if (*p != '"') {
        while (*p && *p != ' ' && *p != '\t') *q++ = *p++;
    } else {
        for (p++; *p != '"'; p++) {
            if (*p == '\\' && p[1]) {
                p++;
                *q++ = *p == 'n' ? '\n' : *p == 'r' ? '\r' : *p;
            } else if (*p) {
                *q++ = *p;
            } else {
                mem_free(out);
                error_set(e, "unterminated string");
                return NULL;
            }
        }
        p++;
    }
    *q = 0;
    *pp = p;
    return out;
}

/* "/16xw": count, format, size in any order of the letters. */
static int read_format(const char **pp, struct mon_format *f, struct error *e)
{
    const char *p = *pp;

    *f = (struct mon_format){ 1, 0, 0 };
    if (*p == '/') {
        uint64_t n = 0;
        for (p++; *p >= '0' && *p <= '9'; p++) n = MIN(n * 10 + (uint64_t)(*p - '0'), 0x7fffffff);
        if (p[-1] != '/') f->count = (unsigned)n;
        for (; *p && *p != ' '; p++) {
            switch (*p) {
            case 'x': case 'd': case 'u': case 'o': case 'i': case 'c': f->format = *p; break;
            case 'b': f->size = 1; break;
            case 'h': f->size = 2; break;
            case 'w': f->size = 4; break;
            case 'g': f->size = 8; break;
            default: return error_set(e, "invalid char in format: '%c'", *p);
            }
        }
    }
    *pp = p;
    return 0;
}

/* One item of an argument description, "name:type[?]". */
struct arg_type { char name[24]; char type; char flag; bool optional; };
static const char *next_type(const char *s, struct arg_type *t)
{
    size_t n = strcspn(s, ":");

    memset(t, 0, sizeof *t);
    memcpy(t->name, s, MIN(n, sizeof t->name - 1));
    s += n + 1;
    t->type = *s++;
    if (t->type == '-') t->flag = *s++;
    if (*s == '?') t->optional = true, s++;
    return *s == ',' ? s + 1 : s;
}

static int read_arg(struct monitor *m, const struct arg_type *t, const char **pp, struct mon_arg *a, struct error *e)
{
    const char *p = *pp;
    size_t n;
    char *word;
    int rc = 0;

    switch (t->type) {
    case 's': case 'F': case 'b': case 'o':
        word = read_word(&p, e);
        if (!word) return -1;
        if (t->type == 'o') rc = opt_parse_size(t->name, word, UINT64_C(1) << 20, &a->num, e);
        if (t->type == 'b') {
            bool on = false;
            rc = opt_parse_bool(t->name, word, &on, e);
            a->num = on;
        }
        a->str = word;
        break;
    case 'S':
        n = strlen(p);
        while (n && (p[n - 1] == ' ' || p[n - 1] == '\t')) n--;
        a->str = mem_printf("%.*s", (int)n, p);
        p += strlen(p);
        break;
    case 'i': case 'l':
        rc = expr_eval(&p, &a->num, mon_register, m, e);
        if (!rc && t->type == 'i' && (a->num >> 32) != 0 && (a->num >> 31) != 0x1ffffffff) {
            rc = error_set(e, "integer is for 32-bit values");
        }
        break;
    }
    *pp = p;
    return rc;
}

static int read_args(struct monitor *m, const char *types, const char *p, struct mon_args *out, struct error *e)
{
    out->n = 0;
    /* A format stands directly behind the command. */
    while (*types) {
        struct arg_type t;
        struct mon_arg *a = &out->v[out->n];

        types = next_type(types, &t);
        memset(a, 0, sizeof *a);
        memcpy(a->name, t.name, sizeof a->name);
        a->type = t.type;
        if (t.type == '/') {
            p = skip(p);
            if (read_format(&p, &a->fmt, e)) return -1;
            out->n++;
            continue;
        }
        p = skip(p);
        if (t.type == '-') {
            if (p[0] == '-' && p[1] == t.flag && (!p[2] || p[2] == ' ')) {
                p += 2;
                a->num = 1;
                out->n++;
            }
            continue;
        }
        if (!*p) {
            if (t.optional) break;
            return error_set(e, t.type == 'i' || t.type == 'l' ? "unexpected end of expression" : "%s: string expected",
                             t.name);
        }
        out->n++;
        if (read_arg(m, &t, &p, a, e)) return -1;
    }
    p = skip(p);
    return *p ? error_set(e, "extraneous characters at the end of line") : 0;
}

/* ---- running a line --------------------------------------------------------------------------- */

static const struct mon_command *find(const struct mon_command *table, const char *name, size_t n)
{
    for (; table->name; table++) {
        if (strlen(table->name) == n && !memcmp(table->name, name, n)) return table;
        if (table->alias && strlen(table->alias) == n && !memcmp(table->alias, name, n)) return table;
    }
    return NULL;
}

void mon_run_in(struct monitor *m, const struct mon_command *table, const char *prefix, const char *line)
{
    const char *p = skip(line);
    size_t n = strcspn(p, " \t/");
    const struct mon_command *c;
    struct mon_args args;
    struct error e = ERROR_INIT;

    if (!*p || *p == '#') return;
    c = find(table, p, n);
    if (!c) {
        mon_printf(m, "unknown command: '%s%.*s'\n", prefix, (int)n, p);
        return;
    }
    if (!c->fn) {
        mon_printf(m, "Error: '%s%s' is not supported yet\n", prefix, c->name);
        return;
    }
    if (read_args(m, c->args, p + n, &args, &e)) {
        mon_printf(m, "%s\nTry \"help %s%s\" for more information\n", e.msg, prefix, c->name);
    } else {
        c->fn(m, &args);
    }
    free_args(&args);
}

/* CPUs stand still meanwhile: what a command shows is of one moment. */
void mon_run_line(struct monitor *m, const char *line)
{
    machine_hold(m->env->machine);
    mon_run_in(m, mon_commands, "", line);
    machine_release(m->env->machine);
}

/* ---- help ------------------------------------------------------------------------------------- */

static void help_line(struct monitor *m, const struct mon_command *c, const char *prefix)
{
    mon_printf(m, "%s%s%s%s %s -- %s\n", prefix, c->name, c->alias ? "|" : "", c->alias ? c->alias : "", c->params,
               c->help);
}

static void help_table(struct monitor *m, const struct mon_command *table, const char *prefix, const char *name)
{
    for (; table->name; table++) {
        bool this = !*name || !strcmp(table->name, name) || (table->alias && !strcmp(table->alias, name));
        if (!this) continue;
        if (table->help && table->fn) help_line(m, table, prefix);
        else if (*name) mon_printf(m, "%s%s -- not supported yet\n", prefix, name);
    }
}

void mon_help(struct monitor *m, const struct mon_args *a)
{
    const char *name = mon_str(a, "name");

    if (name && !strncmp(name, "info", 4) && (!name[4] || name[4] == ' ')) {
        help_table(m, mon_infos, "info ", skip(name + 4));
    } else if (name && !strcmp(name, "log")) {
        mon_printf(m, "Log items (comma separated):\n%-15s %s\n", "none", "remove all logs");
        for (unsigned i = 0; i < LOG_BIT_COUNT; i++) mon_printf(m, "%-15s %s\n", log_items[i].name, log_items[i].help);
    } else {
        help_table(m, mon_commands, "", name ? name : "");
    }
}

void mon_info(struct monitor *m, const struct mon_args *a)
{
    const char *item = mon_str(a, "item");
    if (item) mon_run_in(m, mon_infos, "info ", item);
    else help_table(m, mon_infos, "info ", "");
}

/* ---- completion ------------------------------------------------------------------------------- */

static void complete_names(struct readline *r, const struct mon_command *table, const char *start)
{
    size_t n = strlen(start);

    for (; table->name; table++) {
        if (!table->fn) continue;
        if (!strncmp(table->name, start, n)) readline_candidate(r, table->name);
        if (table->alias && n && !strncmp(table->alias, start, n)) readline_candidate(r, table->alias);
    }
}

static void complete_file(struct readline *r, const char *start)
{
    const char *slash = strrchr(start, '/'), *base = slash ? slash + 1 : start;
    char *dir = slash ? mem_printf("%.*s", (int)(slash - start + 1), start) : mem_strdup("");
    DIR *d = opendir(*dir ? dir : ".");
    struct dirent *ent;

    while (d && (ent = readdir(d))) {
        struct stat st;
        char *path;

        if (strncmp(ent->d_name, base, strlen(base)) || (ent->d_name[0] == '.' && base[0] != '.')) continue;
        path = mem_printf("%s%s", dir, ent->d_name);
        if (!stat(path, &st) && S_ISDIR(st.st_mode)) {
            char *with_slash = mem_printf("%s/", path);
            mem_free(path);
            path = with_slash;
        }
        readline_candidate(r, path);
        mem_free(path);
    }
    if (d) closedir(d);
    mem_free(dir);
}

static void complete(void *opaque, struct readline *r, const char *line)
{
    const struct mon_command *c, *table = mon_commands;
    const char *p = skip(line), *last, *types;
    struct arg_type t;
    size_t n;

    for (;;) {
        n = strcspn(p, " /");
        if (!p[n]) {
            complete_names(r, table, p);
            return;
        }
        c = find(table, p, n);
        if (!c) return;
        p = skip(p + n);
        if (table == mon_commands && (!strcmp(c->name, "info") || !strcmp(c->name, "help"))) {
            table = c->name[0] == 'i' ? mon_infos : mon_commands;
            if (c->name[0] == 'h') {
                complete_names(r, table, p);
                return;
            }
            continue;
        }
        break;
    }
    last = strrchr(line, ' ');
    /* The last word stands for the last argument's type: enough for commands that end in a file or an id. */
    memset(&t, 0, sizeof t);
    for (types = c->args; *types;) types = next_type(types, &t);
    if (t.type == 'F') complete_file(r, last ? last + 1 : "");
    if (!strcmp(t.name, "id") || !strcmp(t.name, "device")) {
        struct monitor *m = opaque;
        for (struct chardev *chr = chr_next(m->env->chrs, NULL); chr; chr = chr_next(m->env->chrs, chr)) {
            if (last && !strncmp(chr_id(chr), last + 1, strlen(last + 1))) readline_candidate(r, chr_id(chr));
        }
    }
}

/* ---- the monitor on its character device --------------------------------------------------------- */

static void greet(struct monitor *m)
{
    if (!m->greeted) mon_printf(m, "Quern %s monitor - type 'help' for more information\n", PACKAGE_VERSION);
    m->greeted = true;
    readline_prompt(&m->rl);
}

static int mon_can_receive(void *opaque) { return 256; }

static void mon_receive(void *opaque, const uint8_t *buf, int n)
{
    struct monitor *m = opaque;
    readline_input(&m->rl, buf, (unsigned)n);
}

static void mon_event(void *opaque, enum chr_event ev)
{
    struct monitor *m = opaque;

    switch (ev) {
    case CHR_OPENED:
        if (!chr_is_mux(m->chr)) {
            m->greeted = false;
            greet(m);
        }
        break;
    case CHR_MUX_IN: mon_printf(m, "\n"); greet(m); break;
    case CHR_MUX_OUT: mon_printf(m, "\n"); break;
    case CHR_CLOSED: m->rl.len = m->rl.pos = 0; m->rl.buf[0] = 0; break;
    case CHR_BREAK: break;
    }
}

static void mon_line(void *opaque, const char *line)
{
    struct monitor *m = opaque;

    mon_run_line(m, line);
    readline_prompt(&m->rl);
}

static struct monitor *new_monitor(struct mon_env *env)
{
    struct monitor *m = NEW(struct monitor);
    m->env = env;
    m->cpu = env->machine->cpu[0];
    m->last_format = 'x';
    m->last_size = 4;
    return m;
}

struct monitor *monitor_new(struct mon_env *env, struct chardev *c, struct error *e)
{
    struct monitor *m = new_monitor(env);
    struct chr_frontend fe = { mon_can_receive, mon_receive, mon_event, m };

    readline_init(&m->rl, "(qemu) ");
    m->rl.opaque = m;
    m->rl.put = put_bytes;
    m->rl.line = mon_line;
    m->rl.complete = complete;
    m->chr = c;
    if (chr_attach(c, &fe, e)) {
        m->chr = NULL;
        monitor_delete(m);
        return NULL;
    }
    env->n_monitors++;
    return m;
}

void monitor_delete(struct monitor *m)
{
    if (!m) return;
    mon_release_keys(m);
    if (m->chr) {
        chr_detach(m->chr, m);
        m->env->n_monitors--;
    }
    readline_free(&m->rl);
    mem_free(m->text);
    mem_free(m);
}

char *monitor_command(struct mon_env *env, struct cpu *current, const char *line)
{
    struct monitor *m = new_monitor(env);
    char *text;

    if (current) m->cpu = current;
    mon_run_line(m, line);
    text = m->text ? m->text : mem_strdup("");
    m->text = NULL;
    monitor_delete(m);
    return text;
}
