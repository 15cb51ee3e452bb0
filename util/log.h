/*
 * log.h - `-d ITEM,...` and `-D FILE`: what a run tells of itself.
 *
 * Items are bits; a message costs one load and one test when its item is off.
 */
#ifndef UTIL_LOG_H
#define UTIL_LOG_H

#include "util/error.h"

#include <stdio.h>

/* name, help */
#define LOG_ITEMS(X)                                                                               \
    X(OUT_ASM, "out_asm", "show generated host code for each compiled block")                      \
    X(IN_ASM, "in_asm", "show guest code for each translated block")                               \
    X(OP, "op", "show IR of each translated block")                                                \
    X(OP_OPT, "op_opt", "show IR after optimisation")                                              \
    X(OP_IND, "op_ind", "show IR before indirect lowering")                                        \
    X(INT, "int", "show interrupts and exceptions in short form")                                  \
    X(EXEC, "exec", "show a line before each executed block")                                      \
    X(CPU, "cpu", "show CPU registers before each executed block")                                 \
    X(FPU, "fpu", "include FPU registers in the cpu logging")                                      \
    X(MMU, "mmu", "log MMU-related activities")                                                    \
    X(PCALL, "pcall", "x86 only: show protected mode far calls, returns and exceptions")           \
    X(CPU_RESET, "cpu_reset", "show CPU state before CPU resets")                                  \
    X(UNIMP, "unimp", "log unimplemented functionality")                                           \
    X(GUEST_ERRORS, "guest_errors", "log when the guest does something invalid")                   \
    X(PAGE, "page", "dump pages at beginning of user mode emulation")                              \
    X(NOCHAIN, "nochain", "do not chain blocks so that exec and cpu show complete traces")         \
    X(STRACE, "strace", "log every user-mode system call, its input and its result")

enum log_bit {
#define X(id, name, help) LOG_BIT_##id,
    LOG_ITEMS(X)
#undef X
    LOG_BIT_COUNT
};
enum log_mask {
#define X(id, name, help) LOG_##id = 1 << LOG_BIT_##id,
    LOG_ITEMS(X)
#undef X
};

/* With these every block comes back to the engine before the next. */
enum { LOG_UNCHAINED = LOG_EXEC | LOG_CPU | LOG_NOCHAIN };

struct log_item { const char *name, *help; };
extern const struct log_item log_items[LOG_BIT_COUNT];

extern uint32_t log_enabled;  /* mask of LOG_*; written by log_set only */
static inline bool log_on(uint32_t mask) { return unlikely(log_enabled & mask); }

/* Parses "item,item"; "help" is not handled here. Also sets NOTHING on error. 0 or -1. */
int log_parse_items(const char *s, uint32_t *mask, struct error *e);
void log_set(uint32_t mask);
/* Opens FILE ("%d" becomes the pid); NULL = stderr. 0 or -1. */
int log_set_file(const char *path, struct error *e);
/* -dfilter: guest code addresses to log; "start+size", "start-size", "start..end", comma separated. */
int log_set_filter(const char *ranges, struct error *e);
bool log_in_filter(uint64_t addr); /* true when no filter is set */

/* Writes unconditionally to the log; callers test log_on first, or use LOG(). */
void log_printf(const char *fmt, ...) ATTR_PRINTF(1, 2);
FILE *log_stream(void);
#define LOG(item, ...)                                                                             \
    do {                                                                                           \
        if (log_on(LOG_##item)) log_printf(__VA_ARGS__);                                           \
    } while (0)

#endif
