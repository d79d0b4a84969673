// SPDX-License-Identifier: Apache-2.0
// Notes of caches that may hold documents older than the read schema's: whoever could not write to
// one leaves a note, whoever finds a note empties the cache and takes it away.
#pragma once

#include <stdbool.h>

#include "application/ports/document_store.h"
#include "base/status.h"
#include "base/str.h"

struct postgres;

// Leaves or renews a note under this name. Do it before the messages are acknowledged.
enum status cache_debt_note(struct postgres *postgres, struct str name) MUST_CHECK;

// If there are notes: drops the documents of all tenants in the cache (a note tells none) and then
// takes away the notes that it had read before; one renewed in the meantime stays for the next
// call. *settled tells whether there was anything to do. STATUS_UNAVAILABLE also while the cache is
// away: the notes stay.
enum status cache_debt_settle(struct postgres *postgres, struct document_store *cache,
                              bool *settled) MUST_CHECK;
