// SPDX-License-Identifier: Apache-2.0
// How a document lies in Redis, without a socket: commands to send and the reading of values. The
// edge and the projector use the same versioned script, so an older document never replaces a
// newer.
#include "infrastructure/redis/document_codec.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

// Letters, digits and "-._~" stay as they are; everything else becomes %XX, so that separators of
// keys and header lines never come from a value.
static bool is_plain(unsigned char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z') || byte == '-' || byte == '.' || byte == '_' || byte == '~';
}

static char *write_encoded(char *to, struct str text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t at = 0; at < text.len; at++) {
        unsigned char byte = (unsigned char)text.data[at];
        if (is_plain(byte)) {
            *to++ = (char)byte;
        } else {
            *to++ = '%';
            *to++ = hex[byte >> 4];
            *to++ = hex[byte & 15];
        }
    }
    return to;
}

static char *write_raw(char *to, struct str text)
{
    if (text.len > 0) {
        memcpy(to, text.data, text.len);
    }
    return to + text.len;
}

static size_t encoded_max(struct str text)
{
    return 3 * text.len;
}

static enum status make_key(struct str tenant, struct str collection, struct str key,
                            struct arena *arena, struct str *made)
{
    struct str prefix = document_redis_prefix();
    size_t size = prefix.len + encoded_max(tenant) + encoded_max(collection) + encoded_max(key) + 3;
    char *text = arena_alloc(arena, size);
    if (text == NULL) {
        return STATUS_NO_MEMORY;
    }
    char *end = write_raw(text, prefix);
    end = write_encoded(end, tenant);
    *end++ = ':';
    end = write_encoded(end, collection);
    *end++ = ':';
    end = write_encoded(end, key);
    *made = (struct str){text, (size_t)(end - text)};
    return STATUS_OK;
}

struct str document_redis_prefix(void)
{
    return STR("comanda:doc:");
}

// A document as Redis holds it: generation, version and the length of the rest, then the rest.
struct entry {
    struct str key;
    struct str value;
    struct str version; // within the value
};

enum {
    HEAD_MAX = REDIS_GENERATION_LEN + 24, // generation, version and length with their spaces
    NUMBERS_MAX = 80,                     // epoch, tx and position with theirs
};

static char *write_rest(char *to, const struct document *document)
{
    to += snprintf(to, NUMBERS_MAX, "%d %llu %lld ", document->at.epoch,
                   (unsigned long long)document->at.tx, (long long)document->at.position);
    uuid_format(document->stream, to);
    to += UUID_TEXT_LEN;
    to = write_raw(to, document->listed ? STR(" 1 ") : STR(" 0 "));
    to = write_encoded(to, document->owner);
    *to++ = ' ';
    to = write_encoded(to, document->filter);
    *to++ = ' ';
    to = write_encoded(to, document->sort);
    *to++ = '\n';
    return write_raw(to, document->body);
}

static enum status make_value(const struct document *document, struct str generation,
                              struct arena *arena, struct entry *entry)
{
    size_t size = HEAD_MAX + NUMBERS_MAX + UUID_TEXT_LEN + encoded_max(document->owner) +
                  encoded_max(document->filter) + encoded_max(document->sort) + document->body.len +
                  6;
    char *text = arena_alloc(arena, size);
    if (text == NULL) {
        return STATUS_NO_MEMORY;
    }
    // The length stands before what it measures: the head goes right up to the rest, once that is
    // written.
    char *rest = text + HEAD_MAX;
    size_t rest_len = (size_t)(write_rest(rest, document) - rest);
    char head[HEAD_MAX];
    size_t head_len = (size_t)snprintf(head, sizeof(head), "%.*s %d %zu ", STR_FMT(generation),
                                       document->version, rest_len);
    entry->value = (struct str){rest - head_len, head_len + rest_len};
    memcpy(rest - head_len, head, head_len);
    entry->version.data = entry->value.data + REDIS_GENERATION_LEN + 1;
    entry->version.len = strcspn(entry->version.data, " ");
    return STATUS_OK;
}

