/* Plain C: right on any CPU, and what the others are compared with, to the last bit. */
#define KIND portable
#define LANES 4
#include "vectors.h"

INLINE Floats load_halves(const void *from) {
  uint16_t halves[LANES];
  Floats v;
  memcpy(halves, from, sizeof halves);
  for (int l = 0; l < LANES; l++) v[l] = half_to_float(halves[l]);
  return v;
}

INLINE void save_halves(void *to, Floats v) {
  uint16_t halves[LANES];
  for (int l = 0; l < LANES; l++) halves[l] = float_to_half(v[l]);
  memcpy(to, halves, sizeof halves);
}

INLINE Floats load_codes(const void *from) {
  const int8_t *codes = from;
  Floats v;
  for (int l = 0; l < LANES; l++) v[l] = (float)codes[l];
  return v;
}

INLINE void save_codes(void *to, Floats whole) {
  int8_t *codes = to;
  for (int l = 0; l < LANES; l++) codes[l] = (int8_t)whole[l];
}

#include "rows.h"

static int portable_here(void) { return 1; }

static void portable_round(const float *x, int cols, const Rounded *to, int t) { rows_round(x, cols, to, t); }

static void portable_product(const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out,
                             ptrdiff_t stride, int add) {
  const int blocks = blocks_of(w->cols), bytes = BLOCK * w->bits / 8;
  for (int n = n0; n < n1; n++)
    for (int t = 0; t < tokens; t++) {
      float sum = 0;
      for (int b = 0; b < blocks; b++) {
        const ptrdiff_t at = (ptrdiff_t)b * x->padded_tokens + t, row = (ptrdiff_t)n * blocks + b;
        const uint8_t *codes = w->codes + row * bytes;
        const int8_t *values = x->plain + at * BLOCK;
        int32_t whole = 0;
        for (int i = 0; i < BLOCK; i++) {
          const int code = w->bits == 8 ? codes[i] : (codes[i / 2] >> 4 * (i & 1)) & 15;
          whole += code * values[i];
        }
        whole -= x->sums[at] * (w->bits == 8 ? 128 : 8);
        sum = fmaf((float)whole, half_to_float(w->scales[row]) * x->scales[at], sum);
      }
      float *to = out + t * stride + n;
      *to = add ? *to + sum : sum;
    }
}

static void portable_round_by_row(const float *x, int cols, const Rounded *to, int t) {
  round_terms(x, cols, to, t);
}

static void portable_product_by_row(const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out,
                                    ptrdiff_t stride, int add) {
  const int8_t *codes = (const int8_t *)w->codes;
  for (int t = 0; t < tokens; t++)
    for (int n = n0; n < n1; n++) {
      float *to = out + t * stride + n, sum = add ? *to : 0;
      for (int row = t * x->terms; row < (t + 1) * x->terms; row++) {
        int32_t whole = 0;
        for (int k = 0; k < w->cols; k++) whole += codes[(ptrdiff_t)k * w->rows + n] * *plain_at(x, row, k);
        sum = fmaf((float)whole, w->row_scales[n] * x->scales[row], sum);
      }
      *to = sum;
    }
}

const Cpu cpu_portable = {
    .name = "portable",
    .lanes = LANES,
    .here = portable_here,
    .product = portable_product,
    .product_by_row = portable_product_by_row,
    .layer_norm = portable_layer_norm,
    .rms_norm = portable_rms_norm,
    .round = portable_round,
    .round_by_row = portable_round_by_row,
    .pack = portable_pack,
    .attend_heads = portable_attend_heads,
    .attend_keys = portable_attend_keys,
    .gate = portable_gate,
    .rotate = portable_rotate,
};
