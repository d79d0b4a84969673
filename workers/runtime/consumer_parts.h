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

// How far the queue has been taken up, and what has been told of it.
struct consumer_backlog {
    struct log_cursor taken_up_to; // zero: nothing yet
    int64_t tell_at_ms;
    bool told; // that it is behind
};

struct consumer_loop {
    struct runtime *runtime;
    const struct consumer *consumer;
    struct str queue;
    struct str serves; // the queue that it is one of
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
    struct consumer_backlog backlog;
};

// What came, and what became of it.
struct consumer_batch {
    struct message *messages;
    struct incoming *incoming;
    struct message_result *results;
    bool *settled; // has its result
    bool *climbed; // failed, and its copy is where it belongs
    bool *given;   // acknowledged
    size_t count;
};

// The copies of what failed that the broker has not confirmed yet.
struct consumer_copies {
    struct message *messages;
    size_t *at; // of which message of the batch
    enum publish_outcome *outcomes;
    size_t count;
};

// Waits as long as the backoff says; false: the process was asked to end. The connections breathe.
bool consumer_rest(struct consumer_loop *loop);

// Looks whether the servers are there.
bool consumer_is_ready(struct consumer_loop *loop);

// Waits until the servers are there; false: asked to end first.
bool consumer_wait_until_ready(struct consumer_loop *loop);

// Says that a worker is there for the queue.
void consumer_backlog_attend(struct consumer_loop *loop);

// The batch's fresh messages are read and about to be handled; or there was none to take.
void consumer_backlog_took(struct consumer_loop *loop, const struct consumer_batch *batch);
void consumer_backlog_empty(struct consumer_loop *loop);

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

// Makes copies of what failed, for the failure ladder. False: no memory, and only what was handled
// may be acknowledged.
bool consumer_copies_make(struct consumer_loop *loop, const struct consumer_batch *batch,
                          struct consumer_copies *copies);

// Publishes them once. Those that the broker confirms have climbed, and are copied no second time;
// the others stay for the next try.
void consumer_copies_publish(struct consumer_loop *loop, struct consumer_batch *batch,
                             struct consumer_copies *copies);
