/* Memory for rounded activations: zeros, as kernels read whole blocks and whole sixteens of tokens. */
#include "rounded.h"

#include <stdlib.h>

#include "system.h"

int rounded_new(Rounded *r, int tokens, int cols) {
  const int32_t padded = padded_tokens(tokens);
  const size_t blocks = (size_t)padded * (size_t)blocks_of(cols);
  *r = (Rounded){
      .padded_tokens = padded,
      .plain = calloc(blocks, BLOCK),
      .nibble_order = calloc(blocks, BLOCK),
      .wide = calloc(blocks, BLOCK * sizeof(int16_t)),
      .scales = calloc(blocks, sizeof(float)),
      .sums = calloc(blocks, sizeof(int32_t)),
      .starts = calloc(blocks, 4 * sizeof(int32_t)),
      .tiles = aligned_new(64, (size_t)blocks_of(cols) * TILES_OF_BLOCK),
  };
  return r->plain && r->nibble_order && r->wide && r->scales && r->sums && r->starts && r->tiles;
}

void rounded_free(Rounded *r) {
  free(r->plain), free(r->nibble_order), free(r->wide), free(r->scales), free(r->sums), free(r->starts);
  aligned_free(r->tiles);
  *r = (Rounded){0};
}
