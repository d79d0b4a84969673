// SPDX-License-Identifier: Apache-2.0
// One command from request to answer, fed with literals.
#include "support/flow_fixture.h"

TestSuite(command_flow, .init = open_arena, .fini = close_arena);

Test(command_flow, given_a_creation_when_all_goes_well_then_it_appends_and_answers)
{
    struct command_flow *flow = given(placing());
    assert_wants(flow, FLOW_WANT_LOOKUPS);
    cr_assert_eq(command_flow_lookups(flow)->count, 1);
    cr_assert(str_eq(command_flow_lookups(flow)->items[0].name, STR("SKU-1")));
    bring_product(flow);
    assert_wants(flow, FLOW_WANT_APPEND);
    const struct append_item *item = command_flow_item(flow);
    cr_assert_eq(item->stream_count, 1);
    cr_assert_eq(item->streams[0].expected_version, 0);
    cr_assert_eq(item->row_count, 1);
    cr_assert_eq(item->rows[0].kind, RECORD_EVENT);
    cr_assert(uuid_eq(item->rows[0].id, (struct uuid){{1}}));
    cr_assert(str_eq(item->rows[0].meta, STR("{\"correlation_id\":\"corr-1\",\"actor\":\"ana\"}")));
    cr_assert(uuid_eq(item->key->stream, order));
    cr_assert_eq(item->key->version, 1);
    cr_assert_eq(item->key->status, 201);
    bring_verdict(flow, APPENDED);
    assert_answer(flow, ANSWER_DONE);
    const struct command_answer *answer = command_flow_answer(flow);
    cr_assert_eq(answer->status, 201);
    cr_assert(answer->appended);
    cr_assert_not(answer->replayed);
    cr_assert_eq(answer->document.version, 1);
    cr_assert_eq(answer->document.at.position, 100);
    assert_contains(answer->document.body, "\"status\":\"placed\"");
    assert_contains(answer->document.body, "\"customer\":\"ana\"");
}

Test(command_flow, given_a_body_that_is_no_json_then_it_is_refused_without_any_io)
{
    struct command_flow *flow = given(request_of("ordering.place_order", STR("{\"a\":1,\"a\":2}")));
    assert_answer(flow, ANSWER_BAD_JSON);
    cr_assert_gt(command_flow_answer(flow)->detail.len, 0);
}

Test(command_flow, given_faults_of_shape_and_catalogue_then_both_are_told_together)
{
    struct command_flow *flow =
        given(request_of("ordering.place_order",
                         STR("{\"currency\":\"BRL\",\"lines\":[{\"sku\":\"SKU-9\",\"quantity\":2},"
                             "{\"sku\":\"SKU-1\",\"quantity\":0}],\"payment_token\":\"tok_ok\"}")));
    assert_wants(flow, FLOW_WANT_LOOKUPS);
    struct lookup_rows rows = {.items = {{NULL, 0}, STR(PRODUCT)}, .count = 2};
    command_flow_take_lookups(flow, &rows);
    assert_wants(flow, FLOW_WANT_KEY);
    bring_key(flow, false);
    assert_answer(flow, ANSWER_INVALID);
    const struct fault_list *faults = command_flow_answer(flow)->faults;
    bool sku = false, quantity = false, ship_to = false;
    for (size_t i = 0; i < faults->count; i++) {
        sku |= str_eq(faults->items[i].pointer, STR("/lines/0/sku"));
        quantity |= str_eq(faults->items[i].pointer, STR("/lines/1/quantity"));
        ship_to |= str_eq(faults->items[i].pointer, STR("/ship_to"));
    }
    cr_assert(sku && quantity && ship_to);
}

Test(command_flow, given_an_invalid_body_when_the_key_is_known_then_the_first_answer_wins)
{
    struct command_flow *flow = given(placing());
    (void)command_flow_next(flow);
    struct lookup_rows retired = {.items = {{NULL, 0}}, .count = 1};
    command_flow_take_lookups(flow, &retired);
    assert_wants(flow, FLOW_WANT_KEY);
    bring_key(flow, true);
    assert_wants(flow, FLOW_WANT_DOCUMENT);
    bring_placed(flow);
    assert_answer(flow, ANSWER_DONE);
    cr_assert(command_flow_answer(flow)->replayed);
    cr_assert_not(command_flow_answer(flow)->appended);
}

