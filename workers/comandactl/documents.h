// SPDX-License-Identifier: Apache-2.0
// The cache as an operator's verb needs it: there, away, or not named.
#pragma once

#include "command.h"

struct document_store;
struct redis_connection;

struct ctl_cache {
    struct redis_connection *connection; // NULL: no address was given
    struct document_store *store;
};

// As --redis or COMANDA_REDIS says; without either there is none, and that is no failure.
enum ctl_exit ctl_cache_open(struct ctl *ctl, struct ctl_cache *cache);
void ctl_cache_close(struct ctl_cache *cache);
