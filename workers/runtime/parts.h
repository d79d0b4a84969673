// SPDX-License-Identifier: Apache-2.0
// What a consumer's composition root puts together from the settings: the log, the bus, the
// register of suspects, and the look whether they are there.
#pragma once

#include <stdbool.h>

#include "application/ports/backlog_register.h"
#include "application/ports/event_store.h"
#include "application/ports/lane_members.h"
#include "application/ports/message_bus.h"
#include "application/ports/suspect_register.h"
#include "infrastructure/rabbitmq/message_bus_rabbitmq.h"
#include "runtime/consumer.h"
#include "runtime/runtime.h"

// For one loop, one thread. Nothing is connected before it is used.
struct parts {
    struct runtime *runtime;
    struct postgres *postgres;
    struct event_store *store;
    struct suspect_register *suspects;
    struct backlog_register *backlog;
    struct message_bus_rabbitmq *bus;
    struct rabbitmq_settings amqp;
    struct arena arena; // of the settings' texts
    const char *queue;
    struct lane_members *members;
    const char *rights;  // what the effects need at PostgreSQL, as rights.h; NULL: nothing
    bool ladder_proven;  // the user may write the queue's retry and dead-letter exchanges
    int64_t proof_at_ms; // the next try at finding that out
};

// queue: the one that the bus receives, "" for none. Needs the settings runtime, postgres, amqp and
// consumer. Exits 1 when there is no memory. parts must not move afterwards.
void parts_make_or_exit(struct parts *parts, struct runtime *runtime, const char *queue);
void parts_free(struct parts *parts);

// As consumer.ready: is PostgreSQL there, with a schema that serves this program, and does the
// broker not refuse us the failure ladder? That would show only with the first message that
// fails, and would then hold its batch up.
bool parts_ready(struct runtime *runtime, void *parts);

// As handler_run.pause, of parts: the bus breathes meanwhile.
bool parts_pause(void *parts, int ms);

// A consumer of these parts, which serves the queue's lanes too if its role has any; handler and
// effects are the caller's to set.
struct consumer parts_consumer(struct parts *parts, const char *queue);

// Makes a program wait for "postgres", "schema" and "rights"; for roots without parts.
void parts_need_postgres(struct runtime *runtime);

// Asks postgres and sets the readiness of the three; for roots without parts. "rights": may its
// role do all that this program will have to, and what `more` lists (rights.h; NULL: nothing)?
bool parts_check_postgres(struct runtime *runtime, struct postgres *postgres, const char *more);
