/*
 * memory.c - monitor commands that look at memory and addresses, and `print`.
 */
#include "mon/internal.h"

#include <errno.h>
#include <stdio.h>

static bool read_memory(struct monitor *m, bool phys, uint64_t addr, void *buf, size_t n)
{
    if (phys) return as_read_buf(m->env->machine->mb->mem, addr, buf, n);
    return cpu_debug_read(m->cpu, addr, buf, n);
}

static unsigned addr_digits(const struct monitor *m, bool phys)
{
    return phys || m->cpu->guest->addr_type == T_I64 ? 16 : 8;
}

/* Addresses of a 32-bit CPU wrap. */
static uint64_t wrap(const struct monitor *m, bool phys, uint64_t addr)
{
    return !phys && m->cpu->guest->addr_type != T_I64 ? (uint32_t)addr : addr;
}

static void dump_code(struct monitor *m, bool phys, uint64_t addr, unsigned count)
{
    const struct isa *isa = m->env->machine->cfg.isa;

    for (unsigned i = 0; i < count; i++) {
        uint8_t bytes[32];
        char text[128];
        unsigned have = sizeof bytes, len = 0;

        /* Shorter near the end of what is accessible. */
        while (have && !read_memory(m, phys, addr, bytes, have)) have /= 2;
        if (have) len = isa->disas(m->cpu, m->cpu->key, addr, bytes, have, text, sizeof text);
        if (!len) {
            mon_printf(m, "Cannot access memory\n");
            return;
        }
        mon_printf(m, "0x%0*llx:  %s\n", (int)addr_digits(m, phys), (unsigned long long)addr, text);
        addr = wrap(m, phys, addr + len);
    }
}

static void print_char(struct monitor *m, unsigned c)
{
    switch (c) {
    case '\'': mon_printf(m, "'\\''"); break;
    case '\\': mon_printf(m, "'\\\\'"); break;
    case '\n': mon_printf(m, "'\\n'"); break;
    case '\r': mon_printf(m, "'\\r'"); break;
    default:
        if (c >= 32 && c < 127) mon_printf(m, "'%c'", c);
        else mon_printf(m, "'\\x%02x'", c);
    }
}

static uint64_t load(const struct monitor *m, const uint8_t *p, unsigned size)
{
    bool be = m->env->machine->cfg.big_endian;

    switch (size) {
    case 1: return *p;
    case 2: return be ? ld16_be(p) : ld16_le(p);
    case 4: return be ? ld32_be(p) : ld32_le(p);
    default: return be ? ld64_be(p) : ld64_le(p);
    }
}

static int64_t sign_extend(uint64_t v, unsigned size)
{
    unsigned shift = 64 - size * 8;
    return (int64_t)(v << shift) >> shift;
}

static void dump(struct monitor *m, const struct mon_args *a, bool phys)
{
    const struct mon_format *f = &mon_arg(a, "fmt")->fmt;
    uint64_t addr = wrap(m, phys, mon_num(a, "addr"));
    char format = f->format ? f->format : m->last_format;
    unsigned size = f->size ? f->size : m->last_size, per_line, count = f->count;

    m->last_format = format;
    if (format == 'i') {
        dump_code(m, phys, addr, count);
        return;
    }
    if (format == 'c') size = 1;
    else m->last_size = size;
    per_line = format == 'c' ? 8 : 16 / size;
    while (count) {
        uint8_t buf[16];
        unsigned n = MIN(count, per_line);

        if (!read_memory(m, phys, addr, buf, (size_t)n * size)) {
            mon_printf(m, "Cannot access memory\n");
            return;
        }
        mon_printf(m, "%0*llx:", (int)addr_digits(m, phys), (unsigned long long)addr);
        for (unsigned i = 0; i < n; i++) {
            unsigned long long v = load(m, buf + i * size, size);
            mon_printf(m, " ");
            switch (format) {
            case 'x': mon_printf(m, "0x%0*llx", (int)size * 2, v); break;
            case 'o': mon_printf(m, "0%0*llo", (int)(size * 8 + 2) / 3, v); break;
            case 'u': mon_printf(m, "%*llu", (int)(size * 80 + 32) / 33, v); break;
            case 'd': mon_printf(m, "%*lld", (int)(size * 80 + 32) / 33, (long long)sign_extend(v, size)); break;
            case 'c': print_char(m, (unsigned)v); break;
            }
        }
        mon_printf(m, "\n");
        count -= n;
        addr = wrap(m, phys, addr + (uint64_t)n * size);
    }
}

