/* What each kind of CPU does in its own way: a row of functions a kind, and what these take. */
#ifndef EDGE_CPU_H
#define EDGE_CPU_H

#include "kv.h"
#include "weights.h"

/* Activations of one step, rounded to 8 bits: by block, with a scale a token and block, as onnxruntime's MatMulNBits
   does at accuracy level 4; or by row, with a scale a token, or with two, where each number is the sum of two such terms.
   Products within a block, or a row, are exact integers; see each CPU's file. All tokens' numbers of one block lie
   together, as products take them; there is room for whole sixteens of tokens. By row a token's terms follow one
   another, as if they were tokens. */
enum { TOKENS_OF_ROOM = 16, TILES_OF_BLOCK = 4 * 16 * 64, MOST_TERMS = 2 };
typedef struct {
  int32_t padded_tokens; /* from one block to the next */
  int32_t terms;         /* by row; 0 by block */
  int8_t *plain;         /* [blocks][padded_tokens][BLOCK], for 8-bit weights; 0 behind a row's end */
  int8_t *nibble_order;  /* the same, in the order in which this CPU takes 4-bit codes out of their bytes */
  int16_t *wide;         /* by row: the same as `plain`, for CPUs that multiply 16 bits */
  float *scales;         /* [blocks][padded_tokens], or by row [padded_tokens] */
  int32_t *sums;         /* the same, of the rounded values */
  int32_t
      *starts;   /* [blocks][padded_tokens][4], two numbers of 16 bits each, for CPUs that add up in these */
  int8_t *tiles; /* [blocks][TILES_OF_BLOCK], of up to 16 tokens, for CPUs that arrange them so */
} Rounded;

/* Query heads of some tokens, and the keys and values of the head that they share. `heads` times `tokens` is at most
   ROWS_A_LANE times the number of lanes, and of one token that number. */
typedef struct {
  const float *q; /* [tokens][q_stride]: heads of head_size next to each other, not yet scaled */
  const uint8_t *keys, *values; /* a head of kv_type, one every kv_stride bytes */
  const float *slopes;          /* [heads], of ALiBi, or NULL */
  float *scratch;               /* attention_scratch floats */
  float *out;                   /* as q */
  ptrdiff_t q_stride, kv_stride;
  KvType kv_type;
  float scale; /* of scores */
  int tokens, heads, head_size;
  int position; /* of the first token, which meets the keys 0 to position, or of them the last `window` */
  int window;   /* more than any position where there is none */
} Attention;

typedef enum { SILU, GELU, GELU_TANH } Activation;

enum { MOST_ROTATION = 1024 };

/* Products are of rows n0 to n1 of the weights with all tokens; with `add` they are added to `out` [tokens][stride],
   else they replace it. Both ways to attend give the same bits. */
typedef struct {
  const char *name;
  int lanes;         /* of a vector of floats */
  int (*here)(void); /* whether this CPU can; NULL in a library for another processor */
  void (*product)(const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out, ptrdiff_t stride,
                  int add);
  void (*product_by_row)(const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out,
                         ptrdiff_t stride, int add);
  void (*layer_norm)(const float *x, const float *weight, float epsilon, int width, float *out);
  void (*rms_norm)(const float *x, const float *weight, float epsilon, int width, float *out);
  void (*round)(const float *x, int cols, const Rounded *to, int t);
  void (*round_by_row)(const float *x, int cols, const Rounded *to, int t);
  /* Write a token's keys or values, as many heads of as many numbers, as a row of a cache. */
  void (*pack)(KvType type, const float *x, int heads, int size, uint8_t *to);
  void (*attend_heads)(const Attention *a); /* a head a lane: for groups of most of a vector */
  void (*attend_keys)(const Attention *a);  /* a key a lane: for smaller groups */
  void (*gate)(Activation activation, const float *gate, const float *up, int count, float *out);
  void (*rotate)(const float *rotation, int size, int count, float *x);
  /* Lay out block b of a few rounded tokens once more, before their products: of up to `arranged_tokens`,
     which are 0 where products need no more, and TOKENS_OF_ROOM at most. */
  void (*arrange)(const Rounded *x, int tokens, int b);
  int arranged_tokens;
} Cpu;

extern const Cpu cpu_portable, cpu_avx2, cpu_avxvnni, cpu_avx512vnni, cpu_amx, cpu_neon, cpu_i8mm;

/* The kind of that name; NULL where this CPU cannot compute so. */
const Cpu *cpu_named(const char *name);

static inline int is_arranged(const Cpu *cpu, const Rounded *x, int tokens) {
  return !x->terms && tokens <= cpu->arranged_tokens;
}

enum {
  KEYS_AT_ONCE = 8, /* whose numbers are floats at a time, where the cache's are none */
  ROWS_A_LANE = 4,  /* heads of tokens that share what is made of a key */
};

/* Floats that either way to attend needs beside it, with keys of up to `context` tokens. */
static inline ptrdiff_t attention_scratch(const Cpu *cpu, int context, int head_size) {
  const ptrdiff_t lanes = cpu->lanes, rows = ROWS_A_LANE * lanes;
  return rows * (context + lanes + head_size) + (lanes + KEYS_AT_ONCE) * head_size;
}

#endif
