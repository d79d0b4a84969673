// SPDX-License-Identifier: Apache-2.0
// Bearer tokens: JWT (RFC 7519) with one pinned algorithm, HS256, checked as RFC 8725 says.
#include "infrastructure/token/jwt.h"

#include <cjson/cJSON.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
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
    case JWT_ALGORITHM:
        return "the token's algorithm or type is not accepted";
    case JWT_SIGNATURE:
        return "the token's signature does not verify";
    case JWT_CLAIMS:
        return "the token lacks sub or exp, or a claim has the wrong type";
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
    if (token.len > JWT_BYTES_MAX || !str_split(token, '.', &parts->header, &rest) ||
        !str_split(rest, '.', &parts->payload, &parts->signature) ||
        (parts->signature.len > 0 &&
         memchr(parts->signature.data, '.', parts->signature.len) != NULL)) {
        return false;
    }
    parts->signed_text = (struct str){token.data, parts->header.len + 1 + parts->payload.len};
    return true;
}

// Decodes a part and reads it as one strict JSON object; NULL: it is not. Free with cJSON_Delete.
static cJSON *read_object(struct str part, struct arena *arena)
{
    size_t len = 0;
    size_t offset = 0;
    unsigned char *bytes = arena_alloc(arena, base64url_decoded_max(part.len));
    if (bytes == NULL || !base64url_decode(part, bytes, &len) ||
        json_check((struct str){(const char *)bytes, len}, &offset) != JSON_OK) {
        return NULL;
    }
    cJSON *object = cJSON_ParseWithLength((const char *)bytes, len);
    if (object != NULL && !cJSON_IsObject(object)) {
        cJSON_Delete(object);
        return NULL;
    }
    return object;
}

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

// kid, jku, x5u, jwk and x5c are not looked at: the key is ours, never the token's to choose.
static bool header_is_ours(const cJSON *header)
{
    const cJSON *alg = member(header, "alg");
    const cJSON *typ = member(header, "typ");
    if (!cJSON_IsString(alg) || strcmp(alg->valuestring, "HS256") != 0 ||
        member(header, "crit") != NULL || member(header, "zip") != NULL) {
        return false;
    }
    return typ == NULL || (cJSON_IsString(typ) && (strcasecmp(typ->valuestring, "JWT") == 0 ||
                                                   strcasecmp(typ->valuestring, "at+jwt") == 0));
}

// NumericDate: seconds since 1970, possibly with a fraction. False: there, but no such date.
static bool read_date(const cJSON *payload, const char *name, bool required, int64_t *at_s)
{
    const cJSON *date = member(payload, name);
    if (date == NULL) {
        return !required;
    }
    if (!cJSON_IsNumber(date) || !(date->valuedouble >= 0) ||
        date->valuedouble > (double)JSON_INTEGER_MAX) {
        return false;
    }
    *at_s = (int64_t)date->valuedouble;
    return true;
}

static bool subject_is_safe(const char *subject)
{
    size_t len = strlen(subject);
    for (size_t at = 0; at < len; at++) {
        unsigned char byte = (unsigned char)subject[at];
        if (byte < 0x20 || byte == 0x7f) {
            return false;
        }
    }
    return len > 0 && len <= JWT_SUBJECT_BYTES_MAX;
}

static bool audience_holds(const cJSON *audience, const char *wanted)
{
    if (cJSON_IsString(audience)) {
        return strcmp(audience->valuestring, wanted) == 0;
    }
    if (!cJSON_IsArray(audience)) {
        return false;
    }
    const cJSON *one = NULL;
    cJSON_ArrayForEach(one, audience)
    {
        if (cJSON_IsString(one) && strcmp(one->valuestring, wanted) == 0) {
            return true;
        }
    }
    return false;
}

static enum jwt_fault check_parties(const struct jwt_verifier *verifier, const cJSON *payload)
{
    const cJSON *issuer = member(payload, "iss");
    if (verifier->issuer != NULL &&
        (!cJSON_IsString(issuer) || strcmp(issuer->valuestring, verifier->issuer) != 0)) {
        return JWT_ISSUER;
    }
    if (verifier->audience != NULL && !audience_holds(member(payload, "aud"), verifier->audience)) {
        return JWT_AUDIENCE;
    }
    return JWT_OK;
}

static enum jwt_fault check_claims(const struct jwt_verifier *verifier, const cJSON *payload,
                                   int64_t now_s, struct arena *arena, struct jwt_claims *claims)
{
    const cJSON *subject = member(payload, "sub");
    const cJSON *scope = member(payload, "scope");
    int64_t expires_at_s = 0;
    int64_t not_before_s = 0;
    int64_t issued_at_s = 0;
    if (!cJSON_IsString(subject) || !subject_is_safe(subject->valuestring) ||
        (scope != NULL && !cJSON_IsString(scope)) ||
        !read_date(payload, "exp", true, &expires_at_s) ||
        !read_date(payload, "nbf", false, &not_before_s) ||
        !read_date(payload, "iat", false, &issued_at_s)) {
        return JWT_CLAIMS;
    }
    if (expires_at_s + verifier->leeway_s <= now_s) {
        return JWT_EXPIRED;
    }
    if (not_before_s - verifier->leeway_s > now_s) {
        return JWT_NOT_YET;
    }
    enum jwt_fault fault = check_parties(verifier, payload);
    if (fault != JWT_OK) {
        return fault;
    }
    claims->subject = arena_str(arena, str_from(subject->valuestring));
    claims->scope = arena_str(arena, str_from(scope == NULL ? "" : scope->valuestring));
    claims->expires_at_s = expires_at_s;
    return claims->subject.data == NULL || claims->scope.data == NULL ? JWT_MALFORMED : JWT_OK;
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
    if (!split_parts(token, &parts)) {
        return JWT_MALFORMED;
    }
    cJSON *header = read_object(parts.header, arena);
    if (header == NULL) {
        return JWT_MALFORMED;
    }
    bool accepted = header_is_ours(header);
    cJSON_Delete(header);
    if (!accepted) {
        return JWT_ALGORITHM;
    }
    if (!signature_is_ours(verifier, &parts)) {
        return JWT_SIGNATURE;
    }
    cJSON *payload = read_object(parts.payload, arena);
    if (payload == NULL) {
        return JWT_MALFORMED;
    }
    enum jwt_fault fault = check_claims(verifier, payload, now_s, arena, claims);
    cJSON_Delete(payload);
    return fault;
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
    if (grant->subject.len == 0 || grant->subject.len > JWT_SUBJECT_BYTES_MAX) {
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
