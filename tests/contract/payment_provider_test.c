// SPDX-License-Identifier: Apache-2.0
// One suite for every payment provider: what SAGA.md's participants rely on, in memory and in the
// sandbox's own books.
#include "application/ports/payment_provider.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "../support/test_database.h"
#include "base/arena.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/psp/payment_provider_memory.h"
#include "infrastructure/psp/sandbox_payment_provider.h"

ReportHook(PRE_ALL)(struct criterion_test_set *set)
{
    (void)set;
    test_database_make();
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    test_database_drop();
}

enum { TIMEOUT_MS = 5000, AMOUNT = 3980 };

static struct arena arena;
static struct payment_provider *memory;
static struct payment_provider *sandbox;

static void open_both(void)
{
    arena_init(&arena, 64 * 1024, 16 * 1024 * 1024);
    memory = payment_provider_memory_new(1000);
    sandbox = sandbox_payment_provider_new(test_database());
    cr_assert_not_null(memory);
    cr_assert_not_null(sandbox);
}

static void close_both(void)
{
    payment_provider_memory_free(memory);
    sandbox_payment_provider_free(sandbox);
    arena_free(&arena);
}

// Each promise is a function, and a test an adapter.
#define PROMISE(name)                                                           \
    static void name(struct payment_provider *provider);                        \
    Test(payment_provider_memory, name, .init = open_both, .fini = close_both)  \
    {                                                                           \
        name(memory);                                                           \
    }                                                                           \
    Test(payment_provider_sandbox, name, .init = open_both, .fini = close_both) \
    {                                                                           \
        name(sandbox);                                                          \
    }                                                                           \
    static void name(struct payment_provider *provider)

static struct str new_payment(void)
{
    unsigned char random[16];
    cr_assert_eq(getrandom(random, sizeof(random), 0), (ssize_t)sizeof(random));
    struct str text = {"", 0};
    for (size_t at = 0; at < sizeof(random); at++) {
        text = arena_printf(&arena, "%.*s%02x", STR_FMT(text), random[at]);
    }
    return text;
}

static struct payment_call call_of(struct str payment, enum payment_operation operation,
                                   const char *token)
{
    static const char *const names[] = {"authorize", "capture", "undo"};
    return (struct payment_call){
        .operation = operation,
        .payment = payment,
        .key = arena_printf(&arena, "%.*s:%s", STR_FMT(payment), names[operation]),
        .token = str_from(token),
        .amount = AMOUNT,
        .currency = STR("BRL")};
}

static struct payment_result perform(struct payment_provider *provider, struct payment_call call)
{
    struct payment_result result;
    cr_assert_eq(payment_provider_perform(provider, &call, 1, TIMEOUT_MS, &arena, &result),
                 STATUS_OK);
    return result;
}

static struct payment_result authorize(struct payment_provider *provider, struct str payment,
                                       const char *token)
{
    return perform(provider, call_of(payment, PAYMENT_AUTHORIZE, token));
}

static struct payment_result capture(struct payment_provider *provider, struct str payment)
{
    return perform(provider, call_of(payment, PAYMENT_CAPTURE, ""));
}

static struct payment_result undo(struct payment_provider *provider, struct str payment)
{
    return perform(provider, call_of(payment, PAYMENT_UNDO, ""));
}

PROMISE(given_a_good_token_when_authorized_and_captured_then_both_are_done)
{
    struct str payment = new_payment();
    cr_assert_eq(authorize(provider, payment, "tok_ok").outcome, PAYMENT_DONE);
    cr_assert_eq(capture(provider, payment).outcome, PAYMENT_DONE);
}

PROMISE(given_the_same_key_when_asked_again_then_it_answers_the_same)
{
    struct str payment = new_payment();
    for (int time = 0; time < 3; time++) {
        cr_assert_eq(authorize(provider, payment, "tok_ok").outcome, PAYMENT_DONE);
    }
    for (int time = 0; time < 3; time++) {
        cr_assert_eq(capture(provider, payment).outcome, PAYMENT_DONE);
    }
}