Test(command_flow, given_a_duplicate_when_it_is_replayed_then_the_document_is_as_of_that_version)
{
    struct command_flow *flow = given(placing());
    (void)command_flow_next(flow);
    bring_product(flow);
    (void)command_flow_next(flow);
    struct append_verdict verdict = {.outcome = DUPLICATE,
                                     .key = {.stream = order, .version = 1, .status = 201}};
    command_flow_take_verdict(flow, &verdict);
    assert_wants(flow, FLOW_WANT_DOCUMENT);
    size_t count = 0;
    const struct stream_query *query = command_flow_queries(flow, &count);
    cr_assert_eq(count, 1);
    cr_assert(uuid_eq(query->stream, order));
    bring_confirmed(flow); // it has moved on since
    assert_answer(flow, ANSWER_DONE);
    const struct command_answer *answer = command_flow_answer(flow);
    cr_assert(answer->replayed);
    cr_assert_eq(answer->status, 201);
    cr_assert_eq(answer->document.version, 1);
    assert_contains(answer->document.body, "\"status\":\"placed\"");
}

Test(command_flow, given_a_key_reused_then_it_is_told)
{
    struct command_flow *flow = given(placing());
    (void)command_flow_next(flow);
    bring_product(flow);
    (void)command_flow_next(flow);
    bring_verdict(flow, KEY_REUSED);
    assert_answer(flow, ANSWER_KEY_REUSED);
}

Test(command_flow, given_a_placed_order_when_cancelled_then_it_appends_at_the_version_it_read)
{
    struct command_flow *flow = given(cancelling());
    assert_wants(flow, FLOW_WANT_STREAMS);
    size_t count = 0;
    const struct stream_query *query = command_flow_queries(flow, &count);
    cr_assert_eq(count, 1);
    cr_assert_eq(query->state_codec, query->document_codec, "it begins at both, or at neither");
    bring_placed(flow);
    assert_wants(flow, FLOW_WANT_APPEND);
    cr_assert_eq(command_flow_item(flow)->streams[0].expected_version, 1);
    cr_assert_eq(command_flow_item(flow)->key->version, 2);
    bring_verdict(flow, APPENDED);
    assert_answer(flow, ANSWER_DONE);
    cr_assert_eq(command_flow_answer(flow)->document.version, 2);
    assert_contains(command_flow_answer(flow)->document.body, "\"status\":\"cancelling\"");
}

Test(command_flow, given_a_stream_read_in_parts_then_it_asks_for_the_rest)
{
    struct command_flow *flow = given(cancelling());
    (void)command_flow_next(flow);
    struct recorded_event first[] = {row_of(1, STR("OrderPlaced"), placed_data)};
    struct stream_rows part = {.rows = first, .count = 1, .more = true};
    command_flow_take_streams(flow, &part);
    assert_wants(flow, FLOW_WANT_STREAMS);
    size_t count = 0;
    cr_assert_eq(command_flow_queries(flow, &count)->after_version, 1);
    struct recorded_event rest[] = {
        row_of(2, STR("OrderConfirmed"), STR("{\"confirmed_at\":\"2026-11-24T00:00:00.000Z\"}"))};
    bring_rows(flow, rest, 1);
    assert_wants(flow, FLOW_WANT_KEY); // a refusal: confirmed
}

Test(command_flow, given_a_conflict_when_reloaded_then_it_decides_again)
{
    struct command_flow *flow = given(cancelling());
    (void)command_flow_next(flow);
    bring_placed(flow);
    assert_wants(flow, FLOW_WANT_APPEND);
    bring_verdict(flow, VERSION_CONFLICT);
    assert_wants(flow, FLOW_WANT_STREAMS);
    bring_confirmed(flow);
    assert_wants(flow, FLOW_WANT_KEY);
    bring_key(flow, false);
    assert_answer(flow, ANSWER_REJECTED);
    cr_assert(str_eq(command_flow_answer(flow)->code, STR("order-not-cancellable")));
}

