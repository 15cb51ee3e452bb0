/*
 * main.c - the user-mode program: options, set-up of the process, and its first thread.
 *
 * Options are one table: parsing, -h, the environment's names and the options that exec hands to a
 * new instance (user/exec.c) all come from it.
 */
#include "user/abi.h"

#include "interp/accel.h"
#include "interp/lockstep.h"

#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

extern char **environ;

#define OPT(name, arg, env, field, help)                                                           \
    {                                                                                              \
        name, arg, env, help, offsetof(struct user_options, field)                                 \
    }
/* clang-format off */
const struct user_option user_options[] = {
    OPT("h",          NULL,            NULL,           help,       "print this help"),
    OPT("g",          "port",          "GDB",          gdb,        "wait for gdb on TCP port 'port'"),
    OPT("L",          "path",          "LD_PREFIX",    prefix,     "look below 'path' for the interpreter and absolute paths"),
    OPT("s",          "size",          "STACK_SIZE",   stack_size, "stack of 'size' bytes (suffixes k, M, G)"),
    OPT("cpu",        "model",         "CPU",          cpu,        "CPU model (-cpu help for a list)"),
    OPT("E",          "var=value",     "SET_ENV",      set_env,    "set variables in the guest's environment"),
    OPT("U",          "var",           "UNSET_ENV",    unset_env,  "remove variables from the guest's environment"),
    OPT("0",          "argv0",         "ARGV0",        argv0,      "the guest's argv[0]"),
    OPT("r",          "uname",         "UNAME",        uname,      "the release that uname tells"),
    OPT("B",          "address",       "GUEST_BASE",   guest_base, "host address of guest address 0"),
    OPT("R",          "size",          "RESERVED_VA",  reserved,   "size of the guest's address space"),
    OPT("d",          "item[,...]",    "LOG",          log,        "log items (-d help for a list)"),
    OPT("dfilter",    "range[,...]",   "DFILTER",      dfilter,    "log only guest code in these ranges"),
    OPT("D",          "file",          "LOG_FILENAME", log_file,   "write the log to 'file' (default: stderr)"),
    OPT("p",          "pagesize",      "PAGESIZE",     page_size,  "act as if the host's page size were 'pagesize'"),
    OPT("singlestep", NULL,            "SINGLESTEP",   singlestep, "one guest instruction per block"),
    OPT("strace",     NULL,            "STRACE",       strace,     "log system calls"),
    OPT("seed",       "n",             "RAND_SEED",    seed,       "seed of the random numbers that the guest is given"),
    OPT("trace",      "pattern",       "TRACE",        trace,      "enable trace events"),
    OPT("accel",      "NAME[,...]",    "ACCEL",        accel,      "engine: jit[,backend=NAME][,...], interp[,mode=fast|ref][,dispatch=goto|switch][,fp=host|soft]; help lists all"),
    OPT("lockstep",   "a,b",           NULL,           lockstep,   "run the program under two engines and compare them: -lockstep interp,native; more in quern(1)"),
    OPT("version",    NULL,            "VERSION",      version,    "print the version"),
};
/* clang-format on */
const unsigned user_n_options = ARRAY_LEN(user_options);

static const char **opt_slot(struct user_options *o, unsigned i)
{
    return (const char **)((char *)o + user_options[i].offset);
}

static void print_help(const struct abi *abi)
{
    printf("usage: quern-%s [options] program [arguments...]\n"
           "Linux program runner (for %s programs)\n\n"
           "%-24s %-20s %s\n",
           abi->target, abi->target, "Option", "Environment", "Meaning");
    for (unsigned i = 0; i < user_n_options; i++) {
        const struct user_option *o = &user_options[i];
        char left[40], env[40] = "";
        snprintf(left, sizeof left, "-%s %s", o->name, o->arg ? o->arg : "");
        if (o->env) snprintf(env, sizeof env, "QUERN_%s", o->env);
        printf("%-24s %-20s %s\n", left, env, o->help);
    }
    printf(
        "\nA name of the environment that begins with QEMU_ in place of QUERN_ is taken where the "
        "latter is not set.\n"
        "-E and -U take several variables separated by commas, and may be given more than once.\n");
}

/* ---- the guest's environment --------------------------------------------------------------------
 */
