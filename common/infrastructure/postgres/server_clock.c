// SPDX-License-Identifier: Apache-2.0
// What time it is at PostgreSQL, which judges when a deadline has come.
#include "infrastructure/postgres/server_clock.h"

#include <stdlib.h>

enum status postgres_server_clock(struct postgres *postgres, instant_us *now)
{
    PGresult *result = NULL;
    enum status status =
        postgres_script(postgres, "select (extract(epoch from clock_timestamp()) * 1000000)::int8",
                        POSTGRES_READS, &result);
    if (status == STATUS_OK) {
        *now = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
        PQclear(result);
    }
    return status;
}
