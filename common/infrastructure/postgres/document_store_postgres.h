// SPDX-License-Identifier: Apache-2.0
// Documents in the read schema: the truth of the read side, made from the log and droppable.
#pragma once

#include "application/ports/document_store.h"

struct postgres;

// The connection stays the caller's and outlives the store. A put is one statement, so a batch is
// stored whole or not at all; STATUS_UNKNOWN: put again, versions make it harmless. NULL: no
// memory.
struct document_store *document_store_postgres_new(struct postgres *postgres);
void document_store_postgres_free(struct document_store *store);
