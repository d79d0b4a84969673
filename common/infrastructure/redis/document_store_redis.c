// SPDX-License-Identifier: Apache-2.0
// Documents in Redis: the hot copies. All of it may be lost at any time; the read schema is the
// truth.
#include "infrastructure/redis/document_store_redis.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/arena.h"
#include "base/monotonic.h"
#include "infrastructure/redis/connection.h"
#include "infrastructure/redis/document_codec.h"
#include "infrastructure/redis/generation.h"

// A pipeline at a time: bounds what both sides hold in memory.
enum { PIPELINE_MAX = 256, SCRATCH_BLOCK = 64 * 1024, SCRATCH_MAX = 128 * 1024 * 1024 };

struct redis_store {
    struct document_store base;
    struct redis_connection *connection;
    unsigned prepared; // the connection that has our scripts, by its number
    unsigned proved;   // the connection that has told its generation
    int64_t proved_at_ms;
    struct redis_generation generation;
};

static struct redis_store *self(struct document_store *store)
{
    return (struct redis_store *)store;
}

static bool says(const redisReply *reply, const char *code)
{
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, code, strlen(code)) == 0;
}

// Whoever asks the connection why nothing is stored learns that it may not.
static void note_refusal(struct redis_store *store, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR) {
        redis_connection_note(store->connection, reply->str);
    }
}

// NULL: the connection is gone.
static redisReply *ask(struct redis_store *store, redisContext *context,
                       const struct redis_command *command)
{
    redisReply *reply =
        redisCommandArgv(context, command->argc, (const char **)command->argv, command->lengths);
    if (reply == NULL) {
        redis_connection_fail(store->connection);
    } else {
        note_refusal(store, reply);
    }
    return reply;
}

static bool load_script(struct redis_store *store, redisContext *context, enum redis_script script)
{
    const struct redis_command command = redis_script_load(script);
    redisReply *reply = ask(store, context, &command);
    bool loaded = reply != NULL && reply->type == REDIS_REPLY_STRING;
    freeReplyObject(reply);
    return loaded;
}

static bool prepare(struct redis_store *store, redisContext *context)
{
    unsigned number = redis_connection_generation(store->connection);
    if (store->prepared != number) {
        store->prepared = load_script(store, context, REDIS_SCRIPT_PUT) &&
                                  load_script(store, context, REDIS_SCRIPT_GENERATION)
                              ? number
                              : 0;
    }
    return store->prepared == number;
}

static redisReply *ask_generation(struct redis_store *store, redisContext *context)
{
    uint64_t random = 0;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
        return NULL;
    }
    const struct redis_command command = redis_generation_ask(&store->generation, random);
    return ask(store, context, &command);
}

// Twice at most, as put_commands.
static bool prove(struct redis_store *store, redisContext *context)
{
    int64_t asked_at_ms = monotonic_ms();
    redisReply *reply = ask_generation(store, context);
    if (reply != NULL && says(reply, "NOSCRIPT")) {
        freeReplyObject(reply);
        store->prepared = 0;
        reply = prepare(store, context) ? ask_generation(store, context) : NULL;
    }
    bool well = reply != NULL && reply->type == REDIS_REPLY_STRING &&
                redis_generation_take(&store->generation, (struct str){reply->str, reply->len});
    if (well) {
        store->proved = redis_connection_generation(store->connection);
        store->proved_at_ms = asked_at_ms;
    } else if (reply != NULL) {
        store->proved = 0;
        redis_generation_spoil(&store->generation);
    }
    freeReplyObject(reply);
    return well;
}

// Connected, with our scripts and in a generation that it told not long ago.
static redisContext *use(struct redis_store *store)
{
    redisContext *context = redis_connection_use(store->connection);
    if (context == NULL || !prepare(store, context)) {
        return NULL;
    }
    if (store->proved == redis_connection_generation(store->connection) &&
        monotonic_ms() - store->proved_at_ms < REDIS_LOOK_EVERY_MS) {
        return context;
    }
    return prove(store, context) ? context : NULL;
}

// NULL: the connection is gone.
static redisReply *next_reply(struct redis_store *store, redisContext *context)
{
    void *reply = NULL;
    if (redisGetReply(context, &reply) != REDIS_OK) {
        redis_connection_fail(store->connection);
        return NULL;
    }
    return reply;
}

// A half-sent pipeline cannot be taken back: the connection goes with it.
static enum status give_up(struct redis_store *store)
{
    redis_connection_fail(store->connection);
    return STATUS_UNAVAILABLE;
}

