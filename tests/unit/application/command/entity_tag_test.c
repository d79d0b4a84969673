// SPDX-License-Identifier: Apache-2.0
// If-Match and If-None-Match against versions.
#include "application/command/entity_tag.h"

#include <criterion/criterion.h>

static struct precondition read_match(struct str header)
{
    struct precondition precondition = {0};
    cr_assert(entity_tag_read_match(header, &precondition), "refused %.*s", STR_FMT(header));
    return precondition;
}

Test(entity_tag, given_no_condition_then_any_version_will_do_and_none)
{
    const struct precondition absent = {.kind = PRECONDITION_NONE};
    cr_assert(precondition_allows(&absent, 0) && precondition_allows(&absent, 3));
}

Test(entity_tag, given_a_star_then_any_version_will_do_but_there_must_be_one)
{
    struct precondition any = read_match(STR(" *"));
    cr_assert_eq(any.kind, PRECONDITION_ANY);
    cr_assert(precondition_allows(&any, 3));
    cr_assert_not(precondition_allows(&any, 0));
}

Test(entity_tag, given_a_list_then_any_of_its_versions_will_do)
{
    struct precondition list = read_match(STR("\"7\", \"x\" ,W/\"9\",\"12\""));
    cr_assert_eq(list.kind, PRECONDITION_VERSION);
    cr_assert(precondition_allows(&list, 7));
    cr_assert(precondition_allows(&list, 12));
    cr_assert_not(precondition_allows(&list, 9), "a weak tag never matches strongly");
    cr_assert_not(precondition_allows(&list, 1));
}

Test(entity_tag, given_only_tags_that_are_no_version_then_nothing_will_do)
{
    const struct str headers[] = {STR("\"x\""),  STR("W/\"1\""), STR("\"\""),
                                  STR("\"01\""), STR("\"+1\""),  STR("\"99999999999\"")};
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        struct precondition none = read_match(headers[i]);
        cr_assert_eq(none.kind, PRECONDITION_NEVER, "%.*s", STR_FMT(headers[i]));
        cr_assert_not(precondition_allows(&none, 1));
    }
}

Test(entity_tag, given_something_else_than_tags_then_it_is_refused)
{
    const struct str headers[] = {STR("1"),        STR("\"1"), STR("\"1\" \"2\""), STR("w/\"1\""),
                                  STR("*, \"1\""), STR(""),    STR("  "),          STR(",")};
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        struct precondition precondition;
        cr_assert_not(entity_tag_read_match(headers[i], &precondition), "took %.*s",
                      STR_FMT(headers[i]));
    }
}

Test(entity_tag, given_more_tags_than_there_is_room_for_then_it_is_refused)
{
    struct precondition precondition;
    cr_assert_not(entity_tag_read_match(
        STR("\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\",\"13\","
            "\"14\",\"15\",\"16\",\"17\""),
        &precondition));
}

Test(entity_tag, given_none_match_then_weak_and_strong_tags_of_the_version_are_named)
{
    cr_assert(entity_tag_none_match(STR("\"4\""), 4));
    cr_assert(entity_tag_none_match(STR("W/\"4\""), 4));
    cr_assert(entity_tag_none_match(STR("\"1\", \"4\""), 4));
    cr_assert(entity_tag_none_match(STR("*"), 4));
    cr_assert_not(entity_tag_none_match(STR("\"1\""), 4));
    cr_assert_not(entity_tag_none_match(STR(""), 4));
    cr_assert_not(entity_tag_none_match(STR("4"), 4));
}
