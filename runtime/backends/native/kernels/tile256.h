/* Panels of rows for 256-bit vectors. A CPU's file includes this after wide256.h, and after it has said

     PANELS   panels at once
     PLANES   vectors of codes that 8 bits need for 4 values of 8 rows: 1, or 2 of halves

   A panel is 8 rows, one a lane, so that a row's sum is one lane's and nothing is added across lanes. A block of it,
   128 columns, becomes 32 vectors of 4 values a row:

     4 bits  bytes 4g to 4g + 3 of each row hold values 8g to 8g + 7: vector 2g has the even ones (low halves),
             vector 2g + 1 the odd ones
     8 bits  vector g has values 4g to 4g + 3; with two planes their low halves, and then their high ones

   Rows lie one after the other in the file; panels are made as they are used, in the cache nearest to the core, and
   thrown away. */

enum { ROWS = PANELS * LANES, VECTORS = BLOCK / 4, TOKENS_AT_ONCE = 128 };

typedef struct {
  _Alignas(64) uint8_t codes[PLANES * VECTORS][PANELS][32];
  _Alignas(64) float sums[TOKENS_AT_ONCE][PANELS][LANES];
  _Alignas(32) float scales[LANES][PANELS][LANES]; /* of 8 blocks: [block][row] */
  const uint8_t *row[ROWS]; /* where rows begin; those beyond the end repeat the last one */
  const uint16_t *row_scales[ROWS];
  int rows, n, step, blocks;
} Tile;

/* Rows n, n + step and so on, before n1. */
INLINE void begin_tile(Tile *tile, const Matrix *w, int n, int n1, int step) {
  const int left = (n1 - n + step - 1) / step;
  const ptrdiff_t bytes = BLOCK * w->bits / 8;
  tile->n = n, tile->step = step, tile->blocks = blocks_of(w->cols), tile->rows = left < ROWS ? left : ROWS;
  for (int r = 0; r < ROWS; r++) {
    const ptrdiff_t row = n + (ptrdiff_t)(r < tile->rows ? r : tile->rows - 1) * step;
    tile->row[r] = w->codes + row * tile->blocks * bytes;
    tile->row_scales[r] = w->scales + row * tile->blocks;
  }
}

/* 16 bytes of each of 8 rows, as 4 vectors with 4 bytes of each row in the order of rows. */
INLINE void across_rows(const uint8_t *const *row, ptrdiff_t at, __m256i *out) {
  __m256i v[4];
  for (int i = 0; i < 4; i++) {
    const __m128i first = _mm_loadu_si128((const __m128i *)(row[i] + at));
    const __m128i second = _mm_loadu_si128((const __m128i *)(row[4 + i] + at));
    v[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1);
  }
  const __m256i a = _mm256_unpacklo_epi32(v[0], v[1]), b = _mm256_unpacklo_epi32(v[2], v[3]);
  const __m256i c = _mm256_unpackhi_epi32(v[0], v[1]), d = _mm256_unpackhi_epi32(v[2], v[3]);
  out[0] = _mm256_unpacklo_epi64(a, b), out[1] = _mm256_unpackhi_epi64(a, b);
  out[2] = _mm256_unpacklo_epi64(c, d), out[3] = _mm256_unpackhi_epi64(c, d);
}

INLINE void store(uint8_t *to, __m256i v) { _mm256_store_si256((__m256i *)to, v); }

/* The codes of block b. */
INLINE void unpack(const int bits, Tile *tile, int b) {
  const ptrdiff_t bytes = BLOCK * bits / 8;
  for (int p = 0; p < PANELS; p++)
    for (ptrdiff_t at = 0; at < bytes; at += 16) {
      __m256i v[4];
      across_rows(tile->row + p * LANES, b * bytes + at, v);
      for (int i = 0; i < 4; i++)
        if (bits == 4) {
          const ptrdiff_t number = at / 2 + 2 * i;
          store(tile->codes[number][p], low_halves(v[i]));
          store(tile->codes[number + 1][p], high_halves(v[i]));
        } else if (PLANES == 1) {
          store(tile->codes[at / 4 + i][p], v[i]);
        } else {
          store(tile->codes[at / 4 + i][p], low_halves(v[i]));
          store(tile->codes[(PLANES - 1) * VECTORS + at / 4 + i][p], high_halves(v[i]));
        }
    }
}

/* The scales of 8 blocks from b on, transposed, so that those of a block lie together. */
INLINE void transpose_scales(Tile *tile, int b, int panels) {
  const int left = tile->blocks - b;
  for (int p = 0; p < panels; p++) {
    _Alignas(32) float rows[LANES][LANES] = {0};
    const uint8_t *row[LANES];
    for (int r = 0; r < LANES; r++) {
      const uint16_t *from = tile->row_scales[p * LANES + r] + b;
      row[r] = (const uint8_t *)rows[r];
      if (left >= LANES)
        _mm256_store_ps(rows[r], _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)from)));
      else
        for (int i = 0; i < left; i++) rows[r][i] = half_to_float(from[i]);
    }
    for (int i = 0; i < LANES; i += 4) {
      __m256i v[4];
      across_rows(row, 4 * i, v);
      for (int k = 0; k < 4; k++) _mm256_store_ps(tile->scales[i + k][p], (__m256)v[k]);
    }
  }
}
