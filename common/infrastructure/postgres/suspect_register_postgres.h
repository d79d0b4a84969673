// SPDX-License-Identifier: Apache-2.0
// The register of suspect messages in PostgreSQL, each mark committed at once.
#pragma once

#include "application/ports/suspect_register.h"

struct postgres;

// postgres stays the caller's. NULL: no memory. For one thread.
struct suspect_register *suspect_register_postgres_new(struct postgres *postgres);
void suspect_register_postgres_free(struct suspect_register *suspects);
