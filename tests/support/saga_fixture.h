// SPDX-License-Identifier: Apache-2.0
// For tests of sagas: the shipped definition, and instances placed anywhere in it.
#pragma once

#include "application/saga/decide.h"
#include "application/saga/definition.h"
#include "application/saga/state.h"
#include "base/arena.h"

// Fails the test with every fault when the file is not accepted.
struct saga_definition saga_fixture_read(const char *file, struct str bytes, struct arena *arena);

// conf/sagas/order_fulfilment.json as it ships.
struct saga_definition saga_fixture_order_fulfilment(struct arena *arena);

// The whole file, in the arena.
struct str saga_fixture_file(const char *path, struct arena *arena);

// An instance that has this command out, by the definition's name and version.
struct saga_state saga_fixture_at(const struct saga_definition *definition, const char *step,
                                  enum saga_direction direction, int attempt);

// Where the passage begins in the text; NULL when it is not there.
const char *saga_fixture_find(struct str text, const char *passage);
