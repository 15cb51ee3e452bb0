/*
 * jit-tcc.c - the libtcc backend: regions as C source, compiled in batches, for hosts that have no native backend and as a
 * second opinion on those that have one. A module (interp/jit.h).
 *
 * The compiled text calls nothing but through constants and its own functions, and has no data: it may lie anywhere. So
 * libtcc links it in a buffer, from which it is copied to the engine's code memory; nothing is ever writable and executable
 * where the engine runs. Not here: the source (gen*.c, text.c).
 *
 * libtcc was not made for programs that must not end: where it is linked statically, exit() and mprotect() are replaced for it
 * (--wrap, see configure). After an exit() its state is lost, and nothing more is compiled.
 */
#include "jit-tcc/tcc.h"

#include <libtcc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

const struct jit_services *tcc_svc;

/* libtcc has globals of its own: one at a time, whoever asks. */
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
static bool broken;
static char message[256];

/* ---- what libtcc needs replaced ------------------------------------------------------------------------- */

#ifdef QUERN_TCC_STATIC
static jmp_buf *escape;          /* under the lock */

/* Debian's libtcc.a is not made for shared objects: it takes the addresses of these directly. */
FILE *quern_tcc_stdout, *quern_tcc_stderr;
char **quern_tcc_environ;

int __wrap_mprotect(void *p, size_t n, int prot);
int __wrap_mprotect(void *p, size_t n, int prot)
{
    (void)p, (void)n, (void)prot;
    return 0;
}

ATTR_NORETURN void __wrap_exit(int status);
ATTR_NORETURN void __wrap_exit(int status)
{
    (void)status;
    if (escape) longjmp(*escape, 1);
    abort(); /* not reached: libtcc is called in compile_source() only */
}
#endif

static void complain(void *opaque, const char *text)
{
    (void)opaque;
    if (!message[0]) snprintf(message, sizeof message, "%s", text);
}

/* ---- compiling a source ----------------------------------------------------------------------------------- */

/* Linked text: n functions f0, f1, ... at their offsets, the end in at[n]. */
struct image { uint8_t *bytes; size_t size; };

static int relocate(TCCState *s, struct image *m)
{
#ifdef QUERN_TCC_RELOCATE_TO
    int n = tcc_relocate(s, NULL);
    if (n <= 0) return -1;
    m->size = ALIGN_UP((size_t)n, (size_t)65536);
    void *p = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return -1;
    m->bytes = p;
    return tcc_relocate(s, p);
#else
    (void)m;
    return tcc_relocate(s); /* into memory of its own, until tcc_delete */
#endif
}

static bool link_source(TCCState *s, const char *source, struct image *m, unsigned n, const uint8_t **at)
{
    char name[16];
    tcc_set_error_func(s, NULL, complain);
    tcc_set_options(s, "-nostdlib -w");
    tcc_set_output_type(s, TCC_OUTPUT_MEMORY);
    if (tcc_compile_string(s, source) < 0 || relocate(s, m) < 0) return false;
    for (unsigned i = 0; i <= n; i++) {
        snprintf(name, sizeof name, i < n ? "f%u" : "z", i);
        at[i] = tcc_get_symbol(s, name);
        if (!at[i] || (i && at[i] <= at[i - 1])) return false;
    }
    at[n + 1] = tcc_get_symbol(s, "a"); /* the first of all */
    return at[n + 1] && at[n + 1] <= at[0];
}

/* Calls use() with the linked text while it is there. False: libtcc would not (and, unless it was a question, is not asked again:
 * an error may leave its globals in any state), or use() did not. */
static bool compile_source(const char *source, unsigned n, const uint8_t **at, bool (*use)(void *, const uint8_t **at), void *opaque, bool question)
{
    struct image m = { NULL, 0 };
    TCCState *volatile s = NULL;
    volatile bool linked = false, used = false;

    if (broken) return false;
    message[0] = '\0';
#ifdef QUERN_TCC_STATIC
    jmp_buf here;
    escape = &here;
    if (setjmp(here)) {
        linked = used = false;
        broken = true;
    } else
#endif
    {
        s = tcc_new();
        linked = s && link_source(s, source, &m, n, at);
        used = linked && use(opaque, at);
        if (s) tcc_delete(s);
    }
#ifdef QUERN_TCC_STATIC
    escape = NULL;
#endif
    if (m.bytes) munmap(m.bytes, m.size);
    if (!linked && !question) {
        broken = true;
        tcc_svc->warn("JIT backend 'tcc': libtcc failed, nothing more is compiled%s%s", message[0] ? ": " : "", message);
    }
    return used;
}

/* ---- regions ------------------------------------------------------------------------------------------------ */

enum { BATCH = 32 };

struct batch {
    struct engine *eng;
    struct jit_code *const *codes;
    struct tcc_code **privs;
    const unsigned *which;      /* of the functions: index in codes */
    unsigned n;
};

