// SPDX-License-Identifier: Apache-2.0
// A batch of hints becomes documents: what is applied, what is read from the log, what is parked.
// registry: tests/unit/application/projection/tally_registry.c
#include "application/projection/projection_batch.h"

#include <criterion/criterion.h>

static struct arena arena;

static void set_up(void)
{
    arena_init(&arena, 64 * 1024, 16 * 1024 * 1024);
}

static void tear_down(void)
{
    arena_free(&arena);
}

TestSuite(projection_batch, .init = set_up, .fini = tear_down);

static struct uuid stream_of(const char *name)
{
    return uuid_named(STR("main"), STR("tally"), str_from(name));
}

// Version 1 names the tally, each later version v says that its sum is 10 * v.
static struct str data_of(const char *name, int32_t version)
{
    return version == 1 ? arena_printf(&arena, "{\"name\":\"%s\"}", name)
                        : arena_printf(&arena, "{\"by\":%d}", 10 * version);
}

static struct log_cursor place_of(int32_t version)
{
    return (struct log_cursor){1, 500 + (uint64_t)version, 100 + version};
}

static struct incoming a_message(const char *name, int32_t version)
{
    return (struct incoming){
        .id = uuid_derive(stream_of(name), arena_printf(&arena, "%d", version)),
        .kind = RECORD_EVENT,
        .tenant = STR("main"),
        .category = STR("tally"),
        .type = version == 1 ? STR("Named") : STR("Added"),
        .stream = stream_of(name),
        .version = version,
        .schema_version = 1,
        .at = place_of(version),
        .recorded_at = 1000,
        .data = data_of(name, version),
    };
}

static struct recorded_event a_row(const char *name, int32_t version)
{
    struct incoming message = a_message(name, version);
    return (struct recorded_event){
        .at = message.at,
        .tenant = message.tenant,
        .category = message.category,
        .stream = message.stream,
        .version = version,
        .id = message.id,
        .kind = RECORD_EVENT,
        .type = message.type,
        .schema_version = 1,
        .data = message.data,
        .recorded_at = 1999,
    };
}

static struct document a_document(const char *name, int32_t version)
{
    return (struct document){
        .tenant = STR("main"),
        .collection = STR("tallies"),
        .key = str_from(name),
        .stream = stream_of(name),
        .version = version,
        .at = place_of(version),
        .body = arena_printf(&arena, "{\"name\":\"%s\",\"sum\":%d,\"events\":%d}", name,
                             version == 1 ? 0 : 10 * version, version),
    };
}

static const struct document no_document = {.version = 0};

static struct projection_batch *given(const struct incoming *messages, size_t count,
                                      const struct document *documents)
{
    struct projection_batch *batch = projection_batch_new(messages, count, &arena);
    cr_assert_not_null(batch);
    cr_assert_eq(projection_batch_next(batch), PROJECTION_WANT_DOCUMENTS);
    projection_batch_take_documents(batch, documents);
    return batch;
}

static void take_rows(struct projection_batch *batch, struct recorded_event *rows, size_t count,
                      bool more)
{
    cr_assert_eq(projection_batch_next(batch), PROJECTION_WANT_ROWS);
    struct stream_rows read = {.rows = rows, .count = count, .more = more};
    projection_batch_take_rows(batch, &read);
}

static struct document the_document(struct projection_batch *batch)
{
    cr_assert_eq(projection_batch_next(batch), PROJECTION_WANT_PUT);
    size_t count;
    const struct document *documents = projection_batch_documents(batch, &count);
    cr_assert_eq(count, 1);
    struct document document = documents[0];
    projection_batch_take_put(batch);
    cr_assert_eq(projection_batch_next(batch), PROJECTION_WANT_NOTHING);
    return document;
}

