// SPDX-License-Identifier: Apache-2.0
// A row of the log as a CloudEvents 1.0 message (structured JSON) and back, without I/O.
#include "infrastructure/codec/cloud_event.h"

#include <string.h>

#include "base/json_view.h"

enum {
    META_MAX = 64 * 1024,
    FIXED_PART_MAX = 768,
    SEQUENCE_DIGITS = 10,
    ACTOR_MAX = 255, // as a token's subject
};

static const struct str exchanges[] = {
    [RECORD_EVENT] = {"comanda.events", sizeof("comanda.events") - 1},
    [RECORD_COMMAND] = {"comanda.commands", sizeof("comanda.commands") - 1},
    [RECORD_REPLY] = {"comanda.replies", sizeof("comanda.replies") - 1},
};

static const struct str kinds[] = {
    [RECORD_EVENT] = {"event", sizeof("event") - 1},
    [RECORD_COMMAND] = {"command", sizeof("command") - 1},
    [RECORD_REPLY] = {"reply", sizeof("reply") - 1},
};

struct str cloud_event_exchange(enum record_kind kind)
{
    return exchanges[kind];
}

struct str cloud_event_kind(enum record_kind kind)
{
    return kinds[kind];
}

// What meta tells, each value as written there, with its quotes; empty: left out.
struct meta_values {
    struct str correlation_id;
    struct str causation_id;
    struct str actor;
    struct str traceparent;
    struct str route;
    uint16_t lane; // 0: none
};

// Nobody's reader takes longer ones, so they are no reason to refuse the row. An escape takes up to
// six bytes of what is written and stands for one at least.
static void keep_short(struct str *kept, struct str quoted, size_t length_max, struct arena *arena)
{
    struct str text;
    bool fits = quoted.len - 2 <= length_max ||
                (quoted.len - 2 <= 6 * length_max && json_view_string(quoted, arena, &text) &&
                 text.len <= length_max);
    if (fits) {
        *kept = quoted;
    }
}

// 1 to 65535 in plain digits; anything else is no lane.
static uint16_t read_lane(struct str value)
{
    uint32_t number = 0;
    for (size_t at = 0; at < value.len; at++) {
        bool digit = value.data[at] >= '0' && value.data[at] <= '9';
        number = digit ? number * 10 + (uint32_t)(value.data[at] - '0') : UINT16_MAX + 1u;
        if (number > UINT16_MAX) {
            return 0;
        }
    }
    return (uint16_t)number;
}

static void read_meta_member(struct meta_values *values, struct str name, struct str value,
                             struct arena *arena)
{
    if (str_eq(name, STR("lane"))) {
        values->lane = read_lane(value);
    }
    if (json_view_shape(value) != JSON_SHAPE_STRING || value.len <= 2) {
        return;
    }
    if (str_eq(name, STR("correlation_id"))) {
        keep_short(&values->correlation_id, value, CLOUD_EVENT_NAME_MAX, arena);
    } else if (str_eq(name, STR("causation_id"))) {
        keep_short(&values->causation_id, value, CLOUD_EVENT_NAME_MAX, arena);
    } else if (str_eq(name, STR("actor"))) {
        keep_short(&values->actor, value, ACTOR_MAX, arena);
    } else if (str_eq(name, STR("traceparent"))) {
        keep_short(&values->traceparent, value, CLOUD_EVENT_NAME_MAX, arena);
    } else if (str_eq(name, STR("route"))) {
        keep_short(&values->route, value, MESSAGE_ROUTING_KEY_MAX, arena);
    }
}

// Meta that large is not ours.
static struct meta_values read_meta(struct str meta, struct arena *arena)
{
    struct meta_values values = {0};
    struct json_walk walk;
    struct str name;
    struct str value;
    if (meta.len <= META_MAX && json_view_begin(meta, &walk)) {
        while (json_view_next(&walk, &name, &value)) {
            read_meta_member(&values, name, value, arena);
        }
    }
    return values;
}

// Writes without asking for room: encode has made enough for the worst case.
static char *put(char *at, struct str text)
{
    memcpy(at, text.data, text.len);
    return at + text.len;
}

static bool is_plain(char byte)
{
    return (unsigned char)byte >= 0x20 && byte != '"' && byte != '\\';
}

static char *put_escaped(char *at, struct str text)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (is_plain(text.data[i])) {
            *at++ = text.data[i];
        } else {
            at = put(at, STR("\\u00"));
            *at++ = hex[byte >> 4];
            *at++ = hex[byte & 15];
        }
    }
    return at;
}

static char *put_uuid(char *at, struct uuid id)
{
    uuid_format(id, at);
    return at + UUID_TEXT_LEN;
}

static char *put_uint(char *at, uint64_t number, size_t digits_min)
{
    char digits[20];
    size_t from = sizeof(digits);
    do {
        digits[--from] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0 || sizeof(digits) - from < digits_min);
    return put(at, (struct str){digits + from, sizeof(digits) - from});
}

static char *put_cursor(char *at, struct log_cursor cursor)
{
    at = put_uint(at, (uint32_t)cursor.epoch, 1);
    *at++ = '.';
    at = put_uint(at, cursor.tx, 1);
    *at++ = '.';
    return put_uint(at, (uint64_t)cursor.position, 1);
}

static char *put_optional(char *at, struct str name, struct str quoted)
{
    return quoted.len == 0 ? at : put(put(at, name), quoted);
}