static bool install(void *opaque, const uint8_t **at)
{
    const struct batch *b = opaque;
    const uint8_t *from = at[b->n + 1];
    size_t size = (size_t)(at[b->n] - from);
    struct codemem m;

    if (!tcc_svc->code_alloc(b->eng, size, &m)) return false;
    memcpy(m.rw, from, size);
    tcc_svc->code_flush_icache(m.rx, size);
    for (unsigned i = 0; i < b->n; i++) {
        struct jit_code *c = b->codes[b->which[i]];
        const uint8_t *entry = m.rx + (at[i] - from);
        c->text = entry;
        c->text_size = (size_t)(at[i + 1] - at[i]);
        c->priv = b->privs[b->which[i]];
        memcpy(&c->entry, &entry, sizeof c->entry);
    }
    return true;
}

/* Lock held. Compiles those regions of which[] that have text; all or none. */
static bool compile_some(struct engine *eng, struct jit_code *const *codes, struct tcc_code **privs, const struct text *texts, uint32_t needs,
                         const unsigned *which, unsigned n)
{
    struct text t = { NULL, 0, 0, false };
    const uint8_t *at[BATCH + 2];
    struct batch b = { eng, codes, privs, which, n };

    text_put(&t, "void a(){}\n");
    tcc_text_prelude(&t, needs);
    for (unsigned i = 0; i < n; i++) text_put(&t, "#define f f%u\n%s#undef f\n", i, texts[which[i]].s);
    text_put(&t, "void z(){}\n");
    bool ok = !t.failed && compile_source(t.s, n, at, install, &b, false);
    text_free(&t);
    return ok;
}

static void compile_batch(void *state, struct jit_region *const *r, unsigned n, struct jit_code *const *codes, bool *ok)
{
    struct engine *eng = state;

    while (n) {
        struct text texts[BATCH] = { { NULL, 0, 0, false } };
        struct tcc_code *privs[BATCH] = { NULL };
        unsigned which[BATCH], some = 0, m = MIN(n, (unsigned)BATCH);
        uint32_t needs = 0;

        pthread_mutex_lock(&one);
        for (unsigned i = 0; i < m; i++) {
            const char *why = "no memory";
            ok[i] = false;
            privs[i] = calloc(1, sizeof *privs[i]);
            if (privs[i]) why = tcc_gen(r[i], &texts[i], "f", privs[i], &needs);
            if (!why) tcc_svc->log("tcc: block %08" PRIx64 ":\n%s\n", r[i]->blocks[0].blk->pc, texts[i].s), which[some++] = i;
            else tcc_svc->log("tcc: block %08" PRIx64 " not compiled: %s\n", r[i]->blocks[0].blk->pc, why);
        }
        if (some && compile_some(eng, codes, privs, texts, needs, which, some)) {
            for (unsigned i = 0; i < some; i++) ok[which[i]] = true;
        }
        pthread_mutex_unlock(&one);
        for (unsigned i = 0; i < m; i++) {
            if (!ok[i]) tcc_code_free(privs[i]);
            text_free(&texts[i]);
        }
        r += m, codes += m, ok += m, n -= m;
    }
}

static bool compile(void *state, const struct jit_region *r, struct jit_code *code, const char **why)
{
    bool ok = false;
    struct jit_region *region = (struct jit_region *)(uintptr_t)r; /* not written to */
    compile_batch(state, &region, 1, &code, &ok);
    if (!ok) *why = "refused";
    return ok;
}

static void release(void *state, struct jit_code *code)
{
    (void)state;
    tcc_code_free(code->priv);
    code->priv = NULL;
}

/* ---- what compiled code calls --------------------------------------------------------------------------------- */

static struct frame *frame_of(struct cpu *cpu) { return (struct frame *)(uintptr_t)cpu->temps[FRAME_TEMP]; }
static const struct tcc_code *code_of(struct cpu *cpu) { return ((const struct jit_code *)(uintptr_t)cpu->temps[CODE_TEMP])->priv; }

void tcc_note(struct cpu *cpu)
{
    struct frame *f = frame_of(cpu);
    if (!f->no) return;
    cpu->fp_note.a = f->na, cpu->fp_note.b = f->nb, cpu->fp_note.op = f->no & ~NOTE_SET, cpu->fp_note.aux = f->nx;
    f->no = 0;
}

/* Makes the cpu's state exact at point k. Async-signal safe. */
static const struct point *expose(struct cpu *cpu, struct frame *f, uint32_t k)
{
    const struct tcc_code *t = code_of(cpu);
    const struct point *p = &t->points[k];

    for (unsigned i = 0; i < ARRAY_LEN(p->dirty.w); i++) {
        for (uint64_t w = p->dirty.w[i]; w; w &= w - 1) {
            const struct local *l = &t->locals[i * 64 + host_ctz64(w)];
            memcpy((char *)cpu + l->cell, (const char *)f + l->at, l->wide ? 8 : 4);
        }
    }
    cpu->icount_left = f->ic;
    cpu->xpoint = p->number;
    tcc_note(cpu);
    return p;
}

