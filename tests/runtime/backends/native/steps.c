/* Whole steps of made-up programs of odd sizes, run under the sanitizers: however tokens are cut into steps
   and shared among threads, logits are the same to the last bit.

   Usage: steps CPU SEED COUNT */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "edge.h"
#include "system.h"

enum { CONTEXT = 96, TOKENS = 40, MOST_PIECES = 4096 };
enum { STREAM, NORMED, Q, KV, ATTENDED, UP, GATED };

static unsigned state;
static unsigned next(void) { return state = state * 1664525u + 1013904223u, state >> 8; }
static int from_to(int low, int high) { return low + (int)(next() % (unsigned)(high - low + 1)); }
static int maybe(void) { return from_to(0, 1); }

static struct {
  void *memory;
  size_t bytes;
} pieces[MOST_PIECES];
static int piece_count;
static void *piece(size_t bytes) {
  pieces[piece_count].bytes = bytes;
  return pieces[piece_count++].memory = calloc(1, bytes);
}

static float *floats(int count, float around, float spread) {
  float *to = piece(sizeof(float) * (size_t)count);
  for (int i = 0; i < count; i++) to[i] = around + spread * ((float)(next() % 2001) / 1000.0f - 1.0f);
  return to;
}

static Matrix matrix(int rows, int cols, int bits, int whole_blocks) {
  const size_t blocks = (size_t)rows * (size_t)blocks_of(cols);
  const size_t bytes =
      whole_blocks ? blocks * (size_t)(BLOCK * bits / 8) : (size_t)rows * (size_t)(cols * bits / 8);
  uint8_t *codes = piece(bytes);
  uint16_t *scales = piece(blocks * sizeof *scales);
  for (size_t i = 0; i < bytes; i++) codes[i] = (uint8_t)next();
  for (size_t i = 0; i < blocks; i++) scales[i] = (uint16_t)(0x1c00 + next() % 1024); /* 2^-8 */
  return (Matrix){.codes = codes, .scales = scales, .rows = rows, .cols = cols, .bits = bits};
}

/* Of signed bytes, which lie [cols][rows] or, of an embedding, the other way round. */
static Matrix matrix_by_row(int rows, int cols) {
  uint8_t *codes = piece((size_t)rows * (size_t)cols);
  for (size_t i = 0; i < (size_t)rows * (size_t)cols; i++) codes[i] = (uint8_t)next();
  return (Matrix){
      .codes = codes, .row_scales = floats(rows, 0, 0.0005f), .rows = rows, .cols = cols, .bits = 8};
}

/* What all layers of a made-up model share. */
typedef struct {
  int layers, heads, kv_heads, head_size, width, hidden, vocabulary, rotation_size;
  int rms, biases, head_norms, dims, gated, activation, parallel, window, by_row;
  float *slopes, *cosines, *sines, *rotation;
} Model;

static Model make_model(void) {
  static const int rotations[] = {0, 2, 32, 64, 128};
  Model m = {
      .layers = from_to(1, 2), .kv_heads = maybe() ? 1 : from_to(1, 8), .vocabulary = from_to(20, 200)};
  m.heads = m.kv_heads * from_to(1, m.kv_heads > 1 ? 5 : 35);
  m.head_size = 2 * from_to(1, 40), m.width = 2 * from_to(4, 150), m.rotation_size = rotations[next() % 5];
  m.hidden = m.rotation_size ? BLOCK * from_to(1, 4) : 16 * from_to(1, 30);
  m.rms = maybe(), m.biases = maybe(), m.head_norms = !from_to(0, 3), m.gated = maybe(), m.parallel = maybe();
  m.activation = from_to(SILU, GELU_TANH), m.dims = maybe() ? 2 * from_to(1, m.head_size / 2) : 0;
  if (m.dims) m.cosines = floats(CONTEXT * m.dims / 2, 0, 1), m.sines = floats(CONTEXT * m.dims / 2, 0, 1);
  m.by_row = maybe();
  m.window = maybe() ? from_to(1, TOKENS) : 0;
  if (!m.dims) m.slopes = floats(m.heads, 0.5f, 0.4f);
  if (m.rotation_size) m.rotation = floats(m.rotation_size * m.rotation_size, 0, 0.3f);
  return m;
}

static Operation operations[256];
static int operation_count;
static Operation *add(int kind, int from, int to) {
  Operation *o = &operations[operation_count++];
  *o = (Operation){.kind = kind, .from = from, .to = to};
  return o;
}

static void add_norm(const Model *m) {
  add(NORM, STREAM, NORMED)->norm = (Norm){.weight = floats(m->width, 1, 0.2f),
                                           .bias = m->biases ? floats(m->width, 0, 0.2f) : NULL,
                                           .epsilon = 1e-5f,
                                           .rms = m->rms};
}

static void add_round(const Model *m, int from, int terms) {
  add(ROUND, from, 0)->round = (Round){.terms = m->by_row ? terms : 0};
}

