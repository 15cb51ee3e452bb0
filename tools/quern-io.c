/*
 * quern-io.c - the I/O exerciser: options, opening, the line of a command cut into words. The commands are in io-*.c.
 */
#include "tools/io.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define MAX_WORDS 256

const struct io_command io_commands[] = {
#define IO(name, alias, file, args, help) {#name, alias, args, help, io_##name, file},
#include "tools/io-commands.def"
#undef IO
};
const unsigned io_command_count = ARRAY_LEN(io_commands);

static const struct io_command *find(const char *name)
{
    for (unsigned i = 0; i < io_command_count; i++) {
        if (!strcmp(io_commands[i].name, name) || (*io_commands[i].alias && !strcmp(io_commands[i].alias, name)))
            return &io_commands[i];
    }
    return NULL;
}

int io_usage(const char *name)
{
    const struct io_command *c = find(name);
    if (c) printf("%s %s -- %s\n", c->name, c->args, c->help);
    return -1;
}

int io_open_image(struct io *io, const char *name, unsigned flags)
{
    struct error e = ERROR_INIT;

    if (io->blk) return fprintf(stderr, "file open already, try 'help close'\n"), -1;
    if (io->image_opts) {
        struct opts o;
        if (!opts_parse(&o, name, NULL, NULL, &e)) io->blk = blk_open_opts(io->graph, &o, flags, &e);
        opts_free(&o);
    } else {
        io->blk = blk_open_in(io->graph, name, io->format, NULL, flags, &e);
    }
    if (io->blk) return 0;
    error_prefix(&e, "can't open%s%s", io->image_opts ? "" : " device ", io->image_opts ? "" : name);
    error_print(&e);
    return -1;
}

int io_close(struct io *io, int argc, char **argv)
{
    blk_ctx_drain(io->ctx);
    blk_close(io->blk);
    io->blk = NULL;
    return 0;
}

int io_open(struct io *io, int argc, char **argv)
{
    unsigned flags = io->flags;
    int c;

    while ((c = getopt(argc, argv, "rsnUt:")) != -1) {
        switch (c) {
        case 'r': flags |= BLK_RDONLY; break;
        case 's': flags |= BLK_SNAPSHOT; break;
        case 'n': flags |= BLK_DIRECT; break;
        case 'U': flags |= BLK_FORCE_SHARE; break;
        case 't':
            if (blk_parse_cache(optarg, &flags)) return error_report("Invalid cache option: %s", optarg), -1;
            break;
        default: return io_usage("open");
        }
    }
    return optind == argc - 1 ? io_open_image(io, argv[optind], flags) : io_usage("open");
}

int io_quit(struct io *io, int argc, char **argv) { return io->quit = true, 0; }

int io_help(struct io *io, int argc, char **argv)
{
    if (argc > 1) {
        if (!find(argv[1])) printf("command %s not found\n", argv[1]);
        else io_usage(argv[1]);
        return 0;
    }
    for (unsigned i = 0; i < io_command_count; i++)
        printf("%s %s -- %s\n", io_commands[i].name, io_commands[i].args, io_commands[i].help);
    printf("\nUse 'help commandname' for extended help.\n");
    return 0;
}

int io_sleep(struct io *io, int argc, char **argv)
{
    uint64_t ms;

    if (argc != 2) return io_usage("sleep");
    if (io_number(argv[1], "ms", &ms)) return -1;
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
    return 0;
}

static int run_line(struct io *io, char *line)
{
    char *words[MAX_WORDS + 1];
    const struct io_command *c;
    int n = 0;

    for (char *p = strtok(line, " \t\n"); p && n < MAX_WORDS; p = strtok(NULL, " \t\n")) words[n++] = p;
    words[n] = NULL;
    if (!n) return 0;
    c = find(words[0]);
    if (!c) return fprintf(stderr, "command \"%s\" not found\n", words[0]), -1;
    if (c->needs_file && !io->blk) return fprintf(stderr, "no file open, try 'help open'\n"), -1;
    optind = 0;
    return c->fn(io, n, words);
}

