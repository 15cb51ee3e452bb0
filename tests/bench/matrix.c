/* Matrix product in double precision. */
#include "rt.h"
enum { N = 72 };
static double a[N][N], b[N][N], c[N][N];
unsigned bench(void)
{
    double t = 0;
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) a[i][j] = i * 0.5 + j, b[i][j] = j * 0.25 - i;
    }
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < N; i++) {
            for (int j = 0; j < N; j++) {
                double s = 0;
                for (int k = 0; k < N; k++) s += a[i][k] * b[k][j];
                c[i][j] = s + c[j][i] * 0.001;
            }
        }
    }
    for (int i = 0; i < N; i++) t += c[i][i] * 1e-3;
    return (u32)(int)t;
}
