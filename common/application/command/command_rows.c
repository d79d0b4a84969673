// SPDX-License-Identifier: Apache-2.0
// The rows of the log that a command's decision becomes: ids, and who asked under which trace.
// Pure; part of command_flow.
#include "application/command/command_rows.h"

#include "base/json.h"

enum { META_BYTES_MAX = 4096, EVENT_IDS = 4 };

static enum status write_meta(const struct command_request *request, struct arena *arena,
                              struct str *meta)
{
    struct buffer out;
    struct json_writer json;
    buffer_init(&out, arena, META_BYTES_MAX);
    json_writer_init(&json, &out);
    json_object_begin(&json);
    const struct {
        struct str name;
        struct str value;
    } members[] = {{STR("correlation_id"), request->correlation_id},
                   {STR("actor"), request->subject},
                   {STR("traceparent"), request->traceparent}};
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        if (members[i].value.len > 0) {
            json_name(&json, members[i].name);
            json_string(&json, members[i].value);
        }
    }
    json_object_end(&json);
    *meta = buffer_view(&out);
    return out.status;
}

static struct uuid event_id(const struct command_request *request, size_t index)
{
    if (index < EVENT_IDS) {
        return request->event_ids[index];
    }
    char role[] = {
        'e', 'v', 'e', 'n', 't', ':', (char)('0' + index / 10), (char)('0' + index % 10)};
    return uuid_derive(request->event_ids[EVENT_IDS - 1], (struct str){role, sizeof(role)});
}

enum status command_rows_make(const struct command_request *request,
                              const struct decision *decision, struct arena *arena,
                              struct append_row **rows)
{
    struct str meta;
    enum status status = write_meta(request, arena, &meta);
    if (status != STATUS_OK) {
        return status;
    }
    struct append_row *made = arena_array(arena, decision->event_count, sizeof(*made));
    if (made == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < decision->event_count; i++) {
        const struct new_event *event = &decision->events[i];
        made[i] = (struct append_row){.stream = event->stream,
                                      .id = event_id(request, i),
                                      .kind = RECORD_EVENT,
                                      .type = event->type,
                                      .schema_version = event->schema_version,
                                      .data = event->data,
                                      .meta = meta};
    }
    *rows = made;
    return STATUS_OK;
}
