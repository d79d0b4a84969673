// SPDX-License-Identifier: Apache-2.0
// RabbitMQ's management API, which alone tells bindings: one blocking GET, bounded in time and
// size.
#pragma once

#include "base/buffer.h"
#include "base/status.h"
#include "base/str.h"
#include "infrastructure/rabbitmq/settings.h"

struct arena;

enum { MANAGEMENT_BODY_MAX = 8 * 1024 * 1024, MANAGEMENT_CAUSE_MAX = 300 };

// Texts are NUL-terminated and must outlive what asks with them.
struct rabbitmq_management {
    const char *host;
    int port;
    const char *user;
    const char *password;
};

// Reads http://user:password@host:port into texts of the arena; what is left out is guest, guest,
// localhost, 15672. STATUS_INVALID: *cause says which part is wrong, never the password.
enum status rabbitmq_management_read(struct str url, struct arena *arena,
                                     struct rabbitmq_management *management,
                                     struct str *cause) MUST_CHECK;

// The body of what stands at the path, which is given percent-encoded; it lives in the buffer. At
// most 2 s after the address was looked up. STATUS_UNAVAILABLE, STATUS_TIMEOUT, STATUS_REFUSED (any
// answer but 200), STATUS_NO_MEMORY (larger than the buffer may be), STATUS_MALFORMED (no HTTP);
// cause: why, for people.
enum status rabbitmq_management_get(const struct rabbitmq_management *management, struct str path,
                                    struct buffer *answer, struct str *body,
                                    char cause[MANAGEMENT_CAUSE_MAX]) MUST_CHECK;
