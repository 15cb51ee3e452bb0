/*
 * pcnet.h - the PCnet Ethernet controller ("pcnet"): what a board or monitor needs beyond the
 * descriptor.
 */
#ifndef PERIPH_NET_PCNET_H
#define PERIPH_NET_PCNET_H

#include "bus/dev.h"

/* Puts the cable in or takes it out (`set_link`). */
void pcnet_set_link(struct device *, bool up);

#endif
