// SPDX-License-Identifier: Apache-2.0
// Documents in this process's memory: for tests and for programs without servers.
#pragma once

#include <stddef.h>

#include "application/ports/document_store.h"

// At most `documents_max`; past it put gives STATUS_FULL and stores what still fits. NULL: no
// memory.
struct document_store *document_store_memory_new(size_t documents_max);
void document_store_memory_free(struct document_store *store);

size_t document_store_memory_count(const struct document_store *store);
