// SPDX-License-Identifier: Apache-2.0
// Reads foreign CloudEvents messages strictly; the writing half is cloud_event.c.
#include <string.h>

#include "base/json.h"
#include "base/json_view.h"
#include "infrastructure/codec/cloud_event.h"

enum { SEQUENCE_DIGITS = 10, KIND_COUNT = RECORD_REPLY + 1 };

// One attribute of a foreign body, as it was found; data NULL: absent.
enum attribute {
    ATTRIBUTE_SPECVERSION,
    ATTRIBUTE_ID,
    ATTRIBUTE_SOURCE,
    ATTRIBUTE_TYPE,
    ATTRIBUTE_SUBJECT,
    ATTRIBUTE_TIME,
    ATTRIBUTE_DATACONTENTTYPE,
    ATTRIBUTE_SEQUENCE,
    ATTRIBUTE_TENANT,
    ATTRIBUTE_CATEGORY,
    ATTRIBUTE_KIND,
    ATTRIBUTE_CORRELATIONID,
    ATTRIBUTE_CAUSATIONID,
    ATTRIBUTE_TRACEPARENT,
    ATTRIBUTE_ROUTE,
    ATTRIBUTE_POSITION,
    ATTRIBUTE_SCHEMAVERSION, // no string, from here on
    ATTRIBUTE_DATA,
    ATTRIBUTE_COUNT
};

static const struct attribute_rule {
    struct str name;
    bool required;
    size_t length_max; // of a string
} attribute_rules[ATTRIBUTE_COUNT] = {
    [ATTRIBUTE_SPECVERSION] = {{"specversion", 11}, true, 8},
    [ATTRIBUTE_ID] = {{"id", 2}, true, UUID_TEXT_LEN},
    [ATTRIBUTE_SOURCE] = {{"source", 6}, true, 512},
    [ATTRIBUTE_TYPE] = {{"type", 4}, true, CLOUD_EVENT_NAME_MAX},
    [ATTRIBUTE_SUBJECT] = {{"subject", 7}, true, UUID_TEXT_LEN},
    [ATTRIBUTE_TIME] = {{"time", 4}, true, 64},
    [ATTRIBUTE_DATACONTENTTYPE] = {{"datacontenttype", 15}, false, 64},
    [ATTRIBUTE_SEQUENCE] = {{"sequence", 8}, true, SEQUENCE_DIGITS},
    [ATTRIBUTE_TENANT] = {{"tenant", 6}, true, CLOUD_EVENT_NAME_MAX},
    [ATTRIBUTE_CATEGORY] = {{"category", 8}, true, CLOUD_EVENT_NAME_MAX},
    [ATTRIBUTE_KIND] = {{"kind", 4}, true, 16},
    [ATTRIBUTE_CORRELATIONID] = {{"correlationid", 13}, false, CLOUD_EVENT_NAME_MAX},
    [ATTRIBUTE_CAUSATIONID] = {{"causationid", 11}, false, CLOUD_EVENT_NAME_MAX},
    [ATTRIBUTE_TRACEPARENT] = {{"traceparent", 11}, false, CLOUD_EVENT_NAME_MAX},
    [ATTRIBUTE_ROUTE] = {{"route", 5}, false, MESSAGE_ROUTING_KEY_MAX},
    [ATTRIBUTE_POSITION] = {{"position", 8}, false, 64},
    [ATTRIBUTE_SCHEMAVERSION] = {{"schemaversion", 13}, true, 0},
    [ATTRIBUTE_DATA] = {{"data", 4}, true, 0},
};

struct decoder {
    struct arena *arena;
    struct str *cause;
    struct str raw[ATTRIBUTE_COUNT];
    struct str text[ATTRIBUTE_COUNT]; // of the strings; empty when absent
};

static enum status malformed(struct decoder *decoder, struct str name, const char *fault)
{
    *decoder->cause = arena_printf(decoder->arena, "%.*s: %s", STR_FMT(name), fault);
    return decoder->cause->data == NULL ? STATUS_NO_MEMORY : STATUS_MALFORMED;
}

static enum status malformed_attribute(struct decoder *decoder, enum attribute which,
                                       const char *fault)
{
    return malformed(decoder, attribute_rules[which].name, fault);
}

static void keep_member(struct decoder *decoder, struct str name, struct str value)
{
    for (size_t i = 0; i < ATTRIBUTE_COUNT; i++) {
        if (str_eq(name, attribute_rules[i].name)) {
            decoder->raw[i] = value;
            return;
        }
    }
}

