/*
 * mutant.h - a code generator with a fault on purpose: changes one class of ops in the IR of each region before another
 * backend gets it. For tests that show that faults are found, and nothing else.
 */
#ifndef TESTS_MUTANT_H
#define TESTS_MUTANT_H

#include "util/error.h"

/* Registers the backend "mutant" if the environment's QUERN_MUTANT says which: CLASS or CLASS:BACKEND (default null).
 * 0, or -1 + error. */
int mutant_register(struct error *);
/* Names of the classes, ended by NULL. */
extern const char *const mutant_classes[];

#endif
