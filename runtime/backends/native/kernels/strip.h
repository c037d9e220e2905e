/* Products of matrices with a scale a row, whose codes are signed bytes [cols][rows]. A CPU's file includes this after it
   has said

     BLOCKS_AT_ONCE  blocks of 128 columns that are laid out at once
     STRIP_BYTES     of such a block of a strip, as it is laid out
     begin_sums(x, row, streams, sums)  what whole sums of a row of activations begin with
     lay_strip(from, stride, to, b, next)  lays out block b of them, whose columns are `stride` bytes apart
     times_strip(codes, blocks, x, b, t, count, sums, next)  adds to the whole sums of `count` rows of activations, from
                     t on, with `blocks` blocks from b on
     times_slab(count, from, stride, ahead, x, at, sums)  the same with 16 columns as they are read, of up to 4 rows of
                     activations, whose numbers are those from `at` on; asks for what is `ahead`
     multiplied_added(a, b, c)  a * b + c of floats, rounded once
     in_order(sums)  brings a row's sums into the order of the strip's rows

   A strip is 64 rows, a line of the cache in each column. Whole sums are those of whole rows, and become floats once:
   so they are exact, and the results the same to the last bit for any number of tokens and on all kinds of CPU.

   Few rows of activations wait for memory, which gives long pieces sooner: the fewer there are, the more strips they meet
   side by side, as many as the sums have room for. */

enum {
  STRIP = 64,
  ROOM = 128,        /* rows of activations times strips whose sums are kept */
  MOST_STREAMED = 4, /* rows of activations that meet codes as they are read */
  MOST_BESIDE = 16,  /* that meet several strips side by side, laid out */
  SLAB = 16,         /* columns at a time of what streams */
};

typedef struct {
  _Alignas(64) uint8_t codes[BLOCKS_AT_ONCE * STRIP_BYTES];
  _Alignas(64) int32_t sums[ROOM][STRIP]; /* [strip][row of activations] */
  _Alignas(64) int8_t copied[BLOCK][STRIP];
} Strips;

/* A part of the columns from block b on, of the strips from row n to n1. */
INLINE Next next_columns(const Matrix *w, int b, int part, int parts, int n, int n1) {
  const int each = BLOCKS_AT_ONCE * BLOCK / parts, k = b * BLOCK + part * each;
  const uint8_t *at = w->codes + (ptrdiff_t)k * w->rows + n;
  return (Next){.at = at,
                .end = at + (n1 - n),
                .width = n1 - n,
                .stride = w->rows,
                .left = w->cols - k < each ? w->cols - k : each};
}

/* Block b of the strip from row n on; what is behind the matrix's end is zeros. */
INLINE void lay_block(Strips *s, const Matrix *w, int b, int n, uint8_t *to, int number, Next *next) {
  const int rows = w->rows - n < STRIP ? w->rows - n : STRIP;
  const int cols = w->cols - b * BLOCK < BLOCK ? w->cols - b * BLOCK : BLOCK;
  const int8_t *from = (const int8_t *)w->codes + (ptrdiff_t)b * BLOCK * w->rows + n;
  if (rows == STRIP && cols == BLOCK) {
    lay_strip(from, w->rows, to, number, next);
    return;
  }
  memset(s->copied, 0, sizeof s->copied);
  for (int k = 0; k < cols; k++) memcpy(s->copied[k], from + (ptrdiff_t)k * w->rows, (size_t)rows);
  lay_strip(s->copied[0], STRIP, to, number, next);
}

/* A token's outputs of `rows` rows of a strip: its terms follow one another in `sums`. */
INLINE void give_strip(const float *row_scales, const Rounded *x, int row, int32_t (*sums)[STRIP], int rows,
                       float *out, int add) {
  for (int k = 0; k < x->terms; k++) in_order(sums[k]);
  for (int i = 0; i < rows; i += LANES) {
    const int some = rows - i < LANES ? rows - i : LANES;
    const Floats scales = some < LANES ? load_some(row_scales + i, some) : load(row_scales + i);
    Floats sum = all(0);
    if (add) sum = some < LANES ? load_some(out + i, some) : load(out + i);
    for (int k = 0; k < x->terms; k++) {
      Numbers whole;
      memcpy(&whole, sums[k] + i, sizeof whole);
      sum = multiplied_added(__builtin_convertvector(whole, Floats), scales * x->scales[row + k], sum);
    }
    if (some < LANES)
      save_some(out + i, sum, some);
    else
      save(out + i, sum);
  }
}

