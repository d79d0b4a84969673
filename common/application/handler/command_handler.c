// SPDX-License-Identifier: Apache-2.0
// The message handler that runs commands: any context's, found by full name in the registry. Events
// and exactly one reply a command, in one append (ARCHITECTURE.md, "The log's rows").
#include "application/handler/command_handler.h"

#include "application/handler/command_message.h"

// What streams() has read of a command, for effect() and react().
struct command_plan {
    struct command_message message;
    const struct bounded_context *context;
    const struct command_type *type;
    struct command command;
    struct stream_refs streams; // as the context declares them, at the front of the handler's
    struct lookup_keys lookups; // behind them
    size_t reply;               // index of the reply's stream, the last
};

// --- streams

static enum status poison(struct arena *arena, struct str *cause, const char *before,
                          struct str name, const char *after)
{
    *cause = arena_printf(arena, "%s%.*s%s", before, STR_FMT(name), after);
    return STATUS_INVALID;
}

static const struct bounded_context *context_of_command(struct str full_name)
{
    const struct context_registry *registry = context_registry();
    struct str name;
    struct str rest;
    (void)str_split(full_name, '.', &name, &rest);
    for (size_t at = 0; at < registry->count; at++) {
        if (str_eq(registry->contexts[at]->name, name)) {
            return registry->contexts[at];
        }
    }
    return NULL;
}

