/* What every CPU does alike, in loops that a compiler turns into its own vectors. Each CPU's file
   includes this after it has said what the CPU can do. */
#include <math.h>
#include <string.h>

#include "edge.h"

static inline float half_to_float(uint16_t half) {
  uint32_t sign = (uint32_t)(half >> 15) << 31, exponent = (half >> 10) & 31, rest = half & 1023, bits;
  if (exponent == 31) {
    bits = sign | 0x7f800000u | rest << 13;
  } else if (exponent) {
    bits = sign | (exponent + 112) << 23 | rest << 13;
  } else { /* zero, or too small for an exponent: rest * 2^-24 */
    float value = (float)rest * 5.9604644775390625e-8f;
    return sign ? -value : value;
  }
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* e^x within 2 units in the last place, for x up to 88: 2^n * 2^f, f in [-0.5, 0.5], by its series. */
static inline float exponential(float x) {
  x = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
  float scaled = x * 1.44269504f + 12582912.0f; /* rounds to a whole number in the low bits */
  int32_t bits;
  memcpy(&bits, &scaled, sizeof bits);
  float n = scaled - 12582912.0f;
  float r = x - n * 0.693145752f;
  r = r - n * 1.42860677e-6f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  int32_t power = (bits - 0x4b400000 + 127) << 23;
  float two_n;
  memcpy(&two_n, &power, sizeof two_n);
  return p * two_n;
}

/* Keys whose weight is below e^-32 of the largest have none: 4096 of them are less than half a unit in
   the last place of the sum. It keeps far ones out of the slow numbers next to zero, too. */
#define FAR_BELOW (-32.0f)

/* Layer norm without bias: (x - mean) / sqrt(variance + epsilon) * weight. */
static inline void rows_norm(const float *x, const float *weight, float epsilon, int width, float *out) {
  float sums[16] = {0}, squares[16] = {0};
  for (int i = 0; i + 16 <= width; i += 16)
    for (int l = 0; l < 16; l++) sums[l] += x[i + l];
  float sum = 0;
  for (int l = 0; l < 16; l++) sum += sums[l];
  for (int i = width / 16 * 16; i < width; i++) sum += x[i];
  const float mean = sum / (float)width;
  for (int i = 0; i + 16 <= width; i += 16)
    for (int l = 0; l < 16; l++) squares[l] += (x[i + l] - mean) * (x[i + l] - mean);
  float square = 0;
  for (int l = 0; l < 16; l++) square += squares[l];
  for (int i = width / 16 * 16; i < width; i++) square += (x[i] - mean) * (x[i] - mean);
  const float inverse = 1.0f / sqrtf(square / (float)width + epsilon);
  for (int i = 0; i < width; i++) out[i] = (x[i] - mean) * inverse * weight[i];
}

/* The step between rounded values; 0 where all are so near to zero that a step has no inverse. */
static inline float scale_of(float top) { return top < 1e-35f ? 0 : top / 127.0f; }

/* Round blocks to 8 bits by their largest value, to the nearest, halves to even. In `halves` the even
   values of twice `span` come before the odd ones: as many as this CPU takes out of bytes at once. */
static inline __attribute__((always_inline)) void rows_round(const int span, const float *given, int cols,
                                                             const Rounded *to, int t) {
  for (int b = 0; b * BLOCK < cols; b++) {
    const long at_block = (long)b * to->apart + t;
    int8_t *plain = to->plain + at_block * BLOCK, *halves = to->halves + at_block * BLOCK;
    float last[BLOCK] = {0}, tops[16] = {0}, top = 0;
    const float *x = given + b * BLOCK;
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
      codes[i] = (int32_t)((value + 12582912.0f) - 12582912.0f);
    }
    for (int i = 0; i < BLOCK; i++) {
      sum += codes[i];
      plain[i] = (int8_t)codes[i];
    }
    for (int at = 0; at < BLOCK; at += 2 * span)
      for (int i = 0; i < span; i++) {
        halves[at + i] = plain[at + 2 * i];
        halves[at + span + i] = plain[at + 2 * i + 1];
      }
    to->scales[at_block] = scale;
    to->sums[at_block] = sum;
  }
}

