// SPDX-License-Identifier: Apache-2.0
// The consumer's loop over a broker and a register in memory, with a runtime whose time is the
// test's: what is acknowledged, given back, tried later, handled alone.
//
// links: workers/runtime/consumer.c workers/runtime/consumer_batch.c
// links: workers/runtime/consumer_failures.c workers/runtime/consumer_metrics.c
// links: workers/runtime/consumer_lanes.c
// links: workers/runtime/consumer_settings.c workers/runtime/consumer_wait.c
// links: workers/runtime/consumer_backlog.c
#include "runtime/consumer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "runtime/consumer_parts.h"
#include "support/consumer_world.h"

TestSuite(consumer, .init = consumer_world_open, .fini = consumer_world_close);

// --- acknowledging, the ladder

Test(consumer, given_messages_when_handled_then_one_batch_and_all_acknowledged)
{
    for (int at = 0; at < 5; at++) {
        given_message("fine");
    }
    when_it_runs(suspects);
    cr_assert_eq(script.batches, 1);
    cr_assert_eq(script.sizes[0], 5);
    then_depths(0, 0, 0);
    then_nothing_is_in_hand();
    cr_assert(runtime.bus_there);
}

Test(consumer, given_more_than_a_batch_when_handled_then_no_batch_is_larger_than_its_limit)
{
    for (int at = 0; at < 300; at++) {
        given_message("fine");
    }
    when_it_runs(suspects);
    cr_assert_eq(script.batches, 3);
    cr_assert_eq(script.sizes[0], 128);
    cr_assert_eq(script.sizes[2], 300 - 2 * 128);
    then_depths(0, 0, 0);
}

Test(consumer, given_failures_among_others_when_handled_then_each_takes_its_own_way)
{
    given_message("fine");
    given_message("later");
    given_message("never");
    given_message("fine");
    when_it_runs(suspects);
    then_depths(0, 1, 1);
    then_nothing_is_in_hand();
}

Test(consumer, given_one_that_always_fails_when_its_ladder_ends_then_it_is_a_dead_letter)
{
    given_message("later");
    for (int rung = 0; rung < 4; rung++) {
        runtime.turns_left = TURNS;
        when_it_runs(suspects);
        memory_broker_pass(broker, 1000);
    }
    cr_assert_eq(script.batches, 4);
    then_depths(0, 0, 1);
}

Test(consumer, given_what_cannot_be_read_when_it_comes_then_only_that_is_a_dead_letter)
{
    publish((struct message){.exchange = STR("comanda.events"),
                             .routing_key = STR("meter.fine"),
                             .content_type = STR("text/plain"),
                             .body = STR("{")});
    given_message("fine");
    when_it_runs(suspects);
    cr_assert_eq(script.sizes[0], 1);
    then_depths(0, 0, 1);
}

// --- messages that come again

static int marks_of(struct uuid message)
{
    int attempts = 0;
    cr_assert_eq(suspect_register_mark(suspects, STR("projector"), message, &attempts), STATUS_OK);
    return attempts - 1;
}

static void given_marked(const struct uuid *messages, size_t count)
{
    bool known[8];
    cr_assert_eq(suspect_register_mark_group(suspects, STR("projector"), messages, count, known),
                 STATUS_OK);
}

Test(consumer, given_messages_that_come_again_when_handled_then_together_and_no_mark_stays)
{
    struct uuid first = given_message("fine");
    given_message("later");
    given_message("fine");
    given_all_come_again();
    given_message("fine");
    when_it_runs(suspects);
    cr_assert_eq(script.batches, 2);
    cr_assert_eq(script.sizes[0], 1, "the fresh one goes first");
    cr_assert_eq(script.sizes[1], 3);
    bool known[1];
    cr_assert_eq(suspect_register_mark_group(suspects, STR("projector"), &first, 1, known),
                 STATUS_OK);
    cr_assert_not(known[0]);
    then_depths(0, 1, 0);
}

Test(consumer, given_some_whose_group_died_when_they_come_again_then_each_of_them_goes_alone)
{
    struct uuid messages[2] = {given_message("fine"), given_message("fine")};
    given_message("fine");
    given_message("fine");
    given_all_come_again();
    given_marked(messages, 2);
    when_it_runs(suspects);
    cr_assert_eq(script.batches, 3);
    cr_assert_eq(script.sizes[0], 2, "the others are together once");
    cr_assert_eq(script.sizes[1], 1);
    cr_assert_eq(script.sizes[2], 1);
    cr_assert_eq(marks_of(messages[0]), 0);
    then_depths(0, 0, 0);
}

