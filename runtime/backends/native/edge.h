/* The functions of the library: a decoder's step over the weights of a bundle as they lie there.

   All memory stays the caller's, and what a program points at must stay there until `edge_close`.
   What does not fit together is refused. */
#ifndef EDGE_H
#define EDGE_H

#include "export.h"
#include "program.h"

typedef struct Edge Edge;
enum { EDGE_NO_MEMORY = 0, EDGE_DONE = 1, EDGE_REFUSED = 2 };
enum { MOST_THREADS = 1024 };

EXPORT int edge_open(const Program *program, int threads, const char *cpu, Edge **opened);
/* Run `tokens` ids behind `past` rows of the caches (keys then values, layer by layer, each `context` rows as kv.h has
   them), which get the new rows, and write the last `keep` logits. Several threads may ask, of one Edge and of
   others: those who have opened as many threads share them, and wait for each other. */
EXPORT int edge_step(Edge *edge, const int64_t *ids, int tokens, int past, uint8_t *const *caches, int keep,
                     float *logits);
EXPORT void edge_close(Edge *edge);

EXPORT const char *edge_cpu(int number); /* the names of what this CPU can, the fastest first; then NULL */
/* What a caller must have in mind as the library has it: fields of structures as "Matrix.rows" with their place and
   size in bytes, and constants; NULL behind the last one. */
EXPORT const char *edge_field(int number, int *offset, int *bytes);
EXPORT const char *edge_constant(int number, int *value);
/* For tests: one product of floats x [tokens][cols], rounded by row to so many terms or, of 0, by block; and what a cache of a type gives back of
   a head's floats x [size], by both ways to attend: out [2][size]. */
EXPORT int edge_product(const char *cpu, const Matrix *w, int terms, const float *x, int tokens, float *out);
EXPORT int edge_cached(const char *cpu, int type, const float *x, int size, float *out);

#endif
