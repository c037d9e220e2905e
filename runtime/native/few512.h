/* Few tokens, when memory is what is waited for; for 512-bit vectors with VNNI. The rows of a panel are `step`
   apart, so that each lane's rows are read from front to end, panel after panel, and the CPU fetches them
   ahead. cpu_avx512vnni.c includes this when it has said what `dot` is. */

enum { FEW = FEW_TOKENS, FEWEST = 2 };

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
  const long at = (long)b * x->apart + t;
  const __m512i less = _mm512_sub_epi32(whole, _mm512_set1_epi32(offset * x->sums[at]));
  const __m512 both = _mm512_mul_ps(scales, _mm512_set1_ps(x->scales[at]));
  return _mm512_fmadd_ps(_mm512_cvtepi32_ps(less), both, sum);
}

INLINE void give(const Panel *p, const __m512 *sums, int tokens, float *out, long stride, int add) {
  for (int t = 0; t < tokens; t++) {
    float found[LANES];
    _mm512_storeu_ps(found, sums[t]);
    for (int r = 0; r < p->rows; r++) {
      float *to = out + t * stride + p->n + r * p->step;
      *to = add ? *to + found[r] : found[r];
    }
  }
}

/* A panel times up to 12 tokens. */
INLINE void few(const int bits, const Matrix *w, const Rounded *x, int tokens, int n, int step,
                float *out, long stride, int add) {
  const int offset = bits == 8 ? 128 : 8;
  const int8_t *values = bits == 8 ? x->plain : x->halves;
  _Alignas(64) uint8_t codes[VECTORS][64];
  __m512 sums[FEW];
  Panel panel;
  begin_panel(&panel, w, n, step);
  for (int t = 0; t < tokens; t++) sums[t] = _mm512_setzero_ps();
  for (int b = 0; b < panel.blocks; b++) {
    panel_codes(&panel, b, bits, 0, codes[0], 1);
    const __m512 scales = panel_scales(&panel, b);
    const long at = (long)b * x->apart;
    const int8_t *value = values + at * BLOCK;
    __m512i whole[FEW];
    for (int t = 0; t + 1 < tokens; t += 2)
      dot_two(codes[0], value + t * BLOCK, value + (t + 1) * BLOCK, whole + t);
    if (tokens % 2) whole[tokens - 1] = dot_one(codes[0], value + (tokens - 1) * BLOCK);
    for (int t = 0; t < tokens; t++) sums[t] = add_block(sums[t], whole[t], scales, x, b, t, offset);
  }
  give(&panel, sums, tokens, out, stride, add);
}

