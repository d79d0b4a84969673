// SPDX-License-Identifier: Apache-2.0
// One AMQP connection with one channel, frame by frame, in which no call hangs for ever.
//
// One channel a connection (librabbitmq loses frames between channels), heartbeats on, every call
// into the library under the watchdog, capabilities announced so that the broker tells of blocking
// and cancelled consumers. After any STATUS_UNAVAILABLE the connection is dead: close it.
#pragma once

#include <amqp.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "base/str.h"
#include "infrastructure/rabbitmq/settings.h"

enum { RABBITMQ_CHANNEL = 1, RABBITMQ_CAUSE_MAX = 400 };

struct rabbitmq_connection;

// Connects, logs in, opens the channel; at most connect_timeout_ms and a round trip or two. cause:
// why it failed, for people, without secrets. STATUS_UNAVAILABLE, STATUS_REFUSED (credentials,
// virtual host), STATUS_NO_MEMORY.
enum status rabbitmq_connection_open(const struct rabbitmq_settings *settings, const char *purpose,
                                     struct rabbitmq_connection **connection,
                                     char cause[RABBITMQ_CAUSE_MAX]) MUST_CHECK;

// Says goodbye if the connection is sound, and frees it. NULL is allowed.
void rabbitmq_connection_close(struct rabbitmq_connection *connection);

// The next frame for the channel, waiting at most wait_ms; *got false: none came, or a signal did.
// Closing and blocking are dealt with inside. The frame lives until the next call.
enum status rabbitmq_connection_frame(struct rabbitmq_connection *connection, int wait_ms,
                                      amqp_frame_t *frame, bool *got) MUST_CHECK;

// The broker has asked publishers to wait (memory or disk alarm).
bool rabbitmq_connection_blocked(const struct rabbitmq_connection *connection);

// Could some ten kilobytes be written now without waiting?
bool rabbitmq_connection_writable(const struct rabbitmq_connection *connection);

// Writes whole frames past the library, which has none of its own half sent between calls. Waits
// for room at most stall_ms altogether; then the connection is dead, since half a frame cannot be
// taken back.
enum status rabbitmq_connection_write(struct rabbitmq_connection *connection,
                                      struct str frames) MUST_CHECK;

// Sends a heartbeat if one is due, and reads nothing: for who leaves frames in the socket for long.
// The library beats while it waits for frames, and only then.
enum status rabbitmq_connection_breathe(struct rabbitmq_connection *connection) MUST_CHECK;

// The largest frame that the broker takes, in bytes.
size_t rabbitmq_connection_frame_max(const struct rabbitmq_connection *connection);

// For calls of the library that are not here: between enter and leave the watchdog counts.
amqp_connection_state_t rabbitmq_connection_enter(struct rabbitmq_connection *connection);
void rabbitmq_connection_leave(struct rabbitmq_connection *connection);

// Judges what such a call gave: an amqp_status_enum, or the last RPC's reply. A channel or
// connection closed by the broker gives STATUS_UNAVAILABLE and its words in the cause.
enum status rabbitmq_connection_sent(struct rabbitmq_connection *connection,
                                     int amqp_status) MUST_CHECK;
enum status rabbitmq_connection_replied(struct rabbitmq_connection *connection) MUST_CHECK;

// After the broker has closed the channel over an RPC (404, 406, …): opens it again, so that the
// connection is sound once more. STATUS_UNAVAILABLE: it is dead for other reasons.
enum status rabbitmq_connection_reopen(struct rabbitmq_connection *connection) MUST_CHECK;

// The AMQP reply code of what closed it (404, 406, …); 0: none.
int rabbitmq_connection_code(const struct rabbitmq_connection *connection);
const char *rabbitmq_connection_cause(const struct rabbitmq_connection *connection);

// CLOCK_MONOTONIC in milliseconds.
int64_t rabbitmq_now_ms(void);
