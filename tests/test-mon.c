/*
 * test-mon.c - the monitor's expressions and line editor by themselves, with random input as well.
 */
#include "mon/expr.h"
#include "mon/readline.h"

#include "tests/count.h"

static bool reg(void *opaque, const char *name, uint64_t *value)
{
    *value = 0x1000;
    return !strcmp(name, "pc") || !strcmp(name, "cs.base");
}

static bool is(const char *s, uint64_t want, const char *rest)
{
    struct error e = ERROR_INIT;
    uint64_t v = 0;
    bool good = !expr_eval(&s, &v, reg, NULL, &e) && v == want && !strcmp(s, rest);
    if (!good) printf("  %llx, rest '%s', %s\n", (unsigned long long)v, s, e.msg);
    return good;
}

static bool fails(const char *s, const char *msg)
{
    struct error e = ERROR_INIT;
    const char *p = s;
    uint64_t v = 9;
    return expr_eval(&p, &v, reg, NULL, &e) == -1 && v == 9 && p == s && !strcmp(e.msg, msg);
}

static void test_expr(void)
{
    char deep[400];

    CHECK(is("1+2*3", 7, "") && is("(1+2)*3", 9, "") && is("2*3+1", 7, ""));
    CHECK(is("1|2+4", 7, "") && is("6&3+1", 4, "") && is("7^1&3", 2, ""));
    CHECK(is("0x10", 16, "") && is("010", 8, "") && is("0", 0, "") && is("'a'", 97, ""));
    CHECK(is("-1", UINT64_MAX, "") && is("~0", UINT64_MAX, "") && is("--3", 3, "") && is("+5", 5, ""));
    CHECK(is("-7/2", (uint64_t)-3, "") && is("-7%2", (uint64_t)-1, "") && is("0x8000000000000000/-1", UINT64_C(1) << 63, ""));
    CHECK(is("$pc+4", 0x1004, "") && is("$cs.base", 0x1000, "") && is(" 1 + 1 ", 2, ""));
    CHECK(is("1 2", 1, "2") && is("8 file", 8, "file") && is("(1)x", 1, "x"));
    CHECK(is("0xffffffffffffffff", UINT64_MAX, ""));
    CHECK(fails("", "unexpected end of expression") && fails("1+", "unexpected end of expression"));
    CHECK(fails("1/0", "division by zero") && fails("1%0", "division by zero"));
    CHECK(fails("(1", "')' expected") && fails("$", "unknown register") && fails("$r", "unknown register"));
    CHECK(fails("x", "invalid char 'x' in expression") && fails("09", "invalid char '9' in number"));
    CHECK(fails("0x10000000000000000", "number too large"));
    memset(deep, '(', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    CHECK(fails(deep, "expression is nested too deeply"));
}

static char last_line[READLINE_MAX + 1];
static unsigned lines;
static void put(void *opaque, const char *s, unsigned n) {}
static void line(void *opaque, const char *s)
{
    strcpy(last_line, s);
    lines++;
}
static void complete(void *opaque, struct readline *r, const char *before)
{
    readline_candidate(r, "status");
    if (strlen(before) < 3) readline_candidate(r, "stats/");
}

static bool types(struct readline *r, const char *keys, const char *want)
{
    unsigned before = lines;
    readline_input(r, (const uint8_t *)keys, (unsigned)strlen(keys));
    if (lines != before && !strcmp(last_line, want)) return true;
    printf("  got '%s', not '%s'\n", last_line, want);
    return false;
}

static void test_readline(void)
{
    struct readline *r = NEW(struct readline);
    uint32_t seed = 7;

    readline_init(r, "> ");
    r->put = put, r->line = line, r->complete = complete;
    CHECK(types(r, "abc\r", "abc") && types(r, "abc\010d\n", "abd"));
    CHECK(types(r, "bc\001a\005d\r\n", "abcd") && lines == 3);
    CHECK(types(r, "one two\027three\r", "one three") && types(r, "one two\025x\r", "x"));
    CHECK(types(r, "abc\002\002\013\r", "a") && types(r, "abc\001\004\r", "bc"));
    CHECK(types(r, "\033[A\r", "bc") && types(r, "\020\020\r", "a"));
    CHECK(types(r, "new\033[A\033[B!\r", "new!"));
    CHECK(types(r, "abc\033[D\033[DX\033[C\033[3~\r", "aXb"));
    CHECK(types(r, "aa bb\033bX\033[HY\033[F!\r", "Yaa Xbb!") && types(r, "aa bb\001\033d\r", " bb"));
    CHECK(types(r, "st\t\r", "stat") && types(r, "stat\t\r", "status "));
    for (int i = 0; i < 200000; i++) {
        uint8_t c;
        seed = seed * 1664525 + 1013904223;
        c = (uint8_t)(seed >> 16);
        if (c > 160) c = c % 32; /* mostly control characters */
        readline_input(r, &c, 1);
        if (r->len > READLINE_MAX || r->pos > r->len || r->n_history > READLINE_HISTORY) break;
    }
    CHECK(r->len <= READLINE_MAX && r->pos <= r->len && r->browse <= r->n_history);
    for (int i = 0; i < 2 * READLINE_MAX; i++) readline_input(r, (const uint8_t *)"q", 1);
    CHECK(r->len <= READLINE_MAX);
    readline_free(r);
    mem_free(r);
}

int main(void)
{
    test_expr();
    test_readline();
    return count_report();
}
