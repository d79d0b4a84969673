// SPDX-License-Identifier: Apache-2.0
// Receives the messages of a queue, and of others beside it, over a connection of its own and
// acknowledges them by hand.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "application/ports/message_bus.h"
#include "infrastructure/rabbitmq/settings.h"

struct rabbitmq_consumer;

// settings and queue outlive it. NULL: no memory. Connects at the first use.
struct rabbitmq_consumer *rabbitmq_consumer_new(const struct rabbitmq_settings *settings,
                                                struct str queue);
void rabbitmq_consumer_free(struct rabbitmq_consumer *consumer);

// As message_bus_receive, _also, _ack, _requeue, _pause and _tick. Of a body longer than
// MESSAGE_BODY_MAX only the first MESSAGE_BODY_MAX + 1 bytes are kept, so that its reader can tell.
enum status rabbitmq_consumer_receive(struct rabbitmq_consumer *consumer, size_t max, int wait_ms,
                                      int linger_ms, struct arena *arena, struct message **messages,
                                      size_t *count) MUST_CHECK;
enum status rabbitmq_consumer_also(struct rabbitmq_consumer *consumer, const struct str *queues,
                                   size_t count) MUST_CHECK;
enum status rabbitmq_consumer_ack(struct rabbitmq_consumer *consumer, uint64_t delivery_tag,
                                  bool multiple) MUST_CHECK;
enum status rabbitmq_consumer_requeue(struct rabbitmq_consumer *consumer, uint64_t delivery_tag,
                                      bool multiple) MUST_CHECK;
void rabbitmq_consumer_pause(struct rabbitmq_consumer *consumer);
enum status rabbitmq_consumer_tick(struct rabbitmq_consumer *consumer) MUST_CHECK;

bool rabbitmq_consumer_connected(const struct rabbitmq_consumer *consumer);
const char *rabbitmq_consumer_cause(const struct rabbitmq_consumer *consumer);
