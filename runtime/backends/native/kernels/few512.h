/* Few tokens, when memory is what is waited for; for 512-bit vectors with VNNI. cpu_avx512vnni.c includes this
   behind its Sums.

   Intel's cores get the rows of a panel `step` apart: each lane's rows are read from front to end, panel after panel,
   and fetched ahead. AMD's do not fetch so many ahead: they get rows that lie together, and are asked for the next panel
   meanwhile. On Zen 5, a token of Qwen2.5-Coder-0.5B then took 0.68 of the time, 86% of memory's bandwidth in place of
   59%; four tokens 0.68, eight 0.69. Two panels ahead 0.69, four 0.74; asked for
   into the second cache 0.70; rows apart and asked for 0.76. */

enum { FEW = 12 };

/* One block of a single panel times two tokens. Four sums at once, as each instruction waits 5 cycles for
   the one before it. */
INLINE void dot_two(const uint8_t *codes, const int8_t *values, const int8_t *values2, __m512i *whole) {
  const __m512i zero = _mm512_setzero_si512();
  Sums s = {zero, zero, zero, zero};
  for (int g = 0; g < VECTORS; g += 2, codes += 128, values += 8, values2 += 8) {
    const __m512i low = _mm512_load_si512(codes), high = _mm512_load_si512(codes + 64);
    int32_t four[2], four2[2];
    memcpy(four, values, 8);
    memcpy(four2, values2, 8);
    dot(&s.a, low, _mm512_set1_epi32(four[0]));
    dot(&s.b, low, _mm512_set1_epi32(four2[0]));
    dot(&s.c, high, _mm512_set1_epi32(four[1]));
    dot(&s.d, high, _mm512_set1_epi32(four2[1]));
  }
  whole[0] = _mm512_add_epi32(s.a, s.c);
  whole[1] = _mm512_add_epi32(s.b, s.d);
}

/* The same times one token. */
INLINE __m512i dot_one(const uint8_t *codes, const int8_t *values) {
  const __m512i zero = _mm512_setzero_si512();
  Sums s = {zero, zero, zero, zero};
  for (int g = 0; g < VECTORS; g += 4, codes += 256, values += 16) {
    int32_t four[4];
    memcpy(four, values, 16);
    dot(&s.a, _mm512_load_si512(codes), _mm512_set1_epi32(four[0]));
    dot(&s.b, _mm512_load_si512(codes + 64), _mm512_set1_epi32(four[1]));
    dot(&s.c, _mm512_load_si512(codes + 128), _mm512_set1_epi32(four[2]));
    dot(&s.d, _mm512_load_si512(codes + 192), _mm512_set1_epi32(four[3]));
  }
  return _mm512_add_epi32(_mm512_add_epi32(s.a, s.b), _mm512_add_epi32(s.c, s.d));
}

/* The sums of 16 rows with token t, and block b, whose codes stand `offset` too high. */
INLINE __m512 add_block(__m512 sum, __m512i whole, __m512 scales, const Rounded *x, int b, int t,
                        int offset) {
  const ptrdiff_t at = (ptrdiff_t)b * x->padded_tokens + t;
  const __m512i less = _mm512_sub_epi32(whole, _mm512_set1_epi32(offset * x->sums[at]));
  const __m512 both = _mm512_mul_ps(scales, _mm512_set1_ps(x->scales[at]));
  return _mm512_fmadd_ps(_mm512_cvtepi32_ps(less), both, sum);
}

INLINE void give(const Panel *p, const __m512 *sums, int tokens, float *out, ptrdiff_t stride, int add) {
  for (int t = 0; t < tokens; t++) {
    float row[LANES];
    _mm512_storeu_ps(row, sums[t]);
    for (int r = 0; r < p->rows; r++) {
      float *to = out + t * stride + p->n + r * p->step;
      *to = add ? *to + row[r] : row[r];
    }
  }
}

/* A panel times up to 12 tokens. */
INLINE void few(const int bits, const Matrix *w, const Rounded *x, int tokens, int n, int step, float *out,
                ptrdiff_t stride, int add) {
  const int offset = bits == 8 ? 128 : 8;
  const int8_t *values = bits == 8 ? x->plain : x->nibble_order;
  _Alignas(64) uint8_t codes[VECTORS][64];
  __m512 sums[FEW];
  Panel panel;
  begin_panel(&panel, w, n, step);
  for (int t = 0; t < tokens; t++) sums[t] = _mm512_setzero_ps();
  const ptrdiff_t bytes = LANES * BLOCK * bits / 8;
  const uint8_t *next = w->codes + (n + LANES) * (panel.blocks * bytes / LANES);
  const uint8_t *end = w->codes + w->rows * (panel.blocks * bytes / LANES);
  for (int b = 0; b < panel.blocks; b++) {
    if (step == 1) ask_for(1, next + b * bytes, end, bytes);
    panel_codes(&panel, b, bits, 0, codes[0], 1);
    const __m512 scales = panel_scales(&panel, b);
    const ptrdiff_t at = (ptrdiff_t)b * x->padded_tokens;
    const int8_t *value = values + at * BLOCK;
    __m512i whole[FEW];
    for (int t = 0; t + 1 < tokens; t += 2)
      dot_two(codes[0], value + t * BLOCK, value + (t + 1) * BLOCK, whole + t);
    if (tokens % 2) whole[tokens - 1] = dot_one(codes[0], value + (tokens - 1) * BLOCK);
    for (int t = 0; t < tokens; t++) sums[t] = add_block(sums[t], whole[t], scales, x, b, t, offset);
  }
  give(&panel, sums, tokens, out, stride, add);
}
