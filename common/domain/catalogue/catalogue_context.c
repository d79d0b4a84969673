// SPDX-License-Identifier: Apache-2.0
// The catalogue context's seam: what is sold and for how much; its document is what other contexts
// look prices up in.
#include "domain/catalogue/catalogue_context.h"

#include "domain/body_reader.h"
#include "domain/catalogue/product_codec.h"
#include "domain/decision.h"

static const struct str product_category = {"product", 7};

static enum status target_only(const struct command *command, struct arena *arena,
                               struct stream_refs *streams)
{
    (void)arena;
    streams->items[0] = (struct stream_ref){command->target, product_category, STREAM_APPEND};
    streams->count = 1;
    return STATUS_OK;
}

static void refuse(enum product_refusal refusal, struct decision *decision)
{
    switch (refusal) {
    case PRODUCT_ACCEPTED:
        decision_accept(decision);
        break;
    case PRODUCT_NOT_FOUND:
        decision_not_found(decision);
        break;
    case PRODUCT_ALREADY_LISTED:
        decision_reject(decision, STR("product_already_listed"),
                        STR("it is listed under another name or price; reprice it, or retire it "
                            "and list it again"));
        break;
    case PRODUCT_NOT_LISTED:
        decision_reject(decision, STR("product_not_listed"),
                        STR("it is retired; list it again first"));
        break;
    }
}

static enum status settle(const struct product_decision *decided, const struct decide_input *input,
                          struct arena *arena, struct decision *decision)
{
    refuse(decided->refusal, decision);
    if (decided->event_count == 0) {
        return STATUS_OK;
    }
    return product_record(&decided->events[0], input->command->now, arena, decision);
}

// A product's stream is found by its SKU, so it may lie nowhere else.
static bool is_at_home(const struct command *command, struct str sku)
{
    return uuid_eq(command->target, uuid_named(command->tenant, product_category, sku));
}

static enum status list_decide(const struct decide_input *input, struct arena *arena,
                               struct decision *decision)
{
    const struct list_product *product = input->command->body;
    if (!is_at_home(input->command, product->sku)) {
        decision_invalid(decision);
        fault_list_add(&decision->faults, arena, STR("/sku"),
                       STR("is not the SKU that this product's id is made from"));
        return STATUS_OK;
    }
    struct product_decision decided = product_list(input->states[0], product);
    return settle(&decided, input, arena, decision);
}

static enum status reprice_decide(const struct decide_input *input, struct arena *arena,
                                  struct decision *decision)
{
    const struct money *price = input->command->body;
    struct product_decision decided = product_reprice(input->states[0], *price);
    return settle(&decided, input, arena, decision);
}

static enum status retire_decide(const struct decide_input *input, struct arena *arena,
                                 struct decision *decision)
{
    struct product_decision decided = product_retire(input->states[0]);
    return settle(&decided, input, arena, decision);
}

static const struct aggregate aggregates[] = {
    {
        .category = {"product", 7},
        .state =
            {
                .version = 1,
                .initial = product_state_initial,
                .evolve = product_state_evolve,
                .encode = product_state_encode,
                .decode = product_state_decode,
            },
    },
};

static const struct command_type commands[] = {
    {
        .type = {"list", 4},
        .category = {"product", 7},
        .parse = product_parse_list,
        .streams = target_only,
        .decide = list_decide,
    },
    {
        .type = {"reprice", 7},
        .category = {"product", 7},
        .parse = product_parse_reprice,
        .streams = target_only,
        .decide = reprice_decide,
    },
    {
        .type = {"retire", 6},
        .category = {"product", 7},
        .parse = body_parse_empty,
        .streams = target_only,
        .decide = retire_decide,
    },
};

static const struct projection projections[] = {
    {
        .collection = {"products", 8},
        .category = {"product", 7},
        .newest_first = false,
        .document =
            {
                .version = 1,
                .initial = product_state_initial,
                .evolve = product_state_evolve,
                .encode = product_state_encode,
                .decode = product_state_decode,
            },
        .index = product_document_index,
    },
};

const struct bounded_context catalogue_context = {
    .name = {"catalogue", 9},
    .aggregates = aggregates,
    .aggregate_count = sizeof(aggregates) / sizeof(aggregates[0]),
    .commands = commands,
    .command_count = sizeof(commands) / sizeof(commands[0]),
    .projections = projections,
    .projection_count = sizeof(projections) / sizeof(projections[0]),
};
