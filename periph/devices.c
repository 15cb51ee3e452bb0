/*
 * devices.c - the table of device models made from devices.def. It knows no device but by its descriptor.
 */
#include "periph/devices.h"

#include "bus/dev.h"

#define DEVICE(sym) extern const struct dev_desc sym;
#include "periph/devices.def"
#undef DEVICE

void periph_register_all(void)
{
#define DEVICE(sym) dev_register(&sym);
#include "periph/devices.def"
#undef DEVICE
}
