/*
 * nbd-list.c - quern-nbd -L: what a server has.
 */
#include "blockfmt/nbd-client.h"
#include "tools/nbd.h"

#include <stdio.h>

/* A server's words on somebody's terminal. */
static void print_text(const char *s)
{
    for (; *s; s++) putchar((uint8_t)*s < ' ' || *s == 127 ? '?' : *s);
}

static void print(void *opaque, const struct nbd_listed *x, unsigned count)
{
    char flags[128];

    if (!x) {
        printf("exports available: %u\n", count);
        return;
    }
    printf(" export: '");
    print_text(x->name);
    printf("'\n");
    if (*x->description) {
        printf("  description: ");
        print_text(x->description);
        printf("\n");
    }
    if (x->told) {
        printf("  size:  %llu\n", (unsigned long long)x->info.size);
        nbd_flags_text(x->info.flags, flags, sizeof flags);
        printf("  flags: 0x%x ( %s)\n", x->info.flags, flags);
    }
    if (x->info.blocks_told)
        printf("  min block: %u\n  opt block: %u\n  max block: %u\n", x->info.min_block, x->info.preferred_block, x->info.max_block);
    if (!x->context_count) return;
    printf("  available meta contexts: %u\n", x->context_count);
    for (unsigned i = 0; i < x->context_count; i++) {
        printf("   ");
        print_text(x->contexts[i]);
        printf("\n");
    }
}

int nbd_print_list(const struct sock_addr *a, struct tls_creds *tls, const char *hostname)
{
    struct error e = ERROR_INIT;
    struct nbd_chan c;
    int fd = sock_connect(a, &e), rc;

    if (fd < 0) return error_print(&e), 1;
    nbd_chan_init(&c, fd);
    rc = nbd_list_exports(&c, tls, hostname, print, NULL, &e);
    nbd_chan_close(&c, !rc);
    return rc ? (error_print(&e), 1) : 0;
}
