// SPDX-License-Identifier: Apache-2.0
// A batch of messages driven with literals: each letter in a message's data is a stream it adds to.
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "application/handler/handler_batch.h"
#include "application/handler/state_cache.h"

// --- a handler of our own: a stream's state is how many additions it has seen

struct tally {
    int additions;
};

static void *tally_initial(struct arena *arena)
{
    return arena_alloc(arena, sizeof(struct tally));
}

static enum status tally_evolve(void *state, const struct event_view *event, struct arena *arena)
{
    (void)arena;
    if (str_eq(event->type, STR("Broken"))) {
        return STATUS_MALFORMED;
    }
    ((struct tally *)state)->additions += str_eq(event->type, STR("Added"));
    return STATUS_OK;
}

static enum status tally_encode(const void *state, struct buffer *out)
{
    buffer_add_int64(out, ((const struct tally *)state)->additions);
    return out->status;
}

static enum status tally_decode(struct str bytes, struct arena *arena, void **state)
{
    int64_t additions = 0;
    struct tally *tally = arena_alloc(arena, sizeof(*tally));
    if (!str_to_int64(bytes, &additions)) {
        return STATUS_MALFORMED;
    }
    tally->additions = (int)additions;
    *state = tally;
    return STATUS_OK;
}

static const struct fold tally_fold = {3, tally_initial, tally_evolve, tally_encode, tally_decode};

static struct uuid id_of(char letter)
{
    struct uuid id = {{0}};
    id.bytes[15] = (unsigned char)letter;
    return id;
}

static enum status declare_letters(const struct message_handler *handler,
                                   const struct incoming *message, struct arena *arena,
                                   struct handler_streams *streams, struct str *cause)
{
    (void)handler;
    (void)arena;
    if (str_eq(message->type, STR("unreadable"))) {
        *cause = STR("data: no letters");
        return STATUS_MALFORMED;
    }
    for (size_t at = 0; at < message->data.len; at++) {
        streams->items[streams->count++] =
            (struct handler_stream){.id = id_of(message->data.data[at]),
                                    .category = STR("tally"),
                                    .fold = &tally_fold,
                                    .use = STREAM_APPEND};
    }
    return STATUS_OK;
}

static bool ask_outside(const struct message_handler *handler, const struct incoming *message,
                        void *const *states, const int32_t *versions, struct arena *arena,
                        struct effect_request *request)
{
    (void)handler;
    (void)versions;
    (void)arena;
    (void)states;
    *request = (struct effect_request){STR("test.do"), message->data, STR("{}")};
    return str_eq(message->type, STR("outside"));
}

// "once" adds only to streams that are empty; all others add to each of theirs.
static enum status add_to_letters(const struct message_handler *handler,
                                  const struct incoming *message, void *const *states,
                                  const int32_t *versions, const struct effect_answer *effect,
                                  struct arena *arena, struct reaction *reaction, struct str *cause)
{
    (void)handler;
    (void)versions;
    (void)arena;
    (void)effect;
    if (str_eq(message->type, STR("senseless"))) {
        *cause = STR("it makes no sense");
        return STATUS_INVALID;
    }
    reaction->label = STR("ok");
    for (size_t at = 0; at < message->data.len; at++) {
        const struct tally *tally = states[at];
        if (!str_eq(message->type, STR("once")) || tally->additions == 0) {
            reaction->rows[reaction->row_count++] = (struct reaction_row){.stream = at,
                                                                          .id = message->id,
                                                                          .kind = RECORD_EVENT,
                                                                          .type = STR("Added"),
                                                                          .schema_version = 1,
                                                                          .data = STR("{}"),
                                                                          .meta = STR("{}")};
        }
    }
    return STATUS_OK;
}

static const struct message_handler_ops ops = {declare_letters, ask_outside, add_to_letters};
static const struct message_handler handler = {&ops, {"test", 4}};

// --- given, when, then

static struct arena arena;
static struct state_cache *cache;
static const struct handler_limits limits = {3, 10, 4096};

static void open_arena(void)
{
    arena_init(&arena, 64 * 1024, 16 * 1024 * 1024);
    cache = NULL;
}

static void close_arena(void)
{
    arena_free(&arena);
    state_cache_free(cache);
}

TestSuite(handler_batch, .init = open_arena, .fini = close_arena, .timeout = 10);

