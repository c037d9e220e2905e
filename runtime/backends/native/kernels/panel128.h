/* Products by panels, for ARM's vectors of 128 bits. A CPU's file includes this after its target.

   A tile is 16 rows times up to 128 tokens. A block of its rows, 128 columns, is made into panels, in the order in
   which this CPU multiplies, in the cache nearest to the core; it meets all tokens and is thrown away. Rows lie one
   after the other in the file and are read as they lie. Up to 4 tokens meet rows with no panel between, as to make one
   costs more than it spares.

   Codes of 4 bits lie in twos in a byte: of 16 bytes, the low halves are 16 even values and the high ones 16 odd
   values, and round128.h brings activations into that order. Whole sums are exact and floats are added block after block, one
   fma each, so results are the same to the last bit for any number of tokens, by sdot and by smmla, and the same as
   those of x86's AVX2, VNNI and AMX. */
#define LANES 4
#include "vectors.h"

INLINE Floats load_halves(const void *from) {
  uint16x4_t halves;
  memcpy(&halves, from, sizeof halves);
  return (Floats)vcvt_f32_f16(vreinterpret_f16_u16(halves));
}

INLINE void save_halves(void *to, Floats v) {
  const uint16x4_t halves = vreinterpret_u16_f16(vcvt_f16_f32((float32x4_t)v));
  memcpy(to, &halves, sizeof halves);
}

INLINE Floats load_codes(const void *from) {
  uint32_t four;
  memcpy(&four, from, sizeof four);
  const int16x8_t codes = vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(four)));
  return (Floats)vcvtq_f32_s32(vmovl_s16(vget_low_s16(codes)));
}

INLINE void save_codes(void *to, Floats whole) {
  const int16x4_t words = vmovn_s32(vcvtq_s32_f32((float32x4_t)whole));
  const uint32_t four = vget_lane_u32(vreinterpret_u32_s8(vmovn_s16(vcombine_s16(words, words))), 0);
  memcpy(to, &four, sizeof four);
}

#include "rows.h"

enum { ROWS = 16, HALF = 8, TOKENS_AT_ONCE = 128, FEW_TOKENS = 4, FEW_ROWS = 4 };

typedef struct {
  _Alignas(64) int8_t codes[ROWS / HALF][HALF * BLOCK]; /* of one block */
  _Alignas(64) float sums[ROWS / HALF][TOKENS_AT_ONCE][HALF];
  float scales[LANES][ROWS]; /* of 4 blocks: [block][row] */
  const uint8_t *row[ROWS];  /* where rows begin; those beyond the end repeat the last one */
  const uint16_t *row_scales[ROWS];
  int rows, n, step, blocks;
} Tile;

/* Multiply one half of a tile's panels with some tokens' values, and add that to its sums. */
typedef void (*Times)(const int8_t *codes, const int8_t *values, const float *scales,
                      const float *token_scales, float *sums);

/* What each kind does in its own way. */
typedef struct {
  int group, most;    /* tokens whose values lie together: 1 or 2; groups that meet a panel at once */
  const Times *times; /* [groups - 1] */
  void (*unpack)(int bits, Tile *tile, int b, int half);
  void (*settle)(float *sums,
                 int tokens); /* bring sums into the order [token][row]; NULL where they have it */
  /* Whole sums [token] of 4 rows with some groups of tokens; codes of 4 bits stand 8 too high in them. */
  void (*few)(int bits, int groups, const Tile *tile, const int8_t *values, int b, int32x4_t *whole);
} Kind;

INLINE void begin_tile(Tile *tile, const Matrix *w, const int most, int n, int n1, int step) {
  const int left = (n1 - n + step - 1) / step;
  const ptrdiff_t bytes = BLOCK * w->bits / 8;
  tile->n = n, tile->step = step, tile->blocks = blocks_of(w->cols), tile->rows = left < most ? left : most;
  for (int r = 0; r < most; r++) {
    const ptrdiff_t row = n + (ptrdiff_t)(r < tile->rows ? r : tile->rows - 1) * step;
    tile->row[r] = w->codes + row * tile->blocks * bytes;
    tile->row_scales[r] = w->scales + row * tile->blocks;
  }
}

INLINE int8x16_t low_words(int8x16_t a, int8x16_t b) { /* the first 8 bytes of each */
  return vreinterpretq_s8_s64(vzip1q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b)));
}
INLINE int8x16_t high_words(int8x16_t a, int8x16_t b) {
  return vreinterpretq_s8_s64(vzip2q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b)));
}