static enum status send_all(struct redis_store *store, redisContext *context,
                            struct redis_command *commands, size_t count)
{
    for (size_t at = 0; at < count; at++) {
        if (redisAppendCommandArgv(context, commands[at].argc, commands[at].argv,
                                   commands[at].lengths) != REDIS_OK) {
            return give_up(store);
        }
    }
    return STATUS_OK;
}

enum put_answer { PUT_DONE, PUT_NO_SCRIPT, PUT_REFUSED, PUT_LOST };

static enum put_answer read_puts(struct redis_store *store, redisContext *context, size_t count)
{
    enum put_answer answer = PUT_DONE;
    for (size_t at = 0; at < count; at++) {
        redisReply *reply = next_reply(store, context);
        if (reply == NULL) {
            return PUT_LOST;
        }
        note_refusal(store, reply);
        if (says(reply, "NOSCRIPT")) {
            answer = PUT_NO_SCRIPT;
        } else if (reply->type == REDIS_REPLY_ERROR && answer == PUT_DONE) {
            answer = PUT_REFUSED;
        }
        freeReplyObject(reply);
    }
    return answer;
}

// What stayed there may be older than what was refused.
static enum status note_put(struct redis_store *store, enum put_answer answer)
{
    if (answer == PUT_REFUSED || answer == PUT_NO_SCRIPT) {
        redis_generation_spoil(&store->generation);
        store->proved = 0;
    }
    return answer == PUT_DONE ? STATUS_OK : STATUS_UNAVAILABLE;
}

// Twice at most: a server that was emptied (SCRIPT FLUSH, a restart behind a proxy) learns the
// scripts anew; a put is harmless to repeat.
static enum status put_commands(struct redis_store *store, redisContext *context,
                                struct redis_command *commands, size_t count)
{
    enum put_answer answer = PUT_NO_SCRIPT;
    for (int round = 0; round < 2 && answer == PUT_NO_SCRIPT; round++) {
        if (!prepare(store, context) || send_all(store, context, commands, count) != STATUS_OK) {
            return STATUS_UNAVAILABLE;
        }
        answer = read_puts(store, context, count);
        if (answer == PUT_NO_SCRIPT) {
            store->prepared = 0;
        }
    }
    return note_put(store, answer);
}

static enum status put_pipeline(struct redis_store *store, const struct document *documents,
                                size_t count, struct arena *scratch)
{
    struct redis_command *commands = arena_array(scratch, count, sizeof(*commands));
    redisContext *context = use(store);
    if (commands == NULL || context == NULL) {
        return commands == NULL ? STATUS_NO_MEMORY : STATUS_UNAVAILABLE;
    }
    struct str generation = redis_generation_name(&store->generation);
    enum status status = STATUS_OK;
    for (size_t at = 0; at < count && status == STATUS_OK; at++) {
        status = document_redis_put(&documents[at], generation, scratch, &commands[at]);
    }
    return status == STATUS_OK ? put_commands(store, context, commands, count) : status;
}

static size_t next_chunk(size_t count, size_t from)
{
    return count - from < PIPELINE_MAX ? count - from : PIPELINE_MAX;
}

static enum status put(struct document_store *base, const struct document *documents, size_t count)
{
    struct arena scratch;
    arena_init(&scratch, SCRATCH_BLOCK, SCRATCH_MAX);
    enum status status = STATUS_OK;
    for (size_t from = 0; from < count && status == STATUS_OK; from += PIPELINE_MAX) {
        status = put_pipeline(self(base), documents + from, next_chunk(count, from), &scratch);
        arena_reset(&scratch);
    }
    arena_free(&scratch);
    return status;
}

