/* Threads that run one function together. */
#ifndef VIGNETTE_THREAD_POOL_H
#define VIGNETTE_THREAD_POOL_H

#include <stdatomic.h>

typedef struct ThreadPool ThreadPool;

ThreadPool *pool_open(int threads);
void pool_close(ThreadPool *pool);
int pool_size(const ThreadPool *pool);
void pool_run(ThreadPool *pool, void (*work)(void *state, int worker), void *state);
void wait_for_count(atomic_int *count, int goal); /* until count reaches goal */

#endif