/* 4 vectors become 4 others: number i has the 4 bytes number i of each. */
INLINE void transpose_four(int8x16_t *v) {
  int32x4_t n[4];
  for (int i = 0; i < 4; i++) n[i] = vreinterpretq_s32_s8(v[i]);
  const int8x16_t a = vreinterpretq_s8_s32(vzip1q_s32(n[0], n[1])),
                  b = vreinterpretq_s8_s32(vzip1q_s32(n[2], n[3]));
  const int8x16_t c = vreinterpretq_s8_s32(vzip2q_s32(n[0], n[1])),
                  d = vreinterpretq_s8_s32(vzip2q_s32(n[2], n[3]));
  v[0] = low_words(a, b), v[1] = high_words(a, b), v[2] = low_words(c, d), v[3] = high_words(c, d);
}

/* Scales of 4 blocks from b on, transposed, so that those of a block lie together. */
INLINE void transpose_scales(Tile *tile, const int most, int b) {
  const int left = tile->blocks - b;
  for (int r = 0; r < most; r += 4) {
    int8x16_t v[4];
    for (int i = 0; i < 4; i++) {
      uint16_t halves[4] = {0};
      memcpy(halves, tile->row_scales[r + i] + b, left < 4 ? sizeof *halves * (size_t)left : sizeof halves);
      v[i] = vreinterpretq_s8_f32(vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(halves))));
    }
    transpose_four(v);
    for (int i = 0; i < 4; i++) vst1q_f32(tile->scales[i] + r, vreinterpretq_f32_s8(v[i]));
  }
}

/* 16 bytes of codes as values: 4 bits as both halves, 8 too high, and 8 bits as they are. */
INLINE void split(const int bits, int8x16_t codes, int8x16_t *to) {
  const uint8x16_t v = vreinterpretq_u8_s8(codes);
  if (bits == 8) {
    to[0] = vreinterpretq_s8_u8(veorq_u8(v, vdupq_n_u8(128)));
  } else {
    to[0] = vreinterpretq_s8_u8(vandq_u8(v, vdupq_n_u8(15)));
    to[1] = vreinterpretq_s8_u8(vshrq_n_u8(v, 4));
  }
}

/* Values that nothing is to be taken off any more. */
INLINE int8x16_t as_signed(const int bits, int8x16_t codes) {
  return bits == 8 ? codes : vsubq_s8(codes, vdupq_n_s8(8));
}

INLINE int8x16_t code_bytes(const Tile *tile, int r, ptrdiff_t at) {
  return vreinterpretq_s8_u8(vld1q_u8(tile->row[r] + at));
}

/* One fma an output and block, whatever computed the whole sums. */
INLINE float32x4_t add_scaled(float32x4_t sum, int32x4_t whole, float32x4_t both) {
  return vfmaq_f32(sum, vcvtq_f32_s32(whole), both);
}

INLINE void give(const Tile *tile, const float *sums, int count, float *out, int add) {
  for (int r = 0; r < count; r++, out += tile->step) *out = add ? *out + sums[r] : sums[r];
}

/* A tile times `tokens` tokens from t0 on, which is whole groups from the first. */
INLINE void times_tile(const Kind *kind, const int bits, const Matrix *w, const Rounded *x, int t0,
                       int tokens, int n, int n1, int step, float *out, ptrdiff_t stride, int add) {
  const int8_t *values = bits == 8 ? x->plain : x->nibble_order;
  const int groups = (tokens + kind->group - 1) / kind->group;
  Tile tile;
  begin_tile(&tile, w, ROWS, n, n1, step);
  const int halves = (tile.rows + HALF - 1) / HALF;
  for (int h = 0; h < halves; h++)
    memset(tile.sums[h], 0, sizeof *tile.sums[h] * (size_t)(groups * kind->group));
  for (int b = 0; b < tile.blocks; b++) {
    if (b % LANES == 0) transpose_scales(&tile, ROWS, b);
    for (int h = 0; h < halves; h++) kind->unpack(bits, &tile, b, h);
    for (int s = 0, count; s < groups; s += count) {
      const int left =
          groups - s; /* nothing small alone behind a whole one, as few sums wait for one another */
      count = left <= kind->most ? left : left < 2 * kind->most ? (left + 1) / 2 : kind->most;
      const int t = s * kind->group;
      const ptrdiff_t at = (ptrdiff_t)b * x->padded_tokens + t0 + t;
      for (int h = 0; h < halves; h++)
        kind->times[count - 1](tile.codes[h], values + at * BLOCK, tile.scales[b % LANES] + h * HALF,
                               x->scales + at, tile.sums[h][t]);
    }
  }
  for (int h = 0; h < halves; h++) {
    const int rows = tile.rows - h * HALF < HALF ? tile.rows - h * HALF : HALF;
    float *to = out + (ptrdiff_t)t0 * stride + n + (ptrdiff_t)h * HALF * step;
    if (kind->settle) kind->settle(tile.sums[h][0], tokens);
    for (int t = 0; t < tokens; t++) give(&tile, tile.sums[h][t], rows, to + t * stride, add);
  }
}

