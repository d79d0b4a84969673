// SPDX-License-Identifier: Apache-2.0
// Unit tests of basic.publish as bytes; that RabbitMQ reads them the contract suite shows.
#include "infrastructure/rabbitmq/publish_frames.h"

#include <criterion/criterion.h>
#include <string.h>

static struct buffer out;

static void set_up(void)
{
    buffer_init(&out, NULL, 1 << 20);
}

static void tear_down(void)
{
    buffer_free(&out);
}

TestSuite(publish_frames, .init = set_up, .fini = tear_down);

static struct message small(void)
{
    return (struct message){
        .id = {.bytes = {0x01, 0x93, [15] = 0x0a}},
        .exchange = STR("e"),
        .routing_key = STR("k.k"),
        .content_type = STR("t/j"),
        .body = STR("{}"),
    };
}

Test(publish_frames, given_a_message_when_written_then_it_is_these_bytes)
{
    static const char wanted[] = "\x01\x00\x01\x00\x00\x00\x0d"
                                 "\x00\x3c\x00\x28\x00\x00\x01"
                                 "e\x03k.k\x01\xce"
                                 "\x02\x00\x01\x00\x00\x00\x38"
                                 "\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x90\x80"
                                 "\x03t/j\x02\x24"
                                 "01930000-0000-0000-0000-00000000000a\xce"
                                 "\x03\x00\x01\x00\x00\x00\x02{}\xce";
    struct message message = small();
    publish_frames_add(&out, 1, 131072, &message);
    cr_assert_eq(out.status, STATUS_OK);
    cr_assert_eq(out.len, sizeof(wanted) - 1, "%zu bytes", out.len);
    cr_assert_arr_eq(out.data, wanted, sizeof(wanted) - 1);
}

// Walks the frames: their lengths must lead exactly to each end mark.
static size_t count_frames(size_t frame_max)
{
    size_t frames = 0;
    size_t at = 0;
    while (at < out.len) {
        const unsigned char *frame = (const unsigned char *)out.data + at;
        size_t length =
            (size_t)frame[3] << 24 | (size_t)frame[4] << 16 | (size_t)frame[5] << 8 | frame[6];
        cr_assert_leq(length + 8, frame_max);
        cr_assert_lt(at + 7 + length, out.len);
        cr_assert_eq(frame[7 + length], 0xCE);
        at += length + 8;
        frames++;
    }
    cr_assert_eq(at, out.len);
    return frames;
}

Test(publish_frames, given_bodies_around_a_frame_when_written_then_they_are_cut_to_fit)
{
    static char body[20000];
    static const size_t cases[][2] = {{0, 2}, {1, 3}, {4088, 3}, {4089, 4}, {8176, 4}, {20000, 7}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct message message = small();
        message.body = (struct str){body, cases[i][0]};
        buffer_reset(&out);
        publish_frames_add(&out, 1, 4096, &message);
        cr_assert_eq(count_frames(4096), cases[i][1], "a body of %zu bytes", cases[i][0]);
    }
}

Test(publish_frames, given_attempts_and_no_id_when_written_then_the_lengths_still_fit)
{
    static char cause[5000];
    memset(cause, 'c', sizeof(cause));
    struct message message = small();
    message.id = (struct uuid){0};
    message.attempts = (struct message_attempts){7, 1, 2, {cause, sizeof(cause)}};
    publish_frames_add(&out, 1, 131072, &message);
    cr_assert_eq(count_frames(131072), 3);
    cr_assert_lt(out.len, 1400, "a cause is cut at 1024 bytes");
}

Test(publish_frames, given_a_buffer_too_small_when_written_then_it_says_so)
{
    struct buffer tiny;
    struct message message = small();
    buffer_init(&tiny, NULL, 40);
    publish_frames_add(&tiny, 1, 131072, &message);
    cr_assert_eq(tiny.status, STATUS_FULL);
    buffer_free(&tiny);
}
