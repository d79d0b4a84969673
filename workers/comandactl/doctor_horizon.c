// SPDX-License-Identifier: Apache-2.0
// doctor: who holds the log's readers back, by name, and which replication slot keeps dead rows.
#include <stdlib.h>

#include "doctor.h"
#include "infrastructure/postgres/connection.h"

enum { HORIZON_S_MAX = 60, SLOT_AGE_MAX = 10000000 };

// One row of text; NULL after it has said why not.
static PGresult *ask_row(struct doctor *doctor, struct postgres *postgres, const char *check,
                         const char *sql)
{
    PGresult *result = NULL;
    if (postgres_script(postgres, sql, POSTGRES_READS, &result) != STATUS_OK) {
        doctor_say(doctor, check, FINDING_FAULT,
                   arena_str(doctor->ctl->arena, str_from(postgres_error(postgres))),
                   "ask with a role that may look: comanda_operator");
        return NULL;
    }
    return result;
}

// A column's value, or "-".
static const char *text_of(const PGresult *row, int column)
{
    bool has = PQgetisnull(row, 0, column) == 0 && PQgetlength(row, 0, column) > 0;
    return has ? PQgetvalue(row, 0, column) : "-";
}

enum { AGE, PID, GID, APPLICATION, DATABASE, USER, CLIENT, STATE, OWNER };

static void say_not_seen(struct doctor *doctor, const PGresult *row)
{
    struct str advice = DOCTOR_DETAIL(doctor, "as a superuser: grant pg_read_all_stats to %s%c",
                                      text_of(row, OWNER), '\0');
    doctor_say(doctor, "horizon", FINDING_FAULT,
               DOCTOR_DETAIL(doctor, "the schema's owner, %s, may not see the sessions of others",
                             text_of(row, OWNER)),
               advice.data == NULL ? "" : advice.data);
}

// Who it is, whatever its age.
static struct str holder_of(struct doctor *doctor, const PGresult *row, double age_s)
{
    if (PQgetisnull(row, 0, GID) == 0) {
        return DOCTOR_DETAIL(doctor,
                             "the oldest is %.0f s old: prepared transaction %s of %s in %s", age_s,
                             text_of(row, GID), text_of(row, USER), text_of(row, DATABASE));
    }
    if (PQgetisnull(row, 0, PID) == 0) {
        return DOCTOR_DETAIL(doctor,
                             "the oldest is %.0f s old: pid %s, application %s, database %s, user"
                             " %s, client %s, %s",
                             age_s, text_of(row, PID), text_of(row, APPLICATION),
                             text_of(row, DATABASE), text_of(row, USER), text_of(row, CLIENT),
                             text_of(row, STATE));
    }
    return STR("no transaction is writing now");
}

static const char *advice_of(struct doctor *doctor, const PGresult *row)
{
    if (PQgetisnull(row, 0, GID) == 0) {
        return "it holds all readers of the log back: commit prepared or rollback prepared, in that"
               " database";
    }
    struct str advice = DOCTOR_DETAIL(
        doctor, "it holds all readers of the log back: select pg_terminate_backend(%s)%c",
        text_of(row, PID), '\0');
    return advice.data == NULL ? "" : advice.data;
}

static void look_at_horizon(struct doctor *doctor, struct postgres *postgres)
{
    static const char sql[] =
        "select h.age_s, h.pid, h.gid, h.application, h.database, h.username, h.client, h.state,"
        " (select r.rolname from pg_catalog.pg_proc p join pg_catalog.pg_roles r"
        "  on r.oid = p.proowner where p.oid = 'comanda.horizon()'::regprocedure)"
        " from comanda.horizon() h";
    PGresult *row = ask_row(doctor, postgres, "horizon", sql);
    if (row == NULL) {
        return;
    }
    double age_s = strtod(text_of(row, AGE), NULL);
    if (PQgetisnull(row, 0, AGE) != 0) {
        say_not_seen(doctor, row);
    } else {
        bool fine = age_s <= HORIZON_S_MAX;
        doctor_say(doctor, "horizon", fine ? FINDING_OK : FINDING_FAULT,
                   holder_of(doctor, row, age_s), fine ? "" : advice_of(doctor, row));
    }
    PQclear(row);
}

// Slots hold no reader back, but dead rows of all tables, which the log's timers and leases feel.
static void look_at_slots(struct doctor *doctor, struct postgres *postgres)
{
    static const char sql[] =
        "select s.slot_name, s.slot_type, coalesce(s.database, '-'), s.active,"
        " greatest(age(s.xmin), age(s.catalog_xmin)) from pg_catalog.pg_replication_slots s"
        " where s.xmin is not null or s.catalog_xmin is not null order by 5 desc limit 1";
    PGresult *row = ask_row(doctor, postgres, "slots", sql);
    if (row == NULL) {
        return;
    }
    bool none = PQntuples(row) == 0;
    bool fine = none || strtol(text_of(row, 4), NULL, 10) <= SLOT_AGE_MAX;
    doctor_say(doctor, "slots", fine ? FINDING_OK : FINDING_WARNING,
               none ? STR("no replication slot keeps dead rows")
                    : DOCTOR_DETAIL(doctor,
                                    "slot %s (%s, database %s, %s) keeps the dead rows of %s"
                                    " transactions",
                                    text_of(row, 0), text_of(row, 1), text_of(row, 2),
                                    text_of(row, 3)[0] == 't' ? "active" : "inactive",
                                    text_of(row, 4)),
               fine ? "" : "bring its reader back, or drop it: pg_drop_replication_slot");
    PQclear(row);
}

void doctor_horizon(struct doctor *doctor, struct postgres *postgres)
{
    look_at_horizon(doctor, postgres);
    look_at_slots(doctor, postgres);
}
