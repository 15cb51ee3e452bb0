/*
 * pc-machine.h - small PCs for tests: firmware of their own, 16 MiB, no VGA.
 */
#ifndef TESTS_PC_MACHINE_H
#define TESTS_PC_MACHINE_H

#include "machines/machine.h"
#include "tests/count.h"

#include <stdlib.h>
#include <unistd.h>

/* A file with these bytes; the caller unlinks and frees it. */
static inline char *pc_rom_file(const void *rom, size_t size)
{
    char *path = mem_strdup("/tmp/quern-test-XXXXXX");
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, rom, size) == (ssize_t)size);
    close(fd);
    return path;
}

static inline struct machine_config pc_config(const char *target, const char *bios)
{
    struct machine_config c = {0};
    bool be = false;
    c.isa = isa_find_target(target, &be);
    c.board = board_find("pc", c.isa);
    c.ram_size = 16 << 20;
    c.icount_shift = 3;
    c.bios = bios;
    c.no_vga = true;
    return c;
}

/* NULL, counted as a failure and said: it cannot be made. */
static inline struct machine *pc_make(const struct machine_config *c)
{
    struct error e = ERROR_INIT;
    struct machine *m = machine_new(c, &e);
    if (!m) printf("%s\n", e.msg);
    CHECK(m != NULL);
    return m;
}

#endif
