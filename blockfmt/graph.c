/*
 * graph.c - nodes, the edges between them, their rights and names, and the objects that options name. How nodes
 * are opened is open.c's, what they do is io.c's.
 */
#include "blockfmt/graph.h"

#include <stdio.h>

const char *blk_perm_name(unsigned bit)
{
    static const char *const names[] = {"consistent read", "write", "write unchanged", "resize", "change children"};
    return bit < ARRAY_LEN(names) ? names[bit] : "?";
}

struct blk_graph *blk_graph_new(void) { return NEW(struct blk_graph); }

void blk_graph_delete(struct blk_graph *g)
{
    if (!g) return;
    /* What is still there was added by name: users go before what they use, as they were opened later. */
    for (bool again = true; again;) {
        again = false;
        for (struct blk_node *n = g->nodes; n; n = n->next) {
            if (n->users) continue;
            n->refs = 1;
            blk_node_unref(n);
            again = true;
            break;
        }
    }
    while (g->objects) {
        struct blk_object *o = g->objects;
        g->objects = o->next;
        if (o->release) o->release(o->object);
        mem_free(o->type);
        mem_free(o->id);
        mem_free(o);
    }
    mem_free(g);
}

int blk_object_add(struct blk_graph *g, const char *type, const char *id, void *object, void (*release)(void *),
                   struct error *e)
{
    for (struct blk_object *o = g->objects; o; o = o->next) {
        if (!strcmp(o->id, id)) return error_set(e, "attempt to add duplicate property '%s' to object", id), -EEXIST;
    }
    struct blk_object *o = NEW(struct blk_object);
    o->type = mem_strdup(type), o->id = mem_strdup(id), o->object = object, o->release = release;
    o->next = g->objects;
    g->objects = o;
    return 0;
}

void *blk_object_find(struct blk_graph *g, const char *type, const char *id)
{
    for (struct blk_object *o = g ? g->objects : NULL; o; o = o->next) {
        if (!strcmp(o->id, id) && !strcmp(o->type, type)) return o->object;
    }
    return NULL;
}

/* ---- nodes ---------------------------------------------------------------------------------------- */

struct blk_node *blk_node_find(struct blk_graph *g, const char *name)
{
    for (struct blk_node *n = g->nodes; n; n = n->next) {
        if (!strcmp(n->name, name)) return n;
    }
    return NULL;
}

struct blk_node *node_new(struct blk_graph *g, const char *name, struct error *e)
{
    if (name) {
        if (!opt_is_id(name)) return error_set(e, "Invalid node-name: '%s'", name), NULL;
        if (strlen(name) > 31) return error_set(e, "Node name too long"), NULL;
        if (blk_node_find(g, name)) return error_set(e, "Duplicate nodes with node-name='%s'", name), NULL;
    }
    struct blk_node *n = NEW(struct blk_node), **p = &g->nodes;
    n->graph = g;
    n->name = name ? mem_strdup(name) : mem_printf("#block%03u", g->serial++);
    n->named = name != NULL;
    n->refs = 1;
    n->request_align = 1;
    atomic_init(&n->size, 0);
    atomic_init(&n->marking, false);
    pthread_rwlock_init(&n->gate, NULL);
    pthread_mutex_init(&n->fly_lock, NULL);
    pthread_cond_init(&n->landed, NULL);
    while (*p) p = &(*p)->next;
    *p = n;
    return n;
}

void node_ref(struct blk_node *n) { n->refs++; }

void blk_node_unref(struct blk_node *n)
{
    if (!n || --n->refs) return;
    if (n->opened && n->drv->close) n->drv->close(n);
    while (n->bitmaps) blk_bitmap_delete(n->bitmaps);
    while (n->children) edge_delete(n->children);
    for (struct blk_node **p = &n->graph->nodes; *p; p = &(*p)->next) {
        if (*p == n) {
            *p = n->next;
            break;
        }
    }
    pthread_rwlock_destroy(&n->gate);
    pthread_mutex_destroy(&n->fly_lock);
    pthread_cond_destroy(&n->landed);
    mem_free(n->state);
    mem_free(n->name);
    mem_free(n->filename);
    mem_free(n->backing_file);
    mem_free(n->backing_format);
    mem_free(n);
}

