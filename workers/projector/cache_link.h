// SPDX-License-Identifier: Apache-2.0
// One loop's connection to the cache.
#pragma once

#include <stdbool.h>

#include "infrastructure/config/settings.h"
#include "runtime/runtime.h"

struct document_store;
struct redis_connection;

// COMANDA_REDIS_TIMEOUT; COMANDA_REDIS is in redis_settings.
extern const struct setting_group cache_settings;

struct cache_link {
    struct redis_connection *connection;
    struct document_store *store;
};

// Connects when it is first used. Exits 1 when there is no memory.
struct cache_link cache_link_make_or_exit(const struct settings *settings);
void cache_link_free(struct cache_link *link);

// Tells the log and the readiness of "redis" how it stands after something was stored or not: a
// server that is away costs speed only, one that refuses our user waits for a person.
void cache_link_note(const struct cache_link *link, struct runtime *runtime, bool stored);

// The same without storing anything: connects if it is time to.
void cache_link_look(const struct cache_link *link, struct runtime *runtime);
