// SPDX-License-Identifier: Apache-2.0
// What a message's AMQP properties and headers say. Foreign ones are never trusted: what has a
// wrong type or range counts as absent.
#pragma once

#include <amqp.h>

#include "application/ports/message_bus.h"

enum { MESSAGE_CAUSE_MAX = 1024 };

#define MESSAGE_HEADER_COUNT STR("comanda-attempts")
#define MESSAGE_HEADER_FIRST STR("comanda-first-failure-us")
#define MESSAGE_HEADER_LAST STR("comanda-last-failure-us")
#define MESSAGE_HEADER_CAUSE STR("comanda-cause")

static inline amqp_bytes_t message_headers_bytes(struct str text)
{
    return (amqp_bytes_t){.len = text.len, .bytes = (void *)(uintptr_t)text.data};
}

// The message id; nil when there is none that can be read.
struct uuid message_headers_id(const amqp_basic_properties_t *properties);

// How the message has fared; the cause is a view into the properties.
struct message_attempts message_headers_attempts(const amqp_basic_properties_t *properties);
