// SPDX-License-Identifier: Apache-2.0
// Our JSON against an independent reader, cJSON: what both accept they read alike, and what we
// write it reads as it was meant.
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/json_tree.h"
#include "base/json_view.h"

static struct arena arena;

static void begin(void)
{
    arena_init(&arena, 4096, 1024 * 1024);
}

static void end(void)
{
    arena_free(&arena);
}

static void assert_alike(const struct json_value *ours, const cJSON *theirs, struct str text);

static void assert_text(struct str ours, const char *theirs, struct str text)
{
    cr_assert(theirs != NULL && str_eq(ours, str_from(theirs)), "\"%.*s\" in %.*s", STR_FMT(ours),
              STR_FMT(text));
}

static void assert_number(const struct json_value *ours, const cJSON *theirs, struct str text)
{
    double number = strtod(arena_printf(&arena, "%.*s", STR_FMT(ours->text)).data, NULL);
    cr_assert(cJSON_IsNumber(theirs) && number == theirs->valuedouble, "%.*s", STR_FMT(text));
    cr_assert(ours->kind != JSON_INTEGER || (double)ours->integer == theirs->valuedouble);
}

static void assert_parts(const struct json_value *ours, const cJSON *theirs, struct str text)
{
    cr_assert(ours->kind == JSON_OBJECT ? cJSON_IsObject(theirs) : cJSON_IsArray(theirs), "%.*s",
              STR_FMT(text));
    cr_assert_eq(ours->count, (size_t)cJSON_GetArraySize(theirs), "%.*s", STR_FMT(text));
    const cJSON *their_part = theirs->child;
    for (const struct json_value *part = ours->first; part != NULL; part = part->next) {
        if (ours->kind == JSON_OBJECT) {
            assert_text(part->name, their_part->string, text);
            cr_assert_eq(json_member(ours, part->name), part);
        }
        assert_alike(part, their_part, text);
        their_part = their_part->next;
    }
}

static void assert_alike(const struct json_value *ours, const cJSON *theirs, struct str text)
{
    switch (ours->kind) {
    case JSON_NULL:
        cr_assert(cJSON_IsNull(theirs), "%.*s", STR_FMT(text));
        break;
    case JSON_BOOL:
        cr_assert(ours->boolean ? cJSON_IsTrue(theirs) : cJSON_IsFalse(theirs), "%.*s",
                  STR_FMT(text));
        break;
    case JSON_INTEGER:
    case JSON_NUMBER:
        assert_number(ours, theirs, text);
        break;
    case JSON_STRING:
        cr_assert(cJSON_IsString(theirs), "%.*s", STR_FMT(text));
        assert_text(ours->text, theirs->valuestring, text);
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        assert_parts(ours, theirs, text);
        break;
    }
}

// The views find what the tree finds, as raw bytes.
static void assert_viewed(const struct json_value *tree, struct str text)
{
    struct json_walk walk;
    struct str name, value, unescaped;
    if (!json_view_begin(text, &walk)) {
        cr_assert(tree->kind != JSON_OBJECT && tree->kind != JSON_ARRAY, "%.*s", STR_FMT(text));
        return;
    }
    const struct json_value *part = tree->first;
    for (; json_view_next(&walk, &name, &value); part = part->next) {
        cr_assert_not_null(part, "%.*s", STR_FMT(text));
        if (part->kind == JSON_STRING) {
            cr_assert(json_view_string(value, &arena, &unescaped) && str_eq(unescaped, part->text),
                      "%.*s", STR_FMT(text));
        }
        assert_viewed(part, value);
    }
    cr_assert_null(part, "%.*s", STR_FMT(text));
}

// True: both accept the text, and then they read it alike. What the check passes, cJSON must too.
static bool judge(struct str text)
{
    size_t offset;
    bool passed = json_check(text, &offset) == JSON_OK;
    if (!passed) {
        return false;
    }
    const struct json_value *ours = NULL;
    const char *end = NULL;
    cJSON *theirs = cJSON_ParseWithLengthOpts(text.data, text.len, &end, false);
    cr_assert_not_null(theirs, "we accept and cJSON does not: %.*s", STR_FMT(text));
    cr_assert_eq(json_read(text, &arena, &ours), STATUS_OK, "%.*s", STR_FMT(text));
    assert_alike(ours, theirs, text);
    assert_viewed(ours, text);
    cJSON_Delete(theirs);
    return true;
}

