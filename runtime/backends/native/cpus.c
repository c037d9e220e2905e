/* All kinds of CPU, the fastest first, and a product and a cache by each of them for tests. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cpu.h"
#include "edge.h"
#include "rounded.h"

static const Cpu *const CPUS[] = {&cpu_amx,  &cpu_avx512vnni, &cpu_avxvnni, &cpu_avx2,
                                  &cpu_i8mm, &cpu_neon,       &cpu_portable};
enum { CPU_COUNT = sizeof CPUS / sizeof *CPUS };

static int is_here(const Cpu *cpu) { return cpu->here && cpu->here(); }

const Cpu *cpu_named(const char *name) {
  for (int i = 0; i < CPU_COUNT; i++)
    if (!strcmp(name, CPUS[i]->name) && is_here(CPUS[i])) return CPUS[i];
  return NULL;
}

const char *edge_cpu(int number) {
  for (int i = 0; i < CPU_COUNT; i++)
    if (is_here(CPUS[i]) && !number--) return CPUS[i]->name;
  return NULL;
}

int edge_product(const char *name, const Matrix *w, int terms, const float *x, int tokens, float *out) {
  const Cpu *cpu = cpu_named(name);
  Rounded r;
  if (!cpu || tokens < 1 || !matrix_is_sound(w) || terms < 0 || terms > MOST_TERMS ||
      is_by_row(w) != (terms > 0))
    return EDGE_REFUSED;
  if (!rounded_new(&r, terms ? tokens * terms : tokens, w->cols)) {
    rounded_free(&r);
    return EDGE_NO_MEMORY;
  }
  rounded_begin(&r, terms, tokens);
  for (int t = 0; t < tokens; t++)
    (terms ? cpu->round_by_row : cpu->round)(x + (ptrdiff_t)t * w->cols, w->cols, &r, t);
  for (int b = 0; is_arranged(cpu, &r, tokens) && b < blocks_of(w->cols); b++) cpu->arrange(&r, tokens, b);
  (terms ? cpu->product_by_row : cpu->product)(w, &r, tokens, 0, w->rows, out, w->rows, 0);
  rounded_free(&r);
  return EDGE_DONE;
}

/* Attention to a single key has its value as the outcome, whatever the query. */
int edge_cached(const char *name, int type, const float *x, int size, float *out) {
  const Cpu *cpu = cpu_named(name);
  if (!cpu || type < 0 || type >= KV_TYPES || size < 1 || size > MOST_COLS) return EDGE_REFUSED;
  uint8_t *row = malloc((size_t)kv_head_bytes(type, size));
  float *q = calloc((size_t)size, sizeof *q);
  float *scratch = malloc(sizeof *scratch * (size_t)attention_scratch(cpu, 1, size));
  const int done = row && q && scratch;
  if (done) {
    cpu->pack((KvType)type, x, 1, size, row);
    Attention a = {.q = q,
                   .keys = row,
                   .values = row,
                   .scratch = scratch,
                   .out = out,
                   .kv_type = (KvType)type,
                   .scale = 1,
                   .tokens = 1,
                   .heads = 1,
                   .head_size = size,
                   .window = 1};
    cpu->attend_heads(&a);
    a.out = out + size;
    cpu->attend_keys(&a);
  }
  free(row), free(q), free(scratch);
  return done ? EDGE_DONE : EDGE_NO_MEMORY;
}
