// SPDX-License-Identifier: Apache-2.0
// An order as a decider: what a customer and the saga may do with it, and what has happened to it.
#include "domain/ordering/order.h"

static enum line_fault price_line(const struct place_order *command, size_t index,
                                  const struct offer *offer, struct order_line *priced)
{
    const struct line *line = &command->lines.items[index];
    if (line->sku.len == 0) {
        return LINE_FINE;
    }
    if (!offer->known) {
        return LINE_UNKNOWN_SKU;
    }
    if (currency_is_set(command->currency) &&
        !currency_eq(offer->price.currency, command->currency)) {
        return LINE_OTHER_CURRENCY;
    }
    priced->sku = line->sku;
    priced->quantity = line->quantity;
    priced->unit_price = offer->price;
    return money_multiply(offer->price, line->quantity, &priced->total) ? LINE_FINE : LINE_OVERFLOW;
}

void order_place(const struct place_order *command, const struct offer *offers, struct str customer,
                 struct order_pricing *pricing)
{
    pricing->accepted = true;
    pricing->total_overflows = false;
    struct order_placed *placed = &pricing->placed;
    *placed = (struct order_placed){
        .customer = customer,
        .line_count = command->lines.count,
        .total = {0, command->currency},
        .payment_token = command->payment_token,
        .ship_to = command->ship_to,
    };
    for (size_t i = 0; i < command->lines.count; i++) {
        struct order_line *line = &placed->lines[i];
        pricing->line_faults[i] = price_line(command, i, &offers[i], line);
        if (pricing->line_faults[i] != LINE_FINE) {
            pricing->accepted = false;
        } else if (line->sku.len > 0 && currency_is_set(command->currency) &&
                   !money_add(placed->total, line->total, &placed->total)) {
            pricing->total_overflows = true;
            pricing->accepted = false;
        }
    }
}

static struct order_decision accept_nothing_new(void)
{
    return (struct order_decision){.refusal = ORDER_ACCEPTED};
}

static struct order_decision accept(struct order_event event)
{
    return (struct order_decision){.refusal = ORDER_ACCEPTED, .event_count = 1, .events = {event}};
}

static struct order_decision refuse(enum order_refusal refusal)
{
    return (struct order_decision){.refusal = refusal};
}

struct order_decision order_cancel(const struct order *order, struct str customer,
                                   struct str reason)
{
    if (!str_eq(order->customer, customer)) {
        return refuse(ORDER_NOT_FOUND);
    }
    switch (order->status) {
    case ORDER_PLACED:
        return accept((struct order_event){.type = ORDER_EVENT_CANCEL_REQUESTED, .reason = reason});
    case ORDER_CANCELLING:
    case ORDER_CANCELLED:
        return accept_nothing_new();
    case ORDER_CONFIRMED:
    case ORDER_REJECTED:
        return refuse(ORDER_NOT_CANCELLABLE);
    case ORDER_UNKNOWN:
        break;
    }
    return refuse(ORDER_NOT_FOUND);
}

struct order_decision order_confirm(const struct order *order)
{
    switch (order->status) {
    case ORDER_PLACED:
        return accept((struct order_event){.type = ORDER_EVENT_CONFIRMED});
    case ORDER_CONFIRMED:
        return accept_nothing_new();
    case ORDER_CANCELLING:
    case ORDER_CANCELLED:
    case ORDER_REJECTED:
        return refuse(ORDER_NOT_CONFIRMABLE);
    case ORDER_UNKNOWN:
        break;
    }
    return refuse(ORDER_NOT_FOUND);
}

struct order_decision order_reject(const struct order *order, struct order_rejection rejection)
{
    switch (order->status) {
    case ORDER_PLACED:
        return accept((struct order_event){.type = ORDER_EVENT_REJECTED, .rejection = rejection});
    case ORDER_CANCELLING:
        return accept((struct order_event){.type = ORDER_EVENT_CANCELLED});
    case ORDER_CANCELLED:
    case ORDER_REJECTED:
        return accept_nothing_new();
    case ORDER_CONFIRMED:
        return refuse(ORDER_IS_CONFIRMED);
    case ORDER_UNKNOWN:
        break;
    }
    return refuse(ORDER_NOT_FOUND);
}

struct order order_evolve(struct order order, const struct order_event *event)
{
    switch (event->type) {
    case ORDER_EVENT_PLACED:
        order.status = ORDER_PLACED;
        order.customer = event->customer;
        break;
    case ORDER_EVENT_CANCEL_REQUESTED:
        order.status = ORDER_CANCELLING;
        break;
    case ORDER_EVENT_CANCELLED:
        order.status = ORDER_CANCELLED;
        break;
    case ORDER_EVENT_CONFIRMED:
        order.status = ORDER_CONFIRMED;
        break;
    case ORDER_EVENT_REJECTED:
        order.status = ORDER_REJECTED;
        break;
    }
    return order;
}
