// SPDX-License-Identifier: Apache-2.0
// The finders over the shop's contexts, and what every table must have.
#include "domain/bounded_context.h"

#include <criterion/criterion.h>
#include <string.h>

static const char *const full_names[] = {
    "ordering.place_order",          "ordering.cancel_order",
    "ordering.confirm_order",        "ordering.reject_order",
    "payments.authorize_payment",    "payments.capture_payment",
    "payments.void_payment",         "payments.refund_payment",
    "inventory.reserve_reservation", "inventory.release_reservation",
    "inventory.commit_reservation",  "inventory.receive_stock_item",
    "shipping.schedule_shipment",    "shipping.cancel_shipment",
    "shipping.dispatch_shipment",    "shipping.deliver_shipment",
    "catalogue.list_product",        "catalogue.reprice_product",
    "catalogue.retire_product",
};

enum { NAME_COUNT = sizeof(full_names) / sizeof(full_names[0]) };

Test(bounded_context, given_the_shop_when_commands_are_looked_up_then_each_agreed_name_is_there)
{
    for (int i = 0; i < NAME_COUNT; i++) {
        cr_assert_not_null(context_command(str_from(full_names[i])), "%s", full_names[i]);
    }
}

Test(bounded_context, given_the_shop_when_its_commands_are_counted_then_there_are_no_others)
{
    size_t count = 0;
    for (size_t i = 0; i < context_registry()->count; i++) {
        count += context_registry()->contexts[i]->command_count;
    }
    cr_assert_eq(count, (size_t)NAME_COUNT);
}

Test(bounded_context, given_names_that_are_none_when_looked_up_then_nothing_is_found)
{
    static const char *const wrong[] = {"",
                                        "ordering",
                                        "ordering.place",
                                        "place_order",
                                        "ordering.place_orders",
                                        "payments.place_order"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_null(context_command(str_from(wrong[i])), "%s", wrong[i]);
    }
    cr_assert_null(context_aggregate(STR("counter")));
    cr_assert_null(context_projection(STR("order")));
    cr_assert_null(context_projection_of(STR("payment")));
    cr_assert_null(context_of_category(STR("")));
}

Test(bounded_context, given_categories_when_looked_up_then_aggregate_and_context_belong_together)
{
    static const char *const categories[][2] = {
        {"order", "ordering"},       {"payment", "payments"},  {"reservation", "inventory"},
        {"stock_item", "inventory"}, {"shipment", "shipping"}, {"product", "catalogue"},
    };
    for (size_t i = 0; i < 6; i++) {
        struct str category = str_from(categories[i][0]);
        cr_assert_not_null(context_aggregate(category));
        cr_assert(str_eq(context_of_category(category)->name, str_from(categories[i][1])));
    }
    cr_assert(str_eq(context_projection(STR("orders"))->category, STR("order")));
    cr_assert(str_eq(context_projection_of(STR("product"))->collection, STR("products")));
}

Test(bounded_context, given_the_shop_when_registered_then_every_required_slot_is_filled)
{
    for (size_t i = 0; i < context_registry()->count; i++) {
        const struct bounded_context *context = context_registry()->contexts[i];
        for (size_t j = 0; j < context->aggregate_count; j++) {
            const struct fold *fold = &context->aggregates[j].state;
            cr_assert(fold->version > 0 && fold->initial && fold->evolve && fold->encode &&
                      fold->decode);
        }
        for (size_t j = 0; j < context->command_count; j++) {
            const struct command_type *type = &context->commands[j];
            cr_assert(type->parse && type->streams && type->decide);
            cr_assert_not_null(context_aggregate(type->category));
        }
    }
}

Test(bounded_context, given_a_command_when_named_then_the_name_finds_it_again)
{
    char name[COMMAND_NAME_MAX];
    for (size_t i = 0; i < context_registry()->count; i++) {
        const struct bounded_context *context = context_registry()->contexts[i];
        for (size_t j = 0; j < context->command_count; j++) {
            size_t len = context_command_name(context, &context->commands[j], name);
            cr_assert(len > 0);
            cr_assert_eq(context_command((struct str){name, len}), &context->commands[j]);
        }
    }
}

Test(bounded_context, given_a_name_that_does_not_fit_when_written_then_its_length_is_none)
{
    char name[COMMAND_NAME_MAX];
    char long_name[COMMAND_NAME_MAX];
    memset(long_name, 'a', sizeof(long_name));
    struct bounded_context context = {.name = {long_name, sizeof(long_name)}};
    struct command_type type = {.type = STR("b"), .category = STR("c")};
    cr_assert_eq(context_command_name(&context, &type, name), 0);
}
