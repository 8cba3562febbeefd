/* The Doya neuron's x_T, dx_T/dx_0, dx_T/dw and dx_T/db in plain floats, in three loop orders.

   points  each point runs through all its steps (what one writes first; the compiler does not vectorise it)
   steps   each step runs through all points (vectorised, streams through memory)
   tiles   steps within tiles of 1024 points (vectorised, stays in the cache: the hardest to match)        */
#include <math.h>

#define STEP(T, EXP, X, P, QW, QB)                                  \
  T s = 1 / (1 + EXP(-(w[i] * X + b[i])));                          \
  T d = epsilon * s * (1 - s), a = (1 - epsilon) + w[i] * d;        \
  P *= a;                                                           \
  QB = a * QB + d;                                                  \
  QW = a * QW + d * X;                                              \
  X = (1 - epsilon) * X + epsilon * s;

#define ARGUMENTS(T)                                                                              \
  const T *restrict w, const T *restrict b, T x0, T epsilon, long steps, long n, T *restrict x,   \
      T *restrict p, T *restrict qw, T *restrict qb

#define KERNELS(NAME, T, EXP)                                              \
  void NAME##_points(ARGUMENTS(T)) {                                       \
    _Pragma("omp parallel for") for (long i = 0; i < n; i++) {             \
      T X = x0, P = 1, QW = 0, QB = 0;                                     \
      for (long t = 0; t < steps; t++) { STEP(T, EXP, X, P, QW, QB) }      \
      x[i] = X; p[i] = P; qw[i] = QW; qb[i] = QB;                          \
    }                                                                      \
  }                                                                        \
  void NAME##_steps(ARGUMENTS(T)) {                                        \
    for (long i = 0; i < n; i++) { x[i] = x0; p[i] = 1; qw[i] = 0; qb[i] = 0; } \
    for (long t = 0; t < steps; t++) {                                     \
      _Pragma("omp parallel for simd") for (long i = 0; i < n; i++) {      \
        STEP(T, EXP, x[i], p[i], qw[i], qb[i])                             \
      }                                                                    \
    }                                                                      \
  }                                                                        \
  void NAME##_tiles(ARGUMENTS(T)) {                                        \
    _Pragma("omp parallel for") for (long j = 0; j < n; j += 1024) {       \
      long stop = j + 1024 < n ? j + 1024 : n;                             \
      for (long i = j; i < stop; i++) { x[i] = x0; p[i] = 1; qw[i] = 0; qb[i] = 0; } \
      for (long t = 0; t < steps; t++) {                                   \
        _Pragma("omp simd") for (long i = j; i < stop; i++) {              \
          STEP(T, EXP, x[i], p[i], qw[i], qb[i])                           \
        }                                                                  \
      }                                                                    \
    }                                                                      \
  }

KERNELS(float64, double, exp)
KERNELS(float32, float, expf)
