// SPDX-License-Identifier: Apache-2.0
// The buffer: grows to its maximum, then fails once and for good, in an arena and without.
#include "base/buffer.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/arena.h"

Test(buffer, given_pieces_when_added_then_they_follow_one_another)
{
    struct buffer buffer;
    buffer_init(&buffer, NULL, 100000);
    for (int i = 0; i < 1000; i++) {
        buffer_add(&buffer, STR("ab"));
        buffer_add_char(&buffer, 'c');
    }
    cr_assert_eq(buffer.len, 3000);
    cr_assert_arr_eq(buffer.data + 2997, "abc", 3);
    buffer_reset(&buffer);
    buffer_add_int64(&buffer, -120);
    buffer_printf(&buffer, "%s", "!");
    cr_assert(str_eq(buffer_view(&buffer), STR("-120!")));
    buffer_free(&buffer);
}

Test(buffer, given_a_maximum_when_passed_then_the_failure_sticks_until_reset)
{
    struct buffer buffer;
    buffer_init(&buffer, NULL, 4);
    buffer_add(&buffer, STR("abcd"));
    cr_assert_eq(buffer.status, STATUS_OK);
    buffer_add_char(&buffer, 'e');
    cr_assert_eq(buffer.status, STATUS_FULL);
    buffer_add(&buffer, STR(""));
    cr_assert_eq(buffer.len, 4);
    buffer_reset(&buffer);
    buffer_add(&buffer, STR("x"));
    cr_assert_eq(buffer.status, STATUS_OK);
    buffer_free(&buffer);
}

Test(buffer, given_an_arena_when_it_is_full_then_the_buffer_says_no_memory)
{
    struct arena arena;
    struct buffer buffer;
    arena_init(&arena, 512, 600);
    buffer_init(&buffer, &arena, 10000);
    for (int i = 0; i < 300; i++) {
        buffer_add(&buffer, STR("ab"));
    }
    cr_assert_eq(buffer.status, STATUS_NO_MEMORY);
    cr_assert_arr_eq(buffer.data, "abab", 4);
    arena_free(&arena);
}

Test(buffer, given_nothing_when_viewed_then_the_view_is_empty_and_no_null)
{
    struct buffer buffer;
    buffer_init(&buffer, NULL, 10);
    cr_assert_not_null(buffer_view(&buffer).data);
    cr_assert_eq(buffer_view(&buffer).len, 0);
    buffer_free(&buffer);
}
