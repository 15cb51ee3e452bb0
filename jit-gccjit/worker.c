/*
 * worker.c - quern-jit-worker-gccjit: the compiler behind the gccjit backend, a program of its own, since libgccjit is under
 * the GPL and keeps memory that it never gives back. Reads batches of regions from descriptor 0 and writes objects to it
 * (jit-gccjit/proto.h); ends when the other side is gone. Its one argument is a directory of its own for temporary files,
 * which it removes at the end.
 */
#include "jit-gccjit/gen.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { BATCH_SECONDS = 60, REGION_SECONDS = 60 }; /* of CPU time, at most */

static bool read_all(void *p, size_t n)
{
    for (char *at = p; n;) {
        ssize_t k = read(0, at, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return false;
        at += k, n -= (size_t)k;
    }
    return true;
}

static bool write_all(const void *p, size_t n)
{
    for (const char *at = p; n;) {
        ssize_t k = write(0, at, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return false;
        at += k, n -= (size_t)k;
    }
    return true;
}

/* ---- the message ---------------------------------------------------------------------------------------- */

struct cursor { const uint8_t *at, *end; };

static const void *take(struct cursor *c, size_t n)
{
    n = ALIGN_UP(n, (size_t)8);
    if (!c->at || (size_t)(c->end - c->at) < n) {
        c->at = NULL;
        return NULL;
    }
    const void *p = c->at;
    c->at += n;
    return p;
}

static bool id_ok(const struct gen_region *r, const struct gen_block *b, ir_id x)
{
    if (x == IR_NONE) return true;
    if (ir_is_slot(x)) return x < r->h->n_slots;
    if (ir_is_temp(x)) return x - IR_TEMP < b->h->n_temps;
    return x - IR_CONST < b->h->n_consts;
}

static bool block_ok(const struct gen_region *r, const struct gen_block *b)
{
    const struct gj_block *h = b->h;
    if (h->n_links > IR_MAX_LINKS || h->n_ind > JIT_MAX_IND || h->n_temps > IR_MAX_TEMPS) return false;
    for (unsigned l = 0; l < h->n_links; l++) {
        if (h->to[l] >= (int)r->h->n_blocks) return false;
    }
    for (unsigned i = 0; i < h->n_ind; i++) {
        if (h->ind[i] < 0 || h->ind[i] >= (int)r->h->n_blocks) return false;
    }
    for (unsigned i = 0; i < h->n_ops; i++) {
        const struct ir_op *o = &b->ops[i];
        if (o->op >= OP_COUNT || o->type > T_I64) return false;
        if (o->op == OP_INSN) continue;
        const ir_id x[] = { o->d, o->a, o->b, o->c };
        for (unsigned k = 0; k < 4; k++) {
            unsigned more = x[k] == IR_NONE ? 0 : gen_operand_cells(o, k) - 1;
            if (!id_ok(r, b, x[k]) || (more && !id_ok(r, b, (ir_id)(x[k] + more)))) return false;
        }
        if ((o->op == OP_BRC || o->op == OP_GOTO) && o->aux >= h->n_links) return false;
        if ((o->op == OP_LABEL || o->op == OP_BR || o->op == OP_BRL) && o->aux >= h->n_labels) return false;
        if (o->op == OP_CALL && o->aux >= r->h->n_helpers) return false;
    }
    return true;
}

static bool parse(struct cursor *c, struct gen_region *r)
{
    unsigned marks = 0;
    r->h = take(c, sizeof *r->h);
    if (!r->h || !r->h->n_blocks || r->h->n_blocks > JIT_MAX_BLOCKS || r->h->n_slots > IR_TEMP || r->h->pc_slot >= r->h->n_slots) return false;
    r->slots = take(c, r->h->n_slots * sizeof *r->slots);
    r->helpers = take(c, r->h->n_helpers * sizeof *r->helpers);
    r->blocks = calloc(r->h->n_blocks, sizeof *r->blocks);
    for (unsigned i = 0; i < r->h->n_blocks; i++) {
        struct gen_block *b = &r->blocks[i];
        b->h = take(c, sizeof *b->h);
        if (!b->h) return false;
        b->ops = take(c, b->h->n_ops * sizeof *b->ops);
        b->consts = take(c, b->h->n_consts * sizeof *b->consts);
        b->const_type = take(c, b->h->n_consts);
        b->temp_type = take(c, b->h->n_temps);
        if (!c->at || !block_ok(r, b)) return false;
        b->first_mark = marks;
        for (unsigned k = 0; k < b->h->n_ops; k++) marks += b->ops[k].op == OP_INSN;
    }
    return true;
}

/* ---- compiling ------------------------------------------------------------------------------------------- */

static const char *const options[] = {
    "-fno-strict-aliasing", "-ffp-contract=off", "-frounding-math", "-fsignaling-nans", "-fno-math-errno",
    "-fno-pic", "-fno-asynchronous-unwind-tables", "-fno-stack-protector", "-fcf-protection=none",
    "-ffunction-sections", "-fno-toplevel-reorder", "-fno-reorder-blocks-and-partition", "-fno-ipa-icf", /* each function in one piece */
    "-fno-tree-vectorize", "-fno-tree-slp-vectorize", /* it packs variables that live in a loop to store them together after it */
    "-fno-schedule-insns", "-fno-schedule-insns2", /* the host's FP flags are not known to the scheduler */
    "--param=builtin-expect-probability=100",
};

static gcc_jit_context *new_context(bool dump)
{
    gcc_jit_context *ctx = gcc_jit_context_acquire();
    if (!ctx) return NULL;
    gcc_jit_context_set_int_option(ctx, GCC_JIT_INT_OPTION_OPTIMIZATION_LEVEL, 2);
    gcc_jit_context_set_bool_allow_unreachable_blocks(ctx, 1);
    gcc_jit_context_set_bool_print_errors_to_stderr(ctx, dump);
    for (unsigned i = 0; i < ARRAY_LEN(options); i++) {
#ifndef __x86_64__
        if (!strncmp(options[i], "-fcf-", 5)) continue;
#endif
        gcc_jit_context_add_command_line_option(ctx, options[i]);
    }
    if (gx_simd() != SIMD_PLAIN) gcc_jit_context_add_command_line_option(ctx, gx_simd() == SIMD_AVX ? "-mavx" : "-mavx512vl");
    return ctx;
}

static uint8_t *read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    uint8_t *p = NULL;
    long size;
    *n = 0;
    if (!f) return NULL;
    if (!fseek(f, 0, SEEK_END) && (size = ftell(f)) > 0 && size < GJ_MAX_SIZE && !fseek(f, 0, SEEK_SET)) {
        p = malloc((size_t)size);
        if (p && fread(p, 1, (size_t)size, f) == (size_t)size) *n = (size_t)size;
    }
    fclose(f);
    return p;
}

static uint32_t rss_kb(void)
{
    unsigned long size = 0, rss = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f) return 0;
    if (fscanf(f, "%lu %lu", &size, &rss) != 2) rss = 0;
    fclose(f);
    return (uint32_t)(rss * (unsigned long)sysconf(_SC_PAGESIZE) / 1024);
}

