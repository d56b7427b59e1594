/* Who waits spins briefly, then yields (between jobs: sleeps): on a busy machine a spinning worker would take the very
 * core its companion needs. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "thread_pool.h"

#define SPINS_BEFORE_YIELD 4000
#define SPINS_BEFORE_SLEEP 20000

#if defined(__x86_64__)
#define relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define relax() __asm__ volatile("yield")
#else
#define relax() ((void)0)
#endif

typedef struct { ThreadPool *pool; int number; pthread_t thread; } Worker;

struct ThreadPool {
    int size;
    Worker *workers;
    void (*work)(void *, int);
    void *state;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    int closing;
    _Alignas(64) atomic_uint call;       /* counts the jobs; workers wait for it to change */
    _Alignas(64) atomic_int left;        /* workers that are through with the job */
};

void wait_for_count(atomic_int *count, int goal) {
    for (int spins = 0; atomic_load_explicit(count, memory_order_acquire) < goal; spins++) {
        if (spins < SPINS_BEFORE_YIELD) relax();
        else sched_yield();
    }
}

static void *worker_main(void *argument) {
    Worker *self = argument;
    ThreadPool *pool = self->pool;
    unsigned seen = 0;
    for (;;) {
        int spins = 0;
        while (atomic_load_explicit(&pool->call, memory_order_acquire) == seen) {
            if (++spins < SPINS_BEFORE_SLEEP) { relax(); continue; }
            pthread_mutex_lock(&pool->mutex);
            while (atomic_load_explicit(&pool->call, memory_order_acquire) == seen)
                pthread_cond_wait(&pool->wake, &pool->mutex);
            pthread_mutex_unlock(&pool->mutex);
        }
        seen++;
        if (pool->closing) return NULL;
        pool->work(pool->state, self->number);
        atomic_fetch_add_explicit(&pool->left, 1, memory_order_acq_rel);
    }
}

static void wake_workers(ThreadPool *pool) {
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add_explicit(&pool->call, 1, memory_order_release);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
}

ThreadPool *pool_open(int threads) {
    ThreadPool *pool = aligned_alloc(64, (sizeof(ThreadPool) + 63) / 64 * 64);
    if (!pool) return NULL;
    *pool = (ThreadPool){.size = 1};
    pool->workers = calloc((size_t)threads, sizeof(Worker));
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    atomic_init(&pool->call, 0);
    atomic_init(&pool->left, 0);
    for (int i = 1; i < threads; i++) {
        pool->workers[i] = (Worker){.pool = pool, .number = i};
        if (pthread_create(&pool->workers[i].thread, NULL, worker_main, &pool->workers[i])) break;
        pool->size++;
    }
    return pool;
}

void pool_close(ThreadPool *pool) {
    pool->closing = 1;
    wake_workers(pool);
    for (int i = 1; i < pool->size; i++) pthread_join(pool->workers[i].thread, NULL);
    pthread_mutex_destroy(&pool->mutex);
    pthread_cond_destroy(&pool->wake);
    free(pool->workers);
    free(pool);
}

int pool_size(const ThreadPool *pool) { return pool->size; }

void pool_run(ThreadPool *pool, void (*work)(void *, int), void *state) {
    if (pool->size == 1) { work(state, 0); return; }
    pool->work = work;
    pool->state = state;
    atomic_store_explicit(&pool->left, 0, memory_order_relaxed);
    wake_workers(pool);
    work(state, 0);
    wait_for_count(&pool->left, pool->size - 1);
}
