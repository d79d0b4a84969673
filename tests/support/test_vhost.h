// SPDX-License-Identifier: Apache-2.0
// A RabbitMQ virtual host of a test's own, made and dropped by the management API.
#pragma once

enum { TEST_VHOST_NAME_MAX = 64, TEST_VHOST_URL_MAX = 512 };

struct test_vhost {
    char name[TEST_VHOST_NAME_MAX];
    char url[TEST_VHOST_URL_MAX]; // amqp://user:password@host:port/name
};

// The COMANDA_TEST_AMQP_* variables name the server. Both fail the test when they cannot.
void test_vhost_make(struct test_vhost *vhost);
void test_vhost_drop(const struct test_vhost *vhost);

// Calls the management API at a path such as "/api/queues/%2f"; the body is JSON, "" for none.
void test_vhost_call(const char *method, const char *path, const char *body);
