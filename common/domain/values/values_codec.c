// SPDX-License-Identifier: Apache-2.0
// Values in JSON: how bodies, events and documents of every context write and read them.
#include "domain/values/values_codec.h"

#include <string.h>

#include "domain/values/quantity.h"
#include "domain/values/sku.h"

bool body_currency(struct body_reader *reader, struct body_place parent, struct str name,
                   struct currency *currency)
{
    const struct json_value *value = body_value(reader, parent, name);
    if (value == NULL) {
        return false;
    }
    if (value->kind != JSON_STRING || !currency_parse(value->text, currency)) {
        body_fault(reader, body_pointer(reader, parent, name),
                   "must be an ISO 4217 code such as \"BRL\"");
        return false;
    }
    return true;
}

bool body_sku(struct body_reader *reader, struct body_place parent, struct str name,
              struct str *sku)
{
    const struct json_value *value = body_value(reader, parent, name);
    if (value == NULL) {
        return false;
    }
    if (value->kind != JSON_STRING || !sku_is_valid(value->text)) {
        body_fault(reader, body_pointer(reader, parent, name),
                   "must be 1 to %d of A-Z a-z 0-9 . _ - with a letter or digit first",
                   SKU_LEN_MAX);
        return false;
    }
    *sku = value->text;
    return true;
}

bool body_money(struct body_reader *reader, struct body_place parent, struct str name,
                struct money *money)
{
    static const struct str members[] = {{"amount", 6}, {"currency", 8}};
    struct body_place place;
    if (!body_object(reader, parent, name, members, 2, &place)) {
        return false;
    }
    struct money read = {0};
    bool fine = body_integer(reader, place, STR("amount"), 1, MONEY_AMOUNT_MAX, &read.amount);
    fine &= body_currency(reader, place, STR("currency"), &read.currency);
    if (fine) {
        *money = read;
    }
    return fine;
}

static bool body_country(struct body_reader *reader, struct body_place parent, struct str *country)
{
    const struct json_value *value = body_value(reader, parent, STR("country"));
    if (value == NULL) {
        return false;
    }
    if (value->kind != JSON_STRING || !country_is_valid(value->text)) {
        body_fault(reader, body_pointer(reader, parent, STR("country")),
                   "must be an ISO 3166-1 alpha-2 code such as \"BR\"");
        return false;
    }
    *country = value->text;
    return true;
}

// An unknown country leaves the form that is good anywhere.
static bool body_postal_code(struct body_reader *reader, struct body_place parent,
                             struct str country, struct str *postal_code)
{
    const struct json_value *value = body_value(reader, parent, STR("postal_code"));
    if (value == NULL) {
        return false;
    }
    if (value->kind != JSON_STRING || !postal_code_is_valid(country, value->text)) {
        body_fault(reader, body_pointer(reader, parent, STR("postal_code")),
                   "must be a postal code as %.*s writes it",
                   STR_FMT(country.len == 0 ? STR("its country") : country));
        return false;
    }
    *postal_code = value->text;
    return true;
}

bool body_address(struct body_reader *reader, struct body_place parent, struct str name,
                  struct address *address)
{
    static const struct str members[] = {
        {"name", 4}, {"street", 6}, {"city", 4}, {"postal_code", 11}, {"country", 7}};
    struct body_place place;
    if (!body_object(reader, parent, name, members, 5, &place)) {
        return false;
    }
    struct address read = {.country = STR("")};
    bool fine = body_text(reader, place, STR("name"), ADDRESS_NAME_MAX, &read.name);
    fine &= body_text(reader, place, STR("street"), ADDRESS_STREET_MAX, &read.street);
    fine &= body_text(reader, place, STR("city"), ADDRESS_CITY_MAX, &read.city);
    fine &= body_country(reader, place, &read.country);
    fine &= body_postal_code(reader, place, read.country, &read.postal_code);
    if (fine) {
        *address = read;
    }
    return fine;
}

static bool is_known_sku(const struct line_list *lines, struct str sku)
{
    for (size_t i = 0; i < lines->count; i++) {
        if (str_eq(lines->items[i].sku, sku)) {
            return true;
        }
    }
    return false;
}

