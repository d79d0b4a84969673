// SPDX-License-Identifier: Apache-2.0
// A command's row as a daemon reads it, and the reply row that answers it (ARCHITECTURE.md, "The
// log's rows").
#include "application/handler/command_message.h"

#include "base/buffer.h"
#include "base/json.h"
#include "base/json_view.h"

enum { REPLY_DATA_MAX = 16 * 1024, ROW_META_MAX = 8 * 1024, NAME_MAX_BYTES = 128 };

struct reading {
    struct str data;
    struct arena *arena;
    struct str *cause;
};

static bool fail(const struct reading *reading, const char *member, const char *wanted)
{
    *reading->cause = arena_printf(reading->arena, "data.%s: %s", member, wanted);
    return false;
}

static bool read_text(const struct reading *reading, const char *member, struct str *text)
{
    struct str value = json_view_member(reading->data, str_from(member));
    struct str read;
    if (!json_view_string(value, reading->arena, &read) || read.len == 0 ||
        read.len > NAME_MAX_BYTES) {
        return fail(reading, member, "should be a text of 1 to 128 bytes");
    }
    *text = read;
    return true;
}

static bool read_uuid(const struct reading *reading, const char *member, struct uuid *id)
{
    struct str text;
    if (!json_view_string(json_view_member(reading->data, str_from(member)), reading->arena,
                          &text) ||
        !uuid_parse(text, false, id)) {
        return fail(reading, member, "should be a UUID in lower case");
    }
    return true;
}

static bool read_direction(const struct reading *reading, struct str *direction)
{
    return read_text(reading, "direction", direction) &&
           (str_eq(*direction, STR("forward")) || str_eq(*direction, STR("compensate")) ||
            fail(reading, "direction", "should be forward or compensate"));
}

static bool read_payload(const struct reading *reading, struct str *payload)
{
    *payload = json_view_member(reading->data, STR("payload"));
    return json_view_shape(*payload) == JSON_SHAPE_OBJECT ||
           fail(reading, "payload", "should be an object");
}

enum status command_message_read(const struct incoming *message, struct arena *arena,
                                 struct command_message *command, struct str *cause)
{
    struct command_message read;
    const struct reading reading = {.data = message->data, .arena = arena, .cause = cause};
    if (message->kind != RECORD_COMMAND) {
        *cause = STR("kind: only commands are handled here");
        return STATUS_MALFORMED;
    }
    bool complete =
        read_uuid(&reading, "saga_id", &read.saga_id) && read_text(&reading, "saga", &read.saga) &&
        read_text(&reading, "step", &read.step) && read_direction(&reading, &read.direction) &&
        read_uuid(&reading, "stream_id", &read.target) &&
        read_text(&reading, "command", &read.command) && read_payload(&reading, &read.payload);
    if (complete && message->command.len > 0 && !str_eq(message->command, read.command)) {
        complete = fail(&reading, "command", "differs from the one that it was sent as");
    }
    if (!complete) {
        return STATUS_MALFORMED;
    }
    *command = read;
    return STATUS_OK;
}

static void add_text(struct json_writer *writer, const char *name, struct str text)
{
    json_name(writer, str_from(name));
    json_string(writer, text);
}

static struct str written(const struct buffer *buffer)
{
    return buffer->status == STATUS_OK ? buffer_view(buffer) : (struct str){NULL, 0};
}

struct str command_reply_data(const struct command_message *command, struct uuid command_id,
                              const struct command_reply *reply, struct arena *arena)
{
    struct buffer buffer;
    struct json_writer writer;
    buffer_init(&buffer, arena, REPLY_DATA_MAX);
    json_writer_init(&writer, &buffer);
    json_object_begin(&writer);
    json_name(&writer, STR("command_id"));
    json_uuid(&writer, command_id.bytes);
    json_name(&writer, STR("saga_id"));
    json_uuid(&writer, command->saga_id.bytes);
    add_text(&writer, "saga", command->saga);
    add_text(&writer, "step", command->step);
    add_text(&writer, "direction", command->direction);
    add_text(&writer, "outcome", reply->ok ? STR("ok") : STR("rejected"));
    if (!reply->ok) {
        add_text(&writer, "code", reply->code);
        add_text(&writer, "detail", reply->detail);
    }
    json_object_end(&writer);
    return written(&buffer);
}

static void add_known(struct json_writer *writer, const char *name, struct str text)
{
    if (text.len > 0) {
        add_text(writer, name, text);
    }
}

struct str command_row_meta(const struct incoming *message, struct str actor, struct str route,
                            struct arena *arena)
{
    struct buffer buffer;
    struct json_writer writer;
    buffer_init(&buffer, arena, ROW_META_MAX);
    json_writer_init(&writer, &buffer);
    json_object_begin(&writer);
    add_known(&writer, "correlation_id", message->correlation_id);
    json_name(&writer, STR("causation_id"));
    json_uuid(&writer, message->id.bytes);
    add_known(&writer, "actor", actor);
    add_known(&writer, "traceparent", message->traceparent);
    add_known(&writer, "route", route);
    json_object_end(&writer);
    return written(&buffer);
}
