/* What every CPU does alike, in the compiler's own vectors of LANES floats. Each CPU's file includes this
   after it has said what the CPU can do, and defined LANES and KIND, its name. Functions that a debugger or
   a profiler sees bear that name: OF_KIND(norm) is avx2_norm. */
#include <math.h>
#include <string.h>

#include "../edge.h"
#include "half.h"

#define INLINE static inline __attribute__((always_inline))
#define JOINED(kind, name) kind##_##name
#define JOINED_NAMES(kind, name) JOINED(kind, name) /* of what macros stand for */
#define OF_KIND(name) JOINED_NAMES(KIND, name)

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Numbers __attribute__((vector_size(4 * LANES)));

INLINE Floats load(const float *from) {
  Floats v;
  memcpy(&v, from, sizeof v);
  return v;
}

INLINE void save(float *to, Floats v) { memcpy(to, &v, sizeof v); }

INLINE Floats all(float x) { return x + (Floats){0}; }

INLINE Floats pick(Numbers which, Floats yes, Floats no) {
  return (Floats)((which & (Numbers)yes) | (~which & (Numbers)no));
}

INLINE Floats larger(Floats a, Floats b) { return pick(a > b, a, b); }

INLINE Floats between(Floats low, Floats x, Floats high) { return pick(x > high, high, larger(x, low)); }

/* e^x within 2 units in the last place, for x from -87 to 88, at which it ends: 2^n * 2^f, f in
   [-0.5, 0.5], by its series. */
