/* x86-64 with AVX-512 and its VNNI: 4 products of unsigned codes and signed values added to each of 16
   whole sums at once (vpdpbusd; 4 * 255 * 127 and 32 of those are far below 2^31).

   4 panels meet 6 tokens: 24 sums are in registers, and each vector of codes serves 6 times. Codes are
   unsigned; what they stand too high, times the sum of values, is where a sum begins. After a block a
   whole sum becomes a float and is added, block after block, whatever the number of tokens. */
#if defined(__x86_64__)
#include "able_x86.h"
#include "target.h"
#define KIND avx512vnni
TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c" WHOLE_VECTORS)
#include "wide512.h"

enum { PANELS = 4, TOKENS = 6, TOKENS_AT_ONCE = 66 };

static int avx512vnni_here(void) {
  const Features f = features_here();
  return has_avx512vnni(&f);
}

typedef struct {
  _Alignas(64) uint8_t codes[VECTORS][PANELS][64];
  __m512 scales[PANELS];
  float sums[TOKENS_AT_ONCE][PANELS][LANES];
} Tile;

/* Whole sums of one token with the rows of 4 panels. Named one by one, as they are to stay in registers:
   the compiler keeps an array in memory. */
typedef struct {
  __m512i a, b, c, d;
} Sums;

INLINE Sums begin(int32_t sum) {
  const __m512i v = _mm512_set1_epi32(sum);
  return (Sums){v, v, v, v};
}

INLINE void add_four(Sums *s, const uint8_t *codes, const int8_t *values) {
  int32_t four;
  memcpy(&four, values, 4);
  const __m512i v = _mm512_set1_epi32(four);
  dot(&s->a, _mm512_load_si512(codes), v);
  dot(&s->b, _mm512_load_si512(codes + 64), v);
  dot(&s->c, _mm512_load_si512(codes + 128), v);
  dot(&s->d, _mm512_load_si512(codes + 192), v);
}

INLINE void end(const Sums *s, const Tile *tile, float scale, float (*sums)[LANES]) {
  const __m512i whole[PANELS] = {s->a, s->b, s->c, s->d};
  for (int p = 0; p < PANELS; p++) {
    const __m512 both = _mm512_mul_ps(tile->scales[p], _mm512_set1_ps(scale));
    const __m512 before = _mm512_loadu_ps(sums[p]);
    _mm512_storeu_ps(sums[p], _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole[p]), both, before));
  }
}

/* One block of 4 panels times `count` tokens from t on, up to 6; count is known to the compiler. */
INLINE void block(const int count, Tile *tile, const int8_t *values, const float *scales, const int32_t *sums,
                  int offset, int t) {
  Sums s0, s1, s2, s3, s4, s5;
  s0 = begin(-offset * sums[0]);
  if (count > 1) s1 = begin(-offset * sums[1]);
  if (count > 2) s2 = begin(-offset * sums[2]);
  if (count > 3) s3 = begin(-offset * sums[3]);
  if (count > 4) s4 = begin(-offset * sums[4]);
  if (count > 5) s5 = begin(-offset * sums[5]);
  const uint8_t *codes = tile->codes[0][0];
  for (int g = 0; g < VECTORS; g++, codes += PANELS * 64, values += 4) {
    add_four(&s0, codes, values);
    if (count > 1) add_four(&s1, codes, values + BLOCK);
    if (count > 2) add_four(&s2, codes, values + 2 * BLOCK);
    if (count > 3) add_four(&s3, codes, values + 3 * BLOCK);
    if (count > 4) add_four(&s4, codes, values + 4 * BLOCK);
    if (count > 5) add_four(&s5, codes, values + 5 * BLOCK);
  }
  end(&s0, tile, scales[0], tile->sums[t]);
  if (count > 1) end(&s1, tile, scales[1], tile->sums[t + 1]);
  if (count > 2) end(&s2, tile, scales[2], tile->sums[t + 2]);
  if (count > 3) end(&s3, tile, scales[3], tile->sums[t + 3]);
  if (count > 4) end(&s4, tile, scales[4], tile->sums[t + 4]);
  if (count > 5) end(&s5, tile, scales[5], tile->sums[t + 5]);
}

typedef void (*Block)(Tile *, const int8_t *, const float *, const int32_t *, int, int);

#define BLOCK_OF(count)                                                                      \
  static void OF_KIND(block_##count)(Tile * tile, const int8_t *values, const float *scales, \
                                     const int32_t *sums, int offset, int t) {               \
    block(count, tile, values, scales, sums, offset, t);                                     \
  }
