// SPDX-License-Identifier: Apache-2.0
// A product as a decider: what the shop sells, and for how much.
#include "domain/catalogue/product.h"

static struct product_decision accept_nothing_new(void)
{
    return (struct product_decision){.refusal = PRODUCT_ACCEPTED};
}

static struct product_decision accept(struct product_event event)
{
    return (struct product_decision){
        .refusal = PRODUCT_ACCEPTED, .event_count = 1, .events = {event}};
}

static struct product_decision refuse(enum product_refusal refusal)
{
    return (struct product_decision){.refusal = refusal};
}

struct product_decision product_list(const struct product *product,
                                     const struct list_product *command)
{
    if (product->status != PRODUCT_LISTED) {
        return accept((struct product_event){.type = PRODUCT_EVENT_LISTED,
                                             .sku = command->sku,
                                             .name = command->name,
                                             .price = command->price});
    }
    bool same = str_eq(product->name, command->name) && money_eq(product->price, command->price);
    return same ? accept_nothing_new() : refuse(PRODUCT_ALREADY_LISTED);
}

struct product_decision product_reprice(const struct product *product, struct money price)
{
    switch (product->status) {
    case PRODUCT_LISTED:
        return money_eq(product->price, price)
                   ? accept_nothing_new()
                   : accept((struct product_event){.type = PRODUCT_EVENT_REPRICED, .price = price});
    case PRODUCT_RETIRED:
        return refuse(PRODUCT_NOT_LISTED);
    case PRODUCT_UNKNOWN:
        break;
    }
    return refuse(PRODUCT_NOT_FOUND);
}

struct product_decision product_retire(const struct product *product)
{
    switch (product->status) {
    case PRODUCT_LISTED:
        return accept((struct product_event){.type = PRODUCT_EVENT_RETIRED});
    case PRODUCT_RETIRED:
        return accept_nothing_new();
    case PRODUCT_UNKNOWN:
        break;
    }
    return refuse(PRODUCT_NOT_FOUND);
}

struct product product_evolve(struct product product, const struct product_event *event)
{
    switch (event->type) {
    case PRODUCT_EVENT_LISTED:
        return (struct product){PRODUCT_LISTED, event->sku, event->name, event->price};
    case PRODUCT_EVENT_REPRICED:
        product.price = event->price;
        break;
    case PRODUCT_EVENT_RETIRED:
        product.status = PRODUCT_RETIRED;
        break;
    }
    return product;
}
