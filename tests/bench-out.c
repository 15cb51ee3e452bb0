/*
 * bench-out.c - writes the results of a benchmark as JSON, and as an SVG picture: for every target
 * and program a bar per engine, of qemu's time divided by the engine's, on a logarithmic scale.
 */
#include "tests/bench-run.h"

#include <math.h>
#include <stdio.h>

static FILE *create(const char *dir, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return fopen(path, "w");
}

static int done(FILE *f)
{
    int bad = ferror(f);
    return fclose(f) || bad ? -1 : 0;
}

/* ---- JSON ---------------------------------------------------------------------------------------
 */

static void json_run(FILE *f, const char *name, const struct bench_run *r, const char **comma)
{
    if (!r->ok) return;
    fprintf(f, "%s\n        \"%s\": {\"cpu_s\": %.6f, \"wall_s\": %.6f, \"peak_kib\": %ld}", *comma,
            name, r->cpu, r->wall, r->rss);
    *comma = ",";
}

int bench_write_json(const struct bench_results *res, const char *dir)
{
    static const char *const kind[] = {"integer", "fp", "start-up"};
    FILE *f = create(dir, "bench.json");
    const char *comma;

    if (!f) return -1;
    fprintf(f, "{\n  \"targets\": {");
    for (unsigned i = 0; i < res->n_targets; i++) {
        const struct bench_target *t = &res->target[i];
        fprintf(f, "%s\n    \"%s\": {\n      \"programs\": {", i ? "," : "", t->name);
        for (unsigned k = 0; k < t->n; k++) {
            fprintf(f, "%s\n      \"%s\": {\"kind\": \"%s\", \"runs\": {", k ? "," : "",
                    t->row[k].name, kind[t->row[k].kind]);
            comma = "";
            for (unsigned e = 0; e < res->n_engines; e++)
                json_run(f, res->engines[e].name, &t->row[k].run[e], &comma);
            fprintf(f, "}}");
        }
        fprintf(f, "},\n      \"qemu_time_by_quern_time\": {");
        comma = "";
        for (unsigned e = 0; e < res->n_engines; e++) {
            if (!res->engines[e].accel) continue;
            fprintf(f, "%s\n        \"%s\": {", comma, res->engines[e].name);
            comma = "";
            for (unsigned k = 0; k < BENCH_KINDS; k++) {
                double x = bench_geomean(t, k, e);
                if (x <= 0) continue;
                fprintf(f, "%s\"%s\": %.4f", comma, kind[k], x);
                comma = ", ";
            }
            fprintf(f, "}");
            comma = ",";
        }
        fprintf(f, "}}");
    }
    fprintf(f, "},\n  \"boot\": {");
    comma = "";
    for (unsigned e = 0; e < res->n_engines; e++) json_run(f, res->engines[e].name, &res->boot[e], &comma);
    fprintf(f, "}\n}\n");
    return done(f);
}

/* ---- SVG ----------------------------------------------------------------------------------------
 */

enum { LEFT = 120, PLOT = 560, RIGHT = 60, BAR = 11, GAP = 10, TOP = 72, TITLE = 34 };
static const char *const colours[BENCH_ENGINES] = {"#888888", "#1b6ca8", "#5fa8d3",
                                                   "#9b7ebd", "#c9ada7", "#c1440e",
                                                   "#e09f3e", "#5b8c5a", "#888888"};

struct scale {
    double low, high;
};

static double at(const struct scale *s, double x)
{
    return LEFT + PLOT * (log(x) - log(s->low)) / (log(s->high) - log(s->low));
}

static double value(const struct bench_results *res, const struct bench_row *r, unsigned e)
{
    const struct bench_run *q = &r->run[0], *x = &r->run[e];
    return res->engines[e].accel && q->ok && x->ok && x->cpu > 0 && q->cpu > 0 ? q->cpu / x->cpu
                                                                               : 0;
}

/* From the power of ten below the least value to a round number above the greatest, and 1 is
 * inside. */
static struct scale fit(const struct bench_results *res)
{
    double least = 0.5, most = 2;
    for (unsigned i = 0; i < res->n_targets; i++)
        for (unsigned k = 0; k < res->target[i].n; k++)
            for (unsigned e = 0; e < res->n_engines; e++) {
                double x = value(res, &res->target[i].row[k], e);
                if (x <= 0) continue;
                least = x < least ? x : least;
                most = x > most ? x : most;
            }
    return (struct scale){pow(10, floor(log10(least))), most <= 5 ? 5 : pow(10, ceil(log10(most)))};
}

static void grid(FILE *f, const struct scale *s, double y0, double y1)
{
    static const int steps[] = {1, 2, 5};
    for (double decade = s->low; decade <= s->high * 1.001; decade *= 10)
        for (unsigned i = 0; i < 3; i++) {
            double x = decade * steps[i];
            if (x > s->high * 1.001) break;
            bool one = fabs(x - 1) < 1e-9;
            fprintf(
                f,
                "<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='%s' stroke-width='%s'/>\n",
                at(s, x), y0, at(s, x), y1, one ? "#333333" : "#dddddd", one ? "1.5" : "1");
            fprintf(f, "<text x='%.1f' y='%.1f' text-anchor='middle' fill='#555555'>%g</text>\n",
                    at(s, x), y0 - 5, x);
        }
}

