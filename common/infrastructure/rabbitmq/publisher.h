// SPDX-License-Identifier: Apache-2.0
// Publishes over a connection of its own, persistent, with a window of confirms.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "application/ports/message_bus.h"
#include "infrastructure/rabbitmq/settings.h"

struct rabbitmq_publisher;

// settings outlive it. NULL: no memory. Connects at the first use.
struct rabbitmq_publisher *rabbitmq_publisher_new(const struct rabbitmq_settings *settings);
void rabbitmq_publisher_free(struct rabbitmq_publisher *publisher);

// As message_bus_publish, _offer, _settle and _tick.
enum status rabbitmq_publisher_publish(struct rabbitmq_publisher *publisher,
                                       const struct message *messages, size_t count, int timeout_ms,
                                       enum publish_outcome *outcomes) MUST_CHECK;
enum status rabbitmq_publisher_offer(struct rabbitmq_publisher *publisher,
                                     const struct message *messages, size_t count,
                                     size_t *taken) MUST_CHECK;
enum status rabbitmq_publisher_settle(struct rabbitmq_publisher *publisher, int wait_ms, size_t max,
                                      enum publish_outcome *outcomes, size_t *count) MUST_CHECK;
enum status rabbitmq_publisher_tick(struct rabbitmq_publisher *publisher) MUST_CHECK;

bool rabbitmq_publisher_connected(const struct rabbitmq_publisher *publisher);
bool rabbitmq_publisher_blocked(const struct rabbitmq_publisher *publisher);

// Why there is no connection; "" while there is one or none was tried.
const char *rabbitmq_publisher_cause(const struct rabbitmq_publisher *publisher);
