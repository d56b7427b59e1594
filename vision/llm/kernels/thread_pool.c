/* A team of threads that runs one function together. Who waits spins briefly, then yields (between jobs: sleeps):
 * on a busy machine a spinning member would take the very core its companion needs. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "matmul.h"

#define SPINS_BEFORE_YIELD 4000
#define SPINS_BEFORE_SLEEP 20000

#if defined(__x86_64__)
#define relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define relax() __asm__ volatile("yield")
#else
#define relax() ((void)0)
#endif

typedef struct { Team *team; int number; pthread_t thread; } Member;

struct Team {
    int size;
    Member *members;
    void (*work)(void *, int);
    void *state;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    int closing;
    _Alignas(64) atomic_uint call;       /* counts the jobs; members wait for it to change */
    _Alignas(64) atomic_int left;        /* members that are through with the job */
};

void team_wait(atomic_int *count, int goal) {
    for (int spins = 0; atomic_load_explicit(count, memory_order_acquire) < goal; spins++) {
        if (spins < SPINS_BEFORE_YIELD) relax();
        else sched_yield();
    }
}

static void *member_main(void *argument) {
    Member *self = argument;
    Team *team = self->team;
    unsigned seen = 0;
    for (;;) {
        int spins = 0;
        while (atomic_load_explicit(&team->call, memory_order_acquire) == seen) {
            if (++spins < SPINS_BEFORE_SLEEP) { relax(); continue; }
            pthread_mutex_lock(&team->mutex);
            while (atomic_load_explicit(&team->call, memory_order_acquire) == seen)
                pthread_cond_wait(&team->wake, &team->mutex);
            pthread_mutex_unlock(&team->mutex);
        }
        seen++;
        if (team->closing) return NULL;
        team->work(team->state, self->number);
        atomic_fetch_add_explicit(&team->left, 1, memory_order_acq_rel);
    }
}

static void call_members(Team *team) {
    pthread_mutex_lock(&team->mutex);
    atomic_fetch_add_explicit(&team->call, 1, memory_order_release);
    pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->mutex);
}

Team *team_open(int threads) {
    Team *team = aligned_alloc(64, (sizeof(Team) + 63) / 64 * 64);
    if (!team) return NULL;
    *team = (Team){.size = 1};
    team->members = calloc((size_t)threads, sizeof(Member));
    pthread_mutex_init(&team->mutex, NULL);
    pthread_cond_init(&team->wake, NULL);
    atomic_init(&team->call, 0);
    atomic_init(&team->left, 0);
    for (int i = 1; i < threads; i++) {
        team->members[i] = (Member){.team = team, .number = i};
        if (pthread_create(&team->members[i].thread, NULL, member_main, &team->members[i])) break;
        team->size++;
    }
    return team;
}

void team_close(Team *team) {
    team->closing = 1;
    call_members(team);
    for (int i = 1; i < team->size; i++) pthread_join(team->members[i].thread, NULL);
    pthread_mutex_destroy(&team->mutex);
    pthread_cond_destroy(&team->wake);
    free(team->members);
    free(team);
}

int team_size(const Team *team) { return team->size; }

void team_run(Team *team, void (*work)(void *, int), void *state) {
    if (team->size == 1) { work(state, 0); return; }
    team->work = work;
    team->state = state;
    atomic_store_explicit(&team->left, 0, memory_order_relaxed);
    call_members(team);
    work(state, 0);
    team_wait(&team->left, team->size - 1);
}
