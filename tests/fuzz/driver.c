/*
 * driver.c - the main() of a fuzz target that is built without libFuzzer: runs files, or mutates seeds for a while.
 *
 * It knows nothing of coverage: a mutation is a few random edits of a seed, or random bytes. Targets make the most of it
 * by drawing structure from the bytes. `--seed` makes a run repeatable but for its length.
 */
#include "tests/fuzz/fuzz.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifndef FUZZ_LIBFUZZER

enum { SECONDS_PER_INPUT = 60 }; /* unless --limit says otherwise */

static unsigned limit = SECONDS_PER_INPUT;

static void on_alarm(int sig)
{
    static const char msg[] = "fuzz: an input takes too long\n";
    ssize_t n = write(2, msg, sizeof msg - 1);
    (void)n, (void)sig;
    abort();
}

/* Time of the processor, as the host may be busy; and, for what waits for ever, a multiple of it on the clock. */
static void watch(unsigned seconds)
{
    struct itimerval t = {{0, 0}, {(time_t)seconds, 0}};

    setitimer(ITIMER_PROF, &t, NULL);
    alarm(seconds * 10);
}

static int run_file(const char *path)
{
    static uint8_t buf[FUZZ_MAX_INPUT];
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return 1;
    }
    size_t n = fread(buf, 1, sizeof buf, f);
    fclose(f);
    watch(limit);
    /* An exact copy, so that reading beyond its end is seen. */
    uint8_t *copy = malloc(n + !n);
    if (!copy) return 1;
    memcpy(copy, buf, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
    watch(0);
    return 0;
}

static size_t mutate(uint8_t *buf, size_t n, uint64_t *rng)
{
    static const uint8_t edge[] = { 0, 1, 0x7f, 0x80, 0xff, 0xfe, 0x10, 0x40, ',', '=', '-', ':' };
    unsigned edits = 1 + (unsigned)(fuzz_random(rng) % 8);

    while (edits--) {
        size_t at = n ? (size_t)(fuzz_random(rng) % n) : 0, len;
        switch (fuzz_random(rng) % 8) {
        case 0: /* a bit */
            if (n) buf[at] ^= (uint8_t)(1u << (fuzz_random(rng) & 7));
            break;
        case 1: /* a byte */
            if (n) buf[at] = (uint8_t)(fuzz_random(rng) >> 20);
            break;
        case 2: /* a run of one byte's value */
            len = (size_t)1 << (fuzz_random(rng) & 3);
            len = MIN(len, n - at);
            if (n) memset(buf + at, edge[fuzz_random(rng) % sizeof edge], len);
            break;
        case 3: /* cut */
            len = n ? (size_t)(fuzz_random(rng) % MIN(n - at, (size_t)64)) + 1 : 0;
            if (n) memmove(buf + at, buf + at + len, n - at - len);
            n -= len;
            break;
        case 4: /* insert */
            len = (size_t)(fuzz_random(rng) % 16) + 1;
            if (n + len > FUZZ_MAX_INPUT) break;
            memmove(buf + at + len, buf + at, n - at);
            for (size_t i = 0; i < len; i++) buf[at + i] = (uint8_t)(fuzz_random(rng) >> 20);
            n += len;
            break;
        case 5: /* repeat a piece somewhere else */
            if (!n) break;
            len = (size_t)(fuzz_random(rng) % 32);
            len = MIN(len, n - at);
            size_t to = (size_t)(fuzz_random(rng) % n);
            memmove(buf + to, buf + at, MIN(len, n - to));
            break;
        case 6: /* count up or down */
            if (n) buf[at] = (uint8_t)(buf[at] + (fuzz_random(rng) & 1 ? 1 : -1));
            break;
        case 7: /* the end */
            if (fuzz_random(rng) % 8 == 0) n = at;
            break;
        }
    }
    return n;
}

int main(int argc, char **argv)
{
    unsigned long seconds = 10, cpu = 0, runs = 0, done = 0, files = 0, rejected = 0;
    uint64_t rng = 1;
    const char *last = NULL;
    int rc = 0;

    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (!strcmp(argv[i], "--seconds") && more) seconds = strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--cpu") && more) cpu = strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--runs") && more) runs = strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--seed") && more) rng = strtoull(argv[++i], NULL, 0) * UINT64_C(0x9e3779b97f4a7c15) | 1;
        else if (!strcmp(argv[i], "--limit") && more) limit = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--last") && more) last = argv[++i];
        else if (argv[i][0] == '-') rejected++;
    }
    if (rejected) {
        fprintf(stderr, "usage: %s [--seconds N | --cpu SECONDS | --runs N] [--seed N] [--limit SECONDS] [--last FILE] [INPUT...]\n", argv[0]);
        return 2;
    }
    signal(SIGALRM, on_alarm);
    signal(SIGPROF, on_alarm);
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-') {
            i++;
            continue;
        }
        rc |= run_file(argv[i]);
        files++;
    }
    if (files) return rc;

    uint8_t *input = malloc(FUZZ_MAX_INPUT), *shown = NULL;
    if (!input) return 1;
    FILE *f = last ? fopen(last, "w+b") : NULL;
    if (last && (!f || ftruncate(fileno(f), FUZZ_MAX_INPUT))) {
        perror(last);
        return 1;
    }
    if (f) {
        void *p = mmap(NULL, FUZZ_MAX_INPUT, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(f), 0);
        if (p != MAP_FAILED) shown = p;
    }
    unsigned n_seeds = 0;
    while (fuzz_seed(n_seeds, input, FUZZ_MAX_INPUT)) n_seeds++;
    time_t end = time(NULL) + (time_t)seconds;
    while (runs ? done < runs : cpu ? (unsigned long)(clock() / CLOCKS_PER_SEC) < cpu : time(NULL) < end) {
        size_t n;
        if (done < n_seeds) {
            n = fuzz_seed((unsigned)done, input, FUZZ_MAX_INPUT);
        } else if (n_seeds && fuzz_random(&rng) % 4) {
            n = fuzz_seed((unsigned)(fuzz_random(&rng) % n_seeds), input, FUZZ_MAX_INPUT);
            n = mutate(input, n, &rng);
        } else {
            n = (size_t)(fuzz_random(&rng) % 64);
            for (size_t i = 0; i < n; i++) input[i] = (uint8_t)(fuzz_random(&rng) >> 20);
        }
        if (shown) {
            /* Its length is the file's: what a crash leaves can be given back as it is. */
            memcpy(shown, input, n);
            if (ftruncate(fileno(f), (off_t)n)) return 1;
        }
        uint8_t *copy = malloc(n + !n);
        if (!copy) return 1;
        memcpy(copy, input, n);
        watch(limit);
        LLVMFuzzerTestOneInput(copy, n);
        watch(0);
        free(copy);
        done++;
        if (shown && ftruncate(fileno(f), FUZZ_MAX_INPUT)) return 1;
    }
    if (shown) munmap(shown, FUZZ_MAX_INPUT);
    if (f) {
        fclose(f);
        remove(last);
    }
    free(input);
    fprintf(stderr, "%s: %lu inputs, %.1f s of CPU time\n", argv[0], done, (double)clock() / CLOCKS_PER_SEC);
    return 0;
}
#endif