static enum status find_attributes(struct decoder *decoder, struct str body)
{
    size_t offset = 0;
    enum json_fault fault = json_check(body, &offset);
    if (fault != JSON_OK) {
        *decoder->cause =
            arena_printf(decoder->arena, "body: %s, at byte %zu", json_fault_text(fault), offset);
        return decoder->cause->data == NULL ? STATUS_NO_MEMORY : STATUS_MALFORMED;
    }
    struct json_walk walk;
    struct str name;
    struct str value;
    if (json_view_shape(body) != JSON_SHAPE_OBJECT || !json_view_begin(body, &walk)) {
        return malformed(decoder, STR("body"), "is no JSON object");
    }
    while (json_view_next(&walk, &name, &value)) {
        keep_member(decoder, name, value);
    }
    return STATUS_OK;
}

static enum status read_string(struct decoder *decoder, enum attribute which)
{
    struct str value = decoder->raw[which];
    if (json_view_shape(value) != JSON_SHAPE_STRING) {
        return malformed_attribute(decoder, which, "is no string");
    }
    if (!json_view_string(value, decoder->arena, &decoder->text[which])) {
        return STATUS_NO_MEMORY;
    }
    if (decoder->text[which].len == 0) {
        return malformed_attribute(decoder, which, "is empty");
    }
    if (decoder->text[which].len > attribute_rules[which].length_max) {
        return malformed_attribute(decoder, which, "is too long");
    }
    return STATUS_OK;
}

static enum status read_attributes(struct decoder *decoder)
{
    for (size_t i = 0; i < ATTRIBUTE_COUNT; i++) {
        if (decoder->raw[i].data == NULL) {
            if (attribute_rules[i].required) {
                return malformed_attribute(decoder, (enum attribute)i, "is missing");
            }
            continue;
        }
        enum status status =
            i < ATTRIBUTE_SCHEMAVERSION ? read_string(decoder, (enum attribute)i) : STATUS_OK;
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum status check_fixed(struct decoder *decoder)
{
    struct str type = decoder->text[ATTRIBUTE_DATACONTENTTYPE];
    if (!str_eq(decoder->text[ATTRIBUTE_SPECVERSION], STR("1.0"))) {
        return malformed_attribute(decoder, ATTRIBUTE_SPECVERSION, "is not 1.0");
    }
    if (type.len > 0 && !str_eq(type, STR("application/json"))) {
        return malformed_attribute(decoder, ATTRIBUTE_DATACONTENTTYPE, "is not application/json");
    }
    if (json_view_shape(decoder->raw[ATTRIBUTE_DATA]) != JSON_SHAPE_OBJECT) {
        return malformed_attribute(decoder, ATTRIBUTE_DATA, "is no object");
    }
    return STATUS_OK;
}

static enum status read_numbers(struct decoder *decoder, struct incoming *incoming)
{
    int64_t version = 0;
    int64_t schema = 0;
    struct str digits = decoder->text[ATTRIBUTE_SEQUENCE];
    if (digits.data[0] == '-' || !str_to_int64(digits, &version) || version < 1 ||
        version > INT32_MAX) {
        return malformed_attribute(decoder, ATTRIBUTE_SEQUENCE, "is no stream version");
    }
    if (!json_view_int(decoder->raw[ATTRIBUTE_SCHEMAVERSION], &schema) || schema < 0 ||
        schema > INT16_MAX) {
        return malformed_attribute(decoder, ATTRIBUTE_SCHEMAVERSION, "is no small integer");
    }
    incoming->version = (int32_t)version;
    incoming->schema_version = (int16_t)schema;
    return STATUS_OK;
}

// "<epoch>.<tx>.<position>", digits only.
static bool parse_cursor(struct str text, struct log_cursor *cursor)
{
    struct str epoch;
    struct str tx;
    int64_t numbers[3];
    if (memchr(text.data, '-', text.len) != NULL || !str_split(text, '.', &epoch, &text) ||
        !str_split(text, '.', &tx, &text) || !str_to_int64(epoch, &numbers[0]) ||
        !str_to_int64(tx, &numbers[1]) || !str_to_int64(text, &numbers[2]) ||
        numbers[0] > INT32_MAX) {
        return false;
    }
    *cursor = (struct log_cursor){(int32_t)numbers[0], (uint64_t)numbers[1], numbers[2]};
    return true;
}

static enum status read_place(struct decoder *decoder, struct incoming *incoming)
{
    struct str position = decoder->text[ATTRIBUTE_POSITION];
    if (!instant_parse(decoder->text[ATTRIBUTE_TIME], &incoming->recorded_at)) {
        return malformed_attribute(decoder, ATTRIBUTE_TIME,
                                   "is not of the form 2026-11-24T06:52:25.123Z");
    }
    if (position.len > 0 && !parse_cursor(position, &incoming->at)) {
        return malformed_attribute(decoder, ATTRIBUTE_POSITION,
                                   "is not of the form <epoch>.<tx>.<position>");
    }
    return STATUS_OK;
}

static enum status read_ids(struct decoder *decoder, const struct message *message,
                            struct incoming *incoming)
{
    if (!uuid_parse(decoder->text[ATTRIBUTE_ID], false, &incoming->id)) {
        return malformed_attribute(decoder, ATTRIBUTE_ID, "is no UUID in lower case");
    }
    if (!uuid_parse(decoder->text[ATTRIBUTE_SUBJECT], false, &incoming->stream)) {
        return malformed_attribute(decoder, ATTRIBUTE_SUBJECT, "is no UUID in lower case");
    }
    if (!uuid_eq(message->id, incoming->id)) {
        return malformed(decoder, STR("message_id"), "is missing or is not the event's id");
    }
    return STATUS_OK;
}

static bool from_foreign_exchange(struct str exchange, enum record_kind kind)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (str_eq(exchange, cloud_event_exchange((enum record_kind)i))) {
            return i != (size_t)kind;
        }
    }
    return false; // a retry or a redrive: the exchange says nothing
}

