// SPDX-License-Identifier: Apache-2.0
// SIGTERM and SIGINT as a request to end, SIGHUP as one to reload; both are only noted here.
#include "runtime/signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static atomic_bool end_asked;
static atomic_bool reload_asked;
static int end_fd = -1; // readable once the end is asked for; never read, so it wakes every waiter
static int drain_seconds;

static void note_end(int signal)
{
    (void)signal;
    int saved = errno;
    uint64_t one = 1;
    if (!atomic_exchange(&end_asked, true)) {
        (void)alarm((unsigned int)drain_seconds);
    }
    ssize_t written = write(end_fd, &one, sizeof(one));
    (void)written;
    errno = saved;
}

static void note_reload(int signal)
{
    (void)signal;
    atomic_store(&reload_asked, true);
}

static void end_by_force(int signal)
{
    (void)signal;
    static const char line[] =
        "{\"level\":\"error\",\"message\":\"the drain took too long; what was "
        "in hand will be delivered again\"}\n";
    ssize_t written = write(STDERR_FILENO, line, sizeof(line) - 1);
    (void)written;
    _exit(EXIT_FAILURE);
}

static void take(int signal, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler}; // no SA_RESTART: waits end early
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(signal, &action, NULL);
}

void signals_take(int drain_s)
{
    drain_seconds = drain_s;
    end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (end_fd < 0) {
        abort();
    }
    take(SIGTERM, note_end);
    take(SIGINT, note_end);
    take(SIGHUP, note_reload);
    take(SIGALRM, end_by_force);
    take(SIGPIPE, SIG_IGN);
}

bool signals_end_asked(void)
{
    return atomic_load_explicit(&end_asked, memory_order_relaxed);
}

bool signals_reload_taken(void)
{
    return atomic_load_explicit(&reload_asked, memory_order_relaxed) &&
           atomic_exchange(&reload_asked, false);
}

bool signals_wait_end(int ms)
{
    struct pollfd waited = {.fd = end_fd, .events = POLLIN};
    if (!signals_end_asked() && ms > 0) {
        (void)poll(&waited, 1, ms); // a signal that ends it early is one we want to look at
    }
    return signals_end_asked();
}
