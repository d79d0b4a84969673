// SPDX-License-Identifier: Apache-2.0
// The payments context's seam: one payment an order, asked of a provider before it is recorded.
#include "domain/payments/payments_context.h"

#include "domain/body_reader.h"
#include "domain/decision.h"
#include "domain/payments/payment_codec.h"

static enum status target_only(const struct command *command, struct arena *arena,
                               struct stream_refs *streams)
{
    (void)arena;
    streams->items[0] = (struct stream_ref){command->target, STR("payment"), STREAM_APPEND};
    streams->count = 1;
    return STATUS_OK;
}

// Our own codes, whatever the provider calls it; its code stays in the event.
static void refuse(const struct payment_decision *decided, struct decision *decision)
{
    switch (decided->refusal) {
    case PAYMENT_ACCEPTED:
        decision_accept(decision);
        break;
    case PAYMENT_IS_DECLINED:
        decision_reject(decision, STR("payment_declined"), decided->detail);
        break;
    case PAYMENT_IS_UNDONE:
        decision_reject(decision, STR("payment_undone"),
                        STR("the payment has been voided or refunded"));
        break;
    case PAYMENT_IS_NOT_AUTHORIZED:
        decision_reject(decision, STR("payment_not_authorized"),
                        STR("the payment is not authorized"));
        break;
    case PAYMENT_EXCEEDS:
        decision_reject(decision, STR("payment_exceeds_authorization"),
                        STR("more than was authorized, or in another currency"));
        break;
    case PAYMENT_UNDO_REFUSED:
        decision_reject(decision, STR("payment_undo_refused"), decided->detail);
        break;
    case PAYMENT_WANTS_PROVIDER_FIRST:
        break;
    }
}

static enum status settle(const struct payment_decision *decided, const struct decide_input *input,
                          struct arena *arena, struct decision *decision)
{
    if (decided->refusal == PAYMENT_WANTS_PROVIDER_FIRST) {
        return STATUS_INVALID;
    }
    refuse(decided, decision);
    for (int i = 0; i < decided->event_count; i++) {
        enum status status =
            payment_record(&decided->events[i], input->command->now, arena, decision);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static bool authorize_effect(const struct decide_input *input, struct arena *arena,
                             struct effect_request *request)
{
    return payment_authorize_asks(input->states[0]) &&
           payment_ask_authorize(input->command->target, input->command->body, arena, request);
}

static enum status authorize_decide(const struct decide_input *input, struct arena *arena,
                                    struct decision *decision)
{
    struct provider_answer answer;
    enum status status = payment_read_answer(&input->effect, arena, &answer);
    if (status != STATUS_OK) {
        return status;
    }
    struct payment_decision decided =
        payment_authorize(input->states[0], input->command->body, &answer);
    return settle(&decided, input, arena, decision);
}

static bool capture_effect(const struct decide_input *input, struct arena *arena,
                           struct effect_request *request)
{
    const struct money *amount = input->command->body;
    return payment_capture_asks(input->states[0], *amount) &&
           payment_ask_capture(input->command->target, *amount, arena, request);
}

static enum status capture_decide(const struct decide_input *input, struct arena *arena,
                                  struct decision *decision)
{
    const struct money *amount = input->command->body;
    struct provider_answer answer;
    enum status status = payment_read_answer(&input->effect, arena, &answer);
    if (status != STATUS_OK) {
        return status;
    }
    struct payment_decision decided = payment_capture(input->states[0], *amount, &answer);
    return settle(&decided, input, arena, decision);
}

static bool undo_effect(const struct decide_input *input, struct arena *arena,
                        struct effect_request *request)
{
    return payment_ask_undo(input->command->target, arena, request);
}

static enum status undo_decide(const struct decide_input *input, struct arena *arena,
                               struct decision *decision)
{
    struct provider_answer answer;
    enum status status = payment_read_answer(&input->effect, arena, &answer);
    if (status != STATUS_OK) {
        return status;
    }
    struct payment_decision decided = payment_undo(input->states[0], &answer);
    return settle(&decided, input, arena, decision);
}

static const struct aggregate aggregates[] = {
    {
        .category = {"payment", 7},
        .state =
            {
                .version = 1,
                .initial = payment_state_initial,
                .evolve = payment_state_evolve,
                .encode = payment_state_encode,
                .decode = payment_state_decode,
            },
    },
};

static const struct command_type commands[] = {
    {
        .type = {"authorize", 9},
        .category = {"payment", 7},
        .parse = payment_parse_authorize,
        .streams = target_only,
        .effect = authorize_effect,
        .decide = authorize_decide,
    },
    {
        .type = {"capture", 7},
        .category = {"payment", 7},
        .parse = payment_parse_capture,
        .streams = target_only,
        .effect = capture_effect,
        .decide = capture_decide,
    },
    {
        .type = {"void", 4},
        .category = {"payment", 7},
        .parse = body_parse_empty,
        .streams = target_only,
        .effect = undo_effect,
        .decide = undo_decide,
    },
    {
        .type = {"refund", 6},
        .category = {"payment", 7},
        .parse = body_parse_empty,
        .streams = target_only,
        .effect = undo_effect,
        .decide = undo_decide,
    },
};

const struct bounded_context payments_context = {
    .name = {"payments", 8},
    .role = {"payment", 7},
    .aggregates = aggregates,
    .aggregate_count = sizeof(aggregates) / sizeof(aggregates[0]),
    .commands = commands,
    .command_count = sizeof(commands) / sizeof(commands[0]),
};