struct env {
    char **v;
    size_t n;
};

static void env_unset(struct env *e, const char *name, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < e->n; i++)
        if (strncmp(e->v[i], name, n) || e->v[i][n] != '=') e->v[k++] = e->v[i];
    e->n = k;
    e->v[k] = NULL;
}

static void env_set(struct env *e, const char *assign, size_t n)
{
    const char *eq = memchr(assign, '=', n);
    env_unset(e, assign, eq ? (size_t)(eq - assign) : n);
    e->v = mem_realloc(e->v, (e->n + 2) * sizeof *e->v);
    e->v[e->n++] = mem_printf("%.*s%s", (int)n, assign, eq ? "" : "=");
    e->v[e->n] = NULL;
}

static void env_edit(struct env *e, const char *list, bool set)
{
    while (*list) {
        size_t n = strcspn(list, ",");
        if (n && set)
            env_set(e, list, n);
        else if (n)
            env_unset(e, list, n);
        list += n + (list[n] == ',');
    }
}

/* ---- values
 * ----------------------------------------------------------------------------------------- */
static int parse_size(const char *name, const char *s, uint64_t *v, struct error *e)
{
    char *end;
    errno = 0;
    unsigned long long x = strtoull(s, &end, 0);
    unsigned shift = 0;
    if (end != s && *end) {
        switch (*end | 32) {
        case 'k': shift = 10; break;
        case 'm': shift = 20; break;
        case 'g': shift = 30; break;
        default: shift = 99;
        }
        if (end[1] || shift == 99) end = (char *)s;
    }
    if (end == s || errno || *s == '-' || (shift && x >> (64 - shift)))
        return error_set(e, "-%s %s: not a size", name, s);
    *v = (uint64_t)x << shift;
    return 0;
}

/* ---- set-up
 * ------------------------------------------------------------------------------------------ */
static int set_up_engine(struct proc *p, struct lockstep_config *ls, struct error *e)
{
    struct user_options *o = &p->opt;
    p->engine_config.mode = ENGINE_FAST;
    accel_default(&p->engine_config);
    if (o->accel && accel_parse(&p->engine_config, o->accel, e)) return -1;
    if (o->singlestep) p->engine_config.max_block = 1;
    if (o->lockstep) {
        if (lockstep_parse(ls, o->lockstep, &p->engine_config, e)) return -1;
        p->engine_config = ls->engine[0];
    }
    p->engine = engine_new(&p->engine_config, e);
    if (!p->engine) return -1;
    p->world.user = true;
    p->world.user_code = mem_user_code;
    p->world.user_code_page = mem_user_code_page;
    p->world.user_debug = mem_user_debug;
    p->world.user_debug_done = mem_user_debug_done;
    return 0;
}

static int find_model(struct proc *p, struct error *e)
{
    const char *name = p->opt.cpu ? p->opt.cpu : p->abi->default_cpu;
    p->model = isa_choose_model(p->isa, name, &p->made_model, e);
    return p->model ? 0 : -1;
}

static int set_up_memory(struct proc *p, struct error *e)
{
    struct user_options *o = &p->opt;
    uint64_t limit = p->abi->limit, base = 0, page = 0, stack = 8 << 20, v;
    if (o->reserved) {
        if (parse_size("R", o->reserved, &v, e)) return -1;
        if (v && v < limit) limit = v;
        if (limit < 0x1000000) return error_set(e, "-R %s: too small for any program", o->reserved);
    }
    if (o->guest_base && parse_size("B", o->guest_base, &base, e)) return -1;
    if (o->page_size) {
        if (parse_size("p", o->page_size, &page, e)) return -1;
        if (!page || (page & (page - 1)) || page > 1 << 20)
            return error_set(e, "-p %s: a page size is a power of two", o->page_size);
    }
    if (o->stack_size) {
        if (parse_size("s", o->stack_size, &stack, e)) return -1;
        if (stack < 65536 || stack > limit / 4)
            return error_set(e, "-s %s: out of range", o->stack_size);
    }
    if (mem_init(p, limit, base, page, e)) return -1;
    stack = ALIGN_UP(stack, p->page_size);
    /* The stack is at the top, the page of trampolines above it, a gap between. */
    uint64_t top = p->limit - 4 * p->page_size;
    uint8_t *tramp;
    p->sigpage = top + 2 * p->page_size;
    if (mem_mmap(p, p->sigpage, p->page_size, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) < 0 ||
        mem_mmap(p, top - stack, stack, PROT_READ | PROT_WRITE | PROT_EXEC,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) < 0)
        return error_set(e, "no memory for the guest's stack of %llu bytes",
                         (unsigned long long)stack);
    tramp = p->base + p->sigpage;
    p->abi->write_sigpage(p, tramp);
    mem_mprotect(p, p->sigpage, p->page_size, PROT_READ | PROT_EXEC);
    p->stack_low = top - stack;
    p->stack_high = top;
    p->mmap_top = p->stack_low - 16 * p->page_size;
    return 0;
}

