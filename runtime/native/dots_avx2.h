/* Codes of 4 bits meet 8-bit values of -127 to 127: vpmaddubsw adds two such products in 16 bits, and 8 of its results are
   added before they are widened: 8 * 2 * 15 * 127 = 30,480 is below 32,767. Codes of 8 bits are two planes of 4. */
enum { DEEP = 8 };

INLINE __m256i widened(__m256i sum) { return _mm256_madd_epi16(sum, _mm256_set1_epi16(1)); }

INLINE void pair(const int fresh, __m256i *a, __m256i *b, __m256i first, __m256i second, const int8_t *values) {
  const __m256i v = repeated(values), p = _mm256_maddubs_epi16(first, v), q = _mm256_maddubs_epi16(second, v);
  *a = fresh ? p : _mm256_add_epi16(*a, p);
  *b = fresh ? q : _mm256_add_epi16(*b, q);
  __asm__("" : "+x"(*a), "+x"(*b)); /* GCC would multiply all first, and put the products into memory */
}

INLINE void deep(const int count, const __m256i *codes, const int8_t *values, __m256i (*sums)[PANELS]) {
  __m256i a0, b0, a1, b1, a2, b2, a3, b3, a4, b4, a5, b5;
#pragma GCC unroll 8
  for (int g = 0; g < DEEP; g++, codes += PANELS, values += 4) {
    const __m256i first = _mm256_load_si256(codes), second = _mm256_load_si256(codes + 1);
    pair(!g, &a0, &b0, first, second, values);
    if (count > 1) pair(!g, &a1, &b1, first, second, values + BLOCK);
    if (count > 2) pair(!g, &a2, &b2, first, second, values + 2 * BLOCK);
    if (count > 3) pair(!g, &a3, &b3, first, second, values + 3 * BLOCK);
    if (count > 4) pair(!g, &a4, &b4, first, second, values + 4 * BLOCK);
    if (count > 5) pair(!g, &a5, &b5, first, second, values + 5 * BLOCK);
  }
  sums[0][0] = widened(a0), sums[0][1] = widened(b0);
  if (count > 1) sums[1][0] = widened(a1), sums[1][1] = widened(b1);
  if (count > 2) sums[2][0] = widened(a2), sums[2][1] = widened(b2);
  if (count > 3) sums[3][0] = widened(a3), sums[3][1] = widened(b3);
  if (count > 4) sums[4][0] = widened(a4), sums[4][1] = widened(b4);
  if (count > 5) sums[5][0] = widened(a5), sums[5][1] = widened(b5);
}

INLINE void dots(const int bits, const int count, const Tile *tile, const int8_t *values, const int32_t *sums,
                 __m256i (*whole)[PANELS]) {
  for (int t = 0; t < count; t++)
    for (int p = 0; p < PANELS; p++) whole[t][p] = _mm256_set1_epi32((bits == 8 ? -128 : -8) * sums[t]);
  for (int plane = 0; plane < (bits == 8 ? PLANES : 1); plane++)
    for (int g = 0; g < VECTORS; g += DEEP) {
      __m256i some[MOST_AT_ONCE][PANELS];
      deep(count, (const __m256i *)tile->codes[plane * VECTORS + g], values + 4 * g, some);
      for (int t = 0; t < count; t++)
        for (int p = 0; p < PANELS; p++)
          whole[t][p] = _mm256_add_epi32(whole[t][p], plane ? _mm256_slli_epi32(some[t][p], 4) : some[t][p]);
    }
}

INLINE void row_block(const int bits, const int tokens, const uint8_t *from, const int8_t *const *values, int r,
                      __m256i (*whole)[LANES]) {
  const __m256i ones = _mm256_set1_epi16(1);
  if (bits == 4) {
    __m256i c[4];
    split_halves(from, c);
    for (int t = 0; t < tokens; t++) {
      __m256i p = _mm256_maddubs_epi16(c[0], vector(values[t], 0));
      __m256i q = _mm256_maddubs_epi16(c[1], vector(values[t], 1));
      p = _mm256_add_epi16(p, _mm256_maddubs_epi16(c[2], vector(values[t], 2)));
      q = _mm256_add_epi16(q, _mm256_maddubs_epi16(c[3], vector(values[t], 3)));
      whole[t][r] = _mm256_madd_epi16(_mm256_add_epi16(p, q), ones);
    }
    return;
  }
  for (int t = 0; t < tokens; t++) {
    __m256i low = _mm256_setzero_si256(), high = low;
    for (int i = 0; i < 4; i++) {
      const __m256i v = vector(from, i), x = vector(values[t], i);
      low = _mm256_add_epi16(low, _mm256_maddubs_epi16(low_halves(v), x));
      high = _mm256_add_epi16(high, _mm256_maddubs_epi16(high_halves(v), x));
    }
    whole[t][r] = _mm256_add_epi32(_mm256_madd_epi16(low, ones), _mm256_slli_epi32(_mm256_madd_epi16(high, ones), 4));
  }
}