static void bar(FILE *f, const struct scale *s, double y, double x, const char *colour, bool mean)
{
    double from = at(s, x < 1 ? x : 1), to = at(s, x < 1 ? 1 : x);
    fprintf(f, "<rect x='%.1f' y='%.1f' width='%.1f' height='%d' fill='%s'/>\n", from, y,
            to - from < 1 ? 1 : to - from, BAR - 1, colour);
    fprintf(f, "<text x='%.1f' y='%.1f'%s%s>%.2f</text>\n", x < 1 ? from - 3 : to + 3, y + BAR - 2,
            x < 1 ? " text-anchor='end'" : "", mean ? " font-weight='bold'" : "", x);
}

/* A named group of bars; returns the y below it. */
static double group(FILE *f, const struct bench_results *res, const struct scale *s, double y,
                    const char *name, const double *values, bool mean)
{
    double first = y;
    for (unsigned e = 0; e < res->n_engines; e++) {
        if (values[e] <= 0) continue;
        bar(f, s, y, values[e], colours[e], mean);
        y += BAR;
    }
    if (y > first)
        fprintf(f, "<text x='%d' y='%.1f' text-anchor='end' font-size='12'%s>%s</text>\n",
                LEFT - 40, (first + y) / 2 + 4, mean ? " font-weight='bold'" : "", name);
    return y > first ? y + GAP : y;
}

static double target(FILE *f, const struct bench_results *res, const struct scale *s, double y,
                     const struct bench_target *t)
{
    static const char *const kind[] = {"integer", "FP", "start-up"};
    double v[BENCH_ENGINES];

    fprintf(f, "<text x='%d' y='%.1f' font-size='15' font-weight='bold'>%s</text>\n", 16, y + 14,
            t->name);
    y += TITLE;
    for (unsigned i = 0; i < t->n; i++) {
        for (unsigned e = 0; e < res->n_engines; e++)
            v[e] = value(res, &t->row[i], e);
        y = group(f, res, s, y, t->row[i].name, v, false);
    }
    for (unsigned k = 0; k < BENCH_START; k++) {
        for (unsigned e = 0; e < res->n_engines; e++)
            v[e] = res->engines[e].accel ? bench_geomean(t, k, e) : 0;
        y = group(f, res, s, y, kind[k], v, true);
    }
    return y + GAP;
}

static double height(const struct bench_results *res)
{
    double y = TOP;
    for (unsigned i = 0; i < res->n_targets; i++) {
        const struct bench_target *t = &res->target[i];
        double v[BENCH_ENGINES];
        y += TITLE + GAP;
        for (unsigned k = 0; k < t->n + BENCH_START; k++) {
            unsigned n = 0;
            for (unsigned e = 0; e < res->n_engines; e++) {
                v[e] = k < t->n                ? value(res, &t->row[k], e)
                       : res->engines[e].accel ? bench_geomean(t, k - t->n, e)
                                               : 0;
                n += v[e] > 0;
            }
            y += n ? n * BAR + GAP : 0;
        }
    }
    return y + GAP;
}

static bool engine_used(const struct bench_results *res, unsigned e)
{
    for (unsigned i = 0; i < res->n_targets; i++)
        for (unsigned k = 0; k < res->target[i].n; k++)
            if (value(res, &res->target[i].row[k], e) > 0) return true;
    return false;
}

int bench_write_svg(const struct bench_results *res, const char *dir)
{
    FILE *f = create(dir, "bench.svg");
    if (!f) return -1;
    struct scale s = fit(res);
    double h = height(res), y = TOP, x = LEFT;
    int w = LEFT + PLOT + RIGHT;

    fprintf(
        f,
        "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%.0f' viewBox='0 0 %d %.0f' "
        "font-family='sans-serif' font-size='10'>\n<rect width='100%%' height='100%%' "
        "fill='white'/>\n",
        w, h, w, h);
    fprintf(f, "<text x='16' y='22' font-size='16' font-weight='bold'>qemu's time / quern's time "
               "(right of 1: quern is "
               "faster; logarithmic)</text>\n");
    for (unsigned e = 0; e < res->n_engines; e++) {
        if (!engine_used(res, e)) continue;
        fprintf(f,
                "<rect x='%.0f' y='32' width='12' height='10' fill='%s'/><text x='%.0f' y='41' "
                "font-size='12'>%s</text>\n",
                x, colours[e], x + 16, res->engines[e].name);
        x += 80;
    }
    grid(f, &s, TOP - 8, h - GAP);
    for (unsigned i = 0; i < res->n_targets; i++)
        y = target(f, res, &s, y, &res->target[i]);
    fprintf(f, "</svg>\n");
    return done(f);
}
