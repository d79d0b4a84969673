// SPDX-License-Identifier: Apache-2.0
// Notes a finding of doctor's as a row of its table.
#include "doctor.h"

void doctor_say(struct doctor *doctor, const char *check, enum finding finding, struct str detail,
                const char *advice)
{
    static const char *const names[] = {
        [FINDING_OK] = "ok", [FINDING_WARNING] = "warning", [FINDING_FAULT] = "fault"};
    const struct str cells[] = {str_from(check), str_from(names[finding]), detail,
                                str_from(advice)};
    doctor->faults += finding == FINDING_FAULT;
    (void)table_add(&doctor->table, cells);
}