/* A slab of all strips side by side after the other. */
INLINE void stream_strips(Strips *s, const Matrix *w, const Rounded *x, int t, int count, int n, int strips,
                          int room) {
  const ptrdiff_t stride = w->rows;
  for (int k = 0; k < w->cols; k += SLAB) {
    const int8_t *from = (const int8_t *)w->codes + k * stride + n;
    const ptrdiff_t at = ((ptrdiff_t)(k / BLOCK) * x->padded_tokens + t) * BLOCK + k % BLOCK;
    const ptrdiff_t ahead = k + SLAB < w->cols ? SLAB * stride : 0; /* to what is asked for meanwhile */
    for (int i = 0; i < strips; i++, from += STRIP) {
      int32_t (*sums)[STRIP] = s->sums + i * room;
      if (count == 1) times_slab(1, from, stride, ahead, x, at, sums);
      if (count == 2) times_slab(2, from, stride, ahead, x, at, sums);
      if (count == 3) times_slab(3, from, stride, ahead, x, at, sums);
      if (count == 4) times_slab(4, from, stride, ahead, x, at, sums);
    }
  }
}

/* Some strips from row n to n1 times rows t to t + count of activations. What is laid out has room for whole sixteens. */
INLINE void times_strips(Strips *s, const Matrix *w, const Rounded *x, int t, int count, int streams, int n,
                         int n1, float *out, ptrdiff_t stride, int add) {
  const int blocks = blocks_of(w->cols), strips = (n1 - n + STRIP - 1) / STRIP, room = ROOM / strips;
  for (int i = 0; i < strips; i++)
    for (int c = 0; c < count; c++) begin_sums(x, t + c, streams, s->sums[i * room + c]);
  if (streams) stream_strips(s, w, x, t, count, n, strips, room);
  for (int b = 0; b < blocks && !streams; b += BLOCKS_AT_ONCE) {
    const int some = blocks - b < BLOCKS_AT_ONCE ? blocks - b : BLOCKS_AT_ONCE;
    for (int i = 0; i < strips; i++) {
      Next next = next_columns(w, b + BLOCKS_AT_ONCE, i, strips, n, n1), none = {0};
      for (int d = 0; d < some; d++)
        lay_block(s, w, b + d, n + i * STRIP, s->codes, d, count > MOST_BESIDE ? &none : &next);
      times_strip(s->codes, some, x, b, t, count, s->sums + i * room, &next);
      ask_lines(&next, BLOCKS_AT_ONCE * BLOCK * strips);
    }
  }
  for (int i = 0; i < strips; i++) {
    const int at = n + i * STRIP, rows = n1 - at < STRIP ? n1 - at : STRIP;
    for (int c = 0; c < count; c += x->terms)
      give_strip(w->row_scales + at, x, t + c, s->sums + i * room + c, rows,
                 out + (t + c) / x->terms * stride + at, add);
  }
}

INLINE void times_all_strips(const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out,
                             ptrdiff_t stride, int add) {
  const int all = tokens * x->terms, streams = all <= MOST_STREAMED && w->cols % SLAB == 0;
  Strips s;
  for (int n = n0, end; n < n1; n = end) {
    const int whole = (n1 - n) / STRIP * STRIP, now = streams && whole; /* a strip's part is laid out */
    const int most = now ? MOST_STREAMED : all <= MOST_BESIDE ? MOST_BESIDE : ROOM;
    const int side = ROOM / most * STRIP, left = now ? whole : n1 - n;
    end = n + (side < left ? side : left);
    for (int t = 0; t < all; t += ROOM)
      times_strips(&s, w, x, t, all - t < ROOM ? all - t : ROOM, now, n, end, out, stride, add);
  }
}
