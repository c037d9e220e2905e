/* The step: what is done in which order, and which parts of it threads share. */
#include "edge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "kernels/half.h"
#include "system.h"

/* Rows that a thread takes at once. With 64 a lane of a panel reads 4 rows in a row, which at a width of 2048
   is a page; with 32 single tokens took a fifth longer, with 128 as long. */
enum { ROWS_AT_ONCE = 64 };

struct Edge {
  Model model;
  const Cpu *cpu;
  Pool *pool;
  int room; /* tokens that the memory below is for */
  float *x, *normed, *q, *kv, *attended, *gate_up, *gated, *scratch;
  Rounded rounded;
};

static const Cpu *const CPUS[] = {&cpu_amx,  &cpu_avx512vnni, &cpu_avxvnni, &cpu_avx2,
                                  &cpu_i8mm, &cpu_neon,       &cpu_portable};

static int is_here(const Cpu *cpu) { return cpu->here && cpu->here(); }

static const Cpu *find_cpu(const char *name) {
  for (size_t i = 0; i < sizeof CPUS / sizeof *CPUS; i++)
    if (!strcmp(name, CPUS[i]->name) && is_here(CPUS[i])) return CPUS[i];
  return NULL;
}

static int widest(const Model *m) {
  const int inside = m->heads * m->head_size, wide = m->hidden > m->width ? m->hidden : m->width;
  return inside > wide ? inside : wide;
}

static int head_groups(const Edge *e) {
  return (e->model.heads + e->cpu->heads_at_once - 1) / e->cpu->heads_at_once;
}

/* Floats that attention needs beside each thread: a group's queries, and scores with all keys. */
static ptrdiff_t scratch_of(const Edge *e) {
  return (ptrdiff_t)e->cpu->heads_at_once * (e->model.context + e->model.head_size + 8);
}

static int32_t apart_of(int tokens) {
  return (tokens + TOKENS_OF_ROOM - 1) / TOKENS_OF_ROOM * TOKENS_OF_ROOM;
}

static int make_rounded(Rounded *r, int tokens, int cols) {
  const int32_t apart = apart_of(tokens);
  const size_t blocks = (size_t)apart * (size_t)blocks_of(cols);
  *r = (Rounded){
      .apart = apart,
      .plain = calloc(blocks, BLOCK),
      .halves = calloc(blocks, BLOCK),
      .scales = calloc(blocks, sizeof(float)),
      .sums = calloc(blocks, sizeof(int32_t)),
      .starts = calloc(blocks, 4 * sizeof(int32_t)),
      .tiles = aligned_new(64, (size_t)blocks_of(cols) * TILES_OF_BLOCK),
  };
  return r->plain && r->halves && r->scales && r->sums && r->starts && r->tiles;
}

static void forget_rounded(Rounded *r) {
  free(r->plain), free(r->halves), free(r->scales), free(r->sums), free(r->starts), aligned_free(r->tiles);
  *r = (Rounded){0};
}

static void forget_memory(Edge *e) {
  float **all[] = {&e->x, &e->normed, &e->q, &e->kv, &e->attended, &e->gate_up, &e->gated};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    free(*all[i]);
    *all[i] = NULL;
  }
  forget_rounded(&e->rounded);
  e->room = 0;
}

static int make_room(Edge *e, int tokens) {
  if (tokens <= e->room) return 1;
  forget_memory(e);
  const Model *m = &e->model;
  const size_t t = (size_t)tokens, size = sizeof(float);
  const size_t heads = (size_t)m->heads * (size_t)m->head_size;
  e->x = malloc(t * (size_t)m->width * size);
  e->normed = malloc(t * (size_t)m->width * size);
  e->q = malloc(t * heads * size);
  e->kv = malloc(t * 2 * (size_t)m->head_size * size);
  e->attended = malloc(t * heads * size);
  e->gate_up = malloc(t * 2 * (size_t)m->hidden * size);
  e->gated = malloc(t * (size_t)m->hidden * size);
  if (!e->x || !e->normed || !e->q || !e->kv || !e->attended || !e->gate_up || !e->gated ||
      !make_rounded(&e->rounded, tokens, widest(m)))
    return 0;
  e->room = tokens;
  return 1;
}

