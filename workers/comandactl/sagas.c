// SPDX-License-Identifier: Apache-2.0
// The sagas' definitions and the broker's topology, as verbs of the operator need them.
#include "sagas.h"

#include "domain/bounded_context.h"
#include "infrastructure/config/saga_files.h"
#include "infrastructure/rabbitmq/topology_sagas.h"

enum {
    FAULTS_BYTES_MAX = 64 * 1024,
    ANY_RETRY_MS = 1000 // a look at queues does not compare their delays
};

static const char *folder_of(struct ctl *ctl)
{
    return ctl_setting(ctl, "--sagas", "COMANDA_SAGAS", "conf/sagas");
}

// *why: its faults, or why it cannot be read.
static enum status load(struct ctl *ctl, struct saga_definitions **made, struct str *why)
{
    struct buffer faults;
    buffer_init(&faults, ctl->arena, FAULTS_BYTES_MAX);
    *made = arena_alloc(ctl->arena, sizeof(**made));
    enum status status = *made == NULL ? STATUS_NO_MEMORY
                                       : saga_files_load(folder_of(ctl), (struct saga_overrides){0},
                                                         ctl->arena, *made, &faults);
    *why = buffer_view(&faults);
    while (why->len > 0 && why->data[why->len - 1] == '\n') { // it ends as a line of its own
        why->len--;
    }
    *why = why->len > 0 ? *why : str_from(status_text(status));
    return status;
}

enum ctl_exit ctl_sagas(struct ctl *ctl, const struct saga_definitions **definitions)
{
    struct saga_definitions *made;
    struct str why;
    if (load(ctl, &made, &why) != STATUS_OK) {
        return ctl_fail(ctl, CTL_USAGE, "the sagas of %s cannot be read (--sagas): %.*s",
                        folder_of(ctl), STR_FMT(why));
    }
    *definitions = made;
    return CTL_OK;
}

const struct saga_definitions *ctl_sagas_if_readable(struct ctl *ctl)
{
    struct saga_definitions *made;
    struct str why;
    return load(ctl, &made, &why) == STATUS_OK ? made : NULL;
}

enum ctl_exit ctl_topology(struct ctl *ctl, const struct saga_definitions *definitions,
                           struct topology *topology)
{
    static const struct saga_definitions none = {.count = 0};
    static const int32_t retry_ms[TOPOLOGY_RETRIES] = {ANY_RETRY_MS, ANY_RETRY_MS, ANY_RETRY_MS};
    enum status status =
        topology_make_of_sagas(context_registry(), definitions == NULL ? &none : definitions,
                               retry_ms, ctl->arena, topology);
    return status == STATUS_OK
               ? CTL_OK
               : ctl_fail(ctl, ctl_exit_of(status), "the topology: %s", status_text(status));
}

enum ctl_exit ctl_amqp(struct ctl *ctl, struct rabbitmq_settings *settings)
{
    const char *url = ctl_setting(ctl, "--amqp", "COMANDA_AMQP", NULL);
    struct str cause = STR("");
    if (url == NULL) {
        return ctl_fail(ctl, CTL_USAGE, "give --amqp URL or set COMANDA_AMQP");
    }
    enum status status = rabbitmq_settings_read(str_from(url), ctl->arena, settings, &cause);
    if (status != STATUS_OK) {
        return ctl_fail(ctl, CTL_USAGE, "--amqp, COMANDA_AMQP: %.*s", STR_FMT(cause));
    }
    settings->name = "comandactl";
    return CTL_OK;
}

enum ctl_exit ctl_amqp_open(struct ctl *ctl, const struct rabbitmq_settings *settings,
                            struct rabbitmq_connection **connection)
{
    char cause[RABBITMQ_CAUSE_MAX] = "";
    enum status status = rabbitmq_connection_open(settings, "operator", connection, cause);
    return status == STATUS_OK ? CTL_OK : ctl_fail(ctl, ctl_exit_of(status), "RabbitMQ: %s", cause);
}
