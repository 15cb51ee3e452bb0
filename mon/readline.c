/*
 * readline.c - line editing (see readline.h). Moves are relative, with backspaces, so that the width of the terminal
 * need not be known.
 */
#include "mon/readline.h"

#include <stdio.h>

enum { ESC_NONE, ESC_START, ESC_CSI, ESC_SS3 };

static void put(struct readline *r, const char *s, unsigned n) { r->put(r->opaque, s, n); }
static void puts_(struct readline *r, const char *s) { put(r, s, (unsigned)strlen(s)); }

void readline_init(struct readline *r, const char *prompt) { r->prompt = prompt; }

static void drop_candidates(struct readline *r)
{
    for (unsigned i = 0; i < r->n_cand; i++) mem_free(r->cand[i]);
    mem_free(r->cand);
    r->cand = NULL, r->n_cand = 0;
}

void readline_free(struct readline *r)
{
    for (unsigned i = 0; i < r->n_history; i++) mem_free(r->history[i]);
    r->n_history = 0;
    mem_free(r->typed);
    r->typed = NULL;
    drop_candidates(r);
}

void readline_candidate(struct readline *r, const char *word)
{
    r->cand = mem_realloc(r->cand, (r->n_cand + 1) * sizeof *r->cand);
    r->cand[r->n_cand++] = mem_strdup(word);
}

void readline_prompt(struct readline *r)
{
    puts_(r, r->prompt);
    put(r, r->buf, r->len);
    for (unsigned i = r->pos; i < r->len; i++) put(r, "\b", 1);
}

static void move_to(struct readline *r, unsigned pos)
{
    while (r->pos > pos) put(r, "\b", 1), r->pos--;
    if (r->pos < pos) put(r, r->buf + r->pos, pos - r->pos);
    r->pos = pos;
}

/* Shows the line from the cursor on after it changed; the cursor stays. */
static void redraw_tail(struct readline *r)
{
    put(r, r->buf + r->pos, r->len - r->pos);
    puts_(r, "\033[K");
    for (unsigned i = r->pos; i < r->len; i++) put(r, "\b", 1);
}

static void insert(struct readline *r, const char *s, unsigned n)
{
    if (r->len + n > READLINE_MAX) return;
    memmove(r->buf + r->pos + n, r->buf + r->pos, r->len - r->pos);
    memcpy(r->buf + r->pos, s, n);
    r->len += n;
    r->buf[r->len] = 0;
    put(r, s, n);
    r->pos += n;
    if (r->pos < r->len) redraw_tail(r);
}

/* Removes from..to, the cursor goes to `from`. */
static void erase(struct readline *r, unsigned from, unsigned to)
{
    if (from == to) return;
    move_to(r, from);
    memmove(r->buf + from, r->buf + to, r->len - to);
    r->len -= to - from;
    r->buf[r->len] = 0;
    redraw_tail(r);
}

static unsigned word_left(const struct readline *r)
{
    unsigned p = r->pos;
    while (p && r->buf[p - 1] == ' ') p--;
    while (p && r->buf[p - 1] != ' ') p--;
    return p;
}

static unsigned word_right(const struct readline *r)
{
    unsigned p = r->pos;
    while (p < r->len && r->buf[p] == ' ') p++;
    while (p < r->len && r->buf[p] != ' ') p++;
    return p;
}

static void replace_line(struct readline *r, const char *s)
{
    unsigned n = (unsigned)MIN(strlen(s), (size_t)READLINE_MAX);
    move_to(r, 0);
    memcpy(r->buf, s, n);
    r->buf[n] = 0;
    r->len = n;
    redraw_tail(r);
    move_to(r, n);
}

static void browse(struct readline *r, bool older)
{
    if (older ? r->browse == 0 : r->browse == r->n_history) return;
    if (r->browse == r->n_history) {
        mem_free(r->typed);
        r->typed = mem_strdup(r->buf);
    }
    r->browse += older ? -1u : 1u;
    replace_line(r, r->browse < r->n_history ? r->history[r->browse] : r->typed);
}

static void remember(struct readline *r, const char *line)
{
    if (!*line) return;
    /* A line entered again moves to the end. */
    for (unsigned i = 0; i < r->n_history; i++) {
        if (strcmp(r->history[i], line)) continue;
        mem_free(r->history[i]);
        memmove(&r->history[i], &r->history[i + 1], (r->n_history - i - 1) * sizeof r->history[0]);
        r->n_history--;
        break;
    }
    if (r->n_history == READLINE_HISTORY) {
        mem_free(r->history[0]);
        memmove(&r->history[0], &r->history[1], (READLINE_HISTORY - 1) * sizeof r->history[0]);
        r->n_history--;
    }
    r->history[r->n_history++] = mem_strdup(line);
}