INLINE Floats exponential(Floats x) {
  x = between(all(-87.0f), x, all(88.0f));
  const Floats scaled = x * 1.44269504f + 12582912.0f; /* rounds to a whole number in the low bits */
  const Floats n = scaled - 12582912.0f;
  Floats r = x - n * 0.693145752f;
  r = r - n * 1.42860677e-6f;
  Floats p = all(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  return p * (Floats)(((Numbers)scaled - 0x4b400000 + 127) << 23);
}

/* Keys whose weight is below e^-32 of the largest have none: 4096 of them are less than half a unit in
   the last place of the sum. It keeps far ones out of the slow numbers next to zero, too. */
#define FAR_BELOW (-32.0f)

/* Layer norm without bias: (x - mean) / sqrt(variance + epsilon) * weight. */
static void OF_KIND(norm)(const float *x, const float *weight, float epsilon, int width, float *out) {
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
INLINE float scale_of(float top) { return top < 1e-35f ? 0 : top / 127.0f; }

/* Round blocks to 8 bits by their largest value, to the nearest, halves to even. */
INLINE void rows_round(const float *given, int cols, const Rounded *to, int t) {
  for (int b = 0; b * BLOCK < cols; b++) {
    const ptrdiff_t at_block = (ptrdiff_t)b * to->apart + t;
    int8_t *plain = to->plain + at_block * BLOCK;
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

/* Scores of LANES heads with the keys 0 to count - 1, [key][head]; returns the largest of each head. */
INLINE Floats score_keys(const float *across, const float *keys, Floats slope, int head_size, int count,
                         float *scores) {
  enum { KEYS = 8 };
  Floats top = all(-INFINITY);
  for (int j = 0; j < count; j += KEYS) {
    const int some = count - j < KEYS ? count - j : KEYS;
    const float *k[KEYS];
    Floats sums[KEYS];
    for (int i = 0; i < KEYS; i++) {
      k[i] = keys + (ptrdiff_t)(j + (i < some ? i : 0)) * head_size;
      sums[i] = all(0);
    }
    for (int d = 0; d < head_size; d++) {
      const Floats a = load(across + d * LANES);
      for (int i = 0; i < KEYS; i++) sums[i] += k[i][d] * a;
    }
    for (int i = 0; i < some; i++) {
      const Floats score = sums[i] + slope * (float)(j + i - count + 1);
      save(scores + (ptrdiff_t)(j + i) * LANES, score);
      top = larger(top, score);
    }
  }
  return top;
}

enum { HEADS_TOGETHER = 4, GROUPS = LANES / HEADS_TOGETHER };

/* Turn scores into weights and return their sums. first[g] is the first key that has weight for any of
   the 4 heads from 4g on. */
INLINE Floats weigh_keys(float *scores, Floats top, int count, int *first) {
  Floats total = all(0);
  for (int g = 0; g < GROUPS; g++) first[g] = count; /* as it stays where numbers are none */
  for (int j = 0; j < count; j++) {
    float *score = scores + (ptrdiff_t)j * LANES;
    const Floats below = load(score) - top;
    const Floats part = pick(below >= FAR_BELOW, exponential(below), all(0));
    save(score, part);
    total += part;
    for (int g = 0; g < GROUPS; g++) {
      const float *four = score + g * HEADS_TOGETHER;
      if (first[g] == count && four[0] + four[1] + four[2] + four[3] > 0) first[g] = j;
    }
  }
  return total;
}

/* Weighted sums of values for 4 heads, numbers d0 to d0 + pieces * LANES of each. */
INLINE void sum_values(const int pieces, const float *scores, const float *values, int head_size, int from,
                       int count, int d0, const float *totals, int heads, float *out) {
  Floats sums[HEADS_TOGETHER][4];
  for (int h = 0; h < HEADS_TOGETHER; h++)
    for (int d = 0; d < pieces; d++) sums[h][d] = all(0);
  for (int j = from; j < count; j++) {
    const float *score = scores + (ptrdiff_t)j * LANES, *value = values + (ptrdiff_t)j * head_size + d0;
    for (int d = 0; d < pieces; d++) {
      const Floats v = load(value + d * LANES);
      for (int h = 0; h < HEADS_TOGETHER; h++) sums[h][d] += score[h] * v;
    }
  }
  for (int h = 0; h < HEADS_TOGETHER && h < heads; h++)
    for (int d = 0; d < pieces; d++) save(out + h * head_size + d0 + d * LANES, sums[h][d] / totals[h]);
}

/* Attention of LANES heads of the token at `position` to all keys up to its own.

   q [heads][head_size] is scaled; scratch holds LANES * (position + 1 + head_size) floats; out is as q.
   Heads are the vector: a key's number meets the same number of all queries. `heads` of them are real. */
static void OF_KIND(attend)(const float *q, const float *keys, const float *values, const float *slopes,
                            int heads, int head_size, int position, float *scratch, float *out) {
  enum { PIECES = LANES == 16 ? 4 : 2 }; /* as many sums as there are registers for */
  float *across = scratch, *scores = scratch + (ptrdiff_t)LANES * head_size;
  float totals[LANES], slope[LANES];
  const int count = position + 1;
  int first[GROUPS];
  for (int d = 0; d < head_size; d++)
    for (int h = 0; h < LANES; h++) across[d * LANES + h] = h < heads ? q[h * head_size + d] : 0;
  for (int h = 0; h < LANES; h++) slope[h] = h < heads ? slopes[h] : 0;
  const Floats top = score_keys(across, keys, load(slope), head_size, count, scores);
  save(totals, weigh_keys(scores, top, count, first));
  for (int h0 = 0; h0 < heads; h0 += HEADS_TOGETHER) {
    const int from = first[h0 / HEADS_TOGETHER], some = heads - h0;
    float *to = out + h0 * head_size;
    int d0 = 0;
    for (; d0 + PIECES * LANES <= head_size; d0 += PIECES * LANES)
      sum_values(PIECES, scores + h0, values, head_size, from, count, d0, totals + h0, some, to);
    for (; d0 + LANES <= head_size; d0 += LANES)
      sum_values(1, scores + h0, values, head_size, from, count, d0, totals + h0, some, to);
    for (; d0 < head_size; d0++) /* of heads that are no whole vectors */
      for (int h = 0; h < HEADS_TOGETHER && h < some; h++) {
        float sum = 0;
        for (int j = from; j < count; j++)
          sum += scores[(ptrdiff_t)j * LANES + h0 + h] * values[(ptrdiff_t)j * head_size + d0];
        to[h * head_size + d0] = sum / totals[h0 + h];
      }
  }
}

/* out = (silu(gate) * up) turned in pieces of turn_size; count is a multiple of that and of LANES. */
static void OF_KIND(gate)(const float *gate, const float *up, const float *turn, int turn_size, int count,
                          float *out) {
  for (int i = 0; i < count; i += LANES) {
    const Floats g = load(gate + i);
    save(out + i, g / (1.0f + exponential(-g)) * load(up + i));
  }
  if (!turn) return;
  float made[MOST_TURNED];
  for (int at = 0; at < count; at += turn_size) {
    float *to = out + at;
    memcpy(made, to, sizeof(float) * (size_t)turn_size);
    int i = 0;
    for (; i + 2 * LANES <= turn_size; i += 2 * LANES) {
      Floats a = all(0), b = all(0);
      for (int k = 0; k < turn_size; k++) {
        const float *row = turn + (ptrdiff_t)k * turn_size + i;
        a += made[k] * load(row), b += made[k] * load(row + LANES);
      }
      save(to + i, a), save(to + i + LANES, b);
    }
    for (; i < turn_size; i++) {
      float sum = 0;
      for (int k = 0; k < turn_size; k++) sum += made[k] * turn[(ptrdiff_t)k * turn_size + i];
      to[i] = sum;
    }
  }
}
