// SPDX-License-Identifier: Apache-2.0
// The cache of states: bounded, newest kept, losing is harmless.
#include "application/handler/state_cache.h"

#include <criterion/criterion.h>

static struct uuid id_of(unsigned char number)
{
    return (struct uuid){{number}};
}

static int32_t version_of(struct state_cache *cache, unsigned char number)
{
    struct str state;
    return state_cache_get(cache, id_of(number), &state);
}

Test(state_cache, given_a_state_when_put_then_it_is_got_with_its_version)
{
    struct state_cache *cache = state_cache_new(2, 10);
    struct str state = {NULL, 0};
    cr_assert_eq(state_cache_get(cache, id_of(1), &state), 0);
    state_cache_put(cache, id_of(1), 7, STR("seven"));
    cr_assert_eq(state_cache_get(cache, id_of(1), &state), 7);
    cr_assert(str_eq(state, STR("seven")));
    state_cache_put(cache, id_of(1), 8, STR("eight"));
    cr_assert_eq(version_of(cache, 1), 8);
    state_cache_free(cache);
}

Test(state_cache, given_no_room_when_put_then_the_least_recently_used_goes)
{
    struct state_cache *cache = state_cache_new(2, 10);
    state_cache_put(cache, id_of(1), 1, STR("a"));
    state_cache_put(cache, id_of(2), 1, STR("b"));
    cr_assert_eq(version_of(cache, 1), 1); // used: now 2 is the oldest
    state_cache_put(cache, id_of(3), 1, STR("c"));
    cr_assert_eq(version_of(cache, 1), 1);
    cr_assert_eq(version_of(cache, 2), 0);
    cr_assert_eq(version_of(cache, 3), 1);
    state_cache_free(cache);
}

Test(state_cache, given_a_state_that_is_too_large_when_put_then_the_old_one_is_gone_too)
{
    struct state_cache *cache = state_cache_new(2, 3);
    state_cache_put(cache, id_of(1), 1, STR("abc"));
    state_cache_put(cache, id_of(1), 2, STR("abcd"));
    cr_assert_eq(version_of(cache, 1), 0);
    state_cache_free(cache);
}

Test(state_cache, given_a_dropped_stream_when_got_then_it_is_not_there)
{
    struct state_cache *cache = state_cache_new(2, 10);
    state_cache_put(cache, id_of(1), 1, STR("a"));
    state_cache_drop(cache, id_of(1));
    state_cache_drop(cache, id_of(9));
    cr_assert_eq(version_of(cache, 1), 0);
    state_cache_free(cache);
}

Test(state_cache, given_no_entries_allowed_when_put_then_nothing_is_kept)
{
    struct state_cache *cache = state_cache_new(0, 10);
    state_cache_put(cache, id_of(1), 1, STR("a"));
    cr_assert_eq(version_of(cache, 1), 0);
    state_cache_free(cache);
}

Test(state_cache, given_another_session_when_it_follows_then_nothing_is_remembered)
{
    struct state_cache *cache = state_cache_new(2, 10);
    cr_assert_not(state_cache_follow(cache, 1));
    state_cache_put(cache, id_of(1), 1, STR("a"));
    cr_assert_not(state_cache_follow(cache, 1));
    cr_assert_eq(version_of(cache, 1), 1);
    cr_assert(state_cache_follow(cache, 2));
    cr_assert_eq(version_of(cache, 1), 0);
    cr_assert_not(state_cache_follow(cache, 3), "there was nothing to forget");
    state_cache_free(cache);
}
