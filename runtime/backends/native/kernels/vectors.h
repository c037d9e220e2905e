/* The compiler's own vectors of LANES floats, of which all else is made that every CPU does alike. LANES and KIND, the
   kind's name, are defined before. Functions that a debugger or a profiler sees bear that name: OF_KIND(round) is
   avx2_round. */
#include <math.h>
#include <string.h>

#include "../cpu.h"
#include "half.h"

#define INLINE static inline __attribute__((always_inline))
#define JOINED(kind, name) kind##_##name
#define JOINED_NAMES(kind, name) JOINED(kind, name) /* of what macros stand for */
#define OF_KIND(name) JOINED_NAMES(KIND, name)

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Numbers __attribute__((vector_size(4 * LANES)));

INLINE Floats load(const float *from) {
  Floats v;
  memcpy(&v, from, sizeof v);
  return v;
}

INLINE void save(float *to, Floats v) { memcpy(to, &v, sizeof v); }

/* The first `count` lanes; the others are zeros. */
INLINE Floats load_some(const float *from, int count) {
  Floats v = {0};
  memcpy(&v, from, sizeof(float) * (size_t)count);
  return v;
}

INLINE void save_some(float *to, Floats v, int count) { memcpy(to, &v, sizeof(float) * (size_t)count); }

INLINE Floats all(float x) { return x + (Floats){0}; }

INLINE Floats pick(Numbers which, Floats yes, Floats no) {
  return (Floats)((which & (Numbers)yes) | (~which & (Numbers)no));
}

INLINE Floats larger(Floats a, Floats b) { return pick(a > b, a, b); }

INLINE Floats between(Floats low, Floats x, Floats high) { return pick(x > high, high, larger(x, low)); }

/* The step between values rounded to 8 bits; 0 where all are so near to zero that a step has no inverse. */
INLINE float scale_of(float top) { return top < 1e-35f ? 0 : top / 127.0f; }

/* e^x within 2 units in the last place, for x from -87 to 88, at which it ends: 2^n * 2^f, f in
   [-0.5, 0.5], by its series. */
INLINE Floats exponential(Floats x) {
  x = between(all(-87.0f), x, all(88.0f));
  const Floats scaled = x * 1.44269504f + 12582912.0f; /* rounds to a whole number in the low bits */
  const Floats n = scaled - 12582912.0f;
  Floats r = x - n * 0.693145752f;
  r = r - n * 1.42860677e-6f;
  Floats p = all(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  return p * (Floats)(((Numbers)scaled - 0x4b400000 + 127) << 23);
}
