// SPDX-License-Identifier: Apache-2.0
// Reads If-Match and If-None-Match (RFC 9110, 13.1) against documents whose tag is their version.
#include "application/command/entity_tag.h"

#include <string.h>

struct tag {
    bool weak;
    struct str opaque; // between the quotes
};

static struct str skip_blanks(struct str text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text = (struct str){text.data + 1, text.len - 1};
    }
    return text;
}

static struct str skip(struct str text, size_t count)
{
    return (struct str){text.data + count, text.len - count};
}

// Takes one entity-tag off the front.
static bool take_tag(struct str *rest, struct tag *tag)
{
    struct str text = skip_blanks(*rest);
    tag->weak = str_starts_with(text, STR("W/"));
    if (tag->weak) {
        text = skip(text, 2);
    }
    if (text.len < 2 || text.data[0] != '"') {
        return false;
    }
    text = skip(text, 1);
    const char *end = memchr(text.data, '"', text.len);
    if (end == NULL) {
        return false;
    }
    tag->opaque = (struct str){text.data, (size_t)(end - text.data)};
    *rest = skip_blanks(skip(text, tag->opaque.len + 1));
    return true;
}

// After a tag: the end, or a comma and more. Empty list elements are passed over.
static bool take_comma(struct str *rest)
{
    if (rest->len > 0 && rest->data[0] != ',') {
        return false;
    }
    while (rest->len > 0 && rest->data[0] == ',') {
        *rest = skip_blanks(skip(*rest, 1));
    }
    return true;
}

// Our tags are exactly what we write: a version without sign or leading zeros.
static bool tag_version(const struct tag *tag, int32_t *version)
{
    int64_t number;
    if (!str_to_int64(tag->opaque, &number) || number < 1 || number > INT32_MAX ||
        tag->opaque.data[0] < '1') {
        return false;
    }
    *version = (int32_t)number;
    return true;
}

bool entity_tag_read_match(struct str header, struct precondition *precondition)
{
    const size_t room = sizeof(precondition->versions) / sizeof(precondition->versions[0]);
    struct str rest = skip_blanks(header);
    struct precondition read = {.kind = PRECONDITION_NONE};
    if (str_eq(rest, STR("*"))) {
        read.kind = PRECONDITION_ANY;
        rest.len = 0;
    }
    while (rest.len > 0) {
        struct tag tag;
        int32_t version;
        if (!take_tag(&rest, &tag) || !take_comma(&rest)) {
            return false;
        }
        if (read.kind == PRECONDITION_NONE) {
            read.kind = PRECONDITION_NEVER;
        }
        if (tag.weak || !tag_version(&tag, &version)) {
            continue; // well-formed, but matches no version
        }
        if (read.count == room) {
            return false;
        }
        read.kind = PRECONDITION_VERSION;
        read.versions[read.count++] = version;
    }
    *precondition = read;
    return read.kind != PRECONDITION_NONE; // a condition that names nothing is no condition
}

bool entity_tag_none_match(struct str header, int32_t version)
{
    struct str rest = skip_blanks(header);
    if (str_eq(rest, STR("*"))) {
        return true;
    }
    bool named = false;
    while (rest.len > 0) {
        struct tag tag;
        int32_t one;
        if (!take_tag(&rest, &tag) || !take_comma(&rest)) {
            return false;
        }
        named = named || (tag_version(&tag, &one) && one == version);
    }
    return named;
}

bool precondition_allows(const struct precondition *precondition, int32_t version)
{
    switch (precondition->kind) {
    case PRECONDITION_NONE:
        return true;
    case PRECONDITION_ANY:
        return version > 0;
    case PRECONDITION_VERSION:
        for (size_t i = 0; i < precondition->count; i++) {
            if (version > 0 && precondition->versions[i] == version) {
                return true;
            }
        }
        return false;
    case PRECONDITION_NEVER:
        break;
    }
    return false;
}