Test(command_flow, given_conflict_after_conflict_then_it_gives_up_and_says_so)
{
    struct command_flow *flow = given(cancelling());
    for (int i = 0; i < 3; i++) {
        assert_wants(flow, FLOW_WANT_STREAMS);
        bring_placed(flow);
        assert_wants(flow, FLOW_WANT_APPEND);
        bring_verdict(flow, VERSION_CONFLICT);
    }
    assert_answer(flow, ANSWER_CONTENDED);
}

Test(command_flow, given_a_failed_twin_then_the_same_item_is_appended_again)
{
    struct command_flow *flow = given(placing());
    (void)command_flow_next(flow);
    bring_product(flow);
    assert_wants(flow, FLOW_WANT_APPEND);
    bring_verdict(flow, APPEND_AGAIN);
    assert_wants(flow, FLOW_WANT_APPEND);
    bring_verdict(flow, APPENDED);
    assert_answer(flow, ANSWER_DONE);
}

Test(command_flow, given_a_refusal_then_the_key_is_looked_up_first)
{
    struct command_flow *flow = given(cancelling());
    (void)command_flow_next(flow);
    bring_confirmed(flow);
    assert_wants(flow, FLOW_WANT_KEY);
    cr_assert(uuid_eq(command_flow_key(flow)->id, (struct uuid){{7}}));
    struct append_key key = {
        .id = {{7}}, .fingerprint = {1, 2, 3}, .stream = order, .version = 1, .status = 202};
    command_flow_take_key(flow, true, &key);
    assert_wants(flow, FLOW_WANT_DOCUMENT);
    bring_confirmed(flow);
    assert_answer(flow, ANSWER_DONE);
    cr_assert(command_flow_answer(flow)->replayed);
    cr_assert_eq(command_flow_answer(flow)->status, 202);
}

Test(command_flow, given_a_refusal_when_the_key_stands_for_another_body_then_it_is_reused)
{
    struct command_flow *flow = given(cancelling());
    (void)command_flow_next(flow);
    bring_confirmed(flow);
    (void)command_flow_next(flow);
    struct append_key key = {.fingerprint = {9}, .stream = other, .version = 1, .status = 202};
    command_flow_take_key(flow, true, &key);
    assert_answer(flow, ANSWER_KEY_REUSED);
}

// The fingerprint is one of method, path and body: the target may have stood in the query.
Test(command_flow, given_a_refusal_when_the_key_stands_for_another_target_then_it_is_reused)
{
    struct command_flow *flow = given(cancelling());
    (void)command_flow_next(flow);
    bring_confirmed(flow);
    (void)command_flow_next(flow);
    struct append_key key = {
        .id = {{7}}, .fingerprint = {1, 2, 3}, .stream = other, .version = 1, .status = 202};
    command_flow_take_key(flow, true, &key);
    assert_answer(flow, ANSWER_KEY_REUSED);
}

Test(command_flow, given_a_duplicate_of_another_target_then_the_key_is_reused)
{
    struct command_flow *flow = given(cancelling());
    (void)command_flow_next(flow);
    bring_placed(flow);
    assert_wants(flow, FLOW_WANT_APPEND);
    struct append_verdict verdict = {.outcome = DUPLICATE,
                                     .key = {.stream = other, .version = 2, .status = 202}};
    command_flow_take_verdict(flow, &verdict);
    assert_answer(flow, ANSWER_KEY_REUSED);
}

Test(command_flow, given_another_ones_order_then_it_is_not_found)
{
    struct command_request request = cancelling();
    request.subject = STR("bob");
    struct command_flow *flow = given(request);
    (void)command_flow_next(flow);
    bring_placed(flow);
    assert_wants(flow, FLOW_WANT_KEY);
    bring_key(flow, false);
    assert_answer(flow, ANSWER_NOT_FOUND);
}

