/*
 * lockstep.c - the option -lockstep: which engines are compared, and how (see lockstep.h).
 */
#include "interp/lockstep.h"

#include "interp/accel.h"
#include "interp/jit.h"
#include "util/opts.h"

#include <stdio.h>

static int parse_engine(struct lockstep_config *c, unsigned i, const char *text, const struct engine_config *base, struct error *e)
{
    char *copy = mem_strdup(text), *save = NULL, *w = strtok_r(copy, ":", &save);
    struct engine_config *g = &c->engine[i];
    int rc = 0;

    *g = *base;
    g->backend = NULL, g->mode = ENGINE_FAST;
    snprintf(c->name[i], sizeof c->name[i], "%s", text);
    if (!w) rc = error_set(e, "-lockstep: an engine is missing");
    else if (!strcmp(w, "ref")) g->mode = ENGINE_REF;
    else if (strcmp(w, "interp")) {
        g->backend = jit_find(w, e);
        if (!g->backend) rc = -1;
    }
    while (!rc && (w = strtok_r(NULL, ":", &save))) {
        char *v = strchr(w, '=');
        if (v) *v++ = 0;
        rc = accel_set(g, w, v, e);
    }
    g->sync = true; /* what is compiled when must not depend on the host */
    mem_free(copy);
    return rc;
}

int lockstep_parse(struct lockstep_config *c, const char *text, const struct engine_config *base, struct error *e)
{
    char *copy = mem_strdup(text), *save = NULL;
    bool have[2] = { false, false };
    int rc = 0;

    memset(c, 0, sizeof *c);
    c->every = 10000;
    for (char *w = strtok_r(copy, ",", &save); w && !rc; w = strtok_r(NULL, ",", &save)) {
        if (!strncmp(w, "every=", 6)) rc = opt_parse_number("every", w + 6, UINT64_C(1) << 40, &c->every, e);
        else if (!strncmp(w, "limit=", 6)) rc = opt_parse_number("limit", w + 6, UINT64_C(1) << 62, &c->limit, e);
        else if (!strncmp(w, "write=", 6)) mem_free(c->write), c->write = mem_strdup(w + 6);
        else if (!strncmp(w, "replay=", 7)) mem_free(c->replay), c->replay = mem_strdup(w + 7);
        else {
            unsigned i = !strncmp(w, "a=", 2) ? 0 : !strncmp(w, "b=", 2) ? 1 : have[0];
            if (w[0] && w[1] == '=') w += 2;
            if (have[i]) rc = error_set(e, "-lockstep: '%s' is one engine too many", w);
            else rc = parse_engine(c, i, w, base, e);
            have[i] = true;
        }
    }
    if (!rc && !c->every) rc = error_set(e, "-lockstep: every=0");
    if (!rc && !(have[0] && have[1])) {
        rc = error_set(e, "-lockstep needs two engines");
        error_hint(e, "-lockstep ref,native: of ref, interp and the backends ('-accel help' lists them)");
    }
    mem_free(copy);
    if (rc) lockstep_config_free(c);
    return rc;
}

void lockstep_config_free(struct lockstep_config *c)
{
    mem_free(c->write);
    mem_free(c->replay);
    c->write = c->replay = NULL;
}
