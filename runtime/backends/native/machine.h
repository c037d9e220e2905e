/* What Python cannot ask the system by itself: fast cores, the CPU's name and features, and the calling thread's way with
   numbers next to zero. */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdint.h>

#include "export.h"

/* How many physical cores of the fastest class this process may use; 0 where that is unknown, as on Linux, whose files
   Python reads itself. */
EXPORT int edge_fast_cores(void);

/* Write the CPU's name, and its features by Linux's names with blanks between, as C strings of at most `room` bytes;
   empty where unknown. */
EXPORT void edge_cpu_name(char *to, int room);
EXPORT void edge_cpu_features(char *to, int room);

/* With `flush`, numbers next to zero become zeros in the calling thread from now on; without, its float state becomes
   `state`, which was returned earlier. Returns the state from before; 0, and nothing is done, on other CPUs. */
EXPORT uint64_t edge_flush_denormals(int flush, uint64_t state);

#endif