static struct incoming message(unsigned char id, const char *type, const char *letters)
{
    struct incoming made = {.kind = RECORD_EVENT,
                            .tenant = STR("main"),
                            .type = str_from(type),
                            .data = str_from(letters)};
    made.id.bytes[0] = id;
    return made;
}

static struct handler_batch *given(const struct incoming *messages, size_t count)
{
    struct handler_batch *batch =
        handler_batch_new(&handler, messages, count, cache, &limits, &arena);
    cr_assert_not_null(batch);
    return batch;
}

static void expect(struct handler_batch *batch, enum handler_want want)
{
    cr_assert_eq(handler_batch_next(batch), want);
}

// Every stream asked for holds `count` additions after the version asked for.
static void when_streams_hold(struct handler_batch *batch, int32_t count)
{
    size_t asked = 0;
    expect(batch, HANDLER_WANT_STREAMS);
    const struct stream_query *queries = handler_batch_queries(batch, &asked);
    struct stream_rows *streams = arena_array(&arena, asked, sizeof(*streams));
    for (size_t at = 0; at < asked; at++) {
        streams[at].rows = arena_array(&arena, (size_t)count, sizeof(*streams[at].rows));
        for (int32_t row = 0; row < count; row++) {
            streams[at].rows[row] = (struct recorded_event){
                .version = queries[at].after_version + row + 1, .type = STR("Added")};
        }
        streams[at].count = (size_t)count;
    }
    handler_batch_take_streams(batch, streams);
}

static const struct append_item *when_it_appends(struct handler_batch *batch, size_t *count)
{
    expect(batch, HANDLER_WANT_APPEND);
    return handler_batch_items(batch, count);
}

static void when_all_appended(struct handler_batch *batch)
{
    size_t count = 0;
    (void)when_it_appends(batch, &count);
    struct append_verdict *verdicts = arena_array(&arena, count, sizeof(*verdicts));
    handler_batch_take_verdicts(batch, verdicts); // APPENDED is 0
}

static void when_verdict(struct handler_batch *batch, struct append_verdict verdict)
{
    handler_batch_take_verdicts(batch, &verdict);
}

static void then_outcomes(struct handler_batch *batch, const enum message_outcome *outcomes,
                          size_t count)
{
    expect(batch, HANDLER_WANT_NOTHING);
    for (size_t at = 0; at < count; at++) {
        cr_assert_eq(handler_batch_results(batch)[at].outcome, outcomes[at], "message %zu", at);
    }
}

#define THEN(batch, ...)                                          \
    then_outcomes((batch), (enum message_outcome[]){__VA_ARGS__}, \
                  sizeof((enum message_outcome[]){__VA_ARGS__}) / sizeof(enum message_outcome))

// --- together

Test(handler_batch, given_messages_for_one_stream_when_handled_then_one_item_holds_them_all)
{
    const struct incoming in[] = {message(1, "add", "A"), message(2, "add", "A"),
                                  message(3, "add", "A")};
    struct handler_batch *batch = given(in, 3);
    when_streams_hold(batch, 7);
    size_t count = 0;
    const struct append_item *items = when_it_appends(batch, &count);
    cr_assert_eq(count, 1);
    cr_assert_eq(items[0].row_count, 3);
    cr_assert_eq(items[0].inbox_count, 3);
    cr_assert_eq(items[0].stream_count, 1);
    cr_assert_eq(items[0].streams[0].expected_version, 7);
    cr_assert(str_eq(items[0].consumer, STR("test")));
    when_verdict(batch, (struct append_verdict){.outcome = APPENDED});
    THEN(batch, MESSAGE_HANDLED, MESSAGE_HANDLED, MESSAGE_HANDLED);
}

Test(handler_batch, given_two_messages_for_one_stream_when_decided_then_the_second_sees_the_first)
{
    const struct incoming in[] = {message(1, "add", "A"), message(2, "once", "A")};
    struct handler_batch *batch = given(in, 2);
    when_streams_hold(batch, 0);
    size_t count = 0;
    const struct append_item *items = when_it_appends(batch, &count);
    cr_assert_eq(items[0].row_count, 1);
    cr_assert_eq(items[0].inbox_count, 2);
}

