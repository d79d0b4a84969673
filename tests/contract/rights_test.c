// SPDX-License-Identifier: Apache-2.0
// The programs' lists of rights against what the migrations grant, both ways.
#include "infrastructure/postgres/rights.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/test_database.h"
#include "infrastructure/psp/sandbox_carrier.h"
#include "infrastructure/psp/sandbox_payment_provider.h"

ReportHook(PRE_ALL)(struct criterion_test_set *set)
{
    (void)set;
    test_database_make();
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    test_database_drop();
}

static const char *const programs[] = {"edge",      "relay",    "saga",      "payment",
                                       "inventory", "shipping", "projector", "operator"};
enum { PROGRAMS = sizeof(programs) / sizeof(programs[0]), SQL_MAX = 1024 };

static struct postgres *postgres;
static struct arena arena;

// A superuser's session: it may play every role.
static void set_up(void)
{
    char conninfo[SQL_MAX];
    const char *server = getenv("COMANDA_TEST_POSTGRES_SUPERUSER");
    cr_assert_not_null(server);
    const char *name = test_database();
    for (const char *next = name; next != NULL; next = strstr(name + 1, " dbname=")) {
        name = next; // the last one counts
    }
    (void)snprintf(conninfo, sizeof(conninfo), "%s%s", server, name);
    postgres = postgres_new(&(struct postgres_options){.conninfo = conninfo});
    arena_init(&arena, 4096, 1024 * 1024);
}

static void tear_down(void)
{
    postgres_free(postgres);
    arena_free(&arena);
}

TestSuite(rights, .init = set_up, .fini = tear_down);

static PGresult *ask(const char *sql)
{
    PGresult *result = NULL;
    cr_assert_eq(postgres_script(postgres, sql, POSTGRES_READS, &result), STATUS_OK, "%s: %s", sql,
                 postgres_error(postgres));
    return result;
}

static void run(const char *sql)
{
    PQclear(ask(sql));
}

static const char *more_of(const char *program)
{
    return strcmp(program, "payment") == 0    ? SANDBOX_PAYMENT_RIGHTS
           : strcmp(program, "shipping") == 0 ? SANDBOX_CARRIER_RIGHTS
                                              : NULL;
}

static const char *name_of(const char *program)
{
    return arena_printf(&arena, "comanda-%s", program).data;
}

static bool has_line(const char *text, const char *line)
{
    size_t len = strlen(line);
    const char *found = text == NULL ? NULL : strstr(text, line);
    while (found != NULL && found[len] != '\n' && found[len] != '\0') {
        found = strstr(found + 1, line); // it began another one
    }
    return found != NULL;
}

// What a role was granted itself, on functions and tables: the right, and the statement that takes
// it away.
static PGresult *grants_of(const char *program)
{
    char sql[SQL_MAX];
    (void)snprintf(
        sql, sizeof(sql),
        "select lower(a.privilege_type) || ' ' || n.nspname || '.' || o.name, format('revoke %%s on"
        " %%s from comanda_%s', a.privilege_type, o.thing) from (select pronamespace, "
        "proname::text,"
        " proacl, 'function ' || oid::regprocedure from pg_proc union all select relnamespace,"
        " relname::text, relacl, oid::regclass::text from pg_class) o (space, name, acl, thing)"
        " join pg_namespace n on n.oid = o.space and n.nspname in ('comanda', 'comanda_read',"
        " 'sandbox'), aclexplode(o.acl) a where a.grantee = 'comanda_%s'::regrole",
        program, program);
    return ask(sql);
}

static struct str lacking_as(const char *program)
{
    char sql[SQL_MAX];
    struct str lacking;
    (void)snprintf(sql, sizeof(sql), "set local role comanda_%s", program);
    run(sql);
    cr_assert_eq(rights_lacking(postgres, name_of(program), more_of(program), &arena, &lacking),
                 STATUS_OK, "%s", postgres_error(postgres));
    return lacking;
}

Test(rights, given_the_migrations_then_each_program_may_all_of_its_list)
{
    for (size_t at = 0; at < PROGRAMS; at++) {
        run("begin");
        struct str lacking = lacking_as(programs[at]);
        cr_assert_eq(lacking.len, 0, "%.*s", STR_FMT(lacking));
        run("rollback");
    }
}

Test(rights, given_a_grant_then_its_programs_list_has_it)
{
    for (size_t at = 0; at < PROGRAMS; at++) {
        PGresult *grants = grants_of(programs[at]);
        cr_assert_gt(PQntuples(grants), 3);
        for (int row = 0; row < PQntuples(grants); row++) {
            const char *right = PQgetvalue(grants, row, 0);
            cr_assert(has_line(rights_of(name_of(programs[at])), right) ||
                          has_line(more_of(programs[at]), right),
                      "comanda_%s is granted %s, which its list in rights.c lacks", programs[at],
                      right);
        }
        PQclear(grants);
    }
}

Test(rights, given_any_one_grant_revoked_then_it_is_named_alone)
{
    for (size_t at = 0; at < PROGRAMS; at++) {
        PGresult *grants = grants_of(programs[at]);
        for (int row = 0; row < PQntuples(grants); row++) {
            const char *right = PQgetvalue(grants, row, 0);
            bool of_all = strcmp(right, "select comanda_read.documents") == 0; // comanda_runtime's
            char said[SQL_MAX] = "";
            run("begin");
            run(PQgetvalue(grants, row, 1));
            struct str lacking = lacking_as(programs[at]);
            if (!of_all) {
                (void)snprintf(said, sizeof(said), "comanda_%s may not %s", programs[at], right);
            }
            cr_assert_eq(strncmp(lacking.data, said, SQL_MAX), 0, "%s: %.*s", said,
                         STR_FMT(lacking));
            run("rollback");
        }
        PQclear(grants);
    }
}

Test(rights, given_a_role_of_nothing_then_what_it_lacks_is_told_in_bounds)
{
    run("begin");
    run("drop owned by comanda_operator");
    struct str lacking = lacking_as("operator");
    cr_assert(lacking.len > 100 && lacking.len <= 450, "%.*s", STR_FMT(lacking));
    run("rollback");
}
