// SPDX-License-Identifier: Apache-2.0
// The Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header): its form, the id that it
// is remembered under, and the fingerprint of what it was sent with. Pure.
#include "application/command/idempotency_key.h"

#include <string.h>

#include "base/sha256.h"

enum { UUID_TIME_BYTES = 6 };

static bool is_key_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == ':' || c == '-';
}

bool idempotency_key_read(struct str header, struct str *key)
{
    struct str text = header;
    if (text.len >= 2 && text.data[0] == '"' && text.data[text.len - 1] == '"') {
        text = (struct str){text.data + 1, text.len - 2};
    }
    if (text.len == 0 || text.len > IDEMPOTENCY_KEY_LEN_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!is_key_char(text.data[i])) {
            return false;
        }
    }
    *key = text;
    return true;
}

static bool is_time_ordered(struct str key, struct uuid *id)
{
    return uuid_parse(key, true, id) && uuid_version(*id) == 7;
}

bool idempotency_key_is_current(struct str key, instant_us now, int64_t retention_ms)
{
    struct uuid id;
    if (!is_time_ordered(key, &id)) {
        return true;
    }
    int64_t now_ms = now / 1000;
    int64_t made_ms = uuid_unix_ms(id);
    return made_ms >= now_ms - retention_ms && made_ms <= now_ms + IDEMPOTENCY_KEY_AHEAD_MAX_MS;
}

// No field holds the separator: tenants and keys by their form, principals by the token's check.
static void hash_scoped(struct str tenant, struct str principal, struct str key,
                        unsigned char digest[SHA256_LEN])
{
    const struct str separator = {"\0", 1};
    const struct str pieces[] = {tenant, separator, principal, separator, key};
    sha256(pieces, sizeof(pieces) / sizeof(pieces[0]), digest);
}

struct uuid idempotency_key_id(struct str tenant, struct str principal, struct str key)
{
    unsigned char digest[SHA256_LEN];
    struct uuid sent;
    struct uuid id;
    if (!is_time_ordered(key, &sent)) {
        hash_scoped(tenant, principal, key, digest);
        memcpy(id.bytes, digest, sizeof(id.bytes));
        id.bytes[0] |= 0x80;
        return id;
    }
    // Upper and lower case write the same UUID.
    char text[UUID_TEXT_LEN];
    uuid_format(sent, text);
    hash_scoped(tenant, principal, (struct str){text, sizeof(text)}, digest);
    memcpy(id.bytes, sent.bytes, UUID_TIME_BYTES);
    memcpy(id.bytes + UUID_TIME_BYTES, digest, sizeof(id.bytes) - UUID_TIME_BYTES);
    return id;
}

void idempotency_key_fingerprint(struct str method, struct str path, struct str body,
                                 unsigned char fingerprint[KEY_FINGERPRINT_LEN])
{
    unsigned char digest[SHA256_LEN];
    const struct str space = STR(" ");
    const struct str line = STR("\n");
    const struct str pieces[] = {method, space, path, line, body};
    sha256(pieces, sizeof(pieces) / sizeof(pieces[0]), digest);
    memcpy(fingerprint, digest, KEY_FINGERPRINT_LEN);
}
