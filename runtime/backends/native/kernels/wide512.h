/* What CPUs with 512-bit vectors do alike; each such CPU's file includes this after its target.

   A panel is 16 rows, one a lane. A block of it, 128 columns, becomes 32 vectors of 4 values a row, so
   that one instruction adds 4 products to each of 16 whole sums:

     4 bits  bytes 4g to 4g + 3 of each row hold values 8g to 8g + 7: vector 2g has the even ones (low
             halves), vector 2g + 1 the odd ones
     8 bits  vector g has values 4g to 4g + 3

   Rows lie one after the other in the file; panels are made as they are used (but see few_tiles.h), in the cache
   nearest to the core, and thrown away. With one token this costs less than waiting for memory does. */
#include <immintrin.h>

#define LANES 16
#include "vectors.h"

INLINE Floats load_halves(const void *from) { return (Floats)_mm512_cvtph_ps(_mm256_loadu_si256(from)); }

INLINE void save_halves(void *to, Floats v) {
  _mm256_storeu_si256(to, _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT));
}

INLINE Floats load_codes(const void *from) {
  return (Floats)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from)));
}

INLINE void save_codes(void *to, Floats whole) {
  _mm_storeu_si128(to, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32((__m512)whole)));
}

#include "rows.h"

enum { VECTORS = BLOCK / 4 };

/* _mm512_dpbusd_epi32, in words that leave GCC 12 no room to copy each sum to memory and back. */
INLINE void dot(__m512i *sum, __m512i codes, __m512i values) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(codes), "v"(values));
}

/* 16 bytes of each of 16 rows, as 4 vectors with 4 bytes of each row in the order of rows. */
INLINE void across_rows(const uint8_t *first, ptrdiff_t apart, __m512i *out) {
  __m512i v[4];
  for (int i = 0; i < 4; i++) {
    const uint8_t *row = first + i * apart;
    v[i] = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)row));
    v[i] = _mm512_inserti32x4(v[i], _mm_loadu_si128((const __m128i *)(row + 4 * apart)), 1);
    v[i] = _mm512_inserti32x4(v[i], _mm_loadu_si128((const __m128i *)(row + 8 * apart)), 2);
    v[i] = _mm512_inserti32x4(v[i], _mm_loadu_si128((const __m128i *)(row + 12 * apart)), 3);
  }
  const __m512i a = _mm512_unpacklo_epi32(v[0], v[1]), b = _mm512_unpacklo_epi32(v[2], v[3]);
  const __m512i c = _mm512_unpackhi_epi32(v[0], v[1]), d = _mm512_unpackhi_epi32(v[2], v[3]);
  out[0] = _mm512_unpacklo_epi64(a, b), out[1] = _mm512_unpackhi_epi64(a, b);
  out[2] = _mm512_unpacklo_epi64(c, d), out[3] = _mm512_unpackhi_epi64(c, d);
}

/* One block of a panel, less `offset` (a code's zero, or 0 to leave codes unsigned), as vectors that are
   `panels` vectors apart. */
INLINE void unpack(const uint8_t *first, ptrdiff_t apart, int bits, int offset, uint8_t *to, int panels) {
  const __m512i low = _mm512_set1_epi8(15), zero = _mm512_set1_epi8((char)offset);
  __m512i v[4];
  for (int at = 0; at < BLOCK * bits / 8; at += 16) {
    across_rows(first + at, apart, v);
    for (int i = 0; i < 4; i++, to += panels * 64) {
      if (bits == 8) {
        _mm512_store_si512(to, _mm512_sub_epi8(v[i], zero));
        continue;
      }
      const __m512i high = _mm512_and_si512(_mm512_srli_epi16(v[i], 4), low);
      _mm512_store_si512(to, _mm512_sub_epi8(_mm512_and_si512(v[i], low), zero));
      to += panels * 64;
      _mm512_store_si512(to, _mm512_sub_epi8(high, zero));
    }
  }
}

/* Rows of a matrix, as many as a panel has, `step` rows apart; those beyond its end repeat the last one. */
typedef struct {
  const Matrix *w;
  int n, rows, step, blocks;
  float scales[LANES][LANES]; /* of 16 blocks: [block][row] */
} Panel;

INLINE void begin_panel(Panel *p, const Matrix *w, int n, int step) {
  const int left = (w->rows - n + step - 1) / step;
  p->w = w, p->n = n, p->step = step, p->blocks = blocks_of(w->cols);
  p->rows = left < LANES ? left : LANES;
}

