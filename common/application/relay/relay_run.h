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

// What has happened since the topology was last found whole.
struct relay_seen {
    bool sent;     // anything
    bool returned; // something that we want came back
};

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
    // Is there anybody of ours who wants it? What is ours and comes back means that the topology is
    // broken; of what is not, an event is dropped by the broker, and a command or a reply that
    // comes back is put aside: copied, with a cause, to `aside_key` of the default exchange over a
    // bus of its own.
    bool (*wanted)(void *context, const struct message *message);
    struct message_bus *aside;
    struct str aside_key;
    // Sees that exchanges, queues and bindings are there; *mended: something was missing and is
    // made anew.
    enum status (*look)(void *context, struct relay_seen seen, bool *mended);
    void *context;
};

struct relay_run {
    struct relay_ports ports;
    struct relay *relay;
    struct arena rows;
    struct arena bodies;
    struct message *messages; // one a row to publish
    struct arena put_aside;   // what came back and is nobody's, for one step
    struct relay_seen seen;
};

// What was just done, for logs and metrics.
struct relay_step {
    enum relay_want want;
    enum status status;
    size_t count;                // rows read, messages taken, outcomes
    size_t returned;             // OUTCOMES: came back from the broker
    size_t aside_count;          // of them, nobody's: put aside, or lying in the log alone
    const struct message *aside; // the first of those, until the next step
};

// relay stays the caller's. memory_max: bytes for the rows of one read, and the same for their
// messages.
void relay_run_init(struct relay_run *run, const struct relay_ports *ports, struct relay *relay,
                    size_t memory_max);
void relay_run_free(struct relay_run *run);

// Does what the relay wants now; a wait is at most wait_max_ms.
struct relay_step relay_run_step(struct relay_run *run, int64_t now_ms, int wait_max_ms);
