// SPDX-License-Identifier: Apache-2.0
// Tests that fail in each way there is, and one beside them that passes: runner_test.c runs them.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void fail(void)
{
    cr_assert(false, "planted");
}

Test(planted, asserts)
{
    fail();
    _exit(0); // never: an assertion ends its test
}

Test(planted, expects)
{
    cr_expect(false, "planted");
}

Test(planted, crashes)
{
    (void)signal(SIGSEGV, SIG_DFL);
    (void)raise(SIGSEGV);
}

Test(planted, exits)
{
    exit(0);
}

Test(planted, exits_in_error)
{
    _exit(3);
}

Test(planted, hangs, .timeout = 0.2)
{
    for (;;) {
        (void)pause();
    }
}

Test(planted, sets_up_in_vain, .init = fail)
{
}

Test(planted, tears_down_in_vain, .fini = fail)
{
}

Test(planted, is_disabled, .disabled = true)
{
    fail();
}

TestSuite(planted_suite, .init = fail);

Test(planted_suite, sets_up_in_vain)
{
}

TestSuite(planted_limit, .timeout = 0.2);

Test(planted_limit, hangs)
{
    for (;;) {
        (void)pause();
    }
}

static int times;

Test(planted_pure, one_passes)
{
    cr_log_info("what a test says is no failure");
    cr_assert_eq(++times, 1);
}

Test(planted_pure, another_sees_nothing_of_it)
{
    cr_assert_eq(++times, 1);
}

Test(planted_signal, is_of_a_kind_unknown, .signal = SIGSEGV)
{
    (void)raise(SIGSEGV);
}
