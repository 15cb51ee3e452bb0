/*
 * quern-img.c - the image tool: finds the command and runs it. The commands are in img-*.c.
 */
#include "tools/img.h"

#include <stdio.h>

/* What the words of the syntax lines mean; the manual page has the same. */
static const char img_help_text[] =
    "\nWords of the syntax:\n"
    "  FILENAME        an image: a path, PROTOCOL:..., json:{...}; with --image-opts driver=...,file.filename=...\n"
    "  FMT             its format; probed when it is not given\n"
    "  CACHE           writeback (default), none, writethrough, directsync, unsafe (default of convert)\n"
    "  SIZE, OFFSET    bytes; k M G T P E multiply by powers of 1024\n"
    "  OPTIONS         name=value,...; -o help lists those of a format\n"
    "  SNAPSHOT_PARAM  an ID or name, or snapshot.id=ID,snapshot.name=NAME\n"
    "  -p              shows progress; without it SIGUSR1 prints it once\n"
    "  -q              prints nothing but errors\n"
    "  -U              opens an image although another program writes it\n"
    "  --output        human or json\n"
    "  -S              convert: runs of zeros at least so long become holes (4k); 0: everything is allocated\n"
    "  -n              convert: writes into an image that exists\n"
    "  -u              rebase, create: takes the backing file as given, without opening it\n";

static const struct img_command commands[] = {
#define IMG(name, args, help) {#name, args, help, img_##name},
#include "tools/img-commands.def"
#undef IMG
};

void img_help(void)
{
    const char *name;
    enum blk_kind kind;
    bool create;

    printf("quern-img version %s\nusage: quern-img [standard options] command [command options]\n"
           "QUERN disk image utility\n\n"
           "    '-h', '--help'       display this help and exit\n"
           "    '-V', '--version'    output version information and exit\n"
           "    '-T', '--trace'      accepted, no effect\n\nCommand syntax:\n", PACKAGE_VERSION);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) printf("  %s %s\n", commands[i].name, commands[i].args);
    fputs(img_help_text, stdout);
    printf("\nSupported formats:");
    for (unsigned i = 0; blk_driver_name(i, &name, &kind, &create); i++) printf(" %s", name);
    printf("\n");
}

/* The manual page: `quern-img --man`. */
static void manual(void)
{
    man_head("quern\\-img", "QUERN\\-IMG", "disk image utility",
             ".B quern\\-img\n[\\-h | \\-V | \\-T\n.IR TRACE ]\n.I command\n[options]\n",
             "Creates, converts and checks disk images. It must not change an image that a virtual machine uses; locks "
             "on image files see to that where the host has them.");
    printf(".SH COMMANDS\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) man_item(commands[i].name, commands[i].args, commands[i].help);
    printf(".SH \"WORDS OF THE SYNTAX\"\n.nf\n");
    for (const char *p = strchr(img_help_text + 1, '\n') + 1; *p;) {
        size_t n = strcspn(p, "\n");
        man_text(p, n);
        putchar('\n');
        p += n + (p[n] == '\n');
    }
    printf(".fi\n.SH \"EXIT STATUS\"\n0, or 1 after an error, where a command above says nothing else.\n"
           ".SH \"SEE ALSO\"\n.BR quern (1),\n.BR quern\\-io (1)\n");
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'},
                                            {"trace", required_argument, NULL, 'T'}, {NULL, 0, NULL, 0}};
    int c, rc = 1;

    opterr = 0;
    error_set_progname("quern-img");
    if (argc == 2 && !strcmp(argv[1], "--man")) return manual(), 0;
    while ((c = getopt_long(argc, argv, "+hVT:", options, NULL)) != -1) {
        if (c == 'h') return img_help(), 0;
        if (c == 'V') return printf("quern-img version %s\n", PACKAGE_VERSION), 0;
        if (c == '?') return opterr = 0, img_usage("unrecognized option '%s'", argv[optind - 1]);
    }
    if (optind >= argc) return img_usage("Not enough arguments");
    argc -= optind, argv += optind;
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, argv[0])) continue;
        struct blk_graph *g = blk_graph_new();
        optind = 0; /* getopt starts anew */
        rc = commands[i].fn(g, argc, argv);
        blk_graph_delete(g);
        if (fflush(stdout)) rc = 1;
        return rc;
    }
    return img_usage("Command not found: %s", argv[0]);
}
