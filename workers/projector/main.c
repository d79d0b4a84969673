// SPDX-License-Identifier: Apache-2.0
// comanda-projector: keeps the documents of the read side up to date with the log.
#include <stdlib.h>
#include <unistd.h>

#include "cache_keeper.h"
#include "cache_link.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/document_store_postgres.h"
#include "infrastructure/telemetry/log.h"
#include "projector.h"
#include "runtime/consumer.h"
#include "runtime/parts.h"
#include "runtime/runtime.h"

#define QUEUE "comanda.projector"

enum { ROWS_MAX = 1000, HOST_NAME_SIZE = 256 };

static struct document_store *documents_or_exit(struct postgres *postgres)
{
    struct document_store *documents = document_store_postgres_new(postgres);
    if (documents == NULL) {
        log_line(LOG_ERROR, "no memory for the read schema");
        exit(EXIT_FAILURE);
    }
    return documents;
}

// The keeper runs in a thread of its own, so it has a connection of its own.
static struct postgres *keepers_postgres_or_exit(const struct settings *settings)
{
    const struct postgres_options options = {.conninfo =
                                                 settings_text(settings, "COMANDA_POSTGRES"),
                                             .application_name = "comanda-projector-cache"};
    struct postgres *postgres = postgres_new(&options);
    if (postgres == NULL) {
        log_line(LOG_ERROR, "no memory for the cache keeper's connection");
        exit(EXIT_FAILURE);
    }
    return postgres;
}

int main(int argc, char **argv)
{
    const struct setting_table table = {
        .program = "comanda-projector",
        .purpose = "keeps the documents of the read side up to date with the log",
        .groups = {runtime_settings, postgres_settings, amqp_settings, redis_settings,
                   consumer_settings, tenant_settings, cache_settings}};
    const struct settings *settings = settings_load_or_exit(argc, argv, &table);
    struct runtime *runtime = runtime_start_or_exit(settings);

    struct parts parts;
    parts_make_or_exit(&parts, runtime, QUEUE);
    struct cache_link cache = cache_link_make_or_exit(settings);
    char host[HOST_NAME_SIZE] = "projector";
    (void)gethostname(host, sizeof(host) - 1);
    struct projector projector = {
        .run = {parts.store, documents_or_exit(parts.postgres), ROWS_MAX},
        .cache = &cache,
        .postgres = parts.postgres,
        .name = str_from(host),
        .runtime = runtime,
        .parts = &parts,
    };
    struct consumer consumer = parts_consumer(&parts, QUEUE);
    consumer.handle = projector_handle;
    consumer.context = &projector;
    consumer.ready = projector_ready;
    consumer.dependencies = &projector;
    consumer.name = STR("projector");
    consumer.backlog = NULL; // no step waits for documents

    struct cache_link keepers_cache = cache_link_make_or_exit(settings);
    struct cache_keeper keeper = {.postgres = keepers_postgres_or_exit(settings),
                                  .cache = keepers_cache.store,
                                  .tenant = str_from(settings_text(settings, "COMANDA_TENANT"))};
    const struct runtime_loop loops[] = {{"projector", consumer_run, &consumer},
                                         {"cache keeper", cache_keeper_run, &keeper}};
    int exit_code = runtime_run(runtime, loops, 2);

    postgres_free(keeper.postgres);
    cache_link_free(&keepers_cache);
    document_store_postgres_free(projector.run.documents);
    cache_link_free(&cache);
    parts_free(&parts);
    return exit_code;
}