/* ---- rights --------------------------------------------------------------------------------------- */

/* What a parent needs of a child, and leaves to the child's other users. */
void node_child_perm(const struct blk_node *parent, const char *role, unsigned *perm, unsigned *shared)
{
    bool backing = !strcmp(role, "backing");

    *perm = BLK_PERM_READ;
    *shared = BLK_PERM_ALL & ~(BLK_PERM_WRITE | BLK_PERM_RESIZE);
    if (!backing && !(parent->flags & BLK_RDONLY)) *perm |= BLK_PERM_WRITE | BLK_PERM_RESIZE;
    if (parent->flags & BLK_FORCE_SHARE) *shared = BLK_PERM_ALL;
}

static int tell_perm(struct blk_node *n, struct error *e)
{
    unsigned perm = 0, shared = BLK_PERM_ALL;

    for (const struct blk_edge *u = n->users; u; u = u->next_user) perm |= u->perm, shared &= u->shared;
    if (!n->drv || !n->drv->set_perm) return 0;
    return n->drv->set_perm(n, perm, shared, e);
}

static const char *user_name(const struct blk_edge *u) { return u->parent ? u->parent->name : "a device or tool"; }

struct blk_edge *edge_new(struct blk_node *child, struct blk_node *parent, const char *role, unsigned perm,
                          unsigned shared, struct error *e)
{
    for (const struct blk_edge *u = child->users; u; u = u->next_user) {
        unsigned clash = (perm & ~u->shared) | (u->perm & ~shared);
        if (!clash) continue;
        error_set(e, "Conflicts with use by %s as '%s', which does not allow '%s' on %s", user_name(u), u->role,
                  blk_perm_name(host_ctz32(clash)), child->name);
        return NULL;
    }
    struct blk_edge *x = NEW(struct blk_edge);
    snprintf(x->role, sizeof x->role, "%s", role);
    x->child = child, x->parent = parent, x->perm = perm, x->shared = shared;
    x->next_user = child->users;
    child->users = x;
    if (tell_perm(child, e)) {
        child->users = x->next_user;
        mem_free(x);
        return NULL;
    }
    node_ref(child);
    if (parent) {
        struct blk_edge **p = &parent->children;
        while (*p) p = &(*p)->next;
        *p = x;
        if (!strcmp(role, "file")) parent->file = child;
        if (!strcmp(role, "backing")) parent->backing = child;
    }
    return x;
}

void edge_delete(struct blk_edge *x)
{
    struct blk_node *child = x->child;

    if (x->parent) {
        for (struct blk_edge **p = &x->parent->children; *p; p = &(*p)->next) {
            if (*p == x) {
                *p = x->next;
                break;
            }
        }
        if (x->parent->file == child) x->parent->file = NULL;
        if (x->parent->backing == child) x->parent->backing = NULL;
    }
    for (struct blk_edge **p = &child->users; *p; p = &(*p)->next_user) {
        if (*p == x) {
            *p = x->next_user;
            break;
        }
    }
    if (child->refs > 1) (void)tell_perm(child, NULL); /* giving rights up does not fail */
    mem_free(x);
    blk_node_unref(child);
}

/* ---- changing the graph --------------------------------------------------------------------------- */

static void unuse(struct blk_edge *x)
{
    for (struct blk_edge **p = &x->child->users; *p; p = &(*p)->next_user) {
        if (*p == x) {
            *p = x->next_user;
            break;
        }
    }
}

