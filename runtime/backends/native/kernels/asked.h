/* What is needed next of a matrix by row: some columns of some strips side by side, asked for a few lines at a time, as
   all at once would wait for one another. strip.h and what it needs include this. */
enum { LINE = 64 };

typedef struct {
  const uint8_t *at, *end; /* of one column */
  ptrdiff_t width, stride;
  int left; /* columns, this one among them */
} Next;

/* Ask for `count` lines more, or as many as are left. */
INLINE void ask_lines(Next *next, int count) {
  for (; count > 0 && next->left > 0; count--) {
    __builtin_prefetch(next->at, 0, 2);
    next->at += LINE;
    if (next->at < next->end) continue;
    next->end += next->stride, next->at = next->end - next->width, next->left--;
  }
}