static void assert_document(struct document document, const char *name, int32_t version)
{
    struct document expected = a_document(name, version);
    cr_assert_eq(document.version, version);
    cr_assert(str_eq(document.body, expected.body), "%.*s, expected %.*s", STR_FMT(document.body),
              STR_FMT(expected.body));
    cr_assert(str_eq(document.key, expected.key));
    cr_assert_eq(document.at.position, expected.at.position);
    cr_assert_eq(document.at.tx, expected.at.tx);
    cr_assert(uuid_eq(document.stream, expected.stream));
}

static void assert_result(struct projection_batch *batch, size_t at, enum message_outcome outcome,
                          const char *label)
{
    const struct message_result *result = &projection_batch_results(batch)[at];
    cr_assert_eq(result->outcome, outcome);
    cr_assert(str_eq(result->label, str_from(label)), "%.*s", STR_FMT(result->label));
}

Test(projection_batch, given_no_document_when_the_first_event_comes_then_it_is_applied_as_it_is)
{
    struct incoming message = a_message("k", 1);
    struct projection_batch *batch = given(&message, 1, &no_document);
    assert_document(the_document(batch), "k", 1);
    assert_result(batch, 0, MESSAGE_HANDLED, "applied");
}

Test(projection_batch, given_a_document_when_the_next_event_comes_then_it_is_applied_as_it_is)
{
    struct incoming message = a_message("k", 3);
    struct document document = a_document("k", 2);
    struct projection_batch *batch = given(&message, 1, &document);
    assert_document(the_document(batch), "k", 3);
}

Test(projection_batch, given_a_document_when_an_old_event_comes_then_nothing_is_stored)
{
    struct incoming messages[] = {a_message("k", 2), a_message("k", 1)};
    struct document document = a_document("k", 2);
    struct projection_batch *batch = given(messages, 2, &document);
    cr_assert_eq(projection_batch_next(batch), PROJECTION_WANT_NOTHING);
    assert_result(batch, 0, MESSAGE_HANDLED, "stale");
    assert_result(batch, 1, MESSAGE_HANDLED, "stale");
    size_t count;
    const struct document *cacheable = projection_batch_cacheable(batch, &count);
    cr_assert_eq(count, 1); // the cache may have missed it
    cr_assert_eq(cacheable[0].version, 2);
}

Test(projection_batch, given_a_gap_when_a_later_event_comes_then_the_stream_is_read)
{
    struct incoming message = a_message("k", 4);
    struct document document = a_document("k", 2);
    struct projection_batch *batch = given(&message, 1, &document);
    size_t count;
    const struct stream_query *queries = projection_batch_queries(batch, &count);
    cr_assert_eq(count, 1);
    cr_assert_eq(queries[0].after_version, 2);
    cr_assert_eq(queries[0].state_codec, 0);
    struct recorded_event rows[] = {a_row("k", 3), a_row("k", 4), a_row("k", 5)};
    take_rows(batch, rows, 3, false);
    assert_document(the_document(batch), "k", 5); // as new as the log, not only as the message
    assert_result(batch, 0, MESSAGE_HANDLED, "applied");
}

Test(projection_batch, given_messages_out_of_order_and_twice_when_together_then_none_is_read)
{
    struct incoming messages[] = {a_message("k", 3), a_message("k", 1), a_message("k", 2),
                                  a_message("k", 1)};
    struct projection_batch *batch = given(messages, 4, &no_document);
    assert_document(the_document(batch), "k", 3);
    for (size_t at = 0; at < 4; at++) {
        assert_result(batch, at, MESSAGE_HANDLED, "applied");
    }
}

Test(projection_batch, given_a_message_without_its_place_when_it_comes_then_the_stream_is_read)
{
    struct incoming message = a_message("k", 1);
    message.at = (struct log_cursor){0};
    struct projection_batch *batch = given(&message, 1, &no_document);
    struct recorded_event row = a_row("k", 1);
    take_rows(batch, &row, 1, false);
    assert_document(the_document(batch), "k", 1);
}

