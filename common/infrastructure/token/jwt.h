// SPDX-License-Identifier: Apache-2.0
// Bearer tokens: JWT (RFC 7519) with one pinned algorithm, HS256, checked as RFC 8725 says.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"
#include "base/str.h"

enum {
    JWT_KEY_BYTES_MIN = 32, // RFC 7518, 3.2: a key as long as the hash
    JWT_KEY_BYTES_MAX = 1024,
    JWT_BYTES_MAX = 8192, // a token of this length is still taken
    JWT_SUBJECT_BYTES_MAX = 255,
    JWT_SCOPE_BYTES_MAX = JWT_BYTES_MAX / 4 * 3, // as much as the longest token carries
};

enum jwt_fault {
    JWT_OK,
    JWT_MALFORMED, // not three parts of strict base64url holding strict JSON
    JWT_TOO_LONG,  // over JWT_BYTES_MAX
    JWT_ALGORITHM, // alg is not HS256, or the header has what we do not understand (crit, typ)
    JWT_SIGNATURE, // made with another key, or changed
    JWT_CLAIMS,    // sub or exp missing, a claim of the wrong type; sub or scope too long or with
                   // a control character
    JWT_EXPIRED,   // exp is not after now
    JWT_NOT_YET,   // nbf is after now
    JWT_ISSUER,    // iss is not the configured one
    JWT_AUDIENCE,  // aud does not hold the configured one
};

// A sentence for WWW-Authenticate's error_description; says nothing about the key.
const char *jwt_fault_text(enum jwt_fault fault);

struct jwt_claims {
    struct str subject;
    struct str scope; // space-separated; empty when absent
    int64_t expires_at_s;
};

struct jwt_verifier;

// Views stay the caller's only during the call. issuer, audience: empty means not checked.
// leeway_s: clock skew granted on exp and nbf. STATUS_INVALID: a key under JWT_KEY_BYTES_MIN or
// over JWT_KEY_BYTES_MAX. Free with jwt_verifier_free.
enum status jwt_verifier_new(struct str key, struct str issuer, struct str audience, int leeway_s,
                             struct jwt_verifier **verifier) MUST_CHECK;
void jwt_verifier_free(struct jwt_verifier *verifier);

// The clock skew granted, in seconds.
int jwt_verifier_leeway(const struct jwt_verifier *verifier);

// Pure but for the arena. Claims are views into the arena, and hold only after JWT_OK. Subject and
// scope may become headers: they have no control character. The signature is compared in constant
// time and before anything in the payload is believed.
enum jwt_fault jwt_verify(const struct jwt_verifier *verifier, struct str token, int64_t now_s,
                          struct arena *arena, struct jwt_claims *claims) MUST_CHECK;

struct jwt_grant {
    struct str subject;
    struct str scope;
    struct str issuer;   // empty: left out
    struct str audience; // empty: left out
    int64_t issued_at_s;
    int64_t expires_at_s;
};

// Writes a signed token, for development keys. STATUS_INVALID: the key's length, or a
// subject or scope that jwt_verify would refuse.
enum status jwt_mint(struct str key, const struct jwt_grant *grant, struct buffer *out) MUST_CHECK;
