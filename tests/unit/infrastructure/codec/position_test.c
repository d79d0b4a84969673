// SPDX-License-Identifier: Apache-2.0
// The opaque position token.
#include "infrastructure/codec/position.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct position sample = {.log = 0,
                                       .at = {3, UINT64_C(0x123456789abcdef0), INT64_C(1) << 40},
                                       .stream = {{1, 2, 3, 4, 5, 6, 0x70, 8, 0x80, 10}},
                                       .version = 7};

Test(position, given_a_position_when_written_and_read_then_it_is_the_same)
{
    char text[POSITION_TEXT_LEN];
    struct position read;
    position_format(&sample, text);
    cr_assert_eq(position_parse((struct str){text, sizeof(text)}, &read), STATUS_OK);
    cr_assert_eq(read.at.epoch, sample.at.epoch);
    cr_assert_eq(read.at.tx, sample.at.tx);
    cr_assert_eq(read.at.position, sample.at.position);
    cr_assert_eq(read.version, sample.version);
    cr_assert(uuid_eq(read.stream, sample.stream));
}

Test(position, given_something_else_then_it_is_refused)
{
    char text[POSITION_TEXT_LEN];
    struct position read;
    position_format(&sample, text);
    cr_assert_eq(position_parse((struct str){text, sizeof(text) - 1}, &read), STATUS_MALFORMED);
    text[0] = 'z'; // another format
    cr_assert_eq(position_parse((struct str){text, sizeof(text)}, &read), STATUS_MALFORMED);
    text[0] = '!';
    cr_assert_eq(position_parse((struct str){text, sizeof(text)}, &read), STATUS_MALFORMED);
    cr_assert_eq(position_parse(STR(""), &read), STATUS_MALFORMED);
}