static enum status read_get(const struct redis_store *store, const redisReply *reply,
                            const struct document_id *id, struct arena *arena,
                            struct document *document)
{
    *document =
        (struct document){.tenant = id->tenant, .collection = id->collection, .key = id->key};
    if (reply->type == REDIS_REPLY_ERROR) {
        return says(reply, "WRONGTYPE") ? STATUS_OK : STATUS_UNAVAILABLE;
    }
    if (reply->type != REDIS_REPLY_STRING) {
        return STATUS_OK;
    }
    struct str value = arena_str(arena, (struct str){reply->str, reply->len});
    if (value.data == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status =
        document_redis_read(value, redis_generation_name(&store->generation), id, arena, document);
    return status == STATUS_MALFORMED ? STATUS_OK : status;
}

static enum status read_gets(struct redis_store *store, redisContext *context,
                             const struct document_id *ids, size_t count, struct arena *arena,
                             struct document *documents)
{
    enum status outcome = STATUS_OK;
    for (size_t at = 0; at < count; at++) { // all are read, or the next user gets our answers
        redisReply *reply = next_reply(store, context);
        if (reply == NULL) {
            return STATUS_UNAVAILABLE;
        }
        note_refusal(store, reply);
        enum status status = read_get(store, reply, &ids[at], arena, &documents[at]);
        outcome = outcome == STATUS_OK ? status : outcome;
        freeReplyObject(reply);
    }
    return outcome;
}

static enum status get_pipeline(struct redis_store *store, const struct document_id *ids,
                                size_t count, struct arena *arena, struct document *documents)
{
    struct redis_command *commands = arena_array(arena, count, sizeof(*commands));
    enum status status = commands == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    for (size_t at = 0; at < count && status == STATUS_OK; at++) {
        status = document_redis_get(&ids[at], arena, &commands[at]);
    }
    if (status != STATUS_OK) {
        return status;
    }
    redisContext *context = use(store);
    if (context == NULL || send_all(store, context, commands, count) != STATUS_OK) {
        return STATUS_UNAVAILABLE;
    }
    return read_gets(store, context, ids, count, arena, documents);
}

static enum status get(struct document_store *base, const struct document_id *ids, size_t count,
                       struct arena *arena, struct document *documents)
{
    struct document *made = arena_array(arena, count, sizeof(*made));
    enum status status = made == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    for (size_t from = 0; from < count && status == STATUS_OK; from += PIPELINE_MAX) {
        status = get_pipeline(self(base), ids + from, next_chunk(count, from), arena, made + from);
    }
    if (status == STATUS_OK && count > 0) {
        memcpy(documents, made, count * sizeof(*made));
    }
    return status;
}

static enum status unlink_keys(struct redis_store *store, redisContext *context,
                               const redisReply *keys)
{
    for (size_t at = 0; at < keys->elements; at++) {
        if (redisAppendCommand(context, "UNLINK %b", keys->element[at]->str,
                               (size_t)keys->element[at]->len) != REDIS_OK) {
            return give_up(store);
        }
    }
    enum status outcome = STATUS_OK;
    for (size_t at = 0; at < keys->elements; at++) {
        redisReply *reply = next_reply(store, context);
        if (reply == NULL) {
            return STATUS_UNAVAILABLE;
        }
        note_refusal(store, reply);
        if (reply->type == REDIS_REPLY_ERROR) {
            outcome = STATUS_UNAVAILABLE;
        }
        freeReplyObject(reply);
    }
    return outcome;
}

static bool is_scan_page(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
           reply->element[0]->type == REDIS_REPLY_STRING &&
           reply->element[1]->type == REDIS_REPLY_ARRAY;
}

// One page of SCAN: deletes what it shows and moves the cursor; "0" is the end.
static enum status drop_page(struct redis_store *store, redisContext *context, struct str pattern,
                             char cursor[24])
{
    redisReply *reply =
        redisCommand(context, "SCAN %s MATCH %b COUNT 1000", cursor, pattern.data, pattern.len);
    if (reply == NULL) {
        return give_up(store);
    }
    note_refusal(store, reply);
    enum status status = STATUS_UNAVAILABLE;
    if (is_scan_page(reply) && reply->element[0]->len < 24) {
        memcpy(cursor, reply->element[0]->str, (size_t)reply->element[0]->len + 1);
        status = unlink_keys(store, context, reply->element[1]);
    }
    freeReplyObject(reply);
    return status;
}

static enum status drop(struct document_store *base, struct str tenant, struct str collection)
{
    struct arena scratch;
    arena_init(&scratch, SCRATCH_BLOCK, SCRATCH_MAX);
    struct str pattern;
    enum status status = document_redis_pattern(tenant, collection, &scratch, &pattern);
    redisContext *context =
        status == STATUS_OK ? redis_connection_use(self(base)->connection) : NULL;
    if (status == STATUS_OK && context == NULL) {
        status = STATUS_UNAVAILABLE;
    }
    char cursor[24] = "0";
    bool more = true;
    while (status == STATUS_OK && more) {
        status = drop_page(self(base), context, pattern, cursor);
        more = strcmp(cursor, "0") != 0;
    }
    arena_free(&scratch);
    return status;
}

static const struct document_store_ops redis_ops = {.put = put, .get = get, .drop = drop};

struct document_store *document_store_redis_new(struct redis_connection *connection)
{
    struct redis_store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return NULL;
    }
    store->base.ops = &redis_ops;
    store->connection = connection;
    return &store->base;
}

void document_store_redis_free(struct document_store *store)
{
    free(store);
}
