/* Planets: division and square roots (by Newton's method, so that no library is needed), double precision. */
#include "rt.h"
struct body { double x, y, z, vx, vy, vz, m; };
static struct body p[5] = {
    { 0, 0, 0, 0, 0, 0, 39.47 },
    { 4.84, -1.16, -0.10, 0.60, 2.81, -0.02, 0.037 },
    { 8.34, 4.12, -0.40, -1.01, 1.82, 0.008, 0.011 },
    { 12.89, -15.11, -0.22, 1.08, 0.86, -0.01, 0.0017 },
    { 15.37, -25.9, 0.17, 0.97, 0.59, -0.03, 0.002 },
};
static double root(double v)
{
    double r = v > 1 ? v * 0.5 : 1;
    for (int i = 0; i < 8; i++) r = 0.5 * (r + v / r);
    return r;
}
unsigned bench(void)
{
    double e = 0;
    for (int step = 0; step < 30000; step++) {
        for (int i = 0; i < 5; i++) {
            for (int j = i + 1; j < 5; j++) {
                double dx = p[i].x - p[j].x, dy = p[i].y - p[j].y, dz = p[i].z - p[j].z;
                double d2 = dx * dx + dy * dy + dz * dz + 0.01, mag = 0.001 / (d2 * root(d2));
                p[i].vx -= dx * p[j].m * mag, p[i].vy -= dy * p[j].m * mag, p[i].vz -= dz * p[j].m * mag;
                p[j].vx += dx * p[i].m * mag, p[j].vy += dy * p[i].m * mag, p[j].vz += dz * p[i].m * mag;
            }
        }
        for (int i = 0; i < 5; i++) p[i].x += 0.001 * p[i].vx, p[i].y += 0.001 * p[i].vy, p[i].z += 0.001 * p[i].vz;
    }
    for (int i = 0; i < 5; i++) e += 0.5 * p[i].m * (p[i].vx * p[i].vx + p[i].vy * p[i].vy + p[i].vz * p[i].vz);
    return (u32)(int)(e * 1e8);
}
