/* Every kernel of a kind's row beside the portable one, by name, run under the sanitizers.

   Usage: kernels KIND KERNEL SEED; KERNEL is a name of the table below. Prints "KIND KERNEL: N cases". What is exact by
   design must have the bits of the portable kernel, and all else its numbers but for rounding: other kinds multiply
   and add in one instruction. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "rounded.h"

static unsigned state;
static unsigned next(void) { return state = state * 1664525u + 1013904223u, state >> 8; }
static int from_to(int low, int high) { return low + (int)(next() % (unsigned)(high - low + 1)); }
static float *floats(int count) {
  float *to = malloc(sizeof(float) * (size_t)count);
  for (int i = 0; i < count; i++) to[i] = (float)(next() % 2001) / 500.0f - 2.0f;
  return to;
}

enum { CASES = 60 };

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
    for (int t = 0; t < tokens; t++) cpu->round(x + t * w->cols, w->cols, &r, t);
    for (int b = 0; is_arranged(cpu, tokens) && b < blocks_of(w->cols); b++) cpu->arrange(&r, tokens, b);
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

/* The row's own other way to attend gives the same bits, too. */
static int check_attend(const Cpu *cpu, int by_keys) {
  const int heads = from_to(1, cpu->lanes), tokens = from_to(1, cpu->lanes / heads);
  const int past = from_to(0, 150), size = from_to(1, 70), groups = from_to(1, 3), count = past + tokens;
  const int q_width = heads * size + from_to(0, 9);
  float *q = floats(q_width * tokens), *keys = floats(groups * size * count),
        *values = floats(groups * size * count);
  float *slopes = floats(heads), *right = floats(q_width * tokens),
        *mine = malloc(sizeof(float) * (size_t)(q_width * tokens));
  float *other = malloc(sizeof(float) * (size_t)(q_width * tokens));
  memcpy(mine, right, sizeof(float) * (size_t)(q_width * tokens));
  memcpy(other, right, sizeof(float) * (size_t)(q_width * tokens));
  for (int h = 0; h < heads; h++) slopes[h] = fabsf(slopes[h]);
  Attention a = {.q = q,
                 .keys = keys,
                 .values = values,
                 .slopes = from_to(0, 1) ? slopes : NULL,
                 .q_stride = q_width,
                 .kv_stride = groups * size,
                 .scale = 0.3f,
                 .tokens = tokens,
                 .heads = heads,
                 .head_size = size,
                 .position = past};
  a.scratch = malloc(sizeof(float) * (size_t)attention_scratch(cpu, count, size)), a.out = mine;
  (by_keys ? cpu->attend_keys : cpu->attend_heads)(&a);
  a.out = other;
  (by_keys ? cpu->attend_heads : cpu->attend_keys)(&a);
  int same = !memcmp(mine, other, sizeof(float) * (size_t)(q_width * tokens));
  if (!same)
    printf("both ways to attend differ: %d heads of %d, %d tokens behind %d\n", heads, size, tokens, past);
  free(a.scratch);
  a.scratch = malloc(sizeof(float) * (size_t)attention_scratch(&cpu_portable, count, size));
  for (int t = 0; t < tokens; t++) /* head by head, as the portable kind has fewer lanes */
    for (int h = 0; h < heads; h++) {
      Attention one = a;
      one.q = q + t * q_width + h * size, one.out = right + t * q_width + h * size, one.position = past + t;
      one.slopes = a.slopes ? slopes + h : NULL, one.tokens = one.heads = 1;
      cpu_portable.attend_heads(&one);
    }
  same = same && compare(right, mine, q_width * tokens, 1e-4, 1);
  free(q), free(keys), free(values), free(slopes), free(right), free(mine), free(other), free(a.scratch);
  return same;
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
    {"product", check_product},
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
