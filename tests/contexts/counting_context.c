// SPDX-License-Identifier: Apache-2.0
// A context that is no shop at all, to prove the seam: counters that their owner may add to.
#include "contexts/counting_context.h"

#include "base/json.h"
#include "base/json_tree.h"
#include "domain/body_reader.h"
#include "domain/decision.h"

enum { COUNT_MAX = 1000000, STEP_MAX = 1000 };

// One struct serves as state and as document.
struct counter {
    struct uuid id;
    int32_t version;
    int64_t value;
    struct str owner; // empty: not opened
};

static enum status parse_number(struct str json, struct str name, int64_t least, int64_t most,
                                struct arena *arena, struct fault_list *faults, void **body)
{
    struct body_reader reader = {arena, faults, false};
    struct body_place root;
    int64_t *number = arena_alloc(arena, sizeof(*number));
    if (number == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = body_open(&reader, json, &name, 1, &root);
    if (status != STATUS_OK) {
        return status;
    }
    bool fine = root.value != NULL && body_integer(&reader, root, name, least, most, number);
    *body = fine ? number : NULL;
    return STATUS_OK;
}

static enum status parse_open(struct str json, struct arena *arena, struct fault_list *faults,
                              void **body)
{
    return parse_number(json, STR("start"), 0, COUNT_MAX, arena, faults, body);
}

static enum status parse_add(struct str json, struct arena *arena, struct fault_list *faults,
                             void **body)
{
    return parse_number(json, STR("amount"), 1, STEP_MAX, arena, faults, body);
}

static enum status target_only(const struct command *command, struct arena *arena,
                               struct stream_refs *streams)
{
    (void)arena;
    streams->items[0] = (struct stream_ref){command->target, STR("counter"), STREAM_APPEND};
    streams->count = 1;
    return STATUS_OK;
}

static enum status open_decide(const struct decide_input *input, struct arena *arena,
                               struct decision *decision)
{
    const int64_t *start = input->command->body;
    struct event_draft draft;
    decision_accept(decision);
    event_draft_begin(&draft, arena);
    event_draft_text(&draft, STR("owner"), input->command->actor);
    event_draft_int(&draft, STR("start"), *start);
    return decision_record(decision, 0, STR("CounterOpened"), &draft);
}

static enum status add_decide(const struct decide_input *input, struct arena *arena,
                              struct decision *decision)
{
    const struct counter *counter = input->states[0];
    const int64_t *amount = input->command->body;
    struct event_draft draft;
    if (counter->owner.len == 0 || !str_eq(counter->owner, input->command->actor)) {
        decision_not_found(decision);
        return STATUS_OK;
    }
    if (counter->value + *amount > COUNT_MAX) {
        decision_reject(decision, STR("counter-full"), STR("the counter ends at a million"));
        return STATUS_OK;
    }
    decision_accept(decision);
    event_draft_begin(&draft, arena);
    event_draft_int(&draft, STR("amount"), *amount);
    return decision_record(decision, 0, STR("CounterAdded"), &draft);
}

static void *counter_initial(struct arena *arena)
{
    return arena_alloc(arena, sizeof(struct counter));
}

static enum status counter_evolve(void *state, const struct event_view *event, struct arena *arena)
{
    struct counter *counter = state;
    const struct json_value *data;
    enum status status = json_read_copy(event->data, arena, &data);
    if (status != STATUS_OK) {
        return status;
    }
    counter->id = event->stream;
    counter->version = event->version;
    if (str_eq(event->type, STR("CounterOpened"))) {
        counter->owner = json_member_text(data, STR("owner"));
        counter->value = json_member_int(data, STR("start"));
    } else if (str_eq(event->type, STR("CounterAdded"))) {
        counter->value += json_member_int(data, STR("amount"));
    }
    return STATUS_OK;
}

static enum status counter_encode(const void *state, struct buffer *out)
{
    const struct counter *counter = state;
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_object_begin(&writer);
    json_name(&writer, STR("id"));
    json_uuid(&writer, counter->id.bytes);
    json_name(&writer, STR("version"));
    json_int(&writer, counter->version);
    json_name(&writer, STR("owner"));
    json_string(&writer, counter->owner);
    json_name(&writer, STR("value"));
    json_int(&writer, counter->value);
    json_object_end(&writer);
    return out->status;
}

static enum status counter_decode(struct str bytes, struct arena *arena, void **state)
{
    const struct json_value *data;
    struct counter *counter = counter_initial(arena);
    if (counter == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = json_read_copy(bytes, arena, &data);
    if (status != STATUS_OK) {
        return status;
    }
    if (!uuid_parse(json_member_text(data, STR("id")), false, &counter->id)) {
        return STATUS_MALFORMED;
    }
    counter->version = (int32_t)json_member_int(data, STR("version"));
    counter->owner = json_member_text(data, STR("owner"));
    counter->value = json_member_int(data, STR("value"));
    *state = counter;
    return STATUS_OK;
}

static enum status counter_index(const void *state, struct arena *arena,
                                 struct document_index *index)
{
    const struct counter *counter = state;
    char *id = arena_alloc(arena, UUID_TEXT_LEN);
    if (id == NULL) {
        return STATUS_NO_MEMORY;
    }
    uuid_format(counter->id, id);
    *index = (struct document_index){
        .key = {id, UUID_TEXT_LEN},
        .owner = counter->owner,
        .filter = STR(""),
        .sort = {id, UUID_TEXT_LEN},
        .listed = true,
    };
    return STATUS_OK;
}

static const struct aggregate aggregates[] = {
    {
        .category = {"counter", 7},
        .state =
            {
                .version = 1,
                .initial = counter_initial,
                .evolve = counter_evolve,
                .encode = counter_encode,
                .decode = counter_decode,
            },
    },
};

// Sixty more that do what `add` does, so that an edge can serve many.
#define MORE(name)                                                                        \
    {                                                                                     \
        .type = {name, sizeof(name) - 1}, .category = {"counter", 7}, .parse = parse_add, \
        .streams = target_only, .decide = add_decide,                                     \
    }
#define TEN_MORE(ten)                                                                           \
    MORE("more" ten "0"), MORE("more" ten "1"), MORE("more" ten "2"), MORE("more" ten "3"),     \
        MORE("more" ten "4"), MORE("more" ten "5"), MORE("more" ten "6"), MORE("more" ten "7"), \
        MORE("more" ten "8"), MORE("more" ten "9")

static const struct command_type commands[] = {
    {
        .type = {"open", 4},
        .category = {"counter", 7},
        .creates = true,
        .parse = parse_open,
        .streams = target_only,
        .decide = open_decide,
    },
    {
        .type = {"add", 3},
        .category = {"counter", 7},
        .parse = parse_add,
        .streams = target_only,
        .decide = add_decide,
    },
    TEN_MORE("0"),
    TEN_MORE("1"),
    TEN_MORE("2"),
    TEN_MORE("3"),
    TEN_MORE("4"),
    TEN_MORE("5"),
};

static const struct projection projections[] = {
    {
        .collection = {"counters", 8},
        .category = {"counter", 7},
        .newest_first = true,
        .document =
            {
                .version = 1,
                .initial = counter_initial,
                .evolve = counter_evolve,
                .encode = counter_encode,
                .decode = counter_decode,
            },
        .index = counter_index,
    },
};

const struct bounded_context counting_context = {
    .name = {"counting", 8},
    .role = {"counting", 8},
    .aggregates = aggregates,
    .aggregate_count = 1,
    .commands = commands,
    .command_count = sizeof(commands) / sizeof(commands[0]),
    .projections = projections,
    .projection_count = 1,
};
