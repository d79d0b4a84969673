// SPDX-License-Identifier: Apache-2.0
// A virtual host of a test's own on the shared RabbitMQ, and its management API.
#pragma once

#include "base/arena.h"
#include "infrastructure/rabbitmq/settings.h"

struct test_broker {
    char vhost[64];
    struct rabbitmq_settings settings; // for this virtual host
};

// COMANDA_TEST_AMQP and COMANDA_TEST_AMQP_HTTP must be set; fails the test when it cannot.
void test_broker_open(struct test_broker *broker, struct arena *arena);

// Deletes the virtual host with all in it.
void test_broker_close(struct test_broker *broker);

// Calls the management API; the status code, with the answer's body in `answer` (NUL-terminated,
// cut to its size; NULL: not wanted). body may be NULL.
int test_broker_call(const char *method, const char *path, const char *body, char *answer,
                     size_t size);
