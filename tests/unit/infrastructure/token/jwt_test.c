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
        "{\"alg\":\"HS256\",\"typ\":\"\"}",
        "{\"alg\":\"HS256\",\"typ\":\"application/\"}",
        "{\"alg\":\"HS256\",\"typ\":\"application/logout+jwt\"}",
        "{\"alg\":\"HS256\",\"typ\":\"application/application/jwt\"}",
        "{\"alg\":\"HS256\",\"typ\":\"text/jwt\"}",
        "{\"alg\":\"HS256\",\"typ\":\"JWT\\n\"}",
        "{\"alg\":\"HS256\",\"cr\\u0069t\":[\"exp\"]}",
        "{\"ALG\":\"HS256\"}",
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        cr_assert_eq(when_verified(signed_token(headers[i], CLAIMS "}")), JWT_ALGORITHM, "%s",
                     headers[i]);
    }
}

Test(jwt, given_a_type_as_the_rfcs_write_it_then_it_is_accepted)
{
    const char *types[] = {"JWT",
                           "jwt",
                           "at+jwt",
                           "AT+JWT",
                           "application/jwt",
                           "application/JWT",
                           "application/at+jwt",
                           "Application/At+Jwt"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct str header = arena_printf(&arena, "{\"alg\":\"HS256\",\"typ\":\"%s\"}", types[i]);
        cr_assert_eq(when_verified(signed_token(header.data, CLAIMS "}")), JWT_OK, "%s", types[i]);
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

// Both as they stand between the quotes of JSON.
static enum jwt_fault when_shown(const char *subject, const char *scope)
{
    struct str payload = arena_printf(
        &arena, "{\"sub\":\"%s\",\"scope\":\"%s\",\"exp\":1800000001}", subject, scope);
    return when_verified(signed_token(HEADER, payload.data));
}

Test(jwt, given_control_characters_in_a_claim_that_has_a_variable_then_the_token_is_refused)
{
    for (int byte = 1; byte <= 0x7f; byte = byte == 0x1f ? 0x7f : byte + 1) {
        struct str text = arena_printf(&arena, "a\\u%04xX-Admin: 1", (unsigned)byte);
        cr_assert_eq(when_shown(text.data, "a"), JWT_CLAIMS, "sub %s", text.data);
        cr_assert_eq(when_shown("ana", text.data), JWT_CLAIMS, "scope %s", text.data);
    }
    cr_assert_eq(when_shown("ana\x7f", "a"), JWT_CLAIMS);
    cr_assert_eq(when_shown("ana", "a\x7f"), JWT_CLAIMS);
    cr_assert_eq(when_shown("ana\\u0000bob", "a"), JWT_MALFORMED, "no reader may cut at it");
    cr_assert_eq(when_shown("ana", "a\\u0000b"), JWT_MALFORMED);
    cr_assert_eq(when_shown("jos\\u00e9", "a \\u20ac"), JWT_OK);
}

Test(jwt, given_a_subject_of_255_bytes_then_it_is_the_longest)
{
    struct str longest = arena_printf(&arena, "%0*d", JWT_SUBJECT_BYTES_MAX, 7);
    cr_assert_eq(when_shown(longest.data, ""), JWT_OK);
    cr_assert_eq(when_shown(arena_printf(&arena, "%s7", longest.data).data, ""), JWT_CLAIMS);
}

Test(jwt, given_names_written_with_escapes_then_they_are_the_names_that_they_mean)
{
    struct jwt_claims claims;
    struct str token = signed_token(HEADER, "{\"s\\u0075b\":\"ana\",\"\\u0065xp\":1800000001}");
    cr_assert_eq(when_verified_with(verifier_for(STR(""), STR("")), token, &claims), JWT_OK);
    cr_assert(str_eq(claims.subject, STR("ana")));
    cr_assert_eq(when_verified(signed_token(HEADER, CLAIMS ",\"n\\u0062f\":1800000001}")),
                 JWT_NOT_YET);
    cr_assert_eq(when_verified(signed_token(HEADER, CLAIMS ",\"s\\u0075b\":\"bob\"}")),
                 JWT_MALFORMED, "the same name twice");
}

Test(jwt, given_dates_with_a_fraction_or_an_exponent_then_they_are_dates)
{
    cr_assert_eq(when_verified(signed_token(HEADER, "{\"sub\":\"ana\",\"exp\":1800000001.5}")),
                 JWT_OK);
    cr_assert_eq(when_verified(signed_token(HEADER, "{\"sub\":\"ana\",\"exp\":1.9e9}")), JWT_OK);
    cr_assert_eq(when_verified(signed_token(HEADER, "{\"sub\":\"ana\",\"exp\":1800000000.9}")),
                 JWT_EXPIRED);
    cr_assert_eq(when_verified(signed_token(HEADER, "{\"sub\":\"ana\",\"exp\":-0.5}")), JWT_CLAIMS);
}

// A token of exactly `len` bytes, whose payload is filled up by a claim that nobody reads.
static struct str token_of(size_t len)
{
    static const char *const headers[] = {HEADER, HEADER " ", HEADER "  "};
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        for (size_t fill = len / 2; fill < len; fill++) {
            struct str claims = arena_printf(&arena, CLAIMS ",\"pad\":\"%0*d\"}", (int)fill, 7);
            struct str token = signed_token(headers[i], claims.data);
            if (token.len == len) {
                return token;
            }
            if (token.len > len) {
                break;
            }
        }
    }
    cr_assert_fail("no token has %zu bytes", len);
    return STR("");
}

Test(jwt, given_a_token_of_8192_bytes_then_it_is_the_longest)
{
    arena_init(&arena, 4096, (size_t)1 << 30);
    cr_assert_eq(when_verified(token_of(JWT_BYTES_MAX)), JWT_OK);
    cr_assert_eq(when_verified(token_of(JWT_BYTES_MAX + 1)), JWT_TOO_LONG);
    cr_assert_str_eq(jwt_fault_text(JWT_TOO_LONG), "the token is longer than 8192 bytes");
}

Test(jwt, given_the_longest_token_of_the_most_values_then_the_edges_memory_holds_it)
{
    struct buffer payload;
    buffer_init(&payload, &arena, JWT_BYTES_MAX);
    buffer_add(&payload, STR(CLAIMS ",\"a\":[1"));
    while (payload.len < JWT_SCOPE_BYTES_MAX - 100) {
        buffer_add(&payload, STR(",1"));
    }
    buffer_add(&payload, STR("]}"));
    buffer_add_char(&payload, '\0');
    struct str token = signed_token(HEADER, buffer_view(&payload).data);
    cr_assert_gt(token.len, JWT_BYTES_MAX - 100);
    struct arena edge; // as guard/jwt.c has it
    struct jwt_claims claims;
    arena_init(&edge, 16 * 1024, 256 * 1024);
    cr_assert_eq(jwt_verify(verifier_for(STR(""), STR("")), token, now_s, &edge, &claims), JWT_OK);
    arena_free(&edge);
}

Test(jwt, given_claims_that_would_be_refused_then_they_are_not_minted)
{
    struct jwt_grant grants[] = {{.subject = STR("")},
                                 {.subject = STR("a\nb")},
                                 {.subject = STR("a"), .scope = STR("a\x7f")}};
    for (size_t i = 0; i < sizeof(grants) / sizeof(grants[0]); i++) {
        struct buffer token;
        buffer_init(&token, &arena, JWT_BYTES_MAX);
        cr_assert_eq(jwt_mint(KEY, &grants[i], &token), STATUS_INVALID, "grant %zu", i);
    }
}
