// SPDX-License-Identifier: Apache-2.0
// Runs the tests that Criterion's macros declare, each in a fork of this process: Criterion's own
// runner executes the whole binary anew for each, and its start costs more than most tests do.
#include <criterion/criterion.h>
#include <fnmatch.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// A test that names no limit of its own ends after this.
static const double SECONDS_MAX = 300;

// Where the linker put what Test(), TestSuite() and ReportHook() declare.
extern struct criterion_test *__start_cr_tst[], *__stop_cr_tst[];
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak));
extern struct criterion_suite *__stop_cr_sts[] __attribute__((weak));
typedef void (*hook_fn)(void *);
extern hook_fn __start_cr_pra[] __attribute__((weak)), __stop_cr_pra[] __attribute__((weak));
extern hook_fn __start_cr_poa[] __attribute__((weak)), __stop_cr_poa[] __attribute__((weak));

// What a test's process, and those that it starts, tell the runner.
struct outcome {
    bool ended; // came to the end of its fixture, as a test that calls exit() does not
    int failed;
};

static struct outcome *outcome;
static const struct criterion_test *current;
static const struct criterion_suite *current_suite;
static jmp_buf leave;

// The calls of Criterion's macros, as its runner's library has them.

void criterion_send_assert(struct criterion_assert_stats *stats)
{
    if (stats->passed)
        return;
    __atomic_add_fetch(&outcome->failed, 1, __ATOMIC_SEQ_CST);
    printf("%s:%u: Assertion failed: %s\n", stats->file, stats->line, stats->message);
    (void)fflush(stdout);
}

void cri_asserts_passed_incr(void)
{
}

void cr_log(enum criterion_severity severity, const char *format, ...)
{
    (void)severity;
    va_list arguments;
    va_start(arguments, format);
    (void)vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    (void)fflush(stdout);
}

void criterion_continue_test(void)
{
}

void criterion_abort_test(void)
{
    longjmp(leave, 1);
}

static void call(void (*step)(void))
{
    if (step)
        step();
}

void criterion_internal_test_setup(void)
{
    if (setjmp(leave)) {
        printf("the test's set-up failed\n");
        (void)fflush(stdout);
        _exit(1);
    }
    if (current_suite && current_suite->data)
        call(current_suite->data->init);
    call(current->data->init);
}

void criterion_internal_test_main(void (*body)(void))
{
    if (!setjmp(leave))
        body();
}

void criterion_internal_test_teardown(void)
{
    if (!setjmp(leave)) {
        call(current->data->fini);
        if (current_suite && current_suite->data)
            call(current_suite->data->fini);
    }
    outcome->ended = true;
}

// The runner.

static const struct criterion_suite *suite_of(const struct criterion_test *test)
{
    for (struct criterion_suite **suite = __start_cr_sts; suite < __stop_cr_sts; suite++)
        if (*suite && strcmp((*suite)->name, test->category) == 0)
            return *suite;
    return NULL;
}

static double seconds_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double limit_of(const struct criterion_test *test)
{
    if (test->data->timeout > 0)
        return test->data->timeout;
    if (current_suite && current_suite->data && current_suite->data->timeout > 0)
        return current_suite->data->timeout;
    return SECONDS_MAX;
}

// Waits for the test's process; false if its time was up and it was killed.
static bool wait_for(pid_t child, double seconds, const sigset_t *chld, int *status)
{
    double until = seconds_now() + seconds;
    while (waitpid(child, status, WNOHANG) == 0) {
        double left = until - seconds_now();
        if (left <= 0) {
            (void)kill(child, SIGKILL);
            (void)waitpid(child, status, 0);
            return false;
        }
        struct timespec rest = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
        (void)sigtimedwait(chld, NULL, &rest);
    }
    return true;
}

static pid_t start(const struct criterion_test *test, const sigset_t *before)
{
    pid_t runner = getpid();
    *outcome = (struct outcome){0};
    pid_t child = fork();
    if (child != 0)
        return child;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != runner)
        _exit(1);
    (void)sigprocmask(SIG_SETMASK, before, NULL);
    test->test();
    exit(0);
}

