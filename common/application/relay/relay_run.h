// SPDX-License-Identifier: Apache-2.0
// Drives the relay through blocking ports, a step at a time.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "application/ports/event_store.h"
#include "application/ports/log_bell.h"
#include "application/ports/message_bus.h"
#include "application/ports/relay_lease.h"
#include "application/relay/relay.h"
#include "base/arena.h"

// What it works with. name: of the lease; holder: who we are, for people; stale_s: a lease not
// renewed for so long is taken over.
struct relay_ports {
    struct relay_lease *lease;
    struct log_bell *bell; // in the lease's session
    struct event_store *store;
    struct message_bus *bus;
    struct str name;
    struct str holder;
    int stale_s;
    // A row as a message, in the arena.
    enum status (*encode)(const struct recorded_event *row, struct arena *arena,
                          struct message *message);
    // Sends a message that has a lane by it, if anybody serves it now; context is below. NULL:
    // none.
    enum status (*by_lane)(void *context, struct arena *arena, struct message *message);
    // Sees that exchanges and queues are there; *mended: something was missing and is made anew.
    enum status (*look)(void *context, bool *mended);
    void *context;
};

struct relay_run {
    struct relay_ports ports;
    struct relay *relay;
    struct arena rows;
    struct arena bodies;
    struct message *messages; // one a row to publish
};

// What was just done, for logs and metrics.
struct relay_step {
    enum relay_want want;
    enum status status;
    size_t count;               // rows read, messages taken, outcomes
    const struct message *sent; // SEND: the first of the taken ones
};

// relay stays the caller's. memory_max: bytes for the rows of one read, and the same for their
// messages.
void relay_run_init(struct relay_run *run, const struct relay_ports *ports, struct relay *relay,
                    size_t memory_max);
void relay_run_free(struct relay_run *run);

// Does what the relay wants now; a wait is at most wait_max_ms.
struct relay_step relay_run_step(struct relay_run *run, int64_t now_ms, int wait_max_ms);
