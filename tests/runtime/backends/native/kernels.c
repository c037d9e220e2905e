/* Every kernel of a kind's row beside the portable one, by name, run under the sanitizers.

   Usage: kernels KIND KERNEL SEED; KERNEL is a name of the table below. Prints "KIND KERNEL: N cases". What is exact by
   design must have the bits of the portable kernel, and all else its numbers but for rounding: other kinds multiply
   and add in one instruction. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "kernels/half.h"
#include "rounded.h"

static unsigned state;
static unsigned next(void) { return state = state * 1664525u + 1013904223u, state >> 8; }
static int from_to(int low, int high) { return low + (int)(next() % (unsigned)(high - low + 1)); }
static float *floats(int count) {
  float *to = malloc(sizeof(float) * (size_t)count);
  for (int i = 0; i < count; i++) to[i] = (float)(next() % 2001) / 500.0f - 2.0f;
  return to;
}

enum { CASES = 120 };

static int compare(const float *right, const float *mine, int count, double off, double least) {
  for (int i = 0; i < count; i++)
    if (!(fabs((double)right[i] - (double)mine[i]) <= off * (fabs((double)right[i]) + least))) {
      printf("number %d of %d is %.9g, portable has %.9g\n", i, count, (double)mine[i], (double)right[i]);
      return 0;
    }
  return 1;
}

static int check_norm(const Cpu *cpu, int rms) {
  const int width = from_to(1, 700);
  float *x = floats(width), *weight = floats(width), *right = floats(width), *mine = floats(width);
  (rms ? cpu_portable.rms_norm : cpu_portable.layer_norm)(x, weight, 1e-5f, width, right);
  (rms ? cpu->rms_norm : cpu->layer_norm)(x, weight, 1e-5f, width, mine);
  const int same = compare(right, mine, width, 1e-5, 1);
  free(x), free(weight), free(right), free(mine);
  return same;
}

static int check_layer_norm(const Cpu *cpu) { return check_norm(cpu, 0); }
static int check_rms_norm(const Cpu *cpu) { return check_norm(cpu, 1); }

/* Sums and scales, and what 8-bit products read: the rest is in each kind's own order. */
static int check_round(const Cpu *cpu) {
  const int cols = from_to(1, 700), tokens = from_to(1, 20), blocks = blocks_of(cols);
  float *x = floats(cols * tokens);
  Rounded right, mine;
  int same = rounded_new(&right, tokens, cols) + rounded_new(&mine, tokens, cols) == 2;
  for (int t = 0; same && t < tokens; t++) {
    cpu_portable.round(x + t * cols, cols, &right, t);
    cpu->round(x + t * cols, cols, &mine, t);
  }
  const size_t count = (size_t)(blocks * right.padded_tokens);
  same = same && !memcmp(right.scales, mine.scales, sizeof(float) * count) &&
         !memcmp(right.sums, mine.sums, sizeof(int32_t) * count);
  if (!same) printf("%d tokens of %d have other scales or sums\n", tokens, cols);
  free(x), rounded_free(&right), rounded_free(&mine);
  return same;
}

static void multiply(const Cpu *cpu, const Matrix *w, const float *x, int tokens, float *out, int add) {
  Rounded r;
  if (rounded_new(&r, tokens, w->cols)) {
    rounded_begin(&r, 0, tokens);
    for (int t = 0; t < tokens; t++) cpu->round(x + t * w->cols, w->cols, &r, t);
    for (int b = 0; is_arranged(cpu, &r, tokens) && b < blocks_of(w->cols); b++) cpu->arrange(&r, tokens, b);
    cpu->product(w, &r, tokens, 0, w->rows, out, w->rows, add);
  }
  rounded_free(&r);
}

