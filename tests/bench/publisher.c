// SPDX-License-Identifier: Apache-2.0
// What the relay is measured against: librabbitmq and nothing else, persistent messages with a
// window of confirms.
//
// usage: publisher HOST PORT USER PASSWORD EXCHANGE ROUTING_KEY WINDOW <BODIES
// A body a line; prints {"messages":N,"seconds":S}, from the first publish to the last confirm.
#define _GNU_SOURCE // memmem
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

enum {
    CHANNEL = 1,
    FRAME_MAX = 131072,
    BODIES_MAX = 1000000,
    LOOK_EVERY = 32,
    ID_LEN = 36,
    WAIT_S = 30
};

struct bodies {
    amqp_bytes_t *items;
    uint64_t count;
};

struct run {
    amqp_connection_state_t connection;
    amqp_bytes_t exchange;
    amqp_bytes_t routing_key;
    uint64_t window;
    uint64_t sent;
    uint64_t confirmed;
};

static void fail(const char *what)
{
    (void)fprintf(stderr, "publisher: %s\n", what);
    exit(EXIT_FAILURE);
}

static struct bodies read_bodies(FILE *file)
{
    struct bodies bodies = {calloc(BODIES_MAX, sizeof(amqp_bytes_t)), 0};
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    if (bodies.items == NULL) {
        fail("no memory");
    }
    while (bodies.count < BODIES_MAX && (length = getline(&line, &room, file)) > 1) {
        bodies.items[bodies.count++] =
            amqp_bytes_malloc_dup((amqp_bytes_t){(size_t)length - 1, line});
    }
    free(line);
    return bodies;
}

static void must_reply(struct run *run, const char *what)
{
    if (amqp_get_rpc_reply(run->connection).reply_type != AMQP_RESPONSE_NORMAL) {
        fail(what);
    }
}

static void open_connection(struct run *run, char **words)
{
    run->connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(run->connection);
    if (socket == NULL ||
        amqp_socket_open(socket, words[1], (int)strtol(words[2], NULL, 10)) != 0) {
        fail("cannot connect");
    }
    if (amqp_login(run->connection, "/", 0, FRAME_MAX, 0, AMQP_SASL_METHOD_PLAIN, words[3],
                   words[4])
            .reply_type != AMQP_RESPONSE_NORMAL) {
        fail("cannot log in");
    }
    amqp_channel_open(run->connection, CHANNEL);
    must_reply(run, "no channel");
    amqp_confirm_select(run->connection, CHANNEL);
    must_reply(run, "no confirms");
}

static void take_frame(struct run *run, const amqp_frame_t *frame)
{
    if (frame->frame_type != AMQP_FRAME_METHOD) {
        return;
    }
    if (frame->payload.method.id == AMQP_BASIC_ACK_METHOD) {
        const amqp_basic_ack_t *ack = frame->payload.method.decoded;
        // Confirms come in order from one channel's point of view: a single one counts for itself.
        run->confirmed = ack->multiple ? ack->delivery_tag : run->confirmed + 1;
    } else {
        fail("the broker refused a message or returned it");
    }
}

// Reads what has come; waits for a first frame when nothing may be sent.
static void listen(struct run *run, bool wait)
{
    amqp_frame_t frame;
    struct timeval patience = {wait ? WAIT_S : 0, 0};
    int status;
    amqp_maybe_release_buffers(run->connection);
    while ((status = amqp_simple_wait_frame_noblock(run->connection, &frame, &patience)) ==
           AMQP_STATUS_OK) {
        take_frame(run, &frame);
        patience = (struct timeval){0, 0};
    }
    if (status != AMQP_STATUS_TIMEOUT || (wait && patience.tv_sec > 0)) {
        fail("the broker has gone or does not confirm");
    }
}

// A consumer of ours refuses a message whose id is not the event's: {"specversion":"1.0","id":"…".
static amqp_bytes_t id_of(amqp_bytes_t body)
{
    static const char before[] = "\"id\":\"";
    char *at = memmem(body.bytes, body.len, before, sizeof(before) - 1);
    if (at == NULL || (size_t)((char *)body.bytes + body.len - at) < sizeof(before) + ID_LEN) {
        fail("a body without an id");
    }
    return (amqp_bytes_t){ID_LEN, at + sizeof(before) - 1};
}

static void publish_all(struct run *run, const struct bodies *bodies)
{
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG |
                  AMQP_BASIC_MESSAGE_ID_FLAG,
        .content_type = amqp_cstring_bytes("application/cloudevents+json"),
        .delivery_mode = 2,
    };
    while (run->confirmed < bodies->count) {
        if (run->sent == bodies->count || run->sent - run->confirmed >= run->window) {
            listen(run, true);
            continue;
        }
        properties.message_id = id_of(bodies->items[run->sent]);
        if (amqp_basic_publish(run->connection, CHANNEL, run->exchange, run->routing_key, 1, 0,
                               &properties, bodies->items[run->sent]) != AMQP_STATUS_OK) {
            fail("cannot publish");
        }
        run->sent++;
        if (run->sent % LOOK_EVERY == 0) {
            listen(run, false);
        }
    }
}

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    if (argc != 8) {
        fail("usage: publisher HOST PORT USER PASSWORD EXCHANGE ROUTING_KEY WINDOW <BODIES");
    }
    struct bodies bodies = read_bodies(stdin);
    struct run run = {.exchange = amqp_cstring_bytes(argv[5]),
                      .routing_key = amqp_cstring_bytes(argv[6]),
                      .window = strtoul(argv[7], NULL, 10)};
    open_connection(&run, argv);
    double began = now();
    publish_all(&run, &bodies);
    printf("{\"messages\":%llu,\"seconds\":%.6f}\n", (unsigned long long)bodies.count,
           now() - began);
    amqp_connection_close(run.connection, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(run.connection);
    return EXIT_SUCCESS;
}
