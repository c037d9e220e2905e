/* What is done with one token's row, alike on all CPUs. */
#ifndef EDGE_TOKENWISE_H
#define EDGE_TOKENWISE_H

#include "program.h"

/* to [width] = the embedding of an id at a position. */
void embed_token(const Embed *embed, int64_t id, int position, float *to);
void norm_heads(const NormHeads *norm, float *row);
void rotate_heads(const Rotary *rotary, int position, float *row);

#endif
