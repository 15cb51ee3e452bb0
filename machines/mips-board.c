/*
 * mips-board.c - what the MIPS boards have in common (mips-board.h). Not a board: those are
 * malta.c and mipssim.c; how a kernel is started is in boot/mips-linux.c.
 */
#include "machines/mips-board.h"

#include <inttypes.h>
#include <stdio.h>

const struct prop_desc mips_board_props[] = {PROP_END};

struct mips_board *mips_board_new(struct machine *m, const struct dev_desc *desc, struct error *e)
{
    struct device *d = dev_finish(dev_create(m->mb, desc, NULL, NULL), e);
    struct mips_board *b = (struct mips_board *)d;
    if (!d) return NULL;
    b->machine = m;
    m->board_data = b;
    return machine_add_cpu(m, e) ? b : NULL;
}

int mips_board_map(struct mips_board *b, struct region *r, uint64_t addr, int priority)
{
    struct machine_bus *mb = b->machine->mb;
    if (!r) return -1;
    region_add(mb->mem_root, mb_own_region(mb, r), addr, priority);
    return 0;
}

void mips_board_cpu_pin(void *machine, unsigned n, bool level)
{
    struct machine *m = machine;
    if (m->n_cpus) m->cfg.isa->set_irq(m->cpu[0], n, level);
}

int mips_board_firmware(struct machine *m, uint8_t *to, uint64_t size, bool swap, struct error *e)
{
    struct boot_file f;
    char *path = boot_find_firmware(m->cfg.bios, m->cfg.firmware_path, e);
    if (!path) return -1;
    int rc = boot_read_raw(path, size, &f, e);
    mem_free(path);
    if (rc) {
        error_prefix(e, "could not load firmware");
        return -1;
    }
    memcpy(to, f.data, (size_t)f.size);
    for (uint64_t i = 0; swap && i < f.size; i += 4)
        st32_le(to + i, ld32_be(to + i));
    boot_file_free(&f);
    return 0;
}

int mips_board_kernel(struct mips_board *b, uint64_t low_memory, const char *const *env,
                      struct error *e)
{
    enum { MAX_ENV = 16 };
    struct machine *m = b->machine;
    const char *all[MAX_ENV + 3] = {"memsize"};
    char size[32];
    snprintf(size, sizeof size, "%" PRIu64, low_memory);
    all[1] = size;
    for (unsigned i = 0; env && env[i]; i++) {
        if (i >= MAX_ENV) return error_set(e, "too many environment variables");
        all[2 + i] = env[i];
    }
    struct device *images = boot_images_new(m->mb, e);
    if (!images || mips_load_kernel(m, images, low_memory, &b->boot, e)) return -1;
    return mips_yamon_block(m, images, &b->boot, all, e);
}
