// SPDX-License-Identifier: Apache-2.0
// What is measured of batches: how many commands one holds, and how long it takes.
#include "store/batch.h"

void ngx_http_comanda_batches_declare(ngx_conf_t *cf,
                                      struct ngx_http_comanda_batch_metrics *metrics)
{
    static const int64_t commands[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512};
    static const int64_t micros[] = {500,   1000,   2500,   5000,   10000,   25000,
                                     50000, 100000, 250000, 500000, 1000000, 2500000};
    metrics->commands =
        ngx_http_comanda_histogram(cf, "comanda_batch_commands", "Commands appended by one call.",
                                   STR(""), commands, sizeof(commands) / sizeof(commands[0]), 1);
    metrics->took_us = ngx_http_comanda_histogram(
        cf, "comanda_batch_seconds", "From sending a batch to its answer.", STR(""), micros,
        sizeof(micros) / sizeof(micros[0]), 1000000);
}
