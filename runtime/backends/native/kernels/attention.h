/* Attention of one query head to the keys up to its token's own, LANES of them at a time, in two ways that give the same
   bits: an output is the same sums, over a head's numbers and then over keys, each in the order of its index, whatever
   number of tokens, heads and lanes there is.

   Scores lie in the scratch memory, [key][row] or [row][key] of LANES rows. The type of the cache is known to the compiler
   in each function: a cache of fp32 is read where it lies, and what lies in another as the floats that it stands for. */

/* Keys whose weight is below e^-32 of the largest have none: 4096 of them are less than half a unit in
   the last place of the sum. It keeps far ones out of the slow numbers next to zero, too. */
#define FAR_BELOW (-32.0f)

enum { ROWS_TOGETHER = 4, FOURS = LANES / ROWS_TOGETHER, PIECES = LANES == 16 ? 4 : 2, ROWS_SCORED = 8 };

/* Weights of some rows, values, and where each row's sums go: `count` keys, of which those before `first` have no
   weight. A row that goes nowhere is NULL. */
typedef struct {
  const float *weights; /* of a key every key_stride floats, of the next row every row_stride */
  ptrdiff_t key_stride, row_stride;
  const uint8_t *values;
  ptrdiff_t kv_stride;
  int first, count, head_size;
  float *out[ROWS_TOGETHER];
} Weighted;

/* Weighted sums of values for `rows` rows, numbers d0 to d0 + pieces * LANES of each. */
INLINE void sum_values(const int type, const int rows, const int pieces, const Weighted *w, int d0,
                       const float *totals) {
  Floats sums[ROWS_TOGETHER][PIECES];
  for (int h = 0; h < rows; h++)
    for (int d = 0; d < pieces; d++) sums[h][d] = all(0);
  for (int j = w->first; j < w->count; j++) {
    const float *weight = w->weights + j * w->key_stride;
    const uint8_t *value = w->values + j * w->kv_stride;
    const float scale = kv_scale(type, value);
    for (int d = 0; d < pieces; d++) {
      const Floats v = kv_load(type, value, scale, d0 + d * LANES);
      for (int h = 0; h < rows; h++) sums[h][d] += weight[h * w->row_stride] * v;
    }
  }
  for (int h = 0; h < rows; h++)
    for (int d = 0; d < pieces && w->out[h]; d++) save(w->out[h] + d0 + d * LANES, sums[h][d] / totals[h]);
}

/* The same for the last numbers of a head, which are no whole vector. Not as loops over single numbers: of those the
   compiler makes a multiplication and an addition here, and one instruction that rounds once there. */
INLINE void sum_last_values(const int type, const int rows, const Weighted *w, int d0, const float *totals) {
  const int left = w->head_size - d0;
  Floats sums[ROWS_TOGETHER];
  for (int h = 0; h < rows; h++) sums[h] = all(0);
  for (int j = w->first; j < w->count; j++) {
    const float *weight = w->weights + j * w->key_stride;
    const uint8_t *value = w->values + j * w->kv_stride;
    const Floats v = kv_load_some(type, value, kv_scale(type, value), d0, left);
    for (int h = 0; h < rows; h++) sums[h] += weight[h * w->row_stride] * v;
  }
  for (int h = 0; h < rows; h++)
    if (w->out[h]) save_some(w->out[h] + d0, sums[h] / totals[h], left);
}

/* The same for all numbers of a head. */
INLINE void sum_heads(const int type, const int rows, const Weighted *w, const float *totals) {
  int d0 = 0;
  for (; d0 + PIECES * LANES <= w->head_size; d0 += PIECES * LANES)
    sum_values(type, rows, PIECES, w, d0, totals);
  for (; d0 + LANES <= w->head_size; d0 += LANES) sum_values(type, rows, 1, w, d0, totals);
  if (d0 < w->head_size) sum_last_values(type, rows, w, d0, totals);
}

/* Scores of LANES heads with the keys 0 to count - 1, [key][head]; returns the largest of each head. `room` is for
   KEYS_AT_ONCE keys. */
