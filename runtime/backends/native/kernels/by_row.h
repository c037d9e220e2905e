/* Rounding of a token's activations by row: once, or once more for what that left. */

/* Numbers i to i + LANES of a row, of which `count` are there; with `first`, less what the first term stands for. */
INLINE Floats left_over(const float *from, int i, int count, const int8_t *first, float scale) {
  Floats v = count < LANES ? load_some(from + i, count) : load(from + i);
  if (!first) return v;
  const Floats codes = load_codes(first);
#pragma GCC unroll 16
  for (int l = 0; l < LANES; l++) v[l] = fmaf(-codes[l], scale, v[l]); /* everywhere rounded once */
  return v;
}

/* Where number i of a row stands in `plain`. */
INLINE int8_t *plain_at(const Rounded *to, int row, int i) {
  return to->plain + ((ptrdiff_t)(i / BLOCK) * to->padded_tokens + row) * BLOCK + i % BLOCK;
}

/* Term `term` of a token, in the row behind that of the term before; halves are rounded to even. What is no number has
   no code. */
INLINE void round_term(const float *from, int cols, const Rounded *to, int row, const int term) {
  const float before = term ? to->scales[row - 1] : 0;
  Floats tops = all(0), sums = all(0);
  float top = 0;
  int32_t sum = 0;
  for (int i = 0; i < cols; i += LANES) {
    const Floats v = left_over(from, i, cols - i, term ? plain_at(to, row - 1, i) : NULL, before);
    tops = larger(larger(v, -v), tops);
  }
  for (int l = 0; l < LANES; l++) top = tops[l] > top ? tops[l] : top;
  const float scale = scale_of(top), inverse = scale > 0 ? 1.0f / scale : 0;
  for (int i = 0; i < cols; i += LANES) {
    Floats v = left_over(from, i, cols - i, term ? plain_at(to, row - 1, i) : NULL, before) * inverse;
    v = between(all(-127.0f), pick(v == v, v, all(0)), all(127.0f));
    v = (v + 12582912.0f) - 12582912.0f; /* adding and taking away 1.5 * 2^23 rounds */
    save_codes(plain_at(to, row, i), v);
    sums += v;
  }
  for (int l = 0; l < LANES; l++) sum += (int32_t)sums[l];
  to->scales[row] = scale;
  to->sums[row] = sum;
}

/* A block's end that has no numbers of the row is zeros: another row may have been longer. */
INLINE void clear_end(int cols, const Rounded *to, int row) {
  const int behind = (cols + LANES - 1) / LANES * LANES;
  if (behind % BLOCK) memset(plain_at(to, row, behind), 0, (size_t)(BLOCK - behind % BLOCK));
}

INLINE void round_terms(const float *from, int cols, const Rounded *to, int t) {
  const int row = t * to->terms;
  clear_end(cols, to, row);
  round_term(from, cols, to, row, 0);
  if (to->terms < MOST_TERMS) return;
  clear_end(cols, to, row + 1);
  round_term(from, cols, to, row + 1, 1);
}
