/* What is done with one token's row, alike on all CPUs; see tokenwise.h. */
#include "tokenwise.h"

#include <math.h>
#include <string.h>

#include "kernels/half.h"

static void read_row_by_row(const Matrix *w, int64_t id, float *to) {
  const int8_t *codes = (const int8_t *)w->codes + id * w->cols;
  for (int i = 0; i < w->cols; i++) to[i] = (float)codes[i] * w->row_scales[id];
}

static void read_row_by_block(const Embed *embed, int64_t id, float *to) {
  const Matrix *w = &embed->matrix;
  const uint8_t *codes = w->codes + id * matrix_row_bytes(w, embed->padded);
  const uint16_t *scales = w->scales + id * blocks_of(w->cols);
  for (int i = 0; i < w->cols; i++) {
    const int code = w->bits == 8 ? codes[i] - 128 : ((codes[i / 2] >> 4 * (i & 1)) & 15) - 8;
    to[i] = (float)code * half_to_float(scales[i / BLOCK]);
  }
}

void embed_token(const Embed *embed, int64_t id, int position, float *to) {
  const Matrix *w = &embed->matrix;
  if (is_by_row(w))
    read_row_by_row(w, id, to);
  else
    read_row_by_block(embed, id, to);
  if (embed->scale != 1.0f)
    for (int i = 0; i < w->cols; i++) to[i] *= embed->scale;
  if (embed->positions) {
    const float *row = embed->positions + (ptrdiff_t)position * w->cols;
    for (int i = 0; i < w->cols; i++) to[i] += row[i];
  }
}

/* RMS norm of `size` numbers. */
static void norm_head(const float *weight, float epsilon, int size, float *x) {
  enum { LANES = 8 };
  float squares[LANES] = {0}, square = 0;
  int i = 0;
  for (; i + LANES <= size; i += LANES)
    for (int l = 0; l < LANES; l++) squares[l] += x[i + l] * x[i + l];
  for (int l = 0; l < LANES; l++) square += squares[l];
  for (; i < size; i++) square += x[i] * x[i];
  const float inverse = 1.0f / sqrtf(square / (float)size + epsilon);
  for (i = 0; i < size; i++) x[i] = x[i] * inverse * weight[i];
}

void norm_heads(const NormHeads *norm, float *row) {
  const Heads *h = &norm->heads;
  for (int i = 0; i < h->heads; i++) norm_head(norm->weight, norm->epsilon, h->size, row + i * h->size);
}

void rotate_heads(const Rotary *rotary, int position, float *row) {
  const Heads *h = &rotary->heads;
  const int half = rotary->dims / 2;
  const float *cosines = rotary->cosines + (ptrdiff_t)position * half;
  const float *sines = rotary->sines + (ptrdiff_t)position * half;
  for (int i = 0; i < h->heads; i++) {
    float *x = row + i * h->size, *y = x + half;
    for (int d = 0; d < half; d++) {
      const float a = x[d], b = y[d];
      x[d] = a * cosines[d] - b * sines[d];
      y[d] = b * cosines[d] + a * sines[d];
    }
  }
}
