// SPDX-License-Identifier: Apache-2.0
// Commands on streams of many events: where they begin to read, what they keep, where they end.
// registry: tests/contexts/registry.c
#include <criterion/criterion.h>
#include <string.h>

#include "application/command/command_flow.h"

enum { PAGE = 256, JOB_ARENA_MAX = 8 * 1024 * 1024 };

static struct arena arena; // of the flow, as large as at the edge
static struct arena page_arena;

static const instant_us now = INT64_C(1764000000000000);
static const struct uuid counter = {{1, 0x93, 9, 9, 9, 9, 0x70, 1, 0x80, 1}};

static void open_arenas(void)
{
    arena_init(&arena, 48 * 1024, JOB_ARENA_MAX);
    arena_init(&page_arena, 48 * 1024, JOB_ARENA_MAX);
}

static void close_arenas(void)
{
    arena_free(&arena);
    arena_free(&page_arena);
}

TestSuite(command_long_stream, .init = open_arenas, .fini = close_arenas, .timeout = 30);

static struct command_flow *given_adding(void)
{
    struct command_request request = {
        .type = context_command(STR("counting.add_counter")),
        .tenant = STR("main"),
        .subject = STR("ana"),
        .target = counter,
        .event_ids = {{{1}}, {{2}}, {{3}}, {{4}}},
        .body = STR("{\"amount\":5}"),
        .has_key = true,
        .key = {.id = {{7}}, .fingerprint = {1, 2, 3}},
        .success_status = 202,
        .correlation_id = STR("corr-1"),
        .now = now,
        .attempts_max = 3,
    };
    return command_flow_new(&request, &arena);
}

static struct uuid event_id(int32_t version)
{
    struct uuid id = {{9}};
    memcpy(id.bytes + 8, &version, sizeof(version));
    return id;
}

// A counter that was opened at 0 and gets 1 with each event after.
static struct recorded_event row_at(int32_t version)
{
    return (struct recorded_event){
        .at = {1, 10, version},
        .tenant = STR("main"),
        .category = STR("counter"),
        .stream = counter,
        .version = version,
        .id = event_id(version),
        .kind = RECORD_EVENT,
        .type = version == 1 ? STR("CounterOpened") : STR("CounterAdded"),
        .schema_version = 1,
        .data = version == 1 ? STR("{\"owner\":\"ana\",\"start\":0}") : STR("{\"amount\":1}"),
        .recorded_at = now};
}

// What the log would give of a stream of `length` events. Its memory ends with the call, as a
// page's does.
static void bring_page(struct command_flow *flow, int32_t length)
{
    size_t count = 0;
    const struct stream_query *query = command_flow_queries(flow, &count);
    cr_assert_eq(count, 1);
    struct recorded_event *rows = arena_array(&page_arena, PAGE, sizeof(*rows));
    struct stream_rows page = {.rows = rows};
    int32_t last =
        query->until_version > 0 && query->until_version < length ? query->until_version : length;
    for (int32_t version = query->after_version + 1; version <= last && page.count < PAGE;
         version++) {
        rows[page.count] = row_at(version);
        rows[page.count].data = arena_str(&page_arena, rows[page.count].data);
        page.count++;
    }
    page.more = query->after_version + (int32_t)page.count < last;
    command_flow_take_streams(flow, &page);
    memset(rows, 0x5a, PAGE * sizeof(*rows));
    arena_reset(&page_arena);
}

static struct str counter_at(int32_t version)
{
    char id[UUID_TEXT_LEN];
    uuid_format(counter, id);
    return arena_printf(&arena, "{\"id\":\"%.*s\",\"version\":%d,\"owner\":\"ana\",\"value\":%d}",
                        UUID_TEXT_LEN, id, version, version - 1);
}

static struct stream_snapshot snapshot_at(int32_t version)
{
    return (struct stream_snapshot){.version = version,
                                    .bytes = counter_at(version),
                                    .at = {1, 10, version},
                                    .tenant = STR("main"),
                                    .category = STR("counter")};
}

static void bring_snapshots(struct command_flow *flow, int32_t version, size_t tail)
{
    struct recorded_event rows[PAGE];
    for (size_t i = 0; i < tail; i++) {
        rows[i] = row_at(version + 1 + (int32_t)i);
    }
    struct stream_rows page = {.state = snapshot_at(version),
                               .document = snapshot_at(version),
                               .rows = rows,
                               .count = tail};
    command_flow_take_streams(flow, &page);
}

