// SPDX-License-Identifier: Apache-2.0
// What the projector does with a batch: documents into the read schema, then into the cache.
#pragma once

#include "application/projection/projection_run.h"
#include "cache_link.h"

struct parts;
struct postgres;

struct projector {
    struct projection_run run;
    const struct cache_link *cache; // Redis
    struct postgres *postgres;      // where a note is left when the cache cannot be written to
    struct str name;                // of the note: this host
    struct runtime *runtime;        // hears how the cache stands
    struct parts *parts;
};

// For struct consumer's `handle`; context is a struct projector. The read schema is the truth: the
// batch waits for it. A cache that is away does not hold the batch up: it leaves a note, after
// which the cache keeper empties the cache once it is back.
enum status projector_handle(void *context, const struct incoming *messages, size_t count,
                             struct arena *arena, const struct message_result **results) MUST_CHECK;

// For struct consumer's `ready`; dependencies is a struct projector: as parts_ready. It looks at
// the cache too, which holds nothing up.
bool projector_ready(struct runtime *runtime, void *projector);
