// SPDX-License-Identifier: Apache-2.0
// Ids of streams, events and messages: UUIDs that fall together in an index (RFC 9562).
#include "base/uuid.h"

#include <string.h>

#include "base/sha256.h"

enum { TIME_BYTES = 6 };

static void set_version(struct uuid *id, int version)
{
    id->bytes[6] = (unsigned char)((id->bytes[6] & 0x0f) | (version << 4));
    id->bytes[8] = (unsigned char)((id->bytes[8] & 0x3f) | 0x80); // the RFC's variant
}

struct uuid uuid_v7(int64_t unix_ms, const unsigned char random[10])
{
    struct uuid id;
    for (int i = 0; i < TIME_BYTES; i++) {
        id.bytes[i] = (unsigned char)((uint64_t)unix_ms >> (8 * (TIME_BYTES - 1 - i)));
    }
    memcpy(id.bytes + TIME_BYTES, random, 10);
    set_version(&id, 7);
    return id;
}

struct uuid uuid_derive(struct uuid parent, struct str role)
{
    unsigned char digest[SHA256_LEN];
    struct str pieces[] = {{(const char *)parent.bytes, sizeof(parent.bytes)}, role};
    sha256(pieces, 2, digest);
    struct uuid id = parent;
    memcpy(id.bytes + TIME_BYTES, digest, sizeof(id.bytes) - TIME_BYTES);
    set_version(&id, 8);
    return id;
}

// The length goes before each part, so that ("a", "bc") and ("ab", "c") differ.
static struct str length_prefix(struct str part, unsigned char bytes[4])
{
    for (int i = 0; i < 4; i++) {
        bytes[i] = (unsigned char)(part.len >> (8 * (3 - i)));
    }
    return (struct str){(const char *)bytes, 4};
}

struct uuid uuid_named(struct str tenant, struct str category, struct str name)
{
    unsigned char digest[SHA256_LEN];
    unsigned char lengths[3][4];
    struct str pieces[] = {
        length_prefix(tenant, lengths[0]), tenant, length_prefix(category, lengths[1]), category,
        length_prefix(name, lengths[2]),   name,
    };
    sha256(pieces, sizeof(pieces) / sizeof(pieces[0]), digest);
    struct uuid id;
    memcpy(id.bytes, digest, sizeof(id.bytes));
    id.bytes[0] |= 0x80;
    set_version(&id, 8);
    return id;
}

int64_t uuid_unix_ms(struct uuid id)
{
    int64_t unix_ms = 0;
    for (int i = 0; i < TIME_BYTES; i++) {
        unix_ms = unix_ms << 8 | id.bytes[i];
    }
    return unix_ms;
}

int uuid_version(struct uuid id)
{
    return id.bytes[6] >> 4;
}

static bool is_dash_place(int at)
{
    return at == 8 || at == 13 || at == 18 || at == 23;
}

void uuid_format(struct uuid id, char text[UUID_TEXT_LEN])
{
    static const char digits[] = "0123456789abcdef";
    int at = 0;
    for (int i = 0; i < 16; i++) {
        if (is_dash_place(at)) {
            text[at++] = '-';
        }
        text[at++] = digits[id.bytes[i] >> 4];
        text[at++] = digits[id.bytes[i] & 0x0f];
    }
}

static int hex_value(char digit, bool any_case)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    if (digit >= 'a' && digit <= 'f') {
        return digit - 'a' + 10;
    }
    return any_case && digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

bool uuid_parse(struct str text, bool any_case, struct uuid *id)
{
    if (text.len != UUID_TEXT_LEN) {
        return false;
    }
    struct uuid parsed;
    int byte = 0;
    for (int at = 0; at < UUID_TEXT_LEN; at += 2) {
        if (is_dash_place(at) && text.data[at++] != '-') {
            return false;
        }
        int high = hex_value(text.data[at], any_case);
        int low = hex_value(text.data[at + 1], any_case);
        if (high < 0 || low < 0) {
            return false;
        }
        parsed.bytes[byte++] = (unsigned char)(high << 4 | low);
    }
    *id = parsed;
    return true;
}

int uuid_compare(struct uuid left, struct uuid right)
{
    return memcmp(left.bytes, right.bytes, sizeof(left.bytes));
}

bool uuid_is_nil(struct uuid id)
{
    static const struct uuid nil;
    return uuid_eq(id, nil);
}
