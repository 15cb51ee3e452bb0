/*
 * test-opts.c - option strings: what parses, what it means, what is refused, and that no input breaks it.
 */
#include "util/opts.h"

#include "tests/count.h"

#include <errno.h>

static const struct opt_desc desc[] = {
    { "path", OPT_STRING, NULL }, { "wait", OPT_BOOL, NULL },   { "nodelay", OPT_BOOL, NULL },
    { "size", OPT_SIZE, NULL },   { "count", OPT_NUMBER, NULL }, { "id", OPT_STRING, NULL },
    { NULL, OPT_STRING, NULL },
};

static bool parses(const char *s, const char *implied, const struct opt_desc *d, struct opts *o)
{
    struct error e = ERROR_INIT;
    int rc = opts_parse(o, s, implied, d, &e);
    CHECK(e.set == (rc != 0) && !e.set == !e.msg[0]);
    return !rc;
}

static bool is(const struct opts *o, const char *key, const char *value)
{
    const char *v = opts_get(o, key);
    return v && !strcmp(v, value);
}

static void test_lists(void)
{
    struct opts o;

    CHECK(parses("", NULL, NULL, &o) && o.n == 0);
    CHECK(parses("malta,accel=interp", "type", NULL, &o));
    CHECK(is(&o, "type", "malta") && is(&o, "accel", "interp") && o.n == 2);
    opts_free(&o);
    CHECK(parses("accel=interp,usb", "type", NULL, &o));
    CHECK(!opts_get(&o, "type") && is(&o, "usb", "on"));
    opts_free(&o);
    CHECK(parses("file=a,,b,,,c=d", NULL, NULL, &o));
    CHECK(is(&o, "file", "a,b,") && is(&o, "c", "d"));
    opts_free(&o);
    CHECK(parses("x,,y", "path", desc, &o) && is(&o, "path", "x,y"));
    opts_free(&o);
    CHECK(parses("path=/x,nowait,nodelay", NULL, desc, &o));
    CHECK(!opts_bool(&o, "wait", true) && opts_bool(&o, "nodelay", false));
    opts_free(&o);
    CHECK(parses("nousb", NULL, NULL, &o) && is(&o, "usb", "off"));
    opts_free(&o);
    CHECK(parses("count=1,count=2", NULL, desc, &o) && opts_number(&o, "count", 0) == 2);
    opts_free(&o);
    CHECK(parses("path=", NULL, desc, &o) && is(&o, "path", ""));
    opts_free(&o);
    CHECK(!parses("foo=1", NULL, desc, &o) && o.n == 0);
    CHECK(!parses("foo", NULL, desc, &o));
    CHECK(!parses("nofoo", NULL, desc, &o));
    CHECK(!parses("wait=maybe", NULL, desc, &o));
    CHECK(!parses("size=1q", NULL, desc, &o));
    CHECK(!parses("=x", NULL, desc, &o));
    CHECK(!parses("no", NULL, NULL, &o));
    CHECK(!parses("{\"driver\": \"raw\"}", NULL, NULL, &o));
    CHECK(!parses("id=1a", NULL, NULL, &o));
    CHECK(!parses("id=", NULL, NULL, &o));
    CHECK(!parses("id=a b", NULL, desc, &o));
    CHECK(parses("id=a-b.c_9", NULL, desc, &o) && is(&o, "id", "a-b.c_9"));
    opts_set(&o, "id", "z");
    opts_set(&o, "new", "1");
    CHECK(is(&o, "id", "z") && is(&o, "new", "1") && o.n == 2);
    opts_free(&o);
}

static bool size_is(const char *s, uint64_t unit, uint64_t want)
{
    uint64_t v = 0;
    return !opt_parse_size("size", s, unit, &v, NULL) && v == want;
}

static bool no_size(const char *s)
{
    uint64_t v = 77;
    struct error e = ERROR_INIT;
    return opt_parse_size("size", s, 1 << 20, &v, &e) < 0 && e.set && v == 77;
}