Test(consumer, given_one_that_died_alone_too_often_when_it_comes_again_then_it_is_a_dead_letter)
{
    struct uuid bad = given_message("fine");
    struct uuid good = given_message("fine");
    given_all_come_again();
    for (int crash = 0; crash < 3; crash++) {
        (void)marks_of(bad);
    }
    given_marked(&good, 1);
    when_it_runs(suspects);
    cr_assert_eq(script.batches, 1, "the bad one is not even read");
    then_depths(0, 0, 1);
    cr_assert_eq(marks_of(bad), 0, "forgotten");
}

Test(consumer, given_a_store_that_stays_away_when_a_suspect_is_given_back_then_its_mark_stays)
{
    struct uuid message = given_message("fine");
    given_all_come_again();
    script.failure = STATUS_UNAVAILABLE;
    script.failures = 1000000;
    when_it_runs(suspects);
    then_depths(1, 0, 0);
    cr_assert_eq(marks_of(message), 1);
}

Test(consumer, given_no_register_when_messages_come_again_then_nobody_is_suspected)
{
    given_message("fine");
    given_message("fine");
    given_all_come_again();
    when_it_runs(NULL);
    cr_assert_eq(script.batches, 1);
    cr_assert_eq(script.sizes[0], 2);
    then_depths(0, 0, 0);
}

// --- settings

Test(consumer, given_the_defaults_when_summed_then_the_ladder_lasts_as_long)
{
    cr_assert_eq(consumer_ladder_ms(runtime.settings), 5000 + 20000 + 60000);
    cr_assert_eq(ladder_settings.count, 3);
    cr_assert_str_eq(ladder_settings.items[0].name, "COMANDA_RETRY_1");
    cr_assert_str_eq(ladder_settings.items[2].name, "COMANDA_RETRY_3");
}

Test(consumer, given_settings_outside_their_limits_when_read_then_the_fault_names_them)
{
    static char *const environments[][2] = {{"COMANDA_BATCH=0", NULL},
                                            {"COMANDA_BATCH=1025", NULL},
                                            {"COMANDA_PREFETCH=10001", NULL},
                                            {"COMANDA_LINGER=soon", NULL},
                                            {"COMANDA_RETRY_2=9ms", NULL}};
    struct setting_table table = {.program = "test", .purpose = "tests"};
    table.groups[0] = consumer_settings;
    for (size_t at = 0; at < sizeof(environments) / sizeof(environments[0]); at++) {
        struct settings *settings = NULL;
        struct str fault = STR("");
        const char *given = environments[at][0];
        cr_assert_eq(
            settings_load(&table, NULL, environments[at], &consumer_arena, &settings, &fault),
            STATUS_INVALID, "%s", given);
        struct str name = {given, strcspn(given, "=")};
        cr_assert(str_starts_with(fault, name), "%s: %.*s", given, STR_FMT(fault));
    }
}

// --- lanes

Test(consumer, given_members_when_lanes_are_dealt_then_each_lane_is_one_members_and_shares_are_even)
{
    struct uuid members[5];
    struct str lanes[TOPOLOGY_LANES];
    for (size_t at = 0; at < TOPOLOGY_LANES; at++) {
        lanes[at] = arena_printf(&consumer_arena, "lane.%zu", at);
    }
    for (unsigned char count = 1; count <= 5; count++) {
        size_t total = 0;
        bool dealt_before[TOPOLOGY_LANES] = {false};
        members[count - 1] = (struct uuid){.bytes = {count}};
        for (unsigned char at = 0; at < count; at++) {
            struct str dealt[TOPOLOGY_LANES];
            size_t share =
                consumer_lanes_deal(members, count, members[at], lanes, TOPOLOGY_LANES, dealt);
            cr_assert_geq(share, TOPOLOGY_LANES / count);
            cr_assert_leq(share, (size_t)(TOPOLOGY_LANES + count - 1) / count);
            for (size_t each = 0; each < share; each++) {
                size_t lane = (size_t)(dealt[each].data[dealt[each].len - 1] - '0');
                cr_assert_not(dealt_before[lane]);
                dealt_before[lane] = true;
            }
            total += share;
        }
        cr_assert_eq(total, TOPOLOGY_LANES);
    }
}

Test(consumer, given_a_member_that_is_not_listed_when_lanes_are_dealt_then_it_has_none)
{
    const struct uuid members[] = {{.bytes = {1}}};
    const struct str lanes[] = {{"lane.0", 6}};
    struct str dealt[1];
    cr_assert_eq(consumer_lanes_deal(members, 1, (struct uuid){.bytes = {2}}, lanes, 1, dealt), 0);
    cr_assert_eq(consumer_lanes_deal(members, 0, members[0], lanes, 1, dealt), 0);
}
