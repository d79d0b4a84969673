// SPDX-License-Identifier: Apache-2.0
// One suite for every document store: memory, Redis and the read schema keep the same promises.
#include "application/ports/document_store.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "../support/test_database.h"
#include "base/arena.h"
#include "infrastructure/memory/document_store_memory.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/document_store_postgres.h"
#include "infrastructure/redis/connection.h"
#include "infrastructure/redis/document_codec.h"
#include "infrastructure/redis/document_store_redis.h"

ReportHook(PRE_ALL)(struct criterion_test_set *set)
{
    (void)set;
    test_database_make();
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    test_database_drop();
}

// A store under test, with a tenant of its own so that runs beside each other never meet.
struct subject {
    struct document_store *store;
    struct redis_connection *redis;
    struct postgres *postgres;
    struct arena arena;
    char tenant_text[32];
    struct str tenant;
};

static void open_subject(struct subject *subject)
{
    *subject = (struct subject){0};
    arena_init(&subject->arena, 64 * 1024, 64 * 1024 * 1024);
    unsigned char random[8];
    cr_assert_eq(getrandom(random, sizeof(random), 0), sizeof(random));
    strcpy(subject->tenant_text, "t ");
    for (size_t at = 0; at < sizeof(random); at++) {
        sprintf(subject->tenant_text + 2 + 2 * at, "%02x", random[at]);
    }
    subject->tenant = str_from(subject->tenant_text);
}

static void open_memory(struct subject *subject)
{
    open_subject(subject);
    subject->store = document_store_memory_new(10000);
}

static void close_memory(struct subject *subject)
{
    document_store_memory_free(subject->store);
    arena_free(&subject->arena);
}

static void open_redis(struct subject *subject)
{
    const char *address = getenv("COMANDA_TEST_REDIS");
    cr_assert_not_null(address, "COMANDA_TEST_REDIS must name the test's Redis as host:port");
    open_subject(subject);
    subject->redis = redis_connection_new(address, 5000);
    cr_assert_not_null(subject->redis, "COMANDA_TEST_REDIS is no host:port: %s", address);
    subject->store = document_store_redis_new(subject->redis);
}

static void close_redis(struct subject *subject)
{
    cr_assert_eq(document_store_drop(subject->store, subject->tenant, STR("")), STATUS_OK);
    document_store_redis_free(subject->store);
    redis_connection_free(subject->redis);
    arena_free(&subject->arena);
}

static void open_postgres(struct subject *subject)
{
    open_subject(subject);
    subject->postgres = postgres_new(&(struct postgres_options){
        .conninfo = test_database(), .application_name = "document_store_test"});
    subject->store = document_store_postgres_new(subject->postgres);
}

static void close_postgres(struct subject *subject)
{
    document_store_postgres_free(subject->store);
    postgres_free(subject->postgres);
    arena_free(&subject->arena);
}

