// SPDX-License-Identifier: Apache-2.0
// comanda-relay: publishes the tail of the log to RabbitMQ; one leads, others stand by.
#include <stdlib.h>
#include <unistd.h>

#include "infrastructure/codec/cloud_event.h"
#include "infrastructure/config/saga_files.h"
#include "infrastructure/postgres/event_store_postgres.h"
#include "infrastructure/postgres/log_bell_postgres.h"
#include "infrastructure/postgres/relay_lease_postgres.h"
#include "infrastructure/rabbitmq/topology_sagas.h"
#include "infrastructure/telemetry/log.h"
#include "relay/relay_house.h"
#include "relay/relay_loop.h"
#include "runtime/consumer.h"
#include "runtime/parts.h"
#include "runtime/server_settings.h"

enum {
    CONFIG_BYTES_MAX = 64 * 1024 * 1024,
    BATCH_BYTES_MAX = 192 * 1024 * 1024,
    LOG_REPLY_MS = 5000, // below the time after which a standby takes over
};

static const struct setting relay_items[] = {
    {"COMANDA_SAGAS", SETTING_TEXT, "conf/sagas", 1, 1000, NULL,
     "The folder with the sagas' definitions: what starts or cancels one is routed to them"},
    {"COMANDA_AMQP_MANAGEMENT", SETTING_SECRET, "", 0, 2000, NULL,
     "RabbitMQ's management API, asked for bindings (http://user:password@host:15672); empty: not"},
    {"COMANDA_RELAY_BATCH", SETTING_INTEGER, "512", 1, RELAY_BATCH_MAX, NULL,
     "Rows of the log that are read at once, at most"},
    {"COMANDA_RELAY_WINDOW", SETTING_INTEGER, "1000", 1, RABBITMQ_WINDOW_MAX, NULL,
     "Messages on their way that the broker has not confirmed yet, at most"},
    {"COMANDA_RELAY_POLL", SETTING_MS, "50ms", 2, 5000, NULL,
     "How long a relay that sleeps waits for an append to ring before it looks by itself"},
    {"COMANDA_LANES", SETTING_INTEGER, "8", 0, TOPOLOGY_LANES, NULL,
     "Queues that the commands for contended streams are spread over, each with one worker at a "
     "time; 0 for none. It may be changed at any time"},
    {"COMANDA_RELAY_STALE", SETTING_MS, "10s", 3000, 300000, NULL,
     "A leader that has not renewed its lease for so long is replaced"},
};

// NULL in *management: not named.
static bool read_management(const struct settings *settings, struct arena *arena,
                            struct rabbitmq_management **management, struct str *cause)
{
    struct str url = str_from(settings_text(settings, "COMANDA_AMQP_MANAGEMENT"));
    *management = NULL;
    if (url.len == 0) {
        return true;
    }
    *management = arena_alloc(arena, sizeof(**management));
    return *management != NULL &&
           rabbitmq_management_read(url, arena, *management, cause) == STATUS_OK;
}

static bool check_management(const struct settings *settings, struct arena *arena,
                             struct str *fault)
{
    struct rabbitmq_management *read;
    struct str cause = STR("no memory");
    bool right = read_management(settings, arena, &read, &cause);
    if (!right) {
        *fault = arena_printf(arena,
                              "COMANDA_AMQP_MANAGEMENT=(hidden): %.*s; write "
                              "http://user:password@host:15672, or nothing",
                              STR_FMT(cause));
    }
    return right;
}
static const struct setting_group relay_group =
    SETTING_GROUP_CHECKED(relay_items, check_management);

static void *must_have(void *made, const char *what)
{
    if (made == NULL) {
        log_line(LOG_ERROR, "no memory", log_text("for", what));
        exit(EXIT_FAILURE);
    }
    return made;
}

static struct saga_definitions *load_sagas_or_exit(const struct settings *settings,
                                                   struct arena *arena)
{
    struct buffer faults;
    struct saga_definitions *sagas =
        must_have(arena_alloc(arena, sizeof(*sagas)), "the sagas' definitions");
    buffer_init(&faults, arena, 64 * 1024);
    if (saga_files_load(settings_text(settings, "COMANDA_SAGAS"), (struct saga_overrides){0}, arena,
                        sagas, &faults) != STATUS_OK) {
        log_line(LOG_ERROR, "the sagas' definitions are wrong; see COMANDA_SAGAS",
                 log_str("faults", buffer_view(&faults)));
        exit(EXIT_FAILURE);
    }
    return sagas;
}

static void make_topology_or_exit(const struct settings *settings, struct arena *arena,
                                  struct topology *topology)
{
    const int32_t retry_ms[TOPOLOGY_RETRIES] = {
        (int32_t)settings_int(settings, "COMANDA_RETRY_1"),
        (int32_t)settings_int(settings, "COMANDA_RETRY_2"),
        (int32_t)settings_int(settings, "COMANDA_RETRY_3"),
    };
    const struct saga_definitions *sagas = load_sagas_or_exit(settings, arena);
    if (topology_make_of_sagas(context_registry(), sagas, retry_ms, arena, topology) != STATUS_OK) {
        log_line(LOG_ERROR, "no memory for the topology");
        exit(EXIT_FAILURE);
    }
}

