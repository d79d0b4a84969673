// SPDX-License-Identifier: Apache-2.0
// The tree: exact integers, unescaped strings, members in order; safe on any bytes.
#include "base/json_tree.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static struct arena arena;

static void begin(void)
{
    arena_init(&arena, 4096, 1024 * 1024);
}

static void end(void)
{
    arena_free(&arena);
}

static const struct json_value *read(const char *text)
{
    const struct json_value *root = NULL;
    cr_assert_eq(json_read(str_from(text), &arena, &root), STATUS_OK, "%s", text);
    return root;
}

TestSuite(json_tree, .init = begin, .fini = end);

Test(json_tree, given_each_kind_when_read_then_it_is_told_apart)
{
    cr_assert_eq(read("null")->kind, JSON_NULL);
    cr_assert_eq(read("true")->boolean, true);
    cr_assert_eq(read("false")->kind, JSON_BOOL);
    cr_assert_eq(read("-9007199254740991")->integer, -JSON_INTEGER_MAX);
    cr_assert_eq(read("9007199254740991")->kind, JSON_INTEGER);
    cr_assert_eq(read("1.0")->kind, JSON_NUMBER);
    cr_assert_eq(read("1e2")->kind, JSON_NUMBER);
    cr_assert(str_eq(read("1.50e+3")->text, STR("1.50e+3")));
    cr_assert_eq(read(" [ ] ")->kind, JSON_ARRAY);
    cr_assert_eq(read("[1,[2],{}]")->count, 3);
    cr_assert_eq(read("{}")->count, 0);
}

Test(json_tree, given_escapes_when_read_then_the_text_is_what_they_mean)
{
    const struct json_value *root =
        read("{\"\\u0061\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20ac\\ud83d\\ude00\"}");
    cr_assert(str_eq(json_member_text(root, STR("a")),
                     STR("\"\\/\b\f\n\r\t\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")));
}

Test(json_tree, given_members_when_asked_for_then_what_is_missing_or_of_another_kind_is_empty)
{
    const struct json_value *root = read("{\"n\":7,\"s\":\"x\",\"f\":1.5}");
    cr_assert_eq(json_member_int(root, STR("n")), 7);
    cr_assert_eq(json_member_int(root, STR("f")), 0);
    cr_assert_eq(json_member_int(root, STR("s")), 0);
    cr_assert_eq(json_member_text(root, STR("n")).len, 0);
    cr_assert_null(json_member(root, STR("z")));
    cr_assert_null(json_member(NULL, STR("n")));
    cr_assert_null(json_member(json_member(root, STR("n")), STR("n")));
    cr_assert(str_eq(root->first->next->name, STR("s")));
}

Test(json_tree, given_bytes_that_are_no_json_when_read_then_it_says_so)
{
    static const char *const wrong[] = {"",          " ",         "{",       "[",    "[1",
                                        "[1,",       "{\"a\"",    "{\"a\":", "\"",   "\"\\",
                                        "\"\\\"",    "\"\\u12\"", "\"\\q\"", "tru",  "1 2",
                                        "{\"a\" 1}", "[1}",       "]",       "{1:2}"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const struct json_value *root = NULL;
        cr_assert_eq(json_read(str_from(wrong[i]), &arena, &root), STATUS_MALFORMED, "%s",
                     wrong[i]);
        cr_assert_null(root);
    }
}

Test(json_tree, given_random_bytes_when_read_then_nothing_bad_happens)
{
    static const char alphabet[] = "{}[]\",:\\u0123eE+-.truefalsn \xc3\xa9";
    srand(5);
    for (int round = 0; round < 50000; round++) {
        size_t len = (size_t)rand() % 40;
        char *bytes = malloc(len + 1);
        const struct json_value *root;
        for (size_t i = 0; i < len; i++) {
            bytes[i] = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)];
        }
        size_t offset;
        struct str text = {bytes, len};
        enum status status = json_read(text, &arena, &root);
        cr_assert(status == STATUS_OK || json_check(text, &offset) != JSON_OK,
                  "the check lets through what cannot be read: %.*s", STR_FMT(text));
        arena_reset(&arena);
        free(bytes);
    }
}

Test(json_tree, given_deep_nesting_when_read_then_it_stops_where_the_check_does)
{
    char deep[2 * JSON_DEPTH_MAX + 3] = {0};
    const struct json_value *root;
    memset(deep, '[', JSON_DEPTH_MAX + 1);
    memset(deep + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    cr_assert_eq(json_read(str_from(deep), &arena, &root), STATUS_MALFORMED);
    cr_assert_eq(json_read((struct str){deep + 1, 2 * JSON_DEPTH_MAX}, &arena, &root), STATUS_OK);
}

Test(json_tree, given_too_little_memory_when_read_then_it_says_so)
{
    struct arena tiny;
    const struct json_value *root;
    arena_init(&tiny, 64, 200);
    cr_assert_eq(json_read(STR("[1,2,3]"), &tiny, &root), STATUS_NO_MEMORY);
    arena_free(&tiny);
}

Test(json_tree, given_a_copy_when_the_text_goes_then_the_tree_stays)
{
    char text[] = "{\"a\":\"b\"}";
    const struct json_value *root;
    cr_assert_eq(json_read_copy(str_from(text), &arena, &root), STATUS_OK);
    memset(text, 'x', sizeof(text) - 1);
    cr_assert(str_eq(json_member_text(root, STR("a")), STR("b")));
}
