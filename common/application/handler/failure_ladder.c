// SPDX-License-Identifier: Apache-2.0
// Where a message goes that could not be handled: to a delay queue three times, then to the dead
// letters; poison goes there at once. Without I/O: it makes the copy, the caller publishes it.
#include "application/handler/failure_ladder.h"

// Cut before the byte that would begin in the middle of a UTF-8 character.
static struct str cut(struct str text, size_t len_max)
{
    if (text.len <= len_max) {
        return text;
    }
    size_t len = len_max;
    while (len > 0 && ((unsigned char)text.data[len] & 0xc0) == 0x80) {
        len--;
    }
    return (struct str){text.data, len};
}

static struct message_attempts one_more(const struct message_attempts *before, struct str cause,
                                        instant_us now)
{
    struct message_attempts attempts = *before;
    attempts.count = attempts.count < 0 ? 0 : attempts.count; // a foreign header may say anything
    attempts.count += attempts.count < INT32_MAX ? 1 : 0;
    attempts.first_at_us = attempts.first_at_us > 0 ? attempts.first_at_us : now;
    attempts.last_at_us = now;
    attempts.cause = cut(cause, FAILURE_CAUSE_MAX);
    return attempts;
}

enum status failure_ladder_copy(struct str queue, const struct message *failed,
                                enum message_outcome outcome, struct str cause, instant_us now,
                                struct arena *arena, struct message *copy, bool *dead)
{
    struct message made = *failed;
    made.attempts = one_more(&failed->attempts, cause, now);
    bool ends = outcome == MESSAGE_POISON || made.attempts.count > FAILURE_LADDER_RUNGS;
    made.exchange = ends ? STR("comanda.dead") : STR("comanda.retry");
    made.routing_key =
        ends ? queue : arena_printf(arena, "%.*s.%d", STR_FMT(queue), (int)made.attempts.count);
    if (made.routing_key.data == NULL) {
        return STATUS_NO_MEMORY;
    }
    *copy = made;
    *dead = ends;
    return STATUS_OK;
}
