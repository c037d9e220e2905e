/* Threads that work on one thing at a time, item by item.

   A thread that finds nothing looks some thousand times more and then sleeps, so that a core which is
   busy with other work is not fought over.
   A forked process has none of its parent's threads: a pool makes its own when it is first used there. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "edge.h"

enum { SPINS = 2000 };

/* A thread's part of the items: one run of them, so that memory is read in a row. */
typedef struct {
  _Alignas(64) atomic_int next; /* alone in its line of the cache */
  int end;
} Share;

struct Pool {
  int threads;
  unsigned process;     /* whose threads they are: `forks` when they were made */
  pthread_t *others;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  atomic_uint round;    /* grows with each piece of work */
  atomic_int left;      /* threads that are not done with this round */
  Share *shares;        /* one a thread */
  atomic_int closing, sleeping;
  Work work;
  void *what;
};

typedef struct {
  Pool *pool;
  int number;
  unsigned seen; /* rounds that were before it */
} Worker;

static atomic_uint forks; /* between the process that loaded this library and this one */

static void count_fork(void) { atomic_fetch_add(&forks, 1); }

static void watch_forks(void) { pthread_atfork(NULL, NULL, count_fork); }

static inline void pause_a_little(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void do_items(Pool *pool, int thread) {
  for (int i = 0; i < pool->threads; i++) { /* its own share first, then what others have left */
    Share *share = &pool->shares[(thread + i) % pool->threads];
    for (int item; (item = atomic_fetch_add(&share->next, 1)) < share->end;)
      pool->work(pool->what, item, thread);
  }
}

static void wait_for_round(Pool *pool, unsigned seen) {
  for (int i = 0; i < SPINS; i++) {
    if (atomic_load(&pool->round) != seen) return;
    pause_a_little();
  }
  pthread_mutex_lock(&pool->lock);
  atomic_fetch_add(&pool->sleeping, 1);
  while (atomic_load(&pool->round) == seen) pthread_cond_wait(&pool->wake, &pool->lock);
  atomic_fetch_sub(&pool->sleeping, 1);
  pthread_mutex_unlock(&pool->lock);
}

static void *live(void *given) {
  Worker worker = *(Worker *)given;
  free(given);
  Pool *pool = worker.pool;
  for (unsigned seen = worker.seen;;) {
    wait_for_round(pool, seen);
    seen++;
    if (atomic_load(&pool->closing)) return NULL;
    do_items(pool, worker.number);
    atomic_fetch_sub(&pool->left, 1);
  }
}

/* Make up to `threads` - 1 threads beside the caller. */
static void begin_threads(Pool *pool, int threads) {
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->wake, NULL);
  pool->process = atomic_load(&forks);
  pool->threads = 1;
  atomic_store(&pool->sleeping, 0);
  for (int i = 1; i < threads; i++) {
    Worker *worker = malloc(sizeof *worker);
    if (!worker) break;
    *worker = (Worker){pool, i, atomic_load(&pool->round)};
    if (pthread_create(&pool->others[i], NULL, live, worker)) {
      free(worker);
      break;
    }
    pool->threads++;
  }
}

Pool *pool_open(int threads) {
  static pthread_once_t watched = PTHREAD_ONCE_INIT;
  Pool *pool = calloc(1, sizeof *pool);
  if (!pool) return NULL;
  pthread_once(&watched, watch_forks);
  pool->others = calloc((size_t)threads, sizeof *pool->others);
  pool->shares = aligned_alloc(sizeof(Share), (size_t)threads * sizeof(Share));
  begin_threads(pool, pool->others && pool->shares ? threads : 1);
  return pool;
}

int pool_threads(const Pool *pool) { return pool->threads; }

static void begin_round(Pool *pool) {
  atomic_fetch_add(&pool->round, 1);
  pthread_mutex_lock(&pool->lock); /* none may fall asleep between looking and waiting */
  if (atomic_load(&pool->sleeping)) pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->lock);
}

void pool_run(Pool *pool, Work work, void *what, int items) {
  if (pool->process != atomic_load(&forks)) begin_threads(pool, pool->threads);
  if (pool->threads == 1 || items == 1) {
    for (int item = 0; item < items; item++) work(what, item, 0);
    return;
  }
  pool->work = work;
  pool->what = what;
  for (int i = 0; i < pool->threads; i++) {
    pool->shares[i].end = (int)((long)items * (i + 1) / pool->threads);
    atomic_store(&pool->shares[i].next, (int)((long)items * i / pool->threads));
  }
  atomic_store(&pool->left, pool->threads - 1);
  begin_round(pool);
  do_items(pool, 0);
  for (int i = 0; atomic_load(&pool->left); i++)
    if (i < SPINS)
      pause_a_little();
    else
      sched_yield(); /* whoever is waited for may need this core */
}

void pool_close(Pool *pool) {
  if (pool->process == atomic_load(&forks)) { /* else there is none to wait for */
    atomic_store(&pool->closing, 1);
    begin_round(pool);
    for (int i = 1; i < pool->threads; i++) pthread_join(pool->others[i], NULL);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->wake);
  }
  free(pool->others);
  free(pool->shares);
  free(pool);
}
