// SPDX-License-Identifier: Apache-2.0
// Commands of a context that is no shop, through the command handler and the blocking driver, on a
// log in memory.
// registry: tests/contexts/registry.c
#include "application/handler/command_handler.h"

#include <criterion/criterion.h>
#include <string.h>

#include "application/handler/command_message.h"
#include "application/handler/handler_run.h"
#include "application/handler/state_cache.h"
#include "base/json_view.h"
#include "infrastructure/memory/event_store_memory.h"

static struct arena arena;
static struct event_store *store;
static struct state_cache *cache;
static struct message_handler handler;
static const struct uuid counter = {{1, 2, 3, 4, 5, 6, 0x70, 7, 0x80}};

static void open_log(void)
{
    arena_init(&arena, 64 * 1024, 64 * 1024 * 1024);
    store = event_store_memory_new(16 * 1024 * 1024);
    cache = state_cache_new(100, 4096);
    handler = command_handler(STR("counting"));
    cr_assert_not_null(store);
}

static void close_log(void)
{
    event_store_memory_free(store);
    state_cache_free(cache);
    arena_free(&arena);
}

TestSuite(command_handler, .init = open_log, .fini = close_log, .timeout = 10);

static struct uuid message_id(int number)
{
    return uuid_named(STR("test"), STR("message"), arena_printf(&arena, "%d", number));
}

static struct str command_data(const char *command, const char *payload)
{
    char target[UUID_TEXT_LEN];
    uuid_format(counter, target);
    return arena_printf(
        &arena,
        "{\"saga_id\":\"0190a7b2-0000-7000-8000-000000000001\",\"saga\":\"count_up\","
        "\"saga_version\":1,\"step\":\"add\",\"direction\":\"forward\",\"attempt\":1,"
        "\"stream_id\":\"%.*s\",\"command\":\"%s\",\"payload\":%s}",
        UUID_TEXT_LEN, target, command, payload);
}

static struct incoming message(int number, const char *command, const char *payload)
{
    return (struct incoming){.id = message_id(number),
                             .kind = RECORD_COMMAND,
                             .tenant = STR("main"),
                             .category = STR("saga"),
                             .type = STR("add"),
                             .version = 2,
                             .schema_version = 1,
                             .data = command_data(command, payload),
                             .correlation_id = STR("c-1"),
                             .causation_id = STR(""),
                             .traceparent = STR(""),
                             .now = 1795503145123000,
                             .command = str_from(command)};
}

static struct incoming opens(int number)
{
    return message(number, "counting.open_counter", "{\"start\":10}");
}

static struct incoming adds(int number, int amount)
{
    return message(number, "counting.add_counter",
                   arena_printf(&arena, "{\"amount\":%d}", amount).data);
}

static const struct message_result *when_handled(const struct incoming *messages, size_t count)
{
    const struct handler_run run = {.handler = &handler,
                                    .store = store,
                                    .cache = cache,
                                    .limits = {1000, 3, 1024},
                                    .effect_timeout_ms = 100};
    const struct message_result *results = NULL;
    cr_assert_eq(handler_run_batch(&run, messages, count, &arena, &results), STATUS_OK);
    return results;
}

static struct stream_rows read_stream(struct uuid stream)
{
    struct stream_rows rows;
    const struct stream_query query = {.stream = stream};
    cr_assert_eq(event_store_read(store, &query, 1, 1000, &arena, &rows), STATUS_OK);
    return rows;
}

// The text of a member of the reply's data; "" when there is no such member.
static struct str reply_member(int number, const char *member)
{
    struct str text = STR("");
    struct stream_rows rows = read_stream(uuid_derive(message_id(number), STR("reply")));
    cr_assert_eq(rows.count, 1, "exactly one reply");
    cr_assert_eq(rows.rows[0].version, 1);
    (void)json_view_string(json_view_member(rows.rows[0].data, str_from(member)), &arena, &text);
    return text;
}

static void then_reply(int number, const char *outcome, const char *code)
{
    cr_assert(str_eq(reply_member(number, "outcome"), str_from(outcome)));
    cr_assert(str_eq(reply_member(number, "code"), str_from(code)));
}

