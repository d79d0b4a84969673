// SPDX-License-Identifier: Apache-2.0
// Tokens: what RFC 8725 warns of is refused, each with its own fault; what we mint is accepted.
#include <criterion/criterion.h>
#include <string.h>

#include "infrastructure/token/base64url.h"
#include "infrastructure/token/jwt.h"

static const int64_t now_s = 1800000000;
#define KEY STR("0123456789abcdef0123456789abcdef")

static struct arena arena;

static void set_up(void)
{
    arena_init(&arena, 4096, 1 << 20);
}

static struct jwt_verifier *verifier_for(struct str issuer, struct str audience)
{
    struct jwt_verifier *verifier = NULL;
    cr_assert_eq(jwt_verifier_new(KEY, issuer, audience, 0, &verifier), STATUS_OK);
    return verifier;
}

// Signs any header and payload with our key by minting's own parts: base64url and HMAC are theirs.
static struct str signed_token(const char *header, const char *payload);

static enum jwt_fault when_verified_with(struct jwt_verifier *verifier, struct str token,
                                         struct jwt_claims *claims)
{
    return jwt_verify(verifier, token, now_s, &arena, claims);
}

static enum jwt_fault when_verified(struct str token)
{
    struct jwt_claims claims;
    return when_verified_with(verifier_for(STR(""), STR("")), token, &claims);
}

#include <openssl/evp.h>
#include <openssl/hmac.h>

static struct str signed_token(const char *header, const char *payload)
{
    struct buffer token;
    unsigned char mac[32];
    unsigned int mac_len = 0;
    buffer_init(&token, &arena, 1 << 18);
    base64url_encode((const unsigned char *)header, strlen(header), &token);
    buffer_add_char(&token, '.');
    base64url_encode((const unsigned char *)payload, strlen(payload), &token);
    HMAC(EVP_sha256(), KEY.data, (int)KEY.len, (unsigned char *)token.data, token.len, mac,
         &mac_len);
    buffer_add_char(&token, '.');
    base64url_encode(mac, mac_len, &token);
    return buffer_view(&token);
}

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define CLAIMS "{\"sub\":\"ana\",\"exp\":1800000001"

TestSuite(jwt, .init = set_up);

Test(jwt, given_a_minted_token_then_its_claims_come_back)
{
    struct jwt_grant grant = {.subject = STR("ana"),
                              .scope = STR("orders:read orders:write"),
                              .issuer = STR("https://id.example"),
                              .audience = STR("comanda"),
                              .issued_at_s = now_s,
                              .expires_at_s = now_s + 60};
    struct buffer token;
    buffer_init(&token, &arena, JWT_BYTES_MAX);
    cr_assert_eq(jwt_mint(KEY, &grant, &token), STATUS_OK);
    struct jwt_claims claims;
    cr_assert_eq(when_verified_with(verifier_for(STR("https://id.example"), STR("comanda")),
                                    buffer_view(&token), &claims),
                 JWT_OK);
    cr_assert(str_eq(claims.subject, STR("ana")));
    cr_assert(str_eq(claims.scope, STR("orders:read orders:write")));
    cr_assert_eq(claims.expires_at_s, now_s + 60);
}

Test(jwt, given_a_short_key_then_no_verifier_is_made)
{
    struct jwt_verifier *verifier = NULL;
    cr_assert_eq(jwt_verifier_new(STR("short"), STR(""), STR(""), 0, &verifier), STATUS_INVALID);
}

Test(jwt, given_what_is_no_compact_jwt_then_it_is_malformed)
{
    const char *texts[] = {"", ".", "..", "a.b", "a.b.", "a.b.c.d", "a.b.c.d.e", "{}", "a b.c.d"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cr_assert_neq(when_verified(str_from(texts[i])), JWT_OK, "%s", texts[i]);
    }
    cr_assert_eq(when_verified(signed_token("[]", CLAIMS "}")), JWT_MALFORMED);
    cr_assert_eq(when_verified(signed_token(HEADER, "[]")), JWT_MALFORMED);
    cr_assert_eq(when_verified(signed_token(HEADER, CLAIMS ",\"exp\":1}")), JWT_MALFORMED,
                 "a claim twice");
    cr_assert_eq(when_verified(signed_token(HEADER, "{\"sub\":\"\xff\"}")), JWT_MALFORMED);
}

Test(jwt, given_another_algorithm_then_it_is_refused_before_the_signature)
{
    const char *headers[] = {
        "{\"alg\":\"none\"}",
        "{\"alg\":\"None\"}",
        "{\"alg\":\"nOnE\"}",
        "{\"alg\":\"RS256\"}",
        "{\"alg\":\"hs256\"}",
        "{\"alg\":\"HS512\"}",
        "{\"alg\":5}",
        "{}",
        "{\"alg\":\"HS256\",\"crit\":[\"exp\"]}",
        "{\"alg\":\"HS256\",\"zip\":\"DEF\"}",
        "{\"alg\":\"HS256\",\"typ\":\"other+jwt\"}",
        "{\"alg\":\"HS256\",\"typ\":1}",
        "{\"ALG\":\"HS256\"}",
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        cr_assert_eq(when_verified(signed_token(headers[i], CLAIMS "}")), JWT_ALGORITHM, "%s",
                     headers[i]);
    }
}

