// SPDX-License-Identifier: Apache-2.0
// Fills a decision: its outcome and the events that it wants recorded.
#pragma once

#include "base/arena.h"
#include "base/buffer.h"
#include "base/json.h"
#include "base/status.h"
#include "domain/bounded_context.h"

enum { EVENT_DATA_MAX = 256 * 1024 }; // bytes

// Each begins a decision anew, without events and faults.
void decision_accept(struct decision *decision);
void decision_reject(struct decision *decision, struct str code, struct str detail);
void decision_not_found(struct decision *decision);
void decision_invalid(struct decision *decision);

// The JSON object of one event on its way.
struct event_draft {
    struct buffer data;
    struct json_writer writer;
};

// Opens the object; its members are written through `writer`.
void event_draft_begin(struct event_draft *draft, struct arena *arena);
void event_draft_text(struct event_draft *draft, struct str name, struct str value);
void event_draft_int(struct event_draft *draft, struct str name, int64_t value);
void event_draft_instant(struct event_draft *draft, struct str name, instant_us at);

// Closes the object and adds the event, schema version 1. STATUS_NO_MEMORY, STATUS_FULL.
enum status decision_record(struct decision *decision, size_t stream, struct str type,
                            struct event_draft *draft) MUST_CHECK;

// The request for an effect: its key is "<stream id>:<what>", its body an object that begins with
// "<party>":"<stream id>" and is written on through the draft. False when memory is out.
void effect_draft_begin(struct event_draft *draft, struct str party, struct uuid stream,
                        struct arena *arena);
bool effect_draft_end(struct event_draft *draft, struct str operation, struct uuid stream,
                      struct str what, struct arena *arena, struct effect_request *request);
