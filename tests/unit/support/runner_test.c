// SPDX-License-Identifier: Apache-2.0
// What runs our tests: each planted failure is that test's own, and none is passed over.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REPORT_MAX = 8192 };

static char text[REPORT_MAX];

// Runs planted.c, which is built beside this test, with more arguments; gives its exit code.
static int run_planted(const char *arguments)
{
    char self[512], command[1024];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    cr_assert_gt(len, 0);
    self[len] = '\0';
    *strrchr(self, '/') = '\0';
    (void)snprintf(command, sizeof(command), "'%s/planted' --xml=/dev/stderr %s 2>&1 >/dev/null",
                   self, arguments);
    FILE *output = popen(command, "r");
    cr_assert_not_null(output);
    text[fread(text, 1, sizeof(text) - 1, output)] = '\0';
    int status = pclose(output);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void then_reported(const char *test, const char *status, const char *reason)
{
    char start[128];
    (void)snprintf(start, sizeof(start), "name=\"%s\" status=\"%s\"", test, status);
    const char *found = strstr(text, start);
    cr_assert_not_null(found, "%s is not %s in:\n%s", test, status, text);
    const char *end = strstr(found, "</testcase>");
    const char *said = strstr(found, reason);
    cr_assert(end && said && said < end, "%s: not \"%s\" in:\n%s", test, reason, text);
}

Test(runner, reports_each_failure_as_its_test_s)
{
    cr_assert_eq(run_planted("--filter 'planted/*'"), 1);
    then_reported("asserts", "FAILED", "1 assertions failed");
    then_reported("expects", "FAILED", "1 assertions failed");
    then_reported("crashes", "FAILED", "crashed by signal 11");
    then_reported("exits", "FAILED", "exited before its end");
    then_reported("exits_in_error", "FAILED", "exited with 3");
    then_reported("hangs", "FAILED", "timed out");
    then_reported("sets_up_in_vain", "FAILED", "exited with 1");
    then_reported("tears_down_in_vain", "FAILED", "1 assertions failed");
    then_reported("is_disabled", "SKIPPED", "");
}

Test(runner, runs_the_fixture_and_the_limit_of_the_suite)
{
    cr_assert_eq(run_planted("--filter 'planted_suite/*'"), 1);
    then_reported("sets_up_in_vain", "FAILED", "exited with 1");
    cr_assert_eq(run_planted("--filter 'planted_limit/*'"), 1);
    then_reported("hangs", "FAILED", "timed out");
}

Test(runner, runs_each_test_in_a_process_of_its_own)
{
    cr_assert_eq(run_planted("--filter 'planted_pure/*'"), 0);
    then_reported("one_passes", "PASSED", "");
    then_reported("another_sees_nothing_of_it", "PASSED", "");
}

Test(runner, leaves_out_what_a_filter_excludes)
{
    (void)run_planted("--filter '!(planted*)'");
    cr_assert_null(strstr(text, "FAILED"));
    cr_assert_null(strstr(text, "PASSED"));
}

Test(runner, refuses_what_it_does_not_know)
{
    cr_assert_eq(run_planted("--filter 'planted_signal/*'"), 1);
    then_reported("is_of_a_kind_unknown", "FAILED", "of a kind that this runner does not know");
    cr_assert_eq(run_planted("--jobs"), 2);
}
