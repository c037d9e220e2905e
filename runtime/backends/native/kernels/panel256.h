/* Products by panels, for 256-bit vectors. A CPU's file includes this after tile256.h, and after it has said

     TOKENS               tokens whose sums with the rows of two panels it keeps in registers, up to 6
     dots(bits, count, ...)  the whole sums of a block of these rows with `count` tokens, less what codes stand too
                          high

   Whole sums are exact and floats are added block after block, so results are the same to the last bit for any
   number of tokens, and the same as those of AVX-512 VNNI and AMX. */

/* Add a token's whole sums with a block. */
INLINE void add_scaled(float (*sums)[LANES], const __m256i *whole, float (*scales)[LANES], float scale) {
  for (int p = 0; p < PANELS; p++) {
    const __m256 both = _mm256_mul_ps(_mm256_load_ps(scales[p]), _mm256_set1_ps(scale));
    _mm256_store_ps(sums[p], _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole[p]), both, _mm256_load_ps(sums[p])));
  }
}

INLINE void some_tokens(const int bits, const int count, Tile *tile, const Rounded *x, int b, int t0, int t) {
  const ptrdiff_t at = (ptrdiff_t)b * x->padded_tokens + t0 + t;
  __m256i whole[TOKENS][PANELS];
  dots(bits, count, tile, x, at, whole);
  for (int c = 0; c < count; c++)
    add_scaled(tile->sums[t + c], whole[c], tile->scales[b % LANES], x->scales[at + c]);
}

typedef void (*SomeTokens)(Tile *, const Rounded *, int, int, int);
#define SOME_TOKENS(bits, count)                                                                      \
  static void OF_KIND(tokens_##bits##_##count)(Tile * tile, const Rounded *x, int b, int t0, int t) { \
    some_tokens(bits, count, tile, x, b, t0, t);                                                      \
  }
SOME_TOKENS(4, 1)
SOME_TOKENS(4, 2)
SOME_TOKENS(4, 3)
SOME_TOKENS(4, 4)
SOME_TOKENS(8, 1)
SOME_TOKENS(8, 2)
SOME_TOKENS(8, 3)
SOME_TOKENS(8, 4)
#if TOKENS == 6
SOME_TOKENS(4, 5)
SOME_TOKENS(4, 6)
SOME_TOKENS(8, 5)
SOME_TOKENS(8, 6)
#endif

#if TOKENS == 6
#define LAST_TOKENS(bits) [5] = OF_KIND(tokens_##bits##_5), [6] = OF_KIND(tokens_##bits##_6)
#else
#define LAST_TOKENS(bits)
#endif
#define ALL_TOKENS(bits)             \
  {[1] = OF_KIND(tokens_##bits##_1), \
   [2] = OF_KIND(tokens_##bits##_2), \
   [3] = OF_KIND(tokens_##bits##_3), \
   [4] = OF_KIND(tokens_##bits##_4), \
   LAST_TOKENS(bits)}
static const SomeTokens OF_KIND(TOKENS_OF)[2][TOKENS + 1] = {[0] = ALL_TOKENS(4), [1] = ALL_TOKENS(8)};

/* How many of the tokens that are left to take next: no one or two alone at the end, as few sums wait for one
   another. */
INLINE int next_tokens(int left) {
  if (left < TOKENS) return left;
  return left > TOKENS && left <= TOKENS + 2 ? (left + 1) / 2 : TOKENS;
}

INLINE void give_sums(const Tile *tile, int t, float *to, int add) {
  const float *sums = tile->sums[t][0];
  if (tile->step == 1 && tile->rows == ROWS)
    for (int r = 0; r < ROWS; r++) to[r] = add ? to[r] + sums[r] : sums[r];
  else
    for (int r = 0; r < tile->rows; r++, to += tile->step) *to = add ? *to + sums[r] : sums[r];
}

/* Up to ROWS rows, n, n + step and so on before n1, times up to TOKENS_AT_ONCE tokens from t0 on. */
INLINE void panels(const int bits, const Matrix *w, const Rounded *x, int t0, int tokens, int n, int n1,
                   int step, float *out, ptrdiff_t stride, int add) {
  Tile tile;
  begin_tile(&tile, w, n, n1, step);
  memset(tile.sums, 0, sizeof *tile.sums * (size_t)tokens);
  for (int b = 0; b < tile.blocks; b++) {
    if (b % LANES == 0) transpose_scales(&tile, b, PANELS);
    unpack(bits, &tile, b);
    for (int t = 0; t < tokens;) {
      const int count = next_tokens(tokens - t);
      OF_KIND(TOKENS_OF)[bits == 8][count](&tile, x, b, t0, t);
      t += count;
    }
  }
  for (int t = 0; t < tokens; t++) give_sums(&tile, t, out + (t0 + t) * stride + n, add);
}

INLINE void product_of(const int bits, const Matrix *w, const Rounded *x, int tokens, int n0, int n1,
                       float *out, ptrdiff_t stride, int add) {
  const int rows = n1 - n0;
  if (tokens <= FEW && rows % LANES == 0) {
    few(bits, w, x, tokens, n0, n1, out, stride, add);
    return;
  }
  if (tokens <= TOKENS_OF_ROOM &&
      rows % ROWS == 0) { /* each row of a panel in its own part of the work, see few256.h */
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

static void OF_KIND(product)(const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out,
                             ptrdiff_t stride, int add) {
  if (w->bits == 4)
    product_of(4, w, x, tokens, n0, n1, out, stride, add);
  else
    product_of(8, w, x, tokens, n0, n1, out, stride, add);
}
