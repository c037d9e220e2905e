/* What a file's functions may use of the CPU, for GCC and for Clang (MSVC has neither; build with Clang there):

     #include "target.h"
     TARGET("avx2,fma,f16c")
     ...
     TARGET_END

   Clang knows no `#pragma GCC target`; it gives an attribute to every function up to TARGET_END. The systems' headers are
   read before, so that their functions keep what they say of themselves. */
#ifndef EDGE_TARGET_H
#define EDGE_TARGET_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define PRAGMA_OF(words) _Pragma(#words)
#if defined(__clang__)
#define TARGET(features) \
  PRAGMA_OF(clang attribute push(__attribute__((target(features))), apply_to = function))
#define TARGET_END PRAGMA_OF(clang attribute pop)
#define WHOLE_VECTORS /* Clang takes the widest by itself where no CPU is named */
#else
#define TARGET(features) PRAGMA_OF(GCC push_options) PRAGMA_OF(GCC target(features))
#define TARGET_END PRAGMA_OF(GCC pop_options)
#define WHOLE_VECTORS ",prefer-vector-width=512"
#endif

#endif