PROMISE(given_a_refusal_when_asked_again_with_a_better_card_then_it_is_still_refused)
{
    struct str payment = new_payment();
    cr_assert_eq(authorize(provider, payment, "tok_declined").outcome, PAYMENT_REFUSED);
    struct payment_result again = authorize(provider, payment, "tok_ok");
    cr_assert_eq(again.outcome, PAYMENT_REFUSED);
    cr_assert(str_eq(again.code, STR("payment_declined")));
}

PROMISE(given_a_batch_of_all_kinds_when_asked_then_each_call_has_its_own_answer)
{
    enum { CALLS = 9 };
    struct str good = new_payment();
    struct str known = new_payment();
    struct str twice = new_payment();
    struct str fails = new_payment();
    (void)authorize(provider, known, "tok_ok");
    (void)authorize(provider, fails, "tok_capture_fails");
    const struct payment_call calls[CALLS] = {
        call_of(good, PAYMENT_AUTHORIZE, "tok_ok"),
        call_of(new_payment(), PAYMENT_AUTHORIZE, "tok_declined"),
        call_of(known, PAYMENT_CAPTURE, ""),
        call_of(new_payment(), PAYMENT_CAPTURE, ""),
        call_of(twice, PAYMENT_AUTHORIZE, "tok_ok"),
        call_of(twice, PAYMENT_AUTHORIZE, "tok_ok"),
        call_of(fails, PAYMENT_CAPTURE, ""),
        call_of(new_payment(), PAYMENT_UNDO, ""),
        call_of(new_payment(), PAYMENT_AUTHORIZE, "tok_silent"),
    };
    static const enum payment_outcome wanted[CALLS] = {
        PAYMENT_DONE, PAYMENT_REFUSED, PAYMENT_DONE, PAYMENT_REFUSED,  PAYMENT_DONE,
        PAYMENT_DONE, PAYMENT_REFUSED, PAYMENT_DONE, PAYMENT_NO_ANSWER};
    for (int time = 0; time < 2; time++) {
        struct payment_result results[CALLS];
        cr_assert_eq(payment_provider_perform(provider, calls, CALLS, TIMEOUT_MS, &arena, results),
                     STATUS_OK);
        for (size_t at = 0; at < CALLS; at++) {
            cr_assert_eq(results[at].outcome, wanted[at], "call %zu, time %d", at, time);
        }
    }
    cr_assert_eq(capture(provider, good).outcome, PAYMENT_DONE);
    cr_assert(undo(provider, known).captured_before_undo);
}

PROMISE(given_a_card_that_fails_at_capture_when_captured_then_it_is_refused_for_ever)
{
    struct str payment = new_payment();
    cr_assert_eq(authorize(provider, payment, "tok_capture_fails").outcome, PAYMENT_DONE);
    for (int time = 0; time < 2; time++) {
        struct payment_result result = capture(provider, payment);
        cr_assert_eq(result.outcome, PAYMENT_REFUSED);
        cr_assert(str_eq(result.code, STR("payment_declined")));
    }
}

PROMISE(given_an_authorization_when_undone_then_it_was_a_void_and_nothing_can_be_captured)
{
    struct str payment = new_payment();
    (void)authorize(provider, payment, "tok_ok");
    struct payment_result undone = undo(provider, payment);
    cr_assert_eq(undone.outcome, PAYMENT_DONE);
    cr_assert_not(undone.captured_before_undo);
    cr_assert_eq(capture(provider, payment).outcome, PAYMENT_REFUSED);
}

PROMISE(given_a_capture_when_undone_then_it_was_a_refund_however_often_it_is_asked)
{
    struct str payment = new_payment();
    (void)authorize(provider, payment, "tok_ok");
    (void)capture(provider, payment);
    for (int time = 0; time < 3; time++) {
        struct payment_result undone = undo(provider, payment);
        cr_assert_eq(undone.outcome, PAYMENT_DONE);
        cr_assert(undone.captured_before_undo);
    }
}