static void enter(struct readline *r)
{
    char *line = mem_strdup(r->buf);

    move_to(r, r->len);
    puts_(r, "\n");
    r->len = r->pos = 0;
    r->buf[0] = 0;
    remember(r, line);
    r->browse = r->n_history;
    r->line(r->opaque, line);
    mem_free(line);
}

static void complete(struct readline *r)
{
    char *before = mem_printf("%.*s", (int)r->pos, r->buf);
    const char *space = strrchr(before, ' ');
    unsigned have = (unsigned)strlen(space ? space + 1 : before), common;

    drop_candidates(r);
    if (r->complete) r->complete(r->opaque, r, before);
    mem_free(before);
    if (!r->n_cand) return;
    common = (unsigned)strlen(r->cand[0]);
    for (unsigned i = 1; i < r->n_cand; i++) {
        unsigned k = 0;
        while (k < common && r->cand[i][k] == r->cand[0][k]) k++;
        common = k;
    }
    if (common > have) insert(r, r->cand[0] + have, common - have);
    if (r->n_cand == 1) {
        size_t n = strlen(r->cand[0]);
        if (n && r->cand[0][n - 1] != '/') insert(r, " ", 1);
    } else if (common <= have) {
        unsigned width = 0;
        puts_(r, "\n");
        for (unsigned i = 0; i < r->n_cand; i++) width = MAX(width, (unsigned)strlen(r->cand[i]) + 2);
        for (unsigned i = 0; i < r->n_cand; i++) {
            char *s = mem_printf("%-*s", (int)width, r->cand[i]);
            puts_(r, s);
            mem_free(s);
            if ((i + 1) % MAX(1, 78 / width) == 0 || i + 1 == r->n_cand) puts_(r, "\n");
        }
        readline_prompt(r);
    }
    drop_candidates(r);
}

static void key(struct readline *r, uint8_t c)
{
    switch (c) {
    case 1: move_to(r, 0); break;                                                /* C-a */
    case 2: if (r->pos) move_to(r, r->pos - 1); break;                           /* C-b */
    case 4: if (r->pos < r->len) erase(r, r->pos, r->pos + 1); break;            /* C-d */
    case 5: move_to(r, r->len); break;                                           /* C-e */
    case 6: if (r->pos < r->len) move_to(r, r->pos + 1); break;                  /* C-f */
    case 8: case 127: if (r->pos) erase(r, r->pos - 1, r->pos); break;           /* C-h */
    case 9: complete(r); break;
    case 11: erase(r, r->pos, r->len); break;                                    /* C-k */
    case 12: puts_(r, "\033[H\033[J"); readline_prompt(r); break;                /* C-l */
    case 14: browse(r, false); break;                                            /* C-n */
    case 16: browse(r, true); break;                                             /* C-p */
    case 21: erase(r, 0, r->pos); break;                                         /* C-u */
    case 23: erase(r, word_left(r), r->pos); break;                              /* C-w */
    case 27: r->esc = ESC_START; break;
    default:
        if (c >= 32) insert(r, (const char *)&c, 1);
    }
}

static void escape(struct readline *r, uint8_t c)
{
    unsigned state = r->esc;

    r->esc = ESC_NONE;
    if (state == ESC_START) {
        switch (c) {
        case '[': r->esc = ESC_CSI; r->esc_param = 0; break;
        case 'O': r->esc = ESC_SS3; break;
        case 'b': move_to(r, word_left(r)); break;
        case 'f': move_to(r, word_right(r)); break;
        case 'd': erase(r, r->pos, word_right(r)); break;
        case 8: case 127: erase(r, word_left(r), r->pos); break;
        }
        return;
    }
    if (state == ESC_CSI && ((c >= '0' && c <= '9') || c == ';')) {
        r->esc_param = c == ';' ? 0 : (r->esc_param * 10 + (c - '0')) % 1000;
        r->esc = ESC_CSI;
        return;
    }
    switch (c) {
    case 'A': browse(r, true); break;
    case 'B': browse(r, false); break;
    case 'C': key(r, 6); break;
    case 'D': key(r, 2); break;
    case 'H': key(r, 1); break;
    case 'F': key(r, 5); break;
    case '~':
        if (r->esc_param == 1 || r->esc_param == 7) key(r, 1);
        if (r->esc_param == 4 || r->esc_param == 8) key(r, 5);
        if (r->esc_param == 3) key(r, 4);
        break;
    }
}

void readline_input(struct readline *r, const uint8_t *buf, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint8_t c = buf[i];

        if (c == '\r' || c == '\n') {
            bool second = c == '\n' && r->last_cr;
            r->last_cr = c == '\r';
            r->esc = ESC_NONE;
            if (!second) enter(r);
            continue;
        }
        r->last_cr = false;
        if (r->esc) escape(r, c);
        else key(r, c);
    }
}