// Runs a test and says why it failed; NULL if it passed. Kinds and attributes that no test uses
// would be passed over in silence, so they fail.
static const char *run(const struct criterion_test *test, const sigset_t *chld,
                       const sigset_t *before)
{
    static char reason[64];
    if (test->data->kind_ != CR_TEST_NORMAL || test->data->signal || test->data->exit_code)
        return "of a kind that this runner does not know";
    current = test;
    current_suite = suite_of(test);
    int status = 0;
    pid_t child = start(test, before);
    if (child < 0)
        return "could not fork";
    if (!wait_for(child, limit_of(test), chld, &status))
        return "timed out";
    if (WIFSIGNALED(status))
        (void)snprintf(reason, sizeof reason, "crashed by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        (void)snprintf(reason, sizeof reason, "exited with %d", WEXITSTATUS(status));
    else if (!outcome->ended)
        return "exited before its end";
    else if (outcome->failed)
        (void)snprintf(reason, sizeof reason, "%d assertions failed", outcome->failed);
    else
        return NULL;
    return reason;
}

// A pattern of Criterion's --filter: suite/test with * and ?, all but these if in !( ).
static bool wanted(const struct criterion_test *test, const char *pattern)
{
    if (test->data->disabled)
        return false;
    if (!pattern)
        return true;
    char inner[256];
    if (sscanf(pattern, "!(%255[^)])", inner) == 1)
        return fnmatch(inner, test->data->identifier_, 0) != 0;
    return fnmatch(pattern, test->data->identifier_, 0) == 0;
}

static void report(FILE *xml, const struct criterion_test *test, const char *verdict,
                   const char *reason, double seconds)
{
    if (reason)
        printf("[FAIL] %s::%s: %s\n", test->category, test->name, reason);
    if (xml)
        (void)fprintf(xml,
                      "  <testcase classname=\"%s\" name=\"%s\" status=\"%s\" time=\"%.3f\">%s%s%s"
                      "</testcase>\n",
                      test->category, test->name, verdict, seconds,
                      reason ? "<failure message=\"" : "", reason ? reason : "",
                      reason ? "\"/>" : "");
    // A fork would write again what is still in the buffers.
    (void)fflush(NULL);
}

static int run_all(const char *pattern, FILE *xml)
{
    sigset_t chld, before;
    (void)sigemptyset(&chld);
    (void)sigaddset(&chld, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &chld, &before);
    int ran = 0, failed = 0;
    for (struct criterion_test **test = __start_cr_tst; test < __stop_cr_tst; test++) {
        if (!*test)
            continue;
        if (!wanted(*test, pattern)) {
            report(xml, *test, "SKIPPED", NULL, 0);
            continue;
        }
        double began = seconds_now();
        const char *reason = run(*test, &chld, &before);
        report(xml, *test, reason ? "FAILED" : "PASSED", reason, seconds_now() - began);
        ran++;
        failed += reason != NULL;
    }
    printf("%d tests, %d failed\n", ran, failed);
    return failed;
}

static void call_hooks(hook_fn *first, hook_fn *end)
{
    for (hook_fn *hook = first; hook < end; hook++)
        if (*hook)
            (*hook)(NULL);
}

static int misused(const char *program)
{
    (void)fprintf(stderr, "usage: %s [-j1] [--xml=FILE] [--filter PATTERN]\n", program);
    return 2;
}

int main(int count, char **arguments)
{
    const char *pattern = NULL, *file = NULL;
    for (int i = 1; i < count; i++) {
        if (strncmp(arguments[i], "--xml=", 6) == 0)
            file = arguments[i] + 6;
        else if (strcmp(arguments[i], "--filter") == 0 && i + 1 < count)
            pattern = arguments[++i];
        else if (strcmp(arguments[i], "-j1") != 0)
            return misused(arguments[0]);
    }
    FILE *xml = file ? fopen(file, "we") : NULL;
    outcome =
        mmap(NULL, sizeof *outcome, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if ((file && !xml) || outcome == MAP_FAILED) {
        perror(arguments[0]);
        return 2;
    }
    if (xml)
        (void)fprintf(xml, "<testsuites>\n");
    call_hooks(__start_cr_pra, __stop_cr_pra);
    (void)fflush(NULL);
    int failed = run_all(pattern, xml);
    call_hooks(__start_cr_poa, __stop_cr_poa);
    if (xml)
        (void)fprintf(xml, "</testsuites>\n");
    return failed || (xml && fclose(xml) != 0) ? 1 : 0;
}
