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

enum { HOST_MAX = 255, RETRY_FIRST_MS = 100, RETRY_LIMIT_MS = 5000 };

struct redis_connection {
    redisContext *context; // NULL: not connected
    char host[HOST_MAX + 1];
    int port;
    int timeout_ms;
    struct backoff backoff;
    int64_t retry_at_ms;
    unsigned generation;
    char error[HOST_MAX + 160];
};

static bool read_port(struct str text, int *port)
{
    int64_t number;
    if (!str_to_int64(text, &number) || number < 1 || number > 65535) {
        return false;
    }
    *port = (int)number;
    return true;
}

static bool read_address(const char *address, char host[HOST_MAX + 1], int *port)
{
    const char *colon = address == NULL ? NULL : strrchr(address, ':');
    if (colon == NULL || !read_port(str_from(colon + 1), port)) {
        return false;
    }
    struct str name = {address, (size_t)(colon - address)};
    if (name.len > 2 && name.data[0] == '[' && name.data[name.len - 1] == ']') {
        name = (struct str){name.data + 1, name.len - 2};
    }
    if (name.len == 0 || name.len > HOST_MAX) {
        return false;
    }
    memcpy(host, name.data, name.len);
    host[name.len] = '\0';
    return true;
}

struct redis_connection *redis_connection_new(const char *address, int timeout_ms)
{
    struct redis_connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL || timeout_ms < 1 || timeout_ms > REDIS_TIMEOUT_MS_MAX ||
        !read_address(address, connection->host, &connection->port)) {
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

static void keep_error(struct redis_connection *connection)
{
    const redisContext *context = connection->context;
    snprintf(connection->error, sizeof(connection->error), "%s:%d: %s", connection->host,
             connection->port,
             context == NULL     ? "no memory"
             : context->err != 0 ? context->errstr
                                 : "the connection was given up");
}

void redis_connection_fail(struct redis_connection *connection)
{
    keep_error(connection);
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
    connection->context = redisConnectWithTimeout(connection->host, connection->port, timeout);
    if (connection->context == NULL || connection->context->err != 0 ||
        redisSetTimeout(connection->context, timeout) != REDIS_OK) {
        redis_connection_fail(connection);
        return false;
    }
    return true;
}

// A server that accepts and then says nothing, or refuses us, is away as well.
static bool answers(struct redis_connection *connection)
{
    redisReply *reply = redisCommand(connection->context, "PING");
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

redisContext *redis_connection_use(struct redis_connection *connection)
{
    if (connection->context != NULL) {
        return connection->context;
    }
    if (monotonic_ms() < connection->retry_at_ms || !connect_now(connection) ||
        !answers(connection)) {
        return NULL;
    }
    backoff_reset(&connection->backoff);
    connection->error[0] = '\0';
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