Test(handler_batch, given_separate_streams_when_handled_then_each_has_an_item_of_its_own)
{
    const struct incoming in[] = {message(1, "add", "A"), message(2, "add", "B")};
    struct handler_batch *batch = given(in, 2);
    when_streams_hold(batch, 1);
    size_t count = 0;
    (void)when_it_appends(batch, &count);
    cr_assert_eq(count, 2);
}

Test(handler_batch, given_a_message_that_bridges_two_streams_when_handled_then_all_share_an_item)
{
    const struct incoming in[] = {message(1, "add", "A"), message(2, "add", "B"),
                                  message(3, "add", "AB"), message(4, "add", "C")};
    struct handler_batch *batch = given(in, 4);
    when_streams_hold(batch, 0);
    size_t count = 0;
    const struct append_item *items = when_it_appends(batch, &count);
    cr_assert_eq(count, 2);
    cr_assert_eq(items[0].stream_count, 2);
    cr_assert_eq(items[0].row_count, 4);
    for (size_t at = 0; at < items[0].row_count; at++) {
        cr_assert_lt(items[0].rows[at].stream, items[0].stream_count);
    }
}

Test(handler_batch, given_the_same_message_twice_when_handled_then_it_is_decided_once)
{
    const struct incoming in[] = {message(1, "add", "A"), message(1, "add", "A")};
    struct handler_batch *batch = given(in, 2);
    when_streams_hold(batch, 0);
    size_t count = 0;
    const struct append_item *items = when_it_appends(batch, &count);
    cr_assert_eq(items[0].row_count, 1);
    cr_assert_eq(items[0].inbox_count, 1);
    when_verdict(batch, (struct append_verdict){.outcome = APPENDED});
    THEN(batch, MESSAGE_HANDLED, MESSAGE_HANDLED);
}

Test(handler_batch, given_a_message_that_leads_to_nothing_when_handled_then_its_inbox_row_is_kept)
{
    const struct incoming in[] = {message(1, "once", "A")};
    struct handler_batch *batch = given(in, 1);
    when_streams_hold(batch, 2);
    size_t count = 0;
    const struct append_item *items = when_it_appends(batch, &count);
    cr_assert_eq(items[0].row_count, 0);
    cr_assert_eq(items[0].inbox_count, 1);
}

Test(handler_batch, given_a_timer_when_handled_then_it_is_done_and_has_no_inbox_row)
{
    struct incoming in[] = {message(1, "add", "A")};
    in[0].is_timer = true;
    struct handler_batch *batch = given(in, 1);
    when_streams_hold(batch, 0);
    size_t count = 0;
    const struct append_item *items = when_it_appends(batch, &count);
    cr_assert_eq(items[0].inbox_count, 0);
    cr_assert_eq(items[0].timer_done_count, 1);
    cr_assert(uuid_eq(items[0].timers_done[0], in[0].id));
}

Test(handler_batch, given_more_rows_than_an_append_takes_when_handled_then_the_rest_follows)
{
    static const struct handler_limits narrow = {3, 0, REACTION_ROWS_MAX + 1};
    const struct incoming in[] = {message(1, "add", "A"), message(2, "add", "A"),
                                  message(3, "add", "A")};
    struct handler_batch *batch = handler_batch_new(&handler, in, 3, NULL, &narrow, &arena);
    when_streams_hold(batch, 4);
    size_t count = 0;
    cr_assert_eq(when_it_appends(batch, &count)[0].row_count, 2);
    when_verdict(batch, (struct append_verdict){.outcome = APPENDED});
    const struct append_item *rest = when_it_appends(batch, &count); // without reading again
    cr_assert_eq(rest[0].row_count, 1);
    cr_assert_eq(rest[0].streams[0].expected_version, 6);
}

// --- verdicts

Test(handler_batch, given_a_conflict_when_told_then_that_group_alone_is_read_and_decided_again)
{
    const struct incoming in[] = {message(1, "add", "A"), message(2, "add", "B")};
    struct handler_batch *batch = given(in, 2);
    when_streams_hold(batch, 1);
    size_t count = 0;
    (void)when_it_appends(batch, &count);
    const struct append_verdict verdicts[] = {{.outcome = VERSION_CONFLICT}, {.outcome = APPENDED}};
    handler_batch_take_verdicts(batch, verdicts);
    when_streams_hold(batch, 2);
    const struct append_item *items = when_it_appends(batch, &count);
    cr_assert_eq(count, 1);
    cr_assert_eq(items[0].streams[0].expected_version, 2);
    when_verdict(batch, (struct append_verdict){.outcome = APPENDED});
    THEN(batch, MESSAGE_HANDLED, MESSAGE_HANDLED);
}

