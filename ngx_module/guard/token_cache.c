// SPDX-License-Identifier: Apache-2.0
// Tokens that this process has verified: the whole token is compared again, never only its hash.
#include "guard/token_cache.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    const struct jwt_verifier *verifier; // NULL: free
    char *bytes;                         // token, subject and scopes, one after another
    struct str token;
    struct token_claims claims;
};

static struct entry entries[TOKEN_CACHE_ENTRIES];

// The signature is the token's end and as good as random: its last bytes are the hash.
static struct entry *entry_of(struct str token)
{
    uint64_t hash = 0;
    size_t len = token.len < 16 ? token.len : 16;
    hash = str_hash((struct str){token.data + token.len - len, len});
    return &entries[hash % TOKEN_CACHE_ENTRIES];
}

// How far two tokens agree must not show in the time that it takes.
static bool same_token(struct str one, struct str other)
{
    return one.len == other.len && CRYPTO_memcmp(one.data, other.data, one.len) == 0;
}

bool token_cache_get(const struct jwt_verifier *verifier, struct str token, int64_t now_s,
                     struct token_claims *claims)
{
    const struct entry *entry = entry_of(token);
    if (entry->verifier != verifier || !same_token(entry->token, token) ||
        entry->claims.expires_at_s <= now_s) {
        return false;
    }
    *claims = entry->claims;
    return true;
}

static struct str keep(char **at, struct str text)
{
    memcpy(*at, text.data, text.len);
    struct str kept = {*at, text.len};
    *at += text.len;
    return kept;
}

void token_cache_put(const struct jwt_verifier *verifier, struct str token,
                     const struct token_claims *claims)
{
    if (token.len > TOKEN_CACHE_TOKEN_MAX) {
        return;
    }
    struct entry *entry = entry_of(token);
    char *bytes = malloc(token.len + claims->subject.len + claims->scopes.len);
    if (bytes == NULL) {
        return;
    }
    free(entry->bytes);
    char *at = bytes;
    entry->bytes = bytes;
    entry->verifier = verifier;
    entry->token = keep(&at, token);
    entry->claims.subject = keep(&at, claims->subject);
    entry->claims.scopes = keep(&at, claims->scopes);
    entry->claims.expires_at_s = claims->expires_at_s;
}

void token_cache_clear(void)
{
    for (size_t i = 0; i < TOKEN_CACHE_ENTRIES; i++) {
        free(entries[i].bytes);
        entries[i] = (struct entry){0};
    }
}
