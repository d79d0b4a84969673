// SPDX-License-Identifier: Apache-2.0
// A broker that takes no more bytes and says nothing: the way to it is a forwarder that stops.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/counting_context.h"
#include "../support/test_vhost.h"
#include "application/ports/message_bus.h"
#include "base/arena.h"
#include "base/monotonic.h"
#include "infrastructure/rabbitmq/connection.h"
#include "infrastructure/rabbitmq/message_bus_rabbitmq.h"
#include "infrastructure/rabbitmq/topology_link.h"

enum {
    WINDOW = 128,
    WAIT_MS = 30000,
    LOOK_MS = 100, // as the relay does, far below a heartbeat
    PATIENCE_MS = 60000,
    CONNECTIONS_MAX = 16,
    CHUNK = 64 * 1024,
};

// --- the forwarder: one thread, every connection a pair of descriptors

static struct sockaddr_in target;
static int listener;
static int stop_pipe[2];
static atomic_bool shut;
static pthread_t thread;

static void write_all(int to, const char *bytes, ssize_t len)
{
    ssize_t sent = 1;
    while (len > 0 && sent > 0) {
        sent = send(to, bytes, (size_t)len, MSG_NOSIGNAL);
        bytes += sent;
        len -= sent;
    }
}

static int other_end(int from)
{
    int to = socket(AF_INET, SOCK_STREAM, 0);
    if (from >= 0 && connect(to, (struct sockaddr *)&target, sizeof(target)) == 0) {
        return to;
    }
    close(to);
    return -1;
}

// Passes on what one end has said; both are closed when it has ended.
static void pass(struct pollfd *one, struct pollfd *other)
{
    static char bytes[CHUNK];
    ssize_t got = recv(one->fd, bytes, sizeof(bytes), 0);
    if (got > 0) {
        write_all(other->fd, bytes, got);
        return;
    }
    close(one->fd);
    close(other->fd);
    one->fd = other->fd = -1;
}

static void *forward(void *context)
{
    struct pollfd ends[2 + 2 * CONNECTIONS_MAX] = {{.fd = stop_pipe[0], .events = POLLIN},
                                                   {.fd = listener, .events = POLLIN}};
    nfds_t count = 2;
    while (poll(ends, shut ? 1 : count, 20) >= 0 && ends[0].revents == 0) {
        for (nfds_t i = 2; !shut && i < count; i += 2) {
            for (nfds_t end = i; end < i + 2; end++) {
                if (ends[end].fd >= 0 && ends[end].revents != 0) {
                    pass(&ends[end], &ends[end ^ 1]);
                }
            }
        }
        if (!shut && ends[1].revents != 0 && count + 2 <= 2 + 2 * CONNECTIONS_MAX) {
            int from = accept(listener, NULL, NULL);
            ends[count++] = (struct pollfd){.fd = from, .events = POLLIN};
            ends[count++] = (struct pollfd){.fd = other_end(from), .events = POLLIN};
        }
        for (nfds_t i = 0; i < count; i++) {
            ends[i].revents = 0;
        }
    }
    for (nfds_t i = 2; i < count; i++) {
        close(ends[i].fd);
    }
    return context;
}

static int open_forwarder(const struct rabbitmq_settings *to)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(own);
    target = own;
    target.sin_port = htons((uint16_t)to->port);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    // Else the kernel would take the whole window for us.
    cr_assert_eq(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &(int){CHUNK}, sizeof(int)), 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&own, len), 0);
    cr_assert_eq(listen(listener, CONNECTIONS_MAX), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&own, &len), 0);
    cr_assert_eq(pipe(stop_pipe), 0);
    cr_assert_eq(pthread_create(&thread, NULL, forward, NULL), 0);
    return ntohs(own.sin_port);
}

static void close_forwarder(void)
{
    close(stop_pipe[1]);
    pthread_join(thread, NULL);
    close(stop_pipe[0]);
    close(listener);
}

// --- a bus whose way leads through it

