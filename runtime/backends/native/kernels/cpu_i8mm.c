/* ARM of 64 bits with products of small matrices (smmla, from ARMv8.6 on): 2 rows times 2 tokens, 8 products
   each, added to 4 whole sums at once.

   A vector has 8 values of one row and 8 of the next, and meets 8 values of one token and 8 of the next, which are
   rounded into that order. Half a tile is 4 pairs of rows; with 4 pairs of tokens 16 sums, 4 vectors of codes
   and 4 of values are in registers. The 4 lanes of a sum are the first row with both tokens, then the second. A token
   that has no partner meets what lies there, and nobody looks at the result. */
#include "../cpu.h"
#if defined(__aarch64__)
#include "able_arm.h"
#include "target.h"
#define KIND i8mm
TARGET("arch=armv8.2-a+dotprod+i8mm")

#include "panel128.h"
#include "round128.h"
#include "strip128.h"

enum { PAIRS = HALF / 2, TOKEN_PAIRS = 4, CHUNKS = BLOCK / 8 };

/* 16 bytes of two rows as their vectors: one (8 bits) or two (4 bits) times the first bytes, and the last. */
INLINE void i8mm_pair(const int bits, const Tile *tile, int r, ptrdiff_t at, int8x16_t (*to)[2]) {
  const int8x16_t a = code_bytes(tile, r, at), b = code_bytes(tile, r + 1, at);
  split(bits, low_words(a, b), to[0]);
  split(bits, high_words(a, b), to[1]);
}

/* Vectors [CHUNKS][PAIRS], of 8 values in the order of `nibble_order` or `plain`. */
INLINE void i8mm_unpack(const int bits, Tile *tile, int b, int half) {
  const int bytes = BLOCK * bits / 8, parts = 8 / bits;
  for (int p = 0; p < PAIRS; p++)
    for (int at = 0; at < bytes; at += 16) {
      int8_t *to = tile->codes[half] + (at / 8 * parts * PAIRS + p) * 16;
      int8x16_t codes[2][2];
      i8mm_pair(bits, tile, half * HALF + 2 * p, (ptrdiff_t)b * bytes + at, codes);
      for (int k = 0; k < parts; k++)
        for (int word = 0; word < 2; word++)
          vst1q_s8(to + (2 * k + word) * PAIRS * 16, as_signed(bits, codes[word][k]));
    }
}

INLINE void i8mm_times(const int count, const int8_t *codes, const int8_t *values, const float *scales,
                       const float *token_scales, float *sums) {
  int32x4_t whole[TOKEN_PAIRS][PAIRS];
#pragma GCC unroll 4
  for (int t = 0; t < count; t++)
    for (int p = 0; p < PAIRS; p++) whole[t][p] = vdupq_n_s32(0);
#pragma GCC unroll 2
  for (int i = 0; i < CHUNKS; i++, codes += PAIRS * 16, values += 16) {
    int8x16_t c[PAIRS];
    for (int p = 0; p < PAIRS; p++) c[p] = vld1q_s8(codes + p * 16);
#pragma GCC unroll 4
    for (int t = 0; t < count; t++) {
      const int8x16_t v = vld1q_s8(values + 2 * t * BLOCK);
      for (int p = 0; p < PAIRS; p++) whole[t][p] = vmmlaq_s32(whole[t][p], c[p], v);
    }
  }
  float32x4_t rows[PAIRS]; /* each row's scale twice */
  for (int p = 0; p < PAIRS; p += 2) {
    const float32x4_t four = vld1q_f32(scales + 2 * p);
    rows[p] = vzip1q_f32(four, four), rows[p + 1] = vzip2q_f32(four, four);
  }
#pragma GCC unroll 4
  for (int t = 0; t < count; t++) {
    const float32x2_t two = vld1_f32(token_scales + 2 * t);
    for (int p = 0; p < PAIRS; p++, sums += 4) {
      const float32x4_t both = vmulq_f32(rows[p], vcombine_f32(two, two));
      vst1q_f32(sums, add_scaled(vld1q_f32(sums), whole[t][p], both));
    }
  }
}

