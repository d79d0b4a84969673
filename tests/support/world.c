// SPDX-License-Identifier: Apache-2.0
// A world small enough for a unit test: streams in memory, and commands run through the seam as the
// engine would, with lookups, foreign documents and effects, but without any engine.
#include "support/world.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/json.h"

enum { MEMORY_MAX = 256 * 1024 * 1024 };

void world_init(struct world *world)
{
    *world = (struct world){.tenant = STR("main"), .now = INT64_C(1700000000000000)};
    arena_init(&world->arena, 64 * 1024, MEMORY_MAX);
}

void world_free(struct world *world)
{
    arena_free(&world->arena);
}

static const struct aggregate *aggregate_of(struct str category)
{
    const struct aggregate *aggregate = context_aggregate(category);
    cr_assert_not_null(aggregate, "no aggregate of category %.*s", STR_FMT(category));
    return aggregate;
}

struct world_stream *world_stream(struct world *world, struct uuid id, struct str category)
{
    for (size_t i = 0; i < world->stream_count; i++) {
        if (uuid_eq(world->streams[i].id, id)) {
            return &world->streams[i];
        }
    }
    cr_assert_lt(world->stream_count, (size_t)WORLD_STREAMS_MAX);
    struct world_stream *stream = &world->streams[world->stream_count++];
    *stream = (struct world_stream){
        .id = id,
        .category = arena_str(&world->arena, category),
        .state = aggregate_of(category)->state.initial(&world->arena),
    };
    return stream;
}

static void append(struct world *world, struct world_stream *stream, struct str type,
                   struct str data)
{
    struct world_event *event = arena_alloc(&world->arena, sizeof(*event));
    size_t offset;
    cr_assert_eq(json_check(data, &offset), JSON_OK, "no I-JSON: %.*s", STR_FMT(data));
    event->view = (struct event_view){
        .stream = stream->id,
        .version = ++stream->version,
        .type = arena_str(&world->arena, type),
        .schema_version = 1,
        .data = arena_str(&world->arena, data),
        .recorded_at = world->now,
    };
    *(stream->last == NULL ? &stream->first : &stream->last->next) = event;
    stream->last = event;
    const struct fold *fold = &aggregate_of(stream->category)->state;
    cr_assert_eq(fold->evolve(stream->state, &event->view, &world->arena), STATUS_OK);
}

void world_given(struct world *world, struct uuid id, struct str category, const char *type,
                 const char *data)
{
    append(world, world_stream(world, id, category), str_from(type), str_from(data));
}

static struct str encode(struct world *world, const struct fold *fold, const void *state)
{
    struct buffer out;
    buffer_init(&out, &world->arena, 1024 * 1024);
    cr_assert_eq(fold->encode(state, &out), STATUS_OK);
    return buffer_view(&out);
}

struct str world_state(struct world *world, struct uuid id, struct str category)
{
    return encode(world, &aggregate_of(category)->state, world_stream(world, id, category)->state);
}

static void *fold_events(struct world *world, const struct fold *fold,
                         const struct world_stream *stream)
{
    void *state = fold->initial(&world->arena);
    for (const struct world_event *event = stream->first; event != NULL; event = event->next) {
        cr_assert_eq(fold->evolve(state, &event->view, &world->arena), STATUS_OK);
    }
    return state;
}

struct str world_document(struct world *world, struct uuid id, struct str collection)
{
    const struct projection *projection = context_projection(collection);
    cr_assert_not_null(projection);
    struct world_stream *stream = world_stream(world, id, projection->category);
    return encode(world, &projection->document, fold_events(world, &projection->document, stream));
}

bool world_folds_alike(struct world *world, const struct world_stream *stream)
{
    const struct fold *fold = &aggregate_of(stream->category)->state;
    struct str live = encode(world, fold, stream->state);
    void *state = fold->initial(&world->arena);
    for (const struct world_event *event = stream->first; event != NULL; event = event->next) {
        void *decoded;
        cr_assert_eq(fold->evolve(state, &event->view, &world->arena), STATUS_OK);
        cr_assert_eq(fold->decode(encode(world, fold, state), &world->arena, &decoded), STATUS_OK);
        state = decoded;
    }
    return str_eq(live, encode(world, fold, fold_events(world, fold, stream))) &&
           str_eq(live, encode(world, fold, state));
}

// A document that is there and listed; else data NULL.
static struct str listed_document(struct world *world, const struct projection *projection,
                                  struct uuid id)
{
    const struct world_stream *stream = world_stream(world, id, projection->category);
    struct document_index index;
    if (stream->version == 0) {
        return (struct str){NULL, 0};
    }
    void *document = fold_events(world, &projection->document, stream);
    cr_assert_eq(projection->index(document, &world->arena, &index), STATUS_OK);
    return index.listed ? encode(world, &projection->document, document) : (struct str){NULL, 0};
}

static void look_up(struct world *world, const struct command_type *type,
                    const struct command *command, struct lookup_rows *rows)
{
    struct lookup_keys keys;
    rows->count = 0;
    if (type->lookups == NULL) {
        return;
    }
    cr_assert_eq(type->lookups(command, &world->arena, &keys), STATUS_OK);
    for (size_t i = 0; i < keys.count; i++) {
        const struct projection *projection = context_projection(keys.items[i].collection);
        struct uuid id = uuid_named(world->tenant, projection->category, keys.items[i].name);
        rows->items[rows->count++] = listed_document(world, projection, id);
    }
}

