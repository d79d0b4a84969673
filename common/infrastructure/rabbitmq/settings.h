// SPDX-License-Identifier: Apache-2.0
// Where RabbitMQ is and how it is talked to; read from an AMQP URL.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"

struct arena;

enum { RABBITMQ_WINDOW_MAX = 4096, RABBITMQ_PREFETCH_MAX = 10000 };

// Texts are NUL-terminated and must outlive what is opened with them. A number of 0 means the
// default named with it.
struct rabbitmq_settings {
    const char *host;
    int port;
    const char *vhost;
    const char *user;
    const char *password;
    const char *name;       // of the connection, as the broker's lists show it
    int heartbeat_s;        // 30; two missed ones end a connection
    int connect_timeout_ms; // 5000, for the whole handshake
    int rpc_timeout_ms;     // 10000, for an answer to a declare and its like
    int stall_ms;           // 20000: a call into the client library never takes longer
    size_t window;          // 1000 unconfirmed messages, at most RABBITMQ_WINDOW_MAX
    int prefetch;           // 300 unacknowledged messages, at most RABBITMQ_PREFETCH_MAX
};

// Reads amqp://user:password@host:port/vhost into texts of the arena; every part but the scheme may
// be left out (guest, guest, localhost, 5672, "/"), all are percent-decoded. Numbers are set to
// their defaults. STATUS_INVALID: *cause says which part is wrong, never the password.
enum status rabbitmq_settings_read(struct str url, struct arena *arena,
                                   struct rabbitmq_settings *settings,
                                   struct str *cause) MUST_CHECK;