INLINE Floats score_keys(const int type, const float *across, const Attention *a, Floats slope, int count,
                         float *room, float *scores) {
  enum { KEYS = KEYS_AT_ONCE };
  Floats top = all(-INFINITY);
  for (int j = 0; j < count; j += KEYS) {
    const int some = count - j < KEYS ? count - j : KEYS;
    const float *k[KEYS];
    Floats sums[KEYS];
    for (int i = 0; i < KEYS; i++) {
      const uint8_t *key = a->keys + (j + (i < some ? i : 0)) * a->kv_stride;
      k[i] = kv_numbers(type, key, a->head_size, room + i * a->head_size);
      sums[i] = all(0);
    }
    for (int d = 0; d < a->head_size; d++) {
      const Floats q = load(across + d * LANES);
      for (int i = 0; i < KEYS; i++) sums[i] += k[i][d] * q;
    }
    for (int i = 0; i < some; i++) {
      const Floats score = sums[i] + slope * (float)(j + i - count + 1);
      save(scores + (ptrdiff_t)(j + i) * LANES, score);
      top = larger(top, score);
    }
  }
  return top;
}

INLINE Floats weight_of(Floats below) { return pick(below >= FAR_BELOW, exponential(below), all(0)); }

/* Turn scores into weights and return their sums. first[f] is the first key that has weight for any of
   the 4 heads from 4f on. */
INLINE Floats weigh_heads(float *scores, Floats top, int count, int *first) {
  Floats total = all(0);
  for (int f = 0; f < FOURS; f++) first[f] = count; /* as it stays where numbers are none */
  for (int j = 0; j < count; j++) {
    float *score = scores + (ptrdiff_t)j * LANES;
    const Floats weight = weight_of(load(score) - top);
    save(score, weight);
    total += weight;
    for (int f = 0; f < FOURS; f++) {
      const float *four = score + f * ROWS_TOGETHER;
      if (first[f] == count && four[0] + four[1] + four[2] + four[3] > 0) first[f] = j;
    }
  }
  return total;
}

/* Heads are the vector: a key's number meets the same number of all queries. */
INLINE void attend_token(const int type, const Attention *a) {
  float *across = a->scratch, *room = across + (ptrdiff_t)LANES * a->head_size;
  float *scores = room + KEYS_AT_ONCE * (ptrdiff_t)a->head_size;
  float totals[LANES], slope[LANES];
  const float *q = a->q;
  const int count = a->position + 1;
  int first[FOURS];
  for (int d = 0; d < a->head_size; d++)
    for (int h = 0; h < LANES; h++)
      across[d * LANES + h] = h < a->heads ? q[h * a->head_size + d] * a->scale : 0;
  for (int h = 0; h < LANES; h++) slope[h] = a->slopes && h < a->heads ? a->slopes[h] : 0;
  const Floats top = score_keys(type, across, a, load(slope), count, room, scores);
  save(totals, weigh_heads(scores, top, count, first));
  for (int h = 0; h < a->heads; h += ROWS_TOGETHER) {
    Weighted w = {.weights = scores + h,
                  .key_stride = LANES,
                  .row_stride = 1,
                  .values = a->values,
                  .kv_stride = a->kv_stride,
                  .first = first[h / ROWS_TOGETHER],
                  .count = count,
                  .head_size = a->head_size};
    float *out = a->out + h * a->head_size;
    for (int i = 0; i < ROWS_TOGETHER && h + i < a->heads; i++) w.out[i] = out + i * a->head_size;
    sum_heads(type, ROWS_TOGETHER, &w, totals + h);
  }
}

/* Attention of token t alone, to the keys that it meets. */
INLINE Attention of_token(const Attention *a, int t) {
  const int position = a->position + t, unseen = position < a->window ? 0 : position - a->window + 1;
  Attention one = *a;
  one.q += t * a->q_stride, one.out += t * a->q_stride;
  one.keys += unseen * a->kv_stride, one.values += unseen * a->kv_stride;
  one.position = position - unseen, one.tokens = 1;
  return one;
}

