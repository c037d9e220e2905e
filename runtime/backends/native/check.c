/* What a step relies on, looked at before the first one: nobody is trusted to have done so, neither whoever made the
   weights, nor whoever made the program of them, nor whoever calls. A program is gone through once, in its order, as a
   step will go through it. */
#include "check.h"

#include "cpu.h"

/* What is there behind the operations so far. */
typedef struct {
  const Program *p;
  uint32_t written; /* a bit for each buffer that has all of its numbers */
  int rounded;      /* width of the rounded activations; 0 for none */
  int terms;        /* of these */
  int appended;     /* layers whose caches have this step's rows */
  int only_last;    /* whether KEEP_LAST was there */
  int logits_are_written;
} State;

static int within(int64_t low, int64_t value, int64_t high) { return low <= value && value <= high; }

/* Whether `bytes` from `from` on lie in memory that starts at `start`. */
static int lies_in(const uint8_t *start, int64_t size, const void *from, int64_t bytes) {
  const uintptr_t low = (uintptr_t)start, at = (uintptr_t)from, room = (uintptr_t)size;
  return start && at >= low && at - low <= room && (uintptr_t)bytes <= room - (at - low);
}

/* Weights of `bytes` bytes, at a place fit for items of `item` bytes. */
static int is_weight(const State *s, const void *from, int64_t bytes, uintptr_t item) {
  return (uintptr_t)from % item == 0 && (lies_in(s->p->data, s->p->data_bytes, from, bytes) ||
                                         lies_in(s->p->tables, s->p->table_bytes, from, bytes));
}

static int are_floats(const State *s, const float *from, int64_t count) {
  return is_weight(s, from, count * (int64_t)sizeof *from, sizeof *from);
}

static int are_floats_or_none(const State *s, const float *from, int64_t count) {
  return !from || are_floats(s, from, count);
}

int matrix_is_sound(const Matrix *w) {
  const int by_row = is_by_row(w) && !w->scales && w->bits == 8;
  const int by_block = !is_by_row(w) && w->scales && (w->bits == 4 || w->bits == 8);
  return within(1, w->rows, MOST_ROWS) && within(1, w->cols, MOST_COLS) && w->codes && (by_row || by_block);
}

static int is_matrix(const State *s, const Matrix *w, int padded) {
  if (!matrix_is_sound(w) || (!padded && w->cols * w->bits % 8)) return 0;
  if (is_by_row(w))
    return is_weight(s, w->codes, (int64_t)w->rows * w->cols, 1) && are_floats(s, w->row_scales, w->rows);
  const int64_t scales = (int64_t)w->rows * blocks_of(w->cols) * (int64_t)sizeof *w->scales;
  return is_weight(s, w->codes, w->rows * matrix_row_bytes(w, padded), 1) &&
         is_weight(s, w->scales, scales, sizeof *w->scales);
}

/* A buffer's width; 0 where there is no such buffer. */
static int width_of(const State *s, int buffer) {
  return within(0, buffer, MOST_BUFFERS - 1) ? s->p->widths[buffer] : 0;
}

/* The width of a buffer with numbers in it; 0 where it has none. */
static int readable(const State *s, int buffer) {
  const int width = width_of(s, buffer);
  return width && s->written >> buffer & 1 ? width : 0;
}

static int writes(State *s, int buffer) {
  s->written |= 1u << buffer;
  return 1;
}

static int is_positive(float number) { return number > 0 && number <= 3.4e38f; }

static int is_embed(State *s, const Operation *o) {
  const Embed *e = &o->embed;
  return !s->only_last && within(0, e->padded, 1) && is_matrix(s, &e->matrix, e->padded) &&
         e->matrix.rows == s->p->vocabulary && e->matrix.cols == width_of(s, o->to) &&
         is_positive(e->scale) &&
         are_floats_or_none(s, e->positions, (int64_t)e->position_rows * e->matrix.cols) &&
         (!e->positions || within(s->p->context, e->position_rows, MOST_CONTEXT)) && writes(s, o->to);
}

static int is_norm(State *s, const Operation *o) {
  const Norm *n = &o->norm;
  const int width = readable(s, o->from);
  return width && width == width_of(s, o->to) && o->from != o->to && is_positive(n->epsilon) &&
         within(0, n->rms, 1) && are_floats(s, n->weight, width) && are_floats_or_none(s, n->bias, width) &&
         writes(s, o->to);
}

static int is_round(State *s, const Operation *o) {
  s->rounded = readable(s, o->from);
  s->terms = o->round.terms;
  return within(1, s->rounded, MOST_COLS) && within(0, s->terms, MOST_TERMS);
}

static int is_multiply(State *s, const Operation *o) {
  const Multiply *m = &o->multiply;
  const Matrix *w = &m->matrix;
  if (!is_matrix(s, w, 1) || w->cols != s->rounded || is_by_row(w) != (s->terms > 0) ||
      !are_floats_or_none(s, m->bias, w->rows) || !within(0, m->add, 1) || !is_positive(m->scale) ||
      (m->add && m->scale != 1.0f))
    return 0;
  if (o->to == LOGITS) {
    s->logits_are_written = 1;
    return s->only_last && !m->add && w->rows == s->p->vocabulary;
  }
  return w->rows == width_of(s, o->to) && (!m->add || readable(s, o->to)) && writes(s, o->to);
}

