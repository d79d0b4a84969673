// SPDX-License-Identifier: Apache-2.0
// Brings documents up to a batch of messages without I/O: it says what it needs, its driver brings
// it.
#include "application/projection/projection_batch.h"

#include <stdlib.h>

#include "application/projection/projection_target.h"
#include "domain/bounded_context.h"

enum phase { PHASE_FIND, PHASE_READ, PHASE_PUT, PHASE_DONE };

// A stream that the batch names, with its messages in version order.
struct group {
    struct projection_target target;
    const struct incoming **messages;
    size_t count;
    bool reading;
};

struct projection_batch {
    struct arena *arena;
    const struct incoming *messages;
    size_t count;
    enum phase phase;
    enum status status;
    struct group *groups;
    size_t group_count;
    const struct incoming **sorted; // messages that a projection reads, by stream and version
    struct document_stream *streams;
    struct stream_query *queries;
    size_t query_count;
    struct document *documents;
    size_t document_count;
    struct message_result *results;
};

static int by_stream_and_version(const void *left, const void *right)
{
    const struct incoming *a = *(const struct incoming *const *)left;
    const struct incoming *b = *(const struct incoming *const *)right;
    int order = uuid_compare(a->stream, b->stream);
    if (order == 0) {
        order = str_compare(a->category, b->category);
    }
    if (order == 0) {
        order = str_compare(a->tenant, b->tenant);
    }
    return order != 0 ? order : (a->version > b->version) - (a->version < b->version);
}

static bool same_stream(const struct incoming *left, const struct incoming *right)
{
    return uuid_eq(left->stream, right->stream) && str_eq(left->category, right->category) &&
           str_eq(left->tenant, right->tenant);
}

static bool is_projected(const struct incoming *message)
{
    return message->kind == RECORD_EVENT && !message->is_timer && message->version > 0 &&
           context_projection_of(message->category) != NULL;
}

static bool allocate(struct projection_batch *batch)
{
    struct arena *arena = batch->arena;
    size_t count = batch->count;
    batch->groups = arena_array(arena, count, sizeof(*batch->groups));
    batch->sorted = arena_array(arena, count, sizeof(*batch->sorted));
    batch->streams = arena_array(arena, count, sizeof(*batch->streams));
    batch->queries = arena_array(arena, count, sizeof(*batch->queries));
    batch->documents = arena_array(arena, count, sizeof(*batch->documents));
    batch->results = arena_array(arena, count, sizeof(*batch->results));
    return batch->groups != NULL && batch->sorted != NULL && batch->streams != NULL &&
           batch->queries != NULL && batch->documents != NULL && batch->results != NULL;
}

static void add_to_group(struct projection_batch *batch, const struct incoming **place)
{
    const struct incoming *message = *place;
    struct group *last = batch->group_count == 0 ? NULL : &batch->groups[batch->group_count - 1];
    if (last != NULL && same_stream(last->messages[0], message)) {
        last->count++;
        return;
    }
    const struct projection *projection = context_projection_of(message->category);
    batch->groups[batch->group_count] = (struct group){
        .target.projection = projection,
        .target.category = message->category,
        .target.id = {message->tenant, projection->collection, message->stream},
        .messages = place,
        .count = 1,
    };
    batch->streams[batch->group_count] = batch->groups[batch->group_count].target.id;
    batch->group_count++;
}

static void make_groups(struct projection_batch *batch)
{
    size_t projected = 0;
    for (size_t at = 0; at < batch->count; at++) {
        if (is_projected(&batch->messages[at])) {
            batch->sorted[projected++] = &batch->messages[at];
        } else {
            batch->results[at].label = STR("ignored");
        }
    }
    qsort(batch->sorted, projected, sizeof(*batch->sorted), by_stream_and_version);
    for (size_t at = 0; at < projected; at++) {
        add_to_group(batch, &batch->sorted[at]);
    }
}

struct projection_batch *projection_batch_new(const struct incoming *messages, size_t count,
                                              struct arena *arena)
{
    struct projection_batch *batch = arena_alloc(arena, sizeof(*batch));
    if (batch == NULL) {
        return NULL;
    }
    *batch = (struct projection_batch){.arena = arena, .messages = messages, .count = count};
    if (!allocate(batch)) {
        return NULL;
    }
    make_groups(batch);
    batch->phase = batch->group_count == 0 ? PHASE_DONE : PHASE_FIND;
    return batch;
}

static int32_t newest_message(const struct group *group)
{
    return group->messages[group->count - 1]->version;
}

static bool tells_its_place(const struct incoming *message)
{
    return message->at.position > 0 && message->recorded_at > 0;
}

