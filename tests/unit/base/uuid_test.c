// SPDX-License-Identifier: Apache-2.0
// Ids: layout by RFC 9562, derivations pinned, since stored streams are found by them.
#include "base/uuid.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define ORDER "018bcfe5-6800-7001-8001-020304050607"

static struct uuid parsed(const char *text)
{
    struct uuid id;
    cr_assert(uuid_parse(str_from(text), false, &id), "%s", text);
    return id;
}

static void assert_text(struct uuid id, const char *expected)
{
    char text[UUID_TEXT_LEN];
    uuid_format(id, text);
    cr_assert_arr_eq(text, expected, UUID_TEXT_LEN, "%.*s", UUID_TEXT_LEN, text);
}

Test(uuid, given_the_example_of_the_rfc_when_made_then_it_is_the_same)
{
    static const unsigned char random[10] = {0x0c, 0xc3, 0x18, 0xc4, 0xdc,
                                             0x0c, 0x0c, 0x07, 0x39, 0x8f};
    struct uuid id = uuid_v7(0x017f22e279b0, random);
    assert_text(id, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    cr_assert_eq(uuid_version(id), 7);
    cr_assert_eq(uuid_unix_ms(id), 0x017f22e279b0);
}

Test(uuid, given_later_times_when_made_then_they_sort_later)
{
    static const unsigned char high[10] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    static const unsigned char low[10] = {0};
    cr_assert_lt(uuid_compare(uuid_v7(1000, high), uuid_v7(1001, low)), 0);
    cr_assert_eq(uuid_unix_ms(uuid_v7(INT64_C(1) << 48, low)), 0); // 48 bits are kept
}

Test(uuid, given_a_parent_and_a_role_when_derived_then_the_id_is_pinned_and_beside_it)
{
    struct uuid parent = parsed(ORDER);
    struct uuid id = uuid_derive(parent, STR("payment"));
    assert_text(id, "018bcfe5-6800-86eb-b43d-12e115c8b014");
    cr_assert_eq(uuid_version(id), 8);
    cr_assert_eq(uuid_unix_ms(id), uuid_unix_ms(parent));
    cr_assert(!uuid_eq(id, uuid_derive(parent, STR("shipment"))));
    cr_assert(!uuid_eq(uuid_derive(parent, STR("")), parent));
}

Test(uuid, given_a_name_when_derived_then_the_id_is_pinned_and_never_among_the_time_ordered)
{
    struct uuid id = uuid_named(STR("main"), STR("product"), STR("SKU-1"));
    assert_text(id, "d6d29fd6-5afd-85e1-8b16-bfeec29a2519");
    cr_assert_eq(uuid_version(id), 8);
    cr_assert_eq(id.bytes[0] & 0x80, 0x80);
    cr_assert(!uuid_eq(id, uuid_named(STR("main"), STR("stock_item"), STR("SKU-1"))));
    cr_assert(!uuid_eq(uuid_named(STR("a"), STR("bc"), STR("d")),
                       uuid_named(STR("ab"), STR("c"), STR("d"))));
}

Test(uuid, given_any_id_when_formatted_and_parsed_then_it_is_itself)
{
    srand(7);
    for (int round = 0; round < 1000; round++) {
        struct uuid id, again;
        char text[UUID_TEXT_LEN];
        for (int i = 0; i < 16; i++) {
            id.bytes[i] = (unsigned char)rand();
        }
        uuid_format(id, text);
        cr_assert(uuid_parse((struct str){text, UUID_TEXT_LEN}, false, &again));
        cr_assert(uuid_eq(id, again));
    }
}

Test(uuid, given_text_that_is_no_uuid_when_parsed_then_nothing_is_written)
{
    static const char *const wrong[] = {
        "",
        "018bcfe5-6800-7001-8001-02030405060",
        "018bcfe5-6800-7001-8001-0203040506070",
        "018bcfe56800-7001-8001-0203040506070",
        "018bcfe5-6800-7001-8001-02030405060g",
        "018bcfe5-6800-7001-8001_020304050607",
        "{18bcfe5-6800-7001-8001-02030405060}",
        "018BCFE5-6800-7001-8001-020304050607",
        "018bcfe5- 800-7001-8001-020304050607",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct uuid id = parsed(ORDER);
        cr_assert(!uuid_parse(str_from(wrong[i]), false, &id), "%s", wrong[i]);
        cr_assert(uuid_eq(id, parsed(ORDER)));
    }
}

Test(uuid, given_upper_case_when_any_case_is_fine_then_it_is_read)
{
    struct uuid id;
    cr_assert(uuid_parse(STR("018BCFE5-6800-7001-8001-0203040506aF"), true, &id));
    assert_text(id, "018bcfe5-6800-7001-8001-0203040506af");
}

Test(uuid, given_nothing_but_zeros_when_asked_then_it_is_nil)
{
    cr_assert(uuid_is_nil((struct uuid){{0}}));
    cr_assert(!uuid_is_nil(parsed(ORDER)));
}
