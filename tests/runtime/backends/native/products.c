/* Products by every CPU's way beside sums in double precision, run under the sanitizers.

   The bound: values are rounded to 8 bits alike everywhere, whole sums of a block are exact, and
   what is left is the addition of `blocks` floats: each is off by 2^-24 of the sum of sizes so far at
   most. They are added in the same order everywhere, so each kind of CPU gives the bits of plain C. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge.h"

static unsigned state = 1;
static unsigned next(void) { return state = state * 1664525u + 1013904223u, state >> 8; }

static uint16_t small_half(void) {
  return (uint16_t)(next() % 2 << 15 | (next() % 14 + 8) << 10 | next() % 1024);
}

static float value(int kind, int i) {
  switch (kind) {
    case 0:
      return (float)(next() % 20001) / 10000.0f - 1.0f;
    case 1:
      return 0.0f;
    case 2:
      return 3.0f;
    case 3:
      return i % 2 ? 1e30f : -1e30f;
    case 4:
      return 1e-42f; /* denormal */
    case 5:
      return i % 128 ? 1e-6f : 1000.0f;
    default:
      return i % 2 ? -127.0f : 127.0f;
  }
}

static float half_value(uint16_t h) { /* of normal numbers, as are made above */
  float size = ldexpf((float)(1024 + h % 1024), (h >> 10) % 32 - 25);
  return h >> 15 ? -size : size;
}

static int differs_from_portable(const char *cpu, const Matrix *w, const float *x, int tokens,
                                 const float *out) {
  if (!strcmp(cpu, "portable")) return 0;
  const size_t bytes = (size_t)tokens * (size_t)w->rows * sizeof *out;
  float *plain = malloc(bytes);
  const int done = edge_product("portable", w, 0, x, tokens, plain);
  const int differs = done != EDGE_DONE || memcmp(plain, out, bytes);
  free(plain);
  return differs;
}

static int check(const char *cpu, int bits, int rows, int cols, int tokens, int kind, int codes_kind) {
  const int blocks = blocks_of(cols), bytes = BLOCK * bits / 8;
  const size_t count = (size_t)rows * (size_t)blocks;
  uint8_t *codes = malloc(count * (size_t)bytes);
  uint16_t *scales = malloc(count * 2);
  float *x = malloc((size_t)tokens * (size_t)cols * 4), *out = malloc((size_t)tokens * (size_t)rows * 4);
  for (size_t i = 0; i < count * (size_t)bytes; i++)
    codes[i] = codes_kind == 0 ? (uint8_t)next() : codes_kind == 1 ? 0 : 255;
  for (size_t i = 0; i < count; i++) scales[i] = small_half();
  for (int i = 0; i < tokens * cols; i++) x[i] = value(kind, i);
  const Matrix w = {.codes = codes, .scales = scales, .rows = rows, .cols = cols, .bits = bits};
  int wrong = edge_product(cpu, &w, 0, x, tokens, out) != EDGE_DONE;
  for (int t = 0; t < tokens && !wrong; t++)
    for (int n = 0; n < rows && !wrong; n++) {
      double sum = 0, sizes = 0, largest = 0;
      for (int b = 0; b < blocks; b++) {
        const float *v = x + (long)t * cols + b * BLOCK;
        const int size = cols - b * BLOCK < BLOCK ? cols - b * BLOCK : BLOCK;
        float top = 0;
        for (int i = 0; i < size; i++) top = fabsf(v[i]) > top ? fabsf(v[i]) : top;
        const float scale = top < 1e-35f ? 0 : top / 127.0f, inverse = scale > 0 ? 1.0f / scale : 0;
        if (top > largest) largest = top;
        long whole = 0;
        for (int i = 0; i < size; i++) {
          const uint8_t *row = codes + ((long)n * blocks + b) * bytes;
          const int code = bits == 8 ? row[i] - 128 : ((row[i / 2] >> 4 * (i & 1)) & 15) - 8;
          float r = v[i] * inverse;
          r = r > 127 ? 127 : r < -127 ? -127 : r;
          whole += code * lrintf(r);
        }
        const double part = (double)whole * (double)half_value(scales[n * blocks + b]) * (double)scale;
        sum += part, sizes += fabs(part);
      }
      const double off = fabs((double)out[t * rows + n] - sum);
      /* a value halfway between two codes may be rounded up here and down there */
      const double most = (blocks + 8) * ldexp(1, -24) * sizes +
                          16 * 128 * 127 * 127 * ldexp(1, -24) * largest / 127 * 4 + 1e-30;
      if (!(off <= most)) {
        printf("%s, %d bits, %d x %d, %d tokens, kind %d: %g for %g, off by %g of %g\n", cpu, bits, rows,
               cols, tokens, kind, (double)out[t * rows + n], sum, off, most);
        wrong = 1;
      }
    }
  if (!wrong && differs_from_portable(cpu, &w, x, tokens, out)) {
    printf("%s, %d bits, %d x %d, %d tokens, kind %d: other bits than portable\n", cpu, bits, rows, cols,
           tokens, kind);
    wrong = 1;
  }
  free(codes), free(scales), free(x), free(out);
  return wrong;
}

/* Made-up shapes, from a seed on. */
static int fuzz(const char *cpu, unsigned seed, int count) {
  state = seed;
  for (int done = 0; done < count; done++) {
    const int rows = 1 + (int)(next() % 150), cols = 1 + (int)(next() % 700);
    const int tokens = 1 + (int)(next() % (next() % 4 ? 12 : 150)), bits = next() % 2 ? 4 : 8;
    if (check(cpu, bits, rows, cols, tokens, (int)(next() % 7), (int)(next() % 3))) {
      printf("product %d from seed %u\n", done, seed);
      return 1;
    }
  }
  printf("%d products\n", count);
  return 0;
}

/* products, what this CPU can compute as; products CPU, all of the table below; products CPU SEED COUNT,
   made-up ones. */
int main(int argc, char **argv) {
  if (argc < 2) {
    for (int i = 0; edge_cpu(i); i++) printf("%s\n", edge_cpu(i));
    return 0;
  }
  if (argc == 4) return fuzz(argv[1], (unsigned)atoi(argv[2]), atoi(argv[3]));
  int done = 0;
  for (int bits = 4; bits <= 8; bits += 4)
    for (int tokens = 1; tokens <= 32; tokens += tokens < 10 ? 1 : tokens < 16 ? 3 : 16)
      for (int blocks = 1; blocks <= 44; blocks = blocks * 3 + 1)
        for (int kind = 0; kind < 7; kind++)
          for (int codes = 0; codes < 3; codes++, done++) {
            /* 5 panels of 16 with and without 3 rows more, as tokens of this kind differ from one another. */
            const int few = kind || codes, cols = blocks * BLOCK - kind % 3 * 37;
            if (check(argv[1], bits, few ? 3 : 83, cols, tokens, kind, codes)) return 1;
            if (!codes && check(argv[1], bits, few ? 16 : 80, cols, tokens, kind, codes)) return 1;
          }
  printf("%d products\n", done);
  return 0;
}