int edge_open(const Model *model, int threads, const char *cpu, Edge **opened) {
  *opened = NULL;
  const Cpu *kind = find_cpu(cpu);
  if (!kind || threads < 1 || threads > MOST_THREADS || !model_is_sound(model)) return EDGE_REFUSED;
  Edge *e = calloc(1, sizeof *e);
  if (!e) return EDGE_NO_MEMORY;
  e->model = *model;
  e->cpu = kind;
  e->pool = pool_open(threads);
  if (e->pool) e->scratch = malloc(sizeof(float) * (size_t)scratch_of(e) * (size_t)pool_threads(e->pool));
  if (!e->scratch) {
    edge_close(e);
    return EDGE_NO_MEMORY;
  }
  *opened = e;
  return EDGE_DONE;
}

int edge_layout(void) { return (int)(sizeof(Model) * 10000 + sizeof(Layer) * 10 + sizeof(Matrix)); }

const char *edge_cpu(int number) {
  for (size_t i = 0; i < sizeof CPUS / sizeof *CPUS; i++)
    if (is_here(CPUS[i]) && !number--) return CPUS[i]->name;
  return NULL;
}

void edge_close(Edge *e) {
  if (!e) return;
  if (e->pool) pool_close(e->pool);
  forget_memory(e);
  free(e->scratch);
  free(e);
}

/* Work that is shared out. */

typedef struct {
  Edge *e;
  const float *weight; /* of a norm, or NULL to round what is there */
  const float *from;
  int past, cols, tokens;
  const float *keys, *values;
} Part;

static void round_token(void *what, int t, int thread) {
  (void)thread;
  const Part *p = what;
  Edge *e = p->e;
  const float *row = p->from + (ptrdiff_t)t * p->cols;
  if (p->weight) {
    float *to = e->normed + (ptrdiff_t)t * p->cols;
    e->cpu->norm(row, p->weight, e->model.epsilon, p->cols, to);
    row = to;
  }
  e->cpu->round(row, p->cols, &e->rounded, t);
}

static int is_arranged(const Cpu *cpu, int tokens) { return tokens <= cpu->arranged_tokens; }

static void arrange(void *what, int b, int thread) {
  (void)thread;
  const Part *p = what;
  p->e->cpu->arrange(&p->e->rounded, p->tokens, b);
}

static void round_all(Edge *e, const float *from, const float *weight, int cols, int tokens) {
  Part part = {.e = e, .from = from, .weight = weight, .cols = cols, .tokens = tokens};
  pool_run(e->pool, round_token, &part, tokens);
  if (is_arranged(e->cpu, tokens)) pool_run(e->pool, arrange, &part, blocks_of(cols));
}

typedef struct {
  const Matrix *matrices[2];
  float *outs[2];
  Edge *e;
  int tokens, first_items, add;
} Products;

