// SPDX-License-Identifier: Apache-2.0
// doctor: PostgreSQL, the schema, the log and what lies in it.
#include "doctor.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/migrate.h"
#include "infrastructure/postgres/rights.h"
#include "infrastructure/postgres/saga_watch.h"

enum {
    REPLY_TIMEOUT_MS = 60000,
    MONTHS_MIN = 3,
    KEY_WEEKS_MIN = 1,
    LEASE_S_MAX = 15,
    RELAY_RELEASED = -2, // the lease was given back: its time is -infinity
    BACKLOG_COUNTED = 100000,
    BACKLOG_MAX = 10000,
    SAGA_ROWS_MAX = 200000, // of the log, past what the daemons have looked at
    SAGA_BEHIND_S_MAX = 300,
    PARKED_ROWS_MAX = 50000
};

struct look {
    struct doctor *doctor;
    struct postgres *postgres;
};

static void say_failed(const struct look *look, const char *check)
{
    doctor_say(look->doctor, check, FINDING_FAULT,
               arena_str(look->doctor->ctl->arena, str_from(postgres_error(look->postgres))),
               "ask with a role that may look: comanda_operator");
}

// One row of numbers; false after it has said why not. NULL reads as -1.
static bool ask(const struct look *look, const char *check, const char *sql, int64_t *numbers,
                int count)
{
    PGresult *result = NULL;
    if (postgres_script(look->postgres, sql, POSTGRES_READS, &result) != STATUS_OK) {
        say_failed(look, check);
        return false;
    }
    bool fits = PQntuples(result) == 1 && PQnfields(result) == count;
    for (int at = 0; fits && at < count; at++) {
        if (PQgetisnull(result, 0, at) != 0) {
            numbers[at] = -1;
        } else {
            fits = str_to_int64(str_from(PQgetvalue(result, 0, at)), &numbers[at]);
        }
    }
    PQclear(result);
    return fits;
}

static bool look_at_schema(const struct look *look)
{
    struct doctor *doctor = look->doctor;
    int version = 0;
    if (migrate_read_version(look->postgres, &version) != STATUS_OK) {
        say_failed(look, "schema");
        return false;
    }
    bool fits = version == migrate_version();
    doctor_say(doctor, "schema", fits ? FINDING_OK : FINDING_FAULT,
               DOCTOR_DETAIL(doctor, "version %d, this program was built for %d", version,
                             migrate_version()),
               fits                          ? ""
               : version < migrate_version() ? "run comandactl migrate"
                                             : "install the newer program");
    return fits;
}

static void look_at_rights(const struct look *look)
{
    struct str lacking;
    if (rights_lacking(look->postgres, "comanda-operator", NULL, look->doctor->ctl->arena,
                       &lacking) != STATUS_OK) {
        say_failed(look, "grants");
        return;
    }
    doctor_say(look->doctor, "grants", lacking.len == 0 ? FINDING_OK : FINDING_WARNING,
               lacking.len == 0 ? STR("an operator's, all of them") : lacking,
               lacking.len == 0 ? "" : "come as comanda_operator, or grant what it lacks");
}

static void look_at_partitions(const struct look *look)
{
    static const char sql[] =
        "select comanda.partition_months(), (select count(*) from pg_catalog.pg_inherits i"
        " join pg_catalog.pg_class c on c.oid = i.inhrelid"
        " join pg_catalog.pg_class p on p.oid = i.inhparent"
        " join pg_catalog.pg_namespace n on n.oid = p.relnamespace"
        " where n.nspname = 'comanda' and p.relname = 'keys' and c.relname ~ '^keys_[0-9]{4}_'"
        " and to_timestamp(c.relname, '\"keys_\"YYYY\"_\"MM\"_\"DD') > now())";
    struct doctor *doctor = look->doctor;
    int64_t numbers[2];
    if (ask(look, "partitions", sql, numbers, 2)) {
        bool enough = numbers[0] >= MONTHS_MIN && numbers[1] >= KEY_WEEKS_MIN;
        doctor_say(doctor, "partitions", enough ? FINDING_OK : FINDING_FAULT,
                   DOCTOR_DETAIL(doctor, "%lld months of the log and %lld weeks of keys ahead",
                                 (long long)numbers[0], (long long)numbers[1]),
                   enough ? ""
                          : "the relay's leader makes them: start comanda-relay, or run"
                            " comandactl migrate");
    }
}

