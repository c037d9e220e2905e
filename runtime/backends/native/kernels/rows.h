/* What every CPU does alike with rows of floats. Each CPU's file includes this after vectors.h, and after it has said how
   numbers of caches are converted (kv_rows.h). */
#include "kv_rows.h"
#include "attention.h"
#include "gate.h"
#include "by_row.h"

/* Sums of a row are those of 16 lanes, whatever LANES is, so that all kinds add in one order. In vectors by hand, with
   each square beside its sum: elsewhere compilers decide here and there whether they round once or twice. */
enum { SUM_LANES = 16, SUM_VECTORS = SUM_LANES / LANES };

/* The numbers of a row from i to its end, less `mean`, and zeros behind it. */
INLINE void last_numbers(const float *x, int i, int width, float mean, float *to) {
  for (int l = 0; l < SUM_LANES; l++) to[l] = 0;
  for (int l = 0; i + l < width; l++) to[l] = x[i + l] - mean;
}

INLINE float sum_of_vectors(const Floats *vectors) {
  float lanes[SUM_LANES], sum = 0;
  for (int v = 0; v < SUM_VECTORS; v++) save(lanes + v * LANES, vectors[v]);
  for (int l = 0; l < SUM_LANES; l++) sum += lanes[l];
  return sum;
}

INLINE float mean_of(const float *x, int width) {
  Floats sums[SUM_VECTORS] = {0};
  float last[SUM_LANES];
  int i = 0;
  for (; i + SUM_LANES <= width; i += SUM_LANES)
    for (int v = 0; v < SUM_VECTORS; v++) sums[v] += load(x + i + v * LANES);
  if (i < width) {
    last_numbers(x, i, width, 0, last);
    for (int v = 0; v < SUM_VECTORS; v++) sums[v] += load(last + v * LANES);
  }
  return sum_of_vectors(sums) / (float)width;
}

INLINE float mean_of_squares(const float *x, int width, float mean) {
  Floats squares[SUM_VECTORS] = {0};
  float last[SUM_LANES];
  int i = 0;
  for (; i + SUM_LANES <= width; i += SUM_LANES)
    for (int v = 0; v < SUM_VECTORS; v++) {
      const Floats some = load(x + i + v * LANES) - mean;
      squares[v] += some * some;
    }
  if (i < width) {
    last_numbers(x, i, width, mean, last);
    for (int v = 0; v < SUM_VECTORS; v++) {
      const Floats some = load(last + v * LANES);
      squares[v] += some * some;
    }
  }
  return sum_of_vectors(squares) / (float)width;
}

/* Layer norm without bias: (x - mean) / sqrt(variance + epsilon) * weight. */
static void OF_KIND(layer_norm)(const float *x, const float *weight, float epsilon, int width, float *out) {
  const float mean = mean_of(x, width);
  const float inverse = 1.0f / sqrtf(mean_of_squares(x, width, mean) + epsilon);
  for (int i = 0; i < width; i++) out[i] = (x[i] - mean) * inverse * weight[i];
}

/* x / sqrt(mean of squares + epsilon) * weight. */
static void OF_KIND(rms_norm)(const float *x, const float *weight, float epsilon, int width, float *out) {
  const float inverse = 1.0f / sqrtf(mean_of_squares(x, width, 0) + epsilon);
  for (int i = 0; i < width; i++) out[i] = x[i] * inverse * weight[i];
}

/* Round blocks to 8 bits by their largest value, to the nearest, halves to even. */
INLINE void rows_round(const float *from, int cols, const Rounded *to, int t) {
  for (int b = 0; b * BLOCK < cols; b++) {
    const ptrdiff_t at_block = (ptrdiff_t)b * to->padded_tokens + t;
    int8_t *plain = to->plain + at_block * BLOCK;
    float last[BLOCK] = {0}, tops[16] = {0}, top = 0;
    const float *x = from + b * BLOCK;
    if (cols - b * BLOCK < BLOCK) x = memcpy(last, x, sizeof(float) * (size_t)(cols - b * BLOCK));
    for (int i = 0; i < BLOCK; i += 16)
      for (int l = 0; l < 16; l++) {
        float size = fabsf(x[i + l]);
        tops[l] = size > tops[l] ? size : tops[l];
      }
    for (int l = 0; l < 16; l++) top = tops[l] > top ? tops[l] : top;
    const float scale = scale_of(top), inverse = scale > 0 ? 1.0f / scale : 0;
    int32_t codes[BLOCK], sum = 0;
    for (int i = 0; i < BLOCK; i++) { /* adding and taking away 1.5 * 2^23 rounds */
      float value = x[i] * inverse;
      value = value > 127.0f ? 127.0f : value < -127.0f ? -127.0f : value;
      value = value == value ? value : 0; /* what is no number has no code */
      codes[i] = (int32_t)((value + 12582912.0f) - 12582912.0f);
    }
    for (int i = 0; i < BLOCK; i++) {
      sum += codes[i];
      plain[i] = (int8_t)codes[i];
    }
    to->scales[at_block] = scale;
    to->sums[at_block] = sum;
  }
}