// A lane's number stands before the command that goes by it.
static struct str without_lane(struct str key)
{
    size_t digits = 0;
    while (digits < key.len && key.data[digits] >= '0' && key.data[digits] <= '9') {
        digits++;
    }
    bool lane = digits > 0 && digits < key.len && key.data[digits] == '.';
    return lane ? (struct str){key.data + digits + 1, key.len - digits - 1} : key;
}

static enum status read_kind(struct decoder *decoder, const struct message *message,
                             struct incoming *incoming)
{
    size_t kind = 0;
    while (kind < KIND_COUNT &&
           !str_eq(decoder->text[ATTRIBUTE_KIND], cloud_event_kind((enum record_kind)kind))) {
        kind++;
    }
    if (kind == KIND_COUNT) {
        return malformed_attribute(decoder, ATTRIBUTE_KIND, "is not event, command or reply");
    }
    incoming->kind = (enum record_kind)kind;
    if (from_foreign_exchange(message->exchange, incoming->kind)) {
        return malformed_attribute(decoder, ATTRIBUTE_KIND, "is not what its exchange carries");
    }
    struct str route = decoder->text[ATTRIBUTE_ROUTE];
    if (incoming->kind != RECORD_COMMAND) {
        return STATUS_OK;
    }
    if (route.len == 0) {
        return malformed_attribute(decoder, ATTRIBUTE_ROUTE, "is missing on a command");
    }
    if (str_eq(message->exchange, cloud_event_exchange(RECORD_COMMAND)) &&
        !str_eq(without_lane(message->routing_key), route)) {
        return malformed_attribute(decoder, ATTRIBUTE_ROUTE, "is not the routing key");
    }
    incoming->command = route;
    return STATUS_OK;
}

static bool is_cloud_event(struct str content_type)
{
    struct str media;
    struct str parameters;
    str_split(content_type, ';', &media, &parameters);
    return str_eq(media, CLOUD_EVENT_CONTENT_TYPE);
}

static enum status check_envelope(struct decoder *decoder, const struct message *message)
{
    if (!is_cloud_event(message->content_type)) {
        return malformed(decoder, STR("content_type"), "is not application/cloudevents+json");
    }
    if (message->body.len > MESSAGE_BODY_MAX) {
        return malformed(decoder, STR("body"), "is too long");
    }
    return STATUS_OK;
}

static enum status decode(struct decoder *decoder, const struct message *message,
                          struct incoming *incoming)
{
    enum status status = check_envelope(decoder, message);
    if (status == STATUS_OK) {
        status = find_attributes(decoder, message->body);
    }
    if (status == STATUS_OK) {
        status = read_attributes(decoder);
    }
    if (status == STATUS_OK) {
        status = check_fixed(decoder);
    }
    if (status == STATUS_OK) {
        status = read_numbers(decoder, incoming);
    }
    if (status == STATUS_OK) {
        status = read_place(decoder, incoming);
    }
    if (status == STATUS_OK) {
        status = read_ids(decoder, message, incoming);
    }
    return status == STATUS_OK ? read_kind(decoder, message, incoming) : status;
}

enum status cloud_event_decode(const struct message *message, struct arena *arena,
                               struct incoming *incoming, struct str *cause)
{
    struct decoder decoder = {.arena = arena, .cause = cause};
    struct incoming read = {0};
    enum status status = decode(&decoder, message, &read);
    if (status != STATUS_OK) {
        return status;
    }
    read.tenant = decoder.text[ATTRIBUTE_TENANT];
    read.category = decoder.text[ATTRIBUTE_CATEGORY];
    read.type = decoder.text[ATTRIBUTE_TYPE];
    read.data = decoder.raw[ATTRIBUTE_DATA];
    read.correlation_id = decoder.text[ATTRIBUTE_CORRELATIONID];
    read.causation_id = decoder.text[ATTRIBUTE_CAUSATIONID];
    read.traceparent = decoder.text[ATTRIBUTE_TRACEPARENT];
    *incoming = read;
    return STATUS_OK;
}
