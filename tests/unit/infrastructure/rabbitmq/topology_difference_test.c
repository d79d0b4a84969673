// SPDX-License-Identifier: Apache-2.0
// Unit tests of reading how a queue differs out of the broker's words.
#include "infrastructure/rabbitmq/topology_difference.h"

#include <criterion/criterion.h>
#include <string.h>

static struct topology_difference read(const char *words)
{
    return topology_difference_read(STR("comanda.payment.retry.1"), str_from(words));
}

Test(topology_difference, given_the_brokers_words_when_read_then_has_and_wants_are_known)
{
    struct topology_difference found =
        read("PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue "
             "'comanda.payment.retry.1' in vhost '/': received '1000' but current is '5000'");
    cr_assert_str_eq(found.thing, "comanda.payment.retry.1");
    cr_assert_str_eq(found.argument, "x-message-ttl");
    cr_assert_str_eq(found.has, "5000");
    cr_assert_str_eq(found.wants, "1000");
}

Test(topology_difference, given_other_words_when_read_then_what_is_not_said_is_empty)
{
    static const char *const words[] = {"", "PRECONDITION_FAILED", "inequivalent arg 'x-mess",
                                        "received none but current is the value '7' of type"};
    for (size_t at = 0; at < sizeof(words) / sizeof(words[0]); at++) {
        struct topology_difference found = read(words[at]);
        cr_assert_str_eq(found.thing, "comanda.payment.retry.1");
        cr_assert_str_eq(found.argument, "", "%s", words[at]);
        cr_assert_str_eq(found.has, "");
        cr_assert_str_eq(found.wants, "");
    }
}

Test(topology_difference, given_names_without_end_when_read_then_they_are_cut)
{
    char words[400] = "inequivalent arg '";
    memset(words + strlen(words), 'x', 300);
    strcat(words, "'");
    struct topology_difference found =
        topology_difference_read((struct str){words, 200}, str_from(words));
    cr_assert_eq(strlen(found.thing), TOPOLOGY_NAME_MAX - 1);
    cr_assert_eq(strlen(found.argument), TOPOLOGY_VALUE_MAX - 1);
}
