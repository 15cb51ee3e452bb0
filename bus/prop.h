/*
 * prop.h - inside of bus/: properties for dev.c.
 */
#ifndef BUS_PROP_H
#define BUS_PROP_H

#include "bus/dev.h"

size_t prop_size(const struct prop_desc *); /* bytes of the member */
void prop_defaults(struct device *);
void prop_free(struct device *);
const struct prop_desc *prop_find(const struct dev_desc *, const char *name);
/* The value as `info qtree` shows it. */
void prop_text(struct device *, const struct prop_desc *, char *out, size_t size);

#endif
