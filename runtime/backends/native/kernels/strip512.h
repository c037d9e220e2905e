/* Strips for 512-bit vectors, see strip.h: 4 columns of 64 rows become 4 vectors, each with 4 values of each of 16 rows.

   Within its quarters vector i has the rows 4i to 4i + 3 of the strip's quarters: unpacking goes no further, and sums are
   brought into order at the end. */

#include "asked.h"

/* Columns 4g to 4g + 3 as vectors; `flip` makes signed codes stand 128 too high. */
INLINE void read_columns(const int8_t *from, ptrdiff_t stride, const int flip, __m512i *to) {
  const __m512i sign = _mm512_set1_epi8((char)128);
  __m512i k[4];
  for (int i = 0; i < 4; i++) {
    k[i] = _mm512_loadu_si512(from + i * stride);
    if (flip) k[i] = _mm512_xor_si512(k[i], sign);
  }
  const __m512i a = _mm512_unpacklo_epi8(k[0], k[1]), b = _mm512_unpacklo_epi8(k[2], k[3]);
  const __m512i c = _mm512_unpackhi_epi8(k[0], k[1]), d = _mm512_unpackhi_epi8(k[2], k[3]);
  to[0] = _mm512_unpacklo_epi16(a, b), to[1] = _mm512_unpackhi_epi16(a, b);
  to[2] = _mm512_unpacklo_epi16(c, d), to[3] = _mm512_unpackhi_epi16(c, d);
}

/* The same in memory, `apart` bytes from one another. */
INLINE void lay_columns(const int8_t *from, ptrdiff_t stride, const int flip, uint8_t *to, int apart) {
  __m512i v[4];
  read_columns(from, stride, flip, v);
  for (int i = 0; i < 4; i++) _mm512_store_si512(to + i * apart, v[i]);
}

/* 16 columns of a strip, as they are read, times `count` rows of activations. */
INLINE void times_slab(const int count, const int8_t *from, ptrdiff_t stride, ptrdiff_t ahead,
                       const Rounded *x, ptrdiff_t at, int32_t (*sums)[4 * LANES]) {
  const int8_t *values = x->plain + at;
  __m512i s[4][4];
#pragma GCC unroll 4
  for (int t = 0; t < count; t++)
    for (int p = 0; p < 4; p++) s[t][p] = _mm512_load_si512(sums[t] + p * LANES);
#pragma GCC unroll 4
  for (int k = 0; k < 16; k += 4) {
    __m512i codes[4];
    for (int c = 0; c < 4; c++) _mm_prefetch((const char *)from + (k + c) * stride + ahead, _MM_HINT_T0);
    read_columns(from + k * stride, stride, 1, codes);
#pragma GCC unroll 4
    for (int t = 0; t < count; t++) {
      int32_t four;
      memcpy(&four, values + t * BLOCK + k, 4);
      const __m512i v = _mm512_set1_epi32(four);
      for (int p = 0; p < 4; p++) dot(&s[t][p], codes[p], v);
    }
  }
#pragma GCC unroll 4
  for (int t = 0; t < count; t++)
    for (int p = 0; p < 4; p++) _mm512_store_si512(sums[t] + p * LANES, s[t][p]);
}

INLINE Floats multiplied_added(Floats a, Floats b, Floats c) {
  return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

/* Quarters of 4 vectors become vectors. */
INLINE void in_order(int32_t *sums) {
  __m512i v[4];
  for (int i = 0; i < 4; i++) v[i] = _mm512_load_si512(sums + i * LANES);
  const __m512i a = _mm512_shuffle_i32x4(v[0], v[1], 0x44), b = _mm512_shuffle_i32x4(v[2], v[3], 0x44);
  const __m512i c = _mm512_shuffle_i32x4(v[0], v[1], 0xee), d = _mm512_shuffle_i32x4(v[2], v[3], 0xee);
  _mm512_store_si512(sums, _mm512_shuffle_i32x4(a, b, 0x88));
  _mm512_store_si512(sums + LANES, _mm512_shuffle_i32x4(a, b, 0xdd));
  _mm512_store_si512(sums + 2 * LANES, _mm512_shuffle_i32x4(c, d, 0x88));
  _mm512_store_si512(sums + 3 * LANES, _mm512_shuffle_i32x4(c, d, 0xdd));
}
