/* Products by panels, for 256-bit vectors. A CPU's file includes this after wide256.h, and after it has said what it adds up:

     PANELS, TOKENS       vectors of 8 rows, and tokens, whose sums it keeps in registers; PANELS is 2
     PLANES               vectors of codes that 8 bits need for 4 values of 8 rows: 1, or 2 of halves
     dots(bits, count, ...)  whole sums of a block of 16 rows with `count` tokens

   A panel is 8 rows, one a lane, so that a row's sum is one lane's and nothing is added across lanes. A block of it, 128
   columns, becomes 32 vectors of 4 values a row:

     4 bits  bytes 4g to 4g + 3 of each row hold values 8g to 8g + 7: vector 2g has the even ones (low halves), vector
             2g + 1 the odd ones
     8 bits  vector g has values 4g to 4g + 3; with two planes their low halves, and then their high ones

   Rows lie one after the other in the file; panels are made as they are used, in the cache nearest to the core, and
   thrown away. Whole sums are exact and floats are added block after block, so results are the same to the last bit for
   any number of tokens, and the same as those of AVX-512 VNNI and AMX. */

enum { ROWS = PANELS * LANES, VECTORS = BLOCK / 4, TOKENS_AT_ONCE = 128, MOST_AT_ONCE = 6 };

typedef struct {
  _Alignas(64) uint8_t codes[PLANES * VECTORS][PANELS][32];
  _Alignas(64) float sums[TOKENS_AT_ONCE][PANELS][LANES];
  float scales[LANES][PANELS][LANES]; /* of 8 blocks: [block][row] */
  const uint8_t *row[ROWS];           /* where rows begin; those beyond the end repeat the last one */
  const uint16_t *row_scales[ROWS];
  int rows, n, step, blocks;
} Tile;

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
    v[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(first), _mm_loadu_si128((const __m128i *)(row[4 + i] + at)), 1);
  }
  const __m256i a = _mm256_unpacklo_epi32(v[0], v[1]), b = _mm256_unpacklo_epi32(v[2], v[3]);
  const __m256i c = _mm256_unpackhi_epi32(v[0], v[1]), d = _mm256_unpackhi_epi32(v[2], v[3]);
  out[0] = _mm256_unpacklo_epi64(a, b), out[1] = _mm256_unpackhi_epi64(a, b);
  out[2] = _mm256_unpacklo_epi64(c, d), out[3] = _mm256_unpackhi_epi64(c, d);
}

INLINE __m256i low_halves(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
INLINE __m256i high_halves(__m256i v) { return low_halves(_mm256_srli_epi16(v, 4)); }

INLINE void store(uint8_t *to, __m256i v) { _mm256_store_si256((__m256i *)to, v); }

INLINE void unpack(const int bits, Tile *tile, int b) {
  const ptrdiff_t bytes = BLOCK * bits / 8;
  for (int p = 0; p < PANELS; p++)
    for (ptrdiff_t at = 0; at < bytes; at += 16) {
      __m256i v[4];
      across_rows(tile->row + p * LANES, b * bytes + at, v);
      for (int i = 0; i < 4; i++)
        if (bits == 4) {
          const ptrdiff_t vector = at / 2 + 2 * i;
          store(tile->codes[vector][p], low_halves(v[i]));
          store(tile->codes[vector + 1][p], high_halves(v[i]));
        } else if (PLANES == 1) {
          store(tile->codes[at / 4 + i][p], v[i]);
        } else {
          store(tile->codes[at / 4 + i][p], low_halves(v[i]));
          store(tile->codes[(PLANES - 1) * VECTORS + at / 4 + i][p], high_halves(v[i]));
        }
    }
}

/* Scales of 8 blocks of 8 or all rows from b on, turned so that those of a block lie together. */
INLINE void turn_scales(Tile *tile, int b, int panels) {
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
      for (int k = 0; k < 4; k++) _mm256_storeu_ps(tile->scales[i + k][p], (__m256)v[k]);
    }
  }
}

INLINE __m256i repeated(const int8_t *four) {
  int32_t number;
  memcpy(&number, four, 4);
  return _mm256_set1_epi32(number);
}