/* With `arrange`, and added to what is there. */
static int check_product(const Cpu *cpu) {
  Matrix w = {.rows = from_to(1, 100), .cols = from_to(1, 500), .bits = from_to(1, 2) * 4};
  const int blocks = blocks_of(w.cols), tokens = from_to(0, 1) ? from_to(1, 20) : from_to(20, 70);
  const size_t bytes = (size_t)w.rows * (size_t)(blocks * BLOCK * w.bits / 8),
               size = (size_t)(w.rows * tokens);
  uint8_t *codes = malloc(bytes);
  uint16_t *scales = malloc((size_t)(w.rows * blocks) * sizeof *scales);
  for (size_t i = 0; i < bytes; i++) codes[i] = (uint8_t)next();
  for (int i = 0; i < w.rows * blocks; i++) scales[i] = (uint16_t)(0x2000 + next() % 4096);
  w.codes = codes, w.scales = scales;
  float *x = floats(w.cols * tokens), *right = floats((int)size), *mine = malloc(sizeof(float) * size);
  memcpy(mine, right, sizeof(float) * size);
  const int add = from_to(0, 1);
  multiply(&cpu_portable, &w, x, tokens, right, add), multiply(cpu, &w, x, tokens, mine, add);
  const int same = compare(right, mine, (int)size, 0, 0);
  free(codes), free(scales), free(x), free(right), free(mine);
  return same;
}

/* Rounded by row to some terms; rows before were longer, and full. */
static int round_rows(const Cpu *cpu, const float *x, int cols, int tokens, int terms, Rounded *to) {
  if (!rounded_new(to, tokens * terms, cols)) return 0;
  rounded_begin(to, terms, tokens);
  memset(to->plain, 99, (size_t)(blocks_of(cols) * to->padded_tokens * BLOCK));
  for (int t = 0; t < tokens; t++) cpu->round_by_row(x + t * cols, cols, to, t);
  return 1;
}

/* Scales, sums, and all numbers of each row with the zeros behind them. */
static int check_round_by_row(const Cpu *cpu) {
  const int cols = from_to(1, 700), tokens = from_to(1, 20), terms = from_to(1, MOST_TERMS);
  float *x = floats(cols * tokens);
  Rounded right, mine;
  int same = round_rows(&cpu_portable, x, cols, tokens, terms, &right) +
                 round_rows(cpu, x, cols, tokens, terms, &mine) ==
             2;
  const size_t count = (size_t)(tokens * terms);
  same = same && !memcmp(right.scales, mine.scales, sizeof(float) * count) &&
         !memcmp(right.sums, mine.sums, sizeof(int32_t) * count);
  for (int b = 0; same && b < blocks_of(cols); b++) {
    const ptrdiff_t at = (ptrdiff_t)b * right.padded_tokens * BLOCK;
    same = !memcmp(right.plain + at, mine.plain + at, count * BLOCK);
    for (int i = cols - b * BLOCK; same && i < BLOCK; i++) same = !mine.plain[at + i];
  }
  if (!same) printf("%d tokens of %d in %d terms are rounded to others\n", tokens, cols, terms);
  free(x), rounded_free(&right), rounded_free(&mine);
  return same;
}

static void multiply_by_row(const Cpu *cpu, const Matrix *w, const float *x, int tokens, int terms,
                            float *out, int add) {
  Rounded r;
  if (round_rows(cpu, x, w->cols, tokens, terms, &r))
    cpu->product_by_row(w, &r, tokens, 0, w->rows, out, w->rows, add);
  rounded_free(&r);
}

/* Added to what is there, or not; of codes at their ends, too. */
static int check_product_by_row(const Cpu *cpu) {
  Matrix w = {.rows = from_to(1, 600), .cols = from_to(1, 600), .bits = 8};
  const int terms = from_to(1, MOST_TERMS), tokens = from_to(0, 1) ? from_to(1, 20) : from_to(20, 150);
  const size_t bytes = (size_t)(w.rows * w.cols), size = (size_t)(w.rows * tokens);
  uint8_t *codes = malloc(bytes);
  const int ends = !from_to(0, 3);
  for (size_t i = 0; i < bytes; i++) codes[i] = (uint8_t)(ends ? 127 + next() % 2 * 2 : next());
  float *scales = floats(w.rows), *x = floats(w.cols * tokens);
  float *right = floats((int)size), *mine = malloc(sizeof(float) * size);
  w.codes = codes, w.row_scales = scales;
  memcpy(mine, right, sizeof(float) * size);
  const int add = from_to(0, 1);
  multiply_by_row(&cpu_portable, &w, x, tokens, terms, right, add);
  multiply_by_row(cpu, &w, x, tokens, terms, mine, add);
  const int same = compare(right, mine, (int)size, 0, 0);
  free(codes), free(scales), free(x), free(right), free(mine);
  return same;
}

