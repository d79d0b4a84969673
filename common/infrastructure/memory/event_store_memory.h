// SPDX-License-Identifier: Apache-2.0
// The event store in this process's memory: for tests and for programs without servers. Nothing
// ever commits late here, so the tail is always settled.
#pragma once

#include <stddef.h>

#include "application/ports/event_store.h"

// Holds at most bytes_max of rows, keys and the rest; past it append gives STATUS_FULL and stores
// nothing. One thread. NULL: no memory.
struct event_store *event_store_memory_new(size_t bytes_max);
void event_store_memory_free(struct event_store *store); // NULL is fine
