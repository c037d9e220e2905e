/* The program of a step: operations that are done one after the other, on all tokens of the step.

   Whoever opens a program knows the model; the library knows none. Operations read and write buffers, of which each has
   a width, the floats a token; one more is the rounded activations, which ROUND writes and MULTIPLY reads. Weights lie
   in `data`, the mapped file, or in `tables`, which is memory. check.c says what a program may be. */
#ifndef EDGE_PROGRAM_H
#define EDGE_PROGRAM_H

#include "kv.h"
#include "weights.h"

enum { MOST_BUFFERS = 16, MOST_OPERATIONS = 1 << 15, MOST_LAYERS = 1024, MOST_HEADS = 1024 };
enum { MOST_ROWS = 1 << 20, MOST_CONTEXT = 1 << 20 };
enum { GATE_PIECE = 16 }; /* hidden layers are whole ones of these */
enum { LOGITS = -1 };     /* in place of a buffer: the caller's memory, [keep][vocabulary] */

typedef enum {
  EMBED,      /* to = row of the id * scale (+ row of the position) */
  NORM,       /* to = from, normed */
  ROUND,      /* the rounded activations = from */
  MULTIPLY,   /* to = (or +=) (the rounded activations * matrix + bias) * scale */
  NORM_HEADS, /* heads of `to`, each RMS-normed */
  ROTARY,     /* heads of `to`, each rotated by its token's position */
  APPEND,     /* a layer's cache gets from's rows: the first half keys, the second values */
  ATTEND,     /* to = attention of from's queries to a layer's cache */
  GATE, /* to = activation(from's first half) * second half, or activation(from); then rotated in blocks */
  KEEP_LAST, /* what follows is done for the last `keep` tokens alone, and of all buffers `to` alone goes on */
  KINDS
} Kind;

typedef struct {
  Matrix matrix;
  const float *positions; /* [position_rows][width], or NULL */
  int32_t position_rows;
  float scale;
  int32_t padded; /* whether its rows are whole blocks, as a product's are, or end with their last value */
} Embed;

typedef struct {
  const float *weight, *bias; /* [width]; bias may be NULL */
  float epsilon;
  int32_t rms; /* whether the mean stays: RMS norm */
} Norm;

typedef struct {
  int32_t terms; /* 1 or 2: by row; 0: by block */
} Round;

typedef struct {
  Matrix matrix;
  const float *bias; /* [rows], or NULL */
  float scale;       /* 1 where it adds */
  int32_t add;
} Multiply;

/* The `heads` heads of `size` numbers that a row begins with. */
typedef struct {
  int32_t heads, size;
} Heads;

typedef struct {
  Heads heads;
  const float *weight; /* [size] */
  float epsilon;
} NormHeads;

/* Numbers i and i + dims / 2 of a head are a point, which is rotated by an angle of its position. */
typedef struct {
  Heads heads;
  const float *cosines, *sines; /* [context][dims / 2] */
  int32_t dims;
} Rotary;

typedef struct {
  int32_t layer;
} Append;

/* Query heads in kv_heads equal groups. */
typedef struct {
  const float *slopes; /* [heads], of ALiBi, or NULL */
  float scale;
  int32_t layer, heads, kv_heads, head_size;
  int32_t window; /* the last keys that a token meets, its own among them; 0 where it meets all */
} Attend;

typedef struct {
  const float *rotation; /* [rotation_size][rotation_size], or NULL */
  int32_t rotation_size, activation, gated;
} Gate;

typedef struct {
  int32_t kind, from, to; /* buffers that the kind does not name are not looked at */
  union {
    Embed embed;
    Norm norm;
    Round round;
    Multiply multiply;
    NormHeads norm_heads;
    Rotary rotary;
    Append append;
    Attend attend;
    Gate gate;
  };
} Operation;

typedef struct {
  const Operation *operations;
  const uint8_t *data; /* the file of weights */
  int64_t data_bytes;
  const uint8_t *tables; /* more weights, which are computed */
  int64_t table_bytes;
  int32_t widths[MOST_BUFFERS]; /* 0 for buffers that are none */
  int32_t count, context, vocabulary;
  /* Of the caches, a layer's keys and its values: rows of kv_width numbers in kv_heads heads. */
  int32_t layers, kv_width, kv_heads, kv_type;
} Program;

/* Bytes of a head, and of a row, of a cache. */
static inline ptrdiff_t head_bytes(const Program *p) {
  return kv_head_bytes(p->kv_type, p->kv_width / p->kv_heads);
}
static inline ptrdiff_t row_bytes(const Program *p) { return p->kv_heads * head_bytes(p); }

#endif
