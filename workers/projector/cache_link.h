// SPDX-License-Identifier: Apache-2.0
// One loop's connection to the cache.
#pragma once

#include "infrastructure/config/settings.h"

struct document_store;
struct redis_connection;

// COMANDA_REDIS_TIMEOUT; COMANDA_REDIS is in redis_settings.
extern const struct setting_group cache_settings;

struct cache_link {
    struct redis_connection *connection;
    struct document_store *store;
};

// Connects when it is first used. Exits 1 when the address is none or there is no memory.
struct cache_link cache_link_make_or_exit(const struct settings *settings);
void cache_link_free(struct cache_link *link);
