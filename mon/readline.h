/*
 * readline.h - a line editor for the monitor: VT100 escape sequences in and out, history, completion. It knows
 * neither the monitor nor its character backend.
 */
#ifndef MON_READLINE_H
#define MON_READLINE_H

#include "util/host.h"

enum { READLINE_MAX = 4095, READLINE_HISTORY = 64 };

struct readline {
    void *opaque;
    void (*put)(void *opaque, const char *s, unsigned n);
    void (*line)(void *opaque, const char *line);  /* a line was entered (history holds it already) */
    /* Calls readline_candidate for everything that could stand at the end of `line` (the text before the cursor). */
    void (*complete)(void *opaque, struct readline *, const char *line);

    const char *prompt;
    char buf[READLINE_MAX + 1];
    unsigned len, pos;
    unsigned esc;                 /* state within an escape sequence */
    unsigned esc_param;
    char *history[READLINE_HISTORY];
    unsigned n_history, browse;   /* browse == n_history: the line being typed */
    char *typed;                  /* that line, while browsing */
    char **cand;
    unsigned n_cand;
    bool last_cr;                 /* \r\n is one end of line */
};

void readline_init(struct readline *, const char *prompt);
void readline_free(struct readline *);
void readline_input(struct readline *, const uint8_t *buf, unsigned n);
void readline_prompt(struct readline *); /* shows the prompt and what was typed so far */
void readline_candidate(struct readline *, const char *word); /* copies */

#endif
