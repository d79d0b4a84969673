// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4) over several pieces, by OpenSSL. No allocation after a thread's first call.
#include "base/sha256.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

// Fetching an algorithm takes OpenSSL 3 longer than hashing a few bytes with it, so each thread
// keeps a context that has it, until the thread ends.
static _Thread_local EVP_MD_CTX *context;
static pthread_key_t at_thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void free_context(void *ended)
{
    EVP_MD_CTX_free(ended);
}

static void make_key(void)
{
    if (pthread_key_create(&at_thread_end, free_context) != 0) {
        abort();
    }
}

static void prepare(void)
{
    EVP_MD *algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    context = EVP_MD_CTX_new();
    if (algorithm == NULL || context == NULL || EVP_DigestInit_ex2(context, algorithm, NULL) != 1 ||
        pthread_once(&once, make_key) != 0 || pthread_setspecific(at_thread_end, context) != 0) {
        abort();
    }
    EVP_MD_free(algorithm); // the context holds it
}

void sha256(const struct str *pieces, size_t count, unsigned char digest[SHA256_LEN])
{
    if (context == NULL) {
        prepare();
    }
    int done = EVP_DigestInit_ex2(context, NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        done &= EVP_DigestUpdate(context, pieces[i].data, pieces[i].len);
    }
    done &= EVP_DigestFinal_ex(context, digest, NULL);
    if (done != 1) {
        abort();
    }
}