static char *put_attributes(char *at, const struct recorded_event *row)
{
    at = put(at, STR("{\"specversion\":\"1.0\",\"id\":\""));
    at = put_uuid(at, row->id);
    at = put(at, STR("\",\"source\":\"/comanda/"));
    at = put_escaped(at, row->tenant);
    *at++ = '/';
    at = put_escaped(at, row->category);
    at = put(at, STR("\",\"type\":\""));
    at = put_escaped(at, row->type);
    at = put(at, STR("\",\"subject\":\""));
    at = put_uuid(at, row->stream);
    at = put(at, STR("\",\"time\":\""));
    instant_format(row->recorded_at, at);
    at += INSTANT_TEXT_LEN;
    at = put(at, STR("\",\"datacontenttype\":\"application/json\",\"sequence\":\""));
    return put_uint(at, (uint32_t)row->version, SEQUENCE_DIGITS);
}

static char *put_extensions(char *at, const struct recorded_event *row,
                            const struct meta_values *meta)
{
    at = put(at, STR("\",\"tenant\":\""));
    at = put_escaped(at, row->tenant);
    at = put(at, STR("\",\"category\":\""));
    at = put_escaped(at, row->category);
    at = put(at, STR("\",\"kind\":\""));
    at = put(at, kinds[row->kind]);
    at = put(at, STR("\",\"schemaversion\":"));
    at = put_uint(at, (uint16_t)row->schema_version, 1);
    at = put_cursor(put(at, STR(",\"position\":\"")), row->at);
    *at++ = '"';
    at = put_optional(at, STR(",\"correlationid\":"), meta->correlation_id);
    at = put_optional(at, STR(",\"causationid\":"), meta->causation_id);
    at = put_optional(at, STR(",\"traceparent\":"), meta->traceparent);
    at = put_optional(at, STR(",\"actor\":"), meta->actor);
    return put_optional(at, STR(",\"route\":"), meta->route);
}

// "\u00xx" is the longest that a byte of a name becomes.
static size_t body_size_max(const struct recorded_event *row)
{
    size_t names = 2 * row->tenant.len + 2 * row->category.len + row->type.len;
    return FIXED_PART_MAX + 6 * names + row->meta.len + row->data.len;
}

// A row too large for a message is sent as a reference to itself: it stops nobody, and its readers
// can tell what they miss (the CloudEvents extension `dataref`).
// used: bytes of the body so far.
static char *put_data(char *at, const struct recorded_event *row, size_t used)
{
    size_t whole = used + sizeof(",\"data\":}") - 1 + row->data.len;
    if (row->data.len <= CLOUD_EVENT_DATA_MAX && whole <= MESSAGE_BODY_MAX) {
        return put(put(at, STR(",\"data\":")), row->data.len == 0 ? STR("null") : row->data);
    }
    at = put_uuid(put(at, STR(",\"dataref\":\"/comanda/streams/")), row->stream);
    at = put_uint(put(at, STR("/")), (uint32_t)row->version, 1);
    *at++ = '"';
    return at;
}

static enum status encode_body(const struct recorded_event *row, const struct meta_values *meta,
                               struct arena *arena, struct str *body)
{
    char *start = arena_alloc(arena, body_size_max(row));
    if (start == NULL) {
        return STATUS_NO_MEMORY;
    }
    char *at = put_attributes(start, row);
    at = put_extensions(at, row, meta);
    at = put_data(at, row, (size_t)(at - start));
    *at++ = '}';
    *body = (struct str){start, (size_t)(at - start)};
    return STATUS_OK;
}

// A key that cannot be made routes to nobody: the alternate exchange takes it, where it is seen.
static enum status join_key(struct str head, struct str tail, struct arena *arena, struct str *key)
{
    if (head.len == 0 || head.len + 1 + tail.len > MESSAGE_ROUTING_KEY_MAX) {
        *key = STR("unroutable");
        return STATUS_OK;
    }
    char *text = arena_alloc(arena, head.len + 1 + tail.len);
    if (text == NULL) {
        return STATUS_NO_MEMORY;
    }
    char *at = put(text, head);
    *at++ = '.';
    at = put(at, tail);
    *key = (struct str){text, (size_t)(at - text)};
    return STATUS_OK;
}

static struct str unquoted(struct str quoted)
{
    return quoted.len < 2 ? STR("") : (struct str){quoted.data + 1, quoted.len - 2};
}

static enum status routing_key(const struct recorded_event *row, struct str route,
                               struct arena *arena, struct str *key)
{
    switch (row->kind) {
    case RECORD_EVENT:
        return join_key(row->category, row->type, arena, key);
    case RECORD_REPLY:
        return join_key(route, row->type, arena, key);
    case RECORD_COMMAND:
        break;
    }
    *key = route.len == 0 || route.len > MESSAGE_ROUTING_KEY_MAX ? STR("unroutable") : route;
    return STATUS_OK;
}

enum status cloud_event_encode(const struct recorded_event *row, struct arena *arena,
                               struct message *message)
{
    struct meta_values meta = read_meta(row->meta, arena);
    struct message made = {
        .id = row->id,
        .exchange = exchanges[row->kind],
        .content_type = CLOUD_EVENT_CONTENT_TYPE,
        .lane = row->kind == RECORD_COMMAND ? meta.lane : 0,
    };
    enum status status = routing_key(row, unquoted(meta.route), arena, &made.routing_key);
    if (status == STATUS_OK) {
        status = encode_body(row, &meta, arena, &made.body);
    }
    if (status == STATUS_OK) {
        *message = made;
    }
    return status;
}
