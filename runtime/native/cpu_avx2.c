/* x86-64 with AVX2, FMA and F16C, without VNNI. */
#if defined(__x86_64__)
#include "able_x86.h"
#include "target.h"
TARGET("avx2,fma,f16c")

#include "wide256.h"

enum { PANELS = 2, TOKENS = 4, PLANES = 2 };
#define DOTS "dots_avx2.h"
#include "panel256.h"

static int here(void) {
  const Features f = features_here();
  return has_avx2(&f);
}

const Cpu cpu_avx2 = {"avx2", LANES, here, product, rows_norm, round_4, rows_attend, rows_gate, arrange_rows};
TARGET_END
#else
#include "edge.h"
static int here(void) { return 0; }
const Cpu cpu_avx2 = {"avx2", 1, here, 0, 0, 0, 0, 0, 0};
#endif
