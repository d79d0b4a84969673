// SPDX-License-Identifier: Apache-2.0
// A carrier to try things with: it keeps its own books in the schema `sandbox` and refuses a marked
// postal code (migrations/0008_sandbox.sql). Its connection is its own.
#pragma once

#include "application/ports/carrier.h"

// conninfo: of the database that holds its books; copied. NULL: no memory. For one thread.
struct carrier *sandbox_carrier_new(const char *conninfo);
void sandbox_carrier_free(struct carrier *carrier);

// What its role needs, as rights.h lists it.
#define SANDBOX_CARRIER_RIGHTS \
    "usage sandbox\nexecute sandbox.perform_shipments\nselect sandbox.journal"