PROMISE(given_an_unknown_payment_when_undone_then_it_cannot_succeed_later)
{
    struct str payment = new_payment();
    struct payment_result undone = undo(provider, payment);
    cr_assert_eq(undone.outcome, PAYMENT_DONE);
    cr_assert_not(undone.captured_before_undo);
    cr_assert_eq(authorize(provider, payment, "tok_ok").outcome, PAYMENT_REFUSED);
    cr_assert_eq(capture(provider, payment).outcome, PAYMENT_REFUSED);
}

PROMISE(given_a_refused_payment_when_undone_then_that_is_done)
{
    struct str payment = new_payment();
    (void)authorize(provider, payment, "tok_declined");
    cr_assert_eq(undo(provider, payment).outcome, PAYMENT_DONE);
}

PROMISE(given_a_silent_provider_when_authorized_then_no_answer_is_no_refusal_and_undo_answers)
{
    struct str payment = new_payment();
    for (int time = 0; time < 2; time++) {
        cr_assert_eq(authorize(provider, payment, "tok_silent").outcome, PAYMENT_NO_ANSWER);
    }
    cr_assert_eq(undo(provider, payment).outcome, PAYMENT_DONE);
    cr_assert_eq(authorize(provider, payment, "tok_silent").outcome, PAYMENT_REFUSED);
}

PROMISE(given_a_late_answer_when_undone_in_between_then_it_tells_that_it_was_done)
{
    struct str payment = new_payment();
    cr_assert_eq(authorize(provider, payment, "tok_late").outcome, PAYMENT_NO_ANSWER);
    cr_assert_eq(authorize(provider, payment, "tok_late").outcome, PAYMENT_NO_ANSWER);
    cr_assert_not(undo(provider, payment).captured_before_undo);
    cr_assert_eq(authorize(provider, payment, "tok_late").outcome, PAYMENT_DONE);
    cr_assert_eq(capture(provider, payment).outcome, PAYMENT_REFUSED);
}

PROMISE(given_nothing_authorized_when_captured_then_it_is_refused)
{
    cr_assert_eq(capture(provider, new_payment()).outcome, PAYMENT_REFUSED);
}

PROMISE(given_more_than_authorized_when_captured_then_it_is_refused)
{
    struct str payment = new_payment();
    (void)authorize(provider, payment, "tok_ok");
    struct payment_call more = call_of(payment, PAYMENT_CAPTURE, "");
    more.amount = AMOUNT + 1;
    cr_assert_eq(perform(provider, more).outcome, PAYMENT_REFUSED);
}

PROMISE(given_a_batch_when_performed_then_each_call_has_its_own_answer)
{
    struct str silent = new_payment();
    struct str good = new_payment();
    struct str bad = new_payment();
    const struct payment_call calls[] = {
        call_of(silent, PAYMENT_AUTHORIZE, "tok_silent"),
        call_of(good, PAYMENT_AUTHORIZE, "tok_ok"), call_of(bad, PAYMENT_AUTHORIZE, "tok_declined"),
        call_of(good, PAYMENT_CAPTURE, ""), call_of(silent, PAYMENT_UNDO, "")};
    struct payment_result results[5];
    cr_assert_eq(payment_provider_perform(provider, calls, 5, TIMEOUT_MS, &arena, results),
                 STATUS_OK);
    cr_assert_eq(results[0].outcome, PAYMENT_NO_ANSWER);
    cr_assert_eq(results[1].outcome, PAYMENT_DONE);
    cr_assert_eq(results[2].outcome, PAYMENT_REFUSED);
    cr_assert_eq(results[3].outcome, PAYMENT_DONE);
    cr_assert_eq(results[4].outcome, PAYMENT_DONE);
}

// --- the sandbox alone: its journal, its server

