// SPDX-License-Identifier: Apache-2.0
// The message bus on RabbitMQ: one connection that publishes, one that consumes, each made when it
// is first needed and again when it is lost.
#pragma once

#include <stdbool.h>

#include "application/ports/message_bus.h"
#include "infrastructure/rabbitmq/settings.h"

struct message_bus_rabbitmq;

// settings and queue outlive it. queue: the one that receive reads; empty: none. NULL: no memory,
// or a window or prefetch outside its limits. For one thread.
struct message_bus_rabbitmq *message_bus_rabbitmq_new(const struct rabbitmq_settings *settings,
                                                      struct str queue);
void message_bus_rabbitmq_free(struct message_bus_rabbitmq *bus);

struct message_bus *message_bus_rabbitmq_port(struct message_bus_rabbitmq *bus);

// For readiness and metrics; cause is "" when all is well, else what was last in the way.
struct message_bus_health {
    bool publishing; // connected for it
    bool consuming;
    bool blocked; // the broker has asked publishers to wait
    const char *cause;
};

struct message_bus_health message_bus_rabbitmq_health(const struct message_bus_rabbitmq *bus);
