// SPDX-License-Identifier: Apache-2.0
// How a document lies in Redis, without a socket: commands to send and the reading of values. The
// edge and the projector use the same versioned script, so an older document never replaces a
// newer.
#include "infrastructure/redis/document_codec.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A value that is no document of ours (cut, foreign, of another type) counts as none and is
// replaced. Versions stay below 2^31, so Lua's doubles compare them exactly.
static const char put_script[] =
    "local head = redis.pcall('GETRANGE', KEYS[1], 0, 127)\n"
    "if type(head) == 'string' then\n"
    "  local known = string.match(head, '^(%d+) %d+ %d+ %d+ [%x-]+ [01] ')\n"
    "  if known and tonumber(known) >= tonumber(ARGV[1]) then return 0 end\n"
    "end\n"
    "redis.call('SET', KEYS[1], ARGV[2])\n"
    "return 1\n";

struct str document_redis_script(void)
{
    return (struct str){put_script, sizeof(put_script) - 1};
}

enum { SHA1_LEN = 20, SHA1_TEXT_LEN = 2 * SHA1_LEN };

static const char *script_sha1(void)
{
    static _Thread_local char text[SHA1_TEXT_LEN + 1]; // daemons have a thread a loop
    if (text[0] == '\0') {
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned int len = 0;
        if (EVP_Digest(put_script, sizeof(put_script) - 1, digest, &len, EVP_sha1(), NULL) != 1) {
            abort(); // OpenSSL without SHA-1: nothing here could work
        }
        for (size_t at = 0; at < SHA1_LEN; at++) {
            snprintf(text + 2 * at, 3, "%02x", digest[at]);
        }
    }
    return text;
}

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

enum { HEAD_NUMBERS_MAX = 96 }; // version, epoch, tx, position, uuid, listed with their spaces

static enum status make_value(const struct document *document, struct arena *arena,
                              struct str *value, size_t *version_len)
{
    size_t size = HEAD_NUMBERS_MAX + UUID_TEXT_LEN + encoded_max(document->owner) +
                  encoded_max(document->filter) + encoded_max(document->sort) + document->body.len +
                  4;
    char *text = arena_alloc(arena, size);
    if (text == NULL) {
        return STATUS_NO_MEMORY;
    }
    char *end = text + snprintf(text, HEAD_NUMBERS_MAX, "%d", document->version);
    *version_len = (size_t)(end - text);
    end += snprintf(end, HEAD_NUMBERS_MAX - *version_len, " %d %llu %lld ", document->at.epoch,
                    (unsigned long long)document->at.tx, (long long)document->at.position);
    uuid_format(document->stream, end);
    end += UUID_TEXT_LEN;
    end = write_raw(end, document->listed ? STR(" 1 ") : STR(" 0 "));
    end = write_encoded(end, document->owner);
    *end++ = ' ';
    end = write_encoded(end, document->filter);
    *end++ = ' ';
    end = write_encoded(end, document->sort);
    *end++ = '\n';
    end = write_raw(end, document->body);
    *value = (struct str){text, (size_t)(end - text)};
    return STATUS_OK;
}

static void add_arg(struct redis_command *command, struct str arg)
{
    command->argv[command->argc] = arg.data;
    command->lengths[command->argc] = arg.len;
    command->argc++;
}

// A document as Redis holds it.
struct entry {
    struct str key;
    struct str value;
    size_t version_len; // the value begins with its version
};

static enum status make_entry(const struct document *document, struct arena *arena,
                              struct entry *entry)
{
    if (document->version <= 0 || document->body.len > DOCUMENT_BYTES_MAX ||
        document->at.epoch < 0 || document->at.position < 0) {
        return STATUS_INVALID;
    }
    if (make_key(document->tenant, document->collection, document->key, arena, &entry->key) !=
            STATUS_OK ||
        make_value(document, arena, &entry->value, &entry->version_len) != STATUS_OK) {
        return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

enum status document_redis_put(const struct document *document, struct arena *arena,
                               struct redis_command *command)
{
    struct entry entry;
    enum status status = make_entry(document, arena, &entry);
    if (status != STATUS_OK) {
        return status;
    }
    struct redis_command made = {0};
    add_arg(&made, STR("EVALSHA"));
    add_arg(&made, (struct str){script_sha1(), SHA1_TEXT_LEN});
    add_arg(&made, STR("1"));
    add_arg(&made, entry.key);
    add_arg(&made, (struct str){entry.value.data, entry.version_len});
    add_arg(&made, entry.value);
    *command = made;
    return STATUS_OK;
}

enum status document_redis_add(const struct document *document, struct arena *arena,
                               struct redis_command *command)
{
    struct entry entry;
    enum status status = make_entry(document, arena, &entry);
    if (status != STATUS_OK) {
        return status;
    }
    struct redis_command made = {0};
    add_arg(&made, STR("SET"));
    add_arg(&made, entry.key);
    add_arg(&made, entry.value);
    add_arg(&made, STR("NX"));
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
    add_arg(&made, STR("GET"));
    add_arg(&made, key);
    *command = made;
    return STATUS_OK;
}

enum status document_redis_pattern(struct str tenant, struct str collection, struct arena *arena,
                                   struct str *pattern)
{
    // The encoding leaves no glob character in a name but the '*' added here.
    struct str made;
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

static bool read_numbers(struct str *rest, struct document *document)
{
    int64_t version, epoch, tx, position;
    struct str stream, listed;
    if (!next_number(rest, 1, INT32_MAX, &version) || !next_number(rest, 0, INT32_MAX, &epoch) ||
        !next_number(rest, 0, INT64_MAX, &tx) || !next_number(rest, 0, INT64_MAX, &position) ||
        !str_split(*rest, ' ', &stream, rest) || !uuid_parse(stream, false, &document->stream) ||
        !str_split(*rest, ' ', &listed, rest) || listed.len != 1 ||
        (listed.data[0] != '0' && listed.data[0] != '1')) {
        return false;
    }
    document->version = (int32_t)version;
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

enum status document_redis_read(struct str value, const struct document_id *id, struct arena *arena,
                                struct document *document)
{
    struct str head, body;
    struct document made = {.tenant = id->tenant, .collection = id->collection, .key = id->key};
    if (!str_split(value, '\n', &head, &body) || body.len == 0 || body.len > DOCUMENT_BYTES_MAX ||
        !read_numbers(&head, &made)) {
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