Test(handler_batch, given_conflicts_without_end_when_the_rounds_are_used_up_then_it_is_transient)
{
    const struct incoming in[] = {message(1, "add", "A")};
    struct handler_batch *batch = given(in, 1);
    for (int round = 0; round < limits.attempts_max; round++) {
        size_t count = 0;
        when_streams_hold(batch, 1);
        (void)when_it_appends(batch, &count);
        when_verdict(batch, (struct append_verdict){.outcome = VERSION_CONFLICT});
    }
    THEN(batch, MESSAGE_TRANSIENT);
    cr_assert_gt(handler_batch_results(batch)[0].cause.len, 0);
}

Test(handler_batch, given_a_message_handled_before_when_told_then_the_others_are_decided_without_it)
{
    static const bool handled[] = {true, false};
    const struct incoming in[] = {message(1, "add", "A"), message(2, "add", "A")};
    struct handler_batch *batch = given(in, 2);
    when_streams_hold(batch, 0);
    size_t count = 0;
    (void)when_it_appends(batch, &count);
    when_verdict(batch,
                 (struct append_verdict){.outcome = ALREADY_HANDLED, .inbox_handled = handled});
    when_streams_hold(batch, 1); // read again: the first one's event is in the log
    const struct append_item *items = when_it_appends(batch, &count);
    cr_assert_eq(items[0].row_count, 1);
    cr_assert_eq(items[0].inbox_count, 1);
    cr_assert(uuid_eq(items[0].inbox[0], in[1].id));
    when_verdict(batch, (struct append_verdict){.outcome = APPENDED});
    THEN(batch, MESSAGE_HANDLED, MESSAGE_HANDLED);
    cr_assert(str_eq(handler_batch_results(batch)[0].label, STR("repeated")));
}

// The log refuses whatever holds message 3; the eight others must all get through.
Test(handler_batch, given_a_message_that_the_log_refuses_when_halved_then_it_alone_is_left_out)
{
    struct incoming in[9];
    enum message_outcome outcomes[9];
    for (unsigned char at = 0; at < 9; at++) {
        in[at] = message((unsigned char)(at + 1), "add", "A");
        outcomes[at] = at == 3 ? MESSAGE_TRANSIENT : MESSAGE_HANDLED;
    }
    struct handler_batch *batch = given(in, 9);
    int32_t version = 0;
    for (int round = 0; round < 12; round++) {
        enum handler_want want = handler_batch_next(batch);
        if (want == HANDLER_WANT_STREAMS) {
            size_t asked = 0;
            (void)handler_batch_queries(batch, &asked);
            struct stream_rows rows = {.count = 0};
            rows.rows = arena_array(&arena, (size_t)version + 1, sizeof(*rows.rows));
            for (; rows.count < (size_t)version; rows.count++) {
                rows.rows[rows.count] = (struct recorded_event){.version = (int32_t)rows.count + 1,
                                                                .type = STR("Added")};
            }
            handler_batch_take_streams(batch, &rows);
            want = handler_batch_next(batch);
        }
        if (want != HANDLER_WANT_APPEND) {
            break;
        }
        size_t count = 0;
        const struct append_item *items = handler_batch_items(batch, &count);
        bool bad = false;
        for (size_t at = 0; at < items[0].inbox_count; at++) {
            bad = bad || uuid_eq(items[0].inbox[at], in[3].id);
        }
        version += bad ? 0 : (int32_t)items[0].row_count;
        when_verdict(batch, (struct append_verdict){.outcome = bad ? ITEM_REFUSED : APPENDED});
    }
    cr_assert_eq(version, 8);
    then_outcomes(batch, outcomes, 9);
}

Test(handler_batch, given_a_server_that_goes_away_when_failed_then_what_is_not_done_is_transient)
{
    const struct incoming in[] = {message(1, "unreadable", ""), message(2, "add", "A"),
                                  message(2, "add", "A")};
    struct handler_batch *batch = given(in, 3);
    expect(batch, HANDLER_WANT_STREAMS);
    handler_batch_fail(batch, STATUS_UNAVAILABLE);
    THEN(batch, MESSAGE_POISON, MESSAGE_TRANSIENT, MESSAGE_TRANSIENT);
}