static enum status parse_body(struct command_plan *plan, struct arena *arena, struct str *cause)
{
    void *body = NULL;
    struct fault_list *faults = arena_alloc(arena, sizeof(*faults));
    if (faults == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = plan->type->parse(plan->message.payload, arena, faults, &body);
    if (status == STATUS_OK && faults->count > 0) {
        *cause = arena_printf(arena, "data.payload%.*s: %.*s", STR_FMT(faults->items[0].pointer),
                              STR_FMT(faults->items[0].detail));
        return STATUS_INVALID;
    }
    plan->command.body = body;
    return status;
}

static enum status read_plan(const struct incoming *message, struct arena *arena,
                             struct command_plan *plan, struct str *cause)
{
    enum status status = command_message_read(message, arena, &plan->message, cause);
    if (status != STATUS_OK) {
        return status;
    }
    plan->type = context_command(plan->message.command);
    plan->context = context_of_command(plan->message.command);
    if (plan->type == NULL || plan->context == NULL) {
        return poison(arena, cause, "data.command: no context here knows ", plan->message.command,
                      "");
    }
    struct str actor = arena_printf(arena, "saga:%.*s", STR_FMT(plan->message.saga));
    if (actor.data == NULL) {
        return STATUS_NO_MEMORY;
    }
    plan->command = (struct command){.tenant = message->tenant,
                                     .target = plan->message.target,
                                     .actor = actor,
                                     .now = message->now};
    return parse_body(plan, arena, cause);
}

static const struct fold *document_fold(struct str category)
{
    const struct projection *projection = context_projection_of(category);
    return projection == NULL ? NULL : &projection->document;
}

static enum status add_stream(const struct command_plan *plan, const struct stream_ref *ref,
                              bool is_new, struct arena *arena, struct handler_streams *streams,
                              struct str *cause)
{
    bool own = context_of_category(ref->category) == plan->context;
    const struct aggregate *aggregate = own ? context_aggregate(ref->category) : NULL;
    const struct fold *fold =
        own ? (aggregate == NULL ? NULL : &aggregate->state) : document_fold(ref->category);
    if (fold == NULL || (!own && ref->use != STREAM_READ)) {
        return poison(arena, cause, "the command needs a stream of ", ref->category,
                      ", which cannot be read here");
    }
    streams->items[streams->count++] = (struct handler_stream){.id = ref->id,
                                                               .category = ref->category,
                                                               .fold = fold,
                                                               .use = ref->use,
                                                               .is_new = is_new,
                                                               .foreign = !own};
    return STATUS_OK;
}

static enum status add_declared(struct command_plan *plan, struct arena *arena,
                                struct handler_streams *streams, struct str *cause)
{
    enum status status = plan->type->streams(&plan->command, arena, &plan->streams);
    for (size_t at = 0; at < plan->streams.count && status == STATUS_OK; at++) {
        bool is_new = at == 0 && plan->type->creates;
        status = add_stream(plan, &plan->streams.items[at], is_new, arena, streams, cause);
    }
    return status;
}

// A lookup is the document of a named stream: it is folded here like any other foreign one.
static enum status add_lookups(struct command_plan *plan, struct arena *arena,
                               struct handler_streams *streams, struct str *cause)
{
    if (plan->type->lookups == NULL) {
        return STATUS_OK;
    }
    enum status status = plan->type->lookups(&plan->command, arena, &plan->lookups);
    if (status == STATUS_OK && streams->count + plan->lookups.count + 1 > REACTION_STREAMS_MAX) {
        return poison(arena, cause, "", plan->message.command, ": needs too many streams");
    }
    for (size_t at = 0; at < plan->lookups.count && status == STATUS_OK; at++) {
        const struct lookup_key *key = &plan->lookups.items[at];
        const struct projection *projection = context_projection(key->collection);
        if (projection == NULL) {
            return poison(arena, cause, "no context here has the collection ", key->collection, "");
        }
        streams->items[streams->count++] = (struct handler_stream){
            .id = uuid_named(plan->command.tenant, projection->category, key->name),
            .category = projection->category,
            .fold = &projection->document,
            .use = STREAM_READ,
            .foreign = true};
    }
    return status;
}

static void add_reply_stream(const struct incoming *message, struct command_plan *plan,
                             struct handler_streams *streams)
{
    plan->reply = streams->count;
    streams->items[streams->count++] =
        (struct handler_stream){.id = uuid_derive(message->id, STR("reply")),
                                .category = STR("reply"),
                                .use = STREAM_APPEND,
                                .is_new = true};
}

static enum status declare_streams(const struct message_handler *handler,
                                   const struct incoming *message, struct arena *arena,
                                   struct handler_streams *streams, struct str *cause)
{
    (void)handler;
    struct command_plan *plan = arena_alloc(arena, sizeof(*plan));
    if (plan == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = read_plan(message, arena, plan, cause);
    status = status == STATUS_OK ? add_declared(plan, arena, streams, cause) : status;
    status = status == STATUS_OK ? add_lookups(plan, arena, streams, cause) : status;
    if (status == STATUS_OK) {
        add_reply_stream(message, plan, streams);
        streams->plan = plan;
    }
    return status;
}

// --- deciding

// What decide is given, with room for what it points to.
struct decide_room {
    struct decide_input input;
    void *states[COMMAND_STREAMS_MAX];
    struct lookup_rows lookups;
};

// The document of a foreign stream as its readers get it. data NULL: there is none.
static struct str document_of(const struct fold *fold, const void *state, int32_t version,
                              struct arena *arena)
{
    struct buffer buffer;
    buffer_init(&buffer, arena, 256 * 1024);
    if (version == 0 || fold->encode(state, &buffer) != STATUS_OK || buffer.status != STATUS_OK) {
        return (struct str){NULL, 0};
    }
    return buffer_view(&buffer);
}

static void *state_of(const struct command_plan *plan, size_t at, void *const *states,
                      const int32_t *versions, struct arena *arena)
{
    struct str category = plan->streams.items[at].category;
    if (context_of_category(category) == plan->context) {
        return states[at];
    }
    struct str *document = arena_alloc(arena, sizeof(*document));
    if (document != NULL) {
        *document = document_of(document_fold(category), states[at], versions[at], arena);
    }
    return document;
}

static struct str lookup_row(const struct lookup_key *key, const void *state, int32_t version,
                             struct arena *arena)
{
    const struct projection *projection = context_projection(key->collection);
    struct document_index index = {.listed = false};
    if (version == 0 || projection->index(state, arena, &index) != STATUS_OK || !index.listed) {
        return (struct str){NULL, 0};
    }
    return document_of(&projection->document, state, version, arena);
}

static const struct decide_input *look(const struct command_plan *plan, void *const *states,
                                       const int32_t *versions, struct arena *arena)
{
    struct decide_room *room = arena_alloc(arena, sizeof(*room));
    if (room == NULL) {
        return NULL;
    }
    for (size_t at = 0; at < plan->streams.count; at++) {
        room->states[at] = state_of(plan, at, states, versions, arena);
        if (room->states[at] == NULL) {
            return NULL;
        }
    }
    for (size_t at = 0; at < plan->lookups.count; at++) {
        size_t stream = plan->streams.count + at;
        room->lookups.items[at] =
            lookup_row(&plan->lookups.items[at], states[stream], versions[stream], arena);
    }
    room->lookups.count = plan->lookups.count;
    room->input = (struct decide_input){.command = &plan->command,
                                        .states = room->states,
                                        .state_count = plan->streams.count,
                                        .lookups = &room->lookups};
    return &room->input;
}

// The reply is there: this command was answered, and its inbox row has been dropped since.
static bool is_answered(const struct command_plan *plan, const int32_t *versions)
{
    return versions[plan->reply] > 0;
}

static bool ask_effect(const struct message_handler *handler, const struct incoming *message,
                       void *const *states, const int32_t *versions, struct arena *arena,
                       struct effect_request *request)
{
    (void)handler;
    const struct command_plan *plan = message->plan;
    if (plan->type->effect == NULL || is_answered(plan, versions)) {
        return false;
    }
    const struct decide_input *input = look(plan, states, versions, arena);
    return input != NULL && plan->type->effect(input, arena, request);
}

// Derived from the incoming id, so that a repeat makes the same rows.
static struct uuid event_id(struct uuid incoming, const struct stream_ref *stream, size_t nth,
                            struct arena *arena)
{
    char text[UUID_TEXT_LEN];
    uuid_format(stream->id, text);
    struct str role =
        arena_printf(arena, "%.*s:%.*s:%zu", STR_FMT(stream->category), UUID_TEXT_LEN, text, nth);
    return uuid_derive(incoming, role.data == NULL ? STR("") : role);
}

static enum status add_events(const struct incoming *message, const struct command_plan *plan,
                              const struct decision *decision, struct arena *arena,
                              struct reaction *reaction)
{
    size_t written[COMMAND_STREAMS_MAX] = {0};
    struct str meta = command_row_meta(message, plan->command.actor, STR(""), arena);
    if (meta.data == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t at = 0; at < decision->event_count; at++) {
        const struct new_event *event = &decision->events[at];
        if (event->stream >= plan->streams.count) {
            return STATUS_INVALID;
        }
        size_t nth = written[event->stream]++;
        reaction->rows[reaction->row_count++] = (struct reaction_row){
            .stream = event->stream,
            .id = event_id(message->id, &plan->streams.items[event->stream], nth, arena),
            .kind = RECORD_EVENT,
            .type = event->type,
            .schema_version = event->schema_version,
            .data = event->data,
            .meta = meta};
    }
    return STATUS_OK;
}

static struct command_reply reply_of(const struct decision *decision)
{
    struct command_reply reply = {.code = decision->code, .detail = decision->detail};
    switch (decision->outcome) {
    case DECISION_ACCEPTED:
        reply.ok = true;
        break;
    case DECISION_REJECTED:
        reply.code = reply.code.len == 0 ? STR("rejected") : reply.code;
        break;
    case DECISION_NOT_FOUND:
        reply.code = reply.code.len == 0 ? STR("not_found") : reply.code;
        break;
    case DECISION_INVALID:
        reply.code = STR("invalid");
        reply.detail =
            decision->faults.count > 0 ? decision->faults.items[0].detail : decision->detail;
        break;
    }
    return reply;
}

static enum status add_reply(const struct incoming *message, const struct command_plan *plan,
                             const struct decision *decision, struct arena *arena,
                             struct reaction *reaction)
{
    struct command_reply reply = reply_of(decision);
    struct str data = command_reply_data(&plan->message, message->id, &reply, arena);
    struct str meta = command_row_meta(message, STR(""), plan->message.saga, arena);
    if (data.data == NULL || meta.data == NULL) {
        return STATUS_NO_MEMORY;
    }
    reaction->label = reply.ok ? STR("ok") : STR("rejected");
    reaction->rows[reaction->row_count++] =
        (struct reaction_row){.stream = plan->reply,
                              .id = uuid_derive(message->id, STR("reply:event")),
                              .kind = RECORD_REPLY,
                              .type = reaction->label,
                              .schema_version = 1,
                              .data = data,
                              .meta = meta};
    return STATUS_OK;
}

static enum status decide(const struct message_handler *handler, const struct incoming *message,
                          void *const *states, const int32_t *versions,
                          const struct effect_answer *effect, struct arena *arena,
                          struct reaction *reaction, struct str *cause)
{
    (void)handler;
    const struct command_plan *plan = message->plan;
    if (is_answered(plan, versions)) {
        reaction->label = STR("repeated");
        return STATUS_OK;
    }
    const struct decide_input *seen = look(plan, states, versions, arena);
    struct decision *decision = arena_alloc(arena, sizeof(*decision));
    if (seen == NULL || decision == NULL) {
        return STATUS_NO_MEMORY;
    }
    struct decide_input input = *seen;
    input.effect = *effect;
    enum status status = plan->type->decide(&input, arena, decision);
    status = status == STATUS_OK ? add_events(message, plan, decision, arena, reaction) : status;
    status = status == STATUS_OK ? add_reply(message, plan, decision, arena, reaction) : status;
    if (status == STATUS_INVALID) {
        return poison(arena, cause, "", plan->message.command, ": decided on a stream it has not");
    }
    return status;
}

struct message_handler command_handler(struct str consumer)
{
    static const struct message_handler_ops ops = {declare_streams, ask_effect, decide};
    return (struct message_handler){.ops = &ops, .consumer = consumer};
}
