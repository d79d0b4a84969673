// SPDX-License-Identifier: Apache-2.0
// Proves that a queue's failure ladder may be written, without a message that stays anywhere.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "base/str.h"
#include "infrastructure/rabbitmq/connection.h"
#include "infrastructure/rabbitmq/settings.h"

// Over a connection of its own, since an alarm of the broker stops a connection that publishes:
// what is published goes to rung 0 of the queue, which is bound to no queue. STATUS_OK: it may;
// STATUS_REFUSED: cause has the broker's words and what to do; any other: not known now. Each
// answer is waited for a second at most.
enum status ladder_prove(const struct rabbitmq_settings *settings, struct str queue,
                         char cause[RABBITMQ_CAUSE_MAX]) MUST_CHECK;

// The same for one exchange and key on a connection at hand; refused, the channel is closed.
enum status exchange_prove(struct rabbitmq_connection *connection, struct str exchange,
                           struct str key) MUST_CHECK;

// Over a connection of its own, since asking for a queue that is not there ends the channel.
bool queues_are_there(const struct rabbitmq_settings *settings, const struct str *queues,
                      size_t count);

// That an empty queue may be read.
enum status queue_prove(struct rabbitmq_connection *connection, struct str queue) MUST_CHECK;
