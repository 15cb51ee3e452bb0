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
#define IMG(name, args) {#name, args, img_##name},
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

int main(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'},
                                            {"trace", required_argument, NULL, 'T'}, {NULL, 0, NULL, 0}};
    int c, rc = 1;

    error_set_progname("quern-img");
    while ((c = getopt_long(argc, argv, "+hVT:", options, NULL)) != -1) {
        if (c == 'h') return img_help(), 0;
        if (c == 'V') return printf("quern-img version %s\n", PACKAGE_VERSION), 0;
        if (c == '?') return img_usage("unrecognized option '%s'", argv[optind - 1]);
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