Test(projection_batch, given_a_long_stream_when_read_in_parts_then_all_of_it_is_folded)
{
    struct incoming message = a_message("k", 5);
    struct projection_batch *batch = given(&message, 1, &no_document);
    struct recorded_event first[] = {a_row("k", 1), a_row("k", 2)};
    take_rows(batch, first, 2, true);
    size_t count;
    cr_assert_eq(projection_batch_queries(batch, &count)->after_version, 2);
    struct recorded_event second[] = {a_row("k", 3), a_row("k", 4), a_row("k", 5)};
    take_rows(batch, second, 3, false);
    assert_document(the_document(batch), "k", 5);
}

Test(projection_batch, given_a_damaged_message_when_the_log_is_sound_then_the_log_counts)
{
    struct incoming message = a_message("k", 2);
    message.data = STR("{\"by\":\"many\"}");
    struct document document = a_document("k", 1);
    struct projection_batch *batch = given(&message, 1, &document);
    struct recorded_event row = a_row("k", 2);
    take_rows(batch, &row, 1, false);
    assert_document(the_document(batch), "k", 2);
    assert_result(batch, 0, MESSAGE_HANDLED, "applied");
}

Test(projection_batch, given_a_bad_payload_in_the_log_when_read_then_the_stream_stops_before_it)
{
    struct incoming messages[] = {a_message("k", 2), a_message("k", 5), a_message("k", 3)};
    struct document document = a_document("k", 1);
    struct projection_batch *batch = given(messages, 3, &document);
    struct recorded_event rows[] = {a_row("k", 2), a_row("k", 3), a_row("k", 4), a_row("k", 5)};
    rows[2].data = STR("{}");
    take_rows(batch, rows, 4, false);
    assert_document(the_document(batch), "k", 3);
    assert_result(batch, 0, MESSAGE_HANDLED, "applied");
    assert_result(batch, 2, MESSAGE_HANDLED, "applied");
    const struct message_result *poison = &projection_batch_results(batch)[1];
    cr_assert_eq(poison->outcome, MESSAGE_POISON);
    cr_assert_not_null(strstr(poison->cause.data, "tally.Added, version 4"), "%.*s",
                       STR_FMT(poison->cause));
}

Test(projection_batch, given_a_bad_payload_after_a_first_part_when_read_then_that_part_stands)
{
    struct incoming message = a_message("k", 4);
    struct projection_batch *batch = given(&message, 1, &no_document);
    struct recorded_event first[] = {a_row("k", 1), a_row("k", 2)};
    take_rows(batch, first, 2, true);
    struct recorded_event second[] = {a_row("k", 3), a_row("k", 4)};
    second[1].data = STR("{}");
    take_rows(batch, second, 2, false);
    assert_document(the_document(batch), "k", 3);
    cr_assert_eq(projection_batch_results(batch)[0].outcome, MESSAGE_POISON);
}

Test(projection_batch, given_one_bad_stream_when_others_are_sound_then_only_it_is_parked)
{
    struct incoming messages[] = {a_message("k", 1), a_message("l", 1)};
    messages[0].data = STR("{}");
    struct document none[] = {no_document, no_document};
    struct projection_batch *batch = given(messages, 2, none);
    struct recorded_event row = a_row("k", 1);
    row.data = STR("{}");
    take_rows(batch, &row, 1, false);
    assert_document(the_document(batch), "l", 1);
    cr_assert_eq(projection_batch_results(batch)[0].outcome, MESSAGE_POISON);
    assert_result(batch, 1, MESSAGE_HANDLED, "applied");
}

Test(projection_batch, given_a_version_that_the_log_lacks_when_read_then_it_is_tried_again_later)
{
    struct incoming message = a_message("k", 9);
    struct projection_batch *batch = given(&message, 1, &no_document);
    struct recorded_event row = a_row("k", 1);
    take_rows(batch, &row, 1, false);
    assert_document(the_document(batch), "k", 1);
    cr_assert_eq(projection_batch_results(batch)[0].outcome, MESSAGE_TRANSIENT);
}

