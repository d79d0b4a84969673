// SPDX-License-Identifier: Apache-2.0
// If-Match in a command's flow: after what is not found, before what a rule forbids.
#include "support/flow_fixture.h"

TestSuite(command_precondition, .init = open_arena, .fini = close_arena);

Test(command_precondition, given_an_unknown_order_then_it_is_not_found_whatever_the_tag)
{
    struct command_request request = cancelling();
    request.if_match =
        (struct precondition){.kind = PRECONDITION_VERSION, .versions = {1}, .count = 1};
    struct command_flow *flow = given(request);
    (void)command_flow_next(flow);
    bring_rows(flow, NULL, 0);
    assert_wants(flow, FLOW_WANT_KEY);
    bring_key(flow, false);
    assert_answer(flow, ANSWER_NOT_FOUND);
}

Test(command_precondition, given_a_stale_tag_then_the_precondition_fails_before_the_rule)
{
    struct command_request request = cancelling();
    request.if_match =
        (struct precondition){.kind = PRECONDITION_VERSION, .versions = {1}, .count = 1};
    struct command_flow *flow = given(request);
    (void)command_flow_next(flow);
    bring_confirmed(flow); // would be 409
    assert_wants(flow, FLOW_WANT_KEY);
    bring_key(flow, false);
    assert_answer(flow, ANSWER_PRECONDITION);
    cr_assert_eq(command_flow_answer(flow)->version, 2);
}

Test(command_precondition, given_a_stale_tag_when_the_key_is_known_then_the_first_answer_wins)
{
    struct command_request request = cancelling();
    request.if_match =
        (struct precondition){.kind = PRECONDITION_VERSION, .versions = {1}, .count = 1};
    struct command_flow *flow = given(request);
    (void)command_flow_next(flow);
    bring_cancelling(flow);
    assert_wants(flow, FLOW_WANT_KEY);
    bring_key(flow, true);
    assert_wants(flow, FLOW_WANT_DOCUMENT);
    bring_cancelling(flow);
    assert_answer(flow, ANSWER_DONE);
    cr_assert(command_flow_answer(flow)->replayed);
}

Test(command_precondition, given_tags_when_one_is_the_current_version_then_it_goes_on)
{
    struct command_request request = cancelling();
    request.if_match =
        (struct precondition){.kind = PRECONDITION_VERSION, .versions = {7, 1}, .count = 2};
    struct command_flow *flow = given(request);
    (void)command_flow_next(flow);
    bring_placed(flow);
    assert_wants(flow, FLOW_WANT_APPEND);
}

Test(command_precondition, given_any_tag_then_a_creation_goes_on_but_a_version_of_it_cannot_match)
{
    struct command_request request = placing();
    request.if_match.kind = PRECONDITION_ANY;
    struct command_flow *flow = given(request);
    (void)command_flow_next(flow);
    bring_product(flow);
    assert_wants(flow, FLOW_WANT_APPEND);

    request.if_match =
        (struct precondition){.kind = PRECONDITION_VERSION, .versions = {1}, .count = 1};
    flow = given(request);
    (void)command_flow_next(flow);
    bring_product(flow);
    assert_wants(flow, FLOW_WANT_KEY);
    bring_key(flow, false);
    assert_answer(flow, ANSWER_PRECONDITION);
}

Test(command_precondition, given_a_tag_that_can_match_nothing_then_the_precondition_fails)
{
    struct command_request request = cancelling();
    request.if_match.kind = PRECONDITION_NEVER;
    struct command_flow *flow = given(request);
    (void)command_flow_next(flow);
    bring_placed(flow);
    (void)command_flow_next(flow);
    bring_key(flow, false);
    assert_answer(flow, ANSWER_PRECONDITION);
}
