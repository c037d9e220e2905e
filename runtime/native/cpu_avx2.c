/* x86-64 with AVX2, FMA and F16C, without VNNI.

   Codes of 4 bits meet 8-bit values of -127 to 127: vpmaddubsw adds two such products in 16 bits, and 8 of its
   results are added before they are widened: 8 * 2 * 15 * 127 = 30,480 is below 32,767, so nothing is ever cut off.
   Codes of 8 bits are two planes of 4. What codes stand too high, times the sum of values, is taken off once a
   block. */
#if defined(__x86_64__)
#include "able_x86.h"
#include "target.h"
#define KIND avx2
TARGET("avx2,fma,f16c")
#include "wide256.h"

#define TOKENS 4
enum { PANELS = 2, PLANES = 2, DEEP = 8 };
#include "tile256.h"

INLINE __m256i widened(__m256i sum, int times) {
  return _mm256_madd_epi16(sum, _mm256_set1_epi16((short)times));
}

/* DEEP vectors of two panels times `count` tokens, whose values lie BLOCK apart. */
INLINE void deep(const int count, const __m256i *codes, const int8_t *values, __m256i (*sums)[PANELS]) {
  __m256i a[TOKENS], b[TOKENS];
#pragma GCC unroll 8
  for (int g = 0; g < DEEP; g++) {
    const __m256i first = _mm256_load_si256(codes + g * PANELS),
                  second = _mm256_load_si256(codes + g * PANELS + 1);
#pragma GCC unroll 4
    for (int t = 0; t < count; t++) {
      int32_t four;
      memcpy(&four, values + t * BLOCK + 4 * g, 4);
      const __m256i v = _mm256_set1_epi32(four);
      const __m256i p = _mm256_maddubs_epi16(first, v), q = _mm256_maddubs_epi16(second, v);
      a[t] = in_register(g ? _mm256_add_epi16(a[t], p) : p);
      b[t] = in_register(g ? _mm256_add_epi16(b[t], q) : q);
    }
  }
  for (int t = 0; t < count; t++) sums[t][0] = a[t], sums[t][1] = b[t];
}

INLINE void dots(const int bits, const int count, const Tile *tile, const int8_t *values, const int32_t *sums,
                 __m256i (*whole)[PANELS]) {
  for (int t = 0; t < count; t++)
    for (int p = 0; p < PANELS; p++) whole[t][p] = _mm256_set1_epi32((bits == 8 ? -128 : -8) * sums[t]);
  for (int plane = 0; plane < (bits == 8 ? PLANES : 1); plane++)
    for (int g = 0; g < VECTORS; g += DEEP) {
      __m256i some[TOKENS][PANELS];
      deep(count, (const __m256i *)tile->codes[plane * VECTORS + g], values + 4 * g, some);
      for (int t = 0; t < count; t++)
        for (int p = 0; p < PANELS; p++)
          whole[t][p] = _mm256_add_epi32(whole[t][p], widened(some[t][p], plane ? 16 : 1));
    }
}

INLINE __m256i four_products(const __m256i *codes, const int8_t *values) {
  const __m256i a = _mm256_add_epi16(_mm256_maddubs_epi16(codes[0], vector(values, 0)),
                                     _mm256_maddubs_epi16(codes[1], vector(values, 1)));
  return _mm256_add_epi16(a, _mm256_add_epi16(_mm256_maddubs_epi16(codes[2], vector(values, 2)),
                                              _mm256_maddubs_epi16(codes[3], vector(values, 3))));
}

/* Sums of 16 bits of two rows, by twos, with half as many of each: 8 vpmaddubsw in each, as above. */
INLINE __m256i paired(__m256i first, __m256i second) {
  return _mm256_add_epi16(_mm256_unpacklo_epi32(first, second), _mm256_unpackhi_epi32(first, second));
}

INLINE void two_rows(const int bits, const int tokens, const uint8_t *first, const uint8_t *second,
                     const int8_t *values, __m256i *pairs) {
  __m256i low[2][4], high[2][4];
  for (int r = 0; r < 2; r++) {
    const uint8_t *from = r ? second : first;
    if (bits == 4)
      split_halves(from, low[r]);
    else
      for (int i = 0; i < 4; i++)
        low[r][i] = low_halves(vector(from, i)), high[r][i] = high_halves(vector(from, i));
  }
  for (int t = 0; t < tokens; t++, values += 2 * BLOCK) {
    pairs[t] = widened(paired(four_products(low[0], values), four_products(low[1], values)), 1);
    if (bits == 8)
      pairs[t] = _mm256_add_epi32(
          pairs[t], widened(paired(four_products(high[0], values), four_products(high[1], values)), 16));
  }
}

#include "few256.h"
#include "panel256.h"

static int avx2_here(void) {
  const Features f = features_here();
  return has_avx2(&f);
}

const Cpu cpu_avx2 = {
    .name = "avx2",
    .heads_at_once = LANES,
    .here = avx2_here,
    .product = avx2_product,
    .norm = avx2_norm,
    .round = avx2_round,
    .attend = avx2_attend,
    .gate = avx2_gate,
    .arrange = avx2_arrange,
    .arranged_tokens = FEW,
};
TARGET_END
#else
#include "edge.h"
const Cpu cpu_avx2 = {.name = "avx2"};
#endif
