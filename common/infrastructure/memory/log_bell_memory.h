// SPDX-License-Identifier: Apache-2.0
// The bell of a log in this process's memory.
#pragma once

#include "application/ports/event_store.h"
#include "application/ports/log_bell.h"

// log stays the caller's and must outlive it. NULL: no memory.
struct log_bell *log_bell_memory_new(struct event_store *log);
void log_bell_memory_free(struct log_bell *bell); // NULL is fine
