// SPDX-License-Identifier: Apache-2.0
// The shipping context's seam: one shipment an order, asked of a carrier before it is recorded.
#include "domain/shipping/shipping_context.h"

#include "base/json_tree.h"
#include "domain/body_reader.h"
#include "domain/decision.h"
#include "domain/shipping/shipment_codec.h"

static enum status target_only(const struct command *command, struct arena *arena,
                               struct stream_refs *streams)
{
    (void)arena;
    streams->items[0] = (struct stream_ref){command->target, STR("shipment"), STREAM_APPEND};
    streams->count = 1;
    return STATUS_OK;
}

// The order is only read: confirmed is final, so its version need not be compared.
static enum status dispatch_streams(const struct command *command, struct arena *arena,
                                    struct stream_refs *streams)
{
    const struct uuid *order = command->body;
    enum status status = target_only(command, arena, streams);
    streams->items[1] = (struct stream_ref){*order, STR("order"), STREAM_READ};
    streams->count = 2;
    return status;
}

static void refuse(const struct shipment_decision *decided, struct decision *decision)
{
    switch (decided->refusal) {
    case SHIPMENT_ACCEPTED:
        decision_accept(decision);
        break;
    case SHIPMENT_IS_REFUSED:
        decision_reject(decision, STR("shipment_refused"), decided->detail);
        break;
    case SHIPMENT_IS_CANCELLED:
        decision_reject(decision, STR("shipment_cancelled"),
                        STR("the shipment has been cancelled"));
        break;
    case SHIPMENT_IS_DISPATCHED:
        decision_reject(decision, STR("shipment_dispatched"),
                        STR("the shipment has been dispatched"));
        break;
    case SHIPMENT_NOT_SCHEDULED:
        decision_reject(decision, STR("shipment_not_scheduled"),
                        STR("the shipment is not scheduled"));
        break;
    case SHIPMENT_NOT_DISPATCHED:
        decision_reject(decision, STR("shipment_not_dispatched"),
                        STR("the shipment is not dispatched"));
        break;
    case SHIPMENT_ORDER_NOT_CONFIRMED:
        decision_reject(decision, STR("order_not_confirmed"), STR("the order is not confirmed"));
        break;
    case SHIPMENT_CANCEL_REFUSED:
        decision_reject(decision, STR("shipment_cancel_refused"), decided->detail);
        break;
    case SHIPMENT_WANTS_CARRIER_FIRST:
        break;
    }
}

static enum status settle(const struct shipment_decision *decided, const struct decide_input *input,
                          struct arena *arena, struct decision *decision)
{
    if (decided->refusal == SHIPMENT_WANTS_CARRIER_FIRST) {
        return STATUS_INVALID;
    }
    refuse(decided, decision);
    if (decided->event_count == 0) {
        return STATUS_OK;
    }
    return shipment_record(&decided->events[0], input->command->now, arena, decision);
}

static bool schedule_effect(const struct decide_input *input, struct arena *arena,
                            struct effect_request *request)
{
    return shipment_schedule_asks(input->states[0]) &&
           shipment_ask_schedule(input->command->target, input->command->body, arena, request);
}

static enum status schedule_decide(const struct decide_input *input, struct arena *arena,
                                   struct decision *decision)
{
    struct carrier_answer answer = shipment_read_answer(&input->effect);
    struct shipment_decision decided =
        shipment_schedule(input->states[0], input->command->body, &answer);
    return settle(&decided, input, arena, decision);
}

static bool cancel_effect(const struct decide_input *input, struct arena *arena,
                          struct effect_request *request)
{
    return shipment_cancel_asks(input->states[0]) &&
           shipment_ask_cancel(input->command->target, arena, request);
}

static enum status cancel_decide(const struct decide_input *input, struct arena *arena,
                                 struct decision *decision)
{
    struct carrier_answer answer = shipment_read_answer(&input->effect);
    struct shipment_decision decided = shipment_cancel(input->states[0], &answer);
    return settle(&decided, input, arena, decision);
}

// The ordering context's document, its published language.
static enum status read_confirmed(const struct str *document, struct arena *arena, bool *confirmed)
{
    const struct json_value *order;
    *confirmed = false;
    if (document->data == NULL) {
        return STATUS_OK;
    }
    enum status status = json_read(*document, arena, &order);
    if (status == STATUS_OK) {
        *confirmed = str_eq(json_member_text(order, STR("status")), STR("confirmed"));
    }
    return status;
}

static enum status dispatch_decide(const struct decide_input *input, struct arena *arena,
                                   struct decision *decision)
{
    const struct uuid *order = input->command->body;
    bool confirmed;
    if (!uuid_eq(uuid_derive(*order, STR("shipment")), input->command->target)) {
        decision_invalid(decision);
        fault_list_add(&decision->faults, arena, STR("/order_id"),
                       STR("is not the order that this shipment belongs to"));
        return STATUS_OK;
    }
    enum status status = read_confirmed(input->states[1], arena, &confirmed);
    if (status != STATUS_OK) {
        return status;
    }
    struct shipment_decision decided = shipment_dispatch(input->states[0], confirmed);
    return settle(&decided, input, arena, decision);
}

static enum status deliver_decide(const struct decide_input *input, struct arena *arena,
                                  struct decision *decision)
{
    struct shipment_decision decided = shipment_deliver(input->states[0]);
    return settle(&decided, input, arena, decision);
}

static const struct aggregate aggregates[] = {
    {
        .category = {"shipment", 8},
        .state =
            {
                .version = 1,
                .initial = shipment_state_initial,
                .evolve = shipment_state_evolve,
                .encode = shipment_state_encode,
                .decode = shipment_state_decode,
            },
    },
};

static const struct command_type commands[] = {
    {
        .type = {"schedule", 8},
        .category = {"shipment", 8},
        .parse = shipment_parse_schedule,
        .streams = target_only,
        .effect = schedule_effect,
        .decide = schedule_decide,
    },
    {
        .type = {"cancel", 6},
        .category = {"shipment", 8},
        .parse = body_parse_empty,
        .streams = target_only,
        .effect = cancel_effect,
        .decide = cancel_decide,
    },
    {
        .type = {"dispatch", 8},
        .category = {"shipment", 8},
        .parse = shipment_parse_dispatch,
        .streams = dispatch_streams,
        .decide = dispatch_decide,
    },
    {
        .type = {"deliver", 7},
        .category = {"shipment", 8},
        .parse = body_parse_empty,
        .streams = target_only,
        .decide = deliver_decide,
    },
};

const struct bounded_context shipping_context = {
    .name = {"shipping", 8},
    .role = {"shipping", 8},
    .aggregates = aggregates,
    .aggregate_count = sizeof(aggregates) / sizeof(aggregates[0]),
    .commands = commands,
    .command_count = sizeof(commands) / sizeof(commands[0]),
};