// The messages that go on exactly where the document ends; NULL in *events: there is a gap.
static enum status events_of_messages(const struct group *group, struct arena *arena,
                                      struct projection_event **events, size_t *count)
{
    struct projection_event *made = arena_array(arena, group->count, sizeof(*made));
    if (made == NULL) {
        return STATUS_NO_MEMORY;
    }
    *events = NULL;
    int32_t version = group->target.version;
    size_t used = 0;
    for (size_t at = 0; at < group->count; at++) {
        const struct incoming *message = group->messages[at];
        if (message->version <= version) {
            continue; // in the document, or twice in the batch
        }
        if (message->version != version + 1 || !tells_its_place(message)) {
            return STATUS_OK;
        }
        made[used++] = (struct projection_event){
            .view = {.stream = message->stream,
                     .version = message->version,
                     .id = message->id,
                     .type = message->type,
                     .schema_version = message->schema_version,
                     .data = message->data,
                     .recorded_at = message->recorded_at},
            .at = message->at,
            .is_event = true,
        };
        version++;
    }
    *events = made;
    *count = used;
    return STATUS_OK;
}

// What a message carries may be damaged where the log is not: an event that cannot be read sends
// the group to the log too.
static enum status apply_messages(struct group *group, struct arena *arena)
{
    struct projection_event *events;
    size_t count;
    enum status status = events_of_messages(group, arena, &events, &count);
    if (status != STATUS_OK) {
        return status;
    }
    const struct projection_event *broken = NULL;
    if (events != NULL) {
        status = projection_target_apply(&group->target, events, count, arena, &broken);
    }
    group->reading = events == NULL || broken != NULL;
    return status;
}

static void make_queries(struct projection_batch *batch)
{
    batch->query_count = 0;
    for (size_t at = 0; at < batch->group_count; at++) {
        const struct group *group = &batch->groups[at];
        if (group->reading) {
            batch->queries[batch->query_count++] = (struct stream_query){
                .stream = group->target.id.stream, .after_version = group->target.version};
        }
    }
}

// Also for documents that were there already: a cache may lack them.
static enum status make_documents(struct projection_batch *batch)
{
    for (size_t at = 0; at < batch->group_count; at++) {
        struct projection_target *target = &batch->groups[at].target;
        enum status status = projection_target_finish(target, batch->arena);
        if (status != STATUS_OK) {
            return status;
        }
        if (target->made.version > 0) {
            batch->documents[batch->document_count++] = target->made;
        }
    }
    return STATUS_OK;
}

static void enter_put(struct projection_batch *batch)
{
    enum status status = make_documents(batch);
    if (status != STATUS_OK) {
        projection_batch_fail(batch, status);
        return;
    }
    batch->phase = PHASE_PUT;
    if (batch->document_count == 0) {
        projection_batch_take_put(batch);
    }
}

static void enter_read(struct projection_batch *batch)
{
    make_queries(batch);
    batch->phase = PHASE_READ;
    if (batch->query_count == 0) {
        enter_put(batch);
    }
}

enum projection_want projection_batch_next(struct projection_batch *batch)
{
    switch (batch->phase) {
    case PHASE_FIND:
        return PROJECTION_WANT_DOCUMENTS;
    case PHASE_READ:
        return PROJECTION_WANT_ROWS;
    case PHASE_PUT:
        return PROJECTION_WANT_PUT;
    case PHASE_DONE:
        break;
    }
    return PROJECTION_WANT_NOTHING;
}

const struct document_stream *projection_batch_streams(const struct projection_batch *batch,
                                                       size_t *count)
{
    *count = batch->group_count;
    return batch->streams;
}

void projection_batch_take_documents(struct projection_batch *batch,
                                     const struct document *documents)
{
    for (size_t at = 0; at < batch->group_count; at++) {
        struct group *group = &batch->groups[at];
        if (documents[at].version >= newest_message(group)) {
            group->target.found = documents[at];
            group->target.version = documents[at].version;
            continue;
        }
        enum status status = projection_target_begin(&group->target, &documents[at], batch->arena);
        if (status == STATUS_OK) {
            status = apply_messages(group, batch->arena);
        }
        if (status != STATUS_OK) {
            projection_batch_fail(batch, status);
            return;
        }
    }
    enter_read(batch);
}

const struct stream_query *projection_batch_queries(const struct projection_batch *batch,
                                                    size_t *count)
{
    *count = batch->query_count;
    return batch->queries;
}

// A stream of another tenant or category than the message says is not what it is about; neither is
// a row that leaves a gap.
static size_t usable_rows(const struct projection_target *target, const struct stream_rows *rows)
{
    size_t usable = 0;
    while (usable < rows->count && str_eq(rows->rows[usable].tenant, target->id.tenant) &&
           str_eq(rows->rows[usable].category, target->category) &&
           rows->rows[usable].version == target->version + 1 + (int32_t)usable) {
        usable++;
    }
    return usable;
}

static instant_us whole_ms(instant_us at)
{
    return at - at % 1000; // as messages tell it
}

