// SPDX-License-Identifier: Apache-2.0
// Everything that reads bytes from outside, as functions of one input: libFuzzer drives them (`make
// fuzz`), and a unit test replays tests/fuzz/corpus through them. Here what comes as text.
#include "fuzz/targets.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "application/command/command_flow.h"
#include "application/command/entity_tag.h"
#include "application/command/idempotency_key.h"
#include "application/saga/definition.h"
#include "base/instant.h"
#include "base/json.h"
#include "base/json_tree.h"
#include "base/json_view.h"
#include "infrastructure/codec/cloud_event.h"
#include "infrastructure/codec/position.h"
#include "infrastructure/config/settings_file.h"
#include "infrastructure/rabbitmq/settings.h"
#include "infrastructure/redis/document_codec.h"
#include "infrastructure/token/base64url.h"
#include "infrastructure/token/jwt.h"

enum { BLOCK = 64 * 1024, MEMORY_MAX = 64 * 1024 * 1024, LINES_MAX = 256, STEPS_MAX = 64 };

static const struct fuzz_target targets[] = {
    {"json", fuzz_json},       {"command", fuzz_command},   {"token", fuzz_token},
    {"header", fuzz_header},   {"event", fuzz_event},       {"saga", fuzz_saga},
    {"setting", fuzz_setting}, {"document", fuzz_document}, {"frame", fuzz_frame},
    {"rows", fuzz_rows},
};

const struct fuzz_target *fuzz_target_find(struct str name)
{
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        if (str_eq(str_from(targets[i].name), name)) {
            return &targets[i];
        }
    }
    return NULL;
}

void fuzz_broken(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: broken promise: %s\n", file, line, what);
    abort();
}

// --- JSON

static void walk(struct str value, bool strict, struct arena *arena)
{
    struct json_walk at;
    struct str name;
    struct str inner;
    int64_t number;
    (void)json_view_int(value, &number);
    if (json_view_string(value, arena, &inner)) {
        FUZZ_MUST(!strict || str_is_text(inner));
    }
    if (!json_view_begin(value, &at)) {
        return;
    }
    while (json_view_next(&at, &name, &inner)) {
        FUZZ_MUST(inner.data >= value.data && inner.data + inner.len <= value.data + value.len);
        walk(inner, strict, arena);
    }
}

// What is strict JSON can be read in every way that we have; a walk over anything stays inside it.
void fuzz_json(struct str input)
{
    struct arena arena;
    arena_init(&arena, BLOCK, MEMORY_MAX);
    const struct json_value *root = NULL;
    size_t offset = 0;
    enum json_fault fault = json_check(input, &offset);
    FUZZ_MUST(offset <= input.len && json_fault_text(fault) != NULL);
    if (fault == JSON_OK) {
        FUZZ_MUST(str_is_text(input));
        FUZZ_MUST(json_view_shape(input) != JSON_SHAPE_NONE);
        enum status status = json_read(input, &arena, &root);
        FUZZ_MUST(status == STATUS_OK && root != NULL);
    }
    walk(input, fault == JSON_OK, &arena);
    arena_free(&arena);
}

// --- a command's body, through the edge's flow from parse to answer

static const struct command_type *command_at(size_t at)
{
    const struct context_registry *registry = context_registry();
    for (size_t i = 0; i < registry->count; i++) {
        if (at < registry->contexts[i]->command_count) {
            return &registry->contexts[i]->commands[at];
        }
        at -= registry->contexts[i]->command_count;
    }
    return NULL;
}

static void bring_lookups(struct command_flow *flow)
{
    struct lookup_rows rows = {.count = command_flow_lookups(flow)->count};
    for (size_t i = 0; i < rows.count; i++) {
        struct str name = command_flow_lookups(flow)->items[i].name;
        rows.items[i] = str_eq(name, STR("SKU-1"))
                            ? STR("{\"sku\":\"SKU-1\",\"name\":\"Cup\",\"price\":"
                                  "{\"amount\":9007199254740991,\"currency\":\"BRL\"}}")
                            : (struct str){NULL, 0};
    }
    command_flow_take_lookups(flow, &rows);
}

static void bring_streams(struct command_flow *flow, struct arena *arena)
{
    size_t count;
    (void)command_flow_queries(flow, &count);
    struct stream_rows *nothing = arena_array(arena, count + 1, sizeof(*nothing));
    FUZZ_MUST(nothing != NULL);
    command_flow_take_streams(flow, nothing);
}

