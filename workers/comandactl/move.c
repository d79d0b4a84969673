// SPDX-License-Identifier: Apache-2.0
// Moves messages from one queue into another: published and confirmed first, then acknowledged.
#include "move.h"

#include "application/ports/message_bus.h"
#include "infrastructure/rabbitmq/message_bus_rabbitmq.h"

enum { BATCH = 100, WAIT_MS = 2000, PUBLISH_MS = 10000, BATCH_BYTES_MAX = 256 * 1024 * 1024 };

static struct message copy_of(const struct move *move, const struct message *original)
{
    struct message message = *original;
    message.exchange = STR(""); // the default exchange: straight into the queue
    message.routing_key = move->to;
    if (move->afresh) {
        message.attempts = (struct message_attempts){.cause = STR("")};
    }
    return message;
}

// One copy that is refused has none of the others made twice: each original goes with its own copy.
static enum status acknowledge_moved(struct message_bus *bus, struct move *move,
                                     const struct message *originals,
                                     const enum publish_outcome *outcomes, size_t count)
{
    size_t moved = 0;
    enum status status = STATUS_OK;
    for (size_t at = 0; at < count; at++) {
        moved += outcomes[at] == PUBLISHED;
    }
    if (moved == count) {
        status = message_bus_ack(bus, originals[count - 1].delivery_tag, true);
    }
    for (size_t at = 0; moved < count && at < count && status == STATUS_OK; at++) {
        if (outcomes[at] == PUBLISHED) {
            status = message_bus_ack(bus, originals[at].delivery_tag, false);
        }
    }
    move->moved += status == STATUS_OK ? (int64_t)moved : 0;
    return status == STATUS_OK && moved < count ? STATUS_REFUSED : status;
}

static enum status publish_all(struct message_bus *bus, struct move *move,
                               const struct message *originals, size_t count, struct arena *arena)
{
    struct message *copies = arena_array(arena, count, sizeof(*copies));
    enum publish_outcome *outcomes = arena_array(arena, count, sizeof(*outcomes));
    if (copies == NULL || outcomes == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t at = 0; at < count; at++) {
        copies[at] = copy_of(move, &originals[at]);
    }
    enum status published = message_bus_publish(bus, copies, count, PUBLISH_MS, outcomes);
    enum status status = acknowledge_moved(bus, move, originals, outcomes, count);
    return published == STATUS_OK ? status : published;
}

static enum status move_batch(struct message_bus *bus, struct move *move, struct arena *arena,
                              size_t *count)
{
    struct message *messages = NULL;
    int64_t left = move->limit - move->moved;
    size_t most = left < BATCH ? (size_t)left : BATCH;
    enum status status = message_bus_receive(bus, most, WAIT_MS, 50, arena, &messages, count);
    return status != STATUS_OK || *count == 0 ? status
                                              : publish_all(bus, move, messages, *count, arena);
}

static enum status move_all(struct message_bus *bus, struct move *move)
{
    struct arena arena;
    arena_init(&arena, 256 * 1024, BATCH_BYTES_MAX);
    size_t count = 1;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && count > 0 && move->moved < move->limit) {
        arena_reset(&arena);
        status = move_batch(bus, move, &arena, &count);
    }
    arena_free(&arena);
    return status;
}

enum ctl_exit move_messages(struct ctl *ctl, const struct rabbitmq_settings *settings,
                            struct move *move)
{
    struct rabbitmq_settings few = *settings;
    few.prefetch = move->limit < BATCH ? (int)move->limit : BATCH;
    struct message_bus_rabbitmq *bus = message_bus_rabbitmq_new(&few, move->from);
    if (bus == NULL) {
        return ctl_fail(ctl, CTL_INTERNAL, "no memory");
    }
    enum ctl_exit code = CTL_OK;
    move->moved = 0;
    enum status status = move_all(message_bus_rabbitmq_port(bus), move);
    if (status != STATUS_OK) {
        const char *cause = message_bus_rabbitmq_health(bus).cause;
        code =
            ctl_fail(ctl, ctl_exit_of(status), "%.*s, after %lld messages: %s", STR_FMT(move->from),
                     (long long)move->moved, cause[0] == '\0' ? status_text(status) : cause);
    }
    message_bus_rabbitmq_free(bus);
    return code;
}
