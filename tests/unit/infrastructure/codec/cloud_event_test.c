// SPDX-License-Identifier: Apache-2.0
// Unit tests of the CloudEvents codec: the way there and back, and every bad input by its field.
#define _GNU_SOURCE // memmem
#include "infrastructure/codec/cloud_event.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

static struct arena arena;

static void set_up(void)
{
    arena_init(&arena, 4096, 1 << 23);
}

static void tear_down(void)
{
    arena_free(&arena);
}

TestSuite(cloud_event, .init = set_up, .fini = tear_down);

static struct uuid id_of(unsigned char last)
{
    return (struct uuid){.bytes = {0x01, 0x93, 0x5b, 0xcc, 0, 1, 0x70, 0, 0x80, [15] = last}};
}

static struct recorded_event an_event(void)
{
    return (struct recorded_event){
        .at = {.epoch = 1, .tx = 7001, .position = 42},
        .tenant = STR("main"),
        .category = STR("counter"),
        .stream = id_of(1),
        .version = 7,
        .id = id_of(2),
        .kind = RECORD_EVENT,
        .type = STR("CounterRaised"),
        .schema_version = 3,
        .data = STR("{\"by\":2,\"note\":\"a \\\"b\\\" }\"}"),
        .meta = STR("{\"correlation_id\":\"c-1\", \"causation_id\": "
                    "\"01935bcc-0001-7000-8000-000000000009\",\"actor\":\"ana\","
                    "\"traceparent\":\"00-1-2-01\",\"extra\":{\"route\":\"no\"}}"),
        .recorded_at = INT64_C(1764000000123000),
    };
}

static struct recorded_event a_command(void)
{
    struct recorded_event row = an_event();
    row.kind = RECORD_COMMAND;
    row.category = STR("saga");
    row.type = STR("raise");
    row.meta = STR("{\"route\":\"counting.raise_counter\"}");
    return row;
}

static struct message encoded(struct recorded_event row)
{
    struct message message;
    cr_assert_eq(cloud_event_encode(&row, &arena, &message), STATUS_OK);
    return message;
}

static void assert_text(struct str got, const char *want)
{
    cr_assert(str_eq(got, str_from(want)), "%.*s is not %s", STR_FMT(got), want);
}

Test(cloud_event, given_an_event_when_encoded_then_it_is_this_text)
{
    struct message message = encoded(an_event());
    assert_text(message.exchange, "comanda.events");
    assert_text(message.routing_key, "counter.CounterRaised");
    assert_text(message.content_type, "application/cloudevents+json");
    cr_assert(uuid_eq(message.id, id_of(2)));
    assert_text(message.body,
                "{\"specversion\":\"1.0\",\"id\":\"01935bcc-0001-7000-8000-000000000002\","
                "\"source\":\"/comanda/main/counter\",\"type\":\"CounterRaised\","
                "\"subject\":\"01935bcc-0001-7000-8000-000000000001\","
                "\"time\":\"2025-11-24T16:00:00.123Z\",\"datacontenttype\":\"application/json\","
                "\"sequence\":\"0000000007\",\"tenant\":\"main\",\"category\":\"counter\","
                "\"kind\":\"event\",\"schemaversion\":3,\"position\":\"1.7001.42\","
                "\"correlationid\":\"c-1\","
                "\"causationid\":\"01935bcc-0001-7000-8000-000000000009\","
                "\"traceparent\":\"00-1-2-01\",\"actor\":\"ana\","
                "\"data\":{\"by\":2,\"note\":\"a \\\"b\\\" }\"}}");
}

Test(cloud_event, given_an_event_when_encoded_and_decoded_then_all_of_it_comes_back)
{
    struct recorded_event row = an_event();
    struct message message = encoded(row);
    struct incoming incoming;
    struct str cause;
    cr_assert_eq(cloud_event_decode(&message, &arena, &incoming, &cause), STATUS_OK);
    cr_assert(uuid_eq(incoming.id, row.id));
    cr_assert(uuid_eq(incoming.stream, row.stream));
    cr_assert_eq(incoming.version, 7);
    cr_assert_eq(incoming.schema_version, 3);
    cr_assert_eq(incoming.kind, RECORD_EVENT);
    cr_assert_eq(incoming.recorded_at, row.recorded_at);
    cr_assert_eq(incoming.at.epoch, 1);
    cr_assert_eq(incoming.at.tx, 7001);
    cr_assert_eq(incoming.at.position, 42);
    cr_assert(str_eq(incoming.data, row.data));
    assert_text(incoming.tenant, "main");
    assert_text(incoming.category, "counter");
    assert_text(incoming.type, "CounterRaised");
    assert_text(incoming.correlation_id, "c-1");
    assert_text(incoming.causation_id, "01935bcc-0001-7000-8000-000000000009");
    assert_text(incoming.traceparent, "00-1-2-01");
    cr_assert_eq(incoming.command.len, 0);
}

