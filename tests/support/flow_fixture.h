// SPDX-License-Identifier: Apache-2.0
// Commands of the shop for tests of the flow, and the literals that they are fed with.
#pragma once

#define _GNU_SOURCE // memmem
#include <criterion/criterion.h>
#include <string.h>

#include "application/command/command_flow.h"

#define PLACE_BODY                                                                       \
    "{\"currency\":\"BRL\",\"lines\":[{\"sku\":\"SKU-1\",\"quantity\":2}],"              \
    "\"payment_token\":\"tok_ok\",\"ship_to\":{\"name\":\"Ana\",\"street\":\"Rua A 1\"," \
    "\"city\":\"Recife\",\"postal_code\":\"50000-000\",\"country\":\"BR\"}}"
#define PRODUCT \
    "{\"sku\":\"SKU-1\",\"name\":\"Cup\",\"price\":{\"amount\":1500,\"currency\":\"BRL\"}}"

static struct arena arena;     // of the test
static struct str placed_data; // of an OrderPlaced, as the context itself writes it

static const instant_us now = INT64_C(1764000000000000);
static const struct uuid order = {{1, 0x93, 9, 9, 9, 9, 0x70, 1, 0x80, 1}};
static const struct uuid other = {{1, 0x93, 9, 9, 9, 9, 0x70, 2, 0x80, 2}};

static inline struct command_request request_of(const char *command, struct str body)
{
    return (struct command_request){
        .type = context_command(str_from(command)),
        .tenant = STR("main"),
        .subject = STR("ana"),
        .target = order,
        .event_ids = {{{1}}, {{2}}, {{3}}, {{4}}},
        .body = body,
        .has_key = true,
        .key = {.id = {{7}}, .fingerprint = {1, 2, 3}},
        .success_status = 201,
        .correlation_id = STR("corr-1"),
        .now = now,
        .attempts_max = 3,
    };
}

static inline struct command_request placing(void)
{
    return request_of("ordering.place_order", STR(PLACE_BODY));
}

static inline struct command_request cancelling(void)
{
    struct command_request request =
        request_of("ordering.cancel_order", STR("{\"reason\":\"changed my mind\"}"));
    request.success_status = 202;
    return request;
}

static inline struct command_flow *given(struct command_request request)
{
    return command_flow_new(&request, &arena);
}

static inline void bring_product(struct command_flow *flow)
{
    struct lookup_rows rows = {.items = {STR(PRODUCT)}, .count = 1};
    command_flow_take_lookups(flow, &rows);
}

static inline struct recorded_event row_of(int32_t version, struct str type, struct str data)
{
    return (struct recorded_event){.tenant = STR("main"),
                                   .category = STR("order"),
                                   .stream = order,
                                   .version = version,
                                   .kind = RECORD_EVENT,
                                   .type = type,
                                   .schema_version = 1,
                                   .data = data,
                                   .recorded_at = now};
}

static inline void bring_rows(struct command_flow *flow, struct recorded_event *rows, size_t count)
{
    struct stream_rows stream = {.rows = rows, .count = count};
    command_flow_take_streams(flow, &stream);
}

static inline void bring_placed(struct command_flow *flow)
{
    struct recorded_event rows[] = {row_of(1, STR("OrderPlaced"), placed_data)};
    bring_rows(flow, rows, 1);
}

static inline void bring_confirmed(struct command_flow *flow)
{
    struct recorded_event rows[] = {
        row_of(1, STR("OrderPlaced"), placed_data),
        row_of(2, STR("OrderConfirmed"), STR("{\"confirmed_at\":\"2026-11-24T00:00:00.000Z\"}")),
    };
    bring_rows(flow, rows, 2);
}

static inline void bring_cancelling(struct command_flow *flow)
{
    struct recorded_event rows[] = {
        row_of(1, STR("OrderPlaced"), placed_data),
        row_of(2, STR("OrderCancelRequested"),
               STR("{\"reason\":\"x\",\"requested_at\":\"2026-11-24T00:00:00.000Z\"}")),
    };
    bring_rows(flow, rows, 2);
}

static inline void bring_verdict(struct command_flow *flow, enum append_outcome outcome)
{
    struct append_verdict verdict = {.outcome = outcome, .at = {1, 10, 100}};
    command_flow_take_verdict(flow, &verdict);
}

static inline void bring_key(struct command_flow *flow, bool known)
{
    struct append_key key = {
        .id = {{7}}, .fingerprint = {1, 2, 3}, .stream = order, .version = 1, .status = 201};
    command_flow_take_key(flow, known, &key);
}

static inline void open_arena(void)
{
    arena_init(&arena, 65536, 4 * 1024 * 1024);
    struct command_flow *flow = given(placing());
    (void)command_flow_next(flow);
    bring_product(flow);
    (void)command_flow_next(flow);
    placed_data = command_flow_item(flow)->rows[0].data;
}

static inline void close_arena(void)
{
    arena_free(&arena);
}

#define assert_wants(flow, wanted) cr_assert_eq(command_flow_next(flow), wanted)
#define assert_answer(flow, wanted)                                          \
    do {                                                                     \
        assert_wants(flow, FLOW_WANT_NOTHING);                               \
        cr_assert_eq(command_flow_answer(flow)->kind, wanted, "answered %d", \
                     command_flow_answer(flow)->kind);                       \
    } while (0)
#define assert_contains(view, literal)                                               \
    cr_assert(memmem((view).data, (view).len, literal, sizeof(literal) - 1) != NULL, \
              "%.*s lacks %s", STR_FMT(view), literal)
