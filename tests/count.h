/*
 * count.h - the counters of a unit test: CHECK(condition), and the closing line all tests end with.
 */
#ifndef TESTS_COUNT_H
#define TESTS_COUNT_H

#include <stdio.h>

static unsigned count_passed, count_failed;

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (cond) {                                                                                \
            count_passed++;                                                                        \
        } else {                                                                                   \
            count_failed++;                                                                        \
            printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #cond);                              \
        }                                                                                          \
    } while (0)

/* The status for main to return. */
static inline int count_report(void)
{
    printf("%u passed, %u failed\n", count_passed, count_failed);
    return count_failed != 0;
}

#endif
