/* How a token's keys, or its values, lie in a layer's cache: head after head, each

     KV_FP32  floats [size]
     KV_FP16  halves [size], rounded to the nearest, halves to even; beyond the largest one they end there
     KV_INT8  a scale in fp32, then signed bytes [size]: value = code * scale, which is the largest value / 127

   A row depends on its token's numbers alone, and attention reads all rows back, also those of the step's own tokens:
   so results are the same to the last bit however a text is cut. */
#ifndef EDGE_KV_H
#define EDGE_KV_H

#include <stddef.h>
#include <stdint.h>

typedef enum { KV_FP32, KV_FP16, KV_INT8, KV_TYPES } KvType;

enum { KV_SCALE_BYTES = 4 };

/* Bytes of a head of `size` numbers. */
static inline ptrdiff_t kv_head_bytes(int type, int size) {
  if (type == KV_FP16) return 2 * (ptrdiff_t)size;
  return type == KV_INT8 ? KV_SCALE_BYTES + (ptrdiff_t)size : 4 * (ptrdiff_t)size;
}

#endif
