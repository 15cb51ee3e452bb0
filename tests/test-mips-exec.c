/*
 * test-mips-exec.c - runs the guest programs of tests/mips-insn in both interpreters and compares what they print with
 * what qemu-user printed (tests/mips-insn/NAME.txt), line by line: one line is one instruction. Then checks by hand
 * what programs cannot print: exceptions, their code and their pc, also in delay slots.
 *
 * The world is the smallest there is: one flat piece of memory, and three system calls.
 */
#include "isa/mips/decode.h"
#include "tests/backends.h"
#include "isa/mips/mips-user.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static unsigned passed, failed;

ATTR_PRINTF(2, 3) static bool check(bool ok, const char *fmt, ...)
{
    va_list ap;

    if (ok) {
        passed++;
        return true;
    }
    failed++;
    va_start(ap, fmt);
    printf("FAILED ");
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
    return false;
}

enum { ARENA = 1 << 20 };

struct box {
    struct engine *engine;
    struct cpu_world world;
    struct cpu *c;
    struct mips_cpu *m;
    uint8_t *alloc, *mem;
    char *out;
    size_t n_out;
};

static const uint8_t *user_code(struct cpu *c, uint64_t va)
{
    return va < ARENA ? c->ubase + (va & CPU_PAGE_MASK) : NULL;
}

static bool open_box(struct box *b, bool is64, const char *model, bool be, enum engine_mode mode, unsigned abi)
{
    const struct isa *isa = is64 ? &mips64_isa : &mips32_isa;
    struct engine_config cfg = { .mode = mode };
    engine_from_environment(&cfg);
    const struct cpu_model *md = isa_find_model(isa, model);
    struct error e = ERROR_INIT;

    memset(b, 0, sizeof *b);
    b->world = (struct cpu_world){ .user = true, .user_code = user_code };
    b->engine = engine_new(&cfg, &e);
    b->c = cpu_new(isa->guest, &b->world, b->engine, NULL, 0);
    b->m = mips_cpu(b->c);
    b->alloc = mem_zalloc(ARENA + 2 * CPU_PAGE_SIZE);
    b->mem = (uint8_t *)(((uintptr_t)b->alloc + CPU_PAGE_SIZE) & ~(uintptr_t)(CPU_PAGE_SIZE - 1)); /* code is found by pages */
    b->c->ubase = b->mem;
    b->c->ulimit = ARENA;
    if (!check(md && !isa->init(b->c, md, be, true, &e), "%s: %s", model, e.msg)) return false;
    mips_user_setup(b->c, abi);
    return true;
}

static void close_box(struct box *b)
{
    cpu_delete(b->c);
    engine_delete(b->engine);
    mem_free(b->alloc);
    mem_free(b->out);
}

/* ---- programs ---- */
static uint64_t rd(const uint8_t *p, unsigned n, bool be)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++) v |= (uint64_t)p[be ? n - 1 - i : i] << 8 * i;
    return v;
}

static bool load_elf(struct box *b, const char *path, uint64_t *entry)
{
    FILE *f = fopen(path, "rb");
    uint8_t *buf = mem_zalloc(ARENA);
    size_t n = f ? fread(buf, 1, ARENA, f) : 0;
    bool ok = n > 64 && !memcmp(buf, "\177ELF", 4), is64 = buf[4] == 2, be = buf[5] == 2;

    if (f) fclose(f);
    *entry = rd(buf + 24, is64 ? 8 : 4, be);
    uint64_t phoff = rd(buf + (is64 ? 32 : 28), is64 ? 8 : 4, be);
    unsigned size = is64 ? 56 : 32, count = (unsigned)rd(buf + (is64 ? 56 : 44), 2, be);
    for (unsigned i = 0; ok && i < count; i++) {
        const uint8_t *p = buf + phoff + i * size;
        if (rd(p, 4, be) != 1) continue;
        uint64_t off = rd(p + (is64 ? 8 : 4), is64 ? 8 : 4, be), va = rd(p + (is64 ? 16 : 8), is64 ? 8 : 4, be);
        uint64_t len = rd(p + (is64 ? 32 : 16), is64 ? 8 : 4, be);
        ok = off + len <= n && va + len <= ARENA;
        if (ok) memcpy(b->mem + va, buf + off, len);
    }
    mem_free(buf);
    return ok;
}

