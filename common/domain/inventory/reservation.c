// SPDX-License-Identifier: Apache-2.0
// A reservation as a decider: what an order holds of the stock, all of it or nothing.
#include "domain/inventory/reservation.h"

static struct reservation_decision accept_nothing_new(void)
{
    return (struct reservation_decision){.refusal = RESERVATION_ACCEPTED};
}

static struct reservation_decision accept(struct reservation_event event)
{
    return (struct reservation_decision){
        .refusal = RESERVATION_ACCEPTED, .event_count = 1, .events = {event}};
}

static struct reservation_decision accept_and_move(struct reservation_event event,
                                                   enum stock_event_type stock_event)
{
    struct reservation_decision decision = accept(event);
    decision.moves_stock = true;
    decision.stock_event = stock_event;
    return decision;
}

static struct reservation_decision refuse(enum reservation_refusal refusal)
{
    return (struct reservation_decision){.refusal = refusal};
}

static struct reservation_decision refuse_short(struct str sku)
{
    return (struct reservation_decision){.refusal = RESERVATION_STOCK_SHORT, .short_sku = sku};
}

static struct reservation_decision reserve_first_time(const struct line_list *lines,
                                                      const struct stock_item *const *items)
{
    for (size_t i = 0; i < lines->count; i++) {
        if (!stock_item_has(items[i], lines->items[i].quantity)) {
            struct reservation_decision decision = refuse_short(lines->items[i].sku);
            decision.event_count = 1;
            decision.events[0] = (struct reservation_event){.type = RESERVATION_EVENT_REFUSED,
                                                            .short_sku = lines->items[i].sku};
            return decision;
        }
    }
    return accept_and_move(
        (struct reservation_event){.type = RESERVATION_EVENT_MADE, .lines = lines}, STOCK_RESERVED);
}

struct reservation_decision reservation_reserve(const struct reservation *reservation,
                                                const struct line_list *lines,
                                                const struct stock_item *const *items)
{
    switch (reservation->status) {
    case RESERVATION_NONE:
        return reserve_first_time(lines, items);
    case RESERVATION_MADE:
        return accept_nothing_new();
    case RESERVATION_REFUSED:
        return refuse_short(reservation->short_sku);
    case RESERVATION_COMMITTED:
        return refuse(RESERVATION_IS_COMMITTED);
    case RESERVATION_RELEASED:
        break;
    }
    return refuse(RESERVATION_IS_RELEASED);
}

static bool has_line(const struct line_list *lines, const struct line *wanted)
{
    for (size_t i = 0; i < lines->count; i++) {
        if (str_eq(lines->items[i].sku, wanted->sku)) {
            return lines->items[i].quantity == wanted->quantity;
        }
    }
    return false;
}

// No SKU stands twice in either, so equal counts and every line found make them equal.
static bool lines_equal(const struct line_list *left, const struct line_list *right)
{
    for (size_t i = 0; i < left->count; i++) {
        if (!has_line(right, &left->items[i])) {
            return false;
        }
    }
    return left->count == right->count;
}

struct reservation_decision reservation_release(const struct reservation *reservation,
                                                const struct line_list *lines)
{
    struct reservation_event released = {.type = RESERVATION_EVENT_RELEASED};
    switch (reservation->status) {
    case RESERVATION_NONE:
        return accept(released); // came before what it undoes: the late reserve is refused
    case RESERVATION_MADE:
        return lines_equal(&reservation->lines, lines) ? accept_and_move(released, STOCK_RELEASED)
                                                       : refuse(RESERVATION_LINES_DIFFER);
    case RESERVATION_REFUSED:
    case RESERVATION_RELEASED:
        return accept_nothing_new();
    case RESERVATION_COMMITTED:
        break;
    }
    return refuse(RESERVATION_IS_COMMITTED);
}

struct reservation_decision reservation_commit(const struct reservation *reservation,
                                               const struct line_list *lines)
{
    struct reservation_event committed = {.type = RESERVATION_EVENT_COMMITTED};
    switch (reservation->status) {
    case RESERVATION_MADE:
        return lines_equal(&reservation->lines, lines) ? accept_and_move(committed, STOCK_COMMITTED)
                                                       : refuse(RESERVATION_LINES_DIFFER);
    case RESERVATION_COMMITTED:
        return accept_nothing_new();
    case RESERVATION_RELEASED:
        return refuse(RESERVATION_IS_RELEASED);
    case RESERVATION_NONE:
    case RESERVATION_REFUSED:
        break;
    }
    return refuse(RESERVATION_NOT_MADE);
}

struct reservation reservation_evolve(struct reservation reservation,
                                      const struct reservation_event *event)
{
    switch (event->type) {
    case RESERVATION_EVENT_MADE:
        reservation.status = RESERVATION_MADE;
        reservation.lines = *event->lines;
        break;
    case RESERVATION_EVENT_REFUSED:
        reservation.status = RESERVATION_REFUSED;
        reservation.short_sku = event->short_sku;
        break;
    case RESERVATION_EVENT_RELEASED:
        reservation.status = RESERVATION_RELEASED;
        break;
    case RESERVATION_EVENT_COMMITTED:
        reservation.status = RESERVATION_COMMITTED;
        break;
    }
    return reservation;
}