static int items_of(const Matrix *w) { return (w->rows + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE; }

static void multiply(void *what, int item, int thread) {
  (void)thread;
  const Products *p = what;
  const int which = item >= p->first_items;
  const Matrix *w = p->matrices[which];
  const int n0 = (which ? item - p->first_items : item) * ROWS_AT_ONCE;
  const int n1 = n0 + ROWS_AT_ONCE < w->rows ? n0 + ROWS_AT_ONCE : w->rows;
  p->e->cpu->product(w, &p->e->rounded, p->tokens, n0, n1, p->outs[which], w->rows, p->add);
}

static void products(Edge *e, const Matrix *w, float *out, const Matrix *w2, float *out2, int tokens,
                     int add) {
  Products p = {{w, w2}, {out, out2}, e, tokens, items_of(w), add};
  pool_run(e->pool, multiply, &p, items_of(w) + (w2 ? items_of(w2) : 0));
}

static void attend(void *what, int item, int thread) {
  const Part *p = what;
  Edge *e = p->e;
  const Model *m = &e->model;
  const int groups = head_groups(e), most = e->cpu->heads_at_once, t = item / groups;
  const int first = item % groups * most;
  const int heads = m->heads - first < most ? m->heads - first : most;
  const ptrdiff_t at = ((ptrdiff_t)t * m->heads + first) * m->head_size;
  e->cpu->attend(e->q + at, p->keys, p->values, m->slopes + first, heads, m->head_size, p->past + t,
                 e->scratch + thread * scratch_of(e), e->attended + at);
}

static void gate(void *what, int item, int thread) {
  (void)thread;
  const Part *p = what;
  Edge *e = p->e;
  const Model *m = &e->model;
  const int pieces = m->hidden / p->cols, t = item / pieces, at = item % pieces * p->cols;
  const float *row = e->gate_up + (ptrdiff_t)t * 2 * m->hidden;
  e->cpu->gate(row + at, row + m->hidden + at, m->turn, m->turn_size, p->cols,
               e->gated + (ptrdiff_t)t * m->hidden + at);
}

/* Scale the queries, and put the new keys and values behind the old ones. */
static void place(Edge *e, int tokens, int past, float *keys, float *values) {
  const Model *m = &e->model;
  const int size = m->head_size;
  const float scale = 1.0f / sqrtf((float)size);
  for (ptrdiff_t i = 0; i < (ptrdiff_t)tokens * m->heads * size; i++) e->q[i] *= scale;
  for (int t = 0; t < tokens; t++) {
    const float *row = e->kv + (ptrdiff_t)t * 2 * size;
    memcpy(keys + (ptrdiff_t)(past + t) * size, row, sizeof(float) * (size_t)size);
    memcpy(values + (ptrdiff_t)(past + t) * size, row + size, sizeof(float) * (size_t)size);
  }
}

static void run_layer(Edge *e, const Layer *layer, int tokens, int past, float *keys, float *values) {
  const Model *m = &e->model;
  round_all(e, e->x, layer->norm1, m->width, tokens);
  products(e, &layer->q, e->q, &layer->kv, e->kv, tokens, 0);
  place(e, tokens, past, keys, values);
  Part part = {.e = e, .past = past, .keys = keys, .values = values};
  pool_run(e->pool, attend, &part, tokens * head_groups(e));
  round_all(e, e->attended, NULL, m->heads * m->head_size, tokens);
  products(e, &layer->out, e->x, NULL, NULL, tokens, 1);
  round_all(e, e->x, layer->norm2, m->width, tokens);
  products(e, &layer->gate_up, e->gate_up, NULL, NULL, tokens, 0);
  const int piece = m->turn && m->turn_size > BLOCK ? m->turn_size : BLOCK;
  Part gating = {.e = e, .cols = m->hidden % piece ? m->hidden : piece};
  pool_run(e->pool, gate, &gating, tokens * (m->hidden / gating.cols));
  round_all(e, e->gated, NULL, m->hidden, tokens);
  products(e, &layer->down, e->x, NULL, NULL, tokens, 1);
}

static void embed(Edge *e, const int64_t *ids, int tokens) {
  const Matrix *w = &e->model.embedding;
  for (int t = 0; t < tokens; t++) {
    const uint8_t *codes = w->codes + ids[t] * (w->cols * w->bits / 8); /* these rows end as they end */
    const uint16_t *scales = w->scales + ids[t] * blocks_of(w->cols);
    float *to = e->x + (ptrdiff_t)t * w->cols;
    for (int i = 0; i < w->cols; i++) {
      const int code = w->bits == 8 ? codes[i] - 128 : ((codes[i / 2] >> 4 * (i & 1)) & 15) - 8;
      to[i] = (float)code * half_to_float(scales[i / BLOCK]);
    }
  }
}

/* Run `tokens` ids behind `past` rows of the buffers (key then value, layer by layer), which get the
   new rows, and write the last `keep` logits. */
int edge_step(Edge *e, const int64_t *ids, int tokens, int past, float *const *buffers, int keep,
              float *logits) {
  const Model *m = &e->model;
  if (!step_is_sound(m, ids, tokens, past, buffers, keep)) return EDGE_REFUSED;
  if (!make_room(e, tokens)) return EDGE_NO_MEMORY;
  e->rounded.apart = apart_of(tokens);
  embed(e, ids, tokens);
  for (int i = 0; i < m->layers; i++)
    run_layer(e, &m->blocks[i], tokens, past, buffers[2 * i], buffers[2 * i + 1]);
  round_all(e, e->x + (ptrdiff_t)(tokens - keep) * m->width, m->norm, m->width, keep);
  products(e, &m->head, logits, NULL, NULL, keep, 0);
  return EDGE_DONE;
}

int edge_product(const char *name, const Matrix *w, const float *x, int tokens, float *out) {
  const Cpu *cpu = find_cpu(name);
  Rounded r;
  if (!cpu || tokens < 1 || !matrix_is_sound(w)) return EDGE_REFUSED;
  if (!make_rounded(&r, tokens, w->cols)) {
    forget_rounded(&r);
    return EDGE_NO_MEMORY;
  }
  for (int t = 0; t < tokens; t++) cpu->round(x + (ptrdiff_t)t * w->cols, w->cols, &r, t);
  for (int b = 0; is_arranged(cpu, tokens) && b < blocks_of(w->cols); b++) cpu->arrange(&r, tokens, b);
  cpu->product(w, &r, tokens, 0, w->rows, out, w->rows, 0);
  forget_rounded(&r);
  return EDGE_DONE;
}
