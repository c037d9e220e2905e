/* ARM of 64 bits with dot products (sdot, from ARMv8.2 on): 4 products of signed bytes added to each of 4
   whole sums at once.

   A panel is 4 rows, one a lane: a vector has 4 values of each, and meets 4 values of a token, which sdot takes out of
   a vector of 16 by itself. Half a tile is 2 panels; with 8 tokens 16 sums, 8 vectors of values and 2 of codes
   are in registers. */
#include "../cpu.h"
#if defined(__aarch64__)
#include "able_arm.h"
#include "target.h"
#define KIND neon
TARGET("arch=armv8.2-a+dotprod")

#include "panel128.h"
#include "round128.h"
#include "strip128.h"

enum { PANELS = HALF / LANES, TOKENS = 8 };

/* Vectors [BLOCK / 4][PANELS], of the values in the order of `nibble_order` or `plain`. */
INLINE void neon_unpack(const int bits, Tile *tile, int b, int half) {
  const int bytes = BLOCK * bits / 8, parts = 8 / bits; /* of 16 values each in 16 bytes */
  for (int p = 0; p < PANELS; p++)
    for (int at = 0; at < bytes; at += 16) {
      int8x16_t v[4];
      for (int r = 0; r < 4; r++) v[r] = code_bytes(tile, half * HALF + p * 4 + r, (ptrdiff_t)b * bytes + at);
      transpose_four(v);
      for (int i = 0; i < 4; i++) {
        int8x16_t codes[2];
        split(bits, v[i], codes);
        for (int k = 0; k < parts; k++)
          vst1q_s8(tile->codes[half] + ((at / 16 * parts + k) * 4 + i) * PANELS * 16 + p * 16,
                   as_signed(bits, codes[k]));
      }
    }
}

/* 4 values a row, number `lane` of 16, of a panel times `count` tokens. */
INLINE void neon_lane(const int count, const int lane, const int8_t *codes, const int8x16_t *values,
                      int32x4_t (*whole)[PANELS]) {
  for (int p = 0; p < PANELS; p++) {
    const int8x16_t c = vld1q_s8(codes + (lane * PANELS + p) * 16);
#pragma GCC unroll 8
    for (int t = 0; t < count; t++)
      whole[t][p] = lane == 0   ? vdotq_laneq_s32(whole[t][p], c, values[t], 0)
                    : lane == 1 ? vdotq_laneq_s32(whole[t][p], c, values[t], 1)
                    : lane == 2 ? vdotq_laneq_s32(whole[t][p], c, values[t], 2)
                                : vdotq_laneq_s32(whole[t][p], c, values[t], 3);
  }
}

INLINE void neon_times(const int count, const int8_t *codes, const int8_t *values, const float *scales,
                       const float *token_scales, float *sums) {
  int32x4_t whole[TOKENS][PANELS];
#pragma GCC unroll 8
  for (int t = 0; t < count; t++)
    for (int p = 0; p < PANELS; p++) whole[t][p] = vdupq_n_s32(0);
  for (int i = 0; i < BLOCK; i += 16, codes += 4 * PANELS * 16) {
    int8x16_t v[TOKENS];
#pragma GCC unroll 8
    for (int t = 0; t < count; t++) v[t] = vld1q_s8(values + t * BLOCK + i);
    neon_lane(count, 0, codes, v, whole), neon_lane(count, 1, codes, v, whole);
    neon_lane(count, 2, codes, v, whole), neon_lane(count, 3, codes, v, whole);
  }
#pragma GCC unroll 8
  for (int t = 0; t < count; t++)
    for (int p = 0; p < PANELS; p++, sums += LANES) {
      const float32x4_t both = vmulq_n_f32(vld1q_f32(scales + p * LANES), token_scales[t]);
      vst1q_f32(sums, add_scaled(vld1q_f32(sums), whole[t][p], both));
    }
}

#define NEON_TIMES(count)                                                                        \
  static void neon_times_##count(const int8_t *codes, const int8_t *values, const float *scales, \
                                 const float *token_scales, float *sums) {                       \
    neon_times(count, codes, values, scales, token_scales, sums);                                \
  }
NEON_TIMES(1)
NEON_TIMES(2)
NEON_TIMES(3)
NEON_TIMES(4)
NEON_TIMES(5)
NEON_TIMES(6)
NEON_TIMES(7)
NEON_TIMES(8)

/* A row's whole sum is in 4 lanes, which are added at the block's end: exact as well. */
INLINE void neon_few(const int bits, const int tokens, const Tile *tile, const int8_t *values, int b,
                     int32x4_t *whole) {
  const int bytes = BLOCK * bits / 8, parts = 8 / bits;
  int32x4_t sums[FEW_TOKENS][FEW_ROWS];
#pragma GCC unroll 4
  for (int t = 0; t < tokens; t++)
    for (int r = 0; r < FEW_ROWS; r++) sums[t][r] = vdupq_n_s32(0);
#pragma GCC unroll 1
  for (int at = 0; at < bytes; at += 16) {
    int8x16_t codes[FEW_ROWS][2];
    for (int r = 0; r < FEW_ROWS; r++) split(bits, code_bytes(tile, r, (ptrdiff_t)b * bytes + at), codes[r]);
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++)
      for (int k = 0; k < parts; k++) {
        const int8x16_t v = vld1q_s8(values + t * BLOCK + at * parts + 16 * k);
        for (int r = 0; r < FEW_ROWS; r++) sums[t][r] = vdotq_s32(sums[t][r], codes[r][k], v);
      }
  }
#pragma GCC unroll 4
  for (int t = 0; t < tokens; t++)
    whole[t] = vpaddq_s32(vpaddq_s32(sums[t][0], sums[t][1]), vpaddq_s32(sums[t][2], sums[t][3]));
}

static void neon_product(const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out,
                         ptrdiff_t stride, int add) {
  static const Times times[] = {neon_times_1, neon_times_2, neon_times_3, neon_times_4,
                                neon_times_5, neon_times_6, neon_times_7, neon_times_8};
  static const Kind kind = {
      .group = 1, .most = TOKENS, .unpack = neon_unpack, .times = times, .few = neon_few};
  product_of(&kind, w, x, tokens, n0, n1, out, stride, add);
}

static void neon_round(const float *x, int cols, const Rounded *to, int t) { round_128(1, x, cols, to, t); }

static int neon_here(void) { return has_dotprod(); }

const Cpu cpu_neon = {
    .name = "neon",
    .lanes = LANES,
    .here = neon_here,
    .product = neon_product,
    .product_by_row = neon_product_by_row,
    .layer_norm = neon_layer_norm,
    .rms_norm = neon_rms_norm,
    .round = neon_round,
    .round_by_row = neon_round_by_row,
    .pack = neon_pack,
    .attend_heads = neon_attend_heads,
    .attend_keys = neon_attend_keys,
    .gate = neon_gate,
    .rotate = neon_rotate,
};
TARGET_END
#else
const Cpu cpu_neon = {.name = "neon"};
#endif
