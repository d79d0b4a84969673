// SPDX-License-Identifier: Apache-2.0
// Values in JSON: how bodies, events and documents of every context write and read them.
#pragma once

#include <stdbool.h>

#include "base/json.h"
#include "base/json_tree.h"
#include "domain/body_reader.h"
#include "domain/values/address.h"
#include "domain/values/line.h"
#include "domain/values/money.h"

// Bodies: each reports its faults, as body_reader.h says.
bool body_currency(struct body_reader *reader, struct body_place parent, struct str name,
                   struct currency *currency);
bool body_sku(struct body_reader *reader, struct body_place parent, struct str name,
              struct str *sku);
// {"amount","currency"}, amount 1 to MONEY_AMOUNT_MAX.
bool body_money(struct body_reader *reader, struct body_place parent, struct str name,
                struct money *money);
bool body_address(struct body_reader *reader, struct body_place parent, struct str name,
                  struct address *address);
// 1 to LINES_MAX items {"sku","quantity"}, no SKU twice. Fills what could be read even when it
// returns false: a line with a bad quantity has 0, one with a bad SKU an empty SKU.
bool body_lines(struct body_reader *reader, struct body_place parent, struct str name,
                struct line_list *lines);

// Our own bytes: events, documents, states.
void write_money(struct json_writer *writer, struct money money); // {"amount","currency"}
void write_address(struct json_writer *writer, const struct address *address);
void write_lines(struct json_writer *writer, const struct line_list *lines);

struct currency read_currency(const struct json_value *object, struct str name);
struct money read_money(const struct json_value *object, struct str name);
struct address read_address(const struct json_value *object, struct str name);
void read_lines(const struct json_value *object, struct str name, struct line_list *lines);
