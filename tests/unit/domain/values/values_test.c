// SPDX-License-Identifier: Apache-2.0
// The value objects: what each lets in and what it keeps out.
#include <criterion/criterion.h>
#include <string.h>

#include "domain/values/address.h"
#include "domain/values/currency.h"
#include "domain/values/money.h"
#include "domain/values/sku.h"
#include "domain/values/text.h"

static const struct currency brl = {"BRL"};

Test(currency, given_codes_when_parsed_then_only_active_ones_in_upper_case_are)
{
    static const char *const right[] = {"AED", "BRL", "EUR", "USD", "JPY", "ZWG"};
    static const char *const wrong[] = {"", "brl", "BR", "BRLL", "XXX", "ABC", "BR\xc3"};
    struct currency currency;
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        cr_assert(currency_parse(str_from(right[i]), &currency), "%s", right[i]);
        cr_assert(str_eq(currency_text(&currency), str_from(right[i])));
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert(!currency_parse(str_from(wrong[i]), &currency), "%s", wrong[i]);
    }
    cr_assert(!currency_is_set((struct currency){""}));
}

Test(money, given_amounts_when_added_then_neither_overflow_nor_currencies_mix)
{
    struct money most = {MONEY_AMOUNT_MAX, brl}, one = {1, brl}, dollar = {1, {"USD"}},
                 sum = {7, brl};
    cr_assert(!money_add(most, one, &sum));
    cr_assert(!money_add(one, dollar, &sum));
    cr_assert_eq(sum.amount, 7);
    cr_assert(money_add((struct money){MONEY_AMOUNT_MAX - 1, brl}, one, &sum));
    cr_assert(money_eq(sum, most));
    cr_assert(!money_eq(one, dollar));
}

Test(money, given_amounts_when_multiplied_then_the_product_fits_or_is_refused)
{
    struct money product = {7, brl};
    cr_assert(!money_multiply((struct money){MONEY_AMOUNT_MAX, brl}, 2, &product));
    cr_assert(!money_multiply((struct money){MONEY_AMOUNT_MAX, brl}, INT64_MAX, &product));
    cr_assert(!money_multiply((struct money){1, brl}, -1, &product));
    cr_assert_eq(product.amount, 7);
    cr_assert(money_multiply((struct money){1990, brl}, 1000, &product));
    cr_assert_eq(product.amount, 1990000);
}

Test(sku, given_names_when_judged_then_only_what_can_stand_in_a_url_is_a_sku)
{
    static const char *const right[] = {"A", "SKU-1", "0", "a.b_c-D"};
    static const char *const wrong[] = {"",    ".",   "..",   "-A",      "_A",
                                        "A B", "A/B", "A%20", "\xc3\xa9"};
    char longest[SKU_LEN_MAX + 2];
    memset(longest, 'A', sizeof(longest));
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        cr_assert(sku_is_valid(str_from(right[i])), "%s", right[i]);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert(!sku_is_valid(str_from(wrong[i])), "%s", wrong[i]);
    }
    cr_assert(sku_is_valid((struct str){longest, SKU_LEN_MAX}));
    cr_assert(!sku_is_valid((struct str){longest, SKU_LEN_MAX + 1}));
}

Test(text, given_text_when_measured_then_characters_count_and_not_bytes)
{
    cr_assert_eq(text_length(STR("S\xc3\xa3o \xf0\x9f\x98\x80")), 5);
    cr_assert_eq(text_length(STR("")), 0);
}

Test(text, given_text_when_judged_then_control_characters_and_mere_spaces_are_unreadable)
{
    static const char *const wrong[] = {"", " ", "   ", "a\nb", "a\x1b[2J", "\x7f", "a\xc2\x85"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert(!text_is_readable(str_from(wrong[i])), "%zu", i);
    }
    cr_assert(text_is_readable(STR(" a ")));
    cr_assert(text_is_readable(STR("\xc2\xa1Hola! \xc3\xa9")));
}

Test(country, given_codes_when_judged_then_those_of_iso_3166_are_countries)
{
    static const char *const wrong[] = {"", "br", "B", "BRA", "XX", "ZZ", "UK", "EU"};
    int count = 0;
    for (char first = 'A'; first <= 'Z'; first++) {
        for (char second = 'A'; second <= 'Z'; second++) {
            char code[] = {first, second};
            count += country_is_valid((struct str){code, 2});
        }
    }
    cr_assert_eq(count, 249);
    cr_assert(country_is_valid(STR("BR")));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert(!country_is_valid(str_from(wrong[i])), "%s", wrong[i]);
    }
}

struct postal_case {
    const char *country, *code;
    bool valid;
};

Test(postal_code, given_countries_when_judged_then_each_has_its_form)
{
    static const struct postal_case cases[] = {
        {"BR", "01310-100", true},    {"BR", "01310100", true},
        {"BR", "00000-000", true},    {"BR", "1310-100", false},
        {"BR", "01310-10", false},    {"BR", "0131O-100", false},
        {"US", "94105", true},        {"US", "94105-1234", true},
        {"US", "9410", false},        {"DE", "10115", true},
        {"PT", "1000-001", true},     {"PT", "1000001", false},
        {"GB", "SW1A 1AA", true},     {"NL", "1012 AB", true},
        {"CA", "K1A 0B1", true},      {"GB", "", false},
        {"GB", "1", false},           {"GB", " SW1A", false},
        {"GB", "SW1A 1AA AA", false}, {"GB", "SW1A_1AA", false},
        {"", "01310-100", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert_eq(postal_code_is_valid(str_from(cases[i].country), str_from(cases[i].code)),
                     cases[i].valid, "%s %s", cases[i].country, cases[i].code);
    }
}