static void add_product(const Model *m, int rows, int cols, int to, int adds) {
  const Matrix w = m->by_row ? matrix_by_row(rows, cols) : matrix(rows, cols, next() % 3 ? 4 : 8, 1);
  add(MULTIPLY, 0, to)->multiply = (Multiply){.matrix = w,
                                              .bias = m->biases ? floats(rows, 0, 0.2f) : NULL,
                                              .scale = to == LOGITS && maybe() ? 0.5f : 1.0f,
                                              .add = adds};
}

static void add_heads(const Model *m, int buffer, int heads) {
  const Heads h = {.heads = heads, .size = m->head_size};
  if (m->head_norms)
    add(NORM_HEADS, 0, buffer)->norm_heads =
        (NormHeads){.heads = h, .weight = floats(m->head_size, 1, 0.2f), .epsilon = 1e-5f};
  if (m->dims)
    add(ROTARY, 0, buffer)->rotary =
        (Rotary){.heads = h, .cosines = m->cosines, .sines = m->sines, .dims = m->dims};
}

static void add_attention(const Model *m, int layer) {
  add_heads(m, Q, m->heads), add_heads(m, KV, m->kv_heads);
  add(APPEND, KV, 0)->append = (Append){.layer = layer};
  add(ATTEND, Q, ATTENDED)->attend = (Attend){.slopes = m->slopes,
                                              .scale = 0.25f,
                                              .layer = layer,
                                              .heads = m->heads,
                                              .kv_heads = m->kv_heads,
                                              .head_size = m->head_size,
                                              .window = m->window};
  add_round(m, ATTENDED, 1);
  add_product(m, m->width, m->heads * m->head_size, STREAM, 1);
}

static void add_layer(const Model *m, int layer) {
  add_norm(m), add_round(m, NORMED, 1);
  add_product(m, m->heads * m->head_size, m->width, Q, 0);
  add_product(m, 2 * m->kv_heads * m->head_size, m->width, KV, 0);
  if (!m->parallel) add_attention(m, layer), add_norm(m), add_round(m, NORMED, 1);
  add_product(m, (1 + m->gated) * m->hidden, m->width, UP, 0);
  if (m->parallel) add_attention(m, layer);
  add(GATE, UP, GATED)->gate = (Gate){.rotation = m->rotation,
                                      .rotation_size = m->rotation_size,
                                      .activation = m->activation,
                                      .gated = m->gated};
  add_round(m, GATED, 1);
  add_product(m, m->width, m->hidden, STREAM, 1);
}

/* All pieces, as if they were one file: each has its own bounds, which the sanitizers watch. */
static void all_as_data(Program *p) {
  uintptr_t low = UINTPTR_MAX, high = 0;
  for (int i = 0; i < piece_count; i++) {
    const uintptr_t at = (uintptr_t)pieces[i].memory;
    low = at < low ? at : low, high = at + pieces[i].bytes > high ? at + pieces[i].bytes : high;
  }
  p->data = (const uint8_t *)low, p->data_bytes = (int64_t)(high - low);
}

static Program make_program(const Model *m) {
  operation_count = 0;
  const int positions = maybe() ? CONTEXT + 3 : 0;
  const Matrix embedding = m->by_row ? matrix_by_row(m->vocabulary, m->width)
                                     : matrix(m->vocabulary, m->width, next() % 2 ? 4 : 8, 0);
  add(EMBED, 0, STREAM)->embed =
      (Embed){.matrix = embedding,
              .positions = positions ? floats(positions * m->width, 0, 0.1f) : NULL,
              .position_rows = positions,
              .scale = maybe() ? 3.0f : 1.0f};
  for (int i = 0; i < m->layers; i++) add_layer(m, i);
  add(KEEP_LAST, 0, STREAM);
  add_norm(m), add_round(m, NORMED, from_to(1, MOST_TERMS));
  add_product(m, m->vocabulary, m->width, LOGITS, 0);
  Program p = {.operations = operations,
               .count = operation_count,
               .context = CONTEXT,
               .vocabulary = m->vocabulary,
               .layers = m->layers,
               .kv_width = m->kv_heads * m->head_size,
               .kv_heads = m->kv_heads,
               .kv_type = from_to(KV_FP32, KV_INT8)};
  p.widths[STREAM] = p.widths[NORMED] = m->width;
  p.widths[Q] = p.widths[ATTENDED] = m->heads * m->head_size;
  p.widths[KV] = 2 * p.kv_width;
  p.widths[UP] = (1 + m->gated) * m->hidden, p.widths[GATED] = m->hidden;
  all_as_data(&p);
  return p;
}

