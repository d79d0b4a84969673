// SPDX-License-Identifier: Apache-2.0
// What a message's AMQP properties and headers say. Foreign ones are never trusted: what has a
// wrong type or range counts as absent.
#include "infrastructure/rabbitmq/message_headers.h"

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

static const amqp_field_value_t *find(const amqp_table_t *table, struct str name)
{
    for (int i = 0; i < table->num_entries; i++) {
        if (str_eq(view(table->entries[i].key), name)) {
            return &table->entries[i].value;
        }
    }
    return NULL;
}

static int64_t find_number(const amqp_table_t *table, struct str name, int64_t largest)
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

static struct str find_text(const amqp_table_t *table, struct str name)
{
    const amqp_field_value_t *found = find(table, name);
    if (found == NULL || found->kind != AMQP_FIELD_KIND_UTF8 ||
        found->value.bytes.len > MESSAGE_CAUSE_MAX) {
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
        .count = (int32_t)find_number(table, MESSAGE_HEADER_COUNT, 1000000),
        .first_at_us = find_number(table, MESSAGE_HEADER_FIRST, INT64_MAX),
        .last_at_us = find_number(table, MESSAGE_HEADER_LAST, INT64_MAX),
        .cause = find_text(table, MESSAGE_HEADER_CAUSE),
    };
}
