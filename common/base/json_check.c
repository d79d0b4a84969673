// SPDX-License-Identifier: Apache-2.0
// The strict I-JSON pass of json.h: a table says what each byte of a string needs, so that plain
// text costs one look a byte; names of open objects lie on one stack.
#include "base/json.h"

#include <string.h>

#include "base/json_number.h"

// What a byte inside a string is.
enum byte_class { PLAIN, QUOTE, BACKSLASH, CONTROL, LEAD_2, LEAD_3, LEAD_4, STRAY };

// clang-format off
#define ROW(x) x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x
static const unsigned char classes[256] = {
    ROW(CONTROL), ROW(CONTROL),
    PLAIN, PLAIN, QUOTE, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN,
    PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN,
    ROW(PLAIN), ROW(PLAIN),
    PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN,
    PLAIN, PLAIN, PLAIN, PLAIN, BACKSLASH, PLAIN, PLAIN, PLAIN,
    ROW(PLAIN), ROW(PLAIN),
    ROW(STRAY), ROW(STRAY), ROW(STRAY), ROW(STRAY),
    STRAY, STRAY, LEAD_2, LEAD_2, LEAD_2, LEAD_2, LEAD_2, LEAD_2, // C0, C1 are always overlong
    LEAD_2, LEAD_2, LEAD_2, LEAD_2, LEAD_2, LEAD_2, LEAD_2, LEAD_2,
    ROW(LEAD_2), ROW(LEAD_3),
    LEAD_4, LEAD_4, LEAD_4, LEAD_4, LEAD_4, STRAY, STRAY, STRAY,  // F5 and up: past U+10FFFF
    STRAY, STRAY, STRAY, STRAY, STRAY, STRAY, STRAY, STRAY,
};
#undef ROW
// clang-format on

// A member's name of an object that is still open: its raw bytes between the quotes.
struct name {
    uint32_t at;
    uint32_t len;
    uint32_t hash; // of the unescaped name
    bool escaped;
};

enum { SEEN_WORDS = 8 };

// What is open around the place where we are.
struct frame {
    bool is_object;
    uint16_t members;
    uint64_t seen[SEEN_WORDS]; // a bit a hash: a name whose bit is clear is new without comparing
};

enum { NAMES_MAX = JSON_DEPTH_MAX * JSON_MEMBERS_MAX };

struct checker {
    const unsigned char *start;
    const unsigned char *at;
    const unsigned char *end;
    size_t depth;
    size_t name_count;
    struct frame frames[JSON_DEPTH_MAX];
    struct name names[NAMES_MAX]; // never cleared: only the used part is touched
};

static void skip_space(struct checker *checker)
{
    while (checker->at < checker->end && (*checker->at == ' ' || *checker->at == '\n' ||
                                          *checker->at == '\r' || *checker->at == '\t')) {
        checker->at++;
    }
}

static int hex_digit(unsigned char byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

// The four digits of \uXXXX; -1: too few bytes or no digits.
static int32_t hex_unit(const unsigned char *at, const unsigned char *end)
{
    if (end - at < 4) {
        return -1;
    }
    int32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0) {
            return -1;
        }
        unit = unit << 4 | digit;
    }
    return unit;
}

// RFC 7493 2.1 forbids them beside the surrogates.
static bool is_noncharacter(uint32_t point)
{
    return (point & 0xfffe) == 0xfffe || (point >= 0xfdd0 && point <= 0xfdef);
}

// Reads the escape after a backslash at *at, moves past it; the code point, or -1.
static int32_t read_escape(const unsigned char **at, const unsigned char *end)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    if (*at == end) {
        return -1;
    }
    unsigned char letter = *(*at)++;
    if (letter != 'u') {
        const char *found = letter == 0 ? NULL : strchr(letters, letter);
        return found == NULL ? -1 : meanings[found - letters];
    }
    int32_t unit = hex_unit(*at, end);
    if (unit <= 0 || (unit >= 0xdc00 && unit <= 0xdfff)) {
        return -1;
    }
    *at += 4;
    if (unit < 0xd800 || unit > 0xdbff) {
        return is_noncharacter((uint32_t)unit) ? -1 : unit;
    }
    if (end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u') {
        return -1;
    }
    int32_t low = hex_unit(*at + 2, end);
    if (low < 0xdc00 || low > 0xdfff) {
        return -1;
    }
    *at += 6;
    int32_t point = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    return is_noncharacter((uint32_t)point) ? -1 : point;
}

// Moves past one character of two to four bytes whose lead byte is at *at.
static bool skip_multibyte(struct checker *checker, enum byte_class lead)
{
    const unsigned char *at = checker->at;
    int len = lead == LEAD_2 ? 2 : lead == LEAD_3 ? 3 : 4;
    if (checker->end - at < len) {
        return false;
    }
    uint32_t point = at[0] & (0xff >> (len + 1));
    for (int i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return false;
        }
        point = point << 6 | (at[i] & 0x3f);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < least[len] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff) ||
        is_noncharacter(point)) {
        return false;
    }
    checker->at += len;
    return true;
}

