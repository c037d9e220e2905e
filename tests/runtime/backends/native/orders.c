/* Programs of operations in any order and of any sizes that the library takes, run under the sanitizers: each weight has
   memory of its own, of just its size.

   Usage: orders CPU SEED COUNT. Prints how many were run, and a hash of their logits, which does not depend on what is
   in memory that nobody wrote. */
/* Its checks choose the operations; the library has functions of the same names. */
#define matrix_is_sound matrix_is_sound_here
#define program_is_sound program_is_sound_here
#define step_is_sound step_is_sound_here
#include "check.c"

#include <stdio.h>
#include <stdlib.h>

#include "edge.h"

enum { BUFFERS = 10, LENGTH = 60, TRIES = 60, MOST_PIECES = 16 * LENGTH, MOST_CACHES = 2 * LENGTH };

static unsigned state;
static unsigned next(void) { return state = state * 1664525u + 1013904223u, state >> 8; }
static int from_to(int low, int high) { return low + (int)(next() % (unsigned)(high - low + 1)); }
static int maybe(void) { return from_to(0, 1); }

static void *pieces[MOST_PIECES];
static int piece_count;
static void *piece(size_t bytes) {
  uint8_t *memory = malloc(bytes);
  for (size_t i = 0; i < bytes; i++) memory[i] = (uint8_t)next();
  return pieces[piece_count++] = memory;
}

static float *floats(int64_t count) {
  float *to = piece(sizeof(float) * (size_t)count);
  for (int64_t i = 0; i < count; i++) to[i] = (float)from_to(-1000, 1000) / 1000.0f;
  return to;
}

static float *maybe_floats(int64_t count) { return maybe() ? floats(count) : NULL; }

static Matrix matrix(int rows, int cols, int whole_blocks) {
  Matrix w = {.rows = rows, .cols = cols, .bits = 4 << maybe()};
  const size_t blocks = (size_t)rows * (size_t)blocks_of(cols);
  uint16_t *scales = piece(blocks * sizeof *scales);
  w.codes =
      piece(whole_blocks ? blocks * (size_t)(BLOCK * w.bits / 8) : (size_t)(rows * (cols * w.bits / 8)));
  for (size_t i = 0; i < blocks; i++) scales[i] = (uint16_t)(0x1c00 + next() % 1024); /* 2^-8 */
  w.scales = scales;
  return w;
}

static Matrix matrix_by_row(int rows, int cols) {
  return (Matrix){.codes = piece((size_t)(rows * cols)),
                  .row_scales = floats(rows),
                  .rows = rows,
                  .cols = cols,
                  .bits = 8};
}

static Heads heads_of(int width) {
  const int size = from_to(1, width);
  return (Heads){.heads = from_to(1, width / size), .size = size};
}

/* For what is rounded. */
static Matrix factor(const State *s, int rows) {
  const int cols = s->rounded ? s->rounded : 1;
  return s->terms ? matrix_by_row(rows, cols) : matrix(rows, cols, 1);
}

/* An operation of a kind; it may not go with what was there before. */
static Operation operation(const State *s, int kind) {
  const Program *p = s->p;
  Operation o = {.kind = kind, .from = from_to(0, BUFFERS - 1), .to = from_to(0, BUFFERS - 1)};
  const int from = p->widths[o.from], to = p->widths[o.to], size = p->kv_width / p->kv_heads;
  if (kind == EMBED)
    o.embed = (Embed){.matrix = maybe() ? matrix(p->vocabulary, to, 0) : matrix_by_row(p->vocabulary, to),
                      .positions = maybe_floats((int64_t)(p->context + 1) * to),
                      .position_rows = p->context + 1,
                      .scale = 1.0f};
  if (kind == NORM)
    o.norm = (Norm){.weight = floats(from), .bias = maybe_floats(from), .epsilon = 1e-5f, .rms = maybe()};
  if (kind == ROUND) o.round.terms = from_to(0, MOST_TERMS);
  if (kind == MULTIPLY)
    o.multiply = (Multiply){.matrix = factor(s, to), .bias = maybe_floats(to), .scale = 1.0f, .add = maybe()};
  if (kind == NORM_HEADS)
    o.norm_heads = (NormHeads){.heads = heads_of(to), .weight = floats(to), .epsilon = 1e-5f};
  if (kind == ROTARY) {
    o.rotary = (Rotary){.heads = heads_of(to), .dims = 2 * from_to(0, to / 2)};
    o.rotary.cosines = floats((int64_t)p->context * (o.rotary.dims / 2));
    o.rotary.sines = floats((int64_t)p->context * (o.rotary.dims / 2));
  }
  if (kind == APPEND) o.append.layer = s->appended;
  if (kind == ATTEND)
    o.attend = (Attend){.slopes = maybe_floats(from),
                        .scale = 0.25f,
                        .layer = from_to(0, s->appended),
                        .heads = from / size,
                        .kv_heads = p->kv_heads,
                        .head_size = size,
                        .window = maybe() * from_to(1, 2 * p->context)};
  if (kind == GATE) {
    o.gate = (Gate){.rotation_size = maybe() << from_to(0, 8), .activation = from_to(SILU, GELU_TANH)};
    o.gate.gated = maybe();
    if (o.gate.rotation_size) o.gate.rotation = floats(o.gate.rotation_size * o.gate.rotation_size);
  }
  return o;
}

