/* Start-up: a program that does nothing much. */
#include "rt.h"
unsigned bench(void) { return 42; }
