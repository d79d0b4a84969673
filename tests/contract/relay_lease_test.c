// SPDX-License-Identifier: Apache-2.0
// One suite for every lease: one leader, a standby that takes over, an old fence that moves
// nothing.
#include "application/ports/relay_lease.h"

#include <criterion/criterion.h>
#include <time.h>

#include "../support/log_subject.h"
#include "../support/test_database.h"
#include "infrastructure/memory/relay_lease_memory.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/relay_lease_postgres.h"

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

// Two relays that want one lease.
struct relays {
    struct relay_lease *leader;
    struct relay_lease *standby;
    struct str name; // a lease of its own, so that tests beside each other never meet
    struct log_subject log;
    struct lease_memory *memory;
    struct postgres *leader_session;
    struct postgres *standby_session;
};

static void open_memory(struct relays *relays)
{
    log_subject_open_memory(&relays->log);
    relays->memory = lease_memory_new(relays->log.store);
    relays->leader = relay_lease_memory_new(relays->memory);
    relays->standby = relay_lease_memory_new(relays->memory);
    relays->name = relays->log.tenant;
}

static struct postgres *open_session(void)
{
    struct postgres *postgres = postgres_new(&(struct postgres_options){
        .conninfo = test_database(), .application_name = "relay_lease_test"});
    cr_assert_not_null(postgres);
    return postgres;
}

static void open_postgres(struct relays *relays)
{
    log_subject_open_postgres(&relays->log);
    relays->leader_session = open_session();
    relays->standby_session = open_session();
    relays->leader = relay_lease_postgres_new(relays->leader_session);
    relays->standby = relay_lease_postgres_new(relays->standby_session);
    relays->name = relays->log.tenant;
}

static void close_relays(struct relays *relays)
{
    if (relays->memory != NULL) {
        relay_lease_memory_free(relays->leader);
        relay_lease_memory_free(relays->standby);
        lease_memory_free(relays->memory);
    } else {
        relay_lease_postgres_free(relays->leader);
        relay_lease_postgres_free(relays->standby);
        postgres_free(relays->leader_session);
        postgres_free(relays->standby_session);
    }
    log_subject_close(&relays->log);
}

#define BOTH_LEASES(name)                    \
    static void name(struct relays *relays); \
    Test(lease_memory, name)                 \
    {                                        \
        struct relays relays = {0};          \
        open_memory(&relays);                \
        name(&relays);                       \
        close_relays(&relays);               \
    }                                        \
    Test(lease_postgres, name)               \
    {                                        \
        struct relays relays = {0};          \
        open_postgres(&relays);              \
        name(&relays);                       \
        close_relays(&relays);               \
    }                                        \
    static void name(struct relays *relays)

enum { STALE_S = 60 };

static struct lease acquire(struct relay_lease *relay, struct str name, int stale_s)
{
    struct lease lease = {0};
    enum status status = relay_lease_acquire(relay, name, STR("a relay"), stale_s, &lease);
    cr_assert_eq(status, STATUS_OK, "%s", status_name(status));
    return lease;
}

BOTH_LEASES(given_no_leader_when_two_ask_then_the_first_leads)
{
    struct lease first = acquire(relays->leader, relays->name, STALE_S);
    cr_assert(first.held);
    cr_assert_gt(first.fence, 0);
    cr_assert_eq(first.checkpoint.position, 0);
    cr_assert_not(acquire(relays->standby, relays->name, STALE_S).held);
    cr_assert_eq(relay_lease_renew(relays->leader, relays->name, first.fence), STATUS_OK);
}

BOTH_LEASES(given_a_leader_that_releases_when_the_standby_asks_then_it_leads_at_once)
{
    struct lease first = acquire(relays->leader, relays->name, STALE_S);
    cr_assert_eq(relay_lease_release(relays->leader, relays->name, first.fence), STATUS_OK);
    struct lease second = acquire(relays->standby, relays->name, STALE_S);
    cr_assert(second.held);
    cr_assert_gt(second.fence, first.fence);
}