// A whole string; at stands on its opening quote. *escaped: there is a backslash in it.
static enum json_fault check_string(struct checker *checker, bool *escaped)
{
    *escaped = false;
    checker->at++;
    for (;;) {
        while (checker->at < checker->end && classes[*checker->at] == PLAIN) {
            checker->at++;
        }
        if (checker->at == checker->end) {
            return JSON_SYNTAX;
        }
        enum byte_class found = classes[*checker->at];
        if (found == QUOTE) {
            checker->at++;
            return JSON_OK;
        }
        if (found == CONTROL) {
            return JSON_CONTROL_CHAR;
        }
        if (found == BACKSLASH) {
            const unsigned char *after = checker->at + 1;
            *escaped = true;
            if (read_escape(&after, checker->end) < 0) {
                return JSON_BAD_ESCAPE;
            }
            checker->at = after;
        } else if (found == STRAY || !skip_multibyte(checker, found)) {
            return JSON_BAD_UTF8;
        }
    }
}

static enum json_fault check_literal(struct checker *checker)
{
    static const struct str literals[] = {{"true", 4}, {"false", 5}, {"null", 4}};
    size_t left = (size_t)(checker->end - checker->at);
    for (size_t i = 0; i < 3; i++) {
        if (left >= literals[i].len &&
            memcmp(checker->at, literals[i].data, literals[i].len) == 0) {
            checker->at += literals[i].len;
            return JSON_OK;
        }
    }
    return JSON_SYNTAX;
}

// The next character of a checked name, unescaped.
static uint32_t next_point(const unsigned char **at, const unsigned char *end)
{
    if (**at != '\\') {
        return *(*at)++; // bytes of one character stay together, so bytes will do
    }
    (*at)++;
    return (uint32_t)read_escape(at, end);
}

// UTF-8 of a code point, as the unescaped name would hold it.
static size_t utf8_bytes(uint32_t point, unsigned char bytes[4])
{
    if (point < 0x80) {
        bytes[0] = (unsigned char)point;
        return 1;
    }
    size_t len = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--) {
        bytes[i] = (unsigned char)(0x80 | (point & 0x3f));
        point >>= 6;
    }
    bytes[0] = (unsigned char)((0xf00 >> len) | point);
    return len;
}

// Gives the unescaped bytes of a name one by one.
struct name_reader {
    const unsigned char *at;
    const unsigned char *end;
    unsigned char pending[4];
    size_t pending_at;
    size_t pending_len;
};

static struct name_reader read_name(const struct checker *checker, const struct name *name)
{
    const unsigned char *first = checker->start + name->at;
    return (struct name_reader){.at = first, .end = first + name->len};
}

// -1 at the end.
static int next_byte(struct name_reader *reader)
{
    if (reader->pending_at < reader->pending_len) {
        return reader->pending[reader->pending_at++];
    }
    if (reader->at == reader->end) {
        return -1;
    }
    if (*reader->at != '\\') {
        return *reader->at++;
    }
    reader->pending_len = utf8_bytes(next_point(&reader->at, reader->end), reader->pending);
    reader->pending_at = 1;
    return reader->pending[0];
}

static uint32_t hash_name(const struct checker *checker, const struct name *name)
{
    uint32_t hash = 2166136261u;
    if (!name->escaped) {
        for (size_t i = 0; i < name->len; i++) {
            hash = (hash ^ checker->start[name->at + i]) * 16777619u;
        }
        return hash;
    }
    struct name_reader reader = read_name(checker, name);
    for (int byte = next_byte(&reader); byte >= 0; byte = next_byte(&reader)) {
        hash = (hash ^ (uint32_t)byte) * 16777619u;
    }
    return hash;
}

static bool names_equal(const struct checker *checker, const struct name *left,
                        const struct name *right)
{
    if (left->hash != right->hash) {
        return false;
    }
    if (!left->escaped && !right->escaped) {
        return left->len == right->len &&
               memcmp(checker->start + left->at, checker->start + right->at, left->len) == 0;
    }
    struct name_reader a = read_name(checker, left);
    struct name_reader b = read_name(checker, right);
    for (;;) {
        int byte = next_byte(&a);
        if (byte != next_byte(&b)) {
            return false;
        }
        if (byte < 0) {
            return true;
        }
    }
}

// Remembers the name of a member and says whether the object has it already.
static enum json_fault take_name(struct checker *checker, struct name name)
{
    struct frame *frame = &checker->frames[checker->depth - 1];
    if (frame->members == JSON_MEMBERS_MAX) {
        return JSON_TOO_MANY_MEMBERS;
    }
    name.hash = hash_name(checker, &name);
    uint32_t mixed = name.hash ^ name.hash >> 16;
    uint64_t *word = &frame->seen[mixed >> 6 & (SEEN_WORDS - 1)];
    uint64_t bit = UINT64_C(1) << (mixed & 63);
    const struct name *first = checker->names + checker->name_count - frame->members;
    for (size_t i = 0; (*word & bit) != 0 && i < frame->members; i++) {
        if (names_equal(checker, &first[i], &name)) {
            return JSON_DUPLICATE_MEMBER;
        }
    }
    *word |= bit;
    frame->members++;
    checker->names[checker->name_count++] = name;
    return JSON_OK;
}

