// SPDX-License-Identifier: Apache-2.0
// Counters, gauges, histograms and their text.
#include "infrastructure/telemetry/metrics.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const int64_t bounds[] = {1000, 2000, 5000};
static const struct metric_family counter = {METRIC_COUNTER, "test_total", "Tests.", 0, NULL, 0};
static const struct metric_family gauge = {
    METRIC_GAUGE, "test_age_seconds", "Age.", 1000000, NULL, 0};
static const struct metric_family histogram = {
    METRIC_HISTOGRAM, "test_seconds", "Time.", 1000, bounds, 3};

static const char *page(void)
{
    static struct buffer buffer;
    buffer_free(&buffer);
    buffer_init(&buffer, NULL, 4 * 1024 * 1024);
    metrics_render(&buffer);
    buffer_add_char(&buffer, '\0');
    cr_assert_eq(buffer.status, STATUS_OK);
    return buffer.data;
}

static void then_page_has(const char *text)
{
    const char *seen = page();
    cr_assert_not_null(strstr(seen, text), "%s\nis not in\n%s", text, seen);
}

Test(metrics, given_a_family_and_labels_when_asked_twice_then_it_is_the_same_series)
{
    struct metric *one = metric_of(&counter, "queue", "a", "outcome", "ok", NULL);
    metric_add(one, 2);
    cr_assert_eq(metric_of(&counter, "queue", "a", "outcome", "ok", NULL), one);
    cr_assert_neq(metric_of(&counter, "queue", "b", "outcome", "ok", NULL), one);
    cr_assert_eq(metric_value(one), 2);
    then_page_has("# HELP test_total Tests.\n# TYPE test_total counter\n"
                  "test_total{queue=\"a\",outcome=\"ok\"} 2\n"
                  "test_total{queue=\"b\",outcome=\"ok\"} 0\n");
}

Test(metrics, given_a_unit_when_shown_then_values_are_divided)
{
    metric_set(metric_of(&gauge, NULL), 1500000);
    then_page_has("# TYPE test_age_seconds gauge\ntest_age_seconds 1.5\n");
}

Test(metrics, given_a_gauge_that_is_unset_then_it_has_no_value_until_it_is_set)
{
    struct metric *one = metric_of(&gauge, "of", "a", NULL);
    metric_set(one, 7000000);
    metric_unset(one);
    cr_assert_null(strstr(page(), "test_age_seconds{of=\"a\"}"));
    cr_assert_eq(metric_value(one), 0);
    metric_set(one, 1000000);
    then_page_has("test_age_seconds{of=\"a\"} 1\n");
}

Test(metrics, given_observations_when_shown_then_buckets_are_cumulative)
{
    struct metric *series = metric_of(&histogram, "queue", "a", NULL);
    metric_observe(series, 1000);
    metric_observe(series, 1001);
    metric_observe(series, 9000);
    then_page_has("test_seconds_bucket{queue=\"a\",le=\"1\"} 1\n"
                  "test_seconds_bucket{queue=\"a\",le=\"2\"} 2\n"
                  "test_seconds_bucket{queue=\"a\",le=\"5\"} 2\n"
                  "test_seconds_bucket{queue=\"a\",le=\"+Inf\"} 3\n"
                  "test_seconds_sum{queue=\"a\"} 11.001\n"
                  "test_seconds_count{queue=\"a\"} 3\n");
}

Test(metrics, given_labels_with_foreign_bytes_when_shown_then_they_are_escaped)
{
    (void)metric_of(&counter, "queue", "a\"\\\nb", NULL);
    then_page_has("test_total{queue=\"a\\\"\\\\\\nb\"} 0\n");
}

Test(metrics, given_series_of_two_families_in_turn_when_shown_then_families_stand_together)
{
    (void)metric_of(&counter, "n", "1", NULL);
    (void)metric_of(&gauge, NULL);
    (void)metric_of(&counter, "n", "2", NULL);
    then_page_has("test_total{n=\"1\"} 0\ntest_total{n=\"2\"} 0\n");
}

Test(metrics, given_more_series_than_there_is_room_for_when_made_then_they_are_counted_as_dropped)
{
    char text[16];
    for (int at = 0; at < METRICS_MAX + 7; at++) {
        (void)snprintf(text, sizeof(text), "%d", at);
        metric_add(metric_of(&counter, "n", text, NULL), 1);
    }
    then_page_has("comanda_metrics_dropped_total 7\n");
}

static void *add_many(void *context)
{
    (void)context;
    for (int at = 0; at < 10000; at++) {
        metric_add(metric_of(&counter, "thread", "any", NULL), 1);
    }
    return NULL;
}

Test(metrics, given_several_threads_when_they_count_then_nothing_is_lost)
{
    pthread_t threads[4];
    for (int at = 0; at < 4; at++) {
        cr_assert_eq(pthread_create(&threads[at], NULL, add_many, NULL), 0);
    }
    for (int at = 0; at < 4; at++) {
        (void)pthread_join(threads[at], NULL);
    }
    cr_assert_eq(metric_value(metric_of(&counter, "thread", "any", NULL)), 40000);
}

Test(metrics, given_any_process_when_shown_then_its_own_figures_are_there)
{
    then_page_has("process_resident_memory_bytes ");
    then_page_has("process_cpu_seconds_total ");
    then_page_has("process_open_fds ");
    then_page_has("process_start_time_seconds ");
}
