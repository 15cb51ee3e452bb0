/*
 * io.h - quern-io's insides: a table of commands typed or given by -c. A command is a function in a file io-*.c and a
 * line in io-commands.def.
 */
#ifndef TOOLS_IO_H
#define TOOLS_IO_H

#include "tools/shared.h"

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
    const char *name, *alias, *args, *help, *more; /* alias may be "" */
    io_fn fn;
    bool needs_file, writes;
    int min, max;                                  /* words after the name; max -1: any number */
};
extern const struct io_command io_commands[];
extern const unsigned io_command_count;

#define IO(name, alias, file, writes, min, max, args, help, more) int io_##name(struct io *, int argc, char **argv);
#include "tools/io-commands.def"
#undef IO

/* ---- quern-io.c ---- */
int io_usage(const char *command); /* prints how it is used; -1 */

/* ---- io-file.c ---- */
/* options may be NULL, name too when there are options. 0, or -1 after a message. */
int io_open_image(struct io *, const char *name, const struct opts *options, unsigned flags);
int io_parse_aio(const char *mode, unsigned *flags); /* 0, or -1 after a message */

/* ---- io-aio.c ---- */
void io_release(struct io *); /* resumes what stands at breakpoints, waits for all that is under way */

/* ---- io-rw.c: for other commands too ---- */
/* What the letters of a command say. */
struct io_rw {
    bool terse, quiet, dump, fua, zero, unmap, compressed, no_fallback, vmstate, invalid, has_pattern, has_check;
    int pattern;
    uint64_t check_offset, check_len;
    bool has_check_len;
    const char *source;
    uint64_t offset, len;
};
int io_parse_rw(int argc, char **argv, const char *letters, struct io_rw *);
unsigned io_write_flags(const struct io_rw *);
int io_verify(const struct io_rw *, const uint8_t *buf);
int io_fill(const struct io_rw *, uint8_t *buf);
uint8_t *io_buffer(const struct io *, uint64_t n); /* aligned as -m says; io_buffer_free */
void io_buffer_free(uint8_t *);
/* A number with suffix; -1 after a message. */
int io_number(const char *text, uint64_t *out);
/* `wrote 512/512 bytes at offset 0` and the line of rates. op: "read", "wrote", "discard". */
void io_report(const char *op, uint64_t ns, const struct io_rw *);
void io_dump(const uint8_t *buf, uint64_t offset, size_t n); /* -v */
const char *io_size_text(uint64_t n, char *buf, size_t room); /* "200 KiB", "1.5 MiB", "512 bytes" */

#endif
