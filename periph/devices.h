/*
 * devices.h - makes every device model of devices.def known to dev_find.
 */
#ifndef PERIPH_DEVICES_H
#define PERIPH_DEVICES_H

/* Registers all device models; called once by the program, before dev_find is used. */
void periph_register_all(void);

#endif
