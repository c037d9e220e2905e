/* x86-64 with AVX2 and AVX-VNNI, as laptops have it: vpdpbusd adds 4 products of unsigned codes and signed
   values to each of 8 whole sums (32 of at most 255 * 127 are far below 2^31). */
#if defined(__x86_64__)
#include "able_x86.h"
#include "target.h"
TARGET("avx2,fma,f16c,avxvnni")

#include "wide256.h"

enum { PANELS = 2, TOKENS = 6, PLANES = 1 };
#define DOTS "dots_vnni256.h"
#include "panel256.h"

static int here(void) {
  const Features f = features_here();
  return has_avxvnni(&f);
}

const Cpu cpu_avxvnni = {"avxvnni", LANES,    here,        product,
                         rows_norm, round_4, rows_attend, rows_gate, arrange_rows};
TARGET_END
#else
#include "edge.h"
static int here(void) { return 0; }
const Cpu cpu_avxvnni = {"avxvnni", 1, here, 0, 0, 0, 0, 0, 0};
#endif