static char *find_program(struct proc *p, const char *name)
{
    char room[PATH_ROOM];
    /* An absolute name that exists on the host is meant as it is; below the prefix otherwise. */
    const char *path = access(name, F_OK) ? path_map(p, name, room, true) : name;
    char *real = realpath(path, NULL);
    char *out = mem_strdup(real ? real : path);
    free(real);
    return out;
}

static const char *default_prefix(const struct abi *abi)
{
    static const char *const places[] = {"/usr/gnemul/quern-%s", "/usr/gnemul/qemu-%s",
                                         "/etc/qemu-binfmt/%s"};
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        char path[128];
        snprintf(path, sizeof path, "%.*s%s", (int)(strlen(places[i]) - 2), places[i], abi->target);
        if (!access(path, F_OK)) return mem_strdup(path);
    }
    return NULL;
}

static void put_line(const char *name, const char *help)
{
    printf("  %-18s %s\n", name, help ? help : "");
}

static void put_text(void *opaque, const char *line)
{
    (void)opaque;
    puts(line);
}

static int run(struct proc *p, int argc, char **argv, struct env *env, struct error *e)
{
    struct user_options *o = &p->opt;
    bool be;
    p->isa = isa_find_target(p->target, &be);
    if (!p->isa) return error_set(e, "this program was built without the ISA of %s", p->target);
    if (o->cpu && (!strcmp(o->cpu, "help") || !strcmp(o->cpu, "?"))) {
        isa_list_models(p->isa, put_text, NULL);
        return 0;
    }
    if (o->log && !strcmp(o->log, "help")) {
        for (unsigned i = 0; i < LOG_BIT_COUNT; i++)
            put_line(log_items[i].name, log_items[i].help);
        return 0;
    }
    uint32_t mask = 0;
    if (o->log && log_parse_items(o->log, &mask, e)) return -1;
    log_set(mask);
    if (o->log_file && log_set_file(o->log_file, e)) return -1;
    if (o->dfilter && log_set_filter(o->dfilter, e)) return -1;
    p->strace = o->strace || (mask & LOG_STRACE);
    if (o->lockstep && o->gdb) return error_set(e, "-lockstep: not together with -g");
    if (o->trace) return error_set(e, "-trace: user mode has no trace events");
    if (o->seed) {
        char *end;
        p->rng = strtoull(o->seed, &end, 0);
        if (!*o->seed || *end) return error_set(e, "-seed %s: not a number", o->seed);
        p->seeded = true;
    } else if (getrandom(&p->rng, sizeof p->rng, GRND_NONBLOCK) != sizeof p->rng) {
        struct timespec ts;
        clock_gettime(CLOCK_REALTIME, &ts);
        p->rng = (uint64_t)ts.tv_nsec << 20 ^ (uint64_t)ts.tv_sec ^ (uint64_t)getpid() << 40;
    }
    if (argc < 1) {
        error_set(e, "no program given");
        error_hint(e, "usage: quern-%s [options] program [arguments...]; -h lists the options",
                   p->target);
        return -1;
    }
    if (!o->prefix) o->prefix = default_prefix(p->abi);
    if (o->prefix) {
        /* Guests change directory; and a prefix of / is none. */
        char *real = realpath(o->prefix, NULL);
        o->prefix = real ? real : o->prefix;
        if (!strcmp(o->prefix, "/")) o->prefix = "";
    }
    struct lockstep_config lockstep;
    if (find_model(p, e) || set_up_memory(p, e) || set_up_engine(p, &lockstep, e)) return -1;
    pthread_mutex_init(&p->lock, NULL);
    p->exe = find_program(p, argv[0]);
    const char *execfn = argv[0];
    if (o->argv0) argv[0] = (char *)o->argv0;
    p->argv = argv;
    p->argc = argc;

    struct thread *t = thread_new(p);
    thread_current = t;
    t->tid = (pid_t)syscall(SYS_gettid);
    if (p->isa->init(t->cpu, p->model, p->abi->be, true, e)) return -1;
    if (user_elf_load(p, p->exe, e)) return -1;
    if (p->abi->setup(t, e)) return -1;
    uint64_t sp = elf_build_stack(p, argc, argv, env->v, execfn, e);
    if (!sp) return -1;
    p->abi->start(t, p->entry, sp);
    if (log_on(LOG_PAGE))
        log_printf("guest base 0x%llx\nlimit      0x%llx\nstart_brk  0x%llx\nentry      "
                   "0x%llx\nstack      0x%llx\n",
                   (unsigned long long)(uintptr_t)p->base, (unsigned long long)p->limit,
                   (unsigned long long)p->brk_start, (unsigned long long)p->entry,
                   (unsigned long long)sp);
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    t->mask = signal_from_sigset(&now);
    if (o->gdb && debug_wait(p, e)) return -1;
    if (signal_init(p, e)) return -1;
    signal_init_thread(t);
    if (p->gdb) debug_start(t);
    if (o->lockstep && uls_new(t, &lockstep, e)) return -1;
    thread_loop(t);
    thread_exit_group(t, 0);
}

