/*
 * options.c - the table of options and the walk through a command line. What each option does is in
 * system-opts.c, the table's text in options.def.
 */
#include "tools/system-opts.h"

#define NOT_YET NULL
#define IGNORED option_ignored
const struct option_desc system_options[] = {
#define SECTION(title) { .section = title },
#define OPT(name_, has_arg_, fn_, targets_, args_, help_)                                          \
    { .name = name_, .has_arg = has_arg_, .fn = fn_, .targets = targets_, .args = args_, .help = help_ },
#include "tools/options.def"
#undef OPT
#undef SECTION
};
const unsigned system_option_count = ARRAY_LEN(system_options);

int option_ignored(struct sysopts *s, const char *arg, struct error *e) { return 0; }

static const struct option_desc *find(const char *name)
{
    for (unsigned i = 0; i < system_option_count; i++) {
        if (system_options[i].name && !strcmp(system_options[i].name, name)) return &system_options[i];
    }
    return NULL;
}

/* Is word in the blank-separated list? */
static bool in_words(const char *list, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = list; (p = strstr(p, word)); p += n) {
        if ((p == list || p[-1] == ' ') && (!p[n] || p[n] == ' ')) return true;
    }
    return false;
}

/* What drives can be called depends on the board, which may be said after them. */
static void find_places(struct sysopts *s, int argc, char **argv)
{
    const struct board *board = board_default(s->isa);

    for (int i = 1; i + 1 < argc; i++) {
        const char *word = argv[i];
        const struct option_desc *o = word[0] == '-' ? find(word[1] == '-' ? word + 2 : word + 1) : NULL;
        struct opts type;

        if (!o || !o->has_arg) continue;
        i++;
        if (o->fn != opt_machine || opts_parse(&type, argv[i], "type", NULL, NULL)) continue;
        if (opts_get(&type, "type")) board = board_find(opts_get(&type, "type"), s->isa);
        opts_free(&type);
    }
    s->ide_buses = board && board->ide_buses ? board->ide_buses : 2;
    s->ide_units = board && board->ide_units ? board->ide_units : 2;
}

int sysopts_parse(struct sysopts *s, int argc, char **argv, struct error *e)
{
    find_places(s, argc, argv);
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *arg = NULL;
        const struct option_desc *o;
        int rc;

        if (word[0] != '-' || !word[1]) {
            if (s->image_given) return error_set(e, "%s: only one disk image can be given without option", word);
            s->image_given = true;
            rc = opt_hda(s, word, e);
            if (rc) return rc;
            continue;
        }
        o = find(word[1] == '-' ? word + 2 : word + 1);
        if (!o) return error_set(e, "%s: invalid option", word);
        if (o->has_arg) {
            if (i + 1 >= argc) return error_set(e, "%s: requires an argument", word);
            arg = argv[++i];
        }
        if (o->targets && !in_words(o->targets, s->target)) {
            return error_set(e, "%s: Option not supported for this target", word);
        }
        if (!o->fn) return error_set(e, "%s: not supported yet", word);
        rc = o->fn(s, arg, e);
        if (rc) {
            error_prefix(e, "%s%s%s", word, arg ? " " : "", arg ? arg : "");
            return rc;
        }
    }
    return 0;
}
