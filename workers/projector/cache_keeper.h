// SPDX-License-Identifier: Apache-2.0
// Empties the cache after it was away, so that no document in it stays older than the read
// schema's.
#pragma once

#include "runtime/runtime.h"

struct document_store;
struct postgres;

// With connections of its own: it runs in a thread beside the consumer.
struct cache_keeper {
    struct postgres *postgres;
    struct document_store *cache;
};

// For runtime_loop: context is a struct cache_keeper. Looks for notes every two seconds.
int cache_keeper_run(struct runtime *runtime, void *cache_keeper);