static void look_at_relay(const struct look *look)
{
    static const char sql[] =
        "select (select case when isfinite(renewed_at)"
        " then extract(epoch from clock_timestamp() - renewed_at)::int8 else -2 end"
        " from comanda.leases where name = 'relay'), comanda.backlog('relay', 100000)";
    _Static_assert(BACKLOG_COUNTED == 100000, "as the statement says");
    struct doctor *doctor = look->doctor;
    int64_t numbers[2];
    if (!ask(look, "relay", sql, numbers, 2)) {
        return;
    }
    bool leads = numbers[0] >= 0 && numbers[0] <= LEASE_S_MAX;
    doctor_say(doctor, "relay", leads ? FINDING_OK : FINDING_FAULT,
               numbers[0] == RELAY_RELEASED ? STR("its last leader ended in order, none leads now")
               : numbers[0] < 0             ? STR("none has ever led")
                                : DOCTOR_DETAIL(doctor, "its leader was last seen %lld s ago",
                                                (long long)numbers[0]),
               leads ? "" : "start comanda-relay; its log says what it waits for");
    bool flows = numbers[1] < BACKLOG_MAX;
    doctor_say(doctor, "backlog", flows ? FINDING_OK : FINDING_WARNING,
               DOCTOR_DETAIL(doctor, "%lld%s rows of the log wait to be published",
                             (long long)numbers[1],
                             numbers[1] == BACKLOG_COUNTED ? " or more" : ""),
               flows ? "" : "look at the relay's log and at RabbitMQ's alarms");
}

static void look_for_waits(const struct look *look)
{
    static const char sql[] =
        "select count(*), coalesce(max(extract(epoch from clock_timestamp() - a.state_change)),"
        " 0)::int8 from pg_catalog.pg_stat_activity a where a.wait_event = 'SyncRep'"
        " and a.state_change < clock_timestamp() - interval '1 second'";
    struct doctor *doctor = look->doctor;
    int64_t numbers[2];
    if (ask(look, "standby", sql, numbers, 2)) {
        doctor_say(
            doctor, "standby", numbers[0] == 0 ? FINDING_OK : FINDING_FAULT,
            numbers[0] == 0
                ? STR("no session waits for one to confirm")
                : DOCTOR_DETAIL(doctor, "%lld sessions wait for one to confirm, up to %lld s",
                                (long long)numbers[0], (long long)numbers[1]),
            numbers[0] == 0 ? ""
                            : "bring the standby of synchronous_standby_names back, or take"
                              " it out of it; never end these sessions: they have committed");
    }
}

static int32_t longest_timeout(const struct saga_definition *definition)
{
    int32_t longest = definition->otherwise.timeout_s;
    for (size_t at = 0; at < definition->step_count; at++) {
        int32_t forward = definition->steps[at].forward.timeout_s;
        longest = forward > longest ? forward : longest;
    }
    return longest;
}

// How far the daemons' looks, and this one, have come; "" where all has been looked at.
static struct str looked_until(const struct doctor *doctor, const struct saga_gap *gap)
{
    if (gap->behind_s > SAGA_BEHIND_S_MAX) {
        return DOCTOR_DETAIL(doctor, "; of the log, the last %d s have not been looked at",
                             (int)gap->behind_s);
    }
    return STR("");
}

static void look_for_missing(const struct look *look, const struct saga_definition *definition)
{
    struct doctor *doctor = look->doctor;
    struct saga_gap gap = {0};
    if (saga_watch_peek(look->postgres, definition, longest_timeout(definition), SAGA_ROWS_MAX,
                        doctor->ctl->arena, &gap) != STATUS_OK) {
        say_failed(look, "sagas missing");
        return;
    }
    struct str until = looked_until(doctor, &gap);
    struct str detail =
        gap.count == 0
            ? DOCTOR_DETAIL(doctor, "%.*s: none%.*s", STR_FMT(definition->name), STR_FMT(until))
            : DOCTOR_DETAIL(doctor, "%.*s: %lld without an instance, the oldest %.*s of %.*s%.*s",
                            STR_FMT(definition->name), (long long)gap.count,
                            STR_FMT(table_uuid(doctor->ctl, gap.example.bytes)),
                            STR_FMT(table_instant(doctor->ctl, gap.oldest)), STR_FMT(until));
    doctor_say(doctor, "sagas missing",
               gap.count > 0   ? FINDING_FAULT
               : until.len > 0 ? FINDING_WARNING
                               : FINDING_OK,
               detail,
               gap.count > 0   ? "are comanda-relay and comanda-saga running? then look at"
                                 " comandactl dlq list saga, or run comandactl saga start --missing"
               : until.len > 0 ? "comanda-saga looks; is it running?"
                               : "");
}

