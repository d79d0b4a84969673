// SPDX-License-Identifier: Apache-2.0
// An amount of money: integer minor units and a currency; sums are checked.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "domain/values/currency.h"

// What JSON carries unharmed.
#define MONEY_AMOUNT_MAX JSON_INTEGER_MAX

struct money {
    int64_t amount; // minor units, 0 to MONEY_AMOUNT_MAX
    struct currency currency;
};

// False: the currencies differ or the sum is past MONEY_AMOUNT_MAX; *sum is left alone.
bool money_add(struct money left, struct money right, struct money *sum);

// False: the product is past MONEY_AMOUNT_MAX or `times` is below 0; *product is left alone.
bool money_multiply(struct money money, int64_t times, struct money *product);

bool money_eq(struct money left, struct money right);
