// SPDX-License-Identifier: Apache-2.0
// A handler for tests of handler_batch, and the words to drive a batch with literals: each letter
// in a message's data is a stream that it adds to; a stream's state is how many additions it has
// seen.
#include "tally_handler.h"

#include <criterion/criterion.h>
#include <stdlib.h>

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

const struct fold tally_fold = {3, tally_initial, tally_evolve, tally_encode, tally_decode};

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
const struct message_handler tally_handler = {&ops, {"test", 4}};

// --- given, when, then

struct arena tally_arena;
struct state_cache *tally_cache;
int64_t tally_now_ms;
const struct handler_limits tally_limits = {1000, 10, 4096};

void tally_open(void)
{
    arena_init(&tally_arena, 64 * 1024, 16 * 1024 * 1024);
    tally_cache = NULL;
    tally_now_ms = 5000;
}

void tally_close(void)
{
    arena_free(&tally_arena);
    state_cache_free(tally_cache);
}

struct incoming tally_message(unsigned char id, const char *type, const char *letters)
{
    struct incoming made = {.kind = RECORD_EVENT,
                            .tenant = STR("main"),
                            .type = str_from(type),
                            .data = str_from(letters)};
    made.id.bytes[0] = id;
    return made;
}

struct handler_batch *tally_given(const struct incoming *messages, size_t count)
{
    struct handler_batch *batch = handler_batch_new(&tally_handler, messages, count, tally_cache,
                                                    &tally_limits, &tally_arena);
    cr_assert_not_null(batch);
    return batch;
}

void tally_expect(struct handler_batch *batch, enum handler_want want)
{
    cr_assert_eq(handler_batch_next(batch, tally_now_ms), want);
}

int tally_when_it_rests(struct handler_batch *batch)
{
    tally_expect(batch, HANDLER_WANT_PAUSE);
    int pause_ms = handler_batch_pause_ms(batch);
    cr_assert_gt(pause_ms, 0);
    tally_now_ms += pause_ms;
    return pause_ms;
}

// Every stream asked for holds `count` additions after the version asked for.
void tally_when_streams_hold(struct handler_batch *batch, int32_t count)
{
    size_t asked = 0;
    tally_expect(batch, HANDLER_WANT_STREAMS);
    const struct stream_query *queries = handler_batch_queries(batch, &asked);
    struct stream_rows *streams = arena_array(&tally_arena, asked, sizeof(*streams));
    for (size_t at = 0; at < asked; at++) {
        streams[at].rows = arena_array(&tally_arena, (size_t)count, sizeof(*streams[at].rows));
        for (int32_t row = 0; row < count; row++) {
            streams[at].rows[row] =
                (struct recorded_event){.tenant = STR("main"),
                                        .category = STR("tally"),
                                        .version = queries[at].after_version + row + 1,
                                        .type = STR("Added")};
        }
        streams[at].count = (size_t)count;
    }
    handler_batch_take_streams(batch, streams);
}

const struct append_item *tally_when_it_appends(struct handler_batch *batch, size_t *count)
{
    tally_expect(batch, HANDLER_WANT_APPEND);
    return handler_batch_items(batch, count);
}

void tally_when_all_appended(struct handler_batch *batch)
{
    size_t count = 0;
    (void)tally_when_it_appends(batch, &count);
    struct append_verdict *verdicts = arena_array(&tally_arena, count, sizeof(*verdicts));
    handler_batch_take_verdicts(batch, verdicts); // APPENDED is 0
}

void tally_when_verdict(struct handler_batch *batch, struct append_verdict verdict)
{
    handler_batch_take_verdicts(batch, &verdict);
}

void tally_then_outcomes(struct handler_batch *batch, const enum message_outcome *outcomes,
                         size_t count)
{
    tally_expect(batch, HANDLER_WANT_NOTHING);
    for (size_t at = 0; at < count; at++) {
        cr_assert_eq(handler_batch_results(batch)[at].outcome, outcomes[at], "message %zu", at);
    }
}