Test(projection_batch, given_a_stream_of_another_tenant_when_read_then_the_message_is_parked)
{
    struct incoming message = a_message("k", 2);
    struct projection_batch *batch = given(&message, 1, &no_document);
    struct recorded_event row = a_row("k", 1);
    row.tenant = STR("foreign");
    take_rows(batch, &row, 1, false);
    cr_assert_eq(projection_batch_next(batch), PROJECTION_WANT_NOTHING);
    cr_assert_eq(projection_batch_results(batch)[0].outcome, MESSAGE_POISON);
}

Test(projection_batch, given_a_stored_document_that_cannot_be_read_then_it_is_folded_anew)
{
    struct incoming message = a_message("k", 3);
    struct document document = a_document("k", 2);
    document.body = STR("{\"nonsense\":1}");
    struct projection_batch *batch = given(&message, 1, &document);
    struct recorded_event rows[] = {a_row("k", 1), a_row("k", 2), a_row("k", 3)};
    take_rows(batch, rows, 3, false);
    assert_document(the_document(batch), "k", 3);
}

Test(projection_batch, given_rows_that_are_no_events_when_read_then_only_their_version_counts)
{
    struct incoming message = a_message("k", 3);
    struct projection_batch *batch = given(&message, 1, &no_document);
    struct recorded_event rows[] = {a_row("k", 1), a_row("k", 2), a_row("k", 3)};
    rows[1].kind = RECORD_COMMAND;
    take_rows(batch, rows, 3, false);
    struct document document = the_document(batch);
    cr_assert_eq(document.version, 3);
    cr_assert(str_eq(document.body, STR("{\"name\":\"k\",\"sum\":30,\"events\":2}")));
}

Test(projection_batch, given_a_document_without_a_key_when_made_then_it_is_parked)
{
    struct incoming message = a_message("k", 1);
    message.type = STR("Unheard"); // leaves the tally without a name
    struct projection_batch *batch = given(&message, 1, &no_document);
    cr_assert_eq(projection_batch_next(batch), PROJECTION_WANT_NOTHING);
    cr_assert_eq(projection_batch_results(batch)[0].outcome, MESSAGE_POISON);
}

Test(projection_batch, given_messages_that_nothing_reads_when_projected_then_they_are_ignored)
{
    struct incoming messages[] = {a_message("k", 1), a_message("k", 1)};
    messages[0].category = STR("unknown");
    messages[1].kind = RECORD_REPLY;
    struct projection_batch *batch = projection_batch_new(messages, 2, &arena);
    cr_assert_eq(projection_batch_next(batch), PROJECTION_WANT_NOTHING);
    assert_result(batch, 0, MESSAGE_HANDLED, "ignored");
    assert_result(batch, 1, MESSAGE_HANDLED, "ignored");
}

Test(projection_batch, given_a_store_that_went_away_when_it_fails_then_all_is_transient)
{
    struct incoming messages[] = {a_message("k", 1), a_message("l", 1)};
    struct projection_batch *batch = projection_batch_new(messages, 2, &arena);
    projection_batch_fail(batch, STATUS_UNAVAILABLE);
    cr_assert_eq(projection_batch_next(batch), PROJECTION_WANT_NOTHING);
    cr_assert_eq(projection_batch_status(batch), STATUS_UNAVAILABLE);
    assert_result(batch, 0, MESSAGE_TRANSIENT, "");
    size_t count;
    (void)projection_batch_cacheable(batch, &count);
    cr_assert_eq(count, 0);
}

// The same bytes, however the messages come.
Test(projection_batch, given_any_split_into_batches_when_projected_then_the_bytes_are_the_same)
{
    enum { EVENTS = 7 };
    for (unsigned split = 0; split < 1u << (EVENTS - 1); split++) {
        struct document document = no_document;
        struct incoming messages[EVENTS];
        size_t count = 0;
        for (int32_t version = 1; version <= EVENTS; version++) {
            messages[count++] = a_message("k", version);
            if (version == EVENTS || (split >> (version - 1) & 1) != 0) {
                document = the_document(given(messages, count, &document));
                count = 0;
            }
        }
        assert_document(document, "k", EVENTS);
    }
}
