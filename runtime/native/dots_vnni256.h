/* vpdpbusd of 256 bits, in words that leave GCC 12 no room to copy each sum to memory and back. */
INLINE void dot(__m256i *sum, __m256i codes, __m256i values) {
  __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(*sum) : "x"(codes), "x"(values));
}
INLINE void dot_both(__m256i *a, __m256i *b, __m256i first, __m256i second, const int8_t *values) {
  const __m256i v = repeated(values);
  dot(a, first, v), dot(b, second, v);
}

/* 16 rows times up to 6 tokens: 12 sums, 2 vectors of codes and one of values are in registers. */
INLINE void dots(const int bits, const int count, const Tile *tile, const int8_t *values, const int32_t *sums,
                 __m256i (*whole)[PANELS]) {
  const int offset = bits == 8 ? 128 : 8;
  __m256i a0, b0, a1, b1, a2, b2, a3, b3, a4, b4, a5, b5;
  a0 = b0 = _mm256_set1_epi32(-offset * sums[0]);
  if (count > 1) a1 = b1 = _mm256_set1_epi32(-offset * sums[1]);
  if (count > 2) a2 = b2 = _mm256_set1_epi32(-offset * sums[2]);
  if (count > 3) a3 = b3 = _mm256_set1_epi32(-offset * sums[3]);
  if (count > 4) a4 = b4 = _mm256_set1_epi32(-offset * sums[4]);
  if (count > 5) a5 = b5 = _mm256_set1_epi32(-offset * sums[5]);
  const __m256i *codes = (const __m256i *)tile->codes;
#pragma GCC unroll 4
  for (int g = 0; g < VECTORS; g++, codes += PANELS, values += 4) {
    const __m256i first = _mm256_load_si256(codes), second = _mm256_load_si256(codes + 1);
    dot_both(&a0, &b0, first, second, values);
    if (count > 1) dot_both(&a1, &b1, first, second, values + BLOCK);
    if (count > 2) dot_both(&a2, &b2, first, second, values + 2 * BLOCK);
    if (count > 3) dot_both(&a3, &b3, first, second, values + 3 * BLOCK);
    if (count > 4) dot_both(&a4, &b4, first, second, values + 4 * BLOCK);
    if (count > 5) dot_both(&a5, &b5, first, second, values + 5 * BLOCK);
  }
  whole[0][0] = a0, whole[0][1] = b0;
  if (count > 1) whole[1][0] = a1, whole[1][1] = b1;
  if (count > 2) whole[2][0] = a2, whole[2][1] = b2;
  if (count > 3) whole[3][0] = a3, whole[3][1] = b3;
  if (count > 4) whole[4][0] = a4, whole[4][1] = b4;
  if (count > 5) whole[5][0] = a5, whole[5][1] = b5;
}

INLINE void row_block(const int bits, const int tokens, const uint8_t *from, const int8_t *const *values, int r,
                      __m256i (*whole)[LANES]) {
  __m256i codes[4];
  if (bits == 4)
    split_halves(from, codes);
  else
    for (int i = 0; i < 4; i++) codes[i] = vector(from, i);
  for (int t = 0; t < tokens; t++) {
    __m256i sum = _mm256_setzero_si256();
    for (int i = 0; i < 4; i++) dot(&sum, codes[i], vector(values[t], i));
    whole[t][r] = sum;
  }
}
