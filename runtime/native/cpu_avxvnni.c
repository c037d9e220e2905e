/* x86-64 with AVX2 and AVX-VNNI, as laptops have it: vpdpbusd adds 4 products of unsigned codes and signed
   values to each of 8 whole sums (32 of at most 255 * 127 are far below 2^31). What the codes stand too
   high is taken off as the sum of the values, an eighth in each lane; to have whole eighths, a lane's
   share is once the sum for 4 bits, whose codes are 8 too high, and 16 times for 8 bits, which are 128. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma,f16c,avxvnni")
#include <cpuid.h>

#include "wide256.h"

/* Leaf 7, page 1: GCC 12 has no name for it here. */
static int here(void) {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return cpu_avx2.here() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && a & 1u << 4;
}

typedef struct {
  __m256i vectors[4];
} Codes;

INLINE Codes codes_of(const int bits, const uint8_t *from) {
  Codes codes;
  if (bits == 4)
    split_halves(from, codes.vectors);
  else
    for (int i = 0; i < 4; i++) codes.vectors[i] = vector(from, i);
  return codes;
}

INLINE __m256i dot(__m256i sum, __m256i codes, __m256i values) {
  return _mm256_dpbusd_avx_epi32(sum, codes, values);
}

INLINE Numbers whole_of(const int bits, const Codes *codes, const int8_t *values, int32_t sum) {
  const __m256i *c = codes->vectors;
  __m256i whole = _mm256_set1_epi32(bits == 4 ? -sum : -16 * sum);
  whole = dot(whole, c[0], vector(values, 0));
  whole = dot(whole, c[1], vector(values, 1));
  whole = dot(whole, c[2], vector(values, 2));
  return (Numbers)dot(whole, c[3], vector(values, 3));
}

#include "products.h"

const Cpu cpu_avxvnni = {"avxvnni", LANES,    here,        product,
                         rows_norm, round_32, rows_attend, rows_gate, 0};
#else
#include "edge.h"
static int here(void) { return 0; }
const Cpu cpu_avxvnni = {"avxvnni", 1, here, 0, 0, 0, 0, 0, 0};
#endif
