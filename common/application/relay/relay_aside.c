// SPDX-License-Identifier: Apache-2.0
// Commands and replies that the broker could give to nobody: put aside by name, so that they do not
// stop the tail of the log.
#include "application/relay/relay_aside.h"

enum { PUBLISH_MS = 2000 };

// What was sent is not kept, so its row is read again.
static enum status read_message(struct relay_run *run, struct log_cursor before,
                                struct message *message)
{
    const struct relay_ports *ports = &run->ports;
    struct recorded_event *rows = NULL;
    struct log_cursor next;
    size_t count = 0;
    enum status status =
        event_store_read_tail(ports->store, before, 1, &run->put_aside, &rows, &count, &next);
    if (status == STATUS_OK && count == 0) {
        status = STATUS_NOT_FOUND;
    }
    return status == STATUS_OK ? ports->encode(rows, &run->put_aside, message) : status;
}

// The copy says where nobody took it.
static enum status address(struct relay_run *run, struct message *message)
{
    struct str cause = arena_printf(&run->put_aside, "unroutable: nobody takes %.*s from %.*s",
                                    STR_FMT(message->routing_key), STR_FMT(message->exchange));
    message->attempts = (struct message_attempts){.count = 1, .cause = cause};
    message->exchange = STR("");
    message->routing_key = run->ports.aside_key;
    return cause.data == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

// The copies, and which outcomes they stand for; in the arena.
struct copies {
    struct message *messages;
    size_t *outcomes;
    size_t count;
};

// False: what follows goes again, since the relay mends.
static bool gather(struct relay_run *run, size_t at, struct copies *copies)
{
    struct log_cursor before;
    struct message *message = &copies->messages[copies->count];
    if (!relay_heard(run->relay, at, &before)) {
        return true;
    }
    if (read_message(run, before, message) != STATUS_OK) {
        return false;
    }
    if (run->ports.wanted(run->ports.context, message)) {
        run->seen.returned = true;
        return false;
    }
    copies->outcomes[copies->count] = at;
    copies->count += address(run, message) == STATUS_OK;
    return true;
}

static enum status publish(struct relay_run *run, const struct copies *copies)
{
    // Whatever is told: the log has the row.
    enum publish_outcome *told = arena_array(&run->put_aside, copies->count, sizeof(*told));
    return told == NULL ? STATUS_NO_MEMORY
                        : message_bus_publish(run->ports.aside, copies->messages, copies->count,
                                              PUBLISH_MS, told);
}

static void put_aside(struct relay_run *run, enum publish_outcome *outcomes,
                      struct relay_step *step)
{
    struct copies copies = {
        .messages = arena_array(&run->put_aside, step->returned, sizeof(*copies.messages)),
        .outcomes = arena_array(&run->put_aside, step->returned, sizeof(*copies.outcomes)),
    };
    bool going = copies.messages != NULL && copies.outcomes != NULL;
    for (size_t at = 0; going && at < step->count && outcomes[at] != NACKED; at++) {
        going = outcomes[at] == PUBLISHED || gather(run, at, &copies);
    }
    if (copies.count == 0 || publish(run, &copies) != STATUS_OK) {
        return;
    }
    for (size_t each = 0; each < copies.count; each++) {
        outcomes[copies.outcomes[each]] = PUBLISHED;
    }
    step->aside_count = copies.count;
    step->aside = copies.messages;
}

void relay_put_aside(struct relay_run *run, enum publish_outcome *outcomes, struct relay_step *step)
{
    for (size_t at = 0; at < step->count; at++) {
        step->returned += outcomes[at] == RETURNED;
    }
    arena_reset(&run->put_aside);
    if (step->returned > 0) {
        put_aside(run, outcomes, step);
    }
}