Test(command_handler, given_a_command_when_handled_then_events_and_reply_commit_together)
{
    const struct incoming in[] = {opens(1)};
    const struct message_result *results = when_handled(in, 1);
    cr_assert_eq(results[0].outcome, MESSAGE_HANDLED);
    cr_assert(str_eq(results[0].label, STR("ok")));
    struct stream_rows rows = read_stream(counter);
    cr_assert_eq(rows.count, 1);
    cr_assert(str_eq(rows.rows[0].type, STR("CounterOpened")));
    cr_assert_eq(rows.rows[0].kind, RECORD_EVENT);
    then_reply(1, "ok", "");
}

Test(command_handler, given_a_command_when_handled_then_its_rows_say_what_caused_them)
{
    const struct incoming in[] = {opens(1)};
    (void)when_handled(in, 1);
    char caused[UUID_TEXT_LEN];
    uuid_format(in[0].id, caused);
    struct str meta = read_stream(counter).rows[0].meta;
    struct str wanted =
        arena_printf(&arena,
                     "{\"correlation_id\":\"c-1\",\"causation_id\":\"%.*s\",\"actor\":"
                     "\"saga:count_up\"}",
                     UUID_TEXT_LEN, caused);
    cr_assert(str_eq(meta, wanted), "%.*s", STR_FMT(meta));
    struct recorded_event reply = read_stream(uuid_derive(in[0].id, STR("reply"))).rows[0];
    cr_assert_eq(reply.kind, RECORD_REPLY);
    cr_assert(str_eq(reply.category, STR("reply")));
    cr_assert(uuid_eq(reply.id, uuid_derive(in[0].id, STR("reply:event"))));
    cr_assert(str_eq(json_view_member(reply.meta, STR("route")), STR("\"count_up\"")));
    cr_assert(str_eq(reply_member(1, "step"), STR("add")));
    cr_assert(str_eq(reply_member(1, "direction"), STR("forward")));
    cr_assert(str_eq(reply_member(1, "command_id"), (struct str){caused, sizeof(caused)}));
}

Test(command_handler, given_many_commands_for_one_stream_when_handled_then_all_are_answered)
{
    struct incoming in[51];
    in[0] = opens(0);
    for (int at = 1; at <= 50; at++) {
        in[at] = adds(at, 1);
    }
    (void)when_handled(in, 51);
    cr_assert_eq(read_stream(counter).count, 51);
    for (int at = 0; at <= 50; at++) {
        then_reply(at, "ok", "");
    }
}

Test(command_handler, given_the_same_command_again_when_handled_then_nothing_is_added)
{
    const struct incoming in[] = {opens(1), adds(2, 5)};
    (void)when_handled(in, 2);
    const struct message_result *again = when_handled(in, 2);
    for (int at = 0; at < 2; at++) {
        cr_assert_eq(again[at].outcome, MESSAGE_HANDLED);
        cr_assert(str_eq(again[at].label, STR("repeated")));
    }
    cr_assert_eq(read_stream(counter).count, 2);
}

// The inbox forgets after a while; the reply that stands is what says that a command was answered.
Test(command_handler, given_an_answered_command_without_inbox_row_when_handled_then_it_adds_nothing)
{
    const struct incoming in[] = {opens(1), adds(2, 5)};
    (void)when_handled(in, 2);
    handler = command_handler(STR("another inbox"));
    const struct message_result *again = when_handled(in, 2);
    cr_assert_eq(again[0].outcome, MESSAGE_HANDLED);
    cr_assert_eq(again[1].outcome, MESSAGE_HANDLED);
    cr_assert_eq(read_stream(counter).count, 2);
    then_reply(2, "ok", "");
}

Test(command_handler, given_a_rule_that_says_no_when_handled_then_the_reply_names_its_code)
{
    const struct incoming in[] = {message(1, "counting.open_counter", "{\"start\":1000000}"),
                                  adds(2, 1)};
    const struct message_result *results = when_handled(in, 2);
    cr_assert_eq(results[1].outcome, MESSAGE_HANDLED);
    cr_assert(str_eq(results[1].label, STR("rejected")));
    then_reply(2, "rejected", "counter-full");
    cr_assert_eq(read_stream(counter).count, 1);
}

