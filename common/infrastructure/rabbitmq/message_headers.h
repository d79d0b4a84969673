// SPDX-License-Identifier: Apache-2.0
// AMQP properties and headers of a message, both ways. Foreign ones are never trusted: what has a
// wrong type or range counts as absent.
#pragma once

#include <amqp.h>

#include "application/ports/message_bus.h"

enum { HEADERS_MAX = 4 };

static inline amqp_bytes_t message_headers_bytes(struct str text)
{
    return (amqp_bytes_t){.len = text.len, .bytes = (void *)(uintptr_t)text.data};
}

// Properties that point into themselves and into the message: they must not be copied.
struct message_headers {
    amqp_basic_properties_t properties;
    amqp_table_entry_t entries[HEADERS_MAX];
    char id[UUID_TEXT_LEN];
};

void message_headers_make(struct message_headers *headers, const struct message *message);

// The message id; nil when there is none that can be read.
struct uuid message_headers_id(const amqp_basic_properties_t *properties);

// How the message has fared; the cause is a view into the properties.
struct message_attempts message_headers_attempts(const amqp_basic_properties_t *properties);
