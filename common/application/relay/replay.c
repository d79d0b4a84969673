// SPDX-License-Identifier: Apache-2.0
// Which rows of the log a replay publishes again, and a place in the log as people write it.
#include "application/relay/replay.h"

#include "application/relay/relay.h"

static bool is_after(struct log_cursor one, struct log_cursor other)
{
    if (one.epoch != other.epoch) {
        return one.epoch > other.epoch;
    }
    return one.tx != other.tx ? one.tx > other.tx : one.position > other.position;
}

bool replay_wants(const struct replay_filter *filter, const struct recorded_event *row)
{
    return relay_publishes(row) && !is_after(row->at, filter->end) &&
           (filter->since == 0 || row->recorded_at >= filter->since) &&
           (filter->until == 0 || row->recorded_at <= filter->until) &&
           (filter->category.len == 0 || str_eq(row->category, filter->category)) &&
           (filter->type.len == 0 || str_eq(row->type, filter->type));
}

bool replay_is_past(const struct replay_filter *filter, const struct recorded_event *row)
{
    return is_after(row->at, filter->end) ||
           (filter->until != 0 && row->recorded_at > filter->until + filter->transaction_us);
}

bool replay_place_parse(struct str text, struct log_cursor *at)
{
    struct str epoch, tx, position, rest;
    int64_t numbers[3];
    if (!str_split(text, '.', &epoch, &rest) || !str_split(rest, '.', &tx, &position)) {
        return false;
    }
    if (!str_to_int64(epoch, &numbers[0]) || !str_to_int64(tx, &numbers[1]) ||
        !str_to_int64(position, &numbers[2]) || numbers[0] < 0 || numbers[0] > INT32_MAX ||
        numbers[1] < 0 || numbers[2] < 0) {
        return false;
    }
    *at = (struct log_cursor){(int32_t)numbers[0], (uint64_t)numbers[1], numbers[2]};
    return true;
}

struct str replay_place_format(struct log_cursor at, struct arena *arena)
{
    return arena_printf(arena, "%d.%llu.%lld", (int)at.epoch, (unsigned long long)at.tx,
                        (long long)at.position);
}