void mon_x(struct monitor *m, const struct mon_args *a) { dump(m, a, false); }
void mon_xp(struct monitor *m, const struct mon_args *a) { dump(m, a, true); }

void mon_print(struct monitor *m, const struct mon_args *a)
{
    unsigned long long v = mon_num(a, "val");

    switch (mon_arg(a, "fmt")->fmt.format) {
    case 'o': mon_printf(m, "0%llo", v); break;
    case 'u': mon_printf(m, "%llu", v); break;
    case 'd': case 'i': mon_printf(m, "%lld", (long long)v); break;
    case 'c': print_char(m, (unsigned)(v & 0xff)); break;
    default: mon_printf(m, "0x%llx", v); break;
    }
    mon_printf(m, "\n");
}

void mon_gva2gpa(struct monitor *m, const struct mon_args *a)
{
    const struct guest *g = m->cpu->guest;
    struct mmu_hit hit;

    if (g->mmu && g->mmu(m->cpu, wrap(m, false, mon_num(a, "addr")), ACCESS_READ, g->mmu_mode(m->cpu), true, &hit)) {
        mon_printf(m, "gpa: 0x%llx\n", (unsigned long long)hit.phys);
    } else {
        mon_printf(m, "Unmapped\n");
    }
}

void mon_gpa2hva(struct monitor *m, const struct mon_args *a)
{
    uint64_t addr = mon_num(a, "addr"), n = 1;
    bool ro;
    uint8_t *p = as_host(m->env->machine->mb->mem, addr, &n, &ro);

    if (p) mon_printf(m, "Host virtual address for 0x%llx is %p\n", (unsigned long long)addr, (void *)p);
    else mon_printf(m, "Error: No memory is mapped at address 0x%llx\n", (unsigned long long)addr);
}

/* The checksum of BSD's sum(1): rotate right by one, add. */
void mon_sum(struct monitor *m, const struct mon_args *a)
{
    uint64_t addr = mon_num(a, "start"), size = mon_num(a, "size");
    uint16_t sum = 0;

    for (uint64_t i = 0; i < size; i++) {
        uint8_t b;
        if (!as_read_buf(m->env->machine->mb->mem, addr + i, &b, 1)) {
            mon_printf(m, "Cannot access memory\n");
            return;
        }
        sum = (uint16_t)((sum >> 1) | (sum << 15));
        sum = (uint16_t)(sum + b);
    }
    mon_printf(m, "%05d\n", sum);
}

static void save(struct monitor *m, const struct mon_args *a, bool phys)
{
    const char *path = mon_str(a, "filename");
    uint64_t addr = mon_num(a, "val"), size = mon_num(a, "size");
    FILE *f = fopen(path, "wb");

    if (!f) {
        mon_printf(m, "Error: Could not open '%s': %s\n", path, strerror(errno));
        return;
    }
    while (size) {
        uint8_t buf[4096];
        size_t n = (size_t)MIN(size, (uint64_t)sizeof buf);

        addr = wrap(m, phys, addr);
        if (!read_memory(m, phys, addr, buf, n)) {
            mon_printf(m, "Error: Invalid addr 0x%016llx/size %llu specified\n", (unsigned long long)mon_num(a, "val"),
                       (unsigned long long)mon_num(a, "size"));
            break;
        }
        if (fwrite(buf, 1, n, f) != n) {
            mon_printf(m, "Error: writing '%s': %s\n", path, strerror(errno));
            break;
        }
        addr += n, size -= n;
    }
    if (fclose(f) && !size) mon_printf(m, "Error: writing '%s': %s\n", path, strerror(errno));
}

void mon_memsave(struct monitor *m, const struct mon_args *a) { save(m, a, false); }
void mon_pmemsave(struct monitor *m, const struct mon_args *a) { save(m, a, true); }
