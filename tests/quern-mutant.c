/*
 * quern-mutant.c - the system emulator with the faulty backend of mutant.c, for tests/test-mutants.sh.
 * usage: quern-mutant TARGET [options of quern-system-TARGET]
 */
#include "tests/backends.h"
#include "tests/mutant.h"
#include "tools/system.h"

int main(int argc, char **argv)
{
    struct error e = ERROR_INIT;
    error_set_progname("quern-mutant");
    register_backends();
    if (argc < 2 || mutant_register(&e)) {
        if (e.set) error_print(&e);
        return 2;
    }
    return system_main(argc - 1, argv + 1, argv[1]);
}
