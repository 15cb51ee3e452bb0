/*
 * isa.c - the ISAs that were built, and finding them and their models by name.
 *
 * Not here: anything that one ISA knows; see isa/NAME/.
 */
#include "isa/isa.h"

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
