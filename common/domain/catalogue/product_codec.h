// SPDX-License-Identifier: Apache-2.0
// Products in JSON: bodies of commands, data of events, and the one state that is both the
// decider's and the document of the collection "products": {"sku","name","price"}; a retired one,
// which nobody is shown, has "retired":true besides.
#pragma once

#include "base/arena.h"
#include "base/status.h"
#include "domain/bounded_context.h"
#include "domain/catalogue/product.h"
#include "domain/decision.h"

// Bodies, as command_type.parse.
enum status product_parse_list(struct str json, struct arena *arena, struct fault_list *faults,
                               void **body); // struct list_product
enum status product_parse_reprice(struct str json, struct arena *arena, struct fault_list *faults,
                                  void **body); // struct money

// Adds an event to the decision's first stream.
enum status product_record(const struct product_event *event, instant_us now, struct arena *arena,
                           struct decision *decision) MUST_CHECK;

// The fold (struct product).
void *product_state_initial(struct arena *arena);
enum status product_state_evolve(void *state, const struct event_view *event, struct arena *arena);
enum status product_state_encode(const void *state, struct buffer *out);
enum status product_state_decode(struct str bytes, struct arena *arena, void **state);

// Listed by SKU, public.
enum status product_document_index(const void *state, struct arena *arena,
                                   struct document_index *index);
