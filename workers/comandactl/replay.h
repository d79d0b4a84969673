// SPDX-License-Identifier: Apache-2.0
// comandactl event replay: rows of the log are published again.
#pragma once

#include "command.h"

extern const struct ctl_option replay_options[];
enum ctl_exit replay_run(struct ctl *ctl);