static void bring(struct command_flow *flow, enum command_flow_want want, struct arena *arena)
{
    static const struct append_verdict appended = {.outcome = APPENDED, .at = {1, 1, 1}};
    switch (want) {
    case FLOW_WANT_LOOKUPS:
        bring_lookups(flow);
        break;
    case FLOW_WANT_STREAMS:
    case FLOW_WANT_DOCUMENT:
        bring_streams(flow, arena);
        break;
    case FLOW_WANT_APPEND:
        for (size_t i = 0; i < command_flow_item(flow)->row_count; i++) {
            size_t offset;
            FUZZ_MUST(json_check(command_flow_item(flow)->rows[i].data, &offset) == JSON_OK);
        }
        command_flow_take_verdict(flow, &appended);
        break;
    case FLOW_WANT_KEY:
        command_flow_take_key(flow, false, NULL);
        break;
    case FLOW_WANT_NOTHING:
        break;
    }
}

void fuzz_command(struct str input)
{
    const struct command_type *type =
        input.len == 0 ? NULL : command_at((unsigned char)input.data[0] - 'A');
    if (type == NULL) {
        return;
    }
    struct arena arena;
    arena_init(&arena, BLOCK, MEMORY_MAX);
    const struct command_request request = {.type = type,
                                            .tenant = STR("main"),
                                            .subject = STR("ana"),
                                            .target = {{1}},
                                            .body = {input.data + 1, input.len - 1},
                                            .has_key = true,
                                            .success_status = 201,
                                            .correlation_id = STR("c"),
                                            .traceparent = STR("t"),
                                            .now = INT64_C(1795512345678000),
                                            .attempts_max = 3};
    struct command_flow *flow = command_flow_new(&request, &arena);
    enum command_flow_want want = FLOW_WANT_NOTHING;
    for (int i = 0; i < STEPS_MAX; i++) {
        want = command_flow_next(flow);
        bring(flow, want, &arena);
    }
    FUZZ_MUST(want == FLOW_WANT_NOTHING);
    const struct command_answer *answer = command_flow_answer(flow);
    if (answer->kind == ANSWER_INVALID) {
        for (size_t i = 0; i < answer->faults->count; i++) {
            FUZZ_MUST(str_is_text(answer->faults->items[i].pointer));
        }
    }
    arena_free(&arena);
}

// --- tokens

static void sign(struct str key, struct buffer *token)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    (void)HMAC(EVP_sha256(), key.data, (int)key.len, (const unsigned char *)token->data, token->len,
               mac, &len);
    buffer_add_char(token, '.');
    base64url_encode(mac, len, token);
}

static bool has_control(struct str text)
{
    for (size_t at = 0; at < text.len; at++) {
        if ((unsigned char)text.data[at] < 0x20 || text.data[at] == 0x7f) {
            return true;
        }
    }
    return false;
}

static void verify(const struct jwt_verifier *verifier, struct str token, struct arena *arena)
{
    struct jwt_claims claims;
    enum jwt_fault fault = jwt_verify(verifier, token, 1795512345, arena, &claims);
    FUZZ_MUST(jwt_fault_text(fault) != NULL);
    if (fault == JWT_OK) {
        FUZZ_MUST(claims.subject.len > 0 && str_is_text(claims.subject));
        FUZZ_MUST(str_is_text(claims.scope) && claims.scope.len <= JWT_SCOPE_BYTES_MAX);
        FUZZ_MUST(!has_control(claims.subject) && !has_control(claims.scope));
        FUZZ_MUST(claims.expires_at_s > 1795512345);
    }
}

void fuzz_token(struct str input)
{
    struct str key = STR("0123456789abcdef0123456789abcdef");
    struct arena arena;
    struct buffer token;
    struct jwt_verifier *verifier = NULL;
    arena_init(&arena, BLOCK, MEMORY_MAX);
    enum status status = jwt_verifier_new(key, STR(""), STR(""), 0, &verifier);
    FUZZ_MUST(status == STATUS_OK);
    verify(verifier, input, &arena);
    buffer_init(&token, &arena, MEMORY_MAX / 2);
    buffer_add(&token, STR("eyJhbGciOiJIUzI1NiJ9."));
    base64url_encode((const unsigned char *)input.data, input.len, &token);
    if (token.status == STATUS_OK) {
        sign(key, &token);
        verify(verifier, buffer_view(&token), &arena);
    }
    jwt_verifier_free(verifier);
    arena_free(&arena);
}

// --- headers, ids, addresses

static void check_base64url(struct str input, struct arena *arena)
{
    unsigned char *bytes = arena_alloc(arena, base64url_decoded_max(input.len) + 1);
    struct buffer out;
    size_t len = 0;
    if (bytes == NULL || !base64url_decode(input, bytes, &len)) {
        return;
    }
    buffer_init(&out, arena, MEMORY_MAX / 4);
    base64url_encode(bytes, len, &out);
    FUZZ_MUST(str_eq(buffer_view(&out), input)); // one text a value: none passes for another
}

