/* What CPUs with 256-bit vectors do alike; each such CPU's file includes this after its target. */
#include <immintrin.h>

#define LANES 8
#include "rows.h"

INLINE float sum_of(Floats floats) {
  const __m256 v = (__m256)floats;
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

INLINE __m256i vector(const void *from, int number) {
  return _mm256_loadu_si256((const __m256i *)from + number);
}

INLINE void widen(const uint16_t *halves, int count, float *out) {
  int i = 0;
  for (; i + 8 <= count; i += 8)
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(halves + i))));
  for (; i < count; i++) out[i] = half_to_float(halves[i]);
}

/* 64 bytes of 4-bit codes as 4 vectors: even and odd values of the first 64, and of the others. */
INLINE void split_halves(const uint8_t *from, __m256i *to) {
  const __m256i low = _mm256_set1_epi8(15), first = vector(from, 0), second = vector(from, 1);
  to[0] = _mm256_and_si256(first, low);
  to[1] = _mm256_and_si256(_mm256_srli_epi16(first, 4), low);
  to[2] = _mm256_and_si256(second, low);
  to[3] = _mm256_and_si256(_mm256_srli_epi16(second, 4), low);
}

static void round_32(const float *x, int cols, const Rounded *to, int t) {
  rows_round(32, x, cols, to, t);
}
