/* Rows of a cache as kv.h has them: how numbers get there, and back.

   What is converted, and how, is the same on all kinds of CPU to the last bit. A kind's file defines load_halves,
   save_halves and load_codes, of LANES numbers each, before it includes rows.h. */

/* The scale of a head; 1 where it has none. */
INLINE float kv_scale(const int type, const uint8_t *head) {
  float scale = 1.0f;
  if (type == KV_INT8) memcpy(&scale, head, sizeof scale);
  return scale;
}

/* A head's numbers from d on. */
INLINE Floats kv_load(const int type, const uint8_t *head, float scale, int d) {
  if (type == KV_FP16) return load_halves(head + 2 * d);
  if (type == KV_INT8) return load_codes(head + KV_SCALE_BYTES + d) * scale;
  return load((const float *)(const void *)head + d);
}

/* The first `count` of these; the others are zeros. */
INLINE Floats kv_load_some(const int type, const uint8_t *head, float scale, int d, int count) {
  uint8_t bytes[2 * LANES] = {0};
  if (type == KV_FP32) return load_some((const float *)(const void *)head + d, count);
  if (type == KV_FP16) return load_halves(memcpy(bytes, head + 2 * d, 2 * (size_t)count));
  return load_codes(memcpy(bytes, head + KV_SCALE_BYTES + d, (size_t)count)) * scale;
}

/* All of a head's numbers: where they lie, or else in `room`. */
INLINE const float *kv_numbers(const int type, const uint8_t *head, int size, float *room) {
  if (type == KV_FP32) return (const float *)(const void *)head;
  const float scale = kv_scale(type, head);
  int d = 0;
  for (; d + LANES <= size; d += LANES) save(room + d, kv_load(type, head, scale, d));
  if (d < size) save_some(room + d, kv_load_some(type, head, scale, d, size - d), size - d);
  return room;
}

INLINE void pack_halves(const float *x, int size, uint8_t *to) {
  enum { LARGEST = 65504 };
  int d = 0;
  for (; d < size; d += LANES) {
    const int some = size - d < LANES ? size - d : LANES;
    uint8_t bytes[2 * LANES];
    Floats v = load_some(x + d, some);
    v = pick(v > (float)LARGEST, all(LARGEST), pick(v < -(float)LARGEST, all(-LARGEST), v));
    save_halves(bytes, v);
    memcpy(to + 2 * d, bytes, 2 * (size_t)some);
  }
}

/* The largest size of some numbers; what is no number has none. */
INLINE float top_size(const float *x, int size) {
  Floats tops = all(0);
  float top = 0;
  for (int d = 0; d < size; d += LANES) {
    const Floats v = load_some(x + d, size - d < LANES ? size - d : LANES);
    tops = larger(larger(v, -v), tops);
  }
  for (int l = 0; l < LANES; l++) top = tops[l] > top ? tops[l] : top;
  return top;
}

/* To the nearest codes, halves to even; what is no number has none. */
INLINE void pack_codes(const float *x, int size, uint8_t *to) {
  const float scale = scale_of(top_size(x, size)), inverse = scale > 0 ? 1.0f / scale : 0;
  memcpy(to, &scale, sizeof scale);
  for (int d = 0; d < size; d += LANES) {
    const int some = size - d < LANES ? size - d : LANES;
    int8_t codes[LANES];
    Floats v = load_some(x + d, some) * inverse;
    v = between(all(-127.0f), pick(v == v, v, all(0)), all(127.0f));
    v = (v + 12582912.0f) - 12582912.0f; /* adding and taking away 1.5 * 2^23 rounds */
    for (int l = 0; l < LANES; l++) codes[l] = (int8_t)v[l];
    memcpy(to + KV_SCALE_BYTES + d, codes, (size_t)some);
  }
}

/* Write the row of a token: `heads` heads of `size` numbers. */
static void OF_KIND(pack)(KvType type, const float *x, int heads, int size, uint8_t *to) {
  for (int h = 0; h < heads; h++, x += size, to += kv_head_bytes(type, size)) {
    if (type == KV_FP16)
      pack_halves(x, size, to);
    else if (type == KV_INT8)
      pack_codes(x, size, to);
    else
      memcpy(to, x, sizeof(float) * (size_t)size);
  }
}
