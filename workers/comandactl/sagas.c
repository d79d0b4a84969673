// SPDX-License-Identifier: Apache-2.0
// The sagas' definitions and the broker's topology, as verbs of the operator need them.
#include "sagas.h"

#include <stdio.h>

#include "domain/bounded_context.h"
#include "infrastructure/config/saga_files.h"
#include "infrastructure/config/setting_value.h"
#include "infrastructure/rabbitmq/topology_sagas.h"
#include "runtime/consumer.h"

enum { FAULTS_BYTES_MAX = 64 * 1024 };

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
        return ctl_fail(ctl, CTL_INTERNAL, "the sagas of %s cannot be read (--sagas): %.*s",
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

bool ctl_names_delays(struct ctl *ctl)
{
    bool named = ctl_option_value(ctl, "--retry") != NULL;
    for (size_t at = 0; at < TOPOLOGY_RETRIES; at++) {
        named = named || ctl_setting(ctl, "", ladder_settings.items[at].name, NULL) != NULL;
    }
    return named;
}

// --retry as three texts; false: it has not three parts.
static bool split_delays(struct str given, struct arena *arena, struct str texts[TOPOLOGY_RETRIES])
{
    size_t count = 0;
    struct str part = given;
    struct str rest = {NULL, 0};
    for (bool more = true; more; given = rest) {
        more = str_split(given, ',', &part, &rest);
        if (count == TOPOLOGY_RETRIES) {
            return false;
        }
        texts[count++] = arena_printf(arena, "%.*s", STR_FMT(part)); // with a NUL after it
    }
    return count == TOPOLOGY_RETRIES;
}

static enum ctl_exit read_delays(struct ctl *ctl, int32_t retry_ms[TOPOLOGY_RETRIES])
{
    struct str texts[TOPOLOGY_RETRIES];
    const char *given = ctl_option_value(ctl, "--retry");
    if (given != NULL && !split_delays(str_from(given), ctl->arena, texts)) {
        return ctl_fail(ctl, CTL_USAGE, "--retry %s: write three delays, such as 5s,20s,60s",
                        given);
    }
    for (size_t at = 0; at < TOPOLOGY_RETRIES; at++) {
        const struct setting *delay = &ladder_settings.items[at];
        struct setting_value value;
        struct str text =
            given != NULL ? texts[at] : str_from(ctl_setting(ctl, "", delay->name, delay->value));
        if (!setting_value_parse(delay, text, &value)) {
            return ctl_fail(ctl, CTL_USAGE, "%s %.*s: %.*s", delay->name, STR_FMT(text),
                            STR_FMT(setting_allows(delay, ctl->arena)));
        }
        retry_ms[at] = (int32_t)value.number;
    }
    return CTL_OK;
}

enum ctl_exit ctl_topology(struct ctl *ctl, const struct saga_definitions *definitions,
                           struct topology *topology)
{
    static const struct saga_definitions none = {.count = 0};
    int32_t retry_ms[TOPOLOGY_RETRIES];
    enum ctl_exit code = read_delays(ctl, retry_ms);
    if (code != CTL_OK) {
        return code;
    }
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

bool ctl_lost_bindings(struct ctl *ctl, const struct topology *topology, const char *vhost,
                       struct topology_lost *lost)
{
    const char *url = ctl_setting(ctl, "--management", "COMANDA_AMQP_MANAGEMENT", NULL);
    struct rabbitmq_management management;
    struct str cause = STR("no memory");
    *lost = (struct topology_lost){0};
    if (url == NULL) {
        return false;
    }
    enum status status = rabbitmq_management_read(str_from(url), ctl->arena, &management, &cause);
    if (status != STATUS_OK) {
        (void)snprintf(lost->cause, sizeof(lost->cause), "%.*s", STR_FMT(cause));
    } else if (topology_bindings_ask(topology, &management, vhost, lost) != STATUS_OK &&
               lost->cause[0] == '\0') {
        (void)snprintf(lost->cause, sizeof(lost->cause), "the management API cannot be asked");
    }
    return true;
}
