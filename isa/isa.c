/*
 * isa.c - the ISAs that were built, and finding them and their models by name.
 *
 * Not here: anything that one ISA knows; see isa/NAME/.
 */
#include "isa/isa.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#define ISA(object) extern const struct isa object;
#include "isa/isas.def"

const struct isa *const isa_list[] = {
#define ISA(object) &object,
#include "isa/isas.def"
};
const unsigned isa_count = ARRAY_LEN(isa_list);

const struct isa *isa_find(const char *name)
{
    for (unsigned i = 0; i < isa_count; i++)
        if (strcmp(isa_list[i]->name, name) == 0) return isa_list[i];
    return NULL;
}

const struct isa *isa_find_target(const char *target, bool *big_endian)
{
    for (unsigned i = 0; i < isa_count; i++) {
        for (const struct isa_target *t = isa_list[i]->targets; t->suffix; t++) {
            if (strcmp(t->suffix, target) == 0) {
                *big_endian = t->big_endian;
                return isa_list[i];
            }
        }
    }
    return NULL;
}

const struct cpu_model *isa_find_model(const struct isa *isa, const char *name)
{
    for (unsigned i = 0; i < isa->n_models; i++)
        if (strcasecmp(isa->models[i].name, name) == 0) return &isa->models[i];
    return NULL;
}

const struct cpu_model *isa_choose_model(const struct isa *isa, const char *text, void **made, struct error *e)
{
    size_t n = strcspn(text, ",");
    char *base = mem_printf("%.*s", (int)n, text);
    const struct cpu_model *m = isa_find_model(isa, base);

    *made = NULL;
    if (!m) {
        error_set(e, "unable to find CPU model '%s'", base);
        error_hint(e, "-cpu help lists the models");
    } else if (text[n] && !isa->derive_model) {
        error_set(e, "CPU features are not supported for '%s'", isa->name);
        m = NULL;
    } else if (text[n]) {
        m = isa->derive_model(isa, text, e);
        *made = (void *)m;
    }
    mem_free(base);
    return m;
}

void isa_list_models(const struct isa *isa, void (*put)(void *, const char *line), void *opaque)
{
    char line[100];
    size_t n = 0;

    put(opaque, "Available CPUs:");
    for (unsigned i = 0; i < isa->n_models; i++) {
        const struct cpu_model *m = &isa->models[i];
        snprintf(line, sizeof line, "  %-18s %s", m->name, m->help ? m->help : "");
        put(opaque, line);
    }
    if (!isa->feature_name) return;
    put(opaque, "");
    put(opaque, "Features, to be switched by ,+NAME ,-NAME ,NAME=on|off after a model:");
    for (unsigned i = 0; isa->feature_name(i); i++) {
        const char *name = isa->feature_name(i);
        if (n && n + 1 + strlen(name) > 76) {
            put(opaque, line);
            n = 0;
        }
        size_t at = n + (n ? 1 : 2);
        n += (size_t)snprintf(line + n, sizeof line - n, "%s%s", n ? " " : "  ", name);
        for (; at < n; at++) line[at] = (char)tolower((unsigned char)line[at]);
    }
    if (n) put(opaque, line);
}
