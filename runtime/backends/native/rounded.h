/* Memory for rounded activations. */
#ifndef EDGE_ROUNDED_H
#define EDGE_ROUNDED_H

#include "cpu.h"

static inline int32_t padded_tokens(int tokens) {
  return (tokens + TOKENS_OF_ROOM - 1) / TOKENS_OF_ROOM * TOKENS_OF_ROOM;
}

/* Room for `tokens` tokens of `cols` numbers; 0 without memory. Either way it is to be freed. */
int rounded_new(Rounded *r, int tokens, int cols);
void rounded_free(Rounded *r);

/* Begin to round `tokens` tokens to so many terms, or by block where these are 0. */
static inline void rounded_begin(Rounded *r, int terms, int tokens) {
  r->terms = terms;
  r->padded_tokens = padded_tokens(terms ? tokens * terms : tokens);
}

#endif
