// SPDX-License-Identifier: Apache-2.0
// A loop that takes a queue's messages in batches through a message handler: one transaction a
// batch, one multiple ack after it, the failure ladder for what fails.
//
// A server that is away is no message's fault: the batch stays in hand, unacknowledged, until the
// server is back. Messages that come again after a process has died are handled alone, each marked
// before, so that one which kills its process is found and ends in the dead letters by itself.
#pragma once

#include <stddef.h>

#include "application/handler/message_handler.h"
#include "application/ports/effect_runner.h"
#include "application/ports/event_store.h"
#include "application/ports/message_bus.h"
#include "application/ports/suspect_register.h"
#include "runtime/runtime.h"

// COMANDA_BATCH, COMANDA_LINGER, COMANDA_PREFETCH, COMANDA_ATTEMPTS, COMANDA_EFFECT_TIMEOUT,
// COMANDA_SNAPSHOT_EVERY, COMANDA_STATES, COMANDA_RETRY_1..3 (the ladder's delays)
extern const struct setting_group consumer_settings;

struct consumer {
    const char *queue;                     // "comanda.payment"
    const struct message_handler *handler; // its `consumer` names the inbox
    struct message_bus *bus;               // consumes that queue
    struct event_store *store;
    struct effect_runner *effects; // NULL: no effects
    struct suspect_register *suspects;
};

// For runtime_loop: context is a struct consumer.
int consumer_run(struct runtime *runtime, void *consumer);

// The sum of the ladder's delays in milliseconds: how long a message is kept trying.
int64_t consumer_ladder_ms(const struct settings *settings);
