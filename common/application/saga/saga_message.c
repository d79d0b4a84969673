// SPDX-License-Identifier: Apache-2.0
// Reads what comes in to a saga: whose instance it is for, and the cue it gives.
#include "application/saga/saga_message.h"

#include "base/json_view.h"

// Reads the members of a reply or a timer; the first that is wrong is the cause.
struct reading {
    struct str data;
    struct arena *arena;
    struct str *cause;
    enum status status;
};

static void wrong(struct reading *reading, const char *member, const char *wants)
{
    if (reading->status == STATUS_OK) {
        *reading->cause = arena_printf(reading->arena, "data.%s wants %s", member, wants);
        reading->status = STATUS_MALFORMED;
    }
}

static struct str read_text(struct reading *reading, const char *member)
{
    struct str text;
    struct str value = json_view_member(reading->data, str_from(member));
    if (!json_view_string(value, reading->arena, &text)) {
        wrong(reading, member, "a text");
        return STR("");
    }
    return text;
}

static enum saga_direction read_direction(struct reading *reading)
{
    enum saga_direction direction = SAGA_FORWARD;
    if (!saga_direction_read(read_text(reading, "direction"), &direction)) {
        wrong(reading, "direction", "forward or compensate");
    }
    return direction;
}

static int32_t read_count(struct reading *reading, const char *member, bool optional)
{
    int64_t number = 0;
    struct str value = json_view_member(reading->data, str_from(member));
    bool absent = value.data == NULL && optional;
    if (!absent && (!json_view_int(value, &number) || number < 0 || number > INT32_MAX)) {
        wrong(reading, member, "a whole number");
    }
    return (int32_t)number;
}

// Cut where a character begins.
static struct str cut(struct str text, size_t len_max)
{
    if (text.len <= len_max) {
        return text;
    }
    while (len_max > 0 && ((unsigned char)text.data[len_max] & 0xC0) == 0x80) {
        len_max--;
    }
    return (struct str){text.data, len_max};
}

// A code is for machines and stays within a-z and _ whoever sent it, so that the last word of a
// saga is never refused for it.
static struct str clean_code(struct str code, struct arena *arena)
{
    char *clean = arena_alloc(arena, SAGA_CODE_MAX);
    struct str short_code = cut(code.len == 0 ? STR("refused") : code, SAGA_CODE_MAX);
    if (clean == NULL) {
        return STR("refused");
    }
    for (size_t i = 0; i < short_code.len; i++) {
        char byte = short_code.data[i];
        char lower = byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
        clean[i] = lower >= 'a' && lower <= 'z' ? lower : '_';
    }
    return (struct str){clean, short_code.len};
}

static enum status read_reply(const struct incoming *incoming, struct arena *arena,
                              struct saga_message *message, struct str *cause)
{
    struct reading reading = {incoming->data, arena, cause, STATUS_OK};
    struct saga_input *input = &message->input;
    message->count = 1;
    if (!uuid_parse(read_text(&reading, "saga_id"), true, &message->sagas[0])) {
        wrong(&reading, "saga_id", "a UUID");
    }
    input->at.step = read_text(&reading, "step");
    input->at.direction = read_direction(&reading);
    struct str outcome = read_text(&reading, "outcome");
    if (str_eq(outcome, STR("ok"))) {
        input->cue = SAGA_ON_OK;
    } else if (str_eq(outcome, STR("rejected"))) {
        input->cue = SAGA_ON_REFUSED;
        input->code = clean_code(read_text(&reading, "code"), arena);
        input->detail = cut(read_text(&reading, "detail"), SAGA_DETAIL_MAX);
    } else {
        wrong(&reading, "outcome", "ok or rejected");
    }
    return reading.status;
}

static enum status read_timer(const struct incoming *incoming, struct arena *arena,
                              struct saga_message *message, struct str *cause)
{
    struct reading reading = {incoming->data, arena, cause, STATUS_OK};
    struct saga_at *at = &message->input.at;
    message->count = 1;
    message->sagas[0] = incoming->stream;
    message->input.cue = SAGA_ON_TIMER;
    at->step = read_text(&reading, "step");
    at->direction = read_direction(&reading);
    at->attempt = read_count(&reading, "attempt", false);
    at->retry = read_count(&reading, "retry", true);
    message->input.spent = str_eq(incoming->type, SAGA_TIMER_SPENT);
    return reading.status;
}

static enum status read_operator(const struct incoming *incoming, struct arena *arena,
                                 struct saga_message *message, struct str *cause)
{
    message->count = 1;
    message->sagas[0] = incoming->stream;
    if (str_eq(incoming->type, STR("retry"))) {
        message->input.cue = SAGA_ON_RETRY;
    } else if (str_eq(incoming->type, STR("abort"))) {
        message->input.cue = SAGA_ON_ABORT;
    } else {
        *cause = arena_printf(arena, "a saga knows no command %.*s: retry or abort",
                              STR_FMT(incoming->type));
        return STATUS_MALFORMED;
    }
    return STATUS_OK;
}

static bool names_already(const struct saga_message *message, struct str name)
{
    for (size_t i = 0; i < message->count; i++) {
        if (str_eq(message->names[i], name)) {
            return true;
        }
    }
    return false;
}

static void read_event(const struct saga_definitions *definitions, const struct incoming *incoming,
                       struct saga_message *message)
{
    message->by_event = true;
    for (size_t i = 0; i < definitions->count; i++) {
        const struct saga_definition *definition = &definitions->items[i];
        bool wanted = saga_definition_starts_on(definition, incoming->category, incoming->type) ||
                      saga_definition_cancelled_by(definition, incoming->category, incoming->type);
        if (wanted && !names_already(message, definition->name) &&
            message->count < SAGA_NAMES_PER_EVENT_MAX) {
            message->names[message->count] = definition->name;
            message->sagas[message->count++] = saga_stream(definition, incoming->stream);
        }
    }
}

enum status saga_message_read(const struct saga_definitions *definitions,
                              const struct incoming *incoming, struct arena *arena,
                              struct saga_message *message, struct str *cause)
{
    *message = (struct saga_message){.input = {.code = STR(""), .detail = STR("")}};
    if (incoming->is_timer) {
        return read_timer(incoming, arena, message, cause);
    }
    switch (incoming->kind) {
    case RECORD_EVENT:
        read_event(definitions, incoming, message);
        return STATUS_OK;
    case RECORD_REPLY:
        return read_reply(incoming, arena, message, cause);
    case RECORD_COMMAND:
        return read_operator(incoming, arena, message, cause);
    }
    *cause = STR("kind is none that a saga knows");
    return STATUS_MALFORMED;
}
