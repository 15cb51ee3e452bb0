/*
 * quern-io.c - the I/O exerciser: options, opening, the line of a command cut into words. The commands are in io-*.c.
 */
#include "tools/io.h"

#include <stdio.h>

#define MAX_WORDS 256

const struct io_command io_commands[] = {
#define IO(name, alias, file, writes, min, max, args, help, more) \
    {#name, alias, args, help, more, io_##name, file, writes, min, max},
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

static void say_usage(const struct io_command *c)
{
    printf("%s%s%s -- %s\n", c->name, *c->args ? " " : "", c->args, c->help);
}

int io_usage(const char *name)
{
    const struct io_command *c = find(name);
    if (c) say_usage(c);
    return -1;
}

int io_quit(struct io *io, int argc, char **argv) { return io->quit = true, 0; }

int io_help(struct io *io, int argc, char **argv)
{
    if (argc > 1) {
        if (!find(argv[1])) return printf("command %s not found\n", argv[1]), -1;
        io_usage(argv[1]), fputs(find(argv[1])->more, stdout);
        return 0;
    }
    for (unsigned i = 0; i < io_command_count; i++)
        say_usage(&io_commands[i]);
    printf("\nUse 'help commandname' for extended help.\n");
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
    if (n - 1 < c->min || (c->max >= 0 && n - 1 > c->max)) {
        if (c->max < 0) fprintf(stderr, "bad argument count %d to %s, expected at least %d arguments\n", n - 1, words[0], c->min);
        else if (c->min == c->max) fprintf(stderr, "bad argument count %d to %s, expected %d arguments\n", n - 1, words[0], c->min);
        else fprintf(stderr, "bad argument count %d to %s, expected between %d and %d arguments\n", n - 1, words[0], c->min, c->max);
        return -1;
    }
    if (c->writes && blk_readonly(io->blk)) return error_report("Block node is read-only"), -1;
    optind = 0, opterr = 1;
    return c->fn(io, n, words);
}

static const char usage_text[] =
    "Usage: quern-io [OPTIONS]... [-c STRING]... [file]\nQUERN Disk exerciser\n\n"
    "      --object OBJECTDEF   defines an object: a 'secret' for passwords and keys\n"
    "      --image-opts         the file is a list of options\n"
    "  -c, --cmd STRING         runs a command; several run in turn\n"
    "  -f, --format FMT         the format of the image\n"
    "  -r, --read-only          opens it read-only\n"
    "  -s, --snapshot           writes go to a temporary overlay\n"
    "  -n, --nocache            no host cache, short for -t none\n"
    "  -C, --copy-on-read       keeps what is read from backing files\n"
    "  -m, --misalign           buffers off the alignment of O_DIRECT\n"
    "  -k, --native-aio         native asynchronous requests\n"
    "  -i, --aio=MODE           threads (default), native or io_uring\n"
    "  -t, --cache=MODE         cache mode\n"
    "  -d, --discard=MODE       ignore or unmap (default)\n"
    "  -T, --trace OPTIONS      accepted, no effect\n"
    "  -U, --force-share        opens what others write; needs -r\n"
    "  -h, --help               this help\n"
    "  -V, --version            the version\n\nSee 'quern-io -c help' for the commands.\n";

static void usage(FILE *to) { fputs(usage_text, to); }

/* The manual page: `quern-io --man`. */
static void manual(void)
{
    man_head("quern\\-io", "QUERN\\-IO", "disk image exerciser",
             ".B quern\\-io\n[options]\n[\\-c\n.IR COMMAND ]...\n[\n.I file\n]\n",
             "Sends single requests to a disk image, for tests and repairs. Commands come from \\-c, or from the standard "
             "input when there is none. Numbers may have a suffix k, M, G, T, P or E.");
    printf(".SH OPTIONS\n.nf\n");
    for (const char *p = strstr(usage_text, "      --object"); *p && strncmp(p, "\nSee", 4);) {
        size_t n = strcspn(p, "\n");
        man_text(p, n);
        putchar('\n');
        p += n;
        if (!strncmp(p, "\n\n", 2)) break;
        p += *p == '\n';
    }
    printf(".fi\n.SH COMMANDS\n");
    for (unsigned i = 0; i < io_command_count; i++) {
        man_item(io_commands[i].name, io_commands[i].args, io_commands[i].help);
        if (!*io_commands[i].more) continue;
        printf(".nf\n");
        man_text(io_commands[i].more, strlen(io_commands[i].more));
        printf(".fi\n");
    }
    printf(".SH \"EXIT STATUS\"\n0, or 1 when a command failed.\n.SH \"SEE ALSO\"\n.BR quern (1),\n.BR quern\\-img (1)\n");
}

/* -1: an error has been reported; 1: all is said; 0: go on. */
static int parse(struct io *io, int argc, char **argv, char **commands, int *n)
{
    static const struct option longs[] = {
        {"help", no_argument, NULL, 'h'},         {"version", no_argument, NULL, 'V'}, {"cmd", required_argument, NULL, 'c'},
        {"format", required_argument, NULL, 'f'}, {"read-only", no_argument, NULL, 'r'},
        {"nocache", no_argument, NULL, 'n'},      {"misalign", no_argument, NULL, 'm'}, {"cache", required_argument, NULL, 't'},
        {"discard", required_argument, NULL, 'd'}, {"force-share", no_argument, NULL, 'U'}, {"image-opts", no_argument, NULL, 256},
        {"trace", required_argument, NULL, 'T'},  {"snapshot", no_argument, NULL, 's'}, {"copy-on-read", no_argument, NULL, 'C'},
        {"native-aio", no_argument, NULL, 'k'}, {"aio", required_argument, NULL, 'i'}, {"object", required_argument, NULL, 257},
        {NULL, 0, NULL, 0}};
    int c;

    while ((c = getopt_long(argc, argv, "hVc:d:f:rsnmCki:t:T:U", longs, NULL)) != -1) {
        switch (c) {
        case 'c': commands[(*n)++] = optarg; break;
        case 'f': io->format = optarg; break;
        case 'r': io->flags |= BLK_RDONLY; break;
        case 's': io->flags |= BLK_SNAPSHOT; break;
        case 'n': io->flags |= BLK_DIRECT; break;
        case 'm': io->misalign = true; break;
        case 'U': io->flags |= BLK_FORCE_SHARE; break;
        case 'k': io->flags |= BLK_NATIVE_AIO; break;
        case 'C': io->flags |= BLK_COPY_ON_READ; break;
        case 'T': break;
        case 'i':
            if (io_parse_aio(optarg, &io->flags)) return -1;
            break;
        case 256: io->image_opts = true; break;
        case 257:
            if (img_object(io->graph, optarg)) return -1;
            break;
        case 't':
            if (blk_parse_cache(optarg, &io->flags)) return error_report("Invalid cache option: %s", optarg), -1;
            break;
        case 'd':
            if (blk_parse_discard(optarg, &io->flags)) return error_report("Invalid discard option: %s", optarg), -1;
            break;
        case 'h': usage(stdout); return 1;
        case 'V': printf("quern-io version %s\n", PACKAGE_VERSION); return 1;
        default: usage(stderr); return -1;
        }
    }
    if (argc - optind > 1) return usage(stderr), -1;
    return 0;
}

/* True when all commands went well. */
static bool run_commands(struct io *io, char **commands, int n)
{
    bool ok = true;

    for (int i = 0; i < n && !io->quit; i++) {
        char *line = mem_strdup(commands[i]);
        if (run_line(io, line)) ok = false; /* the others still run */
        fflush(stdout);
        mem_free(line);
    }
    while (!n && !io->quit) {
        char line[4096];
        printf("quern-io> ");
        fflush(stdout);
        if (!fgets(line, sizeof line, stdin)) break;
        if (run_line(io, line)) ok = false;
        if (io->ctx) blk_ctx_poll(io->ctx); /* of aio_read and aio_write: what has finished meanwhile */
        fflush(stdout);
    }
    io_release(io);
    return ok;
}

int main(int argc, char **argv)
{
    struct io io = {.flags = BLK_UNMAP};
    char **commands = NEW_ARRAY(char *, argc + 1);
    int n = 0, rc;

    error_set_progname("quern-io");
    if (argc == 2 && !strcmp(argv[1], "--man")) return mem_free(commands), manual(), 0;
    io.graph = blk_graph_new();
    rc = parse(&io, argc, argv, commands, &n);
    if (!rc) {
        io.ctx = blk_ctx_new(NULL, 0, NULL);
        if (optind < argc && io_open_image(&io, argv[optind], NULL, io.flags)) rc = -1;
        else if (!run_commands(&io, commands, n)) rc = -1;
    }
    blk_ctx_delete(io.ctx);
    blk_close(io.blk);
    blk_graph_delete(io.graph);
    mem_free(commands);
    return rc < 0;
}