/* True when the program goes on. */
static bool syscall_exit(struct box *b)
{
    uint64_t nr = mips_gpr(b->m, 2), a0 = mips_gpr(b->m, 4), a1 = mips_gpr(b->m, 5), a2 = mips_gpr(b->m, 6);

    mips_set_gpr(b->m, 7, 0);
    switch (nr) {
    case 4004: case 5001: case 6001:
        b->out = mem_realloc(b->out, b->n_out + a2 + 1);
        memcpy(b->out + b->n_out, b->mem + a1, a2);
        b->n_out += a2;
        b->out[b->n_out] = 0;
        break;
    case 4147: case 5197: case 6197: engine_code_written(b->engine, b->mem + a0, a1); break;
    default: return false;
    }
    return true;
}

static void run_program(const char *dir, const char *name, bool is64, bool be, enum engine_mode mode)
{
    const char *engine = mode == ENGINE_REF ? "ref" : "fast";
    char path[1000], want[200];
    struct box b;
    uint64_t entry;

    if (!open_box(&b, is64, is64 ? "MIPS64R2-generic" : "24Kf", be, mode, !is64 ? MIPS_ABI_O32 : strstr(name, "n32") ? MIPS_ABI_N32 : MIPS_ABI_N64)) return;
    snprintf(path, sizeof path, "%s/tests/mips-insn/%s.elf", dir, name);
    if (!check(load_elf(&b, path, &entry), "cannot load %s", path)) return;
    mips_set_gpr(b.m, 29, ARENA - 4096);
    (is64 ? &mips64_isa : &mips32_isa)->set_pc(b.c, entry);
    for (;;) {
        enum run_exit r = engine_run(b.c, 1u << 30);
        if (r == RUN_BUDGET) continue;
        if (r == RUN_EXCEPTION && b.c->exc.code == ME_SYS) {
            if (!syscall_exit(&b)) break;
            cpu_set_slot(b.c, MS_PC, mips_get_pc(b.m) + 4);
            continue;
        }
        check(false, "%s %s: exit %d, exception %u at %" PRIx64 " (%" PRIx64 ")", name, engine, (int)r, b.c->exc.code,
              mips_get_pc(b.m), b.c->exc.addr);
        break;
    }
    snprintf(path, sizeof path, "%s/tests/mips-insn/%s.txt", dir, name);
    FILE *f = fopen(path, "r");
    const char *got = b.out ? b.out : "";
    check(f != NULL, "cannot open %s", path);
    while (f && fgets(want, sizeof want, f)) {
        size_t n = strlen(want);
        size_t line = strcspn(got, "\n") + 1;
        check(line == n && !memcmp(got, want, n), "%s %s: %.*s, expected %.*s", name, engine, (int)line - 1, got, (int)n - 1, want);
        got += *got ? line : 0;
    }
    check(f && !*got, "%s %s: more output than expected: %s", name, engine, got);
    if (f) fclose(f);
    close_box(&b);
}

int main(int argc, char **argv)
{
    const char *src = getenv("srcdir");

    if (!src) src = "..";
    (void)argc, (void)argv;
    for (int mode = ENGINE_REF; mode <= ENGINE_FAST; mode++) {
        run_program(src, "mips", false, true, (enum engine_mode)mode);
        run_program(src, "mipsel", false, false, (enum engine_mode)mode);
        run_program(src, "m16", false, true, (enum engine_mode)mode);
        run_program(src, "m16el", false, false, (enum engine_mode)mode);
        run_program(src, "mips64", true, true, (enum engine_mode)mode);
        run_program(src, "mips64el", true, false, (enum engine_mode)mode);
        run_program(src, "mipsn32", true, true, (enum engine_mode)mode);
        run_program(src, "mipsn32el", true, false, (enum engine_mode)mode);
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
