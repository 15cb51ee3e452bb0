/*
 * pc-options.c - what the options -boot, -option-rom and -fw_cfg give to the firmware of PC boards: the boot order by
 * bootindex, menu and splash picture, expansion ROMs, and the user's own files.
 *
 * Which files firmware looks for: SeaBIOS's documentation, Runtime_config and Developer documentation.
 */
#include "machines/pc-options.h"

#include "machines/boot/loader.h"
#include "periph/misc/fw_cfg.h"
#include "util/opts.h"

#include <inttypes.h>

enum { ROM_MAX = 0x1000000, FILE_MAX = 0x10000000, NAME_MAX_LENGTH = 55 };

/* ---- boot order ---- */

int pc_add_boot_entry(struct pc *pc, uint64_t index, char *path, struct error *e)
{
    unsigned at = 0;
    for (; at < pc->n_boot && pc->boot[at].index <= index; at++) {
        if (pc->boot[at].index == index) {
            mem_free(path);
            return error_set(e, "The bootindex %" PRIu64 " has already been used", index);
        }
    }
    pc->boot = mem_realloc(pc->boot, (pc->n_boot + 1) * sizeof *pc->boot);
    memmove(pc->boot + at + 1, pc->boot + at, (pc->n_boot - at) * sizeof *pc->boot);
    pc->boot[at] = (struct pc_boot_entry){index, path};
    pc->n_boot++;
    return 0;
}

int pc_add_boot_text(struct pc *pc, const char *text, char *path, struct error *e)
{
    uint64_t index;
    if (!strcmp(text, "-1")) { /* none */
        mem_free(path);
        return 0;
    }
    if (opt_parse_number("bootindex", text, INT32_MAX, &index, e)) {
        mem_free(path);
        return -1;
    }
    return pc_add_boot_entry(pc, index, path, e);
}

int pc_boot_order_file(struct pc *pc, const char *first, struct error *e)
{
    char *list = mem_strdup(first ? first : "");
    for (unsigned i = 0; i < pc->n_boot; i++) {
        char *longer = mem_printf("%s%s%s", list, *list ? "\n" : "", pc->boot[i].path);
        mem_free(list);
        list = longer;
    }
    if (pc->machine->cfg.boot_strict) { /* nothing but these */
        char *longer = mem_printf("%s%sHALT", list, *list ? "\n" : "");
        mem_free(list);
        list = longer;
    }
    int rc = fw_cfg_add_file(pc->fw_cfg, "bootorder", list, *list ? (uint32_t)strlen(list) + 1 : 0, e);
    mem_free(list);
    return rc;
}

void pc_free_boot_entries(struct pc *pc)
{
    for (unsigned i = 0; i < pc->n_boot; i++)
        mem_free(pc->boot[i].path);
    mem_free(pc->boot);
    pc->boot = NULL;
    pc->n_boot = 0;
}

/* ---- -boot ---- */

int pc_boot_files(struct pc *pc, struct error *e)
{
    const struct machine_config *c = &pc->machine->cfg;
    uint8_t n[4];
    st32_le(n, c->reboot_timeout_set ? (uint32_t)c->reboot_timeout : UINT32_MAX); /* -1: stay when nothing can be booted */
    if (fw_cfg_add_file(pc->fw_cfg, "etc/boot-fail-wait", n, 4, e)) return -1;
    if (c->splash_time_set) {
        st16_le(n, c->splash_time);
        if (fw_cfg_add_file(pc->fw_cfg, "etc/boot-menu-wait", n, 2, e)) return -1;
    }
    if (!c->boot_splash) return 0;

    struct boot_file f;
    char *path = boot_find_firmware(c->boot_splash, c->firmware_path, e);
    if (!path) return -1;
    int rc = boot_read_raw(path, FILE_MAX, &f, e);
    mem_free(path);
    if (rc) {
        error_prefix(e, "-boot splash");
        return -1;
    }
    bool jpeg = f.size > 2 && f.data[0] == 0xff && f.data[1] == 0xd8, bmp = f.size > 54 && !memcmp(f.data, "BM", 2);
    if (!jpeg && !bmp) {
        rc = error_set(e, "-boot splash: '%s' is neither a JPEG nor a BMP picture", c->boot_splash);
    } else if (bmp && ld16_le(f.data + 28) != 24) {
        rc = error_set(e, "-boot splash: '%s' does not have 24 bits per pixel", c->boot_splash);
    } else {
        rc = fw_cfg_add_file(pc->fw_cfg, jpeg ? "bootsplash.jpg" : "bootsplash.bmp", f.data, (uint32_t)f.size, e);
    }
    boot_file_free(&f);
    return rc;
}

