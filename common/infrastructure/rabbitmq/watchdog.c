// SPDX-License-Identifier: Apache-2.0
// Frees a thread that hangs inside the client library: a second thread shuts its socket down.
#include "infrastructure/rabbitmq/watchdog.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <time.h>

enum { LOOK_EVERY_MS = 250 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct watchdog_guard *guards;
static bool started;

static int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Under the lock, so that the descriptor is still this guard's.
static void free_the_hanging(void)
{
    int64_t now = monotonic_ms();
    for (struct watchdog_guard *guard = guards; guard != NULL; guard = guard->next) {
        int64_t deadline = __atomic_load_n(&guard->deadline_ms, __ATOMIC_ACQUIRE);
        if (deadline != 0 && deadline < now) {
            shutdown(guard->fd, SHUT_RDWR);
        }
    }
}

static void *look_again_and_again(void *unused)
{
    (void)unused;
    const struct timespec pause = {.tv_nsec = LOOK_EVERY_MS * 1000000L};
    for (;;) {
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&lock);
        free_the_hanging();
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

// Signals belong to the threads that work.
static bool start_thread(void)
{
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, NULL, look_again_and_again, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0) {
        pthread_detach(thread);
    }
    return error == 0;
}

enum status watchdog_watch(struct watchdog_guard *guard, int fd)
{
    pthread_mutex_lock(&lock);
    if (!started) {
        started = start_thread();
    }
    if (started) {
        *guard = (struct watchdog_guard){.next = guards, .fd = fd};
        guards = guard;
    }
    bool watched = started;
    pthread_mutex_unlock(&lock);
    return watched ? STATUS_OK : STATUS_NO_MEMORY;
}

void watchdog_unwatch(struct watchdog_guard *guard)
{
    pthread_mutex_lock(&lock);
    for (struct watchdog_guard **at = &guards; *at != NULL; at = &(*at)->next) {
        if (*at == guard) {
            *at = guard->next;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}

void watchdog_enter(struct watchdog_guard *guard, int limit_ms)
{
    __atomic_store_n(&guard->deadline_ms, monotonic_ms() + limit_ms, __ATOMIC_RELEASE);
}

void watchdog_leave(struct watchdog_guard *guard)
{
    __atomic_store_n(&guard->deadline_ms, 0, __ATOMIC_RELEASE);
}
