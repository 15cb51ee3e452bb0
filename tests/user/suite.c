/* suite.c - one program of all the tests: suite NAME. Anything else is what the process test has executed. */
#include <string.h>
int signals_main(int, char **), threads_main(int, char **), files_main(int, char **), process_main(int, char **),
    wild_main(int, char **), unaligned_main(int, char **), hot_main(int, char **), walk_main(int, char **);
int main(int argc, char **argv)
{
    const struct { const char *name; int (*run)(int, char **); } tests[] = {
        { "signals", signals_main }, { "threads", threads_main }, { "files", files_main }, { "process", process_main },
        { "wild", wild_main }, { "unaligned", unaligned_main }, { "hot", hot_main },
        { "walk", walk_main } };
    for (unsigned i = 0; argc == 2 && i < sizeof tests / sizeof *tests; i++)
        if (!strcmp(argv[1], tests[i].name)) return tests[i].run(argc - 1, argv + 1);
    return process_main(argc, argv);
}
