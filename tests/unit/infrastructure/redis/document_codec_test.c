// SPDX-License-Identifier: Apache-2.0
// How a document lies in Redis: what is written is read back, and what is broken is a miss.
#include "infrastructure/redis/document_codec.h"

#include <criterion/criterion.h>
#include <string.h>

static struct arena arena;

static void set_up(void)
{
    arena_init(&arena, 4096, 4 * 1024 * 1024);
}

static void tear_down(void)
{
    arena_free(&arena);
}

TestSuite(document_codec, .init = set_up, .fini = tear_down);

static const struct document_id order_id = {{"main", 4}, {"orders", 6}, {"0193", 4}};

#define GENERATION STR("0123456789abcdef")

static struct document an_order(void)
{
    return (struct document){
        .tenant = order_id.tenant,
        .collection = order_id.collection,
        .key = order_id.key,
        .stream = {{0x01, 0x93, 0xab}},
        .version = 7,
        .at = {.epoch = 1, .tx = 1234567890123, .position = 42},
        .owner = STR("ana@example.com"),
        .filter = STR("placed"),
        .sort = STR("0193"),
        .listed = true,
        .body = STR("{\"id\":\"0193\",\"note\":\"two lines\\n\"}"),
    };
}

static struct str value_of(struct redis_command command)
{
    return (struct str){command.argv[6], command.lengths[6]};
}

static struct str put_value(struct document document)
{
    struct redis_command command;
    cr_assert_eq(document_redis_put(&document, GENERATION, &arena, &command), STATUS_OK);
    return value_of(command);
}

static enum status read_value(struct str value, struct document *document)
{
    return document_redis_read(value, GENERATION, &order_id, &arena, document);
}

Test(document_codec, given_a_document_when_put_and_read_then_it_is_the_same)
{
    struct document order = an_order();
    struct document read;
    cr_assert_eq(read_value(put_value(order), &read), STATUS_OK);
    cr_assert_eq(read.version, 7);
    cr_assert(uuid_eq(read.stream, order.stream));
    cr_assert_eq(read.at.epoch, 1);
    cr_assert_eq(read.at.tx, 1234567890123u);
    cr_assert_eq(read.at.position, 42);
    cr_assert(read.listed);
    cr_assert(str_eq(read.owner, order.owner));
    cr_assert(str_eq(read.filter, order.filter));
    cr_assert(str_eq(read.sort, order.sort));
    cr_assert(str_eq(read.body, order.body));
    cr_assert(str_eq(read.key, order_id.key));
}

Test(document_codec, given_names_full_of_separators_when_put_and_read_then_they_are_the_same)
{
    struct document order = an_order();
    order.owner = STR("a b\n%\xc3\xa9:");
    order.filter = STR("");
    order.sort = STR(" ");
    struct document read;
    cr_assert_eq(read_value(put_value(order), &read), STATUS_OK);
    cr_assert(str_eq(read.owner, order.owner));
    cr_assert(str_eq(read.filter, order.filter));
    cr_assert(str_eq(read.sort, order.sort));
}

Test(document_codec, given_a_document_when_put_then_the_command_is_the_agreed_one)
{
    struct document order = an_order();
    order.key = STR("a:b c");
    struct redis_command command;
    cr_assert_eq(document_redis_put(&order, GENERATION, &arena, &command), STATUS_OK);
    cr_assert_eq(command.argc, 7);
    cr_assert(str_eq((struct str){command.argv[0], command.lengths[0]}, STR("EVALSHA")));
    cr_assert_eq(command.lengths[1], 40);
    cr_assert(str_eq((struct str){command.argv[3], command.lengths[3]},
                     STR("comanda:doc:main:orders:a%3Ab%20c")));
    cr_assert(str_eq((struct str){command.argv[4], command.lengths[4]}, GENERATION));
    cr_assert(str_eq((struct str){command.argv[5], command.lengths[5]}, STR("7")));
    cr_assert(str_starts_with(
        value_of(command),
        STR("0123456789abcdef 7 122 1 1234567890123 42 0193ab00-0000-0000-0000-000000000000 1 "
            "ana%40example.com placed 0193\n{")));
}

Test(document_codec, given_a_new_document_when_added_then_it_replaces_nothing)
{
    struct document order = an_order();
    struct redis_command put;
    struct redis_command add;
    cr_assert_eq(document_redis_put(&order, GENERATION, &arena, &put), STATUS_OK);
    cr_assert_eq(document_redis_add(&order, GENERATION, &arena, &add), STATUS_OK);
    cr_assert_eq(add.argc, 4);
    cr_assert(str_eq((struct str){add.argv[0], add.lengths[0]}, STR("SET")));
    cr_assert(str_eq((struct str){add.argv[1], add.lengths[1]},
                     (struct str){put.argv[3], put.lengths[3]}));
    cr_assert(str_eq((struct str){add.argv[2], add.lengths[2]},
                     (struct str){put.argv[6], put.lengths[6]}));
    cr_assert(str_eq((struct str){add.argv[3], add.lengths[3]}, STR("NX")));
    order.version = 0;
    cr_assert_eq(document_redis_add(&order, GENERATION, &arena, &add), STATUS_INVALID);
}

Test(document_codec, given_the_largest_numbers_when_put_and_read_then_they_are_the_same)
{
    struct document order = an_order();
    order.version = INT32_MAX;
    order.at = (struct log_cursor){INT32_MAX, INT64_MAX, INT64_MAX};
    struct document read;
    cr_assert_eq(read_value(put_value(order), &read), STATUS_OK);
    cr_assert_eq(read.version, INT32_MAX);
    cr_assert_eq(read.at.tx, INT64_MAX);
    cr_assert_eq(read.at.position, INT64_MAX);
}