Test(command_handler, given_a_stream_that_is_not_there_when_handled_then_the_reply_says_so)
{
    const struct incoming in[] = {adds(1, 1)};
    cr_assert_eq(when_handled(in, 1)[0].outcome, MESSAGE_HANDLED);
    then_reply(1, "rejected", "not_found");
}

Test(command_handler, given_another_writer_when_the_kept_state_is_old_then_it_decides_on_the_new)
{
    const struct incoming first[] = {message(1, "counting.open_counter", "{\"start\":999999}")};
    (void)when_handled(first, 1);
    const struct append_stream stream = {counter, STR("counter"), 1};
    const struct append_row row = {.id = message_id(99),
                                   .kind = RECORD_EVENT,
                                   .type = STR("CounterAdded"),
                                   .schema_version = 1,
                                   .data = STR("{\"amount\":1}"),
                                   .meta = STR("{}")};
    const struct append_item item = {
        .tenant = STR("main"), .streams = &stream, .stream_count = 1, .rows = &row, .row_count = 1};
    struct append_verdict verdict;
    cr_assert_eq(event_store_append(store, &item, 1, &arena, &verdict), STATUS_OK);
    cr_assert_eq(verdict.outcome, APPENDED);
    const struct incoming second[] = {adds(2, 1)}; // would still fit on the state that was kept
    (void)when_handled(second, 1);
    then_reply(2, "rejected", "counter-full");
}

// --- poison

static struct str cause_of(struct incoming in)
{
    const struct message_result *results = when_handled(&in, 1);
    cr_assert_eq(results[0].outcome, MESSAGE_POISON);
    return results[0].cause;
}

static void then_names(struct str cause, const char *word)
{
    cr_assert_not_null(strstr(arena_str(&arena, cause).data, word), "%.*s", STR_FMT(cause));
}

Test(command_handler, given_an_unknown_command_when_handled_then_it_is_poison_and_named)
{
    then_names(cause_of(message(1, "counting.forget_counter", "{}")), "counting.forget_counter");
    then_names(cause_of(message(2, "shop.sell_all", "{}")), "shop.sell_all");
}

Test(command_handler, given_a_payload_that_cannot_be_read_when_handled_then_its_member_is_named)
{
    then_names(cause_of(message(1, "counting.add_counter", "{\"amount\":0}")),
               "data.payload/amount");
    then_names(cause_of(message(2, "counting.add_counter", "[]")), "data.payload");
}

Test(command_handler, given_a_command_without_a_member_when_handled_then_the_member_is_named)
{
    struct incoming in = adds(1, 1);
    in.data = STR("{}");
    then_names(cause_of(in), "data.saga_id");
}

Test(command_handler, given_a_command_sent_as_another_when_handled_then_it_is_poison)
{
    struct incoming in = adds(1, 1);
    in.command = STR("counting.open_counter");
    then_names(cause_of(in), "data.command");
}

Test(command_handler, given_an_event_in_a_queue_of_commands_when_handled_then_it_is_poison)
{
    struct incoming in = adds(1, 1);
    in.kind = RECORD_EVENT;
    then_names(cause_of(in), "kind");
}

Test(command_handler, given_poison_among_commands_when_handled_then_the_others_commit)
{
    const struct incoming in[] = {opens(1), message(2, "counting.add_counter", "{}"), adds(3, 1)};
    const struct message_result *results = when_handled(in, 3);
    cr_assert_eq(results[0].outcome, MESSAGE_HANDLED);
    cr_assert_eq(results[1].outcome, MESSAGE_POISON);
    cr_assert_eq(results[2].outcome, MESSAGE_HANDLED);
    then_reply(3, "ok", "");
}

Test(command_handler, given_snapshots_when_handled_then_they_are_kept_and_used)
{
    struct incoming in[4] = {opens(1), adds(2, 1), adds(3, 1), adds(4, 1)};
    (void)when_handled(in, 4);
    struct stream_rows rows;
    const struct stream_query query = {.stream = counter, .state_codec = 1};
    cr_assert_eq(event_store_read(store, &query, 1, 1000, &arena, &rows), STATUS_OK);
    cr_assert_geq(rows.state.version, 3);
}
