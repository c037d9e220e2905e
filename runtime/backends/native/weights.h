/* How the weights of a bundle lie in its file, in one of two forms. By block: 4 or 8 bits in blocks of 128 along a row,
   each with a scale in fp16.

     codes  [rows][blocks][64 or 128 bytes]   4 bits: value 2i in the low, 2i + 1 in the high half
     scales [rows][blocks]                    value = (code - 8 or 128) * scale

   By row: signed bytes and a scale in fp32 a row.

     codes      [cols][rows], of an embedding [rows][cols]
     row_scales [rows]                        value = code * scale

   A row is read from front to end and nothing is laid out anew: the file is mapped and used. Rows are padded to a whole
   block. Padding codes are arbitrary: the activations they multiply are zero. Only the rows of an embedding that is not
   the head, too, end with their last value. */
#ifndef EDGE_WEIGHTS_H
#define EDGE_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

enum { BLOCK = 128, MOST_BLOCKS = 512, MOST_COLS = MOST_BLOCKS * BLOCK };

typedef struct {
  const uint8_t *codes;
  const uint16_t *scales;  /* of blocks, or NULL */
  const float *row_scales; /* of rows, or NULL */
  int32_t rows, cols, bits;
} Matrix;

static inline int blocks_of(int cols) { return (cols + BLOCK - 1) / BLOCK; }

static inline int is_by_row(const Matrix *w) { return w->row_scales != NULL; }

/* Bytes of codes a row, which is padded to whole blocks or ends with its last value. */
static inline int64_t matrix_row_bytes(const Matrix *w, int padded) {
  if (is_by_row(w)) return w->cols;
  return (int64_t)(padded ? blocks_of(w->cols) * BLOCK : w->cols) * w->bits / 8;
}

#endif
