// SPDX-License-Identifier: Apache-2.0
// Ids of streams, events and messages: UUIDs that fall together in an index (RFC 9562).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct uuid {
    unsigned char bytes[16];
};

enum { UUID_TEXT_LEN = 36 };

// A version 7 UUID of this time with these random bytes; pure, so the caller brings both.
// unix_ms: milliseconds since 1970, 48 bits of it are kept.
struct uuid uuid_v7(int64_t unix_ms, const unsigned char random[10]);

// An id that belongs beside its parent: the parent's first 48 bits, the rest SHA-256 over
// (parent, role), version 8. The same parent and role give the same id, always.
struct uuid uuid_derive(struct uuid parent, struct str role);

// An id without a parent: SHA-256 over (tenant, category, name), version 8, first bit set, so that
// it never falls among the time-ordered ones.
struct uuid uuid_named(struct str tenant, struct str category, struct str name);

// The first 48 bits as milliseconds since 1970; means something for v7 and what derives from it.
int64_t uuid_unix_ms(struct uuid id);

// 4 for random, 7 for time-ordered, 8 for ours.
int uuid_version(struct uuid id);

// Writes 36 characters in lower case; no NUL.
void uuid_format(struct uuid id, char text[UUID_TEXT_LEN]);

// Reads the 36 characters form only; hex in either case when `any_case`. False leaves *id alone.
bool uuid_parse(struct str text, bool any_case, struct uuid *id);

int uuid_compare(struct uuid left, struct uuid right);

static inline bool uuid_eq(struct uuid left, struct uuid right)
{
    return uuid_compare(left, right) == 0;
}

bool uuid_is_nil(struct uuid id);