/* Attention of 8 heads of the token at `position` to all keys up to its own.

   q [8][head_size] is scaled; scratch holds 8 * (position + 1 + head_size) floats; out [8][head_size].
   Heads are the vector: a key's number meets the same number of 8 queries. `heads` of them are real. */
static inline void rows_attend(const float *q, const float *keys, const float *values, const float *slopes,
                        int heads, int head_size, int position, float *scratch, float *out) {
  enum { H = 8, J = 4 };
  float *across = scratch, *scores = scratch + (long)H * head_size;
  float slope[H], top[H], total[H];
  for (int h = 0; h < H; h++) {
    slope[h] = h < heads ? slopes[h] : 0;
    top[h] = -INFINITY;
    total[h] = 0;
    for (int d = 0; d < head_size; d++) across[d * H + h] = h < heads ? q[h * head_size + d] : 0;
  }
  const int count = position + 1;
  for (int j = 0; j < count; j += J) {
    const int some = count - j < J ? count - j : J;
    const float *k[J];
    for (int i = 0; i < J; i++) k[i] = keys + (long)(j + (i < some ? i : 0)) * head_size;
    float sums[J][H] = {{0}};
    for (int d = 0; d < head_size; d++)
      for (int i = 0; i < J; i++)
        for (int h = 0; h < H; h++) sums[i][h] += k[i][d] * across[d * H + h];
    for (int i = 0; i < some; i++)
      for (int h = 0; h < H; h++) {
        float score = sums[i][h] + slope[h] * (float)(j + i - position);
        scores[(long)(j + i) * H + h] = score;
        top[h] = score > top[h] ? score : top[h];
      }
  }
  for (int j = 0; j < count; j++)
    for (int h = 0; h < H; h++) {
      float below = scores[(long)j * H + h] - top[h];
      float part = below < FAR_BELOW ? 0.0f : exponential(below);
      scores[(long)j * H + h] = part;
      total[h] += part;
    }
  for (int h0 = 0; h0 < heads; h0 += 4)
    for (int d0 = 0; d0 < head_size; d0 += 16) {
      const int wide = head_size - d0 < 16 ? head_size - d0 : 16;
      float sums[4][16] = {{0}};
      if (wide == 16) {
        for (int j = 0; j < count; j++)
          for (int h = 0; h < 4; h++)
            for (int d = 0; d < 16; d++)
              sums[h][d] += scores[(long)j * H + h0 + h] * values[(long)j * head_size + d0 + d];
      } else {
        for (int j = 0; j < count; j++)
          for (int h = 0; h < 4; h++)
            for (int d = 0; d < wide; d++)
              sums[h][d] += scores[(long)j * H + h0 + h] * values[(long)j * head_size + d0 + d];
      }
      for (int h = 0; h < 4 && h0 + h < heads; h++)
        for (int d = 0; d < wide; d++)
          out[(h0 + h) * head_size + d0 + d] = sums[h][d] / total[h0 + h];
    }
}

/* out = (silu(gate) * up) turned in pieces of turn_size; count is a multiple of that. */
static inline void rows_gate(const float *gate, const float *up, const float *turn, int turn_size, int count,
                      float *out) {
  if (!turn) {
    for (int i = 0; i < count; i++) out[i] = gate[i] / (1.0f + exponential(-gate[i])) * up[i];
    return;
  }
  float made[MOST_TURNED];
  for (int at = 0; at < count; at += turn_size) {
    for (int i = 0; i < turn_size; i++)
      made[i] = gate[at + i] / (1.0f + exponential(-gate[at + i])) * up[at + i];
    float *to = out + at;
    for (int i = 0; i < turn_size; i++) to[i] = 0;
    for (int k = 0; k < turn_size; k++)
      for (int i = 0; i < turn_size; i++) to[i] += made[k] * turn[(long)k * turn_size + i];
  }
}
