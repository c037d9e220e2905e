/* Whether a program and a step's arguments fit together; see check.c. */
#ifndef EDGE_CHECK_H
#define EDGE_CHECK_H

#include "program.h"

int matrix_is_sound(const Matrix *w); /* in its sizes, wherever it lies */
/* Every operation has the sizes of its buffers, and reads only what was written; all weights lie in the program's data
   or tables. */
int program_is_sound(const Program *p);
int step_is_sound(const Program *p, const int64_t *ids, int tokens, int past, uint8_t *const *caches,
                  int keep);

#endif
