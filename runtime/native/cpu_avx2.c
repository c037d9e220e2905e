/* x86-64 with AVX2, FMA and F16C, without VNNI.

   4 bits: a byte's halves are 0 to 15 and meet 8-bit values of -127 to 127. vpmaddubsw adds two such
   products in 16 bits; four of its results are added before they are widened: 4 * 2 * 15 * 127 =
   15,240 is below 32,767, so nothing is ever cut off. The 8 that each code stands too high is taken
   off as the sum of the values, once in each of the 8 lanes.

   8 bits: codes less 128 and values are widened to 16 bits, where vpmaddwd is exact. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma,f16c")
#include <immintrin.h>

#include "rows.h"

enum { MOST_BLOCKS = 512 };

#define INLINE static inline __attribute__((always_inline))

static int here(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c");
}

INLINE float sum_of(__m256 v) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

/* One row of 4-bit weights times `count` tokens from t on; count is known to the compiler. */
INLINE void row4(const int count, const uint8_t *codes, const float *scales, int blocks,
                 const Rounded *x, long t, float *sums) {
  const __m256i low = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
  __m256 acc[8];
  for (int c = 0; c < count; c++) acc[c] = _mm256_setzero_ps();
  for (int b = 0; b < blocks; b++, codes += 64) {
    const __m256i v = _mm256_loadu_si256((const __m256i *)codes);
    const __m256i w = _mm256_loadu_si256((const __m256i *)(codes + 32));
    const __m256i c0 = _mm256_and_si256(v, low), c2 = _mm256_and_si256(w, low);
    const __m256i c1 = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
    const __m256i c3 = _mm256_and_si256(_mm256_srli_epi16(w, 4), low);
    const __m256 scale = _mm256_broadcast_ss(scales + b);
    for (int c = 0; c < count; c++) {
      const long at = (long)b * x->apart + t + c;
      const __m256i *a = (const __m256i *)(x->halves + at * BLOCK);
      __m256i p = _mm256_maddubs_epi16(c0, _mm256_loadu_si256(a));
      __m256i q = _mm256_maddubs_epi16(c1, _mm256_loadu_si256(a + 1));
      p = _mm256_add_epi16(p, _mm256_maddubs_epi16(c2, _mm256_loadu_si256(a + 2)));
      q = _mm256_add_epi16(q, _mm256_maddubs_epi16(c3, _mm256_loadu_si256(a + 3)));
      __m256i whole = _mm256_madd_epi16(_mm256_add_epi16(p, q), ones);
      whole = _mm256_sub_epi32(whole, _mm256_set1_epi32(x->sums[at]));
      const __m256 both = _mm256_mul_ps(scale, _mm256_broadcast_ss(x->scales + at));
      acc[c] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole), both, acc[c]);
    }
  }
  for (int c = 0; c < count; c++) sums[c] = sum_of(acc[c]);
}

INLINE void row8(const int count, const uint8_t *codes, const float *scales, int blocks,
                 const Rounded *x, long t, float *sums) {
  const __m256i high = _mm256_set1_epi16(128);
  __m256 acc[8];
  for (int c = 0; c < count; c++) acc[c] = _mm256_setzero_ps();
  for (int b = 0; b < blocks; b++, codes += BLOCK) {
    __m256i whole[8];
    for (int c = 0; c < count; c++) whole[c] = _mm256_setzero_si256();
    for (int i = 0; i < BLOCK; i += 16) {
      __m256i w = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(codes + i)));
      w = _mm256_sub_epi16(w, high);
      for (int c = 0; c < count; c++) {
        const int8_t *a = x->plain + ((long)b * x->apart + t + c) * BLOCK + i;
        const __m256i v = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)a));
        whole[c] = _mm256_add_epi32(whole[c], _mm256_madd_epi16(w, v));
      }
    }
    for (int c = 0; c < count; c++) {
      const __m256 both = _mm256_set1_ps(scales[b] * x->scales[(long)b * x->apart + t + c]);
      acc[c] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole[c]), both, acc[c]);
    }
  }
  for (int c = 0; c < count; c++) sums[c] = sum_of(acc[c]);
}

static void widen(const uint16_t *halves, int count, float *out) {
  int i = 0;
  for (; i + 8 <= count; i += 8)
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(halves + i))));
  for (; i < count; i++) out[i] = half_to_float(halves[i]);
}

typedef void (*Row)(const uint8_t *, const float *, int, const Rounded *, long, float *);

#define ROW(bits, count)                                                                      \
  static void row##bits##_##count(const uint8_t *codes, const float *scales, int blocks,      \
                                  const Rounded *x, long t, float *sums) {                    \
    row##bits(count, codes, scales, blocks, x, t, sums);                                      \
  }
ROW(4, 1) ROW(4, 2) ROW(4, 4) ROW(4, 8) ROW(8, 1) ROW(8, 2) ROW(8, 4)

static void round32(const float *x, int cols, const Rounded *to, int t) {
  rows_round(32, x, cols, to, t);
}

static void product(const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out,
                    long stride, int add) {
  static const Row fours[] = {row4_8, row4_4, row4_2, row4_1};
  static const Row eights[] = {row8_4, row8_4, row8_2, row8_1};
  static const int four_sizes[] = {8, 4, 2, 1}, eight_sizes[] = {4, 4, 2, 1};
  const Row *rows = w->bits == 4 ? fours : eights;
  const int *sizes = w->bits == 4 ? four_sizes : eight_sizes;
  const int blocks = blocks_of(w->cols);
  const long bytes = (long)blocks * BLOCK * w->bits / 8;
  float scales[MOST_BLOCKS], sums[8];
  for (int n = n0; n < n1; n++) {
    widen(w->scales + (long)n * blocks, blocks, scales);
    for (int t = 0, kind = 0; t < tokens; t += sizes[kind]) {
      while (sizes[kind] > tokens - t) kind++;
      rows[kind](w->codes + n * bytes, scales, blocks, x, t, sums);
      for (int c = 0; c < sizes[kind]; c++) {
        float *to = out + (t + c) * stride + n;
        *to = add ? *to + sums[c] : sums[c];
      }
    }
  }
}

const Cpu cpu_avx2 = {"avx2", 8, here, product, rows_norm, round32, rows_attend, rows_gate};
#else
#include "edge.h"
static int here(void) { return 0; }
const Cpu cpu_avx2 = {"avx2", 1, here, 0, 0, 0, 0, 0};
#endif
