/* The step: a program's operations one after the other, and which parts of each the threads share.

   Operations on single tokens that follow one another are one piece of work, an item a token; so are products of the
   same activations, an item some rows of a matrix. */
#include <string.h>

#include "check.h"
#include "rounded.h"
#include "state.h"
#include "tokenwise.h"

enum {
  /* Rows that a thread takes at once. With 64 a lane of a panel reads 4 rows in a row, which at a width of 2048
     is a page; with 32 single tokens took a fifth longer, with 128 as long. */
  ROWS_AT_ONCE = 64,
  PRODUCTS_AT_ONCE = 4,
  FEW_TOKENS = 16,       /* who get as many rows of a matrix by row as these, see rows_at_once */
  ROWS_BY_COLUMN = 2048, /* the most that strip.h takes side by side */
};

/* A step under way. */
typedef struct {
  Edge *edge;
  const int64_t *ids;
  uint8_t *const *caches;
  float *logits;
  int tokens, past;
} Step;

static float *row_of(const Step *s, int buffer, int t) {
  return s->edge->buffers[buffer] + (ptrdiff_t)t * s->edge->program.widths[buffer];
}

/* Some operations that are one piece of work. */
typedef struct {
  const Step *step;
  const Operation *operations;
  int count;
} Run;

static int is_tokenwise(const Operation *o) {
  return o->kind == EMBED || o->kind == NORM || o->kind == ROUND || o->kind == NORM_HEADS ||
         o->kind == ROTARY || o->kind == APPEND;
}

static void step_norm(const Step *s, const Operation *o, int t) {
  const Norm *n = &o->norm;
  const int width = s->edge->program.widths[o->from];
  const Cpu *cpu = s->edge->cpu;
  float *to = row_of(s, o->to, t);
  (n->rms ? cpu->rms_norm : cpu->layer_norm)(row_of(s, o->from, t), n->weight, n->epsilon, width, to);
  for (int i = 0; n->bias && i < width; i++) to[i] += n->bias[i];
}

/* Write a token's keys and values behind the rows that the layer's caches have. */
static void step_append(const Step *s, const Operation *o, int t) {
  const Program *p = &s->edge->program;
  const float *row = row_of(s, o->from, t);
  for (int part = 0; part < 2; part++) {
    uint8_t *to = s->caches[2 * o->append.layer + part] + (s->past + t) * row_bytes(p);
    s->edge->cpu->pack((KvType)p->kv_type, row + part * p->kv_width, p->kv_heads, p->kv_width / p->kv_heads,
                       to);
  }
}

static void step_token(void *what, int t, int thread) {
  (void)thread;
  const Run *run = what;
  const Step *s = run->step;
  Edge *e = s->edge;
  const int position = s->past + t;
  for (const Operation *o = run->operations; o < run->operations + run->count; o++) {
    if (o->kind == EMBED)
      embed_token(&o->embed, s->ids[t], position, row_of(s, o->to, t));
    else if (o->kind == NORM)
      step_norm(s, o, t);
    else if (o->kind == ROUND)
      (o->round.terms ? e->cpu->round_by_row : e->cpu->round)(row_of(s, o->from, t),
                                                              e->program.widths[o->from], &e->rounded, t);
    else if (o->kind == NORM_HEADS)
      norm_heads(&o->norm_heads, row_of(s, o->to, t));
    else if (o->kind == ROTARY)
      rotate_heads(&o->rotary, position, row_of(s, o->to, t));
    else
      step_append(s, o, t);
  }
}

static void step_arrange(void *what, int b, int thread) {
  (void)thread;
  const Step *s = what;
  s->edge->cpu->arrange(&s->edge->rounded, s->tokens, b);
}

/* Operations from `o` on that are done token by token, up to the first ROUND, as there is one memory for that. */
static int step_tokens(Step *s, const Operation *o, int left) {
  Run run = {.step = s, .operations = o};
  Edge *e = s->edge;
  int rounds = 0;
  while (run.count < left && !rounds && is_tokenwise(&o[run.count])) rounds = o[run.count++].kind == ROUND;
  if (rounds) rounded_begin(&e->rounded, o[run.count - 1].round.terms, s->tokens);
  if (run.count == 1 &&
      o->kind == APPEND) /* copies a few numbers, for which threads need not wait for one another */
    for (int t = 0; t < s->tokens; t++) step_token(&run, t, 0);
  else
    pool_run(e->pool, step_token, &run, s->tokens);
  if (rounds && is_arranged(e->cpu, &e->rounded, s->tokens))
    pool_run(e->pool, step_arrange, s, blocks_of(e->program.widths[o[run.count - 1].from]));
  return run.count;
}