static enum status make_entry(const struct document *document, struct str generation,
                              struct arena *arena, struct entry *entry)
{
    if (document->version <= 0 || document->body.len > DOCUMENT_BYTES_MAX ||
        document->at.epoch < 0 || document->at.position < 0 ||
        generation.len != REDIS_GENERATION_LEN) {
        return STATUS_INVALID;
    }
    if (make_key(document->tenant, document->collection, document->key, arena, &entry->key) !=
            STATUS_OK ||
        make_value(document, generation, arena, entry) != STATUS_OK) {
        return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

enum status document_redis_put(const struct document *document, struct str generation,
                               struct arena *arena, struct redis_command *command)
{
    struct entry entry;
    enum status status = make_entry(document, generation, arena, &entry);
    if (status != STATUS_OK) {
        return status;
    }
    struct redis_command made = {0};
    redis_command_add(&made, STR("EVALSHA"));
    redis_command_add(&made, redis_script_sha1(REDIS_SCRIPT_PUT));
    redis_command_add(&made, STR("1"));
    redis_command_add(&made, entry.key);
    redis_command_add(&made, generation);
    redis_command_add(&made, entry.version);
    redis_command_add(&made, entry.value);
    *command = made;
    return STATUS_OK;
}

struct str document_redis_key(const struct redis_command *put)
{
    return (struct str){put->argv[3], put->lengths[3]};
}

enum status document_redis_add(const struct document *document, struct str generation,
                               struct arena *arena, struct redis_command *command)
{
    struct entry entry;
    enum status status = make_entry(document, generation, arena, &entry);
    if (status != STATUS_OK) {
        return status;
    }
    struct redis_command made = {0};
    redis_command_add(&made, STR("SET"));
    redis_command_add(&made, entry.key);
    redis_command_add(&made, entry.value);
    redis_command_add(&made, STR("NX"));
    *command = made;
    return STATUS_OK;
}

enum status document_redis_get(const struct document_id *id, struct arena *arena,
                               struct redis_command *command)
{
    struct str key;
    if (make_key(id->tenant, id->collection, id->key, arena, &key) != STATUS_OK) {
        return STATUS_NO_MEMORY;
    }
    struct redis_command made = {0};
    redis_command_add(&made, STR("GET"));
    redis_command_add(&made, key);
    *command = made;
    return STATUS_OK;
}

enum status document_redis_pattern(struct str tenant, struct str collection, struct arena *arena,
                                   struct str *pattern)
{
    // The encoding leaves no glob character in a name but those added here. No document's tenant is
    // empty: the generation's mark is none.
    struct str made;
    if (str_is_empty(tenant)) {
        *pattern = STR("comanda:doc:[^:]*");
        return STATUS_OK;
    }
    if (make_key(tenant, collection, (struct str){"", 0}, arena, &made) != STATUS_OK) {
        return STATUS_NO_MEMORY;
    }
    if (str_is_empty(collection)) {
        made.len--; // "comanda:doc:main::" → "comanda:doc:main:"
    }
    *pattern = arena_printf(arena, "%.*s*", STR_FMT(made));
    return pattern->data == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

// A view of the text itself where nothing was encoded: the usual case costs no memory.
static enum status read_encoded(struct str text, struct arena *arena, struct str *plain)
{
    if (text.len == 0 || memchr(text.data, '%', text.len) == NULL) {
        *plain = text;
        return STATUS_OK;
    }
    char *to = arena_alloc(arena, text.len);
    if (to == NULL) {
        return STATUS_NO_MEMORY;
    }
    size_t len = 0;
    for (size_t at = 0; at < text.len; at++) {
        if (text.data[at] != '%') {
            to[len++] = text.data[at];
            continue;
        }
        int high = at + 2 < text.len ? hex_digit(text.data[at + 1]) : -1;
        int low = at + 2 < text.len ? hex_digit(text.data[at + 2]) : -1;
        if (high < 0 || low < 0) {
            return STATUS_MALFORMED;
        }
        to[len++] = (char)(high << 4 | low);
        at += 2;
    }
    *plain = (struct str){to, len};
    return STATUS_OK;
}

static bool next_number(struct str *rest, int64_t low, int64_t high, int64_t *number)
{
    struct str word;
    return str_split(*rest, ' ', &word, rest) && str_to_int64(word, number) && *number >= low &&
           *number <= high;
}

// The generation is the asked one, and all is there that was written.
static bool read_head(struct str *rest, struct str generation, struct document *document)
{
    int64_t version;
    int64_t length;
    struct str written;
    if (generation.len != REDIS_GENERATION_LEN || !str_split(*rest, ' ', &written, rest) ||
        !str_eq(written, generation) || !next_number(rest, 1, INT32_MAX, &version) ||
        !next_number(rest, 1, INT32_MAX, &length) || (size_t)length != rest->len) {
        return false;
    }
    document->version = (int32_t)version;
    return true;
}

static bool read_numbers(struct str *rest, struct document *document)
{
    int64_t epoch, tx, position;
    struct str stream, listed;
    if (!next_number(rest, 0, INT32_MAX, &epoch) || !next_number(rest, 0, INT64_MAX, &tx) ||
        !next_number(rest, 0, INT64_MAX, &position) || !str_split(*rest, ' ', &stream, rest) ||
        !uuid_parse(stream, false, &document->stream) || !str_split(*rest, ' ', &listed, rest) ||
        listed.len != 1 || (listed.data[0] != '0' && listed.data[0] != '1')) {
        return false;
    }
    document->at = (struct log_cursor){(int32_t)epoch, (uint64_t)tx, position};
    document->listed = listed.data[0] == '1';
    return true;
}

static enum status read_names(struct str rest, struct arena *arena, struct document *document)
{
    struct str owner, filter;
    if (!str_split(rest, ' ', &owner, &rest) || !str_split(rest, ' ', &filter, &rest) ||
        (rest.len > 0 && memchr(rest.data, ' ', rest.len) != NULL)) {
        return STATUS_MALFORMED;
    }
    enum status status = read_encoded(owner, arena, &document->owner);
    if (status == STATUS_OK) {
        status = read_encoded(filter, arena, &document->filter);
    }
    return status == STATUS_OK ? read_encoded(rest, arena, &document->sort) : status;
}

enum status document_redis_read(struct str value, struct str generation,
                                const struct document_id *id, struct arena *arena,
                                struct document *document)
{
    struct str head, body;
    struct document made = {.tenant = id->tenant, .collection = id->collection, .key = id->key};
    if (!read_head(&value, generation, &made) || !str_split(value, '\n', &head, &body) ||
        body.len == 0 || body.len > DOCUMENT_BYTES_MAX || !read_numbers(&head, &made)) {
        return STATUS_MALFORMED;
    }
    enum status status = read_names(head, arena, &made);
    if (status != STATUS_OK) {
        return status;
    }
    made.body = body;
    *document = made;
    return STATUS_OK;
}