INLINE void panel_codes(const Panel *p, int b, const int bits, const int offset, uint8_t *codes, int panels) {
  const int bytes = BLOCK * bits / 8;
  const ptrdiff_t row = (ptrdiff_t)p->blocks * bytes, apart = row * p->step;
  const uint8_t *first = p->w->codes + p->n * row + (ptrdiff_t)b * bytes;
  uint8_t copied[LANES * BLOCK];
  if (p->rows == LANES) {
    unpack(first, apart, bits, offset, codes, panels);
    return;
  }
  for (int r = 0; r < LANES; r++)
    memcpy(copied + r * bytes, first + (r < p->rows ? r : p->rows - 1) * apart, (size_t)bytes);
  unpack(copied, bytes, bits, offset, codes, panels);
}

/* The scales of block b; those of 16 blocks are read at a time. */
INLINE __m512 panel_scales(Panel *p, int b) {
  if (b % LANES == 0) {
    float rows[LANES][LANES];
    const int left = p->blocks - b;
    const __mmask16 there = left < LANES ? (__mmask16)((1u << left) - 1) : 0xffff;
    for (int r = 0; r < LANES; r++) {
      const int row = p->n + (r < p->rows ? r : p->rows - 1) * p->step;
      const uint16_t *from = p->w->scales + (ptrdiff_t)row * p->blocks + b;
      _mm512_storeu_ps(rows[r], _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(there, from)));
    }
    for (int i = 0; i < LANES; i += 4) {
      __m512i v[4];
      across_rows((const uint8_t *)&rows[0][i], sizeof rows[0], v);
      for (int k = 0; k < 4; k++) _mm512_storeu_si512(p->scales[i + k], v[k]);
    }
  }
  return _mm512_loadu_ps(p->scales[b % LANES]);
}

/* Ask for what is needed next, a piece of it beside each block, so that it is there then: in the cache nearest to the
   core if it is `soon`. */
INLINE void ask_for(const int soon, const uint8_t *next, const uint8_t *end, ptrdiff_t bytes) {
  for (ptrdiff_t at = 0; at < bytes && next + at < end; at += 64)
    if (soon)
      _mm_prefetch((const char *)next + at, _MM_HINT_T0);
    else
      _mm_prefetch((const char *)next + at, _MM_HINT_T1);
}

/* A token's sums with some panels, to `rows` places in a row. */
INLINE void give_panels(float (*sums)[LANES], int panels, int rows, float *out, int add) {
  for (int p = 0; p < panels; p++, out += LANES, rows -= LANES) {
    const __mmask16 there = rows >= LANES ? 0xffff : (__mmask16)((1u << rows) - 1);
    __m512 sum = _mm512_loadu_ps(sums[p]);
    if (add) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(there, out));
    _mm512_mask_storeu_ps(out, there, sum);
  }
}

/* As rows_round, and to the same bits, with the even and odd values of 8 apart in `nibble_order`. */
static void OF_KIND(round)(const float *x, int cols, const Rounded *to, int t) {
  const __m128i apart = _mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
  const __m512 most = _mm512_set1_ps(127.0f), least = _mm512_set1_ps(-127.0f);
  for (int at = 0; at < cols; at += BLOCK) {
    const ptrdiff_t at_block = (ptrdiff_t)(at / BLOCK) * to->padded_tokens + t;
    int8_t *plain = to->plain + at_block * BLOCK, *halves = to->nibble_order + at_block * BLOCK;
    __m512 v[BLOCK / LANES], top = _mm512_setzero_ps();
    for (int i = 0; i < BLOCK / LANES; i++) {
      const int left = cols - at - i * LANES;
      const __mmask16 there = left >= LANES ? 0xffff : left > 0 ? (__mmask16)((1u << left) - 1) : 0;
      v[i] = _mm512_maskz_loadu_ps(there, x + at + (left > 0 ? i * LANES : 0));
      top = _mm512_max_ps(_mm512_abs_ps(v[i]), top); /* the second where the first is no number */
    }
    const float scale = scale_of(_mm512_reduce_max_ps(top));
    const __m512 inverse = _mm512_set1_ps(scale > 0 ? 1.0f / scale : 0);
    __m512i sum = _mm512_setzero_si512();
    for (int i = 0; i < BLOCK / LANES; i++) {
      const __m512 scaled = _mm512_mul_ps(v[i], inverse);
      const __mmask16 number = _mm512_cmp_ps_mask(scaled, scaled, _CMP_ORD_Q); /* what is none has no code */
      const __m512 value = _mm512_max_ps(_mm512_min_ps(scaled, most), least);
      const __m512i whole = _mm512_maskz_cvtps_epi32(number, value);
      const __m128i bytes = _mm512_cvtepi32_epi8(whole);
      sum = _mm512_add_epi32(sum, whole);
      _mm_storeu_si128((__m128i *)(plain + i * LANES), bytes);
      _mm_storeu_si128((__m128i *)(halves + i * LANES), _mm_shuffle_epi8(bytes, apart));
    }
    to->scales[at_block] = scale;
    to->sums[at_block] = _mm512_reduce_add_epi32(sum);
  }
}
