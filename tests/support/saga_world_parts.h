// SPDX-License-Identifier: Apache-2.0
// What the parts of saga_world share; nobody else includes it.
#pragma once

#include "application/handler/handler_batch.h"
#include "application/handler/state_cache.h"
#include "application/saga/saga_handler.h"
#include "saga_mistakes.h"
#include "saga_parties.h"
#include "saga_world.h"

enum {
    MESSAGES_MAX = 512,
    TIMERS_MAX = 256,
    ROWS_MAX = 1024,
    WORKERS = 4,
    WORKER_BYTES = 4 << 20,
    LADDER = 3,      // tries of a message before it is a dead letter
    DEAD_MAX = 3,    // messages lost to the dead letters by chance
    TWICE_MAX = 20,  // messages delivered again
    EARLY_MAX = 12,  // timers that fire while there is chaos
    REST_MAX = 2000, // steps to come to rest: more means that no end is reachable
    STORE_BYTES = 16 << 20,
};

enum mail_state { MAIL_WAITING, MAIL_IN_HAND, MAIL_DONE, MAIL_DEAD };

struct mail {
    struct incoming incoming;
    int handler;
    enum mail_state state;
    int tries;
};

struct set_timer {
    struct timer timer;
    bool live;
    bool in_hand;
};

// A process with one message in hand: it stands between two of its steps.
struct worker {
    struct handler_batch *batch; // NULL: idle
    struct arena arena;
    struct incoming incoming;
    int mail;       // index; -1: a timer or an operator's
    int timer;      // index; -1: none
    int64_t now_ms; // the batch's clock, which only its rests move
    struct state_cache *cache;
};

enum { H_SAGA, H_PAYMENTS, H_INVENTORY, H_SHIPPING, H_ORDERING, HANDLERS };

struct play {
    struct event_store store; // first: wraps `log`
    struct event_store *log;
    const struct saga_definition *definition;
    const struct saga_world_options *options;
    struct arena *arena;
    uint64_t random;
    struct saga_definitions definitions;
    struct saga_handler saga;
    struct message_handler commands[HANDLERS];
    struct mistaken_handler handlers[HANDLERS];
    struct saga_parties parties;
    struct uuid order;
    struct uuid instance;
    struct worker workers[WORKERS];
    struct mail mail[MESSAGES_MAX];
    int mail_count;
    struct set_timer timers[TIMERS_MAX];
    int timer_count;
    struct recorded_event rows[ROWS_MAX];
    int row_count;
    int dead_left;  // messages that may be lost to the dead letters by chance
    int twice_left; // messages that may be delivered again
    int early_left; // timers that may fire while there is chaos
    int cancel_at;  // step of the customer's cancellation; -1: never
    int abort_at;   // step of the operator's abort; -1: never
    int operator_ids;
    int steps;
    const char *violation;
};

// Below `below`, by the play's own dice.
unsigned world_any(struct play *play, unsigned below);

// The store that watches: what is appended becomes messages and timers.
extern const struct event_store_ops world_store_ops;
int32_t world_version_of(struct play *play, struct uuid stream);

// An event that comes from outside: the stock, the order, its cancellation.
void world_append(struct play *play, struct uuid stream, const char *category, const char *type,
                  struct str data);

// Was such an event appended, and how often?
bool world_has(const struct play *play, const char *type);
int world_count_of(const struct play *play, const char *type);

// Workers. False: none is idle.
bool world_take_mail(struct play *play, int mail);
bool world_fire(struct play *play, int timer);
void world_ask_operator(struct play *play, enum saga_operator_action action);
struct worker *world_busy_worker(struct play *play);
void world_go_on(struct play *play, struct worker *worker);
void world_crash(struct play *play, struct worker *worker);

// One thing that may happen; one step towards the rest (false: there is nothing left to do).
void world_chaotic_step(struct play *play);
bool world_resting_step(struct play *play);

// What is broken; NULL: nothing.
const char *world_check_always(const struct play *play);
const char *world_check_at_rest(const struct play *play);