/* Lanes of 4 vectors added up: in each quarter of the result, the sums of a quarter of a, b, c and d. */
INLINE __m512i add_quarters(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
  return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

/* The same once more: the sums of all 16 vectors that went into 4 such results, in order. */
INLINE __m512i add_whole(const __m512i *quarters) {
  const __m512i *q = quarters;
  const __m512i first = _mm512_add_epi32(_mm512_shuffle_i32x4(q[0], q[1], 0x88),
                                         _mm512_shuffle_i32x4(q[0], q[1], 0xdd));
  const __m512i second = _mm512_add_epi32(_mm512_shuffle_i32x4(q[2], q[3], 0x88),
                                          _mm512_shuffle_i32x4(q[2], q[3], 0xdd));
  return _mm512_add_epi32(_mm512_shuffle_i32x4(first, second, 0x88),
                          _mm512_shuffle_i32x4(first, second, 0xdd));
}

/* A block of a row's codes in two vectors: even and odd values, or the first 64 and the others. */
typedef struct {
  __m512i one, other;
} Pair;

INLINE Pair row_codes(const int bits, const uint8_t *from) {
  const __m512i v = _mm512_loadu_si512(from), low = _mm512_set1_epi8(15);
  if (bits == 8) return (Pair){v, _mm512_loadu_si512(from + 64)};
  return (Pair){_mm512_and_si512(v, low), _mm512_and_si512(_mm512_srli_epi16(v, 4), low)};
}

INLINE __m512i dot_pair(Pair codes, const int8_t *values) {
  __m512i sum = _mm512_setzero_si512();
  dot(&sum, codes.one, _mm512_load_si512(values));
  dot(&sum, codes.other, _mm512_load_si512(values + 64));
  return sum;
}

/* 16 blocks of a row times each token: whole sums, a block a lane. Of fewer the last one is repeated. */
INLINE void dot_row(const int bits, const int tokens, const uint8_t *row, int some,
                    int8_t (*values)[LANES][BLOCK], int32_t (*whole)[LANES][LANES], int r) {
  const int bytes = BLOCK * bits / 8;
  __m512i quarters[FEWEST][4];
  for (int k = 0; k < 4; k++) {
    const int b0 = 4 * k < some ? 4 * k : some - 1, b1 = b0 + 1 < some ? b0 + 1 : some - 1;
    const int b2 = b0 + 2 < some ? b0 + 2 : some - 1, b3 = b0 + 3 < some ? b0 + 3 : some - 1;
    const Pair c0 = row_codes(bits, row + b0 * bytes), c1 = row_codes(bits, row + b1 * bytes);
    const Pair c2 = row_codes(bits, row + b2 * bytes), c3 = row_codes(bits, row + b3 * bytes);
    for (int t = 0; t < tokens; t++)
      quarters[t][k] = add_quarters(dot_pair(c0, values[t][b0]), dot_pair(c1, values[t][b1]),
                                    dot_pair(c2, values[t][b2]), dot_pair(c3, values[t][b3]));
  }
  for (int t = 0; t < tokens; t++) _mm512_store_si512(whole[t][r], add_whole(quarters[t]));
}

/* Values of 16 blocks as rows meet them: those of 8 that lie even and odd in `halves` all apart. */
INLINE void spread(const int bits, const int tokens, const Rounded *x, int b0, int some,
                   int8_t (*values)[LANES][BLOCK]) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  for (int t = 0; t < tokens; t++)
    for (int b = 0; b < some; b++) {
      const long at = ((long)(b0 + b) * x->apart + t) * BLOCK;
      const int8_t *from = (bits == 8 ? x->plain : x->halves) + at;
      const __m512i first = _mm512_loadu_si512(from), second = _mm512_loadu_si512(from + 64);
      const int apart = bits == 4;
      _mm512_store_si512(values[t][b],
                         apart ? _mm512_permutex2var_epi32(first, even, second) : first);
      _mm512_store_si512(values[t][b] + 64,
                         apart ? _mm512_permutex2var_epi32(first, odd, second) : second);
    }
}

/* As few, for one or two tokens: row by row, which then takes fewer instructions than making a panel. The
   whole sums of 16 rows and 16 blocks change places, and floats are added as they are there. */
INLINE void fewest(const int bits, const int tokens, const Matrix *w, const Rounded *x, int n, int step,
                   float *out, long stride, int add) {
  const int offset = bits == 8 ? 128 : 8, blocks = blocks_of(w->cols), bytes = BLOCK * bits / 8;
  _Alignas(64) int8_t values[FEWEST][LANES][BLOCK];
  _Alignas(64) int32_t whole[FEWEST][LANES][LANES];
  __m512 sums[FEWEST];
  Panel panel;
  begin_panel(&panel, w, n, step);
  for (int t = 0; t < tokens; t++) sums[t] = _mm512_setzero_ps();
  for (int b0 = 0; b0 < blocks; b0 += LANES) {
    const int some = blocks - b0 < LANES ? blocks - b0 : LANES;
    spread(bits, tokens, x, b0, some, values);
    for (int r = 0; r < LANES; r++) {
      const long row = n + (long)(r < panel.rows ? r : panel.rows - 1) * step;
      dot_row(bits, tokens, w->codes + (row * blocks + b0) * bytes, some, values, whole, r);
    }
    panel_scales(&panel, b0);
    for (int t = 0; t < tokens; t++)
      for (int b = 0; b < some; b += 4) {
        __m512i v[4];
        across_rows((const uint8_t *)&whole[t][0][b], sizeof whole[t][0], v);
        for (int k = 0; k < 4 && b + k < some; k++)
          sums[t] = add_block(sums[t], v[k], _mm512_loadu_ps(panel.scales[b + k]), x, b0 + b + k, t, offset);
      }
  }
  give(&panel, sums, tokens, out, stride, add);
}
