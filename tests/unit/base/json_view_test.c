// SPDX-License-Identifier: Apache-2.0
// Reading raw JSON by views.
#include <criterion/criterion.h>
#include <string.h>

#include "base/arena.h"
#include "base/json_view.h"

static struct arena arena;

static void open_arena(void)
{
    arena_init(&arena, 4096, 65536);
}

static void close_arena(void)
{
    arena_free(&arena);
}

TestSuite(json_view, .init = open_arena, .fini = close_arena);

#define assert_str(actual, literal) \
    cr_assert(str_eq(actual, STR(literal)), "got %.*s", STR_FMT(actual))

Test(json_view, given_an_object_when_a_member_is_asked_then_its_raw_bytes_come)
{
    struct str object = STR(" {\"a\" : 1,\"b\":{\"c\":[1, {\"d\":\"}\"}]} , \"e\":\"x\\\"y\"}");
    assert_str(json_view_member(object, STR("a")), "1");
    assert_str(json_view_member(object, STR("b")), "{\"c\":[1, {\"d\":\"}\"}]}");
    assert_str(json_view_member(object, STR("e")), "\"x\\\"y\"");
    cr_assert_null(json_view_member(object, STR("c")).data);
    cr_assert_null(json_view_member(STR("[1]"), STR("a")).data);
}

Test(json_view, given_an_array_when_walked_then_its_items_come_in_order)
{
    struct json_walk walk;
    struct str name;
    struct str value;
    cr_assert(json_view_begin(STR("[1, \"two\",[3]]"), &walk));
    cr_assert(json_view_next(&walk, &name, &value));
    assert_str(value, "1");
    cr_assert(json_view_next(&walk, &name, &value));
    assert_str(value, "\"two\"");
    cr_assert(json_view_next(&walk, &name, &value));
    assert_str(value, "[3]");
    cr_assert_not(json_view_next(&walk, &name, &value));
    cr_assert(json_view_begin(STR("[ ]"), &walk));
    cr_assert_not(json_view_next(&walk, &name, &value));
    cr_assert_not(json_view_begin(STR("3"), &walk));
    cr_assert_not(json_view_next(&walk, &name, &value));
}

Test(json_view, given_escapes_when_a_string_is_read_then_they_are_undone)
{
    struct str text;
    cr_assert(json_view_string(STR("\"a\\n\\u00e9\\ud83d\\ude00\\\\\\/\""), &arena, &text));
    assert_str(text, "a\n\xc3\xa9\xf0\x9f\x98\x80\\/");
    cr_assert(json_view_string(STR("\"\""), &arena, &text));
    cr_assert_eq(text.len, 0);
    cr_assert_not(json_view_string(STR("1"), &arena, &text));
}

Test(json_view, given_numbers_when_read_then_only_safe_integers_pass)
{
    int64_t number = 7;
    cr_assert(json_view_int(STR("9007199254740991"), &number));
    cr_assert_eq(number, INT64_C(9007199254740991));
    cr_assert_not(json_view_int(STR("9007199254740992"), &number));
    cr_assert_not(json_view_int(STR("1.5"), &number));
    cr_assert_not(json_view_int(STR("\"1\""), &number));
    cr_assert_not(json_view_int((struct str){NULL, 0}, &number));
    cr_assert_eq(number, INT64_C(9007199254740991));
}

// Every prefix of a document is read without a byte past its end (the sanitizers watch).
Test(json_view, given_bytes_cut_short_when_read_then_nothing_past_the_end_is_touched)
{
    struct str whole = STR("{\"a\":[1,\"\\ud83d\\ude00\",{\"b\":null}],\"c\":\"\\u00e9\"}");
    for (size_t len = 0; len <= whole.len; len++) {
        char *copy = arena_alloc(&arena, len == 0 ? 1 : len);
        memcpy(copy, whole.data, len);
        struct str cut = {copy, len};
        struct str text;
        struct str member = json_view_member(cut, STR("c"));
        (void)json_view_string(member, &arena, &text);
        (void)json_view_string((struct str){copy + len / 2, len - len / 2}, &arena, &text);
        (void)json_view_shape(cut);
    }
    cr_assert_eq(json_view_shape(STR("")), JSON_SHAPE_NONE);
    cr_assert_eq(json_view_shape(STR(" nul")), JSON_SHAPE_NULL);
}
