// SPDX-License-Identifier: Apache-2.0
// A loop that takes a queue's messages in batches through a message handler: one transaction a
// batch, one multiple ack after it, the failure ladder for what fails.
//
// A server that is away is no message's fault: the batch stays in hand, unacknowledged, until the
// server is back. Messages that come again after a process has died are marked while they are
// handled: together the first time, alone when that process died too, so that one which kills its
// process is found and ends in the dead letters by itself.
#pragma once

#include <stddef.h>

#include "application/handler/handler_batch.h"
#include "application/handler/message_handler.h"
#include "application/ports/backlog_register.h"
#include "application/ports/effect_runner.h"
#include "application/ports/event_store.h"
#include "application/ports/lane_members.h"
#include "application/ports/message_bus.h"
#include "application/ports/suspect_register.h"
#include "runtime/runtime.h"

// COMANDA_BATCH, COMANDA_LINGER, COMANDA_PREFETCH, COMANDA_CONTENTION, COMANDA_EFFECT_TIMEOUT,
// COMANDA_SNAPSHOT_EVERY, COMANDA_STATES, COMANDA_CRASHES, COMANDA_RETRY_1 to _3
extern const struct setting_group consumer_settings;
// Of them COMANDA_RETRY_1..3 alone: for whoever declares the queues.
extern const struct setting_group ladder_settings;

struct consumer {
    const char *queue;                     // "comanda.payment"
    struct message_bus *bus;               // consumes that queue
    const struct message_handler *handler; // its `consumer` names the inbox and the suspects
    struct event_store *store;
    struct effect_runner *effects;     // NULL: no effects
    struct suspect_register *suspects; // NULL: messages that come again are not suspected
    struct backlog_register *backlog;  // NULL: nobody is told how far the queue is behind
    const char *serves; // the queue under whose name that is told, of several; NULL: `queue`
    // Instead of handler, store and effects: whatever handles a batch; contract of
    // handler_run_batch. NULL: those.
    enum status (*handle)(void *context, const struct incoming *messages, size_t count,
                          struct arena *arena, const struct message_result **results);
    void *context;
    struct str name; // with `handle`: the name among the suspects
    // Are the servers there that the work needs? Sets readiness. Asked before the first message,
    // every few seconds, and after each failure until it says true. NULL: always.
    bool (*ready)(struct runtime *runtime, void *dependencies);
    void *dependencies;
    struct lane_members *members; // who shares the role's lanes; NULL: the role has none
    // Are the lanes' queues there? Asked before they are taken up. NULL: always.
    bool (*lanes_there)(void *dependencies, const struct str *queues, size_t count);
    // For readiness: what is in the way of the bus, "" when nothing is. NULL: not known.
    const char *(*bus_cause)(void *bus_context);
    void *bus_context;
};

// For runtime_loop: context is a struct consumer.
int consumer_run(struct runtime *runtime, void *consumer);

// The sum of the ladder's delays in milliseconds: how long a message is kept trying.
int64_t consumer_ladder_ms(const struct settings *settings);
