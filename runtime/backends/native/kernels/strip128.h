/* Strips for ARM's vectors of 128 bits, see strip.h: 4 columns of 16 rows become 4 vectors, each with 4 values of 4 rows in
   their order, and sdot takes 4 values of a token out of a vector of 16. 4 vectors of codes meet 4 rows of activations:
   16 sums are in registers. */
#include "asked.h"

enum {
  BLOCKS_AT_ONCE = 2,
  STRIP_BYTES = BLOCK * 64,
  FOUR_BYTES = BLOCK * 16,
  ASKED_A_STEP = 4,
  ROWS_OF_X = 4
};

INLINE void begin_sums(const Rounded *x, int row, int streams, int32_t *sums) {
  (void)x, (void)row, (void)streams;
  memset(sums, 0, 64 * sizeof *sums);
}

/* 4 columns of 16 rows, as 4 vectors. */
INLINE void read_columns(const int8_t *from, ptrdiff_t stride, int8_t *to) {
  const int8x16_t k0 = vld1q_s8(from), k1 = vld1q_s8(from + stride);
  const int8x16_t k2 = vld1q_s8(from + 2 * stride), k3 = vld1q_s8(from + 3 * stride);
  const int16x8_t a = vreinterpretq_s16_s8(vzip1q_s8(k0, k1)), b = vreinterpretq_s16_s8(vzip1q_s8(k2, k3));
  const int16x8_t c = vreinterpretq_s16_s8(vzip2q_s8(k0, k1)), d = vreinterpretq_s16_s8(vzip2q_s8(k2, k3));
  vst1q_s8(to, vreinterpretq_s8_s16(vzip1q_s16(a, b)));
  vst1q_s8(to + 16, vreinterpretq_s8_s16(vzip2q_s16(a, b)));
  vst1q_s8(to + 32, vreinterpretq_s8_s16(vzip1q_s16(c, d)));
  vst1q_s8(to + 48, vreinterpretq_s8_s16(vzip2q_s16(c, d)));
}

/* [4][BLOCKS_AT_ONCE][BLOCK / 4][4] vectors. */
INLINE void lay_strip(const int8_t *from, ptrdiff_t stride, uint8_t *to, int b, Next *next) {
  to += b * FOUR_BYTES;
  for (int k = 0; k < BLOCK; k += 4, from += 4 * stride, to += 64) {
    ask_lines(next, 4);
    for (int q = 0; q < 4; q++)
      read_columns(from + 16 * q, stride, (int8_t *)to + q * BLOCKS_AT_ONCE * FOUR_BYTES);
  }
}

INLINE Floats multiplied_added(Floats a, Floats b, Floats c) {
  return (Floats)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}

INLINE void in_order(int32_t *sums) { (void)sums; }

/* 4 columns, number `lane` of 16, of 16 rows times `count` rows of activations. */
INLINE void strip_lane(const int count, const int lane, const int8_t *codes, const int8x16_t *values,
                       int32x4_t (*whole)[4]) {
  for (int p = 0; p < 4; p++) {
    const int8x16_t c = vld1q_s8(codes + (lane * 4 + p) * 16);
#pragma GCC unroll 4
    for (int t = 0; t < count; t++)
      whole[t][p] = lane == 0   ? vdotq_laneq_s32(whole[t][p], c, values[t], 0)
                    : lane == 1 ? vdotq_laneq_s32(whole[t][p], c, values[t], 1)
                    : lane == 2 ? vdotq_laneq_s32(whole[t][p], c, values[t], 2)
                                : vdotq_laneq_s32(whole[t][p], c, values[t], 3);
  }
}

