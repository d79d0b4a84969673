// SPDX-License-Identifier: Apache-2.0
// A payment provider to try things with: it keeps its own books in the schema `sandbox` and answers
// by marked tokens (migrations/0008_sandbox.sql). Its connection is its own, so what it has done
// stays done whatever becomes of the caller's transaction.
#pragma once

#include "application/ports/payment_provider.h"

// conninfo: of the database that holds its books; copied. NULL: no memory. For one thread.
struct payment_provider *sandbox_payment_provider_new(const char *conninfo);
void sandbox_payment_provider_free(struct payment_provider *provider);

// What its role needs, as rights.h lists it.
#define SANDBOX_PAYMENT_RIGHTS \
    "usage sandbox\nexecute sandbox.perform_payments\nselect sandbox.journal"