static void load(struct world *world, const struct command_type *type,
                 const struct stream_refs *refs, void **states)
{
    const struct bounded_context *own = context_of_category(type->category);
    for (size_t i = 0; i < refs->count; i++) {
        const struct stream_ref *ref = &refs->items[i];
        if (context_of_category(ref->category) == own) {
            states[i] = world_stream(world, ref->id, ref->category)->state;
            continue;
        }
        cr_assert_eq(ref->use, STREAM_READ);
        struct str *document = arena_alloc(&world->arena, sizeof(*document));
        *document = listed_document(world, context_projection_of(ref->category), ref->id);
        states[i] = document;
    }
}

// False: no answer.
static bool perform(struct world *world, const struct command_type *type,
                    struct decide_input *input, struct world_result *result)
{
    if (type->effect == NULL || !type->effect(input, &world->arena, &result->request)) {
        return true;
    }
    result->asked = true;
    if (world->perform == NULL) {
        input->effect = (struct effect_answer){.outcome = EFFECT_DONE};
        return true;
    }
    input->effect = world->perform(world, &result->request);
    return input->effect.outcome != EFFECT_NOT_ASKED;
}

static void add_faults(struct fault_list *all, const struct fault_list *more)
{
    for (size_t i = 0; i < more->count && all->count < FAULTS_MAX; i++) {
        all->items[all->count++] = more->items[i];
    }
    all->total += more->total;
}

static int64_t versions_of(struct world *world, const struct stream_refs *refs)
{
    int64_t sum = 0;
    for (size_t i = 0; i < refs->count; i++) {
        sum += world_stream(world, refs->items[i].id, refs->items[i].category)->version;
    }
    return sum;
}

// Loads and asks until nobody has appended meanwhile. False: no answer.
static bool load_and_ask(struct world *world, const struct command_type *type,
                         struct decide_input *input, void **states, struct world_result *result)
{
    for (;;) {
        int64_t before = versions_of(world, &result->streams);
        input->effect = (struct effect_answer){.outcome = EFFECT_NOT_ASKED};
        load(world, type, &result->streams, states);
        if (!perform(world, type, input, result)) {
            return false;
        }
        if (versions_of(world, &result->streams) == before) {
            return true;
        }
    }
}

static void append_all(struct world *world, const struct world_result *result)
{
    for (size_t i = 0; i < result->decision.event_count; i++) {
        const struct new_event *event = &result->decision.events[i];
        const struct stream_ref *ref = &result->streams.items[event->stream];
        cr_assert_eq(ref->use, STREAM_APPEND);
        append(world, world_stream(world, ref->id, ref->category), event->type, event->data);
    }
}

static void decide(struct world *world, const struct command_type *type,
                   const struct command *command, struct world_result *result)
{
    void *states[COMMAND_STREAMS_MAX];
    struct lookup_rows rows;
    struct decide_input input = {.command = command, .states = states, .lookups = &rows};
    look_up(world, type, command, &rows);
    cr_assert_eq(type->streams(command, &world->arena, &result->streams), STATUS_OK);
    cr_assert(uuid_eq(result->streams.items[0].id, command->target));
    input.state_count = result->streams.count;
    if (!load_and_ask(world, type, &input, states, result)) {
        result->unanswered = true;
        return;
    }
    cr_assert_eq(type->decide(&input, &world->arena, &result->decision), STATUS_OK);
    add_faults(&result->faults, &result->decision.faults);
    if (result->faults.total > 0) {
        result->decision.outcome = DECISION_INVALID;
        result->decision.event_count = 0;
    }
    append_all(world, result);
}

const struct world_result *world_when(struct world *world, const char *full_name,
                                      struct uuid target, const char *actor, const char *body)
{
    const struct command_type *type = context_command(str_from(full_name));
    cr_assert_not_null(type, "no command %s", full_name);
    struct world_result *result = arena_alloc(&world->arena, sizeof(*result));
    struct command command = {
        .tenant = world->tenant, .target = target, .actor = str_from(actor), .now = world->now};
    void *parsed = NULL;
    size_t offset;
    struct str text = arena_str(&world->arena, str_from(body));
    cr_assert_eq(json_check(text, &offset), JSON_OK, "no I-JSON: %s", body);
    cr_assert_eq(type->parse(text, &world->arena, &result->faults, &parsed), STATUS_OK);
    cr_assert(parsed != NULL || result->faults.total > 0);
    command.body = parsed;
    world->now += 1000;
    result->decision.outcome = DECISION_INVALID;
    if (parsed != NULL) {
        decide(world, type, &command, result);
    }
    return result;
}

int world_count(struct world *world, struct uuid id, struct str category, const char *type)
{
    int count = 0;
    const struct world_stream *stream = world_stream(world, id, category);
    for (const struct world_event *event = stream->first; event != NULL; event = event->next) {
        count += str_eq(event->view.type, str_from(type));
    }
    return count;
}

bool world_has_fault(const struct world_result *result, const char *pointer)
{
    for (size_t i = 0; i < result->faults.count; i++) {
        if (str_eq(result->faults.items[i].pointer, str_from(pointer))) {
            return true;
        }
    }
    return false;
}
