// SPDX-License-Identifier: Apache-2.0
// The product's rules: listed, repriced, retired, and listed again.
#include "domain/catalogue/product.h"

#include <criterion/criterion.h>

static const struct money cheap = {100, {"BRL"}};
static const struct money dear = {900, {"BRL"}};

static struct product given(enum product_status status)
{
    return (struct product){status, STR("A"), STR("Apple"), cheap};
}

static struct product_decision when_listed(struct product product, struct str name,
                                           struct money price)
{
    struct list_product command = {STR("A"), name, price};
    return product_list(&product, &command);
}

static struct product_decision when_repriced(struct product product, struct money price)
{
    return product_reprice(&product, price);
}

static struct product_decision when_retired(struct product product)
{
    return product_retire(&product);
}

Test(product, given_no_product_when_listed_then_it_is)
{
    struct product_decision decision = when_listed((struct product){0}, STR("Apple"), cheap);
    cr_assert_eq(decision.event_count, 1);
    struct product product = product_evolve((struct product){0}, &decision.events[0]);
    cr_assert_eq(product.status, PRODUCT_LISTED);
    cr_assert(money_eq(product.price, cheap));
}

Test(product, given_a_listed_product_when_listed_otherwise_then_it_refuses)
{
    cr_assert_eq(when_listed(given(PRODUCT_LISTED), STR("Apple"), dear).refusal,
                 PRODUCT_ALREADY_LISTED);
    cr_assert_eq(when_listed(given(PRODUCT_LISTED), STR("Pear"), cheap).refusal,
                 PRODUCT_ALREADY_LISTED);
}

Test(product, given_a_listed_product_when_listed_alike_then_nothing_new_happens)
{
    struct product_decision decision = when_listed(given(PRODUCT_LISTED), STR("Apple"), cheap);
    cr_assert_eq(decision.refusal, PRODUCT_ACCEPTED);
    cr_assert_eq(decision.event_count, 0);
}

Test(product, given_a_retired_product_when_listed_then_it_comes_back)
{
    struct product_decision decision = when_listed(given(PRODUCT_RETIRED), STR("Apple"), dear);
    struct product product = product_evolve(given(PRODUCT_RETIRED), &decision.events[0]);
    cr_assert_eq(product.status, PRODUCT_LISTED);
    cr_assert(money_eq(product.price, dear));
}

Test(product, given_a_listed_product_when_repriced_then_it_costs_that)
{
    struct product_decision decision = when_repriced(given(PRODUCT_LISTED), dear);
    cr_assert(money_eq(product_evolve(given(PRODUCT_LISTED), &decision.events[0]).price, dear));
}

Test(product, given_no_product_or_a_retired_one_when_repriced_then_it_refuses)
{
    cr_assert_eq(when_repriced(given(PRODUCT_UNKNOWN), dear).refusal, PRODUCT_NOT_FOUND);
    cr_assert_eq(when_repriced(given(PRODUCT_RETIRED), dear).refusal, PRODUCT_NOT_LISTED);
}

Test(product, given_the_same_price_when_repriced_then_nothing_new_happens)
{
    cr_assert_eq(when_repriced(given(PRODUCT_LISTED), cheap).event_count, 0);
}

Test(product, given_a_listed_product_when_retired_then_it_is_once)
{
    struct product_decision decision = when_retired(given(PRODUCT_LISTED));
    cr_assert_eq(product_evolve(given(PRODUCT_LISTED), &decision.events[0]).status,
                 PRODUCT_RETIRED);
    cr_assert_eq(when_retired(given(PRODUCT_RETIRED)).event_count, 0);
    cr_assert_eq(when_retired(given(PRODUCT_RETIRED)).refusal, PRODUCT_ACCEPTED);
    cr_assert_eq(when_retired(given(PRODUCT_UNKNOWN)).refusal, PRODUCT_NOT_FOUND);
}