int user_main(int argc, char **argv, const char *target)
{
    struct error e = ERROR_INIT;
    struct proc *p = NEW(struct proc);
    p->target = target;
    p->abi = abi_find(target);
    error_set_progname(mem_printf("quern-%s", target));
    if (!p->abi) {
        error_report("user mode does not know the target '%s'", target);
        return 1;
    }
    struct env env = {NULL, 0};
    while (environ[env.n])
        env.n++;
    env.v = mem_alloc((env.n + 2) * sizeof *env.v);
    memcpy(env.v, environ, (env.n + 1) * sizeof *env.v);
    for (unsigned i = 0; i < user_n_options; i++) {
        const struct user_option *o = &user_options[i];
        if (!o->env) continue;
        char name[48];
        snprintf(name, sizeof name, "QUERN_%s", o->env);
        const char *v = getenv(name);
        if (!v) {
            snprintf(name, sizeof name, "QEMU_%s", o->env);
            v = getenv(name);
        }
        if (!v) continue;
        *opt_slot(&p->opt, i) = v;
        if (!strcmp(o->name, "E")) env_edit(&env, v, true);
        if (!strcmp(o->name, "U")) env_edit(&env, v, false);
    }
    int at = 1;
    for (; at < argc && argv[at][0] == '-' && argv[at][1]; at++) {
        const char *name = argv[at] + 1;
        if (!strcmp(name, "-")) {
            at++;
            break;
        }
        if (*name == '-') name++;
        if (!strcmp(name, "help")) name = "h";
        unsigned i = 0;
        while (i < user_n_options && strcmp(user_options[i].name, name))
            i++;
        if (i == user_n_options) {
            error_report("unknown option '%s'", argv[at]);
            error_info("-h lists the options");
            return 1;
        }
        const char *value = "";
        if (user_options[i].arg) {
            if (at + 1 == argc) {
                error_report("option '%s' needs an argument", argv[at]);
                return 1;
            }
            value = argv[++at];
        }
        *opt_slot(&p->opt, i) = value;
        if (!strcmp(user_options[i].name, "E")) env_edit(&env, value, true);
        if (!strcmp(user_options[i].name, "U")) env_edit(&env, value, false);
    }
    if (p->opt.help) {
        print_help(p->abi);
        return 0;
    }
    if (p->opt.version) {
        printf("quern-%s version %s\n", target, PACKAGE_VERSION);
        return 0;
    }
    if (run(p, argc - at, argv + at, &env, &e)) {
        error_print(&e);
        return 1;
    }
    return 0;
}
