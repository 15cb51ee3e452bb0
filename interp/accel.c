/*
 * accel.c - the -accel option's properties, and the list of JIT backends: those built in, and modules loaded on demand.
 */
#include "interp/accel.h"

#include "interp/jit.h"
#include "util/log.h"
#include "util/opts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef HAVE_DLFCN_H
#include <dlfcn.h>
#endif

/* Configuration of the program, not of a machine: which code generators it has. Written before any thread starts. */
static const struct jit_backend *backends[8];

void jit_register(const struct jit_backend *b)
{
    for (unsigned i = 0; i + 1 < ARRAY_LEN(backends); i++) {
        if (backends[i] == b) return;
        if (!backends[i]) {
            backends[i] = b;
            return;
        }
    }
}

#if defined HAVE_DLFCN_H && defined HAVE_DLOPEN
static void log_if_wanted(const char *fmt, ...)
{
    va_list ap;
    if (!log_on(LOG_OUT_ASM)) return;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *text = mem_alloc((size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(text, (size_t)n + 1, fmt, ap);
    va_end(ap);
    log_printf("%s", text);
    mem_free(text);
}

static const struct jit_backend *load(const char *name, struct error *e)
{
    static struct jit_services services; /* the same for all */
    const char *dir = getenv("QUERN_MODULE_PATH");
    char *path = mem_printf("%s/quern-jit-%s.so", dir ? dir : QUERN_PKGLIBDIR, name);
    const struct jit_backend *b = NULL;
    void *h = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = h ? dlsym(h, JIT_MODULE_SYMBOL) : NULL;
    services = (struct jit_services){
        .abi = jit_abi(), .op_info = ir_op_info, .error_set = error_set, .warn = error_warn, .log = log_if_wanted,
        .point = jit_point, .code_alloc = jit_code_alloc, .code_trim = jit_code_trim, .code_flush_icache = jit_code_flush_icache,
        .ld = jit_ld, .st = jit_st, .cas = jit_cas, .rmw = jit_rmw, .fetch_fault = jit_fetch_fault, .op = jit_op,
    };
    if (!h) {
        error_set(e, "no JIT backend '%s': %s", name, dlerror());
    } else if (!symbol) {
        error_set(e, "no JIT backend '%s': %s has no %s", name, path, JIT_MODULE_SYMBOL);
    } else {
        jit_module_fn *start;
        memcpy(&start, &symbol, sizeof start); /* C has no conversion for it, POSIX promises that it works */
        b = start(&services, e);
        if (!b) error_prefix(e, "JIT backend '%s': ", name);
    }
    if (h && !b) dlclose(h);
    mem_free(path);
    return b;
}
#else
static const struct jit_backend *load(const char *name, struct error *e)
{
    error_set(e, "no JIT backend '%s': this build loads no modules", name);
    return NULL;
}
#endif

const struct jit_backend *jit_find(const char *name, struct error *e)
{
    for (unsigned i = 0; backends[i]; i++) {
        if (!strcmp(backends[i]->name, name)) return backends[i];
    }
    if (!*name || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(name)) {
        error_set(e, "no JIT backend '%s'", name);
        return NULL;
    }
    const struct jit_backend *b = load(name, e);
    if (b) jit_register(b);
    return b;
}

static const struct jit_backend *built_in(void) { return backends[0] == &jit_null_backend ? NULL : backends[0]; }

/* The one for this host, or else what makes code for any; NULL: none. */
static const struct jit_backend *best(void)
{
    struct error ignored = ERROR_INIT;
    const struct jit_backend *b = built_in();
    return b ? b : jit_find("tcc", &ignored);
}

void accel_default(struct engine_config *c) { c->backend = built_in(); }

int accel_begin(struct engine_config *c, const char *name, struct error *e)
{
    if (!strcmp(name, "interp")) {
        c->backend = NULL;
        return 0;
    }
    if (!strcmp(name, "tcg")) {
        accel_default(c);
        return 0;
    }
    if (!strcmp(name, "jit")) {
        c->backend = best();
        return 0;
    }
    error_set(e, "invalid accelerator '%s'", name);
    return error_hint(e, "'-accel help' lists them");
}

static int on_off(const char *k, const char *v, bool *on, struct error *e) { return opt_parse_bool(k, v ? v : "on", on, e); }

static int number(const char *k, const char *v, uint64_t max, uint64_t *n, struct error *e)
{
    if (!v) return error_set(e, "'%s' needs a value", k);
    return opt_parse_number(k, v, max, n, e);
}

/* Backends of this program that this build or this machine may be without: the next best does as well. */
static int use_backend(struct engine_config *c, const char *name, struct error *e)
{
    static const char *const known[] = { "native", "gccjit", "tcc" };
    struct error why = ERROR_INIT;
    const struct jit_backend *b = jit_find(name, &why);

    for (unsigned i = 0; !b && i < ARRAY_LEN(known); i++) {
        if (strcmp(known[i], name)) continue;
        c->backend = strcmp(name, "tcc") ? best() : built_in();
        error_warn("%s; %s%s", why.msg, c->backend ? "using " : "interpreting", c->backend ? c->backend->name : "");
        return 0;
    }
    if (!b) return error_set(e, "%s", why.msg);
    c->backend = b;
    return 0;
}

int accel_set(struct engine_config *c, const char *k, const char *v, struct error *e)
{
    uint64_t n = 0;
    bool on = false;
    int rc = 0;

    if (!strcmp(k, "threshold")) {
        rc = number(k, v, UINT32_MAX / 2, &n, e);
        if (!rc) c->threshold = (unsigned)n;
    } else if (!strcmp(k, "threshold2")) {
        rc = number(k, v, UINT32_MAX / 2, &n, e);
        if (!rc) c->threshold2 = (unsigned)n;
    } else if (!strcmp(k, "chaos")) {
        rc = number(k, v, UINT32_MAX, &n, e);
        if (!rc) c->chaos = (uint32_t)n;
    } else if (!strcmp(k, "tb-size")) {
        rc = number(k, v, SIZE_MAX >> 21, &n, e);
        if (!rc) c->cache_size = c->code_size = (size_t)n << 20;
    } else if (!strcmp(k, "regions")) {
        rc = on_off(k, v, &on, e);
        if (!rc) c->no_regions = !on;
    } else if (!strcmp(k, "sync")) {
        rc = on_off(k, v, &on, e);
        if (!rc) c->sync = on, c->async = !on;
    } else if (!strcmp(k, "perfmap")) {
        rc = on_off(k, v, &on, e);
        if (!rc) c->perfmap = on;
    } else if (!strcmp(k, "gdb")) {
        rc = on_off(k, v, &on, e);
        if (!rc) c->gdb = on;
    } else if (!v) {
        rc = error_set(e, "invalid property '%s' of an accelerator", k);
        error_hint(e, "'-accel help' lists them");
    } else if (!strcmp(k, "backend")) {
        if (!strcmp(v, "none")) c->backend = NULL;
        else rc = use_backend(c, v, e);
    } else if (!strcmp(k, "mode") && !strcmp(v, "ref")) c->mode = ENGINE_REF;
    else if (!strcmp(k, "mode") && !strcmp(v, "fast")) c->mode = ENGINE_FAST;
    else if (!strcmp(k, "dispatch") && !strcmp(v, "goto")) c->portable_switch = !HOST_GNU;
    else if (!strcmp(k, "dispatch") && !strcmp(v, "switch")) c->portable_switch = true;
    else if (!strcmp(k, "fp") && !strcmp(v, "soft")) c->soft_fp = true;
    else if (!strcmp(k, "fp") && !strcmp(v, "host")) c->soft_fp = false;
    else if (!strcmp(k, "thread") && !strcmp(v, "single")) c->threads = false;
    else if (!strcmp(k, "thread") && !strcmp(v, "multi")) c->threads = true;
    else {
        rc = error_set(e, "invalid value '%s' of '%s'", v, k);
        error_hint(e, "'-accel help' lists the accelerators' properties");
    }
    return rc;
}

int accel_parse(struct engine_config *c, const char *text, struct error *e)
{
    char *copy = mem_strdup(text), *save = NULL;
    int rc = 0;
    unsigned n = 0;

    for (char *w = strtok_r(copy, ",", &save); w && !rc; w = strtok_r(NULL, ",", &save), n++) {
        if (!n && !strncmp(w, "accel=", 6)) w += 6;
        char *v = n ? strchr(w, '=') : NULL;
        if (v) *v++ = 0;
        rc = n ? accel_set(c, w, v, e) : accel_begin(c, w, e);
    }
    mem_free(copy);
    if (rc) error_prefix(e, "-accel %s", text);
    return rc;
}

void accel_help(void (*put)(void *, const char *), void *opaque)
{
    char line[160];

    put(opaque, "Accelerators:");
    put(opaque, built_in() ? "interp   the interpreter" : "interp   the interpreter (default; tcg is another name of it)");
    put(opaque, "         mode=ref|fast dispatch=goto|switch fp=soft|host tb-size=MiB");
    put(opaque, "         thread=single|multi (CPUs take turns, the same in each run; or each has a host thread)");
    put(opaque, built_in() ? "jit      the interpreter, with hot code compiled to the host's (default; tcg is another name of it)"
                           : "jit      the interpreter, with hot code compiled to the host's");
    put(opaque, "         backend=NAME|none threshold=RUNS threshold2=RUNS regions=on|off sync=on|off");
    put(opaque, "         perfmap=on|off gdb=on|off chaos=SEED (random promotion, for tests); the interpreter's properties too");
    put(opaque, "Backends (others are looked for as modules quern-jit-NAME.so):");
    for (unsigned i = 0; backends[i]; i++) {
        snprintf(line, sizeof line, "%-8s %s", backends[i]->name, backends[i]->help);
        put(opaque, line);
    }
}
