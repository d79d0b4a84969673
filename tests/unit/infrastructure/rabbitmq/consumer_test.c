// SPDX-License-Identifier: Apache-2.0
// The consumer beside a broker that has said all it will ever say: what it hears while a message
// waits to be received.
#include "infrastructure/rabbitmq/consumer.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"

#define QUEUE STR("comanda.test")

enum { METHOD = 1, HEADER = 2, BODY = 3, SCRIPT_MAX = 1024, HEARD_MAX = 4096, TICKS_MAX = 20 };

// --- what the broker says

static unsigned char spoken[SCRIPT_MAX];
static size_t spoken_len;

static void say(unsigned char type, unsigned char channel, const void *payload, size_t len)
{
    const unsigned char head[] = {type, 0, channel, 0, 0, 0, (unsigned char)len};
    memcpy(spoken + spoken_len, head, sizeof(head));
    memcpy(spoken + spoken_len + sizeof(head), payload, len);
    spoken_len += sizeof(head) + len;
    spoken[spoken_len++] = 0xCE;
}

#define SAY(type, channel, bytes) say((type), (channel), (bytes), sizeof(bytes) - 1)

// Every answer of a login, a channel and a consumer, then two messages of one byte.
static void script(void)
{
    SAY(METHOD, 0, "\0\12\0\12\0\11\0\0\0\0\0\0\0\5PLAIN\0\0\0\5en_US"); // start
    SAY(METHOD, 0, "\0\12\0\36\0\2\0\2\0\0\0\12"); // tune: 2 channels, 128 KiB, 10 s
    SAY(METHOD, 0, "\0\12\0\51\0");                // open-ok
    SAY(METHOD, 1, "\0\24\0\13\0\0\0\0");          // channel.open-ok
    SAY(METHOD, 1, "\0\74\0\13");                  // qos-ok
    SAY(METHOD, 1, "\0\74\0\25\1t");               // consume-ok
    for (int at = 0; at < 2; at++) {
        SAY(METHOD, 1, "\0\74\0\74\1t\0\0\0\0\0\0\0\1\0\1x\1k"); // deliver
        SAY(HEADER, 1, "\0\74\0\0\0\0\0\0\0\0\0\1\0\0");
        SAY(BODY, 1, "b");
    }
}

// --- its socket

static int listener;
static int broker;
static struct rabbitmq_consumer *consumer;
static struct rabbitmq_settings settings;

static void open_broker(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, len), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    settings = (struct rabbitmq_settings){.host = "127.0.0.1",
                                          .port = ntohs(address.sin_port),
                                          .vhost = "/",
                                          .user = "guest",
                                          .password = "guest",
                                          .name = "test",
                                          .heartbeat_s = 10,
                                          .connect_timeout_ms = 5000,
                                          .rpc_timeout_ms = 5000,
                                          .stall_ms = 5000,
                                          .prefetch = 10};
    consumer = rabbitmq_consumer_new(&settings, QUEUE);
    script();
}

static void close_broker(void)
{
    close(broker);
    close(listener);
    rabbitmq_consumer_free(consumer);
}

TestSuite(rabbitmq_consumer, .init = open_broker, .fini = close_broker, .timeout = 60);

static void *accept_and_say(void *context)
{
    (void)context;
    broker = accept(listener, NULL, NULL);
    cr_assert_eq(write(broker, spoken, spoken_len), (ssize_t)spoken_len);
    return NULL;
}

// What the broker has heard since it was asked last.
static size_t hear(unsigned char *heard)
{
    struct pollfd input = {.fd = broker, .events = POLLIN};
    size_t len = 0;
    ssize_t got = 1;
    while (got > 0 && poll(&input, 1, 0) == 1) {
        got = read(broker, heard + len, HEARD_MAX - len);
        len += got > 0 ? (size_t)got : 0;
    }
    return len;
}

static size_t heartbeats(const unsigned char *heard, size_t len)
{
    static const unsigned char beat[] = {8, 0, 0, 0, 0, 0, 0, 0xCE};
    size_t count = 0;
    for (size_t at = 0; at + sizeof(beat) <= len; at++) {
        count += memcmp(heard + at, beat, sizeof(beat)) == 0;
    }
    return count;
}

Test(rabbitmq_consumer, given_a_message_that_waits_when_it_breathes_then_the_broker_hears_of_it)
{
    static unsigned char heard[HEARD_MAX];
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, accept_and_say, NULL), 0);
    cr_assert_eq(rabbitmq_consumer_tick(consumer), STATUS_OK, "%s",
                 rabbitmq_consumer_cause(consumer));
    pthread_join(thread, NULL);
    for (int tick = 0; tick < TICKS_MAX; tick++) {
        cr_assert_eq(rabbitmq_consumer_tick(consumer), STATUS_OK);
    }
    cr_assert_eq(heartbeats(heard, hear(heard)), 1, "one is due at once, the next five seconds on");
    (void)poll(NULL, 0, 5100);
    cr_assert_eq(rabbitmq_consumer_tick(consumer), STATUS_OK);
    cr_assert_eq(heartbeats(heard, hear(heard)), 1);
    struct arena arena;
    struct message *messages;
    size_t count = 0;
    arena_init(&arena, 4096, 1 << 20);
    cr_assert_eq(rabbitmq_consumer_receive(consumer, 10, 0, 0, &arena, &messages, &count),
                 STATUS_OK);
    cr_assert_eq(count, 2, "nothing is lost by it");
    arena_free(&arena);
}
