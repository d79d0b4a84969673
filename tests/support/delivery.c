// SPDX-License-Identifier: Apache-2.0
// Messages that overtake each other: commands in any order, any of them again, one in the middle of
// another's call outside, workers that die between that call and the append.
#include "support/delivery.h"

#include <criterion/criterion.h>

void delivery_add(struct delivery *delivery, const char *command, struct uuid target,
                  const char *actor, const char *body)
{
    cr_assert_lt(delivery->count, (size_t)DELIVERY_MESSAGES_MAX);
    delivery->messages[delivery->count++] =
        (struct delivery_message){command, target, actor, body, false};
}

static const struct world_result *deliver(struct delivery *delivery,
                                          struct delivery_message *message)
{
    const struct world_result *result = world_when(delivery->world, message->command,
                                                   message->target, message->actor, message->body);
    message->answered = !result->unanswered; // a duplicate that was lost is delivered again too
    if (delivery->check != NULL) {
        delivery->check(delivery->state);
    }
    return result;
}

static struct delivery_message *any_message(struct delivery *delivery)
{
    return &delivery->messages[chance_below(delivery->chance, delivery->count)];
}

static bool all_answered(const struct delivery *delivery)
{
    for (size_t i = 0; i < delivery->count; i++) {
        if (!delivery->messages[i].answered) {
            return false;
        }
    }
    return true;
}

void delivery_run(struct delivery *delivery)
{
    while (!all_answered(delivery)) {
        (void)deliver(delivery, any_message(delivery));
    }
}

bool delivery_disturb(struct delivery *delivery)
{
    if (!delivery->inside && chance_percent(delivery->chance, 30)) {
        delivery->inside = true;
        (void)deliver(delivery, any_message(delivery));
        delivery->inside = false;
    }
    return chance_percent(delivery->chance, 20);
}

int delivery_repeat(struct delivery *delivery)
{
    int events = 0;
    for (size_t i = 0; i < delivery->count; i++) {
        const struct world_result *result = deliver(delivery, &delivery->messages[i]);
        while (result->unanswered) {
            result = deliver(delivery, &delivery->messages[i]);
        }
        events += (int)result->decision.event_count;
    }
    return events;
}