static void OF_KIND(attend_heads)(const Attention *a) {
  for (int t = 0; t < a->tokens; t++) {
    const Attention one = of_token(a, t);
    if (a->kv_type == KV_FP16)
      attend_token(KV_FP16, &one);
    else if (a->kv_type == KV_INT8)
      attend_token(KV_INT8, &one);
    else
      attend_token(KV_FP32, &one);
  }
}

typedef float Four __attribute__((vector_size(16)));
typedef int32_t FourNumbers __attribute__((vector_size(16)));
#if defined(__clang__)
#define MIXED(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define MIXED(a, b, i, j, k, l) __builtin_shuffle(a, b, (FourNumbers){i, j, k, l})
#endif

/* 4 numbers of 4 keys as columns, LANES floats from one to the next. */
INLINE void transpose_four_keys(const float *const *keys, int d, float *to) {
  Four k[4];
  for (int i = 0; i < 4; i++) memcpy(&k[i], keys[i] + d, sizeof k[i]);
  const Four a = MIXED(k[0], k[1], 0, 4, 1, 5), b = MIXED(k[2], k[3], 0, 4, 1, 5);
  const Four c = MIXED(k[0], k[1], 2, 6, 3, 7), e = MIXED(k[2], k[3], 2, 6, 3, 7);
  const Four columns[4] = {MIXED(a, b, 0, 1, 4, 5), MIXED(a, b, 2, 3, 6, 7), MIXED(c, e, 0, 1, 4, 5),
                           MIXED(c, e, 2, 3, 6, 7)};
  for (int i = 0; i < 4; i++) memcpy(to + i * LANES, &columns[i], sizeof columns[i]);
}

/* LANES keys from j on as columns [head_size][LANES]; those behind the last one repeat it. `room` is for 4 keys. */
INLINE void transpose_keys(const int type, const Attention *a, int j, int last, float *room, float *columns) {
  for (int i = 0; i < LANES; i += 4) {
    const float *keys[4];
    for (int k = 0; k < 4; k++) {
      const uint8_t *key = a->keys + (j + i + k < last ? j + i + k : last) * a->kv_stride;
      keys[k] = kv_numbers(type, key, a->head_size, room + k * a->head_size);
    }
    int d = 0;
    for (; d + 4 <= a->head_size; d += 4) transpose_four_keys(keys, d, columns + d * LANES + i);
    for (; d < a->head_size; d++)
      for (int k = 0; k < 4; k++) columns[d * LANES + i + k] = keys[k][d];
  }
}

/* A row is a query head of a token: its query, scaled; its scores [key], and the largest of each lane. */
typedef struct {
  const float *q;
  float *scores, *out;
  Floats top;
  float slope;
  int position;
} QueryRow;

/* The whole numbers from `first` on. */
INLINE Floats numbers_from(int first) {
  Floats lanes;
  for (int l = 0; l < LANES; l++) lanes[l] = (float)l;
  return lanes + (float)first;
}

/* Scores of some rows with LANES keys from j on; keys behind a row's own token, and those before its window, have
   none. */
INLINE void score_rows(const int rows, const float *columns, int head_size, float window, int j,
                       QueryRow *row) {
  Floats sums[ROWS_SCORED];
  for (int i = 0; i < rows; i++) sums[i] = all(0);
  for (int d = 0; d < head_size; d++) {
    const Floats k = load(columns + d * LANES);
    for (int i = 0; i < rows; i++) sums[i] += row[i].q[d] * k;
  }
  for (int i = 0; i < rows; i++) {
    const Floats distance = numbers_from(j - row[i].position);
    const Floats score =
        pick((distance <= 0.0f) & (distance > -window), sums[i] + row[i].slope * distance, all(-INFINITY));
    save(row[i].scores + j, score);
    row[i].top = larger(row[i].top, score);
  }
}

