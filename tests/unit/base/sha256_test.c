// SPDX-License-Identifier: Apache-2.0
// SHA-256 against the vectors of FIPS 180-4, in one piece and in many, from many threads.
#include "base/sha256.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void assert_digest(const struct str *pieces, size_t count, const char *expected)
{
    unsigned char digest[SHA256_LEN];
    char text[2 * SHA256_LEN + 1];
    sha256(pieces, count, digest);
    for (int i = 0; i < SHA256_LEN; i++) {
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    }
    cr_assert_str_eq(text, expected);
}

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

Test(sha256, given_the_vectors_when_digested_then_they_agree)
{
    static const struct {
        const char *message, *digest;
    } vectors[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", ABC},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < 3; i++) {
        struct str message = str_from(vectors[i].message);
        assert_digest(&message, 1, vectors[i].digest);
    }
}

Test(sha256, given_pieces_when_digested_then_they_count_as_one)
{
    struct str pieces[] = {STR("a"), STR(""), STR("bc"), {NULL, 0}};
    assert_digest(pieces, 4, ABC);
    assert_digest(NULL, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void *digest_often(void *wrong)
{
    unsigned char first[SHA256_LEN], again[SHA256_LEN];
    struct str message = STR("the same each time");
    sha256(&message, 1, first);
    for (int i = 0; i < 20000; i++) {
        sha256(&message, 1, again);
        if (memcmp(first, again, sizeof(first)) != 0) {
            *(int *)wrong = 1;
        }
    }
    return NULL;
}

Test(sha256, given_threads_when_all_digest_then_none_disturbs_another)
{
    pthread_t threads[4];
    int wrong[4] = {0};
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, digest_often, &wrong[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        cr_assert_eq(wrong[i], 0);
    }
}
