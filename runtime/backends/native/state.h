/* An open program, and the memory that its steps work in. */
#ifndef EDGE_STATE_H
#define EDGE_STATE_H

#include "cpu.h"
#include "edge.h"
#include "pool.h"

struct Edge {
  Program program; /* with operations of its own, so that what was checked stays */
  Operation *operations;
  const Cpu *cpu;
  Pool *pool;
  int room;         /* tokens that the memory below is for */
  int rounded_cols; /* the widest that is rounded */
  int rounded_terms;
  float *buffers[MOST_BUFFERS];
  float *scratch; /* of attention, for each thread */
  ptrdiff_t scratch_floats;
  Rounded rounded;
};

/* Have memory for a step of `tokens` tokens; 0 where there is none. */
int edge_make_room(Edge *e, int tokens);

#endif
