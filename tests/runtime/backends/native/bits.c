/* Products of one kind of CPU as hashes of their bits, to be compared with another kind's.

   Each shape is multiplied with all its tokens at once, and then with the first 1, 2, 3, ... of them, which must
   give the same to the last bit.

   Usage: bits CPU; prints "bits terms rows cols hash" a product; terms are 0 by block. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge.h"

static unsigned state = 1;
static unsigned next(void) { return state = state * 1664525u + 1013904223u, state >> 8; }

/* Values of one token are of one sort: even ones, ties of the rounding to 8 bits, very large and small ones,
   none at all, and a NaN or infinity among others. */
static float value(int token, int i) {
  const float even = (float)(next() % 20001) / 10000.0f - 1.0f;
  switch (token % 16) {
    case 3:
      return i % 128 ? (float)(next() % 254) - 126.5f : 127.0f;
    case 5:
      return even * 1e30f;
    case 7:
      return even * 1e-36f;
    case 9:
      return even * 3e-34f; /* the product of two scales is denormal */
    case 11:
      return 0;
    case 13:
      return i == 77 ? NAN : even;
    case 15:
      return i == 5 ? -INFINITY : even;
    default:
      return i % 128 ? even : even * 50.0f;
  }
}

static uint16_t half(void) { /* denormal ones too */
  return (uint16_t)(next() % 2 << 15 | (next() % 16 ? next() % 14 + 8 : 0) << 10 | next() % 1024);
}

/* FNV-1a. What is no number has another sign on ARM than on x86. */
static uint64_t hash_of(const float *from, size_t count) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < count; i++) {
    uint32_t number = 0x7fc00000;
    if (!isnan(from[i])) memcpy(&number, from + i, 4);
    for (int byte = 0; byte < 4; byte++) hash = (hash ^ (number >> 8 * byte & 255)) * 0x100000001b3u;
  }
  return hash;
}

static int print(const char *cpu, int bits, int terms, int rows, int cols, int tokens) {
  static const int counts[] = {1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 33, 128};
  const size_t blocks = (size_t)rows * (size_t)blocks_of(cols), bytes = blocks * (size_t)(BLOCK * bits / 8);
  uint8_t *codes = malloc(bytes);
  uint16_t *scales = malloc(blocks * 2);
  const size_t size = (size_t)rows * sizeof(float);
  float *row_scales = malloc(size);
  float *x = malloc(sizeof(float) * (size_t)tokens * (size_t)cols);
  float *whole = malloc((size_t)tokens * size), *part = malloc((size_t)tokens * size);
  for (size_t i = 0; i < bytes; i++) codes[i] = (uint8_t)next();
  for (size_t i = 0; i < blocks; i++) scales[i] = half();
  for (int t = 0; t < tokens; t++)
    for (int i = 0; i < cols; i++) x[(size_t)t * (size_t)cols + (size_t)i] = value(t, i);
  for (int i = 0; i < rows; i++) row_scales[i] = value(i, i);
  const Matrix w = {.codes = codes,
                    .scales = terms ? NULL : scales,
                    .row_scales = terms ? row_scales : NULL,
                    .rows = rows,
                    .cols = cols,
                    .bits = bits};
  int done = edge_product(cpu, &w, terms, x, tokens, whole) == EDGE_DONE;
  for (size_t i = 0; done && i < sizeof counts / sizeof *counts && counts[i] < tokens; i++) {
    done = edge_product(cpu, &w, terms, x, counts[i], part) == EDGE_DONE &&
           !memcmp(part, whole, (size_t)counts[i] * size);
    if (!done)
      fprintf(stderr, "%s, %d bits, %d terms, %d x %d: %d tokens differ\n", cpu, bits, terms, rows, cols,
              counts[i]);
  }
  const uint64_t hash = done ? hash_of(whole, (size_t)tokens * (size_t)rows) : 0;
  if (done) printf("%d %d %d %d %016llx\n", bits, terms, rows, cols, (unsigned long long)hash);
  free(codes), free(row_scales), free(scales), free(x), free(whole), free(part);
  return done;
}

int main(int argc, char **argv) {
  static const int shapes[][3] = {{64, 640, 131},
                                  {70, 300, 131},
                                  {83, 129, 131},
                                  {9, 1409, 34},
                                  {1, 7, 131},
                                  {2, 2048, 34},
                                  {3, MOST_BLOCKS * BLOCK, 6}};
  if (argc != 2) return 2;
  static const int forms[][2] = {{4, 0}, {8, 0}, {8, 1}, {8, 2}}; /* bits and terms */
  for (size_t f = 0; f < sizeof forms / sizeof *forms; f++)
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
      if (!print(argv[1], forms[f][0], forms[f][1], shapes[i][0], shapes[i][1], shapes[i][2])) return 1;
  return 0;
}
