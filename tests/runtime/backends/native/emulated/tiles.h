/* AMX's products of tiles in C, as Bochs 3.0 takes all their bytes as unsigned. Tiles, their shapes, loads and
   stores stay the emulator's. To be included before cpu_amx.c. */
#define _GNU_SOURCE /* as cpu_amx.c does, before the first header */
#include <immintrin.h>
#include <stdint.h>

typedef struct {
  uint8_t palette, start, unused[14];
  uint16_t bytes[16];
  uint8_t rows[16];
} TileShapes;

typedef struct {
  int32_t sums[16][16];
  int8_t left[16][64], right[16][64];
} StoredTiles;

static _Thread_local const TileShapes *shapes; /* Bochs 3.0 decodes sttilecfg with VEX.W1 only */

static void load_shapes(const void *from) {
  shapes = from;
  __asm__ volatile("ldtilecfg %0" ::"m"(*shapes));
}

static void sum_tiles(StoredTiles *t, int dst, int right, int left_mask) {
  const int rows = shapes->rows[dst], columns = shapes->bytes[dst] / 4, depth = shapes->rows[right];
  for (int m = 0; m < rows; m++)
    for (int k = 0; k < depth; k++)
      for (int n = 0; n < columns; n++)
        for (int i = 0; i < 4; i++)
          t->sums[m][n] += (t->left[m][4 * k + i] & left_mask) * t->right[k][4 * n + i];
}

/* left_mask: 255 where the left tile's bytes are unsigned, else ~0. */
#define SUM_TILES(dst, a, b, left_mask) \
  do {                                  \
    StoredTiles t;                      \
    _tile_stored(dst, t.sums, 64);      \
    _tile_stored(a, t.left, 64);        \
    _tile_stored(b, t.right, 64);       \
    __asm__ volatile("" ::: "memory");  \
    sum_tiles(&t, dst, b, left_mask);   \
    __asm__ volatile("" ::: "memory");  \
    _tile_loadd(dst, t.sums, 64);       \
  } while (0)

#define _tile_loadconfig(from) load_shapes(from)
#undef _tile_dpbssd
#undef _tile_dpbusd
#define _tile_dpbssd(dst, a, b) SUM_TILES(dst, a, b, ~0)
#define _tile_dpbusd(dst, a, b) SUM_TILES(dst, a, b, 255)
