// SPDX-License-Identifier: Apache-2.0
// The order as its customer sees it: the document of the collection "orders".
//
// {"id","status","version","customer","currency","lines":[{"sku","quantity","unit_price","total"}],
//  "total","ship_to","created_at","updated_at","rejection"?}, money as {"amount","currency"}.
// Never the payment token. `version` is the stream's, also after an event that this version of the
// program does not know.
#pragma once

#include "domain/bounded_context.h"

void *order_document_initial(struct arena *arena);
enum status order_document_evolve(void *state, const struct event_view *event, struct arena *arena);
enum status order_document_encode(const void *state, struct buffer *out);
enum status order_document_decode(struct str bytes, struct arena *arena, void **state);

enum status order_document_index(const void *document, struct arena *arena,
                                 struct document_index *index);
