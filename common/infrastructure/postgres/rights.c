// SPDX-License-Identifier: Apache-2.0
// What each program must be allowed at PostgreSQL. The contract tests compare the lists with what
// the migrations grant, both ways.
#include "infrastructure/postgres/rights.h"

#include <string.h>

#include "infrastructure/postgres/binary.h"

#define EVERY_PROGRAM                                                \
    "usage comanda\nusage comanda_read\nselect comanda.migrations\n" \
    "select comanda.schema_versions\nexecute comanda.log_at_home\n"
#define HOW_THE_LOG_STANDS \
    "execute comanda.backlog\nexecute comanda.horizon_age_s\nexecute comanda.partition_months\n"
#define WRITES_STREAMS \
    "execute comanda.append\nexecute comanda.read_streams\nexecute comanda.save_snapshots"
#define SUSPECTS                                                    \
    "\nexecute comanda.suspect_clear\nexecute comanda.suspect_mark" \
    "\nexecute comanda.suspect_mark_group"
#define BACKLOG "\nexecute comanda.backlog_attend\nexecute comanda.backlog_tell"
#define LANES "\nexecute comanda.lane_leave\nexecute comanda.lane_look"
#define PARTICIPANT EVERY_PROGRAM WRITES_STREAMS SUSPECTS BACKLOG LANES
#define DOCUMENTS                                                      \
    "\nselect comanda_read.documents\ninsert comanda_read.documents"   \
    "\nupdate comanda_read.documents\ndelete comanda_read.documents"   \
    "\nselect comanda_read.cache_debt\ninsert comanda_read.cache_debt" \
    "\nupdate comanda_read.cache_debt\ndelete comanda_read.cache_debt"
#define NAMES_THE_HORIZON "execute comanda.horizon\n"
#define LEASES                                                            \
    "execute comanda.lease_acquire\nexecute comanda.lease_backend"        \
    "\nexecute comanda.lease_checkpoint\nexecute comanda.lease_end_stale" \
    "\nexecute comanda.lease_is_stale\nexecute comanda.lease_release"     \
    "\nexecute comanda.lease_renew\nexecute comanda.read_tail"            \
    "\nexecute comanda.keep_partitions\nexecute comanda.trim"             \
    "\nexecute comanda.upkeep_step\nexecute comanda.upkeep_undone"        \
    "\nexecute comanda.relay_sleep\nexecute comanda.relay_wake"
#define SAGAS                                                       \
    "\nexecute comanda.claim_timers\nexecute comanda.sagas_missing" \
    "\nexecute comanda.timers_rest_ms"                              \
    "\nexecute comanda.sagas_parked\nexecute comanda.sagas_running"

static const struct {
    const char *program;
    const char *rights;
} lists[] = {
    {"comanda-edge",
     EVERY_PROGRAM WRITES_STREAMS "\nexecute comanda.find_keys"
                                  "\nexecute comanda.relay_stands\nexecute comanda.backlog_s"
                                  "\nselect comanda_read.documents"},
    {"comanda-relay", EVERY_PROGRAM HOW_THE_LOG_STANDS NAMES_THE_HORIZON LEASES},
    {"comanda-saga",
     PARTICIPANT SAGAS "\nexecute comanda.derived_id\nexecute comanda.sagas_look"
                       "\nexecute comanda.sagas_parked_look\nexecute comanda.timers_put_off"},
    {"comanda-projector",
     EVERY_PROGRAM "execute comanda.read_streams\nexecute comanda.read_tail" SUSPECTS DOCUMENTS},
    {"comanda-operator", EVERY_PROGRAM HOW_THE_LOG_STANDS NAMES_THE_HORIZON LEASES
     "\n" WRITES_STREAMS DOCUMENTS SAGAS
     "\nexecute comanda.derived_id\nexecute comanda.relay_behind_s\nexecute comanda.find_keys"
     "\nexecute comanda.relay_stands\nexecute comanda.sagas_peek\nexecute "
     "comanda.sagas_parked_peek\nexecute comanda.log_at"
     "\nselect comanda.saga_missing\nexecute comanda.backlog_s\nselect comanda.backlog"
     "\nexecute comanda.saga_instances\nselect comanda.events\nselect comanda.outbox"
     "\nselect comanda.leases\nselect comanda.timers\nselect comanda.log\nselect comanda.snapshots"
     "\nexecute comanda.log_adopt\nselect comanda.suspects\nselect comanda.lane_members"
     "\nusage sandbox\nselect sandbox.journal"},
};

const char *rights_of(const char *program)
{
    for (size_t at = 0; at < sizeof(lists) / sizeof(lists[0]); at++) {
        if (strcmp(lists[at].program, program) == 0) {
            return lists[at].rights;
        }
    }
    return PARTICIPANT;
}

enum status rights_lacking(struct postgres *postgres, const char *program, const char *more,
                           struct arena *arena, struct str *lacking)
{
    static const Oid types[] = {OID_TEXT};
    struct str rights = arena_printf(arena, "%s%s%s", rights_of(program), more == NULL ? "" : "\n",
                                     more == NULL ? "" : more);
    struct statement statement;
    struct binary_params params;
    PGresult *result = NULL;
    *lacking = STR("");
    if (rights.data == NULL) {
        return STATUS_NO_MEMORY;
    }
    binary_params_begin(&params, &statement, arena, "rights", "select " RIGHTS_LACKING_SQL, types);
    binary_param_bytes(&params, rights);
    enum status status = params.status == STATUS_OK
                             ? postgres_run(postgres, &statement, POSTGRES_READS, &result)
                             : params.status;
    if (status != STATUS_OK) {
        return status;
    }
    struct binary_row row = {.result = result};
    *lacking = arena_str(arena, binary_bytes(&row, 0));
    PQclear(result);
    return row.bad ? STATUS_MALFORMED : lacking->data == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}
