// SPDX-License-Identifier: Apache-2.0
// The Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header): its form, the id that it
// is remembered under, and the fingerprint of what it was sent with. Pure.
#pragma once

#include "application/ports/event_store.h"
#include "base/instant.h"
#include "base/str.h"
#include "base/uuid.h"

enum {
    IDEMPOTENCY_KEY_LEN_MAX = 255,
    IDEMPOTENCY_KEY_AHEAD_MAX_MS = 5 * 60 * 1000, // a clock that goes ahead by more is wrong
};

// Unquotes the header's value ("x" and x are one key) and checks it: 1 to 255 of A-Za-z0-9_.:-
// False leaves *key alone.
bool idempotency_key_read(struct str header, struct str *key);

// False: a version 7 UUID older than the keys are kept, or too far ahead. It could not be told from
// a new one any more, so it must be refused, never run again.
bool idempotency_key_is_current(struct str key, instant_us now, int64_t retention_ms);

// The id in the table of keys, scoped to tenant and principal. A version 7 UUID keeps its 48 bits
// of time and hashes the rest, so that keys fall together; any other is a hash with the first bit
// set.
struct uuid idempotency_key_id(struct str tenant, struct str principal, struct str key);

// Of method, path and body as they were sent. A command's target is compared apart, by the stream
// that is stored beside the fingerprint.
void idempotency_key_fingerprint(struct str method, struct str path, struct str body,
                                 unsigned char fingerprint[KEY_FINGERPRINT_LEN]);
