// SPDX-License-Identifier: Apache-2.0
// Fills a decision: its outcome and the events that it wants recorded.
#include "domain/decision.h"

static void begin(struct decision *decision, enum decision_outcome outcome)
{
    decision->outcome = outcome;
    decision->code = STR("");
    decision->detail = STR("");
    decision->faults.count = 0;
    decision->faults.total = 0;
    decision->event_count = 0;
}

void decision_accept(struct decision *decision)
{
    begin(decision, DECISION_ACCEPTED);
}

void decision_reject(struct decision *decision, struct str code, struct str detail)
{
    begin(decision, DECISION_REJECTED);
    decision->code = code;
    decision->detail = detail;
}

void decision_not_found(struct decision *decision)
{
    begin(decision, DECISION_NOT_FOUND);
    decision->code = STR("not_found");
    decision->detail = STR("there is no such thing");
}

void decision_invalid(struct decision *decision)
{
    begin(decision, DECISION_INVALID);
}

void event_draft_begin(struct event_draft *draft, struct arena *arena)
{
    buffer_init(&draft->data, arena, EVENT_DATA_MAX);
    json_writer_init(&draft->writer, &draft->data);
    json_object_begin(&draft->writer);
}

void event_draft_text(struct event_draft *draft, struct str name, struct str value)
{
    json_name(&draft->writer, name);
    json_string(&draft->writer, value);
}

void event_draft_int(struct event_draft *draft, struct str name, int64_t value)
{
    json_name(&draft->writer, name);
    json_int(&draft->writer, value);
}

void event_draft_instant(struct event_draft *draft, struct str name, instant_us at)
{
    json_name(&draft->writer, name);
    json_instant(&draft->writer, at);
}

enum status decision_record(struct decision *decision, size_t stream, struct str type,
                            struct event_draft *draft)
{
    json_object_end(&draft->writer);
    if (draft->data.status != STATUS_OK) {
        return draft->data.status;
    }
    if (decision->event_count == COMMAND_EVENTS_MAX) {
        return STATUS_FULL;
    }
    decision->events[decision->event_count++] = (struct new_event){
        .stream = stream, .type = type, .schema_version = 1, .data = buffer_view(&draft->data)};
    return STATUS_OK;
}

void effect_draft_begin(struct event_draft *draft, struct str party, struct uuid stream,
                        struct arena *arena)
{
    event_draft_begin(draft, arena);
    json_name(&draft->writer, party);
    json_uuid(&draft->writer, stream.bytes);
}

bool effect_draft_end(struct event_draft *draft, struct str operation, struct uuid stream,
                      struct str what, struct arena *arena, struct effect_request *request)
{
    char id[UUID_TEXT_LEN];
    uuid_format(stream, id);
    struct str key = arena_printf(arena, "%.*s:%.*s", UUID_TEXT_LEN, id, STR_FMT(what));
    json_object_end(&draft->writer);
    if (draft->data.status != STATUS_OK || key.data == NULL) {
        return false;
    }
    *request = (struct effect_request){operation, key, buffer_view(&draft->data)};
    return true;
}
