// SPDX-License-Identifier: Apache-2.0
// The ordering context's seam: orders from placing to their end, and their document.
#include "domain/ordering/ordering_context.h"

#include "domain/body_reader.h"
#include "domain/decision.h"
#include "domain/ordering/order_codec.h"
#include "domain/ordering/order_document.h"
#include "domain/values/values_codec.h"

static const struct str order_category = {"order", 5};

static enum status target_only(const struct command *command, struct arena *arena,
                               struct stream_refs *streams)
{
    (void)arena;
    streams->items[0] = (struct stream_ref){command->target, order_category, STREAM_APPEND};
    streams->count = 1;
    return STATUS_OK;
}

// One lookup for each line whose SKU is well formed, in the lines' order.
static enum status place_lookups(const struct command *command, struct arena *arena,
                                 struct lookup_keys *keys)
{
    (void)arena;
    const struct place_order *order = command->body;
    keys->count = 0;
    for (size_t i = 0; i < order->lines.count; i++) {
        if (order->lines.items[i].sku.len > 0) {
            keys->items[keys->count++] =
                (struct lookup_key){STR("products"), order->lines.items[i].sku};
        }
    }
    return STATUS_OK;
}

// The catalogue's document of a product, its published language.
static enum status read_offer(struct str document, struct arena *arena, struct offer *offer)
{
    *offer = (struct offer){0};
    if (document.data == NULL) {
        return STATUS_OK;
    }
    const struct json_value *product;
    enum status status = json_read(document, arena, &product);
    if (status == STATUS_OK) {
        *offer = (struct offer){.known = true, .price = read_money(product, STR("price"))};
    }
    return status;
}