TestSuite(json_judge, .init = begin, .fini = end);

Test(json_judge, given_a_corpus_then_cjson_reads_it_as_we_do)
{
    static const char *const corpus[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "7",
        "-9007199254740991",
        "9007199254740991",
        "0.1",
        "1.50e+3",
        "-1E-7",
        "1e300",
        "2.2250738585072014e-308",
        "\"\"",
        "\"a\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0001\\u007f\\u00e9\\u20ac\\uFFFD\"",
        "\"\\ud83d\\ude00 \\uD83D\\uDE00\"",
        "\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"",
        "[]",
        "[ ]",
        "{}",
        "{ }",
        " [ 1 , [ 2 ] , { \"a\" : [ ] } ] ",
        "{\"\":0}",
        "{\"s\\u0075b\":\"ana\",\"A\":1,\"a\":2}",
        "{\"a\":{\"a\":{\"a\":null}},\"b\":[[],[[]]]}",
        "{\"currency\":\"BRL\",\"lines\":[{\"sku\":\"SKU-1\",\"quantity\":2}],\"x\":false}",
        "\n{\r\"k\"\t: \"v\" }\n"};
    for (size_t i = 0; i < sizeof(corpus) / sizeof(corpus[0]); i++) {
        cr_assert(judge(str_from(corpus[i])), "%s", corpus[i]);
    }
}

Test(json_judge, given_random_texts_then_what_both_accept_is_read_alike)
{
    static const char *const words[] = {
        "{", "}",           "[",        "]",           ",",
        ":", "\"a\"",       "\"b\\n\"", "\"\\u0061\"", "\"\\ud83d\\ude00\"",
        "1", "-2.5e3",      "0",        "true",        "null",
        " ", "\"\xc3\xa9\""};
    size_t accepted = 0;
    srand(7);
    for (int round = 0; round < 100000; round++) {
        struct buffer text;
        buffer_init(&text, &arena, 256);
        for (int left = 1 + rand() % 9; left > 0; left--) {
            buffer_add(&text, str_from(words[(size_t)rand() % (sizeof(words) / sizeof(words[0]))]));
        }
        accepted += judge(buffer_view(&text));
        arena_reset(&arena);
    }
    cr_assert_gt(accepted, 1000, "%zu", accepted);
}

static void write_every_character(struct json_writer *writer, char text[0x80])
{
    for (int byte = 1; byte < 0x80; byte++) {
        text[byte - 1] = (char)byte;
    }
    text[0x7f] = '\0';
    json_object_begin(writer);
    json_name(writer, str_from(text));
    json_string(writer, str_from(text));
    json_name(writer, STR("caf\xc3\xa9 \xf0\x9f\x98\x80"));
    json_array_begin(writer);
    json_int(writer, JSON_INTEGER_MAX);
    json_int(writer, -JSON_INTEGER_MAX);
    json_bool(writer, true);
    json_null(writer);
    json_instant(writer, 1500);
    json_array_end(writer);
    json_object_end(writer);
}

Test(json_judge, given_what_we_write_then_cjson_reads_what_was_meant)
{
    struct buffer out;
    struct json_writer writer;
    char text[0x80];
    buffer_init(&out, &arena, 4096);
    json_writer_init(&writer, &out);
    write_every_character(&writer, text);
    cr_assert_eq(out.status, STATUS_OK);
    cr_assert(judge(buffer_view(&out)));
    cJSON *read = cJSON_ParseWithLength(out.data, out.len);
    cr_assert_str_eq(cJSON_GetObjectItemCaseSensitive(read, text)->valuestring, text);
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(read, "caf\xc3\xa9 \xf0\x9f\x98\x80");
    cr_assert_eq(cJSON_GetArrayItem(list, 0)->valuedouble, (double)JSON_INTEGER_MAX);
    cr_assert_eq(cJSON_GetArrayItem(list, 1)->valuedouble, -(double)JSON_INTEGER_MAX);
    cr_assert_str_eq(cJSON_GetArrayItem(list, 4)->valuestring, "1970-01-01T00:00:00.001Z");
    cJSON_Delete(read);
}
