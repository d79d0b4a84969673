// SPDX-License-Identifier: Apache-2.0
// The template language of a saga's payloads: JSON in which some strings stand for values.
//
//   "$.a.b"          the member b of the member a of the start event's data, byte for byte
//   "$saga.code"     why the saga compensates: a refusal's code, or timed_out, cancelled, aborted
//   "$saga.detail"   the same for people
//   "$saga.subject"  the id of the subject's stream
//   {"$each": "$.lines", "$make": …}  an array: $make once an element; "$item" and "$item.a" in it
//   "$$text"         the string "$text"
//
// Everything else stands for itself. Any other string that begins with "$" is a fault.
#pragma once

#include <stdbool.h>

#include "base/buffer.h"
#include "base/status.h"
#include "base/str.h"
#include "base/uuid.h"
#include "domain/fault_list.h"

struct arena;

enum { SAGA_PAYLOAD_BYTES_MAX = 128 * 1024 };

struct saga_payload_source {
    struct str start; // data of the start event; empty: a cancellation started the saga
    struct uuid subject;
    struct str code;
    struct str detail;
};

// Checks a template's syntax. without_start: "$." is a fault, since there may be no start event.
void saga_payload_check(struct str template, bool without_start, struct str pointer,
                        struct arena *arena, struct fault_list *faults);

// Writes the payload. STATUS_MALFORMED: *cause names the path that the start event lacks.
enum status saga_payload_write(struct str template, const struct saga_payload_source *source,
                               struct arena *arena, struct buffer *out,
                               struct str *cause) MUST_CHECK;
