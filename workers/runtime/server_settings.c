// SPDX-License-Identifier: Apache-2.0
// Where the servers are, and whose data: the settings that daemons share.
#include "runtime/server_settings.h"

#include <stdlib.h>

#include "application/saga/definition.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/redis/settings.h"

static bool check_postgres(const struct settings *settings, struct arena *arena, struct str *fault)
{
    (void)arena;
    if (!postgres_conninfo_valid(settings_text(settings, "COMANDA_POSTGRES"))) {
        *fault = STR("COMANDA_POSTGRES=(hidden): no connection string of libpq; write "
                     "\"host=… port=… dbname=… user=… password=…\" or postgresql://…");
        return false;
    }
    return true;
}

static bool check_amqp(const struct settings *settings, struct arena *arena, struct str *fault)
{
    struct rabbitmq_settings read;
    struct str cause = STR("");
    struct str url = str_from(settings_text(settings, "COMANDA_AMQP"));
    if (rabbitmq_settings_read(url, arena, &read, &cause) != STATUS_OK) {
        *fault = arena_printf(arena,
                              "COMANDA_AMQP=(hidden): %.*s; write "
                              "amqp://user:password@host:port/vhost",
                              STR_FMT(cause));
        return false;
    }
    return true;
}

static const struct setting postgres_items[] = {
    {"COMANDA_POSTGRES", SETTING_SECRET, NULL, 1, 2000, NULL,
     "Connection string of PostgreSQL, as libpq reads it"},
};
const struct setting_group postgres_settings =
    SETTING_GROUP_CHECKED(postgres_items, check_postgres);

static const struct setting amqp_items[] = {
    {"COMANDA_AMQP", SETTING_SECRET, NULL, 1, 2000, NULL,
     "Address of RabbitMQ: amqp://user:password@host:port/vhost"},
};
const struct setting_group amqp_settings = SETTING_GROUP_CHECKED(amqp_items, check_amqp);

static bool check_redis(const struct settings *settings, struct arena *arena, struct str *fault)
{
    struct redis_settings read;
    struct str cause = STR("");
    struct str address = str_from(settings_text(settings, "COMANDA_REDIS"));
    if (redis_settings_read(address, &read, &cause) != STATUS_OK) {
        *fault = arena_printf(arena,
                              "COMANDA_REDIS=(hidden): %.*s; write host:port or "
                              "redis://user:password@host:port",
                              STR_FMT(cause));
        return false;
    }
    return true;
}

static const struct setting redis_items[] = {
    {"COMANDA_REDIS", SETTING_SECRET, NULL, 1, 2000, NULL,
     "Address of Redis: redis://user:password@host:port, or host:port where nobody logs in"},
};
const struct setting_group redis_settings = SETTING_GROUP_CHECKED(redis_items, check_redis);

static const struct setting saga_override_items[] = {
    {"COMANDA_SAGA_ATTEMPTS", SETTING_INTEGER, "0", 0, SAGA_ATTEMPTS_MAX, NULL,
     "How often a step is asked before it is undone or parked; 0 for what the definition says"},
    {"COMANDA_SAGA_TIMEOUT", SETTING_MS, "0ms", 0, (int64_t)SAGA_TIMEOUT_S_MAX * 1000, NULL,
     "How long each step may take, in whole seconds; 0 for what the definition says"},
};
const struct setting_group saga_override_settings = SETTING_GROUP(saga_override_items);

struct rabbitmq_settings amqp_settings_read(const struct settings *settings, struct arena *arena)
{
    struct rabbitmq_settings read;
    struct str cause;
    struct str url = str_from(settings_text(settings, "COMANDA_AMQP"));
    if (rabbitmq_settings_read(url, arena, &read, &cause) != STATUS_OK) {
        abort(); // checked when the settings were loaded
    }
    read.name = settings_program(settings);
    return read;
}
