/* Threads and aligned memory, of POSIX or of Windows. */
#ifndef EDGE_SYSTEM_H
#define EDGE_SYSTEM_H

#include <stddef.h>
#include <stdlib.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <malloc.h>
#include <process.h>
#include <windows.h>

typedef HANDLE Thread;
typedef SRWLOCK Lock;
typedef CONDITION_VARIABLE Wake;
#define THREAD_RESULT unsigned __stdcall

static inline int thread_start(Thread *thread, unsigned(__stdcall *run)(void *), void *what) {
  *thread = (HANDLE)_beginthreadex(NULL, 0, run, what, 0, NULL);
  return *thread != NULL;
}
static inline void thread_join(Thread thread) { WaitForSingleObject(thread, INFINITE), CloseHandle(thread); }
static inline void thread_yield(void) { SwitchToThread(); }
static inline void lock_open(Lock *lock) { InitializeSRWLock(lock); }
static inline void lock_close(Lock *lock) { (void)lock; }
static inline void lock_take(Lock *lock) { AcquireSRWLockExclusive(lock); }
static inline void lock_give(Lock *lock) { ReleaseSRWLockExclusive(lock); }
static inline void wake_open(Wake *wake) { InitializeConditionVariable(wake); }
static inline void wake_close(Wake *wake) { (void)wake; }
static inline void wake_wait(Wake *wake, Lock *lock) { SleepConditionVariableSRW(wake, lock, INFINITE, 0); }
static inline void wake_all(Wake *wake) { WakeAllConditionVariable(wake); }
static inline void watch_forks(void (*in_child)(void)) { (void)in_child; } /* there are none */
static inline void *aligned_new(size_t alignment, size_t size) { return _aligned_malloc(size, alignment); }
static inline void aligned_free(void *memory) { _aligned_free(memory); }

#else
#include <pthread.h>
#include <sched.h>
#if defined(__APPLE__)
#include <pthread/qos.h>
#endif

typedef pthread_t Thread;
typedef pthread_mutex_t Lock;
typedef pthread_cond_t Wake;
#define THREAD_RESULT void *

static inline int thread_start(Thread *thread, void *(*run)(void *), void *what) {
#if defined(__APPLE__) /* performance cores first: whoever asks waits for the answer */
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_set_qos_class_np(&attributes, QOS_CLASS_USER_INITIATED, 0);
  const int failed = pthread_create(thread, &attributes, run, what);
  pthread_attr_destroy(&attributes);
  return !failed;
#else
  return !pthread_create(thread, NULL, run, what);
#endif
}
static inline void thread_join(Thread thread) { pthread_join(thread, NULL); }
static inline void thread_yield(void) { sched_yield(); }
static inline void lock_open(Lock *lock) { pthread_mutex_init(lock, NULL); }
static inline void lock_close(Lock *lock) { pthread_mutex_destroy(lock); }
static inline void lock_take(Lock *lock) { pthread_mutex_lock(lock); }
static inline void lock_give(Lock *lock) { pthread_mutex_unlock(lock); }
static inline void wake_open(Wake *wake) { pthread_cond_init(wake, NULL); }
static inline void wake_close(Wake *wake) { pthread_cond_destroy(wake); }
static inline void wake_wait(Wake *wake, Lock *lock) { pthread_cond_wait(wake, lock); }
static inline void wake_all(Wake *wake) { pthread_cond_broadcast(wake); }
static inline void watch_forks(void (*in_child)(void)) { pthread_atfork(NULL, NULL, in_child); }
static inline void *aligned_new(size_t alignment, size_t size) { return aligned_alloc(alignment, size); }
static inline void aligned_free(void *memory) { free(memory); }
#endif

#endif
