// SPDX-License-Identifier: Apache-2.0
// Bearer tokens: JWT (RFC 7519) with one pinned algorithm, HS256, checked as RFC 8725 says.
#include "infrastructure/token/jwt.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/json_tree.h"
#include "base/sha256.h"
#include "infrastructure/token/base64url.h"

enum { HMAC_BLOCK = 64 };

// HMAC (RFC 2104) keeps the hash state after the padded key, so that a token costs two copies of a
// state instead of hashing the key again.
struct jwt_verifier {
    EVP_MD_CTX *inner;
    EVP_MD_CTX *outer;
    EVP_MD_CTX *scratch;
    char *issuer; // NULL: not checked
    char *audience;
    int leeway_s;
};

const char *jwt_fault_text(enum jwt_fault fault)
{
    switch (fault) {
    case JWT_OK:
        return "the token is good";
    case JWT_MALFORMED:
        return "the token is not a JWT in compact form";
    case JWT_TOO_LONG:
        return "the token is longer than 8192 bytes";
    case JWT_ALGORITHM:
        return "the token's algorithm or type is not accepted";
    case JWT_SIGNATURE:
        return "the token's signature does not verify";
    case JWT_CLAIMS:
        return "the token lacks sub or exp, or a claim has the wrong type, is too long or holds "
               "control characters";
    case JWT_EXPIRED:
        return "the token has expired";
    case JWT_NOT_YET:
        return "the token is not valid yet";
    case JWT_ISSUER:
        return "the token is from another issuer";
    case JWT_AUDIENCE:
        return "the token is for another audience";
    }
    return "the token is not accepted";
}

static bool start_hash(EVP_MD_CTX *hash, struct str key, unsigned char pad)
{
    unsigned char block[HMAC_BLOCK] = {0};
    if (key.len > HMAC_BLOCK) {
        sha256(&key, 1, block);
    } else {
        memcpy(block, key.data, key.len);
    }
    for (size_t at = 0; at < sizeof(block); at++) {
        block[at] ^= pad;
    }
    bool started = hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 &&
                   EVP_DigestUpdate(hash, block, sizeof(block)) == 1;
    OPENSSL_cleanse(block, sizeof(block));
    return started;
}

static bool copy_text(struct str text, char **copy)
{
    if (text.len == 0) {
        return true;
    }
    *copy = strndup(text.data, text.len);
    return *copy != NULL;
}

enum status jwt_verifier_new(struct str key, struct str issuer, struct str audience, int leeway_s,
                             struct jwt_verifier **verifier)
{
    if (key.len < JWT_KEY_BYTES_MIN || key.len > JWT_KEY_BYTES_MAX) {
        return STATUS_INVALID;
    }
    struct jwt_verifier *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return STATUS_NO_MEMORY;
    }
    made->leeway_s = leeway_s;
    made->inner = EVP_MD_CTX_new();
    made->outer = EVP_MD_CTX_new();
    made->scratch = EVP_MD_CTX_new();
    if (made->scratch == NULL || !start_hash(made->inner, key, 0x36) ||
        !start_hash(made->outer, key, 0x5c) || !copy_text(issuer, &made->issuer) ||
        !copy_text(audience, &made->audience)) {
        jwt_verifier_free(made);
        return STATUS_NO_MEMORY;
    }
    *verifier = made;
    return STATUS_OK;
}

void jwt_verifier_free(struct jwt_verifier *verifier)
{
    if (verifier == NULL) {
        return;
    }
    EVP_MD_CTX_free(verifier->inner);
    EVP_MD_CTX_free(verifier->outer);
    EVP_MD_CTX_free(verifier->scratch);
    free(verifier->issuer);
    free(verifier->audience);
    free(verifier);
}

int jwt_verifier_leeway(const struct jwt_verifier *verifier)
{
    return verifier->leeway_s;
}

static bool sign(const struct jwt_verifier *verifier, struct str text,
                 unsigned char mac[SHA256_LEN])
{
    EVP_MD_CTX *hash = verifier->scratch;
    unsigned char digest[SHA256_LEN];
    return EVP_MD_CTX_copy_ex(hash, verifier->inner) == 1 &&
           EVP_DigestUpdate(hash, text.data, text.len) == 1 &&
           EVP_DigestFinal_ex(hash, digest, NULL) == 1 &&
           EVP_MD_CTX_copy_ex(hash, verifier->outer) == 1 &&
           EVP_DigestUpdate(hash, digest, sizeof(digest)) == 1 &&
           EVP_DigestFinal_ex(hash, mac, NULL) == 1;
}

struct jwt_parts {
    struct str header;
    struct str payload;
    struct str signature;
    struct str signed_text; // header.payload as it came
};

static bool split_parts(struct str token, struct jwt_parts *parts)
{
    struct str rest;
    if (!str_split(token, '.', &parts->header, &rest) ||
        !str_split(rest, '.', &parts->payload, &parts->signature) ||
        (parts->signature.len > 0 &&
         memchr(parts->signature.data, '.', parts->signature.len) != NULL)) {
        return false;
    }
    parts->signed_text = (struct str){token.data, parts->header.len + 1 + parts->payload.len};
    return true;
}

