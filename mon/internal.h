/*
 * internal.h - what the files of the monitor share: the monitor object, parsed arguments, handlers.
 */
#ifndef MON_INTERNAL_H
#define MON_INTERNAL_H

#include "mon/monitor.h"
#include "mon/readline.h"

enum { MON_MAX_ARGS = 8, MON_MAX_KEYS = 16 };

/* The arguments of one call, by name. */
struct mon_args {
    unsigned n;
    struct mon_arg {
        char name[24];
        char type;
        char *str;          /* s F S */
        uint64_t num;       /* i l o b, and flags (1) */
        struct mon_format { unsigned count; char format; unsigned size; } fmt; /* format 0, size 0: not given */
    } v[MON_MAX_ARGS];
};

struct monitor {
    struct mon_env *env;
    struct chardev *chr;    /* NULL: output is collected in `text` */
    struct readline rl;
    struct cpu *cpu;        /* the default CPU of this monitor */
    bool greeted;
    char last_format;       /* x, xp: what an omitted letter means */
    unsigned last_size;
    char *text;
    size_t text_len;
    /* input.c: keys that sendkey holds, pressed mouse buttons */
    struct timer release;
    unsigned held[MON_MAX_KEYS], n_held, buttons;
};

typedef void (*mon_fn)(struct monitor *, const struct mon_args *);
struct mon_command {
    const char *name, *alias, *args, *params, *help;
    mon_fn fn;              /* NULL: not built */
};
extern const struct mon_command mon_commands[], mon_infos[]; /* ended by a NULL name */

void mon_printf(struct monitor *, const char *fmt, ...) ATTR_PRINTF(2, 3);
void mon_put_line(void *monitor, const char *line); /* a line without its end: for dump functions */
void mon_error(struct monitor *, const struct error *);
/* NULL / 0 when the argument was not given. */
const struct mon_arg *mon_arg(const struct mon_args *, const char *name);
const char *mon_str(const struct mon_args *, const char *name);
uint64_t mon_num(const struct mon_args *, const char *name);
/* A register of the monitor's CPU by name, for $name. */
bool mon_register(void *monitor, const char *name, uint64_t *value);
/* Runs one line. */
void mon_run_line(struct monitor *, const char *line);
/* Runs the line behind `info`, in the table of infos. */
void mon_run_in(struct monitor *, const struct mon_command *table, const char *prefix, const char *line);

/* The handlers that commands.def names: commands.c, memory.c, info.c, media.c. */
void mon_help(struct monitor *, const struct mon_args *);
void mon_quit(struct monitor *, const struct mon_args *);
void mon_stop(struct monitor *, const struct mon_args *);
void mon_cont(struct monitor *, const struct mon_args *);
void mon_system_reset(struct monitor *, const struct mon_args *);
void mon_system_powerdown(struct monitor *, const struct mon_args *);
void mon_info(struct monitor *, const struct mon_args *);
void mon_x(struct monitor *, const struct mon_args *);
void mon_xp(struct monitor *, const struct mon_args *);
void mon_print(struct monitor *, const struct mon_args *);
void mon_log(struct monitor *, const struct mon_args *);
void mon_logfile(struct monitor *, const struct mon_args *);
void mon_cpu(struct monitor *, const struct mon_args *);
void mon_gva2gpa(struct monitor *, const struct mon_args *);
void mon_gpa2hva(struct monitor *, const struct mon_args *);
void mon_sum(struct monitor *, const struct mon_args *);
void mon_memsave(struct monitor *, const struct mon_args *);
void mon_pmemsave(struct monitor *, const struct mon_args *);
void mon_screendump(struct monitor *, const struct mon_args *);
void mon_gdbserver(struct monitor *, const struct mon_args *);
void mon_chardev_send_break(struct monitor *, const struct mon_args *);
void mon_chardev_add(struct monitor *, const struct mon_args *);
void mon_chardev_remove(struct monitor *, const struct mon_args *);
void mon_ringbuf_write(struct monitor *, const struct mon_args *);
void mon_ringbuf_read(struct monitor *, const struct mon_args *);
void mon_info_version(struct monitor *, const struct mon_args *);
void mon_info_status(struct monitor *, const struct mon_args *);
void mon_info_registers(struct monitor *, const struct mon_args *);
void mon_info_cpus(struct monitor *, const struct mon_args *);
void mon_info_mtree(struct monitor *, const struct mon_args *);
void mon_info_qtree(struct monitor *, const struct mon_args *);
void mon_info_pci(struct monitor *, const struct mon_args *);
void mon_info_pic(struct monitor *, const struct mon_args *);
void mon_info_ioapic(struct monitor *, const struct mon_args *);
void mon_info_lapic(struct monitor *, const struct mon_args *);
void mon_info_irq(struct monitor *, const struct mon_args *);
void mon_info_jit(struct monitor *, const struct mon_args *);
void mon_info_tlb(struct monitor *, const struct mon_args *);
void mon_info_chardev(struct monitor *, const struct mon_args *);
void mon_commit(struct monitor *, const struct mon_args *);
void mon_eject(struct monitor *, const struct mon_args *);
void mon_change(struct monitor *, const struct mon_args *);
void mon_info_block(struct monitor *, const struct mon_args *);
void mon_info_name(struct monitor *, const struct mon_args *);
void mon_info_uuid(struct monitor *, const struct mon_args *);
void mon_info_history(struct monitor *, const struct mon_args *);
void mon_sendkey(struct monitor *, const struct mon_args *);
void mon_mouse_move(struct monitor *, const struct mon_args *);
void mon_mouse_button(struct monitor *, const struct mon_args *);
void mon_balloon(struct monitor *, const struct mon_args *);
void mon_info_mice(struct monitor *, const struct mon_args *);
void mon_info_balloon(struct monitor *, const struct mon_args *);
void mon_release_keys(struct monitor *); /* before the machine goes */
void mon_info_kvm(struct monitor *, const struct mon_args *);

#endif
