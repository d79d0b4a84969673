// SPDX-License-Identifier: Apache-2.0
// Publishes rows of the log again: in small batches, each confirmed, no faster than is asked, until
// Ctrl-C.
#include "republish.h"

#include <signal.h>
#include <time.h>

#include "application/relay/replay.h"
#include "infrastructure/codec/cloud_event.h"
#include "sagas.h"
#include "table.h"

enum {
    BATCH = 100,
    BATCH_BYTES_MAX = 256 * 1024 * 1024,
    PUBLISH_MS = 30000,
    TRIES = 5, // of a batch, a second apart
    TRY_AGAIN_MS = 1000,
    TELL_MS = 2000,
    SECOND_MS = 1000,
};

static volatile sig_atomic_t asked_to_end;

static void ask_to_end(int signal_number)
{
    (void)signal_number;
    asked_to_end = 1;
}

bool republish_stopped(void)
{
    return asked_to_end != 0;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND_MS + now.tv_nsec / 1000000;
}

static void rest(int64_t ms)
{
    const struct timespec pause = {.tv_sec = ms / SECOND_MS, .tv_nsec = ms % SECOND_MS * 1000000};
    if (ms > 0 && !republish_stopped()) {
        (void)nanosleep(&pause, NULL); // a signal cuts it short
    }
}

enum ctl_exit republish_open(struct ctl *ctl, struct republish *republish)
{
    const char *rate = ctl_option_value(ctl, "--rate");
    *republish = (struct republish){.ctl = ctl, .rate = REPUBLISH_RATE_DEFAULT};
    if (rate != NULL && (!str_to_int64(str_from(rate), &republish->rate) || republish->rate < 1 ||
                         republish->rate > REPUBLISH_RATE_MAX)) {
        return ctl_fail(ctl, CTL_USAGE, "--rate %s: write a number from 1 to %d", rate,
                        REPUBLISH_RATE_MAX);
    }
    enum ctl_exit code = ctl_amqp(ctl, &republish->settings);
    if (code != CTL_OK) {
        return code;
    }
    republish->bus = message_bus_rabbitmq_new(&republish->settings, STR(""));
    (void)signal(SIGINT, ask_to_end);
    (void)signal(SIGTERM, ask_to_end);
    republish->began_ms = now_ms();
    republish->told_ms = republish->began_ms;
    return republish->bus == NULL ? ctl_fail(ctl, CTL_INTERNAL, "no memory") : CTL_OK;
}

void republish_close(struct republish *republish)
{
    message_bus_rabbitmq_free(republish->bus);
}

static enum status encode(const struct republish *republish,
                          const struct recorded_event *const *rows, size_t count,
                          struct arena *arena, struct message **messages)
{
    struct message *made = arena_array(arena, count, sizeof(*made));
    enum status status = made == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    for (size_t at = 0; at < count && status == STATUS_OK; at++) {
        status = cloud_event_encode(rows[at], arena, &made[at]);
        if (republish->queue.len > 0) {
            made[at].exchange = STR(""); // the default exchange: straight into the queue
            made[at].routing_key = republish->queue;
        }
    }
    *messages = made;
    return status;
}

// Refused for now, or lost on the way: the whole batch again. A queue that was named and is not
// there is no such case.
static enum status publish_once(struct republish *republish, const struct message *messages,
                                size_t count, int64_t *unwanted)
{
    enum publish_outcome outcomes[BATCH];
    enum status status = message_bus_publish(message_bus_rabbitmq_port(republish->bus), messages,
                                             count, PUBLISH_MS, outcomes);
    *unwanted = 0;
    for (size_t at = 0; at < count && status == STATUS_OK; at++) {
        *unwanted += outcomes[at] == RETURNED;
        status = outcomes[at] == NACKED ? STATUS_UNAVAILABLE : STATUS_OK;
    }
    return status == STATUS_OK && *unwanted > 0 && republish->queue.len > 0 ? STATUS_REFUSED
                                                                            : status;
}

static enum status publish_batch(struct republish *republish,
                                 const struct recorded_event *const *rows, size_t count)
{
    struct arena arena;
    struct message *messages = NULL;
    int64_t unwanted = 0;
    arena_init(&arena, 256 * 1024, BATCH_BYTES_MAX);
    enum status encoded = encode(republish, rows, count, &arena, &messages);
    enum status status = encoded;
    for (int tries = 0; encoded == STATUS_OK && tries < TRIES && !republish_stopped(); tries++) {
        rest(tries == 0 ? 0 : TRY_AGAIN_MS);
        status = publish_once(republish, messages, count, &unwanted);
        if (status != STATUS_UNAVAILABLE && status != STATUS_TIMEOUT) {
            break;
        }
    }
    if (status == STATUS_OK) {
        republish->published += (int64_t)count;
        republish->unwanted += unwanted;
    }
    arena_free(&arena);
    return status;
}

enum status republish_rows(struct republish *republish, const struct recorded_event *const *rows,
                           size_t count, size_t *done)
{
    size_t most = republish->rate < BATCH ? (size_t)republish->rate : BATCH;
    enum status status = STATUS_OK;
    *done = 0;
    while (*done < count && status == STATUS_OK && !republish_stopped()) {
        size_t size = count - *done < most ? count - *done : most;
        status = publish_batch(republish, rows + *done, size);
        if (status == STATUS_OK) {
            *done += size;
            republish_tell(republish, rows[*done - 1]->at, rows[*done - 1]->recorded_at);
            rest(republish->began_ms + republish->published * SECOND_MS / republish->rate -
                 now_ms());
        }
    }
    return status;
}

void republish_tell(struct republish *republish, struct log_cursor at, instant_us recorded_at)
{
    if (now_ms() - republish->told_ms < TELL_MS) {
        return;
    }
    struct str place = replay_place_format(at, republish->ctl->arena);
    struct str time = table_instant(republish->ctl, recorded_at);
    fprintf(stderr, "%lld published, up to %.*s of %.*s\n", (long long)republish->published,
            STR_FMT(place), STR_FMT(time));
    republish->told_ms = now_ms();
}

const char *republish_cause(const struct republish *republish, enum status status)
{
    const char *cause = message_bus_rabbitmq_health(republish->bus).cause;
    if (cause[0] != '\0') {
        return cause;
    }
    return status == STATUS_REFUSED ? "the broker has no such queue: comandactl topology check"
           : status == STATUS_UNAVAILABLE ? "the broker takes no more: a queue that is full?"
                                          : status_text(status);
}
