// SPDX-License-Identifier: Apache-2.0
// A connection that is made again after it was lost, with backoff and jitter.
#pragma once

#include <stdint.h>

#include "base/backoff.h"
#include "base/status.h"
#include "infrastructure/rabbitmq/connection.h"

// What has to be said on a fresh connection (confirm.select, basic.consume).
typedef enum status rabbitmq_link_prepare_fn(struct rabbitmq_connection *connection,
                                             void *context) MUST_CHECK;

struct rabbitmq_link {
    const struct rabbitmq_settings *settings;
    const char *purpose; // "publish", "consume"
    rabbitmq_link_prepare_fn *prepare;
    void *context;
    struct rabbitmq_connection *connection; // NULL: none now
    struct backoff backoff;
    int64_t retry_at_ms;
    uint64_t generation; // counts connections, from 1
    enum status failure; // why the last try failed; STATUS_OK: it did not
    char cause[RABBITMQ_CAUSE_MAX];
};

void rabbitmq_link_init(struct rabbitmq_link *link, const struct rabbitmq_settings *settings,
                        const char *purpose, rabbitmq_link_prepare_fn *prepare, void *context);

// Connects if there is no connection and a try is due. STATUS_UNAVAILABLE, STATUS_REFUSED: not now.
enum status rabbitmq_link_ensure(struct rabbitmq_link *link) MUST_CHECK;

// The connection is dead: closes it and sets the time of the next try.
void rabbitmq_link_lost(struct rabbitmq_link *link);

// Sleeps until the next try is due, at most wait_ms; a signal ends it.
void rabbitmq_link_rest(const struct rabbitmq_link *link, int wait_ms);

void rabbitmq_link_close(struct rabbitmq_link *link);
