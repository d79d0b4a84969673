// SPDX-License-Identifier: Apache-2.0
// A row of the log as a CloudEvents 1.0 message (structured JSON) and back, without I/O.
#pragma once

#include "application/handler/message_handler.h"
#include "application/ports/event_store.h"
#include "application/ports/message_bus.h"
#include "base/arena.h"
#include "base/status.h"

// Exchange, routing key, id and body of the message for a row. Memory is the arena's.
enum status cloud_event_encode(const struct recorded_event *row, struct arena *arena,
                               struct message *message) MUST_CHECK;

// Reads a foreign body strictly. STATUS_MALFORMED: *cause names the field and what is wrong with
// it. `now` is left to the caller.
enum status cloud_event_decode(const struct message *message, struct arena *arena,
                               struct incoming *incoming, struct str *cause) MUST_CHECK;