/* Run all tokens in steps of at most `most`; logits [TOKENS][vocabulary]. */
static int run_on(Edge *edge, const Program *p, int most, const int64_t *ids, float *logits) {
  uint8_t *caches[4];
  int done = 0;
  for (int i = 0; i < 2 * p->layers; i++) caches[i] = malloc((size_t)(CONTEXT * row_bytes(p)));
  while (done < TOKENS) {
    const int some = TOKENS - done < most ? TOKENS - done : most;
    float *to = logits + done * p->vocabulary;
    if (edge_step(edge, ids + done, some, done, caches, some, to) != EDGE_DONE) return 0;
    done += some;
  }
  for (int i = 0; i < 2 * p->layers; i++) free(caches[i]);
  return 1;
}

static int run(const Program *p, const char *cpu, int threads, int most, const int64_t *ids, float *logits) {
  Edge *edge;
  if (edge_open(p, threads, cpu, &edge) != EDGE_DONE) return 0;
  const int done = run_on(edge, p, most, ids, logits);
  edge_close(edge);
  return done;
}

/* One of several who call at once. */
typedef struct {
  Edge *edge;
  const Program *program;
  const int64_t *ids;
  const float *expected;
  int right;
} Caller;

static THREAD_RESULT call(void *what) {
  Caller *c = what;
  const size_t size = sizeof(float) * (size_t)(TOKENS * c->program->vocabulary);
  float *logits = malloc(size);
  c->right = run_on(c->edge, c->program, 7, c->ids, logits) && !memcmp(logits, c->expected, size);
  free(logits);
  return 0;
}

/* Two models with one pool, and four callers each; whether all have what one alone has. */
static int together(const char *cpu) {
  Program programs[2];
  Caller callers[8];
  Thread threads[8];
  int64_t ids[TOKENS];
  int right = 1;
  for (int i = 0; i < TOKENS; i++) ids[i] = from_to(0, 19);
  for (int i = 0; i < 2; i++) {
    const Model m = make_model();
    Edge *edge;
    programs[i] = make_program(&m);
    float *expected = piece(sizeof(float) * (size_t)(TOKENS * m.vocabulary));
    if (!run(&programs[i], cpu, 1, TOKENS, ids, expected)) return 0;
    if (edge_open(&programs[i], 3, cpu, &edge) != EDGE_DONE) return 0;
    for (int n = i; n < 8; n += 2) callers[n] = (Caller){edge, &programs[i], ids, expected, 0};
  }
  for (int n = 0; n < 8; n++)
    if (!thread_start(&threads[n], call, &callers[n])) return 0;
  for (int n = 0; n < 8; n++) {
    thread_join(threads[n]);
    right &= callers[n].right;
  }
  for (int i = 0; i < 2; i++) edge_close(callers[i].edge);
  while (piece_count) free(pieces[--piece_count].memory);
  return right;
}

/* FNV-1a, going on from `hash`. */
static uint64_t hash_of(uint64_t hash, const void *from, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) hash = (hash ^ ((const uint8_t *)from)[i]) * 0x100000001b3u;
  return hash;
}

/* steps CPU SEED COUNT; prints how many models were right, and a hash of all their logits, which kinds of CPU
   share that add up in the same order. */
int main(int argc, char **argv) {
  if (argc == 5) { /* steps CPU SEED COUNT together */
    state = (unsigned)atoi(argv[2]);
    for (int n = 0; n < atoi(argv[3]); n++)
      if (!together(argv[1])) return printf("pair %d differs\n", n), 1;
    printf("%s pairs\n", argv[3]);
    return 0;
  }
  if (argc != 4) return 2;
  uint64_t hash = 0xcbf29ce484222325u;
  const int count = atoi(argv[3]);
  state = (unsigned)atoi(argv[2]);
  for (int n = 0; n < count; n++) {
    const Model m = make_model();
    const Program p = make_program(&m);
    const size_t size = sizeof(float) * (size_t)(TOKENS * m.vocabulary);
    float *whole = piece(size), *parts = piece(size);
    int64_t ids[TOKENS];
    for (int i = 0; i < TOKENS; i++) ids[i] = from_to(0, m.vocabulary - 1);
    const int threads = from_to(1, 4), most = from_to(1, 20);
    if (!run(&p, argv[1], 1, TOKENS, ids, whole) || !run(&p, argv[1], threads, most, ids, parts)) return 3;
    for (int i = 0; i < TOKENS * m.vocabulary; i++)
      if (!isfinite(whole[i]) || memcmp(&whole[i], &parts[i], sizeof(float))) {
        printf(
            "model %d: logit %d is %g at once, %g in steps of %d by %d threads; %d heads of %d in %d groups, "
            "width %d, hidden %d, rotation %d\n",
            n, i, (double)whole[i], (double)parts[i], most, threads, m.heads, m.head_size, m.kv_heads,
            m.width, m.hidden, m.rotation_size);
        return 1;
      }
    hash = hash_of(hash, whole, size);
    while (piece_count) free(pieces[--piece_count].memory);
  }
  printf("%d models, logits %016llx\n", count, (unsigned long long)hash);
  return 0;
}