#define I8MM_TIMES(count)                                                                        \
  static void i8mm_times_##count(const int8_t *codes, const int8_t *values, const float *scales, \
                                 const float *token_scales, float *sums) {                       \
    i8mm_times(count, codes, values, scales, token_scales, sums);                                \
  }
I8MM_TIMES(1)
I8MM_TIMES(2)
I8MM_TIMES(3)
I8MM_TIMES(4)

/* Sums of two tokens with 8 rows, from [pair of rows][row][token] to [token][row]. */
static void i8mm_settle(float *sums, int tokens) {
  for (int t = 0; t < tokens; t += 2, sums += 2 * HALF) {
    float32x4_t v[PAIRS];
    for (int p = 0; p < PAIRS; p++) v[p] = vld1q_f32(sums + 4 * p);
    vst1q_f32(sums, vuzp1q_f32(v[0], v[1])), vst1q_f32(sums + 4, vuzp1q_f32(v[2], v[3]));
    vst1q_f32(sums + 8, vuzp2q_f32(v[0], v[1])), vst1q_f32(sums + 12, vuzp2q_f32(v[2], v[3]));
  }
}

INLINE void i8mm_few(const int bits, const int pairs, const Tile *tile, const int8_t *values, int b,
                     int32x4_t *whole) {
  const int bytes = BLOCK * bits / 8, parts = 8 / bits;
  int32x4_t sums[FEW_TOKENS / 2][FEW_ROWS / 2];
#pragma GCC unroll 2
  for (int t = 0; t < pairs; t++)
    for (int p = 0; p < FEW_ROWS / 2; p++) sums[t][p] = vdupq_n_s32(0);
#pragma GCC unroll 1
  for (int at = 0; at < bytes; at += 16) {
    const int8_t *from = values + at * 2 * parts;
    int8x16_t codes[FEW_ROWS / 2][2][2];
    for (int p = 0; p < FEW_ROWS / 2; p++) i8mm_pair(bits, tile, 2 * p, (ptrdiff_t)b * bytes + at, codes[p]);
#pragma GCC unroll 2
    for (int t = 0; t < pairs; t++)
      for (int k = 0; k < parts; k++)
        for (int word = 0; word < 2; word++) {
          const int8x16_t v = vld1q_s8(from + 2 * t * BLOCK + (2 * k + word) * 16);
          for (int p = 0; p < FEW_ROWS / 2; p++) sums[t][p] = vmmlaq_s32(sums[t][p], codes[p][word][k], v);
        }
  }
#pragma GCC unroll 2
  for (int t = 0; t < pairs; t++) {
    whole[2 * t] = vuzp1q_s32(sums[t][0], sums[t][1]);
    whole[2 * t + 1] = vuzp2q_s32(sums[t][0], sums[t][1]);
  }
}

static void i8mm_product(const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out,
                         ptrdiff_t stride, int add) {
  static const Times times[] = {i8mm_times_1, i8mm_times_2, i8mm_times_3, i8mm_times_4};
  static const Kind kind = {.group = 2,
                            .most = TOKEN_PAIRS,
                            .unpack = i8mm_unpack,
                            .times = times,
                            .settle = i8mm_settle,
                            .few = i8mm_few};
  product_of(&kind, w, x, tokens, n0, n1, out, stride, add);
}

static void i8mm_round(const float *x, int cols, const Rounded *to, int t) { round_128(2, x, cols, to, t); }

static int i8mm_here(void) { return has_i8mm(); }

const Cpu cpu_i8mm = {
    .name = "i8mm",
    .lanes = LANES,
    .here = i8mm_here,
    .product = i8mm_product,
    .product_by_row = i8mm_product_by_row,
    .layer_norm = i8mm_layer_norm,
    .rms_norm = i8mm_rms_norm,
    .round = i8mm_round,
    .round_by_row = i8mm_round_by_row,
    .pack = i8mm_pack,
    .attend_heads = i8mm_attend_heads,
    .attend_keys = i8mm_attend_keys,
    .gate = i8mm_gate,
    .rotate = i8mm_rotate,
};
TARGET_END
#else
const Cpu cpu_i8mm = {.name = "i8mm"};
#endif
