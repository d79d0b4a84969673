// SPDX-License-Identifier: Apache-2.0
// The saga's file is read strictly; every fault names its place.
#include <criterion/criterion.h>
#include <string.h>

#include "application/saga/definition.h"
#include "support/saga_fixture.h"

static struct arena arena;
static struct str shipped;
static struct fault_list faults;

static void open_fixture(void)
{
    arena_init(&arena, 65536, 16 << 20);
    shipped = saga_fixture_file("conf/sagas/order_fulfilment.json", &arena);
    faults = (struct fault_list){.count = 0};
}

static void close_fixture(void)
{
    arena_free(&arena);
}

TestSuite(saga_definition, .init = open_fixture, .fini = close_fixture);

// The shipped file with one passage replaced, which must be there.
static struct str with(const char *passage, const char *other)
{
    const char *found = saga_fixture_find(shipped, passage);
    cr_assert_not_null(found, "the file has no %s", passage);
    size_t before = (size_t)(found - shipped.data);
    struct str rest = {found + strlen(passage), shipped.len - before - strlen(passage)};
    return arena_printf(&arena, "%.*s%s%.*s", (int)before, shipped.data, other, STR_FMT(rest));
}

static enum status read_file(struct str bytes, struct saga_overrides overrides,
                             struct saga_definition *definition)
{
    faults = (struct fault_list){.count = 0};
    return saga_definition_read(STR("x.json"), bytes, overrides, &arena, &faults, definition);
}

static bool has_fault(const char *pointer, const char *detail)
{
    for (size_t i = 0; i < faults.count; i++) {
        if (str_eq(faults.items[i].pointer, str_from(pointer)) &&
            saga_fixture_find(faults.items[i].detail, detail) != NULL) {
            return true;
        }
    }
    return false;
}

static void assert_refused(const char *passage, const char *other, const char *pointer,
                           const char *detail)
{
    struct saga_definition definition;
    enum status status =
        read_file(with(passage, other), (struct saga_overrides){0, 0}, &definition);
    cr_assert_eq(status, STATUS_INVALID, "%s passes", other);
    cr_assert(has_fault(pointer, detail), "%s: first of %zu faults: %.*s: %.*s", other,
              faults.count, STR_FMT(faults.items[0].pointer), STR_FMT(faults.items[0].detail));
}

Test(saga_definition, given_the_shipped_file_when_read_then_it_is_the_specifications_saga)
{
    struct saga_definition order = saga_fixture_order_fulfilment(&arena);
    const char *forward[] = {"authorize", "reserve", "schedule", "capture", "confirm", "commit"};
    const char *undo[] = {"void", "release", "unschedule", "refund", "", ""};
    cr_assert_eq(order.step_count, 6);
    for (size_t i = 0; i < 6; i++) {
        cr_assert(str_eq(order.steps[i].forward.name, str_from(forward[i])));
        cr_assert(str_eq(order.steps[i].compensation.name, str_from(undo[i])));
        cr_assert_eq(order.steps[i].forward.ask_without_limit, i >= 4);
        cr_assert_not(order.steps[i].compensation.ask_without_limit);
    }
    cr_assert_eq(order.pivot, 4);
    cr_assert(str_eq(order.otherwise.name, STR("reject")));
    cr_assert(order.otherwise.ask_without_limit);
    cr_assert_eq(order.attempts, 3);
    cr_assert_eq(order.steps[0].forward.timeout_s, 20);
    cr_assert(saga_definition_starts_on(&order, STR("order"), STR("OrderPlaced")));
    cr_assert_not(saga_definition_starts_on(&order, STR("payment"), STR("OrderPlaced")));
    cr_assert(saga_definition_cancelled_by(&order, STR("order"), STR("OrderCancelRequested")));
}

Test(saga_definition, given_settings_when_read_then_they_win_over_the_file)
{
    struct saga_definition order;
    cr_assert_eq(
        read_file(shipped, (struct saga_overrides){.attempts = 5, .timeout_s = 300}, &order),
        STATUS_OK);
    cr_assert_eq(order.attempts, 5);
    cr_assert_eq(order.steps[3].compensation.timeout_s, 300);
    cr_assert_eq(order.otherwise.timeout_s, 300);
}

Test(saga_definition, given_broken_json_when_read_then_the_line_is_named)
{
    assert_refused("\"version\": 1,", "\"version\": 1;", "", "line 3");
    assert_refused("\"version\": 1,", "\"version\": 1, \"version\": 2,", "", "twice");
}

Test(saga_definition, given_unknown_or_missing_members_when_read_then_they_are_named)
{
    assert_refused("\"attempts\": 3", "\"atempts\": 3", "/atempts", "known");
    assert_refused("\"version\": 1,", "", "/version", "integer");
    assert_refused("\"saga\": \"order_fulfilment\"", "\"saga\": \"Order\"", "/saga", "a-z");
    assert_refused("\"stream\": \"payment\",", "", "/steps/0/stream", "text");
    assert_refused("\"pivot\": true", "\"pivot\": false", "/steps/4/pivot", "true");
    assert_refused("\"payload\": {\"ship_to\": \"$.ship_to\"},", "", "/steps/2/payload", "object");
}

Test(saga_definition, given_values_out_of_range_when_read_then_they_are_named)
{
    assert_refused("\"attempts\": 3", "\"attempts\": 0", "/attempts", "1 to");
    assert_refused("\"attempts\": 3", "\"attempts\": 2.5", "/attempts", "integer");
    assert_refused("\"timeout_s\": 20", "\"timeout_s\": -1", "/timeout_s", "1 to");
    assert_refused("\"version\": 1", "\"version\": \"1\"", "/version", "integer");
}

