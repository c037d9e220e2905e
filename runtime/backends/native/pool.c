/* Threads that work on one thing at a time, item by item, for all who have opened as many.

   A thread that finds nothing looks some thousand times more and then sleeps, so that a core which is
   busy with other work is not fought over.
   A forked process has none of its parent's threads: a pool makes its own when it is first used there. */
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "pool.h"
#include "system.h"

enum { SPINS = 2000 };

/* A thread's part of the items: one run of them, so that memory is read in a row. */
typedef struct {
  _Alignas(64) atomic_int next; /* alone in its line of the cache */
  int end;
} Share;

struct Pool {
  Pool *next; /* of all that are open */
  int wish, users;
  Lock turn; /* of who computes */
  int threads;
  unsigned process; /* whose threads they are: `forks` when they were made */
  Thread *others;
  Lock lock;
  Wake wake;
  atomic_uint round; /* grows with each piece of work */
  atomic_int left;   /* threads that are not done with this round */
  Share *shares;     /* one a thread */
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

static Lock list; /* of: */
static Pool *pools;

/* In the child, which has one thread: locks are as others held them, who are not there. */
static void count_fork(void) {
  atomic_fetch_add(&forks, 1);
  lock_open(&list);
  for (Pool *pool = pools; pool; pool = pool->next) lock_open(&pool->turn);
}

/* Once, when the library is loaded. */
__attribute__((constructor)) static void watch(void) {
  lock_open(&list);
  watch_forks(count_fork);
}

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
  lock_take(&pool->lock);
  atomic_fetch_add(&pool->sleeping, 1);
  while (atomic_load(&pool->round) == seen) wake_wait(&pool->wake, &pool->lock);
  atomic_fetch_sub(&pool->sleeping, 1);
  lock_give(&pool->lock);
}

static THREAD_RESULT pool_thread(void *what) {
  Worker worker = *(Worker *)what;
  free(what);
  Pool *pool = worker.pool;
  for (unsigned seen = worker.seen;;) {
    wait_for_round(pool, seen);
    seen++;
    if (atomic_load(&pool->closing)) return 0;
    do_items(pool, worker.number);
    atomic_fetch_sub(&pool->left, 1);
  }
}

/* Make up to `threads` - 1 threads beside the caller. */
static void begin_threads(Pool *pool, int threads) {
  lock_open(&pool->lock);
  wake_open(&pool->wake);
  pool->process = atomic_load(&forks);
  pool->threads = 1;
  atomic_store(&pool->sleeping, 0);
  for (int i = 1; i < threads; i++) {
    Worker *worker = malloc(sizeof *worker);
    if (!worker) break;
    *worker = (Worker){.pool = pool, .number = i, .seen = atomic_load(&pool->round)};
    if (!thread_start(&pool->others[i], pool_thread, worker)) {
      free(worker);
      break;
    }
    pool->threads++;
  }
}

static Pool *pool_new(int threads) {
  Pool *pool = calloc(1, sizeof *pool);
  if (!pool) return NULL;
  pool->wish = threads;
  lock_open(&pool->turn);
  pool->others = calloc((size_t)threads, sizeof *pool->others);
  pool->shares = aligned_new(sizeof(Share), (size_t)threads * sizeof(Share));
  begin_threads(pool, pool->others && pool->shares ? threads : 1);
  return pool;
}

Pool *pool_open(int threads) {
  lock_take(&list);
  Pool *pool = pools;
  while (pool && pool->wish != threads) pool = pool->next;
  if (!pool && (pool = pool_new(threads))) {
    pool->next = pools;
    pools = pool;
  }
  if (pool) pool->users++;
  lock_give(&list);
  return pool;
}

void pool_begin(Pool *pool) { lock_take(&pool->turn); }

void pool_end(Pool *pool) { lock_give(&pool->turn); }

int pool_threads(const Pool *pool) { return pool->threads; }

static void begin_round(Pool *pool) {
  atomic_fetch_add(&pool->round, 1);
  lock_take(&pool->lock); /* none may fall asleep between looking and waiting */
  if (atomic_load(&pool->sleeping)) wake_all(&pool->wake);
  lock_give(&pool->lock);
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
    pool->shares[i].end = (int)((ptrdiff_t)items * (i + 1) / pool->threads);
    atomic_store(&pool->shares[i].next, (int)((ptrdiff_t)items * i / pool->threads));
  }
  atomic_store(&pool->left, pool->threads - 1);
  begin_round(pool);
  do_items(pool, 0);
  for (int i = 0; atomic_load(&pool->left); i++)
    if (i < SPINS)
      pause_a_little();
    else
      thread_yield(); /* whoever is waited for may need this core */
}

/* Out of the list, if nobody else is left; whether that is so. */
static int pool_leave(Pool *pool) {
  lock_take(&list);
  const int last = !--pool->users;
  Pool **place = &pools;
  while (last && *place != pool) place = &(*place)->next;
  if (last) *place = pool->next;
  lock_give(&list);
  return last;
}

void pool_close(Pool *pool) {
  if (!pool_leave(pool)) return;
  if (pool->process == atomic_load(&forks)) { /* else there is none to wait for */
    atomic_store(&pool->closing, 1);
    begin_round(pool);
    for (int i = 1; i < pool->threads; i++) thread_join(pool->others[i]);
    lock_close(&pool->lock);
    wake_close(&pool->wake);
  }
  lock_close(&pool->turn);
  free(pool->others);
  aligned_free(pool->shares);
  free(pool);
}