// Decodes a part and reads it as one strict JSON object, in which no name stands twice however it
// is written; NULL: it is not.
static const struct json_value *read_object(struct str part, struct arena *arena)
{
    size_t len = 0;
    size_t offset = 0;
    const struct json_value *object = NULL;
    unsigned char *bytes = arena_alloc(arena, base64url_decoded_max(part.len));
    if (bytes == NULL || !base64url_decode(part, bytes, &len)) {
        return NULL;
    }
    struct str text = {(const char *)bytes, len};
    if (json_check(text, &offset) != JSON_OK || json_read(text, arena, &object) != STATUS_OK) {
        return NULL;
    }
    return object->kind == JSON_OBJECT ? object : NULL;
}

static bool is_text(const struct json_value *value)
{
    return value != NULL && value->kind == JSON_STRING;
}

static bool is_this_text(const struct json_value *value, struct str wanted)
{
    return is_text(value) && str_eq(value->text, wanted);
}

static bool same_in_any_case(struct str text, struct str wanted)
{
    return text.len == wanted.len && strncasecmp(text.data, wanted.data, wanted.len) == 0;
}

// A media type without regard to case, of which `application/` may be left out (RFC 7515, 4.1.9).
// What is no access token or plain JWT was made for something else (RFC 8725, 3.11).
static bool type_is_ours(struct str type)
{
    const struct str prefix = STR("application/");
    if (type.len > prefix.len && same_in_any_case((struct str){type.data, prefix.len}, prefix)) {
        type = (struct str){type.data + prefix.len, type.len - prefix.len};
    }
    return same_in_any_case(type, STR("JWT")) || same_in_any_case(type, STR("at+jwt"));
}

// kid, jku, x5u, jwk and x5c are not looked at: the key is ours, never the token's to choose.
static bool header_is_ours(const struct json_value *header)
{
    const struct json_value *typ = json_member(header, STR("typ"));
    return is_this_text(json_member(header, STR("alg")), STR("HS256")) &&
           json_member(header, STR("crit")) == NULL && json_member(header, STR("zip")) == NULL &&
           (typ == NULL || (is_text(typ) && type_is_ours(typ->text)));
}

// NumericDate: seconds since 1970, possibly with a fraction. False: there, but no such date.
static bool read_date(const struct json_value *payload, struct str name, bool required,
                      struct arena *arena, int64_t *at_s)
{
    const struct json_value *date = json_member(payload, name);
    if (date == NULL) {
        return !required;
    }
    if (date->kind == JSON_INTEGER) {
        *at_s = date->integer;
        return date->integer >= 0;
    }
    struct str text = date->kind == JSON_NUMBER ? arena_printf(arena, "%.*s", STR_FMT(date->text))
                                                : (struct str){0};
    double seconds = text.data == NULL ? -1 : strtod(text.data, NULL);
    if (!(seconds >= 0) || seconds > (double)JSON_INTEGER_MAX) {
        return false;
    }
    *at_s = (int64_t)seconds;
    return true;
}

// The claims that become variables, and by proxy_set_header headers: none may end a line or hide
// in one.
struct shown_claim {
    struct str name;
    size_t len_min; // over 0: the claim is required
    size_t len_max;
};
static const struct shown_claim shown_subject = {{"sub", 3}, 1, JWT_SUBJECT_BYTES_MAX};
static const struct shown_claim shown_scope = {{"scope", 5}, 0, JWT_SCOPE_BYTES_MAX};

static bool may_be_shown(const struct shown_claim *claim, struct str text)
{
    for (size_t at = 0; at < text.len; at++) {
        unsigned char byte = (unsigned char)text.data[at];
        if (byte < 0x20 || byte == 0x7f) {
            return false;
        }
    }
    return text.len >= claim->len_min && text.len <= claim->len_max;
}

static bool read_shown(const struct json_value *payload, const struct shown_claim *claim,
                       struct str *text)
{
    const struct json_value *value = json_member(payload, claim->name);
    *text = value == NULL ? STR("") : value->text;
    return (value == NULL || value->kind == JSON_STRING) && may_be_shown(claim, *text);
}

static bool audience_holds(const struct json_value *audience, struct str wanted)
{
    if (audience == NULL || audience->kind != JSON_ARRAY) {
        return is_this_text(audience, wanted);
    }
    for (const struct json_value *one = audience->first; one != NULL; one = one->next) {
        if (is_this_text(one, wanted)) {
            return true;
        }
    }
    return false;
}

static enum jwt_fault check_parties(const struct jwt_verifier *verifier,
                                    const struct json_value *payload)
{
    if (verifier->issuer != NULL &&
        !is_this_text(json_member(payload, STR("iss")), str_from(verifier->issuer))) {
        return JWT_ISSUER;
    }
    if (verifier->audience != NULL &&
        !audience_holds(json_member(payload, STR("aud")), str_from(verifier->audience))) {
        return JWT_AUDIENCE;
    }
    return JWT_OK;
}

