// SPDX-License-Identifier: Apache-2.0
// A blocking connection to Redis that comes back by itself: bounded waits, reconnect with backoff.
#pragma once

#include <hiredis/hiredis.h>
#include <stdbool.h>

#include "base/status.h"
#include "base/str.h"

struct redis_connection;

enum { REDIS_TIMEOUT_MS_MAX = 60000 };

// address: as redis_settings_read; with a user every new connection logs in first. timeout_ms: for
// connecting and for each answer. Connects only when it is first used. NULL: a malformed address, a
// timeout outside 1 to REDIS_TIMEOUT_MS_MAX, or no memory.
struct redis_connection *redis_connection_new(const char *address, int timeout_ms);
void redis_connection_free(struct redis_connection *connection);

// The context, connected; NULL while the server is away. Between two tries to connect it waits
// 100 ms to 5 s, growing, and says NULL at once in the meantime.
redisContext *redis_connection_use(struct redis_connection *connection);

// Drops the connection after a failed read or write: what was sent may or may not be done.
void redis_connection_fail(struct redis_connection *connection);

// Grows with each successful connect, so that a user knows what to prepare anew; 0: never yet.
unsigned redis_connection_generation(const struct redis_connection *connection);

// Why the server is away, for logs; "" when it is not.
const char *redis_connection_error(const struct redis_connection *connection);

// Takes an error answer to a command. When it says that the user may not do this (NOPERM) or is
// nobody (NOAUTH, WRONGPASS), redis_connection_error tells it until the next connect; others are
// the caller's business.
void redis_connection_note(struct redis_connection *connection, const char *answer);

// Whether redis_connection_error tells of a refusal, which waiting does not mend.
bool redis_connection_refused(const struct redis_connection *connection);