static struct str journal_of(struct str payment)
{
    const struct postgres_options options = {.conninfo = test_database()};
    struct postgres *postgres = postgres_new(&options);
    struct str sql = arena_printf(&arena,
                                  "select coalesce(string_agg(operation || ':' || outcome, ' '"
                                  " order by recorded_at), '') from sandbox.journal"
                                  " where key like '%.*s:%%'",
                                  STR_FMT(payment));
    PGresult *result = NULL;
    cr_assert_eq(postgres_script(postgres, sql.data, POSTGRES_READS, &result), STATUS_OK);
    struct str text = arena_str(&arena, str_from(PQgetvalue(result, 0, 0)));
    PQclear(result);
    postgres_free(postgres);
    return text;
}

static void then_journal(struct str payment, const char *wanted)
{
    struct str found = journal_of(payment);
    cr_assert(str_eq(found, str_from(wanted)), "the journal says %s, not %s", found.data, wanted);
}

Test(payment_provider_sandbox, given_repeats_when_journaled_then_each_deed_stands_there_once,
     .init = open_both, .fini = close_both)
{
    struct str payment = new_payment();
    for (int time = 0; time < 3; time++) {
        (void)authorize(sandbox, payment, "tok_ok");
    }
    for (int time = 0; time < 3; time++) {
        (void)capture(sandbox, payment);
    }
    for (int time = 0; time < 3; time++) {
        (void)undo(sandbox, payment);
    }
    then_journal(payment, "authorize:done capture:done refund:done");
}

Test(payment_provider_sandbox, given_marks_when_journaled_then_only_what_happened_stands_there,
     .init = open_both, .fini = close_both)
{
    struct str silent = new_payment();
    (void)authorize(sandbox, silent, "tok_silent");
    then_journal(silent, "");
    struct str late = new_payment();
    (void)authorize(sandbox, late, "tok_late");
    then_journal(late, "authorize:done");
    (void)undo(sandbox, late);
    (void)authorize(sandbox, late, "tok_late");
    then_journal(late, "authorize:done void:done");
    struct str unknown = new_payment();
    (void)undo(sandbox, unknown);
    then_journal(unknown, "void:tombstone");
}

Test(payment_provider_sandbox,
     given_a_payment_in_other_hands_when_asked_then_no_answer_comes_in_time, .init = open_both,
     .fini = close_both)
{
    struct str payment = new_payment();
    const struct postgres_options options = {.conninfo = test_database()};
    struct postgres *other = postgres_new(&options);
    PGresult *result = NULL;
    struct str hold = arena_printf(&arena, "begin; insert into sandbox.payments values ('%.*s')",
                                   STR_FMT(payment));
    cr_assert_eq(postgres_script(other, hold.data, POSTGRES_WRITES, &result), STATUS_OK);
    PQclear(result);
    struct payment_call call = call_of(payment, PAYMENT_AUTHORIZE, "tok_ok");
    struct payment_result answer;
    cr_assert_eq(payment_provider_perform(sandbox, &call, 1, 200, &arena, &answer), STATUS_OK);
    cr_assert_eq(answer.outcome, PAYMENT_NO_ANSWER);
    postgres_free(other);
    cr_assert_eq(authorize(sandbox, payment, "tok_ok").outcome, PAYMENT_DONE);
    then_journal(payment, "authorize:done");
}

Test(payment_provider_sandbox, given_no_server_when_asked_then_nothing_was_asked, .init = open_both,
     .fini = close_both)
{
    struct payment_provider *nowhere =
        sandbox_payment_provider_new("host=127.0.0.1 port=9 dbname=none");
    struct payment_call call = call_of(new_payment(), PAYMENT_AUTHORIZE, "tok_ok");
    struct payment_result answer;
    cr_assert_eq(payment_provider_perform(nowhere, &call, 1, 500, &arena, &answer),
                 STATUS_UNAVAILABLE);
    sandbox_payment_provider_free(nowhere);
}
