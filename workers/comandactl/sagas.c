// SPDX-License-Identifier: Apache-2.0
// The sagas' definitions and the broker's topology, as verbs of the operator need them.
#include "sagas.h"

#include "domain/bounded_context.h"
#include "infrastructure/config/saga_files.h"

enum {
    FAULTS_BYTES_MAX = 64 * 1024,
    EVENTS_MAX = SAGA_DEFINITIONS_MAX * 2 * SAGA_TRIGGERS_MAX,
    ANY_RETRY_MS = 1000 // a look at queues does not compare their delays
};

enum ctl_exit ctl_sagas(struct ctl *ctl, const struct saga_definitions **definitions)
{
    const char *folder = ctl_setting(ctl, "--sagas", "COMANDA_SAGAS", "conf/sagas");
    struct saga_definitions *made = arena_alloc(ctl->arena, sizeof(*made));
    struct buffer faults;
    buffer_init(&faults, ctl->arena, FAULTS_BYTES_MAX);
    enum status status = made == NULL ? STATUS_NO_MEMORY
                                      : saga_files_load(folder, (struct saga_overrides){0},
                                                        ctl->arena, made, &faults);
    if (status != STATUS_OK) {
        struct str why = buffer_view(&faults);
        return ctl_fail(ctl, CTL_USAGE, "the sagas of %s cannot be read (--sagas): %.*s", folder,
                        STR_FMT(why.len > 0 ? why : str_from(status_text(status))));
    }
    *definitions = made;
    return CTL_OK;
}

static void add_triggers(struct topology_event *events, size_t *count,
                         const struct saga_trigger *triggers, size_t trigger_count)
{
    for (size_t at = 0; at < trigger_count && *count < EVENTS_MAX; at++) {
        events[(*count)++] = (struct topology_event){triggers[at].category, triggers[at].type};
    }
}

enum ctl_exit ctl_topology(struct ctl *ctl, const struct saga_definitions *definitions,
                           struct topology *topology)
{
    struct topology_event *events = arena_array(ctl->arena, EVENTS_MAX, sizeof(*events));
    if (events == NULL) {
        return ctl_fail(ctl, CTL_INTERNAL, "no memory");
    }
    size_t count = 0;
    for (size_t at = 0; definitions != NULL && at < definitions->count; at++) {
        const struct saga_definition *saga = &definitions->items[at];
        add_triggers(events, &count, saga->starts_on, saga->starts_on_count);
        add_triggers(events, &count, saga->cancelled_by, saga->cancelled_by_count);
    }
    const struct topology_options options = {
        .registry = context_registry(),
        .saga_events = events,
        .saga_event_count = count,
        .retry_ms = {ANY_RETRY_MS, ANY_RETRY_MS, ANY_RETRY_MS},
    };
    enum status status = topology_make(&options, ctl->arena, topology);
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
