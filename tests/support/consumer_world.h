// SPDX-License-Identifier: Apache-2.0
// The consumer's loop in a test: a runtime whose time is the test's, a handler that does as the
// message's type says, a broker and a register in memory.
#pragma once

#include "infrastructure/memory/message_bus_memory.h"
#include "runtime/consumer.h"

enum { TURNS = 40, BATCHES_MAX = 64, PREFETCH = 1000, WINDOW = 64 };

#define QUEUE STR("comanda.projector")
#define MESSAGE_RECORDED_AT INT64_C(1764000000000000)

// Ends after so many questions whether to end.
struct runtime {
    const struct settings *settings;
    int turns_left;
    int64_t now_ms;
    bool bus_there;
};

struct consumer_script {
    enum status failure; // of the next `failures` batches
    int failures;
    size_t memory_max;    // messages in a batch that fit into memory
    enum status too_much; // what more of them give
    size_t sizes[BATCHES_MAX];
    size_t batches;
    bool ready;
    int asked; // whether it is ready
};

extern struct runtime runtime;
extern struct consumer_script script;
extern struct memory_broker *broker;
extern struct message_bus_memory *bus;
extern struct message_bus *port;      // instead of the broker's; NULL: that
extern struct backlog_register *told; // who hears how far the queue is behind; NULL: nobody
extern struct suspect_register *suspects;
extern struct arena consumer_arena; // of the test

void consumer_world_open(void);
void consumer_world_close(void);

void publish(struct message message);
// types: "fine"; "later" is a transient failure, "never" poison.
struct uuid given_message(const char *type);
// As when a process that had them died.
void given_all_come_again(void);
void when_it_runs(struct suspect_register *with);
void then_depths(int64_t work, int64_t later, int64_t dead);
// Sees what is neither acknowledged nor given back too.
void then_nothing_is_in_hand(void);
