// SPDX-License-Identifier: Apache-2.0
// comanda-inventory: runs the commands of inventory: reservations and the stock they take.
#include "application/handler/command_handler.h"
#include "runtime/consumer.h"
#include "runtime/parts.h"
#include "runtime/runtime.h"

#define QUEUE "comanda.inventory"

int main(int argc, char **argv)
{
    const struct setting_table table = {
        .program = "comanda-inventory",
        .purpose = "runs the commands of inventory: reservations and the stock they take",
        .groups = {runtime_settings, postgres_settings, amqp_settings, consumer_settings}};
    const struct settings *settings = settings_load_or_exit(argc, argv, &table);
    struct runtime *runtime = runtime_start_or_exit(settings);

    struct parts parts;
    parts_make_or_exit(&parts, runtime, QUEUE);
    struct message_handler handler = command_handler(STR("inventory"));

    struct consumer consumer = parts_consumer(&parts, QUEUE);
    consumer.handler = &handler;
    const struct runtime_loop loop = {"inventory", consumer_run, &consumer};
    int exit_code = runtime_run(runtime, &loop, 1); // until SIGTERM, drained

    parts_free(&parts);
    return exit_code;
}