static bool body_line(struct body_reader *reader, struct body_place place,
                      const struct line_list *before, struct line *line)
{
    static const struct str members[] = {{"sku", 3}, {"quantity", 8}};
    *line = (struct line){.sku = STR("")};
    if (!body_is_object(reader, place, members, 2)) {
        return false;
    }
    int64_t quantity = 0;
    bool fine = body_sku(reader, place, STR("sku"), &line->sku);
    fine &= body_integer(reader, place, STR("quantity"), QUANTITY_MIN, QUANTITY_MAX, &quantity);
    line->quantity = (int32_t)quantity;
    if (line->sku.len > 0 && is_known_sku(before, line->sku)) {
        body_fault(reader, body_pointer(reader, place, STR("sku")),
                   "stands in an earlier line; add up the quantities");
        line->sku = STR("");
        return false;
    }
    return fine;
}

bool body_lines(struct body_reader *reader, struct body_place parent, struct str name,
                struct line_list *lines)
{
    struct body_place place = {.value = body_value(reader, parent, name)};
    lines->count = 0;
    if (place.value == NULL) {
        return false;
    }
    place.pointer = body_pointer(reader, parent, name);
    if (place.value->kind != JSON_ARRAY || place.value->count == 0 ||
        place.value->count > LINES_MAX) {
        body_fault(reader, place.pointer, "must be an array of 1 to %d lines", LINES_MAX);
        return false;
    }
    bool fine = true;
    for (const struct json_value *item = place.value->first; item != NULL; item = item->next) {
        struct body_place at = body_item(reader, place, item, lines->count);
        struct line line;
        fine &= body_line(reader, at, lines, &line);
        lines->items[lines->count++] = line;
    }
    return fine;
}

void write_money(struct json_writer *writer, struct money money)
{
    json_object_begin(writer);
    json_name(writer, STR("amount"));
    json_int(writer, money.amount);
    json_name(writer, STR("currency"));
    json_string(writer, currency_text(&money.currency));
    json_object_end(writer);
}

static void write_text(struct json_writer *writer, struct str name, struct str text)
{
    json_name(writer, name);
    json_string(writer, text);
}

void write_address(struct json_writer *writer, const struct address *address)
{
    json_object_begin(writer);
    write_text(writer, STR("name"), address->name);
    write_text(writer, STR("street"), address->street);
    write_text(writer, STR("city"), address->city);
    write_text(writer, STR("postal_code"), address->postal_code);
    write_text(writer, STR("country"), address->country);
    json_object_end(writer);
}

void write_lines(struct json_writer *writer, const struct line_list *lines)
{
    json_array_begin(writer);
    for (size_t i = 0; i < lines->count; i++) {
        json_object_begin(writer);
        write_text(writer, STR("sku"), lines->items[i].sku);
        json_name(writer, STR("quantity"));
        json_int(writer, lines->items[i].quantity);
        json_object_end(writer);
    }
    json_array_end(writer);
}

struct currency read_currency(const struct json_value *object, struct str name)
{
    struct currency currency = {{0}};
    struct str code = json_member_text(object, name);
    if (code.len == sizeof(currency.code)) { // an old event keeps a code that has been withdrawn
        memcpy(currency.code, code.data, sizeof(currency.code));
    }
    return currency;
}

struct money read_money(const struct json_value *object, struct str name)
{
    const struct json_value *money = json_member(object, name);
    return (struct money){json_member_int(money, STR("amount")),
                          read_currency(money, STR("currency"))};
}

struct address read_address(const struct json_value *object, struct str name)
{
    const struct json_value *address = json_member(object, name);
    return (struct address){.name = json_member_text(address, STR("name")),
                            .street = json_member_text(address, STR("street")),
                            .city = json_member_text(address, STR("city")),
                            .postal_code = json_member_text(address, STR("postal_code")),
                            .country = json_member_text(address, STR("country"))};
}

void read_lines(const struct json_value *object, struct str name, struct line_list *lines)
{
    const struct json_value *array = json_member(object, name);
    const struct json_value *item = array == NULL ? NULL : array->first;
    for (lines->count = 0; item != NULL && lines->count < LINES_MAX; item = item->next) {
        lines->items[lines->count++] = (struct line){
            json_member_text(item, STR("sku")), (int32_t)json_member_int(item, STR("quantity"))};
    }
}
