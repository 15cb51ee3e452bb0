/*
 * log.c - the log items, their file and their address filter (see log.h).
 */
#include "util/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

const struct log_item log_items[LOG_BIT_COUNT] = {
#define X(id, name, help) { name, help },
    LOG_ITEMS(X)
#undef X
};

uint32_t log_enabled;
static FILE *log_file;
static struct log_range { uint64_t lo, hi; } *ranges; /* inclusive */
static unsigned n_ranges;

FILE *log_stream(void) { return log_file ? log_file : stderr; }
void log_set(uint32_t mask) { log_enabled = mask; }

int log_parse_items(const char *s, uint32_t *mask, struct error *e)
{
    uint32_t m = 0;

    while (*s) {
        size_t n = strcspn(s, ",");
        unsigned i;
        for (i = 0; i < LOG_BIT_COUNT; i++) {
            if (strlen(log_items[i].name) == n && !memcmp(log_items[i].name, s, n)) break;
        }
        if (i < LOG_BIT_COUNT) m |= 1u << i;
        else if (n == 3 && !memcmp(s, "all", 3)) m |= (1u << LOG_BIT_COUNT) - 1;
        else if (n == 4 && !memcmp(s, "none", 4)) m = 0;
        else {
            error_set(e, "unknown log item '%.*s'", (int)n, s);
            return error_hint(e, "'-d help' lists the items");
        }
        s += n;
        if (*s == ',') s++;
    }
    *mask = m;
    return 0;
}

int log_set_file(const char *path, struct error *e)
{
    FILE *f = NULL;

    if (path) {
        char *name;
        const char *pct = strchr(path, '%');
        if (pct && (pct[1] != 'd' || strchr(pct + 1, '%'))) {
            return error_set(e, "log file name '%s': only one %%d (the process id) is allowed", path);
        }
        if (pct) name = mem_printf("%.*s%d%s", (int)(pct - path), path, (int)getpid(), pct + 2);
        else name = mem_strdup(path);
        f = fopen(name, "w");
        if (!f) {
            error_set(e, "could not open log file '%s': %s", name, strerror(errno));
            mem_free(name);
            return -1;
        }
        setvbuf(f, NULL, _IOLBF, 0);
        mem_free(name);
    }
    if (log_file) fclose(log_file);
    log_file = f;
    return 0;
}

int log_set_filter(const char *s, struct error *e)
{
    struct log_range *list = NULL;
    unsigned n = 0;

    while (*s) {
        char *end;
        errno = 0;
        uint64_t a = strtoull(s, &end, 0), b;
        char sep = *end;
        if (end == s || errno) goto bad;
        if (sep == '.' && end[1] == '.') s = end + 2;
        else if (sep == '+' || sep == '-') s = end + 1;
        else goto bad;
        b = strtoull(s, &end, 0);
        if (end == s || errno || (*end && *end != ',')) goto bad;
        list = mem_realloc(list, (n + 1) * sizeof *list);
        if (sep == '+') list[n].lo = a, list[n].hi = b ? a + b - 1 : a;
        else if (sep == '-') list[n].lo = a - b, list[n].hi = a;
        else list[n].lo = a, list[n].hi = b;
        if (list[n].lo > list[n].hi) goto bad;
        n++;
        s = *end ? end + 1 : end;
    }
    mem_free(ranges);
    ranges = list;
    n_ranges = n;
    return 0;
bad:
    mem_free(list);
    return error_set(e, "bad address range at '%s' (forms: START+SIZE, START-SIZE, START..END)", s);
}

bool log_in_filter(uint64_t addr)
{
    if (!n_ranges) return true;
    for (unsigned i = 0; i < n_ranges; i++) {
        if (addr >= ranges[i].lo && addr <= ranges[i].hi) return true;
    }
    return false;
}

void log_printf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vfprintf(log_stream(), fmt, ap);
    va_end(ap);
}