/* Add a block's whole sums, less what codes stand too high, to those of a token. */
INLINE void add_scaled(float (*sums)[LANES], const __m256i *whole, float (*scales)[LANES], float scale) {
  for (int p = 0; p < PANELS; p++) {
    const __m256 both = _mm256_mul_ps(_mm256_loadu_ps(scales[p]), _mm256_set1_ps(scale));
    _mm256_storeu_ps(sums[p], _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole[p]), both, _mm256_loadu_ps(sums[p])));
  }
}

#include DOTS

INLINE void some_tokens(const int bits, const int count, Tile *tile, const int8_t *values, const float *scales,
                        const int32_t *sums, int b, int t) {
  __m256i whole[MOST_AT_ONCE][PANELS];
  dots(bits, count, tile, values, sums, whole);
  for (int c = 0; c < count; c++) add_scaled(tile->sums[t + c], whole[c], tile->scales[b % LANES], scales[c]);
}

typedef void (*SomeTokens)(Tile *, const int8_t *, const float *, const int32_t *, int, int);
#define SOME_TOKENS(bits, count)                                                                                     \
  static void tokens_##bits##_##count(Tile *tile, const int8_t *values, const float *scales, const int32_t *sums,   \
                                      int b, int t) {                                                               \
    some_tokens(bits, count, tile, values, scales, sums, b, t);                                                     \
  }
SOME_TOKENS(4, 1) SOME_TOKENS(4, 2) SOME_TOKENS(4, 3) SOME_TOKENS(4, 4) SOME_TOKENS(4, 5) SOME_TOKENS(4, 6)
SOME_TOKENS(8, 1) SOME_TOKENS(8, 2) SOME_TOKENS(8, 3) SOME_TOKENS(8, 4) SOME_TOKENS(8, 5) SOME_TOKENS(8, 6)

INLINE void panels(const int bits, const Matrix *w, const Rounded *x, int t0, int tokens, int n, int n1, int step,
                   float *out, ptrdiff_t stride, int add) {
  static const SomeTokens four[] = {0, tokens_4_1, tokens_4_2, tokens_4_3, tokens_4_4, tokens_4_5, tokens_4_6};
  static const SomeTokens eight[] = {0, tokens_8_1, tokens_8_2, tokens_8_3, tokens_8_4, tokens_8_5, tokens_8_6};
  const SomeTokens *some = bits == 4 ? four : eight;
  const int8_t *values = bits == 8 ? x->plain : x->halves;
  Tile tile;
  begin_tile(&tile, w, n, n1, step);
  memset(tile.sums, 0, sizeof *tile.sums * (size_t)tokens);
  for (int b = 0; b < tile.blocks; b++) {
    if (b % LANES == 0) turn_scales(&tile, b, PANELS);
    unpack(bits, &tile, b);
    for (int t = 0; t < tokens;) {
      const int left = tokens - t; /* no one or two alone behind a six, as few sums wait for one another */
      const int count = left < TOKENS ? left : left > TOKENS && left <= TOKENS + 2 ? (left + 1) / 2 : TOKENS;
      const ptrdiff_t at = (ptrdiff_t)b * x->apart + t0 + t;
      some[count](&tile, values + at * BLOCK, x->scales + at, x->sums + at, b, t);
      t += count;
    }
  }
  for (int t = 0; t < tokens; t++) {
    const float *sums = tile.sums[t][0];
    float *to = out + (t0 + t) * stride + n;
    if (step == 1 && tile.rows == ROWS)
      for (int r = 0; r < ROWS; r++) to[r] = add ? to[r] + sums[r] : sums[r];
    else
      for (int r = 0; r < tile.rows; r++, to += step) *to = add ? *to + sums[r] : sums[r];
  }
}

