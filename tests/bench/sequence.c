// SPDX-License-Identifier: Apache-2.0
// What a lone order is measured against: the commits and the hops through the broker that it takes,
// one after another, by libpq and librabbitmq and nothing else.
//
// usage: sequence CONNINFO HOST PORT USER PASSWORD QUEUE ROUNDS
// A round is thirteen commits (eleven of the log, two of the provider and the carrier between a
// delivery and its answer) of two rows each, and ten messages, published to a queue and delivered
// back. Prints {"rounds":N,"p50_ms":M}.
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CHANNEL = 1,
    FRAME_MAX = 131072,
    COMMITS = 13,
    HOPS = 10,
    ROUNDS_MAX = 100000,
    BODY_BYTES = 900, // of a usual message
    PAUSE_MS = 20
};

static char body[BODY_BYTES + 1];

static void fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "sequence: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void execute(PGconn *log, const char *sql)
{
    PGresult *result = PQexec(log, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        fail("PostgreSQL", PQerrorMessage(log));
    }
    PQclear(result);
}

static PGconn *open_log(const char *conninfo)
{
    PGconn *log = PQconnectdb(conninfo);
    if (PQstatus(log) != CONNECTION_OK) {
        fail("PostgreSQL", PQerrorMessage(log));
    }
    execute(log, "create table if not exists sequence_rows (id uuid primary key default"
                 " gen_random_uuid(), position int8 generated always as identity,"
                 " recorded_at timestamptz not null default now(), data json not null)");
    PGresult *result = PQprepare(
        log, "commit",
        "insert into sequence_rows (data) select $1::json from generate_series(1, 2)", 1, NULL);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        fail("PostgreSQL", PQerrorMessage(log));
    }
    PQclear(result);
    return log;
}

static void commit(PGconn *log)
{
    const char *values[] = {body};
    PGresult *result = PQexecPrepared(log, "commit", 1, values, NULL, NULL, 1);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        fail("PostgreSQL", PQerrorMessage(log));
    }
    PQclear(result);
}

static void must_reply(amqp_connection_state_t broker, const char *what)
{
    if (amqp_get_rpc_reply(broker).reply_type != AMQP_RESPONSE_NORMAL) {
        fail("RabbitMQ", what);
    }
}

static amqp_connection_state_t open_broker(char **words)
{
    amqp_connection_state_t broker = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(broker);
    if (socket == NULL ||
        amqp_socket_open(socket, words[2], (int)strtol(words[3], NULL, 10)) != 0 ||
        amqp_login(broker, "/", 0, FRAME_MAX, 0, AMQP_SASL_METHOD_PLAIN, words[4], words[5])
                .reply_type != AMQP_RESPONSE_NORMAL) {
        fail("RabbitMQ", "cannot connect");
    }
    amqp_channel_open(broker, CHANNEL);
    must_reply(broker, "no channel");
    return broker;
}

static amqp_connection_state_t open_consumer(char **words, amqp_bytes_t queue)
{
    amqp_connection_state_t broker = open_broker(words);
    amqp_table_entry_t quorum = {amqp_cstring_bytes("x-queue-type"), {0}};
    quorum.value.kind = AMQP_FIELD_KIND_UTF8;
    quorum.value.value.bytes = amqp_cstring_bytes("quorum");
    amqp_queue_declare(broker, CHANNEL, queue, 0, 1, 0, 0, (amqp_table_t){1, &quorum});
    must_reply(broker, "the queue is not declared");
    amqp_basic_consume(broker, CHANNEL, queue, amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    must_reply(broker, "nothing is consumed");
    return broker;
}

static void hop(amqp_connection_state_t publisher, amqp_connection_state_t consumer,
                amqp_bytes_t queue)
{
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG,
        .content_type = amqp_cstring_bytes("application/cloudevents+json"),
        .delivery_mode = 2,
    };
    amqp_envelope_t envelope;
    if (amqp_basic_publish(publisher, CHANNEL, amqp_empty_bytes, queue, 1, 0, &properties,
                           amqp_cstring_bytes(body)) != AMQP_STATUS_OK) {
        fail("RabbitMQ", "cannot publish");
    }
    amqp_maybe_release_buffers(consumer);
    if (amqp_consume_message(consumer, &envelope, NULL, 0).reply_type != AMQP_RESPONSE_NORMAL) {
        fail("RabbitMQ", "nothing is delivered");
    }
    amqp_basic_ack(consumer, CHANNEL, envelope.delivery_tag, 0);
    amqp_destroy_envelope(&envelope);
}

static double now_ms(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec * 1e3 + (double)at.tv_nsec / 1e6;
}

static int compare(const void *left, const void *right)
{
    double difference = *(const double *)left - *(const double *)right;
    return difference < 0 ? -1 : difference > 0;
}

int main(int argc, char **argv)
{
    if (argc != 8) {
        fail("usage", "sequence CONNINFO HOST PORT USER PASSWORD QUEUE ROUNDS");
    }
    size_t rounds = strtoul(argv[7], NULL, 10);
    double *took = rounds >= 1 && rounds <= ROUNDS_MAX ? calloc(rounds, sizeof(*took)) : NULL;
    if (took == NULL) {
        fail("ROUNDS", "wants 1 to 100000");
    }
    memset(body, '7', BODY_BYTES); // a long number is JSON too
    amqp_bytes_t queue = amqp_cstring_bytes(argv[6]);
    PGconn *log = open_log(argv[1]);
    amqp_connection_state_t publisher = open_broker(argv);
    amqp_connection_state_t consumer = open_consumer(argv, queue);
    for (size_t round = 0; round < rounds; round++) {
        const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
        double began = now_ms();
        for (int at = 0; at < COMMITS; at++) {
            commit(log);
            if (at < HOPS) {
                hop(publisher, consumer, queue);
            }
        }
        took[round] = now_ms() - began;
    }
    qsort(took, rounds, sizeof(*took), compare);
    printf("{\"rounds\":%zu,\"p50_ms\":%.3f}\n", rounds, took[rounds / 2]);
    amqp_queue_delete(publisher, CHANNEL, queue, 0, 0);
    execute(log, "drop table sequence_rows");
    amqp_destroy_connection(consumer);
    amqp_destroy_connection(publisher);
    PQfinish(log);
    free(took);
    return EXIT_SUCCESS;
}