/* Numbers of all sizes, and such as are none. */
static float odd_number(void) {
  static const float some[] = {0.0f,  -0.0f,   65504.0f, 65519.9f, 65520.0f, -7e4f,
                               3e38f, 5.9e-8f, 2.9e-8f,  1e-40f,   6.1e-5f};
  if (!from_to(0, 40)) return from_to(0, 2) ? INFINITY : NAN;
  if (!from_to(0, 3)) return some[next() % (sizeof some / sizeof *some)];
  return ldexpf((float)(next() & 0xffffff) - 8388608.0f, from_to(-50, -10));
}

/* The half of a number, by trying all: the nearest one, and of two the even one. */
static uint16_t right_half(float x) {
  uint16_t low = 0, high = 0x7bff; /* neighbours among the positive ones */
  const double size = fabs((double)x);
  while (high - low > 1) {
    const uint16_t middle = (uint16_t)((low + high) / 2);
    if ((double)half_to_float(middle) <= size)
      low = middle;
    else
      high = middle;
  }
  const double below = size - (double)half_to_float(low), above = (double)half_to_float(high) - size;
  const uint16_t nearest = below < above || (below == above && !(low & 1)) ? low : high;
  return (uint16_t)(nearest | (signbit(x) ? 0x8000 : 0));
}

static int halves_are_right(const float *x, int count, const uint8_t *row) {
  for (int i = 0; i < count; i++) {
    uint16_t half;
    memcpy(&half, row + 2 * i, sizeof half);
    if (!isnan(x[i]) && half != right_half(x[i])) return printf("half %04x of %.9g\n", half, (double)x[i]), 0;
  }
  return 1;
}

static int check_pack(const Cpu *cpu) {
  const KvType type = (KvType)from_to(KV_FP32, KV_INT8);
  const int heads = from_to(1, 5), size = from_to(1, 70), count = heads * size;
  const size_t bytes = (size_t)(heads * kv_head_bytes(type, size));
  float *x = malloc(sizeof(float) * (size_t)count);
  uint8_t *right = malloc(bytes), *mine = malloc(bytes);
  const int odd = from_to(0, 1);
  for (int i = 0; i < count; i++) x[i] = odd ? odd_number() : (float)(next() % 2001) / 500.0f - 2.0f;
  cpu_portable.pack(type, x, heads, size, right);
  cpu->pack(type, x, heads, size, mine);
  int same = !memcmp(right, mine, bytes);
  if (!same) printf("%d heads of %d are other bytes in type %d\n", heads, size, (int)type);
  same = same && (type != KV_FP16 || halves_are_right(x, count, mine));
  free(x), free(right), free(mine);
  return same;
}

/* Keys or values of some tokens as a cache has them, and the floats that these stand for. */
typedef struct {
  uint8_t *rows;
  float *numbers;
} Cache;

static float number_of(KvType type, const uint8_t *head, int d) {
  uint16_t half;
  float scale;
  if (type == KV_FP16) return memcpy(&half, head + 2 * d, sizeof half), half_to_float(half);
  memcpy(&scale, head, sizeof scale);
  return scale * (float)(int8_t)head[KV_SCALE_BYTES + d];
}