Test(cloud_event, given_a_command_when_encoded_and_decoded_then_its_route_is_key_and_command)
{
    struct message message = encoded(a_command());
    assert_text(message.exchange, "comanda.commands");
    assert_text(message.routing_key, "counting.raise_counter");
    struct incoming incoming;
    struct str cause;
    cr_assert_eq(cloud_event_decode(&message, &arena, &incoming, &cause), STATUS_OK);
    assert_text(incoming.command, "counting.raise_counter");
}

Test(cloud_event, given_a_command_with_a_lane_when_encoded_then_it_is_told_beside_the_message)
{
    static const struct {
        const char *meta;
        uint16_t lane;
    } cases[] = {
        {"{\"route\":\"counting.raise_counter\",\"lane\":1}", 1},
        {"{\"lane\":65535,\"route\":\"counting.raise_counter\"}", 65535},
        {"{\"route\":\"counting.raise_counter\",\"lane\":65536}", 0},
        {"{\"route\":\"counting.raise_counter\",\"lane\":99999999999999999999}", 0},
        {"{\"route\":\"counting.raise_counter\",\"lane\":-1}", 0},
        {"{\"route\":\"counting.raise_counter\",\"lane\":1.5}", 0},
        {"{\"route\":\"counting.raise_counter\",\"lane\":\"1\"}", 0},
        {"{\"route\":\"counting.raise_counter\"}", 0},
    };
    for (size_t at = 0; at < sizeof(cases) / sizeof(cases[0]); at++) {
        struct recorded_event row = a_command();
        row.meta = str_from(cases[at].meta);
        struct message message = encoded(row);
        cr_assert_eq(message.lane, cases[at].lane, "%s", cases[at].meta);
        assert_text(message.routing_key, "counting.raise_counter");
    }
    struct recorded_event row = an_event();
    row.meta = STR("{\"lane\":1}");
    cr_assert_eq(encoded(row).lane, 0, "only commands have one");
}

Test(cloud_event, given_a_command_that_came_by_a_lane_when_decoded_then_its_route_is_the_command)
{
    struct message message = encoded(a_command());
    message.routing_key = STR("7.counting.raise_counter");
    struct incoming incoming;
    struct str cause;
    cr_assert_eq(cloud_event_decode(&message, &arena, &incoming, &cause), STATUS_OK);
    assert_text(incoming.command, "counting.raise_counter");
}

Test(cloud_event, given_a_command_from_a_retry_queue_when_decoded_then_its_route_still_tells)
{
    struct message message = encoded(a_command());
    message.exchange = STR("");
    message.routing_key = STR("comanda.counting");
    struct incoming incoming;
    struct str cause;
    cr_assert_eq(cloud_event_decode(&message, &arena, &incoming, &cause), STATUS_OK);
    assert_text(incoming.command, "counting.raise_counter");
}

Test(cloud_event, given_a_reply_when_encoded_then_its_key_is_saga_and_type)
{
    struct recorded_event row = an_event();
    row.kind = RECORD_REPLY;
    row.type = STR("rejected");
    row.meta = STR("{\"route\":\"counting_saga\"}");
    struct message message = encoded(row);
    assert_text(message.exchange, "comanda.replies");
    assert_text(message.routing_key, "counting_saga.rejected");
}

Test(cloud_event, given_rows_without_a_usable_route_when_encoded_then_they_go_to_the_unrouted)
{
    static char long_name[300];
    memset(long_name, 'x', sizeof(long_name));
    struct recorded_event row = a_command();
    row.meta = STR("{}");
    assert_text(encoded(row).routing_key, "unroutable");
    row.meta = STR("no json");
    assert_text(encoded(row).routing_key, "unroutable");
    row = an_event();
    row.category = (struct str){long_name, sizeof(long_name)};
    assert_text(encoded(row).routing_key, "unroutable");
}