static struct arena arena;
static struct test_vhost vhost;
static struct rabbitmq_settings settings;
static struct message_bus_rabbitmq *bus;
static char body[MESSAGE_BODY_MAX];

static void open_bus(void)
{
    struct topology topology;
    struct topology_options options = {.registry = &counting_registry,
                                       .retry_ms = {1000, 60000, 60000}};
    struct rabbitmq_connection *connection;
    struct topology_report report;
    char cause[RABBITMQ_CAUSE_MAX] = "";
    struct str fault;
    arena_init(&arena, 64 * 1024, 16 * 1024 * 1024);
    cr_assert_eq(topology_make(&options, &arena, &topology), STATUS_OK);
    test_vhost_make(&vhost);
    cr_assert_eq(rabbitmq_settings_read(str_from(vhost.url), &arena, &settings, &fault), STATUS_OK);
    cr_assert_eq(rabbitmq_connection_open(&settings, "declare", &connection, cause), STATUS_OK,
                 "%s", cause);
    cr_assert_eq(topology_declare(connection, &topology, &report), STATUS_OK, "%s", report.cause);
    rabbitmq_connection_close(connection);
    settings.port = open_forwarder(&settings);
    settings.host = "127.0.0.1";
    settings.window = WINDOW;
    settings.heartbeat_s = 1;
    bus = message_bus_rabbitmq_new(&settings, STR(""));
    cr_assert_not_null(bus);
    memset(body, 'x', sizeof(body));
}

static void close_bus(void)
{
    shut = false;
    message_bus_rabbitmq_free(bus);
    close_forwarder();
    test_vhost_drop(&vhost);
    arena_free(&arena);
}

TestSuite(broker_stall, .init = open_bus, .fini = close_bus, .timeout = 180);

static struct message large(void)
{
    return (struct message){.id = {{1, 2, 3, 4, 5, 6, 0x70, 8, 0x80}},
                            .exchange = STR("comanda.events"),
                            .routing_key = STR("meter.X"),
                            .content_type = STR("application/cloudevents+json"),
                            .body = {body, sizeof(body)}};
}

// True once it is confirmed; not before the connection that was lost is made again.
static bool publishes(void)
{
    struct message message = large();
    enum publish_outcome outcome = NACKED;
    int64_t began = monotonic_ms();
    while (monotonic_ms() - began < PATIENCE_MS) {
        if (message_bus_publish(message_bus_rabbitmq_port(bus), &message, 1, WAIT_MS, &outcome) ==
            STATUS_OK) {
            return outcome == PUBLISHED;
        }
        (void)poll(NULL, 0, 50);
    }
    return false;
}

// Offers until the window or the way to the broker is full.
static void fill(void)
{
    struct message message = large();
    size_t taken = 1;
    while (taken == 1) {
        cr_assert_eq(message_bus_offer(message_bus_rabbitmq_port(bus), &message, 1, &taken),
                     STATUS_OK);
    }
}

// How it ends for who waits for the confirms.
static enum status wait_for_confirms(void)
{
    enum publish_outcome outcomes[WINDOW];
    enum status status = STATUS_OK;
    int64_t began = monotonic_ms();
    while (status == STATUS_OK && monotonic_ms() - began < PATIENCE_MS) {
        size_t count;
        status =
            message_bus_settle(message_bus_rabbitmq_port(bus), LOOK_MS, WINDOW, outcomes, &count);
    }
    return status;
}

Test(broker_stall,
     given_a_broker_that_takes_no_more_bytes_when_its_beats_are_missed_then_it_is_left)
{
    cr_assert(publishes(), "%s", message_bus_rabbitmq_health(bus).cause);
    shut = true;
    fill();
    cr_assert(message_bus_rabbitmq_health(bus).publishing, "nothing waits in a write");
    cr_assert_eq(wait_for_confirms(), STATUS_UNAVAILABLE);
    cr_assert_not(message_bus_rabbitmq_health(bus).publishing);
    shut = false;
    cr_assert(publishes(), "it comes back: %s", message_bus_rabbitmq_health(bus).cause);
}
