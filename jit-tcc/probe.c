/*
 * probe.c - configure's question about libtcc: can it be part of a shared object, and does its code run where it was copied to?
 * Compiled twice: as that object, with the flags that the module would get, and (PROBE_RUN) as the program that loads it.
 */
#include <stdio.h>
#include <string.h>
#include <dlfcn.h>
#include <sys/mman.h>

#ifdef PROBE_RUN
int main(int argc, char **argv)
{
    void *h = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL, *p = h ? dlsym(h, "probe") : NULL;
    int (*probe)(void);
    if (!p) return 1;
    memcpy(&probe, &p, sizeof probe);
    return probe();
}
#else
#include <libtcc.h>
#include <stdlib.h>

#ifdef QUERN_TCC_STATIC
FILE *quern_tcc_stdout, *quern_tcc_stderr;
char **quern_tcc_environ;
int __wrap_mprotect(void *p, size_t n, int prot) { return (void)p, (void)n, (void)prot, 0; }
void __wrap_exit(int status) { (void)status, abort(); }
#endif

int probe(void)
{
    static const char source[] = "void a(){}static int g(int x){return x*2;}int f(int x){return g(x)+1;}void z(){}";
    const size_t room = 1 << 20;
    TCCState *s = tcc_new();
    int (*f)(int);

    if (!s) return 2;
    tcc_set_options(s, "-nostdlib");
    tcc_set_output_type(s, TCC_OUTPUT_MEMORY);
    if (tcc_compile_string(s, source) < 0) return 3;
#ifdef QUERN_TCC_RELOCATE_TO
    void *to = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int n = tcc_relocate(s, NULL);
    if (to == MAP_FAILED || n <= 0 || (size_t)n > room || tcc_relocate(s, to) < 0) return 4;
#else
    if (tcc_relocate(s) < 0) return 4;
#endif
    const char *begin = tcc_get_symbol(s, "a"), *entry = tcc_get_symbol(s, "f"), *end = tcc_get_symbol(s, "z");
    char *copy = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!begin || entry <= begin || end <= entry || (size_t)(end - begin) > room || copy == (char *)MAP_FAILED) return 5;
    memcpy(copy, begin, (size_t)(end - begin));
    if (mprotect(copy, room, PROT_READ | PROT_EXEC) < 0) {
#ifndef QUERN_TCC_STATIC
        return 6;
#endif
    }
#ifdef QUERN_TCC_STATIC /* mprotect is not the host's in here */
    char *view = mmap(NULL, room, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (view == (char *)MAP_FAILED) return 6;
    memcpy(view, copy, (size_t)(end - begin));
    copy = view;
#endif
#if defined __GNUC__
    __builtin___clear_cache(copy, copy + (end - begin));
#endif
    void *p = copy + (entry - begin);
    memcpy(&f, &p, sizeof f);
    tcc_delete(s);
    return f(20) == 41 ? 0 : 7;
}
#endif
