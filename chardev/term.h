/*
 * term.h - the terminal on standard input: raw mode, and its way back on every exit.
 *
 * The one piece of global state outside logging: the process has one controlling terminal.
 */
#ifndef CHARDEV_TERM_H
#define CHARDEV_TERM_H

#include "util/host.h"

/* Puts the terminal on descriptor 0 into raw mode (no effect when it is none). isig: ^C and friends still send
 * signals. The first call saves the state and sees to its restoration at exit and on fatal signals. */
void term_raw(bool isig);
/* Back to how it was found. Async-signal safe. */
void term_restore(void);

#endif