static void bring_known_key(struct command_flow *flow, int32_t version)
{
    struct append_key key = {.id = {{7}},
                             .fingerprint = {1, 2, 3},
                             .stream = counter,
                             .version = version,
                             .status = 202};
    command_flow_take_verdict(flow, &(struct append_verdict){.outcome = DUPLICATE, .key = key});
}

#define assert_wants(flow, wanted) cr_assert_eq(command_flow_next(flow), wanted)

static void assert_value(const struct command_flow *flow, int32_t version, int value)
{
    const struct command_answer *answer = command_flow_answer(flow);
    cr_assert_eq(answer->kind, ANSWER_DONE, "answered %d", answer->kind);
    cr_assert_eq(answer->document.version, version);
    struct str wanted = arena_printf(&arena, "\"value\":%d}", value);
    struct str body = answer->document.body;
    cr_assert(body.len > wanted.len &&
                  memcmp(body.data + body.len - wanted.len, wanted.data, wanted.len) == 0,
              "%.*s", STR_FMT(body));
}

Test(command_long_stream, given_40000_events_when_decided_then_memory_is_bounded_by_the_state)
{
    enum { LENGTH = 40000 };
    struct command_flow *flow = given_adding();
    size_t most = 0;
    while (command_flow_next(flow) == FLOW_WANT_STREAMS) {
        bring_page(flow, LENGTH);
        most = arena.used > most ? arena.used : most;
    }
    assert_wants(flow, FLOW_WANT_APPEND);
    cr_assert_eq(command_flow_item(flow)->streams[0].expected_version, LENGTH);
    cr_assert_lt(most, 1024 * 1024, "%zu bytes", most);
    command_flow_take_verdict(flow,
                              &(struct append_verdict){.outcome = APPENDED, .at = {1, 11, 1}});
    assert_wants(flow, FLOW_WANT_NOTHING);
    assert_value(flow, LENGTH + 1, LENGTH - 1 + 5);
}

Test(command_long_stream, given_a_long_stream_when_read_then_it_leaves_snapshots_on_the_way)
{
    struct command_flow *flow = given_adding();
    int32_t versions[8];
    size_t left = 0;
    while (command_flow_next(flow) == FLOW_WANT_STREAMS) {
        bring_page(flow, 2400);
        size_t count = 0;
        const struct snapshot *snapshots = command_flow_snapshots(flow, &count);
        if (count == 0) {
            continue;
        }
        cr_assert_eq(count, 2);
        cr_assert_eq(snapshots[0].kind, SNAPSHOT_STATE);
        cr_assert_eq(snapshots[1].kind, SNAPSHOT_DOCUMENT);
        for (size_t i = 0; i < 2; i++) {
            cr_assert(uuid_eq(snapshots[i].stream, counter));
            cr_assert(uuid_eq(snapshots[i].event, event_id(snapshots[i].version)));
            cr_assert_eq(snapshots[i].codec, 1);
            cr_assert(str_eq(snapshots[i].bytes, counter_at(snapshots[i].version)), "%.*s",
                      STR_FMT(snapshots[i].bytes));
        }
        versions[left++] = snapshots[0].version;
    }
    cr_assert_eq(left, 3);
    cr_assert_eq(versions[0], 1024); // each thousand, at the end of a page
    cr_assert_eq(versions[1], 2048);
    cr_assert_eq(versions[2], 2400); // and at the stream's end
}

Test(command_long_stream, given_a_short_stream_when_read_then_it_leaves_none)
{
    struct command_flow *flow = given_adding();
    assert_wants(flow, FLOW_WANT_STREAMS);
    bring_page(flow, 99);
    size_t count = 1;
    (void)command_flow_snapshots(flow, &count);
    cr_assert_eq(count, 0);
}

Test(command_long_stream, given_snapshots_and_a_tail_when_decided_then_nothing_before_is_read)
{
    struct command_flow *flow = given_adding();
    assert_wants(flow, FLOW_WANT_STREAMS);
    size_t count = 0;
    const struct stream_query *query = command_flow_queries(flow, &count);
    cr_assert_eq(query->state_codec, 1);
    cr_assert_eq(query->document_codec, 1);
    bring_snapshots(flow, 100000, 3);
    assert_wants(flow, FLOW_WANT_APPEND);
    cr_assert_eq(command_flow_item(flow)->streams[0].expected_version, 100003);
    command_flow_take_verdict(flow,
                              &(struct append_verdict){.outcome = APPENDED, .at = {1, 11, 1}});
    assert_wants(flow, FLOW_WANT_NOTHING);
    assert_value(flow, 100004, 100002 + 5);
}