// --- poison and effects

Test(handler_batch, given_poison_among_messages_when_handled_then_it_leaves_the_others_alone)
{
    const struct incoming in[] = {message(1, "add", "A"), message(2, "unreadable", ""),
                                  message(3, "senseless", "A"), message(4, "add", "A")};
    struct handler_batch *batch = given(in, 4);
    when_streams_hold(batch, 0);
    size_t count = 0;
    cr_assert_eq(when_it_appends(batch, &count)[0].row_count, 2);
    when_verdict(batch, (struct append_verdict){.outcome = APPENDED});
    THEN(batch, MESSAGE_HANDLED, MESSAGE_POISON, MESSAGE_POISON, MESSAGE_HANDLED);
    cr_assert(str_eq(handler_batch_results(batch)[1].cause, STR("data: no letters")));
    cr_assert(str_eq(handler_batch_results(batch)[2].cause, STR("it makes no sense")));
}

Test(handler_batch, given_a_stream_with_an_unreadable_event_when_handled_then_others_go_on)
{
    const struct incoming in[] = {message(1, "add", "A"), message(2, "add", "B")};
    struct handler_batch *batch = given(in, 2);
    expect(batch, HANDLER_WANT_STREAMS);
    struct recorded_event broken = {.version = 1, .type = STR("Broken")};
    const struct stream_rows rows[] = {{.rows = &broken, .count = 1}, {.count = 0}};
    handler_batch_take_streams(batch, rows);
    when_all_appended(batch);
    THEN(batch, MESSAGE_TRANSIENT, MESSAGE_HANDLED);
}

Test(handler_batch, given_effects_when_one_gets_no_answer_then_only_its_message_is_transient)
{
    const struct incoming in[] = {message(1, "outside", "A"), message(2, "outside", "B"),
                                  message(3, "add", "A")};
    struct handler_batch *batch = given(in, 3);
    when_streams_hold(batch, 0);
    expect(batch, HANDLER_WANT_EFFECTS);
    size_t count = 0;
    (void)handler_batch_effects(batch, &count);
    cr_assert_eq(count, 2); // asked for together
    const struct effect_result results[] = {{.answered = false},
                                            {.answered = true, .answer = {.outcome = EFFECT_DONE}}};
    handler_batch_take_effects(batch, results);
    (void)when_it_appends(batch, &count);
    cr_assert_eq(count, 2);
    when_all_appended(batch);
    THEN(batch, MESSAGE_TRANSIENT, MESSAGE_HANDLED, MESSAGE_HANDLED);
}

Test(handler_batch,
     given_an_answer_when_a_conflict_makes_it_decide_again_then_it_is_not_asked_twice)
{
    const struct incoming in[] = {message(1, "outside", "A")};
    struct handler_batch *batch = given(in, 1);
    when_streams_hold(batch, 0);
    expect(batch, HANDLER_WANT_EFFECTS);
    const struct effect_result done = {.answered = true, .answer = {.outcome = EFFECT_DONE}};
    handler_batch_take_effects(batch, &done);
    size_t count = 0;
    (void)when_it_appends(batch, &count);
    when_verdict(batch, (struct append_verdict){.outcome = VERSION_CONFLICT});
    when_streams_hold(batch, 1);
    expect(batch, HANDLER_WANT_APPEND);
}

Test(handler_batch, given_an_effect_that_no_provider_knows_when_refused_then_it_is_poison)
{
    const struct incoming in[] = {message(1, "outside", "A")};
    struct handler_batch *batch = given(in, 1);
    when_streams_hold(batch, 0);
    expect(batch, HANDLER_WANT_EFFECTS);
    handler_batch_refuse_effects(batch);
    THEN(batch, MESSAGE_POISON);
}

// --- long streams

Test(handler_batch, given_a_snapshot_when_read_then_it_goes_on_from_there)
{
    const struct incoming in[] = {message(1, "once", "A")};
    struct handler_batch *batch = given(in, 1);
    expect(batch, HANDLER_WANT_STREAMS);
    size_t count = 0;
    cr_assert_eq(handler_batch_queries(batch, &count)[0].snapshot_version, tally_fold.version);
    const struct stream_rows rows = {.snapshot_at = 100, .snapshot = STR("0")};
    handler_batch_take_streams(batch, &rows);
    const struct append_item *items = when_it_appends(batch, &count);
    cr_assert_eq(items[0].row_count, 1); // its state says that nothing was added yet
    cr_assert_eq(items[0].streams[0].expected_version, 100);
}

