/* Up to 16 tokens on AMX's tiles, when memory is what is waited for: 16 rows of weights times 4, 8 or 16 columns of
   tokens, of which some may mean nothing. Rows stay as they lie, so that nothing is transposed but the tokens, once
   for all rows (`arrange`). The rows are `step` apart, see few512.h; sums are the same to the last bit. */

enum { MOST_TOKENS = TOKENS_OF_ROOM, HALVES = 2, TILE_BYTES = 16 * 64 };
_Static_assert(2 * HALVES * TILE_BYTES == TILES_OF_BLOCK, "what is arranged is what is multiplied");
_Static_assert(sizeof(Shapes) == 64, "as the processor reads it");

/* Tiles 0 and 2, sums and tokens, may have fewer columns than 16, so that sums lie closer. */
static const Shapes AMX_SHAPES_OF_4 = {.palette = 1, .bytes = {16, 64, 16, 64}, .rows = {16, 16, 16, 16}};
static const Shapes AMX_SHAPES_OF_8 = {.palette = 1, .bytes = {32, 64, 32, 64}, .rows = {16, 16, 16, 16}};

/* Tiles of block b of all tokens for weights of 8 or 4 bits: its first and second half; in each the values 4i to
   4i + 3 of all tokens, then the next. */
INLINE int8_t *token_tiles(const Rounded *x, int b, int bits) {
  return x->tiles + (ptrdiff_t)b * TILES_OF_BLOCK + (bits == 8 ? 0 : HALVES * TILE_BYTES);
}

/* Transpose 16 rows of 16 numbers. */
INLINE void transpose_rows(__m512i r[16]) {
  __m512i a[16];
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    a[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4)
    for (int h = 0; h < 2; h++) {
      r[i + 2 * h] = _mm512_unpacklo_epi64(a[i + h], a[i + 2 + h]);
      r[i + 2 * h + 1] = _mm512_unpackhi_epi64(a[i + h], a[i + 2 + h]);
    }
  for (int i = 0; i < 16; i += 8)
    for (int h = 0; h < 4; h++) {
      a[i + h] = _mm512_shuffle_i32x4(r[i + h], r[i + 4 + h], 0x88);
      a[i + 4 + h] = _mm512_shuffle_i32x4(r[i + h], r[i + 4 + h], 0xdd);
    }
  for (int h = 0; h < 8; h++) {
    r[h] = _mm512_shuffle_i32x4(a[h], a[8 + h], 0x88);
    r[8 + h] = _mm512_shuffle_i32x4(a[h], a[8 + h], 0xdd);
  }
}

/* Make the tiles of block b of up to 16 tokens, for weights of either number of bits. */
static void amx_arrange(const Rounded *x, int tokens, int b) {
  const __m512i evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odds = _mm512_add_epi32(evens, _mm512_set1_epi32(1));
  for (int bits = 4; bits <= 8; bits += 4)
    for (int half = 0; half < HALVES; half++) {
      __m512i rows[MOST_TOKENS];
      for (int t = 0; t < MOST_TOKENS; t++) {
        const ptrdiff_t at = ((ptrdiff_t)b * x->padded_tokens + (t < tokens ? t : 0)) * BLOCK;
        if (bits == 8) {
          rows[t] = _mm512_loadu_si512(x->plain + at + half * 64);
          continue;
        }
        const __m512i first = _mm512_loadu_si512(x->nibble_order + at),
                      second = _mm512_loadu_si512(x->nibble_order + at + 64);
        rows[t] = _mm512_permutex2var_epi32(first, half ? odds : evens, second);
      }
      transpose_rows(rows);
      int8_t *to = token_tiles(x, b, bits) + half * TILE_BYTES;
      for (int i = 0; i < 16; i++) _mm512_store_si512(to + i * 64, rows[i]);
    }
}

typedef struct {
  /* Both by turns, as what is written can be read only some time later. */
  _Alignas(64) uint8_t codes[2][HALVES][LANES][64];
  _Alignas(64) int32_t whole[2][LANES * MOST_TOKENS]; /* [row][column] */
} Few;

/* Ask for what each of 16 rows has 8 blocks of 4 bits further on; behind its end, for the next panel of the same
   rows, and after the last one for little that is new. */
INLINE void ask_for_rows(const uint8_t *rows, ptrdiff_t apart) {
  for (int r = 0; r < LANES; r++) _mm_prefetch((const char *)rows + r * apart + 512, _MM_HINT_T1);
}

INLINE void split_codes(const uint8_t *rows, ptrdiff_t apart, uint8_t (*codes)[LANES][64]) {
  const __m512i low = _mm512_set1_epi8(15);
  for (int r = 0; r < LANES; r++) {
    const __m512i both = _mm512_loadu_si512(rows + r * apart);
    _mm512_store_si512(codes[0][r], _mm512_and_si512(both, low));
    _mm512_store_si512(codes[1][r], _mm512_and_si512(_mm512_srli_epi16(both, 4), low));
  }
}

/* Whole sums of 16 rows with as many tokens as tiles have columns; the rows of a half are `apart`. */
INLINE void multiply_few(const int columns, const uint8_t *first, const uint8_t *second, ptrdiff_t apart,
                         const int8_t *tokens, int32_t *whole) {
  __asm__ volatile("" ::: "memory"); /* tiles read what was stored before: GCC 12 is not told */
  _tile_zero(0);
  _tile_loadd(1, first, apart);
  _tile_loadd(2, tokens, 64);
  _tile_dpbusd(0, 1, 2);
  _tile_loadd(3, second, apart);
  _tile_loadd(2, tokens + TILE_BYTES, 64);
  _tile_dpbusd(0, 3, 2);
  _tile_stored(0, whole, columns * 4);
  __asm__ volatile("" ::: "memory");
}

