// SPDX-License-Identifier: Apache-2.0
// One suite for every carrier, in memory and in the sandbox's own books.
#include "application/ports/carrier.h"

#include <criterion/criterion.h>
#include <sys/random.h>

#include "../support/test_database.h"
#include "base/arena.h"
#include "infrastructure/psp/carrier_memory.h"
#include "infrastructure/psp/sandbox_carrier.h"

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

enum { TIMEOUT_MS = 5000 };

static struct arena arena;
static struct carrier *memory;
static struct carrier *sandbox;

static void open_both(void)
{
    arena_init(&arena, 64 * 1024, 16 * 1024 * 1024);
    memory = carrier_memory_new(1000);
    sandbox = sandbox_carrier_new(test_database());
    cr_assert_not_null(memory);
    cr_assert_not_null(sandbox);
}

static void close_both(void)
{
    carrier_memory_free(memory);
    sandbox_carrier_free(sandbox);
    arena_free(&arena);
}

#define PROMISE(name)                                                  \
    static void name(struct carrier *carrier);                         \
    Test(carrier_memory, name, .init = open_both, .fini = close_both)  \
    {                                                                  \
        name(memory);                                                  \
    }                                                                  \
    Test(carrier_sandbox, name, .init = open_both, .fini = close_both) \
    {                                                                  \
        name(sandbox);                                                 \
    }                                                                  \
    static void name(struct carrier *carrier)

static struct str new_shipment(void)
{
    uint64_t random = 0;
    cr_assert_eq(getrandom(&random, sizeof(random), 0), (ssize_t)sizeof(random));
    return arena_printf(&arena, "shipment-%016llx", (unsigned long long)random);
}

static struct carrier_result perform(struct carrier *carrier, struct str shipment,
                                     enum carrier_operation operation, const char *postal_code)
{
    struct carrier_call call = {
        .operation = operation,
        .shipment = shipment,
        .key = arena_printf(&arena, "%.*s:%s", STR_FMT(shipment),
                            operation == CARRIER_SCHEDULE ? "schedule" : "cancel"),
        .country = STR("BR"),
        .postal_code = str_from(postal_code)};
    struct carrier_result result;
    cr_assert_eq(carrier_perform(carrier, &call, 1, TIMEOUT_MS, &arena, &result), STATUS_OK);
    return result;
}

PROMISE(given_an_address_when_scheduled_twice_then_it_is_done_both_times)
{
    struct str shipment = new_shipment();
    cr_assert_eq(perform(carrier, shipment, CARRIER_SCHEDULE, "01310-100").outcome, CARRIER_DONE);
    cr_assert_eq(perform(carrier, shipment, CARRIER_SCHEDULE, "01310-100").outcome, CARRIER_DONE);
}

PROMISE(given_a_refusal_when_asked_again_with_a_better_address_then_it_is_still_refused)
{
    struct str shipment = new_shipment();
    struct carrier_result first = perform(carrier, shipment, CARRIER_SCHEDULE, "00000-000");
    cr_assert_eq(first.outcome, CARRIER_REFUSED);
    cr_assert(str_eq(first.code, STR("shipment_refused")));
    cr_assert_eq(perform(carrier, shipment, CARRIER_SCHEDULE, "01310-100").outcome,
                 CARRIER_REFUSED);
}

PROMISE(given_a_cancellation_that_comes_first_when_scheduled_then_it_is_refused)
{
    struct str shipment = new_shipment();
    cr_assert_eq(perform(carrier, shipment, CARRIER_CANCEL, "").outcome, CARRIER_DONE);
    cr_assert_eq(perform(carrier, shipment, CARRIER_SCHEDULE, "01310-100").outcome,
                 CARRIER_REFUSED);
}

PROMISE(given_a_scheduled_shipment_when_cancelled_twice_then_it_is_done_both_times)
{
    struct str shipment = new_shipment();
    (void)perform(carrier, shipment, CARRIER_SCHEDULE, "01310-100");
    cr_assert_eq(perform(carrier, shipment, CARRIER_CANCEL, "").outcome, CARRIER_DONE);
    cr_assert_eq(perform(carrier, shipment, CARRIER_CANCEL, "").outcome, CARRIER_DONE);
}
