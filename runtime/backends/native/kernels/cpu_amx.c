/* x86-64 with AMX: tiles of 16 tokens times 16 rows, 64 columns at a time, exact as VNNI's are.

   A panel's block of 32 vectors is two tiles of codes as it stands, and 64 bytes of 16 tokens are a tile
   of values. The codes of 2 panels stay in their tiles while all tokens pass by; for few tokens see few_tiles.h. The
   floats are VNNI's. */
#if defined(__x86_64__) && defined(__linux__)
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <unistd.h>
#include "able_x86.h"
#include "target.h"
#define KIND amx
TARGET("amx-tile,amx-int8,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c" WHOLE_VECTORS)
#include "wide512.h"

enum { PANELS = 2, TOKENS = 16, TOKENS_AT_ONCE = 128, ASK = 0x1023, TILE_DATA = 18 };

/* The system hands tiles out to who asks for them. */
static int amx_here(void) {
  static int able = -1;
  if (able < 0) {
    const Features f = features_here();
    able = has_avx512vnni(&f) && has_amx_int8(&f) && !syscall(SYS_arch_prctl, ASK, TILE_DATA);
  }
  return able;
}

typedef struct {
  uint8_t palette, start, unused[14];
  uint16_t bytes[16];
  uint8_t rows[16];
} Shapes;

/* 8 tiles of 16 rows of 64 bytes. Constant, as GCC 12 takes the instruction to read 8 bytes of it only, and
   leaves out what is written to others just before. */