/* ---- -option-rom ---- */

static int add_rom(struct pc *pc, const struct opts *o, struct error *e)
{
    const char *file = opts_get(o, "romfile"), *index = opts_get(o, "bootindex");
    struct boot_file f;
    if (!file) return error_set(e, "-option-rom: no file was given");
    char *path = boot_find_firmware(file, pc->machine->cfg.firmware_path, e);
    if (!path) return -1;
    int rc = boot_read_raw(path, ROM_MAX, &f, e);
    mem_free(path);
    if (rc) {
        error_prefix(e, "-option-rom");
        return -1;
    }
    const char *base = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
    char *name = mem_printf("genroms/%s", base);
    if (!f.size) {
        rc = error_set(e, "-option-rom: '%s' is empty", file);
    } else if (fw_cfg_file(pc->fw_cfg, name, &(uint32_t){0})) {
        rc = error_set(e, "-option-rom: there are two ROMs '%s'", base);
    } else {
        if (f.size < 3 || f.data[0] != 0x55 || f.data[1] != 0xaa)
            error_warn("option ROM '%s' has no signature (55h AAh): firmware will pass it over", file);
        else if (f.data[2] * 512u > f.size)
            error_warn("option ROM '%s' says that it has %u bytes, of which %" PRIu64 " are there", file,
                       f.data[2] * 512u, f.size);
        rc = fw_cfg_add_file(pc->fw_cfg, name, f.data, (uint32_t)f.size, e);
    }
    if (!rc && index) rc = pc_add_boot_text(pc, index, mem_printf("/rom@%s", name), e);
    mem_free(name);
    boot_file_free(&f);
    return rc;
}

int pc_option_roms(struct pc *pc, struct error *e)
{
    static const struct opt_desc keys[] = {
        {"romfile", OPT_STRING, NULL}, {"bootindex", OPT_STRING, NULL}, {NULL, OPT_STRING, NULL}};
    for (const char *const *p = pc->machine->cfg.option_roms; p && *p; p++) {
        struct opts o;
        if (opts_parse(&o, *p, "romfile", keys, e)) return -1;
        int rc = add_rom(pc, &o, e);
        opts_free(&o);
        if (rc) return rc;
    }
    return 0;
}

/* ---- -fw_cfg ---- */

static int add_file(struct pc *pc, const struct opts *o, struct error *e)
{
    const char *name = opts_get(o, "name"), *file = opts_get(o, "file"), *string = opts_get(o, "string");
    struct boot_file f;
    if (!name || !*name || !file == !string)
        return error_set(e, "-fw_cfg: a name, and either file or string, are needed");
    if (strlen(name) > NAME_MAX_LENGTH)
        return error_set(e, "-fw_cfg: name too long (max. %d char)", NAME_MAX_LENGTH);
    if (strncmp(name, "opt/", 4))
        error_warn("-fw_cfg: names of items from outside should begin with \"opt/\", '%s' does not", name);
    if (fw_cfg_file(pc->fw_cfg, name, &(uint32_t){0}))
        return error_set(e, "-fw_cfg: duplicate fw_cfg file name: %s", name);
    if (string) return fw_cfg_add_file(pc->fw_cfg, name, string, (uint32_t)strlen(string), e);
    if (boot_read_raw(file, FILE_MAX, &f, e)) {
        error_prefix(e, "-fw_cfg");
        return -1;
    }
    int rc = fw_cfg_add_file(pc->fw_cfg, name, f.data, (uint32_t)f.size, e);
    boot_file_free(&f);
    return rc;
}

int pc_user_fw_cfg(struct pc *pc, struct error *e)
{
    static const struct opt_desc keys[] = {
        {"name", OPT_STRING, NULL}, {"file", OPT_STRING, NULL}, {"string", OPT_STRING, NULL}, {NULL, OPT_STRING, NULL}};
    for (const char *const *p = pc->machine->cfg.fw_cfg; p && *p; p++) {
        struct opts o;
        if (opts_parse(&o, *p, "name", keys, e)) return -1;
        int rc = add_file(pc, &o, e);
        opts_free(&o);
        if (rc) return rc;
    }
    return 0;
}
