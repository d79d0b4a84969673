// SPDX-License-Identifier: Apache-2.0
// Which user of the broker may do what: one user a program, made from the topology, so that a
// permission never names what is not there.
//
// RabbitMQ checks three regular expressions a user and virtual host, over the names of exchanges
// and queues alike. What a call needs (3.10; "amq.default" is the default exchange):
//   declare a queue            configure it; with dead letters also read it, write that exchange
//   declare an exchange        configure it; with an alternate also read it, write the alternate
//   bind                       write the queue, read the exchange
//   publish                    write the exchange, and its topic permission for the routing key
//   consume, get, purge        read the queue
//   declare passively, qos, confirm, ack: nothing
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"
#include "base/str.h"
#include "infrastructure/rabbitmq/topology.h"

enum { BROKER_TOPICS_MAX = 2, BROKER_QUEUES_MAX = 8 };

enum broker_part {
    BROKER_DECLARES, // the relay: makes the topology, publishes the log, reads no work queue
    BROKER_CONSUMES, // a daemon: reads its queues, writes its own ladder and dead letters
    BROKER_OPERATES, // a person: reads dead letters, gives them back to their queues
    BROKER_WATCHES,  // an autoscaler: asks the management API how long the queues are
};

struct broker_program {
    struct str name; // "payment"; its user is comanda_payment
    enum broker_part part;
    struct str roles[BROKER_QUEUES_MAX]; // BROKER_CONSUMES: whose queues; ends with an empty one
};

// Which routing keys a user may write to a topic exchange.
struct broker_topic {
    struct str exchange;
    struct str write;
};

struct broker_user {
    struct str program;
    struct str name;
    struct str tags; // of the management API; empty: none
    struct str configure;
    struct str write;
    struct str read;
    struct broker_topic topics[BROKER_TOPICS_MAX];
    size_t topic_count;
};

// Makes one user a program, in the arena. STATUS_INVALID: a program reads a role that has no queue
// in the topology, or a name holds what would have to be escaped.
enum status broker_users_make(const struct topology *topology,
                              const struct broker_program *programs, size_t count,
                              struct arena *arena, struct broker_user **users) MUST_CHECK;

// The policy that bounds work and dead-letter queues; priority 0, so that any of the operator's
// with a higher one takes its place.
#define BROKER_LIMITS STR("comanda-limits")

// The users with their permissions, and the policy, as RabbitMQ imports definitions (at its start,
// or by a POST to /api/definitions). passwords: one a user; kept as a salted SHA-256. topology: of
// broker_users_make.
enum status broker_users_print(const struct topology *topology, const struct broker_user *users,
                               size_t count, const struct str *passwords, struct str vhost,
                               struct buffer *out) MUST_CHECK;

// The routing key that a daemon proves its right to a ladder with: rung 0 is bound to no queue, so
// what is published there comes back. "comanda.payment.0"
struct str broker_probe_key(struct str queue, struct arena *arena);