BOTH_LEASES(given_a_checkpoint_when_the_next_one_leads_then_it_goes_on_from_there)
{
    struct lease first = acquire(relays->leader, relays->name, STALE_S);
    struct log_cursor at = {.epoch = 1, .tx = 1000, .position = 7};
    cr_assert_eq(relay_lease_checkpoint(relays->leader, relays->name, first.fence, at), STATUS_OK);
    struct log_cursor back = {.epoch = 1, .tx = 999, .position = 9};
    cr_assert_eq(relay_lease_checkpoint(relays->leader, relays->name, first.fence, back),
                 STATUS_OK); // never back
    cr_assert_eq(relay_lease_release(relays->leader, relays->name, first.fence), STATUS_OK);
    struct lease second = acquire(relays->standby, relays->name, STALE_S);
    cr_assert_eq(second.checkpoint.epoch, 1);
    cr_assert_eq(second.checkpoint.tx, 1000);
    cr_assert_eq(second.checkpoint.position, 7);
}

BOTH_LEASES(given_a_stale_leader_when_the_standby_takes_over_then_the_old_fence_moves_nothing)
{
    struct lease first = acquire(relays->leader, relays->name, STALE_S);
    struct log_cursor at = {.epoch = 1, .tx = 1000, .position = 7};
    cr_assert_eq(relay_lease_checkpoint(relays->leader, relays->name, first.fence, at), STATUS_OK);
    nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 100000000}, NULL);
    struct lease second = acquire(relays->standby, relays->name, 1);
    cr_assert(second.held);
    cr_assert_gt(second.fence, first.fence);
    // The old leader wakes up: its session is gone, so the first call may only find that out.
    struct log_cursor late = {.epoch = 1, .tx = 2000, .position = 9};
    enum status status = relay_lease_checkpoint(relays->leader, relays->name, first.fence, late);
    if (status == STATUS_UNAVAILABLE) {
        status = relay_lease_checkpoint(relays->leader, relays->name, first.fence, late);
    }
    cr_assert_eq(status, STATUS_FENCED, "%s", status_name(status));
    cr_assert_eq(relay_lease_renew(relays->leader, relays->name, first.fence), STATUS_FENCED);
    cr_assert_eq(relay_lease_release(relays->leader, relays->name, first.fence), STATUS_FENCED);
    cr_assert_eq(relay_lease_renew(relays->standby, relays->name, second.fence), STATUS_OK);
    cr_assert_eq(relay_lease_release(relays->standby, relays->name, second.fence), STATUS_OK);
    cr_assert_eq(acquire(relays->standby, relays->name, STALE_S).checkpoint.position, 7);
}

// What a relay remembers after its connection was lost: the next one may lead to another server.
BOTH_LEASES(given_another_session_when_it_shows_the_leaders_fence_then_it_moves_nothing)
{
    struct lease first = acquire(relays->leader, relays->name, STALE_S);
    struct log_cursor at = {.epoch = 1, .tx = 1000, .position = 7};
    struct relay_lease *other = relays->standby;
    cr_assert_eq(relay_lease_checkpoint(other, relays->name, first.fence, at), STATUS_FENCED);
    cr_assert_eq(relay_lease_release(other, relays->name, first.fence), STATUS_FENCED);
    cr_assert_eq(relay_lease_renew(other, relays->name, first.fence), STATUS_FENCED);
    cr_assert_eq(relay_lease_renew(relays->leader, relays->name, first.fence), STATUS_OK);
    cr_assert_eq(relay_lease_release(relays->leader, relays->name, first.fence), STATUS_OK);
    cr_assert_eq(relay_lease_checkpoint(relays->leader, relays->name, first.fence, at),
                 STATUS_FENCED);
    cr_assert_eq(acquire(other, relays->name, STALE_S).checkpoint.position, 0);
}

