/*
 * io.h - quern-io's insides: a table of commands typed or given by -c. A command is a function in a file io-*.c and a
 * line in io-commands.def.
 */
#ifndef TOOLS_IO_H
#define TOOLS_IO_H

#include "blockfmt/block.h"

#include <getopt.h>

struct io {
    struct blk_graph *graph;
    struct blk_backend *blk;   /* NULL: nothing is open */
    struct blk_ctx *ctx;       /* of asynchronous commands */
    unsigned flags;            /* of the command line, for open */
    const char *format;
    bool image_opts, misalign, quit;
};

/* 0, or -1 when the command failed (after a message): the program's status is 1 then. */
typedef int (*io_fn)(struct io *, int argc, char **argv);
struct io_command {
    const char *name, *alias, *args, *help; /* alias may be "" */
    io_fn fn;
    bool needs_file;
};
extern const struct io_command io_commands[];
extern const unsigned io_command_count;

#define IO(name, alias, file, args, help) int io_##name(struct io *, int argc, char **argv);
#include "tools/io-commands.def"
#undef IO

/* ---- quern-io.c ---- */
int io_open_image(struct io *, const char *name, unsigned flags); /* 0, or -1 after a message */
int io_usage(const char *command);                                /* prints how it is used; -1 */

/* ---- io-rw.c: for other commands too ---- */
/* A number with suffix; -1 after a message "non-numeric ... argument". */
int io_number(const char *text, const char *what, uint64_t *out);
/* `wrote 512/512 bytes at offset 0` and the line of rates. op: "read", "wrote", "discard". */
void io_report(const char *op, uint64_t ns, uint64_t offset, uint64_t asked, uint64_t total, unsigned count,
               bool terse);
void io_dump(const uint8_t *buf, uint64_t offset, size_t n); /* -v */
const char *io_size_text(uint64_t n, char *buf, size_t room); /* "200 KiB", "1.5 MiB", "512 bytes" */

#endif