static Operation operations[4 * LENGTH];

/* Add an operation that goes with what was there before, if one of some does. */
static void add(Program *p, State *s, int kind) {
  for (int i = 0; i < TRIES; i++) {
    const int before = piece_count;
    const State old = *s;
    const Operation o = operation(s, kind);
    if (CHECKS[kind](s, &o)) {
      operations[p->count++] = o;
      return;
    }
    *s = old;
    while (piece_count > before) free(pieces[--piece_count]);
  }
}

/* Wherever memory lies: each piece has its own bounds, which the sanitizers watch. */
static Program make_program(void) {
  static const int scales[] = {1, 2, 2, 3, 4, 8, 20};
  Program p = {.operations = operations,
               .data = (const uint8_t *)1,
               .data_bytes = INT64_MAX,
               .context = from_to(1, 70),
               .vocabulary = from_to(1, 150),
               .layers = MOST_LAYERS,
               .kv_heads = from_to(1, 3),
               .kv_type = from_to(KV_FP32, KV_INT8)};
  p.kv_width = p.kv_heads * from_to(1, 12);
  for (int i = 0; i < BUFFERS; i++)
    p.widths[i] = from_to(0, 2) ? p.kv_width * scales[next() % 7] : 16 * from_to(1, 20);
  State s = {.p = &p};
  while (!s.written) add(&p, &s, EMBED);
  for (int i = 0; i < LENGTH; i++) add(&p, &s, from_to(0, KINDS - 2));
  p.layers = s.appended;
  while (!s.only_last) add(&p, &s, KEEP_LAST);
  while (!s.rounded) add(&p, &s, maybe() ? ROUND : from_to(0, KINDS - 2));
  operations[p.count++] = (Operation){
      .kind = MULTIPLY, .to = LOGITS, .multiply = {.matrix = factor(&s, p.vocabulary), .scale = 0.5f}};
  return p;
}

/* FNV-1a, going on from `hash`. */
static uint64_t hash_of(uint64_t hash, const void *from, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) hash = (hash ^ ((const uint8_t *)from)[i]) * 0x100000001b3u;
  return hash;
}

/* Fill the context in steps of any length; returns the hash of all logits, going on from `hash`. */
static uint64_t run(const Program *p, Edge *edge, uint64_t hash) {
  uint8_t *caches[MOST_CACHES];
  for (int i = 0; i < 2 * p->layers; i++) caches[i] = malloc((size_t)(p->context * row_bytes(p)));
  for (int past = 0; past < p->context;) {
    const int tokens = from_to(1, p->context - past), keep = from_to(1, tokens);
    const size_t bytes = sizeof(float) * (size_t)(keep * p->vocabulary);
    int64_t *ids = malloc(sizeof *ids * (size_t)tokens);
    float *logits = malloc(bytes);
    for (int t = 0; t < tokens; t++) ids[t] = from_to(0, p->vocabulary - 1);
    if (edge_step(edge, ids, tokens, past, caches, keep, logits) != EDGE_DONE) exit(3);
    hash = hash_of(hash, logits, bytes);
    free(ids), free(logits);
    past += tokens;
  }
  for (int i = 0; i < 2 * p->layers; i++) free(caches[i]);
  return hash;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  uint64_t hash = 0xcbf29ce484222325u;
  int done = 0, kinds[KINDS] = {0};
  state = (unsigned)atoi(argv[2]);
  for (const int count = atoi(argv[3]); done < count;) {
    const Program p = make_program();
    Edge *edge;
    if (p.layers && edge_open(&p, from_to(1, 3), argv[1], &edge) == EDGE_DONE) {
      hash = run(&p, edge, hash), done++;
      for (int i = 0; i < p.count; i++) kinds[operations[i].kind]++;
      edge_close(edge);
    }
    while (piece_count) free(pieces[--piece_count]);
  }
  printf("%d programs, of operations", done);
  for (int k = 0; k < KINDS; k++) printf(" %d", kinds[k]);
  printf(", logits %016llx\n", (unsigned long long)hash);
  return 0;
}
