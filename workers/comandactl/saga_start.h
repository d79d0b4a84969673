// SPDX-License-Identifier: Apache-2.0
// comandactl saga start --missing: what should have started a saga and has not is published again.
#pragma once

#include "command.h"

extern const struct ctl_option saga_start_options[];
enum ctl_exit saga_start_run(struct ctl *ctl);