static int are_heads(const State *s, const Heads *h, int buffer) {
  return within(1, h->heads, MOST_HEADS) && within(1, h->size, MOST_COLS) &&
         (int64_t)h->heads * h->size <= readable(s, buffer);
}

static int is_norm_heads(State *s, const Operation *o) {
  const NormHeads *n = &o->norm_heads;
  return are_heads(s, &n->heads, o->to) && is_positive(n->epsilon) && are_floats(s, n->weight, n->heads.size);
}

static int is_rotary(State *s, const Operation *o) {
  const Rotary *r = &o->rotary;
  const int64_t angles = (int64_t)s->p->context * (r->dims / 2);
  return !s->only_last && are_heads(s, &r->heads, o->to) && within(2, r->dims, r->heads.size) &&
         r->dims % 2 == 0 && are_floats(s, r->cosines, angles) && are_floats(s, r->sines, angles);
}

/* Layers are appended one after the other, each once. */
static int is_append(State *s, const Operation *o) {
  return !s->only_last && readable(s, o->from) == 2 * s->p->kv_width && o->append.layer == s->appended &&
         ++s->appended <= s->p->layers;
}

static int is_attend(State *s, const Operation *o) {
  const Attend *a = &o->attend;
  return !s->only_last && within(1, a->heads, MOST_HEADS) && within(1, a->kv_heads, a->heads) &&
         a->heads % a->kv_heads == 0 && within(1, a->head_size, MOST_COLS) && a->kv_heads == s->p->kv_heads &&
         (int64_t)a->kv_heads * a->head_size == s->p->kv_width &&
         (int64_t)a->heads * a->head_size == readable(s, o->from) &&
         readable(s, o->from) == width_of(s, o->to) && o->from != o->to &&
         within(0, a->layer, s->appended - 1) && within(0, a->window, MOST_CONTEXT) &&
         is_positive(a->scale) && are_floats_or_none(s, a->slopes, a->heads) && writes(s, o->to);
}

/* Gates are made, and rotated, in whole pieces. */
static int is_gate(State *s, const Operation *o) {
  const Gate *g = &o->gate;
  const int width = width_of(s, o->to), size = g->rotation_size;
  if (!width || !within(0, g->gated, 1) || readable(s, o->from) != (1 + g->gated) * (int64_t)width ||
      o->from == o->to || width % GATE_PIECE || !within(SILU, g->activation, GELU_TANH))
    return 0;
  const int rotates = within(1, size, MOST_ROTATION) && width % size == 0 &&
                      (size % BLOCK == 0 || BLOCK % size == 0) &&
                      are_floats(s, g->rotation, (int64_t)size * size);
  return (g->rotation ? rotates : !size) && writes(s, o->to);
}

static int is_keep_last(State *s, const Operation *o) {
  if (s->only_last || !readable(s, o->to)) return 0;
  s->only_last = 1, s->rounded = 0, s->written = 1u << o->to;
  return 1;
}

typedef int (*Check)(State *s, const Operation *o);
static const Check CHECKS[KINDS] = {
    [EMBED] = is_embed,
    [NORM] = is_norm,
    [ROUND] = is_round,
    [MULTIPLY] = is_multiply,
    [NORM_HEADS] = is_norm_heads,
    [ROTARY] = is_rotary,
    [APPEND] = is_append,
    [ATTEND] = is_attend,
    [GATE] = is_gate,
    [KEEP_LAST] = is_keep_last,
};

static int sizes_are_sound(const Program *p) {
  for (int i = 0; i < MOST_BUFFERS; i++)
    if (!within(0, p->widths[i], 2 * MOST_COLS)) return 0;
  return within(1, p->count, MOST_OPERATIONS) && within(1, p->context, MOST_CONTEXT) &&
         within(1, p->vocabulary, MOST_ROWS) && within(1, p->layers, MOST_LAYERS) &&
         within(1, p->kv_width, MOST_COLS) && within(1, p->kv_heads, p->kv_width) &&
         p->kv_width % p->kv_heads == 0 && within(0, p->kv_type, KV_TYPES - 1) && p->data_bytes >= 0 &&
         p->table_bytes >= 0 && p->operations;
}

int program_is_sound(const Program *p) {
  State s = {.p = p};
  if (!sizes_are_sound(p)) return 0;
  for (int i = 0; i < p->count; i++) {
    const Operation *o = &p->operations[i];
    if (!within(0, o->kind, KINDS - 1) || !CHECKS[o->kind](&s, o)) return 0;
  }
  return s.logits_are_written && s.appended == p->layers;
}

int step_is_sound(const Program *p, const int64_t *ids, int tokens, int past, uint8_t *const *caches,
                  int keep) {
  if (!within(1, tokens, p->context) || !within(0, past, p->context - tokens) || !within(1, keep, tokens))
    return 0;
  for (int t = 0; t < tokens; t++)
    if (!within(0, ids[t], p->vocabulary - 1)) return 0;
  for (int i = 0; i < 2 * p->layers; i++)
    if (!caches[i] || (uintptr_t)caches[i] % sizeof(float)) return 0;
  return 1;
}