Test(cloud_event, given_names_with_quotes_when_encoded_then_the_body_is_still_json)
{
    struct recorded_event row = an_event();
    row.tenant = STR("a\"b\\c\n");
    struct message message = encoded(row);
    struct incoming incoming;
    struct str cause;
    cr_assert_eq(cloud_event_decode(&message, &arena, &incoming, &cause), STATUS_OK);
    cr_assert(str_eq(incoming.tenant, row.tenant));
}

Test(cloud_event, given_meta_of_other_types_when_encoded_then_they_are_left_out)
{
    struct recorded_event row = an_event();
    row.meta =
        STR("{\"correlation_id\":5,\"causation_id\":null,\"actor\":{},\"traceparent\":\"\"}");
    struct message message = encoded(row);
    cr_assert_null(memmem(message.body.data, message.body.len, "correlationid", 13));
    cr_assert_null(memmem(message.body.data, message.body.len, "traceparent", 11));
    cr_assert_null(memmem(message.body.data, message.body.len, "actor", 5));
}

Test(cloud_event, given_a_row_too_large_for_a_message_when_encoded_then_it_refers_to_itself)
{
    static char large[CLOUD_EVENT_DATA_MAX + 1];
    memset(large, ' ', sizeof(large));
    large[0] = '{';
    large[sizeof(large) - 1] = '}';
    struct recorded_event row = an_event();
    row.data = (struct str){large, sizeof(large)};
    struct message message = encoded(row);
    cr_assert_leq(message.body.len, 1024);
    cr_assert_not_null(memmem(message.body.data, message.body.len,
                              "\"dataref\":\"/comanda/streams/"
                              "01935bcc-0001-7000-8000-000000000001/7\"}",
                              68));
    row.data.len--;
    large[row.data.len - 1] = '}';
    message = encoded(row);
    cr_assert_gt(message.body.len, row.data.len);
    cr_assert_leq(message.body.len, MESSAGE_BODY_MAX);
}

static struct str meta_with(const char *name, size_t length, const char *letter)
{
    struct buffer text;
    buffer_init(&text, &arena, 1 << 18);
    buffer_add(&text, STR("{\"causation_id\":\"cause\",\""));
    buffer_add(&text, str_from(name));
    buffer_add(&text, STR("\":\""));
    for (size_t at = 0; at < length; at++) {
        buffer_add(&text, str_from(letter));
    }
    buffer_add(&text, STR("\"}"));
    cr_assert_eq(text.status, STATUS_OK);
    return buffer_view(&text);
}

static struct str blank_object(size_t length)
{
    char *text = arena_alloc(&arena, length);
    memset(text, ' ', length);
    text[0] = '{';
    text[length - 1] = '}';
    return (struct str){text, length};
}

static struct incoming decoded(struct message message)
{
    struct incoming incoming;
    struct str cause = STR("");
    cr_assert_eq(cloud_event_decode(&message, &arena, &incoming, &cause), STATUS_OK, "%.*s",
                 STR_FMT(cause));
    return incoming;
}

static bool holds(struct message message, const char *text)
{
    return memmem(message.body.data, message.body.len, text, strlen(text)) != NULL;
}

// The row would be refused by its publisher, and whatever lies behind it would wait for ever.
Test(cloud_event, given_much_data_and_a_huge_actor_when_encoded_then_it_fits_and_is_read)
{
    struct recorded_event row = an_event();
    row.data = blank_object(200 * 1024);
    row.meta = meta_with("actor", 60 * 1024, "a");
    struct message message = encoded(row);
    cr_assert_leq(message.body.len, MESSAGE_BODY_MAX);
    cr_assert_not(holds(message, "actor"));
    cr_assert(str_eq(decoded(message).data, row.data));
    cr_assert(str_eq(decoded(message).causation_id, STR("cause")));
}

Test(cloud_event, given_meta_values_at_their_limit_when_encoded_then_longer_ones_are_left_out)
{
    static const struct {
        const char *name;
        const char *attribute;
        size_t length_max;
    } values[] = {{"correlation_id", "correlationid", 128},
                  {"traceparent", "traceparent", 128},
                  {"actor", "actor", 255},
                  {"route", "\"route\"", 255}};
    for (size_t at = 0; at < sizeof(values) / sizeof(values[0]); at++) {
        for (size_t escaped = 0; escaped < 2; escaped++) {
            struct recorded_event row = an_event();
            const char *letter = escaped ? "\\u0001" : "a";
            row.meta = meta_with(values[at].name, values[at].length_max, letter);
            cr_assert(holds(encoded(row), values[at].attribute));
            (void)decoded(encoded(row));
            row.meta = meta_with(values[at].name, values[at].length_max + 1, letter);
            cr_assert_not(holds(encoded(row), values[at].attribute));
            (void)decoded(encoded(row));
        }
    }
}

