/*
 * quern-img.c - the image tool: finds the command and runs it. The commands are in img-*.c.
 */
#include "tools/img.h"

#include <stdio.h>

static const struct img_command commands[] = {
#define IMG(name, args) {#name, args, img_##name},
#include "tools/img-commands.def"
#undef IMG
};

static int help(void)
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
    printf("\nSupported formats:");
    for (unsigned i = 0; blk_driver_name(i, &name, &kind, &create); i++) printf(" %s", name);
    printf("\n");
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'},
                                            {"trace", required_argument, NULL, 'T'}, {NULL, 0, NULL, 0}};
    int c, rc = 1;

    error_set_progname("quern-img");
    while ((c = getopt_long(argc, argv, "+hVT:", options, NULL)) != -1) {
        if (c == 'h') return help();
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
