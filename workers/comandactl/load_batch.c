// SPDX-License-Identifier: Apache-2.0
// Runs commands from a file of JSON lines through their deciders and the event store, in batches.
#include <string.h>
#include <sys/random.h>

#include "loader.h"

enum { ROUNDS_MAX = 20, ROWS_AT_ONCE = 1000, META_MAX = 1024 };

// A line with what was read for it.
struct slot {
    const struct load_line *line;
    struct stream_refs refs;
    void *states[COMMAND_STREAMS_MAX];
    int32_t versions[COMMAND_STREAMS_MAX];
    struct decision *decision;
    bool done;
};

// A stream to read on, and whose it is.
struct reading {
    struct slot *slot;
    size_t stream;
    const struct fold *fold;
};

struct round {
    const struct load_batch *batch;
    struct arena *arena;
    struct slot *slots;
    size_t count;
    struct str *cause;
};

static enum status refuse(const struct round *round, const struct slot *slot, const char *why,
                          struct str detail)
{
    *round->cause = arena_printf(round->arena, "line %lld: %s%s%.*s", (long long)slot->line->number,
                                 why, detail.len > 0 ? ": " : "", STR_FMT(detail));
    return round->cause->data == NULL ? STATUS_NO_MEMORY : STATUS_INVALID;
}

static enum status declare_streams(const struct round *round, struct slot *slot,
                                   struct reading *readings, size_t *count)
{
    const struct command_type *type = round->batch->type;
    slot->refs.count = 0;
    enum status status = type->streams(&slot->line->command, round->arena, &slot->refs);
    for (size_t at = 0; at < slot->refs.count && status == STATUS_OK; at++) {
        const struct aggregate *aggregate = context_aggregate(slot->refs.items[at].category);
        if (aggregate == NULL ||
            context_of_category(aggregate->category) != round->batch->context) {
            return refuse(round, slot, "the command reads another context, which a load cannot",
                          slot->refs.items[at].category);
        }
        slot->states[at] = aggregate->state.initial(round->arena);
        slot->versions[at] = 0;
        readings[(*count)++] = (struct reading){slot, at, &aggregate->state};
        status = slot->states[at] == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    }
    return status;
}

static enum status take_rows(const struct round *round, const struct reading *reading,
                             const struct stream_rows *rows)
{
    struct slot *slot = reading->slot;
    void **state = &slot->states[reading->stream];
    int32_t *version = &slot->versions[reading->stream];
    enum status status = STATUS_OK;
    if (rows->state.version > 0) {
        status = reading->fold->decode(rows->state.bytes, round->arena, state);
        *version = rows->state.version;
    }
    for (size_t at = 0; at < rows->count && status == STATUS_OK; at++) {
        const struct recorded_event *row = &rows->rows[at];
        const struct event_view view = {row->stream,     row->version,        row->id,
                                        row->type,       row->schema_version, row->data,
                                        row->recorded_at};
        if (row->kind == RECORD_EVENT) {
            status = reading->fold->evolve(*state, &view, round->arena);
        }
        *version = row->version;
    }
    return status == STATUS_MALFORMED
               ? refuse(round, slot, "its stream holds an event that cannot be read", STR(""))
               : status;
}

static enum status read_once(const struct round *round, struct reading *readings, size_t *count)
{
    struct stream_query *queries = arena_array(round->arena, *count, sizeof(*queries));
    struct stream_rows *rows = arena_array(round->arena, *count, sizeof(*rows));
    if (queries == NULL || rows == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t at = 0; at < *count; at++) {
        const struct slot *slot = readings[at].slot;
        int32_t after = slot->versions[readings[at].stream];
        queries[at] =
            (struct stream_query){.stream = slot->refs.items[readings[at].stream].id,
                                  .after_version = after,
                                  .state_codec = after == 0 ? readings[at].fold->version : 0};
    }
    enum status status =
        event_store_read(round->batch->store, queries, *count, ROWS_AT_ONCE, round->arena, rows);
    size_t more = 0;
    for (size_t at = 0; at < *count && status == STATUS_OK; at++) {
        status = take_rows(round, &readings[at], &rows[at]);
        if (rows[at].more) {
            readings[more++] = readings[at];
        }
    }
    *count = more;
    return status;
}

static enum status load_states(const struct round *round)
{
    struct reading *readings =
        arena_array(round->arena, round->count * COMMAND_STREAMS_MAX, sizeof(*readings));
    size_t count = 0;
    enum status status = readings == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    for (size_t at = 0; at < round->count && status == STATUS_OK; at++) {
        if (!round->slots[at].done) {
            status = declare_streams(round, &round->slots[at], readings, &count);
        }
    }
    while (count > 0 && status == STATUS_OK) {
        status = read_once(round, readings, &count);
    }
    return status;
}

static enum status first_fault(const struct round *round, const struct slot *slot)
{
    const struct fault_list *faults = &slot->decision->faults;
    struct str detail = STR("");
    if (faults->count > 0) {
        detail = arena_printf(round->arena, "%.*s %.*s", STR_FMT(faults->items[0].pointer),
                              STR_FMT(faults->items[0].detail));
    }
    return refuse(round, slot, "refused", detail);
}

static enum status decide(const struct round *round, struct slot *slot)
{
    slot->decision = arena_alloc(round->arena, sizeof(*slot->decision));
    if (slot->decision == NULL) {
        return STATUS_NO_MEMORY;
    }
    const struct lookup_rows no_lookups = {.count = 0};
    const struct decide_input input = {.command = &slot->line->command,
                                       .states = slot->states,
                                       .state_count = slot->refs.count,
                                       .lookups = &no_lookups};
    enum status status = round->batch->type->decide(&input, round->arena, slot->decision);
    if (status != STATUS_OK) {
        return status;
    }
    switch (slot->decision->outcome) {
    case DECISION_ACCEPTED:
        return STATUS_OK;
    case DECISION_REJECTED:
        return refuse(round, slot, slot->decision->code.data, slot->decision->detail);
    case DECISION_INVALID:
        return first_fault(round, slot);
    case DECISION_NOT_FOUND:
        break;
    }
    return refuse(round, slot, "there is no such thing", STR(""));
}