static void check_ids(struct str input)
{
    struct uuid id;
    struct position position;
    instant_us at;
    char text[UUID_TEXT_LEN];
    char place[POSITION_TEXT_LEN];
    (void)instant_parse(input, &at);
    if (uuid_parse(input, false, &id)) {
        uuid_format(id, text);
        FUZZ_MUST(str_eq((struct str){text, sizeof(text)}, input));
    }
    if (position_parse(input, &position) == STATUS_OK) {
        position_format(&position, place);
        FUZZ_MUST(str_eq((struct str){place, sizeof(place)}, input));
    }
}

void fuzz_header(struct str input)
{
    struct arena arena;
    struct precondition precondition;
    struct str key;
    struct str cause = {NULL, 0};
    struct rabbitmq_settings settings;
    arena_init(&arena, BLOCK, MEMORY_MAX);
    if (entity_tag_read_match(input, &precondition)) {
        FUZZ_MUST(precondition.kind != PRECONDITION_NONE);
        (void)precondition_allows(&precondition, 3);
    }
    (void)entity_tag_none_match(input, 3);
    if (idempotency_key_read(input, &key)) {
        FUZZ_MUST(key.len > 0 && key.len <= IDEMPOTENCY_KEY_LEN_MAX);
        (void)idempotency_key_is_current(key, INT64_C(1795512345678000), 1000);
        (void)idempotency_key_id(STR("main"), STR("ana"), key);
    }
    check_ids(input);
    check_base64url(input, &arena);
    if (rabbitmq_settings_read(input, &arena, &settings, &cause) == STATUS_INVALID) {
        FUZZ_MUST(cause.len > 0);
    }
    arena_free(&arena);
}

// --- a message's body

static struct uuid id_in(struct str body, struct arena *arena)
{
    struct uuid id = {{0}};
    struct str text;
    if (json_view_string(json_view_member(body, STR("id")), arena, &text)) {
        (void)uuid_parse(text, false, &id);
    }
    return id;
}

void fuzz_event(struct str input)
{
    struct arena arena;
    struct incoming incoming;
    struct str cause = {NULL, 0};
    arena_init(&arena, BLOCK, MEMORY_MAX);
    const struct message message = {
        .id = id_in(input, &arena), .content_type = CLOUD_EVENT_CONTENT_TYPE, .body = input};
    enum status status = cloud_event_decode(&message, &arena, &incoming, &cause);
    FUZZ_MUST(status == STATUS_OK || cause.len > 0 || status == STATUS_NO_MEMORY);
    arena_free(&arena);
}

// --- files of the operator

void fuzz_saga(struct str input)
{
    struct arena arena;
    struct fault_list faults = {.count = 0};
    arena_init(&arena, BLOCK, MEMORY_MAX);
    struct saga_definition *definition = arena_alloc(&arena, sizeof(*definition));
    enum status status = saga_definition_read(STR("fuzz.json"), input, (struct saga_overrides){0},
                                              &arena, &faults, definition);
    FUZZ_MUST(status != STATUS_INVALID || faults.count > 0);
    FUZZ_MUST(status != STATUS_OK || definition->step_count > 0);
    arena_free(&arena);
}

void fuzz_setting(struct str input)
{
    struct arena arena;
    size_t count = 0;
    struct str fault = {NULL, 0};
    arena_init(&arena, BLOCK, MEMORY_MAX);
    struct settings_line *lines = arena_array(&arena, LINES_MAX, sizeof(*lines));
    enum status status = settings_file_parse(input, &arena, LINES_MAX, lines, &count, &fault);
    FUZZ_MUST(count <= LINES_MAX);
    FUZZ_MUST(status != STATUS_INVALID || fault.len > 0);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        FUZZ_MUST(lines[i].value.data[lines[i].value.len] == '\0');
    }
    arena_free(&arena);
}

// --- a document in the cache

void fuzz_document(struct str input)
{
    struct arena arena;
    struct document document;
    const struct document_id id = {STR("main"), STR("orders"), STR("k")};
    const struct str generation = {input.data, input.len < 16 ? 0 : 16}; // its own: read on
    arena_init(&arena, BLOCK, MEMORY_MAX);
    if (document_redis_read(input, generation, &id, &arena, &document) == STATUS_OK) {
        FUZZ_MUST(document.version > 0);
        FUZZ_MUST(document.body.data + document.body.len == input.data + input.len);
    }
    arena_free(&arena);
}
