/* What CPUs with 256-bit vectors do alike; each such CPU's file includes this after its target. */
#define LANES 8
#include "vectors.h"

INLINE Floats load_halves(const void *from) { return (Floats)_mm256_cvtph_ps(_mm_loadu_si128(from)); }

INLINE void save_halves(void *to, Floats v) {
  _mm_storeu_si128(to, _mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT));
}

INLINE Floats load_codes(const void *from) {
  return (Floats)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadu_si64(from)));
}

INLINE void save_codes(void *to, Floats whole) {
  const __m256i v = _mm256_cvtps_epi32((__m256)whole);
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  _mm_storel_epi64(to, _mm_packs_epi16(words, words));
}

#include "rows.h"

INLINE __m256i vector(const void *from, int number) {
  return _mm256_loadu_si256((const __m256i *)from + number);
}

INLINE __m256i low_halves(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
INLINE __m256i high_halves(__m256i v) { return low_halves(_mm256_srli_epi16(v, 4)); }

/* Have the compiler take `v` from a register: GCC 12 would otherwise keep in memory what it computes early. */
INLINE __m256i in_register(__m256i v) {
  __asm__("" : "+x"(v));
  return v;
}

/* 64 bytes of 4-bit codes as 4 vectors: even and odd values of the first 64, and of the others. */
INLINE void split_halves(const uint8_t *from, __m256i *to) {
  const __m256i first = in_register(vector(from, 0)), second = in_register(vector(from, 1));
  to[0] = low_halves(first), to[1] = high_halves(first);
  to[2] = low_halves(second), to[3] = high_halves(second);
}

INLINE float largest_lane(__m256 v) {
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}

INLINE int32_t sum_of_lanes(__m256i v) {
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1)));
}

/* 8 floats of a step, to the nearest whole number, halves to even; what is no number has no code. */
INLINE __m256i rounded(__m256 x, __m256 inverse) {
  const __m256 value = _mm256_mul_ps(x, inverse);
  const __m256 most = _mm256_set1_ps(127.0f), least = _mm256_set1_ps(-127.0f);
  const __m256 some = _mm256_and_ps(value, _mm256_cmp_ps(value, value, _CMP_ORD_Q));
  return _mm256_cvtps_epi32(_mm256_max_ps(_mm256_min_ps(some, most), least));
}

/* Vectors of two numbers of 16 bits by turns, or of numbers of 32: half as many of both vectors, by turns. */
INLINE __m256i by_turns_32(__m256i a, __m256i b) {
  return _mm256_add_epi16(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
}
INLINE __m256i by_turns_64(__m256i a, __m256i b) {
  return _mm256_add_epi16(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}

/* What each value is times 8, to be taken off beforehand where codes of 4 bits, 8 too high, are added up in 16 bits:
   for the first and second 64 values of a block in the order of `nibble_order`, and then of `plain`, one number for
   those that are first or second of four and one for those that are third or fourth. */
INLINE void write_starts(const int8_t *halves, const int8_t *plain, int32_t *to) {
  const __m256i ones = _mm256_set1_epi8(1);
  __m256i v[4];
  for (int i = 0; i < 4; i++) {
    const int8_t *from = (i < 2 ? halves : plain) + i % 2 * 64;
    v[i] = _mm256_add_epi16(_mm256_maddubs_epi16(ones, vector(from, 0)),
                            _mm256_maddubs_epi16(ones, vector(from, 1)));
  }
  const __m256i all_four = by_turns_64(by_turns_32(v[0], v[1]), by_turns_32(v[2], v[3]));
  const __m128i sums = _mm_add_epi16(_mm256_castsi256_si128(all_four), _mm256_extracti128_si256(all_four, 1));
  _mm_storeu_si128((__m128i *)to, _mm_sub_epi16(_mm_setzero_si128(), _mm_slli_epi16(sums, 3)));
}

/* As rows_round, and to the same bits, with the even and odd values of 8 apart in `nibble_order`. */
INLINE void round_256(const int with_starts, const float *from, int cols, const Rounded *to, int t) {
  const __m256i in_order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i apart = _mm256_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15, /* twice */
                                         0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
  const __m256 sign = _mm256_set1_ps(-0.0f);
  for (int b = 0; b * BLOCK < cols; b++) {
    const ptrdiff_t at = (ptrdiff_t)b * to->padded_tokens + t;
    const float *x = from + b * BLOCK;
    float last[BLOCK] = {0};
    if (cols - b * BLOCK < BLOCK) x = memcpy(last, x, sizeof(float) * (size_t)(cols - b * BLOCK));
    __m256 top = _mm256_setzero_ps();
    for (int i = 0; i < BLOCK;
         i += LANES) /* in this order, as the second is what a maximum with no number is */
      top = _mm256_max_ps(_mm256_andnot_ps(sign, _mm256_loadu_ps(x + i)), top);
    const float scale = scale_of(largest_lane(top));
    const __m256 inverse = _mm256_set1_ps(scale > 0 ? 1.0f / scale : 0);
    __m256i sum = _mm256_setzero_si256();
    for (int i = 0; i < BLOCK; i += 4 * LANES) {
      __m256i v[4];
      for (int k = 0; k < 4; k++) v[k] = rounded(_mm256_loadu_ps(x + i + k * LANES), inverse);
      sum =
          _mm256_add_epi32(sum, _mm256_add_epi32(_mm256_add_epi32(v[0], v[1]), _mm256_add_epi32(v[2], v[3])));
      const __m256i words =
          _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
      const __m256i bytes = _mm256_permutevar8x32_epi32(words, in_order);
      _mm256_storeu_si256((__m256i *)(to->plain + at * BLOCK + i), bytes);
      _mm256_storeu_si256((__m256i *)(to->nibble_order + at * BLOCK + i), _mm256_shuffle_epi8(bytes, apart));
    }
    if (with_starts) write_starts(to->nibble_order + at * BLOCK, to->plain + at * BLOCK, to->starts + 4 * at);
    to->scales[at] = scale;
    to->sums[at] = sum_of_lanes(sum);
  }
}