Test(cloud_event, given_names_that_make_a_body_too_long_when_encoded_then_it_refers_to_itself)
{
    static char name[2048];
    memset(name, '\n', sizeof(name));
    struct recorded_event row = an_event();
    row.data = blank_object(CLOUD_EVENT_DATA_MAX);
    cr_assert(holds(encoded(row), "\"data\""));
    row.category = (struct str){name, sizeof(name)};
    struct message message = encoded(row);
    cr_assert(holds(message, "\"dataref\""));
    cr_assert_leq(message.body.len, MESSAGE_BODY_MAX);
}

Test(cloud_event, given_an_arena_without_room_when_encoding_then_it_says_so)
{
    struct arena small;
    arena_init(&small, 64, 128);
    struct recorded_event row = an_event();
    struct message message;
    cr_assert_eq(cloud_event_encode(&row, &small, &message), STATUS_NO_MEMORY);
    arena_free(&small);
}

// The body of a good message with one piece of text replaced.
static struct str with(struct str body, const char *from, const char *to)
{
    const char *at = memmem(body.data, body.len, from, strlen(from));
    cr_assert_not_null(at, "%s is not in the body", from);
    size_t head = (size_t)(at - body.data);
    return arena_printf(&arena, "%.*s%s%.*s", (int)head, body.data, to,
                        (int)(body.len - head - strlen(from)), at + strlen(from));
}

static void assert_malformed(struct message message, const char *field)
{
    struct incoming incoming = {.version = -5};
    struct str cause = STR("");
    cr_assert_eq(cloud_event_decode(&message, &arena, &incoming, &cause), STATUS_MALFORMED,
                 "%s was accepted", field);
    cr_assert(str_starts_with(cause, str_from(field)), "cause is '%.*s', not about %s",
              STR_FMT(cause), field);
    cr_assert_eq(incoming.version, -5, "the output was touched");
}

static const struct bad_input {
    const char *field;
    const char *from;
    const char *to;
} bad_inputs[] = {
    {"specversion: is missing", "\"specversion\":\"1.0\",", ""},
    {"specversion: is not 1.0", "\"1.0\"", "\"0.3\""},
    {"specversion: is no string", "\"1.0\"", "1.0"},
    {"id: is missing", "\"id\":", "\"idx\":"},
    {"id: is no UUID", "\"id\":\"01935bcc-0001-7000-8000-000000000002\"", "\"id\":\"one\""},
    {"id: is no UUID", "000000000002\"", "00000000000G\""},
    {"message_id", "000000000002\"", "000000000003\""},
    {"source: is missing", "\"source\"", "\"sauce\""},
    {"source: is empty", "/comanda/main/counter", ""},
    {"type: is missing", "\"type\"", "\"typo\""},
    {"type: is empty", "\"CounterRaised\"", "\"\""},
    {"type: is no string", "\"CounterRaised\"", "[\"CounterRaised\"]"},
    {"subject: is no UUID", "\"subject\":\"01935bcc", "\"subject\":\"01935BCC"},
    {"subject: is missing", "\"subject\"", "\"object\""},
    {"time: is not of the form", "2025-11-24T16:00:00.123Z", "yesterday"},
    {"datacontenttype: is not", "application/json", "text/xml"},
    {"sequence: is no stream version", "\"0000000007\"", "\"0000000000\""},
    {"sequence: is no stream version", "\"0000000007\"", "\"-7\""},
    {"sequence: is no stream version", "\"0000000007\"", "\"9999999999\""},
    {"sequence: is no stream version", "\"0000000007\"", "\"seven\""},
    {"sequence: is no string", "\"0000000007\"", "7"},
    {"sequence: is too long", "\"0000000007\"", "\"00000000000007\""},
    {"tenant: is missing", "\"tenant\"", "\"tenants\""},
    {"category: is empty", "\"category\":\"counter\"", "\"category\":\"\""},
    {"kind: is not event", "\"kind\":\"event\"", "\"kind\":\"Event\""},
    {"kind: is not what its exchange", "\"kind\":\"event\"", "\"kind\":\"reply\""},
    {"kind: is missing", "\"kind\"", "\"sort\""},
    {"schemaversion: is no small integer", "\"schemaversion\":3", "\"schemaversion\":\"3\""},
    {"schemaversion: is no small integer", "\"schemaversion\":3", "\"schemaversion\":3.5"},
    {"schemaversion: is no small integer", "\"schemaversion\":3", "\"schemaversion\":40000"},
    {"schemaversion: is missing", "\"schemaversion\":3,", ""},
    {"correlationid: is no string", "\"c-1\"", "7"},
    {"traceparent: is no string", "\"00-1-2-01\"", "null"},
    {"position: is not of the form", "1.7001.42", "1.7001"},
    {"position: is not of the form", "1.7001.42", "1.-7001.42"},
    {"position: is not of the form", "1.7001.42", "1.7001.x"},
    {"position: is no string", "\"1.7001.42\"", "1.7"},
    {"data: is missing", "\"data\":", "\"date\":"},
    {"data: is no object", "{\"by\":2,\"note\":\"a \\\"b\\\" }\"}", "[1]"},
    {"body: an object has the same member twice", "\"tenant\":", "\"kind\":"},
    {"body: ", "{\"specversion\"", "[\"specversion\""},
    {"body: ", "{\"specversion\"", ""},
    {"body: ", "}}", "}"},
    {"body: ", "}}", "}} x"},
    {"body: ", "CounterRaised", "Counter\xff"},
    {"body: ", "CounterRaised", "Counter\\ud800"},
    {"body: ", "CounterRaised", "Counter\\u0000"},
};

