/* Threads that work on one thing at a time, item by item. */
#ifndef EDGE_POOL_H
#define EDGE_POOL_H

typedef struct Pool Pool;
typedef void (*Work)(void *what, int item, int thread);

/* `threads`, the caller among them, or as many as the system lets start; NULL without memory. Who
   opens one of as many threads later shares it: models in one process want the same cores. */
Pool *pool_open(int threads);
void pool_begin(Pool *pool);                                 /* others wait until the end */
void pool_run(Pool *pool, Work work, void *what, int items); /* between; the caller works too */
void pool_end(Pool *pool);
int pool_threads(const Pool *pool);
void pool_close(Pool *pool); /* with the last of those who share it */

#endif