/* Up to 4 tokens times 4 rows as they lie. */
INLINE void times_few(const Kind *kind, const int bits, const int tokens, const Matrix *w, const Rounded *x,
                      int n, int n1, int step, float *out, ptrdiff_t stride, int add) {
  const int8_t *values = bits == 8 ? x->plain : x->nibble_order;
  float32x4_t sums[FEW_TOKENS];
  Tile tile;
  begin_tile(&tile, w, FEW_ROWS, n, n1, step);
  for (int t = 0; t < tokens; t++) sums[t] = vdupq_n_f32(0);
  for (int b = 0; b < tile.blocks; b++) {
    const ptrdiff_t at = (ptrdiff_t)b * x->padded_tokens;
    int32x4_t whole[FEW_TOKENS];
    if (b % LANES == 0) transpose_scales(&tile, FEW_ROWS, b);
    kind->few(bits, (tokens + kind->group - 1) / kind->group, &tile, values + at * BLOCK, b, whole);
    const float32x4_t scales = vld1q_f32(tile.scales[b % LANES]);
    for (int t = 0; t < tokens; t++) {
      if (bits == 4) whole[t] = vsubq_s32(whole[t], vdupq_n_s32(8 * x->sums[at + t]));
      sums[t] = add_scaled(sums[t], whole[t], vmulq_n_f32(scales, x->scales[at + t]));
    }
  }
  for (int t = 0; t < tokens; t++) {
    float row[FEW_ROWS];
    vst1q_f32(row, sums[t]);
    give(&tile, row, tile.rows, out + t * stride + n, add);
  }
}

/* For few tokens memory is what is waited for: a tile's rows are a part of the work apart, so that each is read from
   front to end and the CPU fetches them ahead. */
INLINE void times_all(const Kind *kind, const int bits, const Matrix *w, const Rounded *x, int tokens, int n0,
                      int n1, float *out, ptrdiff_t stride, int add) {
  const int most = tokens <= FEW_TOKENS ? FEW_ROWS : ROWS, tiles = (n1 - n0 + most - 1) / most;
  for (int i = 0; i < tiles; i++) switch (tokens) {
      case 1:
        times_few(kind, bits, 1, w, x, n0 + i, n1, tiles, out, stride, add);
        break;
      case 2:
        times_few(kind, bits, 2, w, x, n0 + i, n1, tiles, out, stride, add);
        break;
      case 3:
        times_few(kind, bits, 3, w, x, n0 + i, n1, tiles, out, stride, add);
        break;
      case 4:
        times_few(kind, bits, 4, w, x, n0 + i, n1, tiles, out, stride, add);
        break;
      default:
        for (int t = 0; t < tokens; t += TOKENS_AT_ONCE) {
          const int some = tokens - t < TOKENS_AT_ONCE ? tokens - t : TOKENS_AT_ONCE,
                    few = tokens <= TOKENS_OF_ROOM;
          times_tile(kind, bits, w, x, t, some, few ? n0 + i : n0 + i * ROWS, n1, few ? tiles : 1, out,
                     stride, add);
        }
    }
}

INLINE void product_of(const Kind *kind, const Matrix *w, const Rounded *x, int tokens, int n0, int n1,
                       float *out, ptrdiff_t stride, int add) {
  if (w->bits == 4)
    times_all(kind, 4, w, x, tokens, n0, n1, out, stride, add);
  else
    times_all(kind, 8, w, x, tokens, n0, n1, out, stride, add);
}