INLINE void strip_rows(const int count, const int8_t *codes, int blocks, const int8_t *values,
                       ptrdiff_t next_block, int32_t (*sums)[64]) {
  int32x4_t whole[ROWS_OF_X][4];
#pragma GCC unroll 4
  for (int t = 0; t < count; t++)
    for (int p = 0; p < 4; p++) whole[t][p] = vld1q_s32(sums[t] + 4 * p);
  for (; blocks--; values += next_block)
    for (int i = 0; i < BLOCK; i += 16, codes += 4 * 64) {
      int8x16_t v[ROWS_OF_X];
#pragma GCC unroll 4
      for (int t = 0; t < count; t++) v[t] = vld1q_s8(values + t * BLOCK + i);
      strip_lane(count, 0, codes, v, whole), strip_lane(count, 1, codes, v, whole);
      strip_lane(count, 2, codes, v, whole), strip_lane(count, 3, codes, v, whole);
    }
#pragma GCC unroll 4
  for (int t = 0; t < count; t++)
    for (int p = 0; p < 4; p++) vst1q_s32(sums[t] + 4 * p, whole[t][p]);
}

/* 16 columns of a strip, as they are read, times `count` rows of activations. */
INLINE void times_slab(const int count, const int8_t *from, ptrdiff_t stride, ptrdiff_t ahead,
                       const Rounded *x, ptrdiff_t at, int32_t (*sums)[64]) {
  const int8_t *values = x->plain + at;
  for (int q = 0; q < 4; q++, from += 16) {
    int32x4_t whole[ROWS_OF_X][4];
    int8_t codes[4 * 64];
    for (int k = 4 * q; k < 4 * q + 4; k++) __builtin_prefetch(from - 16 * q + k * stride + ahead, 0, 3);
    for (int k = 0; k < 16; k += 4) read_columns(from + k * stride, stride, codes + k * 16);
#pragma GCC unroll 4
    for (int t = 0; t < count; t++)
      for (int p = 0; p < 4; p++) whole[t][p] = vld1q_s32(sums[t] + 16 * q + 4 * p);
    int8x16_t v[ROWS_OF_X];
#pragma GCC unroll 4
    for (int t = 0; t < count; t++) v[t] = vld1q_s8(values + t * BLOCK);
    strip_lane(count, 0, codes, v, whole), strip_lane(count, 1, codes, v, whole);
    strip_lane(count, 2, codes, v, whole), strip_lane(count, 3, codes, v, whole);
#pragma GCC unroll 4
    for (int t = 0; t < count; t++)
      for (int p = 0; p < 4; p++) vst1q_s32(sums[t] + 16 * q + 4 * p, whole[t][p]);
  }
}

static void times_strip(const uint8_t *codes, int blocks, const Rounded *x, int b, int t, int count,
                        int32_t (*sums)[64], Next *next) {
  const ptrdiff_t next_block = (ptrdiff_t)x->padded_tokens * BLOCK;
  for (int q = 0; q < 4; q++) {
    const int8_t *values = x->plain + b * next_block + (ptrdiff_t)t * BLOCK;
    const int8_t *four = (const int8_t *)codes + q * BLOCKS_AT_ONCE * FOUR_BYTES;
    int32_t (*to)[64] = (int32_t (*)[64])(sums[0] + q * 16);
    int left = count;
    for (; left >= ROWS_OF_X; left -= ROWS_OF_X, values += ROWS_OF_X * BLOCK, to += ROWS_OF_X) {
      ask_lines(next, ASKED_A_STEP);
      strip_rows(ROWS_OF_X, four, blocks, values, next_block, to);
    }
    if (left == 3) strip_rows(3, four, blocks, values, next_block, to);
    if (left == 2) strip_rows(2, four, blocks, values, next_block, to);
    if (left == 1) strip_rows(1, four, blocks, values, next_block, to);
  }
}

#include "strip.h"

static void OF_KIND(product_by_row)(const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out,
                                    ptrdiff_t stride, int add) {
  times_all_strips(w, x, tokens, n0, n1, out, stride, add);
}

static void OF_KIND(round_by_row)(const float *x, int cols, const Rounded *to, int t) {
  round_terms(x, cols, to, t);
}
