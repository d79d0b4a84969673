// SPDX-License-Identifier: Apache-2.0
// The keys of a rate limit in a fixed piece of (shared) memory: 16 bytes a key, no lock, nothing to
// repair when a process dies in the middle.
#include "application/limit/limit_table.h"

#include <stdatomic.h>

struct limit_cell {
    _Atomic uint64_t key;   // 0: never used
    _Atomic int64_t tat_ns; // theoretical arrival time
};

struct limit_set {
    struct limit_cell cells[LIMIT_TABLE_WAYS];
};

struct limit_table {
    size_t set_count; // a power of two
    _Atomic uint64_t evictions;
    char padding[64 - sizeof(size_t) - sizeof(uint64_t)];
    struct limit_set sets[];
};

size_t limit_table_size(size_t key_count_max)
{
    size_t sets = 1;
    while (sets * LIMIT_TABLE_WAYS < key_count_max) {
        sets *= 2;
    }
    return sizeof(struct limit_table) + sets * sizeof(struct limit_set);
}

struct limit_table *limit_table_init(void *memory, size_t size)
{
    struct limit_table *table = memory;
    size_t sets = 1;
    while (limit_table_size(sets * 2 * LIMIT_TABLE_WAYS) <= size) {
        sets *= 2;
    }
    table->set_count = sets;
    return table;
}

// The cell of the key, or the one it takes over.
static struct limit_cell *find_cell(struct limit_table *table, uint64_t key, int64_t now_ns)
{
    struct limit_set *set = &table->sets[key & (table->set_count - 1)];
    struct limit_cell *oldest = &set->cells[0];
    for (size_t at = 0; at < LIMIT_TABLE_WAYS; at++) {
        struct limit_cell *cell = &set->cells[at];
        if (atomic_load_explicit(&cell->key, memory_order_acquire) == key) {
            return cell;
        }
        if (atomic_load(&cell->tat_ns) < atomic_load(&oldest->tat_ns)) {
            oldest = cell;
        }
    }
    if (atomic_load(&oldest->tat_ns) > now_ns) {
        atomic_fetch_add(&table->evictions, 1);
    }
    atomic_store(&oldest->tat_ns, 0);
    atomic_store_explicit(&oldest->key, key, memory_order_release);
    return oldest;
}

struct gcra_answer limit_table_charge(struct limit_table *table, uint64_t key_hash,
                                      struct gcra_rate rate, int64_t now_ns)
{
    struct limit_cell *cell = find_cell(table, key_hash == 0 ? 1 : key_hash, now_ns);
    int64_t tat = atomic_load(&cell->tat_ns);
    for (;;) { // another process may charge the same key meanwhile: judge again on its time
        int64_t next = 0;
        struct gcra_answer answer = gcra_judge(rate, tat, now_ns, &next);
        if (next == tat || atomic_compare_exchange_weak(&cell->tat_ns, &tat, next)) {
            return answer;
        }
    }
}

void limit_table_refund(struct limit_table *table, uint64_t key_hash, struct gcra_rate rate)
{
    uint64_t key = key_hash == 0 ? 1 : key_hash;
    struct limit_set *set = &table->sets[key & (table->set_count - 1)];
    for (size_t at = 0; at < LIMIT_TABLE_WAYS; at++) {
        if (atomic_load(&set->cells[at].key) == key) {
            atomic_fetch_sub(&set->cells[at].tat_ns, rate.interval_ns);
            return;
        }
    }
}

uint64_t limit_table_take_evictions(struct limit_table *table)
{
    bool any = atomic_load_explicit(&table->evictions, memory_order_relaxed) > 0;
    return any ? atomic_exchange(&table->evictions, 0) : 0;
}
