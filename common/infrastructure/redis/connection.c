// SPDX-License-Identifier: Apache-2.0
// A blocking connection to Redis that comes back by itself: bounded waits, reconnect with backoff.
#include "infrastructure/redis/connection.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/time.h>

#include "base/backoff.h"
#include "base/monotonic.h"
#include "infrastructure/redis/settings.h"

enum { RETRY_FIRST_MS = 100, RETRY_LIMIT_MS = 5000, ERROR_MAX = REDIS_HOST_MAX + 240 };

struct redis_connection {
    redisContext *context; // NULL: not connected
    struct redis_settings settings;
    int timeout_ms;
    struct backoff backoff;
    int64_t retry_at_ms;
    unsigned generation;
    bool refused;
    char error[ERROR_MAX];
};

struct redis_connection *redis_connection_new(const char *address, int timeout_ms)
{
    struct redis_connection *connection = calloc(1, sizeof(*connection));
    struct str cause;
    if (connection == NULL || timeout_ms < 1 || timeout_ms > REDIS_TIMEOUT_MS_MAX ||
        address == NULL ||
        redis_settings_read(str_from(address), &connection->settings, &cause) != STATUS_OK) {
        free(connection);
        return NULL;
    }
    connection->timeout_ms = timeout_ms;
    connection->backoff = (struct backoff){.first_ms = RETRY_FIRST_MS, .limit_ms = RETRY_LIMIT_MS};
    return connection;
}

void redis_connection_free(struct redis_connection *connection)
{
    if (connection != NULL) {
        redisFree(connection->context);
        free(connection);
    }
}

static void keep_error(struct redis_connection *connection, const char *words)
{
    const struct redis_settings *settings = &connection->settings;
    connection->refused = redis_answer_refuses(words);
    (void)snprintf(connection->error, sizeof(connection->error), "%s:%d: %s%s%s%s", settings->host,
                   settings->port, words, connection->refused ? " (user " : "",
                   !connection->refused        ? ""
                   : settings->user[0] == '\0' ? "default"
                                               : settings->user,
                   connection->refused ? "); docs/security.md has what each user needs" : "");
}

void redis_connection_note(struct redis_connection *connection, const char *answer)
{
    if (redis_answer_refuses(answer)) {
        keep_error(connection, answer);
    }
}

void redis_connection_fail(struct redis_connection *connection)
{
    const redisContext *context = connection->context;
    keep_error(connection, context == NULL     ? "no memory"
                           : context->err != 0 ? context->errstr
                                               : "the connection was given up");
    redisFree(connection->context);
    connection->context = NULL;
    uint32_t random = 0;
    (void)!getrandom(&random, sizeof(random), GRND_NONBLOCK); // without it: no jitter, no harm
    connection->retry_at_ms = monotonic_ms() + backoff_next_ms(&connection->backoff, random);
}

static bool connect_now(struct redis_connection *connection)
{
    struct timeval timeout = {.tv_sec = connection->timeout_ms / 1000,
                              .tv_usec = connection->timeout_ms % 1000 * 1000};
    connection->context =
        redisConnectWithTimeout(connection->settings.host, connection->settings.port, timeout);
    if (connection->context == NULL || connection->context->err != 0 ||
        redisSetTimeout(connection->context, timeout) != REDIS_OK) {
        redis_connection_fail(connection);
        return false;
    }
    return true;
}

static bool well_or_fail(struct redis_connection *connection, redisReply *reply)
{
    bool well = reply != NULL && reply->type == REDIS_REPLY_STATUS;
    if (reply != NULL && !well && reply->type == REDIS_REPLY_ERROR) {
        connection->context->err = REDIS_ERR_OTHER;
        snprintf(connection->context->errstr, sizeof(connection->context->errstr), "%s",
                 reply->str);
    }
    freeReplyObject(reply);
    if (!well) {
        redis_connection_fail(connection);
    }
    return well;
}

static bool logs_in(struct redis_connection *connection)
{
    const struct redis_settings *settings = &connection->settings;
    return settings->user[0] == '\0' ||
           well_or_fail(connection, redisCommand(connection->context, "AUTH %s %s", settings->user,
                                                 settings->password));
}

// A server that accepts and then says nothing, or refuses us, is away as well.
static bool answers(struct redis_connection *connection)
{
    return well_or_fail(connection, redisCommand(connection->context, "PING"));
}

redisContext *redis_connection_use(struct redis_connection *connection)
{
    if (connection->context != NULL) {
        return connection->context;
    }
    if (monotonic_ms() < connection->retry_at_ms || !connect_now(connection) ||
        !logs_in(connection) || !answers(connection)) {
        return NULL;
    }
    backoff_reset(&connection->backoff);
    connection->error[0] = '\0';
    connection->refused = false;
    connection->generation++;
    return connection->context;
}

unsigned redis_connection_generation(const struct redis_connection *connection)
{
    return connection->generation;
}

const char *redis_connection_error(const struct redis_connection *connection)
{
    return connection->error;
}

bool redis_connection_refused(const struct redis_connection *connection)
{
    return connection->refused;
}