BOTH_LEASES(given_a_fresh_lease_when_the_standby_asks_then_the_leader_stays)
{
    struct lease first = acquire(relays->leader, relays->name, 4);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(relay_lease_renew(relays->leader, relays->name, first.fence), STATUS_OK);
        cr_assert_not(acquire(relays->standby, relays->name, 4).held);
        nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 500000000}, NULL);
    }
}

BOTH_LEASES(given_rows_past_the_checkpoint_then_the_backlog_counts_them_up_to_its_limit)
{
    struct lease lease = acquire(relays->leader, relays->name, STALE_S);
    struct log_cursor at = log_end(&relays->log);
    cr_assert_eq(relay_lease_checkpoint(relays->leader, relays->name, lease.fence, at), STATUS_OK);
    for (int i = 0; i < 3; i++) {
        append_one(&relays->log, an_event(&relays->log, new_id(), 0));
    }
    struct relay_backlog backlog;
    cr_assert_eq(relay_lease_backlog(relays->leader, relays->name, 1000, &backlog), STATUS_OK);
    cr_assert_geq(backlog.events, 3);
    cr_assert_geq(backlog.horizon_age_s, 0.0);
    cr_assert_eq(relay_lease_backlog(relays->leader, relays->name, 2, &backlog), STATUS_OK);
    cr_assert_eq(backlog.events, 2);
}

Test(lease_postgres,
     given_a_leader_whose_connection_is_cut_when_it_renews_then_it_must_take_it_anew)
{
    struct relays relays = {0};
    open_postgres(&relays);
    struct lease lease = acquire(relays.leader, relays.name, STALE_S);
    unsigned before = postgres_session(relays.leader_session);
    postgres_close(relays.leader_session);
    cr_assert_eq(relay_lease_renew(relays.leader, relays.name, lease.fence), STATUS_FENCED);
    cr_assert_gt(postgres_session(relays.leader_session), before);
    struct lease again = acquire(relays.leader, relays.name, STALE_S);
    cr_assert(again.held);
    cr_assert_gt(again.fence, lease.fence);
    cr_assert_not(acquire(relays.standby, relays.name, STALE_S).held);
    close_relays(&relays);
}

// Nobody has taken the lease since, and still: the server may be another one.
Test(lease_postgres, given_a_leader_whose_connection_is_cut_when_it_goes_on_then_it_moves_nothing)
{
    struct relays relays = {0};
    open_postgres(&relays);
    struct log_cursor at = {.epoch = 1, .tx = 1000, .position = 7};
    struct lease lease = acquire(relays.leader, relays.name, STALE_S);
    postgres_close(relays.leader_session);
    cr_assert_eq(relay_lease_checkpoint(relays.leader, relays.name, lease.fence, at),
                 STATUS_FENCED);
    postgres_close(relays.leader_session);
    cr_assert_eq(relay_lease_release(relays.leader, relays.name, lease.fence), STATUS_FENCED);
    struct lease again = acquire(relays.leader, relays.name, STALE_S);
    cr_assert_eq(again.checkpoint.position, 0);
    cr_assert_eq(relay_lease_checkpoint(relays.leader, relays.name, again.fence, at), STATUS_OK);
    close_relays(&relays);
}

Test(lease_postgres, given_a_long_transaction_then_the_horizon_age_grows)
{
    struct relays relays = {0};
    open_postgres(&relays);
    struct postgres *slow = open_session();
    PGresult *result = NULL;
    cr_assert_eq(
        postgres_script(slow, "begin; select pg_current_xact_id()", POSTGRES_READS, &result),
        STATUS_OK);
    PQclear(result);
    nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
    struct relay_backlog backlog;
    cr_assert_eq(relay_lease_backlog(relays.leader, relays.name, 10, &backlog), STATUS_OK);
    cr_assert_geq(backlog.horizon_age_s, 0.5);
    postgres_free(slow);
    close_relays(&relays);
}