Test(cloud_event, given_each_bad_body_when_decoded_then_the_cause_names_the_field)
{
    for (size_t i = 0; i < sizeof(bad_inputs) / sizeof(bad_inputs[0]); i++) {
        struct message message = encoded(an_event());
        message.body = with(message.body, bad_inputs[i].from, bad_inputs[i].to);
        assert_malformed(message, bad_inputs[i].field);
    }
}

Test(cloud_event, given_bodies_that_are_no_event_when_decoded_then_the_cause_is_the_body)
{
    static const char *bodies[] = {"", " ", "null", "7", "\"text\"", "[]", "{", "\xef\xbb\xbf{}"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct message message = encoded(an_event());
        message.body = str_from(bodies[i]);
        assert_malformed(message, "body: ");
    }
    struct message message = encoded(an_event());
    message.body = STR("{}");
    assert_malformed(message, "specversion: is missing");
}

Test(cloud_event, given_every_cut_of_a_body_when_decoded_then_it_is_malformed_and_nothing_breaks)
{
    struct message message = encoded(an_event());
    size_t whole = message.body.len;
    for (size_t length = 0; length < whole; length++) {
        char *exact = malloc(length + 1); // so that a sanitizer sees a read past the end
        memcpy(exact, message.body.data, length);
        struct message cut = message;
        cut.body = (struct str){exact, length};
        struct incoming incoming;
        struct str cause;
        cr_assert_eq(cloud_event_decode(&cut, &arena, &incoming, &cause), STATUS_MALFORMED);
        free(exact);
    }
}

Test(cloud_event, given_a_bad_envelope_when_decoded_then_the_cause_names_its_part)
{
    static char large[MESSAGE_BODY_MAX + 1];
    memset(large, ' ', sizeof(large));
    struct message message = encoded(an_event());
    message.content_type = STR("application/json");
    assert_malformed(message, "content_type");
    message = encoded(an_event());
    message.content_type = STR("");
    assert_malformed(message, "content_type");
    message = encoded(an_event());
    message.id = (struct uuid){0};
    assert_malformed(message, "message_id");
    message = encoded(an_event());
    message.body = (struct str){large, sizeof(large)};
    assert_malformed(message, "body: is too long");
    message = encoded(a_command());
    message.routing_key = STR("counting.lower_counter");
    assert_malformed(message, "route: is not the routing key");
    message.routing_key = STR("7.counting.lower_counter");
    assert_malformed(message, "route: is not the routing key");
    message = encoded(a_command());
    message.body = with(message.body, "\"route\"", "\"ruote\"");
    assert_malformed(message, "route: is missing");
}

Test(cloud_event, given_a_charset_and_unknown_members_when_decoded_then_they_are_taken)
{
    struct message message = encoded(an_event());
    message.content_type = STR("application/cloudevents+json;charset=utf-8");
    message.body = with(message.body, "\"tenant\"", "\"partitionkey\":{\"a\":[1,2]},\"tenant\"");
    struct incoming incoming;
    struct str cause;
    cr_assert_eq(cloud_event_decode(&message, &arena, &incoming, &cause), STATUS_OK);
}