static enum status read_offers(const struct place_order *order, const struct lookup_rows *rows,
                               struct arena *arena, struct offer offers[LINES_MAX])
{
    size_t row = 0;
    for (size_t i = 0; i < order->lines.count; i++) {
        offers[i] = (struct offer){0};
        if (order->lines.items[i].sku.len == 0) {
            continue;
        }
        struct str document = row < rows->count ? rows->items[row] : (struct str){NULL, 0};
        row++;
        enum status status = read_offer(document, arena, &offers[i]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

static void report_line(struct body_reader *reader, enum line_fault fault, size_t index)
{
    switch (fault) {
    case LINE_UNKNOWN_SKU:
        body_fault(reader, arena_printf(reader->arena, "/lines/%zu/sku", index),
                   "is not in the catalogue");
        break;
    case LINE_OVERFLOW:
        body_fault(reader, arena_printf(reader->arena, "/lines/%zu", index),
                   "the line's total is past what an amount may be");
        break;
    case LINE_OTHER_CURRENCY:
    case LINE_FINE:
        break;
    }
}

// Everything the catalogue has against the order; a foreign currency is one fault, however many
// lines it touches.
static void report(const struct order_pricing *pricing, const struct offer *offers,
                   struct arena *arena, struct decision *decision)
{
    struct body_reader reader = {arena, &decision->faults, false};
    bool other_currency = false;
    decision_invalid(decision);
    for (size_t i = 0; i < pricing->placed.line_count; i++) {
        report_line(&reader, pricing->line_faults[i], i);
        if (pricing->line_faults[i] == LINE_OTHER_CURRENCY && !other_currency) {
            other_currency = true;
            body_fault(&reader, STR("/currency"), "must be the catalogue's, %.*s",
                       STR_FMT(currency_text(&offers[i].price.currency)));
        }
    }
    if (pricing->total_overflows) {
        body_fault(&reader, STR("/lines"), "the order's total is past what an amount may be");
    }
}

static enum status place_decide(const struct decide_input *input, struct arena *arena,
                                struct decision *decision)
{
    const struct place_order *order = input->command->body;
    struct offer offers[LINES_MAX];
    struct order_pricing pricing;
    enum status status = read_offers(order, input->lookups, arena, offers);
    if (status != STATUS_OK) {
        return status;
    }
    order_place(order, offers, input->command->actor, &pricing);
    if (!pricing.accepted) {
        report(&pricing, offers, arena, decision);
        return STATUS_OK;
    }
    decision_accept(decision);
    return order_record_placed(&pricing.placed, input->command->now, arena, decision);
}

static void refuse(enum order_refusal refusal, struct decision *decision)
{
    switch (refusal) {
    case ORDER_ACCEPTED:
        decision_accept(decision);
        break;
    case ORDER_NOT_FOUND:
        decision_not_found(decision);
        break;
    case ORDER_NOT_CANCELLABLE:
        decision_reject(decision, STR("order-not-cancellable"),
                        STR("the order is confirmed or rejected and can no longer be cancelled"));
        break;
    case ORDER_NOT_CONFIRMABLE:
        decision_reject(decision, STR("order_not_confirmable"),
                        STR("the order is being cancelled or has ended"));
        break;
    case ORDER_IS_CONFIRMED:
        decision_reject(decision, STR("order_confirmed"), STR("the order is confirmed"));
        break;
    }
}

static enum status settle(const struct order_decision *decided, const struct decide_input *input,
                          struct arena *arena, struct decision *decision)
{
    refuse(decided->refusal, decision);
    if (decided->event_count == 0) {
        return STATUS_OK;
    }
    return order_record(&decided->events[0], input->command->now, arena, decision);
}

static enum status cancel_decide(const struct decide_input *input, struct arena *arena,
                                 struct decision *decision)
{
    const struct str *reason = input->command->body;
    struct order_decision decided = order_cancel(input->states[0], input->command->actor, *reason);
    return settle(&decided, input, arena, decision);
}

// Confirming and rejecting are the saga's; to anyone else there is no such thing.
static bool is_saga(struct str actor)
{
    return str_starts_with(actor, STR("saga:"));
}

static enum status confirm_decide(const struct decide_input *input, struct arena *arena,
                                  struct decision *decision)
{
    struct order_decision decided = {.refusal = ORDER_NOT_FOUND};
    if (is_saga(input->command->actor)) {
        decided = order_confirm(input->states[0]);
    }
    return settle(&decided, input, arena, decision);
}

static enum status reject_decide(const struct decide_input *input, struct arena *arena,
                                 struct decision *decision)
{
    const struct order_rejection *rejection = input->command->body;
    struct order_decision decided = {.refusal = ORDER_NOT_FOUND};
    if (is_saga(input->command->actor)) {
        decided = order_reject(input->states[0], *rejection);
    }
    return settle(&decided, input, arena, decision);
}

static const struct aggregate aggregates[] = {
    {
        .category = {"order", 5},
        .state =
            {
                .version = 1,
                .initial = order_state_initial,
                .evolve = order_state_evolve,
                .encode = order_state_encode,
                .decode = order_state_decode,
            },
    },
};

static const struct projection projections[] = {
    {
        .collection = {"orders", 6},
        .category = {"order", 5},
        .newest_first = true,
        .document =
            {
                .version = 1,
                .initial = order_document_initial,
                .evolve = order_document_evolve,
                .encode = order_document_encode,
                .decode = order_document_decode,
            },
        .index = order_document_index,
    },
};

static const struct command_type commands[] = {
    {
        .type = {"place", 5},
        .category = {"order", 5},
        .creates = true,
        .parse = order_parse_place,
        .streams = target_only,
        .lookups = place_lookups,
        .decide = place_decide,
    },
    {
        .type = {"cancel", 6},
        .category = {"order", 5},
        .parse = order_parse_cancel,
        .streams = target_only,
        .decide = cancel_decide,
    },
    {
        .type = {"confirm", 7},
        .category = {"order", 5},
        .parse = body_parse_empty,
        .streams = target_only,
        .decide = confirm_decide,
    },
    {
        .type = {"reject", 6},
        .category = {"order", 5},
        .parse = order_parse_reject,
        .streams = target_only,
        .decide = reject_decide,
    },
};

const struct bounded_context ordering_context = {
    .name = {"ordering", 8},
    .role = {"ordering", 8},
    .aggregates = aggregates,
    .aggregate_count = sizeof(aggregates) / sizeof(aggregates[0]),
    .commands = commands,
    .command_count = sizeof(commands) / sizeof(commands[0]),
    .projections = projections,
    .projection_count = sizeof(projections) / sizeof(projections[0]),
};
