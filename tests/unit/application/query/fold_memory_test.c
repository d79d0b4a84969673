// SPDX-License-Identifier: Apache-2.0
// The memory of folds: bounded by the states, whatever rows leave behind.
#include <criterion/criterion.h>
#include <string.h>

#include "application/query/fold_memory.h"

// A state that keeps one view into what it was made from.
static enum status encode_view(const void *state, struct buffer *out)
{
    buffer_add(out, *(const struct str *)state);
    return out->status;
}

static enum status decode_view(struct str bytes, struct arena *arena, void **state)
{
    struct str *view = arena_alloc(arena, sizeof(*view));
    if (view != NULL) {
        *view = bytes;
        *state = view;
    }
    return view == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

static const struct fold view_fold = {.version = 1, .encode = encode_view, .decode = decode_view};
static const struct fold no_codec = {.version = 1};

static struct arena arena;

static void open_arena(void)
{
    arena_init(&arena, 4096, 2 * 1024 * 1024);
}

static void close_arena(void)
{
    arena_free(&arena);
}

TestSuite(fold_memory, .init = open_arena, .fini = close_arena, .timeout = 10);

static void *view_of(const char *text)
{
    struct str *view = arena_alloc(&arena, sizeof(*view));
    *view = arena_str(&arena, str_from(text));
    return view;
}

static void leave_behind(size_t bytes)
{
    cr_assert_not_null(arena_alloc(&arena, bytes));
}

Test(fold_memory, given_much_left_behind_when_settled_then_the_states_are_what_is_left)
{
    struct fold_memory memory;
    struct fold_slot one, two, three;
    struct str before = arena_str(&arena, STR("before"));
    fold_memory_open(&memory, &arena);
    fold_memory_add(&memory, &one, &view_fold);
    fold_memory_add(&memory, &two, &view_fold);
    fold_memory_add(&memory, &three, &view_fold); // not begun
    one.state = view_of("first");
    two.state = view_of("second");
    for (int i = 0; i < 1000; i++) {
        leave_behind(10000); // five times what the arena holds
        cr_assert_eq(fold_memory_settle(&memory), STATUS_OK);
    }
    cr_assert(str_eq(*(struct str *)one.state, STR("first")));
    cr_assert(str_eq(*(struct str *)two.state, STR("second")));
    cr_assert_null(three.state);
    cr_assert(str_eq(before, STR("before")));
    cr_assert_lt(arena.used, 300 * 1024);
}

Test(fold_memory, given_a_state_without_a_codec_when_settled_then_it_is_let_be)
{
    struct fold_memory memory;
    struct fold_slot slot;
    fold_memory_open(&memory, &arena);
    fold_memory_add(&memory, &slot, &no_codec);
    slot.state = view_of("kept");
    void *state = slot.state;
    leave_behind(600000);
    cr_assert_eq(fold_memory_settle(&memory), STATUS_OK);
    cr_assert_eq(slot.state, state);
    cr_assert_geq(arena.used, 600000);
}

Test(fold_memory, given_it_is_closed_when_settled_then_nothing_moves)
{
    struct fold_memory memory;
    struct fold_slot slot;
    fold_memory_open(&memory, &arena);
    fold_memory_add(&memory, &slot, &view_fold);
    slot.state = view_of("kept");
    void *state = slot.state;
    fold_memory_close(&memory);
    leave_behind(600000);
    cr_assert_eq(fold_memory_settle(&memory), STATUS_OK);
    cr_assert_eq(slot.state, state);
}