static Cache make_cache(const Cpu *cpu, KvType type, int heads, int size, int count) {
  const ptrdiff_t head_bytes = kv_head_bytes(type, size), row_bytes = heads * head_bytes;
  Cache c = {.rows = malloc((size_t)(row_bytes * count)), .numbers = floats(heads * size * count)};
  for (int t = 0; t < count; t++)
    cpu->pack(type, c.numbers + t * heads * size, heads, size, c.rows + t * row_bytes);
  for (int h = 0; type != KV_FP32 && h < heads * count; h++)
    for (int d = 0; d < size; d++) c.numbers[h * size + d] = number_of(type, c.rows + h * head_bytes, d);
  return c;
}

enum { NO_WINDOW = 1 << 21 }; /* more than any position */

/* A case, and what it is made of. */
typedef struct {
  Attention a;
  Cache keys, values;
  float *q, *slopes;
  size_t out_bytes;
} Case;

static Case make_case(const Cpu *cpu) {
  const int heads = from_to(1, cpu->lanes), tokens = from_to(1, cpu->lanes / heads);
  const int past = from_to(0, 150), size = from_to(1, 70), groups = from_to(1, 3);
  const int q_width = heads * size + from_to(0, 9);
  const KvType type = (KvType)from_to(KV_FP32, KV_INT8);
  Case c = {.keys = make_cache(cpu, type, groups, size, past + tokens),
            .values = make_cache(cpu, type, groups, size, past + tokens),
            .q = floats(q_width * tokens),
            .slopes = floats(heads),
            .out_bytes = sizeof(float) * (size_t)(q_width * tokens)};
  for (int h = 0; h < heads; h++) c.slopes[h] = fabsf(c.slopes[h]);
  c.a = (Attention){.q = c.q,
                    .keys = c.keys.rows,
                    .values = c.values.rows,
                    .slopes = from_to(0, 1) ? c.slopes : NULL,
                    .q_stride = q_width,
                    .kv_stride = groups * kv_head_bytes(type, size),
                    .kv_type = type,
                    .scale = 0.3f,
                    .tokens = tokens,
                    .heads = heads,
                    .head_size = size,
                    .position = past,
                    .window = from_to(0, 1) ? from_to(1, past + tokens) : NO_WINDOW};
  return c;
}

/* What a way to attend writes, where 0 was before. */
static float *attended(const Cpu *cpu, const Case *c, Attention a, int by_keys) {
  const ptrdiff_t floats_beside = attention_scratch(cpu, a.position + a.tokens, a.head_size);
  a.scratch = malloc(sizeof(float) * (size_t)floats_beside), a.out = calloc(1, c->out_bytes);
  (by_keys ? cpu->attend_keys : cpu->attend_heads)(&a);
  free(a.scratch);
  return a.out;
}

/* By the portable kind, head by head, as it has fewer lanes; what is before a window is no part of its cache. */
static float *attended_portably(const Case *c) {
  float *out = calloc(1, c->out_bytes);
  for (int t = 0; t < c->a.tokens; t++)
    for (int h = 0; h < c->a.heads; h++) {
      Attention one = c->a;
      one.q += t * one.q_stride + h * one.head_size, one.position += t, one.tokens = one.heads = 1;
      one.slopes = one.slopes ? one.slopes + h : NULL;
      const int unseen = one.position < one.window ? 0 : one.position + 1 - one.window;
      one.keys += unseen * one.kv_stride, one.values += unseen * one.kv_stride;
      one.position -= unseen, one.window = NO_WINDOW;
      float *part = attended(&cpu_portable, c, one, 0);
      memcpy(out + t * one.q_stride + h * one.head_size, part, sizeof(float) * (size_t)one.head_size);
      free(part);
    }
  return out;
}

/* The same case with the floats that its caches stand for. */
static Attention unpacked(const Case *c) {
  Attention a = c->a;
  a.keys = (const uint8_t *)c->keys.numbers, a.values = (const uint8_t *)c->values.numbers;
  a.kv_stride = c->a.kv_stride / kv_head_bytes(c->a.kv_type, a.head_size) * a.head_size * 4;
  a.kv_type = KV_FP32;
  return a;
}