Test(handler_batch, given_a_snapshot_that_cannot_be_read_when_loaded_then_it_reads_from_the_start)
{
    const struct incoming in[] = {message(1, "add", "A")};
    struct handler_batch *batch = given(in, 1);
    expect(batch, HANDLER_WANT_STREAMS);
    const struct stream_rows rows = {.snapshot_at = 100, .snapshot = STR("garbage")};
    handler_batch_take_streams(batch, &rows);
    expect(batch, HANDLER_WANT_STREAMS);
    size_t count = 0;
    cr_assert_eq(handler_batch_queries(batch, &count)[0].snapshot_version, 0);
    cr_assert_eq(handler_batch_queries(batch, &count)[0].after_version, 0);
}

Test(handler_batch, given_a_stream_cut_short_when_loaded_then_it_reads_on_after_the_last_row)
{
    const struct incoming in[] = {message(1, "add", "A")};
    struct handler_batch *batch = given(in, 1);
    expect(batch, HANDLER_WANT_STREAMS);
    struct recorded_event first = {.version = 1, .type = STR("Added")};
    const struct stream_rows cut = {.rows = &first, .count = 1, .more = true};
    handler_batch_take_streams(batch, &cut);
    expect(batch, HANDLER_WANT_STREAMS);
    size_t count = 0;
    cr_assert_eq(handler_batch_queries(batch, &count)[0].after_version, 1);
    when_streams_hold(batch, 1);
    cr_assert_eq(when_it_appends(batch, &count)[0].streams[0].expected_version, 2);
}

Test(handler_batch, given_the_nth_event_when_appended_then_a_snapshot_is_worth_keeping)
{
    const struct incoming in[] = {message(1, "add", "A")};
    struct handler_batch *batch = given(in, 1);
    when_streams_hold(batch, 9); // every 10
    when_all_appended(batch);
    THEN(batch, MESSAGE_HANDLED);
    size_t count = 0;
    const struct snapshot *snapshots = handler_batch_snapshots(batch, &count);
    cr_assert_eq(count, 1);
    cr_assert_eq(snapshots[0].version, 10);
    cr_assert_eq(snapshots[0].state_version, tally_fold.version);
    cr_assert(str_eq(snapshots[0].state, STR("10")));
}

Test(handler_batch, given_a_state_kept_from_before_when_loaded_then_only_what_came_after_is_read)
{
    cache = state_cache_new(10, 100);
    const struct incoming in[] = {message(1, "add", "A")};
    struct handler_batch *batch = given(in, 1);
    when_streams_hold(batch, 4);
    when_all_appended(batch);
    THEN(batch, MESSAGE_HANDLED);

    const struct incoming later[] = {message(2, "add", "A")};
    batch = given(later, 1);
    expect(batch, HANDLER_WANT_STREAMS); // asked all the same: others may have written
    size_t count = 0;
    cr_assert_eq(handler_batch_queries(batch, &count)[0].after_version, 5);
    when_streams_hold(batch, 0);
    cr_assert_eq(when_it_appends(batch, &count)[0].streams[0].expected_version, 5);
    when_verdict(batch, (struct append_verdict){.outcome = VERSION_CONFLICT});
    expect(batch, HANDLER_WANT_STREAMS); // what was kept is no longer trusted
    cr_assert_eq(handler_batch_queries(batch, &count)[0].after_version, 0);
}

Test(handler_batch, given_another_tenants_message_for_a_stream_when_handled_then_it_is_poison)
{
    struct incoming in[] = {message(1, "add", "A"), message(2, "add", "A")};
    in[1].tenant = STR("other");
    struct handler_batch *batch = given(in, 2);
    when_streams_hold(batch, 0);
    when_all_appended(batch);
    THEN(batch, MESSAGE_HANDLED, MESSAGE_POISON);
}

Test(handler_batch, given_no_message_when_started_then_nothing_is_wanted)
{
    struct handler_batch *batch = given(NULL, 0);
    expect(batch, HANDLER_WANT_NOTHING);
}
