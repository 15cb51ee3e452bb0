/*
 * shared.h - what quern-img, quern-io and quern-nbd have in common.
 */
#ifndef TOOLS_SHARED_H
#define TOOLS_SHARED_H

#include "blockfmt/block.h"
#include "util/json.h"

/* --object TYPE,id=ID,...: secrets, TLS credentials (of type "tls-creds" in the graph). 0, or -1 after a message. */
int img_object(struct blk_graph *, const char *arg);
/* The same without a message. */
int img_object_add(struct blk_graph *, const char *arg, struct error *);
/* -l of several tools: an ID or name, or snapshot.id=,snapshot.name=. 0, or -1 after a message. */
int img_load_snapshot(struct blk_backend *, const char *param);
/* Prints the "Format specific information" of a node, heading and all; nothing when there is none. */
void img_print_specific(struct blk_node *);

/* Parts of manual pages on standard output. man_text escapes what troff would read. */
void man_text(const char *, size_t n);
void man_head(const char *name, const char *title, const char *what, const char *synopsis, const char *description);
void man_item(const char *name, const char *args, const char *help);

#endif
