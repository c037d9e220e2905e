/* x86-64 with AVX2, FMA and F16C, without VNNI.

   Codes of 4 bits meet 8-bit values of -127 to 127: vpmaddubsw adds two such products in 16 bits, 3,810 at most, and
   16 of its results are added before they are widened. Such sums may go beyond 16 bits on their way, where they wrap
   around; what they end at does not, as they begin with what the codes, which stand 8 too high, make too much of:
   16 * 2 * 8 * 127 = 32,512 is below 32,767, so they come out right. Codes of 8 bits are two planes of 4. */
#if defined(__x86_64__)
#include "able_x86.h"
#include "target.h"
#define KIND avx2
TARGET("avx2,fma,f16c")
#include "wide256.h"

#define TOKENS 4
#define FEW 4
enum { PANELS = 2, PLANES = 2, DEEP = 16, AHEAD = 512 };
#include "tile256.h"

INLINE __m256i widened(__m256i sum, int times) {
  return _mm256_madd_epi16(sum, _mm256_set1_epi16((short)times));
}

/* DEEP vectors of two panels times `count` tokens: values lie BLOCK apart, what sums begin with 4. */
INLINE void deep(const int count, const __m256i *codes, const int8_t *values, const int32_t *starts,
                 __m256i (*sums)[PANELS]) {
  __m256i a[TOKENS], b[TOKENS];
  for (int t = 0; t < count; t++) a[t] = b[t] = _mm256_set1_epi32(starts[4 * t]);
#pragma GCC unroll 16
  for (int g = 0; g < DEEP; g++) {
    const __m256i first = _mm256_load_si256(codes + g * PANELS);
    const __m256i second = _mm256_load_si256(codes + g * PANELS + 1);
#pragma GCC unroll 4
    for (int t = 0; t < count; t++) {
      int32_t four;
      memcpy(&four, values + t * BLOCK + 4 * g, 4);
      const __m256i v = _mm256_set1_epi32(four);
      a[t] = in_register(_mm256_add_epi16(a[t], _mm256_maddubs_epi16(first, v)));
      b[t] = in_register(_mm256_add_epi16(b[t], _mm256_maddubs_epi16(second, v)));
    }
  }
  for (int t = 0; t < count; t++) sums[t][0] = a[t], sums[t][1] = b[t];
}

/* Of 8 bits, codes less 128 are (low half - 8) + 16 * (high half - 8) + 8. */
INLINE void dots(const int bits, const int count, const Tile *tile, const Rounded *x, ptrdiff_t at,
                 __m256i (*whole)[PANELS]) {
  const int8_t *values = (bits == 8 ? x->plain : x->nibble_order) + at * BLOCK;
  for (int t = 0; t < count; t++)
    for (int p = 0; p < PANELS; p++) whole[t][p] = _mm256_set1_epi32(bits == 8 ? 8 * x->sums[at + t] : 0);
  for (int plane = 0; plane < (bits == 8 ? PLANES : 1); plane++)
    for (int part = 0; part < VECTORS / DEEP; part++) {
      const __m256i *codes = (const __m256i *)tile->codes[plane * VECTORS + part * DEEP];
      const int32_t *starts = x->starts + 4 * at + (bits == 8 ? 2 : 0) + part;
      __m256i some[TOKENS][PANELS];
      deep(count, codes, values + part * 4 * DEEP, starts, some);
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

INLINE void two_rows(const int bits, const int tokens, const uint8_t *first, const uint8_t *second,
                     const int8_t *values, __m256i *pairs) {
  __m256i low[2][FEW], high[2][FEW]; /* of rows and tokens */
  for (int r = 0; r < 2; r++) {
    const uint8_t *from = r ? second : first;
    __m256i codes[2][4];
    if (bits == 4)
      split_halves(from, codes[0]);
    else
      for (int i = 0; i < 4; i++) {
        const __m256i both = in_register(vector(from, i));
        codes[0][i] = low_halves(both), codes[1][i] = high_halves(both);
      }
    for (int t = 0; t < tokens; t++) {
      low[r][t] = in_register(four_products(codes[0], values + 2 * t * BLOCK));
      if (bits == 8) high[r][t] = in_register(four_products(codes[1], values + 2 * t * BLOCK));
    }
  }
  for (int t = 0; t < tokens; t++) {
    pairs[t] = widened(by_turns_32(low[0][t], low[1][t]), 1);
    if (bits == 8) pairs[t] = _mm256_add_epi32(pairs[t], widened(by_turns_32(high[0][t], high[1][t]), 16));
  }
}

#include "few256.h"
#include "panel256.h"

/* By row, codes and values are multiplied in 16 bits: 2 products are added at once. */
enum { BLOCKS_AT_ONCE = 1, STEP = 2 };

INLINE void begin_sums(const Rounded *x, int row, int streams, int32_t *sums) {
  (void)x, (void)row, (void)streams;
  memset(sums, 0, 64 * sizeof *sums);
}

/* 2 columns of 32 rows become 4 vectors, each with 2 values of 8 rows. */
INLINE void lay_columns(const int8_t *from, ptrdiff_t stride, __m256i *to) {
  for (int half = 0; half < 2; half++) {
    const __m128i a = _mm_loadu_si128((const __m128i *)from + half);
    const __m128i b = _mm_loadu_si128((const __m128i *)(from + stride) + half);
    to[2 * half] = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b));
    to[2 * half + 1] = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(a, b));
  }
}

INLINE void in_order(int32_t *sums) { (void)sums; }

INLINE __m256i add_step(__m256i sum, __m256i codes, __m256i values) {
  return in_register(_mm256_add_epi32(sum, _mm256_madd_epi16(codes, values)));
}
INLINE const void *values_at(const Rounded *x, ptrdiff_t at) { return x->wide + at; }

#include "strip256.h"

static void avx2_round_by_row(const float *x, int cols, const Rounded *to, int t) {
  round_terms(x, cols, to, t);
  for (int row = t * to->terms; row < (t + 1) * to->terms; row++)
    for (int b = 0; b < blocks_of(cols); b++) {
      const ptrdiff_t at = ((ptrdiff_t)b * to->padded_tokens + row) * BLOCK;
      for (int i = 0; i < BLOCK; i += 16)
        _mm256_storeu_si256((__m256i *)(to->wide + at + i),
                            _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(to->plain + at + i))));
    }
}

static void avx2_round(const float *x, int cols, const Rounded *to, int t) { round_256(1, x, cols, to, t); }

static int avx2_here(void) {
  const Features f = features_here();
  return has_avx2(&f);
}

const Cpu cpu_avx2 = {
    .name = "avx2",
    .lanes = LANES,
    .here = avx2_here,
    .product = avx2_product,
    .product_by_row = avx2_product_by_row,
    .layer_norm = avx2_layer_norm,
    .rms_norm = avx2_rms_norm,
    .round = avx2_round,
    .round_by_row = avx2_round_by_row,
    .pack = avx2_pack,
    .attend_heads = avx2_attend_heads,
    .attend_keys = avx2_attend_keys,
    .gate = avx2_gate,
    .rotate = avx2_rotate,
    .arrange = avx2_arrange,
    .arranged_tokens = FEW,
};
TARGET_END
#else
#include "../cpu.h"
const Cpu cpu_avx2 = {.name = "avx2"};
#endif