/* By row, the columns of a matrix lie one after the other: a few tokens, who wait for memory, get as much of each column
   at once as leaves work for all threads. */
static int rows_at_once(const Step *s, const Matrix *w) {
  if (!is_by_row(w) || s->tokens > FEW_TOKENS) return ROWS_AT_ONCE;
  const int threads = pool_threads(s->edge->pool);
  const int share = (w->rows + threads - 1) / threads;
  const int whole = (share + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE * ROWS_AT_ONCE;
  return whole < ROWS_BY_COLUMN ? whole : ROWS_BY_COLUMN;
}

static int product_items(const Step *s, const Matrix *w) {
  const int rows = rows_at_once(s, w);
  return (w->rows + rows - 1) / rows;
}

/* What rows n0 to n1 of all tokens start from, where that is a bias. */
static void start_from_bias(const Multiply *m, int tokens, int n0, int n1, float *out) {
  for (int t = 0; t < tokens; t++)
    for (int n = n0; n < n1; n++) {
      float *to = out + (ptrdiff_t)t * m->matrix.rows + n;
      *to = m->add ? *to + m->bias[n] : m->bias[n];
    }
}

static void step_product(void *what, int item, int thread) {
  (void)thread;
  const Run *run = what;
  const Step *s = run->step;
  const Operation *o = run->operations;
  for (int items; item >= (items = product_items(s, &o->multiply.matrix)); o++) item -= items;
  const Multiply *m = &o->multiply;
  const Matrix *w = &m->matrix;
  const int rows = rows_at_once(s, w), n0 = item * rows, n1 = n0 + rows < w->rows ? n0 + rows : w->rows;
  float *out = o->to == LOGITS ? s->logits : s->edge->buffers[o->to];
  if (m->bias) start_from_bias(m, s->tokens, n0, n1, out);
  const Cpu *cpu = s->edge->cpu;
  (is_by_row(w) ? cpu->product_by_row : cpu->product)(w, &s->edge->rounded, s->tokens, n0, n1, out, w->rows,
                                                      m->add || m->bias);
  if (m->scale == 1.0f) return;
  for (int t = 0; t < s->tokens; t++)
    for (int n = n0; n < n1; n++) out[(ptrdiff_t)t * w->rows + n] *= m->scale;
}

static int is_written_in(const Run *run, int buffer) {
  for (int i = 0; i < run->count; i++)
    if (run->operations[i].to == buffer) return 1;
  return 0;
}

/* Products from `o` on, which read the same activations, as long as they write different buffers. */
static int step_products(Step *s, const Operation *o, int left) {
  Run run = {.step = s, .operations = o};
  int items = 0;
  while (run.count < left && run.count < PRODUCTS_AT_ONCE && o[run.count].kind == MULTIPLY &&
         !is_written_in(&run, o[run.count].to))
    items += product_items(s, &o[run.count++].multiply.matrix);
  pool_run(s->edge->pool, step_product, &run, items);
  return run.count;
}

/* How the heads of a group are shared out: `heads` of them and `tokens` tokens are an item. */
typedef struct {
  int heads, tokens, items_of_group, keys_are_lanes;
} Shares;

static Shares attend_shares(const Step *s, const Attend *a) {
  const int lanes = s->edge->cpu->lanes, heads = a->heads / a->kv_heads;
  if (4 * heads < 3 * lanes)
    return (Shares){
        .heads = heads, .tokens = ROWS_A_LANE * lanes / heads, .items_of_group = 1, .keys_are_lanes = 1};
  return (Shares){
      .heads = heads < lanes ? heads : lanes, .tokens = 1, .items_of_group = (heads + lanes - 1) / lanes};
}

static void step_attend(void *what, int item, int thread) {
  const Run *run = what;
  const Step *s = run->step;
  const Attend *a = &run->operations->attend;
  const Shares shares = attend_shares(s, a);
  const int parts = shares.items_of_group * a->kv_heads, group = item % parts / shares.items_of_group;
  const int t = item / parts * shares.tokens, of_group = a->heads / a->kv_heads;
  const int first = item % shares.items_of_group * shares.heads, head = group * of_group + first;
  const Edge *e = s->edge;
  const int position = s->past + t, window = a->window ? a->window : MOST_CONTEXT + 1;
  const int seen = position < window ? 0 : position - window + 1; /* first key that the first token meets */
  const ptrdiff_t unseen = seen * row_bytes(&e->program) + group * head_bytes(&e->program);
  const Attention part = {
      .q = row_of(s, run->operations->from, t) + (ptrdiff_t)head * a->head_size,
      .keys = s->caches[2 * a->layer] + unseen,
      .values = s->caches[2 * a->layer + 1] + unseen,
      .slopes = a->slopes ? a->slopes + head : NULL,
      .scratch = e->scratch + thread * e->scratch_floats,
      .out = row_of(s, run->operations->to, t) + (ptrdiff_t)head * a->head_size,
      .q_stride = (ptrdiff_t)a->heads * a->head_size,
      .kv_stride = row_bytes(&e->program),
      .kv_type = (KvType)e->program.kv_type,
      .scale = a->scale,
      .tokens = s->tokens - t < shares.tokens ? s->tokens - t : shares.tokens,
      .heads = of_group - first < shares.heads ? of_group - first : shares.heads,
      .head_size = a->head_size,
      .position = position - seen,
      .window = window,
  };
  (shares.keys_are_lanes ? e->cpu->attend_keys : e->cpu->attend_heads)(&part);
}

static int gate_piece(const Step *s, const Operation *o) {
  const int width = s->edge->program.widths[o->to];
  const int piece = o->gate.rotation_size > BLOCK ? o->gate.rotation_size : BLOCK;
  return width % piece ? width : piece;
}

static void step_gate(void *what, int item, int thread) {
  (void)thread;
  const Run *run = what;
  const Step *s = run->step;
  const Operation *o = run->operations;
  const Gate *g = &o->gate;
  const int width = s->edge->program.widths[o->to], piece = gate_piece(s, o), pieces = width / piece;
  const int t = item / pieces, at = item % pieces * piece;
  const float *from = row_of(s, o->from, t) + at;
  float *to = row_of(s, o->to, t) + at;
  s->edge->cpu->gate((Activation)g->activation, from, g->gated ? from + width : NULL, piece, to);
  if (g->rotation) s->edge->cpu->rotate(g->rotation, g->rotation_size, piece, to);
}

static void step_keep_last(Step *s, const Operation *o, int keep) {
  const size_t bytes = sizeof(float) * (size_t)s->edge->program.widths[o->to] * (size_t)keep;
  memmove(row_of(s, o->to, 0), row_of(s, o->to, s->tokens - keep), bytes);
  s->tokens = keep;
}

/* Do the operation at `o`, and those that are one piece of work with it; return how many. */
static int step_operation(Step *s, const Operation *o, int left, int keep) {
  Run run = {.step = s, .operations = o, .count = 1};
  if (is_tokenwise(o)) return step_tokens(s, o, left);
  if (o->kind == MULTIPLY) return step_products(s, o, left);
  if (o->kind == KEEP_LAST) {
    step_keep_last(s, o, keep);
  } else if (o->kind == GATE) {
    const int pieces = s->edge->program.widths[o->to] / gate_piece(s, o);
    pool_run(s->edge->pool, step_gate, &run, s->tokens * pieces);
  } else {
    const Shares shares = attend_shares(s, &o->attend);
    const int parts = shares.items_of_group * o->attend.kv_heads;
    pool_run(s->edge->pool, step_attend, &run, (s->tokens + shares.tokens - 1) / shares.tokens * parts);
  }
  return 1;
}

static int step_run(Step *s, int keep) {
  Edge *e = s->edge;
  if (!edge_make_room(e, s->tokens)) return EDGE_NO_MEMORY;
  for (int i = 0; i < e->program.count;)
    i += step_operation(s, &e->program.operations[i], e->program.count - i, keep);
  return EDGE_DONE;
}

int edge_step(Edge *e, const int64_t *ids, int tokens, int past, uint8_t *const *caches, int keep,
              float *logits) {
  if (!step_is_sound(&e->program, ids, tokens, past, caches, keep)) return EDGE_REFUSED;
  Step step = {.edge = e, .ids = ids, .caches = caches, .logits = logits, .tokens = tokens, .past = past};
  pool_begin(e->pool);
  const int done = step_run(&step, keep);
  pool_end(e->pool);
  return done;
}