/* The same of any number of rows: as many at a time as hide how long an addition takes. */
static void OF_KIND(score_all)(int rows, const float *columns, int head_size, float window, int j,
                               QueryRow *row) {
  for (; rows >= ROWS_SCORED; rows -= ROWS_SCORED, row += ROWS_SCORED)
    score_rows(ROWS_SCORED, columns, head_size, window, j, row);
  if (rows == 7) score_rows(7, columns, head_size, window, j, row);
  if (rows == 6) score_rows(6, columns, head_size, window, j, row);
  if (rows == 5) score_rows(5, columns, head_size, window, j, row);
  if (rows == 4) score_rows(4, columns, head_size, window, j, row);
  if (rows == 3) score_rows(3, columns, head_size, window, j, row);
  if (rows == 2) score_rows(2, columns, head_size, window, j, row);
  if (rows == 1) score_rows(1, columns, head_size, window, j, row);
}

/* Turn a row's scores into weights; those of keys that its token does not meet become 0. */
INLINE void weigh_row(const QueryRow *row, ptrdiff_t room) {
  float top = -INFINITY;
  for (int l = 0; l < LANES; l++) top = row->top[l] > top ? row->top[l] : top;
  for (ptrdiff_t j = 0; j < room; j += LANES) save(row->scores + j, weight_of(load(row->scores + j) - top));
}

/* The weighted values of `rows` rows with the same values. Each row's weights are added up in the order of their keys,
   which takes no longer for all than for one. */
INLINE void sum_rows(const int type, const int rows, const Attention *a, const QueryRow *row,
                     ptrdiff_t room) {
  float totals[ROWS_TOGETHER] = {0};
  Weighted w = {.weights = row->scores,
                .key_stride = 1,
                .row_stride = room,
                .values = a->values,
                .kv_stride = a->kv_stride,
                .count = row[rows - 1].position + 1,
                .head_size = a->head_size};
  int none = 1;
  for (int j = 0; j < w.count; j++) {
    float sum = 0;
    for (int h = 0; h < rows; h++) {
      const float weight = w.weights[h * room + j];
      totals[h] += weight;
      sum += weight;
    }
    none = none && !(sum > 0);
    w.first += none;
  }
  for (int h = 0; h < rows; h++) w.out[h] = row[h].out;
  sum_heads(type, rows, &w, totals);
}

/* Keys are the vector: they are laid out as columns once for all rows. */
INLINE void attend_rows(const int type, const Attention *a) {
  const int rows = a->tokens * a->heads, last = a->position + a->tokens - 1;
  const ptrdiff_t room = (last / LANES + 1) * LANES;
  float *unpacked = a->scratch, *columns = unpacked + KEYS_AT_ONCE * a->head_size,
        *scaled = columns + LANES * a->head_size, *scores = scaled + rows * a->head_size;
  QueryRow row[ROWS_A_LANE * LANES];
  for (int r = 0; r < rows; r++) {
    const ptrdiff_t at = r / a->heads * a->q_stride + r % a->heads * a->head_size;
    for (int d = 0; d < a->head_size; d++) scaled[r * a->head_size + d] = a->q[at + d] * a->scale;
    row[r] = (QueryRow){.q = scaled + r * a->head_size,
                        .scores = scores + r * room,
                        .out = a->out + at,
                        .top = all(-INFINITY),
                        .slope = a->slopes ? a->slopes[r % a->heads] : 0,
                        .position = a->position + r / a->heads};
  }
  for (int j = 0; j <= last; j += LANES) {
    transpose_keys(type, a, j, last, unpacked, columns);
    OF_KIND(score_all)(rows, columns, a->head_size, (float)a->window, j, row);
  }
  for (int r = 0; r < rows; r++) weigh_row(&row[r], room);
  int r = 0;
  for (; r + ROWS_TOGETHER <= rows; r += ROWS_TOGETHER) sum_rows(type, ROWS_TOGETHER, a, row + r, room);
  if (rows - r == 3) sum_rows(type, 3, a, row + r, room);
  if (rows - r == 2) sum_rows(type, 2, a, row + r, room);
  if (rows - r == 1) sum_rows(type, 1, a, row + r, room);
}

static void OF_KIND(attend_keys)(const Attention *a) {
  if (a->kv_type == KV_FP16)
    attend_rows(KV_FP16, a);
  else if (a->kv_type == KV_INT8)
    attend_rows(KV_INT8, a);
  else
    attend_rows(KV_FP32, a);
}