/* After what may have changed the engine's part of the state. */
static void resume(struct cpu *cpu, struct frame *f)
{
    f->ic = cpu->icount_left;
    f->ff = cpu->fp_fast;
    if (atomic_load_u32(&cpu->kick)) f->lim = INT64_MAX;
}

uint64_t tcc_ld(struct cpu *cpu, uint64_t va, uint32_t k)
{
    struct frame *f = frame_of(cpu);
    const struct point *p = expose(cpu, f, k);
    uint64_t v = tcc_svc->ld(cpu, va, p->mem, p->mmu);
    resume(cpu, f);
    return v;
}

void tcc_st(struct cpu *cpu, uint64_t va, uint64_t v, uint32_t k)
{
    struct frame *f = frame_of(cpu);
    const struct point *p = expose(cpu, f, k);
    tcc_svc->st(cpu, va, v, p->mem, p->mmu);
    resume(cpu, f);
}

uint64_t tcc_cas(struct cpu *cpu, uint64_t va, uint64_t expect, uint64_t v, uint32_t k)
{
    struct frame *f = frame_of(cpu);
    const struct point *p = expose(cpu, f, k);
    v = tcc_svc->cas(cpu, va, expect, v, p->mem, p->mmu);
    resume(cpu, f);
    return v;
}

uint64_t tcc_rmw(struct cpu *cpu, uint64_t va, uint64_t v, uint32_t k)
{
    struct frame *f = frame_of(cpu);
    const struct point *p = expose(cpu, f, k);
    v = tcc_svc->rmw(cpu, va, v, p->what, p->mem, p->mmu);
    resume(cpu, f);
    return v;
}

uint64_t tcc_call(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint32_t k)
{
    struct frame *f = frame_of(cpu);
    const struct point *p = expose(cpu, f, k);
    uint64_t v = p->fn(cpu, a, b, c);
    resume(cpu, f);
    return v;
}

uint64_t tcc_op(struct cpu *cpu, uint64_t a, uint64_t b, uint64_t c, uint32_t k)
{
    const struct ir_op *o = &code_of(cpu)->ops[k];
    unsigned cls = tcc_svc->op_info[o->op].cls;
    if (cls != CLASS_PURE && cls != CLASS_CONV) frame_of(cpu)->no = 0; /* it leaves its own note, if it is of floating point */
    return tcc_svc->op(cpu, o, a, b, c);
}

void tcc_fence(void) { atomic_fence(); }

void tcc_fetch_fault(struct cpu *cpu, uint64_t va, uint32_t k)
{
    expose(cpu, frame_of(cpu), k);
    tcc_svc->fetch_fault(cpu, va);
}

/* A host fault: before every access that may give one, its point was put in the frame. */
static bool recover(const struct jit_code *code, struct cpu *cpu, const void *context)
{
    struct frame *f = frame_of(cpu);
    (void)code, (void)context;
    expose(cpu, f, f->pt);
    return true;
}

/* ---- the module -------------------------------------------------------------------------------------------------- */

static bool try_probe(void *opaque, const uint8_t **at)
{
    (void)opaque;
    return at[1] > at[0];
}

static bool understands(const char *source)
{
    const uint8_t *at[3];
    return compile_source(source, 1, at, try_probe, NULL, true);
}

static void *init(struct engine *eng, struct error *e)
{
    (void)e;
    return eng; /* nothing of its own */
}

static const struct jit_backend backend = {
    .name = "tcc", .help = "C source of regions, compiled by libtcc: fast to compile, for hosts without a native backend and for tests",
    .tiers = 2, .threshold = { 4000, 4000 }, .batch = BATCH,
    .init = init, .compile = compile, .compile_batch = compile_batch, .release = release, .recover = recover,
};

jit_module_fn quern_jit_backend;

const struct jit_backend *quern_jit_backend(const struct jit_services *s, struct error *e)
{
    if (s->abi != jit_abi()) {
        s->error_set(e, "the module is of another build");
        return NULL;
    }
    tcc_svc = s;
    if (sizeof(void *) != 8) {
        s->error_set(e, "hosts of 64 bits only");
        return NULL;
    }
    pthread_mutex_lock(&one);
    bool ok = understands("void a(){}unsigned long long f0(char*c,char*k){return 1;}void z(){}");
#if defined __x86_64__
    bool swap = ok && understands("void a(){}unsigned long long f0(unsigned x){unsigned long long w=x;asm(\"bswap %k0\":\"=r\"(x):\"0\"(x));"
                                  "asm(\"bswapq %0\":\"=r\"(w):\"0\"(w));return w+x;}void z(){}");
#else
    bool swap = false;
#endif
    pthread_mutex_unlock(&one);
    if (!ok) {
        s->error_set(e, "libtcc does not work here%s%s", message[0] ? ": " : "", message);
        return NULL;
    }
    tcc_text_init(swap);
    return &backend;
}
