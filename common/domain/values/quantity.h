// SPDX-License-Identifier: Apache-2.0
// How many of one thing an order may ask for.
#pragma once

enum { QUANTITY_MIN = 1, QUANTITY_MAX = 1000 };
