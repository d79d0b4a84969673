// SPDX-License-Identifier: Apache-2.0
// Views of bytes: comparing, splitting, reading numbers.
#include "base/str.h"

#include <criterion/criterion.h>

Test(str, given_views_when_compared_then_bytes_decide_and_the_shorter_comes_first)
{
    cr_assert(str_eq(STR("ab"), STR("ab")));
    cr_assert(!str_eq(STR("ab"), STR("abc")));
    cr_assert(str_eq((struct str){NULL, 0}, STR("")));
    cr_assert_lt(str_compare(STR("ab"), STR("abc")), 0);
    cr_assert_gt(str_compare(STR("\xff"), STR("a")), 0);
    cr_assert_eq(str_compare(STR(""), (struct str){NULL, 0}), 0);
    cr_assert(str_starts_with(STR("saga:x"), STR("saga:")));
    cr_assert(!str_starts_with(STR("sag"), STR("saga:")));
    cr_assert_eq(str_from(NULL).len, 0);
}

Test(str, given_a_separator_when_split_then_head_and_rest_stand_around_it)
{
    struct str head, rest;
    cr_assert(str_split(STR("a:b:c"), ':', &head, &rest));
    cr_assert(str_eq(head, STR("a")) && str_eq(rest, STR("b:c")));
    cr_assert(str_split(rest, ':', &head, &rest));
    cr_assert(str_eq(head, STR("b")) && str_eq(rest, STR("c")));
    cr_assert(!str_split(rest, ':', &head, &rest));
    cr_assert(str_eq(head, STR("c")) && rest.len == 0);
    cr_assert(!str_split(STR(""), ':', &head, &rest));
}

Test(str, given_numbers_when_read_then_only_whole_ones_that_fit_are)
{
    static const char *const wrong[] = {"",
                                        "-",
                                        "+1",
                                        " 1",
                                        "1 ",
                                        "1.0",
                                        "0x1",
                                        "9223372036854775808",
                                        "-9223372036854775809",
                                        "99999999999999999999999"};
    int64_t value = 42;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert(!str_to_int64(str_from(wrong[i]), &value), "%s", wrong[i]);
        cr_assert_eq(value, 42);
    }
    cr_assert(str_to_int64(STR("9223372036854775807"), &value) && value == INT64_MAX);
    cr_assert(str_to_int64(STR("-9223372036854775808"), &value) && value == INT64_MIN);
    cr_assert(str_to_int64(STR("-0"), &value) && value == 0);
}

Test(str, given_a_list_when_a_text_is_looked_for_then_its_first_place_is_found)
{
    static const struct str list[] = {{"one", 3}, {"two", 3}, {"two", 3}, {"", 0}};
    size_t index = 7;
    cr_assert(str_find(STR_LIST(list), STR("two"), &index));
    cr_assert_eq(index, 1);
    cr_assert(str_find(STR_LIST(list), STR(""), &index));
    cr_assert_eq(index, 3);
    cr_assert_not(str_find(STR_LIST(list), STR("three"), &index));
    cr_assert_not(str_find(list, 0, STR("one"), &index));
    cr_assert_eq(index, 3, "untouched");
}

Test(str, given_the_published_vectors_when_hashed_then_it_is_fnv_1a)
{
    cr_assert_eq(str_hash(STR("")), UINT64_C(0xcbf29ce484222325));
    cr_assert_eq(str_hash(STR("a")), UINT64_C(0xaf63dc4c8601ec8c));
    cr_assert_eq(str_hash(STR("foobar")), UINT64_C(0x85944171f73967e8));
}

Test(str, given_text_when_asked_then_it_is_utf8_without_nul)
{
    cr_assert(str_is_text(STR("")) && str_is_text((struct str){NULL, 0}));
    cr_assert(str_is_text(STR("SKU-1")));
    cr_assert(str_is_text(STR("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf")));
    const struct str refused[] = {
        STR("\xff"),
        STR("a\0b"),
        STR("a\xc3"),
        STR("\xc0\x80"),
        STR("\xe0\x80\x80"),
        STR("\xf0\x80\x80\x80"),
        STR("\xed\xa0\x80"),
        STR("\x80"),
        STR("\xf4\x90\x80\x80"),
        STR("\xf5\x80\x80\x80"),
        STR("\xe2\x82("),
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        cr_assert(!str_is_text(refused[i]), "case %zu", i);
    }
}
