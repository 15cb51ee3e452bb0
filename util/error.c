/*
 * error.c - error objects and messages on stderr (see error.h), and checked allocation.
 */
#include "util/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef HAVE_SYS_MMAN_H
#include <sys/mman.h>
#include <unistd.h>
#endif

static const char *progname = "quern";

void error_set_progname(const char *name)
{
    const char *slash = strrchr(name, '/');
    progname = slash ? slash + 1 : name;
}

const char *error_progname(void) { return progname; }

int error_set(struct error *e, const char *fmt, ...)
{
    if (e && !e->set) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(e->msg, sizeof e->msg, fmt, ap);
        va_end(ap);
        e->hint[0] = 0;
        e->set = true;
    }
    return -1;
}

int error_hint(struct error *e, const char *fmt, ...)
{
    if (e && e->set && !e->hint[0]) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(e->hint, sizeof e->hint, fmt, ap);
        va_end(ap);
    }
    return -1;
}

void error_prefix(struct error *e, const char *fmt, ...)
{
    char head[256], rest[sizeof e->msg];
    va_list ap;

    if (!e || !e->set) return;
    va_start(ap, fmt);
    vsnprintf(head, sizeof head, fmt, ap);
    va_end(ap);
    memcpy(rest, e->msg, sizeof rest);
    size_t n = strlen(head);
    if (n > sizeof e->msg - 3) n = sizeof e->msg - 3;
    memcpy(e->msg, head, n);
    e->msg[n++] = ':';
    e->msg[n++] = ' ';
    size_t room = sizeof e->msg - n - 1, len = strlen(rest);
    if (len > room) len = room;
    memcpy(e->msg + n, rest, len);
    e->msg[n + len] = 0;
}

void error_clear(struct error *e)
{
    if (e) e->set = false, e->msg[0] = e->hint[0] = 0;
}

void error_print(const struct error *e)
{
    if (!e->set) return;
    fprintf(stderr, "%s: %s\n", progname, e->msg);
    if (e->hint[0]) fprintf(stderr, "%s\n", e->hint);
}

static void report(const char *kind, const char *fmt, va_list ap)
{
    fprintf(stderr, "%s: %s", progname, kind);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
}

#define REPORT_FN(name, kind)                                                                      \
    void name(const char *fmt, ...)                                                                \
    {                                                                                              \
        va_list ap;                                                                                \
        va_start(ap, fmt);                                                                         \
        report(kind, fmt, ap);                                                                     \
        va_end(ap);                                                                                \
    }
REPORT_FN(error_report, "")
REPORT_FN(error_warn, "warning: ")
REPORT_FN(error_info, "info: ")

static ATTR_NORETURN void out_of_memory(size_t n)
{
    fprintf(stderr, "%s: out of memory (%zu bytes wanted)\n", progname, n);
    exit(1);
}

void *mem_alloc(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p) out_of_memory(n);
    return p;
}

void mem_will_write(void *p, size_t n)
{
#if defined HAVE_SYS_MMAN_H && defined MADV_POPULATE_WRITE
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ALIGN_UP((uintptr_t)p, page), to = ((uintptr_t)p + n) & ~(page - 1);
    if (from < to) (void)madvise((void *)from, to - from, MADV_POPULATE_WRITE);
#else
    (void)p, (void)n;
#endif
}

void *mem_zalloc(size_t n)
{
    void *p = calloc(1, n ? n : 1);
    if (!p) out_of_memory(n);
    return p;
}

void *mem_realloc(void *old, size_t n)
{
    void *p = realloc(old, n ? n : 1);
    if (!p) out_of_memory(n);
    return p;
}

char *mem_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    return memcpy(mem_alloc(n), s, n);
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) n = 0;
    char *s = mem_alloc((size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(s, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return s;
}
