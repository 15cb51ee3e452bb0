/*
 * boards.c - the boards of boards.def, by name and by ISA.
 */
#include "machines/machine.h"

#define BOARD(n) extern const struct board board_##n;
#include "machines/boards.def"
#undef BOARD

const struct board *const board_list[] = {
#define BOARD(n) &board_##n,
#include "machines/boards.def"
#undef BOARD
    NULL
};
const unsigned board_count = ARRAY_LEN(board_list) - 1;

static bool takes(const struct board *b, const struct isa *isa)
{
    for (const char *const *n = b->isas; n && *n; n++)
        if (!isa || !strcmp(*n, isa->name)) return true;
    return false;
}

static bool is_called(const struct board *b, const char *name)
{
    if (!strcmp(b->name, name)) return true;
    for (const char *const *v = b->versions; v && *v; v++)
        if (!strcmp(*v, name)) return true;
    return false;
}

const struct board *board_find(const char *name, const struct isa *isa)
{
    for (unsigned i = 0; i < board_count; i++)
        if (is_called(board_list[i], name) && takes(board_list[i], isa)) return board_list[i];
    return NULL;
}

const struct board *board_default(const struct isa *isa)
{
    for (unsigned i = 0; i < board_count; i++)
        if (board_list[i]->is_default && takes(board_list[i], isa)) return board_list[i];
    return NULL;
}
