// SPDX-License-Identifier: Apache-2.0
// Unit tests of the comparison of bindings, and of the management API's address.
#define _GNU_SOURCE // memmem
#include "infrastructure/rabbitmq/topology_bindings.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/arena.h"

static const struct topology_binding bindings[] = {
    {{"comanda.events", 14}, {"comanda.saga", 12}, {"order.OrderPlaced", 17}},
    {{"comanda.events", 14}, {"comanda.projector", 17}, {"order.#", 7}},
    {{"comanda.retry", 13}, {"comanda.saga.retry.1", 20}, {"comanda.saga.1", 14}},
};
static const struct topology topology = {.bindings = bindings, .binding_count = 3};

#define BOUND(exchange, queue, key)                                                              \
    "{\"source\":\"" exchange "\",\"destination\":\"" queue "\",\"destination_type\":\"queue\"," \
    "\"routing_key\":\"" key "\"}"
#define SAGA BOUND("comanda.events", "comanda.saga", "order.OrderPlaced")
#define PROJECTOR BOUND("comanda.events", "comanda.projector", "order.#")
#define RETRY BOUND("comanda.retry", "comanda.saga.retry.1", "comanda.saga.1")
#define THEIRS BOUND("comanda.events", "theirs", "order.OrderPlaced")

static struct topology_lost compared(const char *list)
{
    struct topology_lost lost;
    cr_assert_eq(topology_bindings_read(&topology, str_from(list), &lost), STATUS_OK);
    return lost;
}

Test(topology_bindings, given_all_and_outsiders_when_compared_then_none_is_missing)
{
    struct topology_lost lost = compared("[" THEIRS "," RETRY "," PROJECTOR "," SAGA "]");
    cr_assert_eq(lost.count, 0);
    cr_assert_str_eq(lost.first, "");
}

Test(topology_bindings, given_some_missing_when_compared_then_the_first_is_named)
{
    struct topology_lost lost = compared("[" THEIRS "," PROJECTOR "]");
    cr_assert_eq(lost.count, 2);
    cr_assert_eq(lost.of_log, 1);
    cr_assert_str_eq(lost.first, "comanda.saga from comanda.events by order.OrderPlaced");
    cr_assert_eq(compared("[" PROJECTOR "," SAGA "]").of_log, 0);
    cr_assert_eq(compared("[]").count, 3);
}

Test(topology_bindings, given_a_key_written_with_escapes_when_compared_then_it_is_the_same)
{
    cr_assert_eq(compared("[" SAGA "," RETRY
                          "," BOUND("comanda.events", "comanda.projector", "order.\\u0023") "]")
                     .count,
                 0);
}

Test(topology_bindings, given_what_is_no_list_when_read_then_it_is_malformed)
{
    static const char *const lists[] = {"", "{}", "[", "null", "{\"error\":\"not_found\"}"};
    struct topology_lost lost;
    for (size_t at = 0; at < sizeof(lists) / sizeof(lists[0]); at++) {
        cr_assert_eq(topology_bindings_read(&topology, str_from(lists[at]), &lost),
                     STATUS_MALFORMED);
        cr_assert_neq(lost.cause[0], '\0');
    }
    cr_assert_eq(topology_bindings_read(&topology, STR("[1,\"a\",{},[]]"), &lost), STATUS_OK);
    cr_assert_eq(lost.count, 3);
}

Test(topology_bindings, given_addresses_when_read_then_faults_are_named_without_the_password)
{
    struct arena arena;
    struct rabbitmq_management management;
    struct str cause = STR("");
    arena_init(&arena, 4096, 1 << 16);
    cr_assert_eq(
        rabbitmq_management_read(STR("http://a:b%20c@host:15673/"), &arena, &management, &cause),
        STATUS_OK);
    cr_assert_str_eq(management.host, "host");
    cr_assert_str_eq(management.password, "b c");
    cr_assert_eq(management.port, 15673);
    cr_assert_eq(rabbitmq_management_read(STR("http://host"), &arena, &management, &cause),
                 STATUS_OK);
    cr_assert_eq(management.port, 15672);
    static const char *const wrong[] = {"https://a:secret@host", "amqp://a:secret@host",
                                        "http://a:secret@host/api", "http://a:secret@host:0"};
    for (size_t at = 0; at < sizeof(wrong) / sizeof(wrong[0]); at++) {
        cr_assert_eq(rabbitmq_management_read(str_from(wrong[at]), &arena, &management, &cause),
                     STATUS_INVALID, "%s", wrong[at]);
        cr_assert(cause.len > 0 && memmem(cause.data, cause.len, "secret", 6) == NULL);
    }
    arena_free(&arena);
}
