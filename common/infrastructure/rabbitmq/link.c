// SPDX-License-Identifier: Apache-2.0
// A connection that is made again after it was lost, with backoff and jitter.
#include "infrastructure/rabbitmq/link.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_RETRY_MS = 100, LONGEST_RETRY_MS = 5000 };

void rabbitmq_link_init(struct rabbitmq_link *link, const struct rabbitmq_settings *settings,
                        const char *purpose, rabbitmq_link_prepare_fn *prepare, void *context)
{
    *link = (struct rabbitmq_link){
        .settings = settings,
        .purpose = purpose,
        .prepare = prepare,
        .context = context,
        .backoff = {.first_ms = FIRST_RETRY_MS, .limit_ms = LONGEST_RETRY_MS},
    };
}

static void retry_later(struct rabbitmq_link *link)
{
    link->retry_at_ms = rabbitmq_now_ms() + backoff_next_ms(&link->backoff, arc4random());
}

static bool is_refusal(int code)
{
    return code == AMQP_ACCESS_REFUSED || code == AMQP_NOT_ALLOWED;
}

// A refusal says too what a person can do about it.
static void keep_cause(struct rabbitmq_link *link)
{
    bool refused = is_refusal(rabbitmq_connection_code(link->connection));
    (void)snprintf(link->cause, sizeof(link->cause), "%.250s%s",
                   rabbitmq_connection_cause(link->connection),
                   refused ? "; make the permissions anew: comandactl access rabbitmq" : "");
}

static void add_advice(struct rabbitmq_link *link)
{
    size_t length = strlen(link->cause);
    (void)snprintf(link->cause + length, sizeof(link->cause) - length,
                   "; mend the user, password or virtual host of COMANDA_AMQP, or make the users: "
                   "comandactl access rabbitmq");
}

static enum status connect_now(struct rabbitmq_link *link)
{
    enum status status =
        rabbitmq_connection_open(link->settings, link->purpose, &link->connection, link->cause);
    if (status != STATUS_OK) {
        link->connection = NULL;
        if (status == STATUS_REFUSED) {
            add_advice(link);
        }
        return status;
    }
    link->generation++;
    status = link->prepare(link->connection, link->context);
    if (status != STATUS_OK) {
        keep_cause(link);
        rabbitmq_connection_close(link->connection);
        link->connection = NULL;
    }
    return status;
}

enum status rabbitmq_link_ensure(struct rabbitmq_link *link)
{
    if (link->connection != NULL) {
        return STATUS_OK;
    }
    if (rabbitmq_now_ms() < link->retry_at_ms) {
        return link->failure == STATUS_OK ? STATUS_UNAVAILABLE : link->failure;
    }
    link->failure = connect_now(link);
    if (link->failure != STATUS_OK) {
        retry_later(link);
        return link->failure;
    }
    link->cause[0] = '\0';
    backoff_reset(&link->backoff);
    return STATUS_OK;
}

void rabbitmq_link_lost(struct rabbitmq_link *link)
{
    bool refused = false;
    if (link->connection != NULL) {
        refused = is_refusal(rabbitmq_connection_code(link->connection));
        keep_cause(link);
        rabbitmq_connection_close(link->connection);
        link->connection = NULL;
    }
    link->failure = STATUS_UNAVAILABLE;
    retry_later(link);
    if (refused) { // connecting works, what comes then does not: no backoff would ever grow
        link->retry_at_ms = rabbitmq_now_ms() + LONGEST_RETRY_MS;
    }
}

void rabbitmq_link_rest(const struct rabbitmq_link *link, int wait_ms)
{
    int64_t left = link->retry_at_ms - rabbitmq_now_ms();
    if (left > 0 && wait_ms > 0) {
        (void)poll(NULL, 0, left < wait_ms ? (int)left : wait_ms);
    }
}

void rabbitmq_link_close(struct rabbitmq_link *link)
{
    rabbitmq_connection_close(link->connection);
    link->connection = NULL;
}