static struct uuid new_id(instant_us now)
{
    unsigned char random[10] = {0};
    (void)!getrandom(random, sizeof(random), 0);
    return uuid_v7(now / 1000, random);
}

static struct str make_meta(const struct round *round)
{
    struct buffer out;
    struct json_writer writer;
    buffer_init(&out, round->arena, META_MAX);
    json_writer_init(&writer, &out);
    json_object_begin(&writer);
    json_name(&writer, STR("actor"));
    json_string(&writer, round->batch->actor);
    json_object_end(&writer);
    return buffer_view(&out);
}

// The item of a line; rows and streams live in the arena.
static enum status make_item(const struct round *round, const struct slot *slot, struct str meta,
                             struct append_item *item)
{
    const struct decision *decision = slot->decision;
    struct append_stream *streams = arena_array(round->arena, slot->refs.count, sizeof(*streams));
    struct append_row *rows = arena_array(round->arena, decision->event_count, sizeof(*rows));
    if (streams == NULL || rows == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t at = 0; at < slot->refs.count; at++) {
        streams[at] = (struct append_stream){slot->refs.items[at].id, slot->refs.items[at].category,
                                             slot->versions[at]};
    }
    for (size_t at = 0; at < decision->event_count; at++) {
        const struct new_event *event = &decision->events[at];
        rows[at] = (struct append_row){event->stream, new_id(slot->line->command.now), RECORD_EVENT,
                                       event->type,   event->schema_version,           event->data,
                                       meta};
    }
    *item = (struct append_item){.tenant = slot->line->command.tenant,
                                 .streams = streams,
                                 .stream_count = slot->refs.count,
                                 .rows = rows,
                                 .row_count = decision->event_count};
    if (!uuid_is_nil(slot->line->inbox)) {
        item->consumer = STR("load");
        item->inbox = &slot->line->inbox;
        item->inbox_count = 1;
    }
    return STATUS_OK;
}

static enum status take_verdict(const struct round *round, struct slot *slot,
                                const struct append_verdict *verdict, struct load_report *report)
{
    switch (verdict->outcome) {
    case APPENDED:
        slot->done = true;
        report->loaded++;
        return STATUS_OK;
    case ALREADY_HANDLED:
        slot->done = true;
        report->already++;
        return STATUS_OK;
    case VERSION_CONFLICT:
    case APPEND_AGAIN:
        return STATUS_OK;
    case DUPLICATE:
    case KEY_REUSED:
    case ITEM_REFUSED:
        break;
    }
    return refuse(round, slot, "the store refuses it", verdict->cause);
}

static enum status append_all(const struct round *round, struct slot **slots,
                              const struct append_item *items, size_t count,
                              struct load_report *report)
{
    struct append_verdict *verdicts = arena_array(round->arena, count, sizeof(*verdicts));
    enum status status = verdicts == NULL ? STATUS_NO_MEMORY
                                          : event_store_append(round->batch->store, items, count,
                                                               round->arena, verdicts);
    enum status outcome = status;
    for (size_t at = 0; at < count && status == STATUS_OK; at++) { // count all that stand
        enum status taken = take_verdict(round, slots[at], &verdicts[at], report);
        outcome = outcome == STATUS_OK ? taken : outcome;
    }
    return outcome;
}

// All lines are decided before any is appended, so that a refusal leaves the whole batch out.
static enum status run_round(const struct round *round, struct load_report *report)
{
    struct append_item *items = arena_array(round->arena, round->count, sizeof(*items));
    struct slot **slots = arena_array(round->arena, round->count, sizeof(*slots));
    struct str meta = make_meta(round);
    size_t count = 0;
    enum status status =
        items == NULL || slots == NULL || meta.len == 0 ? STATUS_NO_MEMORY : load_states(round);
    for (size_t at = 0; at < round->count && status == STATUS_OK; at++) {
        struct slot *slot = &round->slots[at];
        status = slot->done ? STATUS_OK : decide(round, slot);
        if (slot->done || status != STATUS_OK) {
            continue;
        }
        if (slot->decision->event_count == 0 && uuid_is_nil(slot->line->inbox)) {
            slot->done = true;
            report->unchanged++;
            continue;
        }
        slots[count] = slot;
        status = make_item(round, slot, meta, &items[count++]);
    }
    return status != STATUS_OK || count == 0 ? status
                                             : append_all(round, slots, items, count, report);
}

static bool all_done(const struct round *round)
{
    for (size_t at = 0; at < round->count; at++) {
        if (!round->slots[at].done) {
            return false;
        }
    }
    return true;
}

enum status load_batch_run(const struct load_batch *batch, const struct load_line *lines,
                           size_t count, struct arena *arena, struct load_report *report,
                           struct str *cause)
{
    struct round round = {batch, arena, arena_array(arena, count, sizeof(*round.slots)), count,
                          cause};
    if (round.slots == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t at = 0; at < count; at++) {
        round.slots[at].line = &lines[at];
    }
    for (int rounds = 0; rounds < ROUNDS_MAX; rounds++) {
        enum status status = run_round(&round, report);
        if (status != STATUS_OK || all_done(&round)) {
            return status;
        }
    }
    *cause = STR("others keep writing to the same streams; try again later");
    return STATUS_INVALID;
}
