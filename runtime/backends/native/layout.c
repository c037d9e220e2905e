/* What a caller must have in mind as the library has it: places of fields, and constants. */
#include <stddef.h>

#include "cpu.h"
#include "edge.h"

#define FIELD(type, name) {#type "." #name, offsetof(type, name), sizeof(((type *)0)->name)}
#define CONSTANT(name) {#name, name}

static const struct {
  const char *name;
  size_t offset, bytes;
} FIELDS[] = {
    FIELD(Matrix, codes),
    FIELD(Matrix, scales),
    FIELD(Matrix, row_scales),
    FIELD(Matrix, rows),
    FIELD(Matrix, cols),
    FIELD(Matrix, bits),
    FIELD(Embed, matrix),
    FIELD(Embed, positions),
    FIELD(Embed, position_rows),
    FIELD(Embed, scale),
    FIELD(Embed, padded),
    FIELD(Norm, weight),
    FIELD(Norm, bias),
    FIELD(Norm, epsilon),
    FIELD(Norm, rms),
    FIELD(Round, terms),
    FIELD(Multiply, matrix),
    FIELD(Multiply, bias),
    FIELD(Multiply, scale),
    FIELD(Multiply, add),
    FIELD(Heads, heads),
    FIELD(Heads, size),
    FIELD(NormHeads, heads),
    FIELD(NormHeads, weight),
    FIELD(NormHeads, epsilon),
    FIELD(Rotary, heads),
    FIELD(Rotary, cosines),
    FIELD(Rotary, sines),
    FIELD(Rotary, dims),
    FIELD(Append, layer),
    FIELD(Attend, slopes),
    FIELD(Attend, scale),
    FIELD(Attend, layer),
    FIELD(Attend, heads),
    FIELD(Attend, kv_heads),
    FIELD(Attend, head_size),
    FIELD(Attend, window),
    FIELD(Gate, rotation),
    FIELD(Gate, rotation_size),
    FIELD(Gate, activation),
    FIELD(Gate, gated),
    FIELD(Operation, kind),
    FIELD(Operation, from),
    FIELD(Operation, to),
    FIELD(Operation, embed),
    FIELD(Operation, norm),
    FIELD(Operation, round),
    FIELD(Operation, multiply),
    FIELD(Operation, norm_heads),
    FIELD(Operation, rotary),
    FIELD(Operation, append),
    FIELD(Operation, attend),
    FIELD(Operation, gate),
    FIELD(Program, operations),
    FIELD(Program, data),
    FIELD(Program, data_bytes),
    FIELD(Program, tables),
    FIELD(Program, table_bytes),
    FIELD(Program, widths),
    FIELD(Program, count),
    FIELD(Program, context),
    FIELD(Program, vocabulary),
    FIELD(Program, layers),
    FIELD(Program, kv_width),
    FIELD(Program, kv_heads),
    FIELD(Program, kv_type),
};

static const struct {
  const char *name;
  int value;
} CONSTANTS[] = {
    CONSTANT(BLOCK),           CONSTANT(MOST_COLS),      CONSTANT(MOST_ROWS),
    CONSTANT(MOST_CONTEXT),    CONSTANT(MOST_LAYERS),    CONSTANT(MOST_HEADS),
    CONSTANT(MOST_ROTATION),   CONSTANT(MOST_THREADS),   CONSTANT(MOST_BUFFERS),
    CONSTANT(MOST_OPERATIONS), CONSTANT(GATE_PIECE),     CONSTANT(LOGITS),
    CONSTANT(EMBED),           CONSTANT(NORM),           CONSTANT(ROUND),
    CONSTANT(MULTIPLY),        CONSTANT(NORM_HEADS),     CONSTANT(ROTARY),
    CONSTANT(APPEND),          CONSTANT(ATTEND),         CONSTANT(GATE),
    CONSTANT(KEEP_LAST),       CONSTANT(SILU),           CONSTANT(GELU),
    CONSTANT(GELU_TANH),       CONSTANT(EDGE_NO_MEMORY), CONSTANT(EDGE_DONE),
    CONSTANT(EDGE_REFUSED),    CONSTANT(KV_FP32),        CONSTANT(KV_FP16),
    CONSTANT(KV_INT8),         CONSTANT(KV_SCALE_BYTES),
};

const char *edge_field(int number, int *offset, int *bytes) {
  if (number < 0 || (size_t)number >= sizeof FIELDS / sizeof *FIELDS) return NULL;
  *offset = (int)FIELDS[number].offset, *bytes = (int)FIELDS[number].bytes;
  return FIELDS[number].name;
}

const char *edge_constant(int number, int *value) {
  if (number < 0 || (size_t)number >= sizeof CONSTANTS / sizeof *CONSTANTS) return NULL;
  *value = CONSTANTS[number].value;
  return CONSTANTS[number].name;
}
