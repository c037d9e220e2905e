/* Plain C: right on any CPU, and what the others are compared with. */
#define LANES 4
#include "rows.h"

static int anywhere(void) { return 1; }

static void round_plain(const float *x, int cols, const Rounded *to, int t) {
  rows_round(1, x, cols, to, t);
}

static void product(const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out,
                    long stride, int add) {
  const int blocks = blocks_of(w->cols), bytes = BLOCK * w->bits / 8;
  for (int n = n0; n < n1; n++)
    for (int t = 0; t < tokens; t++) {
      float sum = 0;
      for (int b = 0; b < blocks; b++) {
        const long at = (long)b * x->apart + t, row = (long)n * blocks + b;
        const uint8_t *codes = w->codes + row * bytes;
        const int8_t *values = x->plain + at * BLOCK;
        int32_t whole = 0;
        for (int i = 0; i < BLOCK; i++) {
          const int code = w->bits == 8 ? codes[i] : (codes[i / 2] >> 4 * (i & 1)) & 15;
          whole += code * values[i];
        }
        whole -= x->sums[at] * (w->bits == 8 ? 128 : 8);
        sum += (float)whole * (half_to_float(w->scales[row]) * x->scales[at]);
      }
      float *to = out + t * stride + n;
      *to = add ? *to + sum : sum;
    }
}

const Cpu cpu_portable = {"portable", LANES,          anywhere,    product,
                          rows_norm,  round_plain, rows_attend, rows_gate, 0};
