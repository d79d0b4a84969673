// SPDX-License-Identifier: Apache-2.0
// Everything that reads bytes from outside, as functions of one input. Here what comes in frames
// and binary rows.
#include <amqp.h>
#include <amqp_framing.h>
#include <libpq-fe.h>
#include <string.h>

#include "fuzz/targets.h"
#include "infrastructure/postgres/statement.h"
#include "infrastructure/rabbitmq/delivery.h"

enum {
    BLOCK = 64 * 1024,
    MEMORY_MAX = 64 * 1024 * 1024,
    COLUMNS_MAX = 14,
    ROWS_MAX = 8,
    ASKED = 2
};

// Takes up to `len` bytes off the front.
static struct str take(struct str *input, size_t len)
{
    struct str part = {input->data, len < input->len ? len : input->len};
    *input = (struct str){input->data + part.len, input->len - part.len};
    return part;
}

static size_t take_byte(struct str *input)
{
    struct str byte = take(input, 1);
    return byte.len == 0 ? 0 : (unsigned char)byte.data[0];
}

// --- AMQP

static amqp_bytes_t bytes_of(struct str text)
{
    return (amqp_bytes_t){.len = text.len, .bytes = (void *)(uintptr_t)text.data};
}

static void deliver(struct delivery *delivery, amqp_basic_properties_t *properties,
                    struct str pieces)
{
    amqp_basic_deliver_t method = {.exchange = bytes_of(STR("x")),
                                   .routing_key = bytes_of(STR("k"))};
    amqp_frame_t frame = {.frame_type = AMQP_FRAME_METHOD};
    frame.payload.method.id = AMQP_BASIC_DELIVER_METHOD;
    frame.payload.method.decoded = &method;
    enum status status = delivery_take(delivery, &frame);
    frame = (amqp_frame_t){.frame_type = AMQP_FRAME_HEADER};
    frame.payload.properties.class_id = AMQP_BASIC_CLASS;
    frame.payload.properties.body_size = take_byte(&pieces);
    frame.payload.properties.decoded = properties;
    status = status == STATUS_OK ? delivery_take(delivery, &frame) : status;
    while (status == STATUS_OK && pieces.len > 0) {
        frame = (amqp_frame_t){.frame_type = AMQP_FRAME_BODY};
        frame.payload.body_fragment = bytes_of(take(&pieces, take_byte(&pieces)));
        status = delivery_take(delivery, &frame);
    }
}

void fuzz_frame(struct str input)
{
    amqp_pool_t pool;
    void *decoded = NULL;
    struct delivery delivery;
    struct arena arena;
    struct message message;
    struct str properties = take(&input, take_byte(&input));
    init_amqp_pool(&pool, 4096);
    arena_init(&arena, BLOCK, MEMORY_MAX);
    delivery_init(&delivery);
    if (amqp_decode_properties(AMQP_BASIC_CLASS, &pool, bytes_of(properties), &decoded) == 0) {
        deliver(&delivery, decoded, input);
        if (delivery.stage == DELIVERY_WHOLE &&
            delivery_finish(&delivery, &arena, &message) == STATUS_OK) {
            FUZZ_MUST(message.body.len <= MESSAGE_BODY_MAX);
            FUZZ_MUST(message.attempts.count >= 0);
        }
    }
    delivery_free(&delivery);
    arena_free(&arena);
    empty_amqp_pool(&pool);
}

// --- PostgreSQL

// A result of binary columns: each value is a length (255: NULL) and so many bytes.
static PGresult *result_of(struct str *input, int columns)
{
    static char name[] = "c";
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    PGresAttDesc attributes[COLUMNS_MAX];
    for (int i = 0; i < columns; i++) {
        attributes[i] = (PGresAttDesc){.name = name, .format = 1};
    }
    FUZZ_MUST(result != NULL && PQsetResultAttrs(result, columns, attributes) != 0);
    for (int row = 0; row < ROWS_MAX && input->len > 0; row++) {
        for (int column = 0; column < columns; column++) {
            size_t len = take_byte(input);
            struct str value = len == 255 ? (struct str){NULL, 0} : take(input, len);
            int set = PQsetvalue(result, row, column, (char *)(uintptr_t)value.data,
                                 len == 255 ? -1 : (int)value.len);
            FUZZ_MUST(set != 0);
        }
    }
    return result;
}

static void read_append(struct str input, struct arena *arena)
{
    static const struct uuid inbox[2];
    const struct append_item items[ASKED] = {{.inbox = inbox, .inbox_count = 2}, {.row_count = 0}};
    struct append_verdict verdicts[ASKED];
    PGresult *result = result_of(&input, 11);
    (void)!statement_append_read(result, items, ASKED, arena, verdicts);
    PQclear(result);
}

static void read_streams(struct str input, struct arena *arena)
{
    const struct stream_query queries[ASKED] = {{.after_version = 0}, {.after_version = 3}};
    struct stream_rows streams[ASKED];
    PGresult *result = result_of(&input, 14);
    (void)!statement_read_streams_read(result, queries, ASKED, 4, arena, streams);
    PQclear(result);
}

static void read_tail(struct str input, struct arena *arena)
{
    struct recorded_event *rows;
    struct log_cursor next;
    size_t count;
    PGresult *result = result_of(&input, 14);
    (void)!statement_read_tail_read(result, (struct log_cursor){0}, arena, &rows, &count, &next);
    PQclear(result);
}

static void read_keys(struct str input, struct arena *arena)
{
    static const struct uuid ids[ASKED];
    bool known[ASKED];
    struct append_key keys[ASKED];
    PGresult *result = result_of(&input, 5);
    (void)arena;
    (void)!statement_find_keys_read(result, ids, ASKED, known, keys);
    PQclear(result);
}

static void read_timers(struct str input, struct arena *arena)
{
    struct timer *timers;
    size_t count;
    PGresult *result = result_of(&input, 5);
    (void)!statement_claim_timers_read(result, arena, &timers, &count);
    PQclear(result);
}

static void read_documents(struct str input, struct arena *arena)
{
    const struct document_id ids[ASKED] = {{STR("main"), STR("orders"), STR("a")},
                                           {STR("main"), STR("orders"), STR("b")}};
    struct document documents[ASKED];
    struct document *listed;
    size_t count;
    PGresult *result = result_of(&input, COLUMNS_MAX);
    (void)!statement_get_documents_read(result, ids, ASKED, arena, documents);
    (void)!statement_find_documents_read(result, ASKED, arena, documents);
    (void)!statement_list_documents_read(result, arena, &listed, &count);
    PQclear(result);
}

void fuzz_rows(struct str input)
{
    static void (*const readers[])(struct str, struct arena *) = {
        read_append, read_streams, read_tail, read_keys, read_timers, read_documents};
    size_t which = take_byte(&input) - 'A';
    struct arena arena;
    arena_init(&arena, BLOCK, MEMORY_MAX);
    if (which < sizeof(readers) / sizeof(readers[0])) {
        readers[which](input, &arena);
    }
    arena_free(&arena);
}