/* The row's own other way to attend gives the same bits, too, and so do the floats that a cache stands for. */
static int check_attend(const Cpu *cpu, int by_keys) {
  const Case c = make_case(cpu);
  const Attention *a = &c.a;
  float *mine = attended(cpu, &c, *a, by_keys), *other = attended(cpu, &c, *a, !by_keys);
  float *as_floats = attended(cpu, &c, unpacked(&c), by_keys), *right = attended_portably(&c);
  const int same = !memcmp(mine, other, c.out_bytes), same_unpacked = !memcmp(mine, as_floats, c.out_bytes);
  if (!same || !same_unpacked)
    printf("%s: %d heads of %d, %d tokens behind %d, window %d, type %d\n",
           same ? "a cache and its floats differ" : "both ways to attend differ", a->heads, a->head_size,
           a->tokens, a->position, a->window, (int)a->kv_type);
  const int near = compare(right, mine, (int)(c.out_bytes / sizeof(float)), 1e-4, 1);
  free(c.keys.rows), free(c.keys.numbers), free(c.values.rows), free(c.values.numbers), free(c.q);
  free(c.slopes), free(mine), free(other), free(as_floats), free(right);
  return same && same_unpacked && near;
}

static int check_attend_heads(const Cpu *cpu) { return check_attend(cpu, 0); }
static int check_attend_keys(const Cpu *cpu) { return check_attend(cpu, 1); }

static double right_gate(Activation activation, double x) {
  if (activation == SILU) return x / (1 + exp(-x));
  if (activation == GELU) return x * 0.5 * erfc(-x * sqrt(0.5));
  return x * 0.5 * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

/* Beside the mathematics, as the portable kernel is the same text. */
static int check_gate(const Cpu *cpu) {
  const int count = 16 * from_to(1, 40), gated = from_to(0, 1);
  const Activation activation = (Activation)from_to(SILU, GELU_TANH);
  float *x = floats(count), *up = floats(count), *right = floats(count), *mine = floats(count);
  const float stretch = (float)from_to(1, 40);
  for (int i = 0; i < count; i++) {
    x[i] *= stretch;
    right[i] = (float)(right_gate(activation, (double)x[i]) * (gated ? (double)up[i] : 1));
  }
  cpu->gate(activation, x, gated ? up : NULL, count, mine);
  const int same = compare(right, mine, count, 2e-6, 1);
  free(x), free(up), free(right), free(mine);
  return same;
}

static int check_rotate(const Cpu *cpu) {
  const int size = from_to(1, 80), count = size * from_to(1, 5);
  float *rotation = floats(size * size), *right = floats(count),
        *mine = malloc(sizeof(float) * (size_t)count);
  memcpy(mine, right, sizeof(float) * (size_t)count);
  cpu_portable.rotate(rotation, size, count, right);
  cpu->rotate(rotation, size, count, mine);
  const int same = compare(right, mine, count, 1e-4, 10);
  free(rotation), free(right), free(mine);
  return same;
}

static const struct {
  const char *name;
  int (*check)(const Cpu *cpu);
} KERNELS[] = {
    {"layer_norm", check_layer_norm},
    {"rms_norm", check_rms_norm},
    {"round", check_round},
    {"round_by_row", check_round_by_row},
    {"product", check_product},
    {"product_by_row", check_product_by_row},
    {"pack", check_pack},
    {"attend_heads", check_attend_heads},
    {"attend_keys", check_attend_keys},
    {"gate", check_gate},
    {"rotate", check_rotate},
};

int main(int argc, char **argv) {
  const Cpu *cpu = argc == 4 ? cpu_named(argv[1]) : NULL;
  if (!cpu) return 2;
  state = (unsigned)atoi(argv[3]);
  for (size_t k = 0; k < sizeof KERNELS / sizeof *KERNELS; k++) {
    if (strcmp(KERNELS[k].name, argv[2])) continue;
    for (int i = 0; i < CASES; i++)
      if (!KERNELS[k].check(cpu)) return printf("%s %s, case %d\n", argv[1], argv[2], i), 1;
    return printf("%s %s: %d cases\n", argv[1], argv[2], CASES), 0;
  }
  return 3;
}
