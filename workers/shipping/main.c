// SPDX-License-Identifier: Apache-2.0
// comanda-shipping: runs the commands of shipping and asks the carrier.
#include <stdlib.h>

#include "application/handler/command_handler.h"
#include "infrastructure/psp/carrier_effects.h"
#include "infrastructure/psp/sandbox_carrier.h"
#include "infrastructure/telemetry/log.h"
#include "runtime/consumer.h"
#include "runtime/parts.h"
#include "runtime/runtime.h"

#define QUEUE "comanda.shipping"

static struct carrier *open_carrier_or_exit(const struct settings *settings)
{
    struct carrier *carrier = sandbox_carrier_new(settings_text(settings, "COMANDA_POSTGRES"));
    if (carrier == NULL) {
        log_line(LOG_ERROR, "no memory for the carrier");
        exit(EXIT_FAILURE);
    }
    return carrier;
}

int main(int argc, char **argv)
{
    const struct setting_table table = {
        .program = "comanda-shipping",
        .purpose = "runs the commands of shipping and asks the carrier",
        .groups = {runtime_settings, postgres_settings, amqp_settings, consumer_settings}};
    const struct settings *settings = settings_load_or_exit(argc, argv, &table);
    struct runtime *runtime = runtime_start_or_exit(settings);

    struct parts parts;
    parts_make_or_exit(&parts, runtime, QUEUE);
    parts.rights = SANDBOX_CARRIER_RIGHTS;
    struct carrier *carrier = open_carrier_or_exit(settings);
    struct carrier_effects effects = carrier_effects(carrier);
    struct message_handler handler = command_handler(STR("shipping"));

    struct consumer consumer = parts_consumer(&parts, QUEUE);
    consumer.handler = &handler;
    consumer.effects = &effects.port;
    const struct runtime_loop loop = {"shipping", consumer_run, &consumer};
    int exit_code = runtime_run(runtime, &loop, 1); // until SIGTERM, drained

    sandbox_carrier_free(carrier);
    parts_free(&parts);
    return exit_code;
}
