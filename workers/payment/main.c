// SPDX-License-Identifier: Apache-2.0
// comanda-payment: runs the commands of payments and asks the payment provider.
#include <stdlib.h>

#include "application/handler/command_handler.h"
#include "infrastructure/psp/payment_effects.h"
#include "infrastructure/psp/sandbox_payment_provider.h"
#include "infrastructure/telemetry/log.h"
#include "runtime/consumer.h"
#include "runtime/parts.h"
#include "runtime/runtime.h"

#define QUEUE "comanda.payment"

static struct payment_provider *open_provider_or_exit(const struct settings *settings)
{
    struct payment_provider *provider =
        sandbox_payment_provider_new(settings_text(settings, "COMANDA_POSTGRES"));
    if (provider == NULL) {
        log_line(LOG_ERROR, "no memory for the payment provider");
        exit(EXIT_FAILURE);
    }
    return provider;
}

int main(int argc, char **argv)
{
    const struct setting_table table = {
        .program = "comanda-payment",
        .purpose = "runs the commands of payments and asks the payment provider",
        .groups = {runtime_settings, postgres_settings, amqp_settings, consumer_settings}};
    const struct settings *settings = settings_load_or_exit(argc, argv, &table);
    struct runtime *runtime = runtime_start_or_exit(settings);

    struct parts parts;
    parts_make_or_exit(&parts, runtime, QUEUE);
    parts.rights = SANDBOX_PAYMENT_RIGHTS;
    struct payment_provider *provider = open_provider_or_exit(settings);
    struct payment_effects effects = payment_effects(provider);
    struct message_handler handler = command_handler(STR("payment"));

    struct consumer consumer = parts_consumer(&parts, QUEUE);
    consumer.handler = &handler;
    consumer.effects = &effects.port;
    const struct runtime_loop loop = {"payment", consumer_run, &consumer};
    int exit_code = runtime_run(runtime, &loop, 1); // until SIGTERM, drained

    sandbox_payment_provider_free(provider);
    parts_free(&parts);
    return exit_code;
}
