/* Products by rows, for CPUs whose vectors are not as wide as a panel. A CPU's file includes this after
   rows.h, and after it has said how it takes a block of a row:

     Codes                                a block's codes, as they are used for several tokens
     codes_of(bits, from)                 reads them
     whole_of(bits, codes, values, sum)   LANES whole sums, which together are those of the block
     sum_of(floats)                       the sum of a vector's lanes
     widen(halves, count, out)            turns scales into floats

   A row's products stay in the lanes of a vector, block after block, and are added up at its end. For one
   or two tokens, when memory is what is waited for, four rows that are a quarter of the work apart are
   read side by side, each from front to end and row after row, so that the CPU fetches them ahead. For
   more, a row's codes meet up to eight tokens. */

/* `rows` rows of weights, `apart` rows apart, times `count` tokens from t on. */
INLINE void times(const int bits, const int rows, const int count, const Matrix *w, const Rounded *x, int n,
                  int apart, int t, float *out, long stride, int add) {
  const int blocks = blocks_of(w->cols);
  const long bytes = BLOCK * bits / 8, row_bytes = blocks * bytes;
  const uint8_t *codes = w->codes + n * row_bytes;
  const int8_t *values = bits == 8 ? x->plain : x->halves;
  float scales[4][MOST_BLOCKS];
  Floats sums[8];
  for (int r = 0; r < rows; r++)
    widen(w->scales + (long)(n + r * apart) * blocks, blocks, scales[r]);
  for (int i = 0; i < rows * count; i++) sums[i] = all(0);
  for (int b = 0; b < blocks; b++, codes += bytes)
    for (int r = 0; r < rows; r++) {
      const Codes those = codes_of(bits, codes + r * apart * row_bytes);
      for (int c = 0; c < count; c++) {
        const long place = (long)b * x->apart + t + c;
        const Numbers whole = whole_of(bits, &those, values + place * BLOCK, x->sums[place]);
        const float both = scales[r][b] * x->scales[place];
        sums[r * count + c] += __builtin_convertvector(whole, Floats) * both;
      }
    }
  for (int r = 0; r < rows; r++)
    for (int c = 0; c < count; c++) {
      float *to = out + (t + c) * stride + n + r * apart, sum = sum_of(sums[r * count + c]);
      *to = add ? *to + sum : sum;
    }
}

typedef void (*Times)(const Matrix *, const Rounded *, int, int, int, float *, long, int);

#define TIMES(bits, rows, count)                                                                     \
  static void times_##bits##_##rows##_##count(const Matrix *w, const Rounded *x, int n, int apart,   \
                                              int t, float *out, long stride, int add) {            \
    times(bits, rows, count, w, x, n, apart, t, out, stride, add);                                  \
  }
TIMES(4, 4, 1) TIMES(4, 4, 2) TIMES(4, 1, 1) TIMES(4, 1, 2) TIMES(4, 1, 4) TIMES(4, 1, 8)
TIMES(8, 4, 1) TIMES(8, 4, 2) TIMES(8, 1, 1) TIMES(8, 1, 2) TIMES(8, 1, 4) TIMES(8, 1, 8)

static void product(const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out,
                    long stride, int add) {
  static const Times several[][2] = {{times_4_4_1, times_4_4_2}, {times_8_4_1, times_8_4_2}};
  static const Times single[][4] = {{times_4_1_8, times_4_1_4, times_4_1_2, times_4_1_1},
                                    {times_8_1_8, times_8_1_4, times_8_1_2, times_8_1_1}};
  static const int sizes[] = {8, 4, 2, 1};
  const int which = w->bits == 8;
  if (tokens <= 2 && (n1 - n0) % 4 == 0) {
    const int apart = (n1 - n0) / 4;
    for (int n = n0; n < n0 + apart; n++)
      several[which][tokens - 1](w, x, n, apart, 0, out, stride, add);
    return;
  }
  for (int n = n0; n < n1; n++)
    for (int t = 0, kind = 0; t < tokens; t += sizes[kind]) {
      while (sizes[kind] > tokens - t) kind++;
      single[which][kind](w, x, n, 0, t, out, stride, add);
    }
}