#define ON_ONE(adapter, name)            \
    Test(document_store_##adapter, name) \
    {                                    \
        struct subject subject;          \
        open_##adapter(&subject);        \
        name(&subject);                  \
        close_##adapter(&subject);       \
    }

#define ON_EACH(name)                          \
    static void name(struct subject *subject); \
    ON_ONE(memory, name)                       \
    ON_ONE(redis, name)                        \
    ON_ONE(postgres, name)                     \
    static void name(struct subject *subject)

static struct document a_document(const struct subject *subject, const char *key, int32_t version)
{
    return (struct document){
        .tenant = subject->tenant,
        .collection = STR("orders"),
        .key = str_from(key),
        .stream = uuid_named(subject->tenant, STR("order"), str_from(key)),
        .version = version,
        .at = {.epoch = 1, .tx = 700 + (uint64_t)version, .position = 9000 + version},
        .owner = STR("ana"),
        .filter = STR("placed"),
        .sort = str_from(key),
        .listed = true,
        .body = arena_printf((struct arena *)&subject->arena, "{\"id\":\"%s\",\"version\":%d}", key,
                             version),
    };
}

static void put(struct subject *subject, struct document document)
{
    cr_assert_eq(document_store_put(subject->store, &document, 1), STATUS_OK);
}

static struct document get(struct subject *subject, const char *collection, const char *key)
{
    struct document_id id = {subject->tenant, str_from(collection), str_from(key)};
    struct document found = {.version = -1};
    cr_assert_eq(document_store_get(subject->store, &id, 1, &subject->arena, &found), STATUS_OK);
    return found;
}

static void assert_same(struct document left, struct document right)
{
    cr_assert(str_eq(left.tenant, right.tenant));
    cr_assert(str_eq(left.collection, right.collection));
    cr_assert(str_eq(left.key, right.key));
    cr_assert(uuid_eq(left.stream, right.stream));
    cr_assert_eq(left.version, right.version);
    cr_assert_eq(left.at.epoch, right.at.epoch);
    cr_assert_eq(left.at.tx, right.at.tx);
    cr_assert_eq(left.at.position, right.at.position);
    cr_assert(str_eq(left.owner, right.owner));
    cr_assert(str_eq(left.filter, right.filter));
    cr_assert(str_eq(left.sort, right.sort));
    cr_assert_eq(left.listed, right.listed);
    cr_assert(str_eq(left.body, right.body));
}

ON_EACH(given_nothing_when_got_then_the_version_is_zero)
{
    cr_assert_eq(get(subject, "orders", "none").version, 0);
}

ON_EACH(given_a_document_when_got_then_every_part_and_byte_is_the_same)
{
    struct document document = a_document(subject, "k:1 \xc3\xa9%", 3);
    document.owner = STR("");
    document.filter = STR("a b");
    document.listed = false;
    document.body = STR("{\"text\":\"\\u00e9 \xc3\xa9\", \"n\" : 1 }");
    put(subject, document);
    assert_same(get(subject, "orders", "k:1 \xc3\xa9%"), document);
}

ON_EACH(given_a_document_when_an_older_one_is_put_then_the_newer_stays)
{
    struct document newer = a_document(subject, "k", 3);
    put(subject, newer);
    put(subject, a_document(subject, "k", 2));
    assert_same(get(subject, "orders", "k"), newer);
}

ON_EACH(given_a_document_when_an_equal_one_is_put_then_the_first_stays)
{
    struct document first = a_document(subject, "k", 3);
    put(subject, first);
    struct document second = first;
    second.body = STR("{\"other\":true}");
    put(subject, second);
    assert_same(get(subject, "orders", "k"), first);
}

ON_EACH(given_a_document_when_a_newer_one_is_put_then_it_replaces_all_of_it)
{
    put(subject, a_document(subject, "k", 9));
    struct document newer = a_document(subject, "k", 10); // 10 < 9 as text
    newer.filter = STR("confirmed");
    newer.listed = false;
    put(subject, newer);
    assert_same(get(subject, "orders", "k"), newer);
}

ON_EACH(given_one_key_several_times_in_a_batch_when_put_then_the_newest_stays)
{
    struct document batch[] = {a_document(subject, "k", 2), a_document(subject, "k", 4),
                               a_document(subject, "k", 3)};
    cr_assert_eq(document_store_put(subject->store, batch, 3), STATUS_OK);
    assert_same(get(subject, "orders", "k"), batch[1]);
}

ON_EACH(given_many_documents_when_got_at_once_then_each_answers_its_own_question)
{
    enum { MANY = 700 }; // more than one pipeline
    struct document batch[MANY];
    struct document_id ids[MANY];
    for (int at = 0; at < MANY; at++) {
        const char *key = arena_printf(&subject->arena, "k%d", at).data;
        batch[at] = a_document(subject, key, at + 1);
        ids[MANY - 1 - at] = (struct document_id){subject->tenant, STR("orders"), str_from(key)};
    }
    ids[3].key = STR("absent");
    cr_assert_eq(document_store_put(subject->store, batch, MANY), STATUS_OK);
    struct document found[MANY];
    cr_assert_eq(document_store_get(subject->store, ids, MANY, &subject->arena, found), STATUS_OK);
    for (int at = 0; at < MANY; at++) {
        if (at == 3) {
            cr_assert_eq(found[at].version, 0);
        } else {
            assert_same(found[at], batch[MANY - 1 - at]);
        }
    }
}

ON_EACH(given_one_key_in_two_collections_and_tenants_when_got_then_they_are_apart)
{
    struct document order = a_document(subject, "k", 5);
    struct document product = a_document(subject, "k", 2);
    product.collection = STR("products");
    put(subject, order);
    put(subject, product);
    assert_same(get(subject, "orders", "k"), order);
    assert_same(get(subject, "products", "k"), product);
    struct document_id foreign = {STR("another tenant"), STR("orders"), STR("k")};
    struct document found;
    cr_assert_eq(document_store_get(subject->store, &foreign, 1, &subject->arena, &found),
                 STATUS_OK);
    cr_assert_eq(found.version, 0);
}

ON_EACH(given_two_collections_when_one_is_dropped_then_the_other_stays)
{
    struct document product = a_document(subject, "k", 2);
    product.collection = STR("products");
    put(subject, a_document(subject, "k", 5));
    put(subject, a_document(subject, "l", 5));
    put(subject, product);
    cr_assert_eq(document_store_drop(subject->store, subject->tenant, STR("orders")), STATUS_OK);
    cr_assert_eq(get(subject, "orders", "k").version, 0);
    cr_assert_eq(get(subject, "orders", "l").version, 0);
    assert_same(get(subject, "products", "k"), product);
}

ON_EACH(given_a_tenant_when_all_is_dropped_then_an_older_version_may_come_back)
{
    put(subject, a_document(subject, "k", 5));
    cr_assert_eq(document_store_drop(subject->store, subject->tenant, STR("")), STATUS_OK);
    struct document older = a_document(subject, "k", 1);
    put(subject, older);
    assert_same(get(subject, "orders", "k"), older);
}

ON_EACH(given_a_large_document_when_got_then_it_is_whole)
{
    struct document document = a_document(subject, "large", 1);
    char *body = arena_alloc(&subject->arena, DOCUMENT_BYTES_MAX);
    cr_assert_not_null(body);
    memset(body, 'x', DOCUMENT_BYTES_MAX);
    body[0] = body[DOCUMENT_BYTES_MAX - 1] = '"';
    document.body = (struct str){body, DOCUMENT_BYTES_MAX};
    put(subject, document);
    assert_same(get(subject, "orders", "large"), document);
}

ON_EACH(given_no_documents_when_put_and_got_then_nothing_happens)
{
    cr_assert_eq(document_store_put(subject->store, NULL, 0), STATUS_OK);
    cr_assert_eq(document_store_get(subject->store, NULL, 0, &subject->arena, NULL), STATUS_OK);
}

ON_EACH(given_documents_when_found_by_stream_then_each_answers_its_own_question)
{
    if (subject->store->ops->find == NULL) {
        return; // a cache: it knows keys only
    }
    struct document first = a_document(subject, "k", 5);
    struct document second = a_document(subject, "l", 6);
    put(subject, first);
    put(subject, second);
    struct document_stream streams[] = {
        {subject->tenant, STR("orders"), second.stream},
        {subject->tenant, STR("products"), first.stream},
        {subject->tenant, STR("orders"), first.stream},
    };
    struct document found[3];
    cr_assert_eq(document_store_find(subject->store, streams, 3, &subject->arena, found),
                 STATUS_OK);
    assert_same(found[0], second);
    cr_assert_eq(found[1].version, 0);
    assert_same(found[2], first);
}

// What only Redis has to bear: others can write there, and it forgets.
static redisReply *redis_do(struct subject *subject, const char *verb, const char *key,
                            const char *value)
{
    struct document_id id = {subject->tenant, STR("orders"), str_from(key)};
    struct redis_command command;
    cr_assert_eq(document_redis_get(&id, &subject->arena, &command), STATUS_OK);
    redisContext *context = redis_connection_use(subject->redis);
    cr_assert_not_null(context, "%s", redis_connection_error(subject->redis));
    redisReply *reply = redisCommand(context, "%s %b %b", verb, command.argv[1], command.lengths[1],
                                     value, strlen(value));
    cr_assert_not_null(reply);
    cr_assert_neq(reply->type, REDIS_REPLY_ERROR, "%s", reply->str);
    return reply;
}

static void assert_healed(struct subject *subject)
{
    cr_assert_eq(get(subject, "orders", "k").version, 0);
    struct document document = a_document(subject, "k", 1);
    put(subject, document);
    assert_same(get(subject, "orders", "k"), document);
}

Test(document_store_redis, given_a_value_that_is_no_document_when_put_then_it_is_replaced)
{
    struct subject subject;
    open_redis(&subject);
    freeReplyObject(redis_do(&subject, "SET", "k", "9 and then nothing"));
    assert_healed(&subject);
    close_redis(&subject);
}

Test(document_store_redis, given_a_key_of_another_type_when_put_then_it_is_replaced)
{
    struct subject subject;
    open_redis(&subject);
    freeReplyObject(redis_do(&subject, "LPUSH", "k", "x"));
    assert_healed(&subject);
    close_redis(&subject);
}

// The document's value as Redis has it, changed by `change`, which may write to it.
static void rewrite(struct subject *subject, void (*change)(struct str *value))
{
    struct document_id id = {subject->tenant, STR("orders"), STR("k")};
    struct redis_command command;
    cr_assert_eq(document_redis_get(&id, &subject->arena, &command), STATUS_OK);
    redisContext *context = redis_connection_use(subject->redis);
    redisReply *reply = redisCommand(context, "GET %b", command.argv[1], command.lengths[1]);
    struct str value = {reply->str, reply->len};
    change(&value);
    freeReplyObject(redisCommand(context, "SET %b %b", command.argv[1], command.lengths[1],
                                 value.data, value.len));
    freeReplyObject(reply);
}

static void cut_its_end(struct str *value)
{
    value->len--;
}

static void turn_its_generation(struct str *value)
{
    char *first = (char *)value->data; // the reply's own copy
    *first = *first == 'a' ? 'b' : 'a';
}

Test(document_store_redis, given_a_value_cut_at_its_end_when_got_then_it_is_none_and_replaced)
{
    struct subject subject;
    open_redis(&subject);
    put(&subject, a_document(&subject, "k", 1));
    rewrite(&subject, cut_its_end);
    assert_healed(&subject); // by a document that is no newer
    close_redis(&subject);
}

Test(document_store_redis,
     given_a_value_of_another_generation_when_got_then_it_is_none_and_replaced)
{
    struct subject subject;
    open_redis(&subject);
    put(&subject, a_document(&subject, "k", 9));
    rewrite(&subject, turn_its_generation);
    assert_healed(&subject); // by an older one
    close_redis(&subject);
}

Test(document_store_redis, given_two_stores_on_one_server_when_used_then_they_agree)
{
    struct subject one;
    open_redis(&one);
    put(&one, a_document(&one, "k", 3));
    struct redis_connection *redis = redis_connection_new(getenv("COMANDA_TEST_REDIS"), 5000);
    struct document_store *other = document_store_redis_new(redis);
    struct document older = a_document(&one, "k", 2);
    cr_assert_eq(document_store_put(other, &older, 1), STATUS_OK);
    struct document_id id = {one.tenant, STR("orders"), STR("k")};
    struct document found;
    cr_assert_eq(document_store_get(other, &id, 1, &one.arena, &found), STATUS_OK);
    cr_assert_eq(found.version, 3);
    document_store_redis_free(other);
    redis_connection_free(redis);
    close_redis(&one);
}

Test(document_store_redis, given_a_forgotten_script_when_put_then_it_is_loaded_anew)
{
    struct subject subject;
    open_redis(&subject);
    put(&subject, a_document(&subject, "k", 1));
    redisReply *reply = redisCommand(redis_connection_use(subject.redis), "SCRIPT FLUSH");
    cr_assert_not_null(reply);
    freeReplyObject(reply);
    struct document newer = a_document(&subject, "k", 2);
    put(&subject, newer);
    assert_same(get(&subject, "orders", "k"), newer);
    close_redis(&subject);
}

Test(document_store_redis, given_a_lost_connection_when_used_again_then_it_comes_back)
{
    struct subject subject;
    open_redis(&subject);
    put(&subject, a_document(&subject, "k", 1));
    redisReply *reply = redisCommand(redis_connection_use(subject.redis), "QUIT");
    freeReplyObject(reply);
    struct document newer = a_document(&subject, "k", 2);
    cr_assert_eq(document_store_put(subject.store, &newer, 1), STATUS_UNAVAILABLE);
    enum status status = STATUS_UNAVAILABLE;
    for (int tries = 0; tries < 100 && status != STATUS_OK; tries++) {
        status = document_store_put(subject.store, &newer, 1);
        (void)poll(NULL, 0, 20);
    }
    cr_assert_eq(status, STATUS_OK);
    assert_same(get(&subject, "orders", "k"), newer);
    close_redis(&subject);
}

Test(document_store_redis, given_no_server_when_used_then_it_is_unavailable_at_once)
{
    struct subject subject;
    open_subject(&subject);
    subject.redis = redis_connection_new("127.0.0.1:1", 1000);
    subject.store = document_store_redis_new(subject.redis);
    struct document document = a_document(&subject, "k", 1);
    cr_assert_eq(document_store_put(subject.store, &document, 1), STATUS_UNAVAILABLE);
    cr_assert_neq(strlen(redis_connection_error(subject.redis)), 0);
    document_store_redis_free(subject.store);
    redis_connection_free(subject.redis);
    arena_free(&subject.arena);
}

Test(document_store_redis, given_a_malformed_address_when_connected_then_it_is_refused)
{
    static const char *const wrong[] = {NULL,    "",       "host",       ":6379",
                                        "host:", "host:0", "host:65536", "host:6x"};
    for (size_t at = 0; at < sizeof(wrong) / sizeof(wrong[0]); at++) {
        cr_assert_null(redis_connection_new(wrong[at], 1000), "%s", wrong[at]);
    }
    cr_assert_null(redis_connection_new("host:1", 0));
}

Test(document_store_memory, given_a_full_store_when_put_then_it_says_so)
{
    struct subject subject;
    open_subject(&subject);
    subject.store = document_store_memory_new(1);
    put(&subject, a_document(&subject, "k", 1));
    struct document second = a_document(&subject, "l", 1);
    cr_assert_eq(document_store_put(subject.store, &second, 1), STATUS_FULL);
    put(&subject, a_document(&subject, "k", 2));
    cr_assert_eq(document_store_memory_count(subject.store), 1);
    close_memory(&subject);
}
