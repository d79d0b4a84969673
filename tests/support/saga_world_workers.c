// SPDX-License-Identifier: Apache-2.0
// The processes of the world: each has one message in hand and stands between two of its steps.
#include <stdio.h>
#include <stdlib.h>

#include "saga_world_parts.h"

// --- a worker's steps

static void begin(struct play *play, struct worker *worker, int handler)
{
    worker->now_ms = 0;
    static const struct handler_limits limits = {
        .contention_ms = 30000, .snapshot_every = 0, .append_rows_max = 4096};
    worker->batch = handler_batch_new(&play->handlers[handler].handler, &worker->incoming, 1,
                                      worker->cache, &limits, &worker->arena);
    if (worker->batch == NULL) {
        abort();
    }
}

static void let_go(struct play *play, struct worker *worker)
{
    if (worker->mail >= 0) {
        play->mail[worker->mail].state = MAIL_WAITING;
    }
    if (worker->timer >= 0) {
        play->timers[worker->timer].in_hand = false;
    }
    worker->batch = NULL;
    arena_reset(&worker->arena);
}

static void conclude(struct play *play, struct worker *worker)
{
    struct message_result result = handler_batch_results(worker->batch)[0];
    int mail = worker->mail;
    if (result.outcome == MESSAGE_POISON && mail >= 0) {
        play->violation = arena_str(play->arena, result.cause).data;
    }
    let_go(play, worker);
    if (mail >= 0 && result.outcome == MESSAGE_HANDLED) {
        play->mail[mail].state = MAIL_DONE;
    } else if (mail >= 0 && ++play->mail[mail].tries > LADDER) {
        play->mail[mail].state = MAIL_DEAD;
    }
}

static void load(struct play *play, struct worker *worker)
{
    size_t count;
    const struct stream_query *queries = handler_batch_queries(worker->batch, &count);
    struct stream_rows *rows = arena_array(&worker->arena, count, sizeof *rows);
    if (event_store_read(&play->store, queries, count, 1000, &worker->arena, rows) != STATUS_OK) {
        abort();
    }
    handler_batch_take_streams(worker->batch, rows);
}

static void call(struct play *play, struct worker *worker)
{
    size_t count;
    const struct effect_request *requests = handler_batch_effects(worker->batch, &count);
    struct effect_result results[1];
    if (count != 1) {
        abort();
    }
    results[0] = saga_parties_perform(&play->parties, &requests[0]);
    handler_batch_take_effects(worker->batch, results);
}

static void append(struct play *play, struct worker *worker)
{
    size_t count;
    const struct append_item *items = handler_batch_items(worker->batch, &count);
    struct append_verdict *verdicts = arena_array(&worker->arena, count, sizeof *verdicts);
    if (event_store_append(&play->store, items, count, &worker->arena, verdicts) != STATUS_OK) {
        abort();
    }
    handler_batch_take_verdicts(worker->batch, verdicts);
}

void world_go_on(struct play *play, struct worker *worker)
{
    switch (handler_batch_next(worker->batch, worker->now_ms)) {
    case HANDLER_WANT_STREAMS:
        load(play, worker);
        break;
    case HANDLER_WANT_EFFECTS:
        call(play, worker);
        break;
    case HANDLER_WANT_APPEND:
        append(play, worker);
        break;
    case HANDLER_WANT_PAUSE: // others do their steps meanwhile, or do not
        worker->now_ms += handler_batch_pause_ms(worker->batch);
        break;
    case HANDLER_WANT_NOTHING:
        conclude(play, worker);
        break;
    }
}

// A process that dies loses its cache too.
void world_crash(struct play *play, struct worker *worker)
{
    let_go(play, worker);
    state_cache_free(worker->cache);
    worker->cache = state_cache_new(16, 65536);
}

static struct worker *idle_worker(struct play *play)
{
    unsigned first = world_any(play, WORKERS);
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker *worker = &play->workers[(first + i) % WORKERS];
        if (worker->batch == NULL) {
            return worker;
        }
    }
    return NULL;
}

struct worker *world_busy_worker(struct play *play)
{
    unsigned first = world_any(play, WORKERS);
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker *worker = &play->workers[(first + i) % WORKERS];
        if (worker->batch != NULL) {
            return worker;
        }
    }
    return NULL;
}

bool world_take_mail(struct play *play, int mail)
{
    struct worker *worker = idle_worker(play);
    if (worker == NULL) {
        return false;
    }
    worker->incoming = play->mail[mail].incoming;
    worker->mail = mail;
    worker->timer = -1;
    play->mail[mail].state = MAIL_IN_HAND;
    begin(play, worker, play->mail[mail].handler);
    return true;
}

bool world_fire(struct play *play, int timer)
{
    struct worker *worker = idle_worker(play);
    if (worker == NULL || play->timers[timer].in_hand) {
        return false;
    }
    if (play->options->mistake == MISTAKE_PUT_OFF_LOST && world_any(play, 2) == 0) {
        play->timers[timer].live = false;
        return true;
    }
    // Its patience may be over at any attempt: what waits in a queue spends none.
    worker->incoming =
        saga_timer_message(&play->timers[timer].timer, world_any(play, 8) == 0, 1000000);
    worker->mail = -1;
    worker->timer = timer;
    play->timers[timer].in_hand = true;
    begin(play, worker, H_SAGA);
    return true;
}

void world_ask_operator(struct play *play, enum saga_operator_action action)
{
    struct worker *worker = idle_worker(play);
    if (worker == NULL) {
        return;
    }
    char role[32];
    int len = snprintf(role, sizeof role, "operator:%d", play->operator_ids++);
    struct uuid id = uuid_derive(play->order, (struct str){role, (size_t)len});
    worker->incoming = saga_operator_message(action, id, STR("main"), play->instance, 1000000);
    worker->mail = -1;
    worker->timer = -1;
    begin(play, worker, H_SAGA);
}
