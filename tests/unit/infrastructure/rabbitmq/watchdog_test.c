// SPDX-License-Identifier: Apache-2.0
// Unit tests of the watchdog: a call that hangs is freed, one that is in time is left alone.
#define _GNU_SOURCE // POLLRDHUP
#include "infrastructure/rabbitmq/watchdog.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LIMIT_MS = 300, LOOK_MS = 250, PATIENCE_MS = 10000 };

static int ends[2];
static struct watchdog_guard guard;

static void open_pair(void)
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    cr_assert_eq(watchdog_watch(&guard, ends[0]), STATUS_OK);
}

static void close_pair(void)
{
    watchdog_unwatch(&guard);
    close(ends[0]);
    close(ends[1]);
}

TestSuite(watchdog, .init = open_pair, .fini = close_pair, .timeout = 30);

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// True: the socket was shut down within `ms`.
static bool is_shut(int ms)
{
    struct pollfd other = {.fd = ends[1], .events = POLLRDHUP};
    return poll(&other, 1, ms) == 1;
}

Test(watchdog, given_a_read_that_hangs_when_its_time_is_over_then_it_returns)
{
    char byte;
    int64_t began = now_ms();
    watchdog_enter(&guard, LIMIT_MS);
    cr_assert_eq(read(ends[0], &byte, 1), 0, "as if the other side had closed");
    watchdog_leave(&guard);
    cr_assert_geq(now_ms() - began, LIMIT_MS - 10, "not before its time");
}

Test(watchdog, given_a_write_that_hangs_when_its_time_is_over_then_it_fails)
{
    static char bytes[65536];
    ssize_t sent = 1;
    watchdog_enter(&guard, LIMIT_MS);
    while (sent > 0) { // nobody reads, so it fills up
        sent = send(ends[0], bytes, sizeof(bytes), MSG_NOSIGNAL);
    }
    watchdog_leave(&guard);
    cr_assert_eq(errno, EPIPE);
}

Test(watchdog, given_a_call_that_has_returned_when_time_passes_then_the_socket_is_left_alone)
{
    watchdog_enter(&guard, LIMIT_MS);
    watchdog_leave(&guard);
    cr_assert_not(is_shut(LIMIT_MS + 3 * LOOK_MS));
}

Test(watchdog, given_a_socket_that_is_watched_no_more_when_time_passes_then_it_is_left_alone)
{
    watchdog_enter(&guard, LIMIT_MS);
    watchdog_unwatch(&guard);
    cr_assert_not(is_shut(LIMIT_MS + 3 * LOOK_MS));
}

Test(watchdog, given_two_calls_when_one_hangs_then_only_that_one_is_freed)
{
    int others[2];
    struct watchdog_guard other;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, others), 0);
    cr_assert_eq(watchdog_watch(&other, others[0]), STATUS_OK);
    watchdog_enter(&other, PATIENCE_MS);
    watchdog_enter(&guard, LIMIT_MS);
    cr_assert(is_shut(PATIENCE_MS));
    struct pollfd its = {.fd = others[1], .events = POLLRDHUP};
    cr_assert_eq(poll(&its, 1, 0), 0);
    watchdog_unwatch(&other);
    close(others[0]);
    close(others[1]);
}
