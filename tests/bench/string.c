/* Strings: copying, searching, comparing, case folding, number formatting, byte by byte. */
#include "rt.h"
static char text[40000], copy[40000];
static unsigned len(const char *s)
{
    const char *p = s;
    while (*p) p++;
    return (unsigned)(p - s);
}
static char *find(char *hay, const char *needle)
{
    for (; *hay; hay++) {
        unsigned i = 0;
        while (needle[i] && hay[i] == needle[i]) i++;
        if (!needle[i]) return hay;
    }
    return 0;
}
unsigned bench(void)
{
    static const char *const words[] = { "mill", "stone", "grain", "quern", "flour", "wheel", "sack", "water" };
    u32 s = 31, sum = 0;
    unsigned n = 0;
    while (n < sizeof text - 32) {
        const char *w = words[rt_random(&s) & 7];
        while (*w) text[n++] = *w++;
        u32 v = rt_random(&s) & 1023;
        do text[n++] = (char)('0' + v % 10), v /= 10;
        while (v);
        text[n++] = ' ';
    }
    text[n] = 0;
    for (int round = 0; round < 200; round++) {
        unsigned l = len(text);
        for (unsigned i = 0; i <= l; i++) {
            char c = text[i];
            copy[i] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
        }
        for (char *p = text; (p = find(p, "quern")); p++) sum += (u32)(p - text);
        unsigned same = 0;
        for (unsigned i = 0; i < l; i++) same += text[i] == copy[i];
        sum += same * 3 + l;
        text[(u32)round * 37 % n] ^= 1;
    }
    return sum;
}
