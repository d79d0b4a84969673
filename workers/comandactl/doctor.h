// SPDX-License-Identifier: Apache-2.0
// What doctor looks at, a file a server; each finding says what to do.
#pragma once

#include "sagas.h"
#include "table.h"

enum finding { FINDING_OK, FINDING_WARNING, FINDING_FAULT };

struct doctor {
    struct ctl *ctl;
    struct table table;
    int faults;
    const struct saga_definitions *sagas; // NULL: they cannot be read
};

// Adds a finding. advice: what to do; "" when all is well.
void doctor_say(struct doctor *doctor, const char *check, enum finding finding, struct str detail,
                const char *advice);

// detail, formatted in the command's arena.
#define DOCTOR_DETAIL(doctor, ...) arena_printf((doctor)->ctl->arena, __VA_ARGS__)

void doctor_postgres(struct doctor *doctor);
struct postgres;
// Who holds the log's readers back, and what keeps dead rows.
void doctor_horizon(struct doctor *doctor, struct postgres *postgres);
void doctor_rabbitmq(struct doctor *doctor);
void doctor_redis(struct doctor *doctor);
