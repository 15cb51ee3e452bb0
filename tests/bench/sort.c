/* Quicksort and heapsort of words: data-dependent branches, array indexing. */
#include "rt.h"
enum { N = 60000 };
static u32 a[N], b[N];
static void quick(u32 *v, int lo, int hi)
{
    while (lo < hi) {
        u32 p = v[(lo + hi) / 2];
        int i = lo, j = hi;
        while (i <= j) {
            while (v[i] < p) i++;
            while (v[j] > p) j--;
            if (i <= j) {
                u32 t = v[i];
                v[i++] = v[j], v[j--] = t;
            }
        }
        if (j - lo < hi - i) quick(v, lo, j), lo = i;
        else quick(v, i, hi), hi = j;
    }
}
static void sift(u32 *v, int root, int n)
{
    for (int child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && v[child] < v[child + 1]) child++;
        if (v[root] >= v[child]) return;
        u32 t = v[root];
        v[root] = v[child], v[child] = t;
    }
}
unsigned bench(void)
{
    u32 s = 99, sum = 0;
    for (int round = 0; round < 8; round++) {
        for (int i = 0; i < N; i++) a[i] = b[i] = rt_random(&s);
        quick(a, 0, N - 1);
        for (int i = N / 2; i-- > 0;) sift(b, i, N);
        for (int n = N; n-- > 1;) {
            u32 t = b[0];
            b[0] = b[n], b[n] = t;
            sift(b, 0, n);
        }
        for (int i = 0; i < N; i++) sum += (a[i] ^ (u32)i) + (a[i] == b[i]);
    }
    return sum;
}