Test(command_flow, given_the_id_of_a_stream_of_another_kind_then_it_is_not_found)
{
    struct command_flow *flow = given(cancelling());
    (void)command_flow_next(flow);
    struct recorded_event row = row_of(1, STR("PaymentAuthorized"), STR("{}"));
    row.category = STR("payment");
    bring_rows(flow, &row, 1);
    assert_wants(flow, FLOW_WANT_KEY);
    bring_key(flow, false);
    assert_answer(flow, ANSWER_NOT_FOUND);
}

Test(command_flow, given_an_order_of_another_tenant_then_it_is_not_found)
{
    struct command_flow *flow = given(cancelling());
    (void)command_flow_next(flow);
    struct recorded_event row = row_of(1, STR("OrderPlaced"), placed_data);
    row.tenant = STR("other");
    bring_rows(flow, &row, 1);
    assert_wants(flow, FLOW_WANT_KEY);
    bring_key(flow, false);
    assert_answer(flow, ANSWER_NOT_FOUND);
}

Test(command_flow, given_a_command_that_stands_already_then_it_answers_without_appending)
{
    struct command_flow *flow = given(cancelling());
    (void)command_flow_next(flow);
    bring_cancelling(flow);
    assert_wants(flow, FLOW_WANT_KEY);
    bring_key(flow, false);
    assert_answer(flow, ANSWER_DONE);
    const struct command_answer *answer = command_flow_answer(flow);
    cr_assert_eq(answer->status, 202);
    cr_assert_not(answer->appended);
    cr_assert_not(answer->replayed);
    cr_assert_eq(answer->document.version, 2);
}

Test(command_flow, given_no_key_then_a_refusal_is_answered_at_once)
{
    struct command_request request = cancelling();
    request.has_key = false;
    struct command_flow *flow = given(request);
    (void)command_flow_next(flow);
    bring_confirmed(flow);
    assert_answer(flow, ANSWER_REJECTED);
}

Test(command_flow, given_a_failure_when_nothing_was_done_then_it_is_told_as_it_is)
{
    static const enum status failures[] = {STATUS_UNAVAILABLE, STATUS_TIMEOUT, STATUS_UNKNOWN};
    for (size_t i = 0; i < 3; i++) {
        struct command_flow *flow = given(placing());
        (void)command_flow_next(flow);
        bring_product(flow);
        (void)command_flow_next(flow);
        command_flow_fail(flow, failures[i]);
        assert_answer(flow, ANSWER_FAILED);
        cr_assert_eq(command_flow_answer(flow)->failure, failures[i]);
    }
}

Test(command_flow, given_a_known_key_when_its_document_cannot_be_read_then_the_outcome_is_unknown)
{
    struct command_flow *flow = given(cancelling());
    (void)command_flow_next(flow);
    bring_confirmed(flow);
    (void)command_flow_next(flow);
    bring_key(flow, true);
    assert_wants(flow, FLOW_WANT_DOCUMENT);
    command_flow_fail(flow, STATUS_UNAVAILABLE);
    assert_answer(flow, ANSWER_FAILED);
    cr_assert_eq(command_flow_answer(flow)->failure, STATUS_UNKNOWN);
}

Test(command_flow, given_a_stream_with_a_gap_then_it_fails_instead_of_deciding)
{
    struct command_flow *flow = given(cancelling());
    (void)command_flow_next(flow);
    struct recorded_event rows[] = {row_of(2, STR("OrderConfirmed"), STR("{}"))};
    bring_rows(flow, rows, 1);
    assert_answer(flow, ANSWER_FAILED);
    cr_assert_eq(command_flow_answer(flow)->failure, STATUS_MALFORMED);
}

Test(command_flow, given_too_little_memory_then_the_limit_is_told_and_nothing_is_appended)
{
    struct arena small;
    arena_init(&small, 1024, 40 * 1024);
    struct command_request request = placing();
    struct command_flow *flow = command_flow_new(&request, &small);
    cr_assert_not_null(flow);
    while (arena_alloc(&small, 64) != NULL) {
    }
    assert_answer(flow, ANSWER_TOO_LARGE);
    cr_assert(uuid_eq(command_flow_answer(flow)->stream, order));
    arena_free(&small);
}
