/* Strips for 256-bit vectors, see strip.h. A CPU's file includes this after it has said what strip.h asks for but
   laying out and multiplying, for which this takes

     TOKENS  rows of activations that meet two vectors of codes at once, and have their sums in registers
     STEP    columns that one instruction multiplies, in 4 bytes a row
     lay_columns(from, stride, vectors)  makes 4 vectors of STEP columns of 32 rows
     add_step(sum, codes, values)
     values_at(x, at)  where rounded number `at` stands, in 4 bytes for STEP of them

   A strip is 4 pairs of vectors: [4][BLOCKS_AT_ONCE][BLOCK / STEP][2]. */
#include "asked.h"

enum {
  STEPS = BLOCK / STEP,
  PAIRS = 4,
  ASKED_A_STEP = 4,
  PAIR_BYTES = STEPS * 2 * 32,
  STRIP_BYTES = PAIRS * PAIR_BYTES
};

INLINE Floats multiplied_added(Floats a, Floats b, Floats c) {
  return (Floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

INLINE void lay_strip(const int8_t *from, ptrdiff_t stride, uint8_t *to, int b, Next *next) {
  to += b * PAIR_BYTES;
  for (int g = 0; g < STEPS; g++, from += STEP * stride, to += 2 * 32) {
    ask_lines(next, STEP);
    for (int half = 0; half < 2; half++) {
      __m256i v[4];
      lay_columns(from + half * 32, stride, v);
      for (int i = 0; i < 4; i++)
        store(to + (2 * half + i / 2) * BLOCKS_AT_ONCE * PAIR_BYTES + i % 2 * 32, v[i]);
    }
  }
}

/* A pair of vectors of a strip's blocks times `count` rows of activations. */
INLINE void strip_rows(const int count, const uint8_t *codes, int blocks, const uint8_t *values,
                       ptrdiff_t next_row, ptrdiff_t next_block, int32_t (*sums)[64]) {
  __m256i a[TOKENS], b[TOKENS];
  for (int t = 0; t < count; t++) a[t] = vector(sums[t], 0), b[t] = vector(sums[t], 1);
  for (; blocks--; values += next_block) {
    const uint8_t *value = values;
#pragma GCC unroll 4
    for (int g = 0; g < STEPS; g++, codes += 2 * 32, value += 4) {
      const __m256i first = in_register(vector(codes, 0)), second = in_register(vector(codes, 1));
#pragma GCC unroll 6
      for (int t = 0; t < count; t++) {
        int32_t four;
        memcpy(&four, value + t * next_row, 4);
        const __m256i v = _mm256_set1_epi32(four);
        a[t] = add_step(a[t], first, v), b[t] = add_step(b[t], second, v);
      }
    }
  }
  for (int t = 0; t < count; t++)
    _mm256_storeu_si256((__m256i *)sums[t], a[t]), _mm256_storeu_si256((__m256i *)sums[t] + 1, b[t]);
}

/* Halves of 16 columns of a strip, as they are read, times one or two rows of activations. */
INLINE void times_half_slab(const int count, const int8_t *from, ptrdiff_t stride, ptrdiff_t ahead,
                            const uint8_t *values, int32_t (*sums)[64]) {
  const ptrdiff_t next_row = BLOCK * 4 / STEP;
  __m256i s[2][4];
#pragma GCC unroll 2
  for (int t = 0; t < count; t++)
    for (int p = 0; p < 4; p++) s[t][p] = vector(sums[t], p);
#pragma GCC unroll 8
  for (int k = 0; k < 16; k += STEP, values += 4) {
    __m256i codes[4];
    for (int c = 0; c < STEP; c++) _mm_prefetch((const char *)from + (k + c) * stride + ahead, _MM_HINT_T0);
    lay_columns(from + k * stride, stride, codes);
#pragma GCC unroll 2
    for (int t = 0; t < count; t++) {
      int32_t four;
      memcpy(&four, values + t * next_row, 4);
      const __m256i v = _mm256_set1_epi32(four);
      for (int p = 0; p < 4; p++) s[t][p] = add_step(s[t][p], codes[p], v);
    }
  }
#pragma GCC unroll 2
  for (int t = 0; t < count; t++)
    for (int p = 0; p < 4; p++) _mm256_storeu_si256((__m256i *)sums[t] + p, s[t][p]);
}

INLINE void times_slab(const int count, const int8_t *from, ptrdiff_t stride, ptrdiff_t ahead,
                       const Rounded *x, ptrdiff_t at, int32_t (*sums)[64]) {
  const ptrdiff_t next_row = BLOCK * 4 / STEP;
  for (int half = 0; half < 2; half++)
    for (int t = 0; t < count; t += 2) {
      const uint8_t *values = (const uint8_t *)values_at(x, at) + t * next_row;
      int32_t (*to)[64] = (int32_t (*)[64])(sums[t] + half * 32);
      if (count - t > 1)
        times_half_slab(2, from + half * 32, stride, ahead, values, to);
      else
        times_half_slab(1, from + half * 32, stride, ahead, values, to);
    }
}

static void times_strip(const uint8_t *codes, int blocks, const Rounded *x, int b, int t, int count,
                        int32_t (*sums)[64], Next *next) {
  const ptrdiff_t next_row = BLOCK * 4 / STEP, next_block = (ptrdiff_t)x->padded_tokens * next_row;
  for (int p = 0; p < PAIRS; p++, codes += BLOCKS_AT_ONCE * PAIR_BYTES) {
    const uint8_t *values = values_at(x, ((ptrdiff_t)b * x->padded_tokens + t) * BLOCK);
    int32_t (*to)[64] = (int32_t (*)[64])(sums[0] + p * 2 * LANES);
    int left = count;
    for (; left >= TOKENS; left -= TOKENS, values += TOKENS * next_row, to += TOKENS) {
      ask_lines(next, ASKED_A_STEP);
      strip_rows(TOKENS, codes, blocks, values, next_row, next_block, to);
    }
#if TOKENS == 6
    if (left == 5) strip_rows(5, codes, blocks, values, next_row, next_block, to);
    if (left == 4) strip_rows(4, codes, blocks, values, next_row, next_block, to);
#endif
    if (left == 3) strip_rows(3, codes, blocks, values, next_row, next_block, to);
    if (left == 2) strip_rows(2, codes, blocks, values, next_row, next_block, to);
    if (left == 1) strip_rows(1, codes, blocks, values, next_row, next_block, to);
  }
}

#include "strip.h"

static void OF_KIND(product_by_row)(const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out,
                                    ptrdiff_t stride, int add) {
  times_all_strips(w, x, tokens, n0, n1, out, stride, add);
}
