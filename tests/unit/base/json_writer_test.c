// SPDX-License-Identifier: Apache-2.0
// The writer puts commas where they belong and escapes what must be; json_check agrees.
#include <criterion/criterion.h>

#include "base/arena.h"
#include "base/json.h"

static struct buffer out;
static struct json_writer writer;

static void begin(void)
{
    buffer_init(&out, NULL, 4096);
    json_writer_init(&writer, &out);
}

static void end(void)
{
    buffer_free(&out);
}

static void assert_written(const char *expected)
{
    size_t offset;
    cr_assert_eq(out.status, STATUS_OK);
    cr_assert(str_eq(buffer_view(&out), str_from(expected)), "%.*s", STR_FMT(buffer_view(&out)));
    cr_assert_eq(json_check(buffer_view(&out), &offset), JSON_OK);
}

TestSuite(json_writer, .init = begin, .fini = end);

Test(json_writer, given_nested_values_when_written_then_commas_stand_between)
{
    static const unsigned char id[16] = {0xab};
    json_object_begin(&writer);
    json_name(&writer, STR("list"));
    json_array_begin(&writer);
    json_int(&writer, -1);
    json_bool(&writer, true);
    json_array_begin(&writer);
    json_array_end(&writer);
    json_object_begin(&writer);
    json_object_end(&writer);
    json_null(&writer);
    json_array_end(&writer);
    json_name(&writer, STR("raw"));
    json_raw(&writer, STR("{\"x\":1}"));
    json_name(&writer, STR("id"));
    json_uuid(&writer, id);
    json_name(&writer, STR("at"));
    json_instant(&writer, 1500);
    json_object_end(&writer);
    assert_written("{\"list\":[-1,true,[],{},null],\"raw\":{\"x\":1},"
                   "\"id\":\"ab000000-0000-0000-0000-000000000000\","
                   "\"at\":\"1970-01-01T00:00:00.001Z\"}");
}

Test(json_writer, given_awkward_text_when_written_then_it_is_escaped)
{
    json_string(&writer, STR("\"\\\b\f\n\r\t\x01\x1f / caf\xc3\xa9"));
    assert_written("\"\\\"\\\\\\u0008\\u000c\\n\\r\\t\\u0001\\u001f / caf\xc3\xa9\"");
}

Test(json_writer, given_an_awkward_name_when_written_then_it_is_escaped_too)
{
    json_object_begin(&writer);
    json_name(&writer, STR("a\"b"));
    json_string(&writer, (struct str){NULL, 0});
    json_object_end(&writer);
    assert_written("{\"a\\\"b\":\"\"}");
}

Test(json_writer, given_the_ends_of_int64_when_written_then_every_digit_is_there)
{
    json_array_begin(&writer);
    json_int(&writer, INT64_MIN);
    json_int(&writer, INT64_MAX);
    json_int(&writer, 0);
    json_array_end(&writer);
    cr_assert(str_eq(buffer_view(&out), STR("[-9223372036854775808,9223372036854775807,0]")));
}

Test(json_writer, given_too_little_room_when_written_then_the_buffer_says_so_and_stays_whole)
{
    struct buffer small;
    struct json_writer narrow;
    buffer_init(&small, NULL, 8);
    json_writer_init(&narrow, &small);
    json_string(&narrow, STR("much too long"));
    json_string(&narrow, STR("x"));
    cr_assert_eq(small.status, STATUS_FULL);
    cr_assert_leq(small.len, 8);
    buffer_free(&small);
}
