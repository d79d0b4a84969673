// SPDX-License-Identifier: Apache-2.0
// Tokens that this process has verified: the whole token is compared again, never only its hash.
//
// Direct-mapped, at most TOKEN_CACHE_ENTRIES tokens of at most TOKEN_CACHE_TOKEN_MAX bytes a
// process; failures are not kept, so nobody fills it without a good token. It dies with the
// process, and a reload makes new processes, so a changed key is never served from it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { TOKEN_CACHE_ENTRIES = 4096, TOKEN_CACHE_TOKEN_MAX = 2048 };

struct jwt_verifier;

struct token_claims {
    struct str subject;
    struct str scopes;
    int64_t expires_at_s; // with the leeway in it
};

// True: verified before by this verifier and not expired; views live until the next put.
bool token_cache_get(const struct jwt_verifier *verifier, struct str token, int64_t now_s,
                     struct token_claims *claims);

// Leaves out what is too long or out of memory.
void token_cache_put(const struct jwt_verifier *verifier, struct str token,
                     const struct token_claims *claims);

// Forgets all; at a process's end.
void token_cache_clear(void);