static enum jwt_fault check_claims(const struct jwt_verifier *verifier,
                                   const struct json_value *payload, int64_t now_s,
                                   struct arena *arena, struct jwt_claims *claims)
{
    int64_t not_before_s = 0;
    int64_t issued_at_s = 0;
    if (!read_shown(payload, &shown_subject, &claims->subject) ||
        !read_shown(payload, &shown_scope, &claims->scope) ||
        !read_date(payload, STR("exp"), true, arena, &claims->expires_at_s) ||
        !read_date(payload, STR("nbf"), false, arena, &not_before_s) ||
        !read_date(payload, STR("iat"), false, arena, &issued_at_s)) {
        return JWT_CLAIMS;
    }
    if (claims->expires_at_s + verifier->leeway_s <= now_s) {
        return JWT_EXPIRED;
    }
    if (not_before_s - verifier->leeway_s > now_s) {
        return JWT_NOT_YET;
    }
    return check_parties(verifier, payload);
}

static bool signature_is_ours(const struct jwt_verifier *verifier, const struct jwt_parts *parts)
{
    unsigned char mac[SHA256_LEN];
    unsigned char given[SHA256_LEN + 2];
    size_t given_len = 0;
    return parts->signature.len == 43 && // 32 bytes, so that `given` is large enough
           base64url_decode(parts->signature, given, &given_len) && given_len == sizeof(mac) &&
           sign(verifier, parts->signed_text, mac) && CRYPTO_memcmp(mac, given, sizeof(mac)) == 0;
}

enum jwt_fault jwt_verify(const struct jwt_verifier *verifier, struct str token, int64_t now_s,
                          struct arena *arena, struct jwt_claims *claims)
{
    struct jwt_parts parts;
    if (token.len > JWT_BYTES_MAX) {
        return JWT_TOO_LONG;
    }
    if (!split_parts(token, &parts)) {
        return JWT_MALFORMED;
    }
    const struct json_value *header = read_object(parts.header, arena);
    if (header == NULL) {
        return JWT_MALFORMED;
    }
    if (!header_is_ours(header)) {
        return JWT_ALGORITHM;
    }
    if (!signature_is_ours(verifier, &parts)) {
        return JWT_SIGNATURE;
    }
    const struct json_value *payload = read_object(parts.payload, arena);
    return payload == NULL ? JWT_MALFORMED : check_claims(verifier, payload, now_s, arena, claims);
}

static void write_payload(const struct jwt_grant *grant, struct buffer *json)
{
    struct json_writer writer;
    json_writer_init(&writer, json);
    json_object_begin(&writer);
    json_name(&writer, STR("sub"));
    json_string(&writer, grant->subject);
    if (grant->scope.len > 0) {
        json_name(&writer, STR("scope"));
        json_string(&writer, grant->scope);
    }
    if (grant->issuer.len > 0) {
        json_name(&writer, STR("iss"));
        json_string(&writer, grant->issuer);
    }
    if (grant->audience.len > 0) {
        json_name(&writer, STR("aud"));
        json_string(&writer, grant->audience);
    }
    json_name(&writer, STR("iat"));
    json_int(&writer, grant->issued_at_s);
    json_name(&writer, STR("exp"));
    json_int(&writer, grant->expires_at_s);
    json_object_end(&writer);
}

enum status jwt_mint(struct str key, const struct jwt_grant *grant, struct buffer *out)
{
    struct jwt_verifier *signer = NULL;
    if (!may_be_shown(&shown_subject, grant->subject) ||
        !may_be_shown(&shown_scope, grant->scope)) {
        return STATUS_INVALID;
    }
    enum status status = jwt_verifier_new(key, STR(""), STR(""), 0, &signer);
    if (status != STATUS_OK) {
        return status;
    }
    struct buffer payload;
    buffer_init(&payload, NULL, JWT_BYTES_MAX);
    write_payload(grant, &payload);
    struct str header = STR("{\"alg\":\"HS256\",\"typ\":\"JWT\"}");
    size_t start = out->len;
    base64url_encode((const unsigned char *)header.data, header.len, out);
    buffer_add_char(out, '.');
    base64url_encode((const unsigned char *)payload.data, payload.len, out);
    unsigned char mac[SHA256_LEN];
    status = payload.status != STATUS_OK ? payload.status : out->status;
    if (status == STATUS_OK &&
        !sign(signer, (struct str){out->data + start, out->len - start}, mac)) {
        status = STATUS_NO_MEMORY;
    }
    if (status == STATUS_OK) {
        buffer_add_char(out, '.');
        base64url_encode(mac, sizeof(mac), out);
        status = out->status;
    }
    buffer_free(&payload);
    jwt_verifier_free(signer);
    return status;
}
