// SPDX-License-Identifier: Apache-2.0
// A number as I-JSON allows it: RFC 8259's grammar, integers within +-(2^53 - 1), the rest finite.
#pragma once

#include "base/json.h"

// *at stands on the number's first byte, '-' or a digit, before `end`; it is moved to where the
// number ends or the fault was seen. JSON_OK, JSON_SYNTAX or JSON_NUMBER_RANGE. Conservative where
// it costs nothing: a number with fraction or exponent of 1e308 and more is out of range.
enum json_fault json_check_number(const unsigned char **at, const unsigned char *end);