static void make_keeper_or_exit(const struct settings *settings, struct arena *arena,
                                const struct rabbitmq_settings *amqp,
                                const struct topology *topology, struct topology_keeper *keeper)
{
    struct rabbitmq_management *management;
    struct str cause; // it has been checked
    bool made = read_management(settings, arena, &management, &cause) &&
                topology_keeper_init(keeper, amqp, topology, management,
                                     (int)settings_int(settings, "COMANDA_LANES"));
    must_have(made ? keeper : NULL, "the topology");
}

static struct postgres *open_postgres_or_exit(const struct settings *settings, int reply_ms)
{
    const struct postgres_options options = {
        .conninfo = settings_text(settings, "COMANDA_POSTGRES"),
        .application_name = settings_program(settings),
        .reply_timeout_ms = reply_ms,
    };
    return must_have(postgres_new(&options), "a connection to PostgreSQL");
}

static struct rabbitmq_settings read_amqp(const struct settings *settings, struct arena *arena)
{
    struct rabbitmq_settings amqp = amqp_settings_read(settings, arena);
    amqp.window = (size_t)settings_int(settings, "COMANDA_RELAY_WINDOW");
    return amqp;
}

// Connects at the first message.
static struct message_bus_rabbitmq *open_bus_or_exit(const struct rabbitmq_settings *amqp)
{
    return must_have(message_bus_rabbitmq_new(amqp, STR("")), "a bus");
}

static struct relay *make_relay_or_exit(const struct settings *settings)
{
    struct relay_settings relay = relay_settings_default();
    relay.batch = (size_t)settings_int(settings, "COMANDA_RELAY_BATCH");
    relay.poll_max_ms = (int)settings_int(settings, "COMANDA_RELAY_POLL");
    return must_have(relay_new(&relay, runtime_random()), "the relay");
}

// Who leads, for people: the machine and the process.
static struct str holder_name(struct arena *arena)
{
    char host[128] = "";
    (void)gethostname(host, sizeof(host) - 1);
    struct str name = arena_printf(arena, "%s:%d", host, (int)getpid());
    return name.data == NULL ? STR("?") : name;
}

int main(int argc, char **argv)
{
    const struct setting_table table = {
        .program = "comanda-relay",
        .purpose = "publishes the tail of the log to RabbitMQ; one leads, others stand by",
        .groups = {runtime_settings, postgres_settings, amqp_settings, ladder_settings,
                   relay_group}};
    const struct settings *settings = settings_load_or_exit(argc, argv, &table);
    struct runtime *runtime = runtime_start_or_exit(settings);

    struct arena arena;
    arena_init(&arena, 64 * 1024, CONFIG_BYTES_MAX);
    struct topology topology;
    make_topology_or_exit(settings, &arena, &topology);
    const struct rabbitmq_settings amqp = read_amqp(settings, &arena);
    struct topology_keeper keeper;
    make_keeper_or_exit(settings, &arena, &amqp, &topology, &keeper);

    // One session for the log, the lease on it and the bell: of two, one might be at another
    // server, and a checkpoint tell how far that one's log is published.
    struct postgres *log_link = open_postgres_or_exit(settings, LOG_REPLY_MS);
    struct postgres *house_link = open_postgres_or_exit(settings, 0);
    struct relay_house house = {.postgres = house_link};
    struct relay_loop loop = {
        .postgres = log_link,
        .leads = &house.leads,
        .bus = open_bus_or_exit(&amqp),
        .keeper = &keeper,
    };
    struct message_bus_rabbitmq *aside = open_bus_or_exit(&amqp); // for what nobody takes
    const struct relay_ports ports = {
        .lease = must_have(relay_lease_postgres_new(log_link), "the lease"),
        .bell = must_have(log_bell_postgres_new(log_link), "the bell"),
        .store = must_have(event_store_postgres_new(log_link), "the log"),
        .bus = message_bus_rabbitmq_port(loop.bus),
        .name = STR("relay"),
        .holder = holder_name(&arena),
        .stale_s = (int)(settings_int(settings, "COMANDA_RELAY_STALE") / 1000),
        .encode = cloud_event_encode,
        .by_lane = topology_keeper_by_lane,
        .wanted = topology_keeper_wants,
        .aside = message_bus_rabbitmq_port(aside),
        .aside_key = TOPOLOGY_UNROUTABLE,
        .look = topology_keeper_look,
        .context = &keeper,
    };
    struct relay *relay = make_relay_or_exit(settings);
    relay_run_init(&loop.run, &ports, relay, BATCH_BYTES_MAX);
    parts_need_postgres(runtime);
    readiness_need(runtime, "rabbitmq");

    const struct runtime_loop loops[] = {{"relay", relay_loop_run, &loop},
                                         {"house", relay_house_run, &house}};
    int exit_code = runtime_run(runtime, loops, 2); // until SIGTERM, drained

    relay_run_free(&loop.run);
    relay_free(relay);
    log_bell_postgres_free(ports.bell);
    relay_lease_postgres_free(ports.lease);
    event_store_postgres_free(ports.store);
    message_bus_rabbitmq_free(loop.bus);
    message_bus_rabbitmq_free(aside);
    topology_keeper_free(&keeper);
    postgres_free(house_link);
    postgres_free(log_link);
    arena_free(&arena);
    return exit_code;
}
