/*
 * img.h - quern-img's insides: a table of commands, what they share. A command is a function in a file img-*.c and
 * a line in img-commands.def.
 */
#ifndef TOOLS_IMG_H
#define TOOLS_IMG_H

#include "tools/shared.h"

#include <getopt.h>

/* argv[0] is the command's name; the result is the exit status. graph: for all images of the run. */
typedef int (*img_fn)(struct blk_graph *, int argc, char **argv);
struct img_command {
    const char *name, *args, *help; /* args: for the help text, help: for the manual page */
    img_fn fn;
};

#define IMG(name, args, help) int img_##name(struct blk_graph *, int argc, char **argv);
#include "tools/img-commands.def"
#undef IMG

/* ---- img-common.c: all print their errors; NULL, negative or the exit status then ---- */

/* What most commands take. */
struct img_args {
    const char *format, *output_format, *cache, *src_cache;
    bool image_opts, force_share, quiet, progress, json;
    int status; /* with IMG_STOP: the exit status */
};
/*
 * getopt_long for commands: 'f', 'q', 'p', 't', 'T', 'U', 'h' and the long options below are taken into *a, the rest
 * is returned. IMG_END: no more; IMG_STOP: the command ends now with a->status.
 */
enum { IMG_END = -1, IMG_STOP = -2, IMG_OBJECT = 256, IMG_IMAGE_OPTS, IMG_OUTPUT, IMG_OWN /* a command's own */ };
#define IMG_LONGS                                                                                  \
    {"help", no_argument, NULL, 'h'}, {"object", required_argument, NULL, IMG_OBJECT},             \
        {"image-opts", no_argument, NULL, IMG_IMAGE_OPTS}
#define IMG_LONG_OUTPUT {"output", required_argument, NULL, IMG_OUTPUT}
#define IMG_LONG_SHARE {"force-share", no_argument, NULL, 'U'}
#define IMG_LONGS_END {NULL, 0, NULL, 0}
int img_getopt(struct blk_graph *, struct img_args *, int argc, char **argv, const char *letters,
               const struct option *longs);
void img_help(void); /* in quern-img.c */
/* Opens `name` by the rules of --image-opts, -f, -T/-t, -U. NULL after a message. */
struct blk_backend *img_open(struct blk_graph *, const char *name, const struct img_args *, const char *format,
                             const char *cache, unsigned flags);
/* --output=human|json into *json. */
int img_output(const char *arg, bool *json);
/* Adds `-o` text to *o (several -o add up); 1 when it asks for help. */
int img_options(struct opts *o, const char *arg);
int img_print_options(const char *format, const char *filename); /* -o help; exit status */
/* 0, or -1 after a message; what: "image size", in it. */
int img_parse_size(const char *text, const char *what, uint64_t *out);
bool img_is_zero(const void *, size_t n);
double img_seconds(void);
void img_limit(double start, uint64_t bytes, uint64_t rate); /* waits so that bytes since start are at most rate a second; 0: not */
void img_set_size(struct opts *, uint64_t bytes); /* the key "size" */
/* The tables of `snapshot -l` and of info, human. */
void img_print_snapshots(const struct blk_snapshot *, int n);
/* `Try 'quern-img --help' for more information`; returns 1. */
int img_usage(const char *fmt, ...) ATTR_PRINTF(1, 2);
int img_fail(const struct error *); /* prints, returns 1 */
/* Extension of %s in messages: 65536 -> "64 KiB", 1610612736 -> "1.5 GiB". */
const char *img_size_text(uint64_t n, char *buf, size_t room);

/* Progress: -p, or SIGUSR1 for one line. */
struct img_progress {
    bool on;
    double last;
}; /* one thread at a time */
void img_progress_start(struct img_progress *, bool on);
void img_progress_show(struct img_progress *, uint64_t done, uint64_t total);
void img_progress_end(struct img_progress *);

#endif
