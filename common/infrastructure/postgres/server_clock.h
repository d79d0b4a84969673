// SPDX-License-Identifier: Apache-2.0
// What time it is at PostgreSQL, which judges when a deadline has come.
#pragma once

#include "base/instant.h"
#include "base/status.h"
#include "infrastructure/postgres/connection.h"

// Blocking; statuses of postgres_run. *now is as old as its answer was on its way.
enum status postgres_server_clock(struct postgres *postgres, instant_us *now) MUST_CHECK;