BLOCK_OF(1)
BLOCK_OF(2)
BLOCK_OF(3)
BLOCK_OF(4)
BLOCK_OF(5)
BLOCK_OF(6)
static const Block AVX512VNNI_BLOCKS[] = {
    [1] = OF_KIND(block_1), [2] = OF_KIND(block_2), [3] = OF_KIND(block_3),
    [4] = OF_KIND(block_4), [5] = OF_KIND(block_5), [6] = OF_KIND(block_6),
};

INLINE void panels(const int bits, const Matrix *w, const Rounded *x, int t0, int tokens, int n, int n1,
                   float *out, ptrdiff_t stride, int add) {
  const int blocks = blocks_of(w->cols), offset = bits == 8 ? 128 : 8;
  const int some = (n1 - n + LANES - 1) / LANES < PANELS ? (n1 - n + LANES - 1) / LANES : PANELS;
  const int8_t *values = bits == 8 ? x->plain : x->nibble_order;
  const ptrdiff_t bytes = PANELS * LANES * BLOCK * bits / 8;
  const uint8_t *next = w->codes + (ptrdiff_t)(n / LANES + PANELS) * LANES * blocks * BLOCK * bits / 8;
  const uint8_t *end = w->codes + (ptrdiff_t)w->rows * blocks * BLOCK * bits / 8;
  Tile tile;
  Panel panel[PANELS];
  for (int p = 0; p < PANELS; p++) begin_panel(&panel[p], w, n + (p < some ? p : 0) * LANES, 1);
  if (some < PANELS) memset(tile.codes, 0, sizeof tile.codes);
  for (int p = some; p < PANELS; p++) tile.scales[p] = _mm512_setzero_ps();
  memset(tile.sums, 0, sizeof *tile.sums * (size_t)tokens);
  for (int b = 0; b < blocks; b++) {
    ask_for(0, next + b * bytes, end, bytes);
    for (int p = 0; p < some; p++) {
      panel_codes(&panel[p], b, bits, 0, tile.codes[0][p], PANELS);
      tile.scales[p] = panel_scales(&panel[p], b);
    }
    for (int t = 0; t < tokens;) {
      const int count = tokens - t < TOKENS ? tokens - t : TOKENS;
      const ptrdiff_t at = (ptrdiff_t)b * x->padded_tokens + t0 + t;
      AVX512VNNI_BLOCKS[count](&tile, values + at * BLOCK, x->scales + at, x->sums + at, offset, t);
      t += count;
    }
  }
  for (int t = 0; t < tokens; t++) give_panels(tile.sums[t], some, n1 - n, out + (t0 + t) * stride + n, add);
}

#include "few512.h"
#include "strip512.h"

enum { BLOCKS_AT_ONCE = 2, STRIP_BYTES = BLOCK * 64, ASKED_A_STEP = 12 };

INLINE void begin_sums(const Rounded *x, int row, int streams, int32_t *sums) {
  (void)streams;
  for (int p = 0; p < PANELS; p++)
    _mm512_store_si512(sums + p * LANES, _mm512_set1_epi32(-128 * x->sums[row]));
}

INLINE void lay_strip(const int8_t *from, ptrdiff_t stride, uint8_t *to, int b, Next *next) {
  to += b * STRIP_BYTES;
  for (int k = 0; k < BLOCK; k += 4, from += 4 * stride, to += PANELS * 64)
    ask_lines(next, 4), lay_columns(from, stride, 1, to, 64);
}

INLINE Sums sums_from(const int32_t *from) {
  return (Sums){_mm512_load_si512(from), _mm512_load_si512(from + LANES), _mm512_load_si512(from + 2 * LANES),
                _mm512_load_si512(from + 3 * LANES)};
}

INLINE void sums_to(const Sums *s, int32_t *to) {
  _mm512_store_si512(to, s->a), _mm512_store_si512(to + LANES, s->b);
  _mm512_store_si512(to + 2 * LANES, s->c), _mm512_store_si512(to + 3 * LANES, s->d);
}