static const Shapes AMX_SHAPES = {
    .palette = 1, .bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

typedef struct {
  _Alignas(64) uint8_t codes[PANELS][VECTORS][64];
  _Alignas(64) int32_t whole[2][PANELS][TOKENS][LANES]; /* by turns, see below */
  __m512 scales[PANELS];
  float sums[TOKENS_AT_ONCE][PANELS][LANES];
} Tile;

/* Whole sums of one block: 2 panels, in tiles 0 to 3, times 16 tokens. */
INLINE void multiply_tiles(const int8_t *values, int32_t (*whole)[TOKENS][LANES]) {
  __asm__ volatile("" ::: "memory"); /* tiles read what was stored before: GCC 12 is not told */
  _tile_zero(4);
  _tile_zero(5);
  _tile_loadd(6, values, BLOCK);
  _tile_dpbssd(4, 6, 0);
  _tile_dpbssd(5, 6, 2);
  _tile_loadd(7, values + 64, BLOCK);
  _tile_dpbssd(4, 7, 1);
  _tile_dpbssd(5, 7, 3);
  _tile_stored(4, whole[0], 64);
  _tile_stored(5, whole[1], 64);
}

INLINE void add_scaled(Tile *tile, int32_t (*whole)[TOKENS][LANES], const float *scales, int t, int some) {
  for (int c = 0; c < some; c++)
    for (int p = 0; p < PANELS; p++) {
      float *sum = tile->sums[t + c][p];
      const __m512 number = _mm512_cvtepi32_ps(_mm512_load_si512(whole[p][c]));
      const __m512 scale = _mm512_mul_ps(tile->scales[p], _mm512_set1_ps(scales[c]));
      _mm512_storeu_ps(sum, _mm512_fmadd_ps(number, scale, _mm512_loadu_ps(sum)));
    }
}

/* One block times all tokens. What a tile wrote can be read only some time later: meanwhile the next
   one is multiplied. */
INLINE void block(Tile *tile, const int8_t *values, const float *scales, int tokens) {
  int t = 0, now = 0;
  multiply_tiles(values, tile->whole[0]);
  for (; t + TOKENS < tokens; t += TOKENS, now = !now) {
    multiply_tiles(values + (t + TOKENS) * BLOCK, tile->whole[!now]);
    add_scaled(tile, tile->whole[now], scales + t, t, TOKENS);
  }
  add_scaled(tile, tile->whole[now], scales + t, t, tokens - t);
}

INLINE void panels(const int bits, const Matrix *w, const Rounded *x, int t0, int tokens, int n, int n1,
                   float *out, ptrdiff_t stride, int add) {
  const int blocks = blocks_of(w->cols), offset = bits == 8 ? 128 : 8;
  const int some = n1 - n > LANES ? 2 : 1;
  const int8_t *values = bits == 8 ? x->plain : x->nibble_order;
  const ptrdiff_t bytes = PANELS * LANES * BLOCK * bits / 8;
  const uint8_t *next = w->codes + (ptrdiff_t)(n / LANES + PANELS) * LANES * blocks * BLOCK * bits / 8;
  const uint8_t *end = w->codes + (ptrdiff_t)w->rows * blocks * BLOCK * bits / 8;
  Tile tile;
  Panel panel[PANELS];
  for (int p = 0; p < PANELS; p++) begin_panel(&panel[p], w, n + (p < some ? p : 0) * LANES, 1);
  memset(tile.sums, 0, sizeof *tile.sums * (size_t)tokens);
  for (int b = 0; b < blocks; b++) {
    ask_for(0, next + b * bytes, end, bytes);
    for (int p = 0; p < PANELS; p++) {
      panel_codes(&panel[p], b, bits, offset, tile.codes[p][0], 1);
      tile.scales[p] = panel_scales(&panel[p], b);
    }
    __asm__ volatile("" ::: "memory");
    _tile_loadd(0, tile.codes[0], 64);
    _tile_loadd(1, tile.codes[0][VECTORS / 2], 64);
    _tile_loadd(2, tile.codes[1], 64);
    _tile_loadd(3, tile.codes[1][VECTORS / 2], 64);
    const ptrdiff_t at = (ptrdiff_t)b * x->padded_tokens + t0;
    block(&tile, values + at * BLOCK, x->scales + at, tokens);
  }
  for (int t = 0; t < tokens; t++) give_panels(tile.sums[t], some, n1 - n, out + (t0 + t) * stride + n, add);
}

#include "few_tiles.h"
#include "strip512.h"

/* A strip's blocks are tiles of 16 rows of codes, 64 columns times 16 rows each: [4][BLOCKS_AT_ONCE][2]. */
enum { BLOCKS_AT_ONCE = 4, STRIP_BYTES = BLOCK * 64, ROW_OF_TILES = BLOCKS_AT_ONCE * 2 * TILE_BYTES };

enum { ASKED_A_STEP = 8 }; /* lines that come while 4 tiles are multiplied */

/* Tiles take signed codes; what streams goes through VNNI, for which they stand 128 too high. */
INLINE void begin_sums(const Rounded *x, int row, int streams, int32_t *sums) {
  const __m512i start = _mm512_set1_epi32(streams ? -128 * x->sums[row] : 0);
  for (int p = 0; p < 4; p++) _mm512_store_si512(sums + p * LANES, start);
}

INLINE void lay_strip(const int8_t *from, ptrdiff_t stride, uint8_t *to, int b, Next *next) {
  to += b * 2 * TILE_BYTES;
  for (int k = 0; k < BLOCK; k += 4, from += 4 * stride, to += 64)
    ask_lines(next, 4), lay_columns(from, stride, 0, to, ROW_OF_TILES);
}

/* 32 rows of activations times 32 rows of codes, in 4 tiles of sums. */
INLINE void four_tiles(const uint8_t *codes, int blocks, const int8_t *values, ptrdiff_t next_block,
                       int32_t (*sums)[4 * LANES], Next *next) {
  enum { STRIDE = 4 * LANES * sizeof(int32_t) };
  _tile_loadd(0, sums[0], STRIDE);
  _tile_loadd(1, sums[0] + LANES, STRIDE);
  _tile_loadd(2, sums[TOKENS], STRIDE);
  _tile_loadd(3, sums[TOKENS] + LANES, STRIDE);
  for (int b = 0; b < blocks; b++, values += next_block)
    for (int half = 0; half < 2; half++, codes += TILE_BYTES) {
      ask_lines(next, ASKED_A_STEP);
      _tile_loadd(4, values + half * 64, BLOCK);
      _tile_loadd(6, codes, 64);
      _tile_dpbssd(0, 4, 6);
      _tile_loadd(7, codes + ROW_OF_TILES, 64);
      _tile_dpbssd(1, 4, 7);
      _tile_loadd(5, values + TOKENS * BLOCK + half * 64, BLOCK);
      _tile_dpbssd(2, 5, 6);
      _tile_dpbssd(3, 5, 7);
    }
  _tile_stored(0, sums[0], STRIDE);
  _tile_stored(1, sums[0] + LANES, STRIDE);
  _tile_stored(2, sums[TOKENS], STRIDE);
  _tile_stored(3, sums[TOKENS] + LANES, STRIDE);
}

/* 16 rows of activations times all 64 of the strip. */
INLINE void row_of_tiles(const uint8_t *codes, int blocks, const int8_t *values, ptrdiff_t next_block,
                         int32_t (*sums)[4 * LANES]) {
  enum { STRIDE = 4 * LANES * sizeof(int32_t) };
  _tile_loadd(0, sums[0], STRIDE);
  _tile_loadd(1, sums[0] + LANES, STRIDE);
  _tile_loadd(2, sums[0] + 2 * LANES, STRIDE);
  _tile_loadd(3, sums[0] + 3 * LANES, STRIDE);
  for (int b = 0; b < blocks; b++, values += next_block)
    for (int half = 0; half < 2; half++, codes += TILE_BYTES) {
      _tile_loadd(4, values + half * 64, BLOCK);
      _tile_loadd(6, codes, 64);
      _tile_dpbssd(0, 4, 6);
      _tile_loadd(7, codes + ROW_OF_TILES, 64);
      _tile_dpbssd(1, 4, 7);
      _tile_loadd(6, codes + 2 * ROW_OF_TILES, 64);
      _tile_dpbssd(2, 4, 6);
      _tile_loadd(7, codes + 3 * ROW_OF_TILES, 64);
      _tile_dpbssd(3, 4, 7);
    }
  _tile_stored(0, sums[0], STRIDE);
  _tile_stored(1, sums[0] + LANES, STRIDE);
  _tile_stored(2, sums[0] + 2 * LANES, STRIDE);
  _tile_stored(3, sums[0] + 3 * LANES, STRIDE);
}

/* Sixteens of rows have room, also where fewer are there. */
INLINE void times_strip(const uint8_t *codes, int blocks, const Rounded *x, int b, int t, int count,
                        int32_t (*sums)[4 * LANES], Next *next) {
  const ptrdiff_t next_block = (ptrdiff_t)x->padded_tokens * BLOCK;
  const int8_t *values = x->plain + b * next_block + (ptrdiff_t)t * BLOCK;
  __asm__ volatile("" ::: "memory"); /* tiles read what was stored before: GCC 12 is not told */
  int c = 0;
  for (c = 0; c + TOKENS < count; c += 2 * TOKENS)
    for (int p = 0; p < 2; p++)
      four_tiles(codes + 2 * p * ROW_OF_TILES, blocks, values + c * BLOCK, next_block,
                 (int32_t (*)[4 * LANES])(sums[c] + 2 * p * LANES), next);
  if (c < count) row_of_tiles(codes, blocks, values + c * BLOCK, next_block, sums + c);
  __asm__ volatile("" ::: "memory");
}
#include "strip.h"

static void amx_product_by_row(const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out,
                               ptrdiff_t stride, int add) {
  _tile_loadconfig(&AMX_SHAPES);
  times_all_strips(w, x, tokens, n0, n1, out, stride, add);
  _tile_release();
}

static void amx_round_by_row(const float *x, int cols, const Rounded *to, int t) {
  round_terms(x, cols, to, t);
}

static void amx_product(const Matrix *w, const Rounded *x, int tokens, int n0, int n1, float *out,
                        ptrdiff_t stride, int add) {
  if (tokens <= MOST_TOKENS) {
    const int whole = (n1 - n0) % LANES == 0; /* panels; others are left to VNNI */
    (whole ? amx_few : cpu_avx512vnni.product)(w, x, tokens, n0, n1, out, stride, add);
    return;
  }
  _tile_loadconfig(&AMX_SHAPES);
  for (int n = n0; n < n1; n += PANELS * LANES)
    for (int t = 0; t < tokens; t += TOKENS_AT_ONCE) {
      const int some = tokens - t < TOKENS_AT_ONCE ? tokens - t : TOKENS_AT_ONCE;
      const int end = n1 - n < PANELS * LANES ? n1 : n + PANELS * LANES;
      if (w->bits == 4)
        panels(4, w, x, t, some, n, end, out, stride, add);
      else
        panels(8, w, x, t, some, n, end, out, stride, add);
    }
  _tile_release();
}

const Cpu cpu_amx = {
    .name = "amx",
    .lanes = LANES,
    .here = amx_here,
    .product = amx_product,
    .product_by_row = amx_product_by_row,
    .layer_norm = amx_layer_norm,
    .rms_norm = amx_rms_norm,
    .round = amx_round,
    .round_by_row = amx_round_by_row,
    .pack = amx_pack,
    .attend_heads = amx_attend_heads,
    .attend_keys = amx_attend_keys,
    .gate = amx_gate,
    .rotate = amx_rotate,
    .arrange = amx_arrange,
    .arranged_tokens = MOST_TOKENS,
};
TARGET_END
#else
#include "../cpu.h"
const Cpu cpu_amx = {.name = "amx"};
#endif
