/* x86-64 with AVX2 and AVX-VNNI, as laptops have it: vpdpbusd adds 4 products of unsigned codes and signed values to
   each of 8 whole sums (32 of at most 255 * 127 are far below 2^31). What codes stand too high, times the sum of
   values, is where a sum begins. */
#if defined(__x86_64__)
#include "able_x86.h"
#include "target.h"
#define KIND avxvnni
TARGET("avx2,fma,f16c,avxvnni")
#include "wide256.h"

#define TOKENS 6
#define FEW 2
enum { PANELS = 2, PLANES = 1, AHEAD = 0 };
#include "tile256.h"

/* vpdpbusd of 256 bits, in words that leave GCC 12 no room to copy each sum to memory and back. */
INLINE __m256i dot(__m256i sum, __m256i codes, __m256i values) {
  __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(codes), "x"(values));
  return sum;
}

/* 16 rows times up to 6 tokens: 12 sums, 2 vectors of codes and one of values are in registers. GCC 12 keeps sums in
   memory where a loop is left. */
INLINE void dots(const int bits, const int count, const Tile *tile, const Rounded *x, ptrdiff_t at,
                 __m256i (*whole)[PANELS]) {
  const int offset = bits == 8 ? 128 : 8;
  const int8_t *values = (bits == 8 ? x->plain : x->nibble_order) + at * BLOCK;
  const __m256i *codes = (const __m256i *)tile->codes;
  __m256i a[TOKENS], b[TOKENS];
  for (int t = 0; t < count; t++) a[t] = b[t] = _mm256_set1_epi32(-offset * x->sums[at + t]);
#pragma GCC unroll 32
  for (int g = 0; g < VECTORS; g++) {
    const __m256i first = _mm256_load_si256(codes + g * PANELS);
    const __m256i second = _mm256_load_si256(codes + g * PANELS + 1);
#pragma GCC unroll 6
    for (int t = 0; t < count; t++) {
      int32_t four;
      memcpy(&four, values + t * BLOCK + 4 * g, 4);
      const __m256i v = _mm256_set1_epi32(four);
      a[t] = dot(a[t], first, v), b[t] = dot(b[t], second, v);
    }
  }
  for (int t = 0; t < count; t++) whole[t][0] = a[t], whole[t][1] = b[t];
}

INLINE void two_rows(const int bits, const int tokens, const uint8_t *first, const uint8_t *second,
                     const int8_t *values, __m256i *pairs) {
  __m256i codes[2][4];
  for (int r = 0; r < 2; r++) {
    const uint8_t *from = r ? second : first;
    if (bits == 4)
      split_halves(from, codes[r]);
    else
      for (int i = 0; i < 4; i++) codes[r][i] = vector(from, i);
  }
  for (int t = 0; t < tokens; t++, values += 2 * BLOCK) {
    __m256i a = _mm256_setzero_si256(), b = a;
    for (int i = 0; i < 4; i++)
      a = dot(a, codes[0][i], vector(values, i)), b = dot(b, codes[1][i], vector(values, i));
    pairs[t] = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
  }
}

#include "few256.h"
#include "panel256.h"

enum { BLOCKS_AT_ONCE = 2, STEP = 4 };

INLINE void begin_sums(const Rounded *x, int row, int streams, int32_t *sums) {
  (void)streams;
  for (int i = 0; i < 64; i += LANES)
    _mm256_store_si256((__m256i *)(sums + i), _mm256_set1_epi32(-128 * x->sums[row]));
}

/* 4 columns of 32 rows become 4 vectors, each with 4 values of 8 rows. Within its halves vector i has the rows 4i to
   4i + 3 of a half: sums are brought into order at the end. */
INLINE void lay_columns(const int8_t *from, ptrdiff_t stride, __m256i *to) {
  __m256i k[4];
  for (int i = 0; i < 4; i++)
    k[i] = _mm256_xor_si256(vector(from + i * stride, 0), _mm256_set1_epi8((char)128));
  const __m256i a = _mm256_unpacklo_epi8(k[0], k[1]), b = _mm256_unpacklo_epi8(k[2], k[3]);
  const __m256i c = _mm256_unpackhi_epi8(k[0], k[1]), d = _mm256_unpackhi_epi8(k[2], k[3]);
  to[0] = _mm256_unpacklo_epi16(a, b), to[1] = _mm256_unpackhi_epi16(a, b);
  to[2] = _mm256_unpacklo_epi16(c, d), to[3] = _mm256_unpackhi_epi16(c, d);
}

INLINE void in_order(int32_t *sums) {
  for (int half = 0; half < 2; half++, sums += 32) {
    __m256i v[4];
    for (int i = 0; i < 4; i++) v[i] = _mm256_load_si256((const __m256i *)(sums + i * LANES));
    for (int i = 0; i < 2; i++) {
      _mm256_store_si256((__m256i *)(sums + i * LANES),
                         _mm256_permute2x128_si256(v[2 * i], v[2 * i + 1], 0x20));
      _mm256_store_si256((__m256i *)(sums + (2 + i) * LANES),
                         _mm256_permute2x128_si256(v[2 * i], v[2 * i + 1], 0x31));
    }
  }
}

INLINE __m256i add_step(__m256i sum, __m256i codes, __m256i values) { return dot(sum, codes, values); }
INLINE const void *values_at(const Rounded *x, ptrdiff_t at) { return x->plain + at; }

#include "strip256.h"

static void avxvnni_round_by_row(const float *x, int cols, const Rounded *to, int t) {
  round_terms(x, cols, to, t);
}

static void avxvnni_round(const float *x, int cols, const Rounded *to, int t) {
  round_256(0, x, cols, to, t);
}

static int avxvnni_here(void) {
  const Features f = features_here();
  return has_avxvnni(&f);
}

const Cpu cpu_avxvnni = {
    .name = "avxvnni",
    .lanes = LANES,
    .here = avxvnni_here,
    .product = avxvnni_product,
    .product_by_row = avxvnni_product_by_row,
    .layer_norm = avxvnni_layer_norm,
    .rms_norm = avxvnni_rms_norm,
    .round = avxvnni_round,
    .round_by_row = avxvnni_round_by_row,
    .pack = avxvnni_pack,
    .attend_heads = avxvnni_attend_heads,
    .attend_keys = avxvnni_attend_keys,
    .gate = avxvnni_gate,
    .rotate = avxvnni_rotate,
    .arrange = avxvnni_arrange,
    .arranged_tokens = FEW,
};
TARGET_END
#else
#include "../cpu.h"
const Cpu cpu_avxvnni = {.name = "avxvnni"};
#endif