/* A strip's blocks times `count` rows of activations, up to 6; count is known to the compiler. */
INLINE void strip_rows(const int count, const uint8_t *codes, int blocks, const int8_t *values,
                       ptrdiff_t next_block, int32_t (*sums)[4 * LANES]) {
  Sums s0, s1, s2, s3, s4, s5;
  s0 = sums_from(sums[0]);
  if (count > 1) s1 = sums_from(sums[1]);
  if (count > 2) s2 = sums_from(sums[2]);
  if (count > 3) s3 = sums_from(sums[3]);
  if (count > 4) s4 = sums_from(sums[4]);
  if (count > 5) s5 = sums_from(sums[5]);
  for (int b = 0; b < blocks; b++, values += next_block) {
    const int8_t *value = values;
    for (int g = 0; g < VECTORS; g++, codes += PANELS * 64, value += 4) {
      add_four(&s0, codes, value);
      if (count > 1) add_four(&s1, codes, value + BLOCK);
      if (count > 2) add_four(&s2, codes, value + 2 * BLOCK);
      if (count > 3) add_four(&s3, codes, value + 3 * BLOCK);
      if (count > 4) add_four(&s4, codes, value + 4 * BLOCK);
      if (count > 5) add_four(&s5, codes, value + 5 * BLOCK);
    }
  }
  sums_to(&s0, sums[0]);
  if (count > 1) sums_to(&s1, sums[1]);
  if (count > 2) sums_to(&s2, sums[2]);
  if (count > 3) sums_to(&s3, sums[3]);
  if (count > 4) sums_to(&s4, sums[4]);
  if (count > 5) sums_to(&s5, sums[5]);
}

static void times_strip(const uint8_t *codes, int blocks, const Rounded *x, int b, int t, int count,
                        int32_t (*sums)[4 * LANES], Next *next) {
  const ptrdiff_t next_block = (ptrdiff_t)x->padded_tokens * BLOCK;
  const int8_t *values = x->plain + b * next_block + (ptrdiff_t)t * BLOCK;
  for (; count >= TOKENS; count -= TOKENS, values += TOKENS * BLOCK, sums += TOKENS) {
    ask_lines(next, ASKED_A_STEP);
    strip_rows(TOKENS, codes, blocks, values, next_block, sums);
  }
  if (count == 5) strip_rows(5, codes, blocks, values, next_block, sums);
  if (count == 4) strip_rows(4, codes, blocks, values, next_block, sums);
  if (count == 3) strip_rows(3, codes, blocks, values, next_block, sums);
  if (count == 2) strip_rows(2, codes, blocks, values, next_block, sums);
  if (count == 1) strip_rows(1, codes, blocks, values, next_block, sums);
}
#include "strip.h"

static void avx512vnni_product_by_row(const Matrix *w, const Rounded *x, int tokens, int n0, int n1,
                                      float *out, ptrdiff_t stride, int add) {
  times_all_strips(w, x, tokens, n0, n1, out, stride, add);
}

static void avx512vnni_round_by_row(const float *x, int cols, const Rounded *to, int t) {
  round_terms(x, cols, to, t);
}

static void avx512vnni_product(const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out,
                               ptrdiff_t stride, int add) {
  if (tokens <= FEW && (n1 - n0) % LANES == 0) {
    const int panels = (n1 - n0) / LANES, step = is_intel() ? panels : 1;
    for (int p = 0; p < panels; p++) {
      const int n = n0 + p * (step == 1 ? LANES : 1);
      if (w->bits == 4)
        few(4, w, x, tokens, n, step, out, stride, add);
      else
        few(8, w, x, tokens, n, step, out, stride, add);
    }
    return;
  }
  for (int n = n0; n < n1; n += PANELS * LANES) {
    const int end = n1 - n < PANELS * LANES ? n1 : n + PANELS * LANES;
    for (int t = 0; t < tokens; t += TOKENS_AT_ONCE) {
      const int some = tokens - t < TOKENS_AT_ONCE ? tokens - t : TOKENS_AT_ONCE;
      if (w->bits == 4)
        panels(4, w, x, t, some, n, end, out, stride, add);
      else
        panels(8, w, x, t, some, n, end, out, stride, add);
    }
  }
}

const Cpu cpu_avx512vnni = {
    .name = "avx512vnni",
    .lanes = LANES,
    .here = avx512vnni_here,
    .product = avx512vnni_product,
    .product_by_row = avx512vnni_product_by_row,
    .layer_norm = avx512vnni_layer_norm,
    .rms_norm = avx512vnni_rms_norm,
    .round = avx512vnni_round,
    .round_by_row = avx512vnni_round_by_row,
    .pack = avx512vnni_pack,
    .attend_heads = avx512vnni_attend_heads,
    .attend_keys = avx512vnni_attend_keys,
    .gate = avx512vnni_gate,
    .rotate = avx512vnni_rotate,
};
TARGET_END
#else
#include "../cpu.h"
const Cpu cpu_avx512vnni = {.name = "avx512vnni"};
#endif