Test(saga_definition, given_a_command_that_nobody_has_when_read_then_it_is_named)
{
    assert_refused("payments.authorize_payment", "payments.authorise_payment", "/steps/0/command",
                   "no command payments.authorise_payment");
    assert_refused("ordering.reject_order", "reject_order", "/otherwise/command", "reject_order");
}

Test(saga_definition, given_a_category_that_nobody_has_when_read_then_it_is_named)
{
    assert_refused("\"category\": \"order\",\n      \"type\": \"OrderPlaced\"",
                   "\"category\": \"ordr\",\n      \"type\": \"OrderPlaced\"",
                   "/starts_on/0/category", "ordr");
}

Test(saga_definition, given_a_step_before_the_pivot_without_compensation_when_read_then_refused)
{
    assert_refused(",\n      \"compensation\": {\"name\": \"refund\", \"command\": "
                   "\"payments.refund_payment\", \"payload\": {}}",
                   "", "/steps/3/compensation", "missing");
}

Test(saga_definition, given_a_compensation_past_the_pivot_when_read_then_refused)
{
    assert_refused("\"pivot\": true",
                   "\"pivot\": true, \"compensation\": {\"name\": \"x\", \"command\": "
                   "\"payments.void_payment\", \"payload\": {}}",
                   "/steps/4/compensation", "never undone");
}

Test(saga_definition, given_no_pivot_or_two_when_read_then_refused)
{
    assert_refused(",\n      \"pivot\": true", "", "/steps", "pivot");
    assert_refused("\"name\": \"commit\",", "\"name\": \"commit\", \"pivot\": true,",
                   "/steps/5/pivot", "second");
}

Test(saga_definition, given_two_steps_of_one_name_when_read_then_refused)
{
    assert_refused("\"name\": \"void\"", "\"name\": \"authorize\"", "/steps", "authorize");
}

Test(saga_definition, given_a_path_that_the_example_lacks_when_read_then_it_is_named)
{
    assert_refused("\"amount\": \"$.total\",\n        \"currency\"",
                   "\"amount\": \"$.total.amount\",\n        \"currency\"", "/steps/0/payload",
                   "$.total.amount");
}

Test(saga_definition, given_a_payload_that_the_command_refuses_when_read_then_it_is_named)
{
    assert_refused("\"amount\": \"$.total\",\n        \"currency\"",
                   "\"amount\": \"$.currency\",\n        \"currency\"", "/steps/0/payload/amount",
                   "refuses");
}

Test(saga_definition, given_a_last_word_that_reads_the_start_event_when_read_then_refused)
{
    assert_refused("\"code\": \"$saga.code\"", "\"code\": \"$.currency\"",
                   "/otherwise/payload/code", "start event");
}

Test(saga_definition, given_two_versions_when_both_are_loaded_then_each_is_found)
{
    static struct saga_definitions all;
    struct saga_definition one = saga_fixture_order_fulfilment(&arena);
    struct saga_definition two =
        saga_fixture_read("two.json", with("\"version\": 1", "\"version\": 2"), &arena);
    struct str cause;
    cr_assert_eq(saga_definitions_add(&all, &two, &arena, &cause), STATUS_OK);
    cr_assert_eq(saga_definitions_add(&all, &one, &arena, &cause), STATUS_OK);
    cr_assert_eq(saga_definitions_add(&all, &one, &arena, &cause), STATUS_INVALID);
    cr_assert(saga_fixture_find(cause, "version 1") != NULL);
    cr_assert_eq(saga_definitions_newest(&all, one.name)->version, 2);
    cr_assert_eq(saga_definitions_find(&all, one.name, 1)->version, 1);
    cr_assert_null(saga_definitions_find(&all, one.name, 3));
    cr_assert_null(saga_definitions_newest(&all, STR("other")));
}

Test(saga_definition, given_four_sagas_of_one_event_when_a_fifth_is_added_then_it_is_refused)
{
    static struct saga_definitions all;
    struct saga_definition saga = saga_fixture_order_fulfilment(&arena);
    struct str names[] = {STR("a"), STR("b"), STR("c"), STR("d"), STR("e")};
    struct str cause = STR("");
    for (int i = 0; i < 4; i++) {
        saga.name = names[i];
        cr_assert_eq(saga_definitions_add(&all, &saga, &arena, &cause), STATUS_OK);
    }
    saga.version = 2;
    cr_assert_eq(saga_definitions_add(&all, &saga, &arena, &cause), STATUS_OK, "a version more");
    saga.name = names[4];
    cr_assert_eq(saga_definitions_add(&all, &saga, &arena, &cause), STATUS_FULL);
    cr_assert_not_null(saga_fixture_find(cause, "OrderPlaced"));
}

Test(saga_definition, given_a_ladder_when_it_is_shorter_than_the_attempts_then_it_is_refused)
{
    struct saga_definition order = saga_fixture_order_fulfilment(&arena);
    struct str cause = STR("");
    int32_t equal[] = {10, 20, 30};
    int32_t longer[] = {10, 20, 31};
    cr_assert_not(saga_definition_fits_ladder(&order, equal, 3, &arena, &cause));
    cr_assert(saga_fixture_find(cause, "authorize") != NULL, "%.*s", STR_FMT(cause));
    cr_assert(saga_definition_fits_ladder(&order, longer, 3, &arena, &cause));
    order.otherwise.timeout_s = 1000;
    order.steps[4].forward.timeout_s = 1000;
    cr_assert(saga_definition_fits_ladder(&order, longer, 3, &arena, &cause), "asked for ever");
}
