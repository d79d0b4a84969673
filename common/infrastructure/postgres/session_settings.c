// SPDX-License-Identifier: Apache-2.0
// How every session begins: what libpq is told, and the first statement.
#include "infrastructure/postgres/session_settings.h"

#include <string.h>

#define NO_LOG_STATE "CM002"
#define NO_LOG "this database has no log that this program knows: run comandactl migrate"
#define FOREIGN_LOG_STATE "CM003"
#define FOREIGN_LOG                                                                              \
    "the log was written in another PostgreSQL cluster, from which this database was restored: " \
    "run comandactl log adopt"

// Which default stands below a role's cannot be asked, pg_file_settings being a superuser's: so one
// that is weaker than `on` is not taken from there at all.
#define SET_ALL                                                                              \
    "do $$ begin"                                                                            \
    " perform set_config('client_encoding', 'UTF8', false),"                                 \
    " set_config('DateStyle', 'ISO, MDY', false),"                                           \
    " set_config('IntervalStyle', 'postgres', false),"                                       \
    " set_config('TimeZone', 'UTC', false),"                                                 \
    " set_config('bytea_output', 'hex', false),"                                             \
    " set_config('standard_conforming_strings', 'on', false),"                               \
    " set_config('default_transaction_isolation', 'read committed', false),"                 \
    " set_config('default_transaction_deferrable', 'off', false),"                           \
    " set_config('default_transaction_read_only', 'off', false),"                            \
    " (select set_config('synchronous_commit', 'on', false) from pg_catalog.pg_settings s"   \
    " where s.name = 'synchronous_commit' and s.setting in ('off', 'local', 'remote_write')" \
    " and s.source in ('global', 'database', 'user', 'database user'));"

// One statement, so that it costs no round trip more; a block, so that it can be run where there is
// no such function yet.
#define LOOK_AT_LOG                                                                     \
    " if not exists (select from pg_catalog.pg_proc p"                                  \
    " join pg_catalog.pg_namespace n on n.oid = p.pronamespace"                         \
    " where n.nspname = 'comanda' and p.proname = 'log_at_home') then"                  \
    " raise exception using errcode = '" NO_LOG_STATE "', message = '" NO_LOG "';"      \
    " elsif comanda.log_at_home() is not true then"                                     \
    " raise exception using errcode = '" FOREIGN_LOG_STATE "', message = '" FOREIGN_LOG \
    "'; end if;"

const char session_settings_sql[] = SET_ALL LOOK_AT_LOG " end $$";
const char session_settings_any_log_sql[] = SET_ALL " end $$";

const char *session_refusal(const char *sqlstate)
{
    return strcmp(sqlstate, FOREIGN_LOG_STATE) == 0 ? FOREIGN_LOG
           : strcmp(sqlstate, NO_LOG_STATE) == 0    ? NO_LOG
                                                    : NULL;
}

// The last of two values counts. `read-write` instead of `primary` would pass over a primary where
// a role's default is to read only, before we could say otherwise.
PGconn *session_connect_start(const struct session_options *options)
{
    const char *const keywords[] = {"keepalives",
                                    "keepalives_idle",
                                    "keepalives_interval",
                                    "keepalives_count",
                                    "tcp_user_timeout",
                                    "gssencmode",
                                    "target_session_attrs",
                                    "fallback_application_name",
                                    "dbname",
                                    "client_encoding",
                                    "host",
                                    "hostaddr",
                                    "port",
                                    NULL};
    const char *const values[] = {"1",
                                  "30",
                                  "10",
                                  "3",
                                  options->user_timeout_ms,
                                  options->gssencmode,
                                  "primary",
                                  options->application_name,
                                  options->conninfo,
                                  "UTF8",
                                  options->host,
                                  options->hostaddr,
                                  options->port,
                                  NULL};
    return PQconnectStartParams(keywords, values, 1);
}
