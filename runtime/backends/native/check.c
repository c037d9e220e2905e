/* What a step relies on, looked at before the first one: nobody is trusted to have done so, neither whoever
   made the weights nor whoever calls. */
#include "check.h"

/* More than any model has; products of two of these fit 64 bits, and lengths of buffers stay sane. */
enum { MOST_LAYERS = 1024, MOST_HEADS = 1024, MOST_ROWS = 1 << 20, MOST_CONTEXT = 1 << 20 };
enum { MOST_COLS = MOST_BLOCKS * BLOCK };

static int within(int64_t low, int64_t value, int64_t high) { return low <= value && value <= high; }

/* Whether `bytes` from `from` on lie in the weights, at a place fit for items of `item` bytes. */
static int lies_within(const Model *m, const void *from, int64_t bytes, uintptr_t item) {
  const uintptr_t start = (uintptr_t)m->data, at = (uintptr_t)from, size = (uintptr_t)m->data_bytes;
  return at >= start && at - start <= size && (uintptr_t)bytes <= size - (at - start) && at % item == 0;
}

static int is_vector(const Model *m, const float *from) {
  return lies_within(m, from, (int64_t)m->width * (int64_t)sizeof(float), sizeof(float));
}

int matrix_is_sound(const Matrix *w) {
  return within(1, w->rows, MOST_ROWS) && within(1, w->cols, MOST_COLS) && (w->bits == 4 || w->bits == 8) &&
         w->codes && w->scales;
}

/* `row_bits` of codes a row: whole blocks of them, but in the table of ids. */
static int is_matrix(const Model *m, const Matrix *w, int rows, int cols, int64_t row_bits) {
  const int64_t scales = (int64_t)rows * blocks_of(cols) * (int64_t)sizeof *w->scales;
  return matrix_is_sound(w) && w->rows == rows && w->cols == cols && row_bits % 8 == 0 &&
         lies_within(m, w->codes, rows * (row_bits / 8), 1) && lies_within(m, w->scales, scales, 2);
}

static int is_product(const Model *m, const Matrix *w, int rows, int cols) {
  return is_matrix(m, w, rows, cols, (int64_t)blocks_of(cols) * BLOCK * w->bits);
}

static int is_layer(const Model *m, const Layer *l) {
  const int inside = m->heads * m->head_size;
  return is_vector(m, l->norm1) && is_vector(m, l->norm2) && is_product(m, &l->q, inside, m->width) &&
         is_product(m, &l->kv, 2 * m->head_size, m->width) && is_product(m, &l->out, m->width, inside) &&
         is_product(m, &l->gate_up, 2 * m->hidden, m->width) && is_product(m, &l->down, m->width, m->hidden);
}

/* Gates are made, and turned, in pieces: of a block, or of a turn where that is larger. */
static int gates_are_whole(const Model *m) {
  const int piece = m->turn_size > BLOCK ? m->turn_size : BLOCK;
  if (!m->turn_size) return !m->turn && m->hidden % 16 == 0;
  return m->turn && piece % m->turn_size == 0 && piece % BLOCK == 0 && m->hidden % piece == 0;
}

int model_is_sound(const Model *m) {
  const int sizes = within(1, m->layers, MOST_LAYERS) && within(1, m->heads, MOST_HEADS) &&
                    within(1, m->head_size, MOST_COLS) && within(1, m->width, MOST_COLS) &&
                    within(1, m->hidden, MOST_COLS) && within(1, m->vocabulary, MOST_ROWS) &&
                    within(1, m->context, MOST_CONTEXT) && within(0, m->turn_size, MOST_TURNED) &&
                    within(1, (int64_t)m->heads * m->head_size, MOST_COLS);
  if (!sizes || !gates_are_whole(m) || !(m->epsilon > 0) || !m->slopes || !m->blocks || m->data_bytes < 0)
    return 0;
  for (int i = 0; i < m->layers; i++)
    if (!is_layer(m, &m->blocks[i])) return 0;
  return is_vector(m, m->norm) && is_product(m, &m->head, m->vocabulary, m->width) &&
         is_matrix(m, &m->embedding, m->vocabulary, m->width, (int64_t)m->width * m->embedding.bits);
}

int step_is_sound(const Model *m, const int64_t *ids, int tokens, int past, float *const *buffers, int keep) {
  if (!within(1, tokens, m->context) || !within(0, past, m->context - tokens) || !within(1, keep, tokens))
    return 0;
  for (int t = 0; t < tokens; t++)
    if (!within(0, ids[t], m->vocabulary - 1)) return 0;
  for (int i = 0; i < 2 * m->layers; i++)
    if (!buffers[i]) return 0;
  return 1;
}
