/* One step of a decoder with one key/value head, over the weights of a bundle as they lie there.

   Weights are 4 or 8 bits in blocks of 128 along a row, each with a scale in fp16:

     codes  [rows][blocks][64 or 128 bytes]   4 bits: value 2i in the low, 2i + 1 in the high half
     scales [rows][blocks]                    value = (code - 8 or 128) * scale

   so a row is read from front to end and nothing is laid out anew: the file is mapped and used. A row
ends with a whole block, of which the last codes may mean nothing: the values they meet are zeros.
   Activations are rounded to 8 bits with a scale a token and block, as onnxruntime's MatMulNBits
   does at accuracy level 4. Products within a block are exact integers; see each CPU's file. */
#ifndef EDGE_H
#define EDGE_H

#include <stddef.h>
#include <stdint.h>

enum { BLOCK = 128, MOST_BLOCKS = 512, MOST_TURNED = 1024, MOST_THREADS = 1024 };

typedef struct {
  const uint8_t *codes;
  const uint16_t *scales;
  int32_t rows, cols, bits;
} Matrix;

typedef struct {
  const float *norm1, *norm2;
  Matrix q, kv, out, gate_up, down;
} Layer;

typedef struct {
  int32_t layers, heads, head_size, width, hidden, vocabulary, context, turn_size;
  float epsilon;
  const float *slopes; /* [heads], of ALiBi */
  const float *turn;   /* [turn_size, turn_size] applied before `down`, or NULL */
  const float *norm;
  Matrix embedding, head;
  const Layer *blocks;
  const uint8_t *data; /* the file of weights, in which all matrices and norms must lie */
  int64_t data_bytes;
} Model;

static inline int blocks_of(int cols) { return (cols + BLOCK - 1) / BLOCK; }

/* Tokens of one step, rounded to 8 bits for the products. All tokens' numbers of one block lie together,
   as products take them; there is room for whole sixteens of tokens. */
enum { TOKENS_OF_ROOM = 16, TILES_OF_BLOCK = 4 * 16 * 64 };
typedef struct {
  int32_t apart;   /* tokens from one block to the next */
  int8_t *plain;   /* [blocks][apart][128], for 8-bit weights; 0 behind a row's end */
  int8_t *halves;  /* the same, in the order in which this CPU takes 4-bit codes out of their bytes */
  float *scales;   /* [blocks][apart] */
  int32_t *sums;   /* [blocks][apart], of the rounded values */
  int32_t *starts; /* [blocks][apart][4], two numbers of 16 bits each, for CPUs that add up in these */
  int8_t *tiles;   /* [blocks][TILES_OF_BLOCK], of up to 16 tokens, for CPUs that arrange them so */
} Rounded;

/* What each kind of CPU does in its own way: rows n0 to n1 of weights times all tokens. With `add`
   the result is added to `out` [tokens][stride], else it replaces it. */
typedef struct {
  const char *name;
  int heads_at_once; /* of attention: as many as a vector has lanes */
  int (*here)(void); /* whether this CPU can; NULL in a library for another processor */
  void (*product)(const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out, ptrdiff_t stride,
                  int add);
  void (*norm)(const float *x, const float *weight, float epsilon, int width, float *out);
  void (*round)(const float *x, int cols, const Rounded *to, int t);
  void (*attend)(const float *q, const float *keys, const float *values, const float *slopes, int heads,
                 int head_size, int position, float *scratch, float *out);
  void (*gate)(const float *gate, const float *up, const float *turn, int turn_size, int count, float *out);
  /* Lay out block b of a few rounded tokens once more, before their products: of up to `arranged_tokens`,
     which are 0 where products need no more, and TOKENS_OF_ROOM at most. */
  void (*arrange)(const Rounded *x, int tokens, int b);
  int arranged_tokens;
} Cpu;

extern const Cpu cpu_portable, cpu_avx2, cpu_avxvnni, cpu_avx512vnni, cpu_amx, cpu_neon, cpu_i8mm;

typedef struct Pool Pool;
typedef void (*Work)(void *what, int item, int thread);
Pool *pool_open(int threads);
void pool_run(Pool *pool, Work work, void *what, int items); /* the caller works too */
int pool_threads(const Pool *pool);
void pool_close(Pool *pool);

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif
typedef struct Edge Edge;
/* The functions below are the library's; all memory that they are given stays the caller's. What does not fit
   together is refused. */
enum { EDGE_NO_MEMORY = 0, EDGE_DONE = 1, EDGE_REFUSED = 2 };
EXPORT int edge_open(const Model *model, int threads, const char *cpu, Edge **opened);
EXPORT int edge_layout(void);            /* tells whether a caller has the same structures in mind */
EXPORT const char *edge_cpu(int number); /* the names of what this CPU can, the fastest first; then NULL */
EXPORT int edge_step(Edge *edge, const int64_t *ids, int tokens, int past, float *const *buffers, int keep,
                     float *logits);
EXPORT void edge_close(Edge *edge);
/* For tests: one product of floats x [tokens][cols] by each way of computing it. */
EXPORT int edge_product(const char *cpu, const Matrix *w, const float *x, int tokens, float *out);

#endif
