// SPDX-License-Identifier: Apache-2.0
// The list of faults: kept up to its end, counted past it.
#include "domain/fault_list.h"

#include <criterion/criterion.h>

#include "base/arena.h"

Test(fault_list, given_more_faults_than_fit_when_added_then_the_rest_is_counted)
{
    struct arena arena;
    struct fault_list faults = {.count = 0};
    arena_init(&arena, 4096, 64 * 1024);
    for (int i = 0; i < FAULTS_MAX + 3; i++) {
        fault_list_add(&faults, &arena, STR("/a"), STR("is wrong"));
    }
    cr_assert_eq(faults.count, (size_t)FAULTS_MAX);
    cr_assert_eq(faults.total, (size_t)FAULTS_MAX + 3);
    cr_assert(str_eq(faults.items[FAULTS_MAX - 1].pointer, STR("/a")));
    arena_free(&arena);
}

Test(fault_list, given_no_memory_when_added_then_it_still_counts)
{
    struct arena arena;
    struct fault_list faults = {.count = 0};
    arena_init(&arena, 16, 4);
    fault_list_add(&faults, &arena, STR("/a"), STR("is wrong"));
    cr_assert_eq(faults.count, 0);
    cr_assert_eq(faults.total, 1);
    arena_free(&arena);
}
