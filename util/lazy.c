/*
 * lazy.c - see lazy.h.
 */
#include "util/lazy.h"
#include "config.h"

#include <errno.h>
#include <pthread.h>
#ifdef HAVE_DLOPEN
#include <dlfcn.h>
#endif

int lazy_load(struct lazy *l, struct error *e)
{
#ifdef HAVE_DLOPEN
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    void *handle;
    int rc = 0;

    pthread_mutex_lock(&lock);
    if (!l->handle) {
        handle = dlopen(l->file, RTLD_NOW | RTLD_LOCAL);
        if (!handle) rc = (error_set(e, "%s cannot be loaded: %s", l->file, dlerror()), -ENOENT);
        for (unsigned i = 0; !rc && l->names[i]; i++) {
            l->pointers[i] = dlsym(handle, l->names[i]);
            if (!l->pointers[i]) rc = (error_set(e, "%s has no '%s'", l->file, l->names[i]), -ENOENT);
        }
        if (!rc) l->handle = handle;
        else if (handle) dlclose(handle);
    }
    pthread_mutex_unlock(&lock);
    return rc;
#else
    return error_set(e, "%s cannot be loaded: there is no dlopen here", l->file), -ENOENT;
#endif
}
