// SPDX-License-Identifier: Apache-2.0
// Every failure has a name and a sentence of its own.
#include "base/status.h"

#include <criterion/criterion.h>
#include <string.h>

Test(status, given_each_value_when_told_then_name_and_text_are_its_own)
{
    for (int i = 0; i < STATUS_COUNT; i++) {
        cr_assert_eq(strncmp(status_name((enum status)i), "STATUS_", 7), 0);
        cr_assert_gt(strlen(status_text((enum status)i)), 0u);
        for (int j = 0; j < i; j++) {
            cr_assert_str_neq(status_name((enum status)i), status_name((enum status)j));
            cr_assert_str_neq(status_text((enum status)i), status_text((enum status)j));
        }
    }
}

Test(status, given_a_value_outside_when_told_then_there_is_still_a_sentence)
{
    cr_assert_not_null(status_text(STATUS_COUNT));
    cr_assert_str_eq(status_name((enum status)1000), "STATUS_?");
}
