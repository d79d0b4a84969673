// SPDX-License-Identifier: Apache-2.0
// An amount of money: integer minor units and a currency; sums are checked.
#include "domain/values/money.h"

static bool is_allowed(int64_t amount)
{
    return amount >= 0 && amount <= MONEY_AMOUNT_MAX;
}

bool money_add(struct money left, struct money right, struct money *sum)
{
    int64_t amount;
    if (!currency_eq(left.currency, right.currency) ||
        __builtin_add_overflow(left.amount, right.amount, &amount) || !is_allowed(amount)) {
        return false;
    }
    *sum = (struct money){amount, left.currency};
    return true;
}

bool money_multiply(struct money money, int64_t times, struct money *product)
{
    int64_t amount;
    if (times < 0 || __builtin_mul_overflow(money.amount, times, &amount) || !is_allowed(amount)) {
        return false;
    }
    *product = (struct money){amount, money.currency};
    return true;
}

bool money_eq(struct money left, struct money right)
{
    return left.amount == right.amount && currency_eq(left.currency, right.currency);
}