// Without its definition a running saga waits for ever.
static void look_for_definitions(const struct look *look)
{
    struct doctor *doctor = look->doctor;
    struct saga_in_use *used = NULL;
    size_t count = 0;
    int64_t sagas = 0;
    if (saga_watch_in_use(look->postgres, doctor->ctl->arena, &used, &count) != STATUS_OK) {
        say_failed(look, "sagas running");
        return;
    }
    for (size_t at = 0; at < count; at++) {
        sagas += used[at].count;
        if (saga_definitions_find(doctor->sagas, used[at].name, used[at].version) == NULL) {
            doctor_say(doctor, "sagas running", FINDING_FAULT,
                       DOCTOR_DETAIL(doctor, "%lld on %.*s version %d, which is not there",
                                     (long long)used[at].count, STR_FMT(used[at].name),
                                     (int)used[at].version),
                       "put its file back beside the newer one until its last saga has ended");
            return;
        }
    }
    doctor_say(doctor, "sagas running", FINDING_OK,
               DOCTOR_DETAIL(doctor, "%lld, each with its definition", (long long)sagas), "");
}

static void look_at_sagas(const struct look *look)
{
    struct doctor *doctor = look->doctor;
    int32_t asks = 0;
    for (size_t at = 0; doctor->sagas != NULL && at < doctor->sagas->count; at++) {
        const struct saga_definition *definition = &doctor->sagas->items[at];
        look_for_missing(look, definition);
        asks = definition->parked_after > asks ? definition->parked_after : asks;
    }
    int64_t parked = 0;
    if (doctor->sagas == NULL) {
        return;
    }
    look_for_definitions(look);
    if (saga_watch_peek_parked(look->postgres, asks, PARKED_ROWS_MAX, doctor->ctl->arena,
                               &parked) != STATUS_OK) {
        say_failed(look, "sagas parked");
        return;
    }
    doctor_say(doctor, "sagas parked", parked == 0 ? FINDING_OK : FINDING_WARNING,
               DOCTOR_DETAIL(doctor, "%lld wait for a person", (long long)parked),
               parked == 0 ? ""
                           : "comandactl saga list --state parked; mend the cause, then saga"
                             " retry");
}

static void look_at_cache_debt(const struct look *look)
{
    int64_t notes;
    if (ask(look, "cache debt", "select count(*) from comanda_read.cache_debt", &notes, 1)) {
        doctor_say(
            look->doctor, "cache debt", notes == 0 ? FINDING_OK : FINDING_WARNING,
            DOCTOR_DETAIL(look->doctor, "%lld notes that Redis may be behind", (long long)notes),
            notes == 0 ? "" : "a running comanda-projector settles them once Redis is back");
    }
}

void doctor_postgres(struct doctor *doctor)
{
    struct ctl *ctl = doctor->ctl;
    const char *conninfo = ctl_setting(ctl, "--postgres", "COMANDA_POSTGRES", NULL);
    if (conninfo == NULL) {
        doctor_say(doctor, "postgres", FINDING_FAULT, STR("not named"),
                   "give --postgres CONNINFO or set COMANDA_POSTGRES");
        return;
    }
    struct postgres *postgres = postgres_new(&(struct postgres_options){
        .conninfo = conninfo,
        .application_name = "comandactl doctor",
        .reply_timeout_ms = REPLY_TIMEOUT_MS,
    });
    const struct look look = {doctor, postgres};
    if (postgres == NULL || postgres_connect(postgres) != STATUS_OK) {
        doctor_say(doctor, "postgres", FINDING_FAULT,
                   postgres == NULL ? STR("no memory")
                                    : arena_str(ctl->arena, str_from(postgres_error(postgres))),
                   "start it, or mend the address and the password");
        postgres_free(postgres);
        return;
    }
    doctor_say(doctor, "postgres", FINDING_OK, STR("connected"), "");
    if (look_at_schema(&look)) {
        look_at_rights(&look);
        look_at_partitions(&look);
        look_at_relay(&look);
        doctor_horizon(doctor, postgres);
        look_for_waits(&look);
        look_at_sagas(&look);
        look_at_cache_debt(&look);
    }
    postgres_free(postgres);
}
