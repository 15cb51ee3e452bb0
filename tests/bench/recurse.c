/* Calls: Fibonacci, Ackermann and the tak function. */
#include "rt.h"
__attribute__((noinline)) static int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
__attribute__((noinline)) static int tak(int x, int y, int z) { return y >= x ? z : tak(tak(x - 1, y, z), tak(y - 1, z, x), tak(z - 1, x, y)); }
__attribute__((noinline)) static int ack(int m, int n) { return m == 0 ? n + 1 : n == 0 ? ack(m - 1, 1) : ack(m - 1, ack(m, n - 1)); }
unsigned bench(void)
{
    u32 sum = 0;
    for (int i = 0; i < 4; i++) sum = sum * 31 + (u32)(fib(29) + tak(18, 12, 6 - i % 2) + ack(2, 300 + i));
    return sum;
}
