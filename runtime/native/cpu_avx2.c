/* x86-64 with AVX2, FMA and F16C, without VNNI.

   4 bits: a byte's halves are 0 to 15 and meet 8-bit values of -127 to 127. vpmaddubsw adds two such
   products in 16 bits; four of its results are added before they are widened: 4 * 2 * 15 * 127 =
   15,240 is below 32,767, so nothing is ever cut off. The 8 that each code stands too high is taken
   off as the sum of the values, once in each of the 8 lanes.

   8 bits: codes less 128 and values are widened to 16 bits, where vpmaddwd is exact. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma,f16c")
#include "wide256.h"

static int here(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c");
}

typedef struct {
  __m256i four[4];
  const uint8_t *eight;
} Codes;

INLINE Codes codes_of(const int bits, const uint8_t *from) {
  Codes codes = {.eight = from};
  if (bits == 4) split_halves(from, codes.four);
  return codes;
}

INLINE Numbers whole_of(const int bits, const Codes *codes, const int8_t *values, int32_t sum) {
  const __m256i ones = _mm256_set1_epi16(1), high = _mm256_set1_epi16(128);
  if (bits == 4) {
    const __m256i *c = codes->four;
    __m256i p = _mm256_maddubs_epi16(c[0], vector(values, 0));
    __m256i q = _mm256_maddubs_epi16(c[1], vector(values, 1));
    p = _mm256_add_epi16(p, _mm256_maddubs_epi16(c[2], vector(values, 2)));
    q = _mm256_add_epi16(q, _mm256_maddubs_epi16(c[3], vector(values, 3)));
    const __m256i whole = _mm256_madd_epi16(_mm256_add_epi16(p, q), ones);
    return (Numbers)_mm256_sub_epi32(whole, _mm256_set1_epi32(sum));
  }
  __m256i whole = _mm256_setzero_si256();
  for (int i = 0; i < BLOCK; i += 16) {
    const __m128i code = _mm_loadu_si128((const __m128i *)(codes->eight + i));
    const __m128i value = _mm_loadu_si128((const __m128i *)(values + i));
    const __m256i centred = _mm256_sub_epi16(_mm256_cvtepu8_epi16(code), high);
    whole = _mm256_add_epi32(whole, _mm256_madd_epi16(centred, _mm256_cvtepi8_epi16(value)));
  }
  return (Numbers)whole;
}

#include "products.h"

const Cpu cpu_avx2 = {"avx2", LANES, here, product, rows_norm, round_32, rows_attend, rows_gate, 0};
#else
#include "edge.h"
static int here(void) { return 0; }
const Cpu cpu_avx2 = {"avx2", 1, here, 0, 0, 0, 0, 0, 0};
#endif
