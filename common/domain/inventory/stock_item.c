// SPDX-License-Identifier: Apache-2.0
// The stock of one SKU: numbers only, however long its history. Always, and never below zero:
// received = on hand + reserved + committed.
#include "domain/inventory/stock_item.h"

bool stock_item_takes(const struct stock_item *item, int64_t quantity)
{
    return quantity <= STOCK_MAX - item->received;
}

bool stock_item_has(const struct stock_item *item, int64_t quantity)
{
    return quantity <= item->on_hand;
}

struct stock_item stock_item_evolve(struct stock_item item, struct stock_event event)
{
    switch (event.type) {
    case STOCK_RECEIVED:
        item.received += event.quantity;
        item.on_hand += event.quantity;
        break;
    case STOCK_RESERVED:
        item.on_hand -= event.quantity;
        item.reserved += event.quantity;
        break;
    case STOCK_RELEASED:
        item.reserved -= event.quantity;
        item.on_hand += event.quantity;
        break;
    case STOCK_COMMITTED:
        item.reserved -= event.quantity;
        item.committed += event.quantity;
        break;
    }
    return item;
}
