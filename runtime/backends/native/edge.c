/* Opening and closing a program, and its memory. */
#include "edge.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "rounded.h"
#include "state.h"

static void edge_release(Edge *e) {
  for (int i = 0; i < MOST_BUFFERS; i++) {
    free(e->buffers[i]);
    e->buffers[i] = NULL;
  }
  rounded_free(&e->rounded);
  e->room = 0;
}

int edge_make_room(Edge *e, int tokens) {
  if (tokens <= e->room) return 1;
  edge_release(e);
  for (int i = 0; i < MOST_BUFFERS; i++) {
    const int width = e->program.widths[i];
    if (!width) continue;
    e->buffers[i] = malloc((size_t)tokens * (size_t)width * sizeof(float));
    if (!e->buffers[i]) return 0;
  }
  if (!rounded_new(&e->rounded, tokens * e->rounded_terms, e->rounded_cols)) return 0;
  e->room = tokens;
  return 1;
}

/* Take over a sound program's operations, and what their memory depends on. */
static int edge_take_operations(Edge *e, const Program *p) {
  const size_t bytes = (size_t)p->count * sizeof *e->operations;
  e->operations = malloc(bytes);
  if (!e->operations) return 0;
  memcpy(e->operations, p->operations, bytes);
  e->program = *p;
  e->program.operations = e->operations;
  return 1;
}

/* How much memory the operations need, whatever the number of tokens. */
static void edge_measure(Edge *e) {
  e->rounded_cols = e->rounded_terms = 1;
  for (int i = 0; i < e->program.count; i++) {
    const Operation *o = &e->operations[i];
    const int cols = o->kind == ROUND ? e->program.widths[o->from] : 0;
    const int size = o->kind == ATTEND ? o->attend.head_size : 0;
    const ptrdiff_t floats = size ? attention_scratch(e->cpu, e->program.context, size) : 0;
    if (cols > e->rounded_cols) e->rounded_cols = cols;
    if (cols && o->round.terms > e->rounded_terms) e->rounded_terms = o->round.terms;
    if (floats > e->scratch_floats) e->scratch_floats = floats;
  }
}

int edge_open(const Program *program, int threads, const char *cpu, Edge **opened) {
  *opened = NULL;
  const Cpu *kind = cpu_named(cpu);
  if (!kind || threads < 1 || threads > MOST_THREADS || !program_is_sound(program)) return EDGE_REFUSED;
  Edge *e = calloc(1, sizeof *e);
  if (!e) return EDGE_NO_MEMORY;
  e->cpu = kind;
  if (edge_take_operations(e, program)) {
    edge_measure(e);
    e->pool = pool_open(threads);
  }
  if (e->pool) {
    const size_t floats = (size_t)(e->scratch_floats * pool_threads(e->pool));
    e->scratch = malloc(sizeof(float) * (floats + 1)); /* of a program without attention: none */
  }
  if (!e->scratch) {
    edge_close(e);
    return EDGE_NO_MEMORY;
  }
  *opened = e;
  return EDGE_DONE;
}

void edge_close(Edge *e) {
  if (!e) return;
  if (e->pool) pool_close(e->pool);
  edge_release(e);
  free(e->scratch);
  free(e->operations);
  free(e);
}
