// SPDX-License-Identifier: Apache-2.0
// One loop's connection to the cache.
#include "cache_link.h"

#include <stdlib.h>

#include "infrastructure/redis/connection.h"
#include "infrastructure/redis/document_store_redis.h"
#include "infrastructure/telemetry/log.h"

static const struct setting cache_items[] = {
    {"COMANDA_REDIS_TIMEOUT", SETTING_MS, "500ms", 10, REDIS_TIMEOUT_MS_MAX, NULL,
     "How long Redis may take to answer before a batch goes on without it"},
};
const struct setting_group cache_settings = SETTING_GROUP(cache_items);

struct cache_link cache_link_make_or_exit(const struct settings *settings)
{
    struct cache_link link = {
        .connection = redis_connection_new(settings_text(settings, "COMANDA_REDIS"),
                                           (int)settings_int(settings, "COMANDA_REDIS_TIMEOUT"))};
    link.store = link.connection == NULL ? NULL : document_store_redis_new(link.connection);
    if (link.store == NULL) {
        log_line(LOG_ERROR, "no memory for the connection to Redis");
        exit(EXIT_FAILURE);
    }
    return link;
}

void cache_link_free(struct cache_link *link)
{
    document_store_redis_free(link->store);
    redis_connection_free(link->connection);
}

void cache_link_note(const struct cache_link *link, struct runtime *runtime, bool stored)
{
    const char *error = redis_connection_error(link->connection);
    if (stored || error[0] == '\0') {
        readiness_set(runtime, "redis", true, "connected");
    } else if (redis_connection_refused(link->connection)) {
        readiness_set(runtime, "redis", false, error);
    } else {
        readiness_miss(runtime, "redis", error);
    }
}

void cache_link_look(const struct cache_link *link, struct runtime *runtime)
{
    (void)redis_connection_use(link->connection);
    cache_link_note(link, runtime, false);
}