/* The first `columns` floats of a row, again and again. */
INLINE __m512 repeated(const int columns, const float *from) {
  if (columns == 4) return _mm512_broadcast_f32x4(_mm_loadu_ps(from));
  if (columns == 8) return _mm512_broadcast_f32x8(_mm256_loadu_ps(from));
  return _mm512_loadu_ps(from);
}

/* Add a block's sums; vector v has 16 / columns rows from v * 16 / columns on. */
INLINE void add_few(const int columns, __m512 *sums, const int32_t *whole, __m512 rows, const Rounded *x,
                    int b, int offset) {
  const ptrdiff_t at = (ptrdiff_t)b * x->padded_tokens;
  const __m512 steps = repeated(columns, x->scales + at);
  const __m512i high = _mm512_mullo_epi32((__m512i)repeated(columns, (const float *)(x->sums + at)),
                                          _mm512_set1_epi32(offset));
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i row = _mm512_srli_epi32(lanes, columns == 4 ? 2 : columns == 8 ? 3 : 4);
#pragma GCC unroll 16
  for (int v = 0; v < columns; v++) {
    const __m512i less = _mm512_sub_epi32(_mm512_load_si512(whole + v * LANES), high);
    const __m512i which = _mm512_add_epi32(row, _mm512_set1_epi32(v * LANES / columns));
    const __m512 both = _mm512_mul_ps(_mm512_permutexvar_ps(which, rows), steps);
    sums[v] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(less), both, sums[v]);
  }
}

INLINE void give_few(const int columns, const Panel *p, const __m512 *sums, int tokens, float *out,
                     ptrdiff_t stride, int add) {
  float rows[LANES * MOST_TOKENS];
  for (int v = 0; v < columns; v++) _mm512_storeu_ps(rows + v * LANES, sums[v]);
  for (int r = 0; r < LANES; r++)
    for (int t = 0; t < tokens; t++) {
      float *to = out + t * stride + p->n + r * p->step;
      *to = add ? *to + rows[r * columns + t] : rows[r * columns + t];
    }
}

/* A panel of 16 rows that are there, times up to `columns` tokens, as many as tiles are configured for. */
INLINE void few_tiles(const int columns, const int bits, const Matrix *w, const Rounded *x, int tokens, int n,
                      int step, float *out, ptrdiff_t stride, int add) {
  const int offset = bits == 8 ? 128 : 8, bytes = BLOCK * bits / 8;
  __m512 sums[MOST_TOKENS], scales = _mm512_setzero_ps();
  Few few;
  Panel panel;
  begin_panel(&panel, w, n, step);
  const ptrdiff_t row = (ptrdiff_t)panel.blocks * bytes, apart = row * step;
  const uint8_t *codes = w->codes + n * row;
  for (int v = 0; v < columns; v++) sums[v] = _mm512_setzero_ps();
  if (bits == 4) split_codes(codes, apart, few.codes[0]);
  for (int b = 0; b < panel.blocks; b++, codes += bytes) {
    const int now = b % 2;
    for (int at = 0; at < bytes; at += 64) ask_for_rows(codes + at, apart);
    if (bits == 4 && b + 1 < panel.blocks) split_codes(codes + bytes, apart, few.codes[!now]);
    const uint8_t *first = bits == 4 ? few.codes[now][0][0] : codes;
    const uint8_t *second = bits == 4 ? few.codes[now][1][0] : codes + 64;
    multiply_few(columns, first, second, bits == 4 ? 64 : apart, token_tiles(x, b, bits), few.whole[now]);
    if (b > 0) add_few(columns, sums, few.whole[!now], scales, x, b - 1, offset);
    scales = panel_scales(&panel, b);
  }
  add_few(columns, sums, few.whole[(panel.blocks - 1) % 2], scales, x, panel.blocks - 1, offset);
  give_few(columns, &panel, sums, tokens, out, stride, add);
}

INLINE void few_products(const int columns, const Matrix *w, const Rounded *x, int tokens, int n0, int n1,
                         float *out, ptrdiff_t stride, int add) {
  const int step = (n1 - n0) / LANES;
  for (int p = 0; p < step; p++)
    if (w->bits == 4)
      few_tiles(columns, 4, w, x, tokens, n0 + p, step, out, stride, add);
    else
      few_tiles(columns, 8, w, x, tokens, n0 + p, step, out, stride, add);
}

/* Rows n0 to n1, whole panels of them, times up to 16 tokens. */
static void amx_few(const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out,
                    ptrdiff_t stride, int add) {
  if (tokens <= 4) {
    _tile_loadconfig(&AMX_SHAPES_OF_4);
    few_products(4, w, x, tokens, n0, n1, out, stride, add);
  } else if (tokens <= 8) {
    _tile_loadconfig(&AMX_SHAPES_OF_8);
    few_products(8, w, x, tokens, n0, n1, out, stride, add);
  } else {
    _tile_loadconfig(&AMX_SHAPES);
    few_products(16, w, x, tokens, n0, n1, out, stride, add);
  }
  _tile_release();
}
