// SPDX-License-Identifier: Apache-2.0
// What can happen next in the world, by chance or on the way to its rest.
#include "saga_world_parts.h"

// --- what can happen next

static int find_mail(struct play *play, enum mail_state state)
{
    unsigned first = play->mail_count == 0 ? 0 : world_any(play, (unsigned)play->mail_count);
    for (int i = 0; i < play->mail_count; i++) {
        int at = ((int)first + i) % play->mail_count;
        if (play->mail[at].state == state) {
            return at;
        }
    }
    return -1;
}

static int find_timer(struct play *play)
{
    unsigned first = play->timer_count == 0 ? 0 : world_any(play, (unsigned)play->timer_count);
    for (int i = 0; i < play->timer_count; i++) {
        int at = ((int)first + i) % play->timer_count;
        if (play->timers[at].live && !play->timers[at].in_hand) {
            return at;
        }
    }
    return -1;
}

// As the edge would: placed → cancelling, anything else is answered without an event.
static void cancel_order(struct play *play)
{
    if (!world_has(play, "OrderCancelRequested") && !world_has(play, "OrderConfirmed") &&
        !world_has(play, "OrderRejected")) {
        world_append(play, play->order, "order", "OrderCancelRequested",
                     STR("{\"reason\":\"changed my mind\","
                         "\"requested_at\":\"2026-11-24T06:52:25.123Z\"}"));
    }
}

static void deliver(struct play *play, enum mail_state state)
{
    int mail = find_mail(play, state);
    if (mail >= 0) {
        (void)world_take_mail(play, mail);
    }
}

static void lose(struct play *play)
{
    int mail = find_mail(play, MAIL_WAITING);
    if (mail >= 0 && play->dead_left > 0) {
        play->mail[mail].state = MAIL_DEAD;
        play->dead_left--;
    }
}

static void go_on_any(struct play *play)
{
    struct worker *worker = world_busy_worker(play);
    if (worker != NULL) {
        world_go_on(play, worker);
    }
}

static void crash_any(struct play *play)
{
    struct worker *worker = world_busy_worker(play);
    if (worker != NULL) {
        world_crash(play, worker);
    }
}

static void fire_any(struct play *play)
{
    int timer = find_timer(play);
    if (timer >= 0 && play->early_left > 0 && world_fire(play, timer)) {
        play->early_left--;
    }
}

static void deliver_again(struct play *play)
{
    if (play->twice_left-- > 0) {
        deliver(play, MAIL_DONE);
    }
}

void world_chaotic_step(struct play *play)
{
    unsigned dice = world_any(play, 1000);
    if (play->steps == play->cancel_at) {
        cancel_order(play);
    } else if (play->steps == play->abort_at) {
        world_ask_operator(play, SAGA_OPERATOR_ABORT);
    } else if (dice < 600) {
        go_on_any(play);
    } else if (dice < 880) {
        deliver(play, MAIL_WAITING);
    } else if (dice < 920) {
        deliver_again(play);
    } else if (dice < 970) {
        fire_any(play);
    } else if (dice < 985) {
        crash_any(play);
    } else if (dice < 993) {
        lose(play);
    } else {
        deliver(play, MAIL_DEAD); // redriven
    }
}

// --- coming to rest

static bool saga_ended(const struct play *play)
{
    return world_has(play, "SagaCompleted") || world_has(play, "SagaCompensated");
}

// One step towards the rest; false: there is nothing left to do.
bool world_resting_step(struct play *play)
{
    int mail = find_mail(play, MAIL_WAITING);
    int timer = find_timer(play);
    if (world_busy_worker(play) != NULL && (mail < 0 || world_any(play, 2) == 0)) {
        go_on_any(play);
    } else if (mail >= 0) {
        if (!world_take_mail(play, mail)) {
            go_on_any(play);
        }
    } else if (timer >= 0) {
        (void)world_fire(play, timer);
    } else if (saga_ended(play)) {
        return false;
    } else if (world_has(play, "SagaStarted")) {
        world_ask_operator(play, SAGA_OPERATOR_RETRY); // nothing is out and no timer: it is parked
    } else {
        deliver(play, MAIL_DEAD); // doctor has found the order without a saga
    }
    return true;
}
