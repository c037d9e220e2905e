/* What an ARM CPU of 64 bits can, asked of its system. */
#ifndef EDGE_ABLE_ARM_H
#define EDGE_ABLE_ARM_H

#if defined(__APPLE__)
#include <stddef.h>
#include <sys/sysctl.h>
#elif defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#elif defined(__linux__)
#include <sys/auxv.h>
#endif

static inline int has_dotprod(void) {
#if defined(__APPLE__)
  return 1;
#elif defined(_WIN32)
  return IsProcessorFeaturePresent(43) != 0; /* PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE */
#elif defined(__linux__)
  return getauxval(AT_HWCAP) >> 20 & 1; /* HWCAP_ASIMDDP */
#else
  return 0;
#endif
}

static inline int has_i8mm(void) {
#if defined(__APPLE__)
  int able = 0;
  size_t size = sizeof able;
  return !sysctlbyname("hw.optional.arm.FEAT_I8MM", &able, &size, NULL, 0) && able;
#elif defined(_WIN32)
  return has_dotprod() && IsProcessorFeaturePresent(66); /* PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE */
#elif defined(__linux__)
  return has_dotprod() && (getauxval(AT_HWCAP2) >> 13 & 1); /* HWCAP2_I8MM */
#else
  return 0;
#endif
}

#endif