static struct projection_event *events_of_rows(const struct stream_rows *rows, size_t count,
                                               struct arena *arena)
{
    struct projection_event *events = arena_array(arena, count, sizeof(*events));
    for (size_t at = 0; events != NULL && at < count; at++) {
        const struct recorded_event *row = &rows->rows[at];
        events[at] = (struct projection_event){
            .view = {.stream = row->stream,
                     .version = row->version,
                     .id = row->id,
                     .type = row->type,
                     .schema_version = row->schema_version,
                     .data = row->data,
                     .recorded_at = whole_ms(row->recorded_at)},
            .at = row->at,
            .is_event = row->kind == RECORD_EVENT,
        };
    }
    return events;
}

static enum status say_broken(struct projection_target *target,
                              const struct projection_event *event, struct arena *arena)
{
    char id[UUID_TEXT_LEN];
    uuid_format(event->view.id, id);
    target->cause = arena_printf(
        arena, "event %.*s (%.*s.%.*s, version %d, schema version %d) cannot be read as %.*s",
        UUID_TEXT_LEN, id, STR_FMT(target->category), STR_FMT(event->view.type),
        event->view.version, event->view.schema_version, STR_FMT(target->id.collection));
    return target->cause.data == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

static enum status say_gap(struct projection_target *target, const struct recorded_event *row,
                           struct arena *arena)
{
    char stream[UUID_TEXT_LEN];
    uuid_format(target->id.stream, stream);
    target->cause = arena_printf(
        arena, "stream %.*s holds %.*s.%.*s version %d where %.*s version %d was expected",
        UUID_TEXT_LEN, stream, STR_FMT(row->tenant), STR_FMT(row->category), row->version,
        STR_FMT(target->category), target->version + 1);
    return target->cause.data == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

static enum status apply_rows(struct group *group, const struct stream_rows *rows,
                              struct arena *arena)
{
    size_t usable = usable_rows(&group->target, rows);
    struct projection_event *events = events_of_rows(rows, usable, arena);
    if (events == NULL) {
        return STATUS_NO_MEMORY;
    }
    const struct projection_event *broken = NULL;
    enum status status = projection_target_apply(&group->target, events, usable, arena, &broken);
    group->reading = status == STATUS_OK && broken == NULL && usable == rows->count && rows->more;
    if (status == STATUS_OK && broken != NULL) {
        return say_broken(&group->target, broken, arena);
    }
    if (status == STATUS_OK && usable < rows->count) {
        return say_gap(&group->target, &rows->rows[usable], arena);
    }
    return status;
}

void projection_batch_take_rows(struct projection_batch *batch, const struct stream_rows *streams)
{
    size_t query = 0;
    for (size_t at = 0; at < batch->group_count; at++) {
        struct group *group = &batch->groups[at];
        if (!group->reading) {
            continue;
        }
        enum status status = apply_rows(group, &streams[query++], batch->arena);
        if (status != STATUS_OK) {
            projection_batch_fail(batch, status);
            return;
        }
    }
    enter_read(batch);
}

const struct document *projection_batch_documents(const struct projection_batch *batch,
                                                  size_t *count)
{
    *count = batch->document_count;
    return batch->documents;
}

static struct message_result result_of(const struct projection_target *target,
                                       const struct incoming *message)
{
    if (message->version <= target->found.version) {
        return (struct message_result){.label = STR("stale")};
    }
    if (message->version <= target->made.version) {
        return (struct message_result){.label = STR("applied")};
    }
    if (target->cause.len > 0) {
        return (struct message_result){.outcome = MESSAGE_POISON, .cause = target->cause};
    }
    return (struct message_result){.outcome = MESSAGE_TRANSIENT,
                                   .cause =
                                       STR("the log does not hold this version of the stream")};
}

void projection_batch_take_put(struct projection_batch *batch)
{
    for (size_t at = 0; at < batch->group_count; at++) {
        const struct group *group = &batch->groups[at];
        for (size_t m = 0; m < group->count; m++) {
            batch->results[group->messages[m] - batch->messages] =
                result_of(&group->target, group->messages[m]);
        }
    }
    batch->phase = PHASE_DONE;
}

void projection_batch_fail(struct projection_batch *batch, enum status status)
{
    for (size_t at = 0; at < batch->group_count; at++) {
        const struct group *group = &batch->groups[at];
        for (size_t m = 0; m < group->count; m++) {
            batch->results[group->messages[m] - batch->messages] = (struct message_result){
                .outcome = MESSAGE_TRANSIENT, .cause = str_from(status_text(status))};
        }
    }
    batch->status = status;
    batch->document_count = 0;
    batch->phase = PHASE_DONE;
}

enum status projection_batch_status(const struct projection_batch *batch)
{
    return batch->status;
}

const struct message_result *projection_batch_results(const struct projection_batch *batch)
{
    return batch->results;
}

const struct document *projection_batch_cacheable(struct projection_batch *batch, size_t *count)
{
    size_t used = 0;
    for (size_t at = 0; batch->status == STATUS_OK && at < batch->group_count; at++) {
        const struct projection_target *target = &batch->groups[at].target;
        const struct document *newest = target->made.version > 0 ? &target->made : &target->found;
        if (newest->version > 0) {
            batch->documents[used++] = *newest;
        }
    }
    *count = used;
    return batch->documents;
}