static int put_edge(struct blk_edge *x, struct blk_node *to, struct error *e)
{
    struct blk_node *old = x->child;
    int rc;

    node_ref(to);
    unuse(x);
    x->child = to;
    x->next_user = to->users;
    to->users = x;
    rc = tell_perm(to, e);
    if (rc) {
        unuse(x);
        x->child = old;
        x->next_user = old->users;
        old->users = x;
        blk_node_unref(to);
        return rc;
    }
    if (old->refs > 1) (void)tell_perm(old, NULL);
    blk_node_unref(old);
    return 0;
}

int edge_move(struct blk_node *parent, const char *role, struct blk_node *to, struct error *e)
{
    struct blk_edge *x = parent->children;
    int rc;

    while (x && strcmp(x->role, role)) x = x->next;
    if (!x) return to ? (error_set(e, "'%s' has no child '%s'", parent->name, role), -ENOENT) : 0;
    node_lock_all(parent);
    if (!to) {
        edge_delete(x);
        rc = 0;
    } else {
        rc = put_edge(x, to, e);
        if (!rc && !strcmp(role, "backing")) parent->backing = to;
        if (!rc && !strcmp(role, "file")) parent->file = to;
    }
    node_unlock(parent);
    return rc;
}

int backend_move(struct blk_backend *b, struct blk_node *to, struct error *e)
{
    int rc = put_edge(b->edge, to, e);
    if (!rc) b->root = to;
    return rc;
}

void node_before_write(struct blk_node *n, void (*fn)(void *, uint64_t, uint64_t), void *opaque)
{
    node_lock_all(n); /* nobody is on the way to calling it */
    n->before = fn, n->before_opaque = opaque;
    node_unlock(n);
}

/* ---- what is open --------------------------------------------------------------------------------- */

const char *blk_node_name(const struct blk_node *n) { return n->name; }
const char *blk_node_driver(const struct blk_node *n) { return n->drv->name; }
uint64_t blk_node_size(const struct blk_node *n)
{
    return n->drv->length ? n->drv->length((struct blk_node *)(uintptr_t)n)
                          : atomic_load(&((struct blk_node *)(uintptr_t)n)->size);
}
unsigned blk_node_flags(const struct blk_node *n) { return n->flags; }
struct blk_node *blk_file(const struct blk_node *n) { return n->file; }
bool blk_node_is_filter(const struct blk_node *n) { return n->drv->kind == BLK_FILTER; }
const char *blk_node_backing_file(const struct blk_node *n) { return n->backing_file ? n->backing_file : ""; }
const char *blk_node_backing_format(const struct blk_node *n) { return n->backing_format ? n->backing_format : ""; }
void *blk_state(const struct blk_node *n) { return n->state; }
struct blk_graph *blk_node_graph(const struct blk_node *n) { return n->graph; }
void blk_set_size(struct blk_node *n, uint64_t bytes) { atomic_store(&n->size, bytes); }
void blk_set_zero_align(struct blk_node *n, uint32_t align) { n->zero_align = align; }

const char *blk_node_filename(const struct blk_node *n)
{
    while (!n->filename && n->file) n = n->file;
    return n->filename ? n->filename : "";
}

void blk_set_filename(struct blk_node *n, const char *name)
{
    if (n->filename) return; /* the user's own words are better */
    n->filename = mem_strdup(name);
}

struct blk_node *blk_node_child(const struct blk_node *n, const char *role)
{
    for (const struct blk_edge *x = n->children; x; x = x->next) {
        if (!strcmp(x->role, role)) return x->child;
    }
    return NULL;
}

struct blk_node *blk_node_backing(const struct blk_node *n)
{
    while (n->drv->kind == BLK_FILTER && n->file) n = n->file;
    return n->backing;
}

void blk_set_backing_name(struct blk_node *n, const char *file, const char *format)
{
    mem_free(n->backing_file);
    mem_free(n->backing_format);
    n->backing_file = mem_strdup(file ? file : "");
    n->backing_format = mem_strdup(format ? format : "");
}

void blk_set_limits(struct blk_node *n, uint32_t request_align, uint32_t max_transfer)
{
    n->request_align = request_align ? request_align : 1;
    n->max_transfer = max_transfer;
}