/* Sums of the lanes of 8 vectors, one a row. */
INLINE __m256i sums_of(const __m256i *v) {
  const __m256i a = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
  const __m256i b = _mm256_hadd_epi32(_mm256_hadd_epi32(v[4], v[5]), _mm256_hadd_epi32(v[6], v[7]));
  return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

/* One or two tokens times 8 rows as they lie, when memory is what is waited for: to add up lanes is less work then than to
   turn rows. The rows are `step` apart, so that each is read from front to end and the CPU fetches them ahead. */
INLINE void by_rows(const int bits, const int tokens, const Matrix *w, const Rounded *x, int n, int n1, int step,
                    float *out, ptrdiff_t stride, int add) {
  const int bytes = BLOCK * bits / 8, offset = bits == 8 ? 128 : 8;
  __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  Tile tile;
  begin_tile(&tile, w, n, n1, step);
  for (int b = 0; b < tile.blocks; b++) {
    if (b % LANES == 0) turn_scales(&tile, b, 1);
    __m256i whole[2][LANES];
    const int8_t *values[2];
    for (int t = 0; t < tokens; t++)
      values[t] = x->tiles + (ptrdiff_t)b * TILES_OF_BLOCK + t * BLOCK + (bits == 8 ? 2 * BLOCK : 0);
    for (int r = 0; r < LANES; r++) row_block(bits, tokens, tile.row[r] + (ptrdiff_t)b * bytes, values, r, whole);
    for (int t = 0; t < tokens; t++) {
      const ptrdiff_t at = (ptrdiff_t)b * x->apart + t;
      const __m256i less = _mm256_sub_epi32(sums_of(whole[t]), _mm256_set1_epi32(offset * x->sums[at]));
      const __m256 both = _mm256_mul_ps(_mm256_loadu_ps(tile.scales[b % LANES][0]), _mm256_set1_ps(x->scales[at]));
      sums[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(less), both, sums[t]);
    }
  }
  for (int t = 0; t < tokens; t++) {
    float found[LANES];
    _mm256_storeu_ps(found, sums[t]);
    for (int r = 0; r < LANES; r++) {
      float *to = out + t * stride + n + (ptrdiff_t)r * step;
      *to = add ? *to + found[r] : found[r];
    }
  }
}

/* The values of one or two tokens in the order of rows as they lie: even ones of 64 and then odd ones; and plain ones behind. */
static void arrange_rows(const Rounded *x, int tokens, int b) {
  for (int t = 0; t < tokens && t < 2; t++) {
    const int8_t *from = x->plain + ((ptrdiff_t)b * x->apart + t) * BLOCK;
    int8_t *to = x->tiles + (ptrdiff_t)b * TILES_OF_BLOCK + t * BLOCK;
    for (int at = 0; at < BLOCK; at += 64)
      for (int i = 0; i < 32; i++) to[at + i] = from[at + 2 * i], to[at + 32 + i] = from[at + 2 * i + 1];
    memcpy(to + 2 * BLOCK, from, BLOCK);
  }
}

INLINE void product_of(const int bits, const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out,
                       ptrdiff_t stride, int add) {
  const int rows = n1 - n0;
  if (tokens <= 2 && rows % LANES == 0) {
    const int step = rows / LANES;
    for (int p = 0; p < step; p++)
      if (tokens == 1)
        by_rows(bits, 1, w, x, n0 + p, n1, step, out, stride, add);
      else
        by_rows(bits, 2, w, x, n0 + p, n1, step, out, stride, add);
    return;
  }
  if (tokens <= TOKENS_OF_ROOM && rows % ROWS == 0) {
    const int step = rows / ROWS;
    for (int p = 0; p < step; p++) panels(bits, w, x, 0, tokens, n0 + p, n1, step, out, stride, add);
    return;
  }
  for (int n = n0; n < n1; n += ROWS)
    for (int t = 0; t < tokens; t += TOKENS_AT_ONCE) {
      const int some = tokens - t < TOKENS_AT_ONCE ? tokens - t : TOKENS_AT_ONCE;
      panels(bits, w, x, t, some, n, n1, 1, out, stride, add);
    }
}

static void product(const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out, ptrdiff_t stride, int add) {
  if (w->bits == 4)
    product_of(4, w, x, tokens, n0, n1, out, stride, add);
  else
    product_of(8, w, x, tokens, n0, n1, out, stride, add);
}

static void round_4(const float *x, int cols, const Rounded *to, int t) { rows_round(4, x, cols, to, t); }
