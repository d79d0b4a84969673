// SPDX-License-Identifier: Apache-2.0
// Which programs a database's schema serves, and whether this one is among them.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "infrastructure/postgres/migrate.h"

static const char range_sql[] = "select coalesce(max(version), 0), coalesce(max(serves), 0)"
                                " from comanda.schema_versions";

// Programs before schema_versions wanted exactly their own.
static const char exact_sql[] = "select coalesce(max(version), 0), coalesce(max(version), 0)"
                                " from comanda.migrations";

static enum status read_range(struct postgres *postgres, const char *sql,
                              struct schema_range *range)
{
    PGresult *result = NULL;
    enum status status = postgres_script(postgres, sql, POSTGRES_READS, &result);
    if (status == STATUS_OK) {
        range->version = (int)strtol(PQgetvalue(result, 0, 0), NULL, 10);
        range->serves = (int)strtol(PQgetvalue(result, 0, 1), NULL, 10);
        PQclear(result);
    }
    return status;
}

static bool is_absent(const struct postgres *postgres, enum status status)
{
    const char *state = postgres_sqlstate(postgres);
    return status == STATUS_REFUSED && (strcmp(state, "42P01") == 0 || strcmp(state, "3F000") == 0);
}

enum status migrate_read_range(struct postgres *postgres, struct schema_range *range)
{
    enum status status = read_range(postgres, range_sql, range);
    if (is_absent(postgres, status)) {
        status = read_range(postgres, exact_sql, range);
    }
    if (is_absent(postgres, status)) {
        *range = (struct schema_range){0, 0};
        return STATUS_OK;
    }
    return status;
}

enum schema_fit migrate_fit(struct schema_range range)
{
    if (range.version < migrate_version()) {
        return SCHEMA_OLDER;
    }
    return range.serves > migrate_version() ? SCHEMA_NEWER : SCHEMA_FITS;
}

void migrate_describe(struct schema_range range, char *words, size_t size)
{
    switch (migrate_fit(range)) {
    case SCHEMA_FITS:
        (void)snprintf(words, size, "version %d serves programs of %d and later, this one is of %d",
                       range.version, range.serves, migrate_version());
        break;
    case SCHEMA_OLDER:
        (void)snprintf(words, size,
                       "the schema is version %d, this program needs %d:"
                       " run comandactl migrate",
                       range.version, migrate_version());
        break;
    case SCHEMA_NEWER:
        (void)snprintf(words, size,
                       "the schema, version %d, serves programs of %d and later, this one is of"
                       " %d: start a newer program",
                       range.version, range.serves, migrate_version());
        break;
    }
}