Test(command_long_stream, given_snapshots_of_two_versions_then_each_takes_only_what_it_lacks)
{
    struct command_flow *flow = given_adding();
    assert_wants(flow, FLOW_WANT_STREAMS);
    struct recorded_event rows[20];
    for (int32_t i = 0; i < 20; i++) {
        rows[i] = row_at(501 + i);
    }
    struct stream_rows page = {
        .state = snapshot_at(510), .document = snapshot_at(500), .rows = rows, .count = 20};
    command_flow_take_streams(flow, &page);
    assert_wants(flow, FLOW_WANT_APPEND);
    cr_assert_eq(command_flow_item(flow)->streams[0].expected_version, 520);
    command_flow_take_verdict(flow,
                              &(struct append_verdict){.outcome = APPENDED, .at = {1, 11, 1}});
    assert_wants(flow, FLOW_WANT_NOTHING);
    assert_value(flow, 521, 519 + 5);
}

static void assert_reads_from_the_start(struct command_flow *flow)
{
    assert_wants(flow, FLOW_WANT_STREAMS);
    size_t count = 0;
    const struct stream_query *query = command_flow_queries(flow, &count);
    cr_assert_eq(count, 1);
    cr_assert_eq(query->after_version, 0);
    cr_assert_eq(query->state_codec, 0);
    cr_assert_eq(query->document_codec, 0);
    bring_page(flow, 4);
    assert_wants(flow, FLOW_WANT_APPEND);
    cr_assert_eq(command_flow_item(flow)->streams[0].expected_version, 4);
    command_flow_take_verdict(flow,
                              &(struct append_verdict){.outcome = APPENDED, .at = {1, 11, 1}});
    assert_wants(flow, FLOW_WANT_NOTHING);
    assert_value(flow, 5, 3 + 5);
}

Test(command_long_stream, given_a_snapshot_that_cannot_be_read_then_it_reads_from_the_start)
{
    static const struct str damaged[] = {{"[]", 2}, {"{\"id\":7}", 8}, {"{", 1}};
    for (size_t i = 0; i < 6; i++) {
        struct command_flow *flow = given_adding();
        assert_wants(flow, FLOW_WANT_STREAMS);
        struct stream_rows page = {.state = snapshot_at(3), .document = snapshot_at(3)};
        struct stream_snapshot *bad = i < 3 ? &page.state : &page.document;
        bad->bytes = damaged[i % 3];
        command_flow_take_streams(flow, &page);
        assert_reads_from_the_start(flow);
    }
}

Test(command_long_stream, given_a_snapshot_ahead_of_the_rows_then_it_reads_from_the_start)
{
    struct command_flow *flow = given_adding();
    assert_wants(flow, FLOW_WANT_STREAMS);
    struct recorded_event rows[] = {row_at(4)};
    struct stream_rows page = {
        .state = snapshot_at(9), .document = snapshot_at(3), .rows = rows, .count = 1};
    command_flow_take_streams(flow, &page);
    assert_reads_from_the_start(flow);
}

Test(command_long_stream, given_a_snapshot_of_another_tenants_stream_then_there_is_no_such_thing)
{
    struct command_flow *flow = given_adding();
    assert_wants(flow, FLOW_WANT_STREAMS);
    struct stream_rows page = {.state = snapshot_at(300), .document = snapshot_at(300)};
    page.state.tenant = page.document.tenant = STR("other");
    command_flow_take_streams(flow, &page);
    assert_wants(flow, FLOW_WANT_KEY);
    command_flow_take_key(flow, false, NULL);
    assert_wants(flow, FLOW_WANT_NOTHING);
    cr_assert_eq(command_flow_answer(flow)->kind, ANSWER_NOT_FOUND);
}

static struct command_flow *given_a_duplicate(int32_t version)
{
    struct command_flow *flow = given_adding();
    assert_wants(flow, FLOW_WANT_STREAMS);
    bring_snapshots(flow, 100000, 0);
    assert_wants(flow, FLOW_WANT_APPEND);
    bring_known_key(flow, version);
    assert_wants(flow, FLOW_WANT_DOCUMENT);
    return flow;
}