// A member's name and the colon; at stands where the name should begin.
static enum json_fault check_name(struct checker *checker)
{
    skip_space(checker);
    if (checker->at == checker->end || *checker->at != '"') {
        return JSON_SYNTAX;
    }
    const unsigned char *quote = checker->at;
    struct name name = {.at = (uint32_t)(quote + 1 - checker->start)};
    enum json_fault fault = check_string(checker, &name.escaped);
    if (fault != JSON_OK) {
        return fault;
    }
    name.len = (uint32_t)(checker->at - quote - 2);
    fault = take_name(checker, name);
    if (fault != JSON_OK) {
        checker->at = quote;
        return fault;
    }
    skip_space(checker);
    if (checker->at == checker->end || *checker->at != ':') {
        return JSON_SYNTAX;
    }
    checker->at++;
    return JSON_OK;
}

static void leave(struct checker *checker)
{
    checker->at++;
    checker->name_count -= checker->frames[--checker->depth].members;
}

// Enters an object or array; an empty one is left at once (*closed).
static enum json_fault enter(struct checker *checker, bool *closed)
{
    if (checker->depth == JSON_DEPTH_MAX) {
        return JSON_TOO_DEEP;
    }
    bool is_object = *checker->at++ == '{';
    checker->frames[checker->depth++] = (struct frame){.is_object = is_object};
    skip_space(checker);
    *closed = checker->at < checker->end && *checker->at == (is_object ? '}' : ']');
    if (*closed) {
        leave(checker);
        return JSON_OK;
    }
    return is_object ? check_name(checker) : JSON_OK;
}

// What follows a whole value: a comma and the next one, or the ends of what is open.
static enum json_fault after_value(struct checker *checker)
{
    while (checker->depth > 0) {
        skip_space(checker);
        if (checker->at == checker->end) {
            return JSON_SYNTAX;
        }
        bool is_object = checker->frames[checker->depth - 1].is_object;
        if (*checker->at == ',') {
            checker->at++;
            return is_object ? check_name(checker) : JSON_OK;
        }
        if (*checker->at != (is_object ? '}' : ']')) {
            return JSON_SYNTAX;
        }
        leave(checker);
    }
    return JSON_OK;
}

// One value, or the beginning of one that has parts (*open).
static enum json_fault check_value(struct checker *checker, bool *open)
{
    skip_space(checker);
    *open = false;
    if (checker->at == checker->end) {
        return JSON_SYNTAX;
    }
    bool escaped, closed;
    switch (*checker->at) {
    case '{':
    case '[': {
        enum json_fault fault = enter(checker, &closed);
        *open = !closed;
        return fault;
    }
    case '"':
        return check_string(checker, &escaped);
    case '-':
    case '0' ... '9':
        return json_check_number(&checker->at, checker->end);
    default:
        return check_literal(checker);
    }
}

static enum json_fault check_text(struct checker *checker)
{
    skip_space(checker);
    if (checker->at == checker->end) {
        return JSON_EMPTY;
    }
    do {
        bool open;
        enum json_fault fault = check_value(checker, &open);
        if (fault == JSON_OK && !open) {
            fault = after_value(checker);
        }
        if (fault != JSON_OK) {
            return fault;
        }
    } while (checker->depth > 0);
    skip_space(checker);
    return checker->at == checker->end ? JSON_OK : JSON_TRAILING_BYTES;
}

enum json_fault json_check(struct str text, size_t *offset)
{
    struct checker checker;
    checker.start = (const unsigned char *)(text.len == 0 ? "" : text.data);
    checker.at = checker.start;
    checker.end = checker.start + text.len;
    checker.depth = 0;
    checker.name_count = 0;
    enum json_fault fault = text.len > UINT32_MAX ? JSON_SYNTAX : check_text(&checker);
    *offset = (size_t)(checker.at - checker.start);
    return fault;
}

const char *json_fault_text(enum json_fault fault)
{
    switch (fault) {
    case JSON_OK:
        return "this is I-JSON";
    case JSON_EMPTY:
        return "there is no JSON value";
    case JSON_SYNTAX:
        return "this is not JSON";
    case JSON_TRAILING_BYTES:
        return "something follows the JSON value";
    case JSON_BAD_UTF8:
        return "the text is not valid UTF-8";
    case JSON_BAD_ESCAPE:
        return "a string has an escape that is unknown, a lone surrogate or U+0000";
    case JSON_CONTROL_CHAR:
        return "a string has a control character that is not escaped";
    case JSON_DUPLICATE_MEMBER:
        return "an object has the same member twice";
    case JSON_TOO_DEEP:
        return "objects and arrays are nested more than 32 deep";
    case JSON_TOO_MANY_MEMBERS:
        return "an object has more than 256 members";
    case JSON_NUMBER_RANGE:
        return "a number is outside what every reader understands alike (2^53 - 1)";
    }
    return "this is not JSON";
}