static void test_numbers(void)
{
    uint64_t v;
    bool b;

    CHECK(size_is("128", 1 << 20, 128u << 20));
    CHECK(size_is("128B", 1 << 20, 128));
    CHECK(size_is("64k", 1, 65536) && size_is("64K", 1, 65536));
    CHECK(size_is("1.5G", 1, UINT64_C(3) << 29));
    CHECK(size_is("0.5", 1 << 20, 1 << 19));
    CHECK(size_is("0x10M", 1, 16 << 20));
    CHECK(size_is("010", 1, 10));
    CHECK(size_is("1E", 1, UINT64_C(1) << 60));
    CHECK(size_is("15.999999999E", 1, 0) == false);
    CHECK(size_is("0", 1 << 20, 0));
    CHECK(no_size("") && no_size("M") && no_size("1MM") && no_size("-1") && no_size(" 1") && no_size("1 "));
    CHECK(opt_parse_size("size", "16E", 1, &(uint64_t){0}, NULL) == -ERANGE);
    CHECK(opt_parse_size("size", "99999999999999999999k", 1, &(uint64_t){0}, NULL) == -ERANGE);
    CHECK(no_size("16E") && no_size("99999999999999999999") && no_size("1.") && no_size("1.5B"));
    CHECK(no_size("0x1.5G") && no_size("1.5.5G") && no_size("+1") && no_size("1e5"));
    CHECK(!opt_parse_number("n", "0x1f", 31, &v, NULL) && v == 31);
    CHECK(opt_parse_number("n", "32", 31, &v, NULL) == -1);
    CHECK(opt_parse_number("n", "", 31, &v, NULL) == -1);
    CHECK(opt_parse_number("n", "08", 31, &v, NULL) == -1);
    CHECK(opt_parse_number("n", "0x", 31, &v, NULL) == -1);
    CHECK(!opt_parse_number("n", "18446744073709551615", UINT64_MAX, &v, NULL) && v == UINT64_MAX);
    CHECK(opt_parse_number("n", "18446744073709551616", UINT64_MAX, &v, NULL) == -1);
    CHECK(!opt_parse_bool("b", "yes", &b, NULL) && b && !opt_parse_bool("b", "false", &b, NULL) && !b);
    CHECK(opt_parse_bool("b", "ON", &b, NULL) == -1);
    CHECK(opt_is_id("a") && !opt_is_id("") && !opt_is_id("-a") && !opt_is_id("a/b"));
    CHECK(opt_is_help("?") && opt_is_help("help") && !opt_is_help("helpme"));
}

/* Random strings over the alphabet that matters: nothing may crash, leak or return half a list. */
static void test_noise(void)
{
    static const char alphabet[] = "=,,=noid.wait0x9aGMk{}'\"size count\\-\xff";
    uint32_t seed = 12345;
    unsigned good = 0, half = 0;

    for (int round = 0; round < 20000; round++) {
        char s[48];
        size_t n;
        struct opts o;
        struct error e = ERROR_INIT;
        uint64_t v;

        seed = seed * 1664525 + 1013904223;
        n = (seed >> 16) % (sizeof s - 1);
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1664525 + 1013904223;
            s[i] = alphabet[(seed >> 16) % (sizeof alphabet - 1)];
        }
        s[n] = 0;
        if (!opts_parse(&o, s, round & 1 ? "path" : NULL, round & 2 ? desc : NULL, &e)) good++;
        else if (o.n || o.v || !e.set) half++;
        opts_free(&o);
        opt_parse_size("size", s, 1, &v, NULL);
        opt_parse_number("n", s, UINT64_MAX, &v, NULL);
    }
    CHECK(good > 0 && half == 0);
}

int main(void)
{
    test_lists();
    test_numbers();
    test_noise();
    return count_report();
}
