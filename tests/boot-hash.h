/*
 * boot-hash.h - what the tool tests/boot-hash and the test tests/test-hash share: Debian's
 * installer kernel on malta, made ready to run under an engine, to be compared by machine_hash.
 */
#ifndef TESTS_BOOT_HASH_H
#define TESTS_BOOT_HASH_H

#include "interp/accel.h"
#include "interp/jit.h"
#include "machines/machine.h"
#include "tests/backends.h"

#include <glob.h>

#define BOOT_HASH_IMAGES  "/usr/lib/debian-installer/images/12/mipsel/malta/"
#define BOOT_HASH_PACKAGE "debian-installer-12-netboot-mipsel"
#define BOOT_HASH_APPEND  "console=ttyS0 rdinit=/bin/sh"

/* The first file below the package's folder, at any of its depths, that matches; NULL: none.
 * mem_free() it. */
static inline char *boot_hash_file(const char *pattern)
{
    static const char *const below[] = {"", "netboot/", "netboot/debian-installer/mipsel/"};
    char *path = NULL;
    for (unsigned i = 0; i < ARRAY_LEN(below) && !path; i++) {
        glob_t g;
        char *p = mem_printf("%s%s%s", BOOT_HASH_IMAGES, below[i], pattern);
        if (!glob(p, 0, NULL, &g)) path = mem_strdup(g.gl_pathv[0]);
        globfree(&g);
        mem_free(p);
    }
    return path;
}

/* "ref", "goto", "switch", with ",host" after it for the host's floating point and ",nofuse" for no
 * superinstructions; or "jit" or a backend's name, and properties as of -accel. False: not known. */
static inline bool boot_hash_engine(const char *name, struct engine_config *c)
{
    size_t n = strcspn(name, ",");
    *c = (struct engine_config){.mode = ENGINE_FAST, .soft_fp = true};
    bool jit = n == 3 && !strncmp(name, "jit", n), ref = n == 3 && !strncmp(name, "ref", n);
    if (jit || (!ref && strncmp(name, "goto", MAX(n, 4u)) && strncmp(name, "switch", MAX(n, 6u)))) {
        struct error e = ERROR_INIT;
        register_backends();
        char *backend = mem_printf("%.*s", (int)n, name);
        c->soft_fp = false, c->sync = true;
        if (jit) accel_begin(c, "jit", &e);
        else c->backend = jit_find(backend, &e);
        mem_free(backend);
        bool ok = !e.set;
        for (name += n; *name && ok; name += n) {
            n = 1 + strcspn(name + 1, ",");
            char *word = mem_printf("%.*s", (int)n - 1, name + 1);
            char *value = strchr(word, '=');
            if (value) *value++ = '\0';
            ok = !accel_set(c, word, value, &e);
            mem_free(word);
        }
        if (!ok) error_print(&e);
        return ok;
    }
    if (ref) c->mode = ENGINE_REF;
    c->portable_switch = *name == 's';
    for (name += n; *name; name += n) {
        n = 1 + strcspn(name + 1, ",");
        if (n == 5 && !strncmp(name, ",host", n))
            c->soft_fp = false;
        else if (n == 7 && !strncmp(name, ",nofuse", n))
            c->no_fuse = true;
        else
            return false;
    }
    return true;
}

/* The default board of a target, with CPUs and MiB of memory. The strings must live as long as the machine. The clock starts
 * at a fixed date. */
static inline struct machine *boot_hash_target(const char *target, unsigned n_cpus, uint64_t mib,
                                               const struct engine_config *engine,
                                               const char *kernel, const char *initrd,
                                               const char *append, struct chardev *serial,
                                               struct error *e)
{
    bool be;
    struct machine_config c = {.ram_size = mib << 20, .n_cpus = n_cpus};
    c.isa = isa_find_target(target, &be);
    if (!c.isa) {
        error_set(e, "there is no target '%s'", target);
        return NULL;
    }
    c.big_endian = be;
    c.board = board_default(c.isa);
    c.kernel = kernel;
    c.initrd = initrd;
    c.append = append;
    c.serial[0] = serial;
    c.rtc_start = 1700000000;
    c.icount_shift = 3;
    c.engine = *engine;
    return machine_new(&c, e);
}

static inline struct machine *boot_hash_machine(const struct engine_config *engine,
                                                const char *kernel, const char *initrd,
                                                const char *append, struct chardev *serial,
                                                struct error *e)
{
    return boot_hash_target("mipsel", 1, 256, engine, kernel, initrd, append, serial, e);
}

#endif