static int usage(FILE *to)
{
    fprintf(to,
            "Usage: quern-io [OPTIONS]... [-c STRING]... [file]\nQUERN Disk exerciser\n\n"
            "      --object OBJECTDEF   accepted where images need secrets\n      --image-opts         treat file as option string\n"
            "  -c, --cmd STRING         execute command with its arguments\n  -f, --format FMT         specifies the block driver to use\n"
            "  -r, --read-only          export read-only\n  -s, --snapshot           use snapshot file\n"
            "  -n, --nocache            disable host cache, short for -t none\n  -t, --cache MODE         cache mode\n"
            "  -d, --discard MODE       ignore or unmap\n  -U, --force-share        force shared permissions\n"
            "  -h, --help               display this help and exit\n  -V, --version            output version information and exit\n");
    return to == stderr;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"help", no_argument, NULL, 'h'},         {"version", no_argument, NULL, 'V'}, {"cmd", required_argument, NULL, 'c'},
        {"format", required_argument, NULL, 'f'}, {"read-only", no_argument, NULL, 'r'}, {"snapshot", no_argument, NULL, 's'},
        {"nocache", no_argument, NULL, 'n'},      {"misalign", no_argument, NULL, 'm'}, {"cache", required_argument, NULL, 't'},
        {"discard", required_argument, NULL, 'd'}, {"force-share", no_argument, NULL, 'U'}, {"image-opts", no_argument, NULL, 256},
        {"trace", required_argument, NULL, 'T'},  {NULL, 0, NULL, 0}};
    struct io io = {.flags = BLK_UNMAP};
    char **commands = NEW_ARRAY(char *, argc + 1);
    bool failed = false;
    int c, n = 0, rc = 0;

    error_set_progname("quern-io");
    while ((c = getopt_long(argc, argv, "hVc:d:f:rsnmCki:t:T:U", longs, NULL)) != -1) {
        switch (c) {
        case 'c': commands[n++] = optarg; break;
        case 'f': io.format = optarg; break;
        case 'r': io.flags |= BLK_RDONLY; break;
        case 's': io.flags |= BLK_SNAPSHOT; break;
        case 'n': io.flags |= BLK_DIRECT; break;
        case 'm': io.misalign = true; break;
        case 'U': io.flags |= BLK_FORCE_SHARE; break;
        case 'k': io.flags |= BLK_NATIVE_AIO; break;
        case 'C': io.flags |= BLK_COPY_ON_READ; break;
        case 'T': break;
        case 256: io.image_opts = true; break;
        case 't':
            if (blk_parse_cache(optarg, &io.flags)) return error_report("Invalid cache option: %s", optarg), 1;
            break;
        case 'd':
            if (blk_parse_discard(optarg, &io.flags)) return error_report("Invalid discard option: %s", optarg), 1;
            break;
        case 'h': return usage(stdout);
        case 'V': return printf("quern-io version %s\n", PACKAGE_VERSION), 0;
        default: return usage(stderr);
        }
    }
    if (argc - optind > 1) return usage(stderr);
    io.graph = blk_graph_new();
    io.ctx = blk_ctx_new(NULL, 0, NULL);
    if (optind < argc && io_open_image(&io, argv[optind], io.flags)) rc = 1;
    for (int i = 0; i < n && !rc && !io.quit; i++) {
        char *line = mem_strdup(commands[i]);
        if (run_line(&io, line)) failed = true; /* the others still run */
        fflush(stdout);
        mem_free(line);
    }
    if (!n && !rc) {
        char line[4096];
        bool tty = isatty(0);
        while (!io.quit) {
            if (tty) printf("quern-io> "), fflush(stdout);
            if (!fgets(line, sizeof line, stdin)) break;
            if (run_line(&io, line)) failed = true;
            fflush(stdout);
        }
    }
    if (io.ctx) blk_ctx_drain(io.ctx);
    if (failed) rc = 1;
    blk_ctx_delete(io.ctx);
    blk_close(io.blk);
    blk_graph_delete(io.graph);
    mem_free(commands);
    return rc;
}
