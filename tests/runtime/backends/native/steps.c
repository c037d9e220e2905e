/* Whole steps of made-up models of odd sizes, run under the sanitizers: however tokens are cut into steps
   and shared among threads, logits and caches are the same to the last bit.

   Usage: steps CPU SEED COUNT */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge.h"

enum { CONTEXT = 96, TOKENS = 40 };

static unsigned state;
static unsigned next(void) { return state = state * 1664525u + 1013904223u, state >> 8; }
static int from_to(int low, int high) { return low + (int)(next() % (unsigned)(high - low + 1)); }

static void *kept[4096];
static int kept_count;
static size_t kept_bytes[4096];
static void *keep(size_t bytes) {
  kept_bytes[kept_count] = bytes;
  return kept[kept_count++] = calloc(1, bytes);
}

/* All that was kept, as if it were one file: each piece has its own bounds, which the sanitizers watch. */
static void all_as_data(Model *m) {
  uintptr_t low = UINTPTR_MAX, high = 0;
  for (int i = 0; i < kept_count; i++) {
    const uintptr_t at = (uintptr_t)kept[i];
    low = at < low ? at : low, high = at + kept_bytes[i] > high ? at + kept_bytes[i] : high;
  }
  m->data = (const uint8_t *)low, m->data_bytes = (int64_t)(high - low);
}

static float *floats(int count, float around, float spread) {
  float *to = keep(sizeof(float) * (size_t)count);
  for (int i = 0; i < count; i++) to[i] = around + spread * ((float)(next() % 2001) / 1000.0f - 1.0f);
  return to;
}

static Matrix matrix(int rows, int cols, int bits, int whole_blocks) {
  const size_t blocks = (size_t)rows * (size_t)blocks_of(cols);
  const size_t bytes =
      whole_blocks ? blocks * (size_t)(BLOCK * bits / 8) : (size_t)rows * (size_t)(cols * bits / 8);
  uint8_t *codes = keep(bytes);
  uint16_t *scales = keep(blocks * sizeof *scales);
  for (size_t i = 0; i < bytes; i++) codes[i] = (uint8_t)next();
  for (size_t i = 0; i < blocks; i++) scales[i] = (uint16_t)(0x1c00 + next() % 1024); /* 2^-8 */
  return (Matrix){codes, scales, rows, cols, bits};
}

static Model model(void) {
  static const int turns[] = {0, 2, 32, 64, 128};
  Model m = {.layers = from_to(1, 2), .heads = from_to(1, 35), .vocabulary = from_to(20, 200)};
  m.head_size = 4 * from_to(1, 20), m.width = 2 * from_to(4, 150), m.context = CONTEXT;
  m.turn_size = turns[next() % 5], m.epsilon = 1e-5f;
  m.hidden = m.turn_size ? BLOCK * from_to(1, 4) : 16 * from_to(1, 30);
  m.slopes = floats(m.heads, 0.5f, 0.4f), m.norm = floats(m.width, 1, 0.2f);
  if (m.turn_size) m.turn = floats(m.turn_size * m.turn_size, 0, 0.3f);
  m.embedding = matrix(m.vocabulary, m.width, next() % 2 ? 4 : 8, 0);
  m.head = matrix(m.vocabulary, m.width, 8, 1);
  Layer *layers = keep(sizeof *layers * (size_t)m.layers);
  for (int i = 0; i < m.layers; i++) {
    const int inside = m.heads * m.head_size;
    layers[i] = (Layer){floats(m.width, 1, 0.2f),       floats(m.width, 1, 0.2f),
                        matrix(inside, m.width, 4, 1),  matrix(2 * m.head_size, m.width, 8, 1),
                        matrix(m.width, inside, 4, 1),  matrix(2 * m.hidden, m.width, 4, 1),
                        matrix(m.width, m.hidden, 4, 1)};
  }
  m.blocks = layers;
  all_as_data(&m);
  return m;
}

/* Run all tokens in steps of at most `most`; logits [TOKENS][vocabulary]. */
static int run(const Model *m, const char *cpu, int threads, int most, const int64_t *ids, float *logits) {
  Edge *edge;
  float *buffers[4];
  int done = 0;
  if (edge_open(m, threads, cpu, &edge) != EDGE_DONE) return 0;
  for (int i = 0; i < 2 * m->layers; i++)
    buffers[i] = malloc(sizeof(float) * (size_t)(CONTEXT * m->head_size));
  while (done < TOKENS) {
    const int some = TOKENS - done < most ? TOKENS - done : most;
    float *to = logits + done * m->vocabulary;
    if (edge_step(edge, ids + done, some, done, buffers, some, to) != EDGE_DONE) return 0;
    done += some;
  }
  for (int i = 0; i < 2 * m->layers; i++) free(buffers[i]);
  edge_close(edge);
  return 1;
}

/* FNV-1a, going on from `hash`. */
static uint64_t hash_of(uint64_t hash, const void *from, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) hash = (hash ^ ((const uint8_t *)from)[i]) * 0x100000001b3u;
  return hash;
}

/* steps CPU SEED COUNT; prints how many models were right, and a hash of all their logits, which kinds of CPU
   share that add up in the same order. */
int main(int argc, char **argv) {
  if (argc != 4) return 2;
  uint64_t hash = 0xcbf29ce484222325u;
  const int count = atoi(argv[3]);
  state = (unsigned)atoi(argv[2]);
  for (int n = 0; n < count; n++) {
    const Model m = model();
    const size_t size = sizeof(float) * (size_t)(TOKENS * m.vocabulary);
    float *whole = keep(size), *parts = keep(size);
    int64_t ids[TOKENS];
    for (int i = 0; i < TOKENS; i++) ids[i] = from_to(0, m.vocabulary - 1);
    const int threads = from_to(1, 4), most = from_to(1, 20);
    if (!run(&m, argv[1], 1, TOKENS, ids, whole) || !run(&m, argv[1], threads, most, ids, parts)) return 3;
    for (int i = 0; i < TOKENS * m.vocabulary; i++)
      if (!isfinite(whole[i]) || memcmp(&whole[i], &parts[i], sizeof(float))) {
        printf(
            "model %d: logit %d is %g at once, %g in steps of %d by %d threads; %d heads of %d, width %d, "
            "hidden %d, turn %d\n",
            n, i, (double)whole[i], (double)parts[i], most, threads, m.heads, m.head_size, m.width, m.hidden,
            m.turn_size);
        return 1;
      }
    hash = hash_of(hash, whole, size);
    while (kept_count) free(kept[--kept_count]);
  }
  printf("%d models, logits %016llx\n", count, (unsigned long long)hash);
  return 0;
}
