// SPDX-License-Identifier: Apache-2.0
// The inventory context's seam: reservations, one an order, and the stock items they hold.
#include "domain/inventory/inventory_context.h"

#include "domain/decision.h"
#include "domain/inventory/reservation_codec.h"
#include "domain/inventory/stock_codec.h"

_Static_assert(LINES_MAX + 1 <= COMMAND_STREAMS_MAX && LINES_MAX + 1 <= COMMAND_EVENTS_MAX,
               "a reservation and all its stock items are one append");

static const struct str stock_category = {"stock_item", 10};

// The reservation, then the stock item of each line.
static enum status reservation_streams(const struct command *command, struct arena *arena,
                                       struct stream_refs *streams)
{
    (void)arena;
    const struct line_list *lines = command->body;
    streams->items[0] = (struct stream_ref){command->target, STR("reservation"), STREAM_APPEND};
    for (size_t i = 0; i < lines->count; i++) {
        struct uuid item = uuid_named(command->tenant, stock_category, lines->items[i].sku);
        streams->items[i + 1] = (struct stream_ref){item, stock_category, STREAM_APPEND};
    }
    streams->count = lines->count + 1;
    return STATUS_OK;
}

static enum status item_streams(const struct command *command, struct arena *arena,
                                struct stream_refs *streams)
{
    (void)arena;
    streams->items[0] = (struct stream_ref){command->target, stock_category, STREAM_APPEND};
    streams->count = 1;
    return STATUS_OK;
}

static enum status refuse(const struct reservation_decision *decided, struct arena *arena,
                          struct decision *decision)
{
    switch (decided->refusal) {
    case RESERVATION_ACCEPTED:
        decision_accept(decision);
        break;
    case RESERVATION_STOCK_SHORT: {
        struct str detail =
            arena_printf(arena, "there is not enough of %.*s", STR_FMT(decided->short_sku));
        if (detail.data == NULL) {
            return STATUS_NO_MEMORY;
        }
        decision_reject(decision, STR("stock_short"), detail);
        break;
    }
    case RESERVATION_IS_RELEASED:
        decision_reject(decision, STR("reservation_released"),
                        STR("the reservation has been released"));
        break;
    case RESERVATION_IS_COMMITTED:
        decision_reject(decision, STR("reservation_committed"),
                        STR("the reservation has been committed"));
        break;
    case RESERVATION_NOT_MADE:
        decision_reject(decision, STR("reservation_not_made"), STR("nothing has been reserved"));
        break;
    case RESERVATION_LINES_DIFFER:
        decision_reject(decision, STR("reservation_lines_differ"),
                        STR("other lines than these have been reserved"));
        break;
    }
    return STATUS_OK;
}

static enum status move_stock(const struct reservation_decision *decided,
                              const struct command *command, struct arena *arena,
                              struct decision *decision)
{
    const struct line_list *lines = command->body;
    for (size_t i = 0; i < lines->count; i++) {
        enum status status = stock_record_moved(decided->stock_event, lines->items[i].quantity,
                                                command->target, i + 1, arena, decision);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum status settle(const struct reservation_decision *decided,
                          const struct decide_input *input, struct arena *arena,
                          struct decision *decision)
{
    enum status status = refuse(decided, arena, decision);
    if (status != STATUS_OK || decided->event_count == 0) {
        return status;
    }
    status = reservation_record(&decided->events[0], input->command->now, arena, decision);
    if (status != STATUS_OK || !decided->moves_stock) {
        return status;
    }
    return move_stock(decided, input->command, arena, decision);
}

static enum status reserve_decide(const struct decide_input *input, struct arena *arena,
                                  struct decision *decision)
{
    const struct stock_item *items[LINES_MAX];
    const struct line_list *lines = input->command->body;
    for (size_t i = 0; i < lines->count; i++) {
        items[i] = input->states[i + 1];
    }
    struct reservation_decision decided = reservation_reserve(input->states[0], lines, items);
    return settle(&decided, input, arena, decision);
}

static enum status release_decide(const struct decide_input *input, struct arena *arena,
                                  struct decision *decision)
{
    struct reservation_decision decided =
        reservation_release(input->states[0], input->command->body);
    return settle(&decided, input, arena, decision);
}

static enum status commit_decide(const struct decide_input *input, struct arena *arena,
                                 struct decision *decision)
{
    struct reservation_decision decided =
        reservation_commit(input->states[0], input->command->body);
    return settle(&decided, input, arena, decision);
}

static enum status receive_decide(const struct decide_input *input, struct arena *arena,
                                  struct decision *decision)
{
    const struct receive_stock *receipt = input->command->body;
    const struct command *command = input->command;
    // A stock item's stream is found by its SKU, so it may lie nowhere else.
    if (!uuid_eq(command->target, uuid_named(command->tenant, stock_category, receipt->sku))) {
        decision_invalid(decision);
        fault_list_add(&decision->faults, arena, STR("/sku"),
                       STR("is not the SKU that this stock item's id is made from"));
        return STATUS_OK;
    }
    if (!stock_item_takes(input->states[0], receipt->quantity)) {
        decision_invalid(decision);
        fault_list_add(&decision->faults, arena, STR("/quantity"),
                       STR("takes the stock past what a number may be"));
        return STATUS_OK;
    }
    decision_accept(decision);
    return stock_record_received(receipt, command->now, arena, decision);
}

static const struct aggregate aggregates[] = {
    {
        .category = {"reservation", 11},
        .state =
            {
                .version = 1,
                .initial = reservation_state_initial,
                .evolve = reservation_state_evolve,
                .encode = reservation_state_encode,
                .decode = reservation_state_decode,
            },
    },
    {
        .category = {"stock_item", 10},
        .state =
            {
                .version = 1,
                .initial = stock_state_initial,
                .evolve = stock_state_evolve,
                .encode = stock_state_encode,
                .decode = stock_state_decode,
            },
    },
};

static const struct command_type commands[] = {
    {
        .type = {"reserve", 7},
        .category = {"reservation", 11},
        .contended = true,
        .parse = reservation_parse_lines,
        .streams = reservation_streams,
        .decide = reserve_decide,
    },
    {
        .type = {"release", 7},
        .category = {"reservation", 11},
        .contended = true,
        .parse = reservation_parse_lines,
        .streams = reservation_streams,
        .decide = release_decide,
    },
    {
        .type = {"commit", 6},
        .category = {"reservation", 11},
        .contended = true,
        .parse = reservation_parse_lines,
        .streams = reservation_streams,
        .decide = commit_decide,
    },
    {
        .type = {"receive", 7},
        .category = {"stock_item", 10},
        .parse = stock_parse_receive,
        .streams = item_streams,
        .decide = receive_decide,
    },
};

const struct bounded_context inventory_context = {
    .name = {"inventory", 9},
    .role = {"inventory", 9},
    .aggregates = aggregates,
    .aggregate_count = sizeof(aggregates) / sizeof(aggregates[0]),
    .commands = commands,
    .command_count = sizeof(commands) / sizeof(commands[0]),
};
