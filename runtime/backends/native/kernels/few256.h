/* Few tokens times 8 rows as they lie, when memory is what is waited for: to add up lanes is less work then than to
   transpose rows. A CPU's file includes this after tile256.h, and after it has said

     FEW      how many tokens these are, up to 4
     AHEAD    how many of a row's values further on it asks for, 0 where it fetches soon enough by itself
     two_rows(bits, tokens, first, second, values, pairs)  of a block of both rows and each token a vector of whole
              numbers: in each half of it two of the first row and two of the second, by turns, whose sum over both
              halves is that of the row

   The 8 rows are an eighth of the work apart, so that each is read from front to end and the CPU fetches them
   ahead. */

/* The sums of 8 rows, in their order. */
INLINE __m256i eight_rows(const __m256i *pairs) {
  const __m256i a =
      _mm256_add_epi32(_mm256_unpacklo_epi64(pairs[0], pairs[1]), _mm256_unpackhi_epi64(pairs[0], pairs[1]));
  const __m256i b =
      _mm256_add_epi32(_mm256_unpacklo_epi64(pairs[2], pairs[3]), _mm256_unpackhi_epi64(pairs[2], pairs[3]));
  return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

/* The values of a token's block in the order of rows as they lie. */
INLINE int8_t *values_of(const int bits, const Rounded *x, int b, int t) {
  return x->tiles + (ptrdiff_t)b * TILES_OF_BLOCK + (2 * t + (bits == 8)) * BLOCK;
}

/* For 4 bits the even ones of 64 and then the odd ones; for 8 bits plain ones. */
static void OF_KIND(arrange)(const Rounded *x, int tokens, int b) {
  for (int t = 0; t < tokens; t++) {
    const int8_t *from = x->plain + ((ptrdiff_t)b * x->padded_tokens + t) * BLOCK;
    int8_t *to = values_of(4, x, b, t);
    for (int at = 0; at < BLOCK; at += 64)
      for (int i = 0; i < 32; i++) to[at + i] = from[at + 2 * i], to[at + 32 + i] = from[at + 2 * i + 1];
    memcpy(values_of(8, x, b, t), from, BLOCK);
  }
}

/* A row's end is followed by the next row, and the last one's by little that is new. */
INLINE void ask_ahead(const int bits, const uint8_t *from) {
  for (int at = 0; at < BLOCK * bits / 8; at += 64)
    _mm_prefetch((const char *)from + AHEAD * bits / 8 + at, _MM_HINT_T0);
}

INLINE void by_rows(const int bits, const int tokens, const Matrix *w, const Rounded *x, int n, int n1,
                    int step, float *out, ptrdiff_t stride, int add) {
  const ptrdiff_t bytes = BLOCK * bits / 8;
  const int offset = bits == 8 ? 128 : 8;
  __m256 sums[FEW];
  Tile tile;
  begin_tile(&tile, w, n, n1, step);
  for (int t = 0; t < tokens; t++) sums[t] = _mm256_setzero_ps();
  for (int b = 0; b < tile.blocks; b++) {
    if (b % LANES == 0) transpose_scales(&tile, b, 1);
    __m256i pairs[FEW][LANES / 2];
    for (int r = 0; r < LANES; r += 2) {
      __m256i pair[FEW];
      if (AHEAD) ask_ahead(bits, tile.row[r] + b * bytes), ask_ahead(bits, tile.row[r + 1] + b * bytes);
      two_rows(bits, tokens, tile.row[r] + b * bytes, tile.row[r + 1] + b * bytes, values_of(bits, x, b, 0),
               pair);
      for (int t = 0; t < tokens; t++) pairs[t][r / 2] = pair[t];
    }
    for (int t = 0; t < tokens; t++) {
      const ptrdiff_t at = (ptrdiff_t)b * x->padded_tokens + t;
      const __m256i whole = _mm256_sub_epi32(eight_rows(pairs[t]), _mm256_set1_epi32(offset * x->sums[at]));
      const __m256 both =
          _mm256_mul_ps(_mm256_load_ps(tile.scales[b % LANES][0]), _mm256_set1_ps(x->scales[at]));
      sums[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole), both, sums[t]);
    }
  }
  for (int t = 0; t < tokens; t++) {
    float row[LANES];
    _mm256_storeu_ps(row, sums[t]);
    for (int r = 0; r < LANES; r++) {
      float *to = out + t * stride + n + (ptrdiff_t)r * step;
      *to = add ? *to + row[r] : row[r];
    }
  }
}

INLINE void few(const int bits, const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out,
                ptrdiff_t stride, int add) {
  const int step = (n1 - n0) / LANES;
  for (int n = n0; n < n0 + step; n++) {
    switch (tokens) {
      case 1:
        by_rows(bits, 1, w, x, n, n1, step, out, stride, add);
        break;
      case 2:
        by_rows(bits, 2, w, x, n, n1, step, out, stride, add);
        break;
#if FEW == 4
      case 3:
        by_rows(bits, 3, w, x, n, n1, step, out, stride, add);
        break;
      case 4:
        by_rows(bits, 4, w, x, n, n1, step, out, stride, add);
        break;
#endif
    }
  }
}
