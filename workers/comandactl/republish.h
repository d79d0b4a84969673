// SPDX-License-Identifier: Apache-2.0
// Publishes rows of the log again: in small batches, each confirmed, no faster than is asked, until
// Ctrl-C.
#pragma once

#include "application/ports/event_store.h"
#include "command.h"
#include "infrastructure/rabbitmq/message_bus_rabbitmq.h"

enum { REPUBLISH_RATE_DEFAULT = 500, REPUBLISH_RATE_MAX = 100000 };

struct republish {
    struct ctl *ctl;
    struct rabbitmq_settings settings; // the bus looks at them as long as it lives
    struct message_bus_rabbitmq *bus;
    struct str queue;  // straight into this one; empty: as the relay publishes
    int64_t rate;      // messages a second
    int64_t published; // confirmed so far
    int64_t unwanted;  // of these, what the broker had no queue for
    int64_t began_ms;
    int64_t told_ms; // when progress was last told
};

// Reads --amqp and --rate; says why when it fails. Free it whatever comes of it. From now on Ctrl-C
// asks for an end (republish_stopped).
enum ctl_exit republish_open(struct ctl *ctl, struct republish *republish);
void republish_close(struct republish *republish);

// Ctrl-C or SIGTERM has come: no further batch is begun.
bool republish_stopped(void);

// Publishes the rows in order. *done: how many are confirmed, on a failure and after Ctrl-C too. A
// queue that is full or a broker that is away for a moment is tried again a few times.
enum status republish_rows(struct republish *republish, const struct recorded_event *const *rows,
                           size_t count, size_t *done) MUST_CHECK;

// A line on stderr, every few seconds at most.
void republish_tell(struct republish *republish, struct log_cursor at, instant_us recorded_at);

// Why the last batch failed.
const char *republish_cause(const struct republish *republish, enum status status);

#define REPUBLISH_OPTIONS                                            \
    {"--rate", "N", "messages a second at most, 1 to 100000 (500)"}, \
    {                                                                \
        "--amqp", "URL", "RabbitMQ (else COMANDA_AMQP)"              \
    }
