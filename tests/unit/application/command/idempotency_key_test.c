// SPDX-License-Identifier: Apache-2.0
// The form of idempotency keys, the ids that they are remembered under, and fingerprints.
#include "application/command/idempotency_key.h"

#include <criterion/criterion.h>
#include <string.h>

#define V7 "019aa3f0-0000-7000-8000-000000000001"

static const int64_t week_ms = INT64_C(7) * 24 * 3600 * 1000;

static int64_t made_ms(void)
{
    struct uuid id;
    cr_assert(uuid_parse(STR(V7), false, &id));
    return uuid_unix_ms(id);
}

static bool is_current(int64_t now_ms)
{
    return idempotency_key_is_current(STR(V7), now_ms * 1000, week_ms);
}

Test(idempotency_key, given_a_quoted_and_a_bare_key_then_they_are_one)
{
    struct str bare, quoted;
    cr_assert(idempotency_key_read(STR("a-B_9.:"), &bare));
    cr_assert(idempotency_key_read(STR("\"a-B_9.:\""), &quoted));
    cr_assert(str_eq(bare, quoted));
}

Test(idempotency_key, given_a_key_of_another_form_then_it_is_refused)
{
    char long_key[IDEMPOTENCY_KEY_LEN_MAX + 1];
    memset(long_key, 'k', sizeof(long_key));
    const struct str bad[] = {STR(""),
                              STR("\"\""),
                              STR("\"a"),
                              STR("a\""),
                              STR("a b"),
                              STR("a,b"),
                              STR("\"a\"b"),
                              STR("\"a\", \"b\""),
                              STR("caf\xc3\xa9"),
                              STR("\""),
                              {long_key, sizeof(long_key)}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct str key;
        cr_assert_not(idempotency_key_read(bad[i], &key), "took %.*s", STR_FMT(bad[i]));
    }
    struct str key;
    cr_assert(idempotency_key_read((struct str){long_key, IDEMPOTENCY_KEY_LEN_MAX}, &key));
}

Test(idempotency_key, given_a_time_ordered_key_then_only_its_window_is_taken)
{
    cr_assert(is_current(made_ms()));
    cr_assert(is_current(made_ms() + week_ms));
    cr_assert_not(is_current(made_ms() + week_ms + 1));
    cr_assert(is_current(made_ms() - IDEMPOTENCY_KEY_AHEAD_MAX_MS));
    cr_assert_not(is_current(made_ms() - IDEMPOTENCY_KEY_AHEAD_MAX_MS - 1));
}

Test(idempotency_key, given_any_other_key_then_it_has_no_window)
{
    cr_assert(idempotency_key_is_current(STR("order-1"), 0, week_ms));
    cr_assert(idempotency_key_is_current(STR("019aa3f0-0000-4000-8000-000000000001"), 0, week_ms));
}

Test(idempotency_key, given_a_time_ordered_key_then_its_id_keeps_the_time_and_hides_the_rest)
{
    struct uuid sent;
    cr_assert(uuid_parse(STR(V7), false, &sent));
    struct uuid id = idempotency_key_id(STR("main"), STR("ana"), STR(V7));
    cr_assert_eq(memcmp(id.bytes, sent.bytes, 6), 0);
    cr_assert_neq(memcmp(id.bytes + 6, sent.bytes + 6, 10), 0);
    struct uuid upper =
        idempotency_key_id(STR("main"), STR("ana"), STR("019AA3F0-0000-7000-8000-000000000001"));
    cr_assert(uuid_eq(id, upper), "the case of the letters makes no other key");
}

Test(idempotency_key, given_any_other_key_then_its_id_begins_with_a_set_bit)
{
    struct uuid id = idempotency_key_id(STR("main"), STR("ana"), STR("order-1"));
    cr_assert(id.bytes[0] & 0x80);
}

Test(idempotency_key, given_another_tenant_principal_or_key_then_it_is_another_id)
{
    struct uuid id = idempotency_key_id(STR("main"), STR("ana"), STR("k"));
    cr_assert(uuid_eq(id, idempotency_key_id(STR("main"), STR("ana"), STR("k"))));
    cr_assert_not(uuid_eq(id, idempotency_key_id(STR("other"), STR("ana"), STR("k"))));
    cr_assert_not(uuid_eq(id, idempotency_key_id(STR("main"), STR("bob"), STR("k"))));
    cr_assert_not(uuid_eq(id, idempotency_key_id(STR("main"), STR("ana"), STR("K"))));
}

Test(idempotency_key, given_another_method_path_or_body_then_it_is_another_fingerprint)
{
    unsigned char first[KEY_FINGERPRINT_LEN], same[KEY_FINGERPRINT_LEN], other[KEY_FINGERPRINT_LEN];
    idempotency_key_fingerprint(STR("POST"), STR("/v1/a"), STR("{}"), first);
    idempotency_key_fingerprint(STR("POST"), STR("/v1/a"), STR("{}"), same);
    cr_assert_eq(memcmp(first, same, sizeof(first)), 0);
    idempotency_key_fingerprint(STR("PUT"), STR("/v1/a"), STR("{}"), other);
    cr_assert_neq(memcmp(first, other, sizeof(first)), 0);
    idempotency_key_fingerprint(STR("POST"), STR("/v1/b"), STR("{}"), other);
    cr_assert_neq(memcmp(first, other, sizeof(first)), 0);
    idempotency_key_fingerprint(STR("POST"), STR("/v1/a"), STR("{} "), other);
    cr_assert_neq(memcmp(first, other, sizeof(first)), 0);
}
