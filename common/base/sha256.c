// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4) over several pieces, by OpenSSL. No allocation after a thread's first call.
#include "base/sha256.h"

#include <openssl/evp.h>
#include <stdlib.h>

// Fetching an algorithm takes OpenSSL 3 longer than hashing a few bytes with it, so each thread
// keeps its own for its life.
static _Thread_local EVP_MD *algorithm;
static _Thread_local EVP_MD_CTX *context;

static void prepare(void)
{
    if (algorithm == NULL) {
        algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
        context = EVP_MD_CTX_new();
    }
    if (algorithm == NULL || context == NULL) {
        abort();
    }
}

void sha256(const struct str *pieces, size_t count, unsigned char digest[SHA256_LEN])
{
    prepare();
    int done = EVP_DigestInit_ex2(context, algorithm, NULL);
    for (size_t i = 0; i < count; i++) {
        done &= EVP_DigestUpdate(context, pieces[i].data, pieces[i].len);
    }
    done &= EVP_DigestFinal_ex(context, digest, NULL);
    if (done != 1) {
        abort();
    }
}
