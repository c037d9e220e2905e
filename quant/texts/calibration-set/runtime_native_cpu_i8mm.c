/* ARM of 64 bits with products of small matrices (smmla, from ARMv8.6 on): 2 rows times 2 tokens, 8 products
   each, added to 4 whole sums at once.

   Rows and tokens are taken in pairs: of 8 bytes of one and 8 of the other a vector is made. The sums of a
   block are those of both rows with both tokens, and become the 4 lanes of floats, block after block. A row or
   a token that has no partner is its own. */
#if defined(__aarch64__)
#pragma GCC target("arch=armv8.2-a+dotprod+i8mm")
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif

#define LANES 4
#include "rows.h"

enum { MOST_PAIRS = 4 };

static int here(void) {
#if defined(__linux__)
  return cpu_neon.here() && (getauxval(AT_HWCAP2) >> 13 & 1); /* HWCAP2_I8MM */
#else
  return 0;
#endif
}

INLINE int8x16_t first_halves(int8x16_t a, int8x16_t b) {
  return vcombine_s8(vget_low_s8(a), vget_low_s8(b));
}

INLINE int8x16_t second_halves(int8x16_t a, int8x16_t b) {
  return vcombine_s8(vget_high_s8(a), vget_high_s8(b));
}

/* Signed codes of a block, even values of 32 and then odd ones where they have 4 bits. */
INLINE void signed_codes(const int bits, const uint8_t *from, int8x16_t *to) {
  for (int i = 0; i < 8; i++)
    if (bits == 8) {
      to[i] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(from + 16 * i), vdupq_n_u8(128)));
    } else {
      const uint8x16_t both = vld1q_u8(from + 16 * (i / 2));
      const uint8x16_t code = i % 2 ? vshrq_n_u8(both, 4) : vandq_u8(both, vdupq_n_u8(15));
      to[i] = vsubq_s8(vreinterpretq_s8_u8(code), vdupq_n_s8(8));
    }
}

/* Two rows times `pairs` pairs of tokens from t on; pairs is known to the compiler. */
INLINE void two_rows(const int bits, const int pairs, const Matrix *w, const Rounded *x, int n, int m, int t,
                     int tokens, float *out, long stride, int add) {
  const int blocks = blocks_of(w->cols), bytes = BLOCK * bits / 8;
  const int8_t *values = bits == 8 ? x->plain : x->halves;
  float32x4_t sums[MOST_PAIRS];
  int one[MOST_PAIRS], other[MOST_PAIRS];
  for (int p = 0; p < pairs; p++) {
    sums[p] = vdupq_n_f32(0);
    one[p] = t + 2 * p;
    other[p] = t + 2 * p + 1 < tokens ? t + 2 * p + 1 : t + 2 * p;
  }
  for (int b = 0; b < blocks; b++) {
    const long row = (long)n * blocks + b, row2 = (long)m * blocks + b, at = (long)b * x->apart;
    int8x16_t codes[8], codes2[8];
    signed_codes(bits, w->codes + row * bytes, codes);
    signed_codes(bits, w->codes + row2 * bytes, codes2);
    int32x4_t whole[MOST_PAIRS];
    for (int p = 0; p < pairs; p++) whole[p] = vdupq_n_s32(0);
    for (int i = 0; i < 8; i++) {
      const int8x16_t first = first_halves(codes[i], codes2[i]);
      const int8x16_t second = second_halves(codes[i], codes2[i]);
      for (int p = 0; p < pairs; p++) {
        const int8x16_t a = vld1q_s8(values + (at + one[p]) * BLOCK + 16 * i);
        const int8x16_t c = vld1q_s8(values + (at + other[p]) * BLOCK + 16 * i);
        whole[p] = vmmlaq_s32(whole[p], first, first_halves(a, c));
        whole[p] = vmmlaq_s32(whole[p], second, second_halves(a, c));
      }
    }
    const float scale = half_to_float(w->scales[row]), scale2 = half_to_float(w->scales[row2]);
    const float32x4_t weights = {scale, scale, scale2, scale2};
    for (int p = 0; p < pairs; p++) {
      const float u = x->scales[at + one[p]], v = x->scales[at + other[p]];
      const float32x4_t both = vmulq_f32(weights, (float32x4_t){u, v, u, v});
      sums[p] = vfmaq_f32(sums[p], vcvtq_f32_s32(whole[p]), both);
    }
  }
  for (int p = 0; p < pairs; p++)
    for (int c = 0; c < 2 && one[p] + c < tokens; c++)
      for (int r = 0; r < 1 + (m != n); r++) {
        float *to = out + (one[p] + c) * stride + (r ? m : n);
        *to = add ? *to + sums[p][2 * r + c] : sums[p][2 * r + c];
      }
}

static void product(const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out,
                    long stride, int add) {
  for (int n = n0; n < n1; n += 2) {
    const int m = n + 1 < n1 ? n + 1 : n;
    for (int t = 0; t < tokens;) {
      if ((tokens - t + 1) / 2 >= MOST_PAIRS) {
        if (w->bits == 4)
          two_rows(4, MOST_PAIRS, w, x, n, m, t, tokens, out, stride, add);
        else
          two_rows(8, MOST_PAIRS, w, x, n, m, t, tokens, out, stride, add);
        t += 2 * MOST_PAIRS;
      } else {
        if (w->bits == 4)
          two_rows(4, 1, w, x, n, m, t, tokens, out, stride, add);
        else
          two_rows(8, 1, w, x, n, m, t, tokens, out, stride, add);
        t += 2;
      }
    }
  }
}

static void round_16(const float *x, int cols, const Rounded *to, int t) {
  rows_round(16, x, cols, to, t);
}

const Cpu cpu_i8mm = {"i8mm", LANES, here, product, rows_norm, round_16, rows_attend, rows_gate, 0};
#else
#include "edge.h"
static int here(void) { return 0; }
const Cpu cpu_i8mm = {"i8mm", 1, here, 0, 0, 0, 0, 0, 0};
#endif
