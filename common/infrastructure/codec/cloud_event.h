// SPDX-License-Identifier: Apache-2.0
// A row of the log as a CloudEvents 1.0 message (structured JSON) and back, without I/O.
#pragma once

#include "application/handler/message_handler.h"
#include "application/ports/event_store.h"
#include "application/ports/message_bus.h"
#include "base/arena.h"
#include "base/status.h"

#define CLOUD_EVENT_CONTENT_TYPE STR("application/cloudevents+json")

// A row with more data than this, or whose message would be longer than MESSAGE_BODY_MAX with it,
// is sent without it, with `dataref` instead. Of meta, values longer than readers take are left
// out.
enum { CLOUD_EVENT_DATA_MAX = MESSAGE_BODY_MAX - 8 * 1024, CLOUD_EVENT_NAME_MAX = 128 };

// Where rows of this kind are published.
struct str cloud_event_exchange(enum record_kind kind);

// "event", "command", "reply": as in the log and in the message.
struct str cloud_event_kind(enum record_kind kind);

// Exchange, routing key, id and body of the message for a row. Memory is the arena's. A row without
// a usable key gets "unroutable", so that it is seen among the unrouted and nothing stops.
// STATUS_NO_MEMORY is the only failure.
enum status cloud_event_encode(const struct recorded_event *row, struct arena *arena,
                               struct message *message) MUST_CHECK;

// Reads a foreign body strictly. STATUS_MALFORMED: *cause names the field and what is wrong with
// it. `now` is left to the caller. Views into the message, or copies in the arena.
enum status cloud_event_decode(const struct message *message, struct arena *arena,
                               struct incoming *incoming, struct str *cause) MUST_CHECK;
