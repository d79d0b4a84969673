// SPDX-License-Identifier: Apache-2.0
// The arena: zeroed, aligned, bounded, and one block kept over a reset.
#include "base/arena.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

Test(arena, given_allocations_when_looked_at_then_they_are_zeroed_aligned_and_apart)
{
    struct arena arena;
    arena_init(&arena, 256, 64 * 1024);
    char *before = NULL;
    for (size_t size = 1; size < 600; size += 37) {
        char *memory = arena_alloc(&arena, size);
        cr_assert_not_null(memory);
        cr_assert_eq((uintptr_t)memory % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++) {
            cr_assert_eq(memory[i], 0);
        }
        memset(memory, 0xff, size);
        cr_assert_neq(memory, before);
        before = memory;
    }
    arena_free(&arena);
}

Test(arena, given_a_limit_when_passed_then_there_is_nothing_and_the_rest_still_serves)
{
    struct arena arena;
    arena_init(&arena, 64, 100);
    cr_assert_not_null(arena_alloc(&arena, 90));
    cr_assert_null(arena_alloc(&arena, 11));
    cr_assert_not_null(arena_alloc(&arena, 10));
    cr_assert_null(arena_alloc(&arena, SIZE_MAX));
    cr_assert_null(arena_array(&arena, SIZE_MAX / 2, 3));
    cr_assert_null(arena_str(&arena, STR("too much")).data);
    cr_assert_null(arena_printf(&arena, "%d", 7).data);
    arena_free(&arena);
}

Test(arena, given_a_reset_when_used_again_then_memory_is_clean_and_counted_afresh)
{
    struct arena arena;
    arena_init(&arena, 64, 1000);
    for (int round = 0; round < 100; round++) {
        char *memory = arena_alloc(&arena, 900);
        cr_assert_not_null(memory);
        cr_assert_eq(memory[0], 0);
        cr_assert_eq(memory[899], 0);
        memset(memory, 1, 900);
        arena_reset(&arena);
        cr_assert_eq(arena.used, 0);
    }
    arena_free(&arena);
    arena_free(&arena);
}

Test(arena, given_a_trim_then_a_small_block_is_kept_and_a_large_one_is_given_back)
{
    struct arena arena;
    arena_init(&arena, 64, 1000);
    cr_assert_not_null(arena_alloc(&arena, 64));
    arena_trim(&arena, 64);
    cr_assert_not_null(arena.blocks);
    cr_assert_eq(arena.used, 0);
    cr_assert_not_null(arena_alloc(&arena, 900));
    arena_trim(&arena, 64);
    cr_assert_null(arena.blocks);
    cr_assert_eq(arena.used, 0);
    arena_trim(&arena, 64);
    cr_assert_not_null(arena_alloc(&arena, 1000), "it serves again");
    arena_free(&arena);
}

Test(arena, given_text_when_copied_then_it_ends_with_a_nul)
{
    struct arena arena;
    arena_init(&arena, 64, 1000);
    struct str copy = arena_str(&arena, STR("abc"));
    cr_assert_str_eq(copy.data, "abc");
    cr_assert_eq(copy.len, 3);
    cr_assert_not_null(arena_str(&arena, (struct str){NULL, 0}).data);
    struct str printed = arena_printf(&arena, "%s-%d", "x", 42);
    cr_assert_str_eq(printed.data, "x-42");
    cr_assert_eq(printed.len, 4);
    arena_free(&arena);
}

Test(arena, given_a_mark_when_rewound_then_what_was_before_stays_and_the_rest_is_given_back)
{
    struct arena arena;
    arena_init(&arena, 64, 1000);
    char *before = arena_alloc(&arena, 32);
    struct arena_mark mark = arena_mark(&arena);
    memset(before, 'x', 32);
    for (int i = 0; i < 3; i++) {
        char *first = arena_alloc(&arena, 32);
        cr_assert_eq(first, before + 32);
        cr_assert_not_null(arena_alloc(&arena, 900));
        cr_assert_null(arena_alloc(&arena, 100));
        arena_rewind(&arena, mark);
        cr_assert_eq(arena.used, 32);
        cr_assert_eq(before[31], 'x');
    }
    arena_free(&arena);
}

Test(arena, given_a_mark_of_an_empty_arena_when_rewound_then_it_is_empty)
{
    struct arena arena;
    arena_init(&arena, 64, 1000);
    struct arena_mark mark = arena_mark(&arena);
    cr_assert_not_null(arena_alloc(&arena, 900));
    arena_rewind(&arena, mark);
    cr_assert_eq(arena.used, 0);
    cr_assert_not_null(arena_alloc(&arena, 1000));
    arena_free(&arena);
}