Test(document_codec, given_a_document_without_a_version_when_put_then_it_is_invalid)
{
    struct document order = an_order();
    order.version = 0;
    struct redis_command command;
    cr_assert_eq(document_redis_put(&order, GENERATION, &arena, &command), STATUS_INVALID);
}

Test(document_codec, given_a_body_past_the_limit_when_put_then_it_is_invalid)
{
    struct document order = an_order();
    order.body.len = DOCUMENT_BYTES_MAX + 1;
    struct redis_command command;
    cr_assert_eq(document_redis_put(&order, GENERATION, &arena, &command), STATUS_INVALID);
}

Test(document_codec, given_no_memory_when_put_then_it_says_so)
{
    struct arena small;
    arena_init(&small, 64, 64);
    struct document order = an_order();
    struct redis_command command;
    cr_assert_eq(document_redis_put(&order, GENERATION, &small, &command), STATUS_NO_MEMORY);
    arena_free(&small);
}

Test(document_codec, given_a_value_cut_anywhere_when_read_then_it_is_a_miss)
{
    struct str value = put_value(an_order());
    struct document read = {.version = 99};
    for (size_t len = 0; len < value.len; len++) {
        cr_assert_eq(read_value((struct str){value.data, len}, &read), STATUS_MALFORMED,
                     "a prefix of %zu bytes was read", len);
    }
    struct str longer = arena_printf(&arena, "%.*s ", STR_FMT(value));
    cr_assert_eq(read_value(longer, &read), STATUS_MALFORMED);
    cr_assert_eq(read.version, 99); // untouched
}

Test(document_codec, given_another_generation_or_none_when_read_then_it_is_a_miss)
{
    struct str value = put_value(an_order());
    struct document read;
    cr_assert_eq(document_redis_read(value, STR("fedcba9876543210"), &order_id, &arena, &read),
                 STATUS_MALFORMED);
    cr_assert_eq(document_redis_read(value, STR(""), &order_id, &arena, &read), STATUS_MALFORMED);
    struct redis_command command;
    struct document order = an_order();
    cr_assert_eq(document_redis_put(&order, STR(""), &arena, &command), STATUS_INVALID);
}

Test(document_codec, given_a_value_of_an_earlier_release_when_read_then_it_is_a_miss)
{
    struct document read;
    cr_assert_eq(read_value(STR("7 1 1 1 0193ab00-0000-0000-0000-000000000000 1 a b c\n{}"), &read),
                 STATUS_MALFORMED);
}

// `head` with the length that its rest has.
static struct str with_length(const char *version, const char *rest)
{
    return arena_printf(&arena, "0123456789abcdef %s %zu %s", version, strlen(rest), rest);
}

Test(document_codec, given_broken_headers_when_read_then_each_is_a_miss)
{
    static const char *const broken[][2] = {
        {"0", "1 1 1 0193ab00-0000-0000-0000-000000000000 1 a b c\n{}"},          // no version
        {"-1", "1 1 1 0193ab00-0000-0000-0000-000000000000 1 a b c\n{}"},         // below zero
        {"2147483648", "1 1 1 0193ab00-0000-0000-0000-000000000000 1 a b c\n{}"}, // past int32
        {"1", "1 1 1 0193ab00-0000-0000-0000-00000000000g 1 a b c\n{}"},          // no uuid
        {"1", "1 1 1 0193ab00-0000-0000-0000-000000000000 2 a b c\n{}"},          // listed
        {"1", "1 1 1 0193ab00-0000-0000-0000-000000000000 1 a b\n{}"},            // a name short
        {"1", "1 1 1 0193ab00-0000-0000-0000-000000000000 1 a b c d\n{}"},        // one too many
        {"1", "1 1 1 0193ab00-0000-0000-0000-000000000000 1 %4 b c\n{}"},         // cut escape
        {"1", "1 1 1 0193ab00-0000-0000-0000-000000000000 1 %zz b c\n{}"},        // no hex
        {"1", "{\"id\":\"0193\"}\n"},                                             // foreign
    };
    struct document read;
    struct str fine = with_length("1", "1 1 1 0193ab00-0000-0000-0000-000000000000 1 a b c\n{}");
    cr_assert_eq(read_value(fine, &read), STATUS_OK);
    for (size_t at = 0; at < sizeof(broken) / sizeof(broken[0]); at++) {
        cr_assert_eq(read_value(with_length(broken[at][0], broken[at][1]), &read), STATUS_MALFORMED,
                     "%s", broken[at][1]);
    }
}

Test(document_codec, given_plain_names_when_read_then_no_memory_is_taken)
{
    struct document order = an_order();
    order.owner = STR("ana");
    struct str value = put_value(order);
    size_t before = arena.used;
    struct document read;
    cr_assert_eq(read_value(value, &read), STATUS_OK);
    cr_assert_eq(arena.used, before);
}

Test(document_codec, given_a_collection_when_asked_for_its_pattern_then_no_name_is_a_glob)
{
    struct str pattern;
    cr_assert_eq(document_redis_pattern(STR("m*n"), STR("or[d]"), &arena, &pattern), STATUS_OK);
    cr_assert(str_eq(pattern, STR("comanda:doc:m%2An:or%5Bd%5D:*")));
    cr_assert_eq(document_redis_pattern(STR("main"), STR(""), &arena, &pattern), STATUS_OK);
    cr_assert(str_eq(pattern, STR("comanda:doc:main:*")));
    cr_assert_eq(document_redis_pattern(STR(""), STR(""), &arena, &pattern), STATUS_OK);
    cr_assert(str_eq(pattern, STR("comanda:doc:[^:]*")), "the mark of the generation stays");
}
