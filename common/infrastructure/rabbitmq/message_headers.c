// SPDX-License-Identifier: Apache-2.0
// AMQP properties and headers of a message, both ways. Foreign ones are never trusted: what has a
// wrong type or range counts as absent.
#include "infrastructure/rabbitmq/message_headers.h"

enum { PERSISTENT = 2, CAUSE_MAX = 1024 };

#define HEADER_COUNT "comanda-attempts"
#define HEADER_FIRST "comanda-first-failure-us"
#define HEADER_LAST "comanda-last-failure-us"
#define HEADER_CAUSE "comanda-cause"

static amqp_table_entry_t number(const char *name, int64_t value)
{
    return (amqp_table_entry_t){
        .key = amqp_cstring_bytes(name),
        .value = {.kind = AMQP_FIELD_KIND_I64, .value = {.i64 = value}},
    };
}

static void add_attempts(struct message_headers *headers, const struct message_attempts *attempts)
{
    struct str cause = attempts->cause;
    cause.len = cause.len > CAUSE_MAX ? CAUSE_MAX : cause.len;
    headers->entries[0] = number(HEADER_COUNT, attempts->count);
    headers->entries[1] = number(HEADER_FIRST, attempts->first_at_us);
    headers->entries[2] = number(HEADER_LAST, attempts->last_at_us);
    headers->entries[3] = (amqp_table_entry_t){
        .key = amqp_cstring_bytes(HEADER_CAUSE),
        .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = message_headers_bytes(cause)}},
    };
    headers->properties._flags |= AMQP_BASIC_HEADERS_FLAG;
    headers->properties.headers = (amqp_table_t){HEADERS_MAX, headers->entries};
}

void message_headers_make(struct message_headers *headers, const struct message *message)
{
    headers->properties = (amqp_basic_properties_t){
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG,
        .content_type = message_headers_bytes(message->content_type),
        .delivery_mode = PERSISTENT,
    };
    if (!uuid_is_nil(message->id)) {
        uuid_format(message->id, headers->id);
        headers->properties._flags |= AMQP_BASIC_MESSAGE_ID_FLAG;
        headers->properties.message_id = (amqp_bytes_t){UUID_TEXT_LEN, headers->id};
    }
    if (message->attempts.count > 0) {
        add_attempts(headers, &message->attempts);
    }
}

static struct str view(amqp_bytes_t bytes)
{
    return (struct str){bytes.bytes, bytes.len};
}

struct uuid message_headers_id(const amqp_basic_properties_t *properties)
{
    struct uuid id = {0};
    if ((properties->_flags & AMQP_BASIC_MESSAGE_ID_FLAG) != 0) {
        (void)uuid_parse(view(properties->message_id), false, &id);
    }
    return id;
}

static const amqp_field_value_t *find(const amqp_table_t *table, const char *name)
{
    for (int i = 0; i < table->num_entries; i++) {
        if (str_eq(view(table->entries[i].key), str_from(name))) {
            return &table->entries[i].value;
        }
    }
    return NULL;
}

static int64_t find_number(const amqp_table_t *table, const char *name, int64_t largest)
{
    const amqp_field_value_t *found = find(table, name);
    int64_t value = 0;
    if (found != NULL && found->kind == AMQP_FIELD_KIND_I64) {
        value = found->value.i64;
    } else if (found != NULL && found->kind == AMQP_FIELD_KIND_I32) {
        value = found->value.i32;
    }
    return value < 0 || value > largest ? 0 : value;
}

static struct str find_text(const amqp_table_t *table, const char *name)
{
    const amqp_field_value_t *found = find(table, name);
    if (found == NULL || found->kind != AMQP_FIELD_KIND_UTF8 ||
        found->value.bytes.len > CAUSE_MAX) {
        return STR("");
    }
    return view(found->value.bytes);
}

struct message_attempts message_headers_attempts(const amqp_basic_properties_t *properties)
{
    if ((properties->_flags & AMQP_BASIC_HEADERS_FLAG) == 0) {
        return (struct message_attempts){0};
    }
    const amqp_table_t *table = &properties->headers;
    return (struct message_attempts){
        .count = (int32_t)find_number(table, HEADER_COUNT, 1000000),
        .first_at_us = find_number(table, HEADER_FIRST, INT64_MAX),
        .last_at_us = find_number(table, HEADER_LAST, INT64_MAX),
        .cause = find_text(table, HEADER_CAUSE),
    };
}