Test(jwt, given_a_key_of_the_tokens_own_choosing_then_it_is_not_looked_at)
{
    const char *header = "{\"alg\":\"HS256\",\"kid\":\"../../etc/passwd\",\"jku\":\"http://x\"}";
    cr_assert_eq(when_verified(signed_token(header, CLAIMS "}")), JWT_OK);
}

Test(jwt, given_a_changed_byte_anywhere_then_the_token_is_refused)
{
    struct str good = signed_token(HEADER, CLAIMS "}");
    cr_assert_eq(when_verified(good), JWT_OK);
    for (size_t at = 0; at < good.len; at++) {
        struct str bad = arena_str(&arena, good);
        ((char *)bad.data)[at] = bad.data[at] == 'A' ? 'B' : 'A';
        cr_assert_neq(when_verified(bad), JWT_OK, "byte %zu", at);
    }
}

Test(jwt, given_padding_or_trailing_bits_then_the_token_is_refused)
{
    struct str good = signed_token(HEADER, CLAIMS "}");
    cr_assert_neq(when_verified(arena_printf(&arena, "%.*s=", STR_FMT(good))), JWT_OK);
    cr_assert_neq(when_verified(arena_printf(&arena, "%.*s\n", STR_FMT(good))), JWT_OK);
    cr_assert_neq(when_verified(arena_printf(&arena, " %.*s", STR_FMT(good))), JWT_OK);
    cr_assert_neq(when_verified((struct str){good.data, good.len - 1}), JWT_OK);
}

Test(jwt, given_claims_missing_or_of_the_wrong_type_then_they_are_refused)
{
    const char *payloads[] = {
        "{\"exp\":1800000001}",
        "{\"sub\":\"\",\"exp\":1800000001}",
        "{\"sub\":7,\"exp\":1800000001}",
        "{\"sub\":\"a\\nb\",\"exp\":1800000001}",
        "{\"sub\":\"ana\"}",
        "{\"sub\":\"ana\",\"exp\":\"1800000001\"}",
        "{\"sub\":\"ana\",\"exp\":-1}",
        "{\"sub\":\"ana\",\"exp\":1e300}",
        CLAIMS ",\"nbf\":\"x\"}",
        CLAIMS ",\"iat\":true}",
        CLAIMS ",\"scope\":[\"orders:read\"]}",
    };
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        enum jwt_fault fault = when_verified(signed_token(HEADER, payloads[i]));
        cr_assert(fault == JWT_CLAIMS || fault == JWT_MALFORMED, "%s", payloads[i]);
    }
}

Test(jwt, given_the_second_of_expiry_then_it_has_expired)
{
    cr_assert_eq(when_verified(signed_token(HEADER, "{\"sub\":\"ana\",\"exp\":1800000000}")),
                 JWT_EXPIRED);
    cr_assert_eq(when_verified(signed_token(HEADER, CLAIMS "}")), JWT_OK);
}

Test(jwt, given_a_token_for_later_then_it_is_not_valid_yet)
{
    cr_assert_eq(when_verified(signed_token(HEADER, CLAIMS ",\"nbf\":1800000001}")), JWT_NOT_YET);
    cr_assert_eq(when_verified(signed_token(HEADER, CLAIMS ",\"nbf\":1800000000}")), JWT_OK);
}

Test(jwt, given_a_configured_issuer_and_audience_then_both_must_match)
{
    struct jwt_verifier *verifier = verifier_for(STR("us"), STR("shop"));
    struct jwt_claims claims;
    struct {
        const char *payload;
        enum jwt_fault fault;
    } cases[] = {
        {CLAIMS ",\"iss\":\"us\",\"aud\":\"shop\"}", JWT_OK},
        {CLAIMS ",\"iss\":\"us\",\"aud\":[\"other\",\"shop\"]}", JWT_OK},
        {CLAIMS ",\"aud\":\"shop\"}", JWT_ISSUER},
        {CLAIMS ",\"iss\":\"them\",\"aud\":\"shop\"}", JWT_ISSUER},
        {CLAIMS ",\"iss\":\"us\"}", JWT_AUDIENCE},
        {CLAIMS ",\"iss\":\"us\",\"aud\":\"shop2\"}", JWT_AUDIENCE},
        {CLAIMS ",\"iss\":\"us\",\"aud\":{\"a\":\"shop\"}}", JWT_AUDIENCE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert_eq(when_verified_with(verifier, signed_token(HEADER, cases[i].payload), &claims),
                     cases[i].fault, "%s", cases[i].payload);
    }
}
