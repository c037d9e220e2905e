/* Threads that work on one thing at a time, item by item. */
#ifndef EDGE_POOL_H
#define EDGE_POOL_H

typedef struct Pool Pool;
typedef void (*Work)(void *what, int item, int thread);

/* `threads`, the caller among them, or as many as the system lets start; NULL without memory. */
Pool *pool_open(int threads);
void pool_run(Pool *pool, Work work, void *what, int items); /* the caller works too */
int pool_threads(const Pool *pool);
void pool_close(Pool *pool);

#endif
