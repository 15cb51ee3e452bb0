/*
 * screen.c - the monitor's screendump.
 */
#include "mon/internal.h"

#include "ui/picture.h"

void mon_screendump(struct monitor *m, const struct mon_args *a)
{
    struct display *d = m->env->machine->mb->display;
    struct error e = ERROR_INIT;

    if (!d) mon_printf(m, "Error: There is no console to take a screendump from\n");
    else if (display_save(d, mon_str(a, "filename"), &e)) mon_printf(m, "Error: %s\n", e.msg);
}
