// SPDX-License-Identifier: Apache-2.0
// What a consumer tells of how far its queue is behind.
//
// links: workers/runtime/consumer.c workers/runtime/consumer_batch.c
// links: workers/runtime/consumer_failures.c workers/runtime/consumer_metrics.c
// links: workers/runtime/consumer_lanes.c
// links: workers/runtime/consumer_settings.c workers/runtime/consumer_wait.c
// links: workers/runtime/consumer_backlog.c
#include <criterion/criterion.h>

#include "runtime/consumer.h"
#include "support/consumer_world.h"

enum { TALES_MAX = 16, SECOND_MS = 1000 };

static struct backlog_mark tales[TALES_MAX];
static size_t tale_count;
static size_t attended;
static enum status answer;

static enum status attend(struct backlog_register *backlog, struct str queue)
{
    (void)backlog;
    cr_assert(str_eq(queue, QUEUE));
    attended++;
    return STATUS_OK;
}

static enum status tell(struct backlog_register *backlog, struct str queue,
                        struct backlog_mark taken_up_to)
{
    (void)backlog;
    cr_assert(str_eq(queue, QUEUE));
    cr_assert_lt(tale_count, TALES_MAX);
    tales[tale_count++] = taken_up_to;
    return answer;
}

static void open_world(void)
{
    static const struct backlog_register_ops ops = {attend, tell};
    static struct backlog_register listener = {&ops};
    consumer_world_open();
    told = &listener;
    tale_count = 0;
    attended = 0;
    answer = STATUS_OK;
}

TestSuite(consumer_backlog, .init = open_world, .fini = consumer_world_close);

static void given_waited_ms(int64_t waited_ms)
{
    runtime.now_ms = MESSAGE_RECORDED_AT / 1000 + waited_ms;
}

Test(consumer_backlog, given_a_queue_that_is_kept_up_with_when_handled_then_nothing_is_told)
{
    given_message("fine");
    given_waited_ms(SECOND_MS - 1);
    when_it_runs(suspects);
    cr_assert_eq(tale_count, 0);
    cr_assert_gt(attended, 0, "that it is there");
}

Test(consumer_backlog, given_old_messages_when_taken_up_then_how_far_and_at_the_end_no_more)
{
    for (int at = 0; at < 300; at++) {
        given_message("fine");
    }
    given_waited_ms(5 * SECOND_MS);
    when_it_runs(suspects);
    cr_assert_eq(script.batches, 3);
    cr_assert_eq(tale_count, 2, "once a second, and that it has caught up");
    cr_assert_eq(tales[0].recorded_at, MESSAGE_RECORDED_AT);
    cr_assert_eq(tales[0].at.position, 128, "the newest of the first batch");
    cr_assert_eq(tales[1].recorded_at, 0);
}

Test(consumer_backlog, given_a_register_that_is_away_when_it_has_caught_up_then_it_is_told_again)
{
    given_message("fine");
    given_waited_ms(5 * SECOND_MS);
    answer = STATUS_UNAVAILABLE;
    when_it_runs(suspects);
    cr_assert_eq(tale_count, 1, "nobody has heard that it was behind");
}

Test(consumer_backlog, given_messages_that_come_again_when_taken_up_then_they_say_nothing)
{
    given_message("fine");
    given_message("later");
    given_all_come_again();
    given_waited_ms(5 * SECOND_MS);
    when_it_runs(suspects);
    cr_assert_eq(tale_count, 0);
}
