// SPDX-License-Identifier: Apache-2.0
// What the parts of the consumer share; nobody else includes it.
#pragma once

#include "application/handler/handler_run.h"
#include "base/backoff.h"
#include "infrastructure/rabbitmq/topology.h"
#include "runtime/consumer.h"
#include "runtime/consumer_metrics.h"

// Of its role's, which are none for most.
struct consumer_lanes {
    struct arena arena; // of the names
    struct str names[TOPOLOGY_LANES];
    size_t count;
    struct uuid own; // our name among the processes that share them
    bool there;
    size_t served;
    size_t members;
    int64_t look_at_ms;
};

struct consumer_loop {
    struct runtime *runtime;
    const struct consumer *consumer;
    struct str queue;
    struct str name;
    struct handler_run run;
    struct consumer_metrics metrics;
    struct backoff backoff;
    struct arena received; // a batch's messages, until they are acknowledged
    struct arena work;     // one try at handling them
    size_t batch_max;
    int linger_ms;
    int crashes_max;
    int64_t check_at_ms;
    struct consumer_lanes lanes;
};

// What came, and what became of it.
struct consumer_batch {
    struct message *messages;
    struct incoming *incoming;
    struct message_result *results;
    bool *settled; // has its result
    size_t count;
};

// Waits as long as the backoff says; false: the process was asked to end. The connections breathe.
bool consumer_rest(struct consumer_loop *loop);

// Looks whether the servers are there.
bool consumer_is_ready(struct consumer_loop *loop);

// Waits until the servers are there; false: asked to end first.
bool consumer_wait_until_ready(struct consumer_loop *loop);

void consumer_note_bus(struct consumer_loop *loop, enum status status);

// Lanes: looks every few seconds who else is there, and takes up or gives up what is ours; between
// two batches, when nothing of them is in hand but what the broker has sent ahead.
void consumer_lanes_open(struct consumer_lanes *lanes, const struct consumer *consumer);
void consumer_lanes_look(struct consumer_loop *loop);
void consumer_lanes_close(struct consumer_loop *loop);

// Which lanes are `own`'s among the members, which are sorted: every lane is exactly one member's,
// and their shares differ by one at most. dealt: room for lane_count.
size_t consumer_lanes_deal(const struct uuid *members, size_t member_count, struct uuid own,
                           const struct str *lanes, size_t lane_count, struct str *dealt);

// Room for the batch's results. False: no memory.
bool consumer_batch_make(struct consumer_loop *loop, struct consumer_batch *batch);

// Reads and handles the messages. What is not settled afterwards is to be given back: the process
// was asked to end, or there is no memory.
void consumer_batch_handle(struct consumer_loop *loop, struct consumer_batch *batch);

// Publishes copies of what failed to the failure ladder. False: they are not there, and nothing may
// be acknowledged but what was handled.
bool consumer_batch_climb(struct consumer_loop *loop, const struct consumer_batch *batch);