/* The object, to be freed, or NULL and reply->error. */
static uint8_t *compile(const struct gj_request *q, const uint8_t *body, const char *dir, struct gj_reply *reply)
{
    struct cursor c = { body, body + q->size };
    gcc_jit_context *ctx = new_context(q->flags & 1);
    const char *why = ctx ? NULL : "libgccjit gives no context";
    uint8_t *object = NULL;
    size_t n = 0;
    char path[512];

    for (unsigned i = 0; i < q->n_regions && !why; i++) {
        struct gen_region r = { NULL };
        if (!parse(&c, &r)) why = "a region that makes no sense";
        else gen_region(ctx, &r, i, &why);
        free(r.blocks);
    }
    if (!why) {
        snprintf(path, sizeof path, "%s/object.o", dir);
        if (q->flags & 1) gcc_jit_context_dump_to_file(ctx, "/tmp/quern-jit-dump.c", 0);
        gcc_jit_context_compile_to_file(ctx, GCC_JIT_OUTPUT_KIND_OBJECT_FILE, path);
        why = gcc_jit_context_get_first_error(ctx);
        if (!why) {
            object = read_file(path, &n);
            if (!n) why = "no object came out";
        }
        unlink(path);
    }
    if (why) {
        snprintf(reply->error, sizeof reply->error, "%s", why);
        free(object);
        object = NULL;
    } else {
        reply->size = (uint32_t)n;
    }
    if (ctx) gcc_jit_context_release(ctx);
    return object;
}

/* What the guest has taken from itself is not meant for us, as far as that can be undone. */
static void raise_limits(void)
{
    static const int what[] = { RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_NOFILE, RLIMIT_AS };
    for (unsigned i = 0; i < ARRAY_LEN(what); i++) {
        struct rlimit r;
        if (getrlimit(what[i], &r) || r.rlim_cur == r.rlim_max) continue;
        r.rlim_cur = r.rlim_max;
        setrlimit(what[i], &r);
    }
    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
}

/* A batch that takes more than any should ends us. */
static void limit_time(unsigned n_regions)
{
    struct timespec t;
    struct rlimit r;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) || getrlimit(RLIMIT_CPU, &r)) return;
    r.rlim_cur = MIN((rlim_t)t.tv_sec + BATCH_SECONDS + (rlim_t)n_regions * REGION_SECONDS, r.rlim_max);
    setrlimit(RLIMIT_CPU, &r);
}

int main(int argc, char **argv)
{
    const struct gj_hello hello = { GJ_HELLO, GJ_VERSION, jit_abi() };
    uint32_t contexts = 0;

    if (argc != 2 || strchr(argv[1], '\n')) {
        fprintf(stderr, "%s: a part of quern, not to be called by itself\n", argv[0]);
        return 2;
    }
    for (int fd = 3; fd < 4096; fd++) close(fd); /* the guest's, perhaps */
    signal(SIGPIPE, SIG_IGN);
    setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1); /* as and ld are found through it */
    setenv("TMPDIR", argv[1], 1);
    setenv("LC_ALL", "C", 1);
    raise_limits();
    if (chdir(argv[1]) || !write_all(&hello, sizeof hello)) return 1;
    for (;;) {
        struct gj_request q;
        if (!read_all(&q, sizeof q) || q.magic != GJ_REQUEST || q.size > GJ_MAX_SIZE || q.n_regions > GJ_BATCH) break;
        uint8_t *body = malloc(q.size + 1u);
        if (!body || !read_all(body, q.size)) break;
        limit_time(q.n_regions);
        struct gj_reply reply = { .magic = GJ_REPLY, .contexts = ++contexts };
        uint8_t *object = compile(&q, body, argv[1], &reply);
        reply.rss_kb = rss_kb();
        bool ok = write_all(&reply, sizeof reply) && write_all(object, reply.size);
        free(object);
        free(body);
        if (!ok) break;
    }
    if (!chdir("/")) rmdir(argv[1]);
    return 0;
}
