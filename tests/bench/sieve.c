/* Sieve of Eratosthenes: byte stores with a stride, counted loops. */
#include "rt.h"
enum { N = 200000 };
static u8 composite[N];
unsigned bench(void)
{
    u32 sum = 0;
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < N; i++) composite[i] = 0;
        for (int i = 2; i < N; i++) {
            if (composite[i]) continue;
            sum += (u32)i;
            for (int j = 2 * i; j < N; j += i) composite[j] = 1;
        }
    }
    return sum;
}
