// SPDX-License-Identifier: Apache-2.0
// The keys of a rate limit in a fixed piece of (shared) memory: 16 bytes a key, no lock, nothing to
// repair when a process dies in the middle.
//
// Set-associative, four keys a cache line. A key whose time has passed equals no key at all, so its
// place is taken over at no loss; when a set is full of live keys the one that is free soonest goes
// and is counted, which only ever lets a request through, never refuses one wrongly for long.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "application/limit/gcra.h"

enum { LIMIT_TABLE_WAYS = 4 };

struct limit_table;

// Bytes that a table of at least key_count_max keys needs.
size_t limit_table_size(size_t key_count_max);

// Lays an empty table into zeroed memory of `size` bytes, 64-byte aligned; every process may then
// use the same memory through the pointer that it maps it at.
struct limit_table *limit_table_init(void *memory, size_t size);

// Judges and charges one request. key_hash: 64 bits that no caller can choose (keyed hash). Several
// processes may call at once.
struct gcra_answer limit_table_charge(struct limit_table *table, uint64_t key_hash,
                                      struct gcra_rate rate, int64_t now_ns);

// Takes back one charge that was allowed, when another limit refuses the same request.
void limit_table_refund(struct limit_table *table, uint64_t key_hash, struct gcra_rate rate);

// Live keys pushed out since somebody last took this count; above zero the table is too small. Each
// is given once, to whichever process asks first.
uint64_t limit_table_take_evictions(struct limit_table *table);
