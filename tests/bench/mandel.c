/* The Mandelbrot set: multiply, add, compare, double precision. */
#include "rt.h"
unsigned bench(void)
{
    u32 sum = 0;
    for (int py = 0; py < 480; py++) {
        for (int px = 0; px < 128; px++) {
            double cx = px * 0.025 - 2.3, cy = py * 0.005 - 1.2, x = 0, y = 0;
            int n = 0;
            while (n < 120 && x * x + y * y < 4.0) {
                double t = x * x - y * y + cx;
                y = 2 * x * y + cy, x = t, n++;
            }
            sum = sum * 33 + (u32)n;
        }
    }
    return sum;
}
