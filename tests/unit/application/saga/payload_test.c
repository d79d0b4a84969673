// SPDX-License-Identifier: Apache-2.0
// The template language of a saga's payloads.
#include <criterion/criterion.h>

#include "application/saga/payload.h"
#include "base/arena.h"

static struct arena arena;
static struct fault_list faults;

static void open_fixture(void)
{
    arena_init(&arena, 65536, 1 << 20);
    faults = (struct fault_list){.count = 0};
}

static void close_fixture(void)
{
    arena_free(&arena);
}

TestSuite(saga_payload, .init = open_fixture, .fini = close_fixture);

static struct saga_payload_source source(struct str start)
{
    return (struct saga_payload_source){
        .start = start, .code = STR("timed_out"), .detail = STR("say \"why\"")};
}

static struct str write(struct str template, struct str start)
{
    struct saga_payload_source from = source(start);
    struct str cause;
    struct buffer out;
    buffer_init(&out, &arena, SAGA_PAYLOAD_BYTES_MAX);
    enum status status = saga_payload_write(template, &from, &arena, &out, &cause);
    cr_assert_eq(status, STATUS_OK, "%.*s", STR_FMT(cause));
    return buffer_view(&out);
}

static void assert_written(struct str template, struct str start, struct str expected)
{
    struct str written = write(template, start);
    cr_assert(str_eq(written, expected), "wants %.*s, got %.*s", STR_FMT(expected),
              STR_FMT(written));
}

static void assert_fault(struct str template, bool without_start, struct str pointer)
{
    faults = (struct fault_list){.count = 0};
    saga_payload_check(template, without_start, STR("/p"), &arena, &faults);
    cr_assert_eq(faults.count, 1, "%.*s: %zu faults", STR_FMT(template), faults.count);
    cr_assert(str_eq(faults.items[0].pointer, pointer), "at %.*s",
              STR_FMT(faults.items[0].pointer));
}

Test(saga_payload, given_paths_when_written_then_values_come_byte_for_byte)
{
    assert_written(STR("{\"a\": \"$.x\", \"b\": [\"$.y.z\", 1, null]}"),
                   STR("{\"x\":9007199254740991,\"y\":{\"z\":\"caf\\u00e9\"}}"),
                   STR("{\"a\":9007199254740991,\"b\":[\"caf\\u00e9\",1,null]}"));
}

Test(saga_payload, given_each_when_written_then_every_element_is_made)
{
    assert_written(STR("{\"l\":{\"$each\":\"$.lines\",\"$make\":{\"s\":\"$item.sku\"}}}"),
                   STR("{\"lines\":[{\"sku\":\"A\",\"q\":1},{\"sku\":\"B\",\"q\":2}]}"),
                   STR("{\"l\":[{\"s\":\"A\"},{\"s\":\"B\"}]}"));
    assert_written(STR("{\"l\":{\"$each\":\"$.lines\",\"$make\":\"$item\"}}"),
                   STR("{\"lines\":[1,\"x\"]}"), STR("{\"l\":[1,\"x\"]}"));
    assert_written(STR("{\"l\":{\"$each\":\"$.lines\",\"$make\":\"$item\"}}"),
                   STR("{\"lines\":[]}"), STR("{\"l\":[]}"));
}

Test(saga_payload, given_the_sagas_own_values_when_written_then_they_are_escaped)
{
    assert_written(STR("{\"c\":\"$saga.code\",\"d\":\"$saga.detail\",\"s\":\"$saga.subject\"}"),
                   STR(""),
                   STR("{\"c\":\"timed_out\",\"d\":\"say \\\"why\\\"\","
                       "\"s\":\"00000000-0000-0000-0000-000000000000\"}"));
}

Test(saga_payload, given_literals_when_written_then_they_stand_for_themselves)
{
    assert_written(STR("{\"a\":\"$$5\",\"b\":\"x$\",\"c\":{\"d\":true}}"), STR("{}"),
                   STR("{\"a\":\"$5\",\"b\":\"x$\",\"c\":{\"d\":true}}"));
}

Test(saga_payload, given_a_start_event_that_lacks_a_path_when_written_then_the_cause_names_it)
{
    struct saga_payload_source from = source(STR("{\"a\":{\"b\":1}}"));
    struct str templates[] = {STR("{\"x\":\"$.a.c\"}"), STR("{\"x\":\"$.a.b.c\"}"),
                              STR("{\"x\":{\"$each\":\"$.a\",\"$make\":1}}")};
    const char *paths[] = {"$.a.c", "$.a.b.c", "$.a"};
    for (int i = 0; i < 3; i++) {
        struct str cause = STR("");
        struct buffer out;
        buffer_init(&out, &arena, 1024);
        cr_assert_eq(saga_payload_write(templates[i], &from, &arena, &out, &cause),
                     STATUS_MALFORMED);
        struct str wanted = arena_printf(&arena, "the start event's data has no %s", paths[i]);
        cr_assert(str_eq(cause, wanted), "%.*s", STR_FMT(cause));
    }
}

Test(saga_payload, given_a_payload_past_its_maximum_when_written_then_it_says_full)
{
    struct saga_payload_source from = source(STR("{}"));
    struct str cause;
    struct buffer out;
    buffer_init(&out, &arena, 4);
    cr_assert_eq(saga_payload_write(STR("{\"a\":1}"), &from, &arena, &out, &cause), STATUS_FULL);
}

Test(saga_payload, given_bad_templates_when_checked_then_each_fault_has_its_place)
{
    assert_fault(STR("[]"), false, STR("/p"));
    assert_fault(STR("{\"a\":\"$total\"}"), false, STR("/p/a"));
    assert_fault(STR("{\"a\":\"$.\"}"), false, STR("/p/a"));
    assert_fault(STR("{\"a\":\"$.x..y\"}"), false, STR("/p/a"));
    assert_fault(STR("{\"a\":[1,\"$saga.codes\"]}"), false, STR("/p/a/1"));
    assert_fault(STR("{\"a\":\"$item.x\"}"), false, STR("/p/a"));
    assert_fault(STR("{\"$make\":1}"), false, STR("/p/$make"));
    assert_fault(STR("{\"a\":{\"$each\":\"$.x\",\"y\":1}}"), false, STR("/p/a"));
    assert_fault(STR("{\"a\":{\"$each\":\"x\",\"$make\":1}}"), false, STR("/p/a"));
    assert_fault(STR("{\"a\":{\"$each\":\"$.x\",\"$make\":{\"b\":\"$no\"}}}"), false,
                 STR("/p/a/$make/b"));
    assert_fault(STR("{\"a\":\"$.x\"}"), true, STR("/p/a"));
    assert_fault(STR("{\"a\":{\"$each\":\"$.x\",\"$make\":1}}"), true, STR("/p/a/$each"));
}

Test(saga_payload, given_good_templates_when_checked_then_there_is_no_fault)
{
    saga_payload_check(STR("{\"a\":\"$.x\",\"b\":{\"$each\":\"$.l\",\"$make\":{\"c\":\"$item\"}},"
                           "\"d\":\"$$\",\"e\":\"$saga.code\"}"),
                       false, STR("/p"), &arena, &faults);
    saga_payload_check(STR("{\"e\":\"$saga.detail\"}"), true, STR("/p"), &arena, &faults);
    cr_assert_eq(faults.total, 0);
}
