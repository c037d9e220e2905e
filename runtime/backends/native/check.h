/* Whether what a step is given is what it takes; see check.c. */
#ifndef CHECK_H
#define CHECK_H

#include "edge.h"

int matrix_is_sound(const Matrix *w); /* in its sizes, wherever it lies */
int model_is_sound(const Model *m);   /* all weights are of the model's sizes, and lie in its data */
int step_is_sound(const Model *m, const int64_t *ids, int tokens, int past, float *const *buffers, int keep);

#endif