Test(command_long_stream, given_a_replay_deep_in_a_stream_then_it_begins_at_a_snapshot_before_it)
{
    struct command_flow *flow = given_a_duplicate(50010);
    size_t count = 0;
    const struct stream_query *query = command_flow_queries(flow, &count);
    cr_assert_eq(query->until_version, 50010);
    cr_assert_eq(query->document_codec, 1);
    struct recorded_event rows[10];
    for (int32_t i = 0; i < 10; i++) {
        rows[i] = row_at(50001 + i);
    }
    struct stream_rows page = {.document = snapshot_at(50000), .rows = rows, .count = 10};
    command_flow_take_streams(flow, &page);
    assert_wants(flow, FLOW_WANT_NOTHING);
    cr_assert(command_flow_answer(flow)->replayed);
    assert_value(flow, 50010, 50009);
}

Test(command_long_stream, given_a_replay_without_snapshots_then_each_try_leaves_the_next_less_to_do)
{
    struct command_flow *flow = given_a_duplicate(20000);
    struct snapshot last = {.version = 0};
    for (int pages = 0; pages < 10; pages++) {
        bring_page(flow, 100000);
        size_t count = 0;
        const struct snapshot *snapshots = command_flow_snapshots(flow, &count);
        cr_assert_leq(count, 1);
        last = count > 0 ? snapshots[0] : last;
    }
    cr_assert_eq(last.kind, SNAPSHOT_DOCUMENT);
    cr_assert_eq(last.version, 2048);
    command_flow_fail(flow, STATUS_TIMEOUT);
    size_t left = 0;
    cr_assert_eq(command_flow_snapshots(flow, &left)->version, 2560);
    cr_assert_eq(left, 1);
    assert_wants(flow, FLOW_WANT_NOTHING);
    const struct command_answer *answer = command_flow_answer(flow);
    cr_assert_eq(answer->kind, ANSWER_LONG_STREAM);
    cr_assert(answer->replayed);
    cr_assert_eq(answer->version, 2560);
    flow = given_a_duplicate(20000);
    while (command_flow_next(flow) == FLOW_WANT_DOCUMENT) {
        bring_page(flow, 100000);
    }
    assert_value(flow, 20000, 19999);
}

Test(command_long_stream, given_its_time_ends_between_two_pages_then_it_says_so)
{
    struct command_flow *flow = given_adding();
    assert_wants(flow, FLOW_WANT_STREAMS);
    bring_page(flow, 1000);
    bring_page(flow, 1000);
    command_flow_fail(flow, STATUS_TIMEOUT);
    const struct command_answer *answer = command_flow_answer(flow);
    cr_assert_eq(answer->kind, ANSWER_LONG_STREAM);
    cr_assert(uuid_eq(answer->stream, counter));
    cr_assert_eq(answer->version, 2 * PAGE);
    cr_assert_not(answer->replayed);
    size_t left = 0; // whatever it came to, so that the next try goes on
    const struct snapshot *snapshots = command_flow_snapshots(flow, &left);
    cr_assert_eq(left, 2);
    cr_assert_eq(snapshots[0].version, 2 * PAGE);
    cr_assert(str_eq(snapshots[1].bytes, counter_at(2 * PAGE)));
}

Test(command_long_stream, given_an_event_past_the_memory_then_the_limit_is_told)
{
    struct command_flow *flow = given_adding();
    assert_wants(flow, FLOW_WANT_STREAMS);
    char *large = arena_alloc(&page_arena, JOB_ARENA_MAX - 65536);
    cr_assert_not_null(large);
    memset(large, ' ', JOB_ARENA_MAX - 65536);
    struct recorded_event rows[] = {row_at(1), row_at(2)};
    rows[1].data = (struct str){large, JOB_ARENA_MAX - 65536};
    command_flow_take_streams(flow, &(struct stream_rows){.rows = rows, .count = 2});
    assert_wants(flow, FLOW_WANT_NOTHING);
    const struct command_answer *answer = command_flow_answer(flow);
    cr_assert_eq(answer->kind, ANSWER_TOO_LARGE);
    cr_assert(uuid_eq(answer->stream, counter));
    cr_assert_eq(answer->version, 2);
}
